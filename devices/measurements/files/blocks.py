"""Rows as blocks of points: where the header is, its line of units, and what stands above, between and below."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from devices.measurements.files.headings import read_heading, unit_in
from devices.measurements.files.rows import Row, Sheet, comment_cells

NEEDED = ({"v"}, {"current", "resistance", "conductance"})  # a header names one of each


@dataclass(frozen=True)
class Facts:
    """What a file says beside its points."""

    instrument: str = ""  #: what wrote it, as far as it can be told
    constants: Mapping[str, float] = field(default_factory=dict)  #: voltages that were held, by their name [V]
    limits: Mapping[str, float] = field(default_factory=dict)  #: compliance of currents, by their name [A]
    recorded: str = ""  #: "measured" or "programmed" voltages, where the file says so


@dataclass(frozen=True)
class Block:
    """A header and the rows of numbers below it."""

    header: Row | None  #: None where the file has none
    units: tuple[str, ...]  #: the line of units below it, () if there is none
    rows: tuple[Row, ...]
    facts: Facts = Facts()
    uncertain: bool = False  #: text stands between its header and its rows: what cannot be read is no point

    @property
    def titles(self) -> tuple[str, ...]:
        """The headings, "1", "2", … where the file has none."""
        if self.header is not None:
            return self.header.cells
        return tuple(str(k + 1) for k in range(max(len(row.cells) for row in self.rows)))


def blocks_of(sheet: Sheet, names: Callable[[Row], bool], facts: Facts) -> list[Block]:
    """Return the blocks of a sheet; names tells if a row is a header, as `names_curves` does.

    A comment is a header only where no other line is one.
    """
    plain = [row for row in sheet.rows if not row.comment]
    if not plain:
        return []
    found = _below_headers(plain, names, facts)
    if found:
        return found
    first = next((k for k, row in enumerate(plain) if row.numbers), None)
    if first is None:
        return [Block(plain[0], (), (), facts)]
    comments = [
        named
        for row in sheet.rows
        if row.comment and row.line < plain[first].line
        for named in (Row(row.line, cells) for cells in comment_cells(row))
        if names(named)
    ]
    if comments:
        return _continued(comments[-1], (), plain[first:], facts)
    texts = [row for row in plain[:first] if len(row.cells) > 1] or plain[:first]
    if texts:  # unknown names: what is missing is said where the columns are chosen
        return [Block(texts[-1], (), tuple(plain[first:]), facts)]
    return _continued(None, (), plain, facts)


def names_curves(row: Row) -> bool:
    """Tell if a row names a voltage and a current, or what gives a current."""
    if row.numbers or row.texts < 2:
        return False
    found = {read_heading(cell).quantity for cell in row.cells if cell}
    return all(found & needed for needed in NEEDED)


def _below_headers(rows: Sequence[Row], names: Callable[[Row], bool], facts: Facts) -> list[Block]:
    starts = [k for k, row in enumerate(rows) if names(row) and not (k and _is_units(row) and names(rows[k - 1]))]
    found = []
    for k, start in enumerate(starts):
        end = starts[k + 1] if k + 1 < len(starts) else len(rows)
        below = start + 1
        units: tuple[str, ...] = ()
        while below < end and not rows[below].numbers and not _is_points(rows[below], rows[start]):
            if not units and _is_units(rows[below]):
                units = rows[below].cells
            below += 1
        found += _continued(rows[start], units, rows[below:end], facts)
    return found


def _is_points(row: Row, header: Row) -> bool:
    """Tell if a row without a number is meant as points: as many cells as the header has, with marks for no reading."""
    return len(row.cells) == len(header.cells) and any(cell.startswith("#") for cell in row.cells)


def _continued(header: Row | None, units: tuple[str, ...], rows: Sequence[Row], facts: Facts) -> list[Block]:
    """Return rows under one header as blocks that lines of text separate."""
    found: list[Block] = []
    part: list[Row] = []
    for row in (*rows, Row(0, ())):
        if row.numbers or (part and not row.texts and row.line):
            part.append(row)
        elif part:
            found.append(Block(header, units, tuple(part), facts, uncertain=bool(found)))
            part = []
    return found or [Block(header, units, (), facts)]


def _is_units(row: Row) -> bool:
    """Tell if every cell with something in it is a unit, such as V, (A) or [s]; 1 and - stand for none."""
    cells = [cell.strip("()[] ") for cell in row.cells if cell.strip("()[] ")]
    return bool(cells) and all(unit_in(cell) or cell in {"-", "a.u.", "arb."} for cell in cells)
