"""Text as rows of cells: the separator that makes most numbers, decimal commas, comments, quotes."""

import csv
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from devices.measurements.files.numbers import COMMA, NUMBER, is_number

SEPARATORS = ("\t", ";", ",", "|", "")  # "" is any white space; the first of equals is taken
NAMES = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars", "": "spaces"}
COMMENTS = ("#", "%", "!", "//")
NEARLY = 0.9  # part of the largest score from which on an earlier separator is taken: titles hold numbers too, ours
LOOKED_AT = 2000  # lines that the separator is chosen by


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    line: int  #: its number in the file, from 1 on
    cells: tuple[str, ...]
    comment: bool = False
    fault: str = ""  #: why it could not be split
    text: str = ""  #: of a comment, as it stands

    @functools.cached_property
    def numbers(self) -> int:
        """How many cells hold numbers."""
        return sum(is_number(cell) for cell in self.cells)

    @functools.cached_property
    def texts(self) -> int:
        """How many cells hold something else."""
        return sum(map(bool, self.cells)) - self.numbers


@dataclass(frozen=True)
class Sheet:
    """Rows of one text file, or of one sheet of a workbook."""

    name: str  #: of the sheet, "" for a text file
    rows: tuple[Row, ...]
    comma: bool  #: a comma may be the decimal point
    wrote: str  #: how the file separates its cells and encodes its text, for people


def rows_of(text: str, encoding: str) -> Sheet:
    """Return the rows of a text, without its empty lines."""
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    separator = _separator([line for _, line in lines[:LOOKED_AT]])
    rows = tuple(_row(n, line, separator) for n, line in lines)
    comma = separator != "," and any(COMMA.fullmatch(cell) for row in rows for cell in row.cells)
    wrote = f"{NAMES[separator]} between columns, {'decimal commas, ' if comma else ''}{encoding}"
    return Sheet("", rows, comma, wrote)


def _separator(lines: Sequence[str]) -> str:
    """Return what separates cells: most of the cells between it are numbers, two in a line at least."""
    scores = dict.fromkeys(SEPARATORS, 0.0)
    for separator in SEPARATORS:
        for line in lines:
            cells = [cell for cell in _split(line, separator) if cell]
            found = sum(bool(NUMBER.fullmatch(each) or COMMA.fullmatch(each)) for each in cells)
            if found > 1:
                scores[separator] += found / len(cells)
    most = max(scores.values())
    best = next(separator for separator in SEPARATORS if scores[separator] >= NEARLY * most)
    if most == 0.0:  # no line holds two numbers: what the first line has most of
        first = next((line for line in lines if not line.lstrip().startswith(COMMENTS)), "")
        best = max(";\t,", key=first.count)
    return best


def _split(line: str, separator: str) -> list[str]:
    """Return the cells of a line without regard to quotes that do not match."""
    if not separator:
        words = line.split()
        if any(is_number(word) for word in words):
            return words
        return _spaced_names(line, words)
    return [cell.strip().strip('"').strip() for cell in line.split(separator)]


def _spaced_names(line: str, words: Sequence[str]) -> list[str]:
    """Return names with single spaces in them where wider ones lie between, else words with the units behind them."""
    wide = re.split(r"\s{2,}", line.strip())
    if len(wide) > 1:
        return wide
    names: list[str] = []
    for word in words:
        if names and re.fullmatch(r"[\[(].*[\])]", word):
            names[-1] += f" {word}"
        else:
            names.append(word)
    return names


def comment_cells(row: Row) -> list[tuple[str, ...]]:
    """Return the cells of a comment by any separator: a header need not be separated as the numbers are."""
    return [row.cells, *(tuple(_split(row.text, separator)) for separator in SEPARATORS if separator in row.text)]


def _row(n: int, line: str, separator: str) -> Row:
    text = line.strip() if separator != "\t" else line.strip(" \r\n")
    comment = text.lstrip().startswith(COMMENTS)
    if comment:
        bare = text.lstrip().lstrip("#%!/").strip()
        return Row(n, tuple(_split(bare, separator)), comment=True, text=bare)
    if '"' not in text:
        return Row(n, tuple(_split(text, separator)))
    try:
        reader = csv.reader([text], delimiter=separator or " ", strict=True, skipinitialspace=True)
        return Row(n, tuple(cell.strip() for cell in next(reader) if cell.strip() or separator))
    except csv.Error as error:
        return Row(n, tuple(_split(text, separator)), fault=str(error))
