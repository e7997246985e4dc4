"""Merge of two large blocks with BLAS: a Cholesky factorisation, a triangular solve and a rank-k update.

Couplings are copied in runs of neighbouring ports.
"""

from crossbar.transfer.merge_table import (
    FIRST_SEGMENT,
    PORTS,
    PORTS_A,
    PORTS_B,
    SEGMENT,
    SEGMENTS,
    SHARED,
    START,
    START_A,
    START_B,
    add_to,
    copy_to,
    stride,
)
from devices.aliases import FloatArray, IntArray
from devices.numerics.blas import add_gram, factorise, solve_lower
from devices.numerics.jit import kernel


@kernel(inline=True)
def _sum(row: FloatArray) -> float:
    """Sum in four independent partial sums, which the processor computes in parallel."""
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
def fill_block(merge: IntArray, a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    """Copy the couplings between the kept ports of each block to the joined block; add those that both blocks have."""
    together = merge[SHARED] == 0
    if together:
        for i in range(len(out)):
            out[i, : i + 1] = 0.0
    for part in range(merge[SEGMENTS]):
        source, from_, count, to = merge[FIRST_SEGMENT + SEGMENT * part : FIRST_SEGMENT + SEGMENT * (part + 1)]
        block = a if source == 0 else b
        for i in range(count):
            row = out[to + i]
            for other in range(part + 1):
                source_2, from_2, count_2, to_2 = merge[
                    FIRST_SEGMENT + SEGMENT * other : FIRST_SEGMENT + SEGMENT * (other + 1)
                ]
                run = i if other == part else count_2
                if source_2 != source:
                    if not together:
                        row[to_2 : to_2 + run] = 0.0
                elif together:
                    add_to(row[to_2 : to_2 + run], block[from_ + i, from_2 : from_2 + run])
                else:
                    copy_to(row[to_2 : to_2 + run], block[from_ + i, from_2 : from_2 + run])
            row[to + i] = 0.0


@kernel
def halves(merge: IntArray, buffer: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the couplings of both blocks that a merge joins, in their places of the buffer."""
    p_a, p_b = merge[PORTS_A], merge[PORTS_B]
    a = buffer[merge[START_A] : merge[START_A] + p_a * stride(p_a)].reshape(p_a, stride(p_a))
    b = buffer[merge[START_B] : merge[START_B] + p_b * stride(p_b)].reshape(p_b, stride(p_b))
    return a, b


@kernel
def eliminate(merge: IntArray, a: FloatArray, b: FloatArray, x: FloatArray, s: FloatArray) -> int:
    """Factorise the matrix of the shared nodes in `s`; fill `x` (s, p) with L⁻¹ times their couplings to kept ports.

    Returns 1 if the factorisation failed, else 0.
    """
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
            copy_to(kept[i, to : to + count], (row_a if source == 0 else row_b)[from_ : from_ + count])
        total[i] += _sum(kept[i])
    for i in range(size):
        matrix[i, i] = total[i] if total[i] > 0.0 else 1.0  # 1: a node without any coupling
    status = 1 if factorise(s, size) != 0 else 0
    solve_lower(s, x, size, p)
    return status


@kernel
def join(merge: IntArray, buffer: FloatArray, x: FloatArray, s: FloatArray) -> int:
    """Merge two large blocks of `buffer` into a third (reduction.md eq. 4).

    Returns 1 if the factorisation failed, else 0.
    merge: one row of the plan.  x (s, p), s ((s + 1) s): work space.
    """
    size, p, start = merge[SHARED], merge[PORTS], merge[START]
    a, b = halves(merge, buffer)
    block = buffer[start : start + p * stride(p)]
    fill_block(merge, a, b, block.reshape(p, stride(p)))
    if size == 0:
        return 0
    status = eliminate(merge, a, b, x, s)
    add_gram(x, block, size, p, stride(p))
    return status
