"""Reference solver for settling: step responses of the circuit with capacitances, from all its eigenmodes."""

import numpy as np

from crossbar.arrays.capacitances import Capacitances
from crossbar.arrays.gate_lines import GateLines
from crossbar.arrays.wires import Wires
from crossbar.reference.circuit import Branch, Circuit, wires_of
from crossbar.reference.gates import gate_resistors
from devices import checks
from devices.aliases import FloatArray, IntArray


@checks.typed
def transient(g: FloatArray, v: FloatArray, wires: Wires, capacitances: Capacitances, times: FloatArray) -> FloatArray:
    """Return the column currents (b, t, n) [A] at times (t,) [s] after the sources step from 0 to v.

    g: (m, n) [S]; v: (b, m) [V].  This is the exact and slow reference solver of `settling`, for arrays of up to about
    40 × 40 cells.
    Raises ParameterError for a wrong shape or value, or an array that is too large.
    Source: docs/equations/settling.md eq. 15-16.
    """
    circuit, senses = array_circuit(g, wires, capacitances)
    v = checks.voltages("v", v, shape=(None, len(g)))
    known = np.hstack([v, np.zeros((len(v), len(senses) + 1))])
    return -circuit.step(known, times)[1][:, :, senses]


def array_circuit(g: FloatArray, wires: Wires, capacitances: Capacitances) -> tuple[Circuit, IntArray]:
    """Return an array as a Circuit, and the nodes of its sense ends; known nodes: sources, sense ends, ground.

    Raises ParameterError for a wrong shape or value.
    Source: docs/equations/settling.md eq. 1.
    """
    g = checks.conductances("g", g)
    m, n = g.shape
    rows = np.arange(m * n).reshape(m, n)
    columns = m * n + rows
    known = 2 * m * n + np.arange(m + n + 1)
    sources, senses, ground = known[:m], known[m:-1], int(known[-1])
    crossings = list(zip(rows.ravel().tolist(), columns.ravel().tolist(), strict=True))
    cells = [(a, b, siemens) for (a, b), siemens in zip(crossings, g.ravel().tolist(), strict=True)]
    farads: list[Branch] = [(a, b, capacitances.c_cell) for a, b in crossings]
    for nodes, each in ((rows, capacitances.at_rows((m, n))), (columns, capacitances.at_columns((m, n)))):
        farads += [(a, ground, c) for a, c in zip(nodes.ravel().tolist(), each.ravel().tolist(), strict=True)]
    resistors = wires_of(wires, rows, columns, sources, senses)
    return Circuit(2 * m * n + len(known), known, resistors, cells, farads), senses


@checks.typed
def gate_transient(
    lines: GateLines, v_gate: FloatArray, shape: tuple[int, int], capacitances: Capacitances, times: FloatArray
) -> FloatArray:
    """Return the gate voltages (b, t, m, n) [V] at times (t,) [s] after the drivers step from 0 to v_gate.

    v_gate: (b, groups) [V].  This is the exact and slow reference solver of `gate_settling`.
    Raises ParameterError for a wrong shape or value, or an array that is too large.
    Source: docs/equations/settling.md eq. 15-16.
    """
    groups = lines.groups(shape)
    v_gate = checks.voltages("v_gate", v_gate, shape=(None, groups))
    m, n = shape
    gates = np.arange(m * n).reshape(m, n)
    known = m * n + np.arange(groups + 1)
    nodes, ground = gates.ravel().tolist(), int(known[-1])
    leaks = [(a, ground, siemens) for a, siemens in zip(nodes, lines.leaks(shape).ravel().tolist(), strict=True)]
    farads = [(a, ground, capacitances.at_gate) for a in nodes]
    circuit = Circuit(m * n + len(known), known, gate_resistors(lines, gates, known[:-1]), leaks, farads)
    return circuit.step(np.hstack([v_gate, np.zeros((len(v_gate), 1))]), times)[0][:, :, gates]
