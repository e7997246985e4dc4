"""Retention: the change of a chip's conductances between writing and reading, by time and by reads."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from devices import checks
from devices.aliases import BoolArray
from devices.cells.interface import Cell
from devices.cells.selected import SelectedCell
from devices.checks import quantity
from devices.errors import ParameterError
from devices.writing.read_disturb import Stress, disturb
from devices.writing.retention import relax, retain
from devices.writing.spread import Written

ADJUSTED = ("new", "aged")  #: when the digital scales and shifts of the outputs are fitted


@dataclass(frozen=True)
class Retention:
    """Age of a chip when it is read; docs/equations/programming.md, section 4, and docs/equations/disturb.md."""

    age: float = quantity(0.0, "s", minimum=0.0)  #: time from writing to the run
    relaxation: bool = True  #: conductances also relax at random, as NeuRRAM's do; False: filaments only dissolve
    images: float = quantity(0.0, minimum=0.0)  #: images that the chip has read between writing and the run
    rate: float = quantity(0.0, "1/s", minimum=0.0)  #: images read per second of `age`, in addition to `images`
    temperature: float = quantity(0.0, "K", minimum=0.0)  #: from writing to the run; 0: cell.temperature
    run_temperature: float = quantity(0.0, "K", minimum=0.0)  #: of the run; 0: cell.temperature
    adjusted: str = "new"  #: one of ADJUSTED: outputs are adjusted once after writing, or again before the run
    refresh_images: float = quantity(0.0, minimum=0.0)  #: images after which all cells are written again; 0: never
    #: mean change of the cells of a layer, relative to g_max, at which reads have all cells written again; 0: never
    refresh_change: float = quantity(0.0, minimum=0.0, maximum=1.0)
    refresh_time: float = quantity(0.0, "s", minimum=0.0)  #: time after which all cells are written again; 0: never

    def __post_init__(self) -> None:
        checks.check_fields(self)
        if self.adjusted not in ADJUSTED:
            raise ParameterError(f"retention.adjusted must be one of {', '.join(ADJUSTED)}, got {self.adjusted!r}")

    @property
    def since_writing(self) -> tuple[float, float]:
        """Time [s] and number of images since the cells were last written, at most one period of refreshing.

        What `refresh_change` asks for depends on the network: mapping.chips.read_limits.retention_in_use.
        """
        images, share = self.images + self.rate * self.age, 1.0
        if self.refresh_images and images > self.refresh_images:
            share = self.refresh_images / images
        if self.refresh_time and self.age > self.refresh_time:
            share = min(share, self.refresh_time / self.age)
        return share * self.age, share * images

    @property
    def changes(self) -> bool:
        """Whether the chip of the run differs from the chip just written."""
        return any(self.since_writing) or self.run_temperature > 0.0

    def aged(
        self, cell: Cell, written: Written, stuck: BoolArray, rng: np.random.Generator, stress: Stress | None = None
    ) -> Written:
        """Return written cells (…, m, n) as the run finds them.

        stress: of the reads of one image; its times broadcast to the cells.  None: the cells are not read.
        Cells without a state equation and stuck cells do not change.
        Source: docs/equations/programming.md eq. 7-8, docs/equations/disturb.md eq. 1-2.
        """
        inner: Any = cell.cell if isinstance(cell, SelectedCell) else cell
        time, images = self.since_writing
        if not (time or images) or not hasattr(inner, "evolve"):
            return written
        warm = self.temperature or None
        if images and stress is not None:
            repeated = stress.repeated(images, time)
            left = disturb(inner, written.g_filament, repeated, written.gate_offset, temperature=warm)
        else:
            (left,) = retain(inner, written.g_filament, [time], temperature=warm)
        if self.relaxation and time:
            (left,) = relax(inner, written.g_filament, left[None], [time], rng)
        return Written(np.where(stuck, written.g_filament, left), written.gate_offset)
