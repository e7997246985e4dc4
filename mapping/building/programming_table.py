"""The programming table: one row for each cell that is written once, with target, result and pulses.

k = kernels, m = rows, c = pairs of one tile
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from devices.aliases import FloatArray, IntArray
from devices.writing.spread import Written
from mapping.building.tables import Block, Column
from mapping.chips.cells import TileCells, wanted_conductances, write_cells
from mapping.chips.chip import Chip
from mapping.placement.encoding import filaments, terminal_conductances
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.program import Program

PLACE = (
    Column("matrix", "text", "", "matrix of a layer; arrays.csv says which arrays hold it"),
    Column("tile", "whole", "", "tile of the matrix, from 0"),
    Column("kernel", "whole", "", "kernel of a dynamic layer, from 0"),
    Column("row", "whole", "", "row of the tile, from 0; the last one is next to the sense end"),
    Column("column", "whole", "", "column of the tile, from 0 next to the drivers; of pairs, columns 2 j and 2 j + 1"),
)  #: columns that name a cell
SIGN = Column("sign", "text", "", "+ or - for the columns of a pair; + or reference for columns with an offset")
TARGET = Column("target_filament_S", "number", "S", "filament conductance to write")
TERMINAL = Column("target_terminal_S", "number", "S", "the same between the terminals, gate open, at the read voltage")
TOLERANCE = Column("tolerance_S", "number", "S", "largest accepted error of the terminal conductance")
STUCK = Column("stuck", "text", "", "on or off for a cell that takes no write, else empty")
OFFSET = Column("gate_offset_V", "number", "V", "shift of the cell's Dirac point; empty: not known")
WRITTEN = Column("written_filament_S", "number", "S", "filament conductance after writing; empty: not written")
MEASURED = Column("written_terminal_S", "number", "S", "conductance between the terminals after writing, gate open")
SCHEDULE = Column("schedule", "whole", "", "pulses of the cell in pulses.csv; -1: none")
PULSES = Column("pulses", "whole", "", "number of pulses of this schedule; -1: none")
COLUMNS = (*PLACE, SIGN, TARGET, TERMINAL, TOLERANCE, STUCK, OFFSET, WRITTEN, MEASURED, SCHEDULE, PULSES)

STATES = ("", "on", "off")  #: texts of the column `stuck`


@dataclass(frozen=True)
class Schedules:
    """How the rows refer to pulse schedules: schedule s is that of the target first + s × step."""

    first: float  #: [S]
    step: float  #: [S]
    pulses: IntArray  #: (s,) number of pulses

    def nearest(self, targets: FloatArray) -> IntArray:
        """Return the number of the schedule whose target is nearest, for filament conductances [S]."""
        at: IntArray = np.rint((targets - self.first) / self.step).astype(np.int64)
        return np.clip(at, 0, len(self.pulses) - 1)


def written_once(program: Program) -> tuple[Matrix, ...]:
    """Return the matrices whose cells are in the table; the others are rewritten for each image."""
    return tuple(matrix for matrix in program.all_matrices if not matrix.rewritten)


def blocks(held: Program | Chip, tolerance: float, schedules: Schedules | None) -> Iterator[Block]:
    """Yield the rows of one tile after another.

    held: a program for targets alone, a chip for its written or measured cells too.  tolerance: of a filament [S].
    """
    program = held.program if isinstance(held, Chip) else held
    for matrix in written_once(program):
        for at, placement in enumerate(matrix.tiles):
            yield _block(held, matrix, placement, at, tolerance, schedules)


def _block(
    held: Program | Chip, matrix: Matrix, placement: Placement, at: int, tolerance: float, schedules: Schedules | None
) -> Block:
    program = held.program if isinstance(held, Chip) else held
    hardware = program.hardware
    cells: TileCells | None = None
    written: Written | None = None
    targets = filaments(wanted_conductances(matrix, placement), hardware.cell, hardware.dac.v_read)
    if isinstance(held, Chip) and held.measured is not None:
        written = held.measured.tile(matrix.name, at)
    elif isinstance(held, Chip):
        simulated = held.simulated.get(matrix.name)
        drawn = program if simulated is None else _drawn(program)  # targets do not depend on the way of writing
        cells = write_cells(matrix, placement, drawn, held.stream(matrix, at), held.stress.get(matrix.name))
        targets, written = cells.targets, cells.written if simulated is None else simulated[at]
    kernel, row, column = (each.reshape(-1) for each in np.indices(targets.shape))
    wanted = terminal_conductances(targets, hardware)
    nothing = np.full(targets.size, np.nan)
    chosen = None if schedules is None else schedules.nearest(targets).reshape(-1)
    block: dict[str, object] = {
        "matrix": matrix.name, "tile": at, "kernel": kernel, "row": row, "column": column,
        "sign": _signs(matrix, placement) * (targets.size // targets.shape[2]),
        TARGET.name: targets.reshape(-1), TERMINAL.name: wanted.reshape(-1),
        TOLERANCE.name: (terminal_conductances(targets + tolerance, hardware) - wanted).reshape(-1),
        STUCK.name: "" if cells is None else _stuck(cells),
        OFFSET.name: nothing if written is None else _flat(written.gate_offset, targets),
        WRITTEN.name: nothing if written is None else _flat(written.g_filament, targets),
        MEASURED.name: nothing if written is None else open_conductances(program, written).reshape(-1),
        SCHEDULE.name: -1 if chosen is None else chosen,
        PULSES.name: -1 if chosen is None or schedules is None else schedules.pulses[chosen],
    }  # fmt: skip
    return block


def _drawn(program: Program) -> Program:
    """Return the program on a chip whose write errors are drawn, without simulated pulses."""
    hardware = program.hardware
    return replace(program, hardware=replace(hardware, tile=replace(hardware.tile, write="drawn")))


def _flat(values: FloatArray, like: FloatArray) -> FloatArray:
    return np.broadcast_to(values, like.shape).reshape(-1)


def _signs(matrix: Matrix, placement: Placement) -> list[str]:
    """Return the sign of each column of a tile."""
    columns, references = placement.cell_columns, matrix.code.references
    if matrix.code.paired:
        return ["+", "-"] * (columns // 2)
    return ["+"] * (columns - references) + ["reference"] * references


def _stuck(cells: TileCells) -> list[str]:
    numbers = np.where(cells.drawn.stuck_on, 1, np.where(cells.drawn.stuck_off, 2, 0)).reshape(-1)
    return [STATES[each] for each in numbers.tolist()] if numbers.any() else [""] * numbers.size


def open_gains(program: Program, gate_offset: FloatArray) -> FloatArray:
    """Return the read gains of cells with Dirac points shifted by gate_offset [V], at the top of the gate window."""
    cell = program.hardware.cell
    if not cell.gated:
        return np.ones(np.shape(gate_offset))
    return cell.gain_with_offset(cell.v_gate_max, gate_offset)


def open_conductances(program: Program, written: Written) -> FloatArray:
    """Return the terminal conductances [S] of cells at the top of the gate window and the read voltage."""
    hardware, gains = program.hardware, open_gains(program, written.gate_offset)
    return hardware.cell.terminal_conductance(written.g_filament, gains, hardware.dac.v_read)
