"""exp(x) - 1 for numbers and Vectors, without branches or tables (kernels)."""

from devices.numerics.jit import kernel
from devices.numerics.simd import ROUNDER, Vector, fused, larger, power_of_two, smaller

LN_2_HIGH, LN_2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # the first ends in 21 zero bits: products are exact
LOG2_E = 1.4426950408889634
BEYOND, BELOW = 710.0, -100.0  # bounds of x beyond which exp(x) - 1 is inf and -1


@kernel(inline=True)
def expm1_near_zero(r: Vector) -> Vector:
    """Return exp(r) - 1 for |r| <= ln(2) / 2 from a polynomial of degree 11, with an error of 8e-17.

    Source: ours; (exp(r) - 1 - r - r^2/2) / r^3 interpolated at nine Chebyshev points with 60 digits.
    """
    p = r * r
    q_0 = fused(0.041666666666651364, r, 0.16666666666666666)
    q_2 = fused(0.0013888888905871355, r, 0.008333333333332157)
    q_4 = fused(2.4801536409043718e-05, r, 0.00019841269854330778)
    q_6 = fused(2.761379556582631e-07, r, 2.755728008266902e-06)
    q_6 = fused(2.5095545990395195e-08, p, q_6)
    q = fused(p * p, fused(q_6, p, q_4), fused(q_2, p, q_0))
    return fused(p, fused(q, r, 0.5), r)


@kernel(inline=True)
def expm1(x: Vector) -> Vector:
    """Return exp(x) - 1 for any x, within two units in the last place; inf above 709.78, NaN for NaN.

    Source: docs/equations/dynamics.md eq. 9.
    """
    x = smaller(BEYOND, larger(BELOW, x))
    rounded = fused(x, LOG2_E, ROUNDER)
    n = rounded - ROUNDER
    r = fused(n, -LN_2_LOW, fused(n, -LN_2_HIGH, x))
    half = power_of_two(rounded - 1.0)  # half of 2**n, as 2**1024 would overflow
    return 2.0 * fused(half, expm1_near_zero(r), half - 0.5)
