"""Formats with tags of their own: Keysight EasyEXPERT, Keithley 4200A workbooks, LabVIEW measurement files."""

import re
from collections.abc import Sequence

from devices.measurements.files.blocks import Block, Facts
from devices.measurements.files.numbers import is_finite, number_in
from devices.measurements.files.rows import Row, Sheet

EASYEXPERT_TAGS = frozenset({
    "setuptitle", "primitivetest", "testparameter", "metadata", "analysissetup", "dimension1", "dimension2", "dataname",
    "dataunit", "datavalue",
})  # fmt: skip
LABVIEW_END = "***End_of_Header***"


def easyexpert_blocks(sheet: Sheet) -> list[Block]:
    """Return the blocks of a file of EasyEXPERT with its tags, [] for any other file.

    Each row, or in the other orientation each column, begins with a tag: DataName the names, DataValue a row of points.
    Source: Agilent EasyEXPERT User's Guide, "Text File Export settings", tables 1-14 and 1-15.
    """
    tagged = [(_tag(row.cells[0]), row) for row in sheet.rows if row.cells and row.cells[0][:1].isalpha()]
    if any(tag == "dataname" for tag, _ in tagged):
        across = [row for tag, row in tagged if {"dataname", "datavalue"} <= {_tag(cell) for cell in row.cells}]
        return _by_column(sheet, across[0]) if across else _by_row(tagged)
    texts = [row for row in sheet.rows if row.texts > 1]
    across = [row for row in texts if {"dataname", "datavalue"} <= {_tag(cell) for cell in row.cells}]
    return _by_column(sheet, across[0]) if across else []


def _tag(cell: str) -> str:
    return re.sub(r"[\s_]+", "", cell).lower()


def _by_row(tagged: Sequence[tuple[str, Row]]) -> list[Block]:
    found: list[Block] = []
    parameters: dict[str, list[str]] = {}
    header: Row | None = None
    units: tuple[str, ...] = ()
    rows: list[Row] = []

    def close() -> None:
        nonlocal rows, units, header
        if header is not None:
            found.append(Block(header, units, tuple(rows), _easyexpert_facts(parameters)))
        header, units, rows = None, (), []

    for tag, row in tagged:
        if tag == "setuptitle":
            close()
            parameters = {}
        elif tag in {"testparameter", "metadata"} and len(row.cells) > 1:
            parameters[row.cells[1]] = list(row.cells[2:])
        elif tag == "dataname":
            close()
            header = Row(row.line, row.cells[1:])
        elif tag == "dataunit":
            units = row.cells[1:]
        elif tag == "datavalue":
            rows.append(Row(row.line, row.cells[1:], fault=row.fault))
    close()
    return found


def _by_column(sheet: Sheet, tags: Row) -> list[Block]:
    """Return the one block of the orientation in which each row below the tags is a column of points."""
    kinds = [_tag(cell) for cell in tags.cells]
    names, values = kinds.index("dataname"), [k for k, kind in enumerate(kinds) if kind == "datavalue"]
    columns = [row for row in sheet.rows if row.line > tags.line and len(row.cells) > names]
    units = kinds.index("dataunit") if "dataunit" in kinds else None
    rows = tuple(
        Row(columns[0].line if columns else 0, tuple(row.cells[k] if k < len(row.cells) else "" for row in columns))
        for k in values
    )
    below = () if units is None else tuple(row.cells[units] if units < len(row.cells) else "" for row in columns)
    return [
        Block(Row(tags.line, tuple(row.cells[names] for row in columns)), below, rows, Facts("Keysight EasyEXPERT"))
    ]


def _easyexpert_facts(parameters: dict[str, list[str]]) -> Facts:
    """Return held voltages and compliances of the channels; each parameter lists one value per channel."""
    voltages, currents = parameters.get("Channel.VName", []), parameters.get("Channel.IName", [])
    roles = [each.upper() for each in parameters.get("Channel.Func", [])]
    biases, limits = parameters.get("Measurement.Bias.Source", []), parameters.get("Measurement.Bias.Compliance", [])
    constants = {
        name: number_in(bias, comma=False)
        for name, role, bias in zip(voltages, roles, biases, strict=False)
        if name and role == "CONST" and is_finite(bias)
    }
    known = {
        name: number_in(limit, comma=False)
        for name, limit in zip(currents, limits, strict=False)
        if name and is_finite(limit)
    }
    return Facts("Keysight EasyEXPERT", constants, known)


def keithley_facts(sheets: Sequence[Sheet]) -> Facts:
    """Return held voltages and compliances from the sheet Settings of a Keithley 4200A's workbook.

    Its rows Device Terminal, Forcing Function, Start/Level, Compliance and Measure V hold one cell per terminal.
    """
    settings = next((sheet for sheet in sheets if sheet.name.lower() == "settings"), None)
    if settings is None:
        return Facts()
    values: dict[str, tuple[str, ...]] = {}
    for row in settings.rows:  # the newest run stands first
        values.setdefault(row.cells[0].strip(": ").lower(), row.cells[1:])
    terminals = values.get("device terminal", values.get("terminal", ()))
    functions = values.get("forcing function", ())
    levels, limits = values.get("start/level", ()), values.get("compliance", ())
    ways = values.get("measure v", ())
    constants = {
        f"{terminal}V": number_in(level, comma=False)
        for terminal, function, level in zip(terminals, functions, levels, strict=False)
        if terminal and "bias" in function.lower() and "voltage" in function.lower() and is_finite(level)
    }
    known = {
        f"{terminal}I": number_in(limit, comma=False)
        for terminal, limit in zip(terminals, limits, strict=False)
        if terminal and is_finite(limit)
    }
    swept = [
        way.lower()
        for function, way in zip(functions, ways, strict=False)
        if "sweep" in function.lower() and way.lower() in {"measured", "programmed"}
    ]
    return Facts("Keithley 4200A", constants, known, swept[0] if swept else "")


def without_labview_header(sheet: Sheet) -> tuple[Sheet, tuple[str, ...]]:
    """Return a sheet without the headers of a LabVIEW measurement file, and the units that these give its columns.

    The last line LABVIEW_END ends the second header; the names follow it, X_Value first and Comment last.
    Source: National Instruments, "Specification for the LabVIEW Measurement File (.lvm)".
    """
    ends = [k for k, row in enumerate(sheet.rows) if row.cells and row.cells[0] == LABVIEW_END]
    if not ends:
        return sheet, ()
    units = [row.cells for row in sheet.rows[: ends[-1]] if row.cells[0] == "Y_Unit_Label"]
    kept = tuple(
        Row(row.line, tuple(row.cells[:-1] if len(row.cells) > 2 and row.cells[-1] in {"", "Comment"} else row.cells))
        for row in sheet.rows[ends[-1] + 1 :]
    )
    return Sheet(sheet.name, kept, sheet.comma, sheet.wrote), ("s", *units[-1][1:]) if units else ()
