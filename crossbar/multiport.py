"""Kernels that join blocks of cells, each seen only from its ports (docs/equations/reduction.md).

A block is kept as its matrix of *couplings*: the positive conductance between every two of its ports. Nothing in a
block is grounded, so each diagonal is a row sum and nothing subtracts but the factor of the shared nodes: couplings
keep their digits at any ratio of cells to wires, unless whole lines float (reduction.md says how far). Only the lower
triangle is kept, and the ports that the next merge eliminates come last, so that a merge reads whole rows of it.

a, b = rows and columns of a block, p = ports, s = ports shared by two blocks, v = blocks side by side (lanes)
Element (i, j), j < i, of the lane l of a block that starts at `start` is ``buffer[(start + i * p + j) * v + l]``.
"""

import numpy as np

from crossbar.blas import add_gram, add_product, factorise, solve_lower
from devices.aliases import FloatArray, IntArray
from devices.jit import kernel

LANES = 16  # small blocks reduced side by side: enough to fill vector registers of any width

# One merge is a row of integers: these heads, then SEGMENT runs of kept ports in the order of the joined block.
SHARED, PORTS_A, PORTS_B, PORTS, START_A, START_B, START, SEGMENTS = range(8)
FIRST_SEGMENT = 8
SEGMENT = 4  # (block 0 or 1, first port there, how many, first port in the joined block)
MOST_SEGMENTS = 8
MERGE_WIDTH = FIRST_SEGMENT + SEGMENT * MOST_SEGMENTS
# A strip is a row of the same width: -1, then these.
STRIP_START, STRIP_ROW, STRIP_COLUMN, STRIP_CELLS, AT_LEFT, AT_RIGHT, AT_TOP, AT_BOTTOM = range(1, 9)


@kernel
def star(r_1: float, r_2: float, y: float) -> tuple[float, float, float, float]:
    """Eliminate a node with two resistive arms and conductances of sum y (docs/equations/reduction.md eq. 3).

    Returns the coupling of the arms' far ends, and the factors of y_k (arm 1 to k), y_k (arm 2 to k), y_k y_l (k to l).
    0 and inf are exact; both arms may not be 0 at once.
    """
    if np.isinf(r_1) and np.isinf(r_2):
        return 0.0, 0.0, 0.0, (1.0 / y if y > 0.0 else 0.0)
    if np.isinf(r_1):
        d = 1.0 + r_2 * y
        return 0.0, 0.0, 1.0 / d, r_2 / d
    if np.isinf(r_2):
        d = 1.0 + r_1 * y
        return 0.0, 1.0 / d, 0.0, r_1 / d
    d = r_1 + r_2 + r_1 * r_2 * y
    return 1.0 / d, r_2 / d, r_1 / d, r_1 * r_2 / d


