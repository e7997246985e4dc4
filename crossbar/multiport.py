"""Kernels that join blocks of cells, each seen only from its ports (docs/equations/reduction.md).

A block is kept as its matrix of *couplings*: the positive conductance between every two of its ports. Nothing in a
block is grounded, so each diagonal is a row sum and no step subtracts: couplings never lose digits, whatever the
ratio of cells to wires.

a, b = rows and columns of a block, p = ports, s = ports shared by two blocks, v = blocks side by side (lanes)
Element (i, j) of the lane l of a block that starts at `start` is ``buffer[(start + i * p + j) * v + l]``.
"""

import numpy as np

from crossbar.blas import add_gram, factorise, solve_lower
from devices.aliases import FloatArray, IntArray
from devices.jit import kernel

LANES = 8  # small blocks reduced side by side: one AVX-512 or two AVX2 registers of float64

# One merge is a row of integers: these heads, then SEGMENT runs of ports.
SHARED, PORTS_A, PORTS_B, PORTS, START_A, START_B, START, SHARED_A, SHARED_B, SEGMENTS = range(10)
SEGMENT = 4  # (source 0 or 1, first port there, how many, first port in the joined block)
MOST_SEGMENTS = 8
PATCH = 16  # ports on the side of a patch when a block is mirrored
MERGE_WIDTH = 10 + SEGMENT * MOST_SEGMENTS


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
    g: FloatArray, rows: IntArray, columns: IntArray, a: int, has_right: bool, has_top: bool,
    half_row: float, between: float, half_column: float,
    left: FloatArray, right: FloatArray, top: FloatArray, bottom: FloatArray,
    buffer: FloatArray, start: int,
) -> None:  # fmt: skip
    """Write the couplings of one column of `a` cells, LANES of them side by side, at `start`.

    g: (m, n) [S]; rows, columns: (LANES,) first row and the column of each lane; left, right: (m,), top, bottom: (n,)
    resistances of the border [ohm]. Ports: a left, a right (if any), top (if any), bottom.
    """
    m, n = g.shape
    p = a * (2 if has_right else 1) + (2 if has_top else 1)
    end, t = p - 1, p - 2
    block = buffer[start * LANES : (start + p * p) * LANES].reshape(p, p, LANES)
    block[:] = 0.0
    active = np.empty(p, dtype=np.int64)
    count = 0
    f_1, f_2, f_y, c_12 = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for i in range(a):
        for lane in range(LANES):
            row, column = rows[lane] + i, columns[lane]
            cell = g[row, column]
            r_left = left[row] if column == 0 else half_row
            r_right = right[row] if column == n - 1 else half_row
            coupling, to_left, to_right, _ = star(r_left, r_right if has_right else np.inf, cell)
            block[end, i, lane] = cell * to_left
            if has_right:
                block[end, a + i, lane] = cell * to_right
                block[a + i, i, lane] = coupling
        active[count] = i
        count += 1
        if has_right:
            active[count] = a + i
            count += 1
        for lane in range(LANES):
            row, column = rows[lane] + i, columns[lane]
            total = 0.0
            for k in range(count):
                total += block[end, active[k], lane]
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
                for lane in range(LANES):
                    block[high, low, lane] += f_y[lane] * block[end, active[k], lane] * block[end, active[j], lane]
        if i == 0 and has_top:
            for k in range(count):
                for lane in range(LANES):
                    block[t, active[k], lane] = f_1[lane] * block[end, active[k], lane]
        for k in range(count):
            for lane in range(LANES):
                block[end, active[k], lane] *= f_2[lane]
        if i == 0 and has_top:
            block[end, t] = c_12
            active[count] = t
            count += 1
    mirror(buffer, start, p, LANES)


@kernel
def mirror(buffer: FloatArray, start: int, p: int, v: int) -> None:
    """Copy the lower triangle of a block to its upper one and clear its diagonal."""
    block = buffer[start * v : (start + p * p) * v].reshape(p, p, v)
    if v == 1:
        for first in range(0, p, PATCH):  # square patches that stay in the first cache
            for i in range(first, p):
                row = block[i, first : min(first + PATCH, i), 0]
                column = block[first:, i, 0]
                for j in range(len(row)):
                    column[j] = row[j]
    else:
        for i in range(p):
            for j in range(i):
                for lane in range(LANES):
                    block[j, i, lane] = block[i, j, lane]
    for i in range(p):
        for lane in range(v):
            block[i, i, lane] = 0.0


@kernel
def _factorise_lanes(s: FloatArray, size: int) -> None:
    """Cholesky-factorise LANES matrices in place, the diagonal left inverted."""
    block = s[: size * size * LANES].reshape(size, size, LANES)
    for j in range(size):
        for k in range(j):
            for lane in range(LANES):
                block[j, j, lane] -= block[j, k, lane] * block[j, k, lane]
        for lane in range(LANES):
            block[j, j, lane] = 1.0 / np.sqrt(block[j, j, lane])
        for i in range(j + 1, size):
            for k in range(j):
                for lane in range(LANES):
                    block[i, j, lane] -= block[i, k, lane] * block[j, k, lane]
            for lane in range(LANES):
                block[i, j, lane] *= block[j, j, lane]


