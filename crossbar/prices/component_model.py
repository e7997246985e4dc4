"""Components of a chip: cost of one action, scaling with the technology node, and components that a user adds.

docs/equations/costs.md, section 5.
"""

import math
import os
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from crossbar.prices.technology import SUPPLY, at, supply
from crossbar.tiles.activity import Activity
from devices import checks
from devices.checks import quantity
from devices.errors import ParameterError

# Node [nm]: area of a circuit over its area at 130 nm, then a, b, c of its energy a V² + b V + c.
# Source: A. Stillmaker, B. Baas, Integration 58 (2017) 74, tables of general scaling.
STILLMAKER = {
    130: (1.0, 7.171, -6.709, 2.904), 90: (0.44, 4.762, -4.781, 2.092), 65: (0.23, 3.755, -4.398, 1.975),
    45: (0.16, 1.103, -0.362, 0.2767), 32: (0.072, 0.9559, -0.7823, 0.471), 20: (0.033, 0.373, -0.1582, 0.04104),
    16: (0.03, 0.2958, -0.1241, 0.03024), 14: (0.027, 0.2363, -0.09675, 0.02239),
    10: (0.016, 0.2068, -0.09311, 0.02375), 7: (0.0092, 0.1776, -0.09097, 0.02447),
}  # fmt: skip


@dataclass(frozen=True)
class Band:
    """Range of a quantity over models that disagree; low ≤ nominal ≤ high."""

    low: float
    nominal: float
    high: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.low <= self.nominal <= self.high < math.inf:
            raise ParameterError(f"a band must have 0 ≤ low ≤ nominal ≤ high, got {self.low:g}, {self.nominal:g}, "
                                 f"{self.high:g}")  # fmt: skip

    def __add__(self, other: "Band") -> "Band":
        return Band(self.low + other.low, self.nominal + other.nominal, self.high + other.high)

    def scaled(self, factor: float) -> "Band":
        """Return the band times a factor ≥ 0."""
        return Band(self.low * factor, self.nominal * factor, self.high * factor)


