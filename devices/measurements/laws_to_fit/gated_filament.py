"""The law of the gated cell's own state equation, from loops with SET and RESET at several gate voltages."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from devices.aliases import FloatArray, IntArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.constants import BOLTZMANN_EV
from devices.errors import ParameterError
from devices.laws import dispatch
from devices.laws.adaptive import AdaptiveLaw
from devices.measurements.laws_to_fit.interface import LawToFit, Parameter, Values, one_filament, secants, stepped_gate
from devices.measurements.laws_to_fit.loops import times, turns
from devices.measurements.measured_points import Curves
from devices.numerics.jit import kernel
from devices.states.filament import Growth, frozen_step, gate_factor, rates

FREE = ("g_min", "g_max", "k_set", "v_set", "beta", "k_reset", "v_reset", "beta_reset")
VOLTS = 3.5e-3  # [V] most change of the voltage in a sub-step: a tenth of the default scales, ours
MOST_SUBSTEPS = 64  # between two points, ours
SCALES = (0.02, 0.035, 0.07)  # [V] starts of v_set and v_reset, ours


@kernel
def _march(
    law: AdaptiveLaw, growth: Growth, w: float, v: FloatArray, gain: FloatArray, energy: FloatArray, dt: FloatArray,
    parts: IntArray,
) -> FloatArray:  # fmt: skip
    """Return the states (n,) at the points, from w on, by midpoint steps whose number no parameter changes.

    So the currents are smooth in the parameters.  v, gain, energy: (n,) [V], 1, [eV].  dt, parts: (n - 1,) [s], number
    of sub-steps.  Source: docs/equations/dynamics.md eq. 2.
    """
    out = np.empty(v.size)
    out[0] = w
    for k in range(1, v.size):
        step = dt[k - 1] / parts[k - 1]
        for part in range(parts[k - 1] if step > 0.0 else 0):
            t = (part + 0.5) / parts[k - 1]
            volts = v[k - 1] + t * (v[k] - v[k - 1])
            factor = gate_factor(growth, energy[k - 1] + t * (energy[k] - energy[k - 1]), volts)
            open_ = gain[k - 1] + t * (gain[k] - gain[k - 1])
            up, down = rates(law, growth, w, volts, open_, factor)
            up, down = rates(law, growth, frozen_step(w, up, down, 0.5 * step), volts, open_, factor)
            w = frozen_step(w, up, down, step)
        out[k] = w
    return out


def filament_cell(values: Values) -> AdaptiveMemristor:
    """Return the cell of fitted values of the law gated_filament."""
    return AdaptiveMemristor(**{each.name: values[each.name] for each in dataclasses.fields(AdaptiveMemristor)})


def _currents(values: Values, curves: Curves) -> FloatArray:
    if not values["g_min"] < values["g_max"]:
        return np.full(curves.v.size, math.nan)
    cell = filament_cell(values)
    gain, energy = cell.gate_gain(curves.v_gate), cell.fermi_energy(curves.v_gate)
    parts = np.clip(np.ceil(np.abs(np.diff(curves.v)) / VOLTS), 1, MOST_SUBSTEPS).astype(np.int64)
    states = _march(cell.law, cell.growth(), values["w_start"], curves.v, gain, energy, times(curves), parts)
    return dispatch.currents(cell.law, cell.filament(states), gain, curves.v)[0]


def _starts(curves: Curves, held: Values) -> Sequence[dict[str, float]]:
    """Begin with the switching voltages of each gate voltage: their line over the Fermi level gives both betas."""
    base = dataclasses.replace(
        AdaptiveMemristor(), **{name: held[name] for name in held if name != "w_start" and name not in FREE}
    )
    seen = secants(curves) / base.gate_gain(curves.v_gate)
    low, high = float(np.nanquantile(seen, 0.08)), float(np.nanquantile(seen, 0.92))
    thermal = BOLTZMANN_EV * base.temperature
    levels = base.fermi_energy(curves.gates) / thermal
    volts = np.array([turns(curves.v[at], seen[at]) for at in (curves.v_gate == gate for gate in curves.gates)])
    (set_slope, set_0), (reset_slope, reset_0) = (np.polyfit(levels, volts[:, k], 1) for k in (0, 1))
    speed = float(np.abs(np.diff(curves.v)).sum()) / float(times(curves).sum())
    return [
        {"g_min": low, "g_max": high, "v_set": a, "v_reset": b}
        | {"k_set": speed / a * math.exp(-set_0 / a), "k_reset": speed / b * math.exp(-reset_0 / b)}
        | {"beta": -set_slope / a, "beta_reset": -reset_slope / b}
        for a, b in itertools.product(SCALES, repeat=2)
    ]


def _check(curves: Curves) -> None:
    name = "gated_filament"
    one_filament(curves, name)
    times(curves)
    stepped_gate(curves, name, 2)
    if not curves.measured.all():
        raise ParameterError(
            f"{curves.source} holds programmed voltages at a compliance limit, where the cell's own voltage, which "
            f"moves its state, is not known: the law {name} needs measured voltages"
        )
    for gate in curves.gates:
        here = curves.v[curves.v_gate == gate]
        if not (np.any(here > 0.0) and np.any(here < 0.0)):
            raise ParameterError(
                f"{curves.source} holds voltages of one sign at gate voltage {gate:g} V: the law {name} needs a loop "
                "with SET and RESET at every gate voltage"
            )


GATED_FILAMENT = LawToFit(
    name="gated_filament",
    about="the state equation of the gated cell, from loops with SET and RESET at two or more gate voltages: what the "
    "gate does to both; hold what reads have told of the gate and the barrier",
    source="ours; docs/equations/cells.md eq. 12-14",
    parameters=lambda curves: [
        Parameter("g_min", "S", 1e-14, 1.0, "go on until the cell is fully off"),
        Parameter("g_max", "S", 1e-14, 1.0, "go on until the cell is fully on"),
        Parameter("k_set", "1/s", 1e-60, 1e12, "measure loops at a second rate"),
        Parameter("v_set", "V", 5e-3, 2.0, "sample the SET more finely, or measure at a second rate"),
        Parameter("beta", "", -10.0, 10.0, "measure loops at gate voltages further apart", size=1.0),
        Parameter("k_reset", "1/s", 1e-60, 1e12, "measure loops at a second rate"),
        Parameter("v_reset", "V", 5e-3, 2.0, "sample the RESET more finely, or measure at a second rate"),
        Parameter("beta_reset", "", -10.0, 10.0, "measure loops at gate voltages further apart", size=1.0),
    ],
    starts=_starts,
    currents=_currents,
    fixed={"w_start": 0.0}
    | {
        each.name: float(getattr(AdaptiveMemristor(), each.name))
        for each in dataclasses.fields(AdaptiveMemristor)
        if each.name not in FREE
    },
    check=_check,
    in_time=True,
    step=1e-5,
)
