"""Kernels that merge blocks of cells, each described only by the conductances between its ports.

A block is stored as its matrix of *couplings*, the positive conductances between every two of its ports
(docs/equations/reduction.md).  No node of a block is connected to 0 V, so each diagonal element of its nodal matrix is
a row sum of couplings and need not be stored.  Merging two blocks is a Schur complement over their shared nodes.  In
terms of couplings it only adds positive numbers, except for the pivots of the shared nodes.  So couplings lose no
digits by cancellation at any ratio of cell to wire conductance, unless whole lines float (reduction.md states the
limits).  Only the lower triangle is stored.  The ports that the next merge eliminates come last, so that a merge reads
whole rows.

Small blocks, and arrays of equal shape, are merged four at a time, one in each lane of a vector register.  Small tiles
of results stay in registers over a whole sum.  Large blocks of one array are merged by BLAS (merge_blas.py).

a, b = rows and columns of a block, p = ports, s = ports shared by two blocks, v = lanes
Element (i, j), j < i, in lane l of a block that starts at `start` is
``buffer[(start + i * stride(p) + j) * v + l]``.  Rows and columns are padded to whole tiles, so that no tile needs a
special case at the edge.
"""

from crossbar.transfer.merge_table import (
    ALONG,
    ARM_1,
    ARM_2,
    CELL,
    CELL_PLACE,
    FIRST_SEGMENT,
    HAS_1,
    HAS_2,
    NEIGHBOURS,
    NODE,
    PATCH_PROGRAM,
    PATCH_PROGRAM_END,
    PATCH_SPACE,
    PATCH_START,
    PORTS,
    PORTS_A,
    PORTS_B,
    SEGMENT,
    SEGMENTS,
    SHARED,
    START,
    START_A,
    START_B,
    TALL,
    WIDE,
    add_to,
    stride,
)
from devices.aliases import FloatArray, IntArray
from devices.numerics.jit import kernel
from devices.numerics.simd import LANES, Vector, broadcast, fused, load, positive_or, root, store

NEAR = 1 << 14  # floats of a group of rows that stay in the cache while all other rows are read, ours


@kernel(inline=True)
def star(a_1: Vector, b_1: Vector, a_2: Vector, b_2: Vector, y: Vector) -> tuple[Vector, Vector, Vector, Vector]:
    """Eliminate a node with two arms of resistance a / b and other couplings y_k of sum y (star-mesh transformation).

    Returns the coupling between the far ends of the arms, and the factors that turn y_k into the coupling from arm 1 to
    k, y_k into that from arm 2 to k, and y_k y_l into that from k to l.  An arm of 0 ohm has a = 0, an open arm b = 0.
    At most one arm may have 0 ohm.  Source: docs/equations/reduction.md eq. 3.
    """
    one = broadcast(1.0)
    d = fused(a_1 * a_2, y, fused(a_1, b_2, a_2 * b_1))
    inverse = one / positive_or(d, one)  # d = 0: a node without any coupling
    return b_1 * b_2 * inverse, a_2 * b_1 * inverse, a_1 * b_2 * inverse, a_1 * a_2 * inverse


@kernel
def patch(
    op: IntArray, program: IntArray, cells: FloatArray, arms: FloatArray, buffer: FloatArray, y: FloatArray,
    keep: int,
) -> None:  # fmt: skip
    """Write the couplings of a patch of a few cells in each lane, by eliminating its nodes one after another.

    op: a row of the plan.  program: the table of patches.py; for each node NODE numbers, then the positions of its
    couplings, of those from its neighbours to the far ends of its arms, and of those between every two neighbours.
    cells: (cells, LANES) [S].  arms: (arms, 2, LANES) as in `star`.  y (neighbours * LANES): work space.  With keep = 1
    y has such a section for every node and keeps the couplings of all nodes at their elimination.
    """
    v = LANES
    start = op[PATCH_START] * v
    kept = 0  # place of the node's couplings in y
    zero = broadcast(0.0)
    for at in range(start, start + op[PATCH_SPACE] * v, v):
        store(buffer, at, zero)
    at = op[PATCH_PROGRAM]
    while at < op[PATCH_PROGRAM_END]:
        arm_1, arm_2 = program[at + ARM_1] * 2 * v, program[at + ARM_2] * 2 * v
        count = program[at + NEIGHBOURS]
        if program[at + CELL] >= 0:
            store(buffer, start + program[at + CELL_PLACE] * v, load(cells, program[at + CELL] * v))
        places = at + NODE
        total = zero
        for k in range(count):
            place = start + program[places + k] * v
            one = load(buffer, place)
            total = total + one
            store(y, kept + k * v, one)
            store(buffer, place, zero)
        along, to_1, to_2, meeting = star(
            load(arms, arm_1), load(arms, arm_1 + v), load(arms, arm_2), load(arms, arm_2 + v), total
        )
        places += count
        if program[at + ALONG] >= 0:
            place = start + program[at + ALONG] * v
            store(buffer, place, load(buffer, place) + along)
        if program[at + HAS_1] > 0:
            for k in range(count):
                place = start + program[places + k] * v
                store(buffer, place, fused(to_1, load(y, kept + k * v), load(buffer, place)))
            places += count
        if program[at + HAS_2] > 0:
            for k in range(count):
                place = start + program[places + k] * v
                store(buffer, place, fused(to_2, load(y, kept + k * v), load(buffer, place)))
            places += count
        for k in range(1, count):
            scaled = meeting * load(y, kept + k * v)
            for j in range(k):
                place = start + program[places + j] * v
                store(buffer, place, fused(scaled, load(y, kept + j * v), load(buffer, place)))
            places += k
        kept += keep * count * v
        at = places


