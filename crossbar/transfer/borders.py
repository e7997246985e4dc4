"""The wires of an array as the reduction needs them: half segments at cuts, and ends at the border."""

from typing import NamedTuple

import numpy as np

from crossbar.arrays.wires import Wires
from crossbar.transfer.merge_plan import Ends
from devices.aliases import FloatArray


class Border(NamedTuple):
    """Resistances of the wires of an m × n array, for the kernels of the reduction [ohm].

    A cut between two blocks halves the segments that it crosses.
    """

    half_rows: FloatArray  #: (m, n-1) halves of the row segments, or (1, 1) if all segments are equal
    half_columns: FloatArray  #: (m-1, n) halves of the column segments, or (1, 1) if all segments are equal
    left: FloatArray  #: (m,) ends at column 0
    right: FloatArray  #: (m,) ends at the last column
    top: FloatArray  #: (n,) ends at row 0
    bottom: FloatArray  #: (n,) ends at the last row


def parallel(a: FloatArray, b: FloatArray) -> FloatArray:
    """Resistance of two resistors in parallel [ohm]; 0 and inf are exact."""
    with np.errstate(divide="ignore"):
        total: FloatArray = 1.0 / (1.0 / a + 1.0 / b)
    return total


def border(wires: Wires, m: int, n: int) -> tuple[Border, Ends]:
    """Return the resistances of the wires of an m × n array, and the topology of its ends.

    Both ends of a line with one node are combined where necessary.  If lines have 0 Ω segments, their ends are left out
    here and connected after the reduction.
    """
    left, right = wires.driver(m), wires.driver_far(m)
    bottom, top = wires.sense(n), wires.sense_far(n)
    joined_row, joined_column = wires.rows_joined and n > 1, wires.columns_joined and m > 1
    if n == 1:
        left, right = parallel(left, right), np.full(m, np.inf)
    if m == 1 and np.any((bottom == 0.0) & (top == 0.0)):
        bottom, top = parallel(bottom, top), np.full(n, np.inf)
    if joined_row:
        left, right = np.zeros(m), np.full(m, np.inf)
    if joined_column:
        bottom, top = np.zeros(n), np.full(n, np.inf)
    ends = Ends(bool(np.isfinite(right).any()), bool(np.isfinite(top).any()), joined_row, joined_column)
    half_rows, half_columns = (
        np.full((1, 1), each / 2) if isinstance(each, float) else segments(m, n) / 2
        for each, segments in ((wires.r_row, wires.row_segments), (wires.r_column, wires.column_segments))
    )
    return Border(half_rows, half_columns, left.copy(), right.copy(), top.copy(), bottom.copy()), ends
