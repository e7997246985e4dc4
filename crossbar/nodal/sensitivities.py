"""Sensitivities: first-order changes of column currents with every cell, gate voltage and wire of an array.

One solve per input and one adjoint solve per column (1 V at its sense terminal) give the derivatives of every column
current with respect to all parameters.  They also give the noise of the column currents from the noise of the cells
(docs/equations/sensitivity.md).

b = batch, m = rows, n = columns, j = requested columns
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossbar.arrays.array import Array
from crossbar.arrays.solution import Solution
from crossbar.arrays.wires import Wires
from crossbar.nodal import linear, newton
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from devices.laws import dispatch
from devices.noise.read_noise import ReadNoise

STEP = 1e-3  # relative step of finite differences of a cell's law: fourth order gives 1e-12 of the slope, ours
GATE_STEP = 2e-4  # [V] step of differences of the gate law, which changes over 40 mV: 1e-11 of the slope, ours
ONE_SIDED = (-25.0 / 12.0, 4.0, -3.0, 4.0 / 3.0, -0.25)  # coefficients of f(x + k h), k = 0 … 4, for h f'(x)
CENTRAL = {-2: 1.0 / 12.0, -1: -2.0 / 3.0, 1: 2.0 / 3.0, 2: -1.0 / 12.0}  # coefficients of f(x + k h) for h f'(x)


@dataclass(frozen=True, eq=False)
class WireSlopes:
    """Derivatives of the column currents with respect to resistances [A/ohm]; 0 where an end is open."""

    r_row: FloatArray  #: (b, j) by the common resistance of all row segments
    r_column: FloatArray  #: (b, j) by the common resistance of all column segments
    r_driver: FloatArray  #: (b, j, m) by the near end of each row
    r_sense: FloatArray  #: (b, j, n) by the near end of each column
    r_driver_far: FloatArray  #: (b, j, m) by the far end of each row
    r_sense_far: FloatArray  #: (b, j, n) by the far end of each column


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """A solved array, and the exact derivatives of its column currents with respect to cells, gates and wires.

    In an adjoint circuit one sense terminal has 1 V and all other terminals have 0 V.  Its arrays are (j, m, n), or
    (b, j, m, n) for an Array, whose slopes differ between inputs.
    """

    solution: Solution  #: currents and voltages of the array itself
    columns: IntArray  #: (j,) columns of the adjoint solves
    wires: Wires
    v: FloatArray  #: (b, m) voltages of the row sources [V]
    cell_currents: FloatArray  #: (b, m, n) [A]
    conductances: FloatArray  #: (b, m, n) secant conductances of the cells [S], slopes where the voltage is 0
    slopes: FloatArray  #: (m, n), or (b, 1, m, n) for an Array, slopes dI/dv of the cells [S]
    adjoint_rows: FloatArray  #: (j, m, n) or (b, j, m, n) voltages of the row nodes in the adjoint circuits, per 1 V
    adjoint_columns: FloatArray  #: (j, m, n) or (b, j, m, n) voltages of the column nodes in the same
    wire_conductance: FloatArray  #: (j,) or (b, j) power in wires and ends of the adjoint circuits, per 1 V² [S]
    by_conductance: FloatArray  #: (b, m, n) derivative of a cell's current by its (filament) conductance [V]
    by_gain: FloatArray | None = None  #: (b, m, n) the same by its read gain [A]; None for plain conductances
    by_gate: FloatArray | None = None  #: (b, m, n) the same by its gate voltage [A/V]; None for plain conductances

    @property
    def cell_voltages(self) -> FloatArray:
        """Voltages of the cells (b, m, n) [V]."""
        return self.solution.v_rows - self.solution.v_columns

    @property
    def adjoint(self) -> FloatArray:
        """Fraction of an extra cell current that reaches a column's terminal: (j, m, n), or (b, j, m, n) for an Array.

        Source: docs/equations/sensitivity.md eq. 2.
        """
        return self.adjoint_columns - self.adjoint_rows

    def respond(self, cell_currents: FloatArray) -> FloatArray:
        """Return the changes of the column currents (b, j) [A] for small additional currents through the cells.

        cell_currents: (m, n) or (b, m, n) [A], from row to column.
        Raises ParameterError for a wrong shape.
        Source: docs/equations/sensitivity.md eq. 2.
        """
        return self._through(self._each("cell_currents", cell_currents), self.adjoint)

    def currents_change(
        self, dg: FloatArray | None = None, dgain: FloatArray | None = None, dv_gate: FloatArray | None = None
    ) -> FloatArray:
        """Return the changes of the column currents (b, j) [A] to first order.

        dg: changes of the (filament) conductances [S]; dgain: of the read gains; dv_gate: of the gate voltages [V];
        each (m, n) or (b, m, n).
        Raises ParameterError for a wrong shape, or for a gate parameter of plain conductances.
        Source: docs/equations/sensitivity.md eq. 3.
        """
        total = np.zeros_like(self.cell_currents)
        for name, change, of in (("dg", dg, "g"), ("dgain", dgain, "gain"), ("dv_gate", dv_gate, "v_gate")):
            if change is not None:
                total += self._slope(of) * self._each(name, change)
        return self._through(total, self.adjoint)

    def gradient(self, upstream: FloatArray, of: str = "g") -> FloatArray:
        """Return the gradients (b, m, n) of sum_j upstream_j I_j with respect to a parameter of each cell.

        upstream: (b, j).  of: "g" for (filament) conductances, "gain" or "v_gate".
        Raises ParameterError for a wrong shape or name, or for a gate parameter of plain conductances.
        Source: docs/equations/sensitivity.md eq. 3.
        """
        slope, b = self._slope(of), len(self.v)
        factors = checks.array("upstream", upstream, shape=(b, len(self.columns)))
        adjoint = self.adjoint.reshape(*self.adjoint.shape[:-2], -1)
        back = factors @ adjoint if adjoint.ndim == 2 else np.matmul(factors[:, None], adjoint)
        return slope * back.reshape(slope.shape)

    def variance(self, cell_variance: FloatArray) -> FloatArray:
        """Return the variances of the column currents (b, j) [A²] for independent noise currents of the cells.

        cell_variance: (m, n) or (b, m, n) [A²], variance of a noise current source in parallel with each cell.
        Raises ParameterError for a wrong shape or a negative variance.
        Source: docs/equations/sensitivity.md eq. 6.
        """
        return self._through(self._each("cell_variance", cell_variance, minimum=0.0), self.adjoint**2)

    def covariance(self, cell_variance: FloatArray) -> FloatArray:
        """Return the covariances of the column currents (b, j, j) [A²] for the noise currents of `variance`.

        Source: docs/equations/sensitivity.md eq. 6.
        """
        noise = self._each("cell_variance", cell_variance, minimum=0.0)
        b, j = len(noise), len(self.columns)
        out = np.empty((b, j, j))
        adjoint = np.broadcast_to(self.adjoint.reshape(*self.adjoint.shape[:-2], -1), (b, j, noise[0].size))
        for each, through, put in zip(out, adjoint, noise.reshape(b, -1), strict=True):
            each[:] = (through * put) @ through.T
        return out

    @checks.typed
    def read_variance(self, noise: ReadNoise, t_read: float, temperature: float = 300.0) -> FloatArray:
        """Return the variances of the column currents (b, j) [A²] in a read of t_read [s].

        The noise of a cell follows from its voltage and its secant conductance.  Wires, drivers and sense resistors add
        the thermal noise of resistors if `noise` has a thermal part.
        Source: docs/equations/sensitivity.md eq. 6-8.
        """
        cells = noise.cell_variance(self.conductances, self.cell_voltages, t_read, temperature)
        per_siemens = noise.white_per_siemens(0.0, t_read, temperature)
        return self.variance(cells) + per_siemens * self.wire_conductance

    def wire_slopes(self) -> WireSlopes:
        """Return the derivatives of the column currents with respect to every resistance of the wires.

        If a line without resistance has two ends of 0 ohm, its near end is taken to carry the whole current.
        Source: docs/equations/sensitivity.md eq. 4-5.
        """
        senses = np.eye(self.solution.currents.shape[1])[self.columns]
        own = line_currents(
            self.wires, self.solution.v_rows, self.solution.v_columns, self.cell_currents, self.v, np.zeros(1)
        )
        adjoint = line_currents(
            self.wires, self.adjoint_rows, self.adjoint_columns, -self.slopes * self.adjoint, np.zeros(1), senses
        )
        row, column = (
            self._through(mine.segments, other.segments) for mine, other in zip(own, adjoint, strict=True)
        )  # fmt: skip
        driver, sense = (mine.near[:, None] * other.near for mine, other in zip(own, adjoint, strict=True))
        driver_far, sense_far = (mine.far[:, None] * other.far for mine, other in zip(own, adjoint, strict=True))
        return WireSlopes(row, column, driver, sense, driver_far, sense_far)

    def _slope(self, of: str) -> FloatArray:
        """Derivatives (b, m, n) of the cell currents with respect to a parameter."""
        slopes = {"g": self.by_conductance, "gain": self.by_gain, "v_gate": self.by_gate}
        if of not in list(slopes):
            raise ParameterError(f'of must be "g", "gain" or "v_gate", got {of!r}')
        slope = slopes[of]
        if slope is None:
            raise ParameterError(f"{of} must not be given for plain conductances: they have no gate")
        return slope

    def _each(self, name: str, values: FloatArray, minimum: float | None = None) -> FloatArray:
        """The values of every cell, broadcast to every input (b, m, n)."""
        given = checks.array(name, values, minimum=minimum)
        shape = self.cell_currents.shape
        if given.shape not in (shape, shape[1:]):
            raise ParameterError(f"{name} must have shape {shape[1:]} or {shape}, got {given.shape}")
        return np.broadcast_to(given, shape)

    def _through(self, put: FloatArray, reach: FloatArray) -> FloatArray:
        """Sum (b, j) of `put` (b, x, y) times the fraction that reaches each column, (j, x, y) or (b, j, x, y)."""
        b, j, size = len(put), len(self.columns), put.shape[1] * put.shape[2]
        given, flat = put.reshape(b, size), reach.reshape(*reach.shape[:-2], size)
        if flat.ndim == 2:
            return given @ flat.T
        out: FloatArray = np.matmul(flat, given[:, :, None]).reshape(b, j)
        return out


@dataclass(frozen=True, eq=False)
class LineCurrents:
    """Currents of the wires of one direction [A], positive from the near to the far end."""

    near: FloatArray  #: (…, lines) from the near terminal into the line
    segments: FloatArray  #: (…, lines, nodes - 1) through the segments
    far: FloatArray  #: (…, lines) from the far terminal into the line


@checks.typed
def sensitivity(
    circuit: FloatArray | Array, v: FloatArray, wires: Wires, *,
    v_gate: npt.ArrayLike | None = None, columns: Sequence[int] | None = None,
) -> Sensitivity:  # fmt: skip
    """Solve an array and its adjoint circuits.

    circuit: conductances (m, n) [S], or an Array of cells with their laws.  v: (b, m) [V].  v_gate: gate voltages of an
    Array [V], as in `solve`.  columns: the columns whose currents are of interest, None for all.  Plain conductances
    need one adjoint circuit per column, an Array one per column and input; each stores 2 m n voltages.
    Raises what `solve` raises, and ParameterError for a column number that does not exist.
    Source: docs/equations/sensitivity.md eq. 1-3.
    """
    solution = newton.solve(circuit, v, wires, v_gate=v_gate)
    v = checks.voltages("v", v)
    m, n = solution.v_rows.shape[1:]
    given = range(n) if columns is None else columns
    if not _listed(given):
        raise ParameterError(f"columns must be a list of column numbers, got {columns!r}")
    asked = np.array([checks.whole("columns", column, minimum=0, maximum=n - 1) for column in given], dtype=np.int64)
    volts = solution.v_rows - solution.v_columns
    if not isinstance(circuit, Array):
        g = checks.array("g", circuit)
        rows, nodes, lost = _adjoint(g, wires, asked)
        return Sensitivity(
            solution, asked, wires, v, g * volts, np.broadcast_to(g, volts.shape), g, rows, nodes, lost, volts
        )
    gain = np.broadcast_to(circuit.gain(v_gate, len(v)), volts.shape)
    g = np.broadcast_to(circuit.g_filament, volts.shape)

    def carried(g: FloatArray, gain: FloatArray) -> tuple[FloatArray, FloatArray]:
        flat = (np.ascontiguousarray(each).reshape(-1) for each in (g, gain, volts))
        current, slope = dispatch.currents(circuit.cell.law, *flat)
        return current.reshape(volts.shape), slope.reshape(volts.shape)

    currents, slopes = carried(g, gain)
    by_gain = _difference(gain, lambda other: carried(g, other)[0])
    opening = np.zeros_like(circuit.gain(v_gate, len(v)))
    if circuit.cell.gated:
        for step, factor in CENTRAL.items():
            opening += factor / GATE_STEP * circuit.gain(np.asarray(v_gate) + step * GATE_STEP, len(v))
    adjoint_rows, adjoint_columns = (np.empty((len(v), len(asked), m, n)) for _ in range(2))
    wire_conductance = np.empty((len(v), len(asked)))
    for k, slope in enumerate(slopes):
        adjoint_rows[k], adjoint_columns[k], wire_conductance[k] = _adjoint(slope, wires, asked)
    return Sensitivity(
        solution, asked, wires, v, currents, np.divide(currents, volts, out=slopes.copy(), where=volts != 0.0),
        slopes[:, None], adjoint_rows, adjoint_columns, wire_conductance,
        _difference(g, lambda other: carried(other, gain)[0]), by_gain, by_gain * opening,
    )  # fmt: skip


def _listed(value: object) -> bool:
    """Whether a value is a list of something."""
    return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str)


def _adjoint(slopes: FloatArray, wires: Wires, columns: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Voltages of row and column nodes (j, m, n), and power in the wires (j,), for 1 V at the terminal of each column.

    The transposed array is solved, with the columns driven at both of their ends.
    Source: docs/equations/sensitivity.md eq. 1.
    """
    m, n = slopes.shape
    solved = linear.solve(np.ascontiguousarray(slopes.T), np.eye(n)[columns], turned(wires, m, n))
    nodes, rows = solved.v_rows.transpose(0, 2, 1), solved.v_columns.transpose(0, 2, 1)
    heat = np.einsum("jmn,mn->j", (rows - nodes) ** 2, slopes)
    return rows, nodes, np.maximum(solved.power - heat, 0.0)


