"""An array of written cells, without wires and voltages.

b = batch, m = rows, n = columns
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.cells.interface import Cell
from devices.checks import conductances, voltages
from devices.errors import ParameterError
from devices.laws import dispatch


@dataclass(frozen=True, eq=False, repr=False)
class Array:
    """Cells of one type with written filament conductances and gate offsets; an array of Resistor is linear.

    Raises ParameterError for a wrong shape or value, or a cell whose law is not registered.
    """

    #: the cell model, any cell of `devices`
    cell: Cell
    #: (m, n) filament conductances [S], at least 0; they may lie outside the cell's window
    g_filament: FloatArray
    #: shift of each cell's Dirac point [V], (m, n) or one value for all cells
    gate_offset: FloatArray | float = 0.0

    def __post_init__(self) -> None:
        if not hasattr(self.cell, "law") or not hasattr(self.cell, "gain_with_offset"):
            raise ParameterError(f"cell must be a cell of devices, such as AdaptiveMemristor(), got {self.cell!r}")
        dispatch.law_gain(self.cell.law, 0.0)  # raises for a law that is not registered
        g = conductances("g_filament", self.g_filament)
        offset = voltages("gate_offset", self.gate_offset)
        if offset.shape not in ((), g.shape):
            raise ParameterError(f"gate_offset must be one value or have shape {g.shape}, got {offset.shape}")
        for name, value in (("g_filament", g), ("gate_offset", offset)):
            own = value.copy()
            own.setflags(write=False)
            object.__setattr__(self, name, own if own.ndim else float(own))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        m, n = self.g_filament.shape
        return m, n

    def gain(self, v_gate: npt.ArrayLike | None = None, inputs: int = 1) -> FloatArray:
        """Return the read gains (1, m, n), or (inputs, m, n) where v_gate differs between the inputs.

        v_gate: [V] one value, two axes that broadcast to (m, n), or three that broadcast to (inputs, m, n); None for
        cells without a gate.
        Raises ParameterError for another shape, or if the cells have a gate and v_gate is missing.
        """
        if v_gate is None:
            if self.cell.gated:
                raise ParameterError(f"v_gate must be given: {type(self.cell).__name__} has a gate")
            v_gate = 0.0
        volts = voltages("v_gate", v_gate)
        wanted = (inputs, *self.shape)
        fits = volts.ndim in (0, 2, 3) and all(
            mine in (1, whole) for mine, whole in zip(volts.shape[::-1], wanted[::-1], strict=False)
        )
        if not fits:
            m, n = self.shape
            raise ParameterError(
                f"v_gate must be one value or broadcast to (m, n) = ({m}, {n}) or (b, m, n) = ({inputs}, {m}, {n}), "
                f"got shape {volts.shape}"
            )
        if volts.ndim < 3:
            volts = volts[None] if volts.ndim == 2 else volts.reshape(1, 1, 1)
        gains = self.cell.gain_with_offset(volts, self.gate_offset)
        spread: FloatArray = np.broadcast_to(gains, (len(volts), *self.shape)).copy()
        return spread

    def __repr__(self) -> str:
        m, n = self.shape
        offset = f"{self.gate_offset!r}" if isinstance(self.gate_offset, float) else "one per cell"
        return f"<Array of {m} × {n} {self.cell!r}, gate_offset {offset}>"
