"""Differences between cells: windows, write errors, gate offsets and stuck cells, drawn when an array is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray, IntArray
from devices.cells import Cell
from devices.checks import array, check_fields, quantity, whole
from devices.errors import ParameterError


@dataclass(frozen=True, eq=False)
class Written:
    """What a write leaves in an array."""

    g_filament: FloatArray  #: (..., m, n) filament conductance [S]
    gate_offset: FloatArray  #: (..., m, n) shift of the Dirac point [V]: part of the gate line + part of the cell


@dataclass(frozen=True)
class Spread:
    """Sizes of the differences between cells; docs/equations/cells.md section 5, sources there."""

    window_low_ln_sigma: float = quantity(0.3, minimum=0.0)  #: of ln(g_min) of a cell, lognormal
    window_high_cv: float = quantity(0.057, minimum=0.0)  #: standard deviation over mean of g_max of a cell, normal
    write_error: float = quantity(
        0.01, minimum=0.0
    )  #: standard deviation after write-verify, part of the nominal g_max
    gate_offset_line: float = quantity(0.02, "V", minimum=0.0)  #: standard deviation shared by a gate line [V]
    gate_offset_cell: float = quantity(0.05, "V", minimum=0.0)  #: standard deviation of each cell [V]
    stuck_on: float = quantity(0.005, minimum=0.0, maximum=1.0)  #: part of the cells that sit at their g_max
    stuck_off: float = quantity(0.015, minimum=0.0, maximum=1.0)  #: part of the cells that sit at their g_min

    def __post_init__(self) -> None:
        check_fields(self)
        if self.stuck_on + self.stuck_off > 1.0:
            raise ParameterError(f"stuck_on + stuck_off must be ≤ 1, got {self.stuck_on + self.stuck_off:g}")

    @classmethod
    def none(cls) -> Spread:
        """Return perfect cells: every target inside the nominal window is met."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    def write(
        self,
        cell: Cell,
        g_filament_targets: npt.ArrayLike,
        rng: np.random.Generator,
        lines: int | IntArray = 1,
    ) -> Written:
        """Write targets (..., m, n) [S] and return what the cells hold; leading axes count arrays of their own.

        A write lands normally about its target, then within the cell's own window; a stuck cell takes no write.
        lines: number of gate lines of an array, as bands of m / lines rows, or an integer array (m, n) that names the
        gate line of each cell from 0 on.  Each effect draws from its own child of rng, so switching one off changes no
        other.  Raises ParameterError if targets are negative, have fewer than two axes, or do not fit lines.
        Source: docs/equations/cells.md eq. 16-19.
        """
        targets = array("g_filament_targets", g_filament_targets, minimum=0.0)
        if targets.ndim < 2:
            raise ParameterError(f"g_filament_targets must have at least 2 axes (rows, columns), got {targets.shape}")
        if not isinstance(rng, np.random.Generator):
            raise ParameterError(f"rng must be a numpy.random.Generator, got {rng!r}")
        line_of = _line_map(lines, targets.shape[-2], targets.shape[-1])
        streams = rng.spawn(6)
        shape = targets.shape

        low = cell.g_min * np.exp(_normal(streams[0], self.window_low_ln_sigma, shape))
        high = np.maximum(cell.g_max * (1.0 + _normal(streams[1], self.window_high_cv, shape)), low)
        g = np.clip(targets + _normal(streams[2], self.write_error * cell.g_max, shape), low, high)
        if self.stuck_on or self.stuck_off:
            draw = streams[3].random(shape)
            g = np.where(draw < self.stuck_on, high, np.where(draw >= 1.0 - self.stuck_off, low, g))

        shared = _normal(streams[4], self.gate_offset_line, (*shape[:-2], int(line_of.max(initial=0)) + 1))
        offset = shared[..., line_of] + _normal(streams[5], self.gate_offset_cell, shape)
        return Written(g_filament=g, gate_offset=offset)


def _normal(rng: np.random.Generator, sigma: float, shape: tuple[int, ...]) -> FloatArray:
    """Return normal numbers of mean 0; none are drawn for sigma = 0."""
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
