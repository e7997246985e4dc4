"""Kernels of the reverse pass of the reduction, from derivatives by terminal couplings to derivatives by every cell.

A *slope* is the derivative of the function by one coupling.  Slopes are stored like the couplings themselves, as lower
triangles at the same positions of a buffer of equal layout.  Merges are reversed in the opposite order, each with the
factor and the couplings that its elimination stored (docs/equations/adjoint.md, section 2).  Leaves are reduced and
reversed four at a time, in lanes.

m = rows, n = columns, p = ports, s = nodes shared by two blocks, v = lanes
"""

import numpy as np

from crossbar.gradients.gradient_lanes import undo_join_lanes
from crossbar.transfer.borders import Border
from crossbar.transfer.merge_blas import eliminate, halves, join
from crossbar.transfer.merge_lanes import join_lanes, patch, star
from crossbar.transfer.merge_table import (
    ALONG,
    ARM_1,
    ARM_2,
    CELL,
    FIRST_SEGMENT,
    HAS_1,
    HAS_2,
    NEIGHBOURS,
    NODE,
    PATCH_COLUMN,
    PATCH_COLUMNS,
    PATCH_PROGRAM,
    PATCH_PROGRAM_END,
    PATCH_ROW,
    PATCH_ROWS,
    PATCH_START,
    PORTS,
    PORTS_A,
    SEGMENT,
    SEGMENTS,
    SHARED,
    START,
    START_A,
    TALL,
    copy_to,
    stride,
)
from crossbar.transfer.patches import PATCH
from crossbar.transfer.reduction_kernels import arms_of, exchange_leaves, lay_arms
from devices.aliases import FloatArray, IntArray
from devices.numerics.blas import solve_upper, times_symmetric, times_turned, times_two_sided
from devices.numerics.jit import kernel
from devices.numerics.simd import LANES, Vector, broadcast, fused, load, store

MOST_NODES = 2 * PATCH * PATCH  # most nodes of a patch
MOST_NEIGHBOURS = 8 * PATCH  # most neighbours of a node during the elimination of a patch


@kernel
def join_kept(ops: IntArray, places: IntArray, last: bool, buffer: FloatArray, x: FloatArray, s: FloatArray) -> int:
    """Run merges one after another and store the elimination of each; returns how many failed.

    places: (ops, 2) positions of each merge's section (s, p) of `x` and of its factor ((s + 1) s) in `s`.  last:
    whether the last merge gives the whole array, whose couplings are not needed.
    """
    failed = 0
    for k in range(len(ops)):
        kept, factor = x[places[k, 0] :], s[places[k, 1] :]
        if last and k == len(ops) - 1:
            a, b = halves(ops[k], buffer)
            failed += eliminate(ops[k], a, b, kept, factor)
        else:
            failed += join(ops[k], buffer, kept, factor)
    return failed


@kernel
def undo_joins(
    ops: IntArray, places: IntArray, rows: int, slopes: FloatArray, x: FloatArray, s: FloatArray, work: FloatArray
) -> None:  # fmt: skip
    """Compute the slopes of the halves of merged blocks, last merge first; x, s, places as `join_kept` left them.

    rows: number of row ports if the last merge is that of the whole array, whose slopes couple rows to columns only;
    else 0.  work: work space for the largest (s, p) and (s, s).  Source: docs/equations/adjoint.md eq. 4.
    """
    for k in range(len(ops) - 1, -1, -1):
        last = k == len(ops) - 1
        _undo_join(ops[k], rows if last else 0, slopes, x[places[k, 0] :], s[places[k, 1] :], work)


