"""Kernels of the filament state: exponential-Euler steps of many cells, block by block."""

import math
from typing import NamedTuple

import numpy as np

from devices.aliases import FloatArray, IntArray
from devices.laws.adaptive import AdaptiveLaw
from devices.laws.gate import fermi_energy, gain_at
from devices.numerics.exponential import expm1
from devices.numerics.jit import kernel
from devices.numerics.simd import WIDE, Vector, absolute, choose, everywhere, fused, larger, load_wide, smaller, store
from devices.states.filament import LARGEST_EXPONENT, Growth, charge_state, evolve_state, own_growth

BLOCK = 256  # cells that stay in the fastest memory through a whole waveform (ours)
ACCEPTED = 4.0  # error estimate of a step over the largest move squared: moves come out about that large (ours)
CALM = 0.4  # move over the largest one squared below which the rates of its start are taken (ours)
SHORT = 0.2  # largest argument of the short series, which are exact there to 2e-8 of the result
NEAR = 0.02  # largest step of the barrier's u from where it was, after which 1e-6 of it is left (ours)
SETTLED = 1e-3  # largest last step of u from anywhere: third order leaves 1e-9
MORE_STEPS = 3  # after the two that ordinary cells take: enough to 3 V over the default cell (ours)
OLDEST = 64  # pieces after which what is carried is calculated anew (ours)
NO_RATE = 1e-300  # [1/s] added to rates that are divided by
UNKNOWN = math.nan
MOST_PARTS = 64  # into which a block divides a step before single cells divide it further (ours)
IDLE = 1e-9  # largest move of a state in a pulse that counts as none: a million of them are 0.1 % (ours)
BLUNT = 1e6  # [V] curvature that stands for a straight barrier in step_block: sinh(u) = u to rounding


class Pace(NamedTuple):
    """What all cells of a step share."""

    per_v_0: float  # [1/V]
    per_set: float  # v_0 / v_set
    per_reset: float  # v_0 / v_reset
    k_reset: float  # [1/s]
    decay: float  # [1/s] of dissolution at state 1, a quarter of 1 / lifetime
    thin: float  # w_critical**4
    half: float  # [s] half of the step
    per_error: float  # 1 over the error that is accepted
    calm: float  # largest move that is taken with the rates of its start


@kernel(inline=True)
def short_expm1(x: Vector) -> Vector:
    """Return exp(x) - 1 for |x| <= 0.2 to 3e-9 of it."""
    p = x * x
    high = fused(fused(x, 1.0 / 720.0, 1.0 / 120.0), p, fused(x, 1.0 / 24.0, 1.0 / 6.0))
    return fused(p, fused(high, x, 0.5), x)


@kernel(inline=True)
def turned(sinh: Vector, cosh: Vector, d: Vector) -> tuple[Vector, Vector]:
    """Return sinh(u + d) and cosh(u + d) from those of u, |d| <= NEAR."""
    d_2, d_3, d_4 = d * (1.0 / 2.0), d * (1.0 / 3.0), d * (1.0 / 4.0)
    return (
        fused(d, fused(d_2, fused(d_3, fused(d_4, sinh, cosh), sinh), cosh), sinh),
        fused(d, fused(d_2, fused(d_3, fused(d_4, cosh, sinh), cosh), sinh), cosh),
    )


@kernel(inline=True)
def hyperbolic(u: Vector) -> tuple[Vector, Vector]:
    """Return sinh(u) and cosh(u) for u >= 0; small sinh keep their digits."""
    e = expm1(u)
    inverse = 1.0 / (1.0 + e)
    sinh = 0.5 * fused(e, inverse, e)
    return sinh, sinh + inverse


@kernel(inline=True)
def barrier_step(u: Vector, a: Vector, s: Vector, sinh: Vector, cosh: Vector) -> Vector:
    """Return Halley's step towards the root of u + a sinh(u) = s.

    Source: docs/equations/dynamics.md eq. 8.
    """
    bent = a * sinh
    slope, off = fused(a, cosh, 1.0), u + bent - s
    return -2.0 * off * slope / fused(2.0 * slope, slope, -off * bent)


