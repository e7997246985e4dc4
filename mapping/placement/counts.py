"""Activity of one matrix for a batch of images: additions, multiplications, buffer bits, gate switching and writes.

A run and an estimate both count with these functions; reads are counted by the tiles themselves.
"""

import math
from collections.abc import Sequence

import numpy as np

from crossbar.tiles.activity import Activity
from devices.aliases import FloatArray
from mapping.hardware.description import Hardware
from mapping.networks.layers.base import Layer, Shape
from mapping.networks.layers.recurrent import Recurrent
from mapping.networks.layers.transposed import ConvTranspose
from mapping.placement.gate_lines import gate_leak, held_squares
from mapping.placement.matrix import Matrix


def partial_sums(matrix: Matrix, vectors: int, bits: int) -> Activity:
    """Count the sums over slices and tiles of each output, its scale and shift, and the buffer accesses.

    Codes come from the buffer and results go there.  vectors: number of input vectors, over all images and positions.
    bits: of a code; a result is scaled to one.
    """
    results = float(vectors * matrix.outputs)
    signs = 2 if matrix.signed else 1
    terms = len({tile.rows.start for tile in matrix.tiles}) * signs
    each, once = matrix.code.additions
    joined = vectors * signs * sum(each * tile.shape[1] + once for tile in matrix.tiles)
    return Activity(
        additions=results * (terms - 1 + int(matrix.bias is not None or matrix.shift is not None)) + joined,
        multiplications=results,
        buffer_bits=bits * (results + float(vectors * matrix.rows)),
    )


def mixed_bias(matrix: Matrix, images: int, *, mixed: bool) -> Activity:
    """Count the computation of each output's bias, once per image.

    mixed: whether the attention mixes the kernels' biases.
    """
    once, done = float(images * matrix.outputs), Activity()
    if matrix.bias is None:
        return done
    if mixed:
        done = done + Activity(additions=once * (len(matrix.bias) - 1), multiplications=once * len(matrix.bias))
    if matrix.column_gates:
        done = done + Activity(multiplications=once)
    if matrix.shift is not None:
        done = done + Activity(additions=once)
    return done


def mixing_outputs(kernels: Sequence[Matrix], images: int, bits: int) -> Activity:
    """Count the mixing of the outputs of kernels that are read one by one; codes of `bits` are fetched once."""
    first, more = kernels[0], len(kernels) - 1
    results = float(images * first.positions * first.outputs)
    return Activity(
        multiplications=results * len(kernels),
        additions=results * more,
        buffer_bits=-bits * more * float(images * first.positions * first.rows),
    )


def pooling_and_softmax(maps: Sequence[int], pooled: int, kernels: int, images: int) -> Activity:
    """Count the digital work of an attention.

    maps: (c, h, w) of the maps that are averaged.  pooled: number of means.  kernels: number of kernels of the softmax.
    """
    return Activity(
        additions=float(images * np.prod(maps, dtype=np.int64)), multiplications=float(images * (pooled + 2 * kernels))
    )


def rewriting(matrix: Matrix, images: int, bits: int) -> Activity:
    """Count the digital mixing of kernels with weights of some bits, and the writing of the mixed kernel into cells."""
    weights = float(images * matrix.rows * matrix.outputs)
    return Activity(
        additions=(matrix.kernels - 1) * weights,
        multiplications=matrix.kernels * weights,
        buffer_bits=bits * matrix.kernels * weights,
        cell_writes=2.0 * weights * matrix.copies,
    )


def beside_matrices(layer: Layer, shapes: Sequence[Shape], images: int, bits: int) -> Activity:
    """Count the digital work of a layer on tiles, except the partial sums of its matrices.

    shapes: of its inputs.  bits: of a value in a buffer.

    A transposed convolution fetches its windows, adds them where they overlap, adds its bias and stores the map. A
    recurrent layer adds the outputs of its two matrices, looks functions up, multiplies by its gates, and keeps its
    state in a buffer.  Composition ours; docs/equations/costs.md, section 7.
    """
    if isinstance(layer, ConvTranspose):
        result = layer.output_shape(*shapes)
        landed, reached = layer.overlaps(shapes[0])
        bias = math.prod(result) if layer.bias is not None else 0
        return Activity(
            additions=float(images * (landed - reached + bias)),
            buffer_bits=bits * float(images * (landed + math.prod(result))),
        )
    if isinstance(layer, Recurrent):
        states = float(images * shapes[0][0] * layer.size)  # values of the state over all steps
        adds, products, looked_up, kept = _RECURRENT[layer.kind]
        return Activity(
            additions=adds * states,
            multiplications=products * states,
            buffer_bits=bits * (looked_up + kept) * states,
        )
    return Activity()


#: additions, multiplications, look-ups and buffer accesses of a recurrent layer for each value of its state and step
_RECURRENT = {
    "rnn-tanh": (1.0, 0.0, 1.0, 1.0),
    "rnn-relu": (1.0, 0.0, 1.0, 1.0),
    "lstm": (5.0, 3.0, 5.0, 3.0),  # four sums of two products and one of the cell; the cell is read and written
    "gru": (5.0, 3.0, 3.0, 2.0),  # three sums of two products, 1 - z, and the state's
    "gru-reset-first": (5.0, 3.0, 3.0, 2.0),
}


def gate_activity(matrix: Matrix, gains: FloatArray, hardware: Hardware) -> Activity:
    """Count gate updates, squared swings and held voltages [V²] for read gains (b, k), or (b, k, n) of columns' gates.

    The gate of a kernel that is held open does not swing; gates of its columns do.  All gates hold their voltages.
    gains: at the temperature of the run.
    """
    cell = hardware.cell_in_run
    held = hardware.gate_dac.voltages(gains, cell)
    gains = gains[:, :-1] if matrix.held and not matrix.column_gates else gains
    squares = (hardware.gate_dac.voltages(gains, cell) - cell.v_gate_min) ** 2
    if matrix.column_gates:
        rows = {tile.rows.start: tile.shape[0] for tile in matrix.tiles}
        lines, swing = float(gains.size * len(rows)), 2.0 * sum(rows.values()) * float(squares.sum())
    else:
        cells = sum(tile.shape[0] * tile.cell_columns for tile in matrix.tiles)
        lines, swing = float(gains.size * len(matrix.tiles)), float(squares.sum()) * cells
    return Activity(
        gate_updates=lines * matrix.copies,
        gate_swing=swing * matrix.copies,
        gate_holding=held_squares(matrix, hardware, held) if gate_leak(cell) else 0.0,
    )
