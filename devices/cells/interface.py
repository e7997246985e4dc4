"""The interface of a cell, base classes that derive methods from a cell's law, and checks of arguments."""

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.checks import LEAST_VOLTS, array, broadcast_shape, finite, voltages
from devices.errors import ParameterError
from devices.laws import dispatch
from devices.laws.adaptive import adaptive_filaments, adaptive_secants


class Cell(Protocol):
    """The interface of a cell that arrays, write schemes and the mapper use."""

    @property
    def g_min(self) -> float:
        """Lowest filament conductance of the nominal window [S]."""

    @property
    def g_max(self) -> float:
        """Highest filament conductance of the nominal window [S]."""

    @property
    def v_gate_min(self) -> float:
        """Lower end of the gate window [V]."""

    @property
    def v_gate_max(self) -> float:
        """Upper end of the gate window [V]."""

    @property
    def gated(self) -> bool:
        """Whether the gate changes the read conductance."""

    @property
    def law(self) -> Any:  # noqa: ANN401 - any registered law
        """Parameters of the current-voltage law, for kernels."""

    @property
    def gain_low(self) -> float:
        """Read gain at v_gate_min."""

    @property
    def gain_high(self) -> float:
        """Read gain at v_gate_max."""

    def filament(self, w: npt.ArrayLike) -> FloatArray:
        """Return the filament conductance [S] of states w in [0, 1]."""

    def state(self, g_filament: npt.ArrayLike) -> FloatArray:
        """Return the state w in [0, 1] of filament conductances [S]; outside the nominal window w is 0 or 1."""

    def conductance(self, w: npt.ArrayLike, v_gate: npt.ArrayLike, v: npt.ArrayLike = 0.0) -> FloatArray:
        """Return the secant conductance I/v [S] at read voltage v [V], at v = 0 the slope."""

    def current(self, w: npt.ArrayLike, v_gate: npt.ArrayLike, v: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return current [A] and slope dI/dv [S]."""

    def gate_gain(self, v_gate: npt.ArrayLike) -> FloatArray:
        """Return the read gain at gate voltages [V]."""

    def gate_voltage(self, gain: npt.ArrayLike) -> FloatArray:
        """Return the gate voltages [V] of read gains, the exact inverse of gate_gain."""

    def fermi_energy(self, v_gate: npt.ArrayLike) -> FloatArray:
        """Return the Fermi level [eV] of the gated electrode."""

    def terminal_conductance(self, g_filament: npt.ArrayLike, gain: npt.ArrayLike, v: npt.ArrayLike) -> FloatArray:
        """Return the secant conductance I/v [S] at read voltage v [V] of filaments [S] at a read gain."""

    def filament_for(self, g_terminal: npt.ArrayLike, gain: npt.ArrayLike, v: npt.ArrayLike) -> FloatArray:
        """Return the filament conductance [S] whose terminal conductance is g_terminal [S]."""

    def gain_with_offset(self, v_gate: npt.ArrayLike, offset: npt.ArrayLike) -> FloatArray:
        """Return the read gain of cells whose Dirac points are shifted by offset [V]."""


class LawCell:
    """Methods that every cell derives from its law, its filament conductance and its read gain."""

    def conductance(self: Cell, w: npt.ArrayLike, v_gate: npt.ArrayLike, v: npt.ArrayLike = 0.0) -> FloatArray:
        """Return the secant conductance I/v [S] at read voltage v [V], at v = 0 the slope, of states w at v_gate [V].

        Raises ParameterError if a state lies outside [0, 1] or the shapes do not broadcast.
        """
        return self.terminal_conductance(self.filament(w), self.gate_gain(v_gate), v)

    def current(self: Cell, w: npt.ArrayLike, v_gate: npt.ArrayLike, v: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return current [A] and slope dI/dv [S] of states w at gate voltage v_gate [V] and cell voltage v [V].

        Raises ParameterError if a state lies outside [0, 1] or the shapes do not broadcast.
        """
        (g, gain, volts), shape = flat(g_filament=self.filament(w), gain=self.gate_gain(v_gate), v=voltages("v", v))
        current, slope = dispatch.currents(self.law, g, gain, volts)
        if not (np.isfinite(current).all() and np.isfinite(slope).all()):
            raise ParameterError(f"v must leave the current a finite number, got up to {np.abs(volts).max():g} V")
        return current.reshape(shape)[()], slope.reshape(shape)[()]

    def terminal_conductance(
        self: Cell, g_filament: npt.ArrayLike, gain: npt.ArrayLike, v: npt.ArrayLike
    ) -> FloatArray:
        """Return the secant conductance I/v [S] at read voltage v [V] of filaments g_filament [S] at a read gain.

        At v = 0 it is the slope.  Raises ParameterError if a conductance or gain is negative.
        """
        (g, gains, volts), shape = flat(
            g_filament=array("g_filament", g_filament, minimum=0.0),
            gain=array("gain", gain, minimum=0.0),
            v=voltages("v", v),
        )
        current, slope = dispatch.currents(self.law, g, gains, volts)
        secants = np.divide(current, volts, out=slope, where=np.abs(volts) > LEAST_VOLTS)
        return finite("g_filament, gain and v", secants).reshape(shape)[()]

    def gain_with_offset(self: Cell, v_gate: npt.ArrayLike, offset: npt.ArrayLike) -> FloatArray:
        """Return the read gain at v_gate [V] of cells whose Dirac points are shifted by offset [V]."""
        (volts, shifts), _ = broadcast(v_gate=voltages("v_gate", v_gate), offset=voltages("offset", offset))
        return self.gate_gain(volts - shifts)


class BarrierCell(LawCell):
    """A cell whose law is an AdaptiveLaw: the secant conductance and its inverse have closed forms."""

    def terminal_conductance(
        self: Cell, g_filament: npt.ArrayLike, gain: npt.ArrayLike, v: npt.ArrayLike
    ) -> FloatArray:
        """Return the secant conductance I/v [S] at read voltage v [V] of filaments g_filament [S] at a read gain.

        At v = 0 it is the slope.  Raises ParameterError if a conductance or gain is negative.
        """
        (g, gains, volts), shape = flat(
            g_filament=array("g_filament", g_filament, minimum=0.0),
            gain=array("gain", gain, minimum=0.0),
            v=voltages("v", v),
        )
        return finite("g_filament, gain and v", adaptive_secants(self.law, g, gains, volts)).reshape(shape)[()]

    def filament_for(self: Cell, g_terminal: npt.ArrayLike, gain: npt.ArrayLike, v: npt.ArrayLike) -> FloatArray:
        """Return the filament conductance [S] whose secant at read voltage v [V] and read gain is g_terminal [S].

        The result may lie outside the conductance window.  Raises ParameterError if a gain is not positive, or if no
        filament has this conductance: g_terminal must be at least g_leak and below g_leak + 1 / r_series.
        """
        (g, gains, volts), shape = flat(
            g_terminal=array("g_terminal", g_terminal), gain=array("gain", gain), v=voltages("v", v)
        )
        if gains.size and gains.min() <= 0.0:
            raise ParameterError(f"gain must be > 0 everywhere, got {gains.min():g}")
        law = self.law
        bad = (g < law.g_leak) | (law.r_series * (g - law.g_leak) >= 1.0)
        if bad.any():
            top = law.g_leak + 1.0 / law.r_series if law.r_series else math.inf
            raise ParameterError(
                f"g_terminal must be ≥ g_leak = {law.g_leak:g} S and < {top:g} S, got {g[bad][0]:g} S "
                f"({np.count_nonzero(bad)} of {g.size})"
            )
        return finite("g_terminal, gain and v", adaptive_filaments(law, g, gains, volts)).reshape(shape)[()]


class GatelessCell(LawCell):
    """Gate methods of a cell without a gate: the read gain is 1 at any gate voltage."""

    @property
    def gated(self) -> bool:
        """False: there is no gate."""
        return False

    @property
    def gain_low(self) -> float:
        """Read gain at v_gate_min: 1."""
        return 1.0

    @property
    def gain_high(self) -> float:
        """Read gain at v_gate_max: 1."""
        return 1.0

    @property
    def v_gate_min(self) -> float:
        """Lower end of the gate window [V]: 0, there is no gate."""
        return 0.0

    @property
    def v_gate_max(self) -> float:
        """Upper end of the gate window [V]: 0, there is no gate."""
        return 0.0

    def gate_gain(self, v_gate: npt.ArrayLike) -> FloatArray:
        """Return 1 for every gate voltage."""
        return np.ones_like(voltages("v_gate", v_gate))[()]

    def gate_voltage(self, gain: npt.ArrayLike) -> FloatArray:
        """Raise ParameterError: no gate voltage sets the gain."""
        raise ParameterError(f"gain must not be given for a cell without a gate, got {gain!r} for {self}")

    def fermi_energy(self, v_gate: npt.ArrayLike) -> FloatArray:
        """Raise ParameterError: no Fermi level follows a gate."""
        raise ParameterError(f"v_gate must not be given for a cell without a gate, got {v_gate!r} for {self}")


class OhmicCell(GatelessCell):
    """A cell whose law is OhmicLaw without leakage: terminal and filament conductance are the same."""

    def terminal_conductance(
        self, g_filament: npt.ArrayLike, gain: npt.ArrayLike = 1.0, v: npt.ArrayLike = 0.0
    ) -> FloatArray:
        """Return g_filament [S] in the common shape of the arguments: gain and voltage have no effect."""
        g = array("g_filament", g_filament, minimum=0.0)
        (result, _, _), _ = broadcast(g_filament=g, gain=array("gain", gain), v=voltages("v", v))
        return result.copy()[()]

    def filament_for(self, g_terminal: npt.ArrayLike, gain: npt.ArrayLike = 1.0, v: npt.ArrayLike = 0.0) -> FloatArray:
        """Return g_terminal [S] in the common shape of the arguments: the inverse of terminal_conductance."""
        g = array("g_terminal", g_terminal, minimum=0.0)
        (result, _, _), _ = broadcast(g_terminal=g, gain=array("gain", gain), v=voltages("v", v))
        return result.copy()[()]


def checked_states(w: npt.ArrayLike) -> FloatArray:
    """Return states as an array; raise ParameterError outside [0, 1]."""
    states = array("w", w, minimum=0.0)
    if states.size and states.max() > 1.0:
        raise ParameterError(f"w must lie in [0, 1], got {states.max():g}")
    return states


def geometric(w: npt.ArrayLike, low: float, high: float) -> FloatArray:
    """Return conductances [S] of states w in [0, 1], low (high / low)^w.

    Raises ParameterError if a state lies outside [0, 1].
    """
    result: FloatArray = low * (high / low) ** checked_states(w)
    return result[()]


def geometric_state(g: npt.ArrayLike, low: float, high: float) -> FloatArray:
    """Return the state of conductances [S], the inverse of geometric; outside the window it is 0 or 1."""
    inside = np.clip(array("g_filament", g, minimum=0.0), low, high)
    result: FloatArray = np.log(inside / low) / math.log(high / low)
    return np.clip(result, 0.0, 1.0)[()]


def rising(cell: object, low: str, high: str, unit: str) -> None:
    """Raise ParameterError unless field `low` is below field `high`."""
    bottom, top = getattr(cell, low), getattr(cell, high)
    if not bottom < top:
        raise ParameterError(f"{low} must be < {high} = {top:g} {unit}, got {bottom:g} {unit}")


def broadcast(**arrays: FloatArray) -> tuple[list[FloatArray], tuple[int, ...]]:
    """Return the arrays broadcast to one shape, and that shape; raise ParameterError if they do not broadcast."""
    shape = broadcast_shape(**arrays)
    return [np.broadcast_to(a, shape) for a in arrays.values()], shape


def flat(**arrays: FloatArray) -> tuple[list[FloatArray], tuple[int, ...]]:
    """Return the arrays broadcast and flattened for kernels, and the shape that the result must get."""
    views, shape = broadcast(**arrays)
    # views are read-only; kernels would be compiled anew for their type
    whole = [given if given.shape == shape else view.copy() for given, view in zip(arrays.values(), views, strict=True)]
    return [np.require(each, requirements=["C", "A", "W"]).reshape(-1) for each in whole], shape