@kernel(inline=True)
def approach(total: Vector, dt: float) -> tuple[Vector, Vector]:
    """Return exp(-total dt) - 1, and what it is over -total [s]."""
    z = total * dt
    series = fused(
        z, fused(z, fused(z, fused(z, fused(z, -1.0 / 720.0, 1.0 / 120.0), -1.0 / 24.0), 1.0 / 6.0), -0.5), 1.0
    )
    part, time = -z * series, dt * series
    mild = z <= SHORT
    if not everywhere(mild):
        whole = expm1(-z)
        part, time = choose(mild, part, whole), choose(mild, time, -whole / total)
    return part, time


@kernel(inline=True)
def quick_step(
    x: Vector, a: Vector, u: Vector, sinh: Vector, cosh: Vector, field: Vector,
    series: Vector, ln_window: Vector, grow: Vector, v: Vector, pace: Pace,
) -> tuple[Vector, Vector, Vector, Vector, Vector, Vector]:  # fmt: skip
    """Return the states `x` after a step, below 0 if they want sub-steps, and the five of them that are carried.

    a, u, sinh, cosh, field: of the barrier and of exp(v_j / v_set) - 1 where the last step ended, nan in u where that
    is not known.  Lanes do not touch each other: where one of them goes another way both are gone and it keeps its own.
    Source: docs/equations/dynamics.md eq. 7-10.
    """
    s = absolute(v) * pace.per_v_0
    growing = v > 0.0
    steepness = choose(growing, pace.per_set, pace.per_reset)
    d = barrier_step(u, a, s, sinh, cosh)
    bend = steepness * d
    good = (absolute(d) <= NEAR) & (absolute(bend) <= SHORT)
    u = u + d
    sinh, cosh = turned(sinh, cosh, d)
    field = fused(1.0 + field, short_expm1(bend), field)
    if not everywhere(good):  # from u = s
        new_a = fused(series, expm1(ln_window * x), series)
        new_sinh, new_cosh = hyperbolic(s)
        new_u = s + barrier_step(s, new_a, s, new_sinh, new_cosh)
        new_sinh, new_cosh = hyperbolic(new_u)
        d = barrier_step(new_u, new_a, s, new_sinh, new_cosh)
        new_u = new_u + d
        for _ in range(MORE_STEPS):
            far = absolute(d) > SETTLED
            if not everywhere(absolute(d) <= SETTLED):
                far_sinh, far_cosh = hyperbolic(new_u)
                far_d = barrier_step(new_u, new_a, s, far_sinh, far_cosh)
                d = choose(far, far_d, d)
                new_sinh, new_cosh = choose(far, far_sinh, new_sinh), choose(far, far_cosh, new_cosh)
                new_u = choose(far, new_u + far_d, new_u)
        new_sinh, new_cosh = turned(new_sinh, new_cosh, d)
        a, u, sinh = choose(good, a, new_a), choose(good, u, new_u), choose(good, sinh, new_sinh)
        cosh, field = choose(good, cosh, new_cosh), choose(good, field, expm1(steepness * new_u))
        good = good | (absolute(d) <= SETTLED)

    rise, fall = choose(growing, grow, 0.0), choose(growing, 0.0, pace.k_reset)
    p = x * x
    up = rise * field
    total = fused(fall, field, up) + pace.decay / fused(p, p, pace.thin) + NO_RATE
    part, time = approach(total, pace.half)
    way = fused(-total, x, up) * time
    move = way * (2.0 + part)
    error = absolute(move) * 0.0
    calm = absolute(move) <= pace.calm
    if not everywhere(calm):  # the rates of the middle: its conductance, barrier and field differ little
        change = ln_window * way
        bend = steepness * barrier_step(u, fused(a, short_expm1(change), a), s, sinh, cosh)
        bent = fused(1.0 + field, short_expm1(bend), field)
        middle = x + way
        p = middle * middle
        up = rise * bent
        total = fused(fall, bent, up) + pace.decay / fused(p, p, pace.thin) + NO_RATE
        part, time = approach(total, pace.half)
        better = fused(-total, x, up) * time * (2.0 + part)
        error = choose(calm, error, absolute(better - move) * pace.per_error)
        good = good & (calm | ((absolute(change) <= SHORT) & (absolute(bend) <= SHORT) & (error <= 1.0)))
        move = choose(calm, move, better)
    change = ln_window * move
    u = choose(absolute(change) <= SHORT, u, UNKNOWN)
    a = fused(a, short_expm1(change), a)
    end = smaller(larger(x + move, 0.0), 1.0)
    return choose(good, end, choose(error > 1.0, -error, -1.0)), a, u, sinh, cosh, field


