"""Gate nodes, at which a family of transfer matrices is computed, and interpolation coefficients between them."""

import cmath
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from math import comb
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.linalg import qr, solve_triangular

from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.cells.interface import Cell
from devices.errors import ParameterError
from devices.numerics.blas import one_blas_thread

SHIFTS = 12  # shifts of the Dirac point between -reach and reach to which gate nodes are fitted, ours
RARITY = 2.0  # a shift s counts with exp(-2 (s / reach)²), as few cells have large shifts, ours
BENDS = (0.0, *np.geomspace(0.01, 3.0, 8).tolist())  # effective series resistance of wires over cell resistance, ours
FILL = 1e-10  # size of polynomials that are fitted once fewer independent functions than nodes are left, ours
FADING = 0.5  # size of each polynomial over that of one degree less, ours
GRIDS = (256, 512, 1024, 2048)  # Chebyshev intervals over the gate window; the first that is accurate is used, ours
HELD = 1e-12  # largest interpolation error between the points of an accurate grid, ours
DENSER = 4  # points of the equidistant table over points of the Chebyshev grid, ours
STENCIL = 8  # table points of local interpolation polynomials, ours: with DENSER = 4 their error is 1e-14
EVEN = np.array([(-1.0) ** k * comb(STENCIL - 1, k) for k in range(STENCIL)])  # barycentric factors, equidistant points
MOST_COUNT = 4097  # of Chebyshev nodes, ours: any more are a slip of the pen
MOST_NODES = 65  # ours; 27 gate nodes reach 1e-9 with Dirac points 50 mV apart on wires of 2.8 ohm


class Nodes(Protocol):
    """Gains at which an array is reduced, and the interpolation between them."""

    @property
    def count(self) -> int:
        """Number of nodes q."""

    @property
    def gains(self) -> FloatArray:
        """Gains (q,) at the nodes, rising."""

    @property
    def tail(self) -> FloatArray:
        """Coefficients (2, q) of the two smallest interpolation terms, at their maximum between the nodes."""

    def mix(self, gain: FloatArray) -> FloatArray:
        """Return the interpolation coefficients of all nodes at given gains: (…, q) from (…), with sum 1."""

    def grown(self) -> "Nodes":
        """Return the next larger set of nodes, which contains all of these."""


@dataclass(frozen=True)
class GainNodes:
    """Chebyshev nodes of the second kind in a power of the gain, between two gains.

    Source: docs/equations/reduction.md eq. 10 and 10a.
    """

    low: float  #: smallest gain
    high: float  #: largest gain
    count: int  #: q, at least 2
    #: interpolation coordinate gain^power, 1 or 1/2; None: transfer_family and stacked_family choose it from the loss
    #: of current by wires, and it is 1 until then
    power: float | None = None

    def __post_init__(self) -> None:
        low = checks.number("low", self.low, minimum=0.0)
        checks.number("high", self.high, above=low)
        checks.whole("count", self.count, minimum=2, maximum=MOST_COUNT)
        if self.power is not None and self.power not in (0.5, 1.0):
            raise ParameterError(f"power must be 0.5, 1 or None, got {self.power!r}")

    def suited(self, loss: float) -> "GainNodes":
        """Return these nodes in the coordinate that converges faster for a given relative loss of current by wires.

        loss: largest relative loss of a column current at the open gate, from 0 to below 1.  A given power is kept.
        Source: docs/equations/reduction.md eq. 10a.
        """
        loss = checks.number("loss", loss, minimum=0.0, below=1.0)
        if self.power is not None:
            return self
        pole = -self.high * (1.0 - loss) / loss if loss else -math.inf
        return replace(self, power=max((1.0, 0.5), key=lambda power: self._ellipse(power, pole)))

    def _ellipse(self, power: float, pole: float) -> float:
        """Factor by which each further node reduces the error: the Bernstein ellipse through the nearest pole."""
        if math.isinf(pole):
            return power  # a linear function of the gain needs no inner node
        low, high = self.low**power, self.high**power
        z = (2.0 * complex(pole) ** power - high - low) / (high - low)
        root = cmath.sqrt(z * z - 1.0)
        return float(max(abs(z + root), abs(z - root)))

    @property
    def _of(self) -> float:
        return 1.0 if self.power is None else self.power

    @property
    def gains(self) -> FloatArray:
        """Gains (q,) at the nodes, rising; the ends are `low` and `high`."""
        angles = np.pi * np.arange(self.count)[::-1] / (self.count - 1)
        low, high = self.low**self._of, self.high**self._of
        gains: FloatArray = ((high + low) / 2 + (high - low) / 2 * np.cos(angles)) ** (1.0 / self._of)
        gains[0], gains[-1] = self.low, self.high
        return gains

    @property
    def tail(self) -> FloatArray:
        """Matrix (2, q) that maps values at the nodes to their last two Chebyshev coefficients."""
        q = self.count
        k = np.arange(q)
        basis = np.cos(np.pi * np.outer(k, k[::-1]) / (q - 1))
        basis[:, [0, -1]] /= 2
        out: FloatArray = 2.0 / (q - 1) * basis[max(q - 2, 1) :]
        return out

    def mix(self, gain: FloatArray) -> FloatArray:
        """Return the interpolation coefficients of all nodes at given gains: (…, q) from (…), with sum 1.

        Raises ParameterError for a gain outside the nodes, as that would be an extrapolation.
        Source: barycentric formula, Berrut and Trefethen, SIAM Review 46 (2004) 501, eq. 5.4.
        """
        gain = _inside(gain, self.low, self.high)
        return _barycentric(self.gains**self._of, gain**self._of)

    def grown(self) -> "GainNodes":
        """Return 2 q - 1 nodes: these, and one between every two neighbours."""
        return replace(self, count=2 * self.count - 1)


