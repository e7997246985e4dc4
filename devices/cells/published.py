"""Two-terminal cell models of the literature behind the common cell interface: VTEAM and Stanford-PKU.

In this package a positive voltage sets every cell.  VTEAM is published with the opposite sign.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.cells.interface import (
    BarrierCell,
    GatelessCell,
    OhmicCell,
    checked_states,
    flat,
    geometric,
    geometric_state,
    rising,
)
from devices.checks import array, check_fields, number, quantity, voltages
from devices.constants import BOLTZMANN, ELEMENTARY_CHARGE
from devices.errors import ConvergenceError
from devices.laws.adaptive import AdaptiveLaw, OhmicLaw, ungated_barrier
from devices.states.drift import MOST_STEPS, PkuDrift, VteamDrift, drift_all


@dataclass(frozen=True)
class Vteam(OhmicCell):
    """VTEAM: an ohmic resistance between r_on and r_off whose state drifts above threshold voltages.

    The names are the published ones.  The terminal voltage of this cell is minus the published one, so that a positive
    voltage sets it.
    Source: Kvatinsky et al., IEEE Trans. Circuits Syst. II 62, 786 (2015), doi 10.1109/TCSII.2015.2433536;
    docs/equations/cells.md eq. 16-18.  The defaults are those of public implementations of the model.
    """

    r_on: float = quantity(50.0, "Ω", above=0.0)  #: resistance at w_on [ohm]
    r_off: float = quantity(1000.0, "Ω", above=0.0)  #: resistance at w_off [ohm]
    w_on: float = quantity(0.0, "m")  #: internal state when fully on [m]
    w_off: float = quantity(3e-9, "m")  #: internal state when fully off [m]
    k_on: float = quantity(-10.0, "m/s", maximum=0.0)  #: rate constant towards on [m/s], ≤ 0
    k_off: float = quantity(5e-4, "m/s", minimum=0.0)  #: rate constant towards off [m/s]
    v_on: float = quantity(-0.2, "V", below=0.0)  #: threshold towards on, published sign [V], < 0
    v_off: float = quantity(0.02, "V", above=0.0)  #: threshold towards off, published sign [V]
    alpha_on: float = quantity(3.0, above=0.0)  #: exponent of the overdrive towards on
    alpha_off: float = quantity(1.0, above=0.0)  #: exponent of the overdrive towards off
    exponential: bool = False  #: resistance exponential in the state; False: linear
    window: float = quantity(0.0, minimum=0.0)  #: exponent p of Biolek's window function; 0: hard limits

    def __post_init__(self) -> None:
        check_fields(self)
        rising(self, "r_on", "r_off", "Ω")
        rising(self, "w_on", "w_off", "m")

    @property
    def g_min(self) -> float:
        """Conductance of the off state, w = 0 [S]."""
        return 1.0 / self.r_off

    @property
    def g_max(self) -> float:
        """Conductance of the on state, w = 1 [S]."""
        return 1.0 / self.r_on

    @property
    def law(self) -> OhmicLaw:
        """Parameters of the current-voltage law, for kernels."""
        return OhmicLaw()

    def filament(self, w: npt.ArrayLike) -> FloatArray:
        """Return the conductance [S] of states w in [0, 1]: the resistance is linear or exponential in w.

        Raises ParameterError if a state lies outside [0, 1].
        """
        if self.exponential:
            return geometric(w, self.g_min, self.g_max)
        result: FloatArray = 1.0 / (self.r_off + checked_states(w) * (self.r_on - self.r_off))
        return result[()]

    def state(self, g_filament: npt.ArrayLike) -> FloatArray:
        """Return the state w in [0, 1] of conductances [S]; outside the nominal window w is 0 or 1."""
        if self.exponential:
            return geometric_state(g_filament, self.g_min, self.g_max)
        g = np.clip(array("g_filament", g_filament, minimum=0.0), self.g_min, self.g_max)
        return np.clip((self.r_off - 1.0 / g) / (self.r_off - self.r_on), 0.0, 1.0)[()]

    def drift(self) -> VteamDrift:
        """Return the parameters of the state equation, for kernels."""
        length = self.w_off - self.w_on
        return VteamDrift(
            -self.k_on / length, -self.v_on, self.alpha_on,
            self.k_off / length, self.v_off, self.alpha_off, self.window,
        )  # fmt: skip

    def evolve(
        self,
        w: npt.ArrayLike,
        v: npt.ArrayLike,
        v_gate: npt.ArrayLike = 0.0,
        dt: npt.ArrayLike = 0.0,
        temperature: float | None = None,
        *,
        largest_step: float = 0.005,
    ) -> FloatArray:
        """Return the states after a time dt [s] at constant cell voltage v [V]; v_gate and temperature have no effect.

        Raises ParameterError if a state lies outside [0, 1] or a time is negative.
        Source: docs/equations/cells.md eq. 17-18 and 22.
        """
        return _evolved(self.drift(), w, v, v_gate, dt, largest_step)


@dataclass(frozen=True)
class StanfordPku(BarrierCell, GatelessCell):
    """Stanford-PKU: a tunnelling gap that closes and opens, with Joule heating.

    Source: Jiang et al., SISPAD 2014, and IEEE Trans. Electron Devices 63, 1884 (2016); docs/equations/cells.md
    eq. 19-21.  The defaults are those of the published Verilog-A code, version 1.0.0, doi 10.4231/D37H1DN48; its
    random variation of the gap is left out.
    """

    i_0: float = quantity(1e-3, "A", above=0.0)  #: current scale [A]
    g_0: float = quantity(0.25e-9, "m", above=0.0)  #: gap over which the current decays by e [m]
    v_0: float = quantity(0.25, "V", above=0.0)  #: curvature of the I-V curve [V]
    gap_min: float = quantity(0.2e-9, "m", minimum=0.0)  #: smallest gap, at w = 1 [m]
    gap_max: float = quantity(1.7e-9, "m", above=0.0)  #: largest gap, at w = 0 [m]
    velocity: float = quantity(10.0, "m/s", minimum=0.0)  #: prefactor of the gap's velocity [m/s]
    e_activation: float = quantity(0.6, "eV", minimum=0.0)  #: activation energy of the gap's motion [eV]
    gamma_0: float = quantity(16.0, above=0.0)  #: local field enhancement at gap 0
    beta: float = quantity(0.8, minimum=0.0)  #: decrease of the field enhancement at gap_1
    gap_1: float = quantity(1e-9, "m", above=0.0)  #: reference gap of the field enhancement [m]
    power: float = quantity(3.0, above=0.0)  #: exponent of the gap in the field enhancement
    a_0: float = quantity(0.25e-9, "m", above=0.0)  #: hopping distance [m]
    thickness: float = quantity(12e-9, "m", above=0.0)  #: thickness of the oxide [m]
    field_min: float = quantity(1.4e9, "V/m", minimum=0.0)  #: smallest enhanced field that moves the gap [V/m]
    r_thermal: float = quantity(2.1e3, "K/W", minimum=0.0)  #: thermal resistance, filament to ambient [K/W]
    r_series: float = quantity(0.0, "Ω", minimum=0.0)  #: series resistance [ohm]; 0 is ours
    temperature: float = quantity(298.0, "K", above=0.0)  #: ambient temperature [K]

    def __post_init__(self) -> None:
        check_fields(self)
        rising(self, "gap_min", "gap_max", "m")

    @property
    def g_min(self) -> float:
        """Small-signal conductance at the largest gap [S]."""
        return self.i_0 / self.v_0 * math.exp(-self.gap_max / self.g_0)

    @property
    def g_max(self) -> float:
        """Small-signal conductance at the smallest gap [S]."""
        return self.i_0 / self.v_0 * math.exp(-self.gap_min / self.g_0)

    @property
    def law(self) -> AdaptiveLaw:
        """Parameters of the current-voltage law, for kernels: a sinh with a gain of 1."""
        return ungated_barrier(self.v_0, self.r_series)

    def filament(self, w: npt.ArrayLike) -> FloatArray:
        """Return the small-signal conductance [S] of states w in [0, 1], whose gap is gap_max - w (gap_max - gap_min).

        Raises ParameterError if a state lies outside [0, 1].
        """
        return geometric(w, self.g_min, self.g_max)

    def state(self, g_filament: npt.ArrayLike) -> FloatArray:
        """Return the state w in [0, 1] of small-signal conductances [S]; outside the nominal window w is 0 or 1."""
        return geometric_state(g_filament, self.g_min, self.g_max)

    def gap(self, w: npt.ArrayLike) -> FloatArray:
        """Return the gap [m] of states w in [0, 1]."""
        result: FloatArray = self.gap_max - checked_states(w) * (self.gap_max - self.gap_min)
        return result[()]

    def drift(self) -> PkuDrift:
        """Return the parameters of the state equation, for kernels."""
        per_kelvin = ELEMENTARY_CHARGE / BOLTZMANN
        return PkuDrift(
            self.gap_max, self.gap_max - self.gap_min, self.g_0, self.i_0 / self.v_0, self.v_0, self.r_series,
            self.velocity, self.e_activation * per_kelvin, self.gamma_0, self.beta, self.gap_1, self.power,
            self.field_min * self.thickness, per_kelvin * self.a_0 / self.thickness, self.r_thermal, self.temperature,
        )  # fmt: skip

    def evolve(
        self,
        w: npt.ArrayLike,
        v: npt.ArrayLike,
        v_gate: npt.ArrayLike = 0.0,
        dt: npt.ArrayLike = 0.0,
        temperature: float | None = None,
        *,
        largest_step: float = 0.005,
    ) -> FloatArray:
        """Return the states after a time dt [s] at constant cell voltage v [V]; v_gate has no effect.

        temperature [K] replaces the ambient temperature.  The filament's temperature follows its power without delay.
        Raises ParameterError if a state lies outside [0, 1] or a time is negative, ConvergenceError if more than
        MOST_STEPS steps are needed.
        Source: docs/equations/cells.md eq. 20-22.
        """
        cell = self if temperature is None else dataclasses.replace(self, temperature=temperature)
        return _evolved(cell.drift(), w, v, v_gate, dt, largest_step)


def _evolved(
    drift: Any, w: npt.ArrayLike, v: npt.ArrayLike, v_gate: npt.ArrayLike, dt: npt.ArrayLike, largest_step: float  # noqa: ANN401
) -> FloatArray:  # fmt: skip
    """Return the states after dt [s] at constant voltages, in the shape to which the arguments broadcast."""
    largest = number("largest_step", largest_step, above=0.0, maximum=0.5)
    (start, volts, _, times), shape = flat(
        w=checked_states(w), v=voltages("v", v), v_gate=voltages("v_gate", v_gate), dt=array("dt", dt, minimum=0.0)
    )
    result, missed = drift_all(drift, start, volts, times, largest)
    if missed:
        raise ConvergenceError(
            f"{missed} of {start.size} integrations not finished after {MOST_STEPS} steps; divide dt"
        )
    return result.reshape(shape)[()]
