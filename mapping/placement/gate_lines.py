"""Gate lines of mapped arrays: the part of a driver's voltage that reaches each cell, and what leaking gates draw."""

from functools import lru_cache

import numpy as np

from crossbar.arrays.gate_lines import GateLines
from crossbar.nodal.gate_network import GateNetwork
from devices.aliases import FloatArray
from devices.cells.interface import Cell
from mapping.hardware.description import Hardware
from mapping.placement.matrix import Matrix

NEGLIGIBLE = 1e-6  # [V] largest sag of a gate line that is left out, ours: 1 / 50,000 of a cell's own variability


def gate_leak(cell: Cell) -> float:
    """Return the leakage conductance [S] from a cell's gate to its column; 0 for a cell without one."""
    inner = getattr(cell, "cell", cell)  # a selector is in series with the cell, not with its gate
    return float(getattr(inner, "g_gate_leak", 0.0)) if cell.gated else 0.0


def gate_lines(matrix: Matrix, hardware: Hardware) -> GateLines:
    """Return the gate lines of a matrix' arrays: a comb over the cells of a kernel, or a line for each pair of columns.

    Segments and drivers have `gate_dac.r_relative` times the resistance of those of the rows, or of their mean.
    Source: docs/equations/gates.md, section 6.
    """
    wires, ratio = hardware.wires_in_use, hardware.gate_dac.r_relative
    ends = np.atleast_1d(wires.r_driver)
    driver = ratio * float(ends[np.isfinite(ends)].max(initial=0.0))
    leak = gate_leak(hardware.cell)
    along, across = wires.mean_segments(hardware.tile.rows, hardware.tile.columns)
    if matrix.column_gates:  # both cells of a pair hang at one node of the line
        return GateLines("column", ratio * across, driver, g_gate_leak=2.0 * leak)
    segment = ratio * along
    return GateLines("tile", segment, driver, r_spine=segment, g_gate_leak=leak)


def gate_reach(matrix: Matrix, shape: tuple[int, int], hardware: Hardware) -> FloatArray | None:
    """Return the part (m, n) of its driver's voltage that reaches each gate of an array of m rows and n columns.

    None: all of it, to less than NEGLIGIBLE at the ends of the gate window.
    Source: docs/equations/gates.md eq. 6 and 11.
    """
    cell = hardware.cell
    if not gate_leak(cell):
        return None
    lines = gate_lines(matrix, hardware)
    reach = _reach(lines.group, lines.r_segment, lines.r_driver, float(np.max(lines.g_gate_leak)), *shape)
    sag = float(1.0 - reach.min()) * max(abs(cell.v_gate_min), abs(cell.v_gate_max))
    return None if sag < NEGLIGIBLE else reach


@lru_cache(maxsize=64)
def _reach(group: str, segment: float, driver: float, leak: float, m: int, n: int) -> FloatArray:
    """Return the factor (m, n) of the lines of `gate_lines`; arrays of one shape share it."""
    by_pair = group == "column"
    lines = GateLines(group, segment, driver, r_spine=0.0 if by_pair else segment, g_gate_leak=leak)
    factor = GateNetwork(lines, (m, n // 2 if by_pair else n)).factor
    reach: FloatArray = np.repeat(factor, 2, axis=1) if by_pair else factor
    reach.flags.writeable = False
    return reach


def gains_at_cells(gains: FloatArray, reach: FloatArray | None, cell: Cell) -> FloatArray:
    """Return the read gains at cells behind their gate lines, for nominal gains that broadcast to (…, m, 2 c)."""
    return gains if reach is None else cell.gate_gain(cell.gate_voltage(gains) * reach)


def held_squares(matrix: Matrix, hardware: Hardware, v_gate: FloatArray | None = None) -> float:
    """Return the sum of driver voltage times cell voltage [V²] over all gated cells of a matrix, per image.

    v_gate: (b, k) voltages of the kernels' drivers [V], or (b, k, n) of their columns', summed over b; None: one image
    with all gates held open.  Times the leakage conductance of a gate this is the power of the drivers.
    Source: docs/equations/gates.md eq. 8 and 12.
    """
    total = 0.0
    for tile in matrix.tiles:
        m, n = tile.shape[0], tile.cell_columns
        reach = gate_reach(matrix, (m, n), hardware)
        cells = np.full(n, float(m)) if reach is None else reach.sum(0)  # (n,)
        if v_gate is None:
            total += matrix.stored * float(cells.sum()) * hardware.cell.v_gate_max**2
        elif v_gate.ndim == 3:
            total += float(((v_gate[:, :, tile.columns] ** 2).sum((0, 1)) * cells.reshape(-1, 2).sum(1)).sum())
        else:
            total += float((v_gate**2).sum()) * float(cells.sum())
    return total * matrix.copies
