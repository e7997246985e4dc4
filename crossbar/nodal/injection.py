"""Linear arrays with currents injected into their nodes, such as gate leakage or capacitor charges.

m = rows, n = columns, b = batch
"""

from typing import NamedTuple

import numpy as np

from crossbar.arrays.wires import Wires
from crossbar.nodal import linear
from crossbar.nodal.lines import (
    Lines,
    cell_currents_into_rows,
    clear_held,
    hold_ends,
    inject_sources,
    solve_injected,
    sweep,
)
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ConvergenceError
from devices.numerics.copies import copy_into
from devices.numerics.jit import kernel
from devices.numerics.worker_threads import in_shares

RELATIVE = 1e-14  # last correction over the first one at which conjugate gradients stop, ours
SWEEPS = 30  # most block Gauss-Seidel sweeps after conjugate gradients, ours; 3 to 8 are usual
EXACT = 1e-13  # relative change of every node at which these sweeps end, ours


class Injected(NamedTuple):
    """Response of an array to injected currents, with all terminals at 0 V."""

    currents: FloatArray  #: (b, n) currents that the columns deliver to 0 V [A]
    v_rows: FloatArray  #: (b, m, n) voltages of the row nodes [V]
    v_columns: FloatArray  #: (b, m, n) voltages of the column nodes [V]


@checks.typed
def inject(g: FloatArray, wires: Wires, into_rows: FloatArray, into_columns: FloatArray) -> Injected:
    """Solve a linear array for currents into its nodes, with every source and every sense end at 0 V.

    g: (m, n) [S], at least 0.  into_rows, into_columns: (b, m, n) [A].  If all currents have the same sign, small
    voltages have the same relative accuracy as large ones.
    Raises ParameterError for a wrong shape or value, ConvergenceError if an injection does not converge.
    Source: docs/equations/settling.md eq. 4 and 5.
    """
    g, rows, columns = _lines(g, wires)
    into_rows = checks.array("into_rows", into_rows, shape=(None, *g.shape), largest=checks.MOST_AMPERES)
    into_columns = checks.array("into_columns", into_columns, shape=into_rows.shape, largest=checks.MOST_AMPERES)
    v_rows, v_columns = np.empty_like(into_rows), np.empty_like(into_rows)
    steps = _solve(g, rows, columns, np.zeros(into_rows.shape[:2]), into_rows, into_columns, v_rows, v_columns)
    if np.any(steps >= linear.MOST_STEPS):
        raise ConvergenceError(
            f"{np.count_nonzero(steps >= linear.MOST_STEPS)} of {len(steps)} injections did not "
            f"converge within {linear.MOST_STEPS} steps, first {int(np.argmax(steps))}"
        )
    with np.errstate(divide="ignore"):
        far, near = 1.0 / wires.sense_far(g.shape[1]), 1.0 / wires.sense(g.shape[1])
    weak = far + near < g.sum(0)
    far, near = (np.where(np.isfinite(end), end, 0.0) for end in (far, near))
    through_cells = (g * (v_rows - v_columns) + into_columns).sum(1)
    currents = np.where(weak, v_columns[:, 0] * far + v_columns[:, -1] * near, through_cells)
    return Injected(currents, v_rows, v_columns)


