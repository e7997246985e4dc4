"""Prices a run and explains it: per-layer energy and latency, totals, provenance; as JSON, CSV, page and figure.

Count first, price later: the same run can be priced again with other costs and no count changes.
"""

import csv
import importlib.metadata
import io
import json
import math
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossbar.costs import ADC_MODELS, Costs
from devices.aliases import IntArray
from devices.errors import ParameterError
from mapping.digital_work import work_of
from mapping.inference import LayerTrace, RunResult
from mapping.output import write_whole
from mapping.program import Matrix, Program

if TYPE_CHECKING:
    from pandas import DataFrame

COMPONENTS = ("array", "adc", "drivers", "gates", "digital", "buffers")
PHASES = ("attention", "gates", "read")  #: of a layer, one after another


@dataclass(frozen=True)
class LayerReport:
    """One layer: where it lies, how far it errs, what it costs per image."""

    name: str
    kind: str
    tiles: int
    utilisation: float  #: part of its tiles' cells that carry a weight
    error: float  #: relative to the exact network, errors of the layers before included
    own_error: float  #: relative to the exact layer on the same inputs
    energy_J: float  # noqa: N815  (joule is J, in the report's keys as well)
    energy_by_component_J: dict[str, float]  # noqa: N815
    latency_s: float
    latency_by_phase_s: dict[str, float]  #: attention, then settling of the gates, then reads with their conversions
    operations: int  #: useful operations, two per multiplication
    attention_entropy: float | None  #: mean entropy of the attention over ln k; 1: uniform
    attention_deviation: float | None  #: mean standard deviation of a kernel's attention over the images


@dataclass(frozen=True)
class Report:
    """Everything that is known about a run."""

    model: str
    chip: str
    seed: int  #: of the chip
    seed_noise: int  #: of the run's read noise
    images: int
    accuracy_chip: float | None
    accuracy_exact: float | None
    energy_J_per_image: float  # noqa: N815
    energy_band_J_per_image: tuple[float, float]  # noqa: N815  #: with the cheapest and the dearest converter model
    energy_between_J_per_image: float  # noqa: N815  #: of layers without matrices: activations, pools, sums
    latency_s_per_image: float
    operations_per_image: int
    tops_per_watt: float  #: of useful operations: two per multiplication of the exact network
    tiles: int
    layers: tuple[LayerReport, ...]
    configuration: dict[str, Any]
    versions: dict[str, str]

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(_plain(asdict(self)), indent=2, allow_nan=False)

    def to_csv(self) -> str:
        """Return the layers as CSV text, one row each; energies and times of the parts in columns of their own."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(_COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows())
        return text.getvalue()

    def to_dataframe(self) -> "DataFrame":
        """Return the layers as a pandas DataFrame, one row each, with the columns of `to_csv` and the names as index.

        Raises ParameterError if pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ParameterError(
                "to_dataframe needs pandas, which is not installed: pip install pandas, or use to_csv"
            ) from None
        return pd.DataFrame(self._rows(), columns=list(_COLUMNS)).set_index("name")

    def to_html(self, result: RunResult | None = None) -> str:
        """Return the report as one page that needs no other file.

        result: the run that was priced, for what the report does not hold: floor plan, worst array and attention.
        """
        from mapping.page import page

        return page(self, result)

    def save(self, folder: str | os.PathLike[str], result: RunResult | None = None) -> list[Path]:
        """Write report.json, report.csv, report.html and layers.png into a folder, all of them whole or none.

        result: as for to_html.
        Raises ParameterError if the folder cannot be made or written.
        """
        writers: dict[str, Callable[[Path], object]] = {
            "report.json": lambda to: to.write_text(self.to_json() + "\n", encoding="utf-8"),
            "report.csv": lambda to: to.write_text(self.to_csv(), encoding="utf-8"),
            "report.html": lambda to: to.write_text(self.to_html(result), encoding="utf-8"),
            "layers.png": self._draw,
        }
        return write_whole(folder, writers)

    def _draw(self, path: Path) -> None:
        from mapping.plots import report_figure

        report_figure(self).savefig(path, dpi=150)

    def _rows(self) -> list[dict[str, Any]]:
        """Each layer with its parts as columns of their own."""
        rows = []
        for layer in self.layers:
            row = asdict(layer)
            for key, (start, names, end) in _PARTS.items():
                parts = row.pop(key)
                row.update({f"{start}_{name}_{end}": parts[name] for name in names})
            rows.append(row)
        return rows

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from mapping.page import show_report

        return show_report(self)


#: fields of LayerReport that are taken apart in tables: (start, parts, unit) of their columns
_PARTS = {"energy_by_component_J": ("energy", COMPONENTS, "J"), "latency_by_phase_s": ("latency", PHASES, "s")}
_COLUMNS = (
    *(each.name for each in fields(LayerReport) if each.name not in _PARTS),
    *(f"{start}_{name}_{end}" for start, names, end in _PARTS.values() for name in names),
)


