"""State of a filament under voltage: the exponential-Euler step of its bounded equation, with sub-steps (kernels).

dw/dt = up (1 - w) - down w with rates up, down >= 0 that depend on w, so w = 0 and w = 1 cannot be passed.  A step with
frozen rates is exact and moves w towards up / (up + down): any step length keeps w in [0, 1].

`evolve_state` takes one cell through a constant voltage in as many sub-steps as it needs.  `march` takes many cells
along a waveform: `step_block` tries each piece in one step for all cells of a block, in vector registers, and leaves
the few cells that move fast to `evolve_state` (docs/equations/dynamics.md, section 3).
"""

import math
from typing import NamedTuple

import numpy as np

from devices.aliases import FloatArray
from devices.laws.adaptive import AdaptiveLaw, adaptive_current
from devices.laws.barrier import barrier_voltage
from devices.numerics.jit import kernel

LARGEST_EXPONENT = 600.0  # of the field factors: rates stay finite at any voltage
MOST_STEPS = 100_000  # a thousand times what a path from 0 to 1 takes
AT_REST = 1e-9  # distance from the frozen resting state where a step of any length is right
BISECTIONS = 60  # down to the last bit of a state
THIN = 3.0  # times the state: thin filaments dissolve ever faster, and take steps in proportion to what is left (ours)


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
    r_thermal: float = 0.0  # [K/W] rise of the filament's temperature over the power of its cell, 0: no heating
    temperature: float = 300.0  # [K] of the surroundings, at which k_set, k_reset and gate_per_ev are given
    activation: float = 0.0  # [K] activation energy of k_set and k_reset over Boltzmann's constant


@kernel
def heated(law: AdaptiveLaw, growth: Growth, g: float, v: float, v_j: float) -> float:
    """Return the temperature [K] of a filament, gain included g [S], in a cell at v [V] and barrier voltage v_j [V].

    Source: docs/equations/dynamics.md eq. 4.
    """
    current = g * v_j if math.isinf(law.v_0) else g * law.v_0 * math.sinh(v_j / law.v_0)
    return growth.temperature + growth.r_thermal * v * (current + law.g_leak * v)


@kernel
def rates(law: AdaptiveLaw, growth: Growth, w: float, v: float, gain: float, boost: float) -> tuple[float, float]:
    """Return up and down [1/s] of a state w at cell voltage v [V]; boost is the gate's factor on growth.

    Source: docs/equations/cells.md eq. 12-14; with heating docs/equations/dynamics.md eq. 4-5.
    """
    g = gain * growth.g_min * math.exp(growth.ln_window * w)
    v_j = barrier_voltage(law.v_0, law.r_series, g, v)
    warmth = 1.0
    if growth.r_thermal > 0.0:
        warm = heated(law, growth, g, v, v_j)
        warmth = math.exp(growth.activation * (1.0 / growth.temperature - 1.0 / warm))
        boost = boost ** (growth.temperature / warm)
    up = 0.0
    down = 0.25 / (growth.lifetime * (w**4 + growth.w_critical**4))
    if v_j > 0.0:
        up = warmth * growth.k_set * boost * math.expm1(min(v_j / growth.v_set, LARGEST_EXPONENT))
    elif v_j < 0.0:
        down += warmth * growth.k_reset * math.expm1(min(-v_j / growth.v_reset, LARGEST_EXPONENT))
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
        if left <= 0.0 or up + down == 0.0:
            return w, True
        w, step, up, down, rests = sub_step(law, growth, w, v, gain, boost, left, largest, up, down)
        if rests:
            return w, True
        left -= step
    return w, False


@kernel
def sub_step(
    law: AdaptiveLaw, growth: Growth, w: float, v: float, gain: float, boost: float, left: float, largest: float,
    up: float, down: float,
) -> tuple[float, float, float, float, bool]:  # fmt: skip
    """Return state, length [s], rates at its end and whether it rests, for one sub-step of at most `left` [s]."""
    total = up + down
    gap = abs(up / total - w)
    step = left
    if gap > AT_REST:  # the last part of the way takes steps of one time constant, as rates may change on it
        most = largest * min(1.0, THIN * (w + growth.w_critical))
        step = min(left, -math.log1p(-min(most / gap, 0.6)) / total)
    drift = up * (1.0 - w) - down * w
    middle = frozen_step(w, up, down, 0.5 * step)
    up, down = rates(law, growth, middle, v, gain, boost)
    if drift * (up * (1.0 - middle) - down * middle) < 0.0:
        return balance(law, growth, w, middle, v, gain, boost), step, up, down, True
    end = frozen_step(w, up, down, step)
    up, down = rates(law, growth, end, v, gain, boost)
    if drift * (up * (1.0 - end) - down * end) < 0.0:
        return balance(law, growth, w, end, v, gain, boost), step, up, down, True
    return end, step, up, down, False


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


@kernel
def charge_state(
    law: AdaptiveLaw, growth: Growth, w: float, v: float, gain: float, boost: float, dt: float, largest: float
) -> tuple[float, float, bool]:
    """Return the state after dt [s] at constant voltages, the charge [C] that passed, and whether it was reached.

    Source: docs/equations/dynamics.md eq. 6, the trapezoid over the sub-steps of evolve_state.
    """
    left, charge = dt, 0.0
    current = adaptive_current(law, growth.g_min * math.exp(growth.ln_window * w), gain, v)[0]
    up, down = rates(law, growth, w, v, gain, boost)
    for _ in range(MOST_STEPS):
        if left <= 0.0 or up + down == 0.0:
            return w, charge + current * max(left, 0.0), True
        w, step, up, down, rests = sub_step(law, growth, w, v, gain, boost, left, largest, up, down)
        before = current
        current = adaptive_current(law, growth.g_min * math.exp(growth.ln_window * w), gain, v)[0]
        charge += 0.5 * (before + current) * step
        left -= step
        if rests:
            return w, charge + current * max(left, 0.0), True
    return w, charge, False


@kernel
def pulse(
    law: AdaptiveLaw,
    growth: Growth,
    low: FloatArray,
    ln_window: FloatArray,
    w: FloatArray,
    v: FloatArray,
    gain: FloatArray,
    boost: FloatArray,
    dt: FloatArray,
    largest: float,
) -> tuple[FloatArray, FloatArray, int]:
    """Return the states after dt [s], the charge [C] through each cell, and how many were not reached; flat arrays.

    low: [S] conductance of each cell at w = 0, ln_window: logarithm of its g_max over that.
    Source: docs/equations/dynamics.md eq. 6, the trapezoid over the sub-steps.
    """
    out, charge = np.empty_like(w), np.empty_like(w)
    missed = 0
    for i in range(w.size):
        own = own_growth(growth, low[i], ln_window[i])
        out[i], charge[i], reached = charge_state(law, own, w[i], v[i], gain[i], boost[i], dt[i], largest)
        missed += not reached
    return out, charge, missed


@kernel
def own_growth(growth: Growth, low: float, ln_window: float) -> Growth:
    """Return the parameters of a cell whose window begins at `low` [S] and ends at low exp(ln_window)."""
    return Growth(
        low, ln_window, growth.k_set, growth.k_reset, growth.v_set, growth.v_reset, growth.gate_per_ev,
        growth.lifetime, growth.w_critical, growth.r_thermal, growth.temperature, growth.activation,
    )  # fmt: skip
