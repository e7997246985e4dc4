"""Discrete conductance levels: their values, and the level nearest to a conductance."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from devices import checks
from devices.aliases import FloatArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.errors import ParameterError


@checks.typed
def levels(cell: AdaptiveMemristor, count: int = 64, spacing: Literal["linear", "ratio"] = "linear") -> FloatArray:
    """Return `count` filament conductances [S] from g_min to g_max, equally spaced or in equal ratios.

    The default of 64 levels is ours; the most levels published for a related compound are 325
    (doi 10.1039/d5nh00675a).
    Raises ParameterError for fewer than two or another spacing.
    """
    count = checks.whole("count", count, minimum=2)
    if spacing == "linear":
        return np.linspace(cell.g_min, cell.g_max, count)
    if spacing == "ratio":
        return np.geomspace(cell.g_min, cell.g_max, count)
    raise ParameterError(f"spacing must be 'linear' or 'ratio', got {spacing!r}")


def quantise(g: npt.ArrayLike, table: npt.ArrayLike) -> FloatArray:
    """Return the level of a rising table [S] that is nearest to each conductance [S].

    Raises ParameterError if the table is empty or does not rise.
    """
    values, steps = checks.array("g", g), checks.array("table", table, ndim=1)
    if not steps.size or np.any(np.diff(steps) <= 0.0):
        raise ParameterError(f"table must hold rising conductances, got {steps.size} of them")
    between = 0.5 * (steps[:-1] + steps[1:])
    nearest: FloatArray = steps[np.searchsorted(between, values)]
    return nearest
