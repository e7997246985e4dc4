"""Kernels that reverse the merge of two blocks in vector lanes.

Small tiles of results stay in registers over a whole sum, as in the merges themselves.

p = ports, s = nodes shared by two blocks, v = lanes
"""

from crossbar.transfer.merge_table import (
    FIRST_SEGMENT,
    PORTS,
    PORTS_A,
    SEGMENT,
    SEGMENTS,
    SHARED,
    START,
    START_A,
    TALL,
    WIDE,
    stride,
)
from devices.aliases import FloatArray, IntArray
from devices.numerics.jit import kernel
from devices.numerics.simd import LANES, Vector, broadcast, fused, load, store


@kernel(inline=True)
def _dyads(
    a: FloatArray, i: int, i_next: int, a_step: int, b: FloatArray, j: int, b_step: int, depth: int,
    c_00: Vector, c_01: Vector, c_02: Vector, c_03: Vector, c_10: Vector, c_11: Vector, c_12: Vector, c_13: Vector,
    c_20: Vector, c_21: Vector, c_22: Vector, c_23: Vector,
) -> tuple[Vector, ...]:  # fmt: skip
    """Add to a 3 × 4 tile the products of three numbers of `a` and four neighbouring ones of `b`, over `depth` terms.

    The three start at index i and are i_next apart; the terms are a_step and b_step apart.
    """
    v = LANES
    for _ in range(depth):
        a_0, a_1, a_2 = load(a, i), load(a, i + i_next), load(a, i + 2 * i_next)
        b_0 = load(b, j)
        c_00, c_10, c_20 = fused(a_0, b_0, c_00), fused(a_1, b_0, c_10), fused(a_2, b_0, c_20)
        b_0 = load(b, j + v)
        c_01, c_11, c_21 = fused(a_0, b_0, c_01), fused(a_1, b_0, c_11), fused(a_2, b_0, c_21)
        b_0 = load(b, j + 2 * v)
        c_02, c_12, c_22 = fused(a_0, b_0, c_02), fused(a_1, b_0, c_12), fused(a_2, b_0, c_22)
        b_0 = load(b, j + 3 * v)
        c_03, c_13, c_23 = fused(a_0, b_0, c_03), fused(a_1, b_0, c_13), fused(a_2, b_0, c_23)
        i += a_step
        j += b_step
    return c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23


@kernel(inline=True)
def _keep(
    out: FloatArray, at: int, step: int,
    c_00: Vector, c_01: Vector, c_02: Vector, c_03: Vector, c_10: Vector, c_11: Vector, c_12: Vector, c_13: Vector,
    c_20: Vector, c_21: Vector, c_22: Vector, c_23: Vector,
) -> None:  # fmt: skip
    """Store a 3 × 4 tile at index `at`, its rows `step` apart."""
    v = LANES
    store(out, at, c_00)
    store(out, at + v, c_01)
    store(out, at + 2 * v, c_02)
    store(out, at + 3 * v, c_03)
    at += step
    store(out, at, c_10)
    store(out, at + v, c_11)
    store(out, at + 2 * v, c_12)
    store(out, at + 3 * v, c_13)
    at += step
    store(out, at, c_20)
    store(out, at + v, c_21)
    store(out, at + 2 * v, c_22)
    store(out, at + 3 * v, c_23)


