"""Exact transfer matrices of linear arrays by multiport reduction (docs/equations/reduction.md).

Leaves of at most LEAF × LEAF cells are reduced LANES at a time; larger blocks are joined in pairs, each merge one
Cholesky factor, one triangular solve and one rank-k update. The order of the merges depends on the shape alone and
is planned once per shape (`plan`), then run on any conductances.

m = rows, n = columns, t = arrays of equal shape, p = ports
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numba import prange
from threadpoolctl import ThreadpoolController

from crossbar.multiport import (
    LANES,
    MERGE_WIDTH,
    PORTS,
    SEGMENTS,
    SHARED,
    SHARED_A,
    START,
    join,
    strip,
)
from crossbar.wires import Wires
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ConvergenceError, ParameterError
from devices.jit import kernel, threads

LEAF = 8  # cells on the side of a block that is reduced in lanes (benchmarks/solver.py --leaf compares)
TASKS = 8  # subtrees of one array that are reduced in parallel


@dataclass(frozen=True)
class Block:
    """A rectangle of cells with the number of ports on its four sides and its place in the buffer."""

    start: int
    left: int
    right: int
    top: int
    bottom: int

    @property
    def ports(self) -> int:
        """Number of ports."""
        return self.left + self.right + self.top + self.bottom

    @property
    def size(self) -> int:
        """Number of floats that the couplings take."""
        return self.ports**2


@dataclass(frozen=True)
class Ends:
    """Which far ends have terminals, and whether the lines of a direction have 0 Ω (each line one node)."""

    far_row: bool
    far_column: bool
    joined_row: bool
    joined_column: bool


@dataclass(frozen=True)
class Plan:
    """The merges of one array shape, as tables for the kernels."""

    leaf_ops: IntArray  #: (ops, MERGE_WIDTH) strips and merges of every leaf class, one class after another
    classes: IntArray  #: (classes, 8): first op, ops, rows, root start, ports, buffer size, work size, largest shared
    groups: IntArray  #: (groups, 1 + LANES): class, leaves
    leaves: IntArray  #: (leaves, 3): first row, first column, start in the buffer
    ops: IntArray  #: (ops, MERGE_WIDTH) merges above the leaves, task after task, then those of the top
    tasks: IntArray  #: (tasks + 1,) first op of each task; the ops after the last task are the top
    buffer: int  #: floats of the whole buffer
    work: int  #: floats of work space for a merge's shared-to-kept couplings
    shared: int  #: most ports that two blocks share
    root: Block

    @property
    def flops(self) -> int:
        """Floating-point operations of one array's reduction, a symmetric update counted as the half it computes."""
        total = 0
        counts = np.bincount(self.groups[:, 0], minlength=len(self.classes))
        for (first, n_ops, *_), groups in zip(self.classes, counts, strict=True):
            total += LANES * int(groups) * sum(_merge_flops(op) for op in self.leaf_ops[first : first + n_ops])
        return total + sum(_merge_flops(op) for op in self.ops)


def _merge_flops(op: IntArray) -> int:
    s, p = int(op[SHARED]), int(op[PORTS])
    return s**3 // 3 + s * s * p + s * p * p if s > 0 else 0


