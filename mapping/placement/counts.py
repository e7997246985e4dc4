"""What one matrix does for a batch of images: additions, multiplications, buffer bits, gate switching and writes.

A run and an estimate count by these functions; only the reads of tiles are counted where they happen.
"""

from collections.abc import Sequence

import numpy as np

from crossbar.tiles.activity import Activity
from devices.aliases import FloatArray
from mapping.hardware.description import Hardware
from mapping.placement.matrix import Matrix

BUFFER_BITS = 8.0  #: of a code, a result or a weight in a buffer, ours


def partial_sums(matrix: Matrix, images: int) -> Activity:
    """Count summing the tiles of each output, scaling and shifting it, and fetching codes and storing results."""
    results = float(images * matrix.positions * matrix.outputs)
    terms = len({tile.rows.start for tile in matrix.tiles}) * (2 if matrix.signed else 1)
    return Activity(
        additions=results * (terms - 1 + int(matrix.bias is not None or matrix.shift is not None)),
        multiplications=results,
        buffer_bits=BUFFER_BITS * (results + float(images * matrix.positions * matrix.rows)),
    )


def mixed_bias(matrix: Matrix, images: int, *, mixed: bool) -> Activity:
    """Count making the number that is added to each output, once per image.

    mixed: whether the kernels' biases are mixed by the attention.
    """
    once, done = float(images * matrix.outputs), Activity()
    if matrix.bias is None:
        return done
    if mixed:
        done = done + Activity(additions=once * (matrix.kernels - 1), multiplications=once * matrix.kernels)
    if matrix.column_gates:
        done = done + Activity(multiplications=once)
    if matrix.shift is not None:
        done = done + Activity(additions=once)
    return done


def mixing_outputs(kernels: Sequence[Matrix], images: int) -> Activity:
    """Count mixing the outputs of kernels that are read one by one; the codes of their rows are fetched once."""
    first, more = kernels[0], len(kernels) - 1
    results = float(images * first.positions * first.outputs)
    return Activity(
        multiplications=results * len(kernels),
        additions=results * more,
        buffer_bits=-BUFFER_BITS * more * float(images * first.positions * first.rows),
    )


def pooling_and_softmax(maps: Sequence[int], pooled: int, kernels: int, images: int) -> Activity:
    """Count an attention's work outside its matrices.

    maps: (c, h, w) of the maps that are averaged; pooled: how many means that gives; kernels: of the softmax.
    """
    return Activity(
        additions=float(images * np.prod(maps, dtype=np.int64)), multiplications=float(images * (pooled + 2 * kernels))
    )


def rewriting(matrix: Matrix, images: int) -> Activity:
    """Count mixing kernels digitally and writing the mixture into cells."""
    weights = float(images * matrix.rows * matrix.outputs)
    return Activity(
        additions=(matrix.kernels - 1) * weights,
        multiplications=matrix.kernels * weights,
        buffer_bits=BUFFER_BITS * matrix.kernels * weights,
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
