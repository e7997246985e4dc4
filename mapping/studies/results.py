"""Results of a study: its table, and the effect of each parameter on a metric."""

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtri, stdtrit

from devices.aliases import BoolArray, FloatArray
from devices.errors import ParameterError
from mapping.files.regular_files import read_text
from mapping.presentation.sample_intervals import paired_interval

Cell = str | bool | int | float | None
_Rows = Sequence[Mapping[str, Cell]]

HEAD = ("study", "point", "seed", "varied")
METRICS = (
    "images", "accuracy_chip", "accuracy_exact", "energy_J_per_image", "energy_low_J_per_image",
    "energy_high_J_per_image", "latency_s_per_image", "tops_per_watt", "tiles",
    "images_per_s", "area_m2", "top5_chip", "top5_exact", "rms_error_chip", "rms_error_exact", "images_to_limit",
    "images_until_lost",
)  # fmt: skip
TAIL = ("right", "failure", "wall_s", "versions")
LATER = (*METRICS[METRICS.index("images_per_s") :], "right")  #: columns that older tables lack
FRACTIONS = ("accuracy_chip", "accuracy_exact", "top5_chip", "top5_exact")  #: metrics that are fractions of the images
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

    @property
    def sampled(self) -> bool:
        """Whether the points are drawn, so that every parameter differs in every point."""
        return not self.one_at_a_time and not self.balanced

    def metric(self, name: str) -> str:
        """Return the name of a metric.

        Raises ParameterError if the table has no such metric.
        """
        known = [each for each in self.columns if each not in {*HEAD, *self.parameters, *TAIL}]
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
    half_width: float | None  #: of the 95 % interval of the change, over seeds and images; None without repetitions
    rows: int  #: number of rows
    distinct: bool = True  #: whether the change differs from 0, with 5 % over all levels together (Bonferroni)


@dataclass(frozen=True)
class Effect:
    """The effect of one parameter on a metric."""

    parameter: str
    metric: str
    reference: float  #: mean of the base, or of all rows
    levels: tuple[Level, ...]

    @property
    def worst(self) -> Level:
        """The level with the most harmful change, among those that differ from the reference if there are any."""
        told = [level for level in self.levels if level.distinct and self._gain(level.change) < 0.0]
        return min(told or self.levels, key=lambda level: self._gain(level.change))

    @property
    def hurt(self) -> float:
        """Harm of the worst level compared with the reference, in the metric's unit; at least 0."""
        return max(0.0, -self._gain(self.worst.change))

    @property
    def ranks(self) -> bool:
        """Whether a level does harm that is distinguishable from chance; only such effects are ranked."""
        return self.hurt > 0.0 and self.worst.distinct

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
    wanted = [name for name in (*HEAD, *METRICS, *TAIL) if name not in LATER]
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
    """Return the effect of each parameter on a metric: the harmful ones first, the most harmful before the others.

    A change that its error does not tell from 0 is not ranked; such parameters follow in the order of the table. The
    error of an accuracy is that of the seeds and that of the images together.
    One-at-a-time sweep: change from the base. Grid: difference between the mean of a level's rows and the mean of all
    rows. Both are taken seed by seed, with Student's intervals over the seeds. Sampled sweep: difference between the
    mean of a group of values and the mean of all rows, with intervals over the settings; `regress` tells how much
    each parameter does by itself. Failed rows are ignored; a parameter without rows is left out.
    Raises ParameterError if the table has no such metric.
    """
    results.metric(metric)
    rows = [row for row in results.rows if isinstance(row[metric], (int, float))]
    base = [row for row in rows if row["varied"] is None]
    found = []
    for name in results.parameters if base else ():
        mine = [row for row in rows if row["varied"] == name] if results.one_at_a_time else base
        unit = "seed" if results.one_at_a_time or results.balanced else "point"
        parts = groups(mine, name, binned=unit == "point")
        levels = [
            level
            for label, at, members in parts
            if (level := _level(label, at, members, base, metric, unit, len(parts))) is not None
        ]
        if levels:
            found.append(Effect(name, metric, _mean(base, metric), tuple(levels)))
    told = sorted((effect for effect in found if effect.ranks), key=lambda effect: -effect.hurt)
    return (*told, *(effect for effect in found if not effect.ranks))


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
    return _half_of_seeds(values, CONFIDENCE)


