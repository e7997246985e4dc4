"""Settling times of an array from the exact moments of its step response: estimates and a guaranteed bound.

Each moment needs one more solve of the resistive array, with the charges of the last solve as injected currents.  Gate
lines obey the same equations (docs/equations/settling.md).
b = batch, m = rows, n = columns
"""

from dataclasses import dataclass
from math import factorial

import numpy as np

from crossbar.arrays.capacitances import Capacitances
from crossbar.arrays.gate_lines import GateLines
from crossbar.arrays.wires import Wires
from crossbar.nodal.gate_network import GateNetwork
from crossbar.nodal.injection import dc_voltages, inject
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError

ORDERS = 3  # number of moments: a model with two poles and a zero needs three
MODELS = ("two poles", "delayed pole")
APART = 0.1  # least distance of the two time constants over their sum; equal or complex pairs are moved apart, ours
LEAST_ACCURACY = 1e-200  # ours: amplitudes over it are numbers of float64
HALVINGS = 60  # bisections of the interval that contains a settling time, down to rounding


@dataclass(frozen=True, eq=False)
class Settling:
    """Step responses, described by their final values and their first three moments.

    Axes are (b, n) for column currents, (m, n) for gate voltages.
    """

    #: final value of each response [A or V]
    final: FloatArray
    #: (3, ...) a_k of the transfer function's series 1 - a_1 s + a_2 s² - a_3 s³ [s, s², s³]; 0 where `final` is 0
    coefficients: FloatArray
    #: (3, ...) broadcasts to the responses: upper bounds of the time constants of all nodes [s]; None: no guarantee
    slowest: FloatArray | None

    @property
    def elmore(self) -> FloatArray:
        """Mean delay of each response, its first moment [s]: Elmore's delay."""
        first: FloatArray = self.coefficients[0]
        return first

    @property
    def deviation(self) -> FloatArray:
        """Standard deviation of each impulse response around the mean delay [s]."""
        a_1, a_2, _ = self.coefficients
        deviation: FloatArray = np.sqrt(np.maximum(2.0 * a_2 - a_1**2, 0.0))
        return deviation

    def remaining(self, t: FloatArray, model: str = "two poles") -> FloatArray:
        """Return the fraction of the final value that is missing at times t [s], which broadcast to the responses.

        Raises ParameterError for a model other than "two poles" or "delayed pole".
        Source: docs/equations/settling.md eq. 7-10.
        """
        constants, shares = self._poles(model)
        times = checks.array("t", t, minimum=0.0)
        checks.broadcast_shape(t=times, responses=constants[0])
        return _decay(times, constants, shares)

    def time(self, accuracy: float, model: str = "two poles") -> FloatArray:
        """Estimate the time [s] after which each response stays within `accuracy` of its final value.

        Raises ParameterError for an accuracy that is not between 0 and 1, or another model.
        Source: docs/equations/settling.md eq. 7-10.
        """
        accuracy = _accuracy(accuracy)
        return _last_crossing(*self._poles(model), accuracy)

    def bound(self, accuracy: float) -> FloatArray:
        """Return a time [s] after which each response is guaranteed to be within `accuracy` of its final value.

        Raises ParameterError for an accuracy that is not between 0 and 1, or if cells have a capacitance.
        Source: docs/equations/settling.md eq. 13.
        """
        accuracy = _accuracy(accuracy)
        if self.slowest is None:
            raise ParameterError("bound needs cells without capacitance (c_cell = 0), else a response may overshoot")
        times = np.full(self.final.shape, np.inf)
        for k, (constant, coefficient) in enumerate(zip(self.slowest, self.coefficients, strict=True), start=1):
            moving = (constant > 0.0) & (coefficient > 0.0)
            safe = np.where(moving, constant, 1.0)
            size = np.where(moving, coefficient, 1.0) / safe**k * (factorial(k) * np.exp(k) / k**k)
            after = safe * np.maximum(np.log(size / accuracy), k)  # eq. 12 holds after k time constants
            times = np.minimum(times, np.where(moving, after, 0.0))
        return times

    def tile(self, accuracy: float, model: str = "two poles") -> float:
        """Estimate the settling time of all responses [s], the largest `time`."""
        return float(self.time(accuracy, model).max())

    def _poles(self, model: str) -> tuple[FloatArray, FloatArray]:
        """Time constants and amplitudes (2, ...) of a response: remaining = Σ amplitude exp(-t / constant)."""
        if model not in MODELS:
            raise ParameterError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
        a_1, a_2, a_3 = self.coefficients
        if model == "delayed pole":
            if np.any(a_1 < 0.0) or np.any(a_2 < 0.0):
                raise ParameterError('a delayed pole cannot overshoot, as these responses do: use model "two poles"')
            sigma = self.deviation
            delay = a_1 - sigma
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                share = np.where(sigma > 0.0, np.exp(delay / sigma), 0.0)
            return np.stack([sigma, np.zeros_like(sigma)]), np.stack([share, np.zeros_like(share)])
        return _two_poles(a_1, a_2, a_3)


