"""Kernels of the reduction: leaves of an array in vector lanes, then merges up to the whole array."""

import numpy as np

from crossbar.transfer.borders import Border
from crossbar.transfer.merge_blas import join
from crossbar.transfer.merge_lanes import join_lanes
from crossbar.transfer.merge_table import LEAF_PORTS, PATCH_COLUMN, PATCH_COLUMNS, PATCH_ROW, PATCH_ROWS, SHARED, stride
from crossbar.transfer.patch_lanes import NODES, PATCH_WORK, patch_block
from crossbar.transfer.patches import PATCH
from devices.aliases import FloatArray, IntArray
from devices.numerics.jit import kernel
from devices.numerics.simd import LANES

MOST_ARMS = 4 * PATCH + 2 * PATCH * (PATCH - 1) + 1  # most arms of a patch


@kernel(inline=True)
def resistance_ratio(r: float) -> tuple[float, float]:
    """Write a resistance as a fraction a / b with a, b ≤ 1; 0 ohm is (0, 1) and open is (1, 0)."""
    return (r, 1.0) if r <= 1.0 else (1.0, 1.0 / r)


@kernel(inline=True)
def arms_of(a: int, b: int) -> int:
    """Number of arms of a patch of a × b cells."""
    return 2 * a + 2 * b + a * (b - 1) + (a - 1) * b + 1


@kernel(inline=True)
def _half(halves: FloatArray, i: int, j: int) -> float:
    """Half of segment (i, j); `halves` is (1, 1) if all segments are equal."""
    return float(halves[min(i, halves.shape[0] - 1), min(j, halves.shape[1] - 1)])


@kernel
def lay_arms(arms: FloatArray, a: int, b: int, row: int, column: int, m: int, n: int, at: Border) -> None:
    """Fill the arms (arms, 2) of a patch of a × b cells at (row, column) of an m × n array."""
    rows, columns, arm = at.half_rows, at.half_columns, 2 * a + 2 * b
    for i in range(a):
        k = row + i
        arms[i, 0], arms[i, 1] = resistance_ratio(at.left[k] if column == 0 else _half(rows, k, column - 1))
        arms[a + i, 0], arms[a + i, 1] = resistance_ratio(
            at.right[k] if column + b == n else _half(rows, k, column + b - 1)
        )
        for j in range(b - 1):
            arms[arm, 0], arms[arm, 1] = resistance_ratio(2.0 * _half(rows, k, column + j))
            arm += 1
    for j in range(b):
        k = column + j
        arms[2 * a + j, 0], arms[2 * a + j, 1] = resistance_ratio(at.top[k] if row == 0 else _half(columns, row - 1, k))
        to = at.bottom[k] if row + a == m else _half(columns, row + a - 1, k)
        arms[2 * a + b + j, 0], arms[2 * a + b + j, 1] = resistance_ratio(to)
    for i in range(a - 1):
        for j in range(b):
            arms[arm, 0], arms[arm, 1] = resistance_ratio(2.0 * _half(columns, row + i, column + j))
            arm += 1
    arms[arm, 0], arms[arm, 1] = 1.0, 0.0


@kernel
def reduce_lanes(
    ops: IntArray, g: FloatArray, arrays: IntArray, rows: IntArray, columns: IntArray, at: Border,
    buffer: FloatArray, x: FloatArray, total: FloatArray,
) -> None:  # fmt: skip
    """Run patches and merges in all lanes; a lane has its own array, first row and first column."""
    _, m, n = g.shape
    cells, work = np.empty(PATCH * PATCH * LANES), np.empty(PATCH_WORK * LANES)
    place = np.empty(NODES, dtype=np.int64)
    arms = np.empty(MOST_ARMS * 2 * LANES)
    alike = at.half_rows.size <= 1 and at.half_columns.size <= 1  # equal segments: inner patches have equal arms
    laid_a = laid_b = 0  # shape of the inner patch for which `arms` is filled, 0 for none
    for k in range(len(ops)):
        op = ops[k]  # contiguous for numba, unlike the rows of a loop over `ops`
        if op[SHARED] >= 0:
            join_lanes(op, buffer, x, total)
            continue
        a, b, border = op[PATCH_ROWS], op[PATCH_COLUMNS], not alike
        for lane in range(LANES):
            row, column = rows[lane] + op[PATCH_ROW], columns[lane] + op[PATCH_COLUMN]
            border = border or row == 0 or column == 0 or row + a == m or column + b == n
            for i in range(a):
                for j in range(b):
                    cells[(i * b + j) * LANES + lane] = g[arrays[lane], row + i, column + j]
        if border or a != laid_a or b != laid_b:
            grid = arms[: arms_of(a, b) * 2 * LANES].reshape(-1, 2, LANES)
            for lane in range(LANES):
                row, column = rows[lane] + op[PATCH_ROW], columns[lane] + op[PATCH_COLUMN]
                lay_arms(grid[:, :, lane], a, b, row, column, m, n, at)
            laid_a, laid_b = (0, 0) if border else (a, b)
        patch_block(op, cells, arms, buffer, work, place)


