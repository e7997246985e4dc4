"""Transfer matrices as functions of a gate voltage: exact at a few gate nodes, interpolated between them.

The transfer matrix of an array whose cells share a gate is a smooth function of the read gain.  GainNodes are Chebyshev
nodes in the gain or, where wires take most of the current, in its root; they are independent of the cell.  GateNodes
are fitted to the gate law of a cell and to shifts of its Dirac point, because the gains of shifted cells are nonlinear
functions of each other (docs/equations/reduction.md, section 5).
q = nodes, b = batch, m = rows, n = columns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossbar.arrays.wires import Wires
from crossbar.transfer.gate_nodes import MOST_NODES, GainNodes, Nodes
from crossbar.transfer.reduction import transfer_matrices
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ConvergenceError, ParameterError

MOST_LOSS = 1.0 - 1e-9  # an open column loses all its current; the limit keeps the coordinate defined (ours)


@dataclass(frozen=True)
class Family:
    """The transfer matrix of an array as a function of the read gain."""

    nodes: Nodes
    transfers: FloatArray  #: (q, m, n) [S]

    def at(self, gain: FloatArray) -> FloatArray:
        """Return transfer matrices (…, m, n) [S] at gains (…)."""
        return np.tensordot(self.nodes.mix(gain), self.transfers, axes=1)

    @property
    def error(self) -> float:
        """Estimate of the interpolation error relative to the largest entry, from the last two interpolation terms.

        Source: docs/equations/reduction.md eq. 13.
        """
        return float(np.abs(np.tensordot(self.nodes.tail, self.transfers, axes=1)).max() / np.abs(self.transfers).max())


@checks.typed
def transfer_family(
    conductances: Callable[[float], FloatArray], nodes: Nodes, wires: Wires, *,
    tolerance: float | None = None, most_nodes: int = MOST_NODES,
) -> Family:  # fmt: skip
    """Reduce an array at every gate node; with a tolerance, at as many nodes as the tolerance requires.

    conductances: gain -> cell conductances (m, n) [S].  tolerance: largest accepted Family.error.  Nodes are added to
    the given ones, up to `most_nodes`; no node is reduced twice.  GainNodes without a power get the interpolation
    coordinate that fits the IR drop of the array at the open gate.
    Raises what transfer_matrices raises, ParameterError for a tolerance that is not between 0 and 1, ConvergenceError
    if the error estimate is still above the tolerance with the largest allowed number of nodes.
    Source: docs/equations/reduction.md, section 5.
    """
    if not callable(conductances):
        raise ParameterError(f"conductances must be a function of the gain, got {conductances!r}")
    if tolerance is not None:
        checks.number("tolerance", tolerance, above=0.0, below=1.0)
    most_nodes = checks.whole("most_nodes", most_nodes, minimum=nodes.count)
    transfers: list[FloatArray] = []
    if isinstance(nodes, GainNodes) and nodes.power is None:
        transfers = [_reduced(conductances, nodes.gains[-1:], wires)]
        nodes = nodes.suited(wire_loss(conductances(nodes.high), transfers[0][0]))
    rest = _reduced(conductances, nodes.gains[: nodes.count - len(transfers)], wires)
    family = Family(nodes, np.concatenate([rest, *transfers]))
    while tolerance is not None and family.error > tolerance:
        larger = family.nodes.grown()
        if not family.nodes.count < larger.count <= most_nodes:
            raise ConvergenceError(
                f"{family.nodes.count} nodes leave an estimated error of {family.error:.1e} > {tolerance:g}, and the "
                f"next larger set has more than {most_nodes}; allow more nodes or a larger tolerance"
            )
        old = np.abs(larger.gains[:, None] - family.nodes.gains).argmin(0)
        new = np.setdiff1d(np.arange(larger.count), old)
        grown = np.empty((larger.count, *family.transfers.shape[1:]))
        grown[old], grown[new] = family.transfers, _reduced(conductances, larger.gains[new], wires)
        family = Family(larger, grown)
    return family


def wire_loss(g: FloatArray, transfer: FloatArray) -> float:
    """Return the largest relative loss of a column current by wires, all rows on, for cells g (m, n) [S]; below 1."""
    whole = g.sum(0)
    lost = 1.0 - np.divide(transfer.sum(0), whole, out=np.ones_like(whole), where=whole > 0.0)
    return float(np.clip(lost.max(initial=0.0), 0.0, MOST_LOSS))


def _reduced(conductances: Callable[[float], FloatArray], gains: FloatArray, wires: Wires) -> FloatArray:
    """Return the transfer matrices (q, m, n) [S] at gains (q,)."""
    return transfer_matrices(np.stack([conductances(float(gain)) for gain in gains]), wires)