NOTHING = Band(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Component:
    """A component of a chip: cost of one action at the technology node of its source."""

    name: str
    action: str  #: description of one action
    energy: Band  #: of one action [J]
    source: str
    latency: float = quantity(0.0, "s", minimum=0.0)  #: of one action [s]; 0 if not known
    area: float = quantity(0.0, "m²", minimum=0.0)  #: of one instance [m²]; 0 if not known
    leakage: float = quantity(0.0, "W", minimum=0.0)  #: leakage power of one instance [W]; 0 if not known
    node: float = quantity(22e-9, "m", above=0.0)  #: technology node of these values [m]

    def __post_init__(self) -> None:
        checks.check_fields(self)
        if not isinstance(self.energy, Band):
            raise ParameterError(f"the energy of {self.name} must be a Band, got {self.energy!r}")

    def at(self, node: float) -> "Component":
        """Return the component scaled to another node [m].

        The energy becomes a band over three scaling rules; area, latency and leakage follow one rule each.

        Source: docs/equations/costs.md eq. 11-13.
        """
        if checks.number("node", node, unit="m", above=0.0) == self.node:
            return self
        rules = energy_rules(self.node, node)
        energy = Band(self.energy.low * min(rules), self.energy.nominal * rules[0], self.energy.high * max(rules))
        area = self.area * area_factor(self.node, node)
        latency = self.latency * node / self.node
        leakage = self.leakage * rules[0]
        return replace(self, energy=energy, latency=latency, area=area, leakage=leakage, node=node)

    def bill(self, actions: float, instances: float = 1.0, duration: float = 0.0) -> "Bill":
        """Return the cost of `actions` on `instances` components that work in parallel and leak for a duration [s]."""
        leaked = self.leakage * instances * duration
        energy = self.energy.scaled(actions) + Band(leaked, leaked, leaked)
        return Bill(energy, self.latency * math.ceil(actions / instances), self.area * instances)


@dataclass(frozen=True)
class Bill:
    """Energy, time and area of a set of components; the bills of sets that work one after another can be added."""

    energy: Band = NOTHING  #: [J]
    latency: float = 0.0  #: [s]
    area: float = 0.0  #: [m²]

    def __add__(self, other: "Bill") -> "Bill":
        return Bill(self.energy + other.energy, self.latency + other.latency, self.area + other.area)


def energy_rules(old: float, new: float) -> tuple[float, float, float]:
    """Scaling factors of an energy from an old to a new node [m]: capacitance alone, C V², fitted transistors.

    Source: docs/equations/costs.md eq. 11; Stillmaker and Baas, Integration 58 (2017) 74, each node at its own supply.
    """
    size = new / old
    volts = {each: SUPPLY.get(each, supply(each * 1e-9)) for each in STILLMAKER}
    fitted = {each: a * volts[each] ** 2 + b * volts[each] + c for each, (_, a, b, c) in STILLMAKER.items()}
    return size, size * (supply(new) / supply(old)) ** 2, at(new, fitted) / at(old, fitted)


def area_factor(old: float, new: float) -> float:
    """Scaling factor of an area from an old to a new node [m].  Source: docs/equations/costs.md eq. 12."""
    areas = {each: row[0] for each, row in STILLMAKER.items()}
    return at(new, areas) / at(old, areas)


def load_components(path: str | os.PathLike[str]) -> dict[str, Component]:
    """Read components from a TOML file with one table for each: name -> Component.

    Raises ParameterError for a file that cannot be read, an unknown or missing key or a value out of bounds.
    """
    try:
        regular = Path(path).is_file() or not Path(path).exists()  # a pipe would block the reader
        content = tomllib.loads(Path(path).read_text(encoding="utf-8")) if regular else {}
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, no TOML, a number of too many digits
        raise ParameterError(f"the components of {path} cannot be read: {error}") from None
    if not regular:
        raise ParameterError(f"the components of {path} cannot be read: it is not a regular file")
    return {name: read_component(name, table, str(path)) for name, table in content.items()}


def read_component(name: str, table: Any, where: str) -> Component:  # noqa: ANN401  (whatever TOML holds)
    """Read a component from a table of its keys; `where` begins error messages.

    Raises ParameterError for an unknown or missing key or a value out of bounds.
    """
    if not isinstance(table, dict):
        raise ParameterError(f"{where}: {name} must be a table of a component's keys, got {table!r}")
    known = {each.name for each in fields(Component)} - {"name"}
    needed = ("action", "energy", "node", "source")
    for key in table:
        if key not in known:
            raise ParameterError(f"{where}: unknown key {name}.{key}; valid are {', '.join(sorted(known))}")
    for key in needed:
        if key not in table:
            raise ParameterError(f"{where}: {name} needs the keys {', '.join(needed)}, {key} is missing")
    for key in ("action", "source"):
        if not isinstance(table[key], str) or not table[key].strip():
            raise ParameterError(f"{where}: {name}.{key} must be a text, got {table[key]!r}")
    given = table["energy"] if isinstance(table["energy"], list) else 3 * [table["energy"]]
    if len(given) != 3:
        raise ParameterError(f"{where}: {name}.energy must be one number or [low, nominal, high], got {given!r}")
    try:
        band = Band(*(checks.number(f"{name}.energy", each, unit="J", minimum=0.0) for each in given))
        return Component(name, **{**table, "energy": band})
    except ParameterError as error:
        raise ParameterError(f"{where}: [{name}] {error}") from None


PLACES = ("block", "tile", "array")  #: units that can have their own instances; a block: arrays with common inputs
BESIDE = (
    "wire_bit_meters",
    "register_bits",
    "clock_meters",
    "control_steps",
    "leaking",
    "external_bits",
)  # known only with the timing or the whole network
COUNTS = tuple(each.name for each in fields(Activity) if each.name not in BESIDE)  #: counts that can drive a part


@dataclass(frozen=True)
class Part:
    """A user's component on a chip: which events it acts on, how often, and how many instances there are."""

    component: Component
    counts: str  #: the count of an Activity that drives it, one of COUNTS
    times: float = quantity(1.0, above=0.0)  #: actions for each counted event
    instances: int = 1  #: instances in each block, tile or array, which work in parallel
    each: str = "block"  #: unit that has these instances, one of PLACES

    def __post_init__(self) -> None:
        checks.check_fields(self)
        for name, known in (("counts", COUNTS), ("each", PLACES)):
            if getattr(self, name) not in known:
                raise ParameterError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        checks.whole("instances", self.instances, minimum=1)

    def actions(self, done: Activity) -> float:
        """Return the number of its actions in an activity."""
        return self.times * float(getattr(done, self.counts))

    def energy(self, done: Activity, node: float) -> Band:
        """Return its energy for an activity [J] at a node [m], without leakage."""
        return self.component.at(node).energy.scaled(self.actions(done))


def read_part(name: str, table: Any, where: str) -> Part:  # noqa: ANN401  (whatever TOML holds)
    """Read a part from a table with the keys of a component, counts, times, instances and each.

    Raises ParameterError for an unknown or missing key or a value out of bounds.
    """
    if not isinstance(table, dict):
        raise ParameterError(f"{where}: {name} must be a table of a part's keys, got {table!r}")
    own = {key: value for key, value in table.items() if key in {each.name for each in fields(Part)} - {"component"}}
    component = read_component(name, {key: value for key, value in table.items() if key not in own}, where)
    if "counts" not in own:
        raise ParameterError(f"{where}: {name} needs the key counts, which names the count that drives it")
    try:
        return Part(component, **own)
    except ParameterError as error:
        raise ParameterError(f"{where}: [{name}] {error}") from None