@kernel
def _solve_rows(x: FloatArray, total: FloatArray, size: int, p: int) -> None:
    """Replace the rows y (p, s) behind the factor L in `x` by y L⁻¹; total: one over the diagonal of L.

    The factor is stored without the minus signs of its other elements.  After the p rows come TALL rows of zeros.
    """
    v = LANES
    step = size * v
    kept, whole = size * step, size // WIDE * WIDE
    for j in range(size - 1, whole - 1, -1):  # columns after the last whole panel
        for at in range(kept, kept + p * step, step):
            mine = load(x, at + j * v)
            for i in range(j + 1, size):
                mine = fused(load(x, i * step + j * v), load(x, at + i * v), mine)
            store(x, at + j * v, mine * load(total, j * v))
    for j in range(whole - WIDE, -1, -WIDE):
        jv = j * v
        t_0, t_1, t_2, t_3 = load(total, jv), load(total, jv + v), load(total, jv + 2 * v), load(total, jv + 3 * v)
        for at in range(kept, kept + p * step, TALL * step):
            row, row_1, row_2 = at + jv, at + step + jv, at + 2 * step + jv
            c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23 = _dyads(
                x, row + WIDE * v, step, v, x, (j + WIDE) * step + jv, step, size - j - WIDE,
                load(x, row), load(x, row + v), load(x, row + 2 * v), load(x, row + 3 * v),
                load(x, row_1), load(x, row_1 + v), load(x, row_1 + 2 * v), load(x, row_1 + 3 * v),
                load(x, row_2), load(x, row_2 + v), load(x, row_2 + 2 * v), load(x, row_2 + 3 * v),
            )  # fmt: skip
            c_03, c_13, c_23 = c_03 * t_3, c_13 * t_3, c_23 * t_3
            n = load(x, (j + 3) * step + jv + 2 * v)
            c_02, c_12, c_22 = fused(c_03, n, c_02) * t_2, fused(c_13, n, c_12) * t_2, fused(c_23, n, c_22) * t_2
            n = load(x, (j + 3) * step + jv + v)
            c_01, c_11, c_21 = fused(c_03, n, c_01), fused(c_13, n, c_11), fused(c_23, n, c_21)
            n = load(x, (j + 2) * step + jv + v)
            c_01, c_11, c_21 = fused(c_02, n, c_01) * t_1, fused(c_12, n, c_11) * t_1, fused(c_22, n, c_21) * t_1
            n = load(x, (j + 3) * step + jv)
            c_00, c_10, c_20 = fused(c_03, n, c_00), fused(c_13, n, c_10), fused(c_23, n, c_20)
            n = load(x, (j + 2) * step + jv)
            c_00, c_10, c_20 = fused(c_02, n, c_00), fused(c_12, n, c_10), fused(c_22, n, c_20)
            n = load(x, (j + 1) * step + jv)
            c_00, c_10, c_20 = fused(c_01, n, c_00) * t_0, fused(c_11, n, c_10) * t_0, fused(c_21, n, c_20) * t_0
            _keep(x, row, step, c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23)


@kernel(inline=True)
def _row_product(
    slopes: FloatArray, start: int, out_step: int, k: int, p: int, x: FloatArray, at: int, step: int
) -> Vector:  # fmt: skip
    """Sum over all other ports l of slope (k, l) times the number of x at index at + l step."""
    v = LANES
    mine = broadcast(0.0)
    for l in range(k):
        mine = fused(load(slopes, start + k * out_step + l * v), load(x, at + l * step), mine)
    for l in range(k + 1, p):
        mine = fused(load(slopes, start + l * out_step + k * v), load(x, at + l * step), mine)
    return mine


@kernel
def _times_slopes(
    slopes: FloatArray, start: int, p: int, x: FloatArray, kept: int, size: int, out: FloatArray
) -> None:  # fmt: skip
    """Write the product of the symmetric slopes (p, p), given by their lower triangle, and x (p, s) to `out`."""
    v = LANES
    step, out_step = size * v, stride(p) * v
    tall, wide = p // TALL * TALL, size // WIDE * WIDE
    zero = broadcast(0.0)
    for k in range(0, tall, TALL):
        row = start + k * out_step
        row_1, row_2 = row + out_step, row + 2 * out_step
        s_10, s_20, s_21 = load(slopes, row_1 + k * v), load(slopes, row_2 + k * v), load(slopes, row_2 + (k + 1) * v)
        for at in range(0, wide * v, WIDE * v):
            c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23 = _dyads(
                slopes, row, out_step, v, x, kept + at, step, k,
                zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero,
            )  # fmt: skip
            from_ = kept + k * step + at
            n, n_1, n_2, n_3 = load(x, from_), load(x, from_ + v), load(x, from_ + 2 * v), load(x, from_ + 3 * v)
            c_10, c_11, c_12, c_13 = (
                fused(s_10, n, c_10),
                fused(s_10, n_1, c_11),
                fused(s_10, n_2, c_12),
                fused(s_10, n_3, c_13),
            )
            c_20, c_21, c_22, c_23 = (
                fused(s_20, n, c_20),
                fused(s_20, n_1, c_21),
                fused(s_20, n_2, c_22),
                fused(s_20, n_3, c_23),
            )
            from_ += step
            n, n_1, n_2, n_3 = load(x, from_), load(x, from_ + v), load(x, from_ + 2 * v), load(x, from_ + 3 * v)
            c_00, c_01, c_02, c_03 = (
                fused(s_10, n, c_00),
                fused(s_10, n_1, c_01),
                fused(s_10, n_2, c_02),
                fused(s_10, n_3, c_03),
            )
            c_20, c_21, c_22, c_23 = (
                fused(s_21, n, c_20),
                fused(s_21, n_1, c_21),
                fused(s_21, n_2, c_22),
                fused(s_21, n_3, c_23),
            )
            from_ += step
            n, n_1, n_2, n_3 = load(x, from_), load(x, from_ + v), load(x, from_ + 2 * v), load(x, from_ + 3 * v)
            c_00, c_01, c_02, c_03 = (
                fused(s_20, n, c_00),
                fused(s_20, n_1, c_01),
                fused(s_20, n_2, c_02),
                fused(s_20, n_3, c_03),
            )
            c_10, c_11, c_12, c_13 = (
                fused(s_21, n, c_10),
                fused(s_21, n_1, c_11),
                fused(s_21, n_2, c_12),
                fused(s_21, n_3, c_13),
            )
            c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23 = _dyads(
                slopes, row + TALL * out_step + k * v, v, out_step, x, from_ + step, step, p - k - TALL,
                c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23,
            )  # fmt: skip
            _keep(out, k * step + at, step, c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23)
    for k in range(p):  # rows and columns after the last whole tile
        for at in range(wide * v if k < tall else 0, step, v):
            store(out, k * step + at, _row_product(slopes, start, out_step, k, p, x, kept + at, step))