@kernel
def _undo_join(
    merge: IntArray, rows: int, slopes: FloatArray, x: FloatArray, s: FloatArray, work: FloatArray
) -> None:  # fmt: skip
    size, p = merge[SHARED], merge[PORTS]
    step = stride(p)
    block = slopes[merge[START] : merge[START] + p * step].reshape(p, step)
    solve_upper(s, x, size, p)  # x becomes the voltage of each shared node for 1 V at each port
    if rows > 0:
        times_two_sided(x, slopes[merge[START] + rows * step :], work, size, rows, p - rows, step)
    else:
        times_symmetric(x, slopes[merge[START] :], work, size, p, step)
    times_turned(work, x, work[size * p :], size, p)
    outer, inner = work[: size * p].reshape(size, p), work[size * p : size * (p + size)].reshape(size, size)
    for source in range(2):
        ports = merge[PORTS_A + source]
        half_step, keeps = stride(ports), ports - size
        half = slopes[merge[START_A + source] : merge[START_A + source] + ports * half_step].reshape(ports, half_step)
        for part in range(merge[SEGMENTS]):
            head = FIRST_SEGMENT + SEGMENT * part
            if merge[head] != source:
                continue
            from_, count, to = merge[head + 1], merge[head + 2], merge[head + 3]
            for other in range(part):
                head_2 = FIRST_SEGMENT + SEGMENT * other
                if merge[head_2] != source:
                    continue
                from_2, count_2, to_2 = merge[head_2 + 1], merge[head_2 + 2], merge[head_2 + 3]
                for i in range(count):
                    for j in range(count_2):
                        half[from_ + i, from_2 + j] = block[to + i, to_2 + j]
            for i in range(count):
                for j in range(i):
                    half[from_ + i, from_ + j] = block[to + i, to + j]
                half[from_ + i, from_ + i] = 0.0
            for u in range(size):
                own = 0.5 * inner[u, u]
                for i in range(count):
                    half[keeps + u, from_ + i] = outer[u, to + i] - own
        for u in range(size):
            for w in range(u):
                half[keeps + u, keeps + w] = inner[u, w] - 0.5 * (inner[u, u] + inner[w, w])
            half[keeps + u, keeps + u] = 0.0


@kernel(inline=True)
def _both(a: Vector, b: Vector) -> Vector:
    return a * b + a * b


@kernel
def _undo_patch(
    op: IntArray, program: IntArray, heads: IntArray, arms: FloatArray, slopes: FloatArray, y: FloatArray,
    d_cells: FloatArray, work: FloatArray,
) -> None:  # fmt: skip
    """Reverse the eliminations of a patch, last node first; fills the slopes by its cells, d_cells (cells, LANES).

    y: couplings as stored by `patch`.  heads: work space (nodes, 2) for the start of each node's program and couplings.
    work: work space (neighbours, LANES).  Source: docs/equations/adjoint.md eq. 3.
    """
    v = LANES
    start = op[PATCH_START] * v
    zero, half = broadcast(0.0), broadcast(0.5)
    at, kept, nodes = op[PATCH_PROGRAM], 0, 0
    while at < op[PATCH_PROGRAM_END]:
        count = program[at + NEIGHBOURS]
        heads[nodes, 0], heads[nodes, 1] = at, kept
        nodes += 1
        kept += count * v
        at += NODE + count * (1 + program[at + HAS_1] + program[at + HAS_2]) + count * (count - 1) // 2
    for node in range(nodes - 1, -1, -1):
        at, kept = heads[node]
        count = program[at + NEIGHBOURS]
        total = zero
        for k in range(count):
            total = total + load(y, kept + k * v)
        arm_1, arm_2 = program[at + ARM_1] * 2 * v, program[at + ARM_2] * 2 * v
        _, to_1, to_2, meeting = star(
            load(arms, arm_1), load(arms, arm_1 + v), load(arms, arm_2), load(arms, arm_2 + v), total
        )
        # node voltage = to_1 × that of arm 1's far end + to_2 × that of arm 2's + Σ meeting y_k × that of neighbour k
        own = zero
        if program[at + ALONG] >= 0:
            own = _both(to_1 * to_2, load(slopes, start + program[at + ALONG] * v))
        places = at + NODE + count
        for k in range(0, count * v, v):
            store(work, k, zero)
        for arm in range(2):
            if program[at + HAS_1 + arm] > 0:
                share = to_1 if arm == 0 else to_2
                for k in range(count):
                    slope = share * load(slopes, start + program[places + k] * v)
                    store(work, k * v, load(work, k * v) + slope)
                    own = fused(slope, meeting * load(y, kept + k * v), own)
                places += count
        for k in range(1, count):
            mine = load(work, k * v)
            y_k = meeting * load(y, kept + k * v)
            for j in range(k):
                slope = load(slopes, start + program[places + j] * v)
                mine = fused(slope, meeting * load(y, kept + j * v), mine)
                store(work, j * v, fused(slope, y_k, load(work, j * v)))
            store(work, k * v, mine)
            places += k
        for k in range(count):
            own = fused(meeting * load(y, kept + k * v), load(work, k * v), own)
        own = half * own
        places = at + NODE
        for k in range(count):
            store(slopes, start + program[places + k] * v, load(work, k * v) - own)
        if program[at + CELL] >= 0:
            cell = start + program[at + 1] * v
            store(d_cells, program[at + CELL] * v, load(slopes, cell))


