"""Exact transfer matrices of linear arrays by multiport reduction (docs/equations/reduction.md).

An array is divided into leaves, which are reduced LANES at a time to the conductances between their ports.  Then
blocks are merged in pairs; each merge is one Cholesky factorisation, one triangular solve and one rank-k update.  The
order of the merges depends only on the shape (merge_plan.py).

m = rows, n = columns, t = arrays of equal shape, p = ports
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from crossbar.arrays.wires import Wires
from crossbar.transfer.borders import Border, border, parallel
from crossbar.transfer.islands import without_islands
from crossbar.transfer.merge_blas import eliminate, halves
from crossbar.transfer.merge_lanes import join_last
from crossbar.transfer.merge_plan import BOTTOM, LEFT, RIGHT, TOP, Block, Ends, Plan, leaf_side, plan, plan_lanes
from crossbar.transfer.merge_table import FIRST_SEGMENT, PORTS, SEGMENT, SEGMENTS, SHARED, TALL
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
        groups, g[None], steps.leaf_ops, steps.classes, steps.leaves, steps.leaf, at, buffer
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
            reduce_lanes(steps.ops[:-1], g, arrays, start, start, at, buffer, x, total)
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
    reduced = _reduced(g, wires)
    m, n = reduced.shape
    if len(reduced.last):
        with one_blas_thread():
            failed = _run_merges(reduced.steps, reduced.last, reduced.buffer)
        check_merges(failed, g, wires)
    root, ends = reduced.steps.root, reduced.ends
    lower = reduced.buffer[root.start : root.start + root.size].reshape(-1, padded(root.ports)[1])
    couplings = np.tril(lower[: root.ports, : root.ports], -1)
    couplings += couplings.T
    if ends.joined_row or ends.joined_column:
        couplings, root = _attach(couplings, root, ends, wires, m, n)
    return _fold(couplings, root)


class _Reduced(NamedTuple):
    """A linear array after all merges but the last."""

    shape: tuple[int, int]
    steps: Plan
    ends: Ends
    buffer: FloatArray  #: couplings of all blocks
    last: IntArray  #: the last merge, (1, MERGE_WIDTH), or (0, MERGE_WIDTH) if the array is one leaf


def _reduced(g: FloatArray, wires: Wires) -> _Reduced:
    """Run all merges of an array g (m, n) [S] but the last one."""
    g, wires = without_islands(checks.conductances("g", g), wires)
    m, n = g.shape
    at, ends = border(wires, m, n)
    steps = plan(m, n, ends, TASKS, leaf_side(m, n))
    buffer = np.empty(steps.buffer)
    workers = min(threads(), len(steps.groups))
    above = int(steps.tasks[-1])  # first merge above all tasks
    last = max(len(steps.ops) - 1, above)
    tasks = [slice(*each) for each in pairwise(steps.tasks.tolist())] if threads() > 1 else [slice(0, above)]
    with one_blas_thread():
        list(over_threads(
            lambda share: fill_leaves(steps, share, g, at, buffer),
            [steps.groups[first::workers] for first in range(workers)],
        ))  # fmt: skip
        failed = sum(over_threads(lambda some: _run_merges(steps, steps.ops[some], buffer), tasks))
        failed += _run_merges(steps, steps.ops[above:last], buffer)
    check_merges(failed, g, wires)
    return _Reduced((m, n), steps, ends, buffer, steps.ops[last:])


def _run_merges(steps: Plan, ops: IntArray, buffer: FloatArray) -> int:
    """Run merges one after another; returns how many failed."""
    return int(join_all(ops, buffer, np.empty(steps.work), np.empty(steps.work))) if len(ops) else 0


@checks.typed
def transfer_matrix(g: FloatArray, wires: Wires) -> FloatArray:
    """Return the exact transfer matrix of a linear array with its wires: ``currents = v @ w``.

    g: (m, n) [S], at least 0.  Returns (m, n) [S].
    Raises ParameterError for a wrong shape or value, ConvergenceError if a factorisation fails.
    Source: docs/equations/reduction.md.
    """
    if wires.rows_joined or wires.columns_joined:
        return reduce_array(g, wires).transfer
    reduced = _reduced(g, wires)
    if not len(reduced.last):
        return reduce_array(g, wires).transfer
    return _rows_to_columns(reduced, g, wires)


def _rows_to_columns(reduced: _Reduced, g: FloatArray, wires: Wires) -> FloatArray:
    """Do the last merge of an array only for the couplings of its rows to its columns, (m, n) [S]."""
    m, right, top, n = reduced.steps.root.counts
    op = reduced.last[0]
    size, p = int(op[SHARED]), int(op[PORTS])
    blocks = halves(op, reduced.buffer)
    x, s = np.empty(size * p), np.empty((size + 1) * size)
    with one_blas_thread():
        check_merges(eliminate(op, *blocks, x, s), g, wires)
        shared = x.reshape(size, p)
        rows, columns = shared[:, :m], shared[:, p - n :]
        if right:  # both ends of a line are one terminal
            rows = rows + shared[:, m : m + right]
        if top:
            columns = columns + shared[:, m + right : m + right + top]
        transfer: FloatArray = rows.T @ columns
    heads = range(FIRST_SEGMENT, FIRST_SEGMENT + SEGMENT * int(op[SEGMENTS]), SEGMENT)
    runs = [tuple(int(each) for each in op[head : head + SEGMENT]) for head in heads]
    for source, row, count, to in runs:
        for other, column, length, at in runs:
            if other != source or to >= m + right or at < m + right:
                continue
            i, j = to % m, (at - m - right) % n
            low, high = (row, count), (column, length)
            if row > column:
                low, high = high, low
            block = blocks[source][high[0] : high[0] + high[1], low[0] : low[0] + low[1]]
            transfer[i : i + count, j : j + length] += block if row > column else block.T
    return transfer


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
