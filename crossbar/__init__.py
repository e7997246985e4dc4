"""Arrays of cells on real wires: volts in, amperes out; with converters, codes in, codes out."""

from crossbar.activity import Activity
from crossbar.array import Array
from crossbar.differential import interleave, opposed, pair_transfer
from crossbar.family import Family, GainNodes, GateNodes, transfer_family
from crossbar.gates import GateLines, GateNetwork, GateVoltages, gate_voltages, reference_gates
from crossbar.injection import inject
from crossbar.interior import Interior
from crossbar.newton import solve
from crossbar.periphery import Adc, Dac, GateDac
from crossbar.programming import ArrayProgrammed, Bias, write_array
from crossbar.reduction import Multiport, reduce_array, transfer_matrices, transfer_matrix
from crossbar.reference import reference_solve, reference_source_lines
from crossbar.sensitivity import Sensitivity, WireSlopes, sensitivity
from crossbar.settling import (
    Capacitances,
    Settling,
    gate_settling,
    gate_transient,
    settling,
    transient,
    worst_settling,
)
from crossbar.solution import Solution
from crossbar.source_lines import solve_source_lines, switched
from crossbar.spice import run_ngspice, source_lines_to_spice, to_spice
from crossbar.stacked import StackedFamily, stacked_family
from crossbar.tile import Tile
from crossbar.wires import Wires

__all__ = [
    "Activity",
    "Adc",
    "Array",
    "ArrayProgrammed",
    "Bias",
    "Capacitances",
    "Dac",
    "Family",
    "GainNodes",
    "GateDac",
    "GateLines",
    "GateNetwork",
    "GateNodes",
    "GateVoltages",
    "Interior",
    "Multiport",
    "Sensitivity",
    "Settling",
    "Solution",
    "StackedFamily",
    "Tile",
    "WireSlopes",
    "Wires",
    "gate_settling",
    "gate_transient",
    "gate_voltages",
    "inject",
    "interleave",
    "opposed",
    "pair_transfer",
    "reduce_array",
    "reference_gates",
    "reference_solve",
    "reference_source_lines",
    "run_ngspice",
    "sensitivity",
    "settling",
    "solve",
    "solve_source_lines",
    "source_lines_to_spice",
    "stacked_family",
    "switched",
    "to_spice",
    "transfer_family",
    "transfer_matrices",
    "transfer_matrix",
    "transient",
    "worst_settling",
    "write_array",
]
