"""The values of a report: one record for each layer, the totals, and the columns of their tables."""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from crossbar.prices.costs import COMPONENTS as PRICED
from mapping.inference.fidelity import Fidelity
from mapping.prices.area import AREAS, ArrayReport
from mapping.prices.own_parts import PartReport
from mapping.prices.refresh import Keeping
from mapping.prices.timing import PHASES
from mapping.prices.yardsticks import Compared
from mapping.report.findings import Diagnosis

COMPONENTS = PRICED  #: components of the energy, in the order of tables


@dataclass(frozen=True)
class LayerReport:
    """One layer: its tiles, its error, and its energy, latency and area."""

    name: str
    kind: str
    tiles: int
    utilisation: float  #: fraction of its tiles' cells that hold a weight
    error: float  #: total error, relative to the exact network; includes the layers before; nan for an estimate
    own_error: float  #: error relative to the exact layer on the same inputs; nan for an estimate
    energy_J: float  # noqa: N815  (joule is J, in the report's keys as well)
    energy_by_component_J: dict[str, float]  # noqa: N815
    latency_s: float
    latency_by_phase_s: dict[str, float]  #: attention, settling of the gates, writes, reads with their conversions
    layout: str | None  #: layout of a dynamic layer; None for other layers
    start_s: float  #: time from the arrival of the image to the layer's first work
    interval_s: float  #: time for which an image occupies the layer's arrays
    area_m2: float  #: of its arrays and their periphery
    area_by_component_m2: dict[str, float]
    writes_per_day: float  #: of each of its cells at full throughput, refreshing included; 0 if cells are written once
    operations: int  #: useful operations, two per multiplication
    attention_entropy: float | None  #: mean entropy of the attention weights, relative to ln k; 1: uniform
    attention_deviation: float | None  #: standard deviation of a kernel's attention weight over the images, mean over k
    column_gain: float | None = None  #: mean factor, 0 to 1, that gates of columns set; None: no such gates
    column_deviation: float | None = None  #: standard deviation of a column's factor over the images, mean over columns
    #: images whose reads move the cells of one of its matrices by a mean of 1 % of g_max; inf: never
    images_to_limit: float = math.inf


#: fields of LayerReport that become several columns of a table: (first word, middle words, unit) of their names
PARTS = {
    "energy_by_component_J": ("energy", COMPONENTS, "J"),
    "latency_by_phase_s": ("latency", PHASES, "s"),
    "area_by_component_m2": ("area", AREAS, "m2"),
}
COLUMNS = (
    *(each.name for each in fields(LayerReport) if each.name not in PARTS),
    *(f"{start}_{name}_{end}" for start, names, end in PARTS.values() for name in names),
)


@dataclass(frozen=True)
class ReportValues:
    """The values of a report on a run or an estimate."""

    model: str
    chip: str
    seed: int | None  #: of the chip; None for an estimate
    seed_noise: int | None  #: of the read noise; None for an estimate
    images: int
    accuracy_chip: float | None
    accuracy_exact: float | None
    energy_J_per_image: float  # noqa: N815
    energy_band_J_per_image: tuple[float, float]  # noqa: N815  #: over the models of converters, wires and clocks
    energy_between_J_per_image: float  # noqa: N815  #: of layers without matrices: activations, pools, sums
    energy_shares: dict[str, float]  #: fraction of the energy by component; layers without matrices are digital
    latency_s_per_image: float  #: of a single image
    latency_whole_s_per_image: float  #: the same if every layer waited for its whole input
    images_per_s: float  #: throughput of images one after another, set by the slowest layer
    bottleneck: str | None  #: name of the slowest layer
    area_m2: float
    area_by_component_m2: dict[str, float]
    leakage_J_per_image: float  # noqa: N815  #: of this area at full throughput; included in the energy; known at 22 nm
    lifetime_s: float | None  #: time until cells have taken `costs.endurance` writes at full throughput
    operations_per_image: int  #: useful operations: two per multiplication of the exact network
    operations_executed_per_image: int  #: operations of the arrays: all kernels, both signs
    tops_per_watt: float  #: useful operations over energy
    tops_per_watt_band: tuple[float, float]  #: at the upper and the lower end of the energy band
    tops_per_watt_executed: float  #: executed operations over energy
    tops_per_watt_array: float  #: useful operations over the energy in cells and wires alone
    tops_per_watt_array_executed: float  #: executed operations over the energy in cells and wires alone
    comparison: tuple[Compared, ...]  #: energy of the same operations on GPUs, in the brain, on published chips
    parts: tuple[PartReport, ...]  #: components of the user's own
    tiles: int
    layers: tuple[LayerReport, ...]
    arrays: tuple[ArrayReport, ...]  #: one for each tile
    configuration: dict[str, Any]
    versions: dict[str, str]
    #: layers that apply channel attention digitally, by name, with the reason
    digital_scales: dict[str, str] = field(default_factory=dict)
    calibration_J: float | None = None  # noqa: N815  #: of the converters' offsets, once; None: not calibrated
    calibration_s: float | None = None  #: time of this calibration
    keeping: Keeping | None = None  #: how long the chip keeps its conductances, and the price of writing them again
    #: what the simulated write took, with the errors it left and drawn ones; None: errors were drawn
    programming: dict[str, float] | None = None
    fidelity: tuple[Fidelity, ...] = ()  #: comparison of the levels of fidelity, for --fidelity nonlinear
    top5_chip: float | None = None  #: fraction of images whose label is among the five largest outputs
    top5_exact: float | None = None
    rms_error_chip: float | None = None  #: where outputs are numbers: root mean square of (output - label)
    rms_error_exact: float | None = None
    rms_error_chip_interval: tuple[float, float] | None = None  #: 95 %, over the images
    rms_error_exact_interval: tuple[float, float] | None = None
    command: str = ""  #: command line that gives the same run again; empty for a run from Python
    measured: str | None = None  #: the table of measured cells that the run used; None: simulated writes
    compensated: tuple[str, ...] = ()  #: what the compiler makes up for on this chip, each with its keys
    idle_keys: tuple[str, ...] = ()  #: sentences on keys that the user set and that cannot act in this run
    diagnosis: Diagnosis | None = None  #: what costs accuracy, and what each compensation is worth; None: not asked

    def rows(self) -> list[dict[str, Any]]:
        """Return each layer as a row with the columns COLUMNS."""
        rows = []
        for layer in self.layers:
            row = asdict(layer)
            for key, (start, names, end) in PARTS.items():
                parts = row.pop(key)
                row.update({f"{start}_{name}_{end}": parts[name] for name in names})
            rows.append(row)
        return rows
