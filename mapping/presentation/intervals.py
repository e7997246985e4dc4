"""Confidence intervals of fractions; they need no other library, so the command line can start without one."""

import math

Z_95 = 1.959963984540054  # normal quantile of 97.5 %


def wilson(fraction: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a fraction of successes observed in `count` independent trials.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    if count <= 0:
        return 0.0, 1.0
    z = Z_95**2 / count
    middle, half = fraction + z / 2.0, math.sqrt(z * (fraction * (1.0 - fraction) + z / 4.0))
    return max((middle - half) / (1.0 + z), 0.0), min((middle + half) / (1.0 + z), 1.0)
