"""Which column of a block holds what: by its heading, by what the user says, and never a numbering for a current."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from devices.errors import ParameterError
from devices.measurements.files.blocks import Block
from devices.measurements.files.headings import UNITS, WORDS, Heading, read_heading
from devices.measurements.files.numbers import number_in

ASKED = {
    "voltage": "v", "current": "current", "gate": "v_gate", "time": "time", "sweep": "sweep", "state": "state",
    "resistance": "resistance", "conductance": "conductance",
}  # fmt: skip
LIKE_CURRENT = ("current", "resistance", "conductance")
LABELS = ("sweep", "state", "tag", "word_line", "bit_line")
SHARED = ("v", "v_gate", "time", *LABELS)  # one column of these serves all sweeps side by side
CURRENT_BELOW = 0.1  # largest current [A] over largest voltage [V] of columns without names, ours


@dataclass(frozen=True)
class Group:
    """The columns of one sweep: the place of each quantity among the cells."""

    places: Mapping[str, int]
    headings: Mapping[str, Heading]
    trace: str = ""  #: which of several sweeps side by side


@dataclass(frozen=True)
class Chosen:
    """The columns of a block."""

    groups: tuple[Group, ...]
    unused: tuple[str, ...]  #: headings of the other columns
    notes: tuple[str, ...] = ()


def choose_columns(block: Block, asked: Mapping[str, str], where: str, *, comma: bool) -> Chosen:
    """Return the columns of a block; asked: headings, or numbers from 1 on, by the keys of ASKED.

    Raises ParameterError if a voltage or a current is missing or not unique.
    """
    titles = block.titles
    headings = [
        replace(read_heading(_base(title, titles), block.units[k] if k < len(block.units) else ""), title=title)
        for k, title in enumerate(titles)
    ]
    notes: list[str] = []
    numbered = [k for k, heading in enumerate(headings) if _is_numbering(block, k, heading, comma=comma)]
    found: dict[str, list[int]] = {}
    for key, title in asked.items():
        if title.lower() != "none":
            found[ASKED[key]] = _asked(title, titles, key, where)
    taken = {k for places in found.values() for k in places} | set(numbered)
    if block.header is None and not {"v", "current"} & set(found):
        found |= _unnamed(block, where, comma=comma)
        notes.append(f"no names: column {found['v'][0] + 1} is taken as voltage, {found['current'][0] + 1} as current")
    headings = [_as_asked(heading, k, found) for k, heading in enumerate(headings)]
    refused = {ASKED[key] for key, title in asked.items() if title.lower() == "none"}
    for quantity in dict.fromkeys(h.quantity for h in headings if h.quantity is not None):
        if quantity in found or quantity in refused or quantity in {"number", "i_gate"}:
            continue
        places = [k for k, h in enumerate(headings) if h.quantity == quantity and k not in taken]
        if len(places) > 1:  # names of wafers or devices hold no quantity
            places = [k for k in places if np.isfinite(values_of(block, k, comma=comma)).any()] or places
        if places:
            ranks = {k: (headings[k].rank, not headings[k].unit) for k in places}  # of equals, one with a unit
            found[quantity] = [k for k in places if ranks[k] == min(ranks.values())]
    if any(k in numbered for k, h in enumerate(headings) if h.quantity == "current"):
        notes.append("a column that only counts lines is not taken as a current")
    like = next((quantity for quantity in LIKE_CURRENT if quantity in found), None)
    if "v" not in found and any(read_heading(name).quantity == "v" for name in block.facts.constants):
        found["v"] = []
    if "v" not in found or like is None:
        missing = "voltage" if "v" not in found else "current"
        if not titles:
            raise ParameterError(f"{where}: there is no column {missing!r}; its header is empty")
        raise ParameterError(
            f"{where}: there is no column {missing!r}; the header has {', '.join(map(repr, titles))}; "
            f"say which it is, as in --columns {_proposal(titles, found, numbered)}"
        )
    for quantity in [each for each in LIKE_CURRENT if each != like]:
        found.pop(quantity, None)
    for quantity, places in found.items():
        for k in places:
            if headings[k].wrong_unit and headings[k].quantity == quantity:
                raise ParameterError(
                    f"{where}: the unit of {titles[k]!r} must be {UNITS[quantity]} with a prefix such as m or u"
                )
    groups = _groups(block, found, headings, like, where, comma=comma)
    used = {k for group in groups for k in group.places.values()}
    unused = tuple(title for k, title in enumerate(titles) if k not in used and title)
    return Chosen(groups, unused, tuple(notes))


def _proposal(titles: Sequence[str], found: Mapping[str, Sequence[int]], numbered: Sequence[int]) -> str:
    """Return an example of --columns for a table in which the voltage, the current or both were not found."""
    free = [k for k in range(len(titles)) if titles[k] and k not in numbered]
    free = [k for k in free if all(k not in places for places in found.values())] or free or [0]
    voltage = next(iter(found.get("v", ())), free[0])
    current = next((k for k in reversed(free) if k != voltage), free[-1])
    return f"voltage={titles[voltage]},current={titles[current]}"


def _as_asked(heading: Heading, k: int, found: Mapping[str, Sequence[int]]) -> Heading:
    """Return a heading with the quantity that the user gave its column."""
    for quantity, places in found.items():
        if k in places:
            if heading.unit and UNITS.get(quantity) != heading.unit:
                return replace(heading, quantity=quantity, unit="", scale=1.0)
            return replace(heading, quantity=quantity)
    return heading


def _asked(title: str, titles: Sequence[str], key: str, where: str) -> list[int]:
    """Return where the columns of an asked heading stand."""
    for same in (
        lambda each: each == title,
        lambda each: each.lower() == title.lower(),
        lambda each: re.sub(r"\s*[\[(][^\[\]()]*[\])]$", "", each).lower() == title.lower(),
    ):
        places = [k for k, each in enumerate(titles) if same(each.strip())]
        if places:
            return places
    if title.isdigit() and 1 <= int(title) <= len(titles):
        return [int(title) - 1]
    raise ParameterError(
        f"{where}: there is no column {title!r} for {key}; the header has {', '.join(map(repr, titles))}"
    )


def values_of(block: Block, place: int, *, comma: bool) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the numbers of a column, nan where there is none."""
    values = np.full(len(block.rows), np.nan)
    for k, row in enumerate(block.rows):
        if place < len(row.cells):
            try:
                values[k] = number_in(row.cells[place], comma=comma)
            except ValueError:
                continue
    return values


