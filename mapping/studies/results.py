"""Results of a study: its table, and the effect of each parameter on a metric."""

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
    "images_per_s", "area_m2", "top5_chip", "top5_exact", "rms_error_chip", "rms_error_exact", "images_to_limit",
    "images_until_lost",
)  # fmt: skip
TAIL = ("failure", "wall_s", "versions")
LATER = METRICS[METRICS.index("images_per_s") :]  #: metrics that older tables lack
MORE_IS_BETTER = (
    "accuracy_chip", "accuracy_exact", "top5_chip", "top5_exact", "tops_per_watt", "images_per_s", "images_to_limit",
    "images_until_lost",
)  # fmt: skip
CONFIDENCE = 0.95
BINS = 4  #: number of equally large groups of the values of a random sweep, ours
DISTINCT = 6  #: the values of a random sweep are grouped if more than so many differ, ours


@dataclass(frozen=True)
class Results:
    """The table of a study: one row per point and seed; empty cells are None."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, Cell], ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters: the columns between `varied` and the metrics."""
        return self.columns[len(HEAD) : self.columns.index(METRICS[0])]

    @property
    def failures(self) -> tuple[dict[str, Cell], ...]:
        """Rows whose point could not be compiled or run; their column `failure` has the reason."""
        return tuple(row for row in self.rows if row["failure"] is not None)

    @property
    def one_at_a_time(self) -> bool:
        """Whether each row differs from the base in one parameter at most."""
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

    @property
    def quality(self) -> str:
        """The metric of the outputs: the error where they are numbers, else the accuracy."""
        errors = any(row.get("rms_error_chip") is not None for row in self.rows)
        return "rms_error_chip" if errors else "accuracy_chip"

    def metric(self, name: str) -> str:
        """Return the name of a metric.

        Raises ParameterError if the table has no such metric.
        """
        known = self.columns[len(HEAD) + len(self.parameters) : -len(TAIL)]
        if name not in (*known, "wall_s"):
            raise ParameterError(f"a study has no metric {name!r}; it has {', '.join((*known, 'wall_s'))}")
        return name


@dataclass(frozen=True)
class Level:
    """One value of a parameter, or one group of values of a random sweep, over all rows that have it."""

    label: str
    at: float | None  #: the value, or the mean of the group; None for a text
    mean: float  #: of the metric
    change: float  #: of the metric from the reference
    half_width: float | None  #: of the 95 % interval of the change; None without repetitions
    rows: int  #: number of rows


@dataclass(frozen=True)
class Effect:
    """The effect of one parameter on a metric."""

    parameter: str
    metric: str
    reference: float  #: mean of the base, or of all rows
    levels: tuple[Level, ...]

    @property
    def worst(self) -> Level:
        """The level with the most harmful change."""
        return min(self.levels, key=lambda level: self._gain(level.change))

    @property
    def hurt(self) -> float:
        """Harm of the worst level compared with the reference, in the metric's unit; at least 0."""
        return max(0.0, -self._gain(self.worst.change))

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest change of all levels and of the reference, whose change is 0."""
        changes = [0.0, *(level.change for level in self.levels)]
        return min(changes), max(changes)

    def _gain(self, change: float) -> float:
        return change if self.metric in MORE_IS_BETTER else -change


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read the table of a study, finished or not; an incomplete last line is left out.

    Raises ParameterError if the file is not a table of a study.
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
        raise ParameterError(f"{file} is not a table of a study, or is damaged")
    return Results(tuple(heading), tuple(dict(zip(heading, map(parsed, row), strict=True)) for row in rows))


def parsed(text: str) -> Cell:
    """Read a cell of the table: empty, a boolean, a number or a text."""
    if text in {"", "true", "false"}:
        return None if not text else text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def effects(results: Results, metric: str = "accuracy_chip") -> tuple[Effect, ...]:
    """Return the effect of each parameter on a metric, the most harmful parameter first.

    One-at-a-time sweep: change from the base. Grid: difference between the mean of a level's rows and the mean of all
    rows. Both are taken seed by seed, with Student's intervals over the seeds. Random sweep: difference between the
    mean of a group of values and the mean of all rows, with intervals over the settings. Failed rows are ignored; a
    parameter without rows is left out.
    Raises ParameterError if the table has no such metric.
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
    """Return (label, place on the axis, rows) for each value of a parameter, or for each group of values if binned."""
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
    """Return half the width of Student's 95 % interval of a mean; None for fewer than two values."""
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
    """Compare rows with those of the base seed by seed, or settings with the mean of all rows."""
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