class _Tape:
    """Records merges while it hands out buffer space like a stack."""

    def __init__(self, ends: Ends, base: int = 0) -> None:
        self.ends, self.ops = ends, list[list[int]]()
        self.at = self.peak = base
        self.work = self.shared = 0

    def reserve(self, size: int) -> int:
        start, self.at = self.at, self.at + size
        self.peak = max(self.peak, self.at)
        return start

    def strip(self, column: int, a: int, has_right: bool, has_top: bool) -> Block:
        block = Block(0, a, a * has_right, int(has_top), 1)
        block = Block(self.reserve(block.size), a, a * has_right, int(has_top), 1)
        op = [0] * MERGE_WIDTH
        op[SHARED], op[START], op[SHARED_A], op[SEGMENTS] = -1, block.start, column, int(has_right) + 2 * int(has_top)
        self.ops.append(op)
        return block

    def pair(self, first: Callable[[], Block], second: Callable[[], Block], sideways: bool, shape: Block) -> Block:
        """Reserve the joined block, make both halves above it, join them and give their space back."""
        out = Block(self.reserve(shape.size), shape.left, shape.right, shape.top, shape.bottom)
        mark = self.at
        self.join(first(), second(), out, sideways)
        self.at = mark
        return out

    def join(self, a: Block, b: Block, out: Block, sideways: bool) -> None:
        """Join `a` and `b` (side by side, or `a` above `b`) into `out`."""
        sizes = [(x.left, x.right, x.top, x.bottom) for x in (a, b)]
        first = [[0, x.left, x.left + x.right, x.left + x.right + x.top] for x in (a, b)]
        to = [0, out.left, out.left + out.right, out.left + out.right + out.top]
        left, right, top, bottom = range(4)
        together = self.ends.joined_row if sideways else self.ends.joined_column
        if sideways:
            meet = (right, left)
            order = [(0, left, 0), (1, right, 0), (0, top, 0), (1, top, a.top), (0, bottom, 0), (1, bottom, a.bottom)]
        else:
            meet = (bottom, top)
            order = [(0, left, 0), (1, left, a.left), (0, right, 0), (1, right, a.right), (0, top, 0), (1, bottom, 0)]
        if together:  # the two blocks share whole lines: their ports are added and stay
            line = left if sideways else bottom
            order = [entry for entry in order if entry[1] != line] + [(0, line, 0), (1, line, 0)]
        segments = [
            [source, first[source][side], sizes[source][side], to[side] + shift]
            for source, side, shift in order
            if sizes[source][side]
        ]
        segments.sort(key=lambda segment: segment[3])
        shared = 0 if together else sizes[0][meet[0]]
        op = [
            shared, a.ports, b.ports, out.ports, a.start, b.start, out.start,
            first[0][meet[0]], first[1][meet[1]], len(segments), *(entry for segment in segments for entry in segment),
        ]  # fmt: skip
        self.ops.append(op + [0] * (MERGE_WIDTH - len(op)))
        self.work = max(self.work, shared * out.ports)
        self.shared = max(self.shared, shared)


