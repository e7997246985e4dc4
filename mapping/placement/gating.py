"""Read gains of gates that scale columns, from attention weights and channel attention."""

import numpy as np

from crossbar.tiles.converters import GateDac
from devices.aliases import FloatArray
from devices.cells.interface import Cell
from mapping.hardware.description import Hardware
from mapping.placement.encoding import gate_floor
from mapping.placement.matrix import Matrix

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


def gains_in_run(nominal: FloatArray, hardware: Hardware) -> FloatArray:
    """Return the read gains at the temperature of the run, at the gate voltages that were chosen for nominal gains.

    The drivers choose voltages for the temperature for which the chip was compiled.
    """
    cell, warm = hardware.cell, hardware.cell_in_run
    if warm is cell or not cell.gated:
        return nominal
    gains = np.asarray(warm.gate_gain(hardware.gate_dac.voltages(nominal, cell)))
    return np.clip(gains, warm.gain_low, warm.gain_high)


def gains_of_images(
    matrix: Matrix, attention: FloatArray | None, scales: FloatArray | None, hardware: Hardware
) -> FloatArray | None:
    """Return the read gains of a matrix' gates, (b, k), or (b, k, n) if its columns have gates; None: held open.

    attention: (b, k) of the layer.  scales: (b, n) factors of the columns.
    """
    if matrix.column_gates and scales is not None:
        weights = None if attention is None else matrix.gate_attention(attention)
        relative = relative_gains(weights, scales, matrix.floor)
        return gains_in_run(column_gains(relative, hardware.gate_dac, hardware.cell), hardware)
    if matrix.gated and attention is not None:
        return gains_in_run(hardware.gate_dac.gains(matrix.gate_attention(attention), hardware.cell), hardware)
    return None
