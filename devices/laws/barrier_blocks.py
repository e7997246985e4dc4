"""The sinh barrier in series with a resistance, many cells at once: loops without branches, for vector registers.

Source: docs/equations/cells.md eq. 7.
"""

import math

import numpy as np

from devices.aliases import FloatArray
from devices.numerics.jit import kernel

ROUND = 6755399441055744.0  # 1.5 x 2^52: adding it leaves a number's nearest integer in the lowest bits
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # their sum is ln 2; k LN2_HIGH is exact
TWO_52, ONE = 0x4330000000000000, 0x3FF0000000000000  # bits of 2^52 and of 1
WIDEST = 600.0  # largest s, ours: e^s is a number
LARGEST = 1e100  # largest a, ours: so are its squares
HALLEY_STEPS = 8  # ours; three or four are usual
SETTLED = 2e-5  # a last step of this relative size leaves below rounding, as Halley is of third order (ours)


@kernel(inline=True)
def growth(u: float) -> float:
    """Return exp(u) - 1 for -0.3 <= u <= 700, within 3 units in the last place, without branch, table or library call.

    u = k ln 2 + r; a power series for exp(r) - 1, and 2^k put together from its bits (W. J. Cody and W. Waite,
    Software Manual for the Elementary Functions, 1980, ch. 6).
    """
    shifted = u * 1.4426950408889634 + ROUND
    k = shifted - ROUND
    r = (u - k * LN2_HIGH) - k * LN2_LOW
    p = 1.0 / 6227020800.0  # 1/13!, then 1/12! down to 1/2!
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    power = np.int64((np.float64(shifted).view(np.int64) + 1023) << 52).view(np.float64)
    return power * (p * r * r + r) + (power - 1.0)


@kernel(inline=True)
def rough_asinh(x: float) -> float:
    """Return asinh(x) for x > 1 to 0.01, or asinh(1e150) if that is less."""
    y = min(x, 1e150)
    bits = np.float64(y + math.sqrt(y * y + 1.0)).view(np.int64)
    exponent = np.int64((bits >> 52) | TWO_52).view(np.float64) - 4503599627370496.0
    m = np.int64((bits & 0xFFFFFFFFFFFFF) | ONE).view(np.float64)
    return (exponent - 1023.0 + (2.0 - m * (1.0 / 3.0)) * m - 5.0 / 3.0) * 0.6931471805599453


@kernel
def barrier_block(a: FloatArray, s: FloatArray, u: FloatArray, sinh: FloatArray, cosh: FloatArray) -> bool:
    """Fill u of u + a sinh(u) = s with its sinh and cosh, for blocks of 0 <= s <= WIDEST and 0 <= a <= LARGEST.

    Returns whether every cell settled.
    """
    for i in range(u.size):
        x = s[i] / max(a[i], 1e-300)
        u[i] = min(s[i] / (1.0 + a[i]), x if x <= 1.0 else rough_asinh(x))
    for _ in range(HALLEY_STEPS):
        moving = False
        for i in range(u.size):
            e = growth(u[i])
            w = e / (1.0 + e)
            sh = 0.5 * (e + w)
            ch = 1.0 + 0.5 * e * w
            off = u[i] + a[i] * sh - s[i]
            slope = 1.0 + a[i] * ch
            square = slope * slope
            d = -off * slope / max(square - 0.5 * off * a[i] * sh, 0.5 * square)
            u[i] += d
            sinh[i] = sh + d * (ch + d * (0.5 * sh + d * (ch * (1.0 / 6.0))))
            cosh[i] = ch + d * (sh + d * (0.5 * ch + d * (sh * (1.0 / 6.0))))
            moving |= abs(d) > SETTLED * min(u[i], 1.0)
        if not moving:
            return True
    return False
