"""Chip descriptions: every choice of a virtual chip as one frozen value, read from TOML and checked key by key."""

import dataclasses
import difflib
import json
import math
import os
import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from crossbar.costs import Costs
from crossbar.periphery import Adc, Dac, GateDac
from crossbar.wires import Wires
from devices import checks
from devices.cells import AdaptiveMemristor, Cell, Resistor
from devices.checks import quantity
from devices.errors import MappingError, ParameterError
from devices.noise import ReadNoise
from devices.presets import PRESETS
from devices.selector import SelectedCell
from devices.spread import Spread
from mapping.retention import Retention

CHIPS = Path(__file__).parent / "chips"  #: where the bundled descriptions lie
TOP_KEYS = {"base", "name", "about"}  #: keys of a file that stand before its sections
LARGEST_FILE = 2**20  #: bytes of a description, ours; the longest bundled one has some thousand
IDEAL = "ideal"  #: how TOML says that a converter has no finite resolution


@dataclass(frozen=True)
class TileShape:
    """Cells of one physical array, and how many nodes describe its gate."""

    rows: int = 128  #: word lines, ours; 128 × 128 is the commonest published array
    columns: int = 128  #: bit lines; two make a differential pair
    column_scales: bool = True  #: each output's weights fill the window; the sums are scaled back digitally
    trim_pairs: bool = True  #: the partner of a cell that took no write is set to restore the pair's difference
    compensate_stuck: bool = True  #: other cells of a column make up for stuck ones, as far as their inputs go together
    adjust_outputs: bool = True  #: a digital scale and shift of each output are fitted on the chip as written
    compensate_wires: bool = True  #: targets are set so that the nominal wires' losses cancel
    gate_nodes: int = 12  #: gate voltages at which a gated array is reduced; 12 keep 3e-6 of a column's full current

    def __post_init__(self) -> None:
        checks.check_fields(self)
        checks.whole("tile.rows", self.rows, minimum=1, maximum=4096)
        checks.whole("tile.columns", self.columns, minimum=2, maximum=4096)
        checks.whole("tile.gate_nodes", self.gate_nodes, minimum=2, maximum=64)
        if self.columns % 2:
            raise ParameterError(f"tile.columns must be even, as two columns make a pair, got {self.columns}")

    @property
    def pairs(self) -> int:
        """Differential pairs of one array."""
        return self.columns // 2


LAYOUTS = ("parallel", "stacked", "digital", "reprogram")  #: ways to build a dynamic layer
AUTO = "auto"  #: the compiler chooses one of them
CHANNEL_ATTENTION = ("digital", "gates")  #: what scales the outputs of a convolution by attention


@dataclass(frozen=True)
class Choices:
    """How layers are built from arrays, chosen by the user or left to the compiler; docs/layouts.md."""

    layout: str = "parallel"  #: of dynamic layers, one of LAYOUTS or AUTO
    layouts: dict[str, str] = field(default_factory=dict)  #: by name of the layer, where another one is wanted
    copies: dict[str, int] = field(default_factory=dict)  #: by name: arrays of a layer built several times over
    double_gates: bool = True  #: two gate lines of every cell group: one settles while the other is read
    channel_attention: str = "digital"  #: what scales a convolution's outputs, one of CHANNEL_ATTENTION
    pipelined: bool = True  #: a static layer begins when the rows that it needs are there
    weight_energy: float = quantity(1.0, minimum=0.0)  #: of the logarithm of a layer's energy in AUTO
    weight_latency: float = quantity(1.0, minimum=0.0)  #: of that of its latency
    weight_area: float = quantity(1.0, minimum=0.0)  #: of that of its area
    weight_error: float = quantity(1.0, minimum=0.0)  #: of that of its error on calibration images

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
        for name, count in _table("copies", self.copies):
            checks.whole(f"mapping.copies.{name}", count, minimum=1, maximum=4096)

    def of(self, layer: str) -> str:
        """Return the layout that was asked for a dynamic layer."""
        return self.layouts.get(layer, self.layout)

    def copies_of(self, layer: str) -> int:
        """Return how many times the arrays of a layer are built."""
        return self.copies.get(layer, 1)

    def check_names(self, layers: Iterable[str], dynamic: Iterable[str]) -> None:
        """Raise ParameterError for a name that is no layer with a matrix, or a layout for one that is not dynamic."""
        for key, table, known in (("layouts", self.layouts, set(dynamic)), ("copies", self.copies, set(layers))):
            for name in table:
                if name not in known:
                    raise ParameterError(f"mapping.{key}: unknown layer {_named(name, known)}")


