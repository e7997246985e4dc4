"""What sits at a crosspoint: laws, gates, states, spread and noise; knows volt, ampere, siemens and second."""

from devices.cells import AdaptiveMemristor, Cell, Resistor
from devices.errors import ConvergenceError, MappingError, ParameterError, SimulationError
from devices.laws import AdaptiveLaw, Law, OhmicLaw, cell_current
from devices.noise import ReadNoise
from devices.presets import PRESETS
from devices.spread import Spread, Written

__all__ = [
    "PRESETS",
    "AdaptiveLaw",
    "AdaptiveMemristor",
    "Cell",
    "ConvergenceError",
    "Law",
    "MappingError",
    "OhmicLaw",
    "ParameterError",
    "ReadNoise",
    "Resistor",
    "SimulationError",
    "Spread",
    "Written",
    "cell_current",
]
