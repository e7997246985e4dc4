"""Chip descriptions: all parameters of a simulated chip in one frozen value, read from TOML and checked key by key."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from crossbar.arrays.tile_wires import TileWires
from crossbar.arrays.wires import Wires
from crossbar.prices.adc_circuits import CIRCUIT, check_circuit
from crossbar.prices.costs import Costs
from crossbar.prices.periphery import Periphery
from crossbar.tiles.converters import Adc, Dac, GateDac
from crossbar.tiles.sense import Sense
from devices import checks
from devices.cells.adaptive import AdaptiveMemristor
from devices.cells.interface import Cell
from devices.cells.ohmic import Resistor
from devices.cells.selected import SelectedCell
from devices.checks import quantity
from devices.errors import MappingError, ParameterError
from devices.noise.read_noise import ReadNoise
from devices.writing.spread import Spread
from mapping.hardware.bounds import check_bounds
from mapping.hardware.retention import Retention
from mapping.hardware.settings import parsed_value, updated
from mapping.hardware.technology_node import followed
from mapping.hardware.weight_code import WeightCode

WRITES = ("drawn", "simulated")  #: how cells get their write errors


@dataclass(frozen=True)
class TileShape:
    """Size of an array, and how its targets and outputs are corrected."""

    rows: int = 128  #: word lines, ours; 128 × 128 is the commonest published array
    columns: int = 128  #: bit lines; two make a differential pair
    column_scales: bool = True  #: each output's weights are scaled to the window; results are scaled back digitally
    trim_pairs: bool = True  #: the partner of a stuck cell is written so that the pair's difference is restored
    compensate_stuck: bool = True  #: other cells of a column compensate stuck pairs, as far as their inputs correlate
    adjust_outputs: bool = True  #: a digital scale and shift of each output are fitted on the written chip
    compensate_wires: bool = True  #: targets compensate the IR drop of the nominal wires
    write: str = "drawn"  #: how cells get their errors: "drawn" at random, or by "simulated" pulses through the wires
    #: fraction of the stuck cells that the test of an array does not find; they are not compensated
    stuck_missed: float = quantity(0.0, minimum=0.0, maximum=1.0)
    gate_nodes: int = 12  #: gate voltages at which a gated array is reduced; 12 are exact to 3e-6 of the full current
    #: largest error of a gated array's current [LSB] by fewer gate nodes and fewer stored matrices than nodes; 0: none
    family_error: float = quantity(0.05, minimum=0.0, maximum=1.0)
    encoding: str = "differential"  #: one of ENCODINGS
    slices: int = 1  #: number of cells, or pairs, over which the digits of a weight are spread
    levels: int | None = None  #: conductance levels of a cell; None: any conductance
    #: wire that joins the columns of neighbouring gated arrays at common sense inputs [Ω]; None: inputs of their own
    r_join: float | None = None

    def __post_init__(self) -> None:
        checks.check_fields(self)
        checks.whole("tile.rows", self.rows, minimum=1, maximum=4096)
        checks.whole("tile.columns", self.columns, minimum=2, maximum=4096)
        checks.whole("tile.gate_nodes", self.gate_nodes, minimum=2, maximum=64)
        checks.whole("tile.slices", self.slices, minimum=1, maximum=16)
        if self.levels is not None:
            checks.whole("tile.levels", self.levels, minimum=2, maximum=2**16)
        if self.r_join is not None:
            object.__setattr__(self, "r_join", checks.number("tile.r_join", self.r_join, unit="Ω", minimum=0.0))
        if self.write not in WRITES:
            raise ParameterError(f"tile.write must be one of {', '.join(WRITES)}, got {self.write!r}")
        if self.columns % 2:
            raise ParameterError(f"tile.columns must be even, as two columns make a pair, got {self.columns}")
        if self.outputs < 1:
            raise ParameterError(
                f"tile.columns must be at least {self.code.columns(1)} for tile.encoding = {self.encoding!r} with "
                f"{self.slices} slices, got {self.columns}"
            )

    @property
    def code(self) -> WeightCode:
        """How a weight is stored in cells."""
        return WeightCode(self.encoding, self.slices, self.levels)

    @property
    def pairs(self) -> int:
        """Pairs of columns of one array."""
        return self.columns // 2

    @property
    def outputs(self) -> int:
        """Number of outputs whose weights fit into one array."""
        return self.code.outputs(self.columns)

    @property
    def converted(self) -> int:
        """Number of converted currents of one full array: pairs of columns, or columns."""
        return self.pairs if self.code.paired else self.columns


LAYOUTS = ("parallel", "stacked", "digital", "reprogram")  #: where a dynamic layer mixes its kernels
AUTO = "auto"  #: the compiler chooses a layout
INPUT_RANGES = ("calibration", "network")  #: what sets the range of a layer's row codes
CHANNEL_ATTENTION = ("digital", "gates")  #: what multiplies the outputs of a convolution by channel attention


@dataclass(frozen=True)
class Choices:
    """How layers are built from arrays; docs/layouts.md."""

    layout: str = "parallel"  #: of dynamic layers, one of LAYOUTS or AUTO
    layouts: dict[str, str] = field(default_factory=dict)  #: layout by layer name, where it differs from `layout`
    copies: dict[str, int] = field(default_factory=dict)  #: number of copies of a layer's arrays, by layer name
    double_gates: bool = True  #: each gate group has two gate lines: one settles while the other is read
    channel_attention: str = "digital"  #: what multiplies a convolution's outputs, one of CHANNEL_ATTENTION
    input_ranges: str = "calibration"  #: what sets the range of a layer's row codes, one of INPUT_RANGES
    pipelined: bool = True  #: a static layer begins before its whole input is ready
    weight_energy: float = quantity(1.0, minimum=0.0)  #: weight of the logarithm of a layer's energy in AUTO
    weight_latency: float = quantity(1.0, minimum=0.0)  #: the same for its latency
    weight_area: float = quantity(1.0, minimum=0.0)  #: the same for its area
    weight_error: float = quantity(1.0, minimum=0.0)  #: the same for its error on calibration images

    def __post_init__(self) -> None:
        checks.check_fields(self)
        for key, value in (("layout", self.layout), *((f"layouts.{k}", v) for k, v in _table("layouts", self.layouts))):
            if value not in (*LAYOUTS, AUTO):
                raise ParameterError(f"mapping.{key} must be one of {', '.join((*LAYOUTS, AUTO))}, got {value!r}")
        if self.channel_attention not in CHANNEL_ATTENTION:
            raise ParameterError(
                f"mapping.channel_attention must be one of {', '.join(CHANNEL_ATTENTION)}, "
                f"got {self.channel_attention!r}"
            )
        if self.input_ranges not in INPUT_RANGES:
            raise ParameterError(
                f"mapping.input_ranges must be one of {', '.join(INPUT_RANGES)}, got {self.input_ranges!r}"
            )
        for name, count in _table("copies", self.copies):
            checks.whole(f"mapping.copies.{name}", count, minimum=1, maximum=4096)

    def of(self, layer: str) -> str:
        """Return the layout chosen for a dynamic layer."""
        return self.layouts.get(layer, self.layout)

    def copies_of(self, layer: str) -> int:
        """Return the number of copies of a layer's arrays."""
        return self.copies.get(layer, 1)

    def check_names(self, layers: Iterable[str], dynamic: Iterable[str]) -> None:
        """Raise ParameterError if `copies` names no layer with a matrix, or `layouts` no dynamic layer."""
        for key, table, known in (("layouts", self.layouts, set(dynamic)), ("copies", self.copies, set(layers))):
            for name in table:
                checks.known("layer", name, known, where=f"mapping.{key}")


