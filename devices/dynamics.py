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

from devices.aliases import BoolArray, FloatArray, IntArray
from devices.gate import fermi_energy, gain_at
from devices.jit import kernel
from devices.laws import AdaptiveLaw, adaptive_current, barrier_voltage

LARGEST_EXPONENT = 600.0  # of the field factors: rates stay finite at any voltage
MOST_STEPS = 100_000  # a thousand times what a path from 0 to 1 takes
AT_REST = 1e-9  # distance from the frozen resting state where a step of any length is right
BISECTIONS = 60  # down to the last bit of a state
BLOCK = 256  # cells that stay in the fastest memory through a whole waveform (ours)
QUICK_EXPONENT = 40.0  # largest exponent of quick_expm1: 2**7 halvings bring it to 0.31
ACCEPTED = 4.0  # error estimate of a step over the largest move squared: moves come out about that large (ours)
MILD_EXPONENT = 10.0  # of mild_expm1
SPENT = 20.0  # time constants after which only 2e-9 of a way is left
MOST_PARTS = 64  # into which a block divides a step before single cells divide it further (ours)
IDLE = 1e-9  # largest move of a state in a pulse that counts as none: a million of them are 0.1 % (ours)
BLUNT = 1e6  # [V] curvature that stands for a straight barrier in step_block: sinh(u) = u to rounding


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
        step = min(left, -math.log1p(-min(largest / gap, 0.6)) / total)
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


@kernel(inline=True)
def quick_series(y: float) -> float:
    """Return exp(y) - 1 for |y| <= 0.32 from eight terms, even and odd powers apart so that they run side by side."""
    p = y * y
    odd = ((1.0 / 5040.0 * p + 1.0 / 120.0) * p + 1.0 / 6.0) * p + 1.0
    even = ((1.0 / 40320.0 * p + 1.0 / 720.0) * p + 1.0 / 24.0) * p + 0.5
    return odd * y + even * p


@kernel(inline=True)
def quick_expm1(x: float) -> float:
    """Return exp(x) - 1 for |x| <= QUICK_EXPONENT to 2e-8, from its series at x / 2^7 and seven doublings.

    Neither branch nor table, so loops run in vector registers; small results keep their relative accuracy.
    Source: docs/equations/dynamics.md eq. 9.
    """
    e = quick_series(x * (1.0 / 128.0))
    e *= 2.0 + e
    e *= 2.0 + e
    return mild_doublings(e)


@kernel(inline=True)
def mild_expm1(x: float) -> float:
    """Return exp(x) - 1 for |x| <= MILD_EXPONENT to 1e-8, as quick_expm1 with two doublings less."""
    return mild_doublings(quick_series(x * (1.0 / 32.0)))


@kernel(inline=True)
def mild_doublings(e: float) -> float:
    """Return exp(32 x) - 1 from e = exp(x) - 1."""
    e *= 2.0 + e
    e *= 2.0 + e
    e *= 2.0 + e
    e *= 2.0 + e
    e *= 2.0 + e
    return e


@kernel(inline=True)
def short_expm1(x: float) -> float:
    """Return exp(x) - 1 for |x| <= 0.2 to 1e-8 of it."""
    return x * (1.0 + x * (1.0 / 2.0 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0))))))


@kernel(inline=True)
def barrier_step(u: float, a: float, s: float, sinh: float, cosh: float) -> float:
    """Return Halley's step towards the root of u + a sinh(u) = s."""
    slope, off = 1.0 + a * cosh, u + a * sinh - s
    return -2.0 * off * slope / (2.0 * slope * slope - off * a * sinh)


