"""Exact transfer matrices of linear arrays by multiport reduction (docs/equations/reduction.md).

Leaves of at most LEAF × LEAF cells are reduced LANES at a time; larger blocks are joined in pairs, each merge one
Cholesky factor, one triangular solve and one rank-k update. The order of the merges depends on the shape alone
(crossbar/transfer/merge_plan.py), then runs on any conductances.

m = rows, n = columns, t = arrays of equal shape, p = ports
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from crossbar.arrays.wires import Wires
from crossbar.transfer.islands import without_islands
from crossbar.transfer.merge_plan import BOTTOM, LEFT, RIGHT, TOP, Block, Ends, Plan, plan, plan_lanes
from crossbar.transfer.patches import padded
from crossbar.transfer.reduction_kernels import join_all, reduce_leaves, reduce_together
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ConvergenceError, ParameterError
from devices.numerics.blas import one_blas_thread
from devices.numerics.simd import LANES
from devices.numerics.worker_threads import over_threads, threads

TASKS = 8  # subtrees of one array that are reduced in parallel
MOST_IN_LANES = 1 << 23  # floats of a buffer in each lane: larger arrays of a batch are reduced one by one, ours


@dataclass(frozen=True)
class Border:
    """What the kernels need of the wires of an m × n array."""

    ends: Ends
    half_rows: FloatArray  #: halves of the rows' segments [ohm], (1, 1) where all are alike
    half_columns: FloatArray
    left: FloatArray
    right: FloatArray
    top: FloatArray
    bottom: FloatArray

    @property
    def halves(self) -> tuple[FloatArray, FloatArray]:
        """Halves of the segments of rows and columns [ohm]."""
        return self.half_rows, self.half_columns

    @property
    def lines(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Resistances of the left, right, top and bottom border [ohm]."""
        return self.left, self.right, self.top, self.bottom


def parallel(a: FloatArray, b: FloatArray) -> FloatArray:
    """Resistance of two resistors in parallel, 0 and inf exact [ohm]."""
    with np.errstate(divide="ignore"):
        total: FloatArray = 1.0 / (1.0 / a + 1.0 / b)
    return total


def border(wires: Wires, m: int, n: int) -> Border:
    """Sort the wires of an m × n array into half-segments, ends and lines that are one node."""
    left, right = wires.driver(m), wires.driver_far(m)
    bottom, top = wires.sense(n), wires.sense_far(n)
    joined_row, joined_column = wires.rows_joined and n > 1, wires.columns_joined and m > 1
    if n == 1:
        left, right = parallel(left, right), np.full(m, np.inf)
    if m == 1 and np.any((bottom == 0.0) & (top == 0.0)):
        bottom, top = parallel(bottom, top), np.full(n, np.inf)
    if joined_row:
        left, right = np.zeros(m), np.full(m, np.inf)
    if joined_column:
        bottom, top = np.zeros(n), np.full(n, np.inf)
    ends = Ends(bool(np.isfinite(right).any()), bool(np.isfinite(top).any()), joined_row, joined_column)
    half_rows, half_columns = (
        np.full((1, 1), each / 2) if isinstance(each, float) else segments(m, n) / 2
        for each, segments in ((wires.r_row, wires.row_segments), (wires.r_column, wires.column_segments))
    )
    return Border(ends, half_rows, half_columns, left.copy(), right.copy(), top.copy(), bottom.copy())


def fill_leaves(steps: Plan, groups: IntArray, g: FloatArray, at: Border, buffer: FloatArray) -> None:
    """Reduce some groups of leaves of an array g (m, n) [S] into their places in the buffer."""
    reduce_leaves(
        groups, g[None], steps.leaf_ops, steps.nodes, steps.classes, steps.leaves, steps.leaf,
        *at.halves, *at.lines, buffer,
    )  # fmt: skip


def check_merges(failed: int, g: FloatArray, wires: Wires) -> None:
    """Raise ConvergenceError if merges of arrays g (…, m, n) [S] failed."""
    if failed:
        raise ConvergenceError(
            f"{failed} merges of a {g.shape[-2]} × {g.shape[-1]} array failed: conductances from {g.min():.3g} to "
            f"{g.max():.3g} S on wires of {_range(wires.r_row)} and {_range(wires.r_column)} Ω are too far apart for "
            "float64"
        )