def _table(key: str, value: object) -> Iterable[tuple[str, Any]]:
    """Return the entries of a table by layer name."""
    if not isinstance(value, dict):
        raise ParameterError(f"mapping.{key} must be a table with one entry for each layer, got {value!r}")
    return value.items()


def _default_wires() -> Wires:
    return Wires(r_row=1.06, r_column=1.06, r_driver=100.0, r_sense=10.0)


def _default_cell() -> AdaptiveMemristor:
    return AdaptiveMemristor(v_gate_max=2.0)


def _default_retention() -> Retention:
    return Retention(refresh_change=0.002)


def _default_dac() -> Dac:
    return Dac(v_read=0.05)


def _default_sense() -> Sense:
    return Sense(division=16.0)


def wires_of_tiles(wires: Wires, rows: int, columns: int) -> Wires:
    """Return wires that tiles of all shapes take their part of; segments and ends given one by one are a full tile's.

    Raises ParameterError if a list has another number of values than a tile of `rows` × `columns` cells needs.
    """
    shapes = {
        "r_row": ((columns - 1,), (rows, columns - 1)), "r_column": ((rows - 1,), (rows - 1, columns)),
        "r_driver": ((rows,),), "r_driver_far": ((rows,),), "r_sense": ((columns,),), "r_sense_far": ((columns,),),
    }  # fmt: skip
    for key, allowed in shapes.items():
        value = getattr(wires, key)
        if not isinstance(value, float) and value.shape not in allowed:
            wanted = " or ".join(" × ".join(map(str, shape)) for shape in allowed)
            raise ParameterError(
                f"wires.{key} must be one value, or {wanted} values for a tile of {rows} × {columns} cells, "
                f"got {' × '.join(map(str, value.shape))}"
            )
    given = [getattr(wires, each.name) for each in fields(wires)]
    kind = Wires if all(isinstance(each, float) for each in given) else TileWires
    return wires if type(wires) is kind else kind(*given)


