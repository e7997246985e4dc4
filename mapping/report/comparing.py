"""Comparison of two runs: predictions image by image, energy, latency and area, and settings that differ."""

import csv
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest

from devices.aliases import BoolArray, FloatArray
from devices.checks import number
from devices.errors import ParameterError
from mapping.files.regular_files import read_text
from mapping.inference.scoring import NUMBERS, RANKS, TOP
from mapping.inference.traces import PREDICTIONS

DRAWS = 20_000  # of the bootstrap, ours: its interval's ends move by a hundredth of its width
ERROR_DRAWS = 2_000  # of the bootstrap of errors, ours: each draws all images
SEED = 20250425  # of the bootstrap
PLACES = tuple(str(place) for place in range(1, TOP + 1))  #: of a label that counts for the top-5 accuracy
#: values of two reports that are compared: (key, label, unit)
PRICES = (
    ("energy_J_per_image", "energy per image", "J"),
    ("latency_s_per_image", "latency", "s"),
    ("images_per_s", "throughput", "images/s"),
    ("area_m2", "area", "m²"),
    ("tiles", "tiles", ""),
    ("tops_per_watt", "efficiency", "TOPS/W"),
)


class Paired(NamedTuple):
    """Correct predictions of two runs on the same images; accuracies are from 0 to 1."""

    images: int
    first: float  #: accuracy
    second: float
    only_first_right: int  #: number of images that only the first run classifies correctly
    only_second_right: int
    difference: float  #: accuracy of the second run minus that of the first
    low: float  #: 95 % interval of the difference, by the bootstrap over images
    high: float
    p: float  #: of McNemar's exact two-sided test


