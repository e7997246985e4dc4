"""Gradients of a linear function of the transfer matrix: by all cells of an array, and by the resistances of its wires.

The gradient by cells is the reverse pass of the multiport reduction.  It runs from the root to the leaves: the
eliminated nodes of each merge turn the derivatives by a block's couplings into those by the couplings of its two halves
(docs/equations/adjoint.md).

t = arrays of equal shape, m = rows, n = columns
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crossbar.arrays.wires import Wires
from crossbar.gradients.gradient_kernels import (
    join_kept,
    keep_leaves,
    lay_slopes,
    leaf_places,
    undo_arrays,
    undo_joins,
    undo_leaves,
)
from crossbar.nodal.linear import solve
from crossbar.nodal.sensitivities import line_currents, turned
from crossbar.transfer.borders import border
from crossbar.transfer.merge_plan import LEAF, Plan, plan
from crossbar.transfer.merge_table import PORTS, SHARED, stride
from crossbar.transfer.reduction import TASKS, check_merges
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from devices.numerics.blas import one_blas_thread
from devices.numerics.simd import LANES
from devices.numerics.worker_threads import over_threads, threads

FOUR_LEAVES = 4  # leaves on a side of the smallest arrays that are reversed with leaves twice as wide, ours


@dataclass(frozen=True, eq=False)
class WireGradient:
    """Derivatives of a linear function of the transfer matrix by resistances [function/ohm]; 0 where an end is open."""

    r_row: FloatArray  #: (…,) by the common resistance of all row segments
    r_column: FloatArray  #: (…,) by the common resistance of all column segments
    r_driver: FloatArray  #: (…, m) by the near end of each row
    r_sense: FloatArray  #: (…, n) by the near end of each column
    r_driver_far: FloatArray  #: (…, m) by the far end of each row
    r_sense_far: FloatArray  #: (…, n) by the far end of each column


@checks.typed
def transfer_gradient(g: FloatArray, wires: Wires, d_transfer: FloatArray) -> FloatArray:
    """Return the exact gradient of ``(d_transfer * transfer_matrix(g, wires)).sum()`` by every cell conductance.

    g: (m, n) or (t, m, n) [S], at least 0, arrays with equal wires.  d_transfer: upstream gradient, of the shape of g.
    Returns the vector–Jacobian product of `transfer_matrix` with d_transfer, of the same shape.
    Raises ParameterError for a wrong shape or value, ConvergenceError if a factorisation fails.
    Source: docs/equations/adjoint.md eq. 1-4.
    """
    g, d_transfer, single = _checked(g, d_transfer)
    m, n = g.shape[1:]
    _, line_ends = border(wires, m, n)
    if wires.ideal:
        d_g = d_transfer.copy()
    elif line_ends.joined_row or line_ends.joined_column or wires.broken:
        d_g = np.array([_Voltages(each, wires).by_cell(d) for each, d in zip(g, d_transfer, strict=True)])
    elif len(g) == 1:
        d_g = _one(g[0], wires, d_transfer[0])[None]
    else:
        d_g = _many(g, wires, d_transfer)
    return d_g[0] if single else d_g.reshape(g.shape)


@checks.typed
def wire_gradient(g: FloatArray, wires: Wires, d_transfer: FloatArray) -> WireGradient:
    """Return the gradient of ``(d_transfer * transfer_matrix(g, wires)).sum()`` by every resistance of the wires.

    g, d_transfer: as in `transfer_gradient`.  If a line without resistance has two ends of 0 ohm, its near end is taken
    to carry the whole current.
    Raises ParameterError for a wrong shape or value, ConvergenceError if an array is not solved.
    Source: docs/equations/adjoint.md eq. 5.
    """
    g, d_transfer, single = _checked(g, d_transfer)
    parts = [_Voltages(each, wires).by_wires(d) for each, d in zip(g, d_transfer, strict=True)]
    m, n = g.shape[1:]
    shapes: tuple[tuple[int, ...], ...] = ((), (), (m,), (n,), (m,), (n,))
    stacked = (np.array([part[k] for part in parts]).reshape(-1, *shape) for k, shape in enumerate(shapes))
    return WireGradient(*(each[0] if single else each for each in stacked))


def _checked(g: FloatArray, d_transfer: FloatArray) -> tuple[FloatArray, FloatArray, bool]:
    """Return conductances and upstream gradients as (t, m, n), and whether a single array was given."""
    g = checks.array("g", g, minimum=0.0)
    single = g.ndim == 2
    g = checks.array("g", g, ndim=2 if single else 3)
    if not g.shape[-2] * g.shape[-1]:
        raise ParameterError(f"g must have at least one row and one column, got shape {g.shape}")
    d_transfer = checks.array("d_transfer", d_transfer, shape=g.shape)
    shape = (-1, *g.shape[-2:])
    return np.ascontiguousarray(g).reshape(shape), np.ascontiguousarray(d_transfer).reshape(shape), single


class _Kept(NamedTuple):
    """Layout of the arrays in which merges store their eliminations."""

    places: IntArray  #: (ops, 2) first float of each merge's x (s, p) and of its factor ((s + 1) s)
    x: int  #: floats of all x
    s: int  #: floats of all factors
    work: int  #: floats of the largest (s, p) and (s, s)
    leaf_places: IntArray  #: (leaf ops, 2) first floats per lane of the two parts that each step of a leaf stores
    group: int  #: floats that a group of leaves stores


def _kept(steps: Plan) -> _Kept:
    size, ports = steps.ops[:, SHARED], steps.ops[:, PORTS]
    sizes = np.stack([size * ports, (size + 1) * size], axis=1)
    ends = np.cumsum(sizes, axis=0).reshape(-1, 2)
    x, s = (int(each) for each in (ends[-1] if len(ends) else (0, 0)))
    leaf_at = np.empty((len(steps.leaf_ops), 2), dtype=np.int64)
    leaf = leaf_places(steps.leaf_ops, steps.nodes, steps.classes, leaf_at)
    return _Kept(ends - sizes, x, s, int((size * (ports + size)).max(initial=0)), leaf_at, leaf * LANES)


def _leaf(m: int, n: int) -> int:
    """Most cells on the side of a leaf: the reverse pass gains more from lanes than the reduction does."""
    return 2 * LEAF if min(m, n) >= FOUR_LEAVES * LEAF else LEAF


def _tables(steps: Plan) -> tuple[IntArray, IntArray, IntArray, IntArray, tuple[int, ...]]:
    """Tables of the leaves for the kernels, without the groups."""
    return steps.leaf_ops, steps.nodes, steps.classes, steps.leaves, steps.leaf


def _many(g: FloatArray, wires: Wires, d_transfer: FloatArray) -> FloatArray:
    """Gradients of several arrays, divided over all threads."""
    t, m, n = g.shape
    at, line_ends = border(wires, m, n)
    steps = plan(m, n, line_ends, 1, _leaf(m, n))
    kept, counts = _kept(steps), np.array(steps.root.counts, dtype=np.int64)
    d_g = np.empty(g.shape)
    workers = max(min(threads(), t), 1)
    room = (steps.buffer, kept.x, kept.s, kept.work, kept.group)

    def undo_some(first: int) -> int:
        return int(undo_arrays(
            np.arange(first, t, workers), g, d_transfer, steps.groups, *_tables(steps), kept.leaf_places, steps.ops,
            kept.places, counts, steps.root.start, at, room, d_g,
        ))  # fmt: skip

    with one_blas_thread():
        failed = sum(over_threads(undo_some, range(workers)))
    check_merges(failed, g, wires)
    return d_g


def _one(g: FloatArray, wires: Wires, d_transfer: FloatArray) -> FloatArray:
    """Gradient of one array, its subtrees divided over all threads."""
    m, n = g.shape
    at, line_ends = border(wires, m, n)
    steps = plan(m, n, line_ends, TASKS, _leaf(m, n))
    kept = _kept(steps)
    buffer, slopes, x, s = (np.empty(size) for size in (steps.buffer, steps.buffer, kept.x, kept.s))
    d_g = np.empty(g.shape)
    tasks = [slice(*each) for each in np.stack([steps.tasks[:-1], steps.tasks[1:]], axis=1).tolist()]
    top = slice(int(steps.tasks[-1]), len(steps.ops))
    parts = np.array_split(np.arange(len(steps.groups)), TASKS)
    shares = [slice(part[0], part[-1] + 1) for part in parts if len(part)]
    of_leaves = np.empty((len(steps.groups), kept.group))

    def fill(some: slice) -> None:
        keep_leaves(steps.groups[some], g, *_tables(steps), kept.leaf_places, at, buffer, of_leaves[some])

    def keep(some: slice) -> int:
        last = some.stop == len(steps.ops)
        return int(join_kept(steps.ops[some], kept.places[some], last, buffer, x, s))

    def undo(some: slice) -> None:
        of_rows = m + steps.root.counts[1] if some.stop == len(steps.ops) else 0
        undo_joins(steps.ops[some], kept.places[some], of_rows, slopes, x, s, np.empty(kept.work))

    def undo_cells(some: slice) -> None:
        undo_leaves(steps.groups[some], *_tables(steps), kept.leaf_places, of_leaves[some], slopes, d_g)

    with one_blas_thread():
        list(over_threads(fill, shares))
        failed = sum(over_threads(keep, tasks)) + keep(top)
        check_merges(failed, g, wires)
        root = steps.root
        step = stride(root.ports)
        block = slopes[root.start : root.start + root.ports * step].reshape(root.ports, step)
        lay_slopes(d_transfer, np.array(root.counts, dtype=np.int64), block)
        undo(top)
        list(over_threads(undo, tasks))
        list(over_threads(undo_cells, shares))
    return d_g


class _Voltages:
    """All node voltages for 1 V at each source alone, and for 1 V at each column's terminal alone: O((m + n) m n).

    This is slower than the reverse pass of the reduction, but it works for any wires and gives the currents in them.
    """

    def __init__(self, g: FloatArray, wires: Wires) -> None:
        m, n = g.shape
        own, adjoint = solve(g, np.eye(m), wires), solve(np.ascontiguousarray(g.T), np.eye(n), turned(wires, m, n))
        self.g, self.wires = g, wires
        self.rows, self.columns = own.v_rows, own.v_columns
        self.adjoint_rows = adjoint.v_columns.transpose(0, 2, 1)
        self.adjoint_columns = adjoint.v_rows.transpose(0, 2, 1)

    def by_cell(self, d_transfer: FloatArray) -> FloatArray:
        """Gradient (m, n) by conductances; docs/equations/adjoint.md eq. 1."""
        return _through(d_transfer, self.rows - self.columns, self.adjoint_columns - self.adjoint_rows)

    def by_wires(self, d_transfer: FloatArray) -> tuple[FloatArray, ...]:
        """Derivatives by the fields of Wires, in the order of WireGradient; docs/equations/adjoint.md eq. 5."""
        m, n = self.g.shape
        cells = self.g * (self.rows - self.columns), self.g * (self.adjoint_rows - self.adjoint_columns)
        own = line_currents(self.wires, self.rows, self.columns, cells[0], np.eye(m), np.zeros(1))
        adjoint = line_currents(self.wires, self.adjoint_rows, self.adjoint_columns, cells[1], np.zeros(1), np.eye(n))
        pairs = list(zip(own, adjoint, strict=True))  # rows, columns
        segments = (_through(d_transfer, one.segments, other.segments).sum() for one, other in pairs)
        near = (_through(d_transfer, one.near, other.near) for one, other in pairs)
        far = (_through(d_transfer, one.far, other.far) for one, other in pairs)
        return *segments, *near, *far


def _through(d_transfer: FloatArray, own: FloatArray, adjoint: FloatArray) -> FloatArray:
    """Sum d_transfer (m, n) times own (m, …) times adjoint (n, …) over rows and columns."""
    shape = own.shape[1:]
    reached = d_transfer @ adjoint.reshape(len(adjoint), -1)
    total: FloatArray = np.einsum("ix,ix->x", own.reshape(len(own), -1), reached).reshape(shape)
    return total