def _cuts(length: int, parts: int) -> list[int]:
    return [length * k // parts for k in range(parts + 1)]


@lru_cache(maxsize=64)
def plan(m: int, n: int, ends: Ends, tasks: int = 1, leaf: int = LEAF) -> Plan:
    """Plan the merges of an m × n array; `tasks` > 1 splits them into subtrees that can run in parallel."""
    rows, columns = _cuts(m, -(-m // leaf)), _cuts(n, -(-n // leaf))

    def shape(r: tuple[int, int], c: tuple[int, int]) -> Block:
        a, b = rows[r[1]] - rows[r[0]], columns[c[1]] - columns[c[0]]
        right = a if not ends.joined_row and (columns[c[1]] < n or ends.far_row) else 0
        top = b if not ends.joined_column and (rows[r[0]] > 0 or ends.far_column) else 0
        return Block(0, a, right, top, b)

    leaf_ops: list[list[int]] = []
    classes: dict[tuple[int, ...], list[int]] = {}
    members: dict[tuple[int, ...], list[int]] = {}
    leaves: list[list[int]] = []
    placed: dict[tuple[int, int], Block] = {}
    at = 0
    for r in range(len(rows) - 1):
        for c in range(len(columns) - 1):
            block = shape((r, r + 1), (c, c + 1))
            key = (block.left, block.right, block.top, block.bottom)
            if key not in classes:
                tape, root = _leaf_tape(block, ends)
                classes[key] = [
                    len(leaf_ops), len(tape.ops), block.left, root.start, root.ports, tape.peak, tape.work, tape.shared,
                ]  # fmt: skip
                leaf_ops += tape.ops
            members.setdefault(key, []).append(len(leaves))
            leaves.append([rows[r], columns[c], at])
            placed[r, c] = Block(at, *key)
            at += block.size
    groups = []
    for index, leaves_of in enumerate(members[key] for key in classes):
        for first in range(0, len(leaves_of), LANES):
            lanes = leaves_of[first : first + LANES]
            groups.append([index, *lanes, *([lanes[-1]] * (LANES - len(lanes)))])

    tape = _Tape(ends, at)
    parts: list[tuple[tuple[int, int], tuple[int, int]]] = [((0, len(rows) - 1), (0, len(columns) - 1))]
    while len(parts) < tasks and any(_can_split(part) for part in parts):
        parts = [half for part in parts for half in (_split(part, rows, columns)[0] if _can_split(part) else [part])]
    done: dict[tuple[tuple[int, int], tuple[int, int]], Block] = {}

    def build(part: tuple[tuple[int, int], tuple[int, int]]) -> Block:
        if part in done:
            return done[part]
        if not _can_split(part):
            return placed[part[0][0], part[1][0]]
        (one, two), sideways = _split(part, rows, columns)
        return tape.pair(lambda: build(one), lambda: build(two), sideways, shape(*part))

    first_ops = []
    for part in parts:
        first_ops.append(len(tape.ops))
        tape.at = tape.peak  # tasks run at the same time: each has its own stretch of the buffer
        done[part] = build(part)
    first_ops.append(len(tape.ops))
    tape.at = tape.peak
    root = build(((0, len(rows) - 1), (0, len(columns) - 1)))
    table = np.array(tape.ops, dtype=np.int64).reshape(-1, MERGE_WIDTH)
    task_work = tape.work
    return Plan(
        np.array(leaf_ops, dtype=np.int64), np.array(list(classes.values()), dtype=np.int64),
        np.array(groups, dtype=np.int64), np.array(leaves, dtype=np.int64), table, np.array(first_ops, dtype=np.int64),
        tape.peak, task_work, tape.shared, root,
    )  # fmt: skip


def _can_split(part: tuple[tuple[int, int], tuple[int, int]]) -> bool:
    return part[0][1] - part[0][0] > 1 or part[1][1] - part[1][0] > 1


def _split(
    part: tuple[tuple[int, int], tuple[int, int]], rows: list[int], columns: list[int]
) -> tuple[list[tuple[tuple[int, int], tuple[int, int]]], bool]:
    """Halve the longer side that can be halved; True if the halves lie side by side."""
    r, c = part
    sideways = columns[c[1]] - columns[c[0]] >= rows[r[1]] - rows[r[0]]
    if (c if sideways else r)[1] - (c if sideways else r)[0] < 2:
        sideways = not sideways
    if sideways:
        middle = (c[0] + c[1]) // 2
        return [(r, (c[0], middle)), (r, (middle, c[1]))], True
    middle = (r[0] + r[1]) // 2
    return [((r[0], middle), c), ((middle, r[1]), c)], False


def _leaf_tape(block: Block, ends: Ends) -> tuple[_Tape, Block]:
    """Record the strips and merges of one leaf."""
    tape = _Tape(ends)
    a, b = block.left, block.bottom

    def build(first: int, last: int) -> Block:
        has_right = not ends.joined_row and (last < b or block.right > 0)
        if last - first == 1:
            return tape.strip(first, a, has_right, block.top > 0)
        middle = (first + last) // 2
        shape = Block(0, a, a * has_right, (last - first) * (block.top > 0), last - first)
        return tape.pair(lambda: build(first, middle), lambda: build(middle, last), True, shape)

    root = build(0, b)
    return tape, root


@kernel
def _reduce_group(
    group: IntArray, g: FloatArray, leaf_ops: IntArray, classes: IntArray, leaves: IntArray,
    half_row: float, between: float, half_column: float,
    left: FloatArray, right: FloatArray, top: FloatArray, bottom: FloatArray, buffer: FloatArray,
) -> None:  # fmt: skip
    first, n_ops, a, root, p, size, work, shared = classes[group[0]]
    lanes = np.empty(size * LANES)
    x, s = np.empty(work * LANES), np.empty((shared + 1) * shared * LANES)
    rows, columns = np.empty(LANES, dtype=np.int64), np.empty(LANES, dtype=np.int64)
    for op in range(first, first + n_ops):
        row = leaf_ops[op]
        if row[SHARED] < 0:
            for lane in range(LANES):
                rows[lane] = leaves[group[1 + lane], 0]
                columns[lane] = leaves[group[1 + lane], 1] + row[SHARED_A]
            strip(
                g, rows, columns, a, row[SEGMENTS] % 2 == 1, row[SEGMENTS] // 2 == 1, half_row, between, half_column,
                left, right, top, bottom, lanes, row[START],
            )  # fmt: skip
        else:
            join(row, lanes, x, s, LANES)
    for lane in range(LANES):
        to = leaves[group[1 + lane], 2]
        for k in range(p * p):
            buffer[to + k] = lanes[(root + k) * LANES + lane]


@kernel
def _run(ops: IntArray, first: int, last: int, buffer: FloatArray, work: int, shared: int) -> int:
    x, s = np.empty(work), np.empty((shared + 1) * shared)
    failed = 0
    for op in range(first, last):
        failed += join(ops[op], buffer, x, s, 1)
    return failed


@kernel(parallel=True)
def _reduce_one(
    g: FloatArray, leaf_ops: IntArray, classes: IntArray, groups: IntArray, leaves: IntArray, ops: IntArray,
    tasks: IntArray, work: int, shared: int,
    half_row: float, between: float, half_column: float,
    left: FloatArray, right: FloatArray, top: FloatArray, bottom: FloatArray, buffer: FloatArray,
) -> int:  # fmt: skip
    """Reduce the leaves, then the tasks of one array, each in parallel; returns the number of failed merges."""
    for k in prange(len(groups)):
        _reduce_group(
            groups[k], g, leaf_ops, classes, leaves, half_row, between, half_column, left, right, top, bottom, buffer
        )
    failed = np.zeros(len(tasks) - 1, dtype=np.int64)
    for k in prange(len(tasks) - 1):
        failed[k] = _run(ops, tasks[k], tasks[k + 1], buffer, work, shared)
    return int(failed.sum())


@kernel(parallel=True)
def _reduce_many(
    g: FloatArray, leaf_ops: IntArray, classes: IntArray, groups: IntArray, leaves: IntArray, ops: IntArray,
    size: int, work: int, shared: int,
    half_row: float, between: float, half_column: float,
    left: FloatArray, right: FloatArray, top: FloatArray, bottom: FloatArray,
    root: int, sides: IntArray, threads: int, transfers: FloatArray,
) -> int:  # fmt: skip
    """Reduce t arrays, one per thread at a time; returns the number of failed merges."""
    failed = np.zeros(threads, dtype=np.int64)
    for thread in prange(threads):
        buffer = np.empty(size)
        for t in range(thread, len(g), threads):
            for k in range(len(groups)):
                _reduce_group(
                    groups[k], g[t], leaf_ops, classes, leaves, half_row, between, half_column,
                    left, right, top, bottom, buffer,
                )  # fmt: skip
            failed[thread] += _run(ops, 0, len(ops), buffer, work, shared)
            _extract(buffer, root, sides, transfers[t])
    return int(failed.sum())


@kernel
def _extract(buffer: FloatArray, root: int, sides: IntArray, transfer: FloatArray) -> None:
    """Sum the couplings from a row's ports (left, right) to a column's ports (top, bottom)."""
    m, right, top, n = sides
    p = m + right + top + n
    for i in range(m):
        for j in range(n):
            total = buffer[root + i * p + p - n + j]
            if top > 0:
                total += buffer[root + i * p + m + right + j]
            if right > 0:
                total += buffer[root + (m + i) * p + p - n + j]
                if top > 0:
                    total += buffer[root + (m + i) * p + m + right + j]
            transfer[i, j] = total


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


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
    g = checks.array("g", g, ndim=3, minimum=0.0)
    t, m, n = g.shape
    if not m * n:
        raise ParameterError(f"g must have at least one row and one column, got shape {g.shape}")
    at = border(wires, m, n)
    if at.ends.joined_row or at.ends.joined_column:
        return np.array([transfer_matrix(each, wires) for each in g]).reshape(g.shape)
    steps = plan(m, n, at.ends)
    root = steps.root
    transfers = np.empty_like(g)
    sides = np.array([root.left, root.right, root.top, root.bottom], dtype=np.int64)
    with _blas().limit(limits=1):
        failed = _reduce_many(
            g, steps.leaf_ops, steps.classes, steps.groups, steps.leaves, steps.ops, steps.buffer,
            steps.work, steps.shared, *at.scalars, *at.lines, root.start, sides,
            min(threads(), t), transfers,
        )  # fmt: skip
    _check(failed, g, wires)
    return transfers


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
    work, shared = steps.work, steps.shared
    with _blas().limit(limits=1):
        failed = _reduce_one(
            g, steps.leaf_ops, steps.classes, steps.groups, steps.leaves, steps.ops, steps.tasks, work, shared,
            *at.scalars, *at.lines, buffer,
        )  # fmt: skip
    failed += _run(steps.ops, steps.tasks[-1], len(steps.ops), buffer, work, shared)
    _check(failed, g, wires)
    root = steps.root
    couplings = buffer[root.start : root.start + root.size].reshape(root.ports, root.ports)
    np.fill_diagonal(couplings, 0.0)
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
    m, n = root.left, root.bottom
    rows = [slice(0, m)] + ([slice(m, m + root.right)] if root.right else [])
    columns = [slice(root.ports - n, root.ports)] + ([slice(m + root.right, root.ports - n)] if root.top else [])
    transfer = sum((couplings[r, c] for r in rows for c in columns[1:]), couplings[rows[0], columns[0]].copy())
    exchange = sum((couplings[r, k] for r in rows for k in rows), np.zeros((m, m)))
    for r in rows[1:]:
        transfer = transfer + couplings[r, columns[0]]
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
