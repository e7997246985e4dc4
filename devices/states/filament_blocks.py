"""Kernels of the filament state: exponential-Euler steps of many cells, block by block, in vector registers.

A step of a block avoids most exponentials and hyperbolic functions.  It carries sinh, cosh and the field factor of each
cell from the end of the last step and updates them with short power series, as long as the changes are small.  Lanes in
which a change is too large compute the functions anew; lanes in which the state moves too far are marked for sub-steps.
"""

import math
from typing import NamedTuple

import numpy as np

from devices.aliases import FloatArray, IntArray
from devices.laws.adaptive import AdaptiveLaw
from devices.laws.gate import fermi_energy, gain_at
from devices.numerics.exponential import expm1
from devices.numerics.jit import kernel
from devices.numerics.simd import WIDE, Vector, absolute, choose, everywhere, fused, larger, load_wide, smaller, store
from devices.states.filament import Growth, charge_state, evolve_state, gate_factor, own_growth

BLOCK = 256  # cells of a block, which stay in the L1 cache through a whole waveform (ours)
ACCEPTED = 4.0  # largest accepted error estimate over largest²: moves are then at most about `largest` (ours)
FIRST_ORDER = 0.4  # moves below this times largest² use the rates at the start of the step (ours)
SHORT = 0.2  # largest argument of the short series, whose relative error is then 2e-8
NEAR = 0.02  # largest change of the barrier's u in one Halley step from the carried values; error 1e-6 of it (ours)
SETTLED = 1e-3  # largest last Halley step from any start; third-order convergence leaves 1e-9
MORE_STEPS = 3  # Halley steps after the usual two: enough for 3 V over the default cell (ours)
OLDEST = 64  # steps after which carried values are computed anew (ours)
NO_RATE = 1e-300  # [1/s] added to rates to avoid division by 0
UNKNOWN = math.nan  # marks carried values that must be computed anew
MOST_PARTS = 64  # most parts into which a block divides a step; then single cells divide it further (ours)
IDLE = 1e-9  # a pulse that moves a state by less than this has no effect: a million of them are 0.1 % (ours)
STRAIGHT = 1e6  # [V] curvature in step_block that stands for inf: sinh(u) = u to rounding


class Pace(NamedTuple):
    """Constants of a step, the same for all cells."""

    per_v_0: float  # [1/V]
    per_set: float  # v_0 / v_set
    per_reset: float  # v_0 / v_reset
    decay: float  # [1/s] rate of dissolution at w = 1, a quarter of 1 / lifetime
    thin: float  # w_critical**4
    half: float  # [s] half of the step
    per_error: float  # 1 / accepted error
    first_order: float  # largest move that uses the rates at the start of the step


@kernel(inline=True)
def short_expm1(x: Vector) -> Vector:
    """Return exp(x) - 1 for |x| <= 0.2 with a relative error of 3e-9."""
    p = x * x
    high = fused(fused(x, 1.0 / 720.0, 1.0 / 120.0), p, fused(x, 1.0 / 24.0, 1.0 / 6.0))
    return fused(p, fused(high, x, 0.5), x)


@kernel(inline=True)
def turned(sinh: Vector, cosh: Vector, d: Vector) -> tuple[Vector, Vector]:
    """Return sinh(u + d) and cosh(u + d) from sinh(u) and cosh(u), for |d| <= NEAR."""
    d_2, d_3, d_4 = d * (1.0 / 2.0), d * (1.0 / 3.0), d * (1.0 / 4.0)
    return (
        fused(d, fused(d_2, fused(d_3, fused(d_4, sinh, cosh), sinh), cosh), sinh),
        fused(d, fused(d_2, fused(d_3, fused(d_4, cosh, sinh), cosh), sinh), cosh),
    )


