"""A written chip: Program × seed → every tile with the conductances that writing left, reduced and ready to run."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from crossbar.tiles.batch_tiles import BatchTile, ColumnTile, StackedTile, build_stacked_tiles
from crossbar.tiles.tile import Tile
from crossbar.tiles.written_arrays import WrittenArray, build_tiles
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.writing.spread import DrawnCells
from mapping.chips.cells import converter_offsets, write_tile
from mapping.hardware.description import Hardware
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.program import Program

Adjustment = tuple[FloatArray, FloatArray]  #: digital scale and shift (n,) of outputs


@dataclass(frozen=True, eq=False)
class Bank:
    """Cells of one tile that are written anew for each image."""

    cells: DrawnCells  #: (1, m, 2 c)
    offsets: FloatArray  #: (c,) of the converters [codes]
    stream: tuple[int, ...]  #: whole numbers that name the tile's random stream


@dataclass(frozen=True, eq=False)
class Chip:
    """A program on cells: what `write` returns and `run` reads."""

    program: Program
    seed: int
    tiles: dict[str, tuple[Tile | BatchTile, ...]]  #: per matrix, in the order of its placements
    #: likewise, of matrices whose tiles are made for each batch
    banks: dict[str, tuple[StackedTile | ColumnTile | Bank, ...]] = field(default_factory=dict)
    #: of the outputs of each layer, and of each matrix of its attention; none where there is no need
    adjustments: dict[str, Adjustment] = field(default_factory=dict)

    def written(self, matrix: Matrix, at: int) -> WrittenArray:
        """Return the cells of a matrix' tile number `at` as they were written, drawn again from the tile's stream.

        A matrix that is written anew for each image is shown with its kernels as they would be written, one by one.
        Raises ParameterError if the program has no such matrix or tile.
        """
        names = [each.name for each in self.program.all_matrices]
        if matrix.name not in names:
            raise ParameterError(f"matrix must be one of {', '.join(names)}, got {matrix.name!r}")
        at = checks.whole("at", at, minimum=0, maximum=len(matrix.tiles) - 1)
        stream = (self.seed, names.index(matrix.name), at)
        return write_tile(matrix, matrix.tiles[at], self.program, stream)

    def single(self) -> "Chip":
        """Return the same chip with tiles for reads of single precision."""
        tiles = {name: tuple(_single(tile) for tile in held) for name, held in self.tiles.items()}
        return replace(self, tiles=tiles)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: where the arrays lie and how far they are filled."""
        return self.program.floor_plan.to_html(f"written, seed {self.seed}")


def _single(tile: Tile | BatchTile) -> Tile | BatchTile:
    return tile.single() if isinstance(tile, Tile) else tile


def write_arrays(program: Program, seed: int = 0, *, progress: Callable[[int], None] | None = None) -> Chip:
    """Write every tile of a program with the spread that `seed` draws, and solve its wires.

    Each tile draws from a stream of its own, so that neither order nor neighbours matter.
    progress: called with the number of tiles done after each matrix.
    Raises ParameterError if seed is no whole number ≥ 0.
    """
    seed = checks.whole("seed", seed, minimum=0)
    hardware = program.hardware
    tiles: dict[str, tuple[Tile | BatchTile, ...]] = {}
    banks: dict[str, tuple[StackedTile | ColumnTile | Bank, ...]] = {}
    parts = (hardware.wires_in_use, hardware.dac, hardware.adc, hardware.noise, hardware.temperature)
    done = 0
    for index, matrix in enumerate(program.all_matrices):
        streams = [(seed, index, at) for at in range(len(matrix.tiles))]
        numbered = list(zip(matrix.tiles, streams, strict=True))
        if matrix.rewritten:
            banks[matrix.name] = tuple(_blank(placement, hardware, stream) for placement, stream in numbered)
        else:
            arrays = [write_tile(matrix, placement, program, stream) for placement, stream in numbered]
            if matrix.column_gates:
                banks[matrix.name] = tuple(ColumnTile(hardware.cell, each, *parts) for each in arrays)
            elif matrix.gated and matrix.layout == "stacked":
                banks[matrix.name] = tuple(build_stacked_tiles(hardware.cell, arrays, *parts))
            else:
                tiles[matrix.name] = tuple(build_tiles(hardware.cell, arrays, *parts))
        done += len(matrix.tiles)
        if progress is not None:
            progress(done)
    return Chip(program, seed, tiles, banks)


def _blank(placement: Placement, hardware: Hardware, stream: tuple[int, ...]) -> Bank:
    rows, pairs = placement.shape
    cells = hardware.spread.draw(hardware.cell, (1, rows, 2 * pairs), np.random.default_rng([*stream, 0]))
    return Bank(cells, converter_offsets(placement, hardware, stream), stream)
