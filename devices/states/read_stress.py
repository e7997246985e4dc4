"""A state under many short stresses of different voltage and gate voltage: its mean motion (kernels).

One read moves a state by far less than the state itself is known, but millions of reads add up.  Stresses that repeat
in any order move the state, to first order in the motion of one repetition, as their mean rates over the whole time do
(the method of averaging).  So the state equation is integrated once with mean rates, in the sub-steps of filament.py.
"""

import math

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.laws.adaptive import AdaptiveLaw
from devices.laws.gate import fermi_energy, gain_at
from devices.numerics.jit import kernel
from devices.states.filament import AT_REST, BISECTIONS, MOST_STEPS, THIN, Growth, frozen_step, gate_factor, rates


@kernel
def mean_rates(
    law: AdaptiveLaw, growth: Growth, w: float, v: FloatArray, gain: FloatArray, boost: FloatArray, share: FloatArray
) -> tuple[float, float]:
    """Return the rates up and down [1/s] of a state w, averaged over stresses (q,) that last the fractions `share`.

    Source: docs/equations/disturb.md eq. 1.
    """
    up = down = 0.0
    for q in range(len(share)):
        if share[q] > 0.0:
            rises, falls = rates(law, growth, w, v[q], gain[q], boost[q])
            up += share[q] * rises
            down += share[q] * falls
    return up, down


@kernel
def stressed_state(
    law: AdaptiveLaw, growth: Growth, w: float, v: FloatArray, gain: FloatArray, boost: FloatArray, share: FloatArray,
    time: float, largest: float,
) -> tuple[float, bool]:  # fmt: skip
    """Return the state after a time [s] under mean rates, and whether the integration reached it.

    A sub-step that would pass an equilibrium of the mean rates ends there.
    Source: docs/equations/disturb.md eq. 1, by the sub-steps of docs/equations/cells.md eq. 15.
    """
    left = time
    up, down = mean_rates(law, growth, w, v, gain, boost, share)
    for _ in range(MOST_STEPS):
        total = up + down
        if left <= 0.0 or total == 0.0:
            return w, True
        gap = abs(up / total - w)
        step = left
        if gap > AT_REST:
            most = largest * min(1.0, THIN * (w + growth.w_critical))
            step = min(left, -math.log1p(-min(most / gap, 0.6)) / total)
        rises = up * (1.0 - w) > down * w
        middle = frozen_step(w, up, down, 0.5 * step)
        up, down = mean_rates(law, growth, middle, v, gain, boost, share)
        end = frozen_step(w, up, down, step)
        if (up * (1.0 - middle) > down * middle) == rises:
            up, down = mean_rates(law, growth, end, v, gain, boost, share)
            if (up * (1.0 - end) > down * end) == rises:
                w = end
                left -= step
                continue
            middle = end
        for _ in range(BISECTIONS):  # an equilibrium lies between the two states
            half = 0.5 * (w + middle)
            up, down = mean_rates(law, growth, half, v, gain, boost, share)
            if (up * (1.0 - half) > down * half) == rises:
                w = half
            else:
                middle = half
        return 0.5 * (w + middle), True
    return w, False


@kernel
def stressed_states(
    law: AdaptiveLaw, growth: Growth, w: FloatArray, offset: FloatArray, place: npt.NDArray[np.int64], v: FloatArray,
    v_gate: FloatArray, seconds: FloatArray, largest: float,
) -> tuple[FloatArray, int]:  # fmt: skip
    """Return the states (n,) of cells after stresses (q,), and how many integrations did not reach the end.

    offset: (n,) shifts of the Dirac points [V].  place: (n,) row of `seconds` (s, q) with the times of a cell [s].
    """
    count = len(v)
    out, gain, boost, share = np.empty_like(w), np.empty(count), np.empty(count), np.empty(count)
    missed = 0
    for i in range(w.size):
        times = seconds[place[i]]
        whole = times.sum()
        out[i] = w[i]
        if whole <= 0.0:
            continue
        for q in range(count):
            share[q] = times[q] / whole
            energy = fermi_energy(law, v_gate[q] - offset[i])
            gain[q] = gain_at(law, energy)
            boost[q] = gate_factor(growth, energy, v[q])
        out[i], reached = stressed_state(law, growth, w[i], v, gain, boost, share, whole, largest)
        missed += not reached
    return out, missed
