"""The values of a report: one record per layer, the totals, and the columns of their tables."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mapping.inference.fidelity import Fidelity
from mapping.prices.area import AREAS, ArrayReport
from mapping.prices.own_parts import PartReport
from mapping.prices.timing import PHASES
from mapping.prices.yardsticks import Compared

COMPONENTS = ("array", "adc", "drivers", "gates", "writes", "digital", "buffers", "wires", "clock", "leakage",
              "parts")  # fmt: skip


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
    area_m2: float  #: of its arrays and their periphery
    area_by_component_m2: dict[str, float]
    writes_per_day: float  #: of each of its cells, at the chip's throughput; 0 where cells are written once
    operations: int  #: useful operations, two per multiplication
    attention_entropy: float | None  #: mean entropy of the attention over ln k; 1: uniform
    attention_deviation: float | None  #: mean standard deviation of a kernel's attention over the images
    column_gain: float | None = None  #: mean number in [0, 1] that gates of columns were asked for; None: no such gates
    column_deviation: float | None = None  #: mean standard deviation of a column's over the images


#: fields of LayerReport that are taken apart in tables: (start, parts, unit) of their columns
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
    """Everything that is known about a run or an estimate."""

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

    def rows(self) -> list[dict[str, Any]]:
        """Return each layer by the names of COLUMNS, its parts as columns of their own."""
        rows = []
        for layer in self.layers:
            row = asdict(layer)
            for key, (start, names, end) in PARTS.items():
                parts = row.pop(key)
                row.update({f"{start}_{name}_{end}": parts[name] for name in names})
            rows.append(row)
        return rows
