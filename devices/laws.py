"""Current-voltage laws with their slopes, chosen by the type of the parameter tuple.

A law is a NamedTuple of floats, a gain kernel (law, v_gate) and a current kernel (law, g_filament, gain, v), joined by
`register`.  A solver calls law_gain, gated_current or cell_current, or for many cells at once fill_currents; numba
compiles and caches one version per law type.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numba import types
from numba.extending import overload

from devices.aliases import FloatArray
from devices.barriers import LARGEST, WIDEST, barrier_block
from devices.errors import ParameterError
from devices.gate import read_gain
from devices.jit import kernel

Function = TypeVar("Function", bound=Callable[..., Any])

HALLEY_STEPS = 6  # two more than any input needs, see large_barrier
BLOCK = 128  # cells at a time, ours: their numbers stay in the nearest cache

_gains: dict[type, Callable[[Any, float], float]] = {}
_currents: dict[type, Callable[[Any, float, float, float], tuple[float, float]]] = {}
_fills: dict[type, Callable[[Any, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray], None]] = {}


class OhmicLaw(NamedTuple):
    """A resistor beside a fixed leak; no gate."""

    g_leak: float = 0.0  # [S]


class AdaptiveLaw(NamedTuple):
    """A gated sinh barrier in series with a resistance, a leak beside both."""

    v_0: float  # [V] curvature of the barrier, inf for a straight line
    r_series: float  # [ohm]
    g_leak: float  # [S]
    v_dirac: float  # [V] gate voltage of the Dirac point
    e_residual: float  # [eV] Fermi level of the residual carrier density
    e_quantum: float  # [eV] balance of quantum and gate capacitance
    gain_min: float  # gain of the closed gate
    e_half: float  # [eV] Fermi level of half opening
    e_slope: float  # [eV] width of the opening


def ungated_barrier(v_0: float, r_series: float = 0.0, g_leak: float = 0.0) -> AdaptiveLaw:
    """Return the law of a sinh barrier whose gain is 1 at any gate voltage."""
    return AdaptiveLaw(v_0, r_series, g_leak, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0)


Law = tuple[Any, ...]  # any registered NamedTuple


@kernel(inline=True)
def small_sinh(u: float) -> float:
    """Return sinh(u) for |u| <= 1 from its power series, to rounding; unlike math.sinh it runs in vector registers."""
    p = u * u
    r = 1.0 / 355687428096000.0  # 1/17!, then 1/15! down to 1/1!
    r = r * p + 1.0 / 1307674368000.0
    r = r * p + 1.0 / 6227020800.0
    r = r * p + 1.0 / 39916800.0
    r = r * p + 1.0 / 362880.0
    r = r * p + 1.0 / 5040.0
    r = r * p + 1.0 / 120.0
    r = r * p + 1.0 / 6.0
    return u * (r * p + 1.0)


@kernel(inline=True)
def small_barrier(a: float, s: float) -> float:
    """Return u of u + a sinh(u) = s for 0 <= s <= 1 and any a >= 0.

    Two steps of third order from the cubic estimate: within 4e-16 of u for all a, so the count is fixed and arrays
    run in vector registers.  Source: docs/equations/cells.md eq. 7.
    """
    b = 1.0 / (1.0 + a)
    u = s * b
    u -= a * b * u * u * u * (1.0 / 6.0)
    for _ in range(2):
        p = u * u
        cosh = ((((1.0 / 3628800.0 * p + 1.0 / 40320.0) * p + 1.0 / 720.0) * p + 1.0 / 24.0) * p + 0.5) * p + 1.0
        sinh = small_sinh(u)
        c = 1.0 / (1.0 + a * cosh)
        step = (u + a * sinh - s) * c
        u -= step * (1.0 + 0.5 * step * a * sinh * c)
    return u


@kernel
def large_barrier(a: float, s: float) -> float:
    """Return u of u + a sinh(u) = s for s > 1 and a > 0.

    Halley from the lower of two upper bounds: at most four steps to rounding for a over 24 decades and s to 1000.
    """
    u = min(s / (1.0 + a), math.asinh(s / a))
    for _ in range(HALLEY_STEPS):
        sinh = math.sinh(u)
        slope = 1.0 + a * math.sqrt(1.0 + sinh * sinh)
        step = (u + a * sinh - s) / slope
        step /= 1.0 - min(0.5 * step * a * sinh / slope, 0.5)
        u -= step
        if abs(step) <= 1e-6 * u:  # third order: what is left is below rounding
            break
    return u


@kernel
def barrier_voltage(v_0: float, r_series: float, g: float, v: float) -> float:
    """Return the part [V] of the cell voltage v that drops over a barrier of small-signal conductance g [S].

    Source: docs/equations/cells.md eq. 7.
    """
    a = r_series * g
    if a == 0.0:
        return v
    if math.isinf(v_0):
        return v / (1.0 + a)
    s = abs(v) / v_0
    u = small_barrier(a, s) if s <= 1.0 else large_barrier(a, s)
    return math.copysign(u * v_0, v)


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
    """Return current [A] and slope [S] of a resistor beside its leak."""
    g = gain * g_filament + law.g_leak
    return g * v, g


def register(
    law: type,
    gain: Callable[[Any, float], float],
    current: Callable[[Any, float, float, float], tuple[float, float]],
    fill: Callable[[Any, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray], None] | None = None,
) -> None:
    """Make a law type known: its gain kernel (law, v_gate) and its current kernel (law, g_filament, gain, v).

    fill: the same as fill_currents for this law, where whole arrays can be treated faster than cell by cell.
    """
    _gains[law] = gain
    _currents[law] = current
    _fills[law] = one_by_one if fill is None else fill


@kernel
def one_by_one(
    law: Any, g_filament: FloatArray, gain: FloatArray, v: FloatArray, current: FloatArray, slope: FloatArray  # noqa: ANN401
) -> None:  # fmt: skip
    """Fill currents [A] and slopes [S] of flat arrays cell by cell."""
    for i in range(v.size):
        current[i], slope[i] = gated_current(law, g_filament[i], gain[i], v[i])


@kernel
def adaptive_fill(
    law: AdaptiveLaw, g_filament: FloatArray, gain: FloatArray, v: FloatArray, current: FloatArray, slope: FloatArray
) -> None:
    """Fill currents [A] and slopes [S] of flat arrays, blocks of cells in vector registers.

    Within 4e-15 of adaptive_current, which takes the blocks whose numbers are out of any reason.
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