def price(result: RunResult, labels: IntArray | None = None, costs: Costs | None = None) -> Report:
    """Price a run.

    labels: (b,) classes of the images, for the accuracies.  costs: other prices than the chip description's.
    """
    program = result.chip.program
    hardware = program.hardware if costs is None else replace(program.hardware, costs=costs)
    layers = tuple(_layer(trace, program, hardware.costs) for trace in result.layers if program.of(trace.name))
    rest = [trace for trace in result.layers if not program.of(trace.name)]
    totals = {name: sum(layer.energy_by_component_J[name] for layer in layers) for name in COMPONENTS}
    work = work_of(program.folded)
    between = sum((sum(hardware.costs.energies(work[trace.name], hardware.adc).values()) for trace in rest), 0.0)
    energy = sum(totals.values()) + between
    conversions = sum(trace.activity.conversions for trace in result.layers)
    by_model = [hardware.costs.conversion(hardware.adc, model) for model in ADC_MODELS]
    others = energy - totals["adc"]
    accuracies = (None, None) if labels is None else result.accuracy(labels)
    return Report(
        model=program.network.name,
        chip=hardware.name,
        seed=result.chip.seed,
        seed_noise=result.seed,
        images=len(result.logits),
        accuracy_chip=accuracies[0],
        accuracy_exact=accuracies[1],
        energy_J_per_image=energy,
        energy_band_J_per_image=(others + conversions * min(by_model), others + conversions * max(by_model)),
        energy_between_J_per_image=between,
        latency_s_per_image=sum(layer.latency_s for layer in layers) + len(rest) * hardware.costs.t_digital,
        operations_per_image=program.operations,
        tops_per_watt=program.operations / energy * 1e-12 if energy else 0.0,
        tiles=sum(layer.tiles for layer in layers),
        layers=layers,
        configuration=asdict(hardware),
        versions={
            "crossgate": importlib.metadata.version("crossgate"),
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("numpy", "numba", "scipy")},
        },
    )


def _layer(trace: LayerTrace, program: Program, costs: Costs) -> LayerReport:
    hardware = program.hardware
    energies = costs.energies(trace.activity, hardware.adc)
    times = phases(program, trace.name, costs)
    entropy = deviation = None
    if trace.attention is not None and len(trace.attention):
        shares = np.clip(trace.attention, 1e-12, 1.0)
        entropy = float(np.mean(-np.sum(shares * np.log(shares), 1)) / math.log(shares.shape[1]))
        deviation = float(trace.attention.std(0).mean())
    return LayerReport(
        trace.name,
        trace.kind,
        program.tiles(trace.name),
        program.utilisation(trace.name),
        trace.error,
        trace.own_error,
        sum(energies.values()),
        energies,
        sum(times.values()),
        times,
        2 * sum(matrix.multiplications for matrix in program.of(trace.name)),
        entropy,
        deviation,
    )


def latency(program: Program, layer: str, costs: Costs) -> float:
    """Return the time [s] that one image spends in a layer: that of its phases."""
    return sum(phases(program, layer, costs).values())


def phases(program: Program, layer: str, costs: Costs) -> dict[str, float]:
    """Return the time [s] that one image spends in each phase of a layer, in their order.

    Positions follow one another; while one is converted the next is read. A dynamic layer first waits for its whole
    attention: two FC reads, a digital softmax, and the settling of its gates. Source: docs/equations/costs.md.
    """
    matrices = program.matrices.get(layer, ())
    attention = program.matrices.get(f"{layer}.attention", ())
    softmax = 4.0 * costs.t_digital if attention else 0.0  # exponent, sum, division, inverse law
    return {
        "attention": sum((_time(matrix, program, costs) for matrix in attention), softmax),
        "gates": program.hardware.gate_dac.t_settle if attention else 0.0,
        "read": max((_time(matrix, program, costs) for matrix in matrices), default=0.0),
    }


def _time(matrix: Matrix, program: Program, costs: Costs) -> float:
    dac, adc = program.hardware.dac, program.hardware.adc
    pairs = max(tile.shape[1] for tile in matrix.tiles)
    read, convert = dac.t_read, min(adc.columns, pairs) / adc.sample_rate
    steps = matrix.positions * dac.conversions * (2 if matrix.signed else 1)
    sums = math.ceil(math.log2(len({tile.rows.start for tile in matrix.tiles}) + 1)) * costs.t_digital
    return steps * max(read, convert) + min(read, convert) + sums


def _plain(value: object) -> object:
    """Return a value in JSON's words: arrays become lists, infinities the text "inf"."""
    if isinstance(value, dict):
        return {key: _plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(held) for held in value]
    if isinstance(value, np.generic):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
