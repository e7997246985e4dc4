"""A written chip: Program × seed → every tile with its conductances after writing, its circuit reduced for reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from crossbar.arrays.wires import Wires
from crossbar.tiles.batch_tiles import BatchTile, ColumnTile, StackedTile, build_stacked_tiles
from crossbar.tiles.converter_errors import ConverterErrors
from crossbar.tiles.converters import Adc, Dac
from crossbar.tiles.tile import Tile
from crossbar.tiles.written_arrays import WrittenArray, build_tiles
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.noise.read_noise import ReadNoise
from devices.numerics.blas import one_blas_thread
from devices.numerics.worker_threads import over_threads
from devices.writing.read_disturb import Stress
from devices.writing.spread import DrawnCells, Written
from mapping.chips.cells import (
    TileCells,
    converter_errors,
    converter_offsets,
    driver_gains,
    write_cells,
    write_tile,
)
from mapping.chips.distributed_work import Distribute
from mapping.chips.measured_cells import MeasuredCells
from mapping.chips.read_times import stress_of_reads
from mapping.chips.simulated_writing import Programming, check_simulated
from mapping.hardware.description import Hardware
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.program import Program

AT_ONCE = 2**22  # cells that are written together, ours: their work arrays take some 0.5 GiB
Numbered = tuple[Placement, tuple[int, int, int]]  #: a tile, and the whole numbers that name its random stream
Adjustment = tuple[FloatArray, FloatArray]  #: digital scale and shift (n,) of outputs


@dataclass(frozen=True, eq=False)
class Bank:
    """Cells of one tile that is rewritten for each image."""

    cells: DrawnCells  #: (1, m, 2 c)
    offsets: FloatArray  #: (c,) of the converters [codes]
    stream: tuple[int, ...]  #: whole numbers that name the tile's random stream
    errors: ConverterErrors | None = None  #: of the converters
    row_gains: FloatArray | None = None  #: (1, m) of the row drivers


@dataclass(frozen=True, eq=False)
class Chip:
    """A program written into cells: `write` makes it, `run` reads it."""

    program: Program
    seed: int
    tiles: dict[str, tuple[Tile | BatchTile, ...]]  #: by name of the matrix, in the order of its placements
    #: the same for matrices whose circuits are solved anew for each batch
    banks: dict[str, tuple[StackedTile | ColumnTile | Bank, ...]] = field(default_factory=dict)
    #: by name of the layer, or of a matrix of its attention; empty if outputs are not adjusted
    adjustments: dict[str, Adjustment] = field(default_factory=dict)
    measured: MeasuredCells | None = None  #: cells that were measured and not written by simulation
    #: of the reads of one image on the cells, by name of the matrix; empty if no image was read before the run
    stress: dict[str, Stress] = field(default_factory=dict)
    #: by name of the matrix, in the order of its placements: cells that were written by simulated pulses
    simulated: dict[str, tuple[Written, ...]] = field(default_factory=dict)
    programming: Programming | None = None  #: what the simulated write took; None: errors were drawn

    def written(self, matrix: Matrix, at: int) -> WrittenArray:
        """Return the cells of a matrix' tile number `at` after writing, drawn again from the tile's random stream.

        Measured cells are returned as they were measured.
        A matrix that is rewritten for each image is returned with its kernels written one by one.
        Raises ParameterError if the program has no such matrix or tile.
        """
        stream = self.stream(matrix, at)
        held = None if self.measured is None else self.measured.tile(matrix.name, stream[2])
        if held is None and matrix.name in self.simulated:
            held = self.simulated[matrix.name][stream[2]]
        stress = self.stress or read_before(self.program)
        return write_tile(matrix, matrix.tiles[stream[2]], self.program, stream, held, stress.get(matrix.name))

    def stream(self, matrix: Matrix, at: int) -> tuple[int, int, int]:
        """Return the whole numbers that name the random stream of a matrix' tile number `at`; the last one is `at`.

        Raises ParameterError if the program has no such matrix or tile.
        """
        names = [each.name for each in self.program.all_matrices]
        if matrix.name not in names:
            raise ParameterError(f"matrix must be one of {', '.join(names)}, got {matrix.name!r}")
        at = checks.whole("at", at, minimum=0, maximum=len(matrix.tiles) - 1)
        return self.seed, names.index(matrix.name), at

    def single(self) -> "Chip":
        """Return the same chip with tiles that compute reads in single precision."""
        tiles = {name: tuple(_single(tile) for tile in held) for name, held in self.tiles.items()}
        return replace(self, tiles=tiles)

    @cached_property
    def exact(self) -> "Chip":
        """The same chip with the matrices of every gated tile at all gate nodes, as `tile.family_error` = 0 keeps them.

        Its circuits are reduced again on first use.
        """
        hardware, tiles = self.program.hardware, dict(self.tiles)
        for matrix in self.program.all_matrices:
            if any(_shortened(tile, hardware.tile.gate_nodes) for tile in tiles.get(matrix.name, ())):
                arrays = [self.written(matrix, at) for at in range(len(matrix.tiles))]
                tiles[matrix.name] = tuple(
                    build_tiles(hardware.cell_in_run, arrays, *circuit_parts(hardware), hardware.tile.r_join)
                )
        return replace(self, tiles=tiles)

    def _repr_html_(self) -> str:
        """Return the floor plan, for notebooks."""
        return self.program.floor_plan.to_html(f"written, seed {self.seed}")


def circuit_parts(hardware: Hardware) -> tuple[Wires, Dac, Adc, ReadNoise, float]:
    """Return what all tiles of a chip have in common, as build_tiles takes it."""
    adc = hardware.tile.code.converter(hardware.adc)
    return hardware.wires_in_run, hardware.dac, adc, hardware.noise, hardware.run_temperature


def read_before(program: Program) -> dict[str, Stress]:
    """Return the stress of one image on each matrix, by name, if images were read before the run, otherwise nothing."""
    return stress_of_reads(program) if program.hardware.retention.since_writing[1] else {}


def _shortened(tile: Tile | BatchTile, count: int) -> bool:
    """Whether a tile holds fewer matrices than `count` gate nodes have."""
    return isinstance(tile, Tile) and tile.nodes is not None and (tile.basis is not None or tile.nodes.count < count)


def _single(tile: Tile | BatchTile) -> Tile | BatchTile:
    return tile.single() if isinstance(tile, Tile) else tile


def write_arrays(
    program: Program,
    seed: int = 0,
    *,
    measured: MeasuredCells | None = None,
    progress: Callable[[int], None] | None = None,
    distribute: Distribute | None = None,
) -> Chip:
    """Write every tile of a program with variability drawn from `seed`, and reduce its circuit.

    Each tile has its own random stream, so its draws do not depend on the other tiles.
    With `tile.write` "simulated" the tiles of a matrix are written pulse by pulse, on all threads.
    measured: cells of a chip, taken in place of simulated writes; `seed` then draws the offsets of the converters.
    progress: called after each matrix with the number of tiles done.
    distribute: where matrices are written; default: one after another in this process, with all its threads.
    Raises ParameterError if seed is no whole number ≥ 0, or what check_simulated and simulated_write raise.
    """
    seed = checks.seed(seed)
    hardware = program.hardware
    if hardware.tile.write == "simulated" and measured is None:
        check_simulated(hardware, program.all_matrices)
    shared = _Writing(program, seed, measured, read_before(program))
    matrices = program.all_matrices
    numbers = range(len(matrices))
    if distribute is None:
        pieces: Iterator[tuple[int, _WrittenMatrix]] = ((index, _matrix(shared, index)) for index in numbers)
    else:
        pieces = distribute(_matrix, shared, numbers)
    found: dict[int, _WrittenMatrix] = {}
    for index, written in pieces:
        found[index] = written
        if progress is not None:
            progress(sum(len(matrices[each].tiles) for each in found))
    each = [(matrix.name, found[index]) for index, matrix in enumerate(matrices)]
    taken = [written.programming for _, written in each if written.programming is not None]
    return Chip(
        program,
        seed,
        {name: written.tiles for name, written in each if written.tiles is not None},
        {name: written.banks for name, written in each if written.banks is not None},
        measured=measured,
        stress=shared.stress,
        simulated={name: written.simulated for name, written in each if written.simulated is not None},
        programming=sum(taken, Programming()) if taken else None,
    )


@dataclass(frozen=True, eq=False)
class _Writing:
    """What all matrices of a chip share while they are written."""

    program: Program
    seed: int
    measured: MeasuredCells | None
    stress: dict[str, Stress]


class _WrittenMatrix(NamedTuple):
    """One matrix after writing; None: it has no such part."""

    tiles: tuple[Tile | BatchTile, ...] | None = None
    banks: tuple[StackedTile | ColumnTile | Bank, ...] | None = None
    simulated: tuple[Written, ...] | None = None
    programming: Programming | None = None


def _matrix(shared: _Writing, index: int) -> _WrittenMatrix:
    """Write the tiles of one matrix and reduce their circuits."""
    program, measured = shared.program, shared.measured
    hardware, matrix = program.hardware, program.all_matrices[index]
    cell, stress = hardware.cell_in_run, shared.stress.get(matrix.name)
    parts, accepted = circuit_parts(hardware), hardware.tile.family_error
    streams = [(shared.seed, index, at) for at in range(len(matrix.tiles))]
    numbered = list(zip(matrix.tiles, streams, strict=True))
    written = _WrittenMatrix()
    if hardware.tile.write == "simulated" and measured is None:
        each = list(over_threads(partial(_simulated, matrix, program, stress), numbered))
        taken = [cells.programming for cells in each if cells.programming is not None]
        written = _WrittenMatrix(None, None, tuple(cells.written for cells in each), sum(taken, Programming()))
    if matrix.rewritten:
        return written._replace(banks=tuple(_blank(placement, hardware, stream) for placement, stream in numbered))
    write_one = partial(_array, matrix, program, stress, measured, written.simulated)
    tiles: list[Tile | BatchTile] = []
    banks: list[StackedTile | ColumnTile | Bank] = []
    for some in _together(matrix, numbered):
        with one_blas_thread():
            arrays = list(over_threads(write_one, some))
        if matrix.column_gates:
            banks += [ColumnTile(cell, array, *parts) for array in arrays]
        elif matrix.gated and matrix.layout == "stacked":
            banks += build_stacked_tiles(cell, arrays, *parts)
        else:
            tiles += build_tiles(cell, arrays, *parts, hardware.tile.r_join, family_error=accepted)
    return written._replace(tiles=tuple(tiles) or None, banks=tuple(banks) or None)


def _together(matrix: Matrix, numbered: Sequence[Numbered]) -> list[Sequence[Numbered]]:
    """Return the tiles of a matrix in parts that are written together, as their work arrays exist at the same time."""
    rows, columns = (max(tile.shape[0] for tile in matrix.tiles), max(tile.cell_columns for tile in matrix.tiles))
    count = max(1, AT_ONCE // (matrix.kernels * rows * columns))
    return [numbered[first : first + count] for first in range(0, len(numbered), count)]


def _array(
    matrix: Matrix,
    program: Program,
    stress: Stress | None,
    measured: MeasuredCells | None,
    simulated: tuple[Written, ...] | None,
    numbered: Numbered,
) -> WrittenArray:
    placement, stream = numbered
    held = _known(matrix, stream[2], measured, simulated)
    return write_tile(matrix, placement, program, stream, held, stress)


def _simulated(matrix: Matrix, program: Program, stress: Stress | None, numbered: Numbered) -> TileCells:
    return write_cells(matrix, numbered[0], program, numbered[1], stress)


def _known(
    matrix: Matrix, at: int, measured: MeasuredCells | None, simulated: tuple[Written, ...] | None
) -> Written | None:
    """Return the cells of a tile that are written already; None: they are drawn."""
    if measured is not None:
        return measured.tile(matrix.name, at)
    return None if simulated is None else simulated[at]


def _blank(placement: Placement, hardware: Hardware, stream: tuple[int, ...]) -> Bank:
    rows, pairs = placement.shape
    cells = hardware.spread.draw(hardware.cell, (1, rows, 2 * pairs), np.random.default_rng([*stream, 0]))
    offsets = converter_offsets(placement, hardware, stream)
    errors, gains = converter_errors(offsets, hardware, stream), driver_gains(1, rows, hardware, stream)
    return Bank(cells, offsets, stream, errors, gains)
