"""A cell that is a table of measured currents over voltage, gate and level: monotone interpolation with slopes."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from devices import laws
from devices.aliases import FloatArray
from devices.cellbase import LawCell, broadcast, checked_states, flat
from devices.checks import array, number
from devices.errors import ParameterError
from devices.jit import kernel

__all__ = ["Tabulated", "TabulatedLaw"]

LEAST_END_SLOPE = 0.05  # of the last interval's own slope, at the ends of a table, so that no end is flat (ours)


class TabulatedLaw(NamedTuple):
    """Nodes of the currents and of the gain, with their slopes."""

    levels: FloatArray  # (l,) [S] conductance of each level, rising
    gains: FloatArray  # (q,) read gain of each gate voltage, rising to 1
    voltages: FloatArray  # (k,) [V] rising through 0
    currents: FloatArray  # (l, q, k) [A]
    slopes: FloatArray  # (l, q, k) [S]
    v_gates: FloatArray  # (q,) [V] rising
    gain_slopes: FloatArray  # (q,) [1/V]


@kernel
def interval(nodes: FloatArray, x: float) -> int:
    """Return the last i with nodes[i] <= x, of 0 to nodes.size - 2."""
    low, high = 0, nodes.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if nodes[middle] <= x:
            low = middle
        else:
            high = middle
    return low


@kernel
def between(nodes: FloatArray, x: float) -> tuple[int, float, float]:
    """Return i and the shares of nodes i and i + 1 that make x of them; beyond the ends x is in proportion to one."""
    last = nodes.size - 1
    if x <= nodes[0]:
        return 0, x / nodes[0], 0.0
    if x >= nodes[last]:
        return last, x / nodes[last], 0.0
    i = interval(nodes, x)
    part = (x - nodes[i]) / (nodes[i + 1] - nodes[i])
    return i, 1.0 - part, part


@kernel
def hermite(x_0: float, x_1: float, y_0: float, y_1: float, d_0: float, d_1: float, x: float) -> tuple[float, float]:
    """Return value and slope at x of the cubic with given values and slopes at x_0 and x_1, beyond them a line.

    Source: docs/equations/cells.md eq. 27.
    """
    if x <= x_0:
        return y_0 + d_0 * (x - x_0), d_0
    if x >= x_1:
        return y_1 + d_1 * (x - x_1), d_1
    h = x_1 - x_0
    t, r = (x - x_0) / h, (x_1 - x) / h
    value = y_0 * r * r * (1.0 + 2.0 * t) + y_1 * t * t * (1.0 + 2.0 * r) + h * t * r * (d_0 * r - d_1 * t)
    slope = 6.0 * t * r * (y_1 - y_0) / h + d_0 * r * (r - 2.0 * t) + d_1 * t * (t - 2.0 * r)
    return value, slope


@kernel
def tabulated_gain(law: TabulatedLaw, v_gate: float) -> float:
    """Return the read gain at a gate voltage [V]; beyond the table that of its end."""
    v, m, d = law.v_gates, law.gains, law.gain_slopes
    last = v.size - 1
    if v_gate <= v[0] or last == 0:
        return float(m[0])
    if v_gate >= v[last]:
        return float(m[last])
    i = interval(v, v_gate)
    gain: float = hermite(v[i], v[i + 1], m[i], m[i + 1], d[i], d[i + 1], v_gate)[0]
    return gain


@kernel
def tabulated_current(law: TabulatedLaw, g_filament: float, gain: float, v: float) -> tuple[float, float]:
    """Return current [A] and slope dI/dv [S]: linear in level and gain, a monotone cubic in the voltage.

    Source: docs/equations/cells.md eq. 27-29.
    """
    level, a_0, a_1 = between(law.levels, g_filament)
    gate, b_0, b_1 = between(law.gains, gain)
    k = interval(law.voltages, v)
    y_0, y_1, d_0, d_1 = 0.0, 0.0, 0.0, 0.0
    for i in range(2):
        a = a_0 if i == 0 else a_1
        if a == 0.0:
            continue
        for j in range(2):
            part = a * (b_0 if j == 0 else b_1)
            if part == 0.0:
                continue
            currents, slopes = law.currents[level + i, gate + j], law.slopes[level + i, gate + j]
            y_0 += part * currents[k]
            y_1 += part * currents[k + 1]
            d_0 += part * slopes[k]
            d_1 += part * slopes[k + 1]
    return hermite(law.voltages[k], law.voltages[k + 1], y_0, y_1, d_0, d_1, v)


laws.register(TabulatedLaw, tabulated_gain, tabulated_current)


@kernel
def tabulated_gains(law: TabulatedLaw, v_gate: FloatArray) -> FloatArray:
    """Return the read gain of each element of a flat array of gate voltages [V]."""
    out = np.empty_like(v_gate)
    for i in range(v_gate.size):
        out[i] = tabulated_gain(law, v_gate[i])
    return out


def monotone_slopes(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return slopes at the nodes x (k,) of curves y (..., k) that rise, so that cubics between them rise as well.

    Inside the weighted harmonic mean of the two neighbouring secants, at the ends the three-point formula, limited.
    Source: Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5, 300 (1984); docs/equations/cells.md eq. 28.
    """
    h, secant = np.diff(x), np.diff(y, axis=-1) / np.diff(x)
    if x.size == 2:
        return np.concatenate([secant, secant], axis=-1)
    before, after = h[1:] + 2.0 * h[:-1], 2.0 * h[1:] + h[:-1]
    # the harmonic mean, in a form where a secant of 0 gives 0
    s_0, s_1 = secant[..., :-1], secant[..., 1:]
    below = after * s_1 + before * s_0
    inner = np.divide(3.0 * (h[1:] + h[:-1]) * s_0 * s_1, below, out=np.zeros_like(below), where=below > 0.0)

    def end(h_0: float, h_1: float, s_0: FloatArray, s_1: FloatArray) -> FloatArray:
        slope = ((2.0 * h_0 + h_1) * s_0 - h_0 * s_1) / (h_0 + h_1)
        limited: FloatArray = np.clip(slope, LEAST_END_SLOPE * s_0, 3.0 * s_0)
        return limited

    first, last = end(h[0], h[1], secant[..., 0], secant[..., 1]), end(h[-1], h[-2], secant[..., -1], secant[..., -2])
    return np.concatenate([first[..., None], inner, last[..., None]], axis=-1)


