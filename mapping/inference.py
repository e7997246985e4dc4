"""Inference on a written chip: Chip × images → outputs and a trace per layer.

Loops run layer → tile → (batch × position × column); a batch only bounds memory. Noise comes from one stream per
image, tile and plane, so that neither the batch nor the number of threads changes it.
b = batch, p = positions, r = matrix rows, n = outputs, k = kernels
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossbar.activity import Activity
from crossbar.blas import one_blas_thread
from crossbar.streams import stream_keys
from devices import checks
from devices.aliases import FloatArray, IntArray
from mapping import digital
from mapping.chip import Chip
from mapping.network import INPUT, Conv, DynamicConv, Layer, Linear
from mapping.program import Matrix

BATCH = 64  # images at a time, ours: bounds the unrolled maps
SAMPLE = 16  # images that a result keeps, ours


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What one layer did over a run, and how far its outputs lie from the exact network's."""

    name: str
    kind: str
    error: float  #: root mean square of (chip - exact) over that of exact, errors of the layers before included
    own_error: float  #: the same against the exact layer on the inputs that the chip's layers gave it
    activity: Activity  #: per image
    attention: FloatArray | None  #: (b, k) what the gates were asked for; None for a static layer


@dataclass(frozen=True, eq=False)
class RunResult:
    """Outputs of a run and the traces of its layers."""

    chip: Chip
    logits: FloatArray  #: (b, classes) of the chip
    exact: FloatArray  #: (b, classes) of the same network computed exactly
    layers: tuple[LayerTrace, ...]
    seed: int  #: of the read noise
    sample: FloatArray  #: (≤ SAMPLE, c, h, w) first images of the run, as typical inputs for a closer look

    def accuracy(self, labels: IntArray) -> tuple[float, float]:
        """Part of the images that the chip and the exact network put into their class.

        Raises ParameterError unless there is one label per image.
        """
        wanted = checks.array("labels", labels, shape=(len(self.logits),))
        return float(np.mean(self.logits.argmax(1) == wanted)), float(np.mean(self.exact.argmax(1) == wanted))


def run(
    chip: Chip,
    images: FloatArray,
    *,
    seed: int = 0,
    batch: int = BATCH,
    progress: Callable[[int], None] | None = None,
) -> RunResult:
    """Run images (b, c, h, w) through a chip.

    seed: of the read noise.  progress: called with the number of images done after each batch.
    Raises ParameterError for images of another shape.
    """
    program = chip.program
    images = checks.array("images", images, shape=(None, *program.network.input_shape))
    checks.whole("batch", batch, minimum=1)
    seed = checks.whole("seed", seed, minimum=0)
    sums: dict[str, _Sums] = {}
    logits, exact = [], []
    with one_blas_thread():
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            reference = program.folded.activations(part)
            indices = np.arange(start, start + len(part))
            values = {INPUT: part}
            for layer in program.folded.layers:
                inputs = [values[source] for source in layer.inputs]
                output, activity, shares = _layer(chip, layer, inputs, seed, indices)
                values[layer.name] = output
                at = sums.setdefault(layer.name, _Sums(layer))
                at.add(output, reference[layer.name], layer.apply(*inputs), activity, shares)
            last = program.folded.layers[-1].name
            logits.append(values[last])
            exact.append(reference[last])
            if progress is not None:
                progress(start + len(part))
    traces = tuple(each.trace(len(images)) for each in sums.values())
    empty = np.empty((0, len(program.network.classes)))
    return RunResult(
        chip, np.concatenate([empty, *logits]), np.concatenate([empty, *exact]), traces, seed, images[:SAMPLE].copy()
    )


