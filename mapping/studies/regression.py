"""Evaluation of sampled studies (random, Latin hypercube): a linear regression on all parameters at once.

In a sampled study every parameter differs in every point, so the mean over a group of points also holds what the other
parameters did. The regression separates them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from devices.aliases import FloatArray
from mapping.studies.results import CONFIDENCE, Cell, Results

WIDE = 15.0  #: a positive parameter whose values span more than this factor enters by its logarithm, ours


@dataclass(frozen=True)
class Coefficient:
    """The straight-line effect of one parameter, all others held."""

    parameter: str  #: or PARAMETER = VALUE for a value of a text, beside the commonest value
    standardised: float  #: standard deviations of the metric for one standard deviation of the parameter
    low: float  #: 95 % interval of it
    high: float
    change: float  #: of the metric for one standard deviation of the parameter
    logarithmic: bool  #: whether the parameter entered by its logarithm
    distinct: bool  #: whether it differs from 0, with 5 % over all coefficients together (Bonferroni)


@dataclass(frozen=True)
class Regression:
    """A regression of a metric on the parameters of a study."""

    metric: str
    coefficients: tuple[Coefficient, ...]  #: distinct ones first, the largest first; then the others in their order
    explained: float  #: fraction of the variance between the settings that the straight lines explain
    settings: int  #: number of points


def regress(results: Results, metric: str = "accuracy_chip") -> Regression | None:
    """Regress a metric on all parameters; the settings are the observations, each a mean over its seeds.

    None if the settings are too few for so many parameters, or cannot tell two parameters apart.
    Raises ParameterError if the table has no such metric.
    Source: A. Saltelli et al., Global Sensitivity Analysis: The Primer, Wiley 2008, section 1.2.5.
    """
    results.metric(metric)
    rows = [row for row in results.rows if isinstance(row[metric], (int, float))]
    points = list(dict.fromkeys(row["point"] for row in rows))
    firsts = [next(row for row in rows if row["point"] == point) for point in points]
    y = np.array([np.mean([_number(row[metric]) for row in rows if row["point"] == point]) for point in points])
    terms = [term for name in results.parameters for term in _terms(name, [row[name] for row in firsts])]
    free = len(points) - len(terms) - 1
    if not terms or free < 1:
        return None
    spread = float(y.std(ddof=1))
    if spread == 0.0:
        nothing = [Coefficient(name, 0.0, 0.0, 0.0, 0.0, logarithmic, False) for name, logarithmic, _ in terms]
        return Regression(metric, tuple(nothing), 0.0, len(points))
    x = np.stack([(values - values.mean()) / values.std(ddof=1) for _, _, values in terms], axis=1)
    if np.linalg.matrix_rank(x) < len(terms):
        return None
    inverse = np.linalg.inv(x.T @ x)
    centred = (y - y.mean()) / spread
    slopes = inverse @ (x.T @ centred)
    left = centred - x @ slopes
    errors = np.sqrt(np.diag(inverse) * float(left @ left) / free)
    wide = float(stdtrit(free, 0.5 + CONFIDENCE / 2))
    wider = float(stdtrit(free, 1.0 - (1.0 - CONFIDENCE) / 2 / len(terms)))
    found = [
        Coefficient(
            name, float(b), float(b - wide * e), float(b + wide * e), float(b * spread), logarithmic,
            bool(abs(b) > wider * e),
        )
        for (name, logarithmic, _), b, e in zip(terms, slopes, errors, strict=True)
    ]  # fmt: skip
    told = sorted((each for each in found if each.distinct), key=lambda each: -abs(each.standardised))
    rest = [each for each in found if not each.distinct]
    return Regression(metric, (*told, *rest), 1.0 - float(left @ left) / float(centred @ centred), len(points))


def _terms(name: str, cells: Sequence[Cell]) -> list[tuple[str, bool, FloatArray]]:
    """Return the columns of a parameter: name, whether it is a logarithm, values; none if all cells are equal."""
    if len(set(cells)) < 2:
        return []
    if all(isinstance(cell, (int, float)) for cell in cells):
        values = np.array([_number(cell) for cell in cells])
        logarithmic = bool(values.min() > 0.0 and values.max() > WIDE * values.min())
        return [(name, logarithmic, np.log(values) if logarithmic else values)]
    kinds = sorted(dict.fromkeys(cells), key=lambda kind: -cells.count(kind))
    return [(f"{name} = {kind}", False, np.array([float(cell == kind) for cell in cells])) for kind in kinds[1:]]


def _number(cell: Cell) -> float:
    return float(cell) if isinstance(cell, (int, float)) else math.nan
