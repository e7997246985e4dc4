"""What time does to a chip between its writing and its reading."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from devices import checks
from devices.aliases import BoolArray
from devices.cells.interface import Cell
from devices.cells.selected import SelectedCell
from devices.checks import quantity
from devices.writing.retention import retain
from devices.writing.spread import Written


@dataclass(frozen=True)
class Retention:
    """How old a chip is when it is read; docs/equations/programming.md, section 4."""

    age: float = quantity(0.0, "s", minimum=0.0)  #: between writing and reading; calibration knows nothing of it
    relaxation: bool = True  #: whether cells also depart as those of NeuRRAM do; if not they only dissolve

    def __post_init__(self) -> None:
        checks.check_fields(self)

    def aged(self, cell: Cell, written: Written, stuck: BoolArray, rng: np.random.Generator) -> Written:
        """Return what is left of written cells (..., m, n) at the chip's age.

        Cells without a state equation keep what they hold, and stuck ones stay where they are; a selector does nothing
        at rest.  Source: docs/equations/programming.md eq. 7-8.
        """
        inner: Any = cell.cell if isinstance(cell, SelectedCell) else cell
        if self.age == 0.0 or not hasattr(inner, "evolve"):
            return written
        (left,) = retain(inner, written.g_filament, [self.age], rng if self.relaxation else None)
        return Written(np.where(stuck, written.g_filament, left), written.gate_offset)
