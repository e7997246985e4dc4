"""What a study found: its table, and how much each parameter moves a result, from the table alone."""

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from devices.errors import ParameterError
from mapping.files.regular_files import read_text

Cell = str | bool | int | float | None

HEAD = ("study", "point", "seed", "varied")
METRICS = (
    "images", "accuracy_chip", "accuracy_exact", "energy_J_per_image", "energy_low_J_per_image",
    "energy_high_J_per_image", "latency_s_per_image", "tops_per_watt", "tiles",
    "images_per_s", "area_m2",
)  # fmt: skip
TAIL = ("failure", "wall_s", "versions")
LATER = ("images_per_s", "area_m2")  #: metrics that older tables lack
MORE_IS_BETTER = ("accuracy_chip", "accuracy_exact", "tops_per_watt", "images_per_s")
CONFIDENCE = 0.95
BINS = 4  #: groups of equal size that the values of a random sweep fall into, ours
DISTINCT = 6  #: a drawn parameter with more different values than this is grouped, ours


@dataclass(frozen=True)
class Results:
    """The table of a study: one row per point and seed; empty cells are None."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, Cell], ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of what was varied: the columns between `varied` and the measured ones."""
        return self.columns[len(HEAD) : self.columns.index(METRICS[0])]

    @property
    def failures(self) -> tuple[dict[str, Cell], ...]:
        """Rows whose chip could not be compiled or run; their `failure` says why."""
        return tuple(row for row in self.rows if row["failure"] is not None)

    @property
    def one_at_a_time(self) -> bool:
        """Whether rows differ from a base in one parameter each."""
        return any(row["varied"] is not None for row in self.rows)

    @property
    def balanced(self) -> bool:
        """Whether every combination of the parameters' values occurs equally often, as in a grid."""
        if self.one_at_a_time:
            return False
        counts: dict[tuple[Cell, ...], int] = {}
        for row in self.rows:
            key = tuple(row[name] for name in self.parameters)
            counts[key] = counts.get(key, 0) + 1
        sizes = [len({row[name] for row in self.rows}) for name in self.parameters]
        return len(counts) == math.prod(sizes) and len(set(counts.values())) == 1

    def metric(self, name: str) -> str:
        """Return the name of a column of numbers.

        Raises ParameterError if there is none of this name.
        """
        known = self.columns[len(HEAD) + len(self.parameters) : -len(TAIL)]
        if name not in (*known, "wall_s"):
            raise ParameterError(f"a study has no metric {name!r}; it has {', '.join((*known, 'wall_s'))}")
        return name


@dataclass(frozen=True)
class Level:
    """One value of a parameter, or one group of drawn values, over all rows that have it."""

    label: str
    at: float | None  #: the value, or the mean of the group; None for a word
    mean: float  #: of the metric
    change: float  #: from the reference
    half_width: float | None  #: of the 95 % interval of the change; None where nothing was repeated
    rows: int


