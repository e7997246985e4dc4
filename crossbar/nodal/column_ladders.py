"""Kernels for source lines that run beside the columns: each column is a ladder, which is solved without subtraction.

b = batch, m = rungs (rows), n = ladders (columns).  A ladder consists of two chains of m nodes, the source line and the
column, which m cells connect.  It has two terminals: the source S and the end T of the column
(docs/equations/topologies.md, section 3).  The nodes are eliminated from row 0 to the last row.  Only sums, products
and quotients of positive conductances occur, so no digits are lost by cancellation.
"""

import numpy as np

from devices.aliases import BoolArray, FloatArray
from devices.numerics.jit import kernel

# Coefficients of the voltage of an eliminated node: of S, T, the other chain's node and the next node of its own chain.
SOURCE, SENSE, OTHER, NEXT = range(4)
# Current node of a chain: its conductances to S and to T, and whether its terminal holds it.
TO_S, TO_T, HELD = range(3)


@kernel
def _advance(
    node: FloatArray, other: FloatArray, shared: FloatArray, own: int, segment: float, share: FloatArray
) -> None:
    """Eliminate the current node of a chain and make the next node of that chain the current one.

    node, other: (3,) current nodes of this chain and of the other [S].  shared: (2,) the conductance between the two
    current nodes and that between the terminals [S].  own: terminal of this chain.  segment: conductance to the next
    node of the chain [S].  `node` becomes the next node, `share` (4,) the coefficients of the eliminated voltage.
    """
    away = TO_T if own == TO_S else TO_S
    share[:] = 0.0
    if node[HELD] > 0.0:  # the node is the terminal, so its conductances end there
        share[own] = 1.0
        shared[1] += node[away]
        other[own] += shared[0]
        shared[0] = 0.0
        node[own], node[away], node[HELD] = segment, 0.0, 0.0
        return
    total = node[TO_S] + node[TO_T] + shared[0] + segment
    if total == 0.0:  # an island, set to 0 V
        return
    share[SOURCE], share[SENSE] = node[TO_S] / total, node[TO_T] / total
    share[OTHER], share[NEXT] = shared[0] / total, segment / total
    shared[1] += node[TO_S] * share[SENSE]
    other[TO_S] += node[TO_S] * share[OTHER]
    other[TO_T] += node[TO_T] * share[OTHER]
    shared[0] = shared[0] * share[NEXT]
    node[TO_S] *= share[NEXT]
    node[TO_T] *= share[NEXT]


@kernel
def _join(node: FloatArray, own: int, end: float) -> None:
    """Connect the current node to its terminal by a resistance `end` [ohm]."""
    if end == 0.0:
        node[HELD] = 1.0
    else:
        node[own] += 1.0 / end


@kernel
def _ladder(
    g: FloatArray, r_source: FloatArray, r_column: FloatArray, ends: FloatArray, shares: FloatArray, source: FloatArray,
    sense: FloatArray,
) -> float:  # fmt: skip
    """Return the conductance between the terminals of one ladder of cells g (m,) [S], and fill its node voltages.

    r_source, r_column: (m - 1,) segments [ohm].  ends: (4,) first and last end of the source line, first and last end
    of the column [ohm].  shares: work space (2, m, 4).  source, sense: (2, m) voltages of the nodes of source line and
    column for 1 V at S and for 1 V at T.
    """
    m = len(g)
    line, column, shared = np.zeros(3), np.zeros(3), np.zeros(2)
    _join(line, TO_S, ends[0])
    _join(column, TO_T, ends[2])
    for i in range(m):
        last = i == m - 1
        shared[0] += g[i]
        if last:
            _join(line, TO_S, ends[1])
            _join(column, TO_T, ends[3])
        # docs/equations/topologies.md eq. 7; a line without resistance is one node, eliminated at the last rung
        for chain, own, segments in ((0, TO_S, r_source), (1, TO_T, r_column)):
            share = shares[chain, i]
            segment = 1.0 if last else segments[i]
            if segment == 0.0:
                share[:] = 0.0
                share[NEXT] = 1.0
            elif chain == 0:
                _advance(line, column, shared, own, 0.0 if last else 1.0 / segment, share)
            else:
                _advance(column, line, shared, own, 0.0 if last else 1.0 / segment, share)
    for i in range(m - 1, -1, -1):
        after = i + 1
        for chain in (1, 0):  # back substitution; the column's node was eliminated after the source line's
            share = shares[chain, i]
            for terminal, out in ((SOURCE, source), (SENSE, sense)):
                voltage = share[terminal]
                if after < m:
                    voltage += share[NEXT] * out[chain, after]
                if chain == 0:
                    voltage += share[OTHER] * out[1, i]
                elif after < m:
                    voltage += share[OTHER] * out[0, after]
                out[chain, i] = voltage
    return float(shared[1])


@kernel
def solve_ladders(
    g_on: FloatArray, g_off: FloatArray, on: BoolArray, v_source: FloatArray, v_sense: FloatArray, r_source: FloatArray,
    r_column: FloatArray, ends: FloatArray, v_lines: FloatArray, v_columns: FloatArray, currents: FloatArray,
    power: FloatArray,
) -> None:  # fmt: skip
    """Solve all columns for a batch of switch settings `on` (b, m) and terminal voltages v_source, v_sense (b, n) [V].

    g_on, g_off: (m, n) [S].  r_source, r_column: (n, m - 1) segments of each ladder [ohm].  ends: (n, 4) [ohm], as in
    `_ladder`.
    Fills voltages (b, m, n) of source lines and columns [V], currents (b, n) [A] and power (b,) [W].
    """
    m, n = g_on.shape
    for k in range(len(on)):
        g, shares, source, sense = np.empty(m), np.empty((2, m, 4)), np.empty((2, m)), np.empty((2, m))
        total = 0.0
        for j in range(n):
            for i in range(m):
                g[i] = g_on[i, j] if on[k, i] else g_off[i, j]
            conducts = _ladder(g, r_source[j], r_column[j], ends[j], shares, source, sense)
            drop = v_source[k, j] - v_sense[k, j]
            currents[k, j] = conducts * drop
            total += conducts * drop * drop
            for i in range(m):
                v_lines[k, i, j] = source[0, i] * v_source[k, j] + sense[0, i] * v_sense[k, j]
                v_columns[k, i, j] = source[1, i] * v_source[k, j] + sense[1, i] * v_sense[k, j]
        power[k] = total