@dataclass(frozen=True)
class Hardware:
    """A chip description: `load_hardware` reads one, docs/chips.md documents every key."""

    name: str = "adaptive2d"
    about: str = ""  #: one sentence that describes the chip in lists
    #: gates, refresh and read voltage: docs/design.md, "An operating point that somebody could run"
    cell: Cell = field(default_factory=_default_cell)
    spread: Spread = field(default_factory=Spread)
    noise: ReadNoise = field(default_factory=ReadNoise)
    retention: Retention = field(default_factory=_default_retention)
    #: 22 nm node, a cell of two half pitches (NeuroSim V1.3 wires); drivers and sense inputs ours
    wires: Wires = field(default_factory=_default_wires)
    tile: TileShape = field(default_factory=TileShape)
    dac: Dac = field(default_factory=_default_dac)
    adc: Adc = field(default_factory=Adc)
    gate_dac: GateDac = field(default_factory=GateDac)
    sense: Sense = field(default_factory=_default_sense)
    mapping: Choices = field(default_factory=Choices)
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wires", wires_of_tiles(self.wires, self.tile.rows, self.tile.columns))
        if self.costs.adc_model == CIRCUIT:
            check_circuit(self.adc)
        check_bounds(self)

    @property
    def temperature(self) -> float:
        """Temperature of the cells [K]."""
        return float(getattr(self.cell, "temperature", 300.0))

    @property
    def run_temperature(self) -> float:
        """Temperature of the run [K], which may differ from that for which the chip was compiled and written."""
        return self.retention.run_temperature or self.temperature

    @property
    def cell_in_run(self) -> Cell:
        """The cell at the temperature of the run, on which the read gain of a gate voltage depends."""
        warm, cell = self.retention.run_temperature, self.cell
        if not warm or warm == self.temperature:
            return cell
        if isinstance(cell, SelectedCell):
            return replace(cell, cell=_at_temperature(cell.cell, warm))
        return _at_temperature(cell, warm)

    @property
    def wires_in_use(self) -> Wires:
        """The wires at the temperature of the cells; `wires` are those at 300 K."""
        return self.wires.at_temperature(self.temperature, self.spread.wire_temperature_coefficient)

    @property
    def wires_in_run(self) -> Wires:
        """The wires at the temperature of the run."""
        return self.wires.at_temperature(self.run_temperature, self.spread.wire_temperature_coefficient)

    @property
    def value_bits(self) -> int:
        """Bits of a value in buffers and on wires: those of a row's code."""
        return self.dac.width

    @property
    def periphery(self) -> Periphery:
        """The circuits around an array whose properties prices depend on."""
        driver, sense = (float(np.mean(end)) for end in (self.wires.r_driver, self.wires.r_sense))
        c_gate = float(getattr(self.cell, "c_gate", 0.0))
        return Periphery(self.adc, self.dac, self.gate_dac, self.sense, driver, sense, c_gate)

    def idealised(self) -> "Hardware":
        """Return the same tiles and window with ideal cells, wires and converters, without variability and noise."""
        return replace(
            self,
            tile=replace(
                self.tile, adjust_outputs=False, write="drawn", stuck_missed=0.0, r_join=None, family_error=0.0
            ),
            cell=_idealised(self.cell),
            spread=Spread.none(),
            noise=ReadNoise.none(),
            retention=Retention(),
            wires=Wires(0.0, 0.0, 0.0, 0.0),
            dac=replace(self.dac, bits=None, coding="pulse-width", gain_error=0.0),
            adc=self.adc.idealised(),
            gate_dac=replace(self.gate_dac, bits=None),
        )

    def to_compile(self) -> "Hardware":
        """Return the description with defaults in place of the values that compiling does not use.

        Descriptions with equal results compile to the same placement. With AUTO the compiler writes and prices trial
        chips, so it uses all values.
        """
        if AUTO in (self.mapping.layout, *self.mapping.layouts.values()):
            return self
        coefficient = self.spread.wire_temperature_coefficient  # part of the wires in use
        return replace(
            self,
            name="",
            about="",
            spread=replace(Spread(), wire_temperature_coefficient=coefficient),
            noise=ReadNoise(),
            tile=replace(
                self.tile, write="drawn", stuck_missed=0.0, r_join=None, family_error=TileShape().family_error
            ),
            retention=Retention(),
            dac=replace(self.dac, t_slot=Dac().t_slot, polarity=Dac().polarity, gain_error=0.0),
            adc=replace(Adc(), margin=self.adc.margin),
            gate_dac=GateDac(),
            sense=Sense(),
            costs=Costs(),
        )

    def validate(self, name: str, gated: bool) -> None:
        """Raise MappingError with the reason if a layer cannot be placed on this chip."""
        if gated and not self.cell.gated:
            raise MappingError(
                f"{name} is a dynamic layer, whose kernels are mixed by gates, but the cells of chip {self.name!r} "
                "have no gate: choose a chip with gated cells, a static network, or mapping.layout = 'digital' or "
                "'reprogram'"
            )
        if isinstance(self.cell, SelectedCell) and self.cell.v_threshold >= self.dac.v_read:
            raise MappingError(
                f"{name} would be read at dac.v_read = {self.dac.v_read:g} V, where the selectors of chip "
                f"{self.name!r} are off: they switch at cell.v_threshold = {self.cell.v_threshold:g} V"
            )

    def validate_code(self, name: str, layout: str | None, *, columns_gated: bool) -> None:
        """Raise MappingError with the reason if the weights of a layer cannot be stored as `tile` says.

        layout: of a dynamic layer, None for other layers.
        """
        if self.tile.code.plain:
            return
        what = f"stored with tile.encoding = {self.tile.encoding!r}, {self.tile.slices} slices and tile.levels = "
        what += "'ideal'" if self.tile.levels is None else f"{self.tile.levels}"
        if layout in ("stacked", "reprogram"):
            raise MappingError(
                f"{name} has the layout {layout!r}, whose weights cannot be {what}: choose mapping.layout = 'parallel' "
                "or 'digital', or differential pairs of one slice without levels"
            )
        if columns_gated:
            raise MappingError(
                f"{name} would have its outputs scaled by gates of its columns, whose weights cannot be {what}: choose "
                "mapping.channel_attention = 'digital', or differential pairs of one slice without levels"
            )

    def validate_columns(self, name: str) -> None:
        """Raise MappingError with the reason if gates of columns cannot scale the outputs of a layer."""
        if not self.cell.gated:
            raise MappingError(
                f"{name} would have its outputs scaled by gates of its columns, but the cells of chip {self.name!r} "
                "have no gate: choose a chip with gated cells, or mapping.channel_attention = 'digital'"
            )

    def with_values(self, settings: Iterable[str], where: str = "--set") -> "Hardware":
        """Return the description with KEY=VALUE settings applied, such as wires.r_row=2.8.

        where: what gives the settings, for messages.
        Raises ParameterError for an unknown key, naming the nearest valid one, or a value out of bounds.
        """
        changes: dict[str, Any] = {}
        for setting in settings:
            key, equals, text = setting.partition("=")
            section, dot, name = key.strip().partition(".")
            if not equals or not dot or not name:
                raise ParameterError(f"{where} takes SECTION.KEY=VALUE such as wires.r_row=2.8, got {setting!r}")
            table, dot, entry = name.partition(".")
            held = changes.setdefault(section, {})
            if dot:
                within = held.setdefault(table, {})
                if isinstance(within, dict):
                    within[entry] = parsed_value(text.strip())
            else:
                held[name] = parsed_value(text.strip())
        return updated(self, followed(self, changes), where)


def _at_temperature(cell: Cell, temperature: float) -> Cell:
    """Return a cell at another temperature [K]; a cell without a temperature is returned as it is."""
    return cell.at(temperature) if isinstance(cell, AdaptiveMemristor) else cell


def _idealised(cell: Cell) -> Cell:
    """Return an ideal cell with the window of a given one: an exact multiplier, or a resistor if it has no gate."""
    if isinstance(cell, SelectedCell):
        return _idealised(cell.cell)
    if isinstance(cell, AdaptiveMemristor):
        return replace(cell, v_0=math.inf, r_series=0.0, g_leak=0.0, g_gate_leak=0.0)
    if not cell.gated:
        return Resistor(cell.g_min, cell.g_max)
    bottom = max(cell.g_min, 1e-6 * cell.g_max)  # a tabulated cell may reach 0
    return AdaptiveMemristor(bottom, cell.g_max, v_0=math.inf, r_series=0.0, g_leak=0.0)
