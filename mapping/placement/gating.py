"""Gains of gates that scale columns: attention and scales become what each column contributes."""

import numpy as np

from crossbar.tiles.converters import GateDac
from devices.aliases import FloatArray
from devices.cells.interface import Cell
from mapping.placement.encoding import gate_floor

LEAST_SCALE = 0.1  # smallest number of the calibration that kernels make room for below, ours


def relative_gains(shares: FloatArray | None, scales: FloatArray, floor: float) -> FloatArray:
    """Return what each column counts of its full contribution: (b, k, n) from shares (b, k) and scales (b, n).

    floor: what a kernel of share 0 counts in a column of scale 1.  Source: docs/equations/columns.md eq. 3-5.
    """
    if shares is None:
        return scales[:, None, :]
    return (floor + (1.0 - floor) * shares)[:, :, None] * scales[:, None, :]


def kernel_floor(cell: Cell, scales: FloatArray) -> float:
    """Return the floor that kernels of shares of sum 1 get, so that the gates of no calibration image end below.

    scales: (b, n) of the calibration.  Source: docs/equations/columns.md eq. 5.
    """
    return gate_floor(cell) / max(float(scales.min(initial=1.0)), LEAST_SCALE)


def column_gains(relative: FloatArray, dac: GateDac, cell: Cell) -> FloatArray:
    """Return the nominal read gains that the gates arrive at, for what columns are to count in [0, 1].

    A gate does not close entirely: below its floor a column stays at the floor.
    Source: docs/equations/columns.md eq. 3.
    """
    floor = gate_floor(cell)
    return dac.gains((relative - floor) / (1.0 - floor), cell)


def relative_of_images(shares: FloatArray | None, scales: FloatArray, floor: float, cell: Cell) -> FloatArray:
    """Return `relative_gains` as gates let them be: between the gate's floor and 1."""
    out: FloatArray = np.clip(relative_gains(shares, scales, floor), gate_floor(cell), 1.0)
    return out
