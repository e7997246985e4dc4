"""The wires of an array: segments between neighbouring cells, and ends that connect lines to drivers and sense ends."""

from dataclasses import dataclass, field, fields, replace
from math import inf

import numpy as np

from devices.aliases import FloatArray
from devices.checks import array, number, whole
from devices.errors import ParameterError

SMALLEST = 1e-300  # [Ω] smallest resistance other than 0; the conductance of a smaller one would overflow
COPPER = 4.5e-3  #: temperature coefficient of on-chip wires [1/K], NeuroSim V1.3; bulk copper: 3.9e-3


def graphene_coefficient(r_square: float) -> float:
    """Return the temperature coefficient [1/K] of graphene with a given sheet resistance [ohm per square] at 300 K.

    Acoustic phonons add 0.1 ohm per square and kelvin at any carrier density.
    Source: Chen et al., Nat. Nanotechnol. 3, 206 (2008), arXiv 0711.3646: 30 ohm at room temperature.
    """
    return 0.1 / number("r_square", r_square, unit="Ω", above=0.0)


def _end(name: str, value: object) -> float | FloatArray:
    """One resistance for all lines, or a read-only array with one per line [Ω]; 0 and inf are valid."""
    if not isinstance(value, (list, tuple)) and getattr(value, "ndim", 0) == 0:
        return _invertible(name, number(name, value, unit="Ω", minimum=0.0, allow_inf=True))
    lines = array(name, value, ndim=1, minimum=0.0, finite=False)
    if lines.size == 0:
        raise ParameterError(f"{name} must hold at least one resistance, got none")
    for position, resistance in enumerate(lines.tolist()):
        _invertible(f"{name}[{position}]", resistance)
    own = lines + 0.0  # a copy, without negative zeros
    own.setflags(write=False)
    return own


def _segments(name: str, value: object) -> float | FloatArray:
    """One resistance for all segments, or a read-only array with one for each [Ω]; either all are 0 or none is."""
    if not isinstance(value, (list, tuple)) and getattr(value, "ndim", 0) == 0:
        return _invertible(name, number(name, value, unit="Ω", minimum=0.0))
    own = array(name, value, ndim=2, minimum=0.0, finite=False) + 0.0  # a copy, without negative zeros
    for i, k in np.argwhere((own > 0.0) & (own < SMALLEST)).tolist()[:1]:
        _invertible(f"{name}[{i}, {k}]", float(own[i, k]))
    if own.any() and not own.all():
        index = tuple(np.argwhere(own == 0.0)[0].tolist())
        raise ParameterError(f"{name} must be above 0 Ω in every segment, or 0 in all of them, got 0 at index {index}")
    own.setflags(write=False)
    return own


def _invertible(name: str, resistance: float) -> float:
    """The resistance [Ω]; raises ParameterError if its conductance would overflow."""
    if 0.0 < resistance < SMALLEST:
        raise ParameterError(f"{name} must be 0 or at least {SMALLEST:g} Ω, got {resistance!r}")
    return resistance + 0.0


def _mean(ohms: FloatArray) -> float:
    """Mean of the finite resistances [Ω], 0 if there is none."""
    finite = ohms[np.isfinite(ohms)]
    return float(finite.mean()) if finite.size else 0.0


Plain = float | tuple[float, ...] | tuple[tuple[float, ...], ...]


def _plain(value: float | FloatArray) -> Plain:
    """A field as plain numbers: one value, one per line, or one per line and segment."""
    if isinstance(value, float):
        return value
    return tuple(value.tolist()) if value.ndim == 1 else tuple(tuple(line) for line in value.tolist())