@kernel
def _fill_lanes(merge: IntArray, buffer: FloatArray, v: int) -> None:
    """Do the same as `fill_block` in each lane."""
    together = merge[SHARED] == 0
    out, step = merge[START] * v, stride(merge[PORTS]) * v
    zero = broadcast(0.0)
    if together:
        for at in range(out, out + merge[PORTS] * step, v):
            store(buffer, at, zero)
    for part in range(merge[SEGMENTS]):
        head = FIRST_SEGMENT + SEGMENT * part
        source, count = merge[head], merge[head + 2]
        block_step = stride(merge[PORTS_A + source]) * v
        rows = merge[START_A + source] * v + merge[head + 1] * block_step
        to = out + merge[head + 3] * step
        for other in range(part + 1):
            head_2 = FIRST_SEGMENT + SEGMENT * other
            from_, run = rows + merge[head_2 + 1] * v, merge[head_2 + 2] * v
            at = to + merge[head_2 + 3] * v
            same = merge[head_2] == source
            if together and not same:
                continue
            for i in range(count):
                if other == part:
                    run = (i + 1) * v
                if not same:
                    for k in range(0, run, v):
                        store(buffer, at + k, zero)
                elif together:
                    for k in range(0, run, v):
                        store(buffer, at + k, load(buffer, at + k) + load(buffer, from_ + k))
                else:
                    for k in range(0, run, v):
                        store(buffer, at + k, load(buffer, from_ + k))
                at += step
                from_ += block_step


@kernel(inline=True)
def _tile(
    x: FloatArray, i: int, j: int, depth: int, step: int,
    c_00: Vector, c_01: Vector, c_02: Vector, c_03: Vector, c_10: Vector, c_11: Vector, c_12: Vector, c_13: Vector,
    c_20: Vector, c_21: Vector, c_22: Vector, c_23: Vector,
) -> tuple[Vector, ...]:  # fmt: skip
    """Add to a 3 × 4 tile the scalar products of three rows of x, from index i, and four rows, from index j.

    depth: number of terms of each product.  The 12 sums stay in registers.
    """
    i_1, i_2, j_1, j_2, j_3 = i + step, i + 2 * step, j + step, j + 2 * step, j + 3 * step
    for k in range(0, depth * LANES, LANES):
        a_0, a_1, a_2 = load(x, i + k), load(x, i_1 + k), load(x, i_2 + k)
        b = load(x, j + k)
        c_00, c_10, c_20 = fused(a_0, b, c_00), fused(a_1, b, c_10), fused(a_2, b, c_20)
        b = load(x, j_1 + k)
        c_01, c_11, c_21 = fused(a_0, b, c_01), fused(a_1, b, c_11), fused(a_2, b, c_21)
        b = load(x, j_2 + k)
        c_02, c_12, c_22 = fused(a_0, b, c_02), fused(a_1, b, c_12), fused(a_2, b, c_22)
        b = load(x, j_3 + k)
        c_03, c_13, c_23 = fused(a_0, b, c_03), fused(a_1, b, c_13), fused(a_2, b, c_23)
    return c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23