@kernel
def strip(
    op: IntArray, g: FloatArray, rows: IntArray, columns: IntArray, half_row: float, between: float, half_column: float,
    left: FloatArray, right: FloatArray, top: FloatArray, bottom: FloatArray, buffer: FloatArray,
) -> None:  # fmt: skip
    """Write the couplings of one column of cells, as many side by side as `rows` has entries.

    op: the plan's row, with the places of its ports: a left, a right (-1: none), top (-1: none), bottom.
    g: (m, n) [S]; rows, columns: (v,) first cell of each lane; left, right: (m,), top, bottom: (n,) resistances of
    the border [ohm].
    """
    m, n = g.shape
    v, a = len(rows), op[STRIP_CELLS]
    at_left, at_right, t, end = op[AT_LEFT], op[AT_RIGHT], op[AT_TOP], op[AT_BOTTOM]
    has_right, has_top = at_right >= 0, t >= 0
    p = a * (2 if has_right else 1) + (2 if has_top else 1)
    block = buffer[op[STRIP_START] * v : (op[STRIP_START] + p * p) * v].reshape(p, p, v)
    block[:] = 0.0
    active = np.empty(p, dtype=np.int64)
    onward = np.zeros((p, v))  # couplings of the node reached so far to the active ports
    count = 0
    f_1, f_2, f_y, c_12 = np.empty(v), np.empty(v), np.empty(v), np.empty(v)
    for i in range(a):
        for lane in range(v):
            row, column = rows[lane] + i, columns[lane]
            cell = g[row, column]
            r_left = left[row] if column == 0 else half_row
            r_right = np.inf
            if has_right:
                r_right = right[row] if column == n - 1 else half_row
            c_12[lane], f_1[lane], f_2[lane], _ = star(r_left, r_right, cell)
            f_1[lane] *= cell
            f_2[lane] *= cell
        onward[count] = f_1
        active[count] = at_left + i
        count += 1
        if has_right:
            onward[count] = f_2
            active[count] = at_right + i
            count += 1
            block[max(at_left, at_right) + i, min(at_left, at_right) + i] = c_12
        for lane in range(v):
            row, column = rows[lane] + i, columns[lane]
            total = 0.0
            for k in range(count):
                total += onward[k, lane]
            r_up = np.inf
            if i == 0 and has_top:
                r_up = top[column] if row == 0 else half_column
            r_down = between
            if i == a - 1:
                r_down = bottom[column] if row == m - 1 else half_column
            c_12[lane], f_1[lane], f_2[lane], f_y[lane] = star(r_up, r_down, total)
        for k in range(count):
            for j in range(k):
                low, high = min(active[k], active[j]), max(active[k], active[j])
                for lane in range(v):
                    block[high, low, lane] += f_y[lane] * onward[k, lane] * onward[j, lane]
        if i == 0 and has_top:
            for k in range(count):
                for lane in range(v):
                    block[max(t, active[k]), min(t, active[k]), lane] = f_1[lane] * onward[k, lane]
        for k in range(count):
            for lane in range(v):
                onward[k, lane] *= f_2[lane]
        if i == 0 and has_top:
            onward[count] = c_12
            active[count] = t
            count += 1
    for k in range(count):
        block[max(end, active[k]), min(end, active[k])] = onward[k]


@kernel(inline=True)
def _add(to: FloatArray, from_: FloatArray) -> None:
    for k in range(len(to)):
        to[k] += from_[k]


@kernel(inline=True)
def _copy(to: FloatArray, from_: FloatArray) -> None:
    for k in range(len(to)):
        to[k] = from_[k]


@kernel(inline=True)
def _sum(row: FloatArray) -> float:
    """Sum in four chains, which the processor runs side by side."""
    a = b = c = d = 0.0
    fours = len(row) // 4
    quads = row[: 4 * fours].reshape(fours, 4)
    for k in range(fours):
        a += quads[k, 0]
        b += quads[k, 1]
        c += quads[k, 2]
        d += quads[k, 3]
    for rest in row[4 * fours :]:
        a += rest
    return (a + b) + (c + d)


@kernel
def _fill(merge: IntArray, a: FloatArray, b: FloatArray, out: FloatArray, v: int) -> None:
    """Put the couplings among each block's kept ports into the joined block; ports that both keep are added."""
    together = merge[SHARED] == 0
    if together:
        for i in range(len(out)):
            out[i, : (i + 1) * v] = 0.0
    for part in range(merge[SEGMENTS]):
        source, from_, count, to = merge[FIRST_SEGMENT + SEGMENT * part : FIRST_SEGMENT + SEGMENT * (part + 1)]
        block = a if source == 0 else b
        for i in range(count):
            row = out[to + i]
            for other in range(part + 1):
                source_2, from_2, count_2, to_2 = merge[
                    FIRST_SEGMENT + SEGMENT * other : FIRST_SEGMENT + SEGMENT * (other + 1)
                ]
                run = (i if other == part else count_2) * v
                if source_2 != source:
                    if not together:
                        row[to_2 * v : to_2 * v + run] = 0.0
                elif together:
                    _add(row[to_2 * v : to_2 * v + run], block[from_ + i, from_2 * v : from_2 * v + run])
                else:
                    _copy(row[to_2 * v : to_2 * v + run], block[from_ + i, from_2 * v : from_2 * v + run])
            row[(to + i) * v : (to + i + 1) * v] = 0.0


