"""Transfer matrices as smooth functions of one gate: Chebyshev nodes in the square root of the read gain.

The transfer matrix of an array whose cells share a gate is an analytic function of the gain. At ideal wires it is
linear in the gain; with a finite wire resistance it bends most where the gain is small, which the square root spreads
out (docs/equations/reduction.md, section 5). q = nodes, b = batch, m = rows, n = columns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossbar.reduction import transfer_matrices
from crossbar.wires import Wires
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError


@dataclass(frozen=True)
class GainNodes:
    """Chebyshev nodes (second kind) of the gate coordinate √gain between two gains."""

    low: float  #: smallest gain
    high: float  #: largest gain
    count: int  #: q, at least 2

    def __post_init__(self) -> None:
        checks.number("low", self.low, minimum=0.0)
        checks.number("high", self.high, above=self.low)
        checks.whole("count", self.count, minimum=2)

    @property
    def gains(self) -> FloatArray:
        """Gains (q,) at the nodes, rising; the ends are `low` and `high`."""
        angles = np.pi * np.arange(self.count)[::-1] / (self.count - 1)
        middle, half = (np.sqrt(self.high) + np.sqrt(self.low)) / 2, (np.sqrt(self.high) - np.sqrt(self.low)) / 2
        gains: FloatArray = (middle + half * np.cos(angles)) ** 2
        gains[0], gains[-1] = self.low, self.high
        return gains

    def mix(self, gain: FloatArray) -> FloatArray:
        """Return what each node contributes at given gains: (…, q) from (…), rows of sum 1.

        Raises ParameterError for a gain outside the nodes, where the interpolation would extrapolate.
        Source: barycentric formula, Berrut and Trefethen, SIAM Review 46 (2004) 501, eq. 5.4.
        """
        gain = checks.array("gain", gain)
        slack = 1e-9 * self.high
        if gain.size and (gain.min() < self.low - slack or gain.max() > self.high + slack):
            raise ParameterError(
                f"gain must lie between {self.low:.6g} and {self.high:.6g}, got {gain.min():.6g} to {gain.max():.6g}"
            )
        factors = (-1.0) ** np.arange(self.count)
        factors[[0, -1]] /= 2
        distance = np.sqrt(np.clip(gain, self.low, self.high))[..., None] - np.sqrt(self.gains)
        with np.errstate(divide="ignore"):
            terms = factors / distance
        hit = np.isinf(terms)
        on_node = hit.any(-1, keepdims=True)
        terms = np.where(on_node, hit.astype(np.float64), terms)
        out: FloatArray = terms / terms.sum(-1, keepdims=True)
        return out


@dataclass(frozen=True)
class Family:
    """The transfer matrix of an array at every gain between two ends."""

    nodes: GainNodes
    transfers: FloatArray  #: (q, m, n) [S]

    def at(self, gain: FloatArray) -> FloatArray:
        """Return transfer matrices (…, m, n) [S] at gains (…)."""
        return np.tensordot(self.nodes.mix(gain), self.transfers, axes=1)

    @property
    def error(self) -> float:
        """Estimate of the interpolation error relative to the largest entry: the size of the last two coefficients.

        Source: Trefethen, Approximation Theory and Approximation Practice, chapter 4 (aliasing of the tail).
        """
        q = self.nodes.count
        k = np.arange(q)
        basis = np.cos(np.pi * np.outer(k, k[::-1]) / (q - 1))
        basis[:, [0, -1]] /= 2
        tail = 2.0 / (q - 1) * np.tensordot(basis[max(q - 2, 1) :], self.transfers, axes=1)
        return float(np.abs(tail).max() / np.abs(self.transfers).max())


def transfer_family(conductances: Callable[[float], FloatArray], nodes: GainNodes, wires: Wires) -> Family:
    """Reduce an array at every node of the gate coordinate.

    conductances: gain -> cell conductances (m, n) [S].
    Raises what transfer_matrices raises.
    """
    return Family(nodes, transfer_matrices(np.stack([conductances(float(gain)) for gain in nodes.gains]), wires))