@kernel(inline=True)
def hyperbolic(u: Vector) -> tuple[Vector, Vector]:
    """Return sinh(u) and cosh(u) for u >= 0, without cancellation for small u."""
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
    """Return exp(-total dt) - 1, and that divided by -total [s]."""
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
    series: Vector, ln_window: Vector, grow: Vector, shrink: Vector, v: Vector, pace: Pace,
) -> tuple[Vector, Vector, Vector, Vector, Vector, Vector]:  # fmt: skip
    """Return the states after a step from `x`, and the five carried values; a state below 0 asks for sub-steps.

    a, u, sinh, cosh, field: values of the barrier and exp(v_j / v_set) - 1 at the end of the last step; u is NaN where
    they are not known.  Lanes do not influence each other.  Where some lanes need another computation, both are done
    for all lanes and each lane keeps its own result.
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
    if not everywhere(good):  # compute the barrier anew, starting from u = s
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

    rise, fall = choose(growing, grow, 0.0), choose(growing, 0.0, shrink)
    p = x * x
    up = rise * field
    total = fused(fall, field, up) + pace.decay / fused(p, p, pace.thin) + NO_RATE
    part, time = approach(total, pace.half)
    way = fused(-total, x, up) * time
    move = way * (2.0 + part)
    error = absolute(move) * 0.0
    small = absolute(move) <= pace.first_order
    if not everywhere(small):  # rates at the midpoint; conductance, barrier and field differ little from the start
        change = ln_window * way
        bend = steepness * barrier_step(u, fused(a, short_expm1(change), a), s, sinh, cosh)
        bent = fused(1.0 + field, short_expm1(bend), field)
        middle = x + way
        p = middle * middle
        up = rise * bent
        total = fused(fall, bent, up) + pace.decay / fused(p, p, pace.thin) + NO_RATE
        part, time = approach(total, pace.half)
        better = fused(-total, x, up) * time * (2.0 + part)
        error = choose(small, error, absolute(better - move) * pace.per_error)
        good = good & (small | ((absolute(change) <= SHORT) & (absolute(bend) <= SHORT) & (error <= 1.0)))
        move = choose(small, move, better)
    change = ln_window * move
    u = choose(absolute(change) <= SHORT, u, UNKNOWN)
    a = fused(a, short_expm1(change), a)
    end = smaller(larger(x + move, 0.0), 1.0)
    return choose(good, end, choose(error > 1.0, -error, -1.0)), a, u, sinh, cosh, field


@kernel
def pace_of(growth: Growth, v_0: float, dt: float, largest: float) -> Pace:
    """Return the constants of a step of dt [s], for sub-steps that move w by about `largest`."""
    square = largest * largest
    return Pace(
        1.0 / v_0, v_0 / growth.v_set, v_0 / growth.v_reset, 0.25 / growth.lifetime, growth.w_critical**4,
        0.5 * dt, 1.0 / (ACCEPTED * square), FIRST_ORDER * square,
    )  # fmt: skip


@kernel
def step_block(
    pace: Pace, w: FloatArray, carried: FloatArray, series: FloatArray, ln_window: FloatArray, grow: FloatArray,
    shrink: FloatArray, v: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Fill `out` with the states after one step, or with a number below 0 where a cell needs sub-steps.

    That number is minus the estimated error over the accepted error, at most -1.
    c = cells, a multiple of WIDE.  carried: (5, c), see quick_step.  series: series resistance times conductance of the
    barrier at w = 0.  grow, shrink: k_set and k_reset times the gate's factors [1/s].  v: (c,), or (WIDE,)
    copies of one voltage [V].
    """
    a, u, sinh, cosh, field = carried[0], carried[1], carried[2], carried[3], carried[4]
    stride = 1 if len(v) == len(w) else 0
    for i in range(0, len(w), WIDE):
        end, new_a, new_u, new_sinh, new_cosh, new_field = quick_step(
            load_wide(w, i), load_wide(a, i), load_wide(u, i), load_wide(sinh, i), load_wide(cosh, i),
            load_wide(field, i), load_wide(series, i), load_wide(ln_window, i), load_wide(grow, i),
            load_wide(shrink, i), load_wide(v, stride * i), pace,
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
    gain: FloatArray, boost: FloatArray, back: FloatArray, series: FloatArray, grow: FloatArray, shrink: FloatArray,
) -> None:  # fmt: skip
    """Fill the read gains, the gate's factors on growth and dissolution, and what step_block takes of both.

    v_gate: (1,) for all cells, or one for each cell [V].
    """
    for i in range(len(low)):
        energy = fermi_energy(law, v_gate[i if len(v_gate) > 1 else 0] - offset[i])
        gain[i] = gain_at(law, energy)
        boost[i], back[i] = gate_factor(growth, energy, 1.0), gate_factor(growth, energy, -1.0)
        series[i] = law.r_series * gain[i] * low[i]
        grow[i], shrink[i] = growth.k_set * boost[i], growth.k_reset * back[i]


