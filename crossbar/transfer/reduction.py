"""Exact transfer matrices of linear arrays by multiport reduction (docs/equations/reduction.md).

An array is divided into leaves of at most LEAF × LEAF cells.  Leaves are reduced LANES at a time to the conductances
between their ports.  Then blocks are merged in pairs; each merge is one Cholesky factorisation, one triangular solve
and one rank-k update.  The order of the merges depends only on the shape (merge_plan.py).

m = rows, n = columns, t = arrays of equal shape, p = ports
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from crossbar.arrays.wires import Wires
from crossbar.transfer.borders import Border, border, parallel
from crossbar.transfer.islands import without_islands
from crossbar.transfer.merge_lanes import join_last
from crossbar.transfer.merge_plan import BOTTOM, LEFT, RIGHT, TOP, Block, Ends, Plan, plan, plan_lanes
from crossbar.transfer.merge_table import TALL
from crossbar.transfer.patches import padded
from crossbar.transfer.reduction_kernels import join_all, reduce_lanes, reduce_leaves, spread_lanes
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ConvergenceError, ParameterError
from devices.numerics.blas import one_blas_thread
from devices.numerics.simd import LANES
from devices.numerics.worker_threads import over_threads, threads

TASKS = 8  # subtrees of one array that are reduced in parallel
MOST_IN_LANES = 1 << 23  # most floats of the buffer per lane: larger arrays are reduced one by one, ours


def fill_leaves(steps: Plan, groups: IntArray, g: FloatArray, at: Border, buffer: FloatArray) -> None:
    """Reduce some groups of leaves of an array g (m, n) [S] to their positions in the buffer."""
    reduce_leaves(
        groups, g[None], steps.leaf_ops, steps.nodes, steps.classes, steps.leaves, steps.leaf, at, buffer
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
    """The range of segments as text for a message."""
    low, high = np.min(segments), np.max(segments)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


@checks.typed
def transfer_matrices(g: FloatArray, wires: Wires, dtype: DTypeLike = np.float64) -> FloatArray:
    """Return the exact transfer matrices of t arrays with equal shape and equal wires: ``currents = v @ w[t]``.

    g: (t, m, n) [S], at least 0.  Returns (t, m, n) [S] of `dtype`, float64 or float32; always computed in float64.
    Raises ParameterError for a wrong shape or value, ConvergenceError if a factorisation fails.
    Source: docs/equations/reduction.md.
    """
    return reduce_arrays(g, wires, dtype)[0]


def reduce_arrays(g: FloatArray, wires: Wires, dtype: DTypeLike = np.float64) -> tuple[FloatArray, FloatArray]:
    """Return transfer matrices as transfer_matrices does, and the current into all other rows of each row: (t, m) [S].

    g: (t, m, n) [S], at least 0.  The current is that of a row at 1 V into rows at 0 V, the row sum of
    `Multiport.exchange`.
    Raises what transfer_matrices raises.
    """
    given: object = dtype
    try:
        kind = np.dtype(dtype)
    except TypeError:
        raise ParameterError(f"dtype must be float64 or float32, got {dtype!r}") from None
    if given is None or kind not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise ParameterError(f"dtype must be float64 or float32, got {given if given is None else kind}")
    g = checks.conductances("g", g, ndim=3)
    if wires.broken:
        g = np.array([without_islands(each, wires)[0] for each in g]).reshape(g.shape)
    t, m, n = g.shape
    at, line_ends = border(wires, m, n)
    steps = plan_lanes(m, n, line_ends)
    one_by_one = t == 0 or len(steps.ops) < 2 or steps.buffer > MOST_IN_LANES
    if one_by_one or line_ends.joined_row or line_ends.joined_column:
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
        start = np.zeros(LANES, dtype=np.int64)
        for arrays in groups[first::workers]:  # three kernels, as numba would optimise those inside one kernel again
            out, exchanged = np.empty(-(-n // TALL) * TALL * padded(m)[1] * LANES), np.empty(m * LANES)
            reduce_lanes(steps.ops[:-1], steps.nodes, g, arrays, start, start, at, buffer, x, total)
            join_last(steps.ops[-1], buffer, x, total, sides, out, exchanged)
            spread_lanes(out, exchanged, arrays, transfers, taken)

    for _ in over_threads(reduce_some, range(workers)):
        pass
    return transfers, taken


@dataclass(frozen=True)
class Multiport:
    """An array reduced to its sources and sense nodes."""

    transfer: FloatArray  #: (m, n) [S] transfer matrix: currents = v @ transfer
    exchange: FloatArray  #: (m, m) [S] coupling conductances between the sources, zero diagonal

    def source_currents(self, v: FloatArray) -> FloatArray:
        """Return the current that each source delivers [A]: (b, m) from v (b, m) [V]; only voltages are subtracted."""
        v = checks.voltages("v", v, shape=(None, len(self.transfer)))
        to_columns = self.transfer.sum(1)
        out: FloatArray = np.empty(v.shape)
        for one, currents in zip(v, out, strict=True):
            currents[:] = one * to_columns + (self.exchange * (one[:, None] - one)).sum(1)
        return out

    def power(self, v: FloatArray) -> FloatArray:
        """Return the power that all sources deliver [W]: (b,) from v (b, m) [V]; a sum of positive terms."""
        v = checks.voltages("v", v, shape=(None, len(self.transfer)))
        to_columns = self.transfer.sum(1)
        out: FloatArray = np.empty(len(v))
        for k, one in enumerate(v):
            out[k] = one**2 @ to_columns + 0.5 * (self.exchange * (one[:, None] - one) ** 2).sum()
        return out


@checks.typed
def reduce_array(g: FloatArray, wires: Wires) -> Multiport:
    """Return the transfer matrix and the couplings between the sources of one linear array, exact for every input.

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

    g: (m, n) [S], at least 0.  Returns (m + 2 n, m + 2 n), symmetric, diagonal 0.  Couplings of open far ends are 0.
    So are those of the far ends of columns without resistance, which are the same nodes as the sense ends.
    Raises what reduce_array raises.
    Source: docs/equations/reduction.md eq. 1-5.
    """
    g, wires = without_islands(checks.conductances("g", g), wires)
    m, n = g.shape
    at, line_ends = border(wires, m, n)
    steps = plan(m, n, line_ends, TASKS)
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
    if line_ends.joined_row or line_ends.joined_column:
        couplings, root = _attach(couplings, root, line_ends, wires, m, n)
    return _fold(couplings, root)


@checks.typed
def transfer_matrix(g: FloatArray, wires: Wires) -> FloatArray:
    """Return the exact transfer matrix of a linear array with its wires: ``currents = v @ w``.

    g: (m, n) [S], at least 0.  Returns (m, n) [S].
    Raises ParameterError for a wrong shape or value, ConvergenceError if a factorisation fails.
    Source: docs/equations/reduction.md.
    """
    return reduce_array(g, wires).transfer


def _fold(couplings: FloatArray, root: Block) -> FloatArray:
    """Add the couplings of both ends of a row, which have one source, and insert zeros for far ends without ports."""
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
    """Connect drivers and sense resistors in series to lines that are one node each (0 Ω segments)."""
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
    to_kept[:, soft] = np.diag(outward)  # the new port replaces the node behind its resistor
    joined = couplings.copy()
    joined[soft], joined[:, soft] = 0.0, 0.0
    joined += to_kept.T @ np.linalg.solve(inner, to_kept)
    np.fill_diagonal(joined, 0.0)
    return joined, root