@kernel(inline=True)
def _add_tile(x: FloatArray, i: int, j: int, depth: int, step: int, out: FloatArray, at: int, out_step: int) -> None:
    """Add the scalar products of three rows of x with four rows of x to the tile of `out` at index `at`."""
    v = LANES
    at_1, at_2 = at + out_step, at + 2 * out_step
    c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23 = _tile(
        x, i, j, depth, step,
        load(out, at), load(out, at + v), load(out, at + 2 * v), load(out, at + 3 * v),
        load(out, at_1), load(out, at_1 + v), load(out, at_1 + 2 * v), load(out, at_1 + 3 * v),
        load(out, at_2), load(out, at_2 + v), load(out, at_2 + 2 * v), load(out, at_2 + 3 * v),
    )  # fmt: skip
    store(out, at, c_00)
    store(out, at + v, c_01)
    store(out, at + 2 * v, c_02)
    store(out, at + 3 * v, c_03)
    store(out, at_1, c_10)
    store(out, at_1 + v, c_11)
    store(out, at_1 + 2 * v, c_12)
    store(out, at_1 + 3 * v, c_13)
    store(out, at_2, c_20)
    store(out, at_2 + v, c_21)
    store(out, at_2 + 2 * v, c_22)
    store(out, at_2 + 3 * v, c_23)


@kernel(inline=True)
def _pivot(x: FloatArray, j: int, size: int, total: Vector) -> Vector:
    """Return 1 / pivot of row j of the factor; 1 for a node without any coupling."""
    one = broadcast(1.0)
    for k in range(j):
        n = load(x, (j * size + k) * LANES)
        total = total - n * n
    return one / root(positive_or(total, one))


@kernel
def _factorise(x: FloatArray, size: int, rows: int, total: FloatArray) -> None:
    """Eliminate `size` nodes: x (rows, size, LANES) contains couplings and becomes the rows of the Cholesky factor.

    The off-diagonal elements of the factor are stored without their minus sign, so that all numbers are positive.  The
    first `size` rows belong to the nodes themselves; only their lower triangle is used.  total (size, LANES): sums of
    the couplings of each node, overwritten by one over the diagonal of the factor.  The columns are processed in panels
    of WIDE, whose tiles of TALL rows stay in registers.
    """
    v = LANES
    step = size * v
    whole = size // WIDE * WIDE
    for j in range(0, whole, WIDE):
        for i in range(j, j + WIDE):  # rows of the panel itself
            for column in range(j, i):
                c = load(x, i * step + column * v)
                for k in range(column):
                    c = fused(load(x, i * step + k * v), load(x, column * step + k * v), c)
                store(x, i * step + column * v, c * load(total, column * v))
            store(total, i * v, _pivot(x, i, size, load(total, i * v)))
        at = j * step
        p_0, p_1, p_2, p_3 = (
            load(total, j * v),
            load(total, (j + 1) * v),
            load(total, (j + 2) * v),
            load(total, (j + 3) * v),
        )
        for i in range((j + WIDE) * step, rows * step, TALL * step):
            i_1, i_2, jv = i + step, i + 2 * step, j * v
            c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23 = _tile(
                x, i, at, j, step,
                load(x, i + jv), load(x, i + jv + v), load(x, i + jv + 2 * v), load(x, i + jv + 3 * v),
                load(x, i_1 + jv), load(x, i_1 + jv + v), load(x, i_1 + jv + 2 * v), load(x, i_1 + jv + 3 * v),
                load(x, i_2 + jv), load(x, i_2 + jv + v), load(x, i_2 + jv + 2 * v), load(x, i_2 + jv + 3 * v),
            )  # fmt: skip
            c_00, c_10, c_20 = c_00 * p_0, c_10 * p_0, c_20 * p_0
            n = load(x, at + step + jv)
            c_01, c_11, c_21 = fused(c_00, n, c_01) * p_1, fused(c_10, n, c_11) * p_1, fused(c_20, n, c_21) * p_1
            n = load(x, at + 2 * step + jv)
            c_02, c_12, c_22 = fused(c_00, n, c_02), fused(c_10, n, c_12), fused(c_20, n, c_22)
            n = load(x, at + 2 * step + jv + v)
            c_02, c_12, c_22 = fused(c_01, n, c_02) * p_2, fused(c_11, n, c_12) * p_2, fused(c_21, n, c_22) * p_2
            n = load(x, at + 3 * step + jv)
            c_03, c_13, c_23 = fused(c_00, n, c_03), fused(c_10, n, c_13), fused(c_20, n, c_23)
            n = load(x, at + 3 * step + jv + v)
            c_03, c_13, c_23 = fused(c_01, n, c_03), fused(c_11, n, c_13), fused(c_21, n, c_23)
            n = load(x, at + 3 * step + jv + 2 * v)
            c_03, c_13, c_23 = fused(c_02, n, c_03) * p_3, fused(c_12, n, c_13) * p_3, fused(c_22, n, c_23) * p_3
            store(x, i + jv, c_00)
            store(x, i + jv + v, c_01)
            store(x, i + jv + 2 * v, c_02)
            store(x, i + jv + 3 * v, c_03)
            store(x, i_1 + jv, c_10)
            store(x, i_1 + jv + v, c_11)
            store(x, i_1 + jv + 2 * v, c_12)
            store(x, i_1 + jv + 3 * v, c_13)
            store(x, i_2 + jv, c_20)
            store(x, i_2 + jv + v, c_21)
            store(x, i_2 + jv + 2 * v, c_22)
            store(x, i_2 + jv + 3 * v, c_23)
    for j in range(whole, size):  # columns after the last whole panel
        inverse = _pivot(x, j, size, load(total, j * v))
        store(total, j * v, inverse)
        for i in range((j + 1) * step, rows * step, step):
            c = load(x, i + j * v)
            for k in range(0, j * v, v):
                c = fused(load(x, i + k), load(x, j * step + k), c)
            store(x, i + j * v, c * inverse)


