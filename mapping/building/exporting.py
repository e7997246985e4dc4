"""The folder from which a chip can be built: programming table, pulses, plan, converters and netlists."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from devices.cells.adaptive import AdaptiveMemristor
from devices.errors import ParameterError
from devices.writing.spread import Written
from devices.writing.write_pulses import WriteVerify
from mapping.building import plan_tables, pulse_tables
from mapping.building.identity import VERSION, program_digest
from mapping.building.programming_table import COLUMNS, Schedules, blocks, written_once
from mapping.building.pulse_tables import scheme_named
from mapping.building.tables import Block, Column, csv_writer, parquet_writer
from mapping.chips.cells import wanted_conductances
from mapping.chips.chip import Chip
from mapping.chips.measured_cells import MeasuredCells
from mapping.chips.netlists import tile_circuit, write_netlist
from mapping.files.whole_files import write_new_folder
from mapping.placement.encoding import filaments
from mapping.placement.program import Program

SCHEMA, PROGRAMMING, PLAN = "chip.json", "programming", "floor_plan.html"
FORMATS = ("csv", "parquet")  #: of the programming table

Writer = Callable[[Path], object]


def export_chip(
    held: Program | Chip,
    folder: str | os.PathLike[str],
    *,
    table: str = "csv",
    scheme: str | None = None,
    netlists: Iterable[tuple[str, int, int]] = (),
) -> list[Path]:
    """Write the folder from which a chip can be built, as a whole or not at all, and return its files.

    held: a Program for the targets alone, a Chip for its written cells too.  folder: a new or an empty one.  table:
    format of the programming table, "csv" or "parquet".  scheme: write scheme of the pulses, a name of SCHEMES or
    "array"; default: as scheme_named says.
    netlists: (matrix, tile, kernel) of tiles to write as SPICE netlists.
    Raises ParameterError for another format, scheme or tile, a folder that is not empty or cannot be written, or
    Parquet without pyarrow.
    """
    if table not in FORMATS:
        raise ParameterError(f"table must be one of {', '.join(FORMATS)}, got {table!r}")
    if not isinstance(held, (Program, Chip)):
        raise ParameterError(f"held must be a Program or a Chip, got {held!r}")
    program = held.program if isinstance(held, Chip) else held
    scheme, pulses = scheme_named(scheme, program.hardware)
    files = _plan_files(held)
    schedules = None
    if isinstance(program.hardware.cell, AdaptiveMemristor):
        schedules, more = _pulse_files(program.hardware.cell, pulses)
        files |= more
    cells = blocks(held, pulses.tolerance * program.hardware.cell.g_max, schedules)
    schema = _schema(held, table, scheme if schedules else None, files)
    writers: dict[str, Writer] = {SCHEMA: lambda path: path.write_text(json.dumps(schema, indent=1) + "\n", "utf-8")}
    if table == "csv":
        writers[f"{PROGRAMMING}.csv"] = csv_writer(COLUMNS, cells)
    else:
        writers[f"{PROGRAMMING}.parquet"] = parquet_writer(COLUMNS, cells, schema)
    writers |= {name: csv_writer(columns, rows) for name, (columns, rows) in files.items()}
    state = f"written, seed {held.seed}" if isinstance(held, Chip) else "compiled"
    page = _page(program, state)
    writers[PLAN] = lambda path: path.write_text(page, "utf-8")
    chosen = tuple(netlists)
    if chosen:
        shown = held if isinstance(held, Chip) else _with_targets(held)
        writers |= dict(_netlist(shown, *each) for each in chosen)
    return write_new_folder(folder, writers)


Files = dict[str, tuple[tuple[Column, ...], Iterable[Block]]]


def _plan_files(held: Program | Chip) -> Files:
    program = held.program if isinstance(held, Chip) else held
    hardware = program.hardware
    return {
        "arrays.csv": (plan_tables.ARRAYS, plan_tables.array_rows(program)),
        "gate_lines.csv": (plan_tables.GATE_LINES, plan_tables.gate_line_rows(program)),
        "gate_codes.csv": (plan_tables.GATE_CODES, plan_tables.gate_code_rows(hardware.gate_dac, hardware.cell)),
        "converters.csv": (plan_tables.CONVERTERS, plan_tables.converter_rows(held)),
        "outputs.csv": (plan_tables.OUTPUTS, plan_tables.output_rows(held)),
    }


def _pulse_files(cell: AdaptiveMemristor, scheme: WriteVerify) -> tuple[Schedules, Files]:
    found = pulse_tables.schedules_of(cell, scheme)
    first, second = found.targets[:2].tolist()
    return Schedules(first, second - first, found.count), {
        "ladder.csv": (pulse_tables.LADDERS, pulse_tables.ladder_rows(cell, scheme)),
        "schedules.csv": (pulse_tables.SCHEDULES, pulse_tables.schedule_rows(found)),
        "pulses.csv": (pulse_tables.PULSES, pulse_tables.pulse_rows(found)),
    }


def _schema(held: Program | Chip, table: str, scheme: str | None, files: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the tables hold and which program they belong to."""
    program = held.program if isinstance(held, Chip) else held
    hardware = program.hardware
    cell = hardware.cell
    tables = {f"{PROGRAMMING}.{table}": COLUMNS, **{name: columns for name, (columns, _) in files.items()}}
    once = {matrix.name for matrix in written_once(program)}
    return {
        "format": "crossgate chip",
        "version": VERSION,
        "program": program_digest(program),
        "network": program.network.name,
        "chip": hardware.name,
        "seed": held.seed if isinstance(held, Chip) else None,
        "measured": str(held.measured) if isinstance(held, Chip) and held.measured is not None else None,
        "scheme": scheme,
        "read_voltage_V": hardware.dac.v_read,
        "read_gate_V": cell.v_gate_max if cell.gated else None,
        "rewritten": [matrix.name for matrix in program.all_matrices if matrix.name not in once],
        "tables": {name: [each.described() for each in columns] for name, columns in tables.items()},
    }


def _page(program: Program, state: str) -> str:
    """Return the floor plan as an HTML page that needs no other file."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Floor plan</title></head>\n<body>\n'
        f"{program.floor_plan.to_html(state)}\n</body>\n</html>\n"
    )


def _with_targets(program: Program) -> Chip:
    """Return a chip whose cells have their targets exactly."""
    cell, v_read = program.hardware.cell, program.hardware.dac.v_read
    tiles = {}
    for matrix in program.all_matrices:
        targets = [filaments(wanted_conductances(matrix, tile), cell, v_read) for tile in matrix.tiles]
        tiles[matrix.name] = tuple(Written(g, np.zeros(g.shape)) for g in targets)
    return Chip(
        program,
        0,
        {},
        measured=MeasuredCells(tiles, "targets", sum(g.g_filament.size for each in tiles.values() for g in each)),
    )


def _netlist(chip: Chip, matrix: str, tile: int, kernel: int) -> tuple[str, Writer]:
    """Return name and writer of a tile's netlist."""
    circuit = tile_circuit(chip, matrix, tile, kernel)
    name = f"{matrix}-{tile}-{kernel}.cir".replace("/", "_").replace(os.sep, "_")
    return name, lambda path: write_netlist(chip.program, circuit, path)
