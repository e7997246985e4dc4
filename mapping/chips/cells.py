"""The cells of one tile: drawn with their variability, written, corrected for stuck cells, and aged."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossbar.tiles.converter_errors import ConverterErrors, draw_errors
from crossbar.tiles.written_arrays import WrittenArray
from crossbar.transfer.gate_nodes import GateNodes
from devices.aliases import BoolArray, FloatArray
from devices.writing.read_disturb import Stress
from devices.writing.spread import DrawnCells, Written
from mapping.chips.read_limits import retention_in_use
from mapping.chips.read_times import of_tile
from mapping.chips.simulated_writing import Programming, found_stuck, simulated_write
from mapping.chips.stuck_cells import compensated, pair_differences, trimmed
from mapping.hardware.description import Hardware
from mapping.placement.coded_weights import to_levels
from mapping.placement.encoding import filaments, terminal_conductances
from mapping.placement.gate_lines import gate_reach
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.program import Program

REACH = 4.0  # range of Dirac-point shifts that gate nodes are fitted to, in standard deviations; ours


def converter_offsets(placement: Placement, hardware: Hardware, stream: tuple[int, ...]) -> FloatArray:
    """Return the offsets (c,) of a tile's converters [codes], drawn from the tile's random stream."""
    drawn: FloatArray = np.random.default_rng([*stream, 1]).standard_normal(placement.converted)
    return hardware.adc.offset * drawn


def converter_errors(offsets: FloatArray, hardware: Hardware, stream: tuple[int, ...]) -> ConverterErrors | None:
    """Return the errors of a tile's converters, drawn from the tile's random stream; offsets: (c,) [codes]."""
    adc, rng = hardware.tile.code.converter(hardware.adc), np.random.default_rng([*stream, 40])
    return draw_errors(adc, offsets, rng, hardware.run_temperature)


def driver_gains(arrays: int, rows: int, hardware: Hardware, stream: tuple[int, ...]) -> FloatArray | None:
    """Return the voltages (k, m) of a tile's row drivers relative to the nominal one; None if all are 1."""
    if not hardware.dac.gain_error:
        return None
    drawn = np.random.default_rng([*stream, 41]).standard_normal((arrays, rows))
    gains: FloatArray = 1.0 + hardware.dac.gain_error * drawn
    return gains


@dataclass(frozen=True, eq=False)
class TileCells:
    """The cells of one tile with the targets of their last write; k kernels, m rows, c pairs."""

    drawn: DrawnCells  #: their device-to-device variability and which are stuck
    targets: FloatArray  #: (k, m, 2 c) filament conductances [S] that the last write aimed at
    written: Written  #: after the write, at the age of the chip
    programming: Programming | None = None  #: what a simulated write took; None: drawn


def wanted_conductances(matrix: Matrix, placement: Placement) -> FloatArray:
    """Return the terminal conductances (k, m, 2 c) [S] that a tile should have, at the top of the gate window."""
    return matrix.conductances[:, placement.rows, placement.cells]


def write_cells(
    matrix: Matrix, placement: Placement, program: Program, stream: tuple[int, ...], stress: Stress | None = None
) -> TileCells:
    """Draw the cells of one tile and write them; they are returned as the run finds them.

    stream: whole numbers that name the tile's random stream.  stress: of one image on the cells of the matrix; None: no
    image was read.
    """
    hardware = program.hardware
    wanted = wanted_conductances(matrix, placement)

    pairs = np.arange(wanted.shape[2]) // 2
    lines = np.tile(pairs, (wanted.shape[1], 1)) if matrix.column_gates else 1
    cells = hardware.spread.draw(hardware.cell, wanted.shape, np.random.default_rng([*stream, 0]), lines)

    def write(targets: FloatArray) -> Written:  # every call restarts the stream: equal random draws
        return cells.write(targets, np.random.default_rng([*stream, 2]))

    found = found_stuck(cells.stuck, hardware.tile.stuck_missed, np.random.default_rng([*stream, 4]))
    targets = write_targets(wanted, write, hardware, found, matrix.moments[placement.rows.start])
    if hardware.tile.write == "simulated":
        stacked = matrix.gated and matrix.layout == "stacked" and not matrix.column_gates
        rng = np.random.default_rng([*stream, 5])
        new, programming = simulated_write(cells, targets, hardware, rng, stacked=stacked)
    else:
        new, programming = write(targets), None
    luck = np.random.default_rng([*stream, 3])
    written = retention_in_use(program).aged(hardware.cell, new, cells.stuck, luck, of_tile(stress, placement))
    return TileCells(cells, targets, as_read(written, hardware), programming)


