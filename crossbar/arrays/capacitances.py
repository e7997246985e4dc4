"""Capacitances of an array's wires, cells and terminals."""

from dataclasses import dataclass

import numpy as np

from devices import checks
from devices.aliases import FloatArray


@dataclass(frozen=True)
class Capacitances:
    """Capacitances of an array and its gate lines; 0 means no capacitor.

    Source of the defaults: lines of 0.2 fF/µm (NeuroSim V1.3, SubArray.cpp) at a pitch of 80 nm (ours), and a gate
    dielectric of 20 nm of h-BN, 0.155 µF/cm², over the whole pitch.
    """

    #: from each row node to ground, for one segment of the row [F]
    c_row: float = checks.quantity(1.6e-17, "F", minimum=0.0)
    #: from each column node to ground, for one segment of the column [F]
    c_column: float = checks.quantity(1.6e-17, "F", minimum=0.0)
    #: across each cell, between row and column node [F]
    c_cell: float = checks.quantity(0.0, "F", minimum=0.0)
    #: at the first node of each row: output of its driver [F]
    c_driver: float = checks.quantity(0.0, "F", minimum=0.0)
    #: at the last node of each column: input of its sense circuit [F]
    c_sense: float = checks.quantity(0.0, "F", minimum=0.0)
    #: gate of each cell to ground [F]; node voltages of the array are taken as constant while gates settle
    c_gate: float = checks.quantity(9.9e-18, "F", minimum=0.0)
    #: from each gate node to ground, for one segment of the gate line [F]
    c_gate_line: float = checks.quantity(1.6e-17, "F", minimum=0.0)

    def __post_init__(self) -> None:
        checks.check_fields(self)

    def at_rows(self, shape: tuple[int, int]) -> FloatArray:
        """Return the capacitances (m, n) [F] from row nodes to ground."""
        farads = np.full(shape, self.c_row)
        farads[:, 0] += self.c_driver
        return farads

    def at_columns(self, shape: tuple[int, int]) -> FloatArray:
        """Return the capacitances (m, n) [F] from column nodes to ground."""
        farads = np.full(shape, self.c_column)
        farads[-1] += self.c_sense
        return farads

    @property
    def at_gate(self) -> float:
        """Capacitance of each gate node to ground [F]."""
        return self.c_gate + self.c_gate_line