@kernel
def _floats(op: IntArray, nodes: IntArray) -> tuple[int, int]:
    """Floats per lane that a step of a leaf stores in two parts: x or the arms, and the totals or the couplings."""
    if op[SHARED] >= 0:
        return (op[SHARED] + op[PORTS] + TALL) * op[SHARED], op[SHARED]
    at, kept = op[PATCH_PROGRAM], 0
    while at < op[PATCH_PROGRAM_END]:
        count = nodes[at + NEIGHBOURS]
        kept += count
        at += NODE + count * (1 + nodes[at + HAS_1] + nodes[at + HAS_2]) + count * (count - 1) // 2
    return arms_of(op[PATCH_ROWS], op[PATCH_COLUMNS]) * 2, kept


@kernel
def leaf_places(leaf_ops: IntArray, nodes: IntArray, classes: IntArray, places: IntArray) -> int:
    """Fill the positions (ops, 2) of the two parts that each step of a leaf stores; returns the floats of a leaf."""
    most = 0
    for kind in classes:
        at = 0
        for k in range(kind[0], kind[0] + kind[1]):
            one, two = _floats(leaf_ops[k], nodes)
            places[k, 0], places[k, 1] = at, at + one
            at += one + two
        most = max(most, at)
    return most


@kernel
def keep_leaves(
    groups: IntArray, g: FloatArray, leaf_ops: IntArray, nodes: IntArray, classes: IntArray, leaves: IntArray,
    sizes: tuple[int, ...], places: IntArray, at: Border, buffer: FloatArray, kept: FloatArray,
) -> None:  # fmt: skip
    """Do the same as `reduce_leaves` for one array g (m, n) [S], and store the eliminations in `kept` (groups, …)."""
    v = LANES
    m, n = g.shape
    lanes, cells = np.empty(sizes[0] * v), np.empty(PATCH * PATCH * v)
    alike = at.half_rows.size <= 1 and at.half_columns.size <= 1
    laid = np.full(len(leaf_ops), -1)  # for each step an inner group whose arms are filled, -1 for none
    for at_group in range(len(groups)):
        group, mine = groups[at_group], kept[at_group]
        kind = classes[group[0]]
        for k in range(kind[0], kind[0] + kind[1]):
            op = leaf_ops[k]
            first, second = mine[places[k, 0] * v : places[k, 1] * v], mine[places[k, 1] * v :]
            if op[SHARED] >= 0:
                join_lanes(op, lanes, first, second)
                continue
            a, b = op[PATCH_ROWS], op[PATCH_COLUMNS]
            border = not alike
            for lane in range(v):
                leaf = leaves[group[1 + lane]]
                row, column = leaf[0] + op[PATCH_ROW], leaf[1] + op[PATCH_COLUMN]
                border = border or row == 0 or column == 0 or row + a == m or column + b == n
                for i in range(a):
                    for j in range(b):
                        cells[(i * b + j) * v + lane] = g[row + i, column + j]
            if border or laid[k] < 0:
                grid = first.reshape(-1, 2, v)
                for lane in range(v):
                    leaf = leaves[group[1 + lane]]
                    row, column = leaf[0] + op[PATCH_ROW], leaf[1] + op[PATCH_COLUMN]
                    lay_arms(grid[:, :, lane], a, b, row, column, m, n, at)
                laid[k] = -1 if border else at_group
            else:
                copy_to(first, kept[laid[k], places[k, 0] * v : places[k, 1] * v])
            patch(op, nodes, cells, first, lanes, second, 1)
        exchange_leaves(group, kind, leaves, lanes, buffer, True)