@kernel
def _gather(merge: IntArray, buffer: FloatArray, x: FloatArray, total: FloatArray) -> None:
    """Copy the couplings of shared nodes to each other and to the kept ports to `x`, and their sums to `total`."""
    v = LANES
    size, p = merge[SHARED], merge[PORTS]
    step = size * v
    keeps_a, keeps_b = merge[PORTS_A] - size, merge[PORTS_B] - size
    step_a, step_b = stride(merge[PORTS_A]) * v, stride(merge[PORTS_B]) * v
    zero = broadcast(0.0)
    for at in range((size + p) * step, (size + p + TALL) * step, v):  # padding rows of the last tile
        store(x, at, zero)
    for at in range(0, step, v):
        store(total, at, zero)
    for i in range(size):
        row_a, row_b = merge[START_A] * v + (keeps_a + i) * step_a, merge[START_B] * v + (keeps_b + i) * step_b
        mine = load(total, i * v)
        for j in range(0, i * v, v):
            coupling = load(buffer, row_a + keeps_a * v + j) + load(buffer, row_b + keeps_b * v + j)
            store(x, i * step + j, coupling)
            mine = mine + coupling
            store(total, j, load(total, j) + coupling)
        store(total, i * v, mine)
    whole = size // WIDE * WIDE
    for head in range(FIRST_SEGMENT, FIRST_SEGMENT + SEGMENT * merge[SEGMENTS], SEGMENT):
        source, count = merge[head], merge[head + 2] * v
        block_step = step_a if source == 0 else step_b
        from_ = merge[START_A + source] * v + (keeps_a if source == 0 else keeps_b) * block_step + merge[head + 1] * v
        to = (size + merge[head + 3]) * step
        for i in range(0, whole, WIDE):  # transpose four rows at a time, to write whole cache lines
            from_1, from_2, from_3 = from_ + block_step, from_ + 2 * block_step, from_ + 3 * block_step
            t_0, t_1, t_2, t_3 = zero, zero, zero, zero
            at = to + i * v
            for k in range(0, count, v):
                c_0, c_1 = load(buffer, from_ + k), load(buffer, from_1 + k)
                c_2, c_3 = load(buffer, from_2 + k), load(buffer, from_3 + k)
                store(x, at, c_0)
                store(x, at + v, c_1)
                store(x, at + 2 * v, c_2)
                store(x, at + 3 * v, c_3)
                t_0, t_1, t_2, t_3 = t_0 + c_0, t_1 + c_1, t_2 + c_2, t_3 + c_3
                at += step
            store(total, i * v, load(total, i * v) + t_0)
            store(total, (i + 1) * v, load(total, (i + 1) * v) + t_1)
            store(total, (i + 2) * v, load(total, (i + 2) * v) + t_2)
            store(total, (i + 3) * v, load(total, (i + 3) * v) + t_3)
            from_ += WIDE * block_step
        for i in range(whole, size):
            mine = load(total, i * v)
            for k in range(0, count, v):
                coupling = load(buffer, from_ + k)
                store(x, to + k // v * step + i * v, coupling)
                mine = mine + coupling
            store(total, i * v, mine)
            from_ += block_step


@kernel
def join_lanes(merge: IntArray, buffer: FloatArray, x: FloatArray, total: FloatArray) -> None:
    """Merge two blocks of `buffer` into a third, independently in each lane (reduction.md eq. 4).

    merge: one row of the plan.  x ((s + p + 3) s LANES), total (s LANES): work space.
    """
    v = LANES
    size, p, start = merge[SHARED], merge[PORTS], merge[START] * v
    _fill_lanes(merge, buffer, v)
    if size == 0:
        return
    out_step = stride(p) * v
    _gather(merge, buffer, x, total)
    _factorise(x, size, size + p, total)
    step = size * v
    kept = size * step
    near = max(NEAR // step // WIDE, 1) * WIDE
    for first in range(0, p, near):
        for i in range(first // TALL * TALL, p, TALL):
            for j in range(first, min(i + TALL, p, first + near), WIDE):
                at = start + i * out_step + j * v
                _add_tile(x, kept + i * step, kept + j * step, size, step, buffer, at, out_step)


@kernel
def join_last(
    merge: IntArray, buffer: FloatArray, x: FloatArray, total: FloatArray, sides: IntArray, out: FloatArray,
    taken: FloatArray,
) -> None:  # fmt: skip
    """Merge the last two blocks in each lane, computing only the couplings between rows and columns.

    The couplings between columns are not needed, and of those between rows only the sums.
    sides: numbers of left, right, top and bottom ports of the merged block.  Both ends of a line are one terminal.
    out: rows of stride(m) * LANES, the couplings of each column to each row.  taken (m * LANES): sum of the couplings
    of each row to all other rows.  x, total: work space as in `join_lanes`.
    """
    v = LANES
    size, p = merge[SHARED], merge[PORTS]
    m, right, top, n = sides
    _gather(merge, buffer, x, total)
    _factorise(x, size, size + p, total)
    step = size * v
    rows, columns = size * step, (size + p - n) * step
    if right > 0:
        add_to(x[rows : rows + m * step], x[rows + m * step : rows + 2 * m * step])
    if top > 0:
        add_to(x[columns : columns + n * step], x[columns - top * step : columns - top * step + n * step])
    out_step = stride(m) * v
    zero = broadcast(0.0)
    for at in range(0, len(out), v):
        store(out, at, zero)
    for at in range(0, m * v, v):
        store(taken, at, zero)
    for part in range(merge[SEGMENTS]):
        head = FIRST_SEGMENT + SEGMENT * part
        source, count, to = merge[head], merge[head + 2], merge[head + 3]
        block_step = stride(merge[PORTS_A + source]) * v
        block = merge[START_A + source] * v + merge[head + 1] * block_step
        for other in range(part + 1):
            head_2 = FIRST_SEGMENT + SEGMENT * other
            to_2, count_2 = merge[head_2 + 3], merge[head_2 + 2]
            if merge[head_2] != source or to_2 >= m + right:
                continue
            row_2 = to_2 if to_2 < m else to_2 - m
            for i in range(count):
                from_ = block + i * block_step + merge[head_2 + 1] * v
                if to >= m + right:
                    column = (to - m - right if to < m + right + top else to - (p - n)) + i
                    at = column * out_step + row_2 * v
                    for k in range(0, count_2 * v, v):
                        store(out, at + k, load(out, at + k) + load(buffer, from_ + k))
                    continue
                row = (to if to < m else to - m) + i
                mine = zero
                for k in range(i if other == part else count_2):
                    if row != row_2 + k:  # both ends of a row have one source
                        coupling = load(buffer, from_ + k * v)
                        mine = mine + coupling
                        store(taken, (row_2 + k) * v, load(taken, (row_2 + k) * v) + coupling)
                store(taken, row * v, load(taken, row * v) + mine)
    for j in range(0, n, TALL):
        for i in range(0, m, WIDE):
            _add_tile(x, columns + j * step, rows + i * step, size, step, out, j * out_step + i * v, out_step)
    # The sum over all other rows is that over the rows before plus that over the rows after.  Subtracting a row's own
    # term from the total would lose digits, as that term may be much larger than all others.
    for order in (1, -1):
        total[:step] = 0.0
        for at in range(m):
            row = at if order == 1 else m - 1 - at
            mine = load(taken, row * v)
            for k in range(0, step, v):
                one, before = load(x, rows + row * step + k), load(total, k)
                mine = fused(one, before, mine)
                store(total, k, before + one)
            store(taken, row * v, mine)