@kernel
def exchange_leaves(
    group: IntArray, kind: IntArray, leaves: IntArray, lanes: FloatArray, buffer: FloatArray, out: bool
) -> None:  # fmt: skip
    """Copy the triangles of a group's leaves from lanes to their positions in the buffer, or back if not `out`.

    A leaf at the border of the array may lack a side of its group; that side's ends are open.
    """
    v = LANES
    root, counts = kind[2], kind[3:7]
    p = counts.sum()
    step = stride(p)
    block = lanes[root * v : (root + p * step) * v].reshape(p, step, v)
    place = np.empty(p, dtype=np.int64)
    for lane in range(v):
        leaf = leaves[group[1 + lane]]
        port = 0
        for side in range(4):
            for k in range(counts[side]):
                place[port] = leaf[3 + side] + k if leaf[3 + side] >= 0 else -1
                port += 1
        own = leaf[LEAF_PORTS]
        mine = buffer[leaf[2] : leaf[2] + own * stride(own)].reshape(own, stride(own))
        for i in range(p):
            for j in range(i):
                high, low = max(place[i], place[j]), min(place[i], place[j])
                if low < 0:  # a port that this leaf does not have
                    if not out:
                        block[i, j, lane] = 0.0
                elif out:
                    mine[high, low] = block[i, j, lane]
                else:
                    block[i, j, lane] = mine[high, low]


@kernel
def reduce_leaves(
    groups: IntArray, g: FloatArray, leaf_ops: IntArray, classes: IntArray, leaves: IntArray,
    sizes: tuple[int, ...], at: Border, buffer: FloatArray,
) -> None:  # fmt: skip
    """Reduce groups of leaves in lanes, and copy each leaf to the buffer with its ports in the order of the plan."""
    v = LANES
    lanes, x, total = np.empty(sizes[0] * v), np.empty(sizes[1] * v), np.empty(sizes[2] * v)
    arrays = np.zeros(v, dtype=np.int64)
    for group in groups:
        kind = classes[group[0]]
        reduce_lanes(
            leaf_ops[kind[0] : kind[0] + kind[1]], g, arrays, leaves[group[1:], 0], leaves[group[1:], 1], at,
            lanes, x, total,
        )  # fmt: skip
        exchange_leaves(group, kind, leaves, lanes, buffer, True)


@kernel
def spread_lanes(
    out: FloatArray, exchanged: FloatArray, arrays: IntArray, transfers: FloatArray, taken: FloatArray
) -> None:
    """Copy results from the lanes to the transfer matrices (t, m, n) and the sums of couplings (t, m) of the arrays."""
    _, m, n = transfers.shape
    grid, sums = out.reshape(-1, stride(m), LANES), exchanged.reshape(m, LANES)
    for lane in range(LANES):
        transfer = transfers[arrays[lane]]
        for i in range(m):
            taken[arrays[lane], i] = sums[i, lane]
        for first_column in range(0, n, 8):  # one cache line of the result at a time
            for i in range(m):
                for j in range(first_column, min(first_column + 8, n)):
                    transfer[i, j] = grid[j, i, lane]


@kernel
def join_all(ops: IntArray, buffer: FloatArray, x: FloatArray, s: FloatArray) -> int:
    """Run merges one after another; returns how many failed."""
    failed = 0
    for k in range(len(ops)):
        op = ops[k]  # contiguous for numba, unlike the rows of a loop over `ops`
        failed += join(op, buffer, x, s)
    return failed
