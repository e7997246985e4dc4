"""Parameters of a gated cell from measured curves, with intervals, or the name of what the curves leave open.

Least squares on residuals in units of the noise, which is estimated beside the parameters: docs/equations/fitting.md.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from devices import checks
from devices.aliases import BoolArray, FloatArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.checks import number
from devices.errors import ConvergenceError, ParameterError
from devices.laws import dispatch, gate
from devices.laws.adaptive import AdaptiveLaw
from devices.measurements.likelihood import estimate_noise, pattern_of, residuals_of
from devices.measurements.measured_points import Curves
from devices.measurements.plausible_units import refuse_signs, refuse_units

LEVEL = 0.95  # of the intervals
AT_BOUND = 1e-6  # a parameter so close to its bound, over half its interval, is at the bound, ours
BOUND = 0.5  # default of `bound`, ours: half as much again, or half of it, still names a device
NULL = 1e-9  # singular values below this part of the largest are rounding
PARTNER = 0.3  # part in a weak direction from which on a parameter is named as changing with others
MOST_STARTS = 12  # of the search, the likeliest first
SLOPE_STEP = 1e-5  # of central differences in the fit's coordinates: error 1e-10
NOISE_ROUNDS = 8  # of fit and noise in turn; three are usual
NOISE_SETTLED = 0.01  # change of the noise that ends them
LARGEST_SCATTER = 0.5  # relative noise above which the law does not describe the curves, ours
LOOP = 2.0  # ratio of currents at one voltage, in half of the repeated points, from which on a sweep has written, ours
PATTERN = 0.5  # correlation of neighbouring residuals above which they follow a pattern, ours
BOTH_SIDES = 1.3  # ratio of the current at both ends of a gate sweep to its least, from which on it has two sides, ours


class _Field(NamedTuple):
    """How a field of the cell is fitted."""

    log: bool  # its logarithm is the coordinate
    low: float  # bounds of the search
    high: float
    size: float  # what counts as nothing beside it, for fields that may be 0: below it, an interval is no matter
    advice: str  # what would determine it


READ = {
    "v_0": _Field(True, 1e-2, 1e2, 0.0, "sweep to voltages where the curve bends, or hold inf for straight curves"),
    "r_series": _Field(False, 0.0, 1e9, math.nan, "measure a state or a gate voltage of higher conductance"),
    "g_leak": _Field(False, 0.0, 1e-2, math.nan, "measure a second state, or the closed gate with less noise"),
}
GATE = {
    "v_dirac": _Field(False, -200.0, 200.0, 1.0, "step the gate through the foot of its curve"),
    "c_gate": _Field(True, 1e-7, 1.0, 0.0, "hold it: a capacitance measurement, or permittivity over thickness"),
    "n_0": _Field(True, 1e12, 1e18, 0.0, "step the gate more finely about v_dirac"),
    "gain_min": _Field(False, 0.0, 0.999, 0.02, "go on to gate voltages that close the gate"),
    "e_half": _Field(False, -2.0, 2.0, 0.1, "go on to gate voltages beyond half opening"),
    "ideality": _Field(True, 0.05, 100.0, 0.0, "step the gate from closed to open"),
}
FITTED = READ | GATE  #: fields of a cell that curves may determine
WINDOW = ("g_min", "g_max")  #: taken from the states' filaments


@dataclass(frozen=True)
class Estimate:
    """A parameter, its interval, and whether it was held."""

    name: str
    value: float
    low: float
    high: float
    unit: str = ""
    held: bool = False


@dataclass(frozen=True, eq=False)
class Fit:
    """What the curves say about a cell."""

    cell: AdaptiveMemristor  #: ready for a chip description; what no curve tells is the default's
    estimates: tuple[Estimate, ...]  #: of the cell's fields, intervals of 95 %
    filaments: tuple[Estimate, ...]  #: conductance of each state's filament [S]
    curves: Curves  #: the points that were fitted
    predicted: FloatArray  #: (n,) current of the fitted cell [A]
    residuals: FloatArray  #: (n,) measured less predicted current in units of the noise; 0 where a limit is kept
    noise_relative: float  #: standard deviation of the noise that is proportional to the current
    noise_floor: float  #: and of the rest [A]
    degrees: int  #: points less parameters
    pattern: float  #: correlation of neighbouring residuals of a sweep, 0 for noise alone

    @property
    def usable(self) -> bool:
        """Tell if the law describes the curves as far as their residuals show: without a pattern in them."""
        return self.pattern <= PATTERN

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what the numbers do not show."""
        said = list(self.curves.notes)
        if not self.usable:
            said.append(
                f"neighbouring residuals are correlated ({self.pattern:.2f}): the law departs from the curves by more "
                "than their noise, so the intervals are too narrow"
            )
        wild = int(np.count_nonzero(np.abs(self.residuals) > 6.0))
        if wild:
            said.append(f"{wild} of {self.residuals.size} points lie more than six standard deviations off")
        return tuple(said)

    def __getitem__(self, name: str) -> Estimate:
        """Return the estimate of a field; raise KeyError if it is not one."""
        return {each.name: each for each in self.estimates}[name]


