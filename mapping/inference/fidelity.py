"""Levels of fidelity: random reads of a run are solved again from their cells.

The reference solver checks the run's arithmetic. The currents without wires show the effect of IR drop. Newton's method
shows the effect of nonlinear current-voltage curves; the run takes cells as linear from zero to the read voltage.
m = rows, c = pairs of one tile, k = kernels
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crossbar.arrays.array import Array
from crossbar.nodal.newton import solve_array
from crossbar.reference.nodal_analysis import reference_solve
from crossbar.tiles.batch_tiles import BatchTile
from crossbar.tiles.tile import Tile
from devices import checks
from devices.aliases import FloatArray
from mapping.chips.chip import Chip
from mapping.inference.batch import Batch
from mapping.inference.running import PRECISIONS, walk
from mapping.inference.traces import RunResult
from mapping.placement.matrix import Matrix

IMAGES = 16  # largest number of images that reads are taken from, ours: these images run once more
EACH = 3  # reads of each matrix, ours


@dataclass(frozen=True, eq=False)
class Sample:
    """One read of one tile, for one sign of the input: the currents (c,) [A] of its pairs, without noise."""

    layer: str
    matrix: str
    image: int  #: number of the image in the run
    tile: int
    position: int
    full_scale: float  #: range of the tile's converters [A]
    run: FloatArray  #: currents of the run's own arithmetic
    linear: FloatArray  #: by the reference solver: the same cells, taken as linear, and wires
    wireless: FloatArray  #: the same cells without wires
    nonlinear: FloatArray  #: by Newton's method: the same cells with nonlinear curves, and wires


@dataclass(frozen=True)
class Fidelity:
    """Differences between the levels of fidelity in one layer, over its reads."""

    layer: str
    samples: int  #: number of reads
    arithmetic: float  #: largest |run - linear|, relative to the range of the converters
    wires: float  #: root mean square of (linear - wireless), relative to that of linear
    nonlinear: float  #: root mean square of (nonlinear - linear), relative to that of linear


class _Read(NamedTuple):
    """The inputs of one read of a tile."""

    chip: Chip
    matrix: Matrix
    entry: int  #: number of the image in the batch
    tile: int
    position: int
    codes: FloatArray  #: (m,)
    gains: FloatArray | None  #: (k,), or (k, n) if columns have gates; None: gates are held open


def sample(
    result: RunResult,
    images: FloatArray,
    *,
    each: int = EACH,
    seed: int = 0,
    precision: str = "single",
    progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """Draw `each` reads of every matrix of a run and solve them again.

    images: (b, c, h, w) of the run.  seed: draws images, tiles and positions.  precision: of the run.
    progress: called with the number of reads done and of all.
    The drawn images run once more, with the same bits.  Matrices that are rewritten for each image are left out.
    Raises ParameterError unless there are as many images as in the run.
    """
    images = checks.array("images", images, shape=(len(result.logits), None, None, None))
    each = checks.whole("each", each, minimum=1)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(images), min(IMAGES, len(images)), replace=False))
    kind = np.dtype(PRECISIONS[precision])
    ready = result.chip.exact if precision == "double" else result.chip.single()
    reads: list[_Read] = []

    def seen(chip: Chip, matrix: Matrix, codes: FloatArray, gains: FloatArray | None) -> None:
        if matrix.rewritten:
            return
        _, b, p = codes.shape
        for entry, tile, position in zip(
            rng.integers(b, size=each), rng.integers(len(matrix.tiles), size=each), rng.integers(p, size=each),
            strict=True,
        ):  # fmt: skip
            driven = codes[matrix.tiles[tile].rows, entry, position].astype(np.float64)
            reads.append(_Read(chip, matrix, entry, tile, position, driven, None if gains is None else gains[entry]))

    for _ in walk(ready, images[chosen], Batch(result.seed, chosen, kind, seen)):
        pass
    layers = {matrix.name: name for name, group in result.chip.program.matrices.items() for matrix in group}
    samples = []
    for done, read in enumerate(reads, start=1):
        samples.append(_recomputed(layers[read.matrix.name], int(chosen[read.entry]), read, result.chip))
        if progress is not None:
            progress(done, len(reads))
    return samples


def by_layer(samples: list[Sample]) -> tuple[Fidelity, ...]:
    """Return the differences between the levels of fidelity, layer by layer."""
    by_layer: dict[str, list[Sample]] = {}
    for one in samples:
        by_layer.setdefault(one.layer, []).append(one)
    found = []
    for layer, held in by_layer.items():
        run, linear, wireless, nonlinear = (
            np.concatenate([getattr(one, name) / one.full_scale for one in held])
            for name in ("run", "linear", "wireless", "nonlinear")
        )
        size = float(np.sqrt(np.mean(linear**2))) or 1.0
        found.append(
            Fidelity(
                layer,
                len(held),
                float(np.abs(run - linear).max()),
                float(np.sqrt(np.mean((linear - wireless) ** 2))) / size,
                float(np.sqrt(np.mean((nonlinear - linear) ** 2))) / size,
            )
        )
    return tuple(found)


def _recomputed(layer: str, image: int, read: _Read, chip: Chip) -> Sample:
    hardware, matrix = chip.program.hardware, read.matrix
    dac, wires = hardware.dac, hardware.wires_in_run
    tile = read.chip.tiles[matrix.name][read.tile]
    inputs = read.codes / dac.full_code
    linear, wireless, nonlinear = np.zeros((3, 1))
    for array, v_gate, drivers in _arrays(chip, matrix, read):
        bands = len(drivers) // len(inputs)
        rows = np.tile(inputs, bands) * drivers
        g = hardware.cell_in_run.terminal_conductance(array.g_filament, array.gain(v_gate)[0], dac.v_read)
        v = dac.v_read * rows[None]
        linear = linear + reference_solve(g, v, wires).currents[0]
        wireless = wireless + v[0] @ g
        weights, patterns = dac.instants(np.tile(read.codes, bands))
        volts = dac.v_read * patterns * drivers
        nonlinear = nonlinear + weights @ solve_array(array, volts, wires, v_gate=v_gate).currents
    run = _by_tile(tile, inputs, read)
    seen = (linear, wireless, nonlinear)
    pairs = [each[0::2] - each[1::2] for each in seen] if matrix.code.paired else list(seen)
    return Sample(layer, matrix.name, image, read.tile, read.position, tile.full_scale, run, *pairs)


def _by_tile(tile: Tile | BatchTile, inputs: FloatArray, read: _Read) -> FloatArray:
    """Return the currents (c,) [A] of the tile's own transfer matrices, in their precision.

    inputs: (m,) row voltages over the read voltage.
    """
    if isinstance(tile, BatchTile):
        own, gains = tile.tile, np.full((1, tile.tile.gates), float(read.entry))
    else:
        own, gains = tile, np.array([read.gains])
    kind = own.signal.dtype
    mix = own.mix(None if own.nodes is None else gains, 1).astype(kind)
    currents: FloatArray = own.currents(inputs[None, None].astype(kind), mix)[0, 0].astype(np.float64)
    return currents


def _arrays(chip: Chip, matrix: Matrix, read: _Read) -> list[tuple[Array, FloatArray | float | None, FloatArray]]:
    """Return the circuits of a tile as written: cells, gate voltages that broadcast over them, relative row voltages.

    Bands below one another are one array.
    """
    cell, written = chip.program.hardware.cell_in_run, chip.written(matrix, read.tile)
    k, m, n = written.g_filament.shape
    drivers = np.ones((k, m)) if written.row_gains is None else written.row_gains
    if not cell.gated:
        return [(Array(cell, g), None, rows) for g, rows in zip(written.g_filament, drivers, strict=True)]
    gains = np.full(k, cell.gain_high) if read.gains is None else read.gains
    if matrix.column_gates:
        volts = np.repeat(cell.gate_voltage(gains[:, matrix.tiles[read.tile].columns]), 2, axis=1)[:, None, :]
    else:
        volts = cell.gate_voltage(gains)[:, None, None]
    volts = np.broadcast_to(written.at_cells(volts), (k, m, n))
    if matrix.gated and matrix.layout == "stacked" and not matrix.column_gates:
        joined = (each.reshape(k * m, n) for each in (written.g_filament, written.gate_offset))
        return [(Array(cell, *joined), volts.reshape(k * m, n), drivers.reshape(-1))]
    return [
        (Array(cell, g, offset), volt, rows)
        for g, offset, volt, rows in zip(written.g_filament, written.gate_offset, volts, drivers, strict=True)
    ]
