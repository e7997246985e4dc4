"""What a solver gives back."""

from dataclasses import dataclass

from devices.aliases import FloatArray


@dataclass(frozen=True, eq=False)
class Solution:
    """Currents and voltages of one array for a batch of inputs (docs/equations/nodal.md, sections 3 and 4)."""

    #: (b, n) everything that each column delivers to what it is sensed at, through its near and its far end [A]
    currents: FloatArray
    #: (b, m, n) voltages of the row nodes [V]
    v_rows: FloatArray
    #: (b, m, n) voltages of the column nodes [V]
    v_columns: FloatArray
    #: (b,) what all terminals deliver, which is what the array and its wires turn into heat [W]
    power: FloatArray
    #: largest violation of Kirchhoff's current law at a node, relative to the largest branch current of the same input
    residual: float
    #: Newton steps of the slowest input; 0 for a linear circuit, which needs none
    steps: int = 0
    #: (b, steps + 1) residuals of each input before its first and after each step, nan once solved; None if linear
    history: FloatArray | None = None
