"""Node voltages of a linear array for many inputs at once, from one multiport reduction.

The reduction joins blocks in a tree of merges, from leaves to the root.  Here each merge keeps the matrix that gives
the voltages of its eliminated nodes from those of the remaining ports (docs/equations/reduction.md, section 4).  For a
batch of inputs, the voltages are computed from the root down to the leaves.  Inside a leaf, one small matrix gives the
voltages of the cells' nodes from those of its ports.

m = rows, n = columns, b = batch, p = ports
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from crossbar.arrays.solution import Solution
from crossbar.arrays.wires import Wires
from crossbar.nodal.linear import Terminals, solution, solve
from crossbar.transfer.borders import Border, border
from crossbar.transfer.merge_blas import join
from crossbar.transfer.merge_plan import BOTTOM, LEFT, RIGHT, SIDES, TOP, Plan, plan
from crossbar.transfer.merge_table import (
    FIRST_SEGMENT,
    LEAF_CLASS,
    PORTS,
    PORTS_A,
    PORTS_B,
    SEGMENT,
    SEGMENTS,
    SHARED,
    START,
    START_A,
    START_B,
)
from crossbar.transfer.reduction import check_merges, fill_leaves
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.numerics.blas import one_blas_thread

AT_ONCE = 256  # inputs that are solved together, ours: limits memory


@dataclass(frozen=True, eq=False)
class Interior:
    """A linear array, reduced once, whose node voltages follow from the terminal voltages by matrix products.

    g: (m, n) [S], at least 0.
    Raises ParameterError for a wrong shape or value, ConvergenceError if a factorisation fails.
    Source: docs/equations/reduction.md eq. 6a.
    """

    g: FloatArray
    wires: Wires

    def __post_init__(self) -> None:
        checks.instance("wires", self.wires, Wires)
        g = checks.conductances("g", self.g)
        m, n = g.shape
        object.__setattr__(self, "g", g)
        at, line_ends = border(self.wires, m, n)
        if line_ends.joined_row or line_ends.joined_column or self.wires.broken:
            return
        steps = plan(m, n, line_ends)
        with one_blas_thread():
            merges = _merges(steps, g, self.wires, at)
            leaves = _leaves(steps, g, self.wires, at)
        object.__setattr__(self, "_tree", _Tree(steps, merges, leaves))

    def solve(self, v: FloatArray, *, v_sense: npt.ArrayLike = 0.0) -> Solution:
        """Return currents, all node voltages and power for a batch of inputs.

        v: (b, m) [V].  v_sense: voltages of the columns' ends [V], one value or two axes that broadcast to (b, n).
        Raises ParameterError for a wrong shape or value.  Arrays with lines of 0 ohm or open segments are solved by
        crossbar.solve.
        """
        tree: _Tree | None = getattr(self, "_tree", None)
        if tree is None:
            return solve(self.g, v, self.wires, v_sense=v_sense)
        m, n = self.g.shape
        v = checks.voltages("v", v, shape=(None, m))
        senses = checks.spread("v_sense", v_sense, (len(v), n), "(b, n)")
        v_rows, v_columns = np.empty((len(v), m, n)), np.empty((len(v), m, n))
        for first in range(0, len(v), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            tree.walk(v[some], senses[some], v_rows[some], v_columns[some])
        currents = self.g * (v_rows - v_columns)
        return solution(currents, self.g.sum(0), Terminals(v, senses, self.wires), v_rows, v_columns)


class _Leaves(NamedTuple):
    """The k leaves of one class, with a × b cells and p ports each."""

    at: IntArray  #: (k, 2) first row and column of each leaf
    shape: tuple[int, int]  #: (a, b)
    starts: list[int]  #: position of each leaf in the buffer of the reduction
    ports: IntArray  #: (k, p) position of each port in the block, in the order left, right, top, bottom
    inner: FloatArray  #: (k, 2 a b, p) matrices from port voltages to the voltages of row and column nodes


@dataclass(frozen=True)
class _Tree:
    """The matrices that the reduction keeps for the computation of voltages."""

    steps: Plan
    merges: list[FloatArray]  # (s, p) for each merge: from voltages of remaining ports to those of eliminated nodes
    leaves: list[_Leaves]

    def walk(self, v: FloatArray, senses: FloatArray, v_rows: FloatArray, v_columns: FloatArray) -> None:
        """Fill the voltages (b, m, n) of all nodes, from the root to the leaves (reduction.md eq. 6a)."""
        root = self.steps.root
        held = {LEFT: v, RIGHT: v, TOP: senses, BOTTOM: senses}
        ports = {root.start: np.concatenate([held[side].T for side in SIDES if root.counts[side]])}
        for op, inner in zip(self.steps.ops[::-1], self.merges[::-1], strict=True):
            kept = ports.pop(int(op[START]))
            shared = inner @ kept
            for source, start, count in ((0, START_A, PORTS_A), (1, START_B, PORTS_B)):
                block = np.empty((int(op[count]), len(v)))
                block[len(block) - len(shared) :] = shared
                for head in range(FIRST_SEGMENT, FIRST_SEGMENT + SEGMENT * int(op[SEGMENTS]), SEGMENT):
                    from_source, from_, run, to = op[head : head + SEGMENT]
                    if from_source == source:
                        block[from_ : from_ + run] = kept[to : to + run]
                ports[int(op[start])] = block
        for leaves in self.leaves:
            a, b = leaves.shape
            at_ports = np.stack([ports[start][order] for start, order in zip(leaves.starts, leaves.ports, strict=True)])
            nodes = (leaves.inner @ at_ports).transpose(0, 2, 1).reshape(-1, len(v), 2, a, b)
            for (row, column), block in zip(leaves.at, nodes, strict=True):
                v_rows[:, row : row + a, column : column + b] = block[:, 0]
                v_columns[:, row : row + a, column : column + b] = block[:, 1]


def _merges(steps: Plan, g: FloatArray, wires: Wires, at: Border) -> list[FloatArray]:
    """Reduce the array; for each merge return the matrix from remaining port voltages to eliminated node voltages."""
    buffer = np.empty(steps.buffer)
    fill_leaves(steps, steps.groups, g, at, buffer)
    kept, failed = [], 0
    for op in steps.ops:
        size, p = int(op[SHARED]), int(op[PORTS])
        x, factor = np.empty((size, p)), np.empty((size + 1, size))
        failed += join(op, buffer, x.reshape(-1), factor.reshape(-1))
        kept.append(solve_triangular(factor[:size], x, lower=True, trans="T", check_finite=False))
    check_merges(failed, g, wires)
    return kept


def _leaves(steps: Plan, g: FloatArray, wires: Wires, at: Border) -> list[_Leaves]:
    """Eliminate the cells of all leaves of each class at once."""
    out = []
    for kind, (*_, left, right, top, bottom) in enumerate(steps.classes):
        members = np.flatnonzero(steps.leaves[:, LEAF_CLASS] == kind)
        table, counts = steps.leaves[members], (int(left), int(right), int(top), int(bottom))
        ports = np.concatenate([table[:, 3 + side, None] + np.arange(counts[side]) for side in SIDES], axis=1)
        inner = _inner(g, table[:, 0], table[:, 1], counts, wires, at)
        out.append(_Leaves(table[:, :2], (counts[LEFT], counts[BOTTOM]), table[:, 2].tolist(), ports, inner))
    return out


def _inner(
    g: FloatArray, first_rows: IntArray, first_columns: IntArray, counts: tuple[int, ...], wires: Wires, at: Border
) -> FloatArray:
    """Matrices (k, 2 a b, p) from port voltages to all node voltages of k leaves, by solving their nodal matrices."""
    a, b, k = counts[LEFT], counts[BOTTOM], len(first_rows)
    rows, columns = first_rows[:, None] + np.arange(a), first_columns[:, None] + np.arange(b)
    cells = g[rows[:, :, None], columns[:, None, :]]
    node = np.arange(2 * a * b).reshape(2, a, b)
    y = np.zeros((k, 2 * a * b, 2 * a * b))

    def couple(one: IntArray, other: IntArray, value: FloatArray | float) -> None:
        y[:, one, other] = y[:, other, one] = -np.broadcast_to(value, (k, *one.shape))

    couple(node[0], node[1], cells)
    m, n = g.shape
    along, across = wires.row_segments(m, n), wires.column_segments(m, n)
    if b > 1:
        couple(node[0, :, 1:], node[0, :, :-1], 1.0 / along[rows[:, :, None], columns[:, None, :-1]])
    if a > 1:
        couple(node[1, 1:], node[1, :-1], 1.0 / across[rows[:, :-1, None], columns[:, None, :]])

    def cut(segments: FloatArray, i: IntArray, j: IntArray) -> FloatArray:
        """Halves of the segments that leave the leaves; arbitrary for leaves at the border of the array."""
        if not segments.size:
            return np.zeros(np.broadcast_shapes(i.shape, j.shape))
        half: FloatArray = segments[np.clip(i, 0, len(segments) - 1), np.clip(j, 0, segments.shape[1] - 1)] / 2
        return half

    to_ports = np.zeros((k, 2 * a * b, sum(counts)))
    first, last = columns[:, :1], columns[:, -1:]
    upper, lower = rows[:, :1], rows[:, -1:]
    arms = (
        (node[0, :, 0], np.where(first == 0, at.left[rows], cut(along, rows, first - 1))),
        (node[0, :, -1], np.where(last == n - 1, at.right[rows], cut(along, rows, last))),
        (node[1, 0], np.where(upper == 0, at.top[columns], cut(across, upper - 1, columns))),
        (node[1, -1], np.where(lower == m - 1, at.bottom[columns], cut(across, lower, columns))),
    )
    port, fixed = 0, []  # fixed: leaf, node and port of nodes that 0 ohm connects to a port
    for (nodes, resistances), count in zip(arms, counts, strict=True):
        if count:
            held = resistances == 0.0
            with np.errstate(divide="ignore"):
                to_ports[:, nodes, np.arange(port, port + count)] = np.where(held, 0.0, 1.0 / resistances)
            leaf, line = np.nonzero(held)
            fixed.append((leaf, nodes[line], port + line))
        port += count
    total = to_ports.sum(2) - y.sum(2)
    diagonal = np.arange(2 * a * b)
    y[:, diagonal, diagonal] = np.where(total > 0.0, total, 1.0)  # 1: a node without any coupling
    for leaf, at_node, _ in fixed:
        y[leaf, at_node], to_ports[leaf, at_node] = 0.0, 0.0
        y[leaf, at_node, at_node] = 1.0
    for leaf, at_node, at_port in fixed:
        to_ports[leaf, at_node, at_port] = 1.0
    return np.asarray(np.linalg.solve(y, to_ports), dtype=np.float64)
