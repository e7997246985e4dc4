"""Written and reduced tiles of one matrix as functions of its target conductances, with exact gradients.

Forwards is what `write` does: the same cells with the same luck, the same reduction. Backwards is the reduction run
backwards, then each cell's own law; the written error of a cell is held as it is (docs/training.md).

k = kernels, q = gate nodes, r = matrix rows, m = rows of a tile, c = converted columns
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from crossbar.arrays.tile_wires import TileWires
from crossbar.arrays.wires import Wires
from crossbar.gradients.array_gradients import transfer_gradient
from crossbar.gradients.family_gradients import filament_slopes
from crossbar.tiles.batch_tiles import StackedTile, build_stacked_tiles
from crossbar.tiles.shared_sense import piece_of
from crossbar.tiles.tile import Tile
from crossbar.tiles.written_arrays import WrittenArray, build_tiles, terminal_conductances
from devices.aliases import FloatArray
from devices.writing.read_disturb import Stress
from devices.writing.spread import DrawnCells, Written
from mapping.chips.cells import write_cells, write_tile
from mapping.hardware.description import Hardware
from mapping.placement.encoding import filaments
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.program import Program

Tensor = Any  # torch's own classes have no types here
Context = Any  # of an autograd function


@dataclass
class Reduction:
    """The tiles of one matrix at the targets where they were last written and reduced."""

    targets: FloatArray  #: (k, r, columns) [S]
    written: list[WrittenArray]
    seen: list[FloatArray]  #: (k, q, m, columns) [S] conductances that were reduced; none for stacked bands
    tiles: list[Tile]  #: none for stacked bands
    slopes: list[FloatArray]  #: (k, q, m, columns) of `seen` by the targets; none for stacked bands
    banks: list[StackedTile]  #: of stacked bands


class MatrixTiles:
    """What writes and reduces one matrix, again and again on the same cells."""

    def __init__(
        self, program: Program, matrix: Matrix, index: int, seed: int, stress: Stress | None = None,
        simulated: Sequence[Written] | None = None,
    ) -> None:  # fmt: skip
        """simulated: cells of all tiles that pulses wrote to the matrix' own conductances; None: errors are drawn."""
        self.program, self.matrix, self.stress, self.simulated = program, matrix, stress, simulated
        self.streams = [(seed, index, at) for at in range(len(matrix.tiles))]
        self.stacked = matrix.gated and matrix.layout == "stacked"
        self.cells = [
            self._drawn(placement, stream) for placement, stream in zip(matrix.tiles, self.streams, strict=True)
        ]

    def _drawn(self, placement: Placement, stream: tuple[int, ...]) -> DrawnCells:
        """The cells of a tile as `write_tile` draws them."""
        shape = (self.matrix.stored, placement.shape[0], placement.cell_columns)
        hardware = self.program.hardware
        return hardware.spread.draw(hardware.cell, shape, np.random.default_rng([*stream, 0]), 1)

    def _written(self, matrix: Matrix, at: int) -> WrittenArray:
        """Write a tile of the matrix with other conductances."""
        held = None if self.simulated is None else self._moved(matrix, at, self.simulated[at])
        return write_tile(matrix, matrix.tiles[at], self.program, self.streams[at], held, self.stress)

    def _moved(self, matrix: Matrix, at: int, pulsed: Written) -> Written:
        """Cells that pulses wrote, moved as far as their targets have moved since: the errors of the write are held."""
        hardware = self.program.hardware
        program = replace(self.program, hardware=replace(hardware, tile=replace(hardware.tile, write="drawn")))
        before, now = (
            write_cells(each, matrix.tiles[at], program, self.streams[at], self.stress).targets
            for each in (self.matrix, matrix)
        )
        cells = self.cells[at]
        moved = np.clip(pulsed.g_filament + (now - before), cells.g_min, cells.g_max)
        return Written(np.where(cells.stuck | (now == before), pulsed.g_filament, moved), pulsed.gate_offset)

    def reduce(self, targets: FloatArray) -> Reduction:
        """Write targets (k, r, columns) [S] and reduce every tile."""
        hardware, matrix = self.program.hardware, replace(self.matrix, conductances=targets)
        written = [self._written(matrix, at) for at in range(len(matrix.tiles))]
        adc = matrix.code.converter(hardware.adc)
        parts = (hardware.wires_in_run, hardware.dac, adc, hardware.noise, hardware.run_temperature)
        if self.stacked:
            return Reduction(targets, written, [], [], [], build_stacked_tiles(hardware.cell, written, *parts))
        tiles = build_tiles(hardware.cell, written, *parts, hardware.tile.r_join)
        seen = [terminal_conductances(hardware.cell, each, hardware.dac.v_read, each.nodes) for each in written]
        slopes = [self._slopes(each, at, targets) for at, each in enumerate(written)]
        return Reduction(targets, written, seen, tiles, slopes, [])

    def _slopes(self, written: WrittenArray, at: int, targets: FloatArray) -> FloatArray:
        """Slopes of what is seen by the targets: of the law at the written filament, whose error is held."""
        hardware, placement = self.program.hardware, self.matrix.tiles[at]
        cell, v_read = hardware.cell, hardware.dac.v_read
        gains = np.array([cell.gain_high]) if written.nodes is None else written.nodes.gains
        reach = 1.0 if written.gate_reach is None else written.gate_reach
        by_filament = filament_slopes(cell, written.g_filament, written.gate_offset, gains, v_read, reach)
        own = targets[:, placement.rows, placement.cells]
        return by_filament * write_slopes(written, self.cells[at], own, hardware)[:, None]

    def gradient(self, at: Reduction, d_signals: Sequence[FloatArray]) -> FloatArray:
        """Return the slopes by the targets (k, r, columns), from those by what `stored` takes from each tile."""
        hardware = self.program.hardware
        out = np.zeros(at.targets.shape)
        alike: dict[tuple[int, ...], list[tuple[int, slice]]] = {}  # arrays of one shape with equal wires
        for t, (seen, tile) in enumerate(zip(at.seen, at.tiles, strict=True)):
            pieces = [-1] if tile.sense is None else range(len(seen))
            for piece in pieces:
                some = slice(None) if piece < 0 else slice(piece, piece + 1)
                alike.setdefault((*seen.shape[2:], piece), []).append((t, some))
        d_transfers = [
            to_transfers(d, tile, each) for d, tile, each in zip(d_signals, at.tiles, at.written, strict=True)
        ]
        for (m, n, piece), members in alike.items():
            g, d = (
                np.concatenate([each[t][some].reshape(-1, m, n) for t, some in members])
                for each in (at.seen, d_transfers)
            )
            d_g, first = transfer_gradient(g, wires_of(hardware, (m, n), piece), d), 0
            for t, some in members:
                shape = at.seen[t][some].shape
                count = shape[0] * shape[1]
                mine = d_g[first : first + count].reshape(shape) * at.slopes[t][some]
                placement = self.matrix.tiles[t]
                out[some, placement.rows, placement.cells] += mine.sum(1)
                first += count
        return out


