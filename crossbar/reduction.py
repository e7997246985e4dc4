"""Exact transfer matrices of linear arrays by multiport reduction (docs/equations/reduction.md).

Leaves of at most LEAF × LEAF cells are reduced LANES at a time; larger blocks are joined in pairs, each merge one
Cholesky factor, one triangular solve and one rank-k update. The order of the merges depends on the shape alone
(crossbar/plan.py), then runs on any conductances.

m = rows, n = columns, t = arrays of equal shape, p = ports
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossbar.blas import one_blas_thread
from crossbar.multiport import (
    FIRST_SEGMENT,
    PORTS,
    PORTS_A,
    PORTS_B,
    SEGMENT,
    SEGMENTS,
    SHARED,
    START_A,
    START_B,
    STRIP_COLUMN,
    STRIP_ROW,
    join,
    join_lanes,
    join_last,
    strip,
)
from crossbar.plan import BOTTOM, LEFT, RIGHT, TOP, Block, Ends, plan
from crossbar.wires import Wires
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ConvergenceError, ParameterError
from devices.jit import kernel, threads

TASKS = 8  # subtrees of one array that are reduced in parallel


@kernel
def _reduce_leaves(
    groups: IntArray, g: FloatArray, leaf_ops: IntArray, classes: IntArray, leaves: IntArray,
    half_row: float, between: float, half_column: float,
    left: FloatArray, right: FloatArray, top: FloatArray, bottom: FloatArray, buffer: FloatArray,
) -> None:  # fmt: skip
    """Reduce groups of leaves of one class side by side and put each leaf into the buffer, its ports in their order."""
    v = groups.shape[1] - 1
    size, work = classes[:, 7].max(), classes[:, 8].max()
    lanes, x, s = np.empty(size * v), np.empty(work * v), np.empty(work * v)
    rows, columns = np.empty(v, dtype=np.int64), np.empty(v, dtype=np.int64)
    for group in groups:
        kind = classes[group[0]]
        first, n_ops, root, counts = kind[0], kind[1], kind[2], kind[3:7]
        for op in range(first, first + n_ops):
            row = leaf_ops[op]
            if row[SHARED] < 0:
                for lane in range(v):
                    rows[lane] = leaves[group[1 + lane], 0] + row[STRIP_ROW]
                    columns[lane] = leaves[group[1 + lane], 1] + row[STRIP_COLUMN]
                strip(row, g, rows, columns, half_row, between, half_column, left, right, top, bottom, lanes)
            else:
                join_lanes(row, lanes, x, s, v)
        p = counts.sum()
        block = lanes[root * v : (root + p * p) * v].reshape(p, p, v)
        place = np.empty(p, dtype=np.int64)
        for lane in range(v):
            leaf = leaves[group[1 + lane]]
            port = 0
            for side in range(4):
                for k in range(counts[side]):
                    place[port] = leaf[3 + side] + k
                    port += 1
            out = buffer[leaf[2] : leaf[2] + p * p].reshape(p, p)
            for i in range(p):
                for j in range(i):
                    out[max(place[i], place[j]), min(place[i], place[j])] = block[i, j, lane]


@kernel
def _join_all(ops: IntArray, buffer: FloatArray, x: FloatArray, s: FloatArray) -> int:
    """Run merges one after another; returns how many failed."""
    failed = 0
    for op in ops:
        failed += join(op, buffer, x, s)
    return failed


@kernel
def _sum_exchange(merge: IntArray, buffer: FloatArray, x: FloatArray, sides: IntArray, taken: FloatArray) -> None:
    """Sum over k what the last merge couples row i to row k, for each i: `taken` (m,), from what `join_last` leaves."""
    size, p = merge[SHARED], merge[PORTS]
    m, right = sides[0], sides[1]
    taken[:] = 0.0
    for block, start, ports in ((0, START_A, PORTS_A), (1, START_B, PORTS_B)):
        couplings = buffer[merge[start] : merge[start] + merge[ports] ** 2].reshape(merge[ports], merge[ports])
        for part in range(merge[SEGMENTS]):
            source, from_, count, to = merge[FIRST_SEGMENT + SEGMENT * part : FIRST_SEGMENT + SEGMENT * (part + 1)]
            if source != block or to >= m + right:
                continue
            for other in range(part + 1):
                source_2, from_2, count_2, to_2 = merge[
                    FIRST_SEGMENT + SEGMENT * other : FIRST_SEGMENT + SEGMENT * (other + 1)
                ]
                if source_2 != block or to_2 >= m + right:
                    continue
                for i in range(count):
                    for k in range(i if other == part else count_2):
                        row, row_2 = (to + i) % m, (to_2 + k) % m
                        if row != row_2:  # both ends of a row are one source
                            taken[row] += couplings[from_ + i, from_2 + k]
                            taken[row_2] += couplings[from_ + i, from_2 + k]
    kept, before = x[: size * p].reshape(size, p), np.empty(m)
    for i in range(size):  # sums over all others from both sides: a row may meet itself far more than any other
        total = 0.0
        for row in range(m):
            before[row] = total
            total += kept[i, row]
        total = 0.0
        for row in range(m - 1, -1, -1):
            taken[row] += kept[i, row] * (before[row] + total)
            total += kept[i, row]


@kernel
def _extract(buffer: FloatArray, root: int, sides: IntArray, transfer: FloatArray, taken: FloatArray) -> None:
    """Sum the couplings from a row's ports (left, right) to a column's ports (top, bottom), and to other rows'."""
    m, right, top, n = sides
    p = m + right + top + n
    block = buffer[root : root + p * p].reshape(p, p)
    taken[:] = 0.0
    for i in range(m + right):
        for k in range(i):
            if i % m != k % m:
                taken[i % m] += block[i, k]
                taken[k % m] += block[i, k]
    for i in range(m):
        for j in range(n):
            total = block[p - n + j, i]
            if top > 0:
                total += block[m + right + j, i]
            if right > 0:
                total += block[p - n + j, m + i]
                if top > 0:
                    total += block[m + right + j, m + i]
            transfer[i, j] = total


