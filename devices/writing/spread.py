"""Device-to-device and cycle-to-cycle variability: conductance windows, write errors, gate offsets, stuck cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.aliases import BoolArray, FloatArray, IntArray
from devices.cells.interface import Cell
from devices.checks import array, check_fields, quantity, sizes, whole
from devices.errors import ParameterError


@dataclass(frozen=True, eq=False)
class Written:
    """The result of a write: conductances and gate offsets of an array."""

    g_filament: FloatArray  #: (..., m, n) filament conductance [S]
    gate_offset: FloatArray  #: (..., m, n) shift of the Dirac point [V], the sum of a gate line's and a cell's shift


@dataclass(frozen=True, eq=False)
class DrawnCells:
    """The cells of one fabricated chip: their device-to-device variability, which stays when they are written again."""

    spread: Spread
    cell: Cell  #: the nominal cell
    g_min: FloatArray  #: (..., m, n) lower end of each conductance window [S]
    g_max: FloatArray  #: (..., m, n) upper end of each conductance window [S]
    stuck_on: BoolArray  #: (..., m, n) cells stuck at their g_max
    stuck_off: BoolArray  #: (..., m, n) cells stuck at their g_min
    gate_offset: FloatArray  #: (..., m, n) shift of the Dirac point [V]

    @property
    def stuck(self) -> BoolArray:
        """Cells (..., m, n) that cannot be written."""
        return self.stuck_on | self.stuck_off

    def write(self, g_filament_targets: npt.ArrayLike, rng: np.random.Generator) -> Written:
        """Write targets (..., m, n) [S] and return the result of this write cycle.

        A verified write gives a normally distributed conductance around the target, inside the window that the cell has
        in this cycle.  A write without verification places the cell in that window as the target lies in the nominal
        window.  A stuck cell does not change.
        Raises ParameterError if targets are negative or have another shape than the cells.
        Source: docs/equations/spread.md eq. 3-6.
        """
        targets = array("g_filament_targets", g_filament_targets, minimum=0.0)
        if targets.shape != self.g_min.shape:
            raise ParameterError(f"g_filament_targets must have shape {self.g_min.shape}, got {targets.shape}")
        streams = _generator(rng).spawn(2)
        spread, shape = self.spread, targets.shape
        errors = _normal(rng, spread.write_error * self.cell.g_max, shape)
        low = self.g_min * np.exp(_normal(streams[0], spread.cycle_low_ln_sigma, shape))
        high = np.maximum(self.g_max * (1.0 + _normal(streams[1], spread.cycle_high_cv, shape)), low)
        g = np.clip(targets + errors, low, high) if spread.verified else _placed(self.cell, targets, low, high)
        g = np.where(self.stuck_on, self.g_max, np.where(self.stuck_off, self.g_min, g))
        return Written(g_filament=g, gate_offset=self.gate_offset)


@dataclass(frozen=True)
class Spread:
    """Sizes of the device-to-device and cycle-to-cycle variability; docs/equations/spread.md gives the sources.

    Device-to-device variability is drawn once per chip: the two ends of a cell's conductance window, its gate offset,
    and whether it is stuck.  Cycle-to-cycle variability is drawn at every write: the ends of the window, and the error
    that remains after verification.  The last field is the temperature dependence of the wires; the temperature itself
    is a field of the cell.
    """

    window_low_ln_sigma: float = quantity(0.3, minimum=0.0)  #: std of ln(g_min) from cell to cell, lognormal
    window_high_cv: float = quantity(0.057, minimum=0.0)  #: std over mean of g_max from cell to cell, normal
    write_error: float = quantity(
        0.01, minimum=0.0
    )  #: standard deviation after write-verify, as a fraction of the nominal g_max
    gate_offset_line: float = quantity(0.02, "V", minimum=0.0)  #: standard deviation from gate line to gate line [V]
    gate_offset_cell: float = quantity(0.05, "V", minimum=0.0)  #: standard deviation from cell to cell [V]
    stuck_on: float = quantity(0.005, minimum=0.0, maximum=1.0)  #: fraction of the cells that are stuck at their g_max
    stuck_off: float = quantity(0.015, minimum=0.0, maximum=1.0)  #: fraction of the cells that are stuck at their g_min
    cycle_low_ln_sigma: float = quantity(0.0, minimum=0.0)  #: std of ln(g_min) of a cell from write to write, lognormal
    cycle_high_cv: float = quantity(0.0, minimum=0.0)  #: std over mean of g_max of a cell from write to write, normal
    verified: bool = True  #: whether writes are verified; if not, write_error does not apply
    wire_temperature_coefficient: float = quantity(4.5e-3, "1/K")  #: of wire resistance, from 300 K [1/K]

    def __post_init__(self) -> None:
        check_fields(self)
        if self.stuck_on + self.stuck_off > 1.0:
            raise ParameterError(f"stuck_on + stuck_off must be ≤ 1, got {self.stuck_on + self.stuck_off:g}")

    @classmethod
    def none(cls) -> Spread:
        """Return a Spread without variability: every target inside the nominal window is written exactly."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    def draw(
        self, cell: Cell, shape: tuple[int, ...], rng: np.random.Generator, lines: int | IntArray = 1
    ) -> DrawnCells:
        """Draw the cells of a chip of the given shape (..., m, n); leading axes count arrays.

        lines: number of gate lines of an array, in bands of m / lines rows, or an integer array (m, n) with the number
        of each cell's gate line, from 0.  Each effect draws from its own child of rng, so that switching one off
        changes no other.  Raises ParameterError if the shape has fewer than two axes or does not fit lines.
        Source: docs/equations/spread.md eq. 1-2 and 6-7.
        """
        return self._drawn(cell, sizes("shape", shape), _generator(rng).spawn(6), lines)

    def write(
        self,
        cell: Cell,
        g_filament_targets: npt.ArrayLike,
        rng: np.random.Generator,
        lines: int | IntArray = 1,
    ) -> Written:
        """Draw cells and write targets (..., m, n) [S] into them once; use `draw` to write the same cells repeatedly.

        lines: as for draw.  Raises ParameterError if targets are negative, have fewer than two axes, or do not fit
        lines.  Source: docs/equations/spread.md eq. 1-7.
        """
        targets = array("g_filament_targets", g_filament_targets, minimum=0.0)
        streams = _generator(rng).spawn(6)
        return self._drawn(cell, targets.shape, streams, lines).write(targets, streams[2])

    def _drawn(
        self, cell: Cell, shape: tuple[int, ...], streams: list[np.random.Generator], lines: int | IntArray
    ) -> DrawnCells:
        """The cells drawn from six random streams; the third stream is reserved for the first write."""
        if not (hasattr(cell, "g_min") and hasattr(cell, "g_max")):
            raise ParameterError(f"cell must be a cell of devices, such as AdaptiveMemristor(), got {cell!r}")
        if len(shape) < 2:
            raise ParameterError(f"g_filament_targets must have at least 2 axes (rows, columns), got {shape}")
        line_of = _line_map(lines, shape[-2], shape[-1])
        low = cell.g_min * np.exp(_normal(streams[0], self.window_low_ln_sigma, shape))
        high = np.maximum(cell.g_max * (1.0 + _normal(streams[1], self.window_high_cv, shape)), low)
        draw = streams[3].random(shape) if self.stuck_on or self.stuck_off else np.full(shape, 0.5)
        on = draw < self.stuck_on if self.stuck_on else np.zeros(shape, dtype=np.bool_)
        off = draw >= 1.0 - self.stuck_off if self.stuck_off else np.zeros(shape, dtype=np.bool_)
        shared = _normal(streams[4], self.gate_offset_line, (*shape[:-2], int(line_of.max(initial=0)) + 1))
        offset = shared[..., line_of] + _normal(streams[5], self.gate_offset_cell, shape)
        return DrawnCells(self, cell, low, high, on, off & ~on, offset)


