"""What sits at a crosspoint: laws, gates, states, spread and noise; knows volt, ampere, siemens and second."""

from devices.cells import AdaptiveMemristor, Cell, Resistor
from devices.errors import ConvergenceError, MappingError, ParameterError, SimulationError
from devices.laws import AdaptiveLaw, Law, OhmicLaw, cell_current
from devices.noise import ReadNoise
from devices.presets import PRESETS
from devices.programming import (
    Programmed,
    WriteVerify,
    levels,
    neurram_error,
    published_error,
    quantise,
    retain,
    write_verify,
)
from devices.published import StanfordPku, Vteam
from devices.selector import SelectedCell, SelectorLaw
from devices.spread import DrawnCells, Spread, Written
from devices.tabulated import Tabulated, TabulatedLaw
from devices.telegraph import Traps
from devices.waveforms import Trace, Waveform, pulses, simulate, sweep

__all__ = [
    "PRESETS",
    "AdaptiveLaw",
    "AdaptiveMemristor",
    "Cell",
    "ConvergenceError",
    "DrawnCells",
    "Law",
    "MappingError",
    "OhmicLaw",
    "ParameterError",
    "Programmed",
    "ReadNoise",
    "Resistor",
    "SelectedCell",
    "SelectorLaw",
    "SimulationError",
    "Spread",
    "StanfordPku",
    "Tabulated",
    "TabulatedLaw",
    "Trace",
    "Traps",
    "Vteam",
    "Waveform",
    "WriteVerify",
    "Written",
    "cell_current",
    "levels",
    "neurram_error",
    "published_error",
    "pulses",
    "quantise",
    "retain",
    "simulate",
    "sweep",
    "write_verify",
]
