"""The law of a cell with a tabulated I–V curve: monotone cubic interpolation between measured points."""

from typing import NamedTuple

import numpy as np

from devices.aliases import FloatArray
from devices.numerics.jit import kernel

LEAST_END_SLOPE = 0.05  # least slope at an end of a table over the end interval's secant: no end is flat (ours)


class TabulatedLaw(NamedTuple):
    """Tabulated currents and gains with their slopes: l levels, q gate voltages, k cell voltages."""

    levels: FloatArray  # (l,) [S] conductance of each level, rising
    gains: FloatArray  # (q,) read gain of each gate voltage, rising to 1
    voltages: FloatArray  # (k,) [V] rising through 0
    currents: FloatArray  # (l, q, k) [A]
    slopes: FloatArray  # (l, q, k) [S]
    v_gates: FloatArray  # (q,) [V] rising
    gain_slopes: FloatArray  # (q,) [1/V]


@kernel
def interval(nodes: FloatArray, x: float) -> int:
    """Return the largest i from 0 to nodes.size - 2 with nodes[i] <= x, or 0."""
    low, high = 0, nodes.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if nodes[middle] <= x:
            low = middle
        else:
            high = middle
    return low


@kernel
def between(nodes: FloatArray, x: float) -> tuple[int, float, float]:
    """Return i and the coefficients of nodes i and i + 1 whose linear combination is x.

    Beyond an end the coefficient of the end node is x over that node, and the other is 0.
    """
    last = nodes.size - 1
    if x <= nodes[0]:
        return 0, x / nodes[0], 0.0
    if x >= nodes[last]:
        return last, x / nodes[last], 0.0
    i = interval(nodes, x)
    part = (x - nodes[i]) / (nodes[i + 1] - nodes[i])
    return i, 1.0 - part, part


@kernel
def hermite(x_0: float, x_1: float, y_0: float, y_1: float, d_0: float, d_1: float, x: float) -> tuple[float, float]:
    """Return value and slope at x of the cubic with given values y and slopes d at x_0 and x_1; linear beyond them.

    Source: docs/equations/cells.md eq. 27.
    """
    if x <= x_0:
        return y_0 + d_0 * (x - x_0), d_0
    if x >= x_1:
        return y_1 + d_1 * (x - x_1), d_1
    h = x_1 - x_0
    t, r = (x - x_0) / h, (x_1 - x) / h
    value = y_0 * r * r * (1.0 + 2.0 * t) + y_1 * t * t * (1.0 + 2.0 * r) + h * t * r * (d_0 * r - d_1 * t)
    slope = 6.0 * t * r * (y_1 - y_0) / h + d_0 * r * (r - 2.0 * t) + d_1 * t * (t - 2.0 * r)
    return value, slope


@kernel
def tabulated_gain(law: TabulatedLaw, v_gate: float) -> float:
    """Return the read gain at a gate voltage [V]; it is constant beyond the table."""
    v, m, d = law.v_gates, law.gains, law.gain_slopes
    last = v.size - 1
    if v_gate <= v[0] or last == 0:
        return float(m[0])
    if v_gate >= v[last]:
        return float(m[last])
    i = interval(v, v_gate)
    gain: float = hermite(v[i], v[i + 1], m[i], m[i + 1], d[i], d[i + 1], v_gate)[0]
    return gain


@kernel
def tabulated_current(law: TabulatedLaw, g_filament: float, gain: float, v: float) -> tuple[float, float]:
    """Return current [A] and slope dI/dv [S], interpolated linearly in level and gain, cubically in the voltage.

    Source: docs/equations/cells.md eq. 27-29.
    """
    level, a_0, a_1 = between(law.levels, g_filament)
    gate, b_0, b_1 = between(law.gains, gain)
    k = interval(law.voltages, v)
    y_0, y_1, d_0, d_1 = 0.0, 0.0, 0.0, 0.0
    for i in range(2):
        a = a_0 if i == 0 else a_1
        if a == 0.0:
            continue
        for j in range(2):
            part = a * (b_0 if j == 0 else b_1)
            if part == 0.0:
                continue
            currents, slopes = law.currents[level + i, gate + j], law.slopes[level + i, gate + j]
            y_0 += part * currents[k]
            y_1 += part * currents[k + 1]
            d_0 += part * slopes[k]
            d_1 += part * slopes[k + 1]
    return hermite(law.voltages[k], law.voltages[k + 1], y_0, y_1, d_0, d_1, v)


@kernel
def tabulated_gains(law: TabulatedLaw, v_gate: FloatArray) -> FloatArray:
    """Return the read gain of each element of a flat array of gate voltages [V]."""
    out = np.empty_like(v_gate)
    for i in range(v_gate.size):
        out[i] = tabulated_gain(law, v_gate[i])
    return out


def monotone_slopes(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return slopes at the nodes x (k,) of rising curves y (..., k) for which the cubics between nodes rise as well.

    Inner slopes are weighted harmonic means of the two neighbouring secants.  End slopes follow from the three-point
    formula, limited to between LEAST_END_SLOPE and 3 times the end secant.
    Source: Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5, 300 (1984); docs/equations/cells.md eq. 28.
    """
    h, secant = np.diff(x), np.diff(y, axis=-1) / np.diff(x)
    if x.size == 2:
        return np.concatenate([secant, secant], axis=-1)
    before, after = h[1:] + 2.0 * h[:-1], 2.0 * h[1:] + h[:-1]
    # the harmonic mean, written so that a secant of 0 gives 0
    s_0, s_1 = secant[..., :-1], secant[..., 1:]
    below = after * s_1 + before * s_0
    inner = np.divide(3.0 * (h[1:] + h[:-1]) * s_0 * s_1, below, out=np.zeros_like(below), where=below > 0.0)

    def end(h_0: float, h_1: float, s_0: FloatArray, s_1: FloatArray) -> FloatArray:
        slope = ((2.0 * h_0 + h_1) * s_0 - h_0 * s_1) / (h_0 + h_1)
        limited: FloatArray = np.clip(slope, LEAST_END_SLOPE * s_0, 3.0 * s_0)
        return limited

    first, last = end(h[0], h[1], secant[..., 0], secant[..., 1]), end(h[-1], h[-2], secant[..., -1], secant[..., -2])
    return np.concatenate([first[..., None], inner, last[..., None]], axis=-1)
