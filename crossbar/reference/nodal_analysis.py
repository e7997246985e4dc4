"""The reference solver: an array as a textbook circuit, one branch at a time, solved by sparse nodal analysis.

It shares no code with the fast solvers, only their arguments, so that each of them can be tested against it.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from crossbar.arrays.solution import Solution
from crossbar.arrays.wires import Wires
from devices.aliases import BoolArray, FloatArray, IntArray
from devices.checks import conductances, flags, number, spread, typed, voltages
from devices.errors import ConvergenceError, ParameterError

# Voltages are refined in the widest float type of the machine, as wires may conduct 1e9 times better than cells.
Wide = np.longdouble
WideArray = npt.NDArray[np.longdouble]
_Resistor = tuple[int, int, float]  # node, node, ohm
REFINEMENTS = 30  # most iterative refinements, ours; three are usual
SETTLED = 1e-13  # largest accepted last correction, relative to the largest free voltage (ours)


class Branches(NamedTuple):
    """All branches of the circuit, each a conductance between two nodes."""

    #: (branches, 2) first and second node of each branch
    ends: IntArray
    #: (branches,) conductances [S]
    siemens: FloatArray

    def through(self, voltages: WideArray) -> WideArray:
        """Currents (branches, b) [A] from first to second node, at node voltages (nodes, b) [V]."""
        begin, end = self.ends.T
        drops: WideArray = voltages[begin] - voltages[end]
        return self.siemens[:, None] * drops

    def leaving(self, voltages: WideArray) -> WideArray:
        """Sum (nodes, b) [A] of the currents that leave each node (docs/equations/nodal.md eq. 1)."""
        begin, end = self.ends.T
        through = self.through(voltages)
        total = np.zeros_like(voltages)
        np.add.at(total, begin, through)
        np.subtract.at(total, end, through)
        return total

    def matrix(self, free: BoolArray) -> sparse.csc_array[np.float64]:
        """Nodal conductances between the free nodes [S] (docs/equations/nodal.md eq. 7)."""
        begin, end = self.ends.T
        rows, columns = np.concatenate([begin, end, begin, end]), np.concatenate([begin, end, end, begin])
        values = np.concatenate([self.siemens, self.siemens, -self.siemens, -self.siemens])
        place = np.cumsum(free) - 1  # row of each free node
        inside = free[rows] & free[columns]
        count = int(np.count_nonzero(free))
        entries = (values[inside], (place[rows[inside]], place[columns[inside]]))
        return sparse.coo_array(entries, shape=(count, count)).tocsc()


@typed
def reference_solve(g: FloatArray, v: FloatArray, wires: Wires, *, v_sense: npt.ArrayLike = 0.0) -> Solution:
    """Solve an array of linear cells slowly but readably; 0 Ω and open wires are exact.

    g: (m, n) conductances of the cells [S], 0 for an open cell.  v: (b, m) source voltages [V].  v_sense: voltages at
    which the columns end [V], one value or two axes that broadcast to (b, n).
    Nodes without a path to a source or to a column's end get 0 V.  The residual is that of the voltages before they are
    rounded to float64.
    Raises ParameterError for a bad shape or value, ConvergenceError if wires conduct so much better than cells (about
    1e15 times) that the matrix is singular in float64.
    Source: docs/equations/nodal.md eq. 1-12.
    """
    g = conductances("g", g)
    m, n = g.shape
    v = voltages("v", v, shape=(None, m))
    if len(v) == 0:
        raise ParameterError(f"v must hold at least one input, got shape {v.shape}")
    senses = spread("v_sense", v_sense, (len(v), n), "(b, n)")
    nodes = _Nodes(m, n, m)
    resistors = [*nodes.rows(wires), *nodes.columns(wires)]
    return _circuit(nodes, resistors, g, v, senses)


@typed
def reference_source_lines(
    g: FloatArray, on: npt.ArrayLike, v_source: npt.ArrayLike, wires: Wires, *,
    beside_columns: bool = False, r_on: float = 0.0, r_off: float = np.inf, v_sense: npt.ArrayLike = 0.0,
) -> Solution:  # fmt: skip
    """Solve an array with select transistors and source lines, one circuit per input.

    This is the reference solver of `solve_source_lines`, with the same arguments.

    Raises what reference_solve raises.  Source: docs/equations/topologies.md eq. 4-6.
    """
    g = conductances("g", g)
    m, n = g.shape
    switched = flags("on", on, (None, m))
    r_on, r_off = _transistor(r_on, r_off)
    lines = n if beside_columns else m
    sources = spread("v_source", v_source, (len(switched), lines), "(b, source lines)")
    senses = spread("v_sense", v_sense, (len(switched), n), "(b, n)")
    nodes = _Nodes(m, n, lines)
    resistors = [*(nodes.beside(wires) if beside_columns else nodes.rows(wires)), *nodes.columns(wires)]
    if not len(switched):
        nothing = np.zeros((0, m, n))
        return Solution(nothing[:, 0], nothing, nothing, np.zeros(0), residual=0.0)
    parts = []
    for row_is_on, source, sense in zip(switched, sources, senses, strict=True):
        siemens = np.zeros((m, n))
        for i in range(m):
            for j in range(n):
                with np.errstate(over="ignore"):  # a cell of next to no conductance is open
                    ohms = (1.0 / g[i, j] if g[i, j] > 0.0 else np.inf) + (r_on if row_is_on[i] else r_off)
                siemens[i, j] = 1.0 / ohms
        parts.append(_circuit(nodes, resistors, siemens, source[None], sense[None]))
    return Solution(
        currents=np.concatenate([part.currents for part in parts]),
        v_rows=np.concatenate([part.v_rows for part in parts]),
        v_columns=np.concatenate([part.v_columns for part in parts]),
        power=np.concatenate([part.power for part in parts]),
        residual=max(part.residual for part in parts),
    )


def _transistor(r_on: float, r_off: float) -> tuple[float, float]:
    """Check the resistances of a conducting and of a blocking transistor [ohm]."""
    r_on = number("r_on", r_on, unit="Ω", minimum=0.0)
    return r_on, number("r_off", r_off, unit="Ω", minimum=r_on, allow_inf=True)


class _Nodes:
    """The nodes of a circuit: both nodes of each cell, the ideal sources, and the terminals of the columns."""

    def __init__(self, m: int, n: int, sources: int) -> None:
        self.of_rows = np.arange(m * n).reshape(m, n)
        self.of_columns = m * n + self.of_rows
        self.sources = 2 * m * n + np.arange(sources)
        self.senses = 2 * m * n + sources + np.arange(n)
        self.count = 2 * m * n + sources + n

    def rows(self, wires: Wires) -> Iterator[_Resistor]:
        """All wires and ends of the rows; docs/equations/nodal.md, section 1."""
        m, n = self.of_rows.shape
        segments = wires.row_segments(m, n)
        yield from _lines(self.of_rows, self.sources, wires.driver(m), wires.driver_far(m), segments)

    def beside(self, wires: Wires) -> Iterator[_Resistor]:
        """All wires and ends of source lines beside the columns; docs/equations/topologies.md, section 3."""
        m, n = self.of_rows.shape
        near, far = wires.driver(n, "source lines"), wires.driver_far(n, "source lines")
        yield from _lines(self.of_rows.T, self.sources, near, far, wires.row_segments(n, m, "source lines"))

    def columns(self, wires: Wires) -> Iterator[_Resistor]:
        """All wires and ends of the columns."""
        m, n = self.of_columns.shape
        segments = wires.column_segments(m, n).T
        yield from _lines(self.of_columns.T, self.senses, wires.sense_far(n), wires.sense(n), segments)


def _lines(
    nodes: IntArray, terminals: IntArray, near: FloatArray, far: FloatArray, segments: FloatArray
) -> Iterator[_Resistor]:
    """Resistors of lines with nodes (lines, nodes along a line): both ends to the terminal, and all segments."""
    for line, terminal, at_first, at_last, between in zip(nodes, terminals, near, far, segments, strict=True):
        yield terminal, line[0], at_first
        yield terminal, line[-1], at_last
        for (one, other), ohm in zip(pairwise(line), between, strict=True):
            yield one, other, ohm


def _circuit(nodes: _Nodes, resistors: list[_Resistor], g: FloatArray, v: FloatArray, v_sense: FloatArray) -> Solution:
    """Solve resistors (node, node, ohm) and cells g (m, n) for sources v (b, sources), v_sense (b, n) [V].

    Equation numbers in the comments are those of docs/equations/nodal.md.
    """
    m, n = g.shape

    # Nodes connected by 0 Ω form one group; from here on, a node is such a group (eq. 5).
    shorts = np.array([(a, b) for a, b, ohm in resistors if ohm == 0.0], dtype=np.int64).reshape(-1, 2)
    groups, node = components(nodes.count, shorts)

    parts = [(node[a], node[b], 1.0 / ohm) for a, b, ohm in resistors if 0.0 < ohm < np.inf]
    cells = [(nodes.of_rows[i, j], nodes.of_columns[i, j], g[i, j]) for i in range(m) for j in range(n)]
    parts += [(node[a], node[b], siemens) for a, b, siemens in cells]
    parts = [(a, b, siemens) for a, b, siemens in parts if a != b and siemens > 0.0]
    branches = Branches(
        ends=np.array([(a, b) for a, b, _ in parts], dtype=np.int64).reshape(-1, 2),
        siemens=np.array([siemens for _, _, siemens in parts], dtype=np.float64),
    )

    # Known voltages: the sources, the column ends, and by convention 0 V for every floating island (eq. 6).
    voltages = np.zeros((groups, len(v)), dtype=Wide)
    known = np.zeros(groups, dtype=np.bool_)
    for terminals, volts in ((nodes.sources, v), (nodes.senses, v_sense)):
        voltages[node[terminals]] = volts.T
        known[node[terminals]] = True
    islands, island = components(groups, branches.ends)
    anchored = np.zeros(islands, dtype=np.bool_)
    anchored[island[known]] = True
    known |= ~anchored[island]

    voltages = solve_branches(branches, voltages, ~known)

    # Currents that leave each node through its branches: 0 where the voltage is free (eq. 1), and at a column's end the
    # current that it delivers to the array (eq. 8).
    through = branches.through(voltages)
    leaving = branches.leaving(voltages)
    largest = np.abs(through).max(axis=0, initial=0.0)
    violation = np.abs(leaving[~known]).max(axis=0, initial=0.0)
    residual = np.divide(violation, largest, out=np.zeros_like(largest), where=largest > 0.0).max(initial=0.0)  # eq. 12

    nodal = voltages[node].T.astype(np.float64)  # (b, nodes)
    return Solution(
        currents=-leaving[node[nodes.senses]].T.astype(np.float64),  # eq. 9
        v_rows=nodal[:, nodes.of_rows],
        v_columns=nodal[:, nodes.of_columns],
        power=np.sum(through**2 / branches.siemens[:, None], axis=0).astype(np.float64),  # eq. 10, the sum on the right
        residual=float(residual),
    )


def components(count: int, ends: IntArray) -> tuple[int, IntArray]:
    """Number of connected components of `count` nodes with edges `ends`, and the component of each node."""
    joined = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    parts, part = connected_components(joined, directed=False)
    return int(parts), part.astype(np.int64)


def solve_branches(branches: Branches, voltages: WideArray, free: BoolArray) -> WideArray:
    """Voltages that satisfy Kirchhoff's current law at the free nodes.

    voltages: (nodes, b) [V], with 0 at the free nodes; free: (nodes,).
    Source: docs/equations/nodal.md eq. 7, refined by eq. 11.
    """
    if not free.any():
        return voltages
    try:
        factors = splu(branches.matrix(free), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    except RuntimeError as error:  # SuperLU found a pivot of exactly 0
        raise ConvergenceError(_hopeless(branches)) from error
    solved = voltages.copy()
    correction = np.inf
    for _ in range(REFINEMENTS):
        leaving: Any = branches.leaving(solved)[free].astype(np.float64)
        step = factors.solve(leaving)
        solved[free] -= step
        scale = np.abs(solved[free]).max(axis=0)
        relative = np.abs(step).max(axis=0) / np.where(scale > 0.0, scale, 1.0)
        before, correction = correction, float(relative.max(initial=0.0))
        if not correction > np.finfo(Wide).eps or correction > 0.5 * before:
            break
    if not correction <= SETTLED:
        raise ConvergenceError(f"{_hopeless(branches)}; the last correction was {correction:.1e} of the voltages")
    return solved


def _hopeless(branches: Branches) -> str:
    """Message for a matrix that could not be solved."""
    weakest, strongest = branches.siemens.min(), branches.siemens.max()
    return (
        f"conductances from {weakest:.1e} to {strongest:.1e} S are too far apart for float64; "
        "make the strongest wires 0 Ω or the weakest parts open"
    )
