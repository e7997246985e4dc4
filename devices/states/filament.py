"""The state equation of a filament under voltage, integrated by exponential-Euler sub-steps (kernels).

The equation is dw/dt = up (1 - w) - down w, with rates up, down >= 0 that depend on w, so w never leaves [0, 1].  With
constant rates the step has an exact solution, which moves w towards up / (up + down).  So w stays in [0, 1] for any
step length.

`evolve_state` integrates one cell at constant voltage with as many sub-steps as necessary.  `march` integrates many
cells along a waveform: `step_block` first tries one step for all cells of a block in vector registers, and
`evolve_state` integrates the few cells that change fast (docs/equations/dynamics.md, section 3).
"""

import math
from typing import NamedTuple

import numpy as np

from devices.aliases import FloatArray
from devices.laws.adaptive import AdaptiveLaw, adaptive_current
from devices.laws.barrier import barrier_voltage
from devices.numerics.jit import kernel

LARGEST_EXPONENT = 600.0  # limit of the exponents, which keeps rates finite at any voltage
MOST_STEPS = 100_000  # a thousand times the number that a path from 0 to 1 takes
AT_REST = 1e-9  # distance from the equilibrium of the current rates below which a step may have any length
BISECTIONS = 60  # enough for the last bit of a state
THIN = 3.0  # limits steps of thin filaments, which dissolve ever faster, in proportion to their state (ours)


class Growth(NamedTuple):
    """Parameters of the state equation at one temperature."""

    g_min: float  # [S] filament conductance at w = 0
    ln_window: float  # ln(g_max / g_min)
    k_set: float  # [1/s]
    k_reset: float  # [1/s]
    v_set: float  # [V]
    v_reset: float  # [V]
    gate_per_ev: float  # [1/eV] beta / kT, of growth
    reset_per_ev: float  # [1/eV] beta_reset / kT, of dissolution under voltage
    lifetime: float  # [s] of a full filament without voltage
    w_critical: float  # state below which dissolution is exponential
    r_thermal: float = 0.0  # [K/W] thermal resistance: filament temperature rise over cell power, 0: no heating
    temperature: float = 300.0  # [K] ambient temperature, at which k_set, k_reset and both per_ev are given
    activation: float = 0.0  # [K] activation energy of k_set and k_reset over Boltzmann's constant


@kernel
def gate_factor(growth: Growth, energy: float, v: float) -> float:
    """Return the gate's factor on the rate that cell voltage v [V] drives, growth or dissolution; energy: [eV].

    Source: docs/equations/cells.md eq. 13-14.
    """
    per_ev = growth.gate_per_ev if v > 0.0 else growth.reset_per_ev
    return math.exp(min(per_ev * energy, LARGEST_EXPONENT))


def gate_factors(growth: Growth, energy: FloatArray, v: FloatArray) -> FloatArray:
    """Return `gate_factor` of arrays that broadcast."""
    per_ev = np.where(v > 0.0, growth.gate_per_ev, growth.reset_per_ev)
    result: FloatArray = np.exp(np.minimum(per_ev * energy, LARGEST_EXPONENT))
    return result


@kernel
def heated(law: AdaptiveLaw, growth: Growth, g: float, v: float, v_j: float) -> float:
    """Return the temperature [K] of a filament at cell voltage v [V] and barrier voltage v_j [V].

    g: small-signal conductance of the barrier, read gain included [S].

    Source: docs/equations/dynamics.md eq. 4.
    """
    current = g * v_j if math.isinf(law.v_0) else g * law.v_0 * math.sinh(v_j / law.v_0)
    return growth.temperature + growth.r_thermal * v * (current + law.g_leak * v)


@kernel
def rates(law: AdaptiveLaw, growth: Growth, w: float, v: float, gain: float, boost: float) -> tuple[float, float]:
    """Return the rates up and down [1/s] of a state w at cell voltage v [V]; boost: gate_factor at v.

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
        down += warmth * growth.k_reset * boost * math.expm1(min(-v_j / growth.v_reset, LARGEST_EXPONENT))
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
    """Return the equilibrium between two states that move towards each other, by bisection."""
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
    """Return the state after dt [s] at constant voltages, and whether the integration reached dt.

    Sub-steps move w by at most about `largest`; each uses the rates at its midpoint (second order).  At constant
    voltages w never passes an equilibrium, so a sub-step that would pass one ends there.
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
    """Return state, length [s], rates at its end and whether w is in equilibrium, of a sub-step of at most `left`."""
    total = up + down
    gap = abs(up / total - w)
    step = left
    if gap > AT_REST:  # near the equilibrium a step is about one time constant, as the rates may change
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
    """Return the states after dt [s] of flat arrays of one length, and how many integrations did not reach dt.

    energy: Fermi level [eV].
    """
    out = np.empty_like(w)
    missed = 0
    for i in range(w.size):
        boost = gate_factor(growth, energy[i], v[i])
        out[i], reached = evolve_state(law, growth, w[i], v[i], gain[i], boost, dt[i], largest)
        missed += not reached
    return out, missed


@kernel
def charge_state(
    law: AdaptiveLaw, growth: Growth, w: float, v: float, gain: float, boost: float, dt: float, largest: float
) -> tuple[float, float, bool]:
    """Return the state after dt [s] at constant voltages, the charge [C] that flowed, and whether dt was reached.

    Source: docs/equations/dynamics.md eq. 6, the trapezoidal rule over the sub-steps of evolve_state.
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
    """Return the states after dt [s], the charge [C] through each cell, and how many did not reach dt; flat arrays.

    low: conductance of each cell at w = 0 [S].  ln_window: logarithm of g_max over low of each cell.
    Source: docs/equations/dynamics.md eq. 6, the trapezoidal rule over the sub-steps.
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
    """Return the parameters of a cell whose conductance window is `low` [S] to low exp(ln_window)."""
    return Growth(
        low, ln_window, growth.k_set, growth.k_reset, growth.v_set, growth.v_reset, growth.gate_per_ev,
        growth.reset_per_ev, growth.lifetime, growth.w_critical, growth.r_thermal, growth.temperature,
        growth.activation,
    )  # fmt: skip
