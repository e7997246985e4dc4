"""Inference on a written chip: Chip × images → outputs and a trace per layer.

Loops run layer → tile → (batch × position × column); batches run side by side and bound memory. Every product is
that of one image, and noise comes from one stream per image, tile and plane: neither batches nor threads change a bit.
b = batch, p = positions, r = matrix rows, n = outputs, k = kernels
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from crossbar.activity import Activity
from crossbar.blas import one_blas_thread
from crossbar.drive import Drive, drive_rows
from crossbar.periphery import TOGETHER
from crossbar.streams import stream_keys
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from devices.jit import threads
from mapping import digital
from mapping.chip import Adjustment, Chip
from mapping.gated import GatedConv, GatedDynamicConv, column_gains, relative_gains, split_scales
from mapping.hardware import Hardware
from mapping.layouts import made_for
from mapping.lot import Lot
from mapping.network import INPUT, Conv, DynamicConv, Layer, Linear
from mapping.program import Matrix, Program
from mapping.rows import Rows, Vectors, Windows

BATCH = 64  # images at a time on each thread, ours: bounds the unrolled maps
SHARES = 4  # batches of a short run, ours: whatever the threads, so that sums over batches have the same last digit
SAMPLE = 16  # images that a result keeps, ours
COMPARED = 128  # images whose layers are compared with the exact network's, ours
PREDICTIONS = ("image", "label", "chip", "exact")  #: columns of a table of predicted classes
PRECISIONS = {"single": np.float32, "double": np.float64}  #: of the arithmetic of a run


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What one layer did over a run, and how far its outputs lie from the exact network's."""

    name: str
    kind: str
    #: root mean square of (chip - exact) over that of exact on the first COMPARED images, errors before it included
    error: float
    own_error: float  #: the same against the exact layer on the inputs that the chip's layers gave it
    activity: Activity  #: per image
    attention: FloatArray | None  #: (b, k) what the gates were asked for; None for a static layer
    scales: FloatArray | None = None  #: (b, n) what gates of columns were asked for; None where there are none


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

    def predictions(self, labels: IntArray | None = None) -> list[dict[str, object]]:
        """Name the classes image by image, in columns of PREDICTIONS; the label is left empty where none is given.

        Raises ParameterError unless there is one label per image.
        """
        classes = self.chip.program.network.classes
        wanted = None if labels is None else checks.array("labels", labels, shape=(len(self.logits),))
        right = [""] * len(self.logits) if wanted is None else [classes[int(each)] for each in wanted]
        pairs = zip(right, self.logits.argmax(1), self.exact.argmax(1), strict=True)
        return [
            dict(zip(PREDICTIONS, (number, label, classes[chip], classes[exact]), strict=True))
            for number, (label, chip, exact) in enumerate(pairs)
        ]


class Part(NamedTuple):
    """What one layer did with one batch."""

    activity: Activity
    shares: FloatArray | None
    off: float = 0.0  #: sum of squared differences from the exact network, on the images that are compared
    size: float = 0.0  #: sum of its squares
    own: float = 0.0  #: the same against the exact layer on the inputs that it had here
    own_size: float = 0.0
    scales: FloatArray | None = None  #: (b, n) what gates of columns were asked for


class Step(NamedTuple):
    """What one layer got and gave for a lot of images."""

    layer: Layer
    inputs: list[FloatArray]
    output: FloatArray
    activity: Activity
    shares: FloatArray | None  #: (b, k) attention of a dynamic layer


class Done(NamedTuple):
    """What one batch of images left."""

    logits: FloatArray
    layers: dict[str, Part]


class Kept(Protocol):
    """Where a run keeps its batches, so that another run goes on where it was stopped."""

    def get(self, start: int, stop: int) -> Done | None:
        """Return what images start … stop - 1 left in an earlier run, None if it was not kept."""

    def put(self, start: int, stop: int, done: Done) -> None:
        """Keep what they left."""


