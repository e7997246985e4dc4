"""Random telegraph noise: traps that switch a cell's current between two levels; spectra, variances and traces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from devices.aliases import BoolArray, FloatArray, IntArray
from devices.checks import MOST_AMPERES, array, broadcast_shape, instance, number, sizes
from devices.errors import ParameterError
from devices.numerics.jit import kernel

MOST_LN_SIGMA = 15.0  # of a lognormal spread, ours: over a factor of three million, and its square has a mean
MOST_TRAPS = 1e6  # mean number of one cell, ours


@dataclass(frozen=True, eq=False)
class Traps:
    """The traps of an array of cells; a filled trap lowers the conductance of its cell by a relative step."""

    shape: tuple[int, ...]  #: shape of the array of cells
    cell: IntArray  #: (traps,) flat index of the cell of each trap
    size: FloatArray  #: (traps,) relative step over the median step, which depends on the cell's conductance
    t_empty: FloatArray  #: (traps,) mean time until an empty trap is filled [s]
    t_filled: FloatArray  #: (traps,) mean time until a filled trap is emptied [s]

    @classmethod
    def draw(
        cls,
        shape: tuple[int, ...],
        mean: float,
        ln_sigma: float,
        dwell_median: float,
        dwell_ln_sigma: float,
        rng: np.random.Generator,
    ) -> Traps:
        """Draw a Poisson number of traps per cell, each with a lognormal step and two lognormal dwell times."""
        shape = sizes("shape", shape)
        instance("rng", rng, np.random.Generator)
        counts = rng.poisson(number("mean", mean, minimum=0.0, maximum=MOST_TRAPS), math.prod(shape))
        ln_sigma, dwell_ln_sigma = (
            number("ln_sigma", ln_sigma, minimum=0.0, maximum=MOST_LN_SIGMA),
            number("dwell_ln_sigma", dwell_ln_sigma, minimum=0.0, maximum=MOST_LN_SIGMA),
        )
        dwell_median = number("dwell_median", dwell_median, unit="s", above=0.0)
        cell = np.repeat(np.arange(counts.size), counts)
        size = np.exp(ln_sigma * rng.standard_normal(cell.size))
        empty, filled = dwell_median * np.exp(dwell_ln_sigma * rng.standard_normal((2, cell.size)))
        return cls(tuple(shape), cell, size, empty, filled)

    @property
    def filled(self) -> FloatArray:
        """Fraction of the time for which each trap is filled (traps,)."""
        part: FloatArray = self.t_filled / (self.t_empty + self.t_filled)
        return part

    @property
    def corner(self) -> FloatArray:
        """Corner frequency of each trap's spectrum [Hz] (traps,).

        Source: docs/equations/noise.md eq. 5.
        """
        rate: FloatArray = (1.0 / self.t_empty + 1.0 / self.t_filled) / (2.0 * math.pi)
        return rate

    def steps(self, typical: FloatArray) -> FloatArray:
        """Relative steps (traps,), at most 1, for median steps `typical` that have the shape of the cells."""
        step: FloatArray = np.minimum(self.size * np.broadcast_to(typical, self.shape).reshape(-1)[self.cell], 1.0)
        return step

    def spectrum(self, f: FloatArray, typical: FloatArray, current: FloatArray) -> FloatArray:
        """Return densities [A²/Hz] at f [Hz] of cells that carry `current` [A]; f broadcasts with the cells' shape."""
        shape = np.broadcast_shapes(f.shape, self.shape, np.shape(current))
        out = np.zeros(shape)
        frequency, cells = np.broadcast_to(f, shape), np.broadcast_to(self._numbers(), shape)
        strength = 2.0 / (math.pi * self.corner) * self.filled * (1.0 - self.filled) * self.steps(typical) ** 2
        for trap, cell in enumerate(self.cell.tolist()):
            mine = cells == cell
            out[mine] += strength[trap] / (1.0 + (frequency[mine] / self.corner[trap]) ** 2)
        result: FloatArray = out * np.broadcast_to(current, shape) ** 2
        return result

    def variance(self, low: float, high: float, typical: FloatArray, current: FloatArray) -> FloatArray:
        """Return the variance [A²] between two frequencies [Hz] of cells that carry `current` [A].

        Source: docs/equations/noise.md eq. 6.
        """
        low, high = number("low", low, unit="Hz", minimum=0.0), number("high", high, unit="Hz", minimum=0.0)
        typical = array("typical", typical, minimum=0.0, largest=MOST_AMPERES)
        current = array("current", current, largest=MOST_AMPERES)
        for name, each in (("typical", typical), ("current", current)):
            if broadcast_shape(cells=np.empty(self.shape), **{name: each}) != self.shape:
                raise ParameterError(f"{name} must fit the cells of shape {self.shape}, got shape {each.shape}")
        share = (np.arctan(high / self.corner) - np.arctan(low / self.corner)) * (2.0 / math.pi)
        each = self.steps(typical) ** 2 * self.filled * (1.0 - self.filled) * share
        total = np.bincount(self.cell, each, math.prod(self.shape)).reshape(self.shape)
        result: FloatArray = total * np.asarray(current) ** 2
        return result

    def _numbers(self) -> IntArray:
        return np.arange(math.prod(self.shape)).reshape(self.shape)