def as_read(written: Written, hardware: Hardware) -> Written:
    """Return cells with the mean conductances that a measured table of read noise gives them.

    The filament of each cell becomes the one whose terminal conductance, at the top of the gate window, is that mean.
    """
    table, cell, v_read = hardware.noise.table, hardware.cell, hardware.dac.v_read
    if table is None or not table.shifted:
        return written
    nominal = terminal_conductances(written.g_filament, hardware)
    low = terminal_conductances(np.zeros(1), hardware)  # the leakage, which no filament goes below
    shown = cell.filament_for(np.maximum(table.means(nominal), low), cell.gain_high, v_read)
    return Written(shown, written.gate_offset)


def write_tile(
    matrix: Matrix,
    placement: Placement,
    program: Program,
    stream: tuple[int, ...],
    measured: Written | None = None,
    stress: Stress | None = None,
) -> WrittenArray:
    """Write the cells of one tile and return their conductances [S] and Dirac-point shifts [V], as the run finds them.

    The gates of a static kernel are held open, so its cells need no gate nodes.
    stream: whole numbers that name the tile's random stream.  measured: cells (k, m, 2 c) that were measured; nothing
    is written then, and they do not age.  stress: of one image on the cells of the matrix; None: no image was read.
    """
    hardware = program.hardware
    written = write_cells(matrix, placement, program, stream, stress).written if measured is None else measured
    sag = gate_reach(matrix, (placement.shape[0], placement.cell_columns), hardware)
    reach = REACH * math.hypot(hardware.spread.gate_offset_line, hardware.spread.gate_offset_cell)
    if sag is not None:  # at one driver voltage a sag is a shift of the Dirac point
        reach += float(1.0 - sag.min()) * max(abs(hardware.cell.v_gate_min), abs(hardware.cell.v_gate_max))
    nodes = (
        GateNodes(hardware.cell_in_run, hardware.tile.gate_nodes, reach)
        if matrix.gated and not matrix.column_gates
        else None
    )
    offsets = converter_offsets(placement, hardware, stream)
    strips, shape = matrix.strips(placement.rows), written.g_filament.shape
    return WrittenArray(
        written.g_filament, written.gate_offset, nodes, placement.full_scale, offsets, strips, placement.bit_ranges,
        sag, converter_errors(offsets, hardware, stream), driver_gains(shape[0], shape[1], hardware, stream),
        matrix.code.paired,
    )  # fmt: skip


def written_to(
    wanted: FloatArray,
    write: Callable[[FloatArray], Written],
    hardware: Hardware,
    stuck: BoolArray,
    moments: FloatArray,
) -> Written:
    """Write terminal conductances (k, m, 2 c) [S]; the arguments are those of write_targets."""
    return write(write_targets(wanted, write, hardware, stuck, moments))


def write_targets(
    wanted: FloatArray,
    write: Callable[[FloatArray], Written],
    hardware: Hardware,
    stuck: BoolArray,
    moments: FloatArray,
) -> FloatArray:
    """Return the filament conductances [S] to write for terminal conductances (k, m, 2 c) [S].

    Other cells compensate stuck ones if the chip description says so.
    write: writes filament conductances [S]; every call has the same cells and the same random draws.
    stuck: (k, m, 2 c) cells that take no write, as a test of the array finds them.
    moments: (m, m) mean products of the rows' inputs.
    """
    cell, v_read, tile = hardware.cell, hardware.dac.v_read, hardware.tile
    if not tile.code.paired or (tile.levels is not None and not tile.trim_pairs):
        # a cell without a partner has nothing to restore it, and cells of few levels take no small changes
        return filaments(wanted, cell, v_read)
    if not hardware.spread.verified or not stuck.any() or not (tile.trim_pairs or tile.compensate_stuck):
        return filaments(wanted, cell, v_read)
    low, high = terminal_conductances(np.array([cell.g_min, cell.g_max]), hardware)
    found, targets = terminal_conductances(write(filaments(wanted, cell, v_read)).g_filament, hardware), wanted
    if tile.trim_pairs:
        targets = to_levels(np.clip(trimmed(targets, found, stuck), low, high), tile.code, (float(low), float(high)))
    if tile.compensate_stuck and tile.levels is None:
        missed = pair_differences(np.where(stuck, found, targets)) - pair_differences(wanted)
        targets = np.clip(compensated(targets, missed, stuck, moments), low, high)
    return filaments(targets, cell, v_read)
