"""State of a filament under voltage: the exponential-Euler step of its bounded equation, with sub-steps (kernels).

dw/dt = up (1 - w) - down w with rates up, down >= 0 that depend on w, so w = 0 and w = 1 cannot be passed.  A step with
frozen rates is exact and moves w towards up / (up + down): any step length keeps w in [0, 1].
"""

import math
from typing import NamedTuple

import numpy as np

from devices.aliases import FloatArray
from devices.jit import kernel
from devices.laws import AdaptiveLaw, barrier_voltage

LARGEST_EXPONENT = 600.0  # of the field factors: rates stay finite at any voltage
MOST_STEPS = 100_000  # a thousand times what a path from 0 to 1 takes
AT_REST = 1e-9  # distance from the frozen resting state where a step of any length is right
BISECTIONS = 60  # down to the last bit of a state


class Growth(NamedTuple):
    """Parameters of the state equation at one temperature."""

    g_min: float  # [S] filament conductance at w = 0
    ln_window: float  # ln(g_max / g_min)
    k_set: float  # [1/s]
    k_reset: float  # [1/s]
    v_set: float  # [V]
    v_reset: float  # [V]
    gate_per_ev: float  # [1/eV] beta / kT
    lifetime: float  # [s] of a full filament
    w_critical: float  # state below which dissolution is exponential


@kernel
def rates(law: AdaptiveLaw, growth: Growth, w: float, v: float, gain: float, boost: float) -> tuple[float, float]:
    """Return up and down [1/s] of a state w at cell voltage v [V]; boost is the gate's factor on growth.

    Source: docs/equations/cells.md eq. 12-14.
    """
    g = gain * growth.g_min * math.exp(growth.ln_window * w)
    v_j = barrier_voltage(law.v_0, law.r_series, g, v)
    up = 0.0
    down = 0.25 / (growth.lifetime * (w**4 + growth.w_critical**4))
    if v_j > 0.0:
        up = growth.k_set * boost * math.expm1(min(v_j / growth.v_set, LARGEST_EXPONENT))
    elif v_j < 0.0:
        down += growth.k_reset * math.expm1(min(-v_j / growth.v_reset, LARGEST_EXPONENT))
    return up, down


@kernel
def frozen_step(w: float, up: float, down: float, dt: float) -> float:
    """Return the state after dt [s] at constant rates.

    Source: docs/equations/cells.md eq. 15.
    """
    total = up + down
    if total == 0.0:
        return w
    w += (w - up / total) * math.expm1(-total * dt)
    return min(max(w, 0.0), 1.0)


@kernel
def balance(law: AdaptiveLaw, growth: Growth, w_1: float, w_2: float, v: float, gain: float, boost: float) -> float:
    """Return the resting state between two states that drift towards each other."""
    up, down = rates(law, growth, w_1, v, gain, boost)
    rises = up * (1.0 - w_1) > down * w_1
    for _ in range(BISECTIONS):
        middle = 0.5 * (w_1 + w_2)
        up, down = rates(law, growth, middle, v, gain, boost)
        if (up * (1.0 - middle) > down * middle) == rises:
            w_1 = middle
        else:
            w_2 = middle
    return 0.5 * (w_1 + w_2)


@kernel
def evolve_state(
    law: AdaptiveLaw, growth: Growth, w: float, v: float, gain: float, boost: float, dt: float, largest: float
) -> tuple[float, bool]:
    """Return the state after dt [s] at constant voltages and whether it was reached.

    Sub-steps move w by about `largest` at most, each with the rates of its middle (second order).  At constant voltages
    w never passes a resting state, so a sub-step that would pass one ends there.
    """
    left = dt
    up, down = rates(law, growth, w, v, gain, boost)
    for _ in range(MOST_STEPS):
        total = up + down
        if left <= 0.0 or total == 0.0:
            return w, True
        gap = abs(up / total - w)
        step = left
        if gap > AT_REST:  # the last part of the way takes steps of one time constant, as rates may change on it
            step = min(left, -math.log1p(-min(largest / gap, 0.6)) / total)
        drift = up * (1.0 - w) - down * w
        middle = frozen_step(w, up, down, 0.5 * step)
        up, down = rates(law, growth, middle, v, gain, boost)
        if drift * (up * (1.0 - middle) - down * middle) < 0.0:
            return balance(law, growth, w, middle, v, gain, boost), True
        end = frozen_step(w, up, down, step)
        up, down = rates(law, growth, end, v, gain, boost)
        if drift * (up * (1.0 - end) - down * end) < 0.0:
            return balance(law, growth, w, end, v, gain, boost), True
        w = end
        left -= step
    return w, False


@kernel
def evolve(
    law: AdaptiveLaw,
    growth: Growth,
    w: FloatArray,
    v: FloatArray,
    gain: FloatArray,
    energy: FloatArray,
    dt: FloatArray,
    largest: float,
) -> tuple[FloatArray, int]:
    """Return the states after dt [s] of flat arrays of one length and how many were not reached; energy is E_F [eV]."""
    out = np.empty_like(w)
    missed = 0
    for i in range(w.size):
        boost = math.exp(min(growth.gate_per_ev * energy[i], LARGEST_EXPONENT))
        out[i], reached = evolve_state(law, growth, w[i], v[i], gain[i], boost, dt[i], largest)
        missed += not reached
    return out, missed
