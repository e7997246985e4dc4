"""Measured curves from files as instruments write them, and what was understood on the way."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devices.aliases import FloatArray, IntArray
from devices.checks import number
from devices.errors import ParameterError
from devices.measurements.compliance import Limit, find_limits
from devices.measurements.files import instruments
from devices.measurements.files.blocks import Block, Facts, blocks_of, names_curves
from devices.measurements.files.columns import ASKED, Chosen, choose_columns
from devices.measurements.files.headings import Heading
from devices.measurements.files.rows import Row, Sheet
from devices.measurements.files.series import Series, read_series
from devices.measurements.files.sheets import CALCULATED, read_sheets
from devices.measurements.measured_points import Curves, simulate_curves
from devices.measurements.sweeps import level_voltages, split_states, split_sweeps

__all__ = ["Curves", "Reading", "TableRead", "read_curves", "read_measurement", "simulate_curves"]

MOST_ROWS = 200_000  # a fit of more takes minutes; thin out
FEWEST = 5
RECORDED = ("measured", "programmed")


@dataclass(frozen=True)
class TableRead:
    """What was understood of one block of a file."""

    source: str  #: file, sheet and line of the header
    wrote: str  #: instrument, separators and encoding
    columns: tuple[Heading, ...]  #: those that are used, of the first sweep of them
    unused: tuple[str, ...]  #: headings of the others
    sweeps: int  #: side by side
    points: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """Measured curves, and what was understood of the files they come from."""

    curves: Curves
    tables: tuple[TableRead, ...]
    limits: tuple[Limit, ...]


def read_curves(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    columns: Mapping[str, str] | None = None,
    *,
    compliance: float | None = None,
    recorded: str | None = None,
    only: Mapping[str, str] | None = None,
) -> Curves:
    """Read measured points of one cell from a file or several; arguments and errors as of `read_measurement`."""
    return read_measurement(path, columns, compliance=compliance, recorded=recorded, only=only).curves


def read_measurement(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    columns: Mapping[str, str] | None = None,
    *,
    compliance: float | None = None,
    recorded: str | None = None,
    only: Mapping[str, str] | None = None,
) -> Reading:
    """Read measured points of one cell from a file or several, and say what was understood; docs/fitting.md.

    columns: headings, or numbers of columns from 1 on, by voltage, current, gate, time, sweep, state, resistance or
    conductance.
    compliance: limit of the current [A]; without it a limit that the file states counts, or a plateau in the data.
    recorded: "measured" or "programmed", the voltages in the file; None tells by the file and the data.
    only: texts that columns must hold for a row to count, by their headings.
    Raises ParameterError, with the line's number, for a file that is no such table.
    """
    files = [Path(path)] if isinstance(path, (str, os.PathLike)) else [Path(each) for each in path]
    if not files:
        raise ParameterError("there is no file to read curves from")
    asked = _asked(columns or {})
    if recorded not in (None, *RECORDED):
        raise ParameterError(f"recorded must be measured or programmed, got {recorded!r}")
    known = None if compliance is None else number("compliance", compliance, unit="A", above=0.0)
    series: list[Series] = []
    tables: list[TableRead] = []
    for file in files:
        found, read = _file(file, asked, dict(only or {}))
        series += found
        tables += read
    source = ", ".join(str(file) for file in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    return _joined(series, tables, source, known, recorded)


def _asked(columns: Mapping[str, str]) -> dict[str, str]:
    for key in columns:
        if key not in ASKED:
            raise ParameterError(f"columns are chosen by {', '.join(ASKED)}, got {key!r}")
    return {key: str(title).strip() for key, title in columns.items()}


def _file(file: Path, asked: Mapping[str, str], only: Mapping[str, str]) -> tuple[list[Series], list[TableRead]]:
    """Return the points of a file and what was understood of it."""
    sheets = read_sheets(file)
    if not any(any(row.cells and not row.comment for row in sheet.rows) for sheet in sheets):
        raise ParameterError(
            f"{file} is empty: expected a header such as voltage,current,v_gate and one point per line"
        )
    facts = instruments.keithley_facts(sheets)
    points = [sheet for sheet in sheets if sheet.name.lower() not in CALCULATED and sheet.rows]
    blocks = [(sheet, block) for sheet in points for block in _blocks(sheet, asked, facts)]
    if len(points) > 1:  # sheets of a workbook that hold something else
        blocks = [pair for pair in blocks if pair[1].header is not None and _is_header(asked)(pair[1].header)] or blocks
    rows = sum(len(block.rows) for _, block in blocks)
    if rows > MOST_ROWS:
        raise ParameterError(f"{file} has {rows} points, more than {MOST_ROWS}: thin them out")
    series: list[Series] = []
    tables: list[TableRead] = []
    for sheet, block in blocks:
        place = f"{file}, sheet {sheet.name!r}" if sheet.name else str(file)
        where = f"{place}, line {block.header.line}" if block.header is not None else place
        try:
            chosen = choose_columns(block, asked, where, comma=sheet.comma)
            found = [read_series(block, group, place, only, comma=sheet.comma) for group in chosen.groups]
        except ParameterError:
            if block.uncertain:
                continue
            raise
        series += [each for each in found if each.v.size]
        if any(each.v.size or each.missing for each in found) or len(blocks) == 1:
            tables.append(_understood(sheet, block, chosen, found, where))
    return series, tables


def _is_header(asked: Mapping[str, str]) -> Callable[[Row], bool]:
    """Return what tells if a row is a header: its names are known, or those that the user gives stand in it."""
    wanted = {title.lower() for title in asked.values() if not title.isdigit() and title.lower() != "none"}

    def names(row: Row) -> bool:
        cells = {cell.strip().lower() for cell in row.cells}
        bare = {cell.split("[")[0].split("(")[0].strip() for cell in cells}
        return wanted <= cells | bare if wanted else names_curves(row)

    return names


def _blocks(sheet: Sheet, asked: Mapping[str, str], facts: Facts) -> list[Block]:
    """Return the blocks of a sheet, whatever instrument wrote it."""
    blocks = instruments.easyexpert_blocks(sheet)
    if blocks:
        return blocks
    plain, units = instruments.without_labview_header(sheet)
    found = blocks_of(plain, _is_header(asked), Facts("LabVIEW") if plain is not sheet else facts)
    if units:
        found = [Block(each.header, each.units or units, each.rows, each.facts, each.uncertain) for each in found]
    if plain is not sheet and not any(_is_header(asked)(each.header) for each in found if each.header):
        # channels without names of their own: their units tell them apart
        found = blocks_of(plain, lambda row: bool(row.cells) and row.cells[0] == "X_Value", Facts("LabVIEW"))
        found = [Block(each.header, units, each.rows, each.facts, each.uncertain) for each in found]
    return found


def _understood(sheet: Sheet, block: Block, chosen: Chosen, found: Sequence[Series], where: str) -> TableRead:
    notes = list(chosen.notes)
    missing = [line for each in found for line in each.missing]
    if missing:
        lines = ", ".join(str(line) for line in missing[:5]) + (" …" if len(missing) > 5 else "")
        notes.append(f"{len(missing)} points without a reading are left out (line {lines})")
    skipped = sum(each.skipped for each in found)
    if skipped:
        notes.append(f"{skipped} lines below the points are no points")
    if not any("v" in group.places for group in chosen.groups):
        notes.append("the voltage is the one that the file states as held")
    if not any("v_gate" in group.places for group in chosen.groups):
        gates = {float(each.v_gate[0]) for each in found if each.v_gate is not None and each.v_gate.size}
        if gates:
            notes.append(f"gate voltage as the file states it: {', '.join(f'{gate:g}' for gate in sorted(gates))} V")
    wrote = ", ".join(text for text in (block.facts.instrument, sheet.wrote) if text)
    columns = tuple(chosen.groups[0].headings.values())
    points = sum(each.v.size for each in found)
    return TableRead(where, wrote, columns, chosen.unused, len(chosen.groups), points, tuple(notes))


def _joined(
    series: Sequence[Series], tables: Sequence[TableRead], source: str, known: float | None, recorded: str | None
) -> Reading:
    """Return the points of all sweeps as one value."""
    size = sum(each.v.size for each in series)
    if size < FEWEST:
        raise ParameterError(f"{source} has {size} points: five are the least that a curve needs")
    _refuse_several_cells(series, source)
    v, current = (np.concatenate([getattr(each, name) for each in series]) for name in ("v", "current"))
    v_gate = _gates(series, source)
    sweep = _sweeps(series, v_gate, source)
    state = _labelled(series, "state", source)
    if state is None:
        state = split_states(v, v_gate, sweep)
    time = None
    if all(each.time is not None for each in series):
        time = np.concatenate([each.time for each in series if each.time is not None])
    limits = np.concatenate([np.full(each.v.size, np.nan if each.limit is None else each.limit) for each in series])
    if known is not None:
        limits = np.full(size, known)
    ways = {each.recorded for each in series}
    told = recorded or (ways.pop() if len(ways) == 1 else "")
    censored, found = find_limits(v, current, sweep, limits, told)
    notes = tuple(f"{each.source}: {note}" for each in tables for note in each.notes)
    notes += tuple(_about(limit) for limit in found)
    curves = Curves(v, current, v_gate, sweep, state, time, source, censored if censored.any() else None, notes)
    return Reading(curves, tuple(tables), tuple(found))


def _about(limit: Limit) -> str:
    where = "found in the data" if limit.found else "given"
    if limit.programmed:
        how = "at programmed voltages: the cell's own current is at least that, and so they count"
    else:
        how = "at measured voltages, so they lie on the curve and are kept"
    return f"{limit.points} points stand at a compliance limit of {limit.current:.4g} A ({where}), {how}"


def _refuse_several_cells(series: Sequence[Series], source: str) -> None:
    """Raise ParameterError if an array's table holds more than one cell."""
    cells = {
        pair
        for each in series
        if {"word_line", "bit_line"} <= set(each.labels)
        for pair in zip(each.labels["word_line"], each.labels["bit_line"], strict=True)
    }
    if len(cells) > 1:
        first = min(cells)
        raise ParameterError(
            f"{source} holds {len(cells)} cells of an array, but a fit is of one: choose it, as in "
            f"--only Wordline={first[0]},Bitline={first[1]}"
        )


