"""A cell given by a table of measured currents over voltage, gate voltage and conductance level."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.cells.interface import LawCell, broadcast, checked_states, flat
from devices.checks import array, finite, number, voltages
from devices.errors import ParameterError
from devices.laws import dispatch
from devices.laws.tabulated import TabulatedLaw, monotone_slopes, tabulated_current, tabulated_gain, tabulated_gains

dispatch.register(TabulatedLaw, tabulated_gain, tabulated_current)


@dataclass(frozen=True)
class Tabulated(LawCell):
    """A cell given by currents measured at voltages, gate voltages and levels; it has no state equation.

    Currents are interpolated by monotone cubics in the voltage, linearly in the read gain between gate voltages, and
    linearly in the conductance between levels.  The conductance of a level and the gain of a gate voltage are taken at
    v_reference.  Lists and arrays are accepted and stored as tuples.
    Raises ParameterError if a curve does not rise with the voltage or is not 0 A at 0 V, or if the magnitudes of the
    currents do not rise with gate voltage and level.
    Source: docs/equations/cells.md eq. 27-30.
    """

    voltages: tuple[float, ...]  #: (k,) cell voltages [V], rising, including 0
    currents: tuple[tuple[tuple[float, ...], ...], ...]  #: [A] (levels, gates, k), or (gates, k), or (k,)
    v_gates: tuple[float, ...] = (0.0,)  #: (gates,) gate voltages [V], rising; one value: no gate
    v_reference: float = 0.1  #: voltage that defines levels and gains [V], inside the table

    def __post_init__(self) -> None:
        volts = array("voltages", self.voltages, ndim=1)
        gates = array("v_gates", self.v_gates, ndim=1)
        amps = array("currents", self.currents)
        if volts.size < 2 or not np.all(np.diff(volts) > 0.0) or 0.0 not in volts:
            raise ParameterError(
                f"voltages must rise and include 0 V, got {volts.size} from {volts[:1]} to {volts[-1:]} V"
            )
        if not gates.size or not np.all(np.diff(gates) > 0.0):
            raise ParameterError(f"v_gates must hold at least one voltage and rise, got {gates.tolist()} V")
        if amps.ndim in (1, 2) and amps.size:
            amps = amps.reshape(1, -1, amps.shape[-1])
        if amps.ndim != 3 or amps.shape[0] < 1 or amps.shape[1:] != (gates.size, volts.size):
            raise ParameterError(
                f"currents must have shape (levels, {gates.size}, {volts.size}) for {gates.size} v_gates and "
                f"{volts.size} voltages, got {array('currents', self.currents).shape}"
            )
        _refuse("be 0 A at 0 V", amps, amps[..., np.flatnonzero(volts == 0.0)] != 0.0)
        _refuse("rise with the voltage", amps, np.diff(amps, axis=-1) <= 0.0)
        reference = number("v_reference", self.v_reference, unit="V", above=0.0, maximum=float(volts[-1]))
        sign = np.sign(volts)
        _refuse("rise in magnitude with v_gates", amps, (np.diff(amps, axis=1) * sign <= 0.0) & (sign != 0.0))
        _refuse("rise in magnitude with the level", amps, (np.diff(amps, axis=0) * sign <= 0.0) & (sign != 0.0))
        nested = tuple(tuple(tuple(curve) for curve in level) for level in amps.tolist())
        for name, value in (
            ("voltages", tuple(volts.tolist())),
            ("currents", nested),
            ("v_gates", tuple(gates.tolist())),
            ("v_reference", reference),
        ):
            object.__setattr__(self, name, value)

    @cached_property
    def law(self) -> TabulatedLaw:
        """Parameters of the current-voltage law, for kernels."""
        volts, gates, amps = np.array(self.voltages), np.array(self.v_gates), np.array(self.currents)
        slopes = monotone_slopes(volts, amps)
        bare = TabulatedLaw(
            np.arange(1.0, len(amps) + 1.0), np.arange(1.0, gates.size + 1.0), volts, amps, slopes, gates, gates * 0.0
        )
        at = np.array([
            [tabulated_current(bare, i + 1.0, j + 1.0, self.v_reference)[0] for j in range(gates.size)]
            for i in range(len(amps))
        ])  # fmt: skip
        gains = at[-1] / at[-1, -1]
        rising = monotone_slopes(gates, gains) if gates.size > 1 else np.zeros(1)
        return bare._replace(levels=at[:, -1] / self.v_reference, gains=gains, gain_slopes=rising)

    @property
    def g_min(self) -> float:
        """Conductance of the lowest level [S]; 0 for a table of one level, whose currents scale with the state."""
        return float(self.law.levels[0]) if len(self.currents) > 1 else 0.0

    @property
    def g_max(self) -> float:
        """Conductance of the highest level [S]."""
        return float(self.law.levels[-1])

    @property
    def gated(self) -> bool:
        """Whether the table has more than one gate voltage."""
        return len(self.v_gates) > 1

    @property
    def v_gate_min(self) -> float:
        """Lower end of the gate window [V]."""
        return self.v_gates[0]

    @property
    def v_gate_max(self) -> float:
        """Upper end of the gate window [V]."""
        return self.v_gates[-1]

    @property
    def gain_low(self) -> float:
        """Read gain at v_gate_min."""
        return float(self.law.gains[0])

    @property
    def gain_high(self) -> float:
        """Read gain at v_gate_max: 1."""
        return 1.0

    def filament(self, w: npt.ArrayLike) -> FloatArray:
        """Return the conductance [S] of states w in [0, 1]: g_min + w (g_max - g_min).

        Raises ParameterError if a state lies outside [0, 1].
        """
        result: FloatArray = self.g_min + checked_states(w) * (self.g_max - self.g_min)
        return result[()]

    def state(self, g_filament: npt.ArrayLike) -> FloatArray:
        """Return the state w in [0, 1] of conductances [S]; outside the nominal window w is 0 or 1."""
        g = array("g_filament", g_filament, minimum=0.0)
        return np.clip((g - self.g_min) / (self.g_max - self.g_min), 0.0, 1.0)[()]

    def gate_gain(self, v_gate: npt.ArrayLike) -> FloatArray:
        """Return the read gain, from gain_low to 1, at gate voltages [V]; it is constant beyond the table."""
        (volts,), shape = flat(v_gate=voltages("v_gate", v_gate))
        return tabulated_gains(self.law, volts).reshape(shape)[()]

    def gate_voltage(self, gain: npt.ArrayLike) -> FloatArray:
        """Return the gate voltages [V] of read gains, the inverse of gate_gain by bisection.

        Raises ParameterError if a gain lies outside [gain_low, 1] or the table has one gate voltage.
        """
        if not self.gated:
            raise ParameterError(f"gain must not be given for a table of one gate voltage, got {gain!r}")
        gains = array("gain", gain)
        bad = (gains < self.gain_low) | (gains > 1.0)
        if bad.any():
            raise ParameterError(f"gain must lie inside [{self.gain_low:g}, 1], got {gains[bad].flat[0]:g}")
        low, high = np.full(gains.shape, self.v_gate_min), np.full(gains.shape, self.v_gate_max)
        for _ in range(60):
            middle = 0.5 * (low + high)
            below = np.asarray(self.gate_gain(middle)) < gains
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return high[()]

    def fermi_energy(self, v_gate: npt.ArrayLike) -> FloatArray:
        """Raise ParameterError: a table has no Fermi level."""
        raise ParameterError(f"v_gate must not be given: a table of currents has no Fermi level, got {v_gate!r}")

    def terminal_conductance(self, g_filament: npt.ArrayLike, gain: npt.ArrayLike, v: npt.ArrayLike) -> FloatArray:
        """Return the secant conductance I/v [S] at read voltage v [V] of filaments g_filament [S] at a read gain.

        At v = 0 it is the slope.  Raises ParameterError for voltages outside the table.
        """
        volts = voltages("v", v)
        bad = (volts < self.voltages[0]) | (volts > self.voltages[-1])
        if bad.any():
            raise ParameterError(
                f"v must lie in the table, {self.voltages[0]:g} to {self.voltages[-1]:g} V, "
                f"got {volts[bad].flat[0]:g} V"
            )
        return super().terminal_conductance(g_filament, gain, v)

    def filament_for(self, g_terminal: npt.ArrayLike, gain: npt.ArrayLike, v: npt.ArrayLike) -> FloatArray:
        """Return the conductance [S] whose secant at read voltage v [V] and read gain is g_terminal [S].

        The result is exact, because currents are linear between levels.  Raises ParameterError if a gain is not
        positive.
        """
        (g, gains, volts), _ = broadcast(
            g_terminal=array("g_terminal", g_terminal, minimum=0.0), gain=array("gain", gain), v=voltages("v", v)
        )
        if gains.size and gains.min() <= 0.0:
            raise ParameterError(f"gain must be > 0 everywhere, got {gains.min():g}")
        levels = self.law.levels
        shown = [np.asarray(self.terminal_conductance(level, gains, volts)) for level in levels]
        with np.errstate(all="ignore"):
            out = np.asarray(g * levels[0] / shown[0])
            for i in range(1, levels.size):
                inside = levels[i - 1] + (levels[i] - levels[i - 1]) * (g - shown[i - 1]) / (shown[i] - shown[i - 1])
                out = np.where(g > shown[i - 1], inside, out)
            out = np.where(g > shown[-1], levels[-1] * g / shown[-1], out)
        return finite("g_terminal, gain and v", out)[()]


def _refuse(wanted: str, amps: FloatArray, bad: npt.NDArray[np.bool_]) -> None:
    """Raise ParameterError with the first element that violates a condition on the currents."""
    if bad.any():
        level, gate, k = (int(i) for i in np.argwhere(bad)[0])
        raise ParameterError(
            f"currents must {wanted}, got {amps[level, gate, min(k, amps.shape[-1] - 1)]:g} A at level {level}, "
            f"gate {gate}, voltage {k} ({np.count_nonzero(bad)} places)"
        )
