"""Writing a chip: its arrays, then a digital scale and shift for each output, fitted on calibration images.

Write errors, stuck cells and offsets of converters and gates scale and shift an output by the same amount for every
image. The multiplication and the addition that each output needs anyway correct this part of the error.
b = batch, n = outputs
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from devices.aliases import FloatArray
from devices.numerics.blas import one_blas_thread
from devices.numerics.worker_threads import over_threads
from mapping.chips.chip import Adjustment, Chip, write_arrays
from mapping.chips.distributed_work import Distribute
from mapping.chips.measured_cells import MeasuredCells
from mapping.hardware.retention import Retention
from mapping.inference.batch import Batch
from mapping.inference.layer_run import adjust, attention_part, matrix_of_recurrent, run_layer
from mapping.networks import digital
from mapping.networks.layers.base import INPUT, Layer
from mapping.networks.layers.convolutions import DynamicConv
from mapping.networks.layers.matrix_layers import MatrixLayer, linear
from mapping.networks.layers.recurrent import Recurrent
from mapping.placement.gated_layers import split_scales
from mapping.placement.program import Program

STREAM = 2**63  # added to the seed, so that the read noise of the fit differs from that of a run; ours
PIECE = 16  # images at a time on each thread, ours
REMADE = 32  # number of images if arrays are solved anew for each image, ours
LEAST = 32  # an output with fewer values is not adjusted, as its mean and deviation are uncertain; ours


def write(
    program: Program,
    seed: int = 0,
    *,
    measured: MeasuredCells | None = None,
    progress: Callable[[int], None] | None = None,
    distribute: Distribute | None = None,
) -> Chip:
    """Write every tile of a program with variability drawn from `seed`, reduce its circuit, and adjust the outputs.

    The outputs of a chip that ages are adjusted on the new chip, or as `retention.adjusted` says on the aged one.
    measured: cells of a chip as `read_measured` returns them, taken in place of simulated writes; `seed` then draws the
    offsets of the converters only.
    progress: called after each matrix with the number of tiles done.
    distribute: where matrices are written; default: one after another in this process, with all its threads.
    Raises ParameterError if seed is no whole number ≥ 0.
    """
    chip = write_arrays(program, seed, measured=measured, progress=progress, distribute=distribute)
    hardware = program.hardware
    if not hardware.tile.adjust_outputs:
        return chip
    if hardware.retention.changes and hardware.retention.adjusted == "new":
        fresh = write_arrays(new(program), seed, measured=measured, distribute=distribute)
        return replace(chip, adjustments=adjusted(fresh).adjustments)
    return adjusted(chip)


def new(program: Program) -> Program:
    """Return the same program on the chip as it is just after writing."""
    return replace(program, hardware=replace(program.hardware, retention=Retention()))


def adjusted(chip: Chip) -> Chip:
    """Return the chip with a scale and a shift for each output, which then has the exact network's mean and deviation.

    The layers are fitted in order, on the program's calibration images; each gets the outputs of the adjusted layers
    before it.
    Source: docs/equations/encoding.md eq. 13.
    """
    program = chip.program
    images, folded = program.calibration[: REMADE if chip.banks else None], program.folded
    kind = np.dtype(np.float32)
    pieces = np.split(np.arange(len(images)), range(PIECE, len(images), PIECE))
    batches = [Batch(STREAM + chip.seed, piece, kind) for piece in pieces]
    values: dict[str, list[FloatArray]] = {INPUT: [images[piece].astype(kind) for piece in pieces]}
    with one_blas_thread():
        ready = _Adjusting(replace(chip.single(), adjustments={}), batches)
        for (layer, exact), last in zip(folded.layer_by_layer(images), folded.last_use, strict=True):
            inputs = [list(each) for each in zip(*(values[source] for source in layer.inputs), strict=True)]
            wanted = [exact[source] for source in layer.inputs]
            values[layer.name] = ready.layer(layer, inputs, wanted, exact[layer.name])
            for name in last:
                del values[name]
    return replace(chip, adjustments=ready.chip.adjustments)


@dataclass
class _Adjusting:
    """A chip while its outputs are adjusted; images are processed in pieces of PIECE."""

    chip: Chip
    batches: list[Batch]

    def layer(
        self, layer: Layer, inputs: list[list[FloatArray]], wanted_inputs: list[FloatArray], wanted: FloatArray
    ) -> list[FloatArray]:
        """Run a layer, fit its adjustment if it is on arrays, and return the adjusted outputs."""
        placed = layer.name in self.chip.program.matrices
        if placed and isinstance(layer, DynamicConv):
            self._attention(layer, [split_scales(layer, x)[0] for x in inputs], split_scales(layer, wanted_inputs)[0])
        if placed and isinstance(layer, Recurrent):  # the state feeds back, so each matrix is adjusted by itself
            self._recurrent(layer, inputs, wanted_inputs)
            placed = False
        outputs = self._run(lambda x, batch: run_layer(self.chip, layer, x, batch)[0], inputs)
        axis = layer.output_axis if isinstance(layer, MatrixLayer) else 1
        return self._adjust(layer.name, outputs, wanted, axis) if placed else outputs

    def _recurrent(self, layer: Recurrent, inputs: list[list[FloatArray]], wanted: list[FloatArray]) -> None:
        """Adjust the matrices of a recurrent layer on the exact states."""
        for matrix in self.chip.program.matrices[layer.name]:
            rows = [
                layer.rows(x, matrix.group).astype(batch.kind) for x, batch in zip(inputs, self.batches, strict=True)
            ]
            aim = linear(layer.rows(wanted, matrix.group), *layer.matrix(matrix.group))
            outputs = self._run(lambda x, batch, at=matrix: matrix_of_recurrent(self.chip, at, x, batch)[0], rows)
            self._adjust(matrix.name, outputs, aim, 2)

    def _attention(self, layer: DynamicConv, inputs: list[list[FloatArray]], wanted: list[FloatArray]) -> None:
        """Adjust the two FC layers of a dynamic layer's attention."""
        attention, x, pooled = layer.attention, [layer.pooled(each) for each in inputs], layer.pooled(wanted)
        parts = (linear(pooled, attention.weight_1, attention.bias_1), attention.scores(pooled))
        matrices = self.chip.program.matrices[f"{layer.name}.attention"]
        for at, (matrix, aim) in enumerate(zip(matrices, parts, strict=True)):
            outputs = self._run(lambda each, batch, at=at: attention_part(self.chip, layer, at, each, batch)[0], x)
            x = [digital.relu(each) for each in self._adjust(matrix.name, outputs, aim)]

    def _run(self, work: Callable[..., FloatArray], inputs: Sequence[object]) -> list[FloatArray]:
        """Run a function on every piece in parallel; the noise of a piece is the same in every call."""
        return list(over_threads(lambda pair: work(*pair), list(zip(inputs, self.batches, strict=True))))

    def _adjust(self, name: str, outputs: list[FloatArray], wanted: FloatArray, axis: int = 1) -> list[FloatArray]:
        by = scale_and_shift(*(np.moveaxis(each, axis, 1) for each in (np.concatenate(outputs), wanted)))
        self.chip = replace(self.chip, adjustments={**self.chip.adjustments, name: by})
        return [adjust(each, by, axis) for each in outputs]


def scale_and_shift(found: FloatArray, wanted: FloatArray) -> Adjustment:
    """Return scale and shift (n,) that give outputs (b, n, …) the mean and the standard deviation of the wanted ones.

    A constant output is only shifted; with fewer than LEAST values nothing is changed.
    """
    n = found.shape[1]
    x, y = (np.moveaxis(each, 1, 0).reshape(n, -1).astype(np.float64) for each in (found, wanted))
    if x.shape[1] < LEAST:
        return np.ones(n), np.zeros(n)
    deviation = x.std(axis=1)
    changes = deviation > 1e-6 * np.abs(x).max(axis=1)
    scale = np.divide(y.std(axis=1), deviation, out=np.ones(n), where=changes)
    return scale, y.mean(axis=1) - scale * x.mean(axis=1)
