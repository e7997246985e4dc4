"""One layer of a chip on one batch: attention, row inputs, tiles, partial sums, bias and scales."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crossbar.tiles.activity import Activity
from crossbar.tiles.batch_tiles import BatchTile
from crossbar.tiles.converters import TOGETHER, Adc
from crossbar.tiles.row_drive import Drive, drive_rows
from crossbar.tiles.tile import Tile
from devices.aliases import FloatArray
from devices.numerics.random_streams import stream_keys
from mapping.chips.chip import Adjustment, Chip
from mapping.inference.batch import Batch
from mapping.inference.batch_tiles import tiles_for_batch
from mapping.networks import digital
from mapping.networks.layers.base import Layer
from mapping.networks.layers.convolutions import Conv, DynamicConv
from mapping.networks.layers.matrix_layers import Linear, MatrixLayer
from mapping.networks.layers.recurrent import Recurrent
from mapping.networks.layers.transposed import ConvTranspose
from mapping.placement import counts
from mapping.placement.gated_layers import split_scales
from mapping.placement.gating import gains_of_images
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.row_codes import Rows, Vectors, Windows


def adjust(output: FloatArray, by: Adjustment | None, axis: int = 1) -> FloatArray:
    """Return outputs (b, …), with n of them along an axis, multiplied by scales (n,) plus shifts (n,)."""
    if by is None:
        return output
    behind = output.ndim - 1 - axis % output.ndim
    scale, shift = (each.astype(output.dtype).reshape(-1, *[1] * behind) for each in by)
    adjusted: FloatArray = output * scale
    adjusted += shift
    return adjusted


def run_layer(
    chip: Chip, layer: Layer, inputs: list[FloatArray], batch: Batch
) -> tuple[FloatArray, Activity, FloatArray | None]:
    """Run one layer, on tiles if it has matrices, else digitally; returns its output, activity and attention (b, k)."""
    output, activity, attention = _unadjusted(chip, layer, inputs, batch)
    axis = layer.output_axis if isinstance(layer, MatrixLayer) else 1
    return adjust(output, chip.adjustments.get(layer.name), axis), activity, attention


def _unadjusted(
    chip: Chip, layer: Layer, inputs: list[FloatArray], batch: Batch
) -> tuple[FloatArray, Activity, FloatArray | None]:
    matrices = chip.program.matrices.get(layer.name)
    if matrices is None:
        return layer.apply(*inputs), Activity(), None
    if isinstance(layer, Linear):
        out, activity = multiply(chip, matrices[0], Vectors(layer.rows(inputs, 0)), None, None, batch)
        return out.swapaxes(1, 2).reshape(*inputs[0].shape[:-1], -1), activity, None
    if isinstance(layer, Recurrent):
        return *_recurrent(chip, layer, matrices, inputs[0], batch), None
    if isinstance(layer, ConvTranspose):
        return *_transposed(chip, layer, matrices, inputs, batch), None
    if not isinstance(layer, (Conv, DynamicConv)):
        raise TypeError(f"{layer!r} has matrices but no way to run them")
    inputs, scales = split_scales(layer, inputs)
    attention, activity = None, Activity()
    if isinstance(layer, DynamicConv):
        attention, activity = attend(chip, layer, inputs, batch)
    outputs = []
    for g in range(layer.groups):
        members = [matrix for matrix in matrices if matrix.group == g]
        n = members[0].outputs
        mine = None if scales is None else scales[:, g * n : (g + 1) * n].astype(np.float64)
        out, done = _group(chip, members, Windows(layer, inputs, g), attention, mine, batch)
        outputs.append(out)
        activity = activity + done
    joined = np.concatenate(outputs, axis=1) if len(outputs) > 1 else outputs[0]
    return joined.reshape(len(inputs[0]), *chip.program.folded.shapes()[layer.name]), activity, attention


def _transposed(
    chip: Chip, layer: ConvTranspose, matrices: Sequence[Matrix], inputs: list[FloatArray], batch: Batch
) -> tuple[FloatArray, Activity]:
    """Run a transposed convolution: each input pixel is one read, and overlapping windows are added digitally."""
    bits = chip.program.hardware.value_bits
    products, activity = [], counts.beside_matrices(layer, [inputs[0].shape[1:]], len(inputs[0]), bits)
    for matrix in matrices:
        out, done = multiply(chip, matrix, Vectors(layer.rows(inputs, matrix.group)), None, None, batch)
        products.append(out)
        activity = activity + done
    return layer.joined(products, inputs[0]), activity


def _recurrent(
    chip: Chip, layer: Recurrent, matrices: Sequence[Matrix], x: FloatArray, batch: Batch
) -> tuple[FloatArray, Activity]:
    """Run a recurrent layer: the input's matrix for all steps, then the state's matrix step by step."""
    done = [counts.beside_matrices(layer, [x.shape[1:]], len(x), chip.program.hardware.value_bits)]
    last = 0 if layer.reverse else x.shape[1] - 1
    unseen = replace(batch, seen=None)

    def product(number: int, rows: FloatArray, step: int) -> FloatArray:
        shown = batch if step == last else unseen  # an observer is called for one step
        out, activity = matrix_of_recurrent(chip, matrices[number], rows[:, None], shown, step=step)
        done.append(activity)
        return out[:, 0]

    projected, activity = matrix_of_recurrent(chip, matrices[0], x, batch)
    output = layer.walk(projected, product)
    return output, sum(done, activity)


def matrix_of_recurrent(
    chip: Chip, matrix: Matrix, rows: FloatArray, batch: Batch, *, step: int | None = None
) -> tuple[FloatArray, Activity]:
    """Multiply rows (b, t, r) by one matrix of a recurrent layer and adjust its outputs: (b, t, n)."""
    out, activity = multiply(chip, matrix, Vectors(rows), None, None, batch, step=step)
    return adjust(out, chip.adjustments.get(matrix.name)).swapaxes(1, 2), activity


def _group(
    chip: Chip,
    matrices: list[Matrix],
    rows: Rows,
    attention: FloatArray | None,
    scales: FloatArray | None,
    batch: Batch,
) -> tuple[FloatArray, Activity]:
    """Multiply rows by the matrices of one group, with kernels mixed according to the layout; returns (b, n, p).

    attention: (b, k) of a dynamic layer.  scales: (b, n) factors, 0 to 1, that gates of the columns set.
    """
    hardware, first = chip.program.hardware, matrices[0]
    if scales is not None:
        gains = gains_of_images(first, attention, scales, hardware)
        ready, _ = tiles_for_batch(chip, first, gains, attention, batch)
        return multiply(ready, first, rows, gains, attention, batch, scales=scales)
    if attention is None:
        return multiply(chip, first, rows, None, None, batch)
    if first.kind == "kernel":  # each kernel is read and converted by itself
        mixed, activity = np.zeros(1, dtype=batch.kind), Activity()
        for k, matrix in enumerate(matrices):
            out, done = multiply(chip, matrix, rows, None, None, batch)
            mixed = mixed + attention[:, k, None, None].astype(batch.kind) * out
            activity = activity + done
        return mixed, activity + counts.mixing_outputs(matrices, rows.shape[0], hardware.value_bits)
    gains = gains_of_images(first, attention, None, hardware)
    ready, made = tiles_for_batch(chip, first, gains, attention, batch)
    out, done = multiply(ready, first, rows, gains, attention, batch)
    return out, made + done


def attend(chip: Chip, layer: DynamicConv, inputs: list[FloatArray], batch: Batch) -> tuple[FloatArray, Activity]:
    """Return the attention (b, k) of a layer and its activity: FC layers on tiles, pooling and softmax digitally."""
    pooled = layer.pooled(inputs)
    hidden, done = attention_part(chip, layer, 0, pooled, batch)
    scores, more = attention_part(chip, layer, 1, digital.relu(hidden), batch)
    maps = inputs[min(1, len(inputs) - 1)]
    pooling = counts.pooling_and_softmax(maps.shape[1:], pooled.shape[1], scores.shape[1], len(pooled))
    return layer.attention.normalise(scores.astype(np.float64)), done + more + pooling


def attention_part(chip: Chip, layer: DynamicConv, at: int, x: FloatArray, batch: Batch) -> tuple[FloatArray, Activity]:
    """Run FC layer number `at` of a layer's attention, without its ReLU or softmax: (b, r) to (b, n)."""
    matrix = chip.program.matrices[f"{layer.name}.attention"][at]
    out, activity = multiply(chip, matrix, Vectors(x), None, None, batch)
    return adjust(out[:, :, 0], chip.adjustments.get(matrix.name)), activity