def _table(key: str, value: object) -> Iterable[tuple[str, Any]]:
    """Return the entries of a table of layers."""
    if not isinstance(value, dict):
        raise ParameterError(f"mapping.{key} must be a table with one entry for each layer, got {value!r}")
    return value.items()


def _default_wires() -> Wires:
    return Wires(r_row=1.06, r_column=1.06, r_driver=100.0, r_sense=10.0)


@dataclass(frozen=True)
class Hardware:
    """A chip description; `load_hardware` reads one, docs/chips.md documents every key."""

    name: str = "adaptive2d"
    about: str = ""  #: one sentence for lists
    cell: Cell = field(default_factory=AdaptiveMemristor)
    spread: Spread = field(default_factory=Spread)
    noise: ReadNoise = field(default_factory=ReadNoise)
    retention: Retention = field(default_factory=Retention)
    #: a 22 nm crosspoint at twice the half pitch (NeuroSim V1.3 wires), drivers and sense inputs ours
    wires: Wires = field(default_factory=_default_wires)
    tile: TileShape = field(default_factory=TileShape)
    dac: Dac = field(default_factory=Dac)
    adc: Adc = field(default_factory=Adc)
    gate_dac: GateDac = field(default_factory=GateDac)
    mapping: Choices = field(default_factory=Choices)
    costs: Costs = field(default_factory=Costs)

    @property
    def temperature(self) -> float:
        """Temperature of the cells [K]."""
        return float(getattr(self.cell, "temperature", 300.0))

    @property
    def wires_in_use(self) -> Wires:
        """The wires at the temperature of the cells; `wires` are those at 300 K."""
        return self.wires.at_temperature(self.temperature, self.spread.wire_temperature_coefficient)

    def idealised(self) -> "Hardware":
        """Return the same tiles and window with perfect cells, wires and converters, without spread and noise."""
        return replace(
            self,
            tile=replace(self.tile, adjust_outputs=False),
            cell=_idealised(self.cell),
            spread=Spread.none(),
            noise=ReadNoise.none(),
            retention=Retention(),
            wires=Wires(0.0, 0.0, 0.0, 0.0),
            dac=replace(self.dac, bits=None, coding="pulse-width"),
            adc=replace(self.adc, bits=None, offset=0.0),
            gate_dac=replace(self.gate_dac, bits=None),
        )

    def to_compile(self) -> "Hardware":
        """Return the description with defaults in place of what compiling does not look at.

        Descriptions that are equal in this compile to the same placement. A compiler that chooses layouts writes and
        prices trial chips, so it looks at everything.
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
            retention=Retention(),
            dac=replace(self.dac, t_slot=Dac().t_slot),
            adc=replace(Adc(), margin=self.adc.margin),
            gate_dac=GateDac(),
            costs=Costs(),
        )

    def validate(self, name: str, gated: bool) -> None:
        """Raise MappingError if a layer cannot be placed on this chip, saying why."""
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

    def validate_columns(self, name: str) -> None:
        """Raise MappingError if the outputs of a layer cannot be scaled by gates of its columns, saying why."""
        if not self.cell.gated:
            raise MappingError(
                f"{name} would have its outputs scaled by gates of its columns, but the cells of chip {self.name!r} "
                "have no gate: choose a chip with gated cells, or mapping.channel_attention = 'digital'"
            )

    def with_values(self, settings: Iterable[str]) -> "Hardware":
        """Return the description with KEY=VALUE settings applied, such as wires.r_row=2.8.

        Raises ParameterError for an unknown key, naming the nearest valid one, or a value out of bounds.
        """
        changes: dict[str, Any] = {}
        for setting in settings:
            key, equals, text = setting.partition("=")
            section, dot, name = key.strip().partition(".")
            if not equals or not dot or not name:
                raise ParameterError(f"--set takes SECTION.KEY=VALUE such as wires.r_row=2.8, got {setting!r}")
            table, dot, entry = name.partition(".")
            held = changes.setdefault(section, {})
            if dot:
                within = held.setdefault(table, {})
                if isinstance(within, dict):
                    within[entry] = _value(text.strip())
            else:
                held[name] = _value(text.strip())
        return _update(self, changes, "--set")


def _idealised(cell: Cell) -> Cell:
    """The exact multiplier, or without a gate the resistor, of a cell's window."""
    if isinstance(cell, SelectedCell):
        return _idealised(cell.cell)
    if isinstance(cell, AdaptiveMemristor):
        return replace(cell, v_0=math.inf, r_series=0.0, g_leak=0.0)
    if not cell.gated:
        return Resistor(cell.g_min, cell.g_max)
    bottom = max(cell.g_min, 1e-6 * cell.g_max)  # a table of one level goes down to 0
    return AdaptiveMemristor(bottom, cell.g_max, v_0=math.inf, r_series=0.0, g_leak=0.0)


