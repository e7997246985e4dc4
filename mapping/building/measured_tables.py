"""Measured conductances: a programming table that comes back from the bench, checked against its program."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from devices import checks
from devices.aliases import BoolArray, FloatArray, IntArray
from devices.errors import ParameterError
from devices.writing.spread import Written
from mapping.building.exporting import FORMATS, PROGRAMMING, SCHEMA
from mapping.building.identity import VERSION, program_digest
from mapping.building.programming_table import (
    MEASURED,
    OFFSET,
    PLACE,
    STATES,
    STUCK,
    TARGET,
    WRITTEN,
    open_conductances,
    open_gains,
    written_once,
)  # fmt: skip
from mapping.building.tables import read_table
from mapping.chips.cells import wanted_conductances
from mapping.chips.measured_cells import MeasuredCells
from mapping.files.regular_files import read_text
from mapping.placement.encoding import filaments
from mapping.placement.program import Program

MISSING = ("target", "low")  #: what a cell without a conductance takes: its target, or the lowest of the window
AGREE = 1e-6  # relative difference of the two conductances of a cell that counts as rounding of a table, ours
LARGEST = 1.0  # [S] largest conductance of a cell, ours: the bound of chip descriptions


def read_measured(program: Program, path: str | os.PathLike[str], *, missing: str = "target") -> MeasuredCells:
    """Read measured conductances of a program's cells from a folder of `export_chip`, or a table in such a folder.

    Rows and columns may have any order. Filament conductances are taken as they are; where a table has only terminal
    ones [S], measured with open gates at the read voltage, the filaments follow from the cell's law.
    missing: what a cell without a conductance takes, "target" or "low"; a cell marked as stuck takes the end of the
    window.
    Raises ParameterError for a table of another program, cells that lack, are unknown or stand twice, and conductances
    that are negative or impossible.
    """
    if missing not in MISSING:
        raise ParameterError(f"missing must be one of {', '.join(MISSING)}, got {missing!r}")
    checks.instance("program", program, Program)
    table = _table(Path(path))
    _check_schema(table, program)
    plan = _Plan.of(program)
    names = {matrix.name: number for number, matrix in enumerate(written_once(program))}
    found = read_table(
        table, PLACE, (STUCK, OFFSET, TARGET, WRITTEN, MEASURED),
        {"matrix": names, STUCK.name: {name: number for number, name in enumerate(STATES)}},
    )  # fmt: skip
    if WRITTEN.name not in found and MEASURED.name not in found:
        raise ParameterError(f"{table} must have a column {WRITTEN.name} or {MEASURED.name}, got neither")
    order = plan.order(table, list(names), found)
    columns = {name: found[name][order] for name in found if name not in {each.name for each in PLACE}}
    return _cells(program, plan, table, columns, missing)


def _table(path: Path) -> Path:
    """Return the programming table of a folder, or the given table."""
    if not path.is_dir():
        if path.suffix not in {f".{each}" for each in FORMATS}:
            raise ParameterError(f"measured must be a folder of export-chip, a .csv or a .parquet file, got {path}")
        return path
    found = [path / f"{PROGRAMMING}.{each}" for each in FORMATS if (path / f"{PROGRAMMING}.{each}").exists()]
    if len(found) != 1:
        names = " and ".join(f"{PROGRAMMING}.{each}" for each in FORMATS)
        raise ParameterError(f"{path} must hold one of {names}, got {'both' if found else 'neither'}")
    return found[0]


def _check_schema(table: Path, program: Program) -> None:
    """Raise ParameterError unless the schema beside a table says that it belongs to the program."""
    path = table.parent / SCHEMA
    try:
        schema = json.loads(read_text(path))
    except FileNotFoundError:
        raise ParameterError(
            f"there is no {SCHEMA} beside {table}; keep it with the table it was written with"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ParameterError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(schema, dict) or schema.get("format") != "crossgate chip":
        raise ParameterError(f"{path} is not the schema of a chip that export-chip wrote")
    if schema.get("version") != VERSION:
        raise ParameterError(f"{path} has version {schema.get('version')!r} of the format; {VERSION} can be read")
    if schema.get("program") != program_digest(program):
        raise ParameterError(
            f"{table} belongs to another program: {schema.get('network')!r} on {schema.get('chip')!r} with other "
            f"cells, wires, tiles or placement than {program.network.name!r} on {program.hardware.name!r}"
        )


@dataclass(frozen=True, eq=False)
class _Plan:
    """The cells of a program one after another: tile after tile, kernels, rows, columns."""

    shapes: tuple[tuple[int, int, int], ...]  # (k, m, 2 c) of each tile
    first_tile: IntArray  # (matrices + 1,) number of the first tile of each matrix
    first_cell: IntArray  # (tiles + 1,) number of the first cell of each tile

    @classmethod
    def of(cls, program: Program) -> "_Plan":
        matrices = written_once(program)
        shapes = tuple(
            (matrix.kernels, tile.shape[0], tile.cell_columns) for matrix in matrices for tile in matrix.tiles
        )
        tiles = np.cumsum([0, *(len(matrix.tiles) for matrix in matrices)])
        return cls(shapes, tiles, np.cumsum([0, *(k * m * c for k, m, c in shapes)]))

    @property
    def cells(self) -> int:
        """Number of cells."""
        return int(self.first_cell[-1])

    def order(self, table: Path, names: list[str], found: dict[str, Any]) -> IntArray:
        """Return the row of each cell; raise ParameterError for unknown cells, cells that stand twice or lack."""
        matrix, tile, *place = (found[each.name].astype(np.int64) for each in PLACE)
        counts = np.diff(self.first_tile)
        wrong = (tile < 0) | (tile >= counts[matrix] if counts.size else True)
        at = np.where(wrong, 0, self.first_tile[matrix] + tile) if counts.size else tile
        shapes = np.array(self.shapes, dtype=np.int64).reshape(-1, 3)
        sizes = shapes[at].T if len(shapes) else np.zeros((3, len(at)), dtype=np.int64)
        for part, most in zip(place, sizes, strict=True):
            wrong = wrong | (part < 0) | (part >= most)
        if np.any(wrong):
            row = int(np.argmax(wrong))
            cell = ", ".join(f"{each.name} {int(found[each.name][row])}" for each in PLACE[1:])
            raise ParameterError(
                f"{table}: row {row + 1} is an unknown cell: matrix {names[int(matrix[row])]!r}, {cell} "
                f"({np.count_nonzero(wrong)} of {len(matrix)} rows)"
            )
        kernel, line, column = place
        cell_of = self.first_cell[at] + (kernel * sizes[1] + line) * sizes[2] + column
        rows = np.bincount(cell_of, minlength=self.cells)
        for bad, what in ((rows > 1, "stand in more than one row"), (rows == 0, "are missing as rows")):
            if bad.any():
                raise ParameterError(
                    f"{table} must have one row for each of {self.cells} cells, but {np.count_nonzero(bad)} {what}, "
                    f"first {self.name(names, int(np.argmax(bad)))}"
                )
        order = np.empty(self.cells, dtype=np.int64)
        order[cell_of] = np.arange(len(cell_of))
        return order

    def name(self, names: list[str], cell: int) -> str:
        """Return a cell in words."""
        at = int(np.searchsorted(self.first_cell, cell, side="right")) - 1
        matrix = int(np.searchsorted(self.first_tile, at, side="right")) - 1
        kernel, row, column = (int(each) for each in np.unravel_index(cell - int(self.first_cell[at]), self.shapes[at]))
        tile = at - int(self.first_tile[matrix])
        return f"{names[matrix]!r} tile {tile}, kernel {kernel}, row {row}, column {column}"


def _cells(program: Program, plan: _Plan, table: Path, columns: dict[str, FloatArray], missing: str) -> MeasuredCells:
    """Return the cells from columns in the order of the plan."""
    names = [matrix.name for matrix in written_once(program)]
    unknown = np.full(plan.cells, np.nan)
    filament, terminal = (columns.get(each.name, unknown) for each in (WRITTEN, MEASURED))
    offset = np.nan_to_num(columns.get(OFFSET.name, unknown), nan=0.0)
    stuck = columns.get(STUCK.name, np.zeros(plan.cells)).astype(np.int64)
    for column, values in ((WRITTEN.name, filament), (MEASURED.name, terminal)):
        _refuse(table, plan, names, column, values, (values < 0.0) | (values > LARGEST), f"from 0 to {LARGEST:g} S")
    _refuse(table, plan, names, OFFSET.name, offset, np.abs(offset) > 100.0, "from -100 to 100 V")
    filament = _filaments(program, plan, table, names, filament, terminal, offset)
    lacking = np.isnan(filament)
    if lacking.any():
        filament = np.where(lacking, _substitutes(program, columns.get(TARGET.name, unknown), stuck, missing), filament)
    tiles: dict[str, tuple[Written, ...]] = {}
    parts = list(
        zip(
            plan.shapes,
            np.split(filament, plan.first_cell[1:-1]),
            np.split(offset, plan.first_cell[1:-1]),
            strict=False,
        )
    )
    for number, name in enumerate(names):
        mine = parts[plan.first_tile[number] : plan.first_tile[number + 1]]
        tiles[name] = tuple(Written(g.reshape(shape), shift.reshape(shape)) for shape, g, shift in mine)
    return MeasuredCells(tiles, str(table), plan.cells, int(lacking.sum()), int(np.count_nonzero(stuck)))


def _filaments(
    program: Program, plan: _Plan, table: Path, names: list[str], filament: FloatArray, terminal: FloatArray,
    offset: FloatArray,
) -> FloatArray:  # fmt: skip
    """Return filament conductances [S]: given ones, or those of the terminal conductances; nan where both lack."""
    cell, v_read = program.hardware.cell, program.hardware.dac.v_read
    both = ~np.isnan(filament) & ~np.isnan(terminal)
    if both.any():
        shown = open_conductances(program, Written(filament[both], offset[both]))
        differ = both.copy()
        differ[both] = np.abs(shown - terminal[both]) > AGREE * np.maximum(shown, terminal[both])
        if differ.any():
            raise ParameterError(
                f"{table}: {WRITTEN.name} and {MEASURED.name} of {np.count_nonzero(differ)} cells disagree, first "
                f"{plan.name(names, int(np.argmax(differ)))}; leave the filament empty where the terminal was measured"
            )
    given = np.isnan(filament) & ~np.isnan(terminal)
    if not given.any():
        return filament
    law = getattr(cell, "law", None)
    low, series = float(getattr(law, "g_leak", 0.0)), float(getattr(law, "r_series", 0.0))
    if series > 0.0:
        top = low + 1.0 / series
        _refuse(
            table, plan, names, MEASURED.name, terminal, given & (terminal >= top),
            f"below {top:g} S, as the series resistance of the cell allows",
        )  # fmt: skip
    out = filament.copy()
    gains = open_gains(program, offset[given])
    out[given] = cell.filament_for(
        np.maximum(terminal[given], low), gains, v_read
    )  # less than the leakage: no filament
    return out


def _substitutes(program: Program, target: FloatArray, stuck: IntArray, missing: str) -> FloatArray:
    """Return the filament conductances [S] that cells without a measured one take."""
    cell, v_read = program.hardware.cell, program.hardware.dac.v_read
    if missing == "low":
        out = np.full(target.shape, cell.g_min)
    else:
        wanted = [
            filaments(wanted_conductances(matrix, tile), cell, v_read).reshape(-1)
            for matrix in written_once(program)
            for tile in matrix.tiles
        ]
        given = (target >= 0.0) & (target <= LARGEST)
        out = np.where(given, target, np.concatenate(wanted))
    return np.where(stuck == 1, cell.g_max, np.where(stuck == 2, cell.g_min, out))


def _refuse(
    table: Path, plan: _Plan, names: list[str], column: str, values: FloatArray, bad: BoolArray, wanted: str
) -> None:
    """Raise ParameterError for the first bad value."""
    if bad.any():
        at = int(np.argmax(bad))
        raise ParameterError(
            f"{table}: {column} must be {wanted}, got {values[at]:g} for {plan.name(names, at)} "
            f"({np.count_nonzero(bad)} of {values.size} cells)"
        )