def multiply(
    chip: Chip,
    matrix: Matrix,
    rows: Rows,
    gains: FloatArray | None,
    attention: FloatArray | None,
    batch: Batch,
    *,
    scales: FloatArray | None = None,
    step: int | None = None,
) -> tuple[FloatArray, Activity]:
    """Multiply rows (b, p, r) by a matrix on its tiles and add partial sums digitally: (b, n, p) of the batch's type.

    gains: (b, k) read gains of the gates, (b, k, n) if columns have gates.  attention: (b, k) mixes the biases.
    scales: (b, n) scales the biases.  step: number of the read if a matrix is read several times for an image; each
    read has its own noise.
    """
    hardware = chip.program.hardware
    dac = hardware.dac
    b, p, _ = rows.shape
    n = matrix.outputs
    out = np.zeros((b, n, p), dtype=batch.kind)
    noise = None if hardware.noise.silent else hardware.noise
    group = TOGETHER if p >= 2 * TOGETHER else 1
    activity, again = Activity(), () if step is None else (str(step),)
    for sign in (1.0, -1.0) if matrix.signed else (1.0,):
        codes = rows.codes(dac, sign / matrix.x_scale, batch.kind)
        if batch.seen is not None:
            batch.seen(chip, matrix, codes, gains)
        drives: dict[int, Drive] = {}
        for at, (placement, tile) in enumerate(zip(matrix.tiles, chip.tiles[matrix.name], strict=True)):
            start = placement.rows.start
            keys = stream_keys(batch.seed, (matrix.name, str(at), f"{sign:+g}", *again), batch.indices)
            if start not in drives:
                drives[start] = drive_rows(
                    codes[placement.rows], dac, noise, hardware.run_temperature, group=group,
                    strips=matrix.strips(placement.rows), keys=keys,
                )  # fmt: skip
            activity = activity + _add_tile(
                matrix, placement, tile, hardware.adc, drives[start], gains, keys, out, sign=sign
            )
    activity = activity + counts.partial_sums(matrix, b * p, hardware.value_bits)
    activity = activity + counts.mixed_bias(matrix, b, mixed=attention is not None)
    if gains is not None:
        activity = activity + counts.gate_activity(matrix, gains, hardware)
    bias = _bias(matrix, attention, scales)
    if bias is not None:
        out += bias[:, :, None].astype(batch.kind)
    return out, activity


