"""Inference on a written chip: Chip × images → outputs and a trace per layer.

Loops run layer → tile → (batch × position × column). Batches run in parallel and bound the memory. Every product is of
one image, and every image, tile and sign has its own noise stream, so results do not depend on batches or threads.
b = batch, p = positions, r = matrix rows, n = outputs, k = kernels
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.numerics.blas import one_blas_thread
from devices.numerics.worker_threads import over_threads
from mapping.chips.chip import Chip
from mapping.chips.distributed_work import Distribute
from mapping.inference.batch import Batch
from mapping.inference.layer_run import run_layer
from mapping.inference.traces import SAMPLE, BatchResult, LayerPart, LayerSums, RunResult, Step
from mapping.networks.layers.base import INPUT
from mapping.placement.gated_layers import split_scales
from mapping.placement.program import Program

BATCH = 64  # images at a time on each thread, ours: bounds the memory of the unrolled maps
LEAST_BATCHES = 4  # a short run has so many batches on any number of threads, so that sums have equal last digits; ours
COMPARED = 128  # number of images whose layers are compared with the exact network, ours
PRECISIONS = {"single": np.float32, "double": np.float64}  #: of the arithmetic of a run


class Kept(Protocol):
    """Store of a run's batches, so that a stopped run can be continued."""

    def get(self, start: int, stop: int) -> BatchResult | None:
        """Return the stored result of images start … stop - 1; None if there is none."""

    def put(self, start: int, stop: int, done: BatchResult) -> None:
        """Store the result of images start … stop - 1."""


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
    distribute: Distribute | None = None,
) -> RunResult:
    """Run images (b, c, h, w) through a chip, batches in parallel on all threads.

    seed: of the read noise.  batch: images at a time.  precision: "single" (currents to 1e-6 of their range and, where
    kernels are mixed, to `tile.family_error`) or "double" arithmetic, with the matrices at all gate nodes.  exact:
    (b, classes) the result of `exact_outputs`, computed if not given.  progress: called after each batch with the
    number of images done.  kept: store of finished batches, which are not run again.
    distribute: where batches run; default: all threads of this process.
    Raises ParameterError for images or outputs of another shape.
    """
    program = chip.program
    images = checks.array("images", images, shape=(None, *program.network.input_shape))
    if exact is None:
        exact = exact_outputs(program, images, precision=precision)
    exact = checks.array("exact", exact, shape=(len(images), len(program.network.classes)))
    batch = min(checks.whole("batch", batch, minimum=1), max(-(-len(images) // LEAST_BATCHES), 1))
    seed = checks.seed(seed)
    kind = _kind(precision)
    ready = chip.exact if precision == "double" else chip.single()

    def work(start: int) -> BatchResult:
        part = images[start : start + batch]
        held = None if kept is None else kept.get(start, start + len(part))
        if held is not None:
            return held
        done = _batch(ready, part, start, seed, kind)
        if kept is not None:
            kept.put(start, start + len(part), done)
        return done

    starts = range(0, len(images), batch)
    if distribute is None:
        running = over_threads(work, starts)
    else:
        running = _elsewhere(distribute, _Run(ready, seed, kind), images, starts, kept)
    sums = {layer.name: LayerSums(layer) for layer in program.folded.layers} if len(images) else {}
    logits = [np.empty((0, len(program.network.classes)))]
    with one_blas_thread(), closing(running) as results:
        for done in results:
            logits.append(done.logits)
            for name, part in done.layers.items():
                sums[name].add(part)
            if progress is not None:
                progress(sum(map(len, logits)))
    traces = tuple(each.trace(len(images)) for each in sums.values())
    return RunResult(chip, np.concatenate(logits), exact, traces, seed, images[:SAMPLE].copy())


@dataclass(frozen=True, eq=False)
class _Run:
    """What all batches of a run share."""

    chip: Chip
    seed: int
    kind: np.dtype


def _piece(shared: _Run, batch: tuple[int, FloatArray]) -> BatchResult:
    """Run a batch: the number of its first image, and its images."""
    return _batch(shared.chip, batch[1], batch[0], shared.seed, shared.kind)


def _elsewhere(
    distribute: Distribute, shared: _Run, images: FloatArray, starts: range, kept: Kept | None
) -> Generator[BatchResult, None, None]:
    """Yield the results of batches in order; each is stored as soon as it is there, and stored ones are not run."""
    batches = {start: images[start : start + starts.step] for start in starts}
    ready = {} if kept is None else {start: kept.get(start, start + len(part)) for start, part in batches.items()}
    missing = [(start, part) for start, part in batches.items() if ready.get(start) is None]
    waiting = iter(starts)
    after = next(waiting, None)
    with closing(distribute(_piece, shared, missing)) as results:
        while after is not None:
            done = ready.pop(after, None)
            if done is not None:
                yield done
                after = next(waiting, None)
                continue
            at, done = next(results)
            start, part = missing[at]
            ready[start] = done
            if kept is not None:
                kept.put(start, start + len(part), done)


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
    """Run images (b, c, h, w) through the layers in order; a map is dropped after its last use."""
    folded = chip.program.folded
    values = {INPUT: images.astype(batch.kind, copy=False)}
    for layer, last in zip(folded.layers, folded.last_use, strict=True):
        inputs = [values[source] for source in layer.inputs]
        output, activity, attention = run_layer(chip, layer, inputs, batch)
        yield Step(layer, inputs, output, activity, attention)
        values[layer.name] = output
        for name in last:
            del values[name]


def _batch(chip: Chip, images: FloatArray, start: int, seed: int, kind: np.dtype) -> BatchResult:
    """Run the batch that begins with image `start`; layers of the run's first COMPARED images are compared."""
    folded = chip.program.folded
    seen = max(min(COMPARED - start, len(images)), 0)
    reference = folded.activations(images[:seen]) if seen else {}
    parts = {}
    for layer, inputs, output, activity, attention in walk(
        chip, images, Batch(seed, np.arange(start, start + len(images)), kind)
    ):
        scales = split_scales(layer, inputs)[1]
        parts[layer.name] = LayerPart(activity, attention, scales=scales)
        if seen:
            out, wanted = output[:seen].astype(np.float64), reference[layer.name]
            own = layer.apply(*(each[:seen].astype(np.float64) for each in inputs))
            sizes = (np.sum((out - wanted) ** 2), np.sum(wanted**2), np.sum((out - own) ** 2), np.sum(own**2))
            off, size, own_off, own_size = map(float, sizes)
            parts[layer.name] = LayerPart(activity, attention, off, size, own_off, own_size, scales)
    return BatchResult(output.astype(np.float64), parts)
