"""A written chip: Program × seed → every tile with the conductances that writing left, reduced and ready to run."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from crossbar.entries import EntryTile, StackedTile, build_stacked
from crossbar.family import GateNodes
from crossbar.tile import Tile, WrittenArray, build_tiles
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.spread import DrawnCells, Written
from mapping.encode import filaments
from mapping.hardware import Hardware
from mapping.program import Matrix, Placement, Program

REACH = 4.0  # standard deviations of the Dirac points that gate nodes are fitted to, ours


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
    tiles: dict[str, tuple[Tile | EntryTile, ...]]  #: per matrix, in the order of its placements
    #: likewise, of matrices whose tiles are made for each batch
    banks: dict[str, tuple[StackedTile | Bank, ...]] = field(default_factory=dict)

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
        from mapping.page import show_chip

        return show_chip(self)


def _single(tile: Tile | EntryTile) -> Tile | EntryTile:
    return tile.single() if isinstance(tile, Tile) else tile


def write(program: Program, seed: int = 0, *, progress: Callable[[int], None] | None = None) -> Chip:
    """Write every tile of a program with the spread that `seed` draws, and solve its wires.

    Each tile draws from a stream of its own, so that neither order nor neighbours matter.
    progress: called with the number of tiles done after each matrix.
    Raises ParameterError if seed is no whole number ≥ 0.
    """
    seed = checks.whole("seed", seed, minimum=0)
    hardware = program.hardware
    tiles: dict[str, tuple[Tile | EntryTile, ...]] = {}
    banks: dict[str, tuple[StackedTile | Bank, ...]] = {}
    parts = (hardware.wires_in_use, hardware.dac, hardware.adc, hardware.noise, hardware.temperature)
    done = 0
    for index, matrix in enumerate(program.all_matrices):
        streams = [(seed, index, at) for at in range(len(matrix.tiles))]
        numbered = list(zip(matrix.tiles, streams, strict=True))
        if matrix.layout == "reprogram" and matrix.kind == "dynamic conv":
            banks[matrix.name] = tuple(_blank(placement, hardware, stream) for placement, stream in numbered)
        else:
            arrays = [write_tile(matrix, placement, program, stream) for placement, stream in numbered]
            if matrix.gated and matrix.layout == "stacked":
                banks[matrix.name] = tuple(build_stacked(hardware.cell, arrays, *parts))
            else:
                tiles[matrix.name] = tuple(build_tiles(hardware.cell, arrays, *parts))
        done += len(matrix.tiles)
        if progress is not None:
            progress(done)
    return Chip(program, seed, tiles, banks)


def _blank(placement: Placement, hardware: Hardware, stream: tuple[int, ...]) -> Bank:
    rows, pairs = placement.shape
    cells = hardware.spread.draw(hardware.cell, (1, rows, 2 * pairs), np.random.default_rng([*stream, 0]))
    return Bank(cells, _offsets(placement, hardware, stream), stream)


def _offsets(placement: Placement, hardware: Hardware, stream: tuple[int, ...]) -> FloatArray:
    drawn: FloatArray = np.random.default_rng([*stream, 1]).standard_normal(placement.shape[1])
    return hardware.adc.offset * drawn


def write_tile(matrix: Matrix, placement: Placement, program: Program, stream: tuple[int, ...]) -> WrittenArray:
    """Write the cells of one tile; a static kernel's gate is held open, so that its offset hardly matters.

    stream: whole numbers that name the tile's random stream.
    """
    hardware = program.hardware
    columns = slice(2 * placement.columns.start, 2 * placement.columns.stop)
    wanted = matrix.conductances[:, placement.rows, columns]

    def once(targets: FloatArray) -> Written:  # the same stream again: the same cells, the same luck
        return hardware.spread.write(hardware.cell, targets, np.random.default_rng([*stream, 0]))

    written = written_to(wanted, once, hardware)
    reach = REACH * math.hypot(hardware.spread.gate_offset_line, hardware.spread.gate_offset_cell)
    nodes = GateNodes(hardware.cell, hardware.tile.gate_nodes, reach) if matrix.gated else None
    offsets = _offsets(placement, hardware, stream)
    return WrittenArray(written.g_filament, written.gate_offset, nodes, placement.full_scale, offsets)


def written_to(wanted: FloatArray, once: Callable[[FloatArray], Written], hardware: Hardware) -> Written:
    """Write terminal conductances (k, m, 2 c) [S], around stuck cells where the chip trims pairs.

    once: writes filaments [S]; called again with other targets it meets the same cells with the same luck.
    """
    targets = filaments(wanted, hardware.cell, hardware.dac.v_read)
    written = once(targets)
    if hardware.tile.trim_pairs and hardware.spread.verified:
        written = once(trimmed(wanted, targets, written.g_filament, hardware))
    return written


def trimmed(wanted: FloatArray, targets: FloatArray, found: FloatArray, hardware: Hardware) -> FloatArray:
    """Return targets (k, m, 2 c) [S] in which a cell that took no write is answered by the other cell of its pair.

    wanted: terminal conductances [S]; targets, found: filaments asked for and read back [S]. A cell counts as stuck if
    verification misses by more than six write errors. Where both cells of a pair are stuck nothing helps.
    """
    cell, v_read = hardware.cell, hardware.dac.v_read
    tolerance = 6.0 * hardware.spread.write_error * cell.g_max + 1e-9 * cell.g_max
    stuck = np.abs(found - targets) > tolerance
    shown = cell.terminal_conductance(found, cell.gain_high, v_read)
    out = targets.copy()
    for mine, partner in ((0, 1), (1, 0)):
        answer = shown[..., partner::2] + wanted[..., mine::2] - wanted[..., partner::2]
        low, high = cell.terminal_conductance(np.array([cell.g_min, cell.g_max]), cell.gain_high, v_read)
        filament = filaments(np.clip(answer, low, high), cell, v_read)
        out[..., mine::2] = np.where(stuck[..., partner::2] & ~stuck[..., mine::2], filament, targets[..., mine::2])
    return out