def fit_cell(
    curves: Curves,
    hold: Mapping[str, float] | None = None,
    *,
    v_limit: float | None = None,
    bound: float = BOUND,
    start: AdaptiveMemristor | None = None,
) -> Fit:
    """Fit a gated cell's read law, its gate and the filament conductance of every state to measured curves.

    hold: fields of AdaptiveMemristor that are known, with their values; gain_min = 1 is a cell without a gate.
    v_limit: points at voltages of larger size [V] are left out, for curves that write there.
    bound: half of an interval over its value from which on a parameter counts as not determined.
    start: the cell whose other fields the result keeps, and near which the search begins.
    Raises ParameterError that names what the curves do not determine and what would, ConvergenceError if the search
    does not settle.
    Source: docs/equations/fitting.md.
    """
    held = _held(hold or {})
    limit = number("bound", bound, above=0.0, maximum=2.0)
    base = dataclasses.replace(start or AdaptiveMemristor(), **_apart(held, WINDOW))
    used = _used(curves, v_limit)
    free = _free(used, held, base)
    problem = _Problem(used, base, free)
    with threadpool_limits(1, "blas"):  # the matrices are narrow
        x, sigma, noise, settled = _search(problem)
        covariance, open_ones = _covariance(problem, x, sigma, limit)
    if noise[0] > LARGEST_SCATTER:
        raise ParameterError(
            f"the law of a gated cell misses {used.source} by {noise[0]:.0%} of the current: sweeps that write, a gate "
            "that opens towards negative voltages, or states that are told apart wrongly (give a column 'state')"
        )
    if open_ones:
        raise ParameterError(f"{used.source} does not determine {_complaint(open_ones, limit)}")
    if not settled:
        raise ConvergenceError(
            f"the fit to {used.source} did not settle in {problem.calls} evaluations; hold a parameter"
        )
    return _result(problem, x, sigma, noise, covariance, held, limit)


