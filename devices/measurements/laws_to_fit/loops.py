"""Laws of cells that switch while they are measured: VTEAM, Stanford-PKU and GEM, from loops with their times.

The state of a point follows from those before it: between two points the voltage is the mean of both.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from devices.aliases import FloatArray
from devices.cells.published import StanfordPku, Vteam
from devices.checks import number
from devices.errors import ParameterError
from devices.laws import dispatch
from devices.measurements.laws_to_fit.interface import LawToFit, Parameter, Values, one_filament, secants
from devices.measurements.measured_points import Curves
from devices.numerics.jit import kernel
from devices.states.drift import drifted

LARGEST_STEP = 0.02  # of a state, ours: errors of the integral stay far below noise of 1e-3
SUBSTEPS = 4  # of Runge and Kutta between two points, ours
STEP = 1e-4  # of derivatives: a state has rounding of its own
LENGTH = 1e-9  # [m] of the internal state of a fitted VTEAM cell, which no current tells


@kernel
def _march(drift: Any, w: float, v: FloatArray, dt: FloatArray, largest: float) -> FloatArray:  # noqa: ANN401
    """Return the states (n,) at the ends of the steps (n - 1,), from w on."""
    out = np.empty(v.size)
    out[0] = w
    for k in range(1, v.size):
        w, _ = drifted(drift, w, 0.5 * (v[k - 1] + v[k]), dt[k - 1], largest)
        out[k] = w
    return out


@kernel
def _gem_rate(
    x: float, v: float, k_on: float, v_on: float, a_on: float, b_on: float, s_on: float,
    k_off: float, v_off: float, a_off: float, b_off: float, s_off: float,
) -> float:  # fmt: skip
    """Return dx/dt [1/s] of GEM at a gate voltage [V]; thresholds are positive."""
    if v > v_on:
        rate = k_on * math.pow(v / v_on - 1.0, a_on) * math.pow(max(1.0 - s_on * x, 0.0), b_on)
        return float(rate)
    if v < -v_off:
        rate = -k_off * math.pow(-v / v_off - 1.0, a_off) * math.pow(max(1.0 - s_off * (1.0 - x), 0.0), b_off)
        return float(rate)
    return 0.0


@kernel
def _gem_march(
    x: float, v: FloatArray, dt: FloatArray, k_on: float, v_on: float, a_on: float, b_on: float, s_on: float,
    k_off: float, v_off: float, a_off: float, b_off: float, s_off: float, steps: int,
) -> FloatArray:  # fmt: skip
    """Return the states (n,) of GEM, by the method of Runge and Kutta of fourth order; the ends stop the state."""
    out = np.empty(v.size)
    out[0] = x
    for k in range(1, v.size):
        for j in range(steps):
            h = dt[k - 1] / steps
            a = v[k - 1] + (v[k] - v[k - 1]) * j / steps
            c = v[k - 1] + (v[k] - v[k - 1]) * (j + 1) / steps
            m = 0.5 * (a + c)
            one = _gem_rate(x, a, k_on, v_on, a_on, b_on, s_on, k_off, v_off, a_off, b_off, s_off)
            two = _gem_rate(x + 0.5 * h * one, m, k_on, v_on, a_on, b_on, s_on, k_off, v_off, a_off, b_off, s_off)
            three = _gem_rate(x + 0.5 * h * two, m, k_on, v_on, a_on, b_on, s_on, k_off, v_off, a_off, b_off, s_off)
            four = _gem_rate(x + h * three, c, k_on, v_on, a_on, b_on, s_on, k_off, v_off, a_off, b_off, s_off)
            x = min(max(x + h * (one + 2.0 * two + 2.0 * three + four) / 6.0, 0.0), 1.0)
        out[k] = x
    return out


def times(curves: Curves) -> FloatArray:
    """Return the steps of time (n - 1,) [s]; raise ParameterError if there are none, or if they run back."""
    if curves.time is None:
        raise ParameterError(
            f"{curves.source} has no times: a law of switching needs a column 'time', or the rate of the sweep as in "
            "with_rate(curves, 1.0)"
        )
    steps: FloatArray = np.diff(curves.time)
    if np.any(steps < 0.0) or not np.any(steps > 0.0):
        raise ParameterError(f"{curves.source}: times must rise from point to point")
    return steps


def with_rate(curves: Curves, rate: float) -> Curves:
    """Return curves with the times of a voltage, or else a gate voltage, that changes at a rate [V/s].

    Raises ParameterError unless the rate is positive.
    """
    speed = number("rate", rate, unit="V/s", above=0.0)
    swept = curves.v if np.ptp(curves.v) >= np.ptp(curves.v_gate) else curves.v_gate
    time = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(swept)))]) / speed
    return dataclasses.replace(curves, time=time)


def _check(name: str, *, gated: bool) -> Callable[[Curves], None]:
    """Return what refuses curves that are no loop with times for the law of that name."""

    def check(curves: Curves) -> None:
        one_filament(curves, name)
        times(curves)
        if not curves.measured.all():
            raise ParameterError(
                f"{curves.source} holds programmed voltages at a compliance limit, where the cell's own voltage, which "
                f"moves its state, is not known: the law {name} needs measured voltages"
            )
        swept = curves.v_gate if gated else curves.v
        if not gated and curves.gates.size > 1:
            raise ParameterError(
                f"the law {name} has no gate, but {curves.source} holds {curves.gates.size} gate voltages"
            )
        if not (np.any(swept > 0.0) and np.any(swept < 0.0)):
            which = "gate voltages" if gated else "voltages"
            raise ParameterError(
                f"{curves.source} holds {which} of one sign: SET and RESET of the law {name} need a loop through both"
            )
        seen = secants(curves)
        if float(np.nanquantile(seen, 0.9)) < 1.5 * float(np.nanquantile(seen, 0.1)):
            raise ParameterError(f"{curves.source} shows no switching: its conductance changes by less than half")

    return check


def _window(curves: Curves) -> tuple[float, float]:
    """Return the conductances of both branches [S]."""
    seen = secants(curves)
    return float(np.nanquantile(seen, 0.08)), float(np.nanquantile(seen, 0.92))


def turns(swept: FloatArray, seen: FloatArray) -> tuple[float, float]:
    """Return about where the conductance grows and falls most [V], both positive."""
    log = np.log(np.where(np.isfinite(seen), seen, np.nan))
    good = np.flatnonzero(np.isfinite(log))
    change = np.diff(log[good])
    volts = 0.5 * (swept[good][1:] + swept[good][:-1])
    up = np.where(volts > 0.0, change, -np.inf)
    down = np.where(volts < 0.0, -change, -np.inf)
    return max(float(volts[np.argmax(up)]), 1e-3), max(-float(volts[np.argmax(down)]), 1e-3)


# VTEAM


def vteam_cell(values: Values) -> Vteam:
    """Return the cell of fitted values of the law vteam."""
    return Vteam(
        r_on=values["r_on"], r_off=values["r_off"], w_on=0.0, w_off=LENGTH,
        k_on=-values["rate_on"] * LENGTH, k_off=values["rate_off"] * LENGTH,
        v_on=-values["v_on"], v_off=values["v_off"], alpha_on=values["alpha_on"], alpha_off=values["alpha_off"],
        window=values["window"],
    )  # fmt: skip


def _vteam_currents(values: Values, curves: Curves) -> FloatArray:
    cell = vteam_cell(values)
    states = _march(cell.drift(), values["w_start"], curves.v, times(curves), LARGEST_STEP)
    result: FloatArray = curves.v / (cell.r_off + states * (cell.r_on - cell.r_off))
    return result


def _vteam_starts(curves: Curves, held: Values) -> Sequence[dict[str, float]]:
    low, high = _window(curves)
    up, down = turns(curves.v, secants(curves))
    speed = 2.0 * float(np.ptp(curves.v)) / float(times(curves).sum())
    powers = {name: held.get(name, 1.0) for name in ("alpha_on", "alpha_off")}
    return [
        {"r_on": 1.0 / high, "r_off": 1.0 / low, "v_on": a * up, "v_off": b * down}
        | {"rate_on": hard * speed / up, "rate_off": hard * speed / down}
        | powers
        for a, b in itertools.product((0.5, 0.7, 0.9), repeat=2)
        for hard in (1.0, 5.0)
    ]


VTEAM = LawToFit(
    name="vteam",
    about="a resistance between two ends that drifts beyond thresholds, from loops with SET and RESET; positive "
    "voltages set, and thresholds are given without sign",
    source="Kvatinsky et al., IEEE Trans. Circuits Syst. II 62, 786 (2015); docs/equations/cells.md eq. 16-18",
    parameters=lambda curves: [
        Parameter("r_on", "Ω", 1e-2, 1e13, "go on until the cell is fully on"),
        Parameter("r_off", "Ω", 1e-2, 1e14, "go on until the cell is fully off"),
        Parameter("rate_on", "1/s", 1e-9, 1e15, "sample the SET more finely, or hold alpha_on"),
        Parameter("rate_off", "1/s", 1e-9, 1e15, "sample the RESET more finely, or hold alpha_off"),
        Parameter("v_on", "V", 1e-3, 1e2, "sample the SET more finely, or measure at a second rate"),
        Parameter("v_off", "V", 1e-3, 1e2, "sample the RESET more finely, or measure at a second rate"),
        Parameter("alpha_on", "", 0.1, 20.0, "measure at a second rate, or hold it"),
        Parameter("alpha_off", "", 0.1, 20.0, "measure at a second rate, or hold it"),
    ],
    starts=_vteam_starts,
    currents=_vteam_currents,
    fixed={"w_start": 0.0, "window": 0.0, "alpha_on": 1.0, "alpha_off": 1.0},
    check=_check("vteam", gated=False),
    in_time=True,
    step=STEP,
)


# Stanford-PKU

PKU_FREE = ("i_0", "g_0", "v_0", "velocity", "gamma_0")
PKU_HELD = (
    "gap_min", "gap_max", "e_activation", "beta", "gap_1", "power", "a_0", "thickness", "field_min", "r_thermal",
    "r_series", "temperature",
)  # fmt: skip


def pku_cell(values: Values) -> StanfordPku:
    """Return the cell of fitted values of the law stanford_pku."""
    return StanfordPku(**{name: values[name] for name in (*PKU_FREE, *PKU_HELD)})


def _pku_currents(values: Values, curves: Curves) -> FloatArray:
    cell = pku_cell(values)
    states = _march(cell.drift(), values["w_start"], curves.v, times(curves), LARGEST_STEP)
    g = cell.g_min * (cell.g_max / cell.g_min) ** states
    return dispatch.currents(cell.law, g, np.ones(g.size), curves.v)[0]


def _pku_starts(curves: Curves, held: Values) -> Sequence[dict[str, float]]:
    """Begin with the window of the branches, and with rates over several decades."""
    low, high = _window(curves)
    seen, size = secants(curves), np.abs(curves.v)
    quiet = np.isfinite(seen) & (size <= 0.4 * size.max())
    if np.count_nonzero(quiet) > 1:
        low, high = float(np.quantile(seen[quiet], 0.1)), float(np.quantile(seen[quiet], 0.9))
    span = held["gap_max"] - held["gap_min"]
    g_0 = span / max(math.log(high / low), 0.5)
    per_volt = high * math.exp(held["gap_min"] / g_0)
    choices = itertools.product((0.2, 0.35, 0.7), (1e-3, 3e-2, 1.0, 30.0), (10.0, 13.0, 16.0, 19.0, 24.0))
    return [
        {"i_0": per_volt * v_0, "g_0": g_0, "v_0": v_0, "velocity": velocity, "gamma_0": gamma}
        for v_0, velocity, gamma in choices
    ]


_PKU = StanfordPku()
STANFORD_PKU = LawToFit(
    name="stanford_pku",
    about="a tunnelling gap that closes and opens, heated by its own current, from loops with SET and RESET",
    source="Jiang et al., IEEE Trans. Electron Devices 63, 1884 (2016); docs/equations/cells.md eq. 19-21",
    parameters=lambda curves: [
        Parameter("i_0", "A", 1e-12, 1e3, "measure both branches at small voltages"),
        Parameter("g_0", "m", 1e-11, 1e-8, "go on until the gap is widest and narrowest"),
        Parameter("v_0", "V", 2e-2, 1e2, "sweep to voltages where the branches bend"),
        Parameter("velocity", "m/s", 1e-8, 1e12, "measure loops at a second rate, or hold e_activation"),
        Parameter("gamma_0", "", 1.0, 1e3, "measure loops at a second rate"),
    ],
    starts=_pku_starts,
    currents=_pku_currents,
    # without the least field of the published code: behind a hard threshold no loop tells the velocity
    fixed={"w_start": 0.0} | {name: float(getattr(_PKU, name)) for name in PKU_HELD} | {"field_min": 0.0},
    check=_check("stanford_pku", gated=False),
    in_time=True,
    step=STEP,
)


# GEM


def _gem_currents(values: Values, curves: Curves) -> FloatArray:
    states = _gem_march(
        values["x_start"], curves.v_gate, times(curves),
        values["k_on"], values["v_on"], values["a_on"], values["b_on"], values["s_on"],
        values["k_off"], values["v_off"], values["a_off"], values["b_off"], values["s_off"], SUBSTEPS,
    )  # fmt: skip
    g = values["g_off"] * (values["g_on"] / values["g_off"]) ** states
    bend = values["v_saturation"] + values["k_saturation"] * states
    result: FloatArray = g * np.sign(curves.v) * np.minimum(np.abs(curves.v), bend)
    return result


def _gem_starts(curves: Curves, _: Values) -> Sequence[dict[str, float]]:
    low, high = _window(curves)
    up, down = turns(curves.v_gate, secants(curves))
    speed = 2.0 * float(np.ptp(curves.v_gate)) / float(times(curves).sum())
    return [
        {"g_off": low, "g_on": high, "v_on": a * up, "v_off": b * down, "b_on": 1.0, "b_off": 1.0}
        | {"k_on": hard * speed / up, "k_off": hard * speed / down}
        for a, b in itertools.product((0.4, 0.7, 0.9), repeat=2)
        for hard in (1.0, 4.0)
    ]


GEM = LawToFit(
    name="gem",
    about="a memristive transistor whose gate moves the state beyond thresholds, with a window, and whose drain "
    "voltage reads it; positive gate voltages raise the conductance, and thresholds are given without sign",
    source="Wang et al., arXiv 2408.15140, with the state equation and exponential output of the authors' public code; "
    "the window of the off direction closes at the off end (ours)",
    parameters=lambda curves: [
        Parameter("g_off", "S", 1e-14, 10.0, "go on until the channel is fully off"),
        Parameter("g_on", "S", 1e-14, 10.0, "go on until the channel is fully on"),
        Parameter("k_on", "1/s", 1e-9, 1e15, "sample the rise more finely"),
        Parameter("k_off", "1/s", 1e-9, 1e15, "sample the fall more finely"),
        Parameter("v_on", "V", 1e-3, 1e3, "sample the rise more finely, or measure at a second rate"),
        Parameter("v_off", "V", 1e-3, 1e3, "sample the fall more finely, or measure at a second rate"),
        Parameter("b_on", "", 0.05, 50.0, "go on until the channel is fully on, or hold it"),
        Parameter("b_off", "", 0.05, 50.0, "go on until the channel is fully off, or hold it"),
    ],
    starts=_gem_starts,
    currents=_gem_currents,
    fixed={
        "x_start": 0.0, "a_on": 1.0, "a_off": 1.0, "s_on": 1.0, "s_off": 1.0, "b_on": 1.0, "b_off": 1.0,
        "v_saturation": math.inf, "k_saturation": 0.0,
    },
    check=_check("gem", gated=True),
    in_time=True,
    step=STEP,
)  # fmt: skip
