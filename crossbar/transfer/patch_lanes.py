"""Kernel that reduces a patch of a few cells to the couplings between its ports, in each lane of a vector register.

A patch grows from the top, one row of cells at a time.  The state is dense: the couplings of the column nodes of the
lowest row to every other node, and those between all ports so far.  All rows of a patch therefore run the same few
loops over neighbouring numbers.

a, b = rows and columns of the patch, v = lanes.  The other nodes of the state are numbered: column nodes of the lowest
row (b), top ports (b, or none), then the left port of each row followed by its right port, if it has one.
"""

from crossbar.transfer.merge_lanes import star
from crossbar.transfer.merge_table import (
    PATCH_COLUMNS,
    PATCH_FIRST,
    PATCH_PORTS,
    PATCH_ROWS,
    PATCH_START,
    stride,
)
from crossbar.transfer.patches import PATCH
from devices.aliases import FloatArray, IntArray
from devices.numerics.jit import kernel
from devices.numerics.simd import LANES, broadcast, fused, load, store

MOST_PORTS = 3 * PATCH  # most top, left and right ports of a patch
NODES = PATCH + MOST_PORTS  # most nodes of the state, an even number
#: floats of work space per lane: couplings of the column nodes, copies of them and products with a factor, couplings
#: between ports, couplings of a row node
PATCH_WORK = 3 * PATCH * NODES + MOST_PORTS * MOST_PORTS + PATCH + 1


@kernel
def _add_row(
    row: int, b: int, left: int, right: int, cells: FloatArray, arms: FloatArray, arm: int, segment: int, none: int,
    arm_right: int, work: FloatArray, between: int, u: int,
) -> None:  # fmt: skip
    """Eliminate the row nodes of one row of cells, from left to right.

    left, right: numbers of the row's ports, -1 for no right port.  arm, segment, arm_right, none: positions of the left
    arm, the first row segment, the right arm and an open arm.  between, u: first floats of sections of `work`.
    """
    v = LANES
    pair, step = 2 * v, NODES * v
    for j in range(b):  # u: couplings of the row node to the left port and to the column nodes 0 to j
        to = u + (1 + j) * v
        store(work, to, load(cells, (row * b + j) * v))
        first = 0 if j > 0 else 1  # the left port is the end of an arm for node 0
        total = broadcast(0.0)
        for k in range(first, j + 2):
            total = total + load(work, u + k * v)
        before = (arm if j == 0 else none) * pair
        after = (segment + j if j < b - 1 else (arm_right if right >= 0 else none)) * pair
        along, to_left, on, meeting = star(
            load(arms, before), load(arms, before + v), load(arms, after), load(arms, after + v), total
        )
        if j == 0:
            store(work, left * v, load(work, left * v) + to_left * load(work, to))
            store(work, u, along)
            store(work, to, on * load(work, to))
            continue
        for k in range(j + 1):
            scaled = meeting * load(work, u + (k + 1) * v)
            at = k * step
            store(work, at + left * v, fused(scaled, load(work, u), load(work, at + left * v)))
            for l in range(j + 1):
                place = at + l * v
                store(work, place, fused(scaled, load(work, u + (l + 1) * v), load(work, place)))
            store(work, at + k * v, broadcast(0.0))
        for k in range(j + 2):
            store(work, u + k * v, on * load(work, u + k * v))
    if right >= 0:
        for k in range(b):
            store(work, k * step + right * v, load(work, u + (k + 1) * v))
        store(work, between + ((right - b) * MOST_PORTS + left - b) * v, load(work, u))


