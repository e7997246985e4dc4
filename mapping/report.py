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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossbar.activity import Activity
from crossbar.costs import Costs
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from mapping.area import AREAS, ArrayReport, arrays, layer_area
from mapping.comparison import Compared, compare, measurements
from mapping.digital_work import work_of
from mapping.estimate import estimate, histograms
from mapping.inference import PREDICTIONS, LayerTrace, RunResult, kind_of
from mapping.network import Scale
from mapping.output import write_whole
from mapping.overheads import overheads
from mapping.parts import PartReport, fitted, part_reports
from mapping.program import Program
from mapping.samples import Fidelity
from mapping.schedule import PHASES, Schedule, latency, phases, schedule

__all__ = ["COMPONENTS", "PHASES", "LayerReport", "Report", "latency", "phases", "price", "price_estimate"]

if TYPE_CHECKING:
    from pandas import DataFrame

COMPONENTS = ("array", "adc", "drivers", "gates", "writes", "digital", "buffers", "wires", "clock", "leakage",
              "parts")  # fmt: skip
DAY = 86_400.0  # [s]


@dataclass(frozen=True)
class LayerReport:
    """One layer: where it lies, how far it errs, what it costs per image."""

    name: str
    kind: str
    tiles: int
    utilisation: float  #: part of its tiles' cells that carry a weight
    error: float  #: relative to the exact network, errors of the layers before included; nan: estimated, not run
    own_error: float  #: relative to the exact layer on the same inputs
    energy_J: float  # noqa: N815  (joule is J, in the report's keys as well)
    energy_by_component_J: dict[str, float]  # noqa: N815
    latency_s: float
    latency_by_phase_s: dict[str, float]  #: attention, then settling of the gates, then reads with their conversions
    layout: str | None  #: how a dynamic layer is built; None for the others
    start_s: float  #: when it can begin, since the image arrived
    interval_s: float  #: how long it keeps the next image from its arrays
    area_m2: float  #: of its arrays and what stands around them
    area_by_component_m2: dict[str, float]
    writes_per_day: float  #: of each of its cells, at the chip's throughput; 0 where cells are written once
    operations: int  #: useful operations, two per multiplication
    attention_entropy: float | None  #: mean entropy of the attention over ln k; 1: uniform
    attention_deviation: float | None  #: mean standard deviation of a kernel's attention over the images
    column_gain: float | None = None  #: mean number in [0, 1] that gates of columns were asked for; None: no such gates
    column_deviation: float | None = None  #: mean standard deviation of a column's over the images