@dataclass(frozen=True)
class Border:
    """What the kernels need of the wires of an m × n array."""

    ends: Ends
    half_row: float
    between: float
    half_column: float
    left: FloatArray
    right: FloatArray
    top: FloatArray
    bottom: FloatArray

    @property
    def scalars(self) -> tuple[float, float, float]:
        """Half a row segment, a column segment, half a column segment [ohm]."""
        return self.half_row, self.between, self.half_column

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
    joined_row, joined_column = wires.r_row == 0 and n > 1, wires.r_column == 0 and m > 1
    if n == 1:
        left, right = parallel(left, right), np.full(m, np.inf)
    if m == 1:
        bottom, top = parallel(bottom, top), np.full(n, np.inf)
    if joined_row:
        left, right = np.zeros(m), np.full(m, np.inf)
    if joined_column:
        bottom, top = np.zeros(n), np.full(n, np.inf)
    ends = Ends(bool(np.isfinite(right).any()), bool(np.isfinite(top).any()), joined_row, joined_column)
    return Border(
        ends, wires.r_row / 2, wires.r_column, wires.r_column / 2, left.copy(), right.copy(), top.copy(), bottom.copy()
    )


def _check(failed: int, g: FloatArray, wires: Wires) -> None:
    if failed:
        raise ConvergenceError(
            f"{failed} merges of a {g.shape[-2]} × {g.shape[-1]} array failed: conductances from {g.min():.3g} to "
            f"{g.max():.3g} S on wires of {wires.r_row:g} and {wires.r_column:g} Ω are too far apart for float64"
        )


def transfer_matrices(g: FloatArray, wires: Wires) -> FloatArray:
    """Return the exact transfer matrices of t arrays of equal shape on equal wires: ``currents = v @ w[t]``.

    g: (t, m, n) [S], at least 0.  Returns (t, m, n) [S].
    Raises ParameterError for a wrong shape or value, ConvergenceError if a factorisation fails.
    Source: docs/equations/reduction.md.
    """
    return reduce_arrays(g, wires)[0]