class PairedErrors(NamedTuple):
    """Errors of two runs on the same images, whose outputs are numbers: root mean squares of (output - label)."""

    images: int
    first: float
    second: float
    difference: float  #: error of the second run minus that of the first
    low: float  #: 95 % interval of the difference, by the bootstrap over images
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two saved runs beside each other."""

    names: tuple[str, str]  #: network on chip, seed
    chip: Paired | PairedErrors | None  #: predictions of the chips; None if a run has no labels
    exact: Paired | PairedErrors | None  #: predictions of the exact networks
    top5: Paired | None  #: labels among the five largest outputs of the chips; None unless both runs report them
    prices: tuple[tuple[str, str, float, float], ...]  #: what, unit, first, second
    settings: tuple[tuple[str, Any, Any], ...]  #: keys of the chip descriptions that differ, with both values


def paired(first: BoolArray, second: BoolArray, rng: np.random.Generator) -> Paired:
    """Compare the correct predictions (n,) of two runs on the same images.

    The bootstrap draws the outcomes of resampled pairs from a multinomial distribution.
    Raises ParameterError unless both runs have the same number of images, at least one.
    Source: Q. McNemar, Psychometrika 12 (1947) 153, with the exact binomial.
    """
    n = len(first)
    if n == 0 or len(second) != n:
        raise ParameterError(f"runs must be of the same images, at least one, got {n} and {len(second)}")
    gained, lost = int(np.sum(~first & second)), int(np.sum(first & ~second))
    drawn = rng.multinomial(n, [gained / n, lost / n, 1 - (gained + lost) / n], size=DRAWS)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / n, [2.5, 97.5])
    p = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    accuracies = float(first.mean()), float(second.mean())
    return Paired(n, *accuracies, lost, gained, (gained - lost) / n, float(low), float(high), float(p))


def paired_errors(first: FloatArray, second: FloatArray, rng: np.random.Generator) -> PairedErrors:
    """Compare the squared errors (n,) of two runs on the same images.

    Raises ParameterError unless both runs have the same number of images, at least one.
    """
    n = len(first)
    if n == 0 or len(second) != n:
        raise ParameterError(f"runs must be of the same images, at least one, got {n} and {len(second)}")
    drawn = np.empty(ERROR_DRAWS)
    for at in range(ERROR_DRAWS):
        chosen = rng.integers(0, n, n)
        drawn[at] = np.sqrt(second[chosen].mean()) - np.sqrt(first[chosen].mean())
    one, two = float(np.sqrt(first.mean())), float(np.sqrt(second.mean()))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return PairedErrors(n, one, two, two - one, float(low), float(high))


def compare_runs(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> Comparison:
    """Compare two folders that `crossgate run` wrote.

    Raises ParameterError if a folder lacks report.json or predictions.csv, one of them is damaged, or the runs are of
    other images.
    """
    folders = Path(first), Path(second)
    reports, answers = [_report(folder) for folder in folders], [_answers(folder) for folder in folders]
    labels = [[row["label"] for row in rows] for rows in answers]
    kinds = ["output" in rows[0] for rows in answers]
    if labels[0] != labels[1] or kinds[0] != kinds[1]:
        raise ParameterError(
            f"{folders[0]} and {folders[1]} must be runs of the same images in the same order, but their labels differ "
            f"({len(labels[0])} and {len(labels[1])} images)"
        )
    found: dict[str, Paired | PairedErrors | None] = dict.fromkeys(("chip", "exact"))
    top5 = None
    for column in found if all(labels[0]) else ():
        rng = np.random.default_rng(SEED)
        if kinds[0]:
            squares = [_squares(rows, column, folder) for rows, folder in zip(answers, folders, strict=True)]
            found[column] = paired_errors(squares[0], squares[1], rng)
        else:
            right = [np.array([row[column] == row["label"] for row in rows]) for rows in answers]
            found[column] = paired(right[0], right[1], rng)
    if all(report.get("top5_chip") is not None for report in reports) and all(RANKS[0] in rows[0] for rows in answers):
        among = [np.array([row[RANKS[0]] in PLACES for row in rows]) for rows in answers]
        top5 = paired(among[0], among[1], np.random.default_rng(SEED))
    names = (_name(reports[0]), _name(reports[1]))
    prices = tuple((what, unit, reports[0][key], reports[1][key]) for key, what, unit in PRICES)
    flat = [_flat(report["configuration"]) for report in reports]
    keys = [key for key in dict.fromkeys([*flat[0], *flat[1]]) if flat[0].get(key) != flat[1].get(key)]
    settings = tuple((key, flat[0].get(key), flat[1].get(key)) for key in keys if key not in ("name", "about"))
    return Comparison(names, found["chip"], found["exact"], top5, prices, settings)


def _report(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    try:
        held = json.loads(read_text(path), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ParameterError(f"{path} cannot be read: {said}; give a folder of crossgate run") from None
    if not isinstance(held, dict) or not all(key in held for key in ("configuration", *(key for key, _, _ in PRICES))):
        raise ParameterError(f"{path} is no report of a run; give a folder of crossgate run")
    if not isinstance(held["configuration"], dict):
        raise ParameterError(f"{path}: configuration must be the keys of a chip, got {held['configuration']!r}")
    for key, _, unit in PRICES:
        value = math.inf if held[key] == "inf" else held[key]  # JSON has no word for it
        held[key] = number(f"{path}: {key}", value, unit=unit, minimum=0.0, allow_inf=True)
    return held


def _no_number(word: str) -> None:
    raise ValueError(f"it holds {word}, which is no number of JSON")


def _answers(folder: Path) -> list[dict[str, str]]:
    path = folder / "predictions.csv"
    try:
        rows = list(csv.DictReader(read_text(path).splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ParameterError(f"{path} cannot be read: {said}; give a folder of crossgate run") from None
    known = (PREDICTIONS, (*PREDICTIONS, *RANKS), NUMBERS)
    if not rows or tuple(rows[0]) not in known or any(None in row or None in row.values() for row in rows):
        raise ParameterError(f"{path} must have the columns {', '.join(PREDICTIONS)} and a line for each image")
    return rows


def _squares(rows: list[dict[str, str]], column: str, folder: Path) -> FloatArray:
    """Return the mean squared error (n,) of each image over its outputs."""
    try:
        errors = np.array([float(row[column]) - float(row["label"]) for row in rows])
        images = np.array([int(row["image"]) for row in rows], dtype=np.int64)
    except (ValueError, OverflowError):
        errors, images = np.array([np.nan]), np.zeros(1, dtype=np.int64)
    if not np.all(np.isfinite(errors)):
        raise ParameterError(f"{folder / 'predictions.csv'} must hold finite numbers in image, label, chip and exact")
    _, first, counts = np.unique(images, return_index=True, return_counts=True)
    sums: FloatArray = np.add.reduceat(errors**2, np.sort(first))
    return sums / counts[np.argsort(first)]


def _name(report: dict[str, Any]) -> str:
    return f"{report.get('model')} on {report.get('chip')}, seed {report.get('seed')}"


def _flat(value: Any, start: str = "") -> dict[str, Any]:  # noqa: ANN401 - whatever JSON holds
    """Return the entries of nested tables by their dotted keys."""
    if not isinstance(value, dict):
        return {start: value}
    return {
        path: held
        for key, below in value.items()
        for path, held in _flat(below, f"{start}.{key}" if start else str(key)).items()
    }
