"""A threshold-switching selector in series with any cell (1S1R)."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.cells.interface import Cell, LawCell, broadcast, checked_states, flat
from devices.checks import array, check_fields, number, quantity, voltages
from devices.errors import ConvergenceError, ParameterError
from devices.laws import dispatch
from devices.laws.selector import SelectorLaw, selected_current, selected_gain, selector_conductance

MOST_STEPS = 20_000  # most steps of one call of evolve, ours


dispatch.register(SelectorLaw, selected_gain, selected_current)


@dataclass(frozen=True)
class SelectedCell(LawCell):
    """A threshold switch in series with a cell; it conducts while the voltage over both exceeds v_threshold.

    State, conductance window and gate are those of the cell.  The law has one value at each voltage: it has no
    hysteresis, while a real switch stays on down to a hold voltage below its threshold.
    Source: the form is ours, docs/equations/cells.md eq. 23-25.  The defaults follow Midya et al., Adv. Mater. 29,
    1604457 (2017), doi 10.1002/adma.201604457 (ratio 1e10, 1 mV per decade, leakage 1e-14 A); the voltages are ours.
    """

    cell: Cell  #: any cell of `devices` without a selector
    g_off: float = quantity(1e-13, "S", above=0.0)  #: conductance below the threshold [S]
    g_on: float = quantity(1e-3, "S", above=0.0)  #: conductance above the threshold [S]
    v_threshold: float = quantity(0.2, "V", above=0.0)  #: voltage over selector and cell at the threshold [V]
    v_decade: float = quantity(1e-3, "V", above=0.0)  #: voltage per decade of conductance at the threshold [V]

    def __post_init__(self) -> None:
        check_fields(self)
        if isinstance(self.cell, SelectedCell) or not hasattr(self.cell, "law"):
            raise ParameterError(f"cell must be a cell of devices without a selector, got {self.cell!r}")
        if not self.g_off < self.g_on:
            raise ParameterError(f"g_off must be < g_on = {self.g_on:g} S, got {self.g_off:g} S")

    @property
    def law(self) -> SelectorLaw:
        """Parameters of the current-voltage law, for kernels."""
        ratio = math.log(self.g_on / self.g_off)
        return SelectorLaw(
            self.cell.law, self.g_off, ratio, self.v_threshold, 0.25 * ratio / math.log(10) * self.v_decade
        )

    @property
    def temperature(self) -> float:
        """Temperature of the cell [K]; 300 K if the cell has no temperature."""
        return float(getattr(self.cell, "temperature", 300.0))

    @property
    def g_min(self) -> float:
        """Lowest filament conductance of the cell's nominal window [S]."""
        return self.cell.g_min

    @property
    def g_max(self) -> float:
        """Highest filament conductance of the cell's nominal window [S]."""
        return self.cell.g_max

    @property
    def v_gate_min(self) -> float:
        """Lower end of the cell's gate window [V]."""
        return self.cell.v_gate_min

    @property
    def v_gate_max(self) -> float:
        """Upper end of the cell's gate window [V]."""
        return self.cell.v_gate_max

    @property
    def gated(self) -> bool:
        """Whether the gate changes the read conductance of the cell."""
        return self.cell.gated

    @property
    def gain_low(self) -> float:
        """Read gain at v_gate_min."""
        return self.cell.gain_low

    @property
    def gain_high(self) -> float:
        """Read gain at v_gate_max."""
        return self.cell.gain_high

    def filament(self, w: npt.ArrayLike) -> FloatArray:
        """Return the filament conductance [S] of states w in [0, 1]."""
        return self.cell.filament(w)

    def state(self, g_filament: npt.ArrayLike) -> FloatArray:
        """Return the state w in [0, 1] of filament conductances [S]."""
        return self.cell.state(g_filament)

    def gate_gain(self, v_gate: npt.ArrayLike) -> FloatArray:
        """Return the read gain of the cell at gate voltages [V]."""
        return self.cell.gate_gain(v_gate)

    def gate_voltage(self, gain: npt.ArrayLike) -> FloatArray:
        """Return the gate voltages [V] of read gains of the cell."""
        return self.cell.gate_voltage(gain)

    def fermi_energy(self, v_gate: npt.ArrayLike) -> FloatArray:
        """Return the Fermi level [eV] of the cell's gated electrode."""
        return self.cell.fermi_energy(v_gate)

    def selector_conductance(self, v: npt.ArrayLike) -> FloatArray:
        """Return the conductance of the selector [S] when the voltage over selector and cell is v [V]."""
        law, volts = self.law, voltages("v", v)
        found = [selector_conductance(law, each)[0] for each in volts.ravel().tolist()]
        return np.array(found).reshape(volts.shape)[()]

    def filament_for(self, g_terminal: npt.ArrayLike, gain: npt.ArrayLike, v: npt.ArrayLike) -> FloatArray:
        """Return the filament conductance [S] whose secant at read voltage v [V] and read gain is g_terminal [S].

        Raises ParameterError if g_terminal is not below the conductance of the selector, or if no filament of the cell
        has this conductance.
        Source: docs/equations/cells.md eq. 26.
        """
        (g, gains, volts), _ = broadcast(
            g_terminal=array("g_terminal", g_terminal, minimum=0.0), gain=array("gain", gain), v=voltages("v", v)
        )
        selector = self.selector_conductance(volts)
        bad = g >= selector
        if bad.any():
            at = np.flatnonzero(bad)[0]
            raise ParameterError(
                f"g_terminal must be below the selector's {np.ravel(selector)[at]:g} S at {volts.flat[at]:g} V, "
                f"got {g.flat[at]:g} S ({np.count_nonzero(bad)} of {g.size})"
            )
        left = 1.0 - g / selector
        return self.cell.filament_for(g / left, gains, volts * left)

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
        """Return the states after a time dt [s] at constant voltage v [V] over selector and cell and v_gate [V].

        The cell evolves at its part of the voltage, in steps that move w by at most largest_step.  Each step takes the
        voltage at its midpoint (second order).  The selector has no state.
        Raises ParameterError if the cell has no state equation, a state lies outside [0, 1] or a time is negative,
        ConvergenceError if more than MOST_STEPS steps are needed.
        """
        inner: Any = self.cell
        if not hasattr(inner, "evolve"):
            raise ParameterError(f"cell must have a state that evolves, got {inner!r}")
        largest = number("largest_step", largest_step, above=0.0, maximum=0.5)
        (states, volts, gates, times), shape = flat(
            w=checked_states(w), v=voltages("v", v), v_gate=voltages("v_gate", v_gate), dt=array("dt", dt, minimum=0.0)
        )
        law, gains = self.law, np.ravel(self.gate_gain(gates))
        selector = np.ravel(self.selector_conductance(volts))

        def moved(start: FloatArray, aim: FloatArray, step: FloatArray) -> FloatArray:
            """The states one step after `start`, at the cell voltages of the states `aim`."""
            current, _ = dispatch.currents(law, np.ravel(self.filament(aim)), gains, volts)
            after: FloatArray = inner.evolve(start, volts - current / selector, gates, step, temperature)
            return after

        left, step = times.copy(), times.copy()
        for _ in range(MOST_STEPS):
            if not left.any():
                return states.reshape(shape)[()]
            step = np.minimum(step, left)
            after = moved(states, moved(states, states, 0.5 * step), step)
            good = np.abs(after - states) <= largest
            states = np.where(good, after, states)
            left = np.where(good, np.where(step >= left, 0.0, left - step), left)
            step = np.where(good, 2.0 * step, 0.5 * step)
        raise ConvergenceError(
            f"{np.count_nonzero(left)} of {states.size} integrations not finished after {MOST_STEPS} steps; raise "
            f"largest_step (now {largest:g}) or divide dt"
        )