def write_slopes(written: WrittenArray, cells: DrawnCells, targets: FloatArray, hardware: Hardware) -> FloatArray:
    """Slopes (k, m, columns) of written filaments by the targets [S], with the errors of the write held.

    0 for cells that take no write, and for those that a write leaves at an end of their window.
    """
    cell, v_read = hardware.cell, hardware.dac.v_read
    asked = filaments(targets, cell, v_read)
    slope = filament_slopes(cell, asked, 0.0, np.array([cell.gain_high]), v_read)[:, 0]
    g = written.g_filament
    moves = ~cells.stuck & ((g > cells.g_min) & (g < cells.g_max) | (g == asked))
    slopes: FloatArray = np.where(moves, 1.0 / slope, 0.0)
    return slopes


def wires_of(hardware: Hardware, shape: tuple[int, int], piece: int = -1) -> Wires:
    """Return the wires of an array of m × n cells; piece: of the wire that joins neighbouring arrays, -1 for none."""
    wires: Wires = hardware.wires_in_run
    if piece >= 0 and hardware.tile.r_join is not None:
        wires = piece_of(wires, piece, hardware.tile.r_join)
    return wires.of_array(*shape) if isinstance(wires, TileWires) else wires


def stored(tile: Tile) -> FloatArray:
    """Return what reads take from a tile: its signal (k, q, m, c).

    With common sense inputs (k, q, m + 1, 2 c): signal and sums side by side, then a row with the columns' own sums.
    """
    if tile.sense is None:
        return tile.signal
    rows = np.concatenate([tile.signal, tile.sense.sums], axis=-1)
    return np.concatenate([rows, tile.sense.columns[:, :, None]], axis=2)


