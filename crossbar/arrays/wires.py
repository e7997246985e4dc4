"""The wires of an array: segments between neighbouring cells, and the ends that join its lines to the outside."""

from dataclasses import dataclass, field, fields, replace
from math import inf

import numpy as np

from devices.aliases import FloatArray
from devices.checks import array, number, whole
from devices.errors import ParameterError

COPPER = 4.5e-3  #: [1/K] wires of a chip, NeuroSim V1.3; bulk copper 3.9e-3


def graphene_coefficient(r_square: float) -> float:
    """Return the temperature coefficient [1/K] of graphene of a sheet resistance [ohm per square] at 300 K.

    Acoustic phonons add 0.1 ohm per square and kelvin whatever the carrier density.
    Source: Chen et al., Nat. Nanotechnol. 3, 206 (2008), arXiv 0711.3646: 30 ohm at room temperature.
    """
    return 0.1 / number("r_square", r_square, unit="Ω", above=0.0)


def _end(name: str, value: object) -> float | FloatArray:
    """One resistance for all lines, or a read-only array with one per line [Ω]; 0 and inf are taken."""
    if np.ndim(np.asarray(value)) == 0:
        return _invertible(name, number(name, value, unit="Ω", minimum=0.0, allow_inf=True))
    lines = array(name, value, ndim=1, minimum=0.0, finite=False)
    if lines.size == 0:
        raise ParameterError(f"{name} must hold at least one resistance, got none")
    for position, resistance in enumerate(lines.tolist()):
        _invertible(f"{name}[{position}]", resistance)
    own = lines + 0.0  # a copy, without negative zeros
    own.setflags(write=False)
    return own


def _invertible(name: str, resistance: float) -> float:
    """The resistance, if its conductance is a number as well."""
    if 0.0 < resistance < 1e-300:
        raise ParameterError(f"{name} must be 0 or at least 1e-300 Ω, got {resistance!r}")
    return resistance + 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Wires:
    """Resistances of all wires of an array; 0 (one node) and inf (no connection) are exact.

    Row i runs from column 0, where its ideal source sits behind `r_driver`, to the last column; column j runs from
    row 0 to the last row, where it meets 0 V behind `r_sense`. Raises ParameterError for a negative or undefined value.
    Source: docs/equations/nodal.md, section 1.
    """

    #: between neighbouring cells of a row [Ω], finite
    r_row: float
    #: between neighbouring cells of a column [Ω], finite
    r_column: float
    #: from source i to row node (i, 0) [Ω], one value or (m,)
    r_driver: float | FloatArray
    #: from column node (m-1, j) to 0 V [Ω], one value or (n,)
    r_sense: float | FloatArray
    #: from source i to row node (i, n-1) [Ω], one value or (m,); inf: the far end is open
    r_driver_far: float | FloatArray = field(default=inf)
    #: from column node (0, j) to 0 V [Ω], one value or (n,); inf: the far end is open
    r_sense_far: float | FloatArray = field(default=inf)

    def __post_init__(self) -> None:
        for name in ("r_row", "r_column"):
            segment = number(name, getattr(self, name), unit="Ω", minimum=0.0)
            object.__setattr__(self, name, _invertible(name, segment))
        for name in ("r_driver", "r_sense", "r_driver_far", "r_sense_far"):
            object.__setattr__(self, name, _end(name, getattr(self, name)))

    @property
    def ideal(self) -> bool:
        """Whether nothing lies between a cell and its source or its sense node, so that currents = v @ g."""
        near = (self.r_row, self.r_column, self.r_driver, self.r_sense)
        return all(not np.any(resistance) for resistance in near)

    def driver(self, m: int, lines: str = "rows") -> FloatArray:
        """Resistances (m,) [Ω] between the sources and the row nodes of column 0; `lines` is what to call them."""
        return self._lines("r_driver", m, lines)

    def sense(self, n: int) -> FloatArray:
        """Resistances (n,) [Ω] between the column nodes of the last row and 0 V."""
        return self._lines("r_sense", n, "columns")

    def driver_far(self, m: int, lines: str = "rows") -> FloatArray:
        """Resistances (m,) [Ω] between the sources and the row nodes of the last column."""
        return self._lines("r_driver_far", m, lines)

    def sense_far(self, n: int) -> FloatArray:
        """Resistances (n,) [Ω] between the column nodes of row 0 and 0 V."""
        return self._lines("r_sense_far", n, "columns")

    def at_temperature(self, temperature: float, coefficient: float = COPPER) -> "Wires":
        """Return the wires at a temperature [K], these being the wires at 300 K; ends are drivers and do not change.

        coefficient: relative change per kelvin of the segments [1/K], COPPER or graphene_coefficient(...).
        Raises ParameterError if nothing would be left of a segment.
        Source: docs/equations/spread.md eq. 8.
        """
        warmer = number("temperature", temperature, unit="K", above=0.0) - 300.0
        factor = 1.0 + number("coefficient", coefficient, unit="1/K") * warmer
        if factor <= 0.0:
            raise ParameterError(f"1 + coefficient x (temperature - 300 K) must be > 0, got {factor:g}")
        return self if factor == 1.0 else replace(self, r_row=self.r_row * factor, r_column=self.r_column * factor)

    def _lines(self, name: str, count: int, kind: str) -> FloatArray:
        """Field `name` with one value per line; raises ParameterError if it was given for another number of lines."""
        count = whole(kind, count, minimum=1)
        value = getattr(self, name)
        if isinstance(value, float):
            return np.full(count, value)
        if value.shape != (count,):
            raise ParameterError(f"{name} has {value.size} resistances, but the array has {count} {kind}")
        return np.array(value)

    def _values(self) -> tuple[float | tuple[float, ...], ...]:
        """Every field as plain numbers."""
        values = (getattr(self, each.name) for each in fields(self))
        return tuple(value if isinstance(value, float) else tuple(value.tolist()) for value in values)

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Wires) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __reduce__(self) -> tuple[type["Wires"], tuple[float | tuple[float, ...], ...]]:
        return Wires, self._values()  # numpy forgets that an array is read-only when it is pickled

    def __repr__(self) -> str:
        def text(value: float | tuple[float, ...]) -> str:
            if isinstance(value, tuple):
                return f"[{', '.join(map(text, value))}]"
            return "float('inf')" if value == inf else repr(value)

        # An open far end is the default and goes without saying.
        given = {
            each.name: value
            for each, value in zip(fields(self), self._values(), strict=True)
            if not (each.default == inf and value == inf)
        }
        return f"Wires({', '.join(f'{name}={text(value)}' for name, value in given.items())})"