@kernel(inline=True)
def quick_step(
    x: float, series: float, ln_window: float, grow: float, v: float, sinh_v: float, cosh_v: float,
    v_0: float, v_set: float, v_reset: float, k_reset: float, decay: float, thin: float, dt: float, accepted: float,
) -> float:  # fmt: skip
    """Return the state `x` after one midpoint step of dt [s], below 0 if it wants sub-steps; see step_block.

    No branches: where it is inlined in a loop, cells go through it in vector registers.
    Source: docs/equations/dynamics.md eq. 7-10.
    """
    s = abs(v) / v_0
    a = series * (1.0 + mild_expm1(ln_window * x))
    u = s + barrier_step(s, a, s, sinh_v, cosh_v)
    e = mild_expm1(u)
    inverse = 1.0 / (1.0 + e)
    sinh = 0.5 * (e + e * inverse)
    cosh = sinh + inverse
    move = barrier_step(u, a, s, sinh, cosh)  # second step; third order leaves 1e-9 where it was below 1e-3
    good = (abs(move) <= 1e-3) & (u <= MILD_EXPONENT)
    u += move
    sinh, cosh = sinh + move * (cosh + 0.5 * move * sinh), cosh + move * (sinh + 0.5 * move * cosh)

    positive = v > 0.0
    steepness = v_0 / (v_set if positive else v_reset)
    good &= u * steepness <= QUICK_EXPONENT
    field = quick_expm1(min(u * steepness, QUICK_EXPONENT))
    rise, fall = (grow, 0.0) if positive else (0.0, k_reset)
    p = x * x
    up, down = rise * field, decay / (p * p + thin) + fall * field
    total = up + down + 1e-300
    half = quick_expm1(-min(0.5 * dt * total, QUICK_EXPONENT))
    gap = x - up / total
    middle = x + gap * half
    whole = half * (2.0 + half)
    euler = x + gap * whole

    # the rates of the middle: its conductance, barrier and field differ little from those of the start
    change = ln_window * (middle - x)
    a *= 1.0 + short_expm1(change)
    move = steepness * barrier_step(u, a, s, sinh, cosh)
    good &= (abs(change) <= 0.2) & (abs(move) <= 0.2)
    field += (1.0 + field) * short_expm1(move)
    p = middle * middle
    up, down = rise * field, decay / (p * p + thin) + fall * field
    before, total = total, up + down + 1e-300
    change = dt * (before - total)
    good &= (abs(change) <= 0.2) | (dt * min(before, total) > SPENT)
    end = x + (x - up / total) * (whole + (1.0 + whole) * short_expm1(min(max(change, -0.2), 0.2)))
    error = abs(end - euler) / accepted
    wants = -error if error > 1.0 else -1.0
    return min(max(end, 0.0), 1.0) if good & (error <= 1.0) else wants


@kernel
def step_block(
    growth: Growth,
    v_0: float,
    w: FloatArray,
    series: FloatArray,
    ln_window: FloatArray,
    grow: FloatArray,
    v: FloatArray,
    sinh_v: FloatArray,
    cosh_v: FloatArray,
    dt: float,
    largest: float,
    out: FloatArray,
) -> None:
    """Fill `out` with the states after one midpoint step of dt [s]; where a cell wants sub-steps, below 0.

    There it is minus the estimated error in units of what is accepted, at most -1.
    series: series resistance x conductance of the barrier at w = 0; grow: k_set times the gate's factor [1/s]; sinh_v,
    cosh_v: of |v| / v_0.
    """
    accepted = ACCEPTED * largest * largest
    v_set, v_reset, k_reset = growth.v_set, growth.v_reset, growth.k_reset
    decay, thin = 0.25 / growth.lifetime, growth.w_critical**4
    for i in range(len(w)):
        out[i] = quick_step(
            w[i], series[i], ln_window[i], grow[i], v[i], sinh_v[i], cosh_v[i],
            v_0, v_set, v_reset, k_reset, decay, thin, dt, accepted,
        )  # fmt: skip