def _across(segments: float | FloatArray) -> float | FloatArray:
    """Resistances of segments for the transposed array."""
    return segments if isinstance(segments, float) else segments.T


def _difference(x: FloatArray, function: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Derivative of an elementwise function at x ≥ 0 by one-sided finite differences, which need no values below x."""
    step = STEP * np.where(x > 0.0, x, x.max(initial=0.0) or 1.0)
    out = np.zeros_like(step)
    for k, factor in enumerate(ONE_SIDED):
        out += factor * function(x + k * step)
    return out / step


def turned(wires: Wires, m: int, n: int) -> Wires:
    """Return the wires of the transposed m × n array: its columns are driven at both ends, and its rows are sensed."""
    ends = (wires.sense_far(n), wires.driver_far(m), wires.sense(n), wires.driver(m))
    return Wires(_across(wires.r_column), _across(wires.r_row), *ends)


def line_currents(
    wires: Wires, rows: FloatArray, columns: FloatArray, cells: FloatArray, v: FloatArray, v_sense: FloatArray
) -> tuple[LineCurrents, LineCurrents]:
    """Return the currents in the wires of rows and of columns, for node voltages and cell currents (…, m, n).

    Source: docs/equations/sensitivity.md eq. 4.
    """
    m, n = cells.shape[-2:]
    upward = (-cells).swapaxes(-1, -2)[..., ::-1]
    from_sense = columns.swapaxes(-1, -2)[..., ::-1]
    down = wires.column_segments(m, n).T[:, ::-1]
    return (
        _line(rows, cells, v, wires.row_segments(m, n), wires.driver(m), wires.driver_far(m)),
        _line(from_sense, upward, v_sense, down, wires.sense(n), wires.sense_far(n)),
    )


def _line(
    nodes: FloatArray, leaving: FloatArray, terminal: FloatArray, segments: FloatArray, near: FloatArray,
    far: FloatArray,
) -> LineCurrents:  # fmt: skip
    """Currents of lines with node voltages (…, lines, q), near end first, and currents `leaving` into cells.

    segments: (lines, q - 1) [ohm].
    Source: docs/equations/sensitivity.md eq. 4.
    """
    total = leaving.sum(-1)
    fixed = near > 0.0
    if segments.any():  # far-end current if the far end has 0 ohm
        fed = leaving[..., -1] + (nodes[..., -1] - nodes[..., -2]) / segments[:, -1]
    else:
        fed = np.where(fixed, total, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = np.where(far > 0.0, (terminal - nodes[..., -1]) / far, fed)
    onward = np.cumsum(leaving[..., ::-1], axis=-1)[..., ::-1]
    return LineCurrents(np.where(np.isfinite(near), total - beyond, 0.0), onward[..., 1:] - beyond[..., None], beyond)
