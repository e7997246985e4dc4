"""Confidence intervals of values that were measured one by one: root mean squares, and gains of paired runs."""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from devices.aliases import FloatArray
from mapping.presentation.intervals import Z_95


def root_mean_square(squares: FloatArray) -> tuple[float, float, float]:
    """Return the root of the mean of squares (n,) and both ends of its 95 % interval.

    The interval is that of the mean by Student's t, whose ends are rooted; one value alone has no upper end (inf).
    """
    count = len(squares)
    if count == 0:
        return 0.0, 0.0, math.inf
    mean = float(np.mean(squares))
    if count == 1:
        return math.sqrt(mean), 0.0, math.inf
    half = float(stdtrit(count - 1, 0.975) * np.std(squares, ddof=1) / math.sqrt(count))
    return math.sqrt(mean), math.sqrt(max(mean - half, 0.0)), math.sqrt(mean + half)


def paired_interval(gains: npt.ArrayLike, z: float = Z_95) -> tuple[float, float]:
    """Return the interval of the mean gain of two paired runs, over the images.

    gains: (b,) correct answers of the second run minus those of the first, -1 to 1; each image may be a mean over
    chips. Two imagined images are added, one gained and one lost, so that few differences claim no certainty.
    Source: Bonett and Price, J. Educ. Behav. Stat. 37 (2012) 479, eq. 6.
    """
    held = np.append(np.asarray(gains, dtype=np.float64), (1.0, -1.0))
    middle = float(held.mean())
    half = z * math.sqrt(float(np.mean(held**2) - middle**2) / len(held))
    return max(middle - half, -1.0), min(middle + half, 1.0)
