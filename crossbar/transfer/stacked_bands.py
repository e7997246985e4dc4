"""Transfer matrices of row bands with their own gates on common columns, for any combination of gate voltages.

Each band is reduced at every gate node to the couplings between its rows and the cuts through its columns above and
below it.  For a set of gains, these couplings are interpolated, and the bands are merged from the far end of the
columns to the sense end (docs/equations/stacked.md).

b = batch of gate sets, k = bands, m = rows (all bands together), n = columns, q = gate nodes, p = inputs
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from crossbar.arrays.wires import Wires
from crossbar.transfer.family import wire_loss
from crossbar.transfer.gate_nodes import GainNodes, Nodes
from crossbar.transfer.islands import without_islands
from crossbar.transfer.reduction import terminal_couplings, transfer_matrix
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ConvergenceError, ParameterError
from devices.numerics.blas import factorise, one_blas_thread, solve_lower
from devices.numerics.jit import kernel
from devices.numerics.worker_threads import over_threads

CHUNK = 8  # gate sets whose couplings are interpolated by one matrix product, ours


@dataclass(frozen=True, eq=False)
class StackedFamily:
    """Transfer matrices of k row bands on common columns as functions of the gains of the bands."""

    nodes: Nodes
    #: for each band (q, …) [S]: couplings top-top, top-bottom, bottom-bottom (n, n each), top-rows, bottom-rows
    #: (n, m_k each) and the sum of each row's couplings to the other rows of its band (m_k)
    bands: tuple[FloatArray, ...]
    rows: tuple[int, ...]  #: numbers of rows m_k of the bands
    columns: int  #: number of columns n
    wires: Wires

    def at(self, gains: FloatArray) -> FloatArray:
        """Return the transfer matrices (b, m, n) [S] of gate sets with gains (b, k): ``currents = v @ w[b]``.

        Raises ParameterError for a wrong shape or a gain outside the nodes, ConvergenceError if a factorisation fails.
        Source: docs/equations/stacked.md eq. 3-6.
        """
        return self.reduce(gains)[0]

    def reduce(self, gains: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return transfer matrices as `at` does, and the current of each row at 1 V into rows at 0 V: (b, m) [S].

        Raises what `at` raises.
        """
        return self._joined(gains, None)

    def currents(self, gains: FloatArray, v: FloatArray) -> FloatArray:
        """Return the column currents (b, p, n) [A] of inputs v (b, p, m) [V] at gains (b, k).

        With fewer inputs than rows, the currents are computed directly, without transfer matrices.
        Raises what `at` raises.
        """
        v = checks.voltages("v", v, shape=(None, None, sum(self.rows)))
        gains = checks.array("gains", gains, ndim=2)
        if len(v) != len(gains):
            raise ParameterError(f"v and gains must have the same number of gate sets, got {len(v)} and {len(gains)}")
        if v.shape[1] < v.shape[2]:
            return self._joined(gains, v)[0]
        out: FloatArray = np.matmul(v, self.at(gains))
        return out

    @property
    def error(self) -> float:
        """Estimate of the interpolation error of the couplings to the rows, relative to the largest of each band.

        Source: docs/equations/reduction.md eq. 13.
        """
        worst = 0.0
        for band, m in zip(self.bands, self.rows, strict=True):
            part = band[:, 3 * self.columns**2 : 3 * self.columns**2 + 2 * m * self.columns]
            worst = max(worst, float(np.abs(self.nodes.tail @ part).max() / np.abs(part).max()))
        return worst

    def _joined(self, gains: FloatArray, v: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Merge the bands for every gate set.

        Returns the transfer matrices (b, m, n) [S], or the currents (b, p, n) [A] of inputs v, and the sums of the
        couplings of each row to all others (b, m) [S].
        """
        gains = checks.array("gains", gains, shape=(None, len(self.rows)))
        mixes = self.nodes.mix(gains)
        b, m, n = len(gains), sum(self.rows), self.columns
        inputs = np.empty((b, 0, m)) if v is None else v
        out, taken = np.empty((b, m if v is None else v.shape[1], n)), np.zeros((b, m))
        starts = np.cumsum([0, *(band.shape[1] for band in self.bands)])
        rows = np.cumsum([0, *self.rows])
        single = self.wires.columns_joined  # each column is one node, common to all bands
        with np.errstate(divide="ignore"):
            ends = 1.0 / self.wires.sense(n) + 1.0 / self.wires.sense_far(n)
        far = not single and bool(np.isfinite(self.wires.sense_far(n)).any())

        def some(first: int) -> int:
            chunk = slice(first, min(first + CHUNK, b))
            flat = np.empty((chunk.stop - first, starts[-1]))
            for k, (start, stop) in enumerate(pairwise(starts.tolist())):
                np.matmul(mixes[chunk, k], self.bands[k], out=flat[:, start:stop])
            np.maximum(flat, 0.0, out=flat)  # interpolation errors must not make a coupling negative
            return int(
                _join_sets(flat, starts, rows, n, far, single, ends, inputs[chunk], v is None, out[chunk], taken[chunk])
            )

        with one_blas_thread():
            failed = sum(over_threads(some, range(0, b, CHUNK)))
        if failed:
            raise ConvergenceError(f"{failed} joins of {b} sets of {len(self.rows)} bands with {n} columns failed")
        return out, taken


@checks.typed
def stacked_family(conductances: Sequence[Callable[[float], FloatArray]], nodes: Nodes, wires: Wires) -> StackedFamily:
    """Reduce every row band at every gate node.

    conductances: for each band, from the far to the sense end of the columns, a function gain -> cell conductances
    (m_k, n) [S].  wires: the wires of the whole array; ends with one value per row cover the rows of all bands.
    Raises ParameterError for no band, shapes that do not fit or a bad conductance, ConvergenceError if a factorisation
    fails.
    Source: docs/equations/stacked.md eq. 1-3.
    """
    if not isinstance(conductances, (list, tuple)) or not all(callable(band) for band in conductances):
        raise ParameterError(f"conductances must be a list of functions of the gain, got {conductances!r}")
    if not conductances:
        raise ParameterError("conductances must hold at least one band, got none")
    if isinstance(nodes, GainNodes) and nodes.power is None:
        opened = [checks.conductances("conductances", band(nodes.high)) for band in conductances]
        if len({g.shape[1] for g in opened}) == 1:  # else refused below
            whole = np.concatenate(opened)
            nodes = nodes.suited(wire_loss(whole, transfer_matrix(whole, wires)))
    cells: list[list[FloatArray]] = []
    for k, band in enumerate(conductances):
        seen = [checks.array("conductances", band(float(gain)), ndim=2, minimum=0.0) for gain in nodes.gains]
        if not seen[0].size or any(one.shape[1] != seen[0].shape[1] for one in (*seen, *(each[0] for each in cells))):
            raise ParameterError(
                f"conductances of band {k} must have cells and the same columns as all bands, got shape {seen[0].shape}"
            )
        cells.append(seen)
    rows, n = [len(seen[0]) for seen in cells], cells[0][0].shape[1]
    m = sum(rows)
    largest = np.concatenate([np.max(seen, axis=0) for seen in cells])
    connected, held = without_islands(largest, wires)
    lost = (largest > 0.0) & (connected == 0.0)
    driver, driver_far = wires.driver(m), wires.driver_far(m)
    along, across = held.row_segments(m, n), held.column_segments(m, n)
    stored = []
    for k, (seen, first) in enumerate(zip(cells, np.cumsum([0, *rows]).tolist(), strict=False)):
        mine = slice(first, first + rows[k])
        if wires.columns_joined:
            bottom, top = np.zeros(n), np.full(n, np.inf)
        else:
            bottom = wires.sense(n) if k == len(rows) - 1 else across[mine.stop - 1] / 2
            top = wires.sense_far(n) if k == 0 else across[first - 1] / 2
        r_row = held.r_row if isinstance(held.r_row, float) else along[mine]
        r_column = held.r_column if isinstance(held.r_column, float) else across[first : mine.stop - 1]
        own = Wires(r_row, r_column, driver[mine], bottom, driver_far[mine], top)
        with one_blas_thread():
            each = [terminal_couplings(np.where(lost[mine], 0.0, g), own) for g in seen]
        stored.append(np.stack([_laid_out(couplings, rows[k], n) for couplings in each]))
    return StackedFamily(nodes, tuple(stored), tuple(rows), n, wires)


def _laid_out(ports: FloatArray, m: int, n: int) -> FloatArray:
    """The couplings of one band in the order of StackedFamily.bands."""
    rows, tops, bottoms = slice(0, m), slice(m, m + n), slice(m + n, m + 2 * n)
    parts = (ports[tops, tops], ports[tops, bottoms], ports[bottoms, bottoms], ports[tops, rows], ports[bottoms, rows],
             ports[rows, rows].sum(1))  # fmt: skip
    return np.concatenate([part.reshape(-1) for part in parts])


@kernel
def _join_sets(
    flat: FloatArray, starts: IntArray, rows: IntArray, n: int, far: bool, single: bool, ends: FloatArray,
    inputs: FloatArray, each_row: bool, out: FloatArray, taken: FloatArray,
) -> int:  # fmt: skip
    """Merge the bands of several gate sets; returns how many factorisations failed."""
    failed = 0
    for s in range(len(flat)):
        if single:
            failed += _join_nodes(flat[s], starts, rows, n, ends, inputs[s], each_row, out[s], taken[s])
        else:
            failed += _join_cuts(flat[s], starts, rows, n, far, inputs[s], each_row, out[s], taken[s])
    return failed


@kernel
def _load(
    couplings: FloatArray, first: int, inputs: FloatArray, each_row: bool, begin: int, onward: FloatArray
) -> None:  # fmt: skip
    """Add couplings (n, m_k) between nodes and rows to `onward`.

    Column 0 gets the sum over all rows.  The columns from `begin` get each row's coupling, or the current of each
    input.
    """
    n, m = couplings.shape
    for u in range(n):
        onward[u, 0] += couplings[u].sum()
    if each_row:
        onward[:, begin + first : begin + first + m] += couplings
    else:
        onward[:, begin:] += np.dot(couplings, np.ascontiguousarray(inputs[:, first : first + m]).T)


@kernel
def _join_cuts(
    flat: FloatArray, starts: IntArray, rows: IntArray, n: int, far: bool, inputs: FloatArray, each_row: bool,
    out: FloatArray, taken: FloatArray,
) -> int:  # fmt: skip
    """Eliminate the cuts between bands, starting at the far end; docs/equations/stacked.md eq. 4-6.

    `onward` contains the couplings of a cut to everything above it: in column 0 the sum over all rows, then the far
    terminals, then the single rows or inputs.
    """
    square, begin = n * n, 1 + (n if far else 0)
    width = begin + (rows[-1] if each_row else len(inputs))
    onward, cut, beyond = np.zeros((n, width)), np.zeros((n, n)), np.zeros((n, width))
    matrix = np.empty((n, n))
    failed = 0
    for k in range(len(rows) - 1):
        m, band = rows[k + 1] - rows[k], flat[starts[k] : starts[k + 1]]
        top, through = band[:square].reshape(n, n), band[square : 2 * square].reshape(n, n)
        bottom, at = band[2 * square : 3 * square].reshape(n, n), 3 * square
        top_rows, bottom_rows = band[at : at + n * m].reshape(n, m), band[at + n * m : at + 2 * n * m].reshape(n, m)
        taken[rows[k] : rows[k + 1]] += band[at + 2 * n * m :]
        if k == 0:
            cut[:] = bottom
            if far:
                onward[:, 1:begin] = through.T
                _load(top_rows, rows[k], inputs, each_row, begin, beyond)
            _load(bottom_rows, rows[k], inputs, each_row, begin, onward)
            continue
        _load(top_rows, rows[k], inputs, each_row, begin, onward)
        active = begin + rows[k + 1] if each_row else width
        for u in range(n):
            total = onward[u, :begin].sum() + through[u].sum()
            for v in range(n):
                if v != u:
                    total += cut[u, v] + top[u, v]
                    matrix[u, v] = -(cut[u, v] + top[u, v])
            matrix[u, u] = total if total > 0.0 else 1.0
        x = np.empty((n, n + active))
        x[:, :n], x[:, n:] = through, onward[:, :active]
        failed += factorise(matrix.reshape(-1), n) != 0
        solve_lower(matrix.reshape(-1), x.reshape(-1), n, n + active)
        down, rest = x[:, :n].copy(), x[:, n:].copy()
        onward[:, :active] = np.dot(down.T, rest)
        if k < len(rows) - 2:
            cut[:] = np.dot(down.T, down)
            cut += bottom
        if far:
            beyond[:, :active] += np.dot(np.ascontiguousarray(rest[:, 1:begin]).T, rest)
        if each_row:
            _meet(rest[:, begin:], taken)
        _load(bottom_rows, rows[k], inputs, each_row, begin, onward)
    out[:] = (onward[:, begin:] + beyond[:, begin:]).T
    return failed


@kernel
def _join_nodes(
    flat: FloatArray, starts: IntArray, rows: IntArray, n: int, ends: FloatArray, inputs: FloatArray, each_row: bool,
    out: FloatArray, taken: FloatArray,
) -> int:  # fmt: skip
    """Merge bands whose columns are one node each; ends: (n,) conductances to 0 V [S], inf if the node is at 0 V."""
    square = n * n
    width = 1 + (rows[-1] if each_row else len(inputs))
    onward, cut = np.zeros((n, width)), np.zeros((n, n))
    for k in range(len(rows) - 1):
        m, band = rows[k + 1] - rows[k], flat[starts[k] : starts[k + 1]]
        cut += band[2 * square : 3 * square].reshape(n, n)
        at = 3 * square + n * m
        _load(band[at : at + n * m].reshape(n, m), rows[k], inputs, each_row, 1, onward)
        taken[rows[k] : rows[k + 1]] += band[at + n * m :]
    soft = np.flatnonzero(np.isfinite(ends))
    size = len(soft)
    matrix, x = np.zeros((size, size)), np.zeros((size, n + width))
    for a in range(size):
        u = soft[a]
        total = onward[u, 0] + ends[u]
        for v in range(n):
            if v != u:
                total += cut[u, v]
                x[a, v] = cut[u, v]
        for c in range(size):
            matrix[a, c] = -cut[u, soft[c]]
            x[a, soft[c]] = 0.0
        x[a, u] = ends[u]
        matrix[a, a] = total if total > 0.0 else 1.0
        x[a, n:] = onward[u]
    failed = 0
    if size:
        failed = int(factorise(matrix.reshape(-1), size) != 0)
        solve_lower(matrix.reshape(-1), x.reshape(-1), size, n + width)
    down, rest = x[:, :n].copy(), x[:, n:].copy()
    for a in range(size):
        onward[soft[a]] = 0.0
    onward += np.dot(down.T, rest)
    if each_row:
        _meet(rest[:, 1:], taken)
    out[:] = onward[:, 1:].T
    return failed


@kernel
def _meet(kept: FloatArray, taken: FloatArray) -> None:
    """Add to `taken` the coupling of each row to all others through the nodes just eliminated.

    kept: (nodes, rows so far), their couplings to the rows after `solve_lower`.
    """
    count = kept.shape[1]
    before = np.empty(count)
    for u in range(len(kept)):  # sums over rows before and after: subtracting a row's own large term loses digits
        total = 0.0
        for i in range(count):
            before[i] = total
            total += kept[u, i]
        total = 0.0
        for i in range(count - 1, -1, -1):
            taken[i] += kept[u, i] * (before[i] + total)
            total += kept[u, i]