@kernel
def filled(values: FloatArray) -> FloatArray:
    """Return a copy padded with its last value to a multiple of WIDE."""
    out = np.full(-(-len(values) // WIDE) * WIDE, values[-1])
    out[: len(values)] = values
    return out


@kernel
def divide(
    law: AdaptiveLaw, growth: Growth, low: FloatArray, ln_window: FloatArray, chosen: IntArray, v: FloatArray,
    gain: FloatArray, boost: FloatArray, back: FloatArray, series: FloatArray, grow: FloatArray, shrink: FloatArray,
    error: FloatArray, dt: float, largest: float, w: FloatArray,
) -> int:  # fmt: skip
    """Integrate chosen cells of a block over dt [s] in place, WIDE at a time; returns how many parts failed.

    The cells of one vector divide dt into equal parts, as many as the largest error among them requires (see
    step_block).  A cell that needs smaller steps integrates a part with evolve_state.
    """
    missed = 0
    for first in range(0, len(chosen), WIDE):
        those = chosen[first : first + WIDE]
        worst = 1.0
        for i in those:
            worst = max(worst, -error[i])
        parts = min(2 + int(math.sqrt(worst)), MOST_PARTS)  # the error estimate scales as the step squared
        pace = pace_of(growth, min(law.v_0, STRAIGHT), dt / parts, largest)
        x, window, volts = filled(w[those]), filled(ln_window[those]), filled(v[those])
        some_series, some_grow, some_shrink = filled(series[those]), filled(grow[those]), filled(shrink[those])
        carried, after = np.full((5, WIDE), math.nan), np.empty(WIDE)
        for _ in range(parts):
            step_block(pace, x, carried, some_series, window, some_grow, some_shrink, volts, after)
            for k in range(len(those)):
                if after[k] < 0.0:
                    i = those[k]
                    own = own_growth(growth, low[i], window[k])
                    factor = boost[i] if volts[k] > 0.0 else back[i]
                    x[k], reached = evolve_state(law, own, x[k], volts[k], gain[i], factor, dt / parts, largest)
                    carried[1, k] = math.nan
                    missed += not reached
                else:
                    x[k] = after[k]
        w[those] = x[: len(those)]
    return missed


@kernel
def alone(
    law: AdaptiveLaw, growth: Growth, low: FloatArray, ln_window: FloatArray, v: FloatArray,
    gain: FloatArray, boost: FloatArray, back: FloatArray, dt: float, largest: float, w: FloatArray,
) -> int:  # fmt: skip
    """Integrate all cells of a block over dt [s] in place with evolve_state; returns how many did not reach dt."""
    missed = 0
    for i in range(len(w)):
        own = own_growth(growth, low[i], ln_window[i])
        factor = boost[i] if v[i] > 0.0 else back[i]
        w[i], reached = evolve_state(law, own, w[i], v[i], gain[i], factor, dt, largest)
        missed += not reached
    return missed


@kernel
def march_block(
    law: AdaptiveLaw, growth: Growth, low: FloatArray, ln_window: FloatArray, offset: FloatArray,
    dt: FloatArray, pieces: IntArray, v: FloatArray, v_gate: FloatArray, first: int, largest: float, kept: IntArray,
    w: FloatArray, states: FloatArray,
) -> int:  # fmt: skip
    """Integrate the cells of one block along a waveform as `march` does; returns how many steps failed."""
    c = len(w)
    x, low, ln_window, offset = filled(w), filled(low), filled(ln_window), filled(offset)
    size = len(x)
    gain, boost, back = np.empty(size), np.empty(size), np.empty(size)
    series, grow, shrink = np.empty(size), np.empty(size), np.empty(size)
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
        pace = pace_of(growth, min(law.v_0, STRAIGHT), step, largest)
        for piece in range(pieces[k] if step > 0.0 else 0):
            part = (piece + 0.5) / pieces[k]
            moved = False
            for i in range(len(gate)):
                at = first + min(i, c - 1) if gates else 0
                new = v_gate[k, at] + part * (v_gate[k + 1, at] - v_gate[k, at])
                moved |= new != gate[i]
                gate[i] = new
            if moved:
                set_gates(law, growth, low, offset, gate, gain, boost, back, series, grow, shrink)
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
            if moved or age > OLDEST:  # errors of the short series would accumulate
                known[:] = math.nan
                age = 0
            if growth.r_thermal > 0.0:
                missed += alone(law, growth, low[:c], ln_window, spread, gain, boost, back, step, largest, x[:c])
                continue
            step_block(pace, x, carried, series, ln_window, grow, shrink, volts, out)
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
                    law, growth, low, ln_window, chosen, spread, gain, boost, back, series, grow, shrink, out, step,
                    largest, x,
                )  # fmt: skip
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
    """Integrate cells first to last - 1 of `w` (c,) along a waveform in place; returns how many steps failed.

    low, ln_window, offset: (c,) [S], 1, [V].  dt, pieces: (t - 1,) length of each interval [s] and the number of pieces
    into which it is divided.  v, v_gate: (t, 1) or (t, c) [V], linear between samples; a piece has the voltages at its
    midpoint.  kept: (t,) row of `states` (kept, c) that receives the states at a sample, -1 for none.
    A block of cells stays in the cache through all intervals.  Source: docs/equations/dynamics.md, section 3.
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
    kind: IntArray, gain: FloatArray, boost: FloatArray, back: FloatArray, wanted: FloatArray, width: FloatArray,
    longest: FloatArray, largest: float, w: FloatArray, energy: FloatArray, first: int, last: int,
) -> int:  # fmt: skip
    """Apply pulses in turn to cells first to last - 1, whole rows, of an array with states `w` (c,), in place.

    b = pulses, m = rows, n = columns, c = m n.  v: (b, c) voltage over each cell [V].  row: (b,) the selected row.  Its
    cells with an amplitude other than 0 in `wanted` (b, n) get the pulse for `width` (b, n) [s] and add its energy to
    `energy` (c,) [J]; all other cells have their voltage for `longest` (b,) [s].  kind: (b, m) index into the gates of
    gain, boost and back (kinds, c) for each row.  Pulses that cannot move a state by IDLE are skipped.
    Returns how many pulses were not integrated to their end.
    Source: docs/equations/programming.md, section 2.
    """
    missed, n = 0, wanted.shape[1]
    kinds, whole = gain.shape[0], longest.max() if len(longest) else 0.0
    rise, fall = np.empty((kinds, len(w))), np.empty((kinds, len(w)))
    for k in range(kinds):  # voltages below which even the longest pulse has no effect
        for i in range(first, last):
            rise[k, i] = growth.v_set * math.log1p(IDLE / max(growth.k_set * boost[k, i] * whole, 1e-300))
            fall[k, i] = growth.v_reset * math.log1p(IDLE / max(growth.k_reset * back[k, i] * whole, 1e-300))
    size = -(-n // WIDE) * WIDE
    x, series, window = np.empty(size), np.empty(size), np.empty(size)
    grow, shrink, volts, out = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    carried = np.empty((5, size))
    for p in range(len(v)):
        pace = pace_of(growth, min(law.v_0, STRAIGHT), longest[p], largest)
        for r in range(first // n, last // n):
            g, start, busy = kind[p, r], r * n, False
            for i in range(start, start + n):
                busy |= not -fall[g, i] < v[p, i] < rise[g, i]
            if not busy and r != row[p]:
                continue
            for j in range(size):
                i = start + min(j, n - 1)
                x[j], window[j], volts[j] = w[i], ln_window[i], v[p, i]
                series[j], grow[j] = law.r_series * gain[g, i] * low[i], growth.k_set * boost[g, i]
                shrink[j] = growth.k_reset * back[g, i]
            carried[:] = math.nan
            step_block(pace, x, carried, series, window, grow, shrink, volts, out)
            for j in range(n):
                i = start + j
                own = own_growth(growth, low[i], ln_window[i])
                factor = boost[g, i] if v[p, i] > 0.0 else back[g, i]
                reached = True
                if r == row[p] and wanted[p, j] != 0.0:
                    w[i], charge, reached = charge_state(
                        law, own, w[i], v[p, i], gain[g, i], factor, width[p, j], largest
                    )  # fmt: skip
                    energy[i] += charge * v[p, i]
                elif -fall[g, i] < v[p, i] < rise[g, i]:
                    continue
                elif out[j] >= 0.0:
                    w[i] = out[j]
                else:
                    w[i], reached = evolve_state(
                        law, own, w[i], v[p, i], gain[g, i], factor, longest[p], largest
                    )  # fmt: skip
                missed += not reached
    return missed
