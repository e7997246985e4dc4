"""The sinh barrier in series with a resistance, for many cells at once: loops without branches, which vectorise.

Source: docs/equations/cells.md eq. 7.
"""

import math

import numpy as np

from devices.aliases import FloatArray
from devices.numerics.jit import kernel

ROUND = 6755399441055744.0  # 1.5 x 2^52: adding it leaves the nearest integer in the lowest bits
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # their sum is ln 2; k LN2_HIGH is exact
TWO_52, ONE = 0x4330000000000000, 0x3FF0000000000000  # bits of 2^52 and of 1
WIDEST = 600.0  # largest s: e^s does not overflow (ours)
LARGEST = 1e100  # largest a: its square does not overflow (ours)
HALLEY_STEPS = 8  # most steps, ours; three or four are usual
SETTLED = 2e-5  # relative size of the last step: as Halley is of third order, the rest is below rounding (ours)


@kernel(inline=True)
def growth(u: float) -> float:
    """Return exp(u) - 1 for -0.3 <= u <= 700, within 3 units in the last place, without branch, table or library call.

    With u = k ln 2 + r, exp(r) - 1 is a power series and 2^k is assembled from its bits (W. J. Cody and W. Waite,
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
    """Return asinh(min(x, 1e150)) for x > 1 with an error of at most 0.01."""
    y = min(x, 1e150)
    bits = np.float64(y + math.sqrt(y * y + 1.0)).view(np.int64)
    exponent = np.int64((bits >> 52) | TWO_52).view(np.float64) - 4503599627370496.0
    m = np.int64((bits & 0xFFFFFFFFFFFFF) | ONE).view(np.float64)
    return (exponent - 1023.0 + (2.0 - m * (1.0 / 3.0)) * m - 5.0 / 3.0) * 0.6931471805599453


@kernel
def barrier_block(a: FloatArray, s: FloatArray, u: FloatArray, sinh: FloatArray, cosh: FloatArray) -> bool:
    """Fill the root u of u + a sinh(u) = s, its sinh and its cosh, for 0 <= s <= WIDEST and 0 <= a <= LARGEST.

    Returns whether the iteration converged for every cell.
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