@kernel
def _solve_lower_lanes(s: FloatArray, x: FloatArray, size: int, rows: int) -> None:
    block = s[: size * size * LANES].reshape(size, size, LANES)
    y = x[: rows * size * LANES].reshape(rows, size, LANES)
    for row in range(rows):
        for i in range(size):
            for k in range(i):
                for lane in range(LANES):
                    y[row, i, lane] -= block[i, k, lane] * y[row, k, lane]
            for lane in range(LANES):
                y[row, i, lane] *= block[i, i, lane]


@kernel
def _add_gram_lanes(x: FloatArray, buffer: FloatArray, start: int, size: int, rows: int) -> None:
    y = x[: rows * size * LANES].reshape(rows, size, LANES)
    out = buffer[start * LANES : (start + rows * rows) * LANES].reshape(rows, rows, LANES)
    for i in range(rows):
        for j in range(i):
            for k in range(size):
                for lane in range(LANES):
                    out[i, j, lane] += y[i, k, lane] * y[j, k, lane]


@kernel
def _add_run(to: FloatArray, from_: FloatArray) -> None:
    for k in range(len(to)):
        to[k] += from_[k]


@kernel
def _copy_run(to: FloatArray, from_: FloatArray) -> None:
    for k in range(len(to)):
        to[k] = from_[k]


@kernel
def join(merge: IntArray, buffer: FloatArray, x: FloatArray, s: FloatArray, v: int) -> int:
    """Join two blocks of `buffer` into a third: add, then eliminate the nodes they share (reduction.md eq. 4).

    merge: one row of the plan. x (shared-to-kept couplings), s (shared nodes' matrix and their totals): work space.
    v: 1, or LANES blocks side by side. Returns 0, or 1 if the factorisation failed.
    """
    size, p, start = merge[SHARED], merge[PORTS], merge[START]
    p_a, p_b = merge[PORTS_A], merge[PORTS_B]
    a = buffer[merge[START_A] * v : (merge[START_A] + p_a * p_a) * v].reshape(p_a, p_a * v)
    b = buffer[merge[START_B] * v : (merge[START_B] + p_b * p_b) * v].reshape(p_b, p_b * v)
    out = buffer[start * v : (start + p * p) * v].reshape(p, p * v)
    first_a, first_b = merge[SHARED_A], merge[SHARED_B]
    matrix, total = s[: size * size * v].reshape(size, size * v), s[size * size * v : (size + 1) * size * v]
    kept = x[: p * size * v].reshape(p, size * v)

    for i in range(p):
        out[i, : (i + 1) * v] = 0.0
    for part in range(merge[SEGMENTS]):  # couplings among the kept ports of each block
        source, from_, count, to = merge[10 + SEGMENT * part : 10 + SEGMENT * (part + 1)]
        block = a if source == 0 else b
        for other in range(part + 1):
            source_2, from_2, count_2, to_2 = merge[10 + SEGMENT * other : 10 + SEGMENT * (other + 1)]
            if source_2 == source:
                for i in range(count):
                    run = i if other == part else count_2
                    taken = block[from_ + i, from_2 * v : (from_2 + run) * v]
                    _add_run(out[to + i, to_2 * v : (to_2 + run) * v], taken)
    status = 0
    if size > 0:
        total[:] = 0.0
        for i in range(size):
            row_a = a[first_a + i, first_a * v : (first_a + size) * v]
            row_b = b[first_b + i, first_b * v : (first_b + size) * v]
            row = matrix[i]
            for k in range(size * v):
                coupling = row_a[k] + row_b[k]
                row[k] = -coupling
                total[k] += coupling
        for part in range(merge[SEGMENTS]):
            source, from_, count, to = merge[10 + SEGMENT * part : 10 + SEGMENT * (part + 1)]
            block, first = (a, first_a) if source == 0 else (b, first_b)
            for i in range(count):
                row = block[from_ + i, first * v : (first + size) * v]
                _copy_run(kept[to + i], row)
                _add_run(total, row)
        for i in range(size):
            for lane in range(v):
                coupled = total[i * v + lane]
                matrix[i, i * v + lane] = coupled if coupled > 0.0 else 1.0  # 1: a node without any coupling
        if v == 1:
            status = 1 if factorise(s, size) != 0 else 0
            solve_lower(s, x, size, p)
            add_gram(x, buffer[start : start + p * p], size, p)
        else:
            _factorise_lanes(s, size)
            _solve_lower_lanes(s, x, size, p)
            _add_gram_lanes(x, buffer, start, size, p)
    mirror(buffer, start, p, v)
    return status