def law_gain(law: Any, v_gate: float) -> float:  # noqa: ANN401 - any registered law
    """Return the read gain of a law at a gate voltage [V]; in kernels and in Python."""
    return _registered(_gains, law)(law, v_gate)


def gated_current(law: Any, g_filament: float, gain: float, v: float) -> tuple[float, float]:  # noqa: ANN401 - as above
    """Return current [A] and slope dI/dv [S] at cell voltage v [V] and a known read gain; in kernels and in Python."""
    return _registered(_currents, law)(law, g_filament, gain, v)


def fill_currents(
    law: Any, g_filament: FloatArray, gain: FloatArray, v: FloatArray, current: FloatArray, slope: FloatArray  # noqa: ANN401
) -> None:  # fmt: skip
    """Fill `current` [A] and `slope` [S] of cells at known read gains; flat arrays of one length; in kernels too."""
    _registered(_fills, law)(law, g_filament, gain, v, current, slope)


def cell_current(law: Any, g_filament: float, v: float, v_gate: float) -> tuple[float, float]:  # noqa: ANN401 - as above
    """Return current [A] and slope dI/dv [S] at cell and gate voltage [V]; in kernels and in Python.

    A solver that meets the same gate voltage again and again calls law_gain once and gated_current after it.
    """
    return gated_current(law, g_filament, law_gain(law, v_gate), v)


