"""Noise of one read of one cell: thermal and shot noise as one, and 1/f noise of silver filaments."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.checks import array, check_fields, number, quantity
from devices.constants import BOLTZMANN, ELEMENTARY_CHARGE
from devices.errors import ParameterError

FLICKER_AT_CORNER = 5e-4  # sigma_I / I at the corner resistance, ours; measured filaments lie at 1e-4 .. 1e-2
FLICKER_CORNER = 500.0  # [ohm] from diffusive to ballistic, ours
FLICKER_DIFFUSIVE = 1.5  # power of the resistance below the corner, arXiv 0809.4841
FLICKER_BALLISTIC = 0.75  # and above it, same source
FLICKER_CAP = 0.1  # ours


def thermal_shot_density(current: npt.ArrayLike, v: npt.ArrayLike, temperature: float) -> FloatArray:
    """Return the noise density 2 q I coth(q v / 2kT) [A2/Hz] of a current [A] at a voltage v [V] and temperature [K].

    It tends to 4kT I/v for small v and to 2 q |I| for large.  Raises ParameterError at v = 0, where the current does
    not tell the conductance; cell_variance covers that case.  Source: docs/equations/cells.md eq. 20.
    """
    amps, volts = array("current", current), array("v", v)
    if volts.size and not volts.all():
        raise ParameterError("v must not be 0 V, where the density 4kTG needs the conductance: use cell_variance")
    result: FloatArray = amps / volts * _density_per_siemens(volts, temperature)
    return result[()]


def flicker_ratio(g: npt.ArrayLike) -> FloatArray:
    """Return sigma_I / I of silver filaments of conductance g [S] over the reference band; at g = 0 the cap.

    Source: docs/equations/cells.md eq. 21.
    """
    conductance = array("g", g, minimum=0.0)
    # in conductance, so that 0 needs no care: (R / corner)^p = (corner g)^-p
    x = np.maximum(conductance * FLICKER_CORNER, 1e-12)
    power = np.where(x > 1.0, FLICKER_DIFFUSIVE, FLICKER_BALLISTIC)
    result: FloatArray = np.minimum(FLICKER_AT_CORNER * x**-power, FLICKER_CAP)
    return result[()]


@dataclass(frozen=True)
class ReadNoise:
    """Which noises a read carries; docs/equations/cells.md section 6."""

    thermal_shot: bool = True  #: thermal and shot noise
    flicker: bool = True  #: 1/f noise of the filament
    observation_time: float = quantity(
        1.0, "s", above=0.0
    )  #: since the last calibration [s]; slower drift is not noise
    reference_low: float = quantity(1.0, "Hz", above=0.0)  #: band of flicker_ratio [Hz], ours
    reference_high: float = quantity(1e5, "Hz", above=0.0)  #: band of flicker_ratio [Hz], ours

    def __post_init__(self) -> None:
        check_fields(self)
        if self.reference_high <= self.reference_low:
            raise ParameterError(
                f"reference_high must be > reference_low = {self.reference_low:g} Hz, got {self.reference_high:g} Hz"
            )

    @classmethod
    def none(cls) -> ReadNoise:
        """Return silent reads."""
        return cls(thermal_shot=False, flicker=False)

    def cell_variance(
        self, g: npt.ArrayLike, v: npt.ArrayLike, t_read: float, temperature: float = 300.0
    ) -> FloatArray:
        """Return the variance [A2] of the current of cells, secant conductance g [S] at v [V], in a read of t_read [s].

        Arrays broadcast.  It is g white_per_siemens(v) + flicker_squared(g) v^2, so the sum over the cells of a column
        is two matrix products.  Source: docs/equations/cells.md eq. 22.
        """
        conductance, volts = array("g", g, minimum=0.0), array("v", v)
        result: FloatArray = (
            conductance * self.white_per_siemens(volts, t_read, temperature)
            + self.flicker_squared(conductance, t_read) * volts**2
        )
        return result[()]

    def white_per_siemens(self, v: npt.ArrayLike, t_read: float, temperature: float = 300.0) -> FloatArray:
        """Return the thermal and shot part of the variance over the conductance [A2/S] at voltages v [V]."""
        volts = array("v", v)
        bandwidth = 0.5 / number("t_read", t_read, unit="s", above=0.0)
        scale = bandwidth if self.thermal_shot else 0.0
        return (scale * _density_per_siemens(volts, temperature))[()]

    def flicker_squared(self, g: npt.ArrayLike, t_read: float) -> FloatArray:
        """Return the 1/f part of the variance over v^2 [S2] for secant conductances g [S].

        It is 0 where the observation is shorter than two reads.
        """
        conductance = array("g", g, minimum=0.0)
        bandwidth = 0.5 / number("t_read", t_read, unit="s", above=0.0)
        span = max(math.log(bandwidth * self.observation_time), 0.0) if self.flicker else 0.0
        share = span / math.log(self.reference_high / self.reference_low)
        result: FloatArray = share * (flicker_ratio(conductance) * conductance) ** 2
        return result[()]


def _density_per_siemens(v: FloatArray, temperature: float) -> FloatArray:
    """Return 4kT x coth(x) [A2/Hz/S] with x = q v / 2kT."""
    energy = BOLTZMANN * number("temperature", temperature, unit="K", above=0.0)
    x = np.abs(v) * (0.5 * ELEMENTARY_CHARGE / energy)
    safe = np.maximum(x, 1e-8)  # x coth(x) = 1 there to rounding
    result: FloatArray = 4.0 * energy * safe / np.tanh(safe)
    return result
