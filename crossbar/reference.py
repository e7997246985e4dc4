"""The slow twin: the array as a textbook circuit, one branch at a time, solved by sparse nodal analysis.

It shares nothing with the fast solvers but its arguments, so that each can be tested against it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from crossbar.solution import Solution
from crossbar.wires import Wires
from devices.aliases import BoolArray, FloatArray, IntArray
from devices.checks import array
from devices.errors import ConvergenceError, ParameterError

__all__ = ["reference_solve"]

# Voltages are refined in the widest floats of the machine, as cells may be 1e9 times weaker than wires.
Wide = np.longdouble
WideArray = npt.NDArray[np.longdouble]
REFINEMENTS = 30  # ours; three are usual
SETTLED = 1e-13  # largest last correction, relative to the largest free voltage, that is accepted (ours)


class _Branches(NamedTuple):
    """All conductances of the circuit, each between two nodes."""

    #: (branches, 2) the nodes where each branch begins and ends
    ends: IntArray
    #: (branches,) [S]
    siemens: FloatArray

    def through(self, voltages: WideArray) -> WideArray:
        """Currents (branches, b) [A] from begin to end at node voltages (nodes, b) [V]."""
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
        place = np.cumsum(free) - 1  # a free node's row
        inside = free[rows] & free[columns]
        count = int(np.count_nonzero(free))
        entries = (values[inside], (place[rows[inside]], place[columns[inside]]))
        return sparse.coo_array(entries, shape=(count, count)).tocsc()


def reference_solve(g: FloatArray, v: FloatArray, wires: Wires) -> Solution:
    """Solve an array of linear cells, exactly for 0 Ω and open wires, slowly and readably.

    g: (m, n) conductances of the cells [S], 0 is an open cell; v: (b, m) source voltages [V].
    Nodes without any path to a source or to 0 V are given 0 V. The residual is that of the voltages before they are
    rounded to float64. Raises ParameterError for a bad shape or value, ConvergenceError if cells are so much weaker
    than wires (about 1e15 times) that the matrix is singular in float64.
    Source: docs/equations/nodal.md eq. 1-12.
    """
    g = array("g", g, ndim=2, minimum=0.0)
    m, n = g.shape
    if g.size == 0:
        raise ParameterError(f"g must hold at least one cell, got shape {g.shape}")
    v = array("v", v, shape=(None, m))
    if len(v) == 0:
        raise ParameterError(f"v must hold at least one input, got shape {v.shape}")

    # Four kinds of node: the row and column nodes of the cells, the ideal sources, and the 0 V ends of the columns.
    row_nodes = np.arange(m * n).reshape(m, n)
    column_nodes = m * n + row_nodes
    sources = 2 * m * n + np.arange(m)
    senses = 2 * m * n + m + np.arange(n)
    count = 2 * m * n + m + n

    resistors = list(_resistors(wires, row_nodes, column_nodes, sources, senses))

    # Nodes joined by 0 Ω are one node; from here on, a node is such a group (eq. 5).
    shorts = np.array([(a, b) for a, b, ohm in resistors if ohm == 0.0], dtype=np.int64).reshape(-1, 2)
    groups, node = _components(count, shorts)

    parts = [(node[a], node[b], 1.0 / ohm) for a, b, ohm in resistors if 0.0 < ohm < np.inf]
    parts += [(node[row_nodes[i, j]], node[column_nodes[i, j]], g[i, j]) for i in range(m) for j in range(n)]
    parts = [(a, b, siemens) for a, b, siemens in parts if a != b and siemens > 0.0]
    branches = _Branches(
        ends=np.array([(a, b) for a, b, _ in parts], dtype=np.int64).reshape(-1, 2),
        siemens=np.array([siemens for _, _, siemens in parts], dtype=np.float64),
    )

    # The voltages that are known: the sources, the 0 V ends, and by convention every floating island (eq. 6).
    voltages = np.zeros((groups, len(v)), dtype=Wide)
    voltages[node[sources]] = v.T
    known = np.zeros(groups, dtype=np.bool_)
    known[node[sources]] = True
    known[node[senses]] = True
    islands, island = _components(groups, branches.ends)
    anchored = np.zeros(islands, dtype=np.bool_)
    anchored[island[known]] = True
    known |= ~anchored[island]

    voltages = _solve(branches, voltages, ~known)

    # What leaves each node through its branches: nothing where the voltage is free (eq. 1), and at a 0 V end what it
    # delivers to the array (eq. 8).
    through = branches.through(voltages)
    leaving = branches.leaving(voltages)
    largest = np.abs(through).max(axis=0, initial=0.0)
    violation = np.abs(leaving[~known]).max(axis=0, initial=0.0)
    residual = np.divide(violation, largest, out=np.zeros_like(largest), where=largest > 0.0).max()  # eq. 12

    nodal = voltages[node].T.astype(np.float64)  # (b, nodes)
    return Solution(
        currents=-leaving[node[senses]].T.astype(np.float64),  # eq. 9
        v_rows=nodal[:, row_nodes],
        v_columns=nodal[:, column_nodes],
        power=np.sum(through**2 / branches.siemens[:, None], axis=0).astype(np.float64),  # eq. 10, the sum on the right
        residual=float(residual),
    )


def _resistors(
    wires: Wires, row_nodes: IntArray, column_nodes: IntArray, sources: IntArray, senses: IntArray
) -> Iterator[tuple[int, int, float]]:
    """Every wire of the array as (node, node, ohm); docs/equations/nodal.md, section 1."""
    m, n = row_nodes.shape
    for i in range(m):
        yield sources[i], row_nodes[i, 0], wires.driver(m)[i]
        yield sources[i], row_nodes[i, n - 1], wires.driver_far(m)[i]
        for j in range(n - 1):
            yield row_nodes[i, j], row_nodes[i, j + 1], wires.r_row
    for j in range(n):
        yield column_nodes[m - 1, j], senses[j], wires.sense(n)[j]
        yield column_nodes[0, j], senses[j], wires.sense_far(n)[j]
        for i in range(m - 1):
            yield column_nodes[i, j], column_nodes[i + 1, j], wires.r_column


def _components(count: int, ends: IntArray) -> tuple[int, IntArray]:
    """How many connected parts `count` nodes form when each pair of `ends` is joined, and the part of each node."""
    joined = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    parts, part = connected_components(joined, directed=False)
    return int(parts), part.astype(np.int64)


def _solve(branches: _Branches, voltages: WideArray, free: BoolArray) -> WideArray:
    """Voltages for which nothing is left over at the free nodes (docs/equations/nodal.md eq. 7, refined by eq. 11).

    voltages: (nodes, b), with 0 at the free nodes; free: (nodes,).
    """
    if not free.any():
        return voltages
    try:
        factors = splu(branches.matrix(free), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    except RuntimeError as error:  # SuperLU met a pivot of exactly 0
        raise ConvergenceError(_hopeless(branches)) from error
    solved = voltages.copy()
    correction = np.inf
    for _ in range(REFINEMENTS):
        leaving: Any = branches.leaving(solved)[free].astype(np.float64)
        step = factors.solve(leaving)
        solved[free] -= step
        scale = np.abs(solved[free]).max(axis=0)
        relative = np.abs(step).max(axis=0) / np.where(scale > 0.0, scale, 1.0)
        before, correction = correction, float(relative.max())
        if not correction > np.finfo(Wide).eps or correction > 0.5 * before:
            break
    if not correction <= SETTLED:
        raise ConvergenceError(f"{_hopeless(branches)}; the last correction was {correction:.1e} of the voltages")
    return solved


def _hopeless(branches: _Branches) -> str:
    """Why the matrix could not be solved."""
    weakest, strongest = branches.siemens.min(), branches.siemens.max()
    return (
        f"conductances from {weakest:.1e} to {strongest:.1e} S are too far apart for float64; "
        "make the strongest wires 0 Ω or the weakest parts open"
    )
