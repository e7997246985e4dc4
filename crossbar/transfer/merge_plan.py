"""The order in which blocks of cells are merged, and the positions of their ports: computed once per array shape.

The parent merge determines the order of a block's ports.  Ports that the parent keeps come first, in the order of the
merged block, and ports that it eliminates come last.  m = rows, n = columns, p = ports
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from crossbar.transfer.merge_table import LEAF_WIDTH, MERGE_WIDTH, PORTS, SHARED, TALL
from crossbar.transfer.patches import PATCH, padded, program
from devices.aliases import IntArray
from devices.numerics.simd import LANES

LEAF = 8  # most cells on the side of a leaf of a small array, or where voltages or slopes inside it are needed, ours
LEAVES = ((64, 16), (32, 4), (16, 4))  # sides of leaves of a single array, and the fewest leaves to use them (ours)
MOST_UNITS = 8  # most units on the side of an array whose order of merges is searched, ours: bounds the search
LEFT, RIGHT, TOP, BOTTOM = range(4)
SIDES = (LEFT, RIGHT, TOP, BOTTOM)

Order = tuple[int, ...]  #: the four sides, first to last
Span = tuple[int, int]  #: first and one past the last


@dataclass(frozen=True)
class Ends:
    """Topology of an array's ends: which far ends are connected, and whether lines of 0 Ω are one node each."""

    far_row: bool  #: whether any row has a far end that is not open
    far_column: bool  #: whether any column has a far end that is not open
    joined_row: bool  #: whether each row is one node
    joined_column: bool  #: whether each column is one node


@dataclass(frozen=True)
class Block:
    """A rectangle of cells: its position in the buffer, its ports on each side and the order of the sides."""

    start: int  #: first float in the buffer
    counts: tuple[int, ...]  #: ports on the left, right, top, bottom
    order: Order = SIDES

    @property
    def ports(self) -> int:
        """Number of ports."""
        return sum(self.counts)

    @property
    def size(self) -> int:
        """Number of floats of the couplings, with rows and columns padded to whole tiles."""
        rows, columns = padded(self.ports)
        return rows * columns

    def first(self, side: int) -> int:
        """Position of the first port of a side; -1 if the side has none."""
        before = self.order[: self.order.index(side)]
        return sum(self.counts[each] for each in before) if self.counts[side] else -1


@dataclass(frozen=True)
class Plan:
    """The merges of one array shape, as tables for the kernels."""

    leaf_ops: IntArray  #: (ops, MERGE_WIDTH) patches and merges of all leaf classes, one class after another
    nodes: IntArray  #: programs of the patches
    classes: IntArray  #: (classes, 7): first op, number of ops, position of the root, its ports on 4 sides
    groups: IntArray  #: (groups, 1 + LANES): class and leaves of each group that is reduced together
    leaves: IntArray  #: (leaves, LEAF_WIDTH): first row and column, position in the buffer, ports, class of each leaf
    ops: IntArray  #: (ops, MERGE_WIDTH) merges above the leaves, task after task, then those above all tasks
    tasks: IntArray  #: (tasks + 1,) first op of each task, then the first op above all tasks
    buffer: int  #: floats of the whole buffer
    work: int  #: floats of work space for a merge above the leaves
    leaf: tuple[int, int, int]  #: for a leaf: floats per lane of buffer and work space, most nodes of an elimination
    root: Block  #: the whole array


@dataclass(frozen=True)
class LanePlan:
    """Patches and merges of a whole array, for arrays that are reduced in the lanes of a vector register."""

    ops: IntArray  #: (ops, MERGE_WIDTH), last the merge of the root
    nodes: IntArray  #: programs of the patches
    buffer: int  #: floats of the buffer per lane
    work: int  #: floats of work space for a merge per lane
    shared: int  #: most nodes that a merge eliminates
    root: Block  #: the whole array

    @property
    def flops(self) -> int:
        """Floating-point operations of the merges of one array; symmetric results are counted once.

        The last merge counts only the couplings between rows and columns and the sums of those between rows.  Patches
        are not counted.
        """
        m, _, _, n = self.root.counts
        *merges, last = (op for op in self.ops if op[SHARED] >= 0)
        s, p = int(last[SHARED]), int(last[PORTS])
        return sum(_merge_flops(op) for op in merges) + s**3 // 3 + s * s * p + 2 * s * m * n + 4 * s * m