def _is_numbering(block: Block, place: int, heading: Heading, *, comma: bool) -> bool:
    """Tell if a column without a unit only counts: whole numbers, each one more than the one before; or is an id."""
    if heading.unit or heading.quantity not in {"current", "number"}:
        return False
    if heading.quantity == "number":
        return True
    values = values_of(block, place, comma=comma)
    if values.size < 3 or not np.all(np.isfinite(values)):
        return False
    if heading.title.strip().lower() == "id" and np.all(values == np.round(values)):
        return True
    steps = np.diff(values)
    again = values[1:] == values[0]  # a numbering may begin anew with each sweep
    return bool(np.all(values == np.round(values)) and np.all((steps == 1.0) | again) and np.any(steps == 1.0))


def _unnamed(block: Block, where: str, *, comma: bool) -> dict[str, list[int]]:
    """Return voltage and current of a block without names: two columns, and currents are far smaller than voltages."""
    columns = [values_of(block, k, comma=comma) for k in range(len(block.titles))]
    places = [k for k, values in enumerate(columns) if np.isfinite(values).any()]
    if len(places) > 2:  # a numbering beside them
        places = [
            k
            for k in places
            if not (np.all(np.isfinite(columns[k])) and columns[k].size > 2 and np.all(np.diff(columns[k]) == 1.0))
        ]
    if len(places) == 2:
        largest = [float(np.nanmax(np.abs(columns[k]))) for k in places]
        for v, current in ((0, 1), (1, 0)):
            if 0.0 < largest[current] < CURRENT_BELOW * largest[v]:
                return {"v": [places[v]], "current": [places[current]]}
    raise ParameterError(
        f"{where}: {len(block.titles)} columns have no names; say which is which, as in --columns voltage=1,current=2"
    )


def _groups(
    block: Block, found: Mapping[str, list[int]], headings: Sequence[Heading], like: str, where: str, *, comma: bool
) -> tuple[Group, ...]:
    """Return the sweeps side by side: columns whose headings carry one number, or that come again."""
    keys = {q: _keys(places, headings, block, q, where, found, comma=comma) for q, places in found.items()}
    groups = []
    for key, place in keys[like].items():
        places = {like: place}
        for quantity in found:
            if quantity == like:
                continue
            here = keys[quantity]
            if key in here:
                places[quantity] = here[key]
            elif len(here) == 1 and quantity in SHARED:
                places[quantity] = next(iter(here.values()))
            elif here and quantity == "v":
                raise ParameterError(
                    f"{where}: no voltage belongs to column {block.titles[place]!r}; choose with --columns"
                )
        groups.append(Group(places, {q: headings[k] for q, k in places.items()}, key if len(keys[like]) > 1 else ""))
    return tuple(groups)


def _keys(
    places: Sequence[int],
    headings: Sequence[Heading],
    block: Block,
    quantity: str,
    where: str,
    found: Mapping[str, list[int]],
    *,
    comma: bool,
) -> dict[str, int]:
    """Return the columns of one quantity by what tells the sweeps side by side apart."""
    titles = block.titles
    bases = [_base(titles[k], titles) for k in places]
    if (
        len(places) > 1
        and len(set(bases)) == len(places)
        and _one_channel_each(places, headings, block, found, comma=comma)
    ):
        return {f"channel {headings[k].channel}": k for k in places}
    seen: Counter[str] = Counter()
    result: dict[str, int] = {}
    for k, base in zip(places, bases, strict=True):
        key = " ".join(headings[k].trace)
        if not key and bases.count(base) > 1:
            seen[base] += 1
            key = f"pair {seen[base]}"
        if key in result:
            raise ParameterError(
                f"{where}: columns {titles[result[key]]!r} and {titles[k]!r} both hold the {quantity}; choose with "
                f"--columns {WORDS.get(quantity, quantity).replace('gate voltage', 'gate')}={titles[k]}"
            )
        result[key] = k
    return result


def _base(title: str, titles: Sequence[str]) -> str:
    """Return a title without the .1 that pandas puts behind one that comes again."""
    match = re.fullmatch(r"(.*)\.\d+", title)
    return match[1] if match and match[1] in titles else title


def _one_channel_each(
    places: Sequence[int], headings: Sequence[Heading], block: Block, found: Mapping[str, list[int]], *, comma: bool
) -> bool:
    """Tell if V1, I1, V2, I2 are sweeps side by side: as many voltages as currents, and the same voltages in all."""
    channels = [headings[k].channel for k in places]
    if not all(channels) or len(set(channels)) < len(channels) or "v" not in found or "current" not in found:
        return False
    pairs = [sorted(headings[k].channel for k in found[quantity]) for quantity in ("v", "current")]
    if pairs[0] != pairs[1] or sorted(channels) != pairs[0]:
        return False
    columns = [values_of(block, k, comma=comma) for k in found["v"]]
    return all(np.allclose(each, columns[0], rtol=1e-6, atol=1e-9, equal_nan=True) for each in columns)
