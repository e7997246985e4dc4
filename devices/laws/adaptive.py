"""Current and slope of a resistor, and of a gated sinh barrier in series with a resistance."""

import math
from typing import NamedTuple

import numpy as np

from devices.aliases import FloatArray
from devices.laws.barrier import barrier_voltage, small_barrier, small_sinh
from devices.laws.barrier_blocks import LARGEST, WIDEST, barrier_block
from devices.laws.dispatch import register
from devices.laws.gate import read_gain
from devices.numerics.jit import kernel

BLOCK = 128  # cells at a time: their values stay in the L1 cache (ours)


class OhmicLaw(NamedTuple):
    """Parameters of a resistor in parallel with a fixed leakage conductance; no gate."""

    g_leak: float = 0.0  # leakage conductance [S]


class AdaptiveLaw(NamedTuple):
    """Parameters of a gated sinh barrier in series with a resistance, both in parallel with a leakage conductance."""

    v_0: float  # [V] curvature of the I-V curve, inf for a straight line
    r_series: float  # [ohm] series resistance
    g_leak: float  # [S] leakage conductance
    v_dirac: float  # [V] gate voltage of the Dirac point
    e_residual: float  # [eV] Fermi level of the residual carrier density
    e_quantum: float  # [eV] Fermi level at which quantum and gate capacitance are equal
    gain_min: float  # read gain of the closed gate
    e_half: float  # [eV] Fermi level at which the gate is half open
    e_slope: float  # [eV] width of the gain step


def ungated_barrier(v_0: float, r_series: float = 0.0, g_leak: float = 0.0) -> AdaptiveLaw:
    """Return the law of a sinh barrier whose gain is 1 at any gate voltage."""
    return AdaptiveLaw(v_0, r_series, g_leak, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0)


@kernel
def adaptive_current(law: AdaptiveLaw, g_filament: float, gain: float, v: float) -> tuple[float, float]:
    """Return current [A] and slope dI/dv [S] of a cell with filament conductance g_filament [S] at a read gain.

    Source: docs/equations/cells.md eq. 6-9.
    """
    g = gain * g_filament
    x = barrier_voltage(law.v_0, law.r_series, g, v)
    if math.isinf(law.v_0):
        current, slope = g * x, g
    else:
        u = x / law.v_0
        sinh = small_sinh(u) if abs(u) <= 1.0 else math.sinh(u)
        current, slope = g * law.v_0 * sinh, g * math.sqrt(1.0 + sinh * sinh)
    return current + law.g_leak * v, slope / (1.0 + law.r_series * slope) + law.g_leak


@kernel
def ohmic_gain(law: OhmicLaw, v_gate: float) -> float:
    """Return 1: a resistor has no gate."""
    return 1.0


@kernel
def ohmic_current(law: OhmicLaw, g_filament: float, gain: float, v: float) -> tuple[float, float]:
    """Return current [A] and slope [S] of a resistor in parallel with its leakage conductance."""
    g = gain * g_filament + law.g_leak
    return g * v, g


@kernel
def adaptive_fill(
    law: AdaptiveLaw, g_filament: FloatArray, gain: FloatArray, v: FloatArray, current: FloatArray, slope: FloatArray
) -> None:
    """Fill currents [A] and slopes [S] of flat arrays, block by block in vector registers.

    The results agree with adaptive_current within 4e-15.  Blocks with extreme values (beyond WIDEST or LARGEST, or not
    converged) are computed by adaptive_current.
    Source: docs/equations/cells.md eq. 6-9.
    """
    room = np.empty((5, BLOCK))
    for first in range(0, v.size, BLOCK):
        count = min(BLOCK, v.size - first)
        a, s, u, sinh, cosh = room[0, :count], room[1, :count], room[2, :count], room[3, :count], room[4, :count]
        ordinary, wide = not math.isinf(law.v_0), False
        for i in range(count):
            a[i] = law.r_series * (gain[first + i] * g_filament[first + i])
            s[i] = abs(v[first + i]) / law.v_0
            wide |= s[i] > 1.0
            ordinary &= (s[i] <= WIDEST) & (a[i] <= LARGEST)
        if ordinary and wide:
            ordinary = barrier_block(a, s, u, sinh, cosh)
        elif ordinary:
            for i in range(count):
                u[i] = small_barrier(a[i], s[i])
                sinh[i] = small_sinh(u[i])
                cosh[i] = math.sqrt(1.0 + sinh[i] * sinh[i])
        if ordinary:
            for i in range(count):
                at = first + i
                g = gain[at] * g_filament[at]
                signed = -sinh[i] if v[at] < 0.0 else sinh[i]
                current[at] = g * law.v_0 * signed + law.g_leak * v[at]
                steep = g * cosh[i]
                slope[at] = steep / (1.0 + law.r_series * steep) + law.g_leak
        else:
            for at in range(first, first + count):
                current[at], slope[at] = adaptive_current(law, g_filament[at], gain[at], v[at])


register(OhmicLaw, ohmic_gain, ohmic_current)
register(AdaptiveLaw, read_gain, adaptive_current, adaptive_fill)


@kernel
def adaptive_secants(law: AdaptiveLaw, g_filament: FloatArray, gain: FloatArray, v: FloatArray) -> FloatArray:
    """Return I/v [S], at v = 0 its limit, of each element of flat arrays of one length.

    Source: docs/equations/cells.md eq. 10.
    """
    out = np.empty_like(v)
    if math.isinf(law.v_0):
        for i in range(v.size):
            g = gain[i] * g_filament[i]
            out[i] = g / (1.0 + law.r_series * g) + law.g_leak
        return out
    wide = False
    for i in range(v.size):  # no branch inside, so that the loop vectorises
        g = gain[i] * g_filament[i]
        s = abs(v[i]) / law.v_0
        s = max(s, 1e-150)  # gives the limit at v = 0 to rounding
        wide |= s > 1.0
        out[i] = g * small_sinh(small_barrier(law.r_series * g, s)) / s + law.g_leak
    if wide:
        for i in range(v.size):
            if abs(v[i]) > law.v_0:
                out[i] = adaptive_current(law, g_filament[i], gain[i], v[i])[0] / v[i]
    return out


@kernel
def adaptive_filaments(law: AdaptiveLaw, g_terminal: FloatArray, gain: FloatArray, v: FloatArray) -> FloatArray:
    """Return the filament conductance [S] whose secant conductance at v is g_terminal, of each element.

    The result lies outside (0, inf) where there is no such filament.
    Source: docs/equations/cells.md eq. 11, the inverse of adaptive_secants in closed form.
    """
    out = np.empty_like(v)
    for i in range(v.size):
        g = g_terminal[i] - law.g_leak
        left = 1.0 - law.r_series * g  # fraction of the voltage that drops over the barrier
        u = abs(v[i]) * left / law.v_0
        if u < 1e-150 or left <= 0.0:  # the limit at v = 0, to rounding
            out[i] = g / (left * gain[i])
        else:
            out[i] = g * abs(v[i]) / (law.v_0 * math.sinh(u) * gain[i])
    return out
