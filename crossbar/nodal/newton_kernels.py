"""Kernels that solve arrays of nonlinear cells: Newton's method, with the linear solver of lines.py in every step.

b = batch, m = rows, n = columns, q = nodes along a line (1 if a line without resistance is one node).  Row nodes are
stored as (q, m), column nodes as (q, n), as in crossbar/nodal/lines.py.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from crossbar.nodal.lines import Lines, dot, largest, left_over, solve_injected, solve_sources, with_cells
from devices.aliases import BoolArray, FloatArray, IntArray
from devices.laws.dispatch import fill_currents, gated_current
from devices.numerics.jit import kernel

LOOSEST = 1e-2  # largest relative error of a Newton step's linear solve, docs/equations/newton.md eq. 6 (ours)
START = 1e-3  # relative error of the linear solve for the start (ours)
DESCENT = 0.1  # line search: largest slope of the merit function after a step, docs/equations/newton.md eq. 8 (ours)
FALLING = 0.5  # line search: largest downhill slope after a step that was shortened (ours)
TILE = 16  # rows and columns of a block in transpositions, ours
TRIALS = 40  # step lengths tried in one line search (ours): 40 halvings reach 1e-12
SMALL = 1e-8  # steps below this times the largest source are taken without line search (ours)
SETTLED = 1e-12  # corrections of node voltages below this times the largest source are rounding (ours)


class Cells(NamedTuple):
    """State of one input during the iteration: node voltages, cell currents, slopes and residuals."""

    r: FloatArray  #: (q, m) voltages of the row nodes [V]
    c: FloatArray  #: (q, n) voltages of the column nodes [V]
    drop: FloatArray  #: (m, n) voltages of the cells [V]
    current: FloatArray  #: (m, n) currents of the cells [A]
    turned: FloatArray  #: (n, m) transposed: minus the currents, into the row nodes [A]; later the slopes [S]
    slope: FloatArray  #: (m, n) dI/dv [S]
    into_rows: FloatArray  #: (q, m) residual currents of the row nodes [A]
    into_columns: FloatArray  #: (q, n) residual currents of the column nodes [A]


@kernel
def _cells(rows: Lines, columns: Lines, m: int, n: int) -> Cells:
    """Allocate the arrays for one input."""
    q_r, q_c = len(rows.inverse), len(columns.inverse)
    return Cells(
        np.zeros((q_r, m)), np.zeros((q_c, n)), np.zeros((m, n)), np.zeros((m, n)), np.zeros((n, m)), np.zeros((m, n)),
        np.zeros((q_r, m)), np.zeros((q_c, n)),
    )  # fmt: skip


@kernel
def _drops(r: FloatArray, c: FloatArray, out: FloatArray) -> None:
    """Fill the voltages (m, n) of the cells from those of the row nodes (q, m) and column nodes (q, n)."""
    m, n = out.shape
    for first in range(0, m, TILE):
        for j_0 in range(0, n, TILE):
            for i in range(first, min(first + TILE, m)):
                at = i if len(c) > 1 else 0
                for j in range(j_0, min(j_0 + TILE, n)):
                    out[i, j] = r[j if len(r) > 1 else 0, i] - c[at, j]


@kernel
def _turn(a: FloatArray, sign: float, out: FloatArray) -> None:
    """out = sign aᵀ."""
    m, n = a.shape
    for first in range(0, m, TILE):
        for j_0 in range(0, n, TILE):
            for j in range(j_0, min(j_0 + TILE, n)):
                for i in range(first, min(first + TILE, m)):
                    out[j, i] = sign * a[i, j]


@kernel
def _fill(law: Any, g_filament: FloatArray, gain: FloatArray, at: Cells) -> None:  # noqa: ANN401
    """Fill currents and slopes of the cells at their voltages."""
    fill_currents(
        law, g_filament.reshape(-1), gain.reshape(-1), at.drop.reshape(-1), at.current.reshape(-1), at.slope.reshape(-1)
    )  # fmt: skip


@kernel
def _evaluate(
    law: Any, g_filament: FloatArray, gain: FloatArray, rows: Lines, columns: Lines, v: FloatArray, u: FloatArray,  # noqa: ANN401
    at: Cells,
) -> float:  # fmt: skip
    """Fill cell currents, slopes and residual currents of all nodes; returns the relative residual.

    Source: docs/equations/newton.md eq. 1-2 and 9.
    """
    _drops(at.r, at.c, at.drop)
    _fill(law, g_filament, gain, at)
    _turn(at.current, -1.0, at.turned)
    most = largest(at.current)
    most = max(most, left_over(rows, at.r, v, at.turned, at.into_rows))
    most = max(most, left_over(columns, at.c, u, at.current, at.into_columns))
    worst = max(largest(at.into_rows), largest(at.into_columns))
    if not math.isfinite(at.current.sum() + dot(at.into_rows, at.into_rows) + dot(at.into_columns, at.into_columns)):
        return math.inf
    return worst / most if most > 0.0 else 0.0


@kernel
def _begin(
    law: Any, g_filament: FloatArray, gain: FloatArray, rows: Lines, columns: Lines, v: FloatArray, u: FloatArray,  # noqa: ANN401
    most_steps: int, at: Cells,
) -> None:  # fmt: skip
    """Start: solve the linear array of secant conductances at the terminal voltages; docs/equations/newton.md eq. 4."""
    m, n = g_filament.shape
    secant = at.slope
    for i in range(m):
        for j in range(n):
            at.drop[i, j] = v[i] - u[j]
    _fill(law, g_filament, gain, at)
    for i in range(m):
        for j in range(n):
            if at.drop[i, j] != 0.0:
                secant[i, j] = at.current[i, j] / at.drop[i, j]
            if not math.isfinite(secant[i, j]):
                secant[i, j] = gated_current(law, g_filament[i, j], gain[i, j], 0.0)[1]
    _turn(secant, 1.0, at.turned)
    now_rows, now_columns = with_cells(rows, at.turned), with_cells(columns, secant)
    solve_sources(secant, now_rows, now_columns, v, u, START, most_steps, at.r, at.c)


@kernel
def _step(
    law: Any, g_filament: FloatArray, gain: FloatArray, rows: Lines, columns: Lines, v: FloatArray, u: FloatArray,  # noqa: ANN401
    now: Cells, after: Cells, d_r: FloatArray, d_c: FloatArray, whole: bool,
) -> float:  # fmt: skip
    """Line search from `now` along (d_r, d_c); fills `after` and returns its residual, inf if no length is accepted.

    The merit function is the co-content of the circuit; its gradient is minus the residual currents.  A step length is
    accepted when the slope of the merit function along the step is small.  whole: take the full step without search.

    Source: docs/equations/newton.md eq. 7-8.
    """
    downhill = dot(now.into_rows, d_r) + dot(now.into_columns, d_c)  # minus the slope of the merit function
    low, high, at_low, length = 0.0, math.inf, -downhill, 1.0
    for _ in range(TRIALS):
        after.r[:] = now.r + length * d_r
        after.c[:] = now.c + length * d_c
        residual = _evaluate(law, g_filament, gain, rows, columns, v, u, after)
        if whole and math.isfinite(residual):
            return residual
        slope = -dot(after.into_rows, d_r) - dot(after.into_columns, d_c)
        part = 0.5
        if not math.isfinite(residual) or slope > DESCENT * downhill:  # too far
            high = length
            part = min(max(at_low / (at_low - slope), 0.1), 0.5) if math.isfinite(slope) else 0.1
        elif slope >= -(DESCENT if high == math.inf else FALLING) * downhill:
            return residual
        else:  # not far enough
            low, at_low = length, slope
        length = 2.0 * length if high == math.inf else low + part * (high - low)
    return math.inf


@kernel
def solve_cells(
    law: Any, g_filament: FloatArray, gain: FloatArray, rows: Lines, columns: Lines, v: FloatArray,  # noqa: ANN401
    v_sense: FloatArray, tolerance: float, most_steps: int, most_inner: int,
    v_rows: FloatArray, v_columns: FloatArray, current: FloatArray, slope: FloatArray,
    history: FloatArray, steps: IntArray, solved: BoolArray,
) -> None:  # fmt: skip
    """Solve inputs `v` (b, m), `v_sense` (b, n) [V] one after another; gain is (1, m, n) or (b, m, n).

    Fills node voltages and cell currents (b, m, n), the sums of the slopes of each column's cells (b, n) [S], the
    residuals before the first and after each step (b, most_steps + 1), the steps and whether each input converged (b,).
    """
    m, n = g_filament.shape
    now, after = _cells(rows, columns, m, n), _cells(rows, columns, m, n)
    d_r, d_c = np.empty_like(now.r), np.empty_like(now.c)
    for k in range(len(v)):
        gains = gain[k if len(gain) > 1 else 0]
        _begin(law, g_filament, gains, rows, columns, v[k], v_sense[k], most_inner, now)
        residual = _evaluate(law, g_filament, gains, rows, columns, v[k], v_sense[k], now)
        history[k, 0] = residual
        scale = max(np.abs(v[k]).max(), np.abs(v_sense[k]).max())
        solved[k] = residual <= tolerance
        while not solved[k] and steps[k] < most_steps and math.isfinite(residual):
            steps[k] += 1
            _turn(now.slope, 1.0, now.turned)
            now_rows = with_cells(rows, now.turned)
            now_columns = with_cells(columns, now.slope)
            accuracy = min(LOOSEST, residual)
            solve_injected(
                now.slope, now_rows, now_columns, now.into_rows, now.into_columns, accuracy, most_inner, d_r, d_c
            )  # fmt: skip
            moved = max(largest(d_r), largest(d_c))
            residual = _step(
                law, g_filament, gains, rows, columns, v[k], v_sense[k], now, after, d_r, d_c, moved <= SMALL * scale
            )  # fmt: skip
            history[k, steps[k]] = residual
            if math.isfinite(residual):
                now, after = after, now
                solved[k] = residual <= tolerance or moved <= SETTLED * scale
        for i in range(m):
            for j in range(n):
                v_rows[k, i, j] = now.r[j if len(now.r) > 1 else 0, i]
                v_columns[k, i, j] = now.c[i if len(now.c) > 1 else 0, j]
                current[k, i, j] = now.current[i, j]
                slope[k, j] += now.slope[i, j]
