"""Fits of measured points to any law of `laws_to_fit`, with intervals, comparison of laws and bootstrap.

Least squares in units of the noise, which is estimated beside the parameters: docs/equations/fitting.md.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from devices.aliases import FloatArray
from devices.checks import known, number, whole
from devices.errors import ConvergenceError, ParameterError
from devices.measurements.fitting import Estimate
from devices.measurements.laws_to_fit.catalogue import LAWS
from devices.measurements.laws_to_fit.interface import LawToFit, Parameter
from devices.measurements.likelihood import estimate_noise, log_likelihood, pattern_of, residuals_of
from devices.measurements.measured_points import Curves
from devices.measurements.plausible_units import refuse_signs, refuse_units

LEVEL = 0.95  # of the intervals
BOUND = 0.5  # half of an interval over its value from which on a parameter counts as not determined, ours
PATTERN = 0.5  # correlation of neighbouring residuals above which they follow a pattern, ours
NULL = 1e-9  # singular values below this part of the largest are rounding
MOST_STARTS = 12
ROUNDS = 12  # of fit and noise in turn
SETTLED = 0.01  # change of the noise that ends them
LARGEST_SCATTER = 0.5  # relative noise above which the law does not describe the points, ours


@dataclass(frozen=True, eq=False)
class LawFit:
    """What measured points say about a law; `plots.plot_residuals` draws its residuals."""

    law: LawToFit
    estimates: tuple[Estimate, ...]  #: intervals of 95 %; held values as such
    curves: Curves  #: the points that were fitted
    predicted: FloatArray  #: (n,) [A]
    residuals: FloatArray  #: (n,) measured less predicted current in units of the noise; 0 where a limit is kept
    noise_relative: float  #: standard deviation of the noise that is proportional to the current
    noise_floor: float  #: and of the rest [A]
    degrees: int  #: readings less parameters
    pattern: float  #: correlation of neighbouring residuals of a sweep, 0 for noise alone
    log_likelihood: float  #: of the points, at the noise that makes them likeliest

    @property
    def free(self) -> int:
        """Number of fitted parameters, the two of the noise with them."""
        return sum(not each.held for each in self.estimates) + 2

    @property
    def aic(self) -> float:
        """Akaike's criterion; of two laws the one with the smaller value describes the points better."""
        return 2.0 * self.free - 2.0 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion, which charges more for each parameter."""
        return math.log(self.curves.v.size) * self.free - 2.0 * self.log_likelihood

    @property
    def usable(self) -> bool:
        """Tell if the law describes the points as far as their residuals show: without a pattern in them."""
        return self.pattern <= PATTERN

    @property
    def values(self) -> dict[str, float]:
        """The values of all parameters."""
        return {each.name: each.value for each in self.estimates}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what the numbers do not show."""
        said = list(self.curves.notes)
        if not self.usable:
            said.append(
                f"neighbouring residuals are correlated ({self.pattern:.2f}): the law {self.law.name} departs from the "
                "points by more than their noise, so the intervals are too narrow"
            )
        return tuple(said)

    def __getitem__(self, name: str) -> Estimate:
        """Return the estimate of a parameter; raise KeyError if it is not one."""
        return {each.name: each for each in self.estimates}[name]