@lru_cache(maxsize=4096)
def mean_share(low: float, high: float, dwell_median: float, dwell_ln_sigma: float) -> float:
    """Return the mean over traps of the variance between two frequencies [Hz], divided by the squared step.

    With low = high it returns the spectral density at that frequency [1/Hz].  Both dwell times are lognormal.  The mean
    over them is a sum on a grid; as the integrand is smooth, its error is at most 1e-6.
    Source: docs/equations/noise.md eq. 8-9.
    """
    if dwell_ln_sigma == 0.0:
        scales = chances = ratios = np.ones(1)
        ratios = np.zeros(1)
    else:
        z = np.linspace(-7.0, 7.0, 281)
        normal = np.exp(-0.5 * z * z)
        chances = normal / normal.sum()
        ratios = math.sqrt(2.0) * dwell_ln_sigma * z  # ln of one dwell time over the other
        scales = np.exp(dwell_ln_sigma / math.sqrt(2.0) * z)  # their geometric mean over the median
    cosh = np.cosh(0.5 * ratios)[:, None]
    omega_tau = 2.0 * math.pi * dwell_median * scales / (2.0 * cosh)  # 2 pi tau, for 1 Hz
    if low == high:
        band = 2.0 / math.pi * omega_tau / (1.0 + (omega_tau * low) ** 2)
    else:
        band = 2.0 / math.pi * (np.arctan(omega_tau * high) - np.arctan(omega_tau * low))
    return float(chances @ (band / (4.0 * cosh**2)) @ chances)


@kernel
def chain(start: bool, fill: float, empty: float, draws: FloatArray, out: BoolArray) -> None:
    """Fill `out` with the states of a trap; fill and empty are the transition probabilities per time step."""
    state = start
    for i in range(draws.size):
        out[i] = state
        state = draws[i] >= empty if state else draws[i] < fill


def telegraph_states(traps: Traps, typical: FloatArray, steps: int, dt: float, rng: np.random.Generator) -> FloatArray:
    """Return relative deviations (..., steps) of the current of cells from its mean, sampled every dt [s].

    Each trap is a stationary two-state Markov chain with exact transition probabilities.
    Source: docs/equations/noise.md eq. 12.
    """
    out = np.zeros((math.prod(traps.shape), steps))
    step, filled, rate = traps.steps(typical), traps.filled, 2.0 * math.pi * traps.corner
    for trap, cell in enumerate(traps.cell.tolist()):
        draws, states = rng.random(steps + 1), np.empty(steps, dtype=np.bool_)
        moved = -math.expm1(-rate[trap] * dt)
        chain(bool(draws[0] < filled[trap]), moved * filled[trap], moved * (1.0 - filled[trap]), draws[1:], states)
        out[cell] -= step[trap] * (states - filled[trap])
    return out.reshape(*traps.shape, steps)
