"""Reference solver for gate lines: every segment and leakage conductance is a branch of a sparse circuit."""

from itertools import pairwise

import numpy as np

from crossbar.arrays.gate_lines import GateLines, GateVoltages
from crossbar.arrays.solution import Solution
from crossbar.arrays.wires import Wires
from crossbar.reference.circuit import Branch, Circuit, line, wires_of
from devices import checks
from devices.aliases import FloatArray, IntArray


@checks.typed
def reference_gates(
    g: FloatArray, v: FloatArray, wires: Wires, lines: GateLines, v_gate: FloatArray
) -> tuple[Solution, GateVoltages]:
    """Solve gate, row and column nodes of an array of linear cells together, exactly and slowly.

    g: (m, n) conductances of the cells at their gate voltages [S].  v: (b, m) [V].  v_gate: (b, groups) [V].
    Solution.power is the power of the row drivers.  Raises what reference_solve and gate_voltages raise.
    Source: docs/equations/gates.md eq. 9.
    """
    g = checks.conductances("g", g)
    m, n = g.shape
    groups = lines.groups((m, n))
    v = checks.voltages("v", v, shape=(None, m))
    v_gate = checks.voltages("v_gate", v_gate, shape=(len(v), groups))
    row_nodes = np.arange(m * n).reshape(m, n)
    column_nodes, gate_nodes = m * n + row_nodes, 2 * m * n + row_nodes
    known = 3 * m * n + np.arange(m + n + groups)
    sources, senses, drivers = np.split(known, [m, m + n])
    resistors = wires_of(wires, row_nodes, column_nodes, sources, senses) + gate_resistors(lines, gate_nodes, drivers)
    leak, into = lines.leaks((m, n)), column_nodes if lines.leak_to == "column" else row_nodes
    cells = [(row_nodes[i, j], column_nodes[i, j], g[i, j]) for i in range(m) for j in range(n)]
    cells += [(gate_nodes[i, j], into[i, j], leak[i, j]) for i in range(m) for j in range(n)]
    circuit = Circuit(3 * m * n + len(known), known, resistors, cells)
    volts, leaving = circuit.solve(np.hstack([v, np.zeros((len(v), n)), v_gate]))
    at_gates = volts[:, gate_nodes]
    solution = Solution(
        -leaving[:, senses], volts[:, row_nodes], volts[:, column_nodes], (v * leaving[:, sources]).sum(1),
        circuit.residual(volts),
    )  # fmt: skip
    delivered = leaving[:, drivers]
    leaks = leak * (at_gates - volts[:, into])
    return solution, GateVoltages(at_gates, leaks, delivered, (v_gate * delivered).sum(1))


def gate_resistors(lines: GateLines, gate_nodes: IntArray, drivers: IntArray) -> list[Branch]:
    """All wires of the gate lines as (node, node, ohm), for gate nodes (m, n) and driver nodes (groups,)."""
    m, n = gate_nodes.shape
    rows, columns = lines.group_shape((m, n))
    parts: list[Branch] = []
    corners = [(i, j) for i in range(0, m, rows) for j in range(0, n, columns)]
    for driver, (i, j) in zip(drivers, corners, strict=True):
        block = gate_nodes[i : i + rows, j : j + columns]
        if min(rows, columns) == 1:
            segments = [lines.r_segment] * (block.size - 1)
            parts += line(block.ravel(), int(driver), segments, lines.r_driver, lines.r_driver_far)
            continue
        teeth = block.T if lines.along == "columns" else block
        spine = [lines.r_spine] * (len(teeth) - 1)
        parts += line(teeth[:, 0], int(driver), spine, lines.r_driver, lines.r_driver_far)
        for tooth in teeth:
            parts += [(int(a), int(b), lines.r_segment) for a, b in pairwise(tooth)]
    return parts