def hardware_names() -> tuple[str, ...]:
    """Names of the bundled chip descriptions."""
    return tuple(sorted(path.stem for path in CHIPS.glob("*.toml")))


def load_hardware(name_or_path: str | os.PathLike[str]) -> Hardware:
    """Load a bundled chip description by name, or a .toml file by path; `base` names the description it starts from.

    Raises ParameterError for an unknown name, a file that is no TOML, an unknown key or a value out of bounds.
    """
    hardware = Hardware()
    for path, content in chip_files(name_or_path):
        plain: dict[str, Any] = {key: _text(path, key, content[key]) for key in ("name", "about") if key in content}
        sections = {key: value for key, value in content.items() if key not in TOP_KEYS}
        hardware = _update(replace(hardware, **{"name": path.stem, **plain}), sections, str(path))
    return hardware


def cell_file(
    values: Mapping[str, float], base: str, about: str, comments: Mapping[str, str], head: Iterable[str] = ()
) -> str:
    """Return the text of a chip description that starts from `base` and sets fields of its cell.

    values: by field.  comments: what stands behind a field's value.  head: lines of comment at the top.
    """
    lines = [f"# {' '.join(line.split())}" for line in head]
    lines += [f"base = {json.dumps(base)}", f"about = {json.dumps(about)}", "", "[cell]"]
    for name, value in values.items():
        comment = f" # {' '.join(comments[name].split())}" if name in comments else ""
        lines.append(f"{name} = {value!r}{comment}")
    return "\n".join(lines) + "\n"


def chip_files(name_or_path: str | os.PathLike[str]) -> tuple[tuple[Path, dict[str, Any]], ...]:
    """Return the files that a description is read from and what each says, the one at the bottom of all bases first.

    Raises ParameterError for an unknown name, a file that is no TOML, or bases that go round in a circle.
    """
    found: list[tuple[Path, dict[str, Any]]] = []
    following: str | Path | None = _found(name_or_path)
    while following is not None:
        path = _found(following)
        if any(path.resolve() == each.resolve() for each, _ in found):
            raise ParameterError(f"chip description {path} is its own base")
        found.append((path, _content(path)))
        base = found[-1][1].get("base")
        following = None if base is None else _beside(path, _text(path, "base", base))
    return tuple(reversed(found))