@kernel
def undo_leaves(
    groups: IntArray, leaf_ops: IntArray, nodes: IntArray, classes: IntArray, leaves: IntArray,
    sizes: tuple[int, ...], places: IntArray, kept: FloatArray, slopes: FloatArray, d_g: FloatArray,
) -> None:  # fmt: skip
    """Reverse groups of leaves of one array in lanes, with the eliminations stored by `keep_leaves`: fills d_g (m, n).

    slopes: slopes of the couplings between the ports of all leaves, at their positions in the buffer of the plan.
    """
    v = LANES
    down = np.zeros(sizes[0] * v)
    cells, work = np.empty(PATCH * PATCH * v), np.empty(max(2 * sizes[1], MOST_NEIGHBOURS) * v)
    heads = np.empty((MOST_NODES, 2), dtype=np.int64)
    for at_group in range(len(groups)):
        group, mine = groups[at_group], kept[at_group]
        kind = classes[group[0]]
        exchange_leaves(group, kind, leaves, down, slopes, False)
        for k in range(kind[0] + kind[1] - 1, kind[0] - 1, -1):
            op = leaf_ops[k]
            first, second = mine[places[k, 0] * v : places[k, 1] * v], mine[places[k, 1] * v :]
            if op[SHARED] >= 0:
                undo_join_lanes(op, down, first, second, work)
                continue
            _undo_patch(op, nodes, heads, first, down, second, cells, work)
            a, b = op[PATCH_ROWS], op[PATCH_COLUMNS]
            for lane in range(v):
                leaf = leaves[group[1 + lane]]
                row, column = leaf[0] + op[PATCH_ROW], leaf[1] + op[PATCH_COLUMN]
                for i in range(a):
                    for j in range(b):
                        d_g[row + i, column + j] = cells[(i * b + j) * v + lane]


@kernel
def lay_slopes(d_transfer: FloatArray, counts: IntArray, block: FloatArray) -> None:
    """Fill the slopes (p, …) of the whole array's couplings from those of the transfer matrix, d_transfer (m, n).

    Both ends of a line get the same slopes.  counts: number of ports on the left, right, top and bottom.
    """
    m, n = d_transfer.shape
    rows, p = counts[0] + counts[1], counts.sum()
    for k in range(p):
        block[k, : k + 1] = 0.0
        if k >= rows:
            j = (k - rows) % n
            for i in range(rows):
                block[k, i] = d_transfer[i % m, j]


@kernel
def undo_arrays(
    arrays: IntArray, g: FloatArray, d_transfer: FloatArray,
    groups: IntArray, leaf_ops: IntArray, nodes: IntArray, classes: IntArray, leaves: IntArray, sizes: tuple[int, ...],
    leaf_at: IntArray, ops: IntArray, places: IntArray, counts: IntArray, start: int,
    at: Border, room: tuple[int, ...], d_g: FloatArray,
) -> int:  # fmt: skip
    """Compute the gradients of some arrays of g (t, m, n) [S] one after another; fills d_g, returns failed merges.

    room: floats of the buffer of the plan, of the eliminations that merges store (x and s), of work space, and of the
    eliminations of a group of leaves.
    """
    buffer, slopes = np.empty(room[0]), np.empty(room[0])
    x, s, work = np.empty(room[1]), np.empty(room[2]), np.empty(room[3])
    kept = np.empty((len(groups), room[4]))
    p = counts.sum()
    step = stride(p)
    failed = 0
    for t in arrays:
        keep_leaves(groups, g[t], leaf_ops, nodes, classes, leaves, sizes, leaf_at, at, buffer, kept)
        failed += join_kept(ops, places, True, buffer, x, s)
        lay_slopes(d_transfer[t], counts, slopes[start : start + p * step].reshape(p, step))
        undo_joins(ops, places, counts[0] + counts[1], slopes, x, s, work)
        undo_leaves(groups, leaf_ops, nodes, classes, leaves, sizes, leaf_at, kept, slopes, d_g[t])
    return failed
