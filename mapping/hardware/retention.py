"""Retention: the change of a chip's conductances between writing and reading."""

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
    """Age of a chip when it is read; docs/equations/programming.md, section 4."""

    age: float = quantity(0.0, "s", minimum=0.0)  #: time from writing to reading; calibration ignores it
    relaxation: bool = True  #: conductances also relax at random, as NeuRRAM's do; False: filaments only dissolve

    def __post_init__(self) -> None:
        checks.check_fields(self)

    def aged(self, cell: Cell, written: Written, stuck: BoolArray, rng: np.random.Generator) -> Written:
        """Return written cells (..., m, n) at the chip's age.

        Cells without a state equation and stuck cells do not change; a selector has no effect at rest.
        Source: docs/equations/programming.md eq. 7-8.
        """
        inner: Any = cell.cell if isinstance(cell, SelectedCell) else cell
        if self.age == 0.0 or not hasattr(inner, "evolve"):
            return written
        (left,) = retain(inner, written.g_filament, [self.age], rng if self.relaxation else None)
        return Written(np.where(stuck, written.g_filament, left), written.gate_offset)
