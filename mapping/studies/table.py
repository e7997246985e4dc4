"""The table of a study: a row is appended and synchronised when a point has finished, and read again after a stop."""

import contextlib
import csv
import importlib.util
import io
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from devices.errors import ParameterError
from mapping.studies.plots import study_figure
from mapping.studies.regression import regress
from mapping.studies.results import HEAD, Cell, Results, effects, parsed

TABLE = "results.csv"
PARTS = ("study file", "chip descriptions", "networks", "images")  #: parts of a table's identity, in order


# the table


@contextlib.contextmanager
def opened_table(path: Path) -> Iterator[BinaryIO]:
    """Open the table with a lock for this sweep; the lock ends with the process."""
    try:
        file = path.open("a+b")
    except OSError as error:
        raise ParameterError(f"cannot write {path}: {error.strerror}") from None
    with file:
        try:
            import fcntl
        except ImportError:  # a system without these locks
            yield file
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ParameterError(f"another sweep is writing {path}; wait for it, or give another --out") from None
        yield file


def kept_rows(file: BinaryIO, path: Path, columns: Sequence[str], identity: str) -> list[dict[str, Cell]]:
    """Read the rows of earlier starts and remove an incomplete last line; a new table gets its heading.

    Raises ParameterError if the rows belong to another study, or the table was changed by another program.
    """
    file.seek(0)
    whole, newline, _ = file.read().rpartition(b"\n")
    file.truncate(len(whole + newline))
    try:
        lines = list(csv.reader(io.StringIO((whole + newline).decode()), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ParameterError(f"{path} is damaged, or not a table of a study: {error}; give another --out") from None
    if not lines:
        append_row(file, columns)
        return []
    heading, *rows = lines
    for number, row in enumerate(rows, start=2):
        if len(row) != len(heading) or heading[: len(HEAD)] != list(HEAD):
            raise ParameterError(
                f"{path} is damaged, or not a table of a study: line {number} has {len(row)} columns of {len(heading)}"
            )
        _same_study(path, row[0], identity)
    if heading != list(columns):
        if rows or heading[: len(HEAD)] != list(HEAD):
            raise ParameterError(f"{path} has other columns than this study; give another --out, or remove it")
        file.truncate(0)
        append_row(file, columns)
    found = [dict(zip(heading, map(parsed, row), strict=True)) for row in rows]
    twice = len(found) - len({(row["point"], row["seed"]) for row in found})
    if twice:
        raise ParameterError(f"{path} holds {twice} points twice; a program other than a sweep has changed it")
    return found


def _same_study(path: Path, found: str, identity: str) -> None:
    if found != identity:
        pairs = itertools.zip_longest(PARTS, found.split("-"), identity.split("-"), fillvalue="")
        changed = [part for part, old, new in pairs if old != new]
        raise ParameterError(
            f"{path} belongs to another study: since its start the {' and the '.join(changed)} changed; "
            "give another --out, or remove it"
        )


def append_row(file: BinaryIO, cells: Sequence[Cell]) -> None:
    """Write one line and wait until it is on disk."""
    file.write(_lines([cells]).encode())
    file.flush()
    os.fsync(file.fileno())


def _lines(rows: Sequence[Sequence[Cell]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow([str(cell).lower() if isinstance(cell, bool) else cell for cell in row])
    return text.getvalue()


def file_writers(results: Results) -> dict[str, Callable[[Path], object]]:
    """Return the functions that write the files of a finished study, by file name: sorted table, summary, figure."""
    found: dict[str, Callable[[Path], object]] = {
        TABLE: lambda to: _synchronised(
            to, _lines([results.columns, *([row[name] for name in results.columns] for row in results.rows)])
        ),
        "summary.csv": lambda to: _synchronised(to, _lines(summary(results))),
        "study.png": lambda to: _draw(results, to),
    }
    if results.sampled:
        found["regression.csv"] = lambda to: _synchronised(to, _lines(coefficients(results)))
    if importlib.util.find_spec("pyarrow") is not None:
        found["results.parquet"] = lambda to: _write_parquet(results, to)
    return found


def summary(results: Results) -> list[list[Cell]]:
    """Return the effects on accuracy or error, energy and latency as lines of a table, the heading first."""
    lines: list[list[Cell]] = [["metric", "parameter", "reference", "level", "mean", "change", "half_width_95", "rows",
                               "distinguishable"]]  # fmt: skip
    for metric in (results.quality, "energy_J_per_image", "latency_s_per_image"):
        for effect in effects(results, metric):
            lines += [
                [
                    metric,
                    effect.parameter,
                    effect.reference,
                    each.label,
                    each.mean,
                    each.change,
                    each.half_width,
                    each.rows,
                    each.distinct,
                ]
                for each in effect.levels
            ]
    return lines


def coefficients(results: Results) -> list[list[Cell]]:
    """Return the regression of accuracy or error, energy and latency as lines of a table, the heading first."""
    lines: list[list[Cell]] = [
        ["metric", "parameter", "standardised", "low_95", "high_95", "change_per_deviation", "logarithmic",
         "distinguishable", "explained", "settings"]
    ]  # fmt: skip
    for metric in (results.quality, "energy_J_per_image", "latency_s_per_image"):
        found = regress(results, metric)
        lines += [
            [metric, each.parameter, each.standardised, each.low, each.high, each.change, each.logarithmic,
             each.distinct, found.explained, found.settings]
            for each in (() if found is None else found.coefficients)
            if found is not None
        ]  # fmt: skip
    return lines


def _synchronised(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _draw(results: Results, path: Path) -> None:
    study_figure(results).savefig(path, dpi=150)


def _write_parquet(results: Results, path: Path) -> None:
    """Write the table as Parquet; a column with numbers and texts becomes a column of texts."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {}
    for name in results.columns:
        cells = [row[name] for row in results.rows]
        kinds = {type(cell) for cell in cells if cell is not None}
        if kinds == {int, float}:
            cells = [None if cell is None else float(cell) for cell in cells]
        elif len(kinds) > 1:
            cells = [None if cell is None else str(cell) for cell in cells]
        columns[name] = cells
    parquet.write_table(pa.table(columns), path)
