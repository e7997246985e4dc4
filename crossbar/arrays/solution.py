"""The result of a solver."""

from dataclasses import dataclass

from devices.aliases import FloatArray


@dataclass(frozen=True, eq=False)
class Solution:
    """Currents and voltages of one array for a batch of inputs (docs/equations/nodal.md, sections 3 and 4)."""

    #: (b, n) total current that each column delivers through its near and its far end [A]
    currents: FloatArray
    #: (b, m, n) voltages of the row nodes [V]
    v_rows: FloatArray
    #: (b, m, n) voltages of the column nodes [V]
    v_columns: FloatArray
    #: (b,) power that all terminals deliver, equal to the heat in cells and wires [W]
    power: FloatArray
    #: largest violation of Kirchhoff's current law at a node, relative to the largest branch current of the same input
    residual: float
    #: Newton steps of the slowest input; 0 for a linear circuit
    steps: int = 0
    #: (b, steps + 1) residuals of each input before the first and after each step, NaN once solved; None if linear
    history: FloatArray | None = None
