"""State equations of published cells at constant voltage (kernels), chosen by the type of their parameters.

At constant voltage the state equation is autonomous, dw/dt = r(w), so the time to reach a state is the integral of
dw / r.  The integral is summed over steps of w.  This works for stiff rates as well, and the state never passes 0, 1 or
an equilibrium.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from devices.aliases import FloatArray
from devices.laws.barrier import barrier_voltage
from devices.numerics.jit import kernel

MOST_STEPS = 100_000  # ours; a path from 0 to 1 takes hundreds of steps
LARGEST_EXPONENT = 600.0  # limit of the exponents, which keeps rates finite at any voltage
CLOSE = 1e-9  # a state closer than this to an equilibrium counts as there (ours)
EVEN = 1e-3  # largest relative difference of trapezium and Simpson's rule in a step: Simpson's error is < 1e-6 (ours)


class VteamDrift(NamedTuple):
    """Thresholds and rates of VTEAM, for the state w from 0 (off) to 1 (on)."""

    up: float  # [1/s]
    v_up: float  # [V] threshold, > 0
    alpha_up: float
    down: float  # [1/s]
    v_down: float  # [V] threshold, > 0
    alpha_down: float
    window: float  # exponent p of Biolek's window function, 0: no window


class PkuDrift(NamedTuple):
    """Parameters of the gap's motion in the Stanford-PKU model; w is 0 at the largest and 1 at the smallest gap."""

    gap_max: float  # [m]
    gap_range: float  # [m]
    g_0: float  # [m]
    siemens: float  # [S] small-signal conductance at gap 0
    v_0: float  # [V]
    r_series: float  # [ohm]
    velocity: float  # [m/s]
    e_kelvin: float  # [K] activation energy / k
    gamma_0: float
    beta: float
    gap_1: float  # [m]
    power: float
    v_least: float  # [V] smallest gamma x voltage that moves the gap
    lever: float  # [K/V] q a_0 / (k thickness)
    r_thermal: float  # [K/W]
    temperature: float  # [K]


@kernel
def vteam_rate(drift: VteamDrift, w: float, v: float) -> float:
    """Return dw/dt [1/s] of VTEAM at a voltage [V], positive towards on.

    Source: docs/equations/cells.md eq. 17-18.
    """
    if v > drift.v_up:
        edge = 1.0 - math.pow(w, 2.0 * drift.window) if drift.window > 0.0 else 1.0
        return drift.up * math.pow(v / drift.v_up - 1.0, drift.alpha_up) * edge
    if v < -drift.v_down:
        edge = 1.0 - math.pow(1.0 - w, 2.0 * drift.window) if drift.window > 0.0 else 1.0
        return -drift.down * math.pow(-v / drift.v_down - 1.0, drift.alpha_down) * edge
    return 0.0


@kernel
def pku_rate(drift: PkuDrift, w: float, v: float) -> float:
    """Return dw/dt [1/s] of the Stanford-PKU model at a voltage [V]; a positive voltage closes the gap.

    Source: docs/equations/cells.md eq. 20-21.
    """
    gap = drift.gap_max - w * drift.gap_range
    g = drift.siemens * math.exp(-gap / drift.g_0)
    x = barrier_voltage(drift.v_0, drift.r_series, g, v)
    gamma = drift.gamma_0 - drift.beta * (gap / drift.gap_1) ** drift.power
    if gamma * abs(x) < drift.v_least or gamma <= 0.0:
        return 0.0
    current = g * drift.v_0 * math.sinh(min(abs(x) / drift.v_0, LARGEST_EXPONENT))
    temperature = drift.temperature + abs(x) * current * drift.r_thermal
    force = min(gamma * drift.lever * abs(x) / temperature, LARGEST_EXPONENT)
    rate = drift.velocity / drift.gap_range * math.exp(-drift.e_kelvin / temperature) * math.sinh(force)
    return math.copysign(rate, x)


_rates: dict[type, Callable[[Any, float, float], float]] = {VteamDrift: vteam_rate, PkuDrift: pku_rate}


def drift_rate(drift: Any, w: float, v: float) -> float:  # noqa: ANN401 - any of the types above
    """Return dw/dt [1/s] of a state w at a voltage [V]; in kernels and in Python."""
    return _rates[type(drift)](drift, w, v)


def _compiled_rate(drift: types.Type) -> Callable[[Any, float, float], float] | None:
    """Return the implementation of drift_rate for this type of parameters."""
    chosen = _rates.get(getattr(drift, "instance_class", None))  # type: ignore[arg-type]
    return None if chosen is None else lambda drift, w, v: chosen(drift, w, v)  # noqa: PLW0108 - numba wants a plain function


overload(drift_rate)(lambda drift, w, v: _compiled_rate(drift))


@kernel
def drifted(drift: Any, w: float, v: float, dt: float, largest: float) -> tuple[float, bool]:  # noqa: ANN401
    """Return the state after dt [s] at a constant voltage [V], and whether the integration reached dt.

    Steps of w are at most `largest`, and short enough for Simpson's rule (see EVEN).  The last, partial step is a
    fourth-order Runge-Kutta step.  Source: docs/equations/cells.md eq. 22.
    """
    left, step = dt, largest
    rate = drift_rate(drift, w, v)
    for _ in range(MOST_STEPS):
        end = min(w + step, 1.0) if rate > 0.0 else max(w - step, 0.0)
        h = end - w
        if left <= 0.0 or rate == 0.0 or h == 0.0:
            return w, True
        middle, last = drift_rate(drift, w + 0.5 * h, v), drift_rate(drift, end, v)
        if middle * rate <= 0.0 or last * rate <= 0.0:  # an equilibrium lies inside
            if abs(h) <= CLOSE:
                return w, True
            step = 0.5 * abs(h)
            continue
        ends = 1.0 / rate + 1.0 / last
        time = h * (ends + 4.0 / middle) / 6.0
        if abs(time - 0.5 * h * ends) > EVEN * time and abs(h) > CLOSE:
            step = 0.5 * abs(h)
            continue
        if time >= left:
            second = drift_rate(drift, w + 0.5 * left * rate, v)
            third = drift_rate(drift, w + 0.5 * left * second, v)
            fourth = drift_rate(drift, w + left * third, v)
            w += left * (rate + 2.0 * second + 2.0 * third + fourth) / 6.0
            return min(max(w, 0.0), 1.0), True
        left -= time
        w, rate, step = end, last, min(2.0 * abs(h), largest)
    return w, False


@kernel
def drift_all(
    drift: Any, w: FloatArray, v: FloatArray, dt: FloatArray, largest: float  # noqa: ANN401
) -> tuple[FloatArray, int]:  # fmt: skip
    """Return the states of `drifted` for flat arrays of one length, and how many integrations did not reach dt."""
    out = np.empty_like(w)
    missed = 0
    for i in range(w.size):
        out[i], reached = drifted(drift, w[i], v[i], dt[i], largest)
        missed += not reached
    return out, missed
