"""Inference on a written chip: Chip × images → outputs and a trace per layer.

Loops run layer → tile → (batch × position × column); batches run side by side and bound memory. Every product is
that of one image, and noise comes from one stream per image, tile and plane: neither batches nor threads change a bit.
b = batch, p = positions, r = matrix rows, n = outputs, k = kernels
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Protocol

import numpy as np

from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.numerics.blas import one_blas_thread
from devices.numerics.worker_threads import over_threads
from mapping.chips.chip import Chip
from mapping.inference.batch import Batch
from mapping.inference.layer_run import run_layer
from mapping.inference.traces import SAMPLE, BatchResult, LayerPart, LayerSums, RunResult, Step
from mapping.networks.layers.base import INPUT
from mapping.placement.gated_layers import split_scales
from mapping.placement.program import Program

BATCH = 64  # images at a time on each thread, ours: bounds the unrolled maps
SHARES = 4  # batches of a short run, ours: whatever the threads, so that sums over batches have the same last digit
COMPARED = 128  # images whose layers are compared with the exact network's, ours
PRECISIONS = {"single": np.float32, "double": np.float64}  #: of the arithmetic of a run


class Kept(Protocol):
    """Where a run keeps its batches, so that another run goes on where it was stopped."""

    def get(self, start: int, stop: int) -> BatchResult | None:
        """Return what images start … stop - 1 left in an earlier run, None if it was not kept."""

    def put(self, start: int, stop: int, done: BatchResult) -> None:
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

    def work(start: int) -> BatchResult:
        part = images[start : start + batch]
        held = None if kept is None else kept.get(start, start + len(part))
        if held is not None:
            return held
        done = _batch(ready, part, start, seed, kind)
        if kept is not None:
            kept.put(start, start + len(part), done)
        return done

    sums = {layer.name: LayerSums(layer) for layer in program.folded.layers} if len(images) else {}
    logits = [np.empty((0, len(program.network.classes)))]
    with one_blas_thread(), closing(over_threads(work, range(0, len(images), batch))) as results:
        for done in results:
            logits.append(done.logits)
            for name, part in done.layers.items():
                sums[name].add(part)
            if progress is not None:
                progress(sum(map(len, logits)))
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

    with one_blas_thread():
        parts = list(over_threads(work, range(0, len(images), BATCH)))
    return np.concatenate([np.empty((0, len(program.network.classes))), *parts])


def _kind(precision: str) -> np.dtype:
    if precision not in PRECISIONS:
        raise ParameterError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return np.dtype(PRECISIONS[precision])


def walk(chip: Chip, images: FloatArray, batch: Batch) -> Iterator[Step]:
    """Run images (b, c, h, w) through the layers, one after another; maps that no later layer reads are dropped."""
    folded = chip.program.folded
    values = {INPUT: images.astype(batch.kind, copy=False)}
    for layer, last in zip(folded.layers, folded.last_use, strict=True):
        inputs = [values[source] for source in layer.inputs]
        output, activity, shares = run_layer(chip, layer, inputs, batch)
        yield Step(layer, inputs, output, activity, shares)
        values[layer.name] = output
        for name in last:
            del values[name]


def _batch(chip: Chip, images: FloatArray, start: int, seed: int, kind: np.dtype) -> BatchResult:
    """Run one batch whose first image has number `start`; the first COMPARED of a run are compared layer by layer."""
    folded = chip.program.folded
    seen = max(min(COMPARED - start, len(images)), 0)
    reference = folded.activations(images[:seen]) if seen else {}
    parts = {}
    for layer, inputs, output, activity, shares in walk(
        chip, images, Batch(seed, np.arange(start, start + len(images)), kind)
    ):
        scales = split_scales(layer, inputs)[1]
        parts[layer.name] = LayerPart(activity, shares, scales=scales)
        if seen:
            out, wanted = output[:seen].astype(np.float64), reference[layer.name]
            own = layer.apply(*(each[:seen].astype(np.float64) for each in inputs))
            sizes = (np.sum((out - wanted) ** 2), np.sum(wanted**2), np.sum((out - own) ** 2), np.sum(own**2))
            off, size, own_off, own_size = map(float, sizes)
            parts[layer.name] = LayerPart(activity, shares, off, size, own_off, own_size, scales)
    return BatchResult(output.astype(np.float64), parts)
