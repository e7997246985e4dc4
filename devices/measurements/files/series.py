"""Points of one sweep out of a block: numbers in SI, marks for no reading left out, and each broken line named."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.measurements.files.blocks import Block
from devices.measurements.files.columns import LABELS, LIKE_CURRENT, Group
from devices.measurements.files.headings import read_heading
from devices.measurements.files.numbers import number_in
from devices.measurements.files.rows import Row

LARGEST = {"v": (1e4, "V"), "v_gate": (1e4, "V"), "current": (1e3, "A")}  # beyond which a unit is wrong, ours


@dataclass(frozen=True, eq=False)
class Series:
    """Points of one group of columns, in the order of the file."""

    v: FloatArray  #: (n,) [V]
    current: FloatArray  #: (n,) [A]
    v_gate: FloatArray | None
    time: FloatArray | None
    labels: Mapping[str, tuple[str, ...]]  #: of each point, by "sweep", "state", "word_line", …
    trace: str
    limit: float | None  #: compliance of the current that the file states [A]
    recorded: str  #: "measured" or "programmed" voltages, "" where the file does not say
    missing: tuple[int, ...]  #: lines without a reading
    skipped: int = 0  #: rows after a line of text that hold no points


def read_series(block: Block, group: Group, where: str, only: Mapping[str, str], *, comma: bool) -> Series:
    """Return the points of one group; only: texts that columns must hold for a row to count, by their headings.

    Raises ParameterError with the line's number for a row that is no point.
    """
    width = len(block.titles)
    wanted = [(_place(title, block.titles, where), text) for title, text in only.items()]
    quantities = [quantity for quantity in group.places if quantity not in LABELS]
    like = next(quantity for quantity in LIKE_CURRENT if quantity in group.places)
    key = [group.places[quantity] for quantity in ("v", like) if quantity in group.places]
    columns: dict[str, list[float]] = {quantity: [] for quantity in quantities}
    labels: dict[str, list[str]] = {name: [] for name in LABELS if name in group.places}
    missing: list[int] = []
    skipped = 0
    timed = "time" in quantities
    for row in block.rows:
        if wanted and not all(k < len(row.cells) and _same(row.cells[k], text) for k, text in wanted):
            continue
        if not any(row.cells[k] for k in key if k < len(row.cells)):  # a shorter sweep beside a longer one
            continue
        at = f"{where}, line {row.line}"
        try:
            numbers = _point(row, group, quantities, width, at, comma=comma, timed=timed)
            here = {name: _label(row, group.places[name], block.titles, at) for name in labels}
        except ParameterError:
            if block.uncertain:
                skipped += 1
                continue
            raise
        if any(np.isnan(numbers[quantity]) for quantity in numbers if quantity != "time"):
            missing.append(row.line)
            continue
        for quantity, number in numbers.items():
            columns[quantity].append(number)
        for name, label in here.items():
            labels[name].append(label)
    arrays = {quantity: np.array(values) for quantity, values in columns.items()}
    return _series(block, group, arrays, labels, tuple(missing), skipped, where)


def _point(
    row: Row, group: Group, quantities: Sequence[str], width: int, at: str, *, comma: bool, timed: bool
) -> dict[str, float]:
    """Return the numbers of a row in SI by quantity; nan: no reading."""
    if row.fault:
        raise ParameterError(f"{at}: {row.fault}")
    needed = max(group.places.values()) + 1
    if len(row.cells) < needed or any(row.cells[width:]):
        twice = len(row.cells) == 2 * width
        hint = "; decimal commas cannot be told from commas between columns: use semicolons or tabs" if twice else ""
        raise ParameterError(f"{at}: expected {width} values as in the header, got {_filled(row)}{hint}")
    numbers: dict[str, float] = {}
    for quantity in quantities:
        heading, text = group.headings[quantity], row.cells[group.places[quantity]]
        try:
            number = heading.scale * number_in(text, comma=comma)
        except ValueError as error:
            if quantity == "time" and timed:  # a clock such as 14:03:01 is no number, and no matter
                number = np.nan
            else:
                raise ParameterError(f"{at}: {heading.title} {error}, got {text!r}") from None
        bound, unit = LARGEST.get(quantity, (np.inf, ""))
        if abs(number) > bound:
            raise ParameterError(
                f"{at}: {heading.title} must be at most {bound:g} {unit} in size, got {number:g} {unit}; "
                "is its unit right?"
            )
        numbers[quantity] = number
    return numbers


def _filled(row: Row) -> int:
    """Number of cells up to the last one that holds something."""
    filled = [k for k, cell in enumerate(row.cells) if cell]
    return filled[-1] + 1 if filled else 0


def _series(
    block: Block,
    group: Group,
    arrays: dict[str, FloatArray],
    labels: dict[str, list[str]],
    missing: tuple[int, ...],
    skipped: int,
    where: str,
) -> Series:
    size = next(iter(arrays.values())).size
    v = arrays.get("v")
    if v is None:
        held = _constant(block, "v")
        v = np.full(size, 0.0 if held is None else held)  # the choice of columns saw to it that there is one
    v_gate = arrays.get("v_gate")
    if v_gate is None:
        like = next(quantity for quantity in LIKE_CURRENT if quantity in group.headings)
        gate = group.headings[like].gate
        gate = _constant(block, "v_gate") if gate is None else gate
        v_gate = None if gate is None else np.full(size, gate)
    current = arrays.get("current")
    if current is None:
        with np.errstate(divide="ignore", invalid="ignore"):
            current = v / arrays["resistance"] if "resistance" in arrays else v * arrays["conductance"]
        current[v == 0.0] = 0.0
        if not np.all(np.isfinite(current)):
            raise ParameterError(f"{where}: a resistance of 0 Ω at a voltage other than 0 V gives no current")
    time = arrays.get("time")
    if time is not None and not np.all(np.isfinite(time)):
        time = None
    title = group.headings["current"].title if "current" in group.headings else ""
    plain = re.sub(r"[\[(].*", "", title).strip()
    limit = next((each for name, each in block.facts.limits.items() if name == plain and each > 0.0), None)
    recorded = (group.headings["v"].recorded if "v" in group.headings else "programmed") or block.facts.recorded
    held_labels = {name: tuple(texts) for name, texts in labels.items()}
    return Series(v, current, v_gate, time, held_labels, group.trace, limit, recorded, missing, skipped)


def _constant(block: Block, quantity: str) -> float | None:
    """Return a voltage that the file states as held [V]; of several, the one whose name is the likeliest."""
    known = [(read_heading(name), value) for name, value in block.facts.constants.items()]
    fitting = sorted((h.rank, k) for k, (h, _) in enumerate(known) if h.quantity == quantity and not h.channel)
    return known[fitting[0][1]][1] if fitting else None


def _place(title: str, titles: Sequence[str], where: str) -> int:
    for k, each in enumerate(titles):
        if each.strip().lower() == title.lower():
            return k
    known = ", ".join(map(repr, titles))
    raise ParameterError(f"{where}: there is no column {title!r} to choose rows by; the header has {known}")


def _same(cell: str, text: str) -> bool:
    try:
        return cell.lower() == text.lower() or float(cell) == float(text)
    except ValueError:
        return False


def _label(row: Row, place: int, titles: Sequence[str], where: str) -> str:
    """Return one label; 1 and 1.0 are the same."""
    text = row.cells[place]
    if not text:
        raise ParameterError(f"{where}: {titles[place]} must not be empty")
    try:
        return f"{float(text):g}"
    except ValueError:
        return text
