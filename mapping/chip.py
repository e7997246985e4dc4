"""A written chip: Program × seed → every tile with the conductances that writing left, reduced and ready to run."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from crossbar.entries import ColumnTile, EntryTile, StackedTile, build_stacked
from crossbar.family import GateNodes
from crossbar.tile import Tile, WrittenArray, build_tiles
from devices import checks
from devices.aliases import BoolArray, FloatArray
from devices.errors import ParameterError
from devices.spread import DrawnCells, Written
from mapping.encode import filaments
from mapping.hardware import Hardware
from mapping.program import Matrix, Placement, Program

RIDGE = 0.1  # of the mean square input, added to the inputs' products before they are inverted, ours
REACH = 4.0  # standard deviations of the Dirac points that gate nodes are fitted to, ours


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
    tiles: dict[str, tuple[Tile | EntryTile, ...]]  #: per matrix, in the order of its placements
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
        from mapping.page import show_chip

        return show_chip(self)


def _single(tile: Tile | EntryTile) -> Tile | EntryTile:
    return tile.single() if isinstance(tile, Tile) else tile


def write_arrays(program: Program, seed: int = 0, *, progress: Callable[[int], None] | None = None) -> Chip:
    """Write every tile of a program with the spread that `seed` draws, and solve its wires.

    Each tile draws from a stream of its own, so that neither order nor neighbours matter.
    progress: called with the number of tiles done after each matrix.
    Raises ParameterError if seed is no whole number ≥ 0.
    """
    seed = checks.whole("seed", seed, minimum=0)
    hardware = program.hardware
    tiles: dict[str, tuple[Tile | EntryTile, ...]] = {}
    banks: dict[str, tuple[StackedTile | ColumnTile | Bank, ...]] = {}
    parts = (hardware.wires_in_use, hardware.dac, hardware.adc, hardware.noise, hardware.temperature)
    done = 0
    for index, matrix in enumerate(program.all_matrices):
        streams = [(seed, index, at) for at in range(len(matrix.tiles))]
        numbered = list(zip(matrix.tiles, streams, strict=True))
        if matrix.layout == "reprogram" and matrix.kind == "dynamic conv":
            banks[matrix.name] = tuple(_blank(placement, hardware, stream) for placement, stream in numbered)
        else:
            arrays = [write_tile(matrix, placement, program, stream) for placement, stream in numbered]
            if matrix.column_gates:
                banks[matrix.name] = tuple(ColumnTile(hardware.cell, each, *parts) for each in arrays)
            elif matrix.gated and matrix.layout == "stacked":
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

    pairs = np.arange(wanted.shape[2]) // 2
    lines = np.tile(pairs, (wanted.shape[1], 1)) if matrix.column_gates else 1
    cells = hardware.spread.draw(hardware.cell, wanted.shape, np.random.default_rng([*stream, 0]), lines)

    def once(targets: FloatArray) -> Written:  # the same stream again: the same luck
        return cells.write(targets, np.random.default_rng([*stream, 2]))

    written = written_to(wanted, once, hardware, cells.stuck, matrix.moments[placement.rows.start])
    written = hardware.retention.aged(hardware.cell, written, cells.stuck, np.random.default_rng([*stream, 3]))
    reach = REACH * math.hypot(hardware.spread.gate_offset_line, hardware.spread.gate_offset_cell)
    nodes = (
        GateNodes(hardware.cell, hardware.tile.gate_nodes, reach) if matrix.gated and not matrix.column_gates else None
    )
    offsets = _offsets(placement, hardware, stream)
    strips = matrix.strips(placement.rows)
    return WrittenArray(written.g_filament, written.gate_offset, nodes, placement.full_scale, offsets, strips)


def written_to(
    wanted: FloatArray, once: Callable[[FloatArray], Written], hardware: Hardware, stuck: BoolArray, moments: FloatArray
) -> Written:
    """Write terminal conductances (k, m, 2 c) [S], around stuck cells where the chip answers them.

    once: writes filaments [S]; called again with other targets it meets the same cells with the same luck; stuck: the
    cells that take no write, as a test of the array finds them; moments: (m, m) mean products of the rows' inputs.
    """
    cell, v_read, tile = hardware.cell, hardware.dac.v_read, hardware.tile
    written = once(filaments(wanted, cell, v_read))
    if not hardware.spread.verified or not stuck.any() or not (tile.trim_pairs or tile.compensate_stuck):
        return written
    low, high = shown(np.array([cell.g_min, cell.g_max]), hardware)
    found, answered = shown(written.g_filament, hardware), wanted
    if tile.trim_pairs:
        answered = np.clip(trimmed(answered, found, stuck), low, high)
    if tile.compensate_stuck:
        missed = _difference(np.where(stuck, found, answered)) - _difference(wanted)
        answered = np.clip(made_up(answered, missed, stuck, moments), low, high)
    return once(filaments(answered, cell, v_read))


def shown(g_filament: FloatArray, hardware: Hardware) -> FloatArray:
    """Return the terminal conductances [S] of filaments [S] at the top of the gate window."""
    return hardware.cell.terminal_conductance(g_filament, hardware.cell.gain_high, hardware.dac.v_read)


def _difference(conductances: FloatArray) -> FloatArray:
    """Signed conductances of pairs."""
    return conductances[..., 0::2] - conductances[..., 1::2]


def trimmed(wanted: FloatArray, found: FloatArray, stuck: BoolArray) -> FloatArray:
    """Return conductances (k, m, 2 c) [S] in which the partner of a stuck cell restores the difference of the pair.

    wanted: what the pairs should show; found: what they show [S]. The window may bound what a partner can do; where
    both cells of a pair are stuck nothing helps.
    """
    out = wanted.copy()
    for mine, partner in ((0, 1), (1, 0)):
        answer = found[..., partner::2] + wanted[..., mine::2] - wanted[..., partner::2]
        out[..., mine::2] = np.where(stuck[..., partner::2] & ~stuck[..., mine::2], answer, out[..., mine::2])
    return out


def made_up(wanted: FloatArray, missed: FloatArray, stuck: BoolArray, moments: FloatArray) -> FloatArray:
    """Return conductances (k, m, 2 c) [S] in which whole cells of each column make up for what stuck pairs miss.

    wanted: what the cells should show; missed: (k, m, c) what pairs with a stuck cell show too much [S]; moments:
    (m, m) mean products of the rows' inputs. What the column then errs has the least mean square over these inputs.
    Source: docs/equations/encoding.md eq. 12.
    """
    k, m, c = missed.shape
    pairs = stuck[..., 0::2] | stuck[..., 1::2]
    ridge = RIDGE * float(np.trace(moments)) / m
    inverse = np.linalg.inv(moments + (ridge if ridge > 0.0 else 1.0) * np.eye(m))
    columns, count = pairs.swapaxes(1, 2).reshape(k * c, m), int(pairs.sum(1).max())
    rows = np.argsort(~columns, axis=1, kind="stable")[:, :count]  # of stuck pairs, then others
    known = np.take_along_axis(columns, rows, 1)
    among = np.where(known[:, :, None] & known[:, None, :], inverse[rows[:, :, None], rows[:, None, :]], np.eye(count))
    error = np.where(known, np.take_along_axis(missed.swapaxes(1, 2).reshape(k * c, m), rows, 1), 0.0)
    weights = np.linalg.solve(among, error[..., None])[..., 0]
    change = np.einsum("as,ams->am", np.where(known, weights, 0.0), inverse[:, rows].swapaxes(0, 1))
    change = np.where(columns, 0.0, change).reshape(k, c, m).swapaxes(1, 2)
    out = wanted.copy()
    rest = np.minimum(wanted[..., 0::2], wanted[..., 1::2])
    difference = _difference(wanted) + change
    for mine, sign in ((0, 1.0), (1, -1.0)):
        out[..., mine::2] = np.where(pairs, wanted[..., mine::2], rest + np.maximum(sign * difference, 0.0))
    return out
