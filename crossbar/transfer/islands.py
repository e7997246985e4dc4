"""Islands: parts of an array that open segments separate from all sources and sense ends; they carry no current.

A merge divides by the conductance that leaves a node, which is 0 for an island.  Islands are therefore removed before
the reduction.
m = rows, n = columns
"""

from dataclasses import replace

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from crossbar.arrays.wires import Wires
from devices.aliases import BoolArray, FloatArray


def without_islands(g: FloatArray, wires: Wires) -> tuple[FloatArray, Wires]:
    """Return conductances (m, n) [S] and wires in which all cells and segments of islands are open.

    Only open segments make islands here; without islands the arguments are returned unchanged.
    Source: docs/equations/nodal.md eq. 6.
    """
    if not wires.broken:
        return g, wires
    in_rows, in_columns = _islands(g, wires)
    if not in_rows.any() and not in_columns.any():
        return g, wires
    along, across = wires.row_segments(*g.shape), wires.column_segments(*g.shape)
    along[in_rows[:, 1:]] = np.inf
    across[in_columns[1:]] = np.inf
    return np.where(in_rows, 0.0, g), replace(wires, r_row=along, r_column=across)


def _islands(g: FloatArray, wires: Wires) -> tuple[BoolArray, BoolArray]:
    """Row nodes and column nodes (m, n) without a path to a terminal."""
    m, n = g.shape
    rows = np.arange(m * n).reshape(m, n)
    columns = m * n + rows
    terminal = np.full(m + n, 2 * m * n)
    parts = (
        (rows, columns, g > 0.0),
        (rows[:, :-1], rows[:, 1:], np.isfinite(wires.row_segments(m, n))),
        (columns[:-1], columns[1:], np.isfinite(wires.column_segments(m, n))),
        (rows[:, 0], terminal[:m], np.isfinite(wires.driver(m))),
        (rows[:, -1], terminal[:m], np.isfinite(wires.driver_far(m))),
        (columns[0], terminal[:n], np.isfinite(wires.sense_far(n))),
        (columns[-1], terminal[:n], np.isfinite(wires.sense(n))),
    )
    one = np.concatenate([a[joined] for a, _, joined in parts])
    other = np.concatenate([b[joined] for _, b, joined in parts])
    graph = sparse.coo_array((np.ones(len(one)), (one, other)), shape=(2 * m * n + 1, 2 * m * n + 1))
    part = connected_components(graph, directed=False)[1]
    lost = (part[:-1] != part[-1]).reshape(2, m, n)
    return lost[0], lost[1]