def answers(right: BoolArray) -> str:
    """Return the correct answers (b,) as a text for the table: x and hexadecimal digits, four images each."""
    return "x" + np.packbits(right).tobytes().hex()


def correct(row: Mapping[str, Cell]) -> FloatArray | None:
    """Return 1 for each image (b,) that a row's chip classified correctly, else 0; None if the row does not say."""
    text, count = row.get("right"), row["images"]
    if not isinstance(text, str) or not isinstance(count, int):
        return None
    try:
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(text.removeprefix("x")), dtype=np.uint8))
    except ValueError:
        return None
    return bits[:count].astype(np.float64) if len(bits) >= count else None


def _level(
    label: str,
    at: float | None,
    members: Sequence[dict[str, Cell]],
    base: Sequence[dict[str, Cell]],
    metric: str,
    unit: str,
    count: int,
) -> Level | None:
    """Compare rows with those of the base seed by seed, or settings with the mean of all rows.

    count: number of levels that are compared, for Bonferroni's bound.
    """
    changes, gains = [], []
    for each in dict.fromkeys(row[unit] for row in members):
        mine = [row for row in members if row[unit] == each]
        others = [row for row in base if row[unit] == each] if unit == "seed" else base
        if others:
            changes.append(_mean(mine, metric) - _mean(others, metric))
            gains.append((mine, others))
    if not changes:
        return None
    change = float(np.mean(changes))
    deviation = _deviation_of_images(gains, metric) if metric in FRACTIONS else None

    def half(confidence: float) -> float | None:
        of_seeds = _half_of_seeds(changes, confidence)
        if of_seeds is None and deviation is None:
            return None
        return math.hypot(of_seeds or 0.0, float(ndtri(0.5 + confidence / 2)) * (deviation or 0.0))

    bound = half(1.0 - (1.0 - CONFIDENCE) / max(count, 1))
    distinct = change != 0.0 and (bound is None or abs(change) > bound)
    return Level(label, at, _mean(members, metric), change, half(CONFIDENCE), len(members), distinct)


def _half_of_seeds(values: Sequence[float], confidence: float) -> float | None:
    n = len(values)
    if n < 2:
        return None
    return float(stdtrit(n - 1, 0.5 + confidence / 2) * np.std(values, ddof=1) / math.sqrt(n))


def _deviation_of_images(pairs: Sequence[tuple[_Rows, _Rows]], metric: str) -> float | None:
    """Return the standard error that a change of accuracy has because the images are a sample.

    Rows that say which images are right are compared image by image; other rows as independent fractions. None if the
    table does not say how many images there are.
    Source: Bonett and Price, J. Educ. Behav. Stat. 37 (2012) 479, for pairs; the binomial distribution otherwise.
    """
    gains = [_gains(mine, others) for mine, others in pairs]
    found = [each for each in gains if each is not None]
    if metric == "accuracy_chip" and len(found) == len(gains) and len({len(each) for each in found}) == 1:
        low, high = paired_interval(np.mean(found, axis=0), 1.0)
        return (high - low) / 2.0
    counts = [row["images"] for pair in pairs for side in pair for row in side]
    if not all(isinstance(each, int) and each > 0 for each in counts):
        return None
    n = min(int(each) for each in counts if isinstance(each, int))
    sides = [[_mean(pair[which], metric) for pair in pairs] for which in (0, 1)]
    return math.sqrt(sum(p * (1.0 - p) for p in map(float, map(np.mean, sides))) / n)


def _mean(rows: _Rows, metric: str) -> float:
    return float(np.mean([_number(row[metric]) for row in rows]))


def _number(cell: Cell) -> float:
    return float(cell) if isinstance(cell, (int, float)) else math.nan


def _shown(cell: Cell) -> str:
    if isinstance(cell, bool) or cell is None:
        return str(cell).lower() if cell is not None else ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _gains(mine: _Rows, others: _Rows) -> FloatArray | None:
    """Return the mean correctness of each image (b,) in some rows minus that in others; None if a row does not say."""
    sides = []
    for rows in (mine, others):
        right = [each for row in rows if (each := correct(row)) is not None]
        if len(right) < len(rows) or len({len(each) for each in right}) != 1:
            return None
        sides.append(np.mean(right, axis=0))
    gain: FloatArray | None = sides[0] - sides[1] if len(sides[0]) == len(sides[1]) else None
    return gain