@kernel
def _views(merge: IntArray, buffer: FloatArray, v: int) -> tuple[FloatArray, FloatArray]:
    p_a, p_b = merge[PORTS_A], merge[PORTS_B]
    a = buffer[merge[START_A] * v : (merge[START_A] + p_a * p_a) * v].reshape(p_a, p_a * v)
    b = buffer[merge[START_B] * v : (merge[START_B] + p_b * p_b) * v].reshape(p_b, p_b * v)
    return a, b


@kernel
def join_lanes(merge: IntArray, buffer: FloatArray, x: FloatArray, s: FloatArray, v: int) -> None:
    """Join two blocks of `buffer` into a third, v pairs side by side (reduction.md eq. 4).

    merge: one row of the plan. x (p, s, v), s ((s + 1) s v): work space.
    """
    size, p, start = merge[SHARED], merge[PORTS], merge[START]
    a, b = _views(merge, buffer, v)
    out = buffer[start * v : (start + p * p) * v].reshape(p, p * v)
    _fill(merge, a, b, out, v)
    if size == 0:
        return
    padded = -(-size // 4) * 4
    matrix = s[: size * size * v].reshape(size, size, v)
    total = s[size * size * v : (size + 1) * size * v].reshape(size, v)
    kept = x[: p * padded * v].reshape(p, padded, v)
    kept[:, size:] = 0.0
    keeps_a, keeps_b = merge[PORTS_A] - size, merge[PORTS_B] - size
    total[:] = 0.0
    for i in range(size):
        row_a = a[keeps_a + i].reshape(merge[PORTS_A], v)
        row_b = b[keeps_b + i].reshape(merge[PORTS_B], v)
        for j in range(i):
            for lane in range(v):
                coupling = row_a[keeps_a + j, lane] + row_b[keeps_b + j, lane]
                matrix[i, j, lane] = -coupling
                total[i, lane] += coupling
                total[j, lane] += coupling
        for part in range(merge[SEGMENTS]):
            source, from_, count, to = merge[FIRST_SEGMENT + SEGMENT * part : FIRST_SEGMENT + SEGMENT * (part + 1)]
            row = row_a if source == 0 else row_b
            for k in range(count):
                for lane in range(v):
                    kept[to + k, i, lane] = row[from_ + k, lane]
                    total[i, lane] += row[from_ + k, lane]
    for j in range(size):  # Cholesky, the diagonal left inverted
        for lane in range(v):
            pivot = total[j, lane]
            for k in range(j):
                pivot -= matrix[j, k, lane] * matrix[j, k, lane]
            matrix[j, j, lane] = 1.0 / np.sqrt(pivot) if pivot > 0.0 else 1.0  # 1: a node without any coupling
        for i in range(j + 1, size):
            for k in range(j):
                for lane in range(v):
                    matrix[i, j, lane] -= matrix[i, k, lane] * matrix[j, k, lane]
            for lane in range(v):
                matrix[i, j, lane] *= matrix[j, j, lane]
    for port in range(p):
        for i in range(size):
            for k in range(i):
                for lane in range(v):
                    kept[port, i, lane] -= matrix[i, k, lane] * kept[port, k, lane]
            for lane in range(v):
                kept[port, i, lane] *= matrix[i, i, lane]
    grid = out.reshape(p, p, v)
    for i in range(p):
        for j in range(i):
            for k in range(0, padded - 4, 8):
                for lane in range(v):
                    grid[i, j, lane] += (
                        (kept[i, k, lane] * kept[j, k, lane] + kept[i, k + 1, lane] * kept[j, k + 1, lane])
                        + (kept[i, k + 2, lane] * kept[j, k + 2, lane] + kept[i, k + 3, lane] * kept[j, k + 3, lane])
                    ) + (
                        (kept[i, k + 4, lane] * kept[j, k + 4, lane] + kept[i, k + 5, lane] * kept[j, k + 5, lane])
                        + (kept[i, k + 6, lane] * kept[j, k + 6, lane] + kept[i, k + 7, lane] * kept[j, k + 7, lane])
                    )
            if padded % 8 == 4:
                k = padded - 4
                for lane in range(v):
                    grid[i, j, lane] += (
                        kept[i, k, lane] * kept[j, k, lane] + kept[i, k + 1, lane] * kept[j, k + 1, lane]
                    ) + (kept[i, k + 2, lane] * kept[j, k + 2, lane] + kept[i, k + 3, lane] * kept[j, k + 3, lane])


@kernel
def _eliminate(merge: IntArray, a: FloatArray, b: FloatArray, x: FloatArray, s: FloatArray) -> int:
    """Factorise the shared nodes' matrix into `s`; leave L⁻¹ times their couplings to the kept ports in `x` (s, p)."""
    size, p = merge[SHARED], merge[PORTS]
    matrix, total = s[: size * size].reshape(size, size), s[size * size : (size + 1) * size]
    kept = x[: size * p].reshape(size, p)
    keeps_a, keeps_b = merge[PORTS_A] - size, merge[PORTS_B] - size
    total[:] = 0.0
    for i in range(size):
        row_a, row_b = a[keeps_a + i], b[keeps_b + i]
        shared_a, shared_b, row = row_a[keeps_a : keeps_a + i], row_b[keeps_b : keeps_b + i], matrix[i]
        mine = 0.0
        for j in range(i):
            coupling = shared_a[j] + shared_b[j]
            row[j] = -coupling
            total[j] += coupling
            mine -= row[j]
        total[i] += mine
        for part in range(merge[SEGMENTS]):
            source, from_, count, to = merge[FIRST_SEGMENT + SEGMENT * part : FIRST_SEGMENT + SEGMENT * (part + 1)]
            _copy(kept[i, to : to + count], (row_a if source == 0 else row_b)[from_ : from_ + count])
        total[i] += _sum(kept[i])
    for i in range(size):
        matrix[i, i] = total[i] if total[i] > 0.0 else 1.0  # 1: a node without any coupling
    status = 1 if factorise(s, size) != 0 else 0
    solve_lower(s, x, size, p)
    return status


@kernel
def join(merge: IntArray, buffer: FloatArray, x: FloatArray, s: FloatArray) -> int:
    """Join two large blocks of `buffer` into a third (reduction.md eq. 4); returns 0, or 1 if the factor failed.

    merge: one row of the plan. x (s, p), s ((s + 1) s): work space.
    """
    size, p, start = merge[SHARED], merge[PORTS], merge[START]
    a, b = _views(merge, buffer, 1)
    block = buffer[start : start + p * p]
    _fill(merge, a, b, block.reshape(p, p), 1)
    if size == 0:
        return 0
    status = _eliminate(merge, a, b, x, s)
    add_gram(x, block, size, p)
    return status


@kernel
def join_last(
    merge: IntArray, buffer: FloatArray, x: FloatArray, s: FloatArray, sides: IntArray, transfer: FloatArray
) -> int:
    """Join the last two blocks as far as the couplings of rows to columns go: `transfer` (m, n) alone.

    sides: left, right, top and bottom ports of the joined block, in that order. Both ends of a line are one terminal.
    """
    size, p = merge[SHARED], merge[PORTS]
    a, b = _views(merge, buffer, 1)
    status = _eliminate(merge, a, b, x, s)
    m, right, top, n = sides
    transfer[:] = 0.0
    for part in range(merge[SEGMENTS]):
        source, from_, count, to = merge[FIRST_SEGMENT + SEGMENT * part : FIRST_SEGMENT + SEGMENT * (part + 1)]
        if to < m + right:
            continue
        column = to - m - right if to < m + right + top else to - (p - n)
        block = a if source == 0 else b
        for other in range(part):
            source_2, from_2, count_2, to_2 = merge[
                FIRST_SEGMENT + SEGMENT * other : FIRST_SEGMENT + SEGMENT * (other + 1)
            ]
            if source_2 != source or to_2 >= m + right:
                continue
            row = to_2 if to_2 < m else to_2 - m
            for i in range(count_2):
                for j in range(count):
                    transfer[row + i, column + j] += block[from_ + j, from_2 + i]
    kept = x[: size * p].reshape(size, p)
    for i in range(size):
        if right > 0:
            _add(kept[i, :m], kept[i, m : m + right])
        if top > 0:
            _add(kept[i, p - n :], kept[i, m + right : m + right + top])
    add_product(x, transfer, size, p, m, n)
    return status