@dataclass(frozen=True, eq=False, repr=False)
class Wires:
    """Resistances of all wires of an array; 0 (one node) and inf (no connection) are exact.

    Row i starts at column 0, where `r_driver` connects it to its ideal source, and ends at the last column.  Column j
    starts at row 0 and ends at the last row, where `r_sense` connects it to 0 V.
    Raises ParameterError for a negative or undefined value.
    Source: docs/equations/nodal.md, section 1.
    """

    #: between neighbouring cells of a row [Ω]: one finite value, or (m, n-1) with inf where a row is broken
    r_row: float | FloatArray
    #: between neighbouring cells of a column [Ω]: one finite value, or (m-1, n) with inf where a column is broken
    r_column: float | FloatArray
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
            object.__setattr__(self, name, _segments(name, getattr(self, name)))
        for name in ("r_driver", "r_sense", "r_driver_far", "r_sense_far"):
            object.__setattr__(self, name, _end(name, getattr(self, name)))

    @property
    def ideal(self) -> bool:
        """Whether all segments and near ends are 0 Ω, so that currents = v @ g."""
        near = (self.r_row, self.r_column, self.r_driver, self.r_sense)
        return all(not np.any(resistance) for resistance in near)

    @property
    def rows_joined(self) -> bool:
        """Whether the segments of the rows have 0 Ω, so that each row is one node."""
        return not np.any(self.r_row)

    @property
    def columns_joined(self) -> bool:
        """Whether the segments of the columns have 0 Ω, so that each column is one node."""
        return not np.any(self.r_column)

    @property
    def broken(self) -> bool:
        """Whether any segment is open."""
        return bool(np.isinf(self.r_row).any() or np.isinf(self.r_column).any())

    def row_segments(self, m: int, n: int, lines: str = "rows") -> FloatArray:
        """Resistances (m, n-1) [Ω] of the segments of m driven lines of n cells; `lines`: their name in messages."""
        return self._each_segment("r_row", (m, n - 1), f"{m} {lines} of {n} cells")

    def column_segments(self, m: int, n: int) -> FloatArray:
        """Resistances (m-1, n) [Ω] of the segments of n columns of m cells."""
        return self._each_segment("r_column", (m - 1, n), f"{n} columns of {m} cells")

    def driver(self, m: int, lines: str = "rows") -> FloatArray:
        """Resistances (m,) [Ω] between the sources and the row nodes of column 0; `lines`: their name in messages."""
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

    def mean_segments(self, m: int, n: int) -> tuple[float, float]:
        """Return the mean resistance [Ω] of a row segment and of a column segment of m × n cells.

        Broken segments do not count; 0 if there is none.
        """
        given = ((self.r_row, self.row_segments), (self.r_column, self.column_segments))
        row, column = (each if isinstance(each, float) else _mean(segments(m, n)) for each, segments in given)
        return row, column

    def at_temperature(self, temperature: float, coefficient: float = COPPER) -> "Wires":
        """Return the wires at a temperature [K], if this object describes them at 300 K; the ends do not change.

        coefficient: relative change of the segments per kelvin [1/K], COPPER or graphene_coefficient(...).
        Raises ParameterError if a segment would not be positive.
        Source: docs/equations/spread.md eq. 8.
        """
        warmer = number("temperature", temperature, unit="K", above=0.0) - 300.0
        factor = 1.0 + number("coefficient", coefficient, unit="1/K") * warmer
        if factor <= 0.0:
            raise ParameterError(f"1 + coefficient x (temperature - 300 K) must be > 0, got {factor:g}")
        return self if factor == 1.0 else replace(self, r_row=self.r_row * factor, r_column=self.r_column * factor)

    def _each_segment(self, name: str, shape: tuple[int, int], what: str) -> FloatArray:
        """Field `name` with one value per segment; raises ParameterError if it has another shape."""
        value = getattr(self, name)
        if isinstance(value, float):
            return np.full(shape, value)
        if value.shape != shape:
            raise ParameterError(f"{name} has shape {value.shape}, but {what} have segments of shape {shape}")
        return np.array(value)

    def _lines(self, name: str, count: int, kind: str) -> FloatArray:
        """Field `name` with one value per line; raises ParameterError if it has another number of values."""
        count = whole(kind, count, minimum=1)
        value = getattr(self, name)
        if isinstance(value, float):
            return np.full(count, value)
        if value.shape != (count,):
            raise ParameterError(f"{name} has {value.size} resistances, but the array has {count} {kind}")
        return np.array(value)

    def _values(self) -> tuple[Plain, ...]:
        """Every field as plain numbers."""
        return tuple(_plain(getattr(self, each.name)) for each in fields(self))

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Wires) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __reduce__(self) -> tuple[type["Wires"], tuple[Plain, ...]]:
        return type(self), self._values()  # numpy does not pickle the read-only flag

    def __repr__(self) -> str:
        def text(value: Plain) -> str:
            if isinstance(value, tuple):
                return f"[{', '.join(map(text, value))}]"
            return "float('inf')" if value == inf else repr(value)

        # An open far end is the default and is not shown.
        given = {
            each.name: value
            for each, value in zip(fields(self), self._values(), strict=True)
            if not (each.default == inf and value == inf)
        }
        return f"{type(self).__name__}({', '.join(f'{name}={text(value)}' for name, value in given.items())})"
