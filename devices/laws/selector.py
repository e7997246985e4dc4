"""The law of a cell in series with a volatile threshold selector."""

import math
from typing import Any, NamedTuple

from devices.laws import dispatch
from devices.numerics.jit import kernel

MOST_ROUNDS = 200  # most iterations for the cell's voltage; bisection alone needs 60 for all digits


class SelectorLaw(NamedTuple):
    """Parameters of a selector in series with a cell of any law."""

    cell: Any  # law of the cell
    g_off: float  # [S]
    ln_ratio: float  # ln(g_on / g_off)
    v_threshold: float  # [V]
    v_width: float  # [V]


@kernel
def selector_conductance(law: SelectorLaw, v: float) -> tuple[float, float]:
    """Return the selector's conductance [S] and its derivative [S/V] at the voltage v [V] over selector and cell.

    Source: docs/equations/cells.md eq. 23.
    """
    z = (abs(v) - law.v_threshold) / law.v_width
    e = math.exp(-abs(z))
    part = 1.0 / (1.0 + e) if z > 0.0 else e / (1.0 + e)
    g = law.g_off * math.exp(law.ln_ratio * part)
    return g, math.copysign(g * law.ln_ratio * e / ((1.0 + e) * (1.0 + e) * law.v_width), v)


@kernel
def divided_voltage(law: SelectorLaw, g_filament: float, gain: float, v: float, g: float) -> float:
    """Return the voltage [V] over the cell, when selector (conductance g [S]) and cell together have v [V].

    Newton's method solves docs/equations/cells.md eq. 24 inside a bracket.  Where a Newton step would leave the bracket
    or is more than half of the step before, the bracket is halved instead.  So the iteration converges for any law that
    rises monotonically through (0, 0).
    """
    low, high = min(v, 0.0), max(v, 0.0)
    before = high - low
    x = v * g / (g + dispatch.gated_current(law.cell, g_filament, gain, 0.0)[1])
    for _ in range(MOST_ROUNDS):
        current, slope = dispatch.gated_current(law.cell, g_filament, gain, x)
        excess = current - g * (v - x)
        if excess > 0.0:
            high = x
        else:
            low = x
        step = excess / (slope + g)
        if not low <= x - step <= high or 2.0 * abs(step) > before:
            step = x - 0.5 * (low + high)
        x -= step
        before = abs(step)
        if before <= 1e-15 * abs(x):
            break
    return x


@kernel
def selected_gain(law: SelectorLaw, v_gate: float) -> float:
    """Return the read gain of the cell in series with the selector."""
    return dispatch.law_gain(law.cell, v_gate)


@kernel
def selected_current(law: SelectorLaw, g_filament: float, gain: float, v: float) -> tuple[float, float]:
    """Return current [A] and slope dI/dv [S] of selector and cell in series.

    Source: docs/equations/cells.md eq. 23-25.
    """
    g, steeper = selector_conductance(law, v)
    x = divided_voltage(law, g_filament, gain, v, g)
    current, slope = dispatch.gated_current(law.cell, g_filament, gain, x)
    return current, slope * (g + steeper * current / g) / (slope + g)