def dc_voltages(g: FloatArray, v: FloatArray, wires: Wires) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return currents (b, n) [A] and row and column voltages (b, m, n) [V]; small voltages are relatively as exact.

    g: (m, n) [S].  v: (b, m) [V], at least 0 if small voltages matter.  Raises what linear.solve raises.
    """
    solved = linear.solve(g, v, wires)
    g, rows, columns = _lines(g, wires)
    none = np.zeros((0, *g.shape))
    _solve(g, rows, columns, checks.voltages("v", v), none, none, solved.v_rows, solved.v_columns)
    return solved.currents, solved.v_rows, solved.v_columns


def _solve(
    g: FloatArray, rows: Lines, columns: Lines, v: FloatArray, into_rows: FloatArray, into_columns: FloatArray,
    v_rows: FloatArray, v_columns: FloatArray,
) -> IntArray:  # fmt: skip
    """Solve the inputs on all threads; returns the steps (b,)."""
    steps = np.zeros(len(v), dtype=np.int64)

    def part(each: slice) -> None:
        _solve_all(
            g, rows, columns, v[each], into_rows[each], into_columns[each], linear.MOST_STEPS, v_rows[each],
            v_columns[each], steps[each],
        )  # fmt: skip

    in_shares(part, len(v))
    return steps


def _lines(g: FloatArray, wires: Wires) -> tuple[FloatArray, Lines, Lines]:
    """Checked conductances, and the factorised row and column lines."""
    g = checks.conductances("g", g)
    return g, *linear.factorised_lines(g, wires)


@kernel
def _sweeps(
    g: FloatArray, rows: Lines, columns: Lines, v: FloatArray, into_rows: FloatArray, into_columns: FloatArray,
    r: FloatArray, c: FloatArray,
) -> None:  # fmt: skip
    """Solve rows and columns alternately, in place.

    These block Gauss-Seidel sweeps only add and multiply positive numbers.  So they also remove relative errors of
    small voltages, which conjugate gradients leave because they stop at an absolute error.
    """
    m, n = g.shape
    work, now = np.empty((n, m)), np.empty_like(c)
    for count in range(SWEEPS + 1):
        cell_currents_into_rows(g, c, r, work)
        r += into_rows
        inject_sources(rows, v, r)
        clear_held(rows, r)
        sweep(rows, r)
        hold_ends(rows, v, r)
        if count == SWEEPS:
            break
        copy_into(now, into_columns)
        for i in range(m):
            for j in range(n):
                now[i if len(c) > 1 else 0, j] += g[i, j] * r[j if len(r) > 1 else 0, i]
        clear_held(columns, now)
        sweep(columns, now)
        change = 0.0
        for i in range(len(c)):
            for j in range(n):
                change = max(change, abs(now[i, j] - c[i, j]) - EXACT * abs(now[i, j]))
                c[i, j] = now[i, j]
        if change <= 0.0:
            break


@kernel
def _solve_all(
    g: FloatArray, rows: Lines, columns: Lines, v: FloatArray, into_rows: FloatArray, into_columns: FloatArray,
    most_steps: int, v_rows: FloatArray, v_columns: FloatArray, steps: IntArray,
) -> None:  # fmt: skip
    """Solve inputs v (b, m) [V] with injections (b, m, n) [A] one by one; fills voltages (b, m, n) and steps (b,).

    With empty injections (0, m, n), v_columns must hold a solution, which is only refined by sweeps.
    """
    m, n = g.shape
    r, c = np.empty((len(rows.inverse), m)), np.empty((len(columns.inverse), n))
    in_rows, in_columns = np.zeros_like(r), np.zeros_like(c)
    for k in range(len(v)):
        if len(into_rows) > 0:
            in_rows[:] = 0.0
            in_columns[:] = 0.0
            for i in range(m):
                for j in range(n):
                    in_rows[j if len(r) > 1 else 0, i] += into_rows[k, i, j]
                    in_columns[i if len(c) > 1 else 0, j] += into_columns[k, i, j]
            steps[k] = solve_injected(g, rows, columns, in_rows, in_columns, RELATIVE, most_steps, r, c)
        else:
            for i in range(m):
                for j in range(n):
                    c[i if len(c) > 1 else 0, j] = v_columns[k, i, j]
        _sweeps(g, rows, columns, v[k], in_rows, in_columns, r, c)
        for i in range(m):
            for j in range(n):
                v_rows[k, i, j] = r[j if len(r) > 1 else 0, i]
                v_columns[k, i, j] = c[i if len(c) > 1 else 0, j]
