"""Voltages and conductances that no cell has: the unit of a column is wrong."""

import numpy as np

from devices.errors import ParameterError
from devices.measurements.measured_points import Curves

LARGEST_CONDUCTANCE = 1.0  # [S] of a filament
LEAST_CONDUCTANCE = 1e-13  # [S]
LEAST_VOLTAGE = 1e-4  # [V] that the largest of a curve is at least, ours: analysers resolve microvolts
LARGEST_VOLTAGE = 100.0  # [V] beyond which an exponential law of a cell says nothing, ours


def refuse_signs(curves: Curves) -> None:
    """Raise ParameterError if most readings, or all of a filament, have not the sign of their voltage."""
    right = curves.measured & (curves.current * curves.v > 0.0)
    wrong = curves.current * curves.v < 0.0
    if np.mean(wrong) > 0.5:
        raise ParameterError(
            f"{curves.source}: current and voltage differ in sign in {np.count_nonzero(wrong)} of {wrong.size} points"
        )
    for state in range(curves.states):
        if not right[curves.state == state].any():
            raise ParameterError(f"{curves.source}: no reading of filament {state} has the sign of its voltage")


def refuse_units(curves: Curves) -> None:
    """Raise ParameterError if voltages or conductances are beyond those of any cell."""
    most = float(np.abs(curves.v).max())
    if most < LEAST_VOLTAGE:
        raise ParameterError(
            f"{curves.source} has voltages up to {most:.3g} V only, less than {LEAST_VOLTAGE:g} V; is the unit of the "
            "voltage right?"
        )
    if most > LARGEST_VOLTAGE:
        raise ParameterError(
            f"{curves.source} has voltages up to {most:.3g} V, beyond the {LARGEST_VOLTAGE:g} V of a cell; is the unit "
            "of the voltage right?"
        )
    with np.errstate(over="ignore"):  # infinite is too large as well
        seen = np.abs(curves.current / curves.v)
    largest, usual = float(np.quantile(seen, 0.98)), float(np.quantile(seen, 0.9))
    if largest > LARGEST_CONDUCTANCE or (0.0 < usual < LEAST_CONDUCTANCE):
        raise ParameterError(
            f"{curves.source} has conductances of {usual:.3g} to {largest:.3g} S, where a cell has "
            f"{LEAST_CONDUCTANCE:g} to {LARGEST_CONDUCTANCE:g} S; are the units of current and voltage right?"
        )
