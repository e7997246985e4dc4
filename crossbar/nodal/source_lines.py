"""Arrays with select transistors (1T1R): inputs switch the transistors, and the current comes from source lines.

The input of a row closes the transistors of its cells; the wire of the row itself carries no current.  Each input
pattern gives a different network, so there is no transfer matrix for all inputs.
b = batch, m = rows, n = columns
"""

from math import inf
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossbar.arrays.solution import Solution
from crossbar.arrays.wires import Wires
from crossbar.nodal import linear
from crossbar.nodal.column_ladders import solve_ladders
from crossbar.nodal.lines import Lines, solve_sources, with_cells
from devices import checks
from devices.aliases import BoolArray, FloatArray, IntArray
from devices.numerics.jit import kernel
from devices.numerics.worker_threads import in_shares


def switched(g: FloatArray, on: npt.ArrayLike, *, r_on: float = 0.0, r_off: float = inf) -> FloatArray:
    """Return the conductances (b, m, n) [S] of cells in series with their select transistors.

    g: (m, n) conductances of the cells alone [S].  on: (b, m) 1 or True where the transistors of a row conduct.
    r_on, r_off: resistances of a conducting and of a blocking transistor [ohm].
    Raises ParameterError for a wrong shape or value.  Source: docs/equations/topologies.md eq. 4.
    """
    cells = _check(g, on, r_on, r_off)
    return np.where(cells.on[:, :, None], cells.g_on, cells.g_off)


@checks.typed
def solve_source_lines(
    g: FloatArray, on: npt.ArrayLike, v_source: npt.ArrayLike, wires: Wires, *,
    beside_columns: bool = False, r_on: float = 0.0, r_off: float = inf, v_sense: npt.ArrayLike = 0.0,
) -> Solution:  # fmt: skip
    """Solve an array with select transistors and source lines for a batch of switch patterns.

    g, on, r_on, r_off: as in `switched`.  v_source: [V] one value or two axes that broadcast to (b, source lines).
    beside_columns: if False, source line i runs along row i, and `wires` has the same meaning as in `solve`.  If True,
    source line j runs beside column j, from r_driver at row 0 to r_driver_far at the last row, with segments r_row
    between neighbouring rows, one value or (n, m-1), and one r_driver per column.  v_sense: as in `solve`.
    Solution.v_rows are the voltages of the source lines at the cells; the transistors belong to the cells.
    Raises ParameterError for a wrong shape or value, ConvergenceError if an input does not converge.
    Source: docs/equations/topologies.md, sections 2 and 3.
    """
    cells = _check(g, on, r_on, r_off)
    b, (m, n) = len(cells.on), cells.g_on.shape
    sources = checks.spread("v_source", v_source, (b, n if beside_columns else m), "(b, source lines)")
    senses = checks.spread("v_sense", v_sense, (b, n), "(b, n)")
    terminals = linear.Terminals(sources, senses, wires, beside_columns)
    v_lines, v_columns = np.empty((b, m, n)), np.empty((b, m, n))
    if beside_columns:
        ends = np.stack(
            [wires.driver(n, "source lines"), wires.driver_far(n, "source lines"), wires.sense_far(n), wires.sense(n)],
            axis=1,
        )
        segments = wires.row_segments(n, m, "source lines"), np.ascontiguousarray(wires.column_segments(m, n).T)
        currents, power = np.empty((b, n)), np.empty(b)

        def ladders(part: slice) -> None:
            solve_ladders(
                cells.g_on, cells.g_off, cells.on[part], sources[part], senses[part], *segments, ends,
                v_lines[part], v_columns[part], currents[part], power[part],
            )  # fmt: skip

        in_shares(ladders, b)
        carried = np.where(cells.on[:, :, None], cells.g_on, cells.g_off) * (v_lines - v_columns)
        return Solution(currents, v_lines, v_columns, power, linear.violation(carried, terminals, v_lines, v_columns))
    rows, columns = linear.factorised_lines(cells.g_on, wires)
    steps, taken = np.zeros(b, dtype=np.int64), np.empty((b, n))

    def networks(part: slice) -> None:
        _solve_switched(
            cells.g_on, cells.g_off, cells.on[part], rows, columns, sources[part], senses[part], linear.TOLERANCE,
            linear.MOST_STEPS, v_lines[part], v_columns[part], taken[part], steps[part],
        )  # fmt: skip

    in_shares(networks, b)
    linear.check_solved(steps)
    carried = np.where(cells.on[:, :, None], cells.g_on, cells.g_off) * (v_lines - v_columns)
    return linear.solution(carried, taken, terminals, v_lines, v_columns)


class _Cells(NamedTuple):
    """The cells as the kernels need them."""

    g_on: FloatArray  #: (m, n) conductances with conducting transistors [S]
    g_off: FloatArray  #: (m, n) conductances with blocking transistors [S]
    on: BoolArray  #: (b, m) True where transistors conduct


def _check(g: FloatArray, on: npt.ArrayLike, r_on: float, r_off: float) -> _Cells:
    """Check the arguments of `switched` and return the cells."""
    g = checks.conductances("g", g)
    closed = checks.flags("on", on, (None, len(g)))
    r_on = checks.number("r_on", r_on, unit="Ω", minimum=0.0)
    r_off = checks.number("r_off", r_off, unit="Ω", minimum=r_on, allow_inf=True)
    g_off = np.zeros_like(g) if r_off == inf else g / (1.0 + g * r_off)
    return _Cells(g / (1.0 + g * r_on), g_off, closed)


@kernel
def _solve_switched(
    g_on: FloatArray, g_off: FloatArray, on: BoolArray, rows: Lines, columns: Lines, v: FloatArray,
    v_sense: FloatArray, tolerance: float, most_steps: int,
    v_rows: FloatArray, v_columns: FloatArray, taken: FloatArray, steps: IntArray,
) -> None:  # fmt: skip
    """Solve each input with the conductances of its switch pattern.

    Fills voltages (b, m, n) [V], the sums of the conductances of each column (b, n) [S] and steps (-1: not converged).
    """
    m, n = g_on.shape
    for k in range(len(on)):
        g, turned = np.empty((m, n)), np.empty((n, m))
        taken[k] = 0.0
        for i in range(m):
            for j in range(n):
                g[i, j] = g_on[i, j] if on[k, i] else g_off[i, j]
                turned[j, i] = g[i, j]
                taken[k, j] += g[i, j]
        c, r = np.empty((len(columns.inverse), n)), np.empty((len(rows.inverse), m))
        now_rows, now_columns = with_cells(rows, turned), with_cells(columns, g)
        steps[k] = solve_sources(g, now_rows, now_columns, v[k], v_sense[k], tolerance, most_steps, r, c)
        for i in range(m):
            for j in range(n):
                v_rows[k, i, j] = r[j if len(r) > 1 else 0, i]
                v_columns[k, i, j] = c[i if len(c) > 1 else 0, j]
