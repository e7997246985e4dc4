"""In which order blocks of cells are merged, and where their ports lie: worked out once per array shape.

The order of a block's ports is dictated from above: what the merge above keeps comes first, in the order that the
joined block wants it, and what it eliminates comes last. m = rows, n = columns, p = ports
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from crossbar.transfer.merge_table import MERGE_WIDTH, PORTS, SHARED, TALL
from crossbar.transfer.patches import PATCH, padded, program
from devices.aliases import IntArray
from devices.numerics.simd import LANES

LEAF = 8  # cells on the side of a block that is reduced in lanes (benchmarks/solver.py --leaf compares)
LEFT, RIGHT, TOP, BOTTOM = range(4)
SIDES = (LEFT, RIGHT, TOP, BOTTOM)

Order = tuple[int, ...]  #: the four sides, first to last
Span = tuple[int, int]  #: first and one past the last


@dataclass(frozen=True)
class Ends:
    """Which far ends have terminals, and whether the lines of a direction have 0 Ω (each line one node)."""

    far_row: bool
    far_column: bool
    joined_row: bool
    joined_column: bool


@dataclass(frozen=True)
class Block:
    """A rectangle of cells: its place in the buffer, its ports on each side and the order of the sides."""

    start: int
    counts: tuple[int, ...]  #: ports on the left, right, top, bottom
    order: Order = SIDES

    @property
    def ports(self) -> int:
        """Number of ports."""
        return sum(self.counts)

    @property
    def size(self) -> int:
        """Number of floats that the couplings take, rows and columns padded to whole tiles."""
        rows, columns = padded(self.ports)
        return rows * columns

    def first(self, side: int) -> int:
        """Place of the first port of a side; -1 if the side has none."""
        before = self.order[: self.order.index(side)]
        return sum(self.counts[each] for each in before) if self.counts[side] else -1


@dataclass(frozen=True)
class Plan:
    """The merges of one array shape, as tables for the kernels."""

    leaf_ops: IntArray  #: (ops, MERGE_WIDTH) patches and merges of every leaf class, one class after another
    nodes: IntArray  #: programs of the patches
    classes: IntArray  #: (classes, 7): first op, ops, place of the root, its ports on 4 sides
    groups: IntArray  #: (groups, 1 + LANES): class, leaves
    leaves: IntArray  #: (leaves, 7): first row, first column, place in the buffer, place of the first port of each side
    ops: IntArray  #: (ops, MERGE_WIDTH) merges above the leaves, task after task, then those of the top
    tasks: IntArray  #: (tasks + 1,) first op of each task; the ops after the last task are the top
    buffer: int  #: floats of the whole buffer
    work: int  #: floats of work space for a merge above the leaves
    leaf: tuple[int, int, int]  #: floats in each lane of buffer and work space of a leaf, most nodes that it eliminates
    root: Block


@dataclass(frozen=True)
class LanePlan:
    """Patches and merges of a whole array, or of a leaf, for arrays side by side in the lanes of a register."""

    ops: IntArray  #: (ops, MERGE_WIDTH), the last one the merge of the root
    nodes: IntArray  #: programs of the patches
    buffer: int  #: floats of the buffer in each lane
    work: int  #: floats of work space for a merge in each lane
    shared: int  #: most nodes that a merge eliminates
    root: Block

    @property
    def flops(self) -> int:
        """Floating-point operations of the merges of one array, counted once where results are symmetric.

        Of the last merge only the couplings of rows to columns count, and what each row couples to the others in all;
        patches are left out.
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
    """A rectangle of cells, given by its borders."""

    rows: Span
    columns: Span