@kernel
def pace_of(growth: Growth, v_0: float, dt: float, largest: float) -> Pace:
    """Return what all cells share in a step of dt [s] where sub-steps move w by about `largest`."""
    square = largest * largest
    return Pace(
        1.0 / v_0, v_0 / growth.v_set, v_0 / growth.v_reset, growth.k_reset, 0.25 / growth.lifetime,
        growth.w_critical**4, 0.5 * dt, 1.0 / (ACCEPTED * square), CALM * square,
    )  # fmt: skip


@kernel
def step_block(
    pace: Pace, w: FloatArray, carried: FloatArray, series: FloatArray, ln_window: FloatArray, grow: FloatArray,
    v: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Fill `out` with the states after one step; where a cell wants sub-steps, below 0.

    There it is minus the estimated error in units of what is accepted, at most -1.
    carried: (5, c), see quick_step; series: series resistance x conductance of the barrier at w = 0; grow: k_set times
    the gate's factor [1/s]; v: of each cell, or WIDE times that of them all [V].  c is a multiple of WIDE.
    """
    a, u, sinh, cosh, field = carried[0], carried[1], carried[2], carried[3], carried[4]
    stride = 1 if len(v) == len(w) else 0
    for i in range(0, len(w), WIDE):
        end, new_a, new_u, new_sinh, new_cosh, new_field = quick_step(
            load_wide(w, i), load_wide(a, i), load_wide(u, i), load_wide(sinh, i), load_wide(cosh, i),
            load_wide(field, i), load_wide(series, i), load_wide(ln_window, i), load_wide(grow, i),
            load_wide(v, stride * i), pace,
        )  # fmt: skip
        store(out, i, end)
        store(a, i, new_a)
        store(u, i, new_u)
        store(sinh, i, new_sinh)
        store(cosh, i, new_cosh)
        store(field, i, new_field)


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
def filled(values: FloatArray) -> FloatArray:
    """Return a copy whose length is a multiple of WIDE; the last value fills it up."""
    out = np.full(-(-len(values) // WIDE) * WIDE, values[-1])
    out[: len(values)] = values
    return out


@kernel
def divide(
    law: AdaptiveLaw, growth: Growth, low: FloatArray, ln_window: FloatArray, chosen: IntArray, v: FloatArray,
    gain: FloatArray, boost: FloatArray, series: FloatArray, grow: FloatArray, error: FloatArray,
    dt: float, largest: float, w: FloatArray,
) -> int:  # fmt: skip
    """Take chosen cells of a block through dt [s], WIDE at a time, in place; returns how many parts were not reached.

    Those side by side take it in as many equal parts as the worst error among them (see step_block) asks for; a cell
    that wants more takes the part alone.
    """
    missed = 0
    for first in range(0, len(chosen), WIDE):
        those = chosen[first : first + WIDE]
        worst = 1.0
        for i in those:
            worst = max(worst, -error[i])
        parts = min(2 + int(math.sqrt(worst)), MOST_PARTS)  # the estimate goes with the square of the step
        pace = pace_of(growth, min(law.v_0, BLUNT), dt / parts, largest)
        x, window, volts = filled(w[those]), filled(ln_window[those]), filled(v[those])
        some_series, some_grow = filled(series[those]), filled(grow[those])
        carried, after = np.full((5, WIDE), math.nan), np.empty(WIDE)
        for _ in range(parts):
            step_block(pace, x, carried, some_series, window, some_grow, volts, after)
            for k in range(len(those)):
                if after[k] < 0.0:
                    i = those[k]
                    own = own_growth(growth, low[i], window[k])
                    x[k], reached = evolve_state(law, own, x[k], volts[k], gain[i], boost[i], dt / parts, largest)
                    carried[1, k] = math.nan
                    missed += not reached
                else:
                    x[k] = after[k]
        w[those] = x[: len(those)]
    return missed


@kernel
def alone(
    law: AdaptiveLaw, growth: Growth, low: FloatArray, ln_window: FloatArray, v: FloatArray,
    gain: FloatArray, boost: FloatArray, dt: float, largest: float, w: FloatArray,
) -> int:  # fmt: skip
    """Take all cells of a block through dt [s] one by one, in place; returns how many were not reached."""
    missed = 0
    for i in range(len(w)):
        own = own_growth(growth, low[i], ln_window[i])
        w[i], reached = evolve_state(law, own, w[i], v[i], gain[i], boost[i], dt, largest)
        missed += not reached
    return missed


@kernel
def march_block(
    law: AdaptiveLaw, growth: Growth, low: FloatArray, ln_window: FloatArray, offset: FloatArray,
    dt: FloatArray, pieces: IntArray, v: FloatArray, v_gate: FloatArray, first: int, largest: float, kept: IntArray,
    w: FloatArray, states: FloatArray,
) -> int:  # fmt: skip
    """Take the cells of one block along a waveform as `march` does; returns how many steps were not reached."""
    c = len(w)
    x, low, ln_window, offset = filled(w), filled(low), filled(ln_window), filled(offset)
    size = len(x)
    gain, boost, series, grow = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    carried, out, rest = np.full((5, size), math.nan), np.empty(size), np.empty(size, dtype=np.int64)
    known = carried[1]
    many, gates = v.shape[1] > 1, v_gate.shape[1] > 1
    spread, gate = np.zeros(size), np.full(size if gates else 1, math.nan)
    volts = spread if many else spread[:WIDE]
    missed, age = 0, 0
    if kept[0] >= 0:
        states[kept[0], first : first + c] = w
    for k in range(len(dt)):
        step = dt[k] / pieces[k]
        pace = pace_of(growth, min(law.v_0, BLUNT), step, largest)
        for piece in range(pieces[k] if step > 0.0 else 0):
            part = (piece + 0.5) / pieces[k]
            moved = False
            for i in range(len(gate)):
                at = first + min(i, c - 1) if gates else 0
                new = v_gate[k, at] + part * (v_gate[k + 1, at] - v_gate[k, at])
                moved |= new != gate[i]
                gate[i] = new
            if moved:
                set_gates(law, growth, low, offset, gate, gain, boost, series, grow)
            if many:
                for i in range(size):
                    at = first + min(i, c - 1)
                    new = v[k, at] + part * (v[k + 1, at] - v[k, at])
                    if (new > 0.0) != (volts[i] > 0.0):
                        known[i] = math.nan
                    volts[i] = new
            else:
                new = v[k, 0] + part * (v[k + 1, 0] - v[k, 0])
                moved |= (new > 0.0) != (volts[0] > 0.0)
                spread[:] = new
            age += 1
            if moved or age > OLDEST:  # the short series would add up
                known[:] = math.nan
                age = 0
            if growth.r_thermal > 0.0:
                missed += alone(law, growth, low[:c], ln_window, spread, gain, boost, step, largest, x[:c])
                continue
            step_block(pace, x, carried, series, ln_window, grow, volts, out)
            count = 0
            for i in range(c):
                if out[i] < 0.0:
                    rest[count] = i
                    count += 1
                else:
                    x[i] = out[i]
            if count:
                chosen = rest[:count]
                missed += divide(
                    law, growth, low, ln_window, chosen, spread, gain, boost, series, grow, out, step, largest, x
                )
                known[chosen] = math.nan
        if kept[k + 1] >= 0:
            states[kept[k + 1], first : first + c] = x[:c]
    w[:] = x[:c]
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
    law: AdaptiveLaw, growth: Growth, low: FloatArray, ln_window: FloatArray, v: FloatArray, row: IntArray,
    kind: IntArray, gain: FloatArray, boost: FloatArray, wanted: FloatArray, width: FloatArray, longest: FloatArray,
    largest: float, w: FloatArray, energy: FloatArray, first: int, last: int,
) -> int:  # fmt: skip
    """Take cells first to last - 1, whole rows, of an array `w` (c,) through pulses one after another, in place.

    b = pulses, m = rows, n = columns, c = m n.  v: (b, c) over each cell [V]; row: (b,) the selected one, of which the
    cells with an amplitude in `wanted` (b, n) live through `width` (b, n) [s] and add to `energy` (c,) [J]; all others
    live through `longest` (b,) [s].  kind: (b, m) which gate of gain and boost (kinds, c) a row has.  Pulses whose
    field cannot move a state by IDLE are passed over.  Returns how many were not reached.
    Source: docs/equations/programming.md, section 2.
    """
    missed, n = 0, wanted.shape[1]
    kinds, whole = gain.shape[0], longest.max() if len(longest) else 0.0
    rise, fall = np.empty((kinds, len(w))), growth.v_reset * math.log1p(IDLE / max(growth.k_reset * whole, 1e-300))
    for k in range(kinds):  # voltages up to which the longest pulse is idle
        for i in range(first, last):
            rise[k, i] = growth.v_set * math.log1p(IDLE / max(growth.k_set * boost[k, i] * whole, 1e-300))
    size = -(-n // WIDE) * WIDE
    x, series, window = np.empty(size), np.empty(size), np.empty(size)
    grow, volts, out = np.empty(size), np.empty(size), np.empty(size)
    carried = np.empty((5, size))
    for p in range(len(v)):
        pace = pace_of(growth, min(law.v_0, BLUNT), longest[p], largest)
        for r in range(first // n, last // n):
            g, start, busy = kind[p, r], r * n, False
            for i in range(start, start + n):
                busy |= not -fall < v[p, i] < rise[g, i]
            if not busy and r != row[p]:
                continue
            for j in range(size):
                i = start + min(j, n - 1)
                x[j], window[j], volts[j] = w[i], ln_window[i], v[p, i]
                series[j], grow[j] = law.r_series * gain[g, i] * low[i], growth.k_set * boost[g, i]
            carried[:] = math.nan
            step_block(pace, x, carried, series, window, grow, volts, out)
            for j in range(n):
                i = start + j
                own = own_growth(growth, low[i], ln_window[i])
                reached = True
                if r == row[p] and wanted[p, j] != 0.0:
                    w[i], charge, reached = charge_state(
                        law, own, w[i], v[p, i], gain[g, i], boost[g, i], width[p, j], largest
                    )  # fmt: skip
                    energy[i] += charge * v[p, i]
                elif -fall < v[p, i] < rise[g, i]:
                    continue
                elif out[j] >= 0.0:
                    w[i] = out[j]
                else:
                    w[i], reached = evolve_state(
                        law, own, w[i], v[p, i], gain[g, i], boost[g, i], longest[p], largest
                    )  # fmt: skip
                missed += not reached
    return missed