@dataclass(frozen=True)
class GateNodes:
    """Nodes over the gate window of a cell, fitted to the gains of cells with shifted Dirac points.

    Node sets are nested: each set contains all smaller ones.
    Source: docs/equations/reduction.md, section 5; an interpolative decomposition (H. Cheng et al., SIAM J. Sci.
    Comput. 26 (2005) 1389) of the functions of the gate voltage that occur in transfer matrices.
    """

    cell: Cell
    count: int  #: q, from 2 to MOST_NODES
    reach: float = 0.2  #: largest fitted shift of a Dirac point [V]; four standard deviations are a good choice

    def __post_init__(self) -> None:
        checks.whole("count", self.count, minimum=2, maximum=MOST_NODES)
        checks.number("reach", self.reach, unit="V", minimum=0.0)
        if not getattr(self.cell, "gated", False):
            raise ParameterError(f"cell must be gated, as nodes are gate voltages, got {self.cell}")

    @property
    def gains(self) -> FloatArray:
        """Gains (q,) at the nodes, rising; the ends are those of the gate window."""
        return self._fit.gains.copy()

    @property
    def tail(self) -> FloatArray:
        """Matrix (2, q) that gives the errors of q - 2 and of q - 1 nodes at the next node."""
        return self._fit.tail

    def mix(self, gain: FloatArray) -> FloatArray:
        """Return the interpolation coefficients of all nodes at given gains: (…, q) from (…), with sum 1.

        Raises ParameterError for a gain outside the gate window, as that would be an extrapolation.
        Source: docs/equations/reduction.md eq. 12.
        """
        fit = self._fit
        gain = _inside(gain, fit.gains[0], fit.gains[-1])
        return _read(fit, self.cell.fermi_energy(self.cell.gate_voltage(gain)))

    def grown(self) -> "GateNodes":
        """Return two more nodes, where the error of these is largest."""
        return replace(self, count=min(self.count + 2, MOST_NODES))

    @property
    def _fit(self) -> "_Fit":
        frozen: Any = self.cell  # cells are frozen dataclasses, hence hashable
        return _fitted(frozen, self.count, self.reach)


class _Grid(NamedTuple):
    """Chebyshev points of the Fermi level, and the order in which they become nodes."""

    levels: FloatArray  #: (grid,) Fermi levels [eV], rising
    gains: FloatArray  #: (grid,) read gains
    rise: FloatArray  #: (grid,) gain scaled to 0 at one end of the window and 1 at the other
    order: IntArray  #: (grid,) points between the ends, in the order in which they become nodes
    factor: FloatArray  #: (MOST_NODES, grid) triangular factor R of the pivoted QR, columns in that order


class _Fit(NamedTuple):
    low: float  #: first Fermi level of the table [eV]
    step: float  #: distance of its rows [eV]
    gains: FloatArray  #: (q,) gains at the nodes
    table: FloatArray  #: (levels, q) interpolation coefficients of the nodes
    tail: FloatArray  #: (2, q) as in GateNodes.tail


@lru_cache(maxsize=64)
def _fitted(cell: Cell, count: int, reach: float) -> _Fit:
    """Return the two ends and the first count - 2 other nodes, sorted, with a table of their coefficients."""
    frozen: Any = cell
    grid = _grid(frozen, reach)
    place = np.concatenate([[0, len(grid.gains) - 1], grid.order[: count - 2]])
    tail = np.zeros((2, count))
    for row, known in enumerate((max(count - 2, 1), count - 1)):
        tail[row, :known] = -_table(grid, known)[place[known]]
        tail[row, known] = 1.0
    rank = np.argsort(place)
    even = np.linspace(grid.levels[0], grid.levels[-1], DENSER * (len(grid.levels) - 1) + 1)
    with one_blas_thread():
        table = _barycentric(grid.levels, even) @ _table(grid, count)[:, rank]
    return _Fit(float(even[0]), float(even[1] - even[0]), grid.gains[place[rank]], table, tail[:, rank])