def fit_law(
    curves: Curves,
    law: str | LawToFit,
    hold: Mapping[str, float] | None = None,
    *,
    free: Sequence[str] = (),
    bound: float = BOUND,
) -> LawFit:
    """Fit one law to measured points.

    law: a name of LAWS, or a law of one's own.  hold: parameters that are known, with their values.
    free: parameters to fit that the law holds by itself, such as the powers of VTEAM.
    bound: half of an interval over its value from which on a parameter counts as not determined.
    Raises ParameterError that says what the points do not determine, or why they are not of this law; ConvergenceError
    if the search does not settle.
    Source: docs/equations/fitting.md.
    """
    if isinstance(law, str):
        known("law", law, LAWS)
    chosen = LAWS[law] if isinstance(law, str) else law
    limit = number("bound", bound, above=0.0, maximum=10.0)
    used = curves if chosen.in_time else curves.where(curves.v != 0.0)
    moved = curves.where(curves.v != 0.0)
    refuse_units(moved)
    refuse_signs(moved)
    chosen.check(used)
    problem = _Problem(used, chosen, dict(hold or {}), free)
    with threadpool_limits(1, "blas"):
        x, noise, settled = problem.search()
        return problem.result(x, noise, settled, limit)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several laws fitted to the same points."""

    fits: tuple[LawFit, ...]  #: the smallest AIC first
    refused: Mapping[str, str]  #: why the others do not fit, by their names


def compare_laws(
    curves: Curves,
    laws: Sequence[str | LawToFit] = (),
    hold: Mapping[str, Mapping[str, float]] | None = None,
    *,
    bound: float = BOUND,
) -> Comparison:
    """Fit several laws to the same points; without names all of LAWS.

    hold: known parameters by the name of their law.  Laws at rest leave out points at 0 V, laws of switching do not, so
    criteria are compared among one kind only where there are such points.
    Raises ParameterError if every law refuses, with the sentence of the first.
    """
    fits: list[LawFit] = []
    refused: dict[str, str] = {}
    for law in laws or tuple(LAWS):
        name = law if isinstance(law, str) else law.name
        try:
            fits.append(fit_law(curves, law, (hold or {}).get(name), bound=bound))
        except (ParameterError, ConvergenceError) as error:
            refused[name] = str(error)
    if not fits:
        name, sentence = next(iter(refused.items()))
        if len(refused) == 1:
            raise ParameterError(sentence)
        raise ParameterError(f"no law of {', '.join(refused)} fits {curves.source}; {name}: {sentence}")
    return Comparison(tuple(sorted(fits, key=lambda fit: fit.aic)), refused)


def bootstrap(fit: LawFit, rng: np.random.Generator, draws: int = 200) -> dict[str, tuple[float, float]]:
    """Return intervals of 95 % of the fitted parameters from fits to points drawn anew from the fitted law and noise.

    They need no straight law within the noise, as the intervals of the fit do.
    Raises ParameterError for less than 20 draws, ConvergenceError if more than a tenth of the draws do not settle.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 6.5.
    """
    whole("draws", draws, minimum=20)
    free = [each.name for each in fit.estimates if not each.held]
    held = {each.name: each.value for each in fit.estimates if each.held}
    sigma = np.hypot(fit.noise_relative * fit.predicted, fit.noise_floor)
    found: list[list[float]] = []
    with threadpool_limits(1, "blas"):
        for _ in range(draws):
            drawn = fit.predicted + sigma * rng.standard_normal(sigma.size)
            limit = np.abs(fit.curves.current)
            current = np.where(fit.curves.measured, drawn, np.sign(drawn) * np.minimum(np.abs(drawn), limit))
            problem = _Problem(dataclasses.replace(fit.curves, current=current), fit.law, held)
            x, _, settled = problem.refine(problem.coordinates(fit.values), sigma)
            if settled:
                values = problem.values(x)
                found.append([values[name] for name in free])
    if len(found) < 0.9 * draws:
        raise ConvergenceError(
            f"{draws - len(found)} of {draws} draws of the bootstrap did not settle; hold a parameter"
        )
    ends = np.quantile(np.array(found), [0.5 - 0.5 * LEVEL, 0.5 + 0.5 * LEVEL], axis=0)
    return {name: (float(ends[0, k]), float(ends[1, k])) for k, name in enumerate(free)}


class _Problem:
    """Currents of the points as a function of the fit's coordinates."""

    def __init__(self, curves: Curves, law: LawToFit, hold: dict[str, float], free: Sequence[str] = ()) -> None:
        self.curves, self.law, self.measured = curves, law, curves.measured
        parameters = {each.name: each for each in law.parameters(curves)}
        self.units = {name: each.unit for name, each in parameters.items()}
        for name, value in hold.items():
            known("parameter to hold", name, [*parameters, *law.fixed, *law.needed])
            hold[name] = number(name, value, allow_inf=True)
        lacking = [name for name in law.needed if name not in hold]
        if lacking:
            raise ParameterError(
                f"the law {law.name} needs {lacking[0]}, which no curve tells: hold it ({law.needed[lacking[0]]})"
            )
        for name in free:
            known("parameter to fit", name, [each for each in parameters if each in law.fixed])
        self.held = {name: value for name, value in law.fixed.items() if name not in free} | hold
        self.parameters: list[Parameter] = [each for name, each in parameters.items() if name not in self.held]
        readings = int(np.count_nonzero(self.measured))
        if readings < len(self.parameters) + 3:
            raise ParameterError(
                f"{curves.source} has {readings} readings for {len(self.parameters)} parameters of the law {law.name}; "
                f"{len(self.parameters) + 3} are the least"
            )
        ends = [
            (math.log(p.low), math.log(p.high)) if p.size is None else (p.low / p.size, p.high / p.size)
            for p in self.parameters
        ]
        self.low, self.high = (np.array(end) for end in zip(*ends, strict=True))

    def values(self, x: FloatArray) -> dict[str, float]:
        """Return all values of the law at a point of the search."""
        found = {
            p.name: math.exp(c) if p.size is None else float(c) * p.size
            for p, c in zip(self.parameters, x, strict=True)
        }
        return {**self.held, **found}

    def coordinates(self, values: Mapping[str, float]) -> FloatArray:
        """Return the point of the search at given values, inside its bounds."""
        raw = [
            math.log(max(values[p.name], 1e-300)) if p.size is None else values[p.name] / p.size
            for p in self.parameters
        ]
        margin = 1e-9 * (1.0 + np.abs(raw))
        result: FloatArray = np.clip(raw, self.low + margin, self.high - margin)
        return result

    def currents(self, x: FloatArray) -> FloatArray:
        """Return the current of every point [A]; what is beyond any number is bounded."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = self.law.currents(self.values(x), self.curves)
        return np.nan_to_num(found, nan=1e6, posinf=1e6, neginf=-1e6)

    def slopes(self, x: FloatArray) -> FloatArray:
        """Return the derivatives (n, p) of the currents by the coordinates, by central differences [A]."""
        result = np.empty((self.curves.v.size, x.size))
        step = self.law.step
        for k in range(x.size):
            ahead, behind = x.copy(), x.copy()
            ahead[k] = min(x[k] + step, self.high[k])
            behind[k] = max(x[k] - step, self.low[k])
            result[:, k] = (self.currents(ahead) - self.currents(behind)) / (ahead[k] - behind[k])
        return result

    def solve(self, x: FloatArray, sigma: FloatArray, most: int, close: float) -> tuple[FloatArray, float, bool]:
        """Return the least-squares point from x on, its sum of squares and whether the search ended there."""
        current = self.curves.current

        def left(at: FloatArray) -> FloatArray:
            return residuals_of(self.currents(at), current, sigma, self.measured)[0]

        def slopes(at: FloatArray) -> FloatArray:
            factors = residuals_of(self.currents(at), current, sigma, self.measured)[1]
            return self.slopes(at) * (factors / sigma)[:, None]

        margin = 1e-9 * (1.0 + np.abs(x))
        inside = np.clip(x, self.low + margin, self.high - margin)
        try:
            found = least_squares(
                left, inside, jac=slopes, bounds=(self.low, self.high), x_scale="jac",
                xtol=close, ftol=close, gtol=close, max_nfev=most,
            )  # fmt: skip
        except (ValueError, np.linalg.LinAlgError):
            raise ParameterError(
                f"the law {self.law.name} gives no finite current at the points of {self.curves.source}: are the units "
                "of its columns right?"
            ) from None
        return np.asarray(found.x), 2.0 * float(found.cost), found.status > 0

    def search(self) -> tuple[FloatArray, tuple[float, float], bool]:
        """Return the coordinates, the noise and whether the search settled."""
        size = np.abs(self.curves.current)
        sigma = 0.05 * size + 1e-3 * float(np.median(size[self.measured])) + 1e-30
        starts = [self.coordinates({**self.held, **each}) for each in self.law.starts(self.curves, self.held)]
        cost = [self._misfit(x, sigma) for x in starts]
        short: list[tuple[FloatArray, float, bool]] = []
        for k in np.argsort(cost)[:MOST_STARTS]:
            short.append(self.solve(starts[k], sigma, 60, 1e-6))
            short.sort(key=lambda found: found[1])
            if len(short) > 2 and short[1][1] <= 1.001 * short[0][1]:
                break
        return self.refine(short[0][0], sigma)

    def _misfit(self, x: FloatArray, sigma: FloatArray) -> float:
        """Return the sum of squares at a start, however far it is off."""
        left = residuals_of(self.currents(x), self.curves.current, sigma, self.measured)[0]
        return float(np.sum(np.clip(left, -1e100, 1e100) ** 2))

    def refine(self, x: FloatArray, sigma: FloatArray) -> tuple[FloatArray, tuple[float, float], bool]:
        """Solve for parameters and noise in turn from x on."""
        noise, settled = (0.0, 0.0), False
        current = self.curves.current
        for _ in range(ROUNDS):
            x, _, done = self.solve(x, sigma, 200, 1e-10)
            predicted = self.currents(x)
            noise = estimate_noise(predicted[self.measured], (current - predicted)[self.measured])
            before, sigma = sigma, self._sigma(predicted, noise)
            if done and np.all(np.abs(np.log(sigma / before)) <= SETTLED):
                settled = True
                break
        return x, noise, settled

    def _sigma(self, predicted: FloatArray, noise: tuple[float, float]) -> FloatArray:
        """Return the noise of each point [A]; a current at a limit has that of the limit."""
        least = 1e-12 * float(np.abs(self.curves.current).max())
        kept = np.where(self.measured, predicted, self.curves.current)
        result: FloatArray = np.maximum(np.hypot(noise[0] * kept, noise[1]), max(least, 1e-30))
        return result

    def result(self, x: FloatArray, noise: tuple[float, float], settled: bool, bound: float) -> LawFit:
        """Return the fit, or refuse."""
        curves, law = self.curves, self.law
        if noise[0] > LARGEST_SCATTER:
            raise ParameterError(f"the law {law.name} misses {curves.source} by {noise[0]:.0%} of the current")
        predicted = self.currents(x)
        sigma = self._sigma(predicted, noise)
        signed, factors = residuals_of(predicted, curves.current, sigma, self.measured)
        slopes = self.slopes(x) * (factors / sigma)[:, None]
        degrees = int(np.count_nonzero(self.measured)) - x.size
        _, singular, right = np.linalg.svd(slopes, full_matrices=False)
        null = singular <= NULL * max(singular[0], 1e-300)
        inverse = np.where(null, 0.0, 1.0 / np.where(null, 1.0, singular))
        scale = float(signed[self.measured] @ signed[self.measured]) / degrees
        covariance = scale * (right.T * inverse**2) @ right
        lost = np.sqrt(np.sum(right[null] ** 2, axis=0)) > 0.1
        half = np.where(lost, np.inf, student.ppf(0.5 + 0.5 * LEVEL, degrees) * np.sqrt(np.diag(covariance)))
        self._refuse_open(x, half, right[-1], bound)
        if not settled:
            raise ConvergenceError(f"the fit of the law {law.name} to {curves.source} did not settle; hold a parameter")
        residuals = (curves.current - predicted) / sigma
        residuals[~self.measured & (np.abs(predicted) >= np.abs(curves.current))] = 0.0
        likelihood = log_likelihood(predicted, curves.current, sigma, self.measured)
        pattern = pattern_of(residuals, curves.sweep, self.measured)
        return LawFit(
            law,
            self._estimates(x, half),
            curves,
            predicted,
            residuals,
            noise[0],
            noise[1],
            degrees,
            pattern,
            likelihood,
        )

    def _estimates(self, x: FloatArray, half: FloatArray) -> tuple[Estimate, ...]:
        found = []
        for k, p in enumerate(self.parameters):
            ends = [float(x[k] - half[k]), float(x[k] + half[k])]
            if p.size is None:
                value, low, high = (math.exp(each) for each in (float(x[k]), *ends))
            else:
                value, low, high = (
                    p.size * each for each in (float(x[k]), max(ends[0], self.low[k]), min(ends[1], self.high[k]))
                )
            found.append(Estimate(p.name, value, low, high, p.unit))
        held = [
            Estimate(name, value, value, value, self.units.get(name, ""), held=True)
            for name, value in self.held.items()
        ]
        return (*found, *held)

    def _refuse_open(self, x: FloatArray, half: FloatArray, weakest: FloatArray, bound: float) -> None:
        """Raise ParameterError that names what is not determined, what changes with it, and what would help."""
        named = []
        for k, p in enumerate(self.parameters):
            allowed = bound if p.size is None else bound * max(abs(float(x[k])), 1.0)
            if half[k] > allowed:
                named.append((float(half[k] / allowed) * bound, k))
        if not named:
            return
        named.sort(reverse=True)
        shown = ", ".join(
            f"{self.parameters[k].name} (± {100 * part:.0f} %)"
            if part < 1e3
            else f"{self.parameters[k].name} (no influence of its own)"
            for part, k in named
        )
        worst = named[0][1]
        partners = [
            self.parameters[j].name for j in np.argsort(-np.abs(weakest)) if abs(weakest[j]) > 0.3 and j != worst
        ]
        together = f"; it changes together with {' and '.join(partners)}" if partners else ""
        raise ParameterError(
            f"{self.curves.source} does not determine {shown}, wider than ± {100 * bound:g} %: for "
            f"{self.parameters[worst].name}, {self.parameters[worst].advice}{together}"
        )
