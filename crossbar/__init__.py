"""Arrays of cells: wires, solvers, netlists; volts in, amperes out. Knows devices, and nothing of what is computed."""

from crossbar.reference import reference_solve
from crossbar.solution import Solution
from crossbar.spice import read_spice, run_ngspice, to_spice
from crossbar.wires import Wires

__all__ = ["Solution", "Wires", "read_spice", "reference_solve", "run_ngspice", "to_spice"]