def of_transfers(transfers: Tensor, tile: Tile) -> Tensor:
    """Return what `stored` takes, as a linear function of transfers (k, q, m, columns) without gains of row drivers."""
    if tile.columns == 1:
        return transfers
    signal = transfers[..., 0::2] - transfers[..., 1::2]
    if tile.sense is None:
        return signal
    rows = torch.cat([signal, transfers[..., 0::2] + transfers[..., 1::2]], dim=-1)
    return torch.cat([rows, transfers.sum(2, keepdim=True)], dim=2)


def to_transfers(d_stored: FloatArray, tile: Tile, written: WrittenArray) -> FloatArray:
    """Return the slopes by transfers (k, q, m, columns) of those by what `stored` takes."""
    if tile.sense is None:
        driven = written.driven(d_stored)
        return opposite(driven) if tile.columns == 2 else driven
    c = d_stored.shape[-1] // 2
    signal, sums = (written.driven(each) for each in (d_stored[:, :, :-1, :c], d_stored[:, :, :-1, c:]))
    pairs = np.stack([sums + signal, sums - signal], axis=-1).reshape(*signal.shape[:-1], -1)
    whole: FloatArray = pairs + d_stored[:, :, -1:]
    return whole


class SignalsOf(torch.autograd.Function):  # type: ignore[misc]
    """What reads take from all tiles, from the targets of a matrix, written and reduced anew; backwards exact."""

    @staticmethod
    def forward(  # noqa: D102 - torch's name
        ctx: Context,
        targets: Tensor,
        tiles: MatrixTiles,
        at: Reduction,
        kind: Context,
    ) -> tuple[Tensor, ...]:
        ctx.tiles, ctx.at = tiles, at
        ctx.like = targets
        return tuple(torch.as_tensor(stored(each), device=targets.device).to(kind) for each in at.tiles)

    @staticmethod
    def backward(ctx: Context, *upstream: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: D102
        d_signals = [each.detach().cpu().numpy().astype(np.float64) for each in upstream]
        slopes = ctx.tiles.gradient(ctx.at, d_signals)
        return torch.as_tensor(slopes, device=ctx.like.device).to(ctx.like.dtype), None, None, None


class Followed(torch.autograd.Function):  # type: ignore[misc]
    """Signals (k, q, m, c) of pairs whose cells moved by (k, m, c) each, by the slopes of each cell's own transfer."""

    @staticmethod
    def forward(  # noqa: D102 - torch's name
        ctx: Context, positive: Tensor, negative: Tensor, before: Tensor, up: Tensor, down: Tensor
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(up, down)
        signal = torch.addcmul(before, positive[:, None], up)
        return signal.addcmul_(negative[:, None], down, value=-1.0)

    @staticmethod
    def backward(ctx: Context, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        up, down = ctx.saved_tensors
        return (upstream * up).sum(1), -(upstream * down).sum(1), None, None, None


def opposite(d_signal: FloatArray) -> FloatArray:
    """Return the slopes (…, m, 2 c) by transfers of those (…, m, c) by pairs' differences."""
    return np.stack([d_signal, -d_signal], axis=-1).reshape(*d_signal.shape[:-1], -1)
