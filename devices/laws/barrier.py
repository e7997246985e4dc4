"""The voltage across a sinh barrier in series with a resistance, by a bounded number of Halley steps."""

import math

from devices.numerics.jit import kernel

HALLEY_STEPS = 6  # no input needs more than four, see large_barrier


@kernel(inline=True)
def small_sinh(u: float) -> float:
    """Return sinh(u) for |u| <= 1 to rounding, from its power series, which unlike math.sinh can be vectorised."""
    p = u * u
    r = 1.0 / 355687428096000.0  # 1/17!, then 1/15! down to 1/1!
    r = r * p + 1.0 / 1307674368000.0
    r = r * p + 1.0 / 6227020800.0
    r = r * p + 1.0 / 39916800.0
    r = r * p + 1.0 / 362880.0
    r = r * p + 1.0 / 5040.0
    r = r * p + 1.0 / 120.0
    r = r * p + 1.0 / 6.0
    return u * (r * p + 1.0)


@kernel(inline=True)
def small_barrier(a: float, s: float) -> float:
    """Return the root u of u + a sinh(u) = s for 0 <= s <= 1 and any a >= 0.

    Two third-order steps from a cubic estimate reach u within 4e-16 for all a.  The number of steps is fixed, so loops
    over arrays can be vectorised.  Source: docs/equations/cells.md eq. 7.
    """
    b = 1.0 / (1.0 + a)
    u = s * b
    u -= a * b * u * u * u * (1.0 / 6.0)
    for _ in range(2):
        p = u * u
        cosh = ((((1.0 / 3628800.0 * p + 1.0 / 40320.0) * p + 1.0 / 720.0) * p + 1.0 / 24.0) * p + 0.5) * p + 1.0
        sinh = small_sinh(u)
        c = 1.0 / (1.0 + a * cosh)
        step = (u + a * sinh - s) * c
        u -= step * (1.0 + 0.5 * step * a * sinh * c)
    return u


@kernel
def large_barrier(a: float, s: float) -> float:
    """Return the root u of u + a sinh(u) = s for s > 1 and a > 0.

    Halley's method starts from the lower of two upper bounds.  It reaches rounding in at most four steps, for a over
    24 decades and s up to 1000.
    """
    u = min(s / (1.0 + a), math.asinh(s / a))
    for _ in range(HALLEY_STEPS):
        sinh = math.sinh(u)
        slope = 1.0 + a * math.sqrt(1.0 + sinh * sinh)
        step = (u + a * sinh - s) / slope
        step /= 1.0 - min(0.5 * step * a * sinh / slope, 0.5)
        u -= step
        if abs(step) <= 1e-6 * u:  # third-order convergence: the remaining error is below rounding
            break
    return u


@kernel
def barrier_voltage(v_0: float, r_series: float, g: float, v: float) -> float:
    """Return the voltage [V] over a barrier of small-signal conductance g [S] at cell voltage v [V].

    Source: docs/equations/cells.md eq. 7.
    """
    a = r_series * g
    if a == 0.0:
        return v
    if math.isinf(v_0):
        return v / (1.0 + a)
    s = abs(v) / v_0
    u = small_barrier(a, s) if s <= 1.0 else large_barrier(a, s)
    return math.copysign(u * v_0, v)