def _read(fit: _Fit, levels: FloatArray) -> FloatArray:
    """Return the interpolation coefficients of the nodes at Fermi levels [eV]: (…, q) from (…)."""
    position = np.clip((levels - fit.low) / fit.step, 0.0, len(fit.table) - 1.0)
    first = np.clip(position.astype(np.int64) - STENCIL // 2 + 1, 0, len(fit.table) - STENCIL)
    parts = _barycentric(np.arange(float(STENCIL)), position - first, EVEN)
    out: FloatArray = (parts[..., None, :] @ fit.table[first[..., None] + np.arange(STENCIL)])[..., 0, :]
    return out


def _table(grid: _Grid, count: int) -> FloatArray:
    """Return the coefficients of the two ends and the first count - 2 other nodes on the grid: (grid, count).

    They are a least-squares fit of all functions that is exact for a constant and for the gain itself;
    docs/equations/reduction.md eq. 12.
    """
    if count == 1:
        return np.ones((len(grid.gains), 1))
    inner = grid.order[: count - 2]
    parts = np.zeros((len(inner), len(grid.gains)))
    if len(inner):
        parts[:, grid.order] = solve_triangular(grid.factor[: len(inner), : len(inner)], grid.factor[: len(inner)])
    high = grid.rise - grid.rise[inner] @ parts
    return np.column_stack([1.0 - high - parts.sum(0), high, parts.T])


@lru_cache(maxsize=64)
def _grid(cell: Cell, reach: float) -> _Grid:
    """Choose the first grid that resolves all functions, and order its points by pivoted QR."""
    fine = np.linspace(cell.v_gate_min, cell.v_gate_max, 10 * GRIDS[-1] + 1)
    known = cell.fermi_energy(fine)
    for intervals in GRIDS:
        angles = np.pi * np.arange(2 * intervals + 1) / (2 * intervals)
        x = -np.cos(angles)
        targets = 0.5 * (known[0] + known[-1] + (known[-1] - known[0]) * x)
        v_gate = np.interp(targets, known, fine)
        for _ in range(3):  # refines the linear interpolation to rounding
            v_gate += (targets - cell.fermi_energy(v_gate)) * np.gradient(v_gate, targets)
        v_gate[[0, -1]] = cell.v_gate_min, cell.v_gate_max
        functions = _functions(cell, v_gate, x, reach)
        with one_blas_thread():
            between = _barycentric(targets[::2], targets[1::2]) @ functions[::2]
        if np.abs(between - functions[1::2]).max() <= HELD:
            break
    levels, gains, functions = targets[::2], cell.gate_gain(v_gate[::2]), functions[::2]
    rise = (gains - gains[0]) / (gains[-1] - gains[0])
    left = functions - functions[0] - np.outer(rise, functions[-1] - functions[0])
    shifts = np.exp(-RARITY * _shifts() ** 2)
    left *= np.concatenate([np.tile(shifts, len(BENDS)), np.ones(MOST_NODES - 1)])
    with one_blas_thread():
        factor, order = qr(left[1:-1].T, mode="r", pivoting=True)
    return _Grid(levels, gains, rise, order + 1, factor[: MOST_NODES - 2])


def _functions(cell: Cell, v_gate: FloatArray, x: FloatArray, reach: float) -> FloatArray:
    """Return the functions to fit at gate voltages, (points, functions).

    They are the gains of shifted cells, each with several series resistances, and small polynomials in x.
    """
    shifted = cell.gate_gain(v_gate[:, None] - reach * _shifts())
    degrees = np.arange(1, MOST_NODES)
    return np.column_stack([
        *(shifted / (1.0 + bend * shifted) for bend in BENDS),
        FILL * FADING**degrees * np.cos(np.arccos(x)[:, None] * degrees),
    ])  # fmt: skip


def _shifts() -> FloatArray:
    """Shifts (SHIFTS,) divided by the reach: Chebyshev points between -1 and 1."""
    out: FloatArray = np.cos(np.pi * (np.arange(SHIFTS) + 0.5) / SHIFTS)
    return out


def _barycentric(points: FloatArray, x: FloatArray, factors: FloatArray | None = None) -> FloatArray:
    """Return the interpolation coefficients of points at x: (…, points) from (…), with sum 1.

    factors: barycentric factors of the points; None: those of Chebyshev points of the second kind.
    Source: Berrut and Trefethen, SIAM Review 46 (2004) 501, eq. 4.2 and 5.4.
    """
    given = 1.0 - 2.0 * (np.arange(len(points)) % 2.0) if factors is None else factors
    if factors is None:
        given[[0, -1]] /= 2
    with np.errstate(divide="ignore"):
        terms = given / (x[..., None] - points)
    hit = np.isinf(terms)
    terms = np.where(hit.any(-1, keepdims=True), hit.astype(np.float64), terms)
    out: FloatArray = terms / terms.sum(-1, keepdims=True)
    return out


def _inside(gain: FloatArray, low: float, high: float) -> FloatArray:
    """Return gains clipped to [low, high]; raise ParameterError if they are outside by more than rounding."""
    gain = checks.array("gain", gain)
    slack = 1e-9 * high
    if gain.size and (gain.min() < low - slack or gain.max() > high + slack):
        raise ParameterError(
            f"gain must lie between {low:.6g} and {high:.6g}, got {gain.min():.6g} to {gain.max():.6g}"
        )
    return np.clip(gain, low, high)