def run(
    chip: Chip,
    images: FloatArray,
    *,
    seed: int = 0,
    batch: int = BATCH,
    precision: str = "single",
    exact: FloatArray | None = None,
    progress: Callable[[int], None] | None = None,
    kept: Kept | None = None,
) -> RunResult:
    """Run images (b, c, h, w) through a chip, batches side by side on all threads.

    seed: of the read noise.  precision: "single" (currents to 1e-6 of their range) or "double" arithmetic.  exact:
    (b, classes) what `exact_outputs` makes of the images, computed if not given.  progress: called with the number of
    images done after each batch.  kept: keeps every batch that is done, and is asked first.
    Raises ParameterError for images or outputs of another shape.
    """
    program = chip.program
    images = checks.array("images", images, shape=(None, *program.network.input_shape))
    if exact is None:
        exact = exact_outputs(program, images, precision=precision)
    exact = checks.array("exact", exact, shape=(len(images), len(program.network.classes)))
    batch = min(checks.whole("batch", batch, minimum=1), max(-(-len(images) // SHARES), 1))
    seed = checks.whole("seed", seed, minimum=0)
    kind = _kind(precision)
    ready = chip if precision == "double" else chip.single()

    def work(start: int) -> Done:
        part = images[start : start + batch]
        held = None if kept is None else kept.get(start, start + len(part))
        if held is not None:
            return held
        done = _batch(ready, part, start, seed, kind)
        if kept is not None:
            kept.put(start, start + len(part), done)
        return done

    sums = {layer.name: _Sums(layer) for layer in program.folded.layers} if len(images) else {}
    logits = [np.empty((0, len(program.network.classes)))]
    pool = ThreadPoolExecutor(threads())
    try:
        with one_blas_thread():
            for done in pool.map(work, range(0, len(images), batch)):
                logits.append(done.logits)
                for name, part in done.layers.items():
                    sums[name].add(part)
                if progress is not None:
                    progress(sum(map(len, logits)))
    finally:
        pool.shutdown(cancel_futures=True)
    traces = tuple(each.trace(len(images)) for each in sums.values())
    return RunResult(chip, np.concatenate(logits), exact, traces, seed, images[:SAMPLE].copy())


def exact_outputs(program: Program, images: FloatArray, *, precision: str = "single") -> FloatArray:
    """Compute the outputs (b, classes) of a program's network without a chip, images (b, c, h, w) on all threads.

    precision: "single" or "double" arithmetic; the result is float64 and depends on neither threads nor the chip.
    Raises ParameterError for images of another shape.
    """
    images = checks.array("images", images, shape=(None, *program.network.input_shape))
    single = _kind(precision) == np.float32

    def work(start: int) -> FloatArray:
        return program.folded.forward(images[start : start + BATCH], single=single).astype(np.float64)

    pool = ThreadPoolExecutor(threads())
    try:
        with one_blas_thread():
            parts = list(pool.map(work, range(0, len(images), BATCH)))
    finally:
        pool.shutdown(cancel_futures=True)
    return np.concatenate([np.empty((0, len(program.network.classes))), *parts])


def _kind(precision: str) -> np.dtype:
    if precision not in PRECISIONS:
        raise ParameterError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return np.dtype(PRECISIONS[precision])


def walk(chip: Chip, images: FloatArray, lot: Lot) -> Iterator[Step]:
    """Run images (b, c, h, w) through the layers, one after another; maps that no later layer reads are dropped."""
    folded = chip.program.folded
    values = {INPUT: images.astype(lot.kind, copy=False)}
    for layer, spent in zip(folded.layers, folded.spent, strict=True):
        inputs = [values[source] for source in layer.inputs]
        output, activity, shares = run_layer(chip, layer, inputs, lot)
        yield Step(layer, inputs, output, activity, shares)
        values[layer.name] = output
        for name in spent:
            del values[name]


def _batch(chip: Chip, images: FloatArray, start: int, seed: int, kind: np.dtype) -> Done:
    """Run one batch whose first image has number `start`; the first COMPARED of a run are compared layer by layer."""
    folded = chip.program.folded
    seen = max(min(COMPARED - start, len(images)), 0)
    reference = folded.activations(images[:seen]) if seen else {}
    parts = {}
    for layer, inputs, output, activity, shares in walk(
        chip, images, Lot(seed, np.arange(start, start + len(images)), kind)
    ):
        scales = split_scales(layer, inputs)[1]
        parts[layer.name] = Part(activity, shares, scales=scales)
        if seen:
            out, wanted = output[:seen].astype(np.float64), reference[layer.name]
            own = layer.apply(*(each[:seen].astype(np.float64) for each in inputs))
            sizes = (np.sum((out - wanted) ** 2), np.sum(wanted**2), np.sum((out - own) ** 2), np.sum(own**2))
            off, size, own_off, own_size = map(float, sizes)
            parts[layer.name] = Part(activity, shares, off, size, own_off, own_size, scales)
    return Done(output.astype(np.float64), parts)


def kind_of(layer: Layer) -> str:
    """Name what a layer is on a chip: "conv", "dynamic conv", "linear" or "digital"."""
    kinds: dict[type[Layer], str] = {
        Conv: "conv", DynamicConv: "dynamic conv", Linear: "linear", GatedConv: "conv",
        GatedDynamicConv: "dynamic conv",
    }  # fmt: skip
    return kinds.get(type(layer), "digital")


class _Sums:
    """Running sums of one layer over the batches."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.off = self.own = self.own_size = self.size = 0.0
        self.activity = Activity()
        self.shares: list[FloatArray] = []
        self.scales: list[FloatArray] = []

    def add(self, part: Part) -> None:
        self.off += part.off
        self.size += part.size
        self.own += part.own
        self.own_size += part.own_size
        self.activity = self.activity + part.activity
        if part.shares is not None:
            self.shares.append(part.shares)
        if part.scales is not None:
            self.scales.append(part.scales.astype(np.float64))

    def trace(self, images: int) -> LayerTrace:
        return LayerTrace(
            self.layer.name,
            kind_of(self.layer),
            (self.off / self.size) ** 0.5 if self.size else 0.0,
            (self.own / self.own_size) ** 0.5 if self.own_size else 0.0,
            self.activity.scaled(1.0 / max(images, 1)),
            np.concatenate(self.shares) if self.shares else None,
            np.concatenate(self.scales) if self.scales else None,
        )


def adjust(output: FloatArray, by: Adjustment | None) -> FloatArray:
    """Return outputs (b, n, …) times scales plus shifts (n,)."""
    if by is None:
        return output
    scale, shift = (each.astype(output.dtype).reshape(-1, *[1] * (output.ndim - 2)) for each in by)
    adjusted: FloatArray = output * scale
    adjusted += shift
    return adjusted


def run_layer(
    chip: Chip, layer: Layer, inputs: list[FloatArray], lot: Lot
) -> tuple[FloatArray, Activity, FloatArray | None]:
    """Run one layer: on tiles if it has matrices, else digitally."""
    output, activity, shares = _unadjusted(chip, layer, inputs, lot)
    return adjust(output, chip.adjustments.get(layer.name)), activity, shares


def _unadjusted(
    chip: Chip, layer: Layer, inputs: list[FloatArray], lot: Lot
) -> tuple[FloatArray, Activity, FloatArray | None]:
    matrices = chip.program.matrices.get(layer.name)
    if matrices is None:
        return layer.apply(*inputs), Activity(), None
    if isinstance(layer, Linear):
        out, activity = multiply(chip, matrices[0], Vectors(inputs[0]), None, None, lot)
        return out[:, :, 0], activity, None
    if not isinstance(layer, (Conv, DynamicConv)):
        raise TypeError(f"{layer!r} has matrices but no way to run them")
    inputs, scales = split_scales(layer, inputs)
    shares, activity = None, Activity()
    if isinstance(layer, DynamicConv):
        shares, activity = attend(chip, layer, inputs, lot)
    outputs = []
    for g in range(layer.groups):
        members = [matrix for matrix in matrices if matrix.group == g]
        n = members[0].conductances.shape[2] // 2
        mine = None if scales is None else scales[:, g * n : (g + 1) * n].astype(np.float64)
        out, done = _group(chip, members, Windows(layer, inputs, g), shares, mine, lot)
        outputs.append(out)
        activity = activity + done
    joined = np.concatenate(outputs, axis=1) if len(outputs) > 1 else outputs[0]
    return joined.reshape(len(inputs[0]), *chip.program.folded.shapes()[layer.name]), activity, shares


def _group(
    chip: Chip,
    matrices: list[Matrix],
    rows: Rows,
    shares: FloatArray | None,
    scales: FloatArray | None,
    lot: Lot,
) -> tuple[FloatArray, Activity]:
    """Multiply rows by the matrices of one group: its kernels, mixed as their layout has it, or its one; (b, n, p).

    shares: (b, k) attention of a dynamic layer; scales: (b, n) what the gates of its columns are asked for.
    """
    hardware, first = chip.program.hardware, matrices[0]
    if scales is not None:
        gains = column_gains(relative_gains(shares, scales, first.floor), hardware.gate_dac, hardware.cell)
        ready, _ = made_for(chip, first, gains, shares, lot)
        return multiply(ready, first, rows, gains, shares, lot, scales=scales)
    if shares is None:
        return multiply(chip, first, rows, None, None, lot)
    if first.kind == "kernel":  # each is read and converted by itself
        mixed, activity = np.zeros(1, dtype=lot.kind), Activity()
        for k, matrix in enumerate(matrices):
            out, done = multiply(chip, matrix, rows, None, None, lot)
            mixed = mixed + shares[:, k, None, None].astype(lot.kind) * out
            activity = activity + done
        terms, more = float(mixed.size), len(matrices) - 1
        return mixed, activity + Activity(
            multiplications=terms * len(matrices),
            additions=terms * more,
            buffer_bits=-8.0 * more * float(np.prod(rows.shape)),  # all kernels get the codes that were fetched once
        )
    asked = hardware.gate_dac.gains(shares, hardware.cell) if first.gated else None
    ready, made = made_for(chip, first, asked, shares, lot)
    out, done = multiply(ready, first, rows, asked, shares, lot)
    return out, made + done


def attend(chip: Chip, layer: DynamicConv, inputs: list[FloatArray], lot: Lot) -> tuple[FloatArray, Activity]:
    """Return the attention (b, k) that a layer's input asks for: FC layers on tiles, pooling and softmax digital."""
    pooled = layer.pooled(inputs)
    hidden, done = attention_part(chip, layer, 0, pooled, lot)
    scores, more = attention_part(chip, layer, 1, digital.relu(hidden), lot)
    pooling = Activity(
        additions=float(inputs[min(1, len(inputs) - 1)].size), multiplications=float(pooled.size + 2 * scores.size)
    )
    return layer.attention.normalise(scores.astype(np.float64)), done + more + pooling


def attention_part(chip: Chip, layer: DynamicConv, at: int, x: FloatArray, lot: Lot) -> tuple[FloatArray, Activity]:
    """Run FC layer number `at` of a layer's attention, before its ReLU or softmax: (b, r) to (b, n)."""
    matrix = chip.program.matrices[f"{layer.name}.attention"][at]
    out, activity = multiply(chip, matrix, Vectors(x), None, None, lot)
    return adjust(out[:, :, 0], chip.adjustments.get(matrix.name)), activity


def multiply(
    chip: Chip,
    matrix: Matrix,
    rows: Rows,
    gains: FloatArray | None,
    shares: FloatArray | None,
    lot: Lot,
    *,
    scales: FloatArray | None = None,
) -> tuple[FloatArray, Activity]:
    """Multiply rows (b, p, r) by a matrix on its tiles and sum row tiles digitally: (b, n, p) of the lot's type.

    gains: (b, k) read gains that the gates arrive at, (b, k, n) those of each column; shares: (b, k) the attention that
    mixes the biases; scales: (b, n) that which scales them.
    """
    hardware = chip.program.hardware
    dac = hardware.dac
    b, p, r = rows.shape
    n = matrix.conductances.shape[2] // 2
    out = np.zeros((b, n, p), dtype=lot.kind)
    noise = None if hardware.noise.silent else hardware.noise
    group = TOGETHER if p >= 2 * TOGETHER else 1
    activity = Activity()
    for sign in (1.0, -1.0) if matrix.signed else (1.0,):
        codes = rows.codes(dac, sign / matrix.x_scale, lot.kind)
        if lot.seen is not None:
            lot.seen(chip, matrix, codes, gains)
        drives: dict[int, Drive] = {}
        for at, (placement, tile) in enumerate(zip(matrix.tiles, chip.tiles[matrix.name], strict=True)):
            start = placement.rows.start
            keys = stream_keys(lot.seed, (matrix.name, str(at), f"{sign:+g}"), lot.indices)
            if start not in drives:
                drives[start] = drive_rows(
                    codes[placement.rows], dac, noise, hardware.temperature, group=group,
                    strips=matrix.strips(placement.rows), keys=keys,
                )  # fmt: skip
            factor = sign * (hardware.adc.lsb(tile.full_scale) or 1.0) * matrix.scale[placement.columns]
            activity = activity + tile.add_read(
                drives[start], gains, keys, out, factor=factor, first=placement.columns.start
            )
    results = float(b * p * n)
    terms = len({tile.rows.start for tile in matrix.tiles}) * (2 if matrix.signed else 1)
    activity = activity + Activity(
        additions=results * (terms - 1 + int(matrix.bias is not None or matrix.shift is not None)),
        multiplications=results,
        buffer_bits=results * 8.0 + float(b * p * r) * 8.0,  # results out, codes in; 8 bits each
    )
    if gains is not None:
        activity = activity + gate_activity(matrix, gains, hardware)
    bias, more = _bias(matrix, shares, scales, b)
    if bias is not None:
        out += bias[:, :, None].astype(lot.kind)
    return out, activity + more


def _bias(
    matrix: Matrix, shares: FloatArray | None, scales: FloatArray | None, b: int
) -> tuple[FloatArray | None, Activity]:
    """Return what is added to each output, (b or 1, n), and what making it took once per image."""
    bias, n = matrix.bias, matrix.conductances.shape[2] // 2
    once, done = float(b * n), Activity()
    if bias is not None and shares is not None:
        bias = shares @ bias
        done = done + Activity(additions=once * (matrix.kernels - 1), multiplications=once * matrix.kernels)
    elif bias is not None:
        bias = bias[None]
    if bias is not None and scales is not None:
        bias = bias * scales
        done = done + Activity(multiplications=once)
    if matrix.shift is not None:
        done = done + Activity(additions=once if bias is not None else 0.0)
        bias = matrix.shift[None] if bias is None else bias + matrix.shift
    return bias, done


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
