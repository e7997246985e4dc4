"""What a cell does at its terminals, as numbers and curves: switching voltages, pulses, retention, noise of a read.

Every cell is asked through its common interface, so published and tabulated cells are measured like ours.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.cells.interface import Cell
from devices.checks import number
from devices.noise.read_noise import ReadNoise

RAMP = 1.0  # [V/s] of the switching voltages, ours
RAMP_STEP = 2e-3  # [V] of a ramp's samples, ours: the resolution of the switching voltages
LARGEST_RAMP = 10.0  # [V] beyond which a cell counts as one that does not switch, ours
SWITCHED = 0.5  # state at which a cell has switched, ours
SHORTEST, LONGEST = 1e-9, 1e10  # [s] of pulses and retention, three centuries
PER_DECADE = 20  # samples of time
STATES = tuple(k / 20 for k in range(2, 21))  #: states whose retention is compared, ours: from 0.1 to 1


@dataclass(frozen=True)
class Summary:
    """The numbers of a cell's data sheet; nan where a cell has no such number."""

    g_min: float  #: filament conductance at w = 0 [S]
    g_max: float  #: and at w = 1 [S]
    gain_low: float  #: read gain at the lower end of the gate window
    gain_high: float  #: and at the upper end
    v_set: float  #: where a ramp of 1 V/s takes w from 0 past 0.5 at the open gate [V]
    v_set_closed: float  #: and at the closed gate [V]
    v_reset: float  #: where a falling ramp takes w from 1 below 0.5 at the open gate [V], negative
    read_noise: float  #: standard deviation over current of a read of the middle state
    retention: float  #: time at rest until the full filament has lost a tenth of its conductance [s], inf: > 300 years
    retention_worst: float  #: the same of the state that keeps its conductance for the shortest time [s]
    retention_worst_state: float  #: that state, one of STATES


def summarise(cell: Cell, noise: ReadNoise | None = None, v_read: float = 0.1, t_read: float = 255e-9) -> Summary:
    """Return the data sheet of a cell; the open gate is the upper end of the gate window, the closed one the lower.

    v_read [V] and t_read [s] are those of the read whose noise is asked for.
    """
    gate = cell.v_gate_max
    v_set, v_reset = (switching_voltage(cell, sign, gate) for sign in (1.0, -1.0))
    closed = switching_voltage(cell, 1.0, cell.v_gate_min) if cell.gated else v_set
    return Summary(
        float(cell.g_min), float(cell.g_max), float(cell.gain_low), float(cell.gain_high), v_set, closed, v_reset,
        float(read_noise(cell, 0.5, gate, v_read, t_read, noise or ReadNoise())), retention_time(cell),
        *worst_retention(cell),
    )  # fmt: skip


def evolves(cell: Cell) -> bool:
    """Tell whether a cell's state moves under voltage at all."""
    return hasattr(cell, "evolve")


def ramp(cell: Cell, v: FloatArray, w: float, v_gate: float, rate: float = RAMP) -> FloatArray:
    """Return the states (n,) along voltages v (n,) [V] that change at a rate [V/s], from w at the first of them."""
    states = np.full(v.size, float(w))
    if evolves(cell):
        for k in range(1, v.size):
            middle, dt = 0.5 * (v[k - 1] + v[k]), abs(v[k] - v[k - 1]) / rate
            states[k] = cell.evolve(states[k - 1], middle, v_gate, dt)  # type: ignore[attr-defined]
    return states


def switching_voltage(cell: Cell, sign: float, v_gate: float, rate: float = RAMP) -> float:
    """Return where a ramp from 0 V switches a cell [V]: upwards from w = 0, downwards from w = 1; nan if it does not.

    A cell is switched when its state passes one half.
    """
    if not evolves(cell):
        return math.nan
    number("rate", rate, unit="V/s", above=0.0)
    w, step = (0.0, RAMP_STEP) if sign > 0.0 else (1.0, -RAMP_STEP)
    for k in range(round(LARGEST_RAMP / RAMP_STEP)):
        before, w = w, float(cell.evolve(w, (k + 0.5) * step, v_gate, RAMP_STEP / rate))  # type: ignore[attr-defined]
        if (w - SWITCHED) * sign >= 0.0:
            return step * (k + (SWITCHED - before) / (w - before))
    return math.nan


def held(cell: Cell, w: npt.ArrayLike, v: float, v_gate: float, times: FloatArray) -> FloatArray:
    """Return the states (t, ...) at rising times [s] of states w (...) under constant voltages."""
    states = np.asarray(w, dtype=np.float64)
    result = np.empty((times.size, *states.shape))
    for k, dt in enumerate(np.diff(times, prepend=0.0)):
        if evolves(cell):
            states = np.asarray(cell.evolve(states, v, v_gate, float(dt)))  # type: ignore[attr-defined]
        result[k] = states
    return result


def times(shortest: float = SHORTEST, longest: float = LONGEST) -> FloatArray:
    """Return times [s] evenly spaced in their logarithm."""
    decades = math.log10(longest / shortest)
    return np.logspace(math.log10(shortest), math.log10(longest), round(PER_DECADE * decades) + 1)


def retention_time(cell: Cell, loss: float = 0.1, w: float = 1.0) -> float:
    """Return the time at rest until a state has lost a part of its conductance [s], inf if it never does.

    Raises ParameterError unless loss is between 0 and 1 and w from 0 to 1.
    """
    number("loss", loss, above=0.0, below=1.0)
    number("w", w, minimum=0.0, maximum=1.0)
    return float(_retention_times(cell, loss, (w,))[0])


def worst_retention(cell: Cell, loss: float = 0.1) -> tuple[float, float]:
    """Return the shortest retention_time [s] among STATES, and the state that has it.

    Raises ParameterError unless loss is between 0 and 1.
    """
    number("loss", loss, above=0.0, below=1.0)
    strongest_first = STATES[::-1]
    kept = _retention_times(cell, loss, strongest_first)
    k = int(np.argmin(kept))
    return float(kept[k]), strongest_first[k]


def _retention_times(cell: Cell, loss: float, states: tuple[float, ...]) -> FloatArray:
    """Return retention_time (n,) [s] of states (n,), which evolve together."""
    at = times()
    g = np.asarray(cell.filament(held(cell, np.array(states), 0.0, _rest(cell), at)))
    end = (1.0 - loss) * np.asarray(cell.filament(np.array(states)))
    kept = np.full(len(states), math.inf)
    for n in range(len(states)):
        below = np.flatnonzero(g[:, n] <= end[n])
        if not below.size:
            continue
        k = int(below[0])
        if k == 0:
            kept[n] = at[0]
        else:
            part = (g[k - 1, n] - end[n]) / (g[k - 1, n] - g[k, n])
            kept[n] = at[k - 1] + part * (at[k] - at[k - 1])
    return kept


def read_noise(
    cell: Cell, w: npt.ArrayLike, v_gate: npt.ArrayLike, v_read: float, t_read: float, noise: ReadNoise
) -> FloatArray:
    """Return the standard deviation over the current of one read of states w at v_read [V] over t_read [s]."""
    g = np.asarray(cell.conductance(w, v_gate, v_read))
    variance = noise.cell_variance(g, v_read, t_read, getattr(cell, "temperature", 300.0))
    result: FloatArray = np.sqrt(variance) / (g * abs(v_read))
    return result


def _rest(cell: Cell) -> float:
    """Gate voltage of a cell at rest [V]: 0 where the window allows it."""
    return min(max(0.0, cell.v_gate_min), cell.v_gate_max)
