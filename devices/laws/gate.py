"""The graphene gate of a cell: kernels between gate voltage, Fermi level and read gain.

Energies are in eV, so that E/q has the same value in volts.
"""

import math
from typing import Protocol

import numpy as np

from devices.aliases import FloatArray
from devices.numerics.jit import kernel

NEWTON_STEPS = 4  # reach 1e-15 of the Fermi level for all parameters, see fermi_energy


class GateParameters(Protocol):
    """The fields of a law that the kernels of this file use."""

    @property
    def v_dirac(self) -> float:
        """Gate voltage of the Dirac point [V]."""

    @property
    def e_residual(self) -> float:
        """Fermi level of the residual carrier density [eV]: hbar v_F sqrt(pi n_0)."""

    @property
    def e_quantum(self) -> float:
        """Fermi level at which quantum and gate capacitance are equal [eV]: (hbar v_F)^2 pi C_g / q."""

    @property
    def gain_min(self) -> float:
        """Read gain of the closed gate."""

    @property
    def e_half(self) -> float:
        """Fermi level at which the gate is half open [eV]."""

    @property
    def e_slope(self) -> float:
        """Width of the gain step [eV]: ideality x kT."""


@kernel(inline=True)
def overdrive(law: GateParameters, energy: float) -> float:
    """Return the gate voltage relative to the Dirac point [V] at a Fermi level [eV].

    Source: docs/equations/cells.md eq. 3.
    """
    p = energy * energy
    carriers = math.sqrt(0.5 * (p + math.sqrt(p * p + 4.0 * law.e_residual**4)))
    return energy + energy * carriers / law.e_quantum


@kernel(inline=True)
def fermi_energy(law: GateParameters, v_gate: float) -> float:
    """Return the Fermi level [eV] at a gate voltage [V].

    Newton's method solves docs/equations/cells.md eq. 3 for |E|.  The function is convex and the start is the lower of
    two upper bounds, so the steps approach the root from above and never pass it.  Their number is fixed, so that loops
    over arrays of voltages can be vectorised.
    """
    u = abs(v_gate - law.v_dirac)
    r_4 = 4.0 * law.e_residual**4 + 1e-300  # 1e-300 avoids 0/0 at the Dirac point
    q = 1.0 / law.e_quantum
    energy = min(u / (1.0 + law.e_residual * q), 2.0 * u / (1.0 + math.sqrt(1.0 + 4.0 * u * q)))
    for _ in range(NEWTON_STEPS):
        p = energy * energy
        r = math.sqrt(p * p + r_4)
        s = math.sqrt(0.5 * (p + r)) * q
        energy -= (energy + energy * s - u) / (1.0 + s * (1.0 + p / r))
    return math.copysign(energy, v_gate - law.v_dirac)


@kernel(inline=True)
def gain_at(law: GateParameters, energy: float) -> float:
    """Return the read gain at a Fermi level [eV].

    Source: docs/equations/cells.md eq. 4.
    """
    return law.gain_min + (1.0 - law.gain_min) / (1.0 + math.exp((law.e_half - energy) / law.e_slope))


@kernel
def read_gain(law: GateParameters, v_gate: float) -> float:
    """Return the read gain, from gain_min to 1, at a gate voltage [V]."""
    return gain_at(law, fermi_energy(law, v_gate))


@kernel
def gate_voltage(law: GateParameters, gain: float) -> float:
    """Return the gate voltage [V] of a read gain inside (gain_min, 1): the inverse of read_gain in closed form.

    Source: docs/equations/cells.md eq. 5.
    """
    energy = law.e_half - law.e_slope * math.log((1.0 - gain) / (gain - law.gain_min))
    return law.v_dirac + overdrive(law, energy)


@kernel
def fermi_energies(law: GateParameters, v_gate: FloatArray) -> FloatArray:
    """Return fermi_energy of each element of a flat array."""
    out = np.empty_like(v_gate)
    for i in range(v_gate.size):
        out[i] = fermi_energy(law, v_gate[i])
    return out


@kernel
def read_gains(law: GateParameters, v_gate: FloatArray) -> FloatArray:
    """Return read_gain of each element of a flat array."""
    out = fermi_energies(law, v_gate)
    for i in range(v_gate.size):
        out[i] = gain_at(law, out[i])
    return out


@kernel
def gate_voltages(law: GateParameters, gain: FloatArray) -> FloatArray:
    """Return gate_voltage of each element of a flat array."""
    out = np.empty_like(gain)
    for i in range(gain.size):
        out[i] = gate_voltage(law, gain[i])
    return out