def _range(segments: float | FloatArray) -> str:
    """Segments for a message."""
    low, high = np.min(segments), np.max(segments)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def transfer_matrices(g: FloatArray, wires: Wires, dtype: DTypeLike = np.float64) -> FloatArray:
    """Return the exact transfer matrices of t arrays of equal shape on equal wires: ``currents = v @ w[t]``.

    g: (t, m, n) [S], at least 0.  Returns (t, m, n) [S] of `dtype`, float64 or float32; computed in float64 always.
    Raises ParameterError for a wrong shape or value, ConvergenceError if a factorisation fails.
    Source: docs/equations/reduction.md.
    """
    return reduce_arrays(g, wires, dtype)[0]


def reduce_arrays(g: FloatArray, wires: Wires, dtype: DTypeLike = np.float64) -> tuple[FloatArray, FloatArray]:
    """Return what transfer_matrices returns, and what each row at 1 V sends into all others at 0 V: (t, m) [S].

    g: (t, m, n) [S], at least 0.  The second are the row sums of `Multiport.exchange`.
    Raises what transfer_matrices raises.
    """
    if np.dtype(dtype) not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise ParameterError(f"dtype must be float64 or float32, got {np.dtype(dtype)}")
    g = checks.conductances("g", g, ndim=3)
    if wires.broken:
        g = np.array([without_islands(each, wires)[0] for each in g]).reshape(g.shape)
    t, m, n = g.shape
    at = border(wires, m, n)
    steps = plan_lanes(m, n, at.ends)
    one_by_one = t == 0 or len(steps.ops) < 2 or steps.buffer > MOST_IN_LANES
    if one_by_one or at.ends.joined_row or at.ends.joined_column:
        parts = [reduce_array(each, wires) for each in g]
        exchanged = np.array([each.exchange.sum(1) for each in parts])
        return np.array([each.transfer for each in parts], dtype).reshape(g.shape), exchanged.reshape(t, m)
    sides = np.array(steps.root.counts, dtype=np.int64)
    transfers, taken = np.empty(g.shape, dtype), np.empty((t, m))
    groups = np.minimum(np.arange(-(-t // LANES) * LANES), t - 1).reshape(-1, LANES)
    workers = min(threads(), len(groups))

    def reduce_some(first: int) -> None:
        buffer, x = np.empty(steps.buffer * LANES), np.empty(steps.work * LANES)
        total = np.empty(max(steps.shared, 1) * LANES)
        for arrays in groups[first::workers]:
            reduce_together(
                steps.ops, steps.nodes, sides, g, arrays, *at.halves, *at.lines, buffer, x, total, transfers, taken
            )

    for _ in over_threads(reduce_some, range(workers)):
        pass
    return transfers, taken


@dataclass(frozen=True)
class Multiport:
    """An array seen from its sources and its sense nodes."""

    transfer: FloatArray  #: (m, n) [S]: currents = v @ transfer
    exchange: FloatArray  #: (m, m) [S] coupling between the sources through the array, zero diagonal

    def source_currents(self, v: FloatArray) -> FloatArray:
        """Return what each source delivers [A]: (b, m) from v (b, m) [V]; differences are those of `v` alone."""
        to_columns = self.transfer.sum(1)
        out: FloatArray = np.empty(v.shape)
        for one, currents in zip(v, out, strict=True):
            currents[:] = one * to_columns + (self.exchange * (one[:, None] - one)).sum(1)
        return out

    def power(self, v: FloatArray) -> FloatArray:
        """Return the power that all sources deliver [W]: (b,) from v (b, m) [V]; a sum of positive terms."""
        to_columns = self.transfer.sum(1)
        out: FloatArray = np.empty(len(v))
        for k, one in enumerate(v):
            out[k] = one**2 @ to_columns + 0.5 * (self.exchange * (one[:, None] - one) ** 2).sum()
        return out


def reduce_array(g: FloatArray, wires: Wires) -> Multiport:
    """Return transfer matrix and couplings between the sources of one linear array, exact for every input.

    g: (m, n) [S], at least 0.
    Raises ParameterError for a wrong shape or value, ConvergenceError if a factorisation fails.
    Source: docs/equations/reduction.md.
    """
    couplings = terminal_couplings(g, wires)
    m, n = np.shape(g)
    exchange = couplings[:m, :m].copy()
    return Multiport(couplings[:m, m : m + n] + couplings[:m, m + n :], exchange)


def terminal_couplings(g: FloatArray, wires: Wires) -> FloatArray:
    """Return the couplings [S] between the sources of the rows, the far ends of the columns and their sense ends.

    g: (m, n) [S], at least 0.  Returns (m + 2 n, m + 2 n), symmetric, diagonal 0; far ends that are open, and those of
    columns without resistance, which are one with the sense ends, are coupled to nothing.
    Raises what reduce_array raises.
    Source: docs/equations/reduction.md eq. 1-5.
    """
    g, wires = without_islands(checks.conductances("g", g), wires)
    m, n = g.shape
    at = border(wires, m, n)
    steps = plan(m, n, at.ends, TASKS)
    buffer = np.empty(steps.buffer)

    def reduce_leaves(groups: IntArray) -> int:
        fill_leaves(steps, groups, g, at, buffer)
        return 0

    def run_merges(ops: IntArray) -> int:
        return int(join_all(ops, buffer, np.empty(steps.work), np.empty(steps.work)))

    with one_blas_thread():
        list(over_threads(reduce_leaves, np.array_split(steps.groups, TASKS)))
        failed = sum(over_threads(run_merges, np.split(steps.ops, steps.tasks[1:])[:-1]))
    failed += run_merges(steps.ops[steps.tasks[-1] :])
    check_merges(failed, g, wires)
    root = steps.root
    lower = buffer[root.start : root.start + root.size].reshape(-1, padded(root.ports)[1])
    couplings = np.tril(lower[: root.ports, : root.ports], -1)
    couplings += couplings.T
    if at.ends.joined_row or at.ends.joined_column:
        couplings, root = _attach(couplings, root, at.ends, wires, m, n)
    return _fold(couplings, root)


def transfer_matrix(g: FloatArray, wires: Wires) -> FloatArray:
    """Return the exact transfer matrix of a linear array with its wires: ``currents = v @ w``.

    g: (m, n) [S], at least 0.  Returns (m, n) [S].
    Raises ParameterError for a wrong shape or value, ConvergenceError if a factorisation fails.
    Source: docs/equations/reduction.md.
    """
    return reduce_array(g, wires).transfer


def _fold(couplings: FloatArray, root: Block) -> FloatArray:
    """Tie both ends of a row to its source, and leave room for columns' far ends that have no port."""
    m, right, top, n = (root.counts[side] for side in (LEFT, RIGHT, TOP, BOTTOM))
    if right:
        couplings[:m] += couplings[m : m + right]
        couplings[:, :m] += couplings[:, m : m + right]
    kept = np.r_[0:m, m + right : root.ports]
    place = np.r_[0:m, m : m + top, m + n : m + 2 * n]
    out = np.zeros((m + 2 * n, m + 2 * n))
    out[np.ix_(place, place)] = couplings[np.ix_(kept, kept)]
    np.fill_diagonal(out, 0.0)
    return out


def _attach(couplings: FloatArray, root: Block, ends: Ends, wires: Wires, m: int, n: int) -> tuple[FloatArray, Block]:
    """Put the drivers and sense resistors in series with lines that are one node each (0 Ω segments)."""
    arms = np.zeros(root.ports)
    if ends.joined_row:
        arms[:m] = parallel(wires.driver(m), wires.driver_far(m))
    if ends.joined_column:
        arms[root.ports - n :] = parallel(wires.sense(n), wires.sense_far(n))
    soft = np.flatnonzero(arms > 0.0)
    if not len(soft):
        return couplings, root
    with np.errstate(divide="ignore"):
        outward = 1.0 / arms[soft]
    total = couplings[soft].sum(1) + outward
    total[total == 0.0] = 1.0  # a line without any coupling
    inner = np.diag(total) - couplings[np.ix_(soft, soft)]
    to_kept = couplings[soft].copy()
    to_kept[:, soft] = np.diag(outward)  # the new port takes the place of the node behind its resistor
    joined = couplings.copy()
    joined[soft], joined[:, soft] = 0.0, 0.0
    joined += to_kept.T @ np.linalg.solve(inner, to_kept)
    np.fill_diagonal(joined, 0.0)
    return joined, root