@kernel
def set_gates(
    law: AdaptiveLaw, growth: Growth, low: FloatArray, offset: FloatArray, v_gate: FloatArray,
    gain: FloatArray, boost: FloatArray, series: FloatArray, grow: FloatArray,
) -> None:  # fmt: skip
    """Fill read gain, factor on growth, and what step_block makes of them, for gates (1,) or one per cell [V]."""
    for i in range(len(low)):
        energy = fermi_energy(law, v_gate[i if len(v_gate) > 1 else 0] - offset[i])
        gain[i] = gain_at(law, energy)
        boost[i] = math.exp(min(growth.gate_per_ev * energy, LARGEST_EXPONENT))
        series[i] = law.r_series * gain[i] * low[i]
        grow[i] = growth.k_set * boost[i]


@kernel
def divide(
    law: AdaptiveLaw, growth: Growth, low: FloatArray, ln_window: FloatArray, chosen: IntArray, v: FloatArray,
    sinh_v: FloatArray, cosh_v: FloatArray, gain: FloatArray, boost: FloatArray, series: FloatArray, grow: FloatArray,
    dt: float, parts: int, largest: float, w: FloatArray,
) -> int:  # fmt: skip
    """Take the chosen cells of a block through dt [s] in equal parts, each cell further where it must, in place.

    One part leaves all to evolve_state.  Returns how many parts were not reached.
    """
    x, window = w[chosen], ln_window[chosen]
    some_series, some_grow, some_v = series[chosen], grow[chosen], v[chosen]
    some_sinh, some_cosh = sinh_v[chosen], cosh_v[chosen]
    v_0 = min(law.v_0, BLUNT)
    after = np.full(len(x), -1.0)
    missed = 0
    for _ in range(parts):
        if parts > 1:
            step_block(
                growth, v_0, x, some_series, window, some_grow, some_v, some_sinh, some_cosh, dt / parts, largest, after
            )  # fmt: skip
        for k in range(len(x)):
            if after[k] < 0.0:
                i = chosen[k]
                own = own_growth(growth, low[i], window[k])
                x[k], reached = evolve_state(law, own, x[k], v[i], gain[i], boost[i], dt / parts, largest)
                missed += not reached
            else:
                x[k] = after[k]
    w[chosen] = x
    return missed


@kernel
def march_block(
    law: AdaptiveLaw, growth: Growth, low: FloatArray, ln_window: FloatArray, offset: FloatArray,
    dt: FloatArray, pieces: IntArray, v: FloatArray, v_gate: FloatArray, first: int, largest: float, kept: IntArray,
    w: FloatArray, states: FloatArray,
) -> int:  # fmt: skip
    """Take the cells of one block along a waveform as `march` does; returns how many steps were not reached."""
    c = len(w)
    gain, boost, series, grow = np.empty(c), np.empty(c), np.empty(c), np.empty(c)
    volts, sinh_v, cosh_v = np.empty(c), np.empty(c), np.empty(c)
    out, rest = np.empty(c), np.empty(c, dtype=np.int64)
    v_0 = min(law.v_0, BLUNT)
    many, gates = v.shape[1] > 1, v_gate.shape[1] > 1
    gate = np.full(c if gates else 1, math.nan)
    missed = 0
    if kept[0] >= 0:
        states[kept[0], first : first + c] = w
    for k in range(len(dt)):
        step = dt[k] / pieces[k]
        for piece in range(pieces[k] if step > 0.0 else 0):
            part = (piece + 0.5) / pieces[k]
            moved = False
            for i in range(len(gate)):
                at = first + i if gates else 0
                new = v_gate[k, at] + part * (v_gate[k + 1, at] - v_gate[k, at])
                moved |= new != gate[i]
                gate[i] = new
            if moved:
                set_gates(law, growth, low, offset, gate, gain, boost, series, grow)
            for i in range(c if many else 1):
                at = first + i if many else 0
                volts[i] = v[k, at] + part * (v[k + 1, at] - v[k, at])
                s = min(abs(volts[i]) / v_0, QUICK_EXPONENT)
                sinh_v[i], cosh_v[i] = math.sinh(s), math.cosh(s)
            if not many:
                volts[:], sinh_v[:], cosh_v[:] = volts[0], sinh_v[0], cosh_v[0]
            parts, count = 1, c
            if growth.r_thermal == 0.0:
                step_block(growth, v_0, w, series, ln_window, grow, volts, sinh_v, cosh_v, step, largest, out)
                count, worst = 0, 1.0
                for i in range(c):
                    if out[i] < 0.0:
                        rest[count] = i
                        count += 1
                        worst = max(worst, -out[i])
                    else:
                        w[i] = out[i]
                parts = min(2 + int(math.sqrt(worst)), MOST_PARTS)  # the estimate goes with the square of the step
            else:
                for i in range(c):
                    rest[i] = i
            if count:
                gathered = rest[:count]
                missed += divide(
                    law, growth, low, ln_window, gathered, volts, sinh_v, cosh_v, gain, boost, series, grow,
                    step, parts, largest, w,
                )  # fmt: skip
        if kept[k + 1] >= 0:
            states[kept[k + 1], first : first + c] = w
    return missed