def _content(path: Path) -> dict[str, Any]:
    """Read one file."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ParameterError(f"the chip description {path} is longer than {LARGEST_FILE:,} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError(f"there is no chip description {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"the chip description {path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ParameterError(f"the chip description {path} is not valid TOML: {error}") from None
    except RecursionError:
        raise ParameterError(f"the chip description {path} is not sound TOML: it nests too deeply") from None


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ParameterError(f"{path}: {key} must be a text, got {value!r}")
    return value


def _beside(path: Path, base: str) -> str | Path:
    """Return a base's name as it is, and its path as seen from the file that names it."""
    return path.parent / base if base.endswith(".toml") or os.sep in base else base


def _found(name_or_path: str | os.PathLike[str]) -> Path:
    text = os.fspath(name_or_path)
    if text.endswith(".toml") or isinstance(name_or_path, os.PathLike) or os.sep in text:
        return Path(text)
    if text in hardware_names():
        return CHIPS / f"{text}.toml"
    near = difflib.get_close_matches(text, hardware_names(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"bundled are {', '.join(hardware_names())}"
    raise ParameterError(f"there is no chip {text!r}; {hint}; a path must end in .toml")


def _value(text: str) -> object:
    """Read a value as TOML does; a bare word is a text."""
    try:
        value: object = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text
    return value


def _update(hardware: Hardware, content: Mapping[str, Any], where: str) -> Hardware:
    """Apply sections of keys to a description."""
    sections = {each.name for each in dataclasses.fields(Hardware)} - TOP_KEYS
    top = set() if where == "--set" else TOP_KEYS  # a file may have mistyped one of these
    changes = {}
    for section, keys in content.items():
        if section not in sections:
            raise ParameterError(f"{where}: unknown section {_named(section, sections | top)}")
        if not isinstance(keys, Mapping):
            raise ParameterError(f"{where}: {section} must be a section with keys, got {keys!r}")
        changes[section] = _section(getattr(hardware, section), section, dict(keys), where)
    return replace(hardware, **changes)


def _section(value: Any, section: str, keys: dict[str, Any], where: str) -> Any:  # noqa: ANN401  (one of ten parts)
    """Return one part of a description with its keys changed."""
    if section == "cell" and "preset" in keys:
        preset = str(keys.pop("preset"))
        if preset not in PRESETS:
            raise ParameterError(f"{where}: unknown cell.preset {_named(preset, PRESETS)}")
        value = PRESETS[preset]()
    hints = get_type_hints(type(value))
    known = {each.name for each in dataclasses.fields(value) if each.init}
    for key, given in keys.items():
        if key not in known:
            shown = known | {"preset"} if section == "cell" else known
            raise ParameterError(f"{where}: unknown key {_named(key, shown, f'{section}.')}")
        keys[key] = _typed(given, hints[key], f"{section}.{key}", where)
        if isinstance(given, Mapping) and isinstance(getattr(value, key), dict):
            keys[key] = {**getattr(value, key), **given}  # a table adds to that of its base
    try:
        return replace(value, **keys)
    except ParameterError as error:
        raise ParameterError(f"{where}: [{section}] {error}") from None


def _typed(given: object, hint: object, key: str, where: str) -> object:
    """Bring a TOML value to the type of its field; `number` and `whole` check the rest where the value is born."""
    options = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in options and given == IDEAL:
        return None
    if hint is str or (int in options and float not in options):
        kind, wanted = (str, "a text") if hint is str else (int, "a whole number")
        if not isinstance(given, kind) or isinstance(given, bool):
            also = f" or {IDEAL!r}" if type(None) in options else ""
            raise ParameterError(f"{where}: {key} must be {wanted}{also}, got {given!r}")
    return given


def _named(given: str, known: Iterable[str], prefix: str = "") -> str:
    """`given`, with the nearest valid names; the prefix is common to all and says nothing about nearness."""
    near = difflib.get_close_matches(given, sorted(known), n=2, cutoff=0.5)
    names = ", ".join(prefix + each for each in near or sorted(known))
    return f"{prefix + given!r}; {'nearest valid: ' if near else 'valid are '}{names}"
