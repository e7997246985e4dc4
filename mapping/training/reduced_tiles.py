"""Written and reduced tiles of one matrix as functions of its target conductances, with exact gradients.

Forwards is what `write` does: the same cells with the same luck, the same reduction. Backwards is the reduction run
backwards, then each cell's own law; the written error of a cell is held as it is (docs/training.md).

k = kernels, q = gate nodes, m = rows, c = pairs
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from crossbar.arrays.tile_wires import TileWires
from crossbar.tiles.tile import Tile
from crossbar.tiles.written_arrays import WrittenArray, build_tiles, terminal_conductances
from crossbar.transfer.family_gradients import filament_slopes
from crossbar.transfer.gradients import transfer_gradient
from devices.aliases import FloatArray
from devices.writing.read_disturb import Stress
from devices.writing.spread import DrawnCells
from mapping.chips.cells import write_tile
from mapping.placement.encoding import filaments
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.program import Program

Tensor = Any  # torch's own classes have no types here
Context = Any  # of an autograd function


@dataclass
class Reduction:
    """The tiles of one matrix at the targets where they were last written and reduced."""

    targets: FloatArray  #: (k, r, 2 n) [S]
    written: list[WrittenArray]
    seen: list[FloatArray]  #: (k, q, m, 2 c) [S] conductances that were reduced
    tiles: list[Tile]
    slopes: list[FloatArray]  #: (k, q, m, 2 c) of `seen` by the targets


class MatrixTiles:
    """What writes and reduces one matrix, again and again on the same cells."""

    def __init__(self, program: Program, matrix: Matrix, index: int, seed: int, stress: Stress | None = None) -> None:
        self.program, self.matrix, self.stress = program, matrix, stress
        self.streams = [(seed, index, at) for at in range(len(matrix.tiles))]
        self.cells = [
            self._drawn(placement, stream) for placement, stream in zip(matrix.tiles, self.streams, strict=True)
        ]

    def _drawn(self, placement: Placement, stream: tuple[int, ...]) -> DrawnCells:
        """The cells of a tile as `write_tile` draws them."""
        rows, columns = placement.shape
        shape = (self.matrix.kernels, rows, 2 * columns)
        hardware = self.program.hardware
        return hardware.spread.draw(hardware.cell, shape, np.random.default_rng([*stream, 0]), 1)

    def reduce(self, targets: FloatArray) -> Reduction:
        """Write targets (k, r, 2 n) [S] and reduce every tile."""
        hardware, matrix = self.program.hardware, replace(self.matrix, conductances=targets)
        numbered = list(zip(matrix.tiles, self.streams, strict=True))
        written = [
            write_tile(matrix, placement, self.program, stream, stress=self.stress) for placement, stream in numbered
        ]
        parts = (hardware.wires_in_run, hardware.dac, hardware.adc, hardware.noise, hardware.run_temperature)
        tiles = build_tiles(hardware.cell, written, *parts)
        seen = [terminal_conductances(hardware.cell, each, hardware.dac.v_read, each.nodes) for each in written]
        slopes = [
            self._slopes(each, cells, targets[:, placement.rows, pairs(placement.columns)])
            for each, cells, placement in zip(written, self.cells, matrix.tiles, strict=True)
        ]
        return Reduction(targets, written, seen, tiles, slopes)

    def _slopes(self, written: WrittenArray, cells: DrawnCells, targets: FloatArray) -> FloatArray:
        """Slopes of what is seen by the targets: of the law at the written filament, whose error is held.

        0 for cells that take no write, and for those that a write leaves at an end of their window.
        """
        hardware = self.program.hardware
        cell, v_read = hardware.cell, hardware.dac.v_read
        asked = filaments(targets, cell, v_read)
        gains = np.array([cell.gain_high]) if written.nodes is None else written.nodes.gains
        reach = 1.0 if written.gate_reach is None else written.gate_reach
        by_filament = filament_slopes(cell, written.g_filament, written.gate_offset, gains, v_read, reach)
        top = np.array([cell.gain_high])
        asked_slope = filament_slopes(cell, asked, 0.0, top, v_read)[:, 0]
        g = written.g_filament
        moves = ~cells.stuck & ((g > cells.g_min) & (g < cells.g_max) | (g == asked))
        return by_filament * np.where(moves, 1.0 / asked_slope, 0.0)[:, None]

    def gradient(self, at: Reduction, d_signals: Sequence[FloatArray]) -> FloatArray:
        """Return the slopes by the targets (k, r, 2 n), from those by the tiles' signals (k, q, m, c) each."""
        wires = self.program.hardware.wires_in_run
        out = np.zeros(at.targets.shape)
        shapes = sorted({each.shape[2:] for each in at.seen})
        for shape in shapes:
            members = [t for t, each in enumerate(at.seen) if each.shape[2:] == shape]
            g = np.concatenate([at.seen[t].reshape(-1, *shape) for t in members])
            d = np.concatenate([opposite(d_signals[t]).reshape(-1, *shape) for t in members])
            own = wires.of_array(*shape) if isinstance(wires, TileWires) else wires
            d_g, first = transfer_gradient(g, own, d), 0
            for t in members:
                count = at.seen[t].shape[0] * at.seen[t].shape[1]
                mine = d_g[first : first + count].reshape(at.seen[t].shape) * at.slopes[t]
                placement = self.matrix.tiles[t]
                out[:, placement.rows, pairs(placement.columns)] += mine.sum(1)
                first += count
        return out


class SignalsOf(torch.autograd.Function):  # type: ignore[misc]
    """Signals of all tiles from the targets of a matrix, written and reduced anew; backwards exact."""

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
        return tuple(torch.as_tensor(each.signal, device=targets.device).to(kind) for each in at.tiles)

    @staticmethod
    def backward(ctx: Context, *upstream: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: D102
        d_signals = [each.detach().cpu().numpy().astype(np.float64) for each in upstream]
        slopes = ctx.tiles.gradient(ctx.at, d_signals)
        return torch.as_tensor(slopes, device=ctx.like.device).to(ctx.like.dtype), None, None, None


def pairs(columns: slice) -> slice:
    """Columns of cells of the columns of outputs."""
    return slice(2 * columns.start, 2 * columns.stop)


def opposite(d_signal: FloatArray) -> FloatArray:
    """Return the slopes (…, m, 2 c) by transfers of those (…, m, c) by pairs' differences."""
    return np.stack([d_signal, -d_signal], axis=-1).reshape(*d_signal.shape[:-1], -1)