def _merge_flops(op: IntArray) -> int:
    s, p = int(op[SHARED]), int(op[PORTS])
    return s**3 // 3 + s * s * p + s * p * p if s > 0 else 0


@dataclass(frozen=True)
class _Part:
    """A rectangle of cells, given by its spans of rows and columns."""

    rows: Span
    columns: Span


def _cells(part: _Part) -> int:
    return (part.rows[1] - part.rows[0]) * (part.columns[1] - part.columns[0])


class _Tape:
    """Recorder of merges, which allocates buffer space like a stack."""

    def __init__(self, m: int, n: int, ends: Ends, base: int = 0) -> None:
        self.m, self.n, self.ends = m, n, ends
        self.ops: list[list[int]] = []
        self.nodes: list[int] = []  # programs of all patches
        self.programs: dict[tuple[int, int, tuple[int, ...]], tuple[int, int, int]] = {}
        self.at = self.peak = base
        self.work = self.shared = 0

    def block(self, part: _Part, order: Order) -> Block:
        """Describe a part that has no position yet."""
        (r_0, r_1), (c_0, c_1) = part.rows, part.columns
        right = not self.ends.joined_row and (c_1 < self.n or self.ends.far_row)
        top = not self.ends.joined_column and (r_0 > 0 or self.ends.far_column)
        return Block(0, (r_1 - r_0, (r_1 - r_0) * right, (c_1 - c_0) * top, c_1 - c_0), order)

    def reserve(self, block: Block) -> Block:
        """Allocate the position of a block."""
        start, self.at = self.at, self.at + block.size
        self.peak = max(self.peak, self.at)
        return Block(start, block.counts, block.order)

    def patch(self, part: _Part, order: Order, origin: tuple[int, int]) -> Block:
        """Record a patch, with the position of its cells relative to `origin`."""
        block = self.reserve(self.block(part, order))
        a, b = part.rows[1] - part.rows[0], part.columns[1] - part.columns[0]
        first = tuple(block.first(side) for side in SIDES)
        if (a, b, first) not in self.programs:
            nodes, space = program(a, b, first, block.ports)
            self.programs[a, b, first] = (space, len(self.nodes), len(self.nodes) + len(nodes))
            self.nodes.extend(nodes)
        mine = self.programs[a, b, first]
        self.peak = max(self.peak, block.start + mine[0])
        op = [-1, block.start, part.rows[0] - origin[0], part.columns[0] - origin[1], a, b, *mine, block.ports, *first]
        self.ops.append(op + [0] * (MERGE_WIDTH - len(op)))
        return block

    def pair(
        self, part: _Part, order: Order, split: tuple[_Part, _Part, bool], build: Callable[[_Part, Order], Block]
    ) -> Block:
        """Allocate the merged block, build both halves after it, merge them and free their space."""
        one, two, sideways = split
        out = self.reserve(self.block(part, order))
        mark = self.at
        together = self.ends.joined_row if sideways else self.ends.joined_column
        meet = (RIGHT, LEFT) if sideways else (BOTTOM, TOP)
        halves = [
            build(half, order if together else (*(side for side in order if side != last), last))
            for half, last in ((one, meet[0]), (two, meet[1]))
        ]
        self._join(halves[0], halves[1], out, sideways, together)
        self.at = mark
        return out

    def _join(self, a: Block, b: Block, out: Block, sideways: bool, together: bool) -> None:
        doubled = (TOP, BOTTOM) if sideways else (LEFT, RIGHT)  # sides on which both blocks have ports
        line = LEFT if sideways else BOTTOM  # side of the only ports of lines of 0 Ω
        owner = {LEFT: 0, RIGHT: 1, TOP: 0, BOTTOM: 1}
        segments: list[list[int]] = []
        for side in out.order:
            if not out.counts[side]:
                continue
            sources = (0, 1) if side in doubled or (together and side == line) else (owner[side],)
            shift = 0
            for source in sources:
                block = (a, b)[source]
                segments.append([source, block.first(side), block.counts[side], out.first(side) + shift])
                shift += block.counts[side] if side in doubled else 0
        shared = 0 if together else a.counts[RIGHT if sideways else BOTTOM]
        op = [shared, a.ports, b.ports, out.ports, a.start, b.start, out.start, len(segments)]
        op.extend(number for segment in segments for number in segment)
        self.ops.append(op + [0] * (MERGE_WIDTH - len(op)))
        self.work = max(self.work, (shared + out.ports + TALL) * shared, (shared + 1) * shared)
        self.shared = max(self.shared, shared)


