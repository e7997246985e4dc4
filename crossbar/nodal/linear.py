"""Node voltages, currents and power of linear arrays, input by input.

m = rows, n = columns, b = batch
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossbar.arrays.solution import Solution
from crossbar.arrays.wires import Wires
from crossbar.nodal.lines import Lines, factorise_lines, solve_inputs
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ConvergenceError
from devices.numerics.worker_threads import in_shares

TOLERANCE = 1e-14  # last correction of a node voltage over the largest input, ours: a few units in the last place
MOST_STEPS = 2000  # ours; two floating lines far apart need several hundred steps
PARTS = 4  # slices of a batch per thread, to balance the threads (ours)


def factorised(cells: FloatArray, segments: FloatArray | float, near: FloatArray, far: FloatArray) -> Lines:
    """Factorise the lines of one direction.

    cells: (nodes along a line, lines) [S].  segments: (nodes along a line - 1, lines) or one value [ohm]; if all are 0,
    each line is one node.  near, far: (lines,) ends [ohm].
    """
    one_node = len(cells) == 1 or not np.any(segments)
    fixed = [np.ascontiguousarray(end == 0.0, dtype=np.float64) for end in (near, far)]
    with np.errstate(divide="ignore"):
        ends = [np.where(end == 0.0, 0.0, 1.0 / end) for end in (near, far)]
    inverse = np.empty((1 if one_node else len(cells), cells.shape[1]))
    ratio = np.empty_like(inverse)
    segment = np.empty((len(inverse) - 1, cells.shape[1]))
    if not one_node:
        segment[:] = 1.0 / np.asarray(segments)
    factorise_lines(cells, segment, ends[0], ends[1], fixed[0], fixed[1], inverse, ratio)
    return Lines(cells, inverse, ratio, ends[0], ends[1], segment, fixed[0], fixed[1])


def factorised_lines(g: FloatArray, wires: Wires) -> tuple[Lines, Lines]:
    """Factorise the rows and the columns of an array of cells g (m, n) [S]."""
    m, n = g.shape
    along = wires.r_row if isinstance(wires.r_row, float) else wires.row_segments(m, n).T
    across = wires.r_column if isinstance(wires.r_column, float) else wires.column_segments(m, n)
    rows = factorised(np.ascontiguousarray(g.T), along, wires.driver(m), wires.driver_far(m))
    return rows, factorised(g, across, wires.sense_far(n), wires.sense(n))


def solve(g: FloatArray, v: FloatArray, wires: Wires, *, v_sense: npt.ArrayLike = 0.0) -> Solution:
    """Solve a linear array for a batch of inputs, with all node voltages.

    g: (m, n) [S], at least 0.  v: (b, m) [V].  v_sense: voltages at which the columns end [V], one value or two axes
    that broadcast to (b, n).
    Raises ParameterError for a wrong shape or value, ConvergenceError if an input does not converge.
    Source: docs/equations/lines.md.
    """
    g = checks.conductances("g", g)
    m, n = g.shape
    v = checks.voltages("v", v, shape=(None, m))
    senses = checks.spread("v_sense", v_sense, (len(v), n), "(b, n)")
    rows, columns = factorised_lines(g, wires)
    v_rows, v_columns = np.empty((len(v), m, n)), np.empty((len(v), m, n))
    steps = np.zeros(len(v), dtype=np.int64)

    def part(some: slice) -> None:
        solve_inputs(
            g, rows, columns, v[some], senses[some], TOLERANCE, MOST_STEPS, v_rows[some], v_columns[some], steps[some]
        )

    in_shares(part, len(v), parts=PARTS)
    check_solved(steps)
    return solution(g * (v_rows - v_columns), g.sum(0), Terminals(v, senses, wires), v_rows, v_columns)


def check_solved(steps: IntArray) -> None:
    """Raise ConvergenceError if an element of steps (b,) is -1."""
    if np.any(steps < 0):
        raise ConvergenceError(
            f"{np.count_nonzero(steps < 0)} of {len(steps)} inputs did not converge, first "
            f"{int(np.argmax(steps < 0))}: the node voltages still changed by more than {100 * TOLERANCE:g} of the "
            f"input after {MOST_STEPS} steps"
        )


class Terminals(NamedTuple):
    """Voltages and wires at the ends of the lines of an array."""

    v: FloatArray  #: (b, m) sources of the rows [V]; (b, n) of source lines beside the columns
    v_sense: FloatArray  #: (b, n) voltages at which the columns end [V]
    wires: Wires
    beside_columns: bool = False  #: whether the driven lines run along the columns instead of the rows

    def driven(self, values: FloatArray) -> FloatArray:
        """View values (b, m, n) as (b, nodes along a driven line, lines)."""
        return values if self.beside_columns else values.transpose(0, 2, 1)

    def sides(self, v_rows: FloatArray, v_columns: FloatArray) -> "tuple[_Side, _Side]":
        """The driven lines and the columns, with the voltages of their nodes (b, m, n) [V]."""
        wires, lines, (m, n) = self.wires, self.v.shape[1], v_columns.shape[1:]
        near, far = wires.driver(lines, self.lines), wires.driver_far(lines, self.lines)
        nodes = self.driven(v_rows)
        equal = isinstance(wires.r_row, float) and nodes.shape[1] > 1
        along = np.full((1, 1), wires.r_row) if equal else wires.row_segments(lines, nodes.shape[1], self.lines).T
        equal = isinstance(wires.r_column, float) and m > 1
        across = np.full((1, 1), wires.r_column) if equal else wires.column_segments(m, n)
        return (
            _Side(nodes, self.v, along, near, far),
            _Side(v_columns, self.v_sense, across, wires.sense_far(n), wires.sense(n)),
        )

    @property
    def lines(self) -> str:
        """Name of the driven lines."""
        return "source lines" if self.beside_columns else "rows"


class _Side(NamedTuple):
    """The k lines of one direction, with q nodes each."""

    nodes: FloatArray  #: (b, q, k) voltages of the nodes [V]
    terminal: FloatArray  #: (b, k) voltages of the terminals, to which both ends lead [V]
    segments: FloatArray  #: (q - 1, k) resistances of the segments [ohm], or (1, 1) if all are equal
    near: FloatArray  #: (k,) resistance of the end at node 0 [ohm]
    far: FloatArray  #: (k,) resistance of the end at the last node [ohm]


def solution(
    cells: FloatArray, slopes: FloatArray, terminals: Terminals, v_rows: FloatArray, v_columns: FloatArray,
    steps: int = 0, history: FloatArray | None = None,
) -> Solution:  # fmt: skip
    """Return the Solution for solved node voltages and cell currents `cells` (b, m, n) [A].

    slopes: (n,) or (b, n), sums of the slopes of the cells of each column [S].
    """
    power, worst = losses(cells, terminals, v_rows, v_columns)
    return Solution(
        _currents(cells, slopes, terminals, v_columns), v_rows, v_columns, power, worst, steps, history
    )  # fmt: skip


def _currents(cells: FloatArray, slopes: FloatArray, terminals: Terminals, v_columns: FloatArray) -> FloatArray:
    """Currents (b, n) [A] of the columns, summed over their ends or over their cells, whichever conduct less.

    Most of the voltage drops where the conductance is smaller, so rounding matters less there.  A floating column
    delivers exactly 0 A.
    Source: docs/equations/lines.md eq. 9.
    """
    m, n = cells.shape[1:]
    wires = terminals.wires
    drops = v_columns - terminals.v_sense[:, None]
    chains = m > 1 and not wires.columns_joined
    if not chains:
        segments = np.full((2, n), np.inf)
    elif isinstance(wires.r_column, float):
        segments = np.full((2, n), 1.0 / wires.r_column)
    else:
        segments = 1.0 / wires.column_segments(m, n)[[0, -1]]
    conducts, arrives = np.zeros(n), np.zeros((len(cells), n))
    for end, at, beside, segment in ((wires.sense(n), -1, -2, segments[-1]), (wires.sense_far(n), 0, 1, segments[0])):
        held = end == 0.0  # an end of 0 ohm: the last segment and the last cell lead to the terminal
        conducts += np.where(held, segment, 1.0 / np.where(held, 1.0, end))
        arrives += np.where(held, 0.0, drops[:, at] / np.where(held, 1.0, end))
        if chains:
            arrives += np.where(held, segment * (drops[:, beside] - drops[:, at]) + cells[:, at], 0.0)
    currents: FloatArray = np.where(conducts < slopes, arrives, cells.sum(1))
    return currents


def residual(
    g: FloatArray, v: FloatArray, wires: Wires, v_rows: FloatArray, v_columns: FloatArray,
    v_sense: FloatArray | None = None,
) -> float:  # fmt: skip
    """Return the largest violation of Kirchhoff's current law at a node, relative to the input's largest current.

    v_sense: (b, n) [V], None for 0 V.  A line of 0 Ω counts as one node.  Nodes that 0 Ω connects to a terminal are
    left out.
    Source: docs/equations/nodal.md.
    """
    senses = np.zeros((len(v), g.shape[1])) if v_sense is None else v_sense
    return violation(g * (v_rows - v_columns), Terminals(v, senses, wires), v_rows, v_columns)


def violation(cells: FloatArray, terminals: Terminals, v_rows: FloatArray, v_columns: FloatArray) -> float:
    """Return the residual for cell currents `cells` (b, m, n) [A]; docs/equations/nodal.md eq. 12."""
    return losses(cells, terminals, v_rows, v_columns)[1]


def losses(
    cells: FloatArray, terminals: Terminals, v_rows: FloatArray, v_columns: FloatArray
) -> tuple[FloatArray, float]:
    """Return the power (b,) [W] dissipated in cells, wires and ends, and the residual, for cells (b, m, n) [A].

    The node voltages of a linear circuit minimise this power, so their errors enter only to second order.
    Source: docs/equations/lines.md eq. 10; docs/equations/nodal.md eq. 12.
    """
    power: FloatArray = np.einsum("bmn,bmn->b", cells, v_rows - v_columns)
    most = _largest(cells)
    worst = np.zeros(len(cells))
    for side, arriving in zip(terminals.sides(v_rows, v_columns), (-terminals.driven(cells), cells), strict=True):
        left = arriving.copy()
        held = np.zeros(left.shape[1:], dtype=bool)
        joined = not side.segments.any()
        if not joined:
            drops = np.diff(side.nodes, axis=1)
            along = drops / side.segments
            power += np.einsum("bqk,bqk->b", drops, along)
            left[:, :-1] += along
            left[:, 1:] -= along
            most = np.maximum(most, _largest(along))
        else:
            left[:, 0] = left.sum(1)
            left[:, 1:] = 0.0
        for end, at in ((side.near, 0), (side.far, -1)):
            some = end > 0.0
            conductance = np.where(some, 1.0 / np.where(some, end, 1.0), 0.0)
            drop = side.terminal - side.nodes[:, at]
            arriving_here = conductance * drop
            power += (arriving_here * drop).sum(1)
            left[:, 0 if joined else at] += arriving_here
            held[0 if joined else at] |= ~some
        left[:, held] = 0.0
        worst = np.maximum(worst, _largest(left))
    return power, float(np.max(worst / np.where(most > 0.0, most, 1.0), initial=0.0))


def _largest(values: FloatArray) -> FloatArray:
    """Largest absolute value (b,) of each element of a batch (b, …, …)."""
    largest: FloatArray = np.maximum(values.max((1, 2), initial=0.0), -values.min((1, 2), initial=0.0))
    return largest