@kernel
def _inner(a: FloatArray, x: FloatArray, kept: int, size: int, p: int, out: FloatArray, to: int) -> None:
    """Write the lower triangle of aᵀ x (s, s), of `a` and x (p, s), to `out` from index `to`."""
    v = LANES
    step = size * v
    zero = broadcast(0.0)
    for i in range(0, size, TALL):
        for j in range(0, min(i + TALL, size), WIDE):
            if i + TALL <= size and j + WIDE <= size:
                c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23 = _dyads(
                    a, i * v, v, step, x, kept + j * v, step, p,
                    zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero,
                )  # fmt: skip
                at = to + i * step + j * v
                _keep(out, at, step, c_00, c_01, c_02, c_03, c_10, c_11, c_12, c_13, c_20, c_21, c_22, c_23)
                continue
            for u in range(i, min(i + TALL, size)):
                for w in range(j, min(j + WIDE, size)):
                    mine = zero
                    for k in range(0, p * step, step):
                        mine = fused(load(a, k + u * v), load(x, kept + k + w * v), mine)
                    store(out, to + u * step + w * v, mine)


@kernel
def undo_join_lanes(merge: IntArray, slopes: FloatArray, x: FloatArray, total: FloatArray, work: FloatArray) -> None:
    """Compute the slopes of the two halves of a merged block, in each lane.

    x, total: as `join_lanes` left them.  work: (s (p + s) LANES).  Source: docs/equations/adjoint.md eq. 4.
    """
    v = LANES
    size, p = merge[SHARED], merge[PORTS]
    step, out_step = size * v, stride(p) * v
    kept, start, inner = size * step, merge[START] * v, size * p * v
    half = broadcast(0.5)
    _solve_rows(x, total, size, p)  # x becomes the voltage of each shared node for 1 V at each port
    _times_slopes(slopes, start, p, x, kept, size, work)
    _inner(work, x, kept, size, p, work, inner)
    for source in range(2):
        ports = merge[PORTS_A + source]
        half_step, keeps, to_half = stride(ports) * v, ports - size, merge[START_A + source] * v
        for part in range(merge[SEGMENTS]):
            head = FIRST_SEGMENT + SEGMENT * part
            if merge[head] != source:
                continue
            from_, count, to = merge[head + 1], merge[head + 2], merge[head + 3]
            for other in range(part + 1):
                head_2 = FIRST_SEGMENT + SEGMENT * other
                if merge[head_2] != source:
                    continue
                from_2, count_2, to_2 = merge[head_2 + 1], merge[head_2 + 2], merge[head_2 + 3]
                for i in range(count):
                    run = i if other == part else count_2
                    read, write = start + (to + i) * out_step + to_2 * v, to_half + (from_ + i) * half_step + from_2 * v
                    for j in range(0, run * v, v):
                        store(slopes, write + j, load(slopes, read + j))
            for u in range(size):
                own = half * load(work, inner + (u * size + u) * v)
                write = to_half + (keeps + u) * half_step + from_ * v
                for i in range(count):
                    store(slopes, write + i * v, load(work, (to + i) * step + u * v) - own)
        for u in range(size):
            mine_ = load(work, inner + (u * size + u) * v)
            for w in range(u):
                both = mine_ + load(work, inner + (w * size + w) * v)
                slope = load(work, inner + (u * size + w) * v) - half * both
                store(slopes, to_half + (keeps + u) * half_step + (keeps + w) * v, slope)