def table(entries: list[list[int]], width: int) -> IntArray:
    """Return rows of integers as an array, (0, width) where there are none."""
    return np.array(entries, dtype=np.int64).reshape(-1, width)


def _cuts(length: int, most: int) -> list[int]:
    parts = -(-length // most)
    return [length * k // parts for k in range(parts + 1)]


def _split(
    part: _Part, rows: list[int], columns: list[int], m: int, n: int, ends: Ends
) -> tuple[_Part, _Part, bool] | None:
    """Halve a part of an m × n array at one of the cuts; None if no cut crosses it.

    At most MOST_UNITS by MOST_UNITS units, groups of neighbouring cuts, are halved where `merge_order` says; smaller
    parts, and arrays with lines that are one node, across their longer side.
    """
    inner_rows = [cut for cut in rows if part.rows[0] < cut < part.rows[1]]
    inner_columns = [cut for cut in columns if part.columns[0] < cut < part.columns[1]]
    if not inner_rows and not inner_columns:
        return None
    if not ends.joined_row and not ends.joined_column:
        coarse_rows, coarse_columns = _units(part.rows, rows), _units(part.columns, columns)
        if len(coarse_rows) > 2 or len(coarse_columns) > 2:
            sides = (part.columns[0] == 0, part.columns[1] == n, part.rows[0] == 0, part.rows[1] == m)
            far = (sides[RIGHT] and not ends.far_row, sides[TOP] and not ends.far_column)
            height = (part.rows[1] - part.rows[0]) / (len(coarse_rows) - 1)
            width = (part.columns[1] - part.columns[0]) / (len(coarse_columns) - 1)
            sideways, at = merge_order(
                len(coarse_rows) - 1, len(coarse_columns) - 1, round(width / height, 3), far, all(sides)
            )[1]
            return _halves(part, coarse_columns[at] if sideways else coarse_rows[at], sideways)
    wider = part.columns[1] - part.columns[0] >= part.rows[1] - part.rows[0]
    if inner_columns and (wider or not inner_rows):
        return _halves(part, inner_columns[len(inner_columns) // 2], True)
    return _halves(part, inner_rows[len(inner_rows) // 2], False)


def _halves(part: _Part, cut: int, sideways: bool) -> tuple[_Part, _Part, bool]:
    if sideways:
        return _Part(part.rows, (part.columns[0], cut)), _Part(part.rows, (cut, part.columns[1])), True
    return _Part((part.rows[0], cut), part.columns), _Part((cut, part.rows[1]), part.columns), False


def _units(span: Span, cuts: list[int]) -> list[int]:
    """Cuts of a span that delimit its units, ends included; the array has at most MOST_UNITS of them on a side."""
    step = -(-(len(cuts) - 1) // MOST_UNITS)
    return [span[0], *(cut for cut in cuts[::step] if span[0] < cut < span[1]), span[1]]


@lru_cache(maxsize=1 << 16)
def merge_order(
    a: int, b: int, ratio: float, open_far: tuple[bool, bool], whole: bool
) -> tuple[float, tuple[bool, int]]:
    """Return the least operations that merges of a × b units take, and the last merge: sideways or not, and its cut.

    ratio: width of a unit over its height.  open_far: whether the block has no ports at the right and at the top.
    whole: whether the block is the whole array, whose last merge computes only couplings of rows to columns.
    """
    if a == b == 1:
        return 0.0, (False, 0)
    right, top = open_far
    width = b * ratio
    ports = a * (2 - right) + width * (2 - top)
    best = (float("inf"), (False, 0))
    for sideways, count, shared in ((True, b, float(a)), (False, a, width)):
        own = shared**3 / 3 + shared**2 * ports + shared * (2 * a * width if whole else ports**2)
        for at in range(1, count):
            if sideways:
                halves = (a, at, (False, top)), (a, b - at, (right, top))
            else:
                halves = (at, b, (right, top)), (a - at, b, (right, False))
            total = own + sum(merge_order(*shape, ratio, far, False)[0] for *shape, far in halves)
            best = min(best, (total, (sideways, at)), key=lambda each: each[0])
    return best


@lru_cache(maxsize=64)
def plan(m: int, n: int, ends: Ends, tasks: int = 1, leaf: int = LEAF) -> Plan:
    """Plan the merges of an m × n array; `tasks` > 1 splits them into subtrees that can run in parallel."""
    rows, columns = _cuts(m, leaf), _cuts(n, leaf)
    whole = _Part((0, m), (0, n))
    parts = [whole]
    while len(parts) < tasks:  # halve the largest part that has a cut
        split = [(part, halves) for part in parts if (halves := _split(part, rows, columns, m, n, ends))]
        if not split:
            break
        part, halves = max(split, key=lambda each: _cells(each[0]))
        at = parts.index(part)
        parts[at : at + 1] = halves[:2]

    leaf_ops: list[list[int]] = []
    nodes: list[int] = []
    classes: dict[tuple[int, ...], list[int]] = {}
    members: dict[tuple[int, ...], list[int]] = {}
    leaves: list[list[int]] = []
    most = np.zeros(3, dtype=np.int64)
    space = _Tape(m, n, ends)  # the section of the buffer for leaves

    def leaf_block(part: _Part, order: Order) -> Block:
        block = space.reserve(space.block(part, order))
        if block.counts not in classes:
            recorded, root = _leaf_tape(part, m, n, ends, nodes)
            classes[block.counts] = [
                len(leaf_ops), len(recorded.ops), root.start, *block.counts,
            ]  # fmt: skip
            leaf_ops.extend(recorded.ops)
            most[:] = np.maximum(most, (recorded.peak, recorded.work, recorded.shared))
        members.setdefault(block.counts, []).append(len(leaves))
        ports = [block.first(side) for side in SIDES]
        kind = list(classes).index(block.counts)
        leaves.append([part.rows[0], part.columns[0], block.start, *ports, block.ports, kind])
        return block

    # Leaves come first in the buffer, so their total size must be known before merges record positions.
    tape = _Tape(m, n, ends, sum(space.block(part, SIDES).size for part in _leaves(whole, rows, columns, m, n, ends)))
    done: dict[_Part, Block] = {}

    def build(part: _Part, order: Order) -> Block:
        if part in done:
            return done[part]
        split = _split(part, rows, columns, m, n, ends)
        return leaf_block(part, order) if split is None else tape.pair(part, order, split, build)

    orders = _orders(whole, SIDES, set(parts), rows, columns, m, n, ends)
    first_ops = []
    for part in parts:
        first_ops.append(len(tape.ops))
        tape.at = tape.peak  # tasks run in parallel, so each has its own section of the buffer
        done[part] = build(part, orders[part])
    first_ops.append(len(tape.ops))
    tape.at = tape.peak
    root = build(whole, SIDES)

    return Plan(
        table(leaf_ops, MERGE_WIDTH), np.array(nodes, dtype=np.int64), table(list(classes.values()), 7),
        table(_groups(list(classes), members), 1 + LANES), table(leaves, LEAF_WIDTH),
        table(tape.ops, MERGE_WIDTH), np.array(first_ops, dtype=np.int64), tape.peak, tape.work,
        (int(most[0]), int(most[1]), int(most[2])), root,
    )  # fmt: skip


@lru_cache(maxsize=64)
def leaf_side(m: int, n: int) -> int:
    """Most cells on the side of a leaf of an m × n array: large leaves, as long as their number fills the lanes."""
    return next((side for side, fewest in LEAVES if -(-m // side) * -(-n // side) >= fewest), LEAF)


@lru_cache(maxsize=64)
def plan_lanes(m: int, n: int, ends: Ends) -> LanePlan:
    """Plan the merges of m × n arrays that are reduced in lanes."""
    tape, root = _leaf_tape(_Part((0, m), (0, n)), m, n, ends, [])
    return LanePlan(
        table(tape.ops, MERGE_WIDTH), np.array(tape.nodes, dtype=np.int64), tape.peak, tape.work, tape.shared, root
    )


def _groups(classes: list[Order], members: dict[Order, list[int]]) -> list[list[int]]:
    """Divide the leaves of each class (ports on the four sides) into groups of LANES, each with its class first.

    Leaves that fill no group may run in the lanes of a class with more sides, whose additional ends are open.
    """
    full: list[list[int]] = []
    rest: list[tuple[int, list[int]]] = []
    for index, counts in enumerate(classes):
        own = members[counts]
        whole = len(own) // LANES * LANES
        full.extend([index, *own[k : k + LANES]] for k in range(0, whole, LANES))
        if whole < len(own):
            rest.append((index, own[whole:]))
    rest.sort(key=lambda each: (-sum(classes[each[0]]), each[0]))
    while rest:
        index, lanes = rest.pop(0)
        for other in sorted(rest, key=lambda each: -len(each[1])):
            mine, theirs = classes[index], classes[other[0]]
            same = mine[LEFT] == theirs[LEFT] and mine[BOTTOM] == theirs[BOTTOM]
            covers = all(one >= two for one, two in zip(mine, theirs, strict=True))
            if same and covers and len(lanes) + len(other[1]) <= LANES:
                lanes = [*lanes, *other[1]]
                rest.remove(other)
        full.append([index, *lanes, *([lanes[-1]] * (LANES - len(lanes)))])
    return sorted(full, key=lambda group: group[0])


def _leaves(part: _Part, rows: list[int], columns: list[int], m: int, n: int, ends: Ends) -> list[_Part]:
    split = _split(part, rows, columns, m, n, ends)
    return (
        [part] if split is None else [each for half in split[:2] for each in _leaves(half, rows, columns, m, n, ends)]
    )


def _orders(
    part: _Part, order: Order, wanted: set[_Part], rows: list[int], columns: list[int], m: int, n: int, ends: Ends
) -> dict[_Part, Order]:
    """Order of ports that the merges above require of each wanted part."""
    if part in wanted:
        return {part: order}
    split = _split(part, rows, columns, m, n, ends)
    if split is None:
        return {}
    sideways = split[2]
    together = ends.joined_row if sideways else ends.joined_column
    out: dict[_Part, Order] = {}
    for half, last in zip(split[:2], (RIGHT, LEFT) if sideways else (BOTTOM, TOP), strict=True):
        below = order if together else (*(side for side in order if side != last), last)
        out |= _orders(half, below, wanted, rows, columns, m, n, ends)
    return out


def _leaf_tape(part: _Part, m: int, n: int, ends: Ends, nodes: list[int]) -> tuple[_Tape, Block]:
    """Record the patches and merges of one leaf, with ports in the order left, right, top, bottom."""
    tape = _Tape(m, n, ends)
    tape.nodes = nodes
    origin = (part.rows[0], part.columns[0])
    (r_0, r_1), (c_0, c_1) = part.rows, part.columns
    rows = [r_0 + cut for cut in _cuts(r_1 - r_0, PATCH)]
    columns = [c_0 + cut for cut in _cuts(c_1 - c_0, 1 if ends.joined_row else PATCH)]

    def build(part: _Part, order: Order) -> Block:
        split = _split(part, rows, columns, m, n, ends)
        return tape.patch(part, order, origin) if split is None else tape.pair(part, order, split, build)

    return tape, build(part, SIDES)