@kernel
def _descend(
    row: int, b: int, nodes: int, tops: int, arms: FloatArray, arm_top: int, arm_below: int, none: int,
    work: FloatArray, copies: int, scaled: int, between: int,
) -> None:  # fmt: skip
    """Move the column nodes of the lowest row to the far ends of the wires below them, one after another.

    nodes: number of nodes of the state.  tops: number of top ports.  arm_top, arm_below, none: positions of arms.
    copies, scaled, between: first floats of sections of `work`.
    """
    v = LANES
    pair, step = 2 * v, NODES * v
    for j in range(b):
        mine = j * step
        total, odd = broadcast(0.0), broadcast(0.0)  # two sums, which the processor computes in parallel
        for k in range(0, nodes * v, 2 * v):  # beyond the last node is a 0
            total, odd = total + load(work, mine + k), odd + load(work, mine + k + v)
        total = total + odd
        upper = (arm_top + j if row == 0 and tops > 0 else none) * pair
        lower = (arm_below + j) * pair
        along, up, down, meeting = star(
            load(arms, upper), load(arms, upper + v), load(arms, lower), load(arms, lower + v), total
        )
        for k in range(0, nodes * v, v):
            one = load(work, mine + k)
            store(work, copies + mine + k, one)
            store(work, scaled + mine + k, meeting * one)
        for other in range(b):
            if other == j:
                continue
            factor = load(work, scaled + mine + other * v)
            at = other * step
            for k in range(0, nodes * v, v):
                store(work, at + k, fused(factor, load(work, copies + mine + k), load(work, at + k)))
            store(work, at + other * v, broadcast(0.0))
            store(work, at + j * v, down * load(work, copies + mine + other * v))
        for k in range(0, nodes * v, v):
            store(work, mine + k, down * load(work, mine + k))
        if row == 0 and tops > 0:
            own = b + j  # the top port above this node
            for other in range(b):
                if other != j:
                    place = other * step + own * v
                    store(work, place, fused(up, load(work, copies + mine + other * v), load(work, place)))
            for k in range(b, nodes):
                if k != own:
                    high, low = max(k, own) - b, min(k, own) - b
                    place = between + (high * MOST_PORTS + low) * v
                    store(work, place, fused(up, load(work, copies + mine + k * v), load(work, place)))
            store(work, mine + own * v, load(work, mine + own * v) + along)


@kernel
def _add_pairs(b: int, ports: int, work: FloatArray, copies: int, scaled: int, between: int) -> None:
    """Add to the couplings between all ports so far what the column nodes that moved couple, two rows at a time."""
    v = LANES
    step, row_step = NODES * v, MOST_PORTS * v
    for k in range(0, ports, 2):
        at = between + k * row_step
        for j in range(b):
            source = copies + j * step + b * v
            factor = scaled + j * step + (b + k) * v
            z_0, z_1 = load(work, factor), load(work, factor + v)
            for l in range(0, (k + 1) * v, v):
                y = load(work, source + l)
                store(work, at + l, fused(z_0, y, load(work, at + l)))
                store(work, at + row_step + l, fused(z_1, y, load(work, at + row_step + l)))


@kernel
def patch_block(
    op: IntArray, cells: FloatArray, arms: FloatArray, buffer: FloatArray, work: FloatArray, place: IntArray
) -> None:  # fmt: skip
    """Write the couplings between the ports of a patch in each lane.

    op: a row of the plan.  cells: (cells, LANES) [S].  arms: (arms, 2, LANES) as in `star`, in the order of
    merge_table.py.  work (PATCH_WORK * LANES), place (NODES): work space.
    Source: docs/equations/reduction.md eq. 3.
    """
    v = LANES
    a, b = op[PATCH_ROWS], op[PATCH_COLUMNS]
    sides = b if op[PATCH_FIRST + 2] >= 0 else 0  # top ports
    ends = 2 if op[PATCH_FIRST + 1] >= 0 else 1  # ports of a row
    step = NODES * v
    copies, scaled, between = PATCH * step, 2 * PATCH * step, 3 * PATCH * step
    u = between + MOST_PORTS * MOST_PORTS * v
    arm_row = 2 * a + 2 * b
    arm_column = arm_row + a * (b - 1)
    none = arm_column + (a - 1) * b
    zero = broadcast(0.0)
    for at in range(0, u, v):
        store(work, at, zero)
    for i in range(a):
        left = b + sides + i * ends
        _add_row(
            i, b, left, left + 1 if ends == 2 else -1, cells, arms, i, arm_row + i * (b - 1), none, a + i, work,
            between, u,
        )  # fmt: skip
        below = arm_column + i * b if i < a - 1 else 2 * a + b
        _descend(i, b, left + ends, sides, arms, 2 * a, below, none, work, copies, scaled, between)
        _add_pairs(b, left + ends - b, work, copies, scaled, between)
    ports = sides + ends * a
    for j in range(b):
        place[j] = op[PATCH_FIRST + 3] + j
        if sides > 0:
            place[b + j] = op[PATCH_FIRST + 2] + j
    for i in range(a):
        for end in range(ends):
            place[b + sides + i * ends + end] = op[PATCH_FIRST + end] + i
    start, out_step = op[PATCH_START] * v, stride(op[PATCH_PORTS]) * v
    for k in range(b + ports):
        mine = place[k]
        store(buffer, start + mine * (out_step + v), zero)
        for l in range(k):
            high, low = max(mine, place[l]), min(mine, place[l])
            source = l * step + k * v if l < b else between + ((k - b) * MOST_PORTS + l - b) * v
            store(buffer, start + high * out_step + low * v, load(work, source))
