"""Read gains of gates that scale columns, from attention weights and channel attention."""

import numpy as np

from crossbar.tiles.converters import GateDac
from devices.aliases import FloatArray
from devices.cells.interface import Cell
from mapping.placement.encoding import gate_floor

LEAST_SCALE = 0.1  # smallest calibration factor that the floor of the kernels takes into account, ours


def relative_gains(attention: FloatArray | None, scales: FloatArray, floor: float) -> FloatArray:
    """Return the contribution of each column relative to its full one, (b, k, n).

    attention: (b, k) weights; None: one kernel.  scales: (b, n) channel attention in [0, 1].  floor: relative
    contribution of a kernel with attention weight 0 in a column with scale 1.
    Source: docs/equations/columns.md eq. 3-5.
    """
    if attention is None:
        return scales[:, None, :]
    return (floor + (1.0 - floor) * attention)[:, :, None] * scales[:, None, :]


def kernel_floor(cell: Cell, scales: FloatArray) -> float:
    """Return the floor of mixed kernels at which no calibration image needs a gate below the gate's own floor.

    scales: (b, n) of the calibration images.  Source: docs/equations/columns.md eq. 5.
    """
    return gate_floor(cell) / max(float(scales.min(initial=1.0)), LEAST_SCALE)


def column_gains(relative: FloatArray, dac: GateDac, cell: Cell) -> FloatArray:
    """Return the nominal read gains of the gates for relative contributions in [0, 1], of any shape.

    A gate does not close fully, so a column contributes at least the gate's floor.
    Source: docs/equations/columns.md eq. 3.
    """
    floor = gate_floor(cell)
    return dac.gains((relative - floor) / (1.0 - floor), cell)


def relative_of_images(attention: FloatArray | None, scales: FloatArray, floor: float, cell: Cell) -> FloatArray:
    """Return `relative_gains` clipped to the range of the gates: from the gate's floor to 1."""
    out: FloatArray = np.clip(relative_gains(attention, scales, floor), gate_floor(cell), 1.0)
    return out