def _add_tile(
    matrix: Matrix, placement: Placement, tile: Tile | BatchTile, adc: Adc, drive: Drive, gains: FloatArray | None,
    keys: np.ndarray, out: FloatArray, *, sign: float,
) -> Activity:  # fmt: skip
    """Read one tile and add its results to out (b, n, p), the digits of sliced weights shifted and added before."""
    code, columns = matrix.code, placement.columns
    lsb = code.converter(adc).lsb(tile.full_scale) or 1.0
    if code.plain:
        factor = sign * lsb * matrix.scale[columns]
        return tile.add_read(drive, gains, keys, out, factor=factor, first=columns.start)
    b, _, p = out.shape
    converted = np.zeros((b, placement.converted, p), dtype=out.dtype)
    done = tile.add_read(drive, gains, keys, converted, factor=lsb)
    out[:, columns] += (sign * matrix.scale[columns]).astype(out.dtype)[:, None] * code.joined(converted)
    return done


def _bias(matrix: Matrix, attention: FloatArray | None, scales: FloatArray | None) -> FloatArray | None:
    """Return the number that is added to each output, (b or 1, n)."""
    bias = matrix.bias
    if bias is not None:
        bias = attention @ bias if attention is not None else bias[None]
        if scales is not None:
            bias = bias * scales
    if matrix.shift is not None:
        bias = matrix.shift[None] if bias is None else bias + matrix.shift
    return bias