@dataclass(frozen=True)
class Effect:
    """What one parameter does to a metric."""

    parameter: str
    metric: str
    reference: float  #: mean of the base, or of all rows
    levels: tuple[Level, ...]

    @property
    def worst(self) -> Level:
        """The level that hurts most."""
        return min(self.levels, key=lambda level: self._gain(level.change))

    @property
    def hurt(self) -> float:
        """How much the worst level makes the metric worse than the reference, in the metric's unit; 0 at least."""
        return max(0.0, -self._gain(self.worst.change))

    @property
    def span(self) -> tuple[float, float]:
        """Least and largest change of all levels, with 0 for the reference."""
        changes = [0.0, *(level.change for level in self.levels)]
        return min(changes), max(changes)

    def _gain(self, change: float) -> float:
        return change if self.metric in MORE_IS_BETTER else -change


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read the table of a study, finished or not; half a line at its end is left out.

    Raises ParameterError if the file is no such table.
    """
    file = Path(path)
    try:
        text = read_text(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"the table {file} cannot be read: {error}") from None
    whole, newline, _ = text.rpartition("\n")
    heading, *rows = list(csv.reader((whole + newline).splitlines())) or [[]]
    wanted = (*HEAD, *(name for name in METRICS if name not in LATER), *TAIL)
    if not set(wanted) <= set(heading) or any(len(row) != len(heading) for row in rows):
        raise ParameterError(f"{file} is no table of a study, or damaged")
    return Results(tuple(heading), tuple(dict(zip(heading, map(parsed, row), strict=True)) for row in rows))


def parsed(text: str) -> Cell:
    """Read a cell of the table: nothing, a boolean, a number or a text."""
    if text in {"", "true", "false"}:
        return None if not text else text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def effects(results: Results, metric: str = "accuracy_chip") -> tuple[Effect, ...]:
    """Return what each parameter does to a metric, the one that hurts most first.

    One at a time: changes from the base, seed by seed; of a grid: a level's mean over everything else from the mean of
    all, seed by seed; intervals are Student's over the seeds.  Of a random sweep: groups of drawn values from the
    mean of all, intervals over the settings.  Failed rows take no part; a parameter without rows is left out.
    Raises ParameterError for a metric that the table lacks.
    """
    results.metric(metric)
    rows = [row for row in results.rows if isinstance(row[metric], (int, float))]
    base = [row for row in rows if row["varied"] is None]
    found = []
    for name in results.parameters if base else ():
        mine = [row for row in rows if row["varied"] == name] if results.one_at_a_time else base
        unit = "seed" if results.one_at_a_time or results.balanced else "point"
        levels = [
            level
            for label, at, members in groups(mine, name, binned=unit == "point")
            if (level := _level(label, at, members, base, metric, unit)) is not None
        ]
        if levels:
            found.append(Effect(name, metric, _mean(base, metric), tuple(levels)))
    return tuple(sorted(found, key=lambda effect: -effect.hurt))


def groups(
    rows: Sequence[dict[str, Cell]], name: str, *, binned: bool
) -> list[tuple[str, float | None, list[dict[str, Cell]]]]:
    """Return (label, place on an axis, rows) of each value of a parameter, or of groups of its drawn values."""
    values = list(dict.fromkeys(row[name] for row in rows))
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    if numeric:
        values.sort(key=_number)
    if not (binned and numeric and len(values) > DISTINCT):
        return [
            (_shown(value), _number(value) if numeric else None, [row for row in rows if row[name] == value])
            for value in values
        ]
    found: list[tuple[str, float | None, list[dict[str, Cell]]]] = []
    for part in np.array_split(np.arange(len(values)), BINS):
        chosen = [values[int(i)] for i in part]
        members = [row for row in rows if row[name] in chosen]
        label = f"{_shown(chosen[0])} … {_shown(chosen[-1])}"
        found.append((label, float(np.mean([_number(value) for value in chosen])), members))
    return found


def half_width(values: Sequence[float]) -> float | None:
    """Return half of the 95 % interval of a mean, Student's; None for fewer than two values."""
    n = len(values)
    if n < 2:
        return None
    return float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * np.std(values, ddof=1) / math.sqrt(n))


def _level(
    label: str,
    at: float | None,
    members: Sequence[dict[str, Cell]],
    base: Sequence[dict[str, Cell]],
    metric: str,
    unit: str,
) -> Level | None:
    """Compare rows with those of the base, one seed at a time, or settings with the mean of all."""
    changes = []
    for each in dict.fromkeys(row[unit] for row in members):
        mine = [row for row in members if row[unit] == each]
        others = [row for row in base if row[unit] == each] if unit == "seed" else base
        if others:
            changes.append(_mean(mine, metric) - _mean(others, metric))
    if not changes:
        return None
    return Level(label, at, _mean(members, metric), float(np.mean(changes)), half_width(changes), len(members))


def _mean(rows: Sequence[dict[str, Cell]], metric: str) -> float:
    return float(np.mean([_number(row[metric]) for row in rows]))


def _number(cell: Cell) -> float:
    return float(cell) if isinstance(cell, (int, float)) else math.nan


def _shown(cell: Cell) -> str:
    if isinstance(cell, bool) or cell is None:
        return str(cell).lower() if cell is not None else ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
