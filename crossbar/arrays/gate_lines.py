"""Gate lines of an array: the cells that share a gate, the resistances of the lines, and the resulting voltages."""

from dataclasses import dataclass, field
from math import inf

import numpy as np

from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError

GROUPS = ("tile", "band", "row", "column", "cell")


@dataclass(frozen=True, eq=False, repr=False)
class GateLines:
    """The wires between gate drivers and the cells of an array; 0 Ω (one node) and inf (no connection) are exact.

    Raises ParameterError for a value out of range or an unknown name.
    Source: docs/equations/gates.md, section 1.
    """

    #: cells that share a gate: "tile", "band" (some rows), "row", "column" or "cell"
    group: str
    #: between neighbouring cells of a gate line [Ω], finite
    r_segment: float
    #: from a group's driver to the first node of its network [Ω]
    r_driver: float
    #: from the same driver to the last node of the line, or of the spine if the group has one [Ω]; inf: open
    r_driver_far: float = inf
    #: segment of the spine between neighbouring lines of a group, at their first cells [Ω], finite
    r_spine: float = 0.0
    #: leakage conductance from a cell's gate into the array [S], one value or (m, n)
    g_gate_leak: float | FloatArray = field(default=0.0)
    #: direction of the lines of a tile or band, "rows" or "columns"; not used for a group that is one row or column
    along: str = "rows"
    #: node of the cell into which its gate leaks: "column" or "row"
    leak_to: str = "column"
    #: rows of a band; the number of rows of the array must be a multiple of it
    rows_per_band: int = 1

    def __post_init__(self) -> None:
        for name, choices in (("group", GROUPS), ("along", ("rows", "columns")), ("leak_to", ("column", "row"))):
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in choices:
                raise ParameterError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name in ("r_segment", "r_spine", "r_driver", "r_driver_far"):
            end = name.startswith("r_driver")
            ohm = checks.number(name, getattr(self, name), unit="Ω", minimum=0.0, allow_inf=end)
            if 0.0 < ohm < 1e-300:
                raise ParameterError(f"{name} must be 0 or at least 1e-300 Ω, got {ohm!r}")
            object.__setattr__(self, name, ohm)
        leak = checks.array("g_gate_leak", self.g_gate_leak, minimum=0.0)
        if leak.ndim not in (0, 2):
            raise ParameterError(f"g_gate_leak must be one value or have axes (m, n), got shape {leak.shape}")
        own = leak.copy()
        own.setflags(write=False)
        object.__setattr__(self, "g_gate_leak", own if own.ndim else float(own))
        checks.whole("rows_per_band", self.rows_per_band, minimum=1)

    def group_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of one group in an array of (m, n) cells.

        Raises ParameterError if rows_per_band does not divide the number of rows.
        """
        m, n = checks.sizes("shape", shape, least=2, most=2)
        if not m * n:
            raise ParameterError(f"shape must have at least one row and one column, got {shape}")
        if self.group == "band" and m % self.rows_per_band:
            raise ParameterError(f"bands of {self.rows_per_band} rows do not divide an array of {m} rows")
        sizes = {"tile": (m, n), "band": (self.rows_per_band, n), "row": (1, n), "column": (m, 1), "cell": (1, 1)}
        return sizes[self.group]

    def groups(self, shape: tuple[int, int]) -> int:
        """Return the number of gate groups of an array of (m, n) cells; groups are numbered row by row."""
        a, b = self.group_shape(shape)
        return (shape[0] // a) * (shape[1] // b)

    def leaks(self, shape: tuple[int, int]) -> FloatArray:
        """Return the gate leakage conductance of every cell (m, n) [S].

        Raises ParameterError if g_gate_leak has another shape.
        """
        m, n = checks.sizes("shape", shape, least=2, most=2)
        shape = m, n
        leak = np.asarray(self.g_gate_leak)
        if leak.ndim and leak.shape != shape:
            raise ParameterError(f"g_gate_leak has shape {leak.shape}, but the array has shape {shape}")
        return np.broadcast_to(leak, shape).copy()

    def __repr__(self) -> str:
        leak = f"{self.g_gate_leak!r}" if isinstance(self.g_gate_leak, float) else "one per cell"
        return (
            f"<GateLines of each {self.group} along {self.along}: {self.r_segment:g}, {self.r_spine:g} Ω, ends "
            f"{self.r_driver:g}, {self.r_driver_far:g} Ω, leak {leak} to {self.leak_to}s>"
        )


@dataclass(frozen=True, eq=False)
class GateVoltages:
    """Gate voltages of one array, leakage currents, and currents and power of the gate drivers, for a batch."""

    #: (b, m, n) gate voltages at the cells [V]
    v_gate: FloatArray
    #: (b, m, n) leakage currents from each gate into its column or row [A]
    leaks: FloatArray
    #: (b, groups) currents of the gate drivers [A]
    currents: FloatArray
    #: (b,) power that the gate drivers deliver [W]
    power: FloatArray
