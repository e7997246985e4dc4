"""Gate lines: from one voltage per gate group to the gate voltage at every cell.

A gate group is a rectangle of cells with one driver. Its gate network is a comb: a spine that feeds lines, each cell's
gate a node that leaks into the cell's column or row; a group of one line is a chain. The network is linear and a tree,
so chains of crossbar/lines.py solve it exactly (docs/equations/gates.md).
b = batch, m = rows, n = columns
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import inf

import numpy as np
import numpy.typing as npt

from crossbar.circuit import Branch, Circuit, line, wires_of
from crossbar.linear import factorised
from crossbar.lines import Lines, clear_held, sweep
from crossbar.solution import Solution
from crossbar.wires import Wires
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError

__all__ = ["GateLines", "GateNetwork", "GateVoltages", "gate_voltages", "reference_gates"]

GROUPS = ("tile", "band", "row", "column", "cell")


@dataclass(frozen=True, eq=False, repr=False)
class GateLines:
    """How gate drivers reach the cells of an array; 0 (one node) and inf (no connection) are exact.

    Raises ParameterError for a value out of its range or a word that is none of the choices.
    Source: docs/equations/gates.md, section 1.
    """

    #: what shares a gate: "tile", "band" (some rows), "row", "column" or "cell"
    group: str
    #: between neighbouring cells of a gate line [Ω], finite
    r_segment: float
    #: from a group's driver to the first node of its network [Ω]
    r_driver: float
    #: from the same driver to the last node of the line, or of the spine where a group has one [Ω]; inf: open
    r_driver_far: float = inf
    #: between neighbouring lines of a group, along their first cells [Ω], finite
    r_spine: float = 0.0
    #: from a cell's gate into the array [S], one value or (m, n)
    g_gate_leak: float | FloatArray = field(default=0.0)
    #: direction of the lines of a tile or band: along "rows" or "columns"; rows and columns have their own
    along: str = "rows"
    #: what a gate leaks into: its cell's node on the "column" or on the "row"
    leak_to: str = "column"
    #: rows of a band; the rows of the array are a multiple
    rows_per_band: int = 1

    def __post_init__(self) -> None:
        for name, choices in (("group", GROUPS), ("along", ("rows", "columns")), ("leak_to", ("column", "row"))):
            if getattr(self, name) not in choices:
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

        Raises ParameterError if bands do not divide the rows.
        """
        m, n = (checks.whole(name, count, minimum=1) for name, count in zip("mn", shape, strict=True))
        if self.group == "band" and m % self.rows_per_band:
            raise ParameterError(f"bands of {self.rows_per_band} rows do not divide an array of {m} rows")
        sizes = {"tile": (m, n), "band": (self.rows_per_band, n), "row": (1, n), "column": (m, 1), "cell": (1, 1)}
        return sizes[self.group]

    def groups(self, shape: tuple[int, int]) -> int:
        """Return how many groups an array of (m, n) cells has; they count along the rows first."""
        a, b = self.group_shape(shape)
        return (shape[0] // a) * (shape[1] // b)

    def leaks(self, shape: tuple[int, int]) -> FloatArray:
        """Return the leak conductance of every cell (m, n) [S].

        Raises ParameterError if g_gate_leak was given for another array.
        """
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
    """Gate voltages of one array and what the gate drivers deliver, for a batch."""

    #: (b, m, n) at the cells [V]
    v_gate: FloatArray
    #: (b, m, n) from each gate into its column or row [A]
    leaks: FloatArray
    #: (b, groups) from each gate driver [A]
    currents: FloatArray
    #: (b,) that the gate drivers deliver [W]
    power: FloatArray


class GateNetwork:
    """The gate lines of one array, factorised: analysed once, solved for any voltages and injected currents.

    Raises ParameterError as GateLines.group_shape and GateLines.leaks do.
    Source: docs/equations/gates.md eq. 2-6.
    """

    def __init__(self, lines: GateLines, shape: tuple[int, int]) -> None:
        self.lines, self.shape = lines, shape
        self.leak = lines.leaks(shape)
        rows, columns = lines.group_shape(shape)
        self._grid = shape[0] // rows, shape[1] // columns
        # The spine runs across the lines; a group that is one line has no other lines, and is a spine itself.
        single = min(rows, columns) == 1
        self._transposed = rows == 1 if single else lines.along == "columns"
        self._size = (columns, rows) if self._transposed else (rows, columns)
        leak = self._sorted(self.leak)
        count, length = self._size
        groups = leak.shape[2] * leak.shape[3]
        at_spine = leak[0].reshape(count, groups)
        if length > 1:
            segments = np.full(count * groups, lines.r_segment)
            teeth = np.ascontiguousarray(leak[1:].reshape(length - 1, -1))
            self._teeth: Lines | None = factorised(teeth, lines.r_segment, segments, np.full_like(segments, inf))
            self._reach = _chain(self._teeth, np.zeros_like(teeth), np.ones(count * groups))  # eq. 3
            at_spine = at_spine + (teeth * self._reach).sum(0).reshape(count, groups)  # eq. 4
        else:
            self._teeth, self._reach = None, np.zeros((0, count * groups))
        ends = np.full(groups, lines.r_driver), np.full(groups, lines.r_driver_far)
        self._spine = factorised(at_spine, lines.r_segment if single else lines.r_spine, *ends)

    def _sorted(self, field: FloatArray) -> FloatArray:
        """View a field (m, n) as (cells along a line, lines of a group, groups in two axes)."""
        field = field.T if self._transposed else field
        a, b = self._size
        m, n = field.shape
        return np.ascontiguousarray(field.reshape(m // a, a, n // b, b).transpose(3, 1, 0, 2))

    def _back(self, spine: FloatArray, teeth: FloatArray) -> FloatArray:
        """Undo _sorted: spine (lines, groups) and the other cells (cells, lines · groups) as one field (m, n)."""
        a, b = self._size
        grid = self._grid[::-1] if self._transposed else self._grid
        whole = np.concatenate([spine.reshape(1, a, *grid), teeth.reshape(b - 1, a, *grid)])
        out = whole.transpose(2, 1, 3, 0).reshape(grid[0] * a, grid[1] * b)
        return np.ascontiguousarray(out.T if self._transposed else out)

    def _in_order(self, v: FloatArray) -> FloatArray:
        """Group voltages (groups,) in the order of the sorted fields."""
        return v.reshape(self._grid).T.ravel() if self._transposed else v

    def solve(self, v: FloatArray, injected: FloatArray) -> FloatArray:
        """Return voltages (m, n) [V] of the gates for drivers at v (groups,) [V] and currents (m, n) [A] into them.

        The leaks end at 0 V; what they end at otherwise is a current g_gate_leak · voltage, injected.
        Source: docs/equations/gates.md eq. 5-6.
        """
        parts = self._sorted(injected)
        count, groups = parts.shape[1], parts.shape[2] * parts.shape[3]
        at_spine, inner = parts[0].reshape(count, groups), np.zeros((0, count * groups))
        if self._teeth is not None:
            at_teeth = parts[1:].reshape(len(parts) - 1, -1)
            at_spine = at_spine + (self._reach * at_teeth).sum(0).reshape(count, groups)
            inner = _chain(self._teeth, at_teeth, np.zeros(count * groups))
        spine = _chain(self._spine, at_spine, self._in_order(v))
        return self._back(spine, inner + self._reach * spine.ravel())

    def spread(self, v: FloatArray) -> FloatArray:
        """Return voltages (b, groups) at the cells of their groups: (b, m, n)."""
        rows, columns = self.lines.group_shape(self.shape)
        return v.reshape(-1, *self._grid).repeat(rows, 1).repeat(columns, 2)

    @cached_property
    def factor(self) -> FloatArray:
        """Share (m, n) of its group's voltage that reaches each cell, all leaks ending at 0 V."""
        return self.solve(np.ones(self.lines.groups(self.shape)), np.zeros(self.shape))


def _chain(lines: Lines, injected: FloatArray, terminal: FloatArray) -> FloatArray:
    """Voltages (count, k) [V] of chains with currents (count, k) [A] into their nodes and ends at `terminal` (k,).

    Source: docs/equations/lines.md eq. 3-4.
    """
    q = len(lines.inverse)
    x = injected.copy() if q == len(injected) else injected.sum(0, keepdims=True)
    x[0] += lines.near * terminal
    x[-1] += lines.far * terminal
    if q > 1:
        x[1] += lines.segment * lines.fixed_near * terminal
        x[-2] += lines.segment * lines.fixed_far * terminal
    clear_held(lines, x)
    sweep(lines, x)
    for at, fixed in ((0, lines.fixed_near), (-1, lines.fixed_far)):
        x[at] = np.where(fixed > 0.0, terminal, x[at])
    return np.broadcast_to(x, injected.shape)


def gate_voltages(
    lines: GateLines, v_gate: FloatArray, shape: tuple[int, int], *, v_leak: npt.ArrayLike = 0.0
) -> GateVoltages:
    """Return the gate voltage at every cell of an array of (m, n) cells, and what the gate drivers deliver.

    v_gate: (b, groups) [V] of the gate drivers.  v_leak: [V] what the gates leak into, at 0 V to first order: one
    value, two axes that spread over (m, n), or three over (b, m, n), such as Solution.v_columns.
    Raises ParameterError for a wrong shape or value.
    Source: docs/equations/gates.md eq. 5-8.
    """
    network = GateNetwork(lines, shape)
    v = checks.array("v_gate", v_gate, shape=(None, lines.groups(shape)))
    ends = checks.array("v_leak", v_leak)
    wanted = (len(v), *shape)
    fits = ends.ndim in (0, 2, 3) and all(
        mine in (1, whole) for mine, whole in zip(ends.shape[::-1], wanted[::-1], strict=False)
    )
    if not fits:
        raise ParameterError(f"v_leak must be one value or spread over (b, m, n) = {wanted}, got shape {ends.shape}")
    ends = ends if ends.ndim == 3 else ends[None] if ends.ndim == 2 else ends.reshape(1, 1, 1)
    at_cells = network.factor * network.spread(v)
    none = np.zeros(v.shape[1])
    offsets = [network.solve(none, network.leak * each) if each.any() else np.zeros(shape) for each in ends]
    at_cells += np.stack(offsets) if offsets else 0.0
    leaks = network.leak * (at_cells - ends)
    rows, columns = lines.group_shape(shape)
    m, n = shape
    blocks = leaks.reshape(-1, m // rows, rows, n // columns, columns)
    currents = np.ascontiguousarray(blocks.sum((2, 4)).reshape(v.shape))
    return GateVoltages(at_cells, leaks, currents, (v * currents).sum(1))


def reference_gates(
    g: FloatArray, v: FloatArray, wires: Wires, lines: GateLines, v_gate: FloatArray
) -> tuple[Solution, GateVoltages]:
    """Solve gate, row and column nodes of an array of linear cells together, exactly and slowly.

    g: (m, n) [S] of the cells at their gates.  v: (b, m) [V].  v_gate: (b, groups) [V].
    The Solution's power is what row drivers deliver.  Raises what reference_solve and gate_voltages raise.
    Source: docs/equations/gates.md eq. 9.
    """
    g = checks.array("g", g, ndim=2, minimum=0.0)
    m, n = g.shape
    if g.size == 0:
        raise ParameterError(f"g must hold at least one cell, got shape {g.shape}")
    groups = lines.groups((m, n))
    v = checks.array("v", v, shape=(None, m))
    v_gate = checks.array("v_gate", v_gate, shape=(len(v), groups))
    row_nodes = np.arange(m * n).reshape(m, n)
    column_nodes, gate_nodes = m * n + row_nodes, 2 * m * n + row_nodes
    known = 3 * m * n + np.arange(m + n + groups)
    sources, senses, drivers = np.split(known, [m, m + n])
    resistors = wires_of(wires, row_nodes, column_nodes, sources, senses) + gate_resistors(lines, gate_nodes, drivers)
    leak, into = lines.leaks((m, n)), column_nodes if lines.leak_to == "column" else row_nodes
    cells = [(row_nodes[i, j], column_nodes[i, j], g[i, j]) for i in range(m) for j in range(n)]
    cells += [(gate_nodes[i, j], into[i, j], leak[i, j]) for i in range(m) for j in range(n)]
    circuit = Circuit(3 * m * n + len(known), known, resistors, cells)
    volts, leaving = circuit.solve(np.hstack([v, np.zeros((len(v), n)), v_gate]))
    at_gates = volts[:, gate_nodes]
    solution = Solution(
        -leaving[:, senses], volts[:, row_nodes], volts[:, column_nodes], (v * leaving[:, sources]).sum(1),
        circuit.residual(volts),
    )  # fmt: skip
    delivered = leaving[:, drivers]
    leaks = leak * (at_gates - volts[:, into])
    return solution, GateVoltages(at_gates, leaks, delivered, (v_gate * delivered).sum(1))


def gate_resistors(lines: GateLines, gate_nodes: IntArray, drivers: IntArray) -> list[Branch]:
    """Every wire of the gate lines as (node, node, ohm), from gate nodes (m, n) and driver nodes (groups,)."""
    m, n = gate_nodes.shape
    rows, columns = lines.group_shape((m, n))
    parts: list[Branch] = []
    corners = [(i, j) for i in range(0, m, rows) for j in range(0, n, columns)]
    for driver, (i, j) in zip(drivers, corners, strict=True):
        block = gate_nodes[i : i + rows, j : j + columns]
        if min(rows, columns) == 1:
            parts += line(block.ravel(), int(driver), lines.r_segment, lines.r_driver, lines.r_driver_far)
            continue
        teeth = block.T if lines.along == "columns" else block
        parts += line(teeth[:, 0], int(driver), lines.r_spine, lines.r_driver, lines.r_driver_far)
        for tooth in teeth:
            parts += [(int(a), int(b), lines.r_segment) for a, b in pairwise(tooth)]
    return parts
