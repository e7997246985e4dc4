"""Gate families of a tile in a truncated basis: fewer stored matrices than gate nodes, within a given error.

The matrices of an array at its gate nodes are nearly linear combinations of a few of them: a gate scales all cells
together, and only shifts of Dirac points and the wires make a difference.  The basis of the singular value
decomposition over the nodes keeps the few combinations that matter.
k = gate groups, q = gate nodes, r = stored matrices, m = rows, c = pairs
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from crossbar.transfer.gate_nodes import GateNodes, Nodes
from devices.aliases import FloatArray

FIRST_NODES = 8  # gate nodes at which an array with an accepted error is reduced at first, ours
LOOKED_AT = 64  # gains between two nodes among which the one with the largest coefficients is found, ours
INTERPOLATED = 0.6  # part of the accepted error that the interpolation between nodes may take, ours


class Truncated(NamedTuple):
    """The matrices of k arrays at their gate nodes as combinations of fewer stored ones."""

    basis: FloatArray  #: (k, q, r) parts of the stored matrices in the matrix at each node
    stored: FloatArray  #: (k, r, m, c) [S], float32


def fewer_nodes(nodes: Nodes) -> Nodes:
    """Return the nodes at which an array with an accepted error is reduced at first; all but GateNodes are kept."""
    return replace(nodes, count=min(nodes.count, FIRST_NODES)) if isinstance(nodes, GateNodes) else nodes


def more_nodes(nodes: Nodes, most: Nodes, signal: FloatArray, error: float) -> Nodes:
    """Return these nodes if they interpolate signals (k, q, m, c) [S] well enough, else the next larger set.

    most: the largest set.  error: accepted sum over the rows of the errors of one column, or pair [S].
    Source: docs/equations/reduction.md eq. 13, for the currents of columns.
    """
    if not isinstance(nodes, GateNodes) or nodes.count >= most.count:
        return nodes
    k, q, m, c = signal.shape
    off = np.abs(np.matmul(nodes.tail, signal.reshape(k, q, m * c))).reshape(k, -1, m, c)
    if off.sum(2).max(initial=0.0) <= INTERPOLATED * error:
        return nodes
    return replace(nodes, count=min(nodes.grown().count, most.count))


def truncated(signal: FloatArray, nodes: Nodes, error: float) -> Truncated | None:
    """Return signals (k, q, m, c) [S] at gate nodes in the smallest basis within an error; None if none is smaller.

    error: accepted sum over the rows of the errors of one column, or pair [S], at any gain between the nodes; the
    interpolation may already have taken INTERPOLATED of it.  Rounding to float32 counts.
    Source: the best approximation of rank r, C. Eckart and G. Young, Psychometrika 1 (1936) 211; its errors are summed
    column by column, and a basis grows until all of them are accepted.
    """
    k, q, m, c = signal.shape
    between, accepted = _between(nodes), (1.0 - INTERPOLATED) * error
    bases = np.zeros((k, q, q))
    stores: FloatArray = np.zeros((k, q, m, c), dtype=np.float32)
    needed = 1
    for one, basis, store in zip(signal, bases, stores, strict=True):
        rest = one.reshape(q, m * c).copy()
        basis[:] = np.linalg.eigh(rest @ rest.T)[1][:, ::-1]
        rank = 0
        while np.abs(between @ rest).reshape(-1, m, c).sum(1).max(initial=0.0) > accepted:
            if rank == q - 1:
                return None
            direction = basis[:, rank]
            store[rank] = (direction @ rest).reshape(m, c)
            rest -= direction[:, None] * store[rank].reshape(-1)
            rank += 1
        basis[:, rank:] = 0.0
        needed = max(needed, rank)
    return Truncated(bases[:, :, :needed].copy(), stores[:, :needed].copy())


def _between(nodes: Nodes) -> FloatArray:
    """Return the interpolation coefficients (gains, q) at the nodes, and where their sizes have the largest sums."""
    held: Any = nodes  # nodes are hashable
    return _peaks(held)


@lru_cache(maxsize=64)
def _peaks(nodes: Nodes) -> FloatArray:
    """Between every two nodes the row of coefficients with the largest sum of sizes, and the nodes themselves."""
    gains = nodes.gains
    inner = gains[:-1, None] + np.diff(gains)[:, None] * np.linspace(0.0, 1.0, LOOKED_AT + 2)[1:-1]
    mix = nodes.mix(inner)
    largest = mix[np.arange(len(mix)), np.abs(mix).sum(-1).argmax(-1)]
    out: FloatArray = np.concatenate([np.eye(len(gains)), largest])
    return out
