"""Gate lines: from one driver voltage per gate group to the gate voltage at every cell.

A gate group is a rectangle of cells with one driver.  Its gate network is a comb: a spine feeds parallel lines, and the
gate of each cell is a node that leaks into the cell's column or row.  A group of one line is a chain.  The network is
linear and a tree, so the chain solver of crossbar/nodal/lines.py solves it exactly (docs/equations/gates.md).
b = batch, m = rows, n = columns
"""

from functools import cached_property
from math import inf

import numpy as np
import numpy.typing as npt

from crossbar.arrays.gate_lines import GateLines, GateVoltages
from crossbar.nodal.linear import factorised
from crossbar.nodal.lines import Lines, clear_held, sweep
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError


class GateNetwork:
    """The factorised gate lines of one array, which `solve` uses for any voltages and injected currents.

    Raises what GateLines.group_shape and GateLines.leaks raise.
    Source: docs/equations/gates.md eq. 2-6.
    """

    @checks.typed
    def __init__(self, lines: GateLines, shape: tuple[int, int]) -> None:
        self.lines, self.shape = lines, shape
        self.leak = lines.leaks(shape)
        rows, columns = lines.group_shape(shape)
        self._grid = shape[0] // rows, shape[1] // columns
        # The spine runs across the lines.  A group of one line is treated as a spine alone.
        single = min(rows, columns) == 1
        self._transposed = rows == 1 if single else lines.along == "columns"
        self._size = (columns, rows) if self._transposed else (rows, columns)
        leak = self._sorted(self.leak)
        count, length = self._size
        groups = leak.shape[2] * leak.shape[3]
        at_spine = leak[0].reshape(count, groups)
        if length > 1:
            segments = np.full(count * groups, lines.r_segment)
            teeth = np.ascontiguousarray(leak[1:].reshape(length - 1, -1))
            self._teeth: Lines | None = factorised(teeth, lines.r_segment, segments, np.full_like(segments, inf))
            self._reach = _chain(self._teeth, np.zeros_like(teeth), np.ones(count * groups))  # eq. 3
            at_spine = at_spine + (teeth * self._reach).sum(0).reshape(count, groups)  # eq. 4
        else:
            self._teeth, self._reach = None, np.zeros((0, count * groups))
        ends = np.full(groups, lines.r_driver), np.full(groups, lines.r_driver_far)
        self._spine = factorised(at_spine, lines.r_segment if single else lines.r_spine, *ends)

    def _sorted(self, field: FloatArray) -> FloatArray:
        """Rearrange a field (m, n) to (cells along a line, lines of a group, groups, groups)."""
        field = field.T if self._transposed else field
        a, b = self._size
        m, n = field.shape
        return np.ascontiguousarray(field.reshape(m // a, a, n // b, b).transpose(3, 1, 0, 2))

    def _back(self, spine: FloatArray, teeth: FloatArray) -> FloatArray:
        """Undo _sorted: spine (lines, groups) and the other cells (cells, lines · groups) as one field (m, n)."""
        a, b = self._size
        grid = self._grid[::-1] if self._transposed else self._grid
        whole = np.concatenate([spine.reshape(1, a, *grid), teeth.reshape(b - 1, a, *grid)])
        out = whole.transpose(2, 1, 3, 0).reshape(grid[0] * a, grid[1] * b)
        return np.ascontiguousarray(out.T if self._transposed else out)

    def _in_order(self, v: FloatArray) -> FloatArray:
        """Group voltages (groups,) in the order of the rearranged fields."""
        return v.reshape(self._grid).T.ravel() if self._transposed else v

    def solve(self, v: FloatArray, injected: FloatArray) -> FloatArray:
        """Return the gate voltages (m, n) [V] for drivers at v (groups,) [V] and currents (m, n) [A] into the gates.

        Leakage conductances end at 0 V; another voltage there is equivalent to a current g_gate_leak · voltage.
        Source: docs/equations/gates.md eq. 5-6.
        """
        parts = self._sorted(injected)
        count, groups = parts.shape[1], parts.shape[2] * parts.shape[3]
        at_spine, inner = parts[0].reshape(count, groups), np.zeros((0, count * groups))
        if self._teeth is not None:
            at_teeth = parts[1:].reshape(len(parts) - 1, -1)
            at_spine = at_spine + (self._reach * at_teeth).sum(0).reshape(count, groups)
            inner = _chain(self._teeth, at_teeth, np.zeros(count * groups))
        spine = _chain(self._spine, at_spine, self._in_order(v))
        return self._back(spine, inner + self._reach * spine.ravel())

    def spread(self, v: FloatArray) -> FloatArray:
        """Return the group voltages v (b, groups) [V] repeated for the cells of each group: (b, m, n)."""
        rows, columns = self.lines.group_shape(self.shape)
        return v.reshape(-1, *self._grid).repeat(rows, 1).repeat(columns, 2)

    @cached_property
    def factor(self) -> FloatArray:
        """Fraction (m, n) of its group's driver voltage that reaches each cell, for leakage to 0 V."""
        return self.solve(np.ones(self.lines.groups(self.shape)), np.zeros(self.shape))


def _chain(lines: Lines, injected: FloatArray, terminal: FloatArray) -> FloatArray:
    """Voltages (count, k) [V] of chains with currents (count, k) [A] into their nodes and terminals at (k,) [V].

    Source: docs/equations/lines.md eq. 3-4.
    """
    q = len(lines.inverse)
    x = injected.copy() if q == len(injected) else injected.sum(0, keepdims=True)
    x[0] += lines.near * terminal
    x[-1] += lines.far * terminal
    if q > 1:
        x[1] += lines.segment[0] * lines.fixed_near * terminal
        x[-2] += lines.segment[-1] * lines.fixed_far * terminal
    clear_held(lines, x)
    sweep(lines, x)
    for at, fixed in ((0, lines.fixed_near), (-1, lines.fixed_far)):
        x[at] = np.where(fixed > 0.0, terminal, x[at])
    return np.broadcast_to(x, injected.shape)


@checks.typed
def gate_voltages(
    lines: GateLines, v_gate: FloatArray, shape: tuple[int, int], *, v_leak: npt.ArrayLike = 0.0
) -> GateVoltages:
    """Return the gate voltage at every cell of an array of (m, n) cells, and currents and power of the gate drivers.

    v_gate: (b, groups) voltages of the gate drivers [V].  v_leak: voltages of the nodes into which the gates leak [V],
    0 V in first approximation: one value, two axes that broadcast to (m, n), or three that broadcast to (b, m, n), such
    as Solution.v_columns.
    Raises ParameterError for a wrong shape or value.
    Source: docs/equations/gates.md eq. 5-8.
    """
    network = GateNetwork(lines, shape)
    v = checks.voltages("v_gate", v_gate, shape=(None, lines.groups(shape)))
    ends = checks.voltages("v_leak", v_leak)
    wanted = (len(v), *shape)
    fits = ends.ndim in (0, 2, 3) and all(
        mine in (1, whole) for mine, whole in zip(ends.shape[::-1], wanted[::-1], strict=False)
    )
    if not fits:
        raise ParameterError(f"v_leak must be one value or broadcast to (b, m, n) = {wanted}, got shape {ends.shape}")
    ends = ends if ends.ndim == 3 else ends[None] if ends.ndim == 2 else ends.reshape(1, 1, 1)
    at_cells = network.factor * network.spread(v)
    none = np.zeros(v.shape[1])
    offsets = [network.solve(none, network.leak * each) if each.any() else np.zeros(shape) for each in ends]
    at_cells += np.stack(offsets) if offsets else 0.0
    leaks = network.leak * (at_cells - ends)
    rows, columns = lines.group_shape(shape)
    m, n = shape
    blocks = leaks.reshape(-1, m // rows, rows, n // columns, columns)
    currents = np.ascontiguousarray(blocks.sum((2, 4)).reshape(v.shape))
    return GateVoltages(at_cells, leaks, currents, (v * currents).sum(1))
