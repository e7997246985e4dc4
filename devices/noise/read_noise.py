"""Noise of a cell's current as a spectrum, as a variance in a band, and as a trace in time.

It consists of thermal and shot noise (one expression for both), 1/f noise of silver filaments, and random telegraph
noise of single traps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.checks import (
    LEAST_KELVIN,
    LEAST_SECONDS,
    array,
    broadcast_shape,
    check_fields,
    number,
    positive,
    quantity,
    sizes,
    voltages,
    whole,
)
from devices.constants import BOLTZMANN, ELEMENTARY_CHARGE
from devices.errors import ParameterError
from devices.noise.noise_table import NoiseTable
from devices.noise.traps import MOST_LN_SIGMA, Traps, mean_share, telegraph_states

FLICKER_AT_CORNER = 5e-4  # sigma_I / I at the corner resistance, ours; measured filaments lie at 1e-4 .. 1e-2
FLICKER_CORNER = 500.0  # [ohm] corner resistance between diffusive and ballistic filaments, ours
FLICKER_DIFFUSIVE = 1.5  # exponent of the resistance below the corner, arXiv 0809.4841
FLICKER_BALLISTIC = 0.75  # exponent above the corner, same source
FLICKER_CAP = 0.1  # largest sigma_I / I, ours


def thermal_shot_density(current: npt.ArrayLike, v: npt.ArrayLike, temperature: float) -> FloatArray:
    """Return the noise density 2 q I coth(q v / 2kT) [A2/Hz] of a current [A] at a voltage v [V] and temperature [K].

    It tends to 4kT I/v for small v and to 2 q |I| for large v.  Raises ParameterError at v = 0, where the conductance
    does not follow from the current; use cell_variance there.  Source: docs/equations/noise.md eq. 1.
    """
    amps, volts = array("current", current), voltages("v", v)
    if volts.size and not volts.all():
        raise ParameterError("v must not be 0 V, where the density 4kTG needs the conductance: use cell_variance")
    result: FloatArray = amps / volts * _density_per_siemens(volts, temperature)
    return result[()]


def flicker_ratio(g: npt.ArrayLike) -> FloatArray:
    """Return sigma_I / I of silver filaments of conductance g [S] in the reference band; FLICKER_CAP at g = 0.

    Source: docs/equations/noise.md eq. 2.
    """
    conductance = array("g", g, minimum=0.0)
    # written with the conductance, so that g = 0 is no special case: (R / corner)^p = (corner g)^-p
    x = np.maximum(conductance * FLICKER_CORNER, 1e-12)
    power = np.where(x > 1.0, FLICKER_DIFFUSIVE, FLICKER_BALLISTIC)
    result: FloatArray = np.minimum(FLICKER_AT_CORNER * x**-power, FLICKER_CAP)
    return result[()]


@dataclass(frozen=True)
class ReadNoise:
    """The kinds of noise in a cell's current and their strengths; docs/equations/noise.md.

    Random telegraph noise is off by default, because few cells show it and its strength in this device is not known.
    Switching it on or off does not change the other kinds of noise.
    """

    thermal_shot: bool = True  #: thermal and shot noise
    flicker: bool = True  #: 1/f noise of the filament
    observation_time: float = quantity(
        1.0, "s", above=0.0
    )  #: time since the last calibration [s]; slower drift does not count as noise
    reference_low: float = quantity(1.0, "Hz", above=0.0)  #: lower end of the band of flicker_ratio [Hz], ours
    reference_high: float = quantity(1e5, "Hz", above=0.0)  #: upper end of the band of flicker_ratio [Hz], ours
    telegraph: bool = False  #: random telegraph noise of traps near the filament
    traps: float = quantity(0.1, minimum=0.0)  #: mean number of traps per cell, Poisson distributed, ours
    trap_ratio: float = quantity(2.0, minimum=0.0)  #: median relative step of a trap over flicker_ratio, ours
    trap_ln_sigma: float = quantity(
        0.8, minimum=0.0, maximum=MOST_LN_SIGMA
    )  #: standard deviation of the logarithm of a trap's step, ours
    dwell_median: float = quantity(1e-3, "s", above=0.0)  #: median of both dwell times of a trap [s], ours
    dwell_ln_sigma: float = quantity(
        3.5, minimum=0.0, maximum=MOST_LN_SIGMA
    )  #: of their logarithms, ours: 95 % from 1 us to 1 s
    table: NoiseTable | None = None  #: measured noise of a read, in place of all other kinds

    def __post_init__(self) -> None:
        check_fields(self)
        if self.table is not None and not isinstance(self.table, NoiseTable):
            raise ParameterError(f"table must be a NoiseTable, in a chip file a .csv or .toml file, got {self.table!r}")
        if self.reference_high <= self.reference_low:
            raise ParameterError(
                f"reference_high must be > reference_low = {self.reference_low:g} Hz, got {self.reference_high:g} Hz"
            )

    @classmethod
    def none(cls) -> ReadNoise:
        """Return a ReadNoise without any noise."""
        return cls(thermal_shot=False, flicker=False)

    @property
    def silent(self) -> bool:
        """Whether a read carries no noise at all."""
        if self.table is not None:
            return not any(self.table.sigma)
        return not (self.thermal_shot or self.flicker or self.telegraph)

    # the variance of one read, which is added to the currents of a tile

    def cell_variance(
        self, g: npt.ArrayLike, v: npt.ArrayLike, t_read: float, temperature: float = 300.0
    ) -> FloatArray:
        """Return the variance [A2] of the current of cells, secant conductance g [S] at v [V], in a read of t_read [s].

        Arrays broadcast.  The variance is g white_per_siemens(v) + proportional_squared(g) v^2, so that the sum over
        the cells of a column is two matrix products.  Telegraph noise enters as its mean over cells.
        Source: docs/equations/noise.md eq. 10.
        """
        conductance, volts = array("g", g, minimum=0.0), voltages("v", v)
        broadcast_shape(g=conductance, v=volts)
        result: FloatArray = (
            conductance * self.white_per_siemens(volts, t_read, temperature)
            + self.proportional_squared(conductance, t_read) * volts**2
        )
        return result[()]

    def white_per_siemens(self, v: npt.ArrayLike, t_read: float, temperature: float = 300.0) -> FloatArray:
        """Return the variance of thermal and shot noise divided by the conductance [A2/S], at voltages v [V].

        It is 0 with a table, whose noise is all in proportional_squared.
        """
        volts = voltages("v", v)
        bandwidth = 0.5 / positive("t_read", t_read, "s", LEAST_SECONDS)
        scale = bandwidth if self.thermal_shot and self.table is None else 0.0
        return (scale * _density_per_siemens(volts, temperature))[()]

    def flicker_squared(self, g: npt.ArrayLike, t_read: float) -> FloatArray:
        """Return the variance of 1/f noise divided by v^2 [S2] for secant conductances g [S].

        It is 0 if observation_time is shorter than two reads.
        """
        bandwidth = 0.5 / positive("t_read", t_read, "s", LEAST_SECONDS)
        return self._flicker_in(array("g", g, minimum=0.0), 1.0 / self.observation_time, bandwidth)

    def telegraph_squared(self, g: npt.ArrayLike, t_read: float) -> FloatArray:
        """Return the mean variance of telegraph noise divided by v^2 [S2] for secant conductances g [S].

        It is 0 if observation_time is shorter than two reads.
        """
        bandwidth = 0.5 / positive("t_read", t_read, "s", LEAST_SECONDS)
        return self._telegraph_in(array("g", g, minimum=0.0), 1.0 / self.observation_time, bandwidth)

    def proportional_squared(self, g: npt.ArrayLike, t_read: float) -> FloatArray:
        """Return the variance of the noise that is proportional to v, 1/f and telegraph noise, divided by v^2 [S2].

        With a table it is the squared deviation that was measured, for any t_read [s].
        """
        if self.table is not None:
            measured: FloatArray = self.table.sigmas(g) ** 2
            return measured[()]
        flicker = self.flicker_squared(g, t_read)
        return flicker + self.telegraph_squared(g, t_read) if self.telegraph else flicker

    # spectrum, variance in a band, and trace

    def spectrum(
        self,
        f: npt.ArrayLike,
        g: npt.ArrayLike,
        v: npt.ArrayLike,
        temperature: float = 300.0,
        traps: Traps | None = None,
    ) -> FloatArray:
        """Return the one-sided density [A2/Hz] at frequencies f [Hz] of cells of secant conductance g [S] at v [V].

        f, g and v broadcast.  traps: the traps of these cells, drawn for the shape of g; None: the mean over cells.
        1/f noise is 0 below 1 / observation_time, as calibration removes slower changes.
        Source: docs/equations/noise.md eq. 1, 3, 5 and 8.
        """
        self._refuse_table()
        frequency, conductance, volts = array("f", f, minimum=0.0), array("g", g, minimum=0.0), voltages("v", v)
        density = np.zeros(broadcast_shape(f=frequency, g=conductance, v=volts))
        if self.thermal_shot:
            density = density + conductance * _density_per_siemens(volts, temperature)
        if self.flicker:
            shown = frequency >= 1.0 / self.observation_time
            per_f = np.divide(1.0, frequency, out=np.zeros_like(frequency), where=shown & (frequency > 0.0))
            density = density + (flicker_ratio(conductance) * conductance * volts) ** 2 / self._ln_band * per_f
        if self.telegraph:
            if traps is None:
                shares = np.array([mean_share(each, each, *self._dwells) for each in frequency.ravel().tolist()])
                mean = shares.reshape(frequency.shape) * self._mean_steps_squared(conductance)
                density = density + mean * (conductance * volts) ** 2
            else:
                density = density + traps.spectrum(frequency, self._typical_step(conductance), conductance * volts)
        return density[()]

    def variance(
        self,
        g: npt.ArrayLike,
        v: npt.ArrayLike,
        low: float,
        high: float,
        temperature: float = 300.0,
        traps: Traps | None = None,
    ) -> FloatArray:
        """Return the variance [A2] between the frequencies low and high [Hz]: the integral of the spectrum.

        Arguments as for spectrum; low may be 0.  Source: docs/equations/noise.md eq. 4, 6 and 9.
        """
        self._refuse_table()
        f_low, f_high = self._band(low, high)
        conductance, volts = array("g", g, minimum=0.0), voltages("v", v)
        total = np.zeros(broadcast_shape(g=conductance, v=volts))
        if self.thermal_shot:
            total = total + conductance * _density_per_siemens(volts, temperature) * (f_high - f_low)
        if self.flicker:
            total = total + self._flicker_in(conductance, max(f_low, 1.0 / self.observation_time), f_high) * volts**2
        if self.telegraph:
            if traps is None:
                total = total + self._telegraph_in(conductance, f_low, f_high) * volts**2
            else:
                total = total + traps.variance(f_low, f_high, self._typical_step(conductance), conductance * volts)
        return total[()]

    def sigma(
        self,
        g: npt.ArrayLike,
        v: npt.ArrayLike,
        low: float,
        high: float,
        temperature: float = 300.0,
        traps: Traps | None = None,
    ) -> FloatArray:
        """Return the standard deviation [A] between the frequencies low and high [Hz]; arguments as for variance."""
        result: FloatArray = np.sqrt(self.variance(g, v, low, high, temperature, traps))
        return result[()]

    def trace(
        self,
        g: npt.ArrayLike,
        v: npt.ArrayLike,
        dt: float,
        steps: int,
        rng: np.random.Generator,
        temperature: float = 300.0,
        traps: Traps | None = None,
    ) -> FloatArray:
        """Return deviations (..., steps) [A] of the current from its mean, dt [s] apart, for g [S] and v [V] (...).

        White noise has the bandwidth 1 / 2dt.  1/f noise extends from 1 / (4 steps dt), or 1 / observation_time if that
        is higher, to 1 / 2dt.  Each trap is an exact two-state Markov chain, sampled every dt.  traps: as for spectrum;
        None draws them.  Each kind of noise has its own child of rng, so that switching one off changes no other.
        Source: docs/equations/noise.md section 4.
        """
        self._refuse_table()
        step, count = positive("dt", dt, "s", LEAST_SECONDS), whole("steps", steps, minimum=1)
        if not isinstance(rng, np.random.Generator):
            raise ParameterError(f"rng must be a numpy.random.Generator, got {rng!r}")
        conductance, volts = array("g", g, minimum=0.0), voltages("v", v)
        shape = broadcast_shape(g=conductance, v=volts)
        streams = rng.spawn(4)
        current = np.zeros((*shape, count))
        if self.thermal_shot:
            sigma = np.sqrt(conductance * _density_per_siemens(volts, temperature) * (0.5 / step))
            current += np.broadcast_to(sigma, shape)[..., None] * streams[0].standard_normal((*shape, count))
        if self.flicker:
            size = np.broadcast_to(flicker_ratio(conductance) * conductance * volts, shape)
            size = size / math.sqrt(self._ln_band)
            current += size[..., None] * _pink(shape, count, step, 1.0 / self.observation_time, streams[1])
        if self.telegraph:
            mine = self.draw_traps(shape, streams[2]) if traps is None else traps
            typical = np.broadcast_to(self._typical_step(conductance), shape)
            current += telegraph_states(mine, typical, count, step, streams[3]) * np.broadcast_to(
                conductance * volts, shape
            )[..., None]  # fmt: skip
        return current

    def draw_traps(self, shape: tuple[int, ...], rng: np.random.Generator) -> Traps:
        """Draw the traps of cells in an array of this shape; a chip keeps its traps when cells are written again.

        Source: docs/equations/noise.md section 3.
        """
        return Traps.draw(
            sizes("shape", shape), self.traps, self.trap_ln_sigma, self.dwell_median, self.dwell_ln_sigma, rng
        )

    def _refuse_table(self) -> None:
        """Raise ParameterError if the noise is a table, which says nothing about frequencies."""
        if self.table is not None:
            raise ParameterError(f"table must be None for a spectrum or a trace: {self.table} has single reads only")

    @property
    def _ln_band(self) -> float:
        """Logarithm of the width of the reference band."""
        return math.log(self.reference_high / self.reference_low)

    @property
    def _dwells(self) -> tuple[float, float]:
        return self.dwell_median, self.dwell_ln_sigma

    def _band(self, low: float, high: float) -> tuple[float, float]:
        f_low = number("low", low, unit="Hz", minimum=0.0)
        f_high = number("high", high, unit="Hz", above=0.0)
        if f_high < f_low:
            raise ParameterError(f"high must be ≥ low = {f_low:g} Hz, got {f_high:g} Hz")
        return f_low, f_high

    def _flicker_in(self, g: FloatArray, low: float, high: float) -> FloatArray:
        """Variance of 1/f noise divided by v² [S²] in a band [Hz]; 0 if the band is empty."""
        span = max(math.log(high / low), 0.0) if self.flicker else 0.0
        result: FloatArray = span / self._ln_band * (flicker_ratio(g) * g) ** 2
        return result[()]

    def _telegraph_in(self, g: FloatArray, low: float, high: float) -> FloatArray:
        """Mean variance of telegraph noise divided by v² [S²] in a band [Hz]; 0 if the band is empty."""
        if not self.telegraph or high <= low:
            return np.zeros_like(g)[()]
        result: FloatArray = mean_share(low, high, *self._dwells) * self._mean_steps_squared(g) * g**2
        return result[()]

    def _typical_step(self, g: FloatArray) -> FloatArray:
        """Median relative step of a trap in a cell of conductance g [S]."""
        result: FloatArray = self.trap_ratio * np.asarray(flicker_ratio(g))
        return result

    def _mean_steps_squared(self, g: FloatArray) -> FloatArray:
        """Mean over cells of the sum of the squared relative steps of their traps; each step is at most 1.

        Source: docs/equations/noise.md eq. 7.
        """
        from scipy.special import ndtr

        m, s = np.maximum(self._typical_step(g), 1e-300), self.trap_ln_sigma
        if s == 0.0:
            mean: FloatArray = np.minimum(m, 1.0) ** 2
        else:
            mean = m**2 * math.exp(2.0 * s * s) * ndtr(-np.log(m) / s - 2.0 * s) + ndtr(np.log(m) / s)
        return self.traps * mean


def _pink(shape: tuple[int, ...], steps: int, dt: float, lowest: float, rng: np.random.Generator) -> FloatArray:
    """Return traces (..., steps) of density 1/f from 1 / (4 steps dt), or `lowest` [Hz], to 1 / 2dt.

    They are the first half of a periodic trace of twice the length.  The variance of each of its Fourier lines is the
    integral of the density over the frequencies nearest to that line.
    Source: docs/equations/noise.md eq. 11.
    """
    n = 2 * steps
    lines = np.arange(1, steps + 1, dtype=np.float64)
    low, high = np.maximum((lines - 0.5) / (n * dt), lowest), np.minimum(lines + 0.5, steps) / (n * dt)
    variance = np.log(np.maximum(high / low, 1.0))
    parts = rng.standard_normal((*shape, steps, 2))
    # a Fourier line of variance s² is s (a cos + b sin); the last one, at 1 / 2dt, has no sine
    coefficients = (parts[..., 0] - 1j * parts[..., 1]) * (0.5 * n * np.sqrt(variance))
    coefficients[..., -1] = parts[..., -1, 0] * (n * math.sqrt(variance[-1]))
    full = np.concatenate([np.zeros((*shape, 1)), coefficients], axis=-1)
    result: FloatArray = np.fft.irfft(full, n, axis=-1)[..., :steps]
    return result


def _density_per_siemens(v: FloatArray, temperature: float) -> FloatArray:
    """Return 4kT x coth(x) [A2/Hz/S] with x = q v / 2kT."""
    energy = BOLTZMANN * positive("temperature", temperature, "K", LEAST_KELVIN)
    x = np.abs(v) * (0.5 * ELEMENTARY_CHARGE / energy)
    safe = np.maximum(x, 1e-8)  # below 1e-8, x coth(x) = 1 to rounding
    result: FloatArray = 4.0 * energy * safe / np.tanh(safe)
    return result