@dataclass(frozen=True)
class Report:
    """Everything that is known about a run."""

    model: str
    chip: str
    seed: int | None  #: of the chip; None: estimated, no chip was written
    seed_noise: int | None  #: of the run's read noise
    images: int
    accuracy_chip: float | None
    accuracy_exact: float | None
    energy_J_per_image: float  # noqa: N815
    energy_band_J_per_image: tuple[float, float]  # noqa: N815  #: over the models of converters, wires and clocks
    energy_between_J_per_image: float  # noqa: N815  #: of layers without matrices: activations, pools, sums
    energy_shares: dict[str, float]  #: by component, parts of the whole; what lies between layers is digital
    latency_s_per_image: float  #: of a single image
    latency_whole_s_per_image: float  #: the same if every layer waited for its whole inputs
    images_per_s: float  #: one after another, as fast as the slowest layer lets them
    bottleneck: str | None  #: that layer
    area_m2: float
    area_by_component_m2: dict[str, float]
    leakage_J_per_image: float  # noqa: N815  #: of that area at that throughput, part of the energy above; known at 22 nm
    lifetime_s: float | None  #: at that throughput, until cells that are rewritten have taken `costs.endurance` writes
    operations_per_image: int
    operations_executed_per_image: int  #: what arrays multiply: all kernels, both signs
    tops_per_watt: float  #: of useful operations: two per multiplication of the exact network
    tops_per_watt_band: tuple[float, float]  #: of the upper and the lower end of the energy's band
    tops_per_watt_executed: float
    tops_per_watt_array: float  #: useful operations over the energy in cells and wires alone
    tops_per_watt_array_executed: float
    comparison: tuple[Compared, ...]
    parts: tuple[PartReport, ...]  #: the user's own
    tiles: int
    layers: tuple[LayerReport, ...]
    arrays: tuple[ArrayReport, ...]  #: one for each tile
    configuration: dict[str, Any]
    versions: dict[str, str]
    #: channels that are scaled digitally, by the name of the layer, and why where gates of columns were wanted
    digital_scales: dict[str, str] = field(default_factory=dict)
    fidelity: tuple[Fidelity, ...] = ()  #: what drawn reads of each layer say about the levels of fidelity, if asked

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(_plain(asdict(self)), indent=2, allow_nan=False)

    def to_csv(self) -> str:
        """Return the layers as CSV text, one row each; energies and times of the parts in columns of their own."""
        return _csv(_COLUMNS, self._rows())

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

    def save(
        self, folder: str | os.PathLike[str], result: RunResult | None = None, labels: IntArray | None = None
    ) -> list[Path]:
        """Write report.json, report.csv, report.html and layers.png into a folder, all of them whole or none.

        result: as for to_html; with it also predictions.csv, image by image.  labels: (b,) classes of these images.
        Raises ParameterError if the folder cannot be made or written, or unless there is one label per image.
        """
        writers = self._tables | {
            "report.html": lambda to: to.write_text(self.to_html(result), encoding="utf-8"),
            "layers.png": self._draw,
        }
        if result is not None:
            rows = result.predictions(labels)
            writers["predictions.csv"] = lambda to: to.write_text(_csv(PREDICTIONS, rows), encoding="utf-8")
        return write_whole(folder, writers)

    def save_tables(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write report.json and report.csv alone, both whole or none.

        Raises ParameterError if the folder cannot be made or written.
        """
        return write_whole(folder, self._tables)

    @property
    def _tables(self) -> dict[str, Callable[[Path], object]]:
        return {
            "report.json": lambda to: to.write_text(self.to_json() + "\n", encoding="utf-8"),
            "report.csv": lambda to: to.write_text(self.to_csv(), encoding="utf-8"),
        }

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


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


#: fields of LayerReport that are taken apart in tables: (start, parts, unit) of their columns
_PARTS = {
    "energy_by_component_J": ("energy", COMPONENTS, "J"),
    "latency_by_phase_s": ("latency", PHASES, "s"),
    "area_by_component_m2": ("area", AREAS, "m2"),
}
_COLUMNS = (
    *(each.name for each in fields(LayerReport) if each.name not in _PARTS),
    *(f"{start}_{name}_{end}" for start, names, end in _PARTS.values() for name in names),
)


def price(result: RunResult, labels: IntArray | None = None, costs: Costs | None = None) -> Report:
    """Price a run.

    labels: (b,) classes of the images, for the accuracies.  costs: other prices than the chip description's.
    """
    held = result.chip.program if costs is None else result.chip.program.priced(costs)
    accuracies = (None, None) if labels is None else result.accuracy(labels)
    return _report(held, result.layers, len(result.logits), result.chip.seed, result.seed, *accuracies)


def price_estimate(program: Program, images: FloatArray, costs: Costs | None = None) -> Report:
    """Price what images (b, c, h, w) would take on a chip that is neither written nor run: from histograms of inputs.

    Errors are nan, seeds and accuracies None; energies lie within 5 % of a run's (docs/equations/costs.md eq. 19).
    costs: other prices than the chip description's.
    Raises ParameterError for images of another shape, or none.
    """
    found = histograms(program, images)
    done = estimate(program, found)
    traces = []
    for layer in program.folded.layers:
        first = next((found[matrix.name] for matrix in program.matrices.get(layer.name, ())), None)
        shares, scales = (None, None) if first is None else (first.shares, first.scales)
        activity = done.get(layer.name, Activity())
        traces.append(LayerTrace(layer.name, kind_of(layer), math.nan, math.nan, activity, shares, scales))
    held = program if costs is None else program.priced(costs)
    return _report(held, traces, len(images))


def _report(
    program: Program,
    traces: Sequence[LayerTrace],
    images: int,
    seed: int | None = None,
    seed_noise: int | None = None,
    accuracy_chip: float | None = None,
    accuracy_exact: float | None = None,
) -> Report:
    """Price what layers did."""
    hardware, costs = program.hardware, program.hardware.costs
    placed = [trace for trace in traces if program.of(trace.name)]
    times = {trace.name: phases(program, trace.name, costs) for trace in placed}
    work = work_of(program.folded)
    parts = {trace.name: fitted(program, costs, trace.name, work[trace.name] + trace.activity) for trace in traces}
    for name, held in times.items():
        held["read"] = max(held["read"], parts[name].time) + parts[name].behind
    digital = {name: each.time + each.behind for name, each in parts.items()}
    plan = schedule(program, costs, times, digital)
    unhurried = schedule(program, costs, times, digital, pipelined=False)
    area_of = {
        trace.name: layer_area(program, trace.name, costs) | {"parts": parts[trace.name].area} for trace in placed
    }
    whole = {name: sum(parts.values()) for name, parts in area_of.items()}
    beside = overheads(program, costs, {trace.name: trace.activity for trace in placed}, times, whole, plan.interval)
    done = {trace.name: trace.activity + beside[trace.name] for trace in placed}
    leaking = {name: each.leakage * plan.interval for name, each in parts.items()}
    layers = tuple(
        _layer(
            trace, program, costs, done[trace.name], times[trace.name], plan, area_of[trace.name], leaking[trace.name]
        )
        for trace in placed
    )
    rest = [trace for trace in traces if not program.of(trace.name)]
    totals = {name: sum(layer.energy_by_component_J[name] for layer in layers) for name in COMPONENTS}
    between = sum(
        (sum(costs.energies(work[trace.name], hardware.adc).values()) + leaking[trace.name] for trace in rest), 0.0
    )
    energy = sum(totals.values()) + between
    low, high = costs.bounds(sum(done.values(), Activity()), hardware.adc)
    others = sum((work[trace.name] for trace in rest), Activity())
    least, most = costs.bounds(others, hardware.adc)
    leaked = sum(leaking.values())
    band = (least + low + leaked, most + high + leaked)
    executed = sum(
        2 * matrix.positions * matrix.stored * matrix.conductances[0].size // 2 * (2 if matrix.signed else 1)
        for matrix in program.all_matrices
    )
    areas = {name: sum(layer.area_by_component_m2[name] for layer in layers) for name in AREAS}
    areas["parts"] += sum(parts[trace.name].area for trace in rest)
    shares = {name: (value + (between if name == "digital" else 0.0)) / energy if energy else 0.0
              for name, value in totals.items()}  # fmt: skip
    rewritten = any(layer.writes_per_day for layer in layers)

    def tera(operations: float, joules: float) -> float:
        return operations / joules * 1e-12 if joules else 0.0

    return Report(
        model=program.network.name,
        chip=hardware.name,
        seed=seed,
        seed_noise=seed_noise,
        images=images,
        accuracy_chip=accuracy_chip,
        accuracy_exact=accuracy_exact,
        energy_J_per_image=energy,
        energy_band_J_per_image=band,
        energy_between_J_per_image=between,
        energy_shares=shares,
        latency_s_per_image=plan.latency,
        latency_whole_s_per_image=unhurried.latency,
        images_per_s=1.0 / plan.interval if plan.interval else 0.0,
        bottleneck=plan.bottleneck,
        area_m2=sum(areas.values()),
        area_by_component_m2=areas,
        leakage_J_per_image=totals["leakage"],
        lifetime_s=costs.endurance * plan.interval if rewritten else None,
        operations_per_image=program.operations,
        operations_executed_per_image=executed,
        tops_per_watt=tera(program.operations, energy),
        tops_per_watt_band=(tera(program.operations, band[1]), tera(program.operations, band[0])),
        tops_per_watt_executed=tera(executed, energy),
        tops_per_watt_array=tera(program.operations, totals["array"]),
        tops_per_watt_array_executed=tera(executed, totals["array"]),
        parts=part_reports(
            program, costs, {trace.name: work[trace.name] + trace.activity for trace in traces}, plan.interval
        ),
        comparison=(*measurements(program.network.name, energy), *compare(program.operations, energy)),
        tiles=sum(layer.tiles for layer in layers),
        layers=layers,
        arrays=arrays(program, costs),
        configuration=asdict(hardware),
        versions={
            "crossgate": importlib.metadata.version("crossgate"),
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("numpy", "numba", "scipy")},
        },
        digital_scales={
            layer.name: program.digital_scales.get(layer.name, "as the chip description says")
            for layer in program.folded.layers
            if isinstance(layer, Scale)
        },
    )


def _layer(
    trace: LayerTrace,
    program: Program,
    costs: Costs,
    done: Activity,
    times: dict[str, float],
    plan: Schedule,
    areas: dict[str, float],
    leaking: float,
) -> LayerReport:
    energies = costs.energies(done, program.hardware.adc)
    energies["parts"] += leaking
    matrices = program.matrices.get(trace.name, ())
    dynamic = [matrix for matrix in matrices if matrix.kind in ("dynamic conv", "kernel")]
    layout = dynamic[0].layout if dynamic else None
    entropy = deviation = gain = varying = None
    if trace.attention is not None and len(trace.attention):
        shares = np.clip(trace.attention, 1e-12, 1.0)
        entropy = float(np.mean(-np.sum(shares * np.log(shares), 1)) / math.log(shares.shape[1]))
        deviation = float(trace.attention.std(0).mean())
    if trace.scales is not None and len(trace.scales):
        gain, varying = float(trace.scales.mean()), float(trace.scales.std(0).mean())
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
        layout,
        plan.starts[trace.name],
        plan.intervals[trace.name],
        sum(areas.values()),
        areas,
        DAY / plan.interval if layout == "reprogram" and plan.interval else 0.0,
        2 * sum(matrix.multiplications for matrix in program.of(trace.name)),
        entropy,
        deviation,
        gain,
        varying,
    )


def _plain(value: object) -> object:
    """Return a value in JSON's words: arrays become lists, infinities the text "inf"."""
    if isinstance(value, dict):
        return {key: _plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(held) for held in value]
    if isinstance(value, np.generic):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
