"""The wires of a chip's tiles: those of the largest array, of which smaller ones take the part that they cover."""

from dataclasses import dataclass

import numpy as np

from crossbar.arrays.wires import Wires
from devices.aliases import FloatArray
from devices.checks import array, whole
from devices.errors import ParameterError

MOST_LINES = 2**20  # of an array, ours


@dataclass(frozen=True, eq=False, repr=False)
class TileWires(Wires):
    """Wires given for the largest array, M rows and N columns; an array of m × n cells lies next to its near ends.

    It takes the last m rows, next to the sense ends, and the first n columns, next to the drivers, so row i of the
    array is row M - m + i here. Besides the shapes of Wires, r_row may have one value for each segment from the drivers
    on, (N-1,), the same in all rows, and r_column one for each segment down to the sense ends, (M-1,), the same in all
    columns.
    Raises ParameterError for a negative or undefined value; solvers do for an array that is larger.
    """

    def __post_init__(self) -> None:
        lines = {}
        for name in ("r_row", "r_column"):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple, np.ndarray)):
                continue
            own = array(name, value, minimum=0.0, finite=False)
            if own.ndim == 1:
                object.__setattr__(self, name, own[None])
                lines[name] = own.size
        super().__post_init__()
        for name in lines:
            own = getattr(self, name)[0].copy()
            own.setflags(write=False)
            object.__setattr__(self, name, own)

    def of_array(self, m: int, n: int) -> Wires:
        """Return the wires of an array of m × n cells with exactly its segments and ends.

        Raises ParameterError if the array is larger than the largest one.
        """
        m, n = (whole(name, count, minimum=1, maximum=MOST_LINES) for name, count in (("m", m), ("n", n)))
        row = self.r_row if isinstance(self.r_row, float) else self.row_segments(m, n)
        column = self.r_column if isinstance(self.r_column, float) else self.column_segments(m, n)
        ends = (("r_driver", m), ("r_sense", n), ("r_driver_far", m), ("r_sense_far", n))
        own = (getattr(self, name) for name, _ in ends)
        near = (
            each if isinstance(each, float) else self._lines(name, count, "lines")
            for each, (name, count) in zip(own, ends, strict=True)
        )
        return Wires(row, column, *near)

    def _each_segment(self, name: str, shape: tuple[int, int], what: str) -> FloatArray:
        """Field `name` with one value per segment of an array, cut to those next to its drivers and sense ends."""
        value = getattr(self, name)
        if isinstance(value, float):
            return np.full(shape, value)
        along = 1 if name == "r_row" else 0  # axis of the segments of one line
        whole = value if value.ndim == 2 else np.expand_dims(value, 1 - along)
        lines = shape[1 - along] if value.ndim == 1 else whole.shape[1 - along]
        held = [lines, lines]
        held[along] = whole.shape[along]
        if held[0] < shape[0] or held[1] < shape[1]:
            raise ParameterError(f"{name} has shape {value.shape}, but {what} have segments of shape {shape}")
        near = np.broadcast_to(whole, held)[held[0] - shape[0] :, : shape[1]]
        return np.array(near)

    def _lines(self, name: str, count: int, kind: str) -> FloatArray:
        """Field `name` with one value per line of an array: the last rows, the first columns."""
        value = getattr(self, name)
        if isinstance(value, float) or value.size <= count:
            return super()._lines(name, count, kind)
        return np.array(value[value.size - count :] if name.startswith("r_driver") else value[:count])
