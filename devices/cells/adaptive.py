"""The gated memristor cell: a current-voltage law, a window of filament conductance, a gate and a state equation.

The bounds of all parameters are checked when a cell is made.  The array arguments of a method broadcast with each
other; scalar arguments give numpy scalars.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.cells.interface import (
    BarrierCell,
    checked_states,
    flat,
    geometric,
    geometric_state,
    rising,
)
from devices.checks import array, check_fields, number, quantity, voltages
from devices.constants import BOLTZMANN_EV, ELEMENTARY_CHARGE, PLANCK
from devices.errors import ConvergenceError, ParameterError
from devices.laws import gate
from devices.laws.adaptive import AdaptiveLaw
from devices.states.filament import LARGEST_EXPONENT, MOST_STEPS, Growth, evolve

HBAR_EV = PLANCK / (2.0 * math.pi * ELEMENTARY_CHARGE)  # [eV s]


@dataclass(frozen=True)
class AdaptiveMemristor(BarrierCell):
    """A silver-filament cell with a gated graphene electrode; docs/equations/cells.md defines every symbol.

    The default parameters are ours.  They follow published devices of the same family (docs/equations/cells.md, last
    section); none of them was measured on the Ag/CrPS4/graphene cell itself.
    """

    g_min: float = quantity(0.5e-6, "S", above=0.0)  #: filament conductance at w = 0 [S]
    g_max: float = quantity(50e-6, "S", above=0.0)  #: filament conductance at w = 1 [S]; conductance quantum: 77.5 uS
    v_0: float = quantity(0.25, "V", above=0.0, allow_inf=True)  #: curvature of the I-V curve [V]; inf: straight line
    r_series: float = quantity(1e3, "Ω", minimum=0.0)  #: series resistance of the barrier [ohm]
    g_leak: float = quantity(1e-9, "S", minimum=0.0)  #: leakage in parallel with barrier and series resistance [S]
    v_dirac: float = quantity(0.0, "V")  #: gate voltage of the Dirac point [V]
    c_gate: float = quantity(1.55e-3, "F/m²", above=0.0)  #: gate capacitance [F/m2], 20 nm of h-BN
    n_0: float = quantity(2e15, "1/m²", above=0.0)  #: residual carrier density of charge puddles [1/m2]
    v_fermi: float = quantity(1e6, "m/s", above=0.0)  #: Fermi velocity of graphene [m/s], hbar v_F = 0.658 eV nm
    gain_min: float = quantity(0.01, minimum=0.0, maximum=1.0)  #: read gain of the closed gate; 1: no gate effect
    e_half: float = quantity(0.13, "eV")  #: Fermi level at which the gate is half open [eV]
    ideality: float = quantity(1.5, above=0.0)  #: width of the gain step in kT; > 1: inhomogeneous barrier
    v_gate_min: float = quantity(-2.0, "V")  #: lower end of the gate window [V]
    v_gate_max: float = quantity(4.0, "V")  #: upper end of the gate window [V]
    g_gate_leak: float = quantity(1e-16, "S", minimum=0.0)  #: leakage from a cell's gate to its column [S]
    k_set: float = quantity(7.4e-5, "1/s", minimum=0.0)  #: growth rate at 300 K [1/s]
    k_reset: float = quantity(2e-3, "1/s", minimum=0.0)  #: field-driven dissolution rate at 300 K [1/s]
    v_set: float = quantity(0.035, "V", above=0.0)  #: voltage scale of growth, rate ~ exp(v / v_set) [V]
    v_reset: float = quantity(0.035, "V", above=0.0)  #: voltage scale of dissolution [V]
    beta: float = quantity(0.5)  #: fraction of the Fermi level that lowers the barrier to growth
    #: the same of the barrier to dissolution under voltage; below 0 an open gate hinders RESET
    beta_reset: float = quantity(0.0)
    e_activation: float = quantity(0.6, "eV", minimum=0.0)  #: activation energy of k_set, k_reset [eV]
    lifetime: float = quantity(3e8, "s", above=0.0, allow_inf=True)  #: of a full filament at 0 V [s]; inf: stable
    w_critical: float = quantity(0.02, above=0.0)  #: state below which a filament decays exponentially at 0 V
    e_dissolution: float = quantity(0.4, "eV", minimum=0.0)  #: activation energy of 1 / lifetime, given at 300 K [eV]
    temperature: float = quantity(300.0, "K", above=0.0)  #: temperature of the cell [K]

    def __post_init__(self) -> None:
        check_fields(self)
        rising(self, "g_min", "g_max", "S")
        rising(self, "v_gate_min", "v_gate_max", "V")

    @property
    def gated(self) -> bool:
        """Whether the gate changes the read conductance."""
        return self.gain_min < 1.0

    @property
    def law(self) -> AdaptiveLaw:
        """Parameters of the current-voltage law, for kernels."""
        root = HBAR_EV * self.v_fermi * math.sqrt(math.pi)  # [eV m]
        return AdaptiveLaw(
            v_0=self.v_0,
            r_series=self.r_series,
            g_leak=self.g_leak,
            v_dirac=self.v_dirac,
            e_residual=root * math.sqrt(self.n_0),
            e_quantum=root**2 * self.c_gate / ELEMENTARY_CHARGE,
            gain_min=self.gain_min,
            e_half=self.e_half,
            e_slope=self.ideality * BOLTZMANN_EV * self.temperature,
        )

    @property
    def gain_low(self) -> float:
        """Read gain at v_gate_min."""
        return float(gate.read_gain(self.law, self.v_gate_min))

    @property
    def gain_high(self) -> float:
        """Read gain at v_gate_max."""
        return float(gate.read_gain(self.law, self.v_gate_max))

    def at(self, temperature: float | None) -> "AdaptiveMemristor":
        """Return the cell at a temperature [K]; None: the cell itself."""
        return self if temperature is None else dataclasses.replace(self, temperature=temperature)

    def filament(self, w: npt.ArrayLike) -> FloatArray:
        """Return the filament conductance [S] of states w in [0, 1]: g_min (g_max / g_min)^w.

        Raises ParameterError if a state lies outside [0, 1].
        """
        return geometric(w, self.g_min, self.g_max)

    def state(self, g_filament: npt.ArrayLike) -> FloatArray:
        """Return the state w in [0, 1] of filament conductances [S]; outside the nominal window w is 0 or 1."""
        return geometric_state(g_filament, self.g_min, self.g_max)

    def fermi_energy(self, v_gate: npt.ArrayLike) -> FloatArray:
        """Return the Fermi level [eV] of the graphene at gate voltages [V]."""
        (volts,), shape = flat(v_gate=voltages("v_gate", v_gate))
        return gate.fermi_energies(self.law, volts).reshape(shape)[()]

    def gate_gain(self, v_gate: npt.ArrayLike) -> FloatArray:
        """Return the read gain, between gain_min and 1, at gate voltages [V], also outside the gate window."""
        (volts,), shape = flat(v_gate=voltages("v_gate", v_gate))
        return gate.read_gains(self.law, volts).reshape(shape)[()]

    def gate_voltage(self, gain: npt.ArrayLike) -> FloatArray:
        """Return the gate voltages [V] of read gains, the exact inverse of gate_gain, also outside the gate window.

        Raises ParameterError if a gain lies outside (gain_min, 1) or the cell is not gated.
        """
        gains = array("gain", gain)
        bad = ~((gains > self.gain_min) & (gains < 1.0))
        if bad.any():
            first = gains[bad].flat[0]
            raise ParameterError(
                f"gain must lie inside ({self.gain_min:g}, 1), got {first:g} ({np.count_nonzero(bad)} of {gains.size})"
            )
        return gate.gate_voltages(self.law, gains.reshape(-1)).reshape(gains.shape)[()]

    def growth(self) -> Growth:
        """Return the parameters of the state equation at this cell's temperature, for kernels."""
        inverse = (1.0 / self.temperature - 1.0 / 300.0) / BOLTZMANN_EV  # [1/eV]
        arrhenius = math.exp(-self.e_activation * inverse)
        return Growth(
            g_min=self.g_min,
            ln_window=math.log(self.g_max / self.g_min),
            k_set=self.k_set * arrhenius,
            k_reset=self.k_reset * arrhenius,
            v_set=self.v_set,
            v_reset=self.v_reset,
            gate_per_ev=self.beta / (BOLTZMANN_EV * self.temperature),
            reset_per_ev=self.beta_reset / (BOLTZMANN_EV * self.temperature),
            lifetime=self.lifetime * math.exp(min(self.e_dissolution * inverse, LARGEST_EXPONENT)),
            w_critical=self.w_critical,
        )

    def evolve(
        self,
        w: npt.ArrayLike,
        v: npt.ArrayLike,
        v_gate: npt.ArrayLike,
        dt: npt.ArrayLike,
        temperature: float | None = None,
        *,
        largest_step: float = 0.005,
    ) -> FloatArray:
        """Return the states after a time dt [s] at constant cell voltage v [V] and gate voltage v_gate [V].

        The time is divided into exponential-Euler sub-steps that move w by about largest_step.  temperature [K]
        replaces that of the cell; it acts on SET, RESET, the gate and the lifetime at 0 V.
        Raises ParameterError if a state lies outside [0, 1] or a time is negative, ConvergenceError if more than
        MOST_STEPS sub-steps are needed.
        Source: docs/equations/cells.md eq. 12-15.
        """
        if temperature is not None:
            return self.at(temperature).evolve(w, v, v_gate, dt, largest_step=largest_step)
        largest = number("largest_step", largest_step, above=0.0, maximum=0.5)
        (states, volts, gates, times), shape = flat(
            w=checked_states(w), v=voltages("v", v), v_gate=voltages("v_gate", v_gate), dt=array("dt", dt, minimum=0.0)
        )
        law = self.law
        energies = gate.fermi_energies(law, gates)
        gains = gate.read_gains(law, gates)
        result, missed = evolve(law, self.growth(), states, volts, gains, energies, times, largest)
        if missed:
            raise ConvergenceError(
                f"{missed} of {states.size} integrations not finished after {MOST_STEPS} sub-steps; raise largest_step "
                f"(now {largest:g}) or divide dt"
            )
        return result.reshape(shape)[()]