def reduce_arrays(g: FloatArray, wires: Wires) -> tuple[FloatArray, FloatArray]:
    """Return what transfer_matrices returns, and what each row at 1 V sends into all others at 0 V: (t, m) [S].

    g: (t, m, n) [S], at least 0.  The second are the row sums of `Multiport.exchange`.
    Raises what transfer_matrices raises.
    """
    g = checks.array("g", g, ndim=3, minimum=0.0)
    t, m, n = g.shape
    if not m * n:
        raise ParameterError(f"g must have at least one row and one column, got shape {g.shape}")
    at = border(wires, m, n)
    if at.ends.joined_row or at.ends.joined_column:
        parts = [reduce_array(each, wires) for each in g]
        exchanged = np.array([each.exchange.sum(1) for each in parts])
        return np.array([each.transfer for each in parts]).reshape(g.shape), exchanged.reshape(t, m)
    steps = plan(m, n, at.ends)
    root, sides = steps.root, np.array(steps.root.counts, dtype=np.int64)
    transfers, taken = np.empty_like(g), np.empty((t, m))
    workers = max(min(threads(), t), 1)

    def reduce_some(first: int) -> int:
        buffer, x, s = np.empty(steps.buffer), np.empty(steps.work), np.empty(steps.work)
        failed = 0
        mine = slice(first, None, workers)
        for each, transfer, exchange in zip(g[mine], transfers[mine], taken[mine], strict=True):
            _reduce_leaves(
                steps.groups, each, steps.leaf_ops, steps.classes, steps.leaves, *at.scalars, *at.lines, buffer
            )
            if len(steps.ops):
                failed += _join_all(steps.ops[:-1], buffer, x, s)
                failed += join_last(steps.ops[-1], buffer, x, s, sides, transfer)
                _sum_exchange(steps.ops[-1], buffer, x, sides, exchange)
            else:
                _extract(buffer, root.start, sides, transfer, exchange)
        return failed

    with one_blas_thread():
        _check(sum(_in_threads(reduce_some, range(workers))), g, wires)
    return transfers, taken


def _in_threads(work: Callable[[Any], int], items: Iterable[Any]) -> list[int]:
    """Call `work`, whose kernels release the interpreter's lock, with each item, threads() of them at a time."""
    if threads() == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(work, items))


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
    g = checks.array("g", g, ndim=2, minimum=0.0)
    m, n = g.shape
    if not m * n:
        raise ParameterError(f"g must have at least one row and one column, got shape {g.shape}")
    at = border(wires, m, n)
    steps = plan(m, n, at.ends, TASKS)
    buffer = np.empty(steps.buffer)

    def reduce_leaves(groups: IntArray) -> int:
        _reduce_leaves(groups, g, steps.leaf_ops, steps.classes, steps.leaves, *at.scalars, *at.lines, buffer)
        return 0

    def run_merges(ops: IntArray) -> int:
        return int(_join_all(ops, buffer, np.empty(steps.work), np.empty(steps.work)))

    with one_blas_thread():
        _in_threads(reduce_leaves, np.array_split(steps.groups, TASKS))
        failed = sum(_in_threads(run_merges, np.split(steps.ops, steps.tasks[1:])[:-1]))
    failed += run_merges(steps.ops[steps.tasks[-1] :])
    _check(failed, g, wires)
    root = steps.root
    couplings = buffer[root.start : root.start + root.size].reshape(root.ports, root.ports)
    couplings = np.tril(couplings, -1)
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


def _fold(couplings: FloatArray, root: Block) -> Multiport:
    """Tie both ends of a row to its source and both ends of a column to 0 V."""
    m, right, top, n = (root.counts[side] for side in (LEFT, RIGHT, TOP, BOTTOM))
    rows, columns = couplings[:m].copy(), slice(root.ports - n, root.ports)
    if right:
        rows += couplings[m : m + right]
    transfer, exchange = rows[:, columns].copy(), rows[:, :m].copy()
    if top:
        transfer += rows[:, m + right : m + right + top]
    if right:
        exchange += rows[:, m : m + right]
    np.fill_diagonal(exchange, 0.0)
    return Multiport(transfer, exchange)


def _attach(
    couplings: FloatArray, root: Block, ends: Ends, wires: Wires, m: int, n: int
) -> tuple[FloatArray, Block]:
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