def _accuracy(value: float) -> float:
    """Return an accuracy between 0 and 1."""
    return checks.positive("accuracy", checks.number("accuracy", value, above=0.0, below=1.0), "", LEAST_ACCURACY)


def _two_poles(a_1: FloatArray, a_2: FloatArray, a_3: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Padé approximation with two poles and a zero; where its poles do not decay, one pole from the last two moments.

    Source: docs/equations/settling.md eq. 8-9.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        b_1 = (a_3 - a_1 * a_2) / (a_2 - a_1**2)
        b_2 = a_1 * b_1 - a_2
        root = np.sqrt(np.maximum(b_1**2 - 4.0 * b_2, (APART * b_1) ** 2))
        slow = 0.5 * (b_1 + root)
        fast = b_1 - slow
        of_slow = (a_1 - fast) / (slow - fast)
        distinct = np.abs(a_2 - a_1**2) > 1e-9 * a_1**2
        fits = distinct & np.isfinite(of_slow) & (fast >= 0.0) & (slow > 0.0) & (of_slow != 0.0)
        single = np.abs(a_3 / a_2)
        share = a_3 / single**3
        moving = (single > 0.0) & np.isfinite(share)
    constants = np.where(fits, [slow, fast], np.where(moving, [single, np.zeros_like(single)], 0.0))
    shares = np.where(fits, [of_slow, 1.0 - of_slow], np.where(moving, [share, np.zeros_like(share)], 0.0))
    return constants, shares


def _decay(t: FloatArray, constants: FloatArray, shares: FloatArray) -> FloatArray:
    """Return Σ amplitude exp(-t / constant) at times that broadcast to the responses; a constant of 0 adds nothing."""
    total = np.zeros(np.broadcast_shapes(t.shape, constants.shape[1:]))
    for constant, share in zip(constants, shares, strict=True):
        with np.errstate(over="ignore"):  # of a quotient whose decay is 0
            total += np.where(constant > 0.0, share * np.exp(-t / np.where(constant > 0.0, constant, 1.0)), 0.0)
    return total


def _last_crossing(constants: FloatArray, shares: FloatArray, accuracy: float) -> FloatArray:
    """Return the time after which |Σ amplitude exp(-t / constant)| stays below the accuracy, 0 if it always does.

    The first decay is the slower one.  With its amplitude taken as positive, a sum of two decays may start negative; it
    then rises to its only maximum and decreases monotonically afterwards.
    """
    (slow, fast), (of_slow, of_fast) = constants, shares * np.where(shares[0] < 0.0, -1.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        high = slow * np.log(np.maximum((of_slow + np.maximum(of_fast, 0.0)) / accuracy, 1.0))
        excess = np.where(fast > 0.0, -of_fast / of_slow, 0.0)
        rate = np.where(fast > 0.0, 1.0 / fast - 1.0 / slow, 1.0)
        zero = np.where(excess > 1.0, np.log(excess) / rate, 0.0)
        turn = np.where(excess * slow > fast, np.log(excess * slow / fast) / rate, 0.0)
    signed = np.stack([of_slow, of_fast])
    late = _decay(turn, constants, signed) > accuracy  # else only the negative part can exceed the accuracy
    sign = np.where(late, 1.0, -1.0)
    low, high = np.where(late, turn, 0.0), np.where(late, np.maximum(high, turn), zero)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        above = sign * _decay(middle, constants, signed) > accuracy
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray(high)


@checks.typed
def settling(g: FloatArray, v: FloatArray, wires: Wires, capacitances: Capacitances) -> Settling:
    """Return how the column currents of a linear array settle after its sources step from 0 V to v.

    g: (m, n) [S].  v: (b, m) [V], at least 0; see worst_settling for inputs of both signs.
    Raises ParameterError for a wrong shape or value, ConvergenceError if an input does not converge.
    Source: docs/equations/settling.md eq. 3-6.
    """
    v = checks.voltages("v", v, ndim=2, minimum=0.0)
    final, v_rows, v_columns = dc_voltages(g, v, wires)
    shape = v_rows.shape[1:]
    at_rows, at_columns = capacitances.at_rows(shape), capacitances.at_columns(shape)
    coefficients, slowest = np.zeros((ORDERS, *final.shape)), np.zeros((ORDERS, len(v), 1))
    for k in range(ORDERS):
        across = capacitances.c_cell * (v_rows - v_columns)
        injected = inject(g, wires, at_rows * v_rows + across, at_columns * v_columns - across)
        coefficients[k] = _over(injected.currents, final)
        for now, before in ((injected.v_rows, v_rows), (injected.v_columns, v_columns)):
            slowest[k] = np.maximum(slowest[k], _over(now, before).max((1, 2), initial=0.0)[:, None])
        v_rows, v_columns = injected.v_rows, injected.v_columns
    return Settling(final, coefficients, slowest if capacitances.c_cell == 0.0 else None)


@checks.typed
def worst_settling(g: FloatArray, wires: Wires, capacitances: Capacitances) -> Settling:
    """Return how the column currents settle after each source alone steps to 1 V: axes (m, n).

    No input settles later than the slowest of these.  For sources of one sign, the relative error of a column current
    is a weighted mean of the relative errors for each row alone.  For sources of both signs the same holds for the
    error relative to Σ |v_i| W_ij.
    Raises what settling raises.
    Source: docs/equations/settling.md eq. 14.
    """
    return settling(g, np.eye(len(checks.conductances("g", g))), wires, capacitances)


@checks.typed
def gate_settling(lines: GateLines, shape: tuple[int, int], capacitances: Capacitances) -> Settling:
    """Return how the gate voltages (m, n) of an array settle after all gate drivers step from 0 to 1 V.

    Gates leak to 0 V.  The gate voltage of a cell depends on its own group only, so the final values are
    GateNetwork.factor.
    Raises ParameterError for a wrong shape.
    Source: docs/equations/settling.md eq. 3-6 on the circuit of docs/equations/gates.md.
    """
    network = GateNetwork(lines, shape)
    rows, columns = lines.group_shape(shape)
    before = network.factor
    silent = np.zeros(lines.groups(shape))
    coefficients, slowest = np.zeros((ORDERS, *shape)), np.zeros((ORDERS, *shape))
    for k in range(ORDERS):
        now = network.solve(silent, capacitances.at_gate * before)
        coefficients[k] = _over(now, network.factor)
        ratios = _over(now, before).reshape(shape[0] // rows, rows, shape[1] // columns, columns).max((1, 3))
        slowest[k] = network.spread(ratios.reshape(1, -1))[0]
        before = now
    return Settling(network.factor, coefficients, slowest)


def _over(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0.0)