def _generator(rng: np.random.Generator) -> np.random.Generator:
    """Return rng; raise ParameterError if it is no Generator."""
    if not isinstance(rng, np.random.Generator):
        raise ParameterError(f"rng must be a numpy.random.Generator, got {rng!r}")
    return rng


def _placed(cell: Cell, targets: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the conductances [S] that lie in the windows low to high as the targets lie in the nominal window.

    Positions are logarithmic, or linear if the nominal g_min is 0.

    Source: docs/equations/spread.md eq. 5.
    """
    inside = np.clip(targets, cell.g_min, cell.g_max)
    if cell.g_min > 0.0:
        place = np.log(inside / cell.g_min) / np.log(cell.g_max / cell.g_min)
        result: FloatArray = low * (high / low) ** place
    else:
        result = low + (high - low) * inside / cell.g_max
    return result


def _normal(rng: np.random.Generator, sigma: float, shape: tuple[int, ...]) -> FloatArray:
    """Return normal numbers of mean 0; for sigma = 0 no random numbers are drawn."""
    return sigma * rng.standard_normal(shape) if sigma else np.zeros(shape)


def _line_map(lines: int | IntArray, rows: int, columns: int) -> IntArray:
    """Return the gate line of each cell, (m, n)."""
    if isinstance(lines, np.ndarray) and lines.ndim:
        if lines.dtype.kind not in "iu" or lines.shape != (rows, columns) or lines.min(initial=0) < 0:
            raise ParameterError(
                f"lines must be a number or an array of whole numbers ≥ 0 of shape ({rows}, {columns}), "
                f"got {lines.dtype} {lines.shape}"
            )
        return lines.astype(np.int64)
    count = whole("lines", lines, minimum=1)
    if rows % count:
        raise ParameterError(f"lines must divide the number of rows = {rows}, got {count}")
    bands = np.arange(rows, dtype=np.int64) // (rows // count) if rows else np.zeros(0, dtype=np.int64)
    return np.repeat(bands[:, None], columns, axis=1)