def _registered(kernels: dict[type, Function], law: object) -> Function:
    """Return the kernel of a law; raise ParameterError if its type was never registered."""
    if type(law) not in kernels:
        known = ", ".join(kind.__name__ for kind in kernels)
        raise ParameterError(f"law must be one of {known}, got {law!r}")
    return kernels[type(law)]


def _law_type(law: types.Type) -> Any:  # noqa: ANN401 - None if it is no NamedTuple
    """Return the NamedTuple class behind a numba type."""
    return getattr(law, "instance_class", None)


def _compiled_gain(law: types.Type) -> Callable[[Any, float], float] | None:
    """Return what law_gain compiles to for this type of law."""
    chosen = _gains.get(_law_type(law))
    return None if chosen is None else lambda law, v_gate: chosen(law, v_gate)  # noqa: PLW0108 - numba wants a plain function


def _compiled_current(law: types.Type) -> Callable[[Any, float, float, float], tuple[float, float]] | None:
    """Return what gated_current compiles to for this type of law."""
    chosen = _currents.get(_law_type(law))
    return None if chosen is None else lambda law, g_filament, gain, v: chosen(law, g_filament, gain, v)  # noqa: PLW0108


def _compiled_fill(law: types.Type) -> Callable[..., None] | None:
    """Return what fill_currents compiles to for this type of law."""
    chosen = _fills.get(_law_type(law))
    if chosen is None:
        return None
    return lambda law, g_filament, gain, v, current, slope: chosen(law, g_filament, gain, v, current, slope)  # noqa: PLW0108


# numba wants equal bare argument lists on both levels: lambdas
overload(law_gain)(lambda law, v_gate: _compiled_gain(law))
overload(gated_current)(lambda law, g_filament, gain, v: _compiled_current(law))
overload(fill_currents)(lambda law, g_filament, gain, v, current, slope: _compiled_fill(law))
overload(cell_current)(
    lambda law, g_filament, v, v_gate: (
        lambda law, g_filament, v, v_gate: gated_current(law, g_filament, law_gain(law, v_gate), v)
    )
)


@kernel
def currents(law: Any, g_filament: FloatArray, gain: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:  # noqa: ANN401
    """Return current [A] and slope [S] of each element of flat arrays of one length."""
    current, slope = np.empty_like(v), np.empty_like(v)
    fill_currents(law, g_filament, gain, v, current, slope)
    return current, slope


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
    for i in range(v.size):  # no branch inside: vector registers
        g = gain[i] * g_filament[i]
        s = abs(v[i]) / law.v_0
        s = max(s, 1e-150)  # the limit at v = 0, reached to rounding
        wide |= s > 1.0
        out[i] = g * small_sinh(small_barrier(law.r_series * g, s)) / s + law.g_leak
    if wide:
        for i in range(v.size):
            if abs(v[i]) > law.v_0:
                out[i] = adaptive_current(law, g_filament[i], gain[i], v[i])[0] / v[i]
    return out


@kernel
def adaptive_filaments(law: AdaptiveLaw, g_terminal: FloatArray, gain: FloatArray, v: FloatArray) -> FloatArray:
    """Return the filament conductance [S] whose secant at v is g_terminal, of each element; outside (0, inf) if none.

    Source: docs/equations/cells.md eq. 11, the closed inverse of adaptive_secants.
    """
    out = np.empty_like(v)
    for i in range(v.size):
        g = g_terminal[i] - law.g_leak
        left = 1.0 - law.r_series * g  # part of the voltage that the series resistance leaves to the barrier
        u = abs(v[i]) * left / law.v_0
        out[i] = g / (left * gain[i]) if u == 0.0 or left <= 0.0 else g * abs(v[i]) / (law.v_0 * math.sinh(u) * gain[i])
    return out