@dataclass(frozen=True)
class Tabulated(LawCell):
    """A cell given by currents measured at voltages, gate voltages and levels; it has no state equation.

    Between the points of a curve lies a monotone cubic; gate voltages are joined by straight lines in the gain, levels
    by straight lines in the conductance.  The conductance of a level and the gain of a gate are those at v_reference.
    Lists and arrays are taken and kept as tuples.
    Raises ParameterError if a curve does not rise with the voltage or does not pass 0 A at 0 V, or if currents do not
    rise with gate and level.
    Source: docs/equations/cells.md eq. 27-30.
    """

    voltages: tuple[float, ...]  #: (k,) cell voltages [V], rising, with 0 among them
    currents: tuple[tuple[tuple[float, ...], ...], ...]  #: [A] (levels, gates, k), or (gates, k), or (k,)
    v_gates: tuple[float, ...] = (0.0,)  #: (gates,) gate voltages [V], rising; one: a cell without a gate
    v_reference: float = 0.1  #: voltage at which levels and gains are taken [V], inside the table

    def __post_init__(self) -> None:
        volts = array("voltages", self.voltages, ndim=1)
        gates = array("v_gates", self.v_gates, ndim=1)
        amps = array("currents", self.currents)
        if volts.size < 2 or not np.all(np.diff(volts) > 0.0) or 0.0 not in volts:
            raise ParameterError(
                f"voltages must rise and hold 0 V, got {volts.size} from {volts[:1]} to {volts[-1:]} V"
            )
        if not gates.size or not np.all(np.diff(gates) > 0.0):
            raise ParameterError(f"v_gates must hold at least one voltage and rise, got {gates.tolist()} V")
        if amps.ndim in (1, 2):
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
        _refuse("rise in size with v_gates", amps, (np.diff(amps, axis=1) * sign <= 0.0) & (sign != 0.0))
        _refuse("rise in size with the level", amps, (np.diff(amps, axis=0) * sign <= 0.0) & (sign != 0.0))
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
        """Conductance of the lowest level [S]; 0 for a table of one level, whose states are in proportion."""
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
        """Return the read gain, from gain_low to 1, at gate voltages [V]; beyond the table that of its end."""
        (volts,), shape = flat(v_gate=array("v_gate", v_gate))
        return tabulated_gains(self.law, volts).reshape(shape)[()]

    def gate_voltage(self, gain: npt.ArrayLike) -> FloatArray:
        """Return the gate voltages [V] of read gains, the inverse of gate_gain by bisection.

        Raises ParameterError if a gain lies outside [gain_low, 1] or the table has one gate voltage.
        """
        if not self.gated:
            raise ParameterError(f"gain must be left alone for a table of one gate voltage, got {gain!r}")
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
        """Raise ParameterError: a table knows no Fermi level."""
        raise ParameterError(f"v_gate must be left alone: a table of currents has no Fermi level, got {v_gate!r}")

    def terminal_conductance(self, g_filament: npt.ArrayLike, gain: npt.ArrayLike, v: npt.ArrayLike) -> FloatArray:
        """Return the secant conductance I/v [S] at read voltage v [V] of filaments g_filament [S] at a read gain.

        At v = 0 it is the slope.  Raises ParameterError outside the table's voltages, which a fit may not leave.
        """
        volts = array("v", v)
        bad = (volts < self.voltages[0]) | (volts > self.voltages[-1])
        if bad.any():
            raise ParameterError(
                f"v must lie in the table, {self.voltages[0]:g} to {self.voltages[-1]:g} V, "
                f"got {volts[bad].flat[0]:g} V"
            )
        return super().terminal_conductance(g_filament, gain, v)

    def filament_for(self, g_terminal: npt.ArrayLike, gain: npt.ArrayLike, v: npt.ArrayLike) -> FloatArray:
        """Return the conductance [S] whose secant at read voltage v [V] and read gain is g_terminal [S].

        Exact, as currents are linear between levels.  Raises ParameterError if a gain is not positive.
        """
        (g, gains, volts), _ = broadcast(
            g_terminal=array("g_terminal", g_terminal, minimum=0.0), gain=array("gain", gain), v=array("v", v)
        )
        if gains.size and gains.min() <= 0.0:
            raise ParameterError(f"gain must be > 0 everywhere, got {gains.min():g}")
        levels = self.law.levels
        shown = [np.asarray(self.terminal_conductance(level, gains, volts)) for level in levels]
        out = np.asarray(g * levels[0] / shown[0])
        for i in range(1, levels.size):
            inside = levels[i - 1] + (levels[i] - levels[i - 1]) * (g - shown[i - 1]) / (shown[i] - shown[i - 1])
            out = np.where(g > shown[i - 1], inside, out)
        return np.where(g > shown[-1], levels[-1] * g / shown[-1], out)[()]


def _refuse(wanted: str, amps: FloatArray, bad: npt.NDArray[np.bool_]) -> None:
    """Raise ParameterError that names the first place where currents are not as wanted."""
    if bad.any():
        level, gate, k = (int(i) for i in np.argwhere(bad)[0])
        raise ParameterError(
            f"currents must {wanted}, got {amps[level, gate, min(k, amps.shape[-1] - 1)]:g} A at level {level}, "
            f"gate {gate}, voltage {k} ({np.count_nonzero(bad)} places)"
        )