class _Tape:
    """Records merges while it hands out buffer space like a stack."""

    def __init__(self, m: int, n: int, ends: Ends, base: int = 0) -> None:
        self.m, self.n, self.ends = m, n, ends
        self.ops: list[list[int]] = []
        self.nodes: list[int] = []  # programs of all patches
        self.programs: dict[tuple[int, int, tuple[int, ...]], tuple[int, int, int]] = {}
        self.at = self.peak = base
        self.work = self.shared = 0

    def block(self, part: _Part, order: Order) -> Block:
        """Describe a part before it has a place."""
        (r_0, r_1), (c_0, c_1) = part.rows, part.columns
        right = not self.ends.joined_row and (c_1 < self.n or self.ends.far_row)
        top = not self.ends.joined_column and (r_0 > 0 or self.ends.far_column)
        return Block(0, (r_1 - r_0, (r_1 - r_0) * right, (c_1 - c_0) * top, c_1 - c_0), order)

    def reserve(self, block: Block) -> Block:
        """Give a block its place."""
        start, self.at = self.at, self.at + block.size
        self.peak = max(self.peak, self.at)
        return Block(start, block.counts, block.order)

    def patch(self, part: _Part, order: Order, origin: tuple[int, int]) -> Block:
        """Record a patch, the place of its cells relative to `origin`."""
        block = self.reserve(self.block(part, order))
        a, b = part.rows[1] - part.rows[0], part.columns[1] - part.columns[0]
        first = tuple(block.first(side) for side in SIDES)
        if (a, b, first) not in self.programs:
            nodes, space = program(a, b, first, block.ports)
            self.programs[a, b, first] = (space, len(self.nodes), len(self.nodes) + len(nodes))
            self.nodes.extend(nodes)
        mine = self.programs[a, b, first]
        self.peak = max(self.peak, block.start + mine[0])
        op = [-1, block.start, part.rows[0] - origin[0], part.columns[0] - origin[1], a, b, *mine]
        self.ops.append(op + [0] * (MERGE_WIDTH - len(op)))
        return block

    def pair(
        self, part: _Part, order: Order, split: tuple[_Part, _Part, bool], build: Callable[[_Part, Order], Block]
    ) -> Block:
        """Reserve the joined block, make both halves above it, join them and give their space back."""
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
        doubled = (TOP, BOTTOM) if sideways else (LEFT, RIGHT)  # sides to which both blocks contribute in turn
        line = LEFT if sideways else BOTTOM  # where lines of 0 Ω have their only ports
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


