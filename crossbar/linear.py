"""Node voltages, currents and power of linear arrays, input by input.

m = rows, n = columns, b = batch
"""

import numpy as np

from crossbar.lines import Lines, factorise_lines, solve_inputs
from crossbar.solution import Solution
from crossbar.wires import Wires
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ConvergenceError, ParameterError

TOLERANCE = 1e-14  # last correction of a node voltage over the largest input, ours: a few units in the last place
MOST_STEPS = 2000  # ours: two lines that float far apart need some hundreds


def factorised(cells: FloatArray, r_segment: float, near: FloatArray, far: FloatArray) -> Lines:
    """Factorise the lines of one direction; cells (nodes along the line, lines)."""
    one_node = r_segment == 0.0 or len(cells) == 1
    fixed = [np.ascontiguousarray(end == 0.0, dtype=np.float64) for end in (near, far)]
    with np.errstate(divide="ignore"):
        ends = [np.where(end == 0.0, 0.0, 1.0 / end) for end in (near, far)]
    inverse = np.empty((1 if one_node else len(cells), cells.shape[1]))
    ratio = np.empty_like(inverse)
    segment = 0.0 if one_node else 1.0 / r_segment
    factorise_lines(cells, segment, ends[0], ends[1], fixed[0], fixed[1], inverse, ratio)
    return Lines(cells, inverse, ratio, ends[0], ends[1], segment, fixed[0], fixed[1])


def solve(g: FloatArray, v: FloatArray, wires: Wires) -> Solution:
    """Solve a linear array for a batch of inputs, with all node voltages.

    g: (m, n) [S], at least 0.  v: (b, m) [V].
    Raises ParameterError for a wrong shape or value, ConvergenceError if an input is not solved.
    Source: docs/equations/lines.md.
    """
    g = checks.array("g", g, ndim=2, minimum=0.0)
    m, n = g.shape
    if not m * n:
        raise ParameterError(f"g must have at least one row and one column, got shape {g.shape}")
    v = checks.array("v", v, shape=(None, m))
    rows = factorised(np.ascontiguousarray(g.T), wires.r_row, wires.driver(m), wires.driver_far(m))
    columns = factorised(g, wires.r_column, wires.sense_far(n), wires.sense(n))
    v_rows, v_columns = np.empty((len(v), m, n)), np.empty((len(v), m, n))
    steps = np.zeros(len(v), dtype=np.int64)
    solve_inputs(g, rows, columns, v, TOLERANCE, MOST_STEPS, v_rows, v_columns, steps)
    if np.any(steps < 0):
        raise ConvergenceError(
            f"{np.count_nonzero(steps < 0)} of {len(v)} inputs unsolved, first {int(np.argmax(steps < 0))}: the node "
            f"voltages still moved by more than {100 * TOLERANCE:g} of the input after {MOST_STEPS} steps"
        )
    return solution(g * (v_rows - v_columns), g.sum(0), v, wires, v_rows, v_columns)


def solution(
    cells: FloatArray, slopes: FloatArray, v: FloatArray, wires: Wires, v_rows: FloatArray, v_columns: FloatArray,
    steps: int = 0, history: FloatArray | None = None,
) -> Solution:  # fmt: skip
    """Return the Solution of solved node voltages, for cells that carry `cells` (b, m, n) [A].

    slopes: (n,) or (b, n), the cells' slopes added up along each column [S].
    """
    return Solution(
        _currents(cells, slopes, wires, v_columns),
        v_rows,
        v_columns,
        _heat(cells, v, wires, v_rows, v_columns),
        violation(cells, v, wires, v_rows, v_columns),
        steps,
        history,
    )


def _currents(cells: FloatArray, slopes: FloatArray, wires: Wires, v_columns: FloatArray) -> FloatArray:
    """Currents (b, n) [A] of the columns, through their ends or their cells, whichever conduct less.

    There the voltages drop, so that rounding does not count: a floating column delivers exactly nothing.
    Source: docs/equations/lines.md eq. 8.
    """
    m, n = cells.shape[1:]
    with np.errstate(divide="ignore"):
        far, near = 1.0 / wires.sense_far(n), 1.0 / wires.sense(n)
    weak = far + near < slopes
    near, far = (np.where(np.isfinite(end), end, 0.0) for end in (near, far))
    currents: FloatArray = np.where(weak, v_columns[:, 0] * far + v_columns[:, m - 1] * near, cells.sum(1))
    return currents


def _heat(cells: FloatArray, v: FloatArray, wires: Wires, v_rows: FloatArray, v_columns: FloatArray) -> FloatArray:
    """Power (b,) [W] that turns into heat; as a linear circuit's voltages make it least, errors enter squared there.

    Source: docs/equations/lines.md eq. 9.
    """
    m, n = cells.shape[1:]
    power: FloatArray = np.einsum("bmn,bmn->b", cells, v_rows - v_columns)
    for nodes, axis, r_segment in ((v_rows, 2, wires.r_row), (v_columns, 1, wires.r_column)):
        if r_segment > 0.0:
            power += (np.diff(nodes, axis=axis) ** 2).sum((1, 2)) / r_segment
    for drops, end in (
        (v - v_rows[:, :, 0], wires.driver(m)),
        (v - v_rows[:, :, n - 1], wires.driver_far(m)),
        (v_columns[:, m - 1], wires.sense(n)),
        (v_columns[:, 0], wires.sense_far(n)),
    ):
        some = end > 0.0
        power += (drops[:, some] ** 2 / end[some]).sum(1)
    return power


def residual(g: FloatArray, v: FloatArray, wires: Wires, v_rows: FloatArray, v_columns: FloatArray) -> float:
    """Return the largest violation of Kirchhoff's current law at a node, relative to the input's largest current.

    Lines of 0 Ω count as one node; nodes that sit on an ideal terminal take any current.
    Source: docs/equations/nodal.md.
    """
    return violation(g * (v_rows - v_columns), v, wires, v_rows, v_columns)


def violation(cells: FloatArray, v: FloatArray, wires: Wires, v_rows: FloatArray, v_columns: FloatArray) -> float:
    """Return the residual where the cells carry `cells` (b, m, n) [A]; docs/equations/nodal.md eq. 12."""
    m, n = cells.shape[1:]
    most = np.abs(cells).max((1, 2))
    worst = np.zeros(len(v))
    zero = np.zeros((len(v), n))
    for nodes, arriving, r_segment, near, far, terminal in (
        (v_rows.transpose(0, 2, 1), -cells.transpose(0, 2, 1), wires.r_row, wires.driver(m), wires.driver_far(m), v),
        (v_columns, cells, wires.r_column, wires.sense_far(n), wires.sense(n), zero),
    ):
        left = arriving.copy()
        held = np.zeros(nodes.shape[1:], dtype=bool)
        if r_segment > 0.0:
            along = np.diff(nodes, axis=1) / r_segment
            left[:, :-1] += along
            left[:, 1:] -= along
            most = np.maximum(most, np.abs(along).max((1, 2), initial=0.0))
        else:
            left[:, 0] = left.sum(1)
            left[:, 1:] = 0.0
        for end, at in ((near, 0), (far, -1)):
            with np.errstate(divide="ignore"):
                conductance = np.where(end > 0.0, 1.0 / end, 0.0)
            left[:, at if r_segment > 0.0 else 0] += conductance * (terminal - nodes[:, at])
            held[at if r_segment > 0.0 else 0] |= end == 0.0
        worst = np.maximum(worst, np.abs(np.where(held, 0.0, left)).max((1, 2)))
    return float(np.max(worst / np.where(most > 0.0, most, 1.0), initial=0.0))