class _Problem:
    """Currents of the points as a function of the fit's coordinates: ln of each filament, then the free fields."""

    def __init__(self, curves: Curves, base: AdaptiveMemristor, free: Sequence[str]) -> None:
        self.curves, self.base, self.free = curves, base, tuple(free)
        self.states = curves.states
        self.volts, self.gate_of = np.unique(curves.v_gate, return_inverse=True)
        self.names = tuple(f"filament {k}" for k in range(self.states)) + self.free
        self.measured = curves.measured
        seen = np.abs(curves.current / curves.v)[self.measured]
        largest, weakest = max(float(seen.max()), 1e-15), max(float(np.quantile(seen, 0.02)), 1e-15)
        self.sizes = {name: FITTED[name].size for name in self.free}
        self.sizes |= {"r_series": 0.1 / largest, "g_leak": weakest}
        self.unit = np.array([1.0] * self.states + [1.0 if FITTED[n].log else self.sizes[n] for n in self.free])
        bounds = [(math.log(1e-13), math.log(1.0))] * self.states + [
            (math.log(f.low), math.log(f.high)) if f.log else (f.low / self.sizes[n], f.high / self.sizes[n])
            for n, f in ((n, FITTED[n]) for n in self.free)
        ]
        self.low, self.high = np.array(bounds).T
        self.calls = 0

    def value(self, name: str, x: float) -> float:
        """Return a parameter in SI from its coordinate."""
        if name not in FITTED or FITTED[name].log:
            return math.exp(x)
        return x * self.sizes[name]

    def coordinate(self, name: str, value: float) -> float:
        """Return a parameter's coordinate: its logarithm, or its value over its size."""
        return math.log(value) if FITTED[name].log else value / self.sizes[name]

    def cell(self, x: FloatArray) -> AdaptiveMemristor:
        """Return the cell at a point of the search; its window is not part of it."""
        values = {name: self.value(name, float(c)) for name, c in zip(self.free, x[self.states :], strict=True)}
        return dataclasses.replace(self.base, **values)

    def law(self, x: FloatArray) -> AdaptiveLaw:
        """Return the law of that cell; thousands are asked for, so its fields are set without building the cell."""
        values = {name: self.value(name, float(c)) for name, c in zip(self.free, x[self.states :], strict=True)}
        law, base = self.base.law, self.base
        for name, field, power in (
            ("n_0", "e_residual", 0.5),
            ("c_gate", "e_quantum", 1.0),
            ("ideality", "e_slope", 1.0),
        ):
            if name in values:
                values[field] = getattr(law, field) * (values.pop(name) / getattr(base, name)) ** power
        return law._replace(**values)

    def currents(self, x: FloatArray) -> FloatArray:
        """Return the current of every point [A]."""
        self.calls += 1
        law = self.law(x)
        gains = gate.read_gains(law, self.volts)[self.gate_of]
        return dispatch.currents(law, np.exp(x[: self.states])[self.curves.state], gains, self.curves.v)[0]

    def slopes(self, x: FloatArray) -> FloatArray:
        """Return the derivatives (n, p) of the currents by the coordinates, by central differences [A]."""
        result = np.zeros((self.curves.v.size, x.size))
        step = np.zeros_like(x)
        step[: self.states] = SLOPE_STEP  # a point depends on its own filament alone: one step for all
        slope = (self.currents(x + step) - self.currents(x - step)) / (2.0 * SLOPE_STEP)
        result[np.arange(slope.size), self.curves.state] = slope
        for k in range(self.states, x.size):
            ahead, behind = x.copy(), x.copy()
            ahead[k] = min(x[k] + SLOPE_STEP, self.high[k])
            behind[k] = max(x[k] - SLOPE_STEP, self.low[k])
            result[:, k] = (self.currents(ahead) - self.currents(behind)) / (ahead[k] - behind[k])
        return result

    def left(self, predicted: FloatArray, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the residuals (n,) of predicted currents, and their derivatives by the residual of a measured point.

        A current at a limit says that the cell's own is at least that: docs/equations/fitting.md eq. 7.
        """
        return residuals_of(predicted, self.curves.current, sigma, self.measured)

    def solve(self, x: FloatArray, sigma: FloatArray, most: int, close: float) -> tuple[FloatArray, float, bool]:
        """Return the least-squares point from x on, its sum of squares and whether the search ended there."""
        margin = 1e-9 * (1.0 + np.abs(x))
        inside = np.clip(x, self.low + margin, self.high - margin)

        def left(at: FloatArray) -> FloatArray:
            return self.left(self.currents(at), sigma)[0]

        def slopes(at: FloatArray) -> FloatArray:
            return self.slopes(at) * (self.left(self.currents(at), sigma)[1] / sigma)[:, None]

        bounds = (self.low, self.high)
        try:
            found = least_squares(
                left,
                inside,
                jac=slopes,
                bounds=bounds,
                x_scale="jac",
                xtol=close,
                ftol=close,
                gtol=close,
                max_nfev=most,
            )
        except (ValueError, np.linalg.LinAlgError):
            raise ParameterError(
                f"the law of a gated cell gives no finite current at the voltages of {self.curves.source}, up to "
                f"{np.abs(self.curves.v).max():.3g} V: are the units of its columns right?"
            ) from None
        return np.asarray(found.x), 2.0 * float(found.cost), found.status > 0


class _Open(NamedTuple):
    """A parameter that the curves leave open."""

    name: str
    half: float  # half of its interval over its value, inf in the null space
    partners: tuple[str, ...]  # what changes with it
    advice: str


def _held(hold: Mapping[str, float]) -> dict[str, float]:
    """Return held values, checked by name; the cell checks their bounds."""
    known = {field.name for field in dataclasses.fields(AdaptiveMemristor)}
    for name in hold:
        checks.known("parameter to hold", name, known)
    held = {name: number(name, value, allow_inf=True) for name, value in hold.items()}
    AdaptiveMemristor(**{"g_min": 1e-12, "g_max": 1.0, "v_gate_min": -1e3, "v_gate_max": 1e3} | held)
    return held


def _apart(values: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name not in names}


def _used(curves: Curves, v_limit: float | None) -> Curves:
    """Return the points that say something: not those at 0 V, nor those that may write."""
    keep: BoolArray = curves.v != 0.0
    if v_limit is not None:
        keep &= np.abs(curves.v) <= number("v_limit", v_limit, unit="V", above=0.0)
    used = curves.where(keep)
    refuse_units(used)
    held = [state for state in range(used.states) if not used.measured[used.state == state].any()]
    if held:
        raise ParameterError(
            f"{used.source} does not determine filament {held[0]}: all of its points stand at the compliance limit; "
            "measure it at smaller voltages"
        )
    if not np.any(used.current):
        raise ParameterError(f"{used.source}: every current is 0 A")
    refuse_signs(used)
    _refuse_both_sides(used)
    _refuse_loops(used.where(used.measured))
    return used


def _refuse_both_sides(curves: Curves) -> None:
    """Raise ParameterError if the current grows on both sides of a gate voltage: no cell of ours does."""
    for state in range(curves.states):
        for v in np.unique(np.round(curves.v[curves.state == state], 6)):
            rows = np.flatnonzero((curves.state == state) & (np.round(curves.v, 6) == v) & (curves.current != 0.0))
            gates, of = np.unique(curves.v_gate[rows], return_inverse=True)
            if gates.size < 9:
                continue
            size = np.bincount(of, np.log(np.abs(curves.current[rows]))) / np.bincount(of)
            ends = max(gates.size // 10, 1)
            noise = float(np.median(np.abs(np.diff(size, 2)))) / (0.6745 * math.sqrt(6.0))
            smooth = np.convolve(size, np.full(3, 1.0 / 3.0), "valid")
            least = int(np.argmin(smooth)) + 1
            sides = (float(np.mean(size[:ends])), float(np.mean(size[-ends:])))
            over = min(sides) - float(smooth[least - 1])
            if ends <= least < gates.size - ends and over > max(math.log(BOTH_SIDES), 6.0 * noise):
                raise ParameterError(
                    f"{curves.source}: at {v:g} V the current has its minimum at gate voltage {gates[least]:g} V and "
                    "grows on both sides of it: the channel is ambipolar, as graphene is, and a gated cell opens on "
                    f"one side only; keep the gate voltages of one side of {gates[least]:g} V, or fit the law graphene "
                    "with crossgate laws"
                )


def _refuse_loops(curves: Curves) -> None:
    """Raise ParameterError if one filament carries very different currents at the same voltages: it was written."""
    points = np.stack([curves.state, curves.v_gate, np.round(curves.v, 6)])  # the same voltage to 1 uV
    groups, of = np.unique(points, axis=1, return_inverse=True)
    low, high = np.full(groups.shape[1], np.inf), np.zeros(groups.shape[1])
    size = np.abs(curves.current)
    np.minimum.at(low, of.reshape(-1), size)
    np.maximum.at(high, of.reshape(-1), size)
    again = np.bincount(of.reshape(-1)) > 1
    if not again.any():
        return
    ratio = high[again] / np.maximum(low[again], 1e-30)
    if float(np.median(ratio)) > LOOP:
        worst = int(np.argmax(ratio))
        state, v_gate, v = groups[:, again][:, worst]
        raise ParameterError(
            f"{curves.source} does not determine filament {state:.0f}: at {v:g} V and gate {v_gate:g} V its current is "
            f"{low[again][worst]:.3g} and {high[again][worst]:.3g} A, so the sweep writes; give each branch a number "
            "of its own in a column 'state' and leave out voltages that write (SET and RESET are fitted by laws of "
            "their own: crossgate laws)"
        )


def _free(curves: Curves, held: Mapping[str, float], base: AdaptiveMemristor) -> list[str]:
    """Return the fields to fit; raise ParameterError where counting alone shows that they are too many."""
    free = [name for name in READ if name not in held]
    in_gate = [name for name in GATE if name not in held] if base.gain_min < 1.0 or "gain_min" not in held else []
    steps = curves.gates.size
    if in_gate and steps < 2:
        raise ParameterError(
            f"{curves.source} does not determine {', '.join(in_gate)}: every point has the gate voltage "
            f"{curves.gates[0]:g} V; step the gate, or hold gain_min=1 for a cell without a gate"
        )
    if in_gate and steps <= len(in_gate):
        raise ParameterError(
            f"{curves.source} does not determine {', '.join(in_gate)}: {steps} gate voltages cannot fix {len(in_gate)} "
            "parameters and the filament; step the gate more finely, or hold what is known"
        )
    points, unknown = int(np.count_nonzero(curves.measured)), len(free) + len(in_gate) + curves.states
    if points < unknown + 3:
        raise ParameterError(
            f"{curves.source} has {points} points at a voltage other than 0 V for {unknown} parameters; "
            f"{unknown + 3} are the least"
        )
    return free + in_gate


def _starts(problem: _Problem) -> list[FloatArray]:
    """Return starting points, the likeliest first: filaments from the small-signal curves under several gate curves."""
    curves, base = problem.curves, problem.base
    low = np.abs(curves.v) <= max(np.quantile(np.abs(curves.v), 0.4), np.abs(curves.v).min())
    low &= (curves.current * curves.v > 0.0) & curves.measured
    seen = np.where(low, np.abs(curves.current / curves.v), np.nan)
    whole = np.where(curves.current * curves.v > 0.0, np.abs(curves.current / curves.v), np.nan)
    volts = problem.volts
    smallest, largest = np.nanmin(whole), np.nanmax(whole)
    dirac = [base.v_dirac] if "v_dirac" not in problem.free else [0.0, *np.linspace(volts[0], volts[-1], 7)]
    half = [base.e_half] if "e_half" not in problem.free else [0.03, 0.13, 0.3]
    slopes = [base.ideality] if "ideality" not in problem.free else [1.0, 2.5]
    tried: list[tuple[float, FloatArray]] = []
    for v_dirac in dirac:
        for e_half in half:
            for ideality in slopes:
                trial = {"v_dirac": v_dirac, "e_half": e_half, "ideality": ideality, "v_0": 0.25, "n_0": 2e15}
                trial |= {"c_gate": 1.55e-3, "r_series": 0.01 / largest, "g_leak": 0.01 * smallest, "gain_min": 0.01}
                values = {name: trial[name] for name in problem.free}
                law = dataclasses.replace(base, **values).law
                ratio = np.log(seen / gate.read_gains(law, volts)[problem.gate_of])
                mean = np.full(problem.states, np.nan)
                for state in range(problem.states):
                    here = ratio[(curves.state == state) & np.isfinite(ratio)]
                    mean[state] = here.mean() if here.size else math.log(np.nanmedian(whole))
                left = ratio - mean[curves.state]
                filaments = np.clip(mean, math.log(2e-13), math.log(0.5))
                fields = [problem.coordinate(name, value) for name, value in values.items()]
                tried.append((float(np.nanmean(left**2)), np.concatenate((filaments, fields))))
    tried.sort(key=lambda pair: pair[0])
    return [x for _, x in tried]


def _search(problem: _Problem) -> tuple[FloatArray, FloatArray, tuple[float, float], bool]:
    """Return the coordinates, the noise of each point [A], its two parts, and whether the search settled."""
    current = problem.curves.current
    sigma = 0.05 * np.abs(current) + 1e-3 * float(np.median(np.abs(current))) + 1e-30
    short: list[tuple[FloatArray, float, bool]] = []
    for start in _starts(problem)[:MOST_STARTS]:
        short.append(problem.solve(start, sigma, 40, 1e-6))
        short.sort(key=lambda found: found[1])
        if len(short) > 1 and short[1][1] <= 1.001 * short[0][1]:  # two ways lead to one place
            break
    x = short[0][0]
    noise, settled = (0.0, 0.0), False
    for _ in range(NOISE_ROUNDS):
        x, _, done = problem.solve(x, sigma, 200, 1e-10)
        predicted = problem.currents(x)
        measured = problem.measured
        noise = estimate_noise(predicted[measured], (current - predicted)[measured])
        # a current at a limit has the noise of the limit, however much larger the cell's own would be
        before, sigma = sigma, np.hypot(noise[0] * np.where(measured, predicted, current), noise[1])
        if done and np.all(np.abs(np.log(sigma / before)) <= NOISE_SETTLED):
            settled = True
            break
    return x, sigma, noise, settled


def _covariance(problem: _Problem, x: FloatArray, sigma: FloatArray, bound: float) -> tuple[FloatArray, list[_Open]]:
    """Return the covariance of the coordinates, and the parameters whose intervals are wider than the bound.

    Source: docs/equations/fitting.md eq. 4-6.
    """
    residuals, factors = problem.left(problem.currents(x), sigma)
    slopes = problem.slopes(x) * (factors / sigma)[:, None]
    left = residuals[problem.measured]
    degrees = left.size - x.size
    _, singular, right = np.linalg.svd(slopes, full_matrices=False)
    null = singular <= NULL * singular[0]
    inverse = np.where(null, 0.0, 1.0 / np.where(null, 1.0, singular))
    scale = float(left @ left) / degrees
    covariance = scale * (right.T * inverse**2) @ right
    lost = np.sqrt(np.sum(right[null] ** 2, axis=0)) > 0.1
    half = np.where(lost, np.inf, student.ppf(0.5 + 0.5 * LEVEL, degrees) * np.sqrt(np.diag(covariance)))
    weakest = right[-1]
    open_ones = []
    for k, name in enumerate(problem.names):
        allowed = bound
        if name in FITTED and not FITTED[name].log:  # its coordinate is in sizes, not relative
            allowed = bound * max(abs(float(x[k])), 1.0)
        if half[k] > allowed:
            near = [problem.names[j] for j in np.argsort(-np.abs(weakest)) if abs(weakest[j]) > PARTNER and j != k]
            advice = FITTED[name].advice if name in FITTED else "measure it at more voltages, or leave it out"
            relative = half[k] / (allowed / bound)
            open_ones.append(_Open(name, float(relative), tuple(near), advice))
    return covariance, sorted(open_ones, key=lambda each: -each.half)


def _complaint(open_ones: Sequence[_Open], bound: float) -> str:
    """Say what is not determined, by how much, and what would help."""
    named = ", ".join(
        f"{each.name} (± {100 * each.half:.0f} %)" if each.half < 1e3 else f"{each.name} (no influence of its own)"
        for each in open_ones
    )
    worst = open_ones[0]
    partners = f"; it changes together with {' and '.join(worst.partners)}" if worst.partners else ""
    return f"{named}, wider than ± {100 * bound:g} %: for {worst.name}, {worst.advice}{partners}"


def _result(
    problem: _Problem,
    x: FloatArray,
    sigma: FloatArray,
    noise: tuple[float, float],
    covariance: FloatArray,
    held: Mapping[str, float],
    bound: float,
) -> Fit:
    """Return the fit; raise ParameterError if the law misses the curves or the window is not determined."""
    curves = problem.curves
    predicted = problem.currents(x)
    residuals = (curves.current - predicted) / sigma
    measured = problem.measured
    kept = ~measured & (np.abs(predicted) >= np.abs(curves.current))
    residuals[kept] = 0.0
    degrees = int(np.count_nonzero(measured)) - x.size
    reach = student.ppf(0.5 + 0.5 * LEVEL, degrees) * np.sqrt(np.diag(covariance))
    units = {field.name: str(field.metadata.get("unit", "")) for field in dataclasses.fields(AdaptiveMemristor)}
    found: dict[str, Estimate] = {}
    for k, name in enumerate(problem.names):
        field = FITTED.get(name)
        at, ends = float(x[k]), (float(x[k] - reach[k]), float(x[k] + reach[k]))
        if field is not None and not field.log:
            least, most = float(problem.low[k]), float(problem.high[k])
            ends = (max(ends[0], least), min(ends[1], most))
            at = least if at - least < AT_BOUND * reach[k] else at  # the search stops just inside of a bound
        low, high = (problem.value(name, end) for end in ends)
        found[name] = Estimate(name, problem.value(name, at), low, high, units.get(name, "S"))
    filaments = tuple(found[f"filament {k}"] for k in range(problem.states))
    window = _window(filaments, held, curves.source)
    values = {name: found[name].value for name in problem.free} | {name: each.value for name, each in window.items()}
    gates = curves.gates
    if gates.size > 1:
        values |= _apart({"v_gate_min": float(gates[0]), "v_gate_max": float(gates[-1])}, tuple(held))
    cell = dataclasses.replace(problem.base, **values)
    estimates = [found[name] for name in problem.free] + list(window.values())
    estimates += [
        Estimate(name, value, value, value, units[name], held=True)
        for name, value in held.items()
        if name not in window
    ]
    order = [field.name for field in dataclasses.fields(AdaptiveMemristor)]
    estimates.sort(key=lambda each: order.index(each.name))
    pattern = pattern_of(residuals, curves.sweep, measured)
    return Fit(cell, tuple(estimates), filaments, curves, predicted, residuals, noise[0], noise[1], degrees, pattern)


def _window(filaments: Sequence[Estimate], held: Mapping[str, float], source: str) -> dict[str, Estimate]:
    """Return g_min and g_max: the weakest and the strongest filament that was measured, or what was held."""
    window: dict[str, Estimate] = {}
    for name, choose in (("g_min", min), ("g_max", max)):
        if name in held:
            window[name] = Estimate(name, held[name], held[name], held[name], "S", held=True)
        else:
            window[name] = dataclasses.replace(choose(filaments, key=lambda each: each.value), name=name)
    low, high = window["g_min"], window["g_max"]
    if not low.high < high.low:
        free = [name for name in WINDOW if name not in held]
        raise ParameterError(
            f"{source} does not determine {' and '.join(free) or 'a window'}: the filaments lie from {low.low:g} to "
            f"{high.high:g} S, too near to be two states; measure a second written state, or hold "
            f"{' or '.join(f'{name}=...' for name in (free or WINDOW)[:2])}"
        )
    return window
