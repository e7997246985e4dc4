"""What one matrix does for a batch of images: additions, multiplications, buffer bits, gate switching and writes."""

from crossbar.tiles.activity import Activity
from devices.aliases import FloatArray
from mapping.hardware.description import Hardware
from mapping.placement.matrix import Matrix


def rewriting(matrix: Matrix, images: int) -> Activity:
    """Count what mixing kernels digitally and writing the mixture takes; weights have 8 bits in a buffer."""
    k, r, n = matrix.conductances.shape[0], matrix.conductances.shape[1], matrix.conductances.shape[2] // 2
    weights = float(images * r * n)
    return Activity(
        additions=(k - 1) * weights,
        multiplications=k * weights,
        buffer_bits=8.0 * k * weights,
        cell_writes=2.0 * weights * matrix.copies,
    )


def gate_activity(matrix: Matrix, gains: FloatArray, hardware: Hardware) -> Activity:
    """Count gate lines and the squares of their swings for gains (b, k), or (b, k, n) where columns have gates."""
    cell = hardware.cell
    squares = (hardware.gate_dac.voltages(gains, cell) - cell.v_gate_min) ** 2
    if matrix.column_gates:
        rows = {tile.rows.start: tile.shape[0] for tile in matrix.tiles}
        lines, swing = float(gains.size * len(rows)), 2.0 * sum(rows.values()) * float(squares.sum())
    else:
        cells = sum(2 * tile.shape[0] * tile.shape[1] for tile in matrix.tiles)
        lines, swing = float(gains.size * len(matrix.tiles)), float(squares.sum()) * cells
    return Activity(gate_updates=lines * matrix.copies, gate_swing=swing * matrix.copies)