def _split(part: _Part, rows: list[int], columns: list[int]) -> tuple[_Part, _Part, bool] | None:
    """Halve a part along the cuts, its longer side first; None if no cut goes through it."""
    inner_rows = [cut for cut in rows if part.rows[0] < cut < part.rows[1]]
    inner_columns = [cut for cut in columns if part.columns[0] < cut < part.columns[1]]
    if not inner_rows and not inner_columns:
        return None
    wider = part.columns[1] - part.columns[0] >= part.rows[1] - part.rows[0]
    if inner_columns and (wider or not inner_rows):
        cut = inner_columns[len(inner_columns) // 2]
        return _Part(part.rows, (part.columns[0], cut)), _Part(part.rows, (cut, part.columns[1])), True
    cut = inner_rows[len(inner_rows) // 2]
    return _Part((part.rows[0], cut), part.columns), _Part((cut, part.rows[1]), part.columns), False


@lru_cache(maxsize=64)
def plan(m: int, n: int, ends: Ends, tasks: int = 1, leaf: int = LEAF) -> Plan:
    """Plan the merges of an m × n array; `tasks` > 1 splits them into subtrees that can run in parallel."""
    rows, columns = _cuts(m, leaf), _cuts(n, leaf)
    whole = _Part((0, m), (0, n))
    parts = [whole]
    while len(parts) < tasks:
        split = [_split(part, rows, columns) for part in parts]
        if all(each is None for each in split):
            break
        parts = [half for part, each in zip(parts, split, strict=True) for half in (each[:2] if each else (part,))]

    leaf_ops: list[list[int]] = []
    nodes: list[int] = []
    classes: dict[tuple[int, ...], list[int]] = {}
    members: dict[tuple[int, ...], list[int]] = {}
    leaves: list[list[int]] = []
    most = np.zeros(3, dtype=np.int64)
    space = _Tape(m, n, ends)  # the leaves' stretch of the buffer

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
        leaves.append([part.rows[0], part.columns[0], block.start, *(block.first(side) for side in SIDES)])
        return block

    # Leaves lie before all else, so their space must be known first: merges record places relative to it.
    tape = _Tape(m, n, ends, sum(space.block(part, SIDES).size for part in _leaves(whole, rows, columns)))
    done: dict[_Part, Block] = {}

    def build(part: _Part, order: Order) -> Block:
        if part in done:
            return done[part]
        split = _split(part, rows, columns)
        return leaf_block(part, order) if split is None else tape.pair(part, order, split, build)

    orders = _orders(whole, SIDES, set(parts), rows, columns, ends)
    first_ops = []
    for part in parts:
        first_ops.append(len(tape.ops))
        tape.at = tape.peak  # tasks run at the same time: each has its own stretch of the buffer
        done[part] = build(part, orders[part])
    first_ops.append(len(tape.ops))
    tape.at = tape.peak
    root = build(whole, SIDES)

    groups = []
    for index, leaves_of in enumerate(members[key] for key in classes):
        for first in range(0, len(leaves_of), LANES):
            lanes = leaves_of[first : first + LANES]
            groups.append([index, *lanes, *([lanes[-1]] * (LANES - len(lanes)))])

    return Plan(
        table(leaf_ops, MERGE_WIDTH), np.array(nodes, dtype=np.int64), table(list(classes.values()), 7),
        table(groups, 1 + LANES), table(leaves, 7),
        table(tape.ops, MERGE_WIDTH), np.array(first_ops, dtype=np.int64), tape.peak, tape.work,
        (int(most[0]), int(most[1]), int(most[2])), root,
    )  # fmt: skip


@lru_cache(maxsize=64)
def plan_lanes(m: int, n: int, ends: Ends) -> LanePlan:
    """Plan the merges of m × n arrays that are reduced side by side."""
    tape, root = _leaf_tape(_Part((0, m), (0, n)), m, n, ends, [])
    return LanePlan(
        table(tape.ops, MERGE_WIDTH), np.array(tape.nodes, dtype=np.int64), tape.peak, tape.work, tape.shared, root
    )


def _leaves(part: _Part, rows: list[int], columns: list[int]) -> list[_Part]:
    split = _split(part, rows, columns)
    return [part] if split is None else _leaves(split[0], rows, columns) + _leaves(split[1], rows, columns)


def _orders(
    part: _Part, order: Order, wanted: set[_Part], rows: list[int], columns: list[int], ends: Ends
) -> dict[_Part, Order]:
    """Port order that the merges above dictate to each wanted part."""
    if part in wanted:
        return {part: order}
    split = _split(part, rows, columns)
    if split is None:
        return {}
    sideways = split[2]
    together = ends.joined_row if sideways else ends.joined_column
    out: dict[_Part, Order] = {}
    for half, last in zip(split[:2], (RIGHT, LEFT) if sideways else (BOTTOM, TOP), strict=True):
        below = order if together else (*(side for side in order if side != last), last)
        out |= _orders(half, below, wanted, rows, columns, ends)
    return out


def _leaf_tape(part: _Part, m: int, n: int, ends: Ends, nodes: list[int]) -> tuple[_Tape, Block]:
    """Record the patches and merges of one leaf, its ports in the order left, right, top, bottom."""
    tape = _Tape(m, n, ends)
    tape.nodes = nodes
    origin = (part.rows[0], part.columns[0])
    (r_0, r_1), (c_0, c_1) = part.rows, part.columns
    rows = [r_0 + cut for cut in _cuts(r_1 - r_0, PATCH)]
    columns = [c_0 + cut for cut in _cuts(c_1 - c_0, 1 if ends.joined_row else PATCH)]

    def build(part: _Part, order: Order) -> Block:
        split = _split(part, rows, columns)
        return tape.patch(part, order, origin) if split is None else tape.pair(part, order, split, build)

    return tape, build(part, SIDES)
