"""Write errors measured on published chips, as functions of the target conductance."""

import numpy as np
import numpy.typing as npt

from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError

DAY = 86_400.0  # [s]
NEURRAM_G_MAX = 40e-6  # [S] upper end of the conductances of NEURRAM
# Standard deviation [uS] of a conductance 1 s, 1 day and 2 days after writing: coefficients of a polynomial in
# G / 40 uS.  Source: Wan et al., Nature 608, 504 (2022), doi 10.1038/s41586-022-04992-8, as fitted in IBM's aihwkit
# (noise/reram.py).
NEURRAM = {
    1.0: (0.348, 16.03, -43.853, 45.393, -16.815),
    DAY: (0.701, 22.086, -50.773, 47.095, -16.458),
    2.0 * DAY: (0.782, 20.274, -43.507, 37.062, -11.934),
}
# Standard deviation [uS] as coefficients of a polynomial in G [uS], and the range of G [S]: NeuRRAM, HfO2 of Milo et
# al. (2021) and CMO/HfOx arrays verified to 2 % and 0.2 %, as coded in Sandia's CrossSim (devices/custom) and IBM's
# aihwkit.  The sources give no range for the last two; 0 to 100 uS is ours.
PUBLISHED_ERRORS: dict[str, tuple[tuple[float, ...], float, float]] = {
    "neurram": ((1.053, 0.2374, -0.01167, 1.536e-4), 0.0, 40e-6),
    "hfo2": ((4.782, -0.00911), 50e-6, 225e-6),
    "cmo_hfox_2_percent": ((0.0112, 0.01129), 0.0, 100e-6),
    "cmo_hfox_0.2_percent": ((0.00081, 0.00107), 0.0, 100e-6),
}

LEAST_SIEMENS = 1e-30  # of a window's upper end, ours


def neurram_error(g: npt.ArrayLike, age: float, g_max: float = NEURRAM_G_MAX) -> FloatArray:
    """Return the standard deviation [S] of conductances g [S] that were written `age` [s] ago: 1 s, 1 day or 2 days.

    The law holds for 0 to 40 uS.  Another g_max scales conductance and deviation by the same factor (our choice).
    Raises ParameterError for another age or a conductance beyond g_max.
    Source: docs/equations/programming.md eq. 6.
    """
    if age not in list(NEURRAM):
        raise ParameterError(f"age must be one of {', '.join(f'{a:g}' for a in NEURRAM)} s, got {age!r}")
    top = checks.positive("g_max", g_max, "S", LEAST_SIEMENS)
    x = checks.array("g", g, minimum=0.0) / top
    if x.size and x.max() > 1.0 + 1e-12:
        raise ParameterError(f"g must be ≤ g_max = {top:g} S, got {x.max() * top:g} S")
    return _polynomial(x, NEURRAM[age]) * (1e-6 * top / NEURRAM_G_MAX)


def published_error(g: npt.ArrayLike, law: str) -> FloatArray:
    """Return the standard deviation [S] of a published write error at conductances g [S].

    law: a name of PUBLISHED_ERRORS.  Raises ParameterError for another name or a conductance outside the law's range.
    Source: docs/equations/programming.md, section 3.
    """
    if law not in list(PUBLISHED_ERRORS):
        raise ParameterError(f"law must be one of {', '.join(PUBLISHED_ERRORS)}, got {law!r}")
    powers, low, high = PUBLISHED_ERRORS[law]
    values = checks.array("g", g)
    if values.size and not (low <= values.min() and values.max() <= high):
        raise ParameterError(
            f"g must lie in [{low:g}, {high:g}] S for {law}, got {values.min():g} to {values.max():g} S"
        )
    return _polynomial(values * 1e6, powers) * 1e-6


def _polynomial(x: FloatArray, powers: tuple[float, ...]) -> FloatArray:
    """Return the sum of powers[k] x^k."""
    total = np.zeros_like(x)
    for factor in reversed(powers):
        total = total * x + factor
    return total