def _gates(series: Sequence[Series], source: str) -> FloatArray:
    known = [each.v_gate is not None for each in series]
    if any(known) and not all(known):
        raise ParameterError(f"{source}: some sweeps have a gate voltage and others none; give a column 'gate' to all")
    gates = [np.zeros(each.v.size) if each.v_gate is None else each.v_gate for each in series]
    return level_voltages(np.concatenate(gates))


def _sweeps(series: Sequence[Series], v_gate: FloatArray, source: str) -> IntArray:
    """Number sweeps by their labels, else by blocks, columns and jumps."""
    cycles = [_cycles(each.labels["tag"]) if "tag" in each.labels else None for each in series]
    parts, start, first = [], 0, 0
    one = len(series) == 1
    for each, cycle in zip(series, cycles, strict=True):
        end = start + each.v.size
        if "sweep" in each.labels:
            names = [label if one else f"{start} {label}" for label in each.labels["sweep"]]
            numbers = _numbered(names)
        elif cycle is not None:
            numbers = _numbered(cycle)
        elif each.v.size < 3 and not one:
            numbers = np.zeros(each.v.size, dtype=np.int64)
        elif "state" in each.labels and not one:
            numbers = _numbered(each.labels["state"])
        else:
            numbers = split_sweeps(each.v, v_gate[start:end], source)
        parts.append(numbers + first)
        first += int(numbers.max()) + 1
        start = end
    return np.concatenate(parts)


def _cycles(tags: Sequence[str]) -> list[str]:
    """Return the cycle of each point of ArC ONE's curve tracer: CT_i_2 is of the second, CT_s, CT_e are ends."""
    cycles = [tag.rsplit("_", 1)[-1] if "_i_" in tag else "" for tag in tags]
    for k, cycle in enumerate(cycles):  # the first point is of the cycle behind it, the last of that before it
        if not cycle:
            after = next((each for each in cycles[k + 1 :] if each), "")
            before = next((each for each in reversed(cycles[:k]) if each), "")
            cycles[k] = (before or after) if tags[k].endswith("_e") else (after or before)
    return cycles


def _labelled(series: Sequence[Series], name: str, source: str) -> IntArray | None:
    known = [name in each.labels for each in series]
    if not any(known):
        return None
    if not all(known):
        raise ParameterError(f"{source}: some tables have a column {name!r} and others none")
    return _numbered([label for each in series for label in each.labels[name]])


def _numbered(labels: Sequence[str]) -> IntArray:
    """Number labels in the order of their first appearance."""
    order = {label: at for at, label in enumerate(dict.fromkeys(labels))}
    return np.array([order[label] for label in labels])
