"""Transfer matrices as smooth functions of one gate: a few nodes of the read gain, and what to mix between them.

The transfer matrix of an array whose cells share a gate is a smooth function of the gain. GainNodes know nothing of the
cell: Chebyshev nodes in √gain. GateNodes are fitted to a cell's gate law and to the shifts of its Dirac points, which
bend the gains of the cells against each other (docs/equations/reduction.md, section 5).
q = nodes, b = batch, m = rows, n = columns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.linalg import qr

from crossbar.reduction import transfer_matrices
from crossbar.wires import Wires
from devices import checks
from devices.aliases import FloatArray
from devices.cells import Cell
from devices.errors import ParameterError

SHIFTS = 12  # Dirac points between -reach and reach that gate nodes are fitted to, ours
RARITY = 2.0  # shifts s count exp(-2 (s / reach)²), as large ones are in few cells, ours
BENDS = (0.0, 0.3, 1.0, 3.0)  # series resistance over cell resistance, as lines of an array show it, ours
GRID = 150  # gate voltages of the fit, evenly spaced in Fermi level, ours
FILL = 1e-8  # size of the polynomials that take over when fewer functions than nodes are left to fit, ours


class Nodes(Protocol):
    """Gains at which an array is reduced, and how its transfer matrices mix between them."""

    @property
    def count(self) -> int:
        """Number of nodes q."""

    @property
    def gains(self) -> FloatArray:
        """Gains (q,) at the nodes, rising."""

    @property
    def tail(self) -> FloatArray:
        """Weakest two terms of the interpolation (2, q), as large as they get between the nodes."""

    def mix(self, gain: FloatArray) -> FloatArray:
        """Return what each node contributes at given gains: (…, q) from (…), rows of sum 1."""


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

    @property
    def tail(self) -> FloatArray:
        """Last two Chebyshev coefficients (2, q) of what is given at the nodes."""
        q = self.count
        k = np.arange(q)
        basis = np.cos(np.pi * np.outer(k, k[::-1]) / (q - 1))
        basis[:, [0, -1]] /= 2
        out: FloatArray = 2.0 / (q - 1) * basis[max(q - 2, 1) :]
        return out

    def mix(self, gain: FloatArray) -> FloatArray:
        """Return what each node contributes at given gains: (…, q) from (…), rows of sum 1.

        Raises ParameterError for a gain outside the nodes, where the interpolation would extrapolate.
        Source: barycentric formula, Berrut and Trefethen, SIAM Review 46 (2004) 501, eq. 5.4.
        """
        gain = _inside(gain, self.low, self.high)
        factors = (-1.0) ** np.arange(self.count)
        factors[[0, -1]] /= 2
        distance = np.sqrt(gain)[..., None] - np.sqrt(self.gains)
        with np.errstate(divide="ignore"):
            terms = factors / distance
        hit = np.isinf(terms)
        on_node = hit.any(-1, keepdims=True)
        terms = np.where(on_node, hit.astype(np.float64), terms)
        out: FloatArray = terms / terms.sum(-1, keepdims=True)
        return out


@dataclass(frozen=True)
class GateNodes:
    """Nodes over the gate window of a cell, fitted to the gains of cells whose Dirac points are shifted.

    Source: docs/equations/reduction.md, section 5; nodes are chosen as Maday et al. choose "magic points", Commun. Pure
    Appl. Anal. 8 (2009) 383, here by pivoted QR.
    """

    cell: Cell
    count: int  #: q, at least 2
    reach: float = 0.2  #: largest shift of a Dirac point that is fitted [V]; four standard deviations are a good choice

    def __post_init__(self) -> None:
        checks.whole("count", self.count, minimum=2)
        checks.number("reach", self.reach, unit="V", minimum=0.0)
        if not self.cell.gated:
            raise ParameterError(f"cell must be gated, as nodes are gains of its gate, got {self.cell}")

    @property
    def gains(self) -> FloatArray:
        """Gains (q,) at the nodes, rising; the ends are those of the gate window."""
        return self._fit.gains.copy()

    @property
    def tail(self) -> FloatArray:
        """Coefficients (2, q) of the two functions that were fitted last, each times its largest value."""
        return self._fit.tail

    def mix(self, gain: FloatArray) -> FloatArray:
        """Return what each node contributes at given gains: (…, q) from (…), rows of sum 1.

        Raises ParameterError for a gain outside the gate window, where the interpolation would extrapolate.
        Source: docs/equations/reduction.md eq. 12.
        """
        fit = self._fit
        gain = _inside(gain, fit.gains[0], fit.gains[-1])
        functions = _functions(self.cell, self.cell.gate_voltage(gain.reshape(-1)), self.count, self.reach)
        return (functions @ fit.table).reshape(*gain.shape, self.count)

    @property
    def _fit(self) -> "_Fit":
        frozen: Any = self.cell  # cells are frozen dataclasses, which have a hash
        return _fitted(frozen, self.count, self.reach)


class _Fit(NamedTuple):
    gains: FloatArray  #: (q,)
    table: FloatArray  #: (functions, q): mix = functions @ table
    tail: FloatArray  #: (2, q)


@lru_cache(maxsize=64)
def _fitted(cell: Cell, count: int, reach: float) -> _Fit:
    """Choose q functions and nodes: 1 and the gain itself, then the strongest directions of the bent, shifted gains."""
    fine = np.linspace(cell.v_gate_min, cell.v_gate_max, 100 * GRID + 1)
    levels = cell.fermi_energy(fine)
    v_gate = np.interp(np.linspace(levels[0], levels[-1], GRID + 1), levels, fine)
    v_gate[[0, -1]] = cell.v_gate_min, cell.v_gate_max
    functions = _functions(cell, v_gate, count, reach)
    plain, upper = np.linalg.qr(functions[:, :2])
    inward = plain.T @ functions[:, 2:]
    counted = np.concatenate([np.tile(np.exp(-RARITY * _shifts() ** 2), len(BENDS)), np.ones(count - 1)])
    left, sizes, right = np.linalg.svd((functions[:, 2:] - plain @ inward) * counted, full_matrices=False)
    more = counted[:, None] * right[: count - 2].T / sizes[: count - 2]
    to_basis = np.zeros((functions.shape[1], count))
    to_basis[:2, :2] = np.linalg.inv(upper)
    to_basis[:2, 2:] = -to_basis[:2, :2] @ inward @ more
    to_basis[2:, 2:] = more
    basis = np.hstack([plain, left[:, : count - 2]])
    at = np.sort(qr(basis.T, mode="r", pivoting=True)[1][:count])
    inverse = np.linalg.inv(basis[at])
    tail = inverse[-2:] * np.abs(basis[:, -2:]).max(0)[:, None]
    return _Fit(cell.gate_gain(v_gate[at]), to_basis @ inverse, tail)


def _functions(cell: Cell, v_gate: FloatArray, count: int, reach: float) -> FloatArray:
    """Return 1, the gain, shifted and bent gains, and small polynomials in √gain at gate voltages: (len, functions)."""
    gain = cell.gate_gain(v_gate)
    shifted = cell.gate_gain(v_gate[:, None] - reach * _shifts())
    low, high = np.sqrt(cell.gain_low), np.sqrt(cell.gain_high)
    x = np.clip((2.0 * np.sqrt(gain) - low - high) / (high - low), -1.0, 1.0)
    return np.column_stack([
        np.ones_like(gain), gain, *(shifted / (1.0 + bend * shifted) for bend in BENDS),
        FILL * np.cos(np.arccos(x)[:, None] * np.arange(1, count)),
    ])  # fmt: skip


def _shifts() -> FloatArray:
    """Shifts (SHIFTS,) over the reach, dense at its ends."""
    out: FloatArray = np.cos(np.pi * (np.arange(SHIFTS) + 0.5) / SHIFTS)
    return out


def _inside(gain: FloatArray, low: float, high: float) -> FloatArray:
    """Return gains clipped to the nodes; raise ParameterError if rounding does not explain what lies outside."""
    gain = checks.array("gain", gain)
    slack = 1e-9 * high
    if gain.size and (gain.min() < low - slack or gain.max() > high + slack):
        raise ParameterError(
            f"gain must lie between {low:.6g} and {high:.6g}, got {gain.min():.6g} to {gain.max():.6g}"
        )
    return np.clip(gain, low, high)


@dataclass(frozen=True)
class Family:
    """The transfer matrix of an array at every gain between two ends."""

    nodes: Nodes
    transfers: FloatArray  #: (q, m, n) [S]

    def at(self, gain: FloatArray) -> FloatArray:
        """Return transfer matrices (…, m, n) [S] at gains (…)."""
        return np.tensordot(self.nodes.mix(gain), self.transfers, axes=1)

    @property
    def error(self) -> float:
        """Estimate of the interpolation error relative to the largest entry: the size of its last two terms.

        Source: Trefethen, Approximation Theory and Approximation Practice, chapter 4 (aliasing of the tail).
        """
        return float(np.abs(np.tensordot(self.nodes.tail, self.transfers, axes=1)).max() / np.abs(self.transfers).max())


def transfer_family(conductances: Callable[[float], FloatArray], nodes: Nodes, wires: Wires) -> Family:
    """Reduce an array at every node of the gate coordinate.

    conductances: gain -> cell conductances (m, n) [S].
    Raises what transfer_matrices raises.
    """
    return Family(nodes, transfer_matrices(np.stack([conductances(float(gain)) for gain in nodes.gains]), wires))