@kernel
def march(
    law: AdaptiveLaw, growth: Growth, low: FloatArray, ln_window: FloatArray, offset: FloatArray,
    dt: FloatArray, pieces: IntArray, v: FloatArray, v_gate: FloatArray, largest: float, kept: IntArray,
    w: FloatArray, states: FloatArray, first: int, last: int,
) -> int:  # fmt: skip
    """Take cells first to last - 1 of `w` (c,) along a waveform, in place; returns how many steps were not reached.

    low, ln_window, offset: (c,) [S], 1, [V].  dt, pieces: (t - 1,) length of each interval [s] and into how many
    pieces it is divided.  v, v_gate: (t, 1) or (t, c) [V], straight between samples; a piece has the voltages of its
    middle.  kept: (t,) row of `states` (kept, c) that takes the states of a sample, -1 for none.
    A block of cells stays in fast memory through all intervals.  Source: docs/equations/dynamics.md, section 3.
    """
    missed = 0
    for begin in range(first, last, BLOCK):
        part = slice(begin, min(begin + BLOCK, last))
        missed += march_block(
            law, growth, low[part], ln_window[part], offset[part], dt, pieces, v, v_gate, begin, largest, kept,
            w[part], states,
        )  # fmt: skip
    return missed


@kernel
def train(
    law: AdaptiveLaw, growth: Growth, low: FloatArray, ln_window: FloatArray, v: FloatArray, dt: FloatArray,
    gate: IntArray, gain: FloatArray, boost: FloatArray, selected: BoolArray, largest: float,
    w: FloatArray, energy: FloatArray, first: int, last: int,
) -> int:  # fmt: skip
    """Take cells first to last - 1 of `w` (c,) through pulses one after another, in place; returns those not reached.

    v, dt: (p, c) [V], [s] of each pulse in each cell; gate: (p, c) row of gain and boost (kinds, c) that holds then.
    selected: (p, c) whether the cell's energy [J] of the pulse is added to `energy` (c,).  Pulses whose field cannot
    move a state by IDLE are passed over.  Source: docs/equations/programming.md, section 2.
    """
    missed = 0
    for i in range(first, last):
        own = own_growth(growth, low[i], ln_window[i])
        x = w[i]
        for p in range(len(v)):
            volts, time, kind = v[p, i], dt[p, i], gate[p, i]
            g, help_ = gain[kind, i], boost[kind, i]
            if volts > 0.0:
                most = own.k_set * help_ * math.expm1(min(volts / own.v_set, LARGEST_EXPONENT)) * time
            else:
                most = own.k_reset * math.expm1(min(-volts / own.v_reset, LARGEST_EXPONENT)) * time
            if most < IDLE and not selected[p, i]:
                continue
            if selected[p, i]:
                x, charge, reached = charge_state(law, own, x, volts, g, help_, time, largest)
                energy[i] += charge * volts
            else:
                x, reached = evolve_state(law, own, x, volts, g, help_, time, largest)
            missed += not reached
        w[i] = x
    return missed