class _Sums:
    """Running sums of one layer over the batches."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.off = self.own = self.own_size = self.size = 0.0
        self.activity = Activity()
        self.shares: list[FloatArray] = []

    def add(
        self, out: FloatArray, exact: FloatArray, own: FloatArray, activity: Activity, shares: FloatArray | None
    ) -> None:
        self.off += float(np.sum((out - exact) ** 2))
        self.size += float(np.sum(exact**2))
        self.own += float(np.sum((out - own) ** 2))
        self.own_size += float(np.sum(own**2))
        self.activity = self.activity + activity
        if shares is not None:
            self.shares.append(shares)

    def trace(self, images: int) -> LayerTrace:
        kinds = {Conv: "conv", DynamicConv: "dynamic conv", Linear: "linear"}
        return LayerTrace(
            self.layer.name,
            kinds.get(type(self.layer), "digital"),
            (self.off / self.size) ** 0.5 if self.size else 0.0,
            (self.own / self.own_size) ** 0.5 if self.own_size else 0.0,
            self.activity.scaled(1.0 / max(images, 1)),
            np.concatenate(self.shares) if self.shares else None,
        )


def _layer(
    chip: Chip, layer: Layer, inputs: list[FloatArray], seed: int, indices: IntArray
) -> tuple[FloatArray, Activity, FloatArray | None]:
    """Run one layer: on tiles if it has matrices, else digitally."""
    matrices = chip.program.matrices.get(layer.name)
    if matrices is None:
        return layer.apply(*inputs), Activity(), None
    x = inputs[0]
    if isinstance(layer, Linear):
        out, activity = multiply(chip, matrices[0], x[:, None, :], None, None, seed, indices)
        return out[:, 0], activity, None
    if not isinstance(layer, (Conv, DynamicConv)):
        raise TypeError(f"{layer!r} has matrices but no way to run them")
    shares, gains, activity = None, None, Activity()
    if isinstance(layer, DynamicConv):
        shares, activity = attend(chip, layer, inputs, seed, indices)
        gains = chip.program.hardware.gate_dac.gains(shares, chip.program.hardware.cell)
    rows = layer.unroll(inputs)
    r = rows.shape[2] // layer.groups
    outputs = []
    for g, matrix in enumerate(matrices):
        out, done = multiply(chip, matrix, rows[:, :, g * r : (g + 1) * r], gains, shares, seed, indices)
        outputs.append(out)
        activity = activity + done
    c, height, width = chip.program.folded.shapes()[layer.name]
    joined = np.concatenate(outputs, axis=2) if len(outputs) > 1 else outputs[0]
    return np.ascontiguousarray(joined.swapaxes(1, 2)).reshape(len(x), c, height, width), activity, shares


def attend(
    chip: Chip, layer: DynamicConv, inputs: list[FloatArray], seed: int, indices: IntArray
) -> tuple[FloatArray, Activity]:
    """Return the attention (b, k) that a layer's input asks for: FC layers on tiles, pooling and softmax digital."""
    first, second = chip.program.matrices[f"{layer.name}.attention"]
    pooled = layer.pooled(inputs)
    hidden, done = multiply(chip, first, pooled[:, None, :], None, None, seed, indices)
    scores, more = multiply(chip, second, digital.relu(hidden), None, None, seed, indices)
    pooling = Activity(
        additions=float(inputs[min(1, len(inputs) - 1)].size), multiplications=float(pooled.size + 2 * scores.size)
    )
    return layer.attention.normalise(scores[:, 0]), done + more + pooling


def multiply(
    chip: Chip,
    matrix: Matrix,
    x: FloatArray,
    gains: FloatArray | None,
    shares: FloatArray | None,
    seed: int,
    indices: IntArray,
) -> tuple[FloatArray, Activity]:
    """Multiply inputs (b, p, r) by a matrix on its tiles and sum row tiles digitally: (b, p, n).

    gains: (b, k) read gains that the gates arrive at; shares: (b, k) the attention that mixes the biases.
    """
    hardware = chip.program.hardware
    dac, cell = hardware.dac, hardware.cell
    b, p, _ = x.shape
    n = matrix.conductances.shape[2] // 2
    out = np.zeros((b, p, n))
    noise = not hardware.noise.silent
    activity = Activity()
    for sign in (1.0, -1.0) if matrix.signed else (1.0,):
        coded: dict[tuple[int, int], FloatArray] = {}
        for at, (placement, tile) in enumerate(zip(matrix.tiles, chip.tiles[matrix.name], strict=True)):
            key = (placement.rows.start, placement.rows.stop)
            if key not in coded:
                coded[key] = np.ascontiguousarray(dac.codes(sign * x[:, :, placement.rows] / matrix.x_scale))
            keys = stream_keys(seed, (matrix.name, str(at), f"{sign:+g}"), indices)
            codes, done = tile.read(coded[key], gains, keys, noise)
            lsb = hardware.adc.lsb(tile.full_scale) or 1.0
            out[:, :, placement.columns] += (sign * lsb * matrix.scale) * codes
            activity = activity + done
    results = float(b * p * n)
    terms = len({tile.rows.start for tile in matrix.tiles}) * (2 if matrix.signed else 1)
    activity = activity + Activity(
        additions=results * (terms - 1 + int(matrix.bias is not None)),
        multiplications=results,
        buffer_bits=results * 8.0 + float(x.size) * 8.0,  # results out, codes in; 8 bits each
    )
    if gains is not None:
        swing = hardware.gate_dac.voltages(gains, cell) - cell.v_gate_min
        cells = sum(2 * tile.shape[0] * tile.shape[1] for tile in matrix.tiles)
        activity = activity + Activity(
            gate_updates=float(gains.size * len(matrix.tiles)), gate_swing=float(np.sum(swing**2)) * cells
        )
    if matrix.bias is not None and shares is not None:
        out += (shares @ matrix.bias)[:, None, :]
        mixed, kernels = float(b * n), matrix.kernels
        activity = activity + Activity(additions=mixed * (kernels - 1), multiplications=mixed * kernels)
    elif matrix.bias is not None:
        out += matrix.bias
    return out, activity
