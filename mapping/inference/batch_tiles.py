"""Tiles whose circuit differs from image to image: stacked bands, gates of columns, and rewritten cells.

b = batch, k = kernels, m = rows and c = pairs of one tile
"""

from dataclasses import replace
from functools import partial

import numpy as np

from crossbar.tiles.activity import Activity
from crossbar.tiles.batch_tiles import BatchTile, ColumnTile, StackedTile, rewritten_tile
from crossbar.tiles.written_arrays import WrittenArray
from devices.aliases import FloatArray
from devices.writing.spread import Written
from mapping.chips.cells import as_read, written_to
from mapping.chips.chip import Bank, Chip
from mapping.chips.simulated_writing import found_stuck
from mapping.hardware.description import Hardware
from mapping.inference.batch import Batch
from mapping.placement.counts import rewriting
from mapping.placement.gate_lines import gate_reach
from mapping.placement.matrix import Matrix, Placement


def tiles_for_batch(
    chip: Chip, matrix: Matrix, gains: FloatArray | None, attention: FloatArray | None, batch: Batch
) -> tuple[Chip, Activity]:
    """Return the chip with the tiles of a matrix for a batch of images, and the activity of writing them.

    gains: read gains, (b, k) if its kernels have gates, (b, k, n) if its columns have.  attention: (b, k).
    The seed of the batch draws the write errors.
    """
    banks = chip.banks.get(matrix.name)
    if banks is None:
        return chip, Activity()
    tiles: list[BatchTile] = []
    done = Activity()
    for placement, bank in zip(matrix.tiles, banks, strict=True):
        if isinstance(bank, StackedTile):
            tiles.append(bank.at(_given("gains", gains)))
        elif isinstance(bank, ColumnTile):
            tiles.append(bank.at(_given("gains", gains)[:, :, placement.columns]))
        else:
            tiles.append(_rewritten(chip, matrix, placement, bank, _given("attention", attention), batch))
    if any(isinstance(bank, Bank) for bank in banks):
        done = rewriting(matrix, len(batch.indices), chip.program.hardware.costs.stored_bits)
    ready = tuple(tile.single() if batch.kind == np.float32 else tile for tile in tiles)
    return replace(chip, tiles={**chip.tiles, matrix.name: ready}), done


def _given(what: str, value: FloatArray | None) -> FloatArray:
    if value is None:
        raise TypeError(f"the tiles of a batch need {what}")
    return value


def _rewritten(
    chip: Chip, matrix: Matrix, placement: Placement, bank: Bank, attention: FloatArray, batch: Batch
) -> BatchTile:
    """Write the mixed kernel of each image into the cells of a tile, one image after another."""
    wanted = mixed_targets(chip, matrix, placement, attention)
    return rewritten(chip.program.hardware, matrix, placement, bank, wanted, batch)[1]


def rewritten(
    hardware: Hardware, matrix: Matrix, placement: Placement, bank: Bank, wanted: FloatArray, batch: Batch
) -> tuple[WrittenArray, BatchTile]:
    """Write target conductances (b, m, 2 c) [S] into the cells of a tile, one image after another.

    Returns the cells of all images, and the tile of that batch.
    """
    cells, moments = np.empty(wanted.shape), matrix.moments[placement.rows.start]
    found = found_stuck(bank.cells.stuck, hardware.tile.stuck_missed, np.random.default_rng([*bank.stream, 4]))
    for at, index in enumerate(batch.indices):
        write = partial(_written, bank, (*bank.stream, 2, batch.seed, int(index)))
        written_once = written_to(wanted[at : at + 1], write, hardware, found, moments)
        cells[at] = as_read(written_once, hardware).g_filament[0]
    offset = np.broadcast_to(bank.cells.gate_offset, cells.shape)
    strips = matrix.strips(placement.rows)
    written = WrittenArray(
        cells, offset, None, placement.full_scale, bank.offsets, strips, placement.bit_ranges,
        gate_reach(matrix, (placement.shape[0], placement.cell_columns), hardware), bank.errors, bank.row_gains,
    )  # fmt: skip
    return written, rewritten_tile(
        hardware.cell_in_run, written, hardware.wires_in_run, hardware.dac, hardware.adc, hardware.noise,
        hardware.run_temperature,
    )  # fmt: skip


def _written(bank: Bank, stream: tuple[int, ...], targets: FloatArray) -> Written:
    """Write filament conductances [S] with the random draws of a stream."""
    return bank.cells.write(targets, np.random.default_rng(list(stream)))


def mixed_targets(chip: Chip, matrix: Matrix, placement: Placement, attention: FloatArray) -> FloatArray:
    """Return the target conductances (b, m, 2 c) [S] of each image's mixed kernel, compensated for IR drop.

    Source: docs/equations/encoding.md eq. 11.
    """
    cell, v_read = chip.program.hardware.cell, chip.program.hardware.dac.v_read
    low = float(cell.terminal_conductance(np.array(cell.g_min), cell.gain_high, v_read))
    columns = slice(2 * placement.columns.start, 2 * placement.columns.stop)
    kernels = matrix.conductances[:, placement.rows, columns]
    difference = np.tensordot(attention, kernels[..., 0::2] - kernels[..., 1::2], axes=1)
    if matrix.through is not None:
        difference = difference * (matrix.through.min() / matrix.through[placement.rows, placement.columns])
    out = np.empty((*difference.shape[:2], 2 * difference.shape[2]))
    out[..., 0::2] = low + np.maximum(difference, 0.0)
    out[..., 1::2] = low + np.maximum(-difference, 0.0)
    return out
