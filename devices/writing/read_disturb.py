"""Read disturb: written conductances after many reads, at the voltages and gate voltages of these reads."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from devices import checks
from devices.aliases import FloatArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.cells.interface import Cell
from devices.cells.selected import SelectedCell
from devices.errors import ConvergenceError, ParameterError
from devices.numerics.worker_threads import in_shares
from devices.states.filament import MOST_STEPS
from devices.states.read_stress import stressed_states

LARGEST_STEP = 0.005  # of a state in one sub-step, as in AdaptiveMemristor.evolve
MOST_SECONDS = 1e60  # ours: sums and products of a few times are numbers of float64
SLICES = 16  # repetitions of the stresses for cells with another state equation, ours
BLOCK = 4096  # cells that a thread integrates at a time, ours


@dataclass(frozen=True, eq=False)
class Stress:
    """What cells see between two writes: q pairs of cell voltage and gate voltage, and how long each lasts."""

    v: FloatArray  #: (q,) cell voltage [V]
    v_gate: FloatArray  #: (q,) gate voltage [V]
    seconds: FloatArray  #: (…, q) time [s]; all axes but the last broadcast to the cells

    def __post_init__(self) -> None:
        v = checks.voltages("v", self.v, ndim=1)
        v_gate = checks.voltages("v_gate", self.v_gate, shape=(len(v),))
        seconds = checks.array("seconds", self.seconds, minimum=0.0, largest=MOST_SECONDS)
        if seconds.ndim == 0 or seconds.shape[-1] != len(v):
            raise ParameterError(
                f"seconds must have one last entry for each of {len(v)} voltages, got a shape of {seconds.shape}"
            )
        for name, value in (("v", v), ("v_gate", v_gate), ("seconds", seconds)):
            object.__setattr__(self, name, value)

    def repeated(self, times: float, rest: float = 0.0) -> "Stress":
        """Return the stress repeated so many times, and in addition a time `rest` [s] without voltage."""
        times = checks.number("times", times, minimum=0.0, maximum=MOST_SECONDS)
        rest = checks.number("rest", rest, unit="s", minimum=0.0, maximum=MOST_SECONDS)
        seconds = self.seconds * times
        still = np.maximum(rest - seconds.sum(-1, keepdims=True), 0.0)  # reads take part of the time
        v, v_gate = np.append(self.v, 0.0), np.append(self.v_gate, 0.0)
        return Stress(v, v_gate, np.concatenate([seconds, still], axis=-1))


@checks.typed
def disturb(
    cell: Cell,
    g_filament: npt.ArrayLike,
    stress: Stress,
    gate_offset: npt.ArrayLike = 0.0,
    *,
    temperature: float | None = None,
) -> FloatArray:
    """Return filament conductances (…) [S] after a stress, by the state equation of the nominal cell.

    gate_offset: shifts of the Dirac points [V], which broadcast to the cells.  temperature [K] replaces the cell's.  A
    conducting selector is taken to leave all voltage to its cell.  A cell without a state equation does not change.
    Raises ParameterError for shapes that do not broadcast, ConvergenceError if an integration does not end.
    Source: docs/equations/disturb.md eq. 1-2.
    """
    g = checks.array("g_filament", g_filament, minimum=0.0)
    inner: Any = cell.cell if isinstance(cell, SelectedCell) else cell
    if not hasattr(inner, "evolve"):
        return g
    given = checks.voltages("gate_offset", gate_offset)
    try:
        offset = np.broadcast_to(given, g.shape)
        seconds = np.broadcast_to(stress.seconds, (*g.shape, len(stress.v)))
    except ValueError:
        raise ParameterError(
            f"gate_offset and stress.seconds must broadcast to cells of shape {g.shape}, got {given.shape} "
            f"and {stress.seconds.shape}"
        ) from None
    state = inner.state(g)
    rest = g / inner.filament(state)  # outside the nominal window the ratio to the window's end is kept
    if isinstance(inner, AdaptiveMemristor):
        moved = _stressed(inner.at(temperature), state, offset, stress)
    else:
        moved = state
        for _ in range(SLICES):
            for q, (v, v_gate) in enumerate(zip(stress.v, stress.v_gate, strict=True)):
                moved = inner.evolve(moved, v, v_gate, seconds[..., q] / SLICES, temperature)
    found: FloatArray = rest * inner.filament(moved)
    return found


def _stressed(cell: AdaptiveMemristor, state: FloatArray, offset: FloatArray, stress: Stress) -> FloatArray:
    """Return states (…) after a stress; the times of cells that share them are stored once."""
    kinds = stress.seconds.shape[:-1]
    place = np.broadcast_to(np.arange(int(np.prod(kinds)), dtype=np.int64).reshape(kinds), state.shape).ravel()
    w, shifts = (np.array(each, dtype=np.float64).ravel() for each in (state, offset))  # own: one compiled version
    v, v_gate = (np.ascontiguousarray(each, dtype=np.float64) for each in (stress.v, stress.v_gate))
    seconds = np.ascontiguousarray(stress.seconds, dtype=np.float64).reshape(-1, len(v))
    law, growth = cell.law, cell.growth()

    def work(part: slice) -> tuple[FloatArray, int]:
        return stressed_states(law, growth, w[part], shifts[part], place[part], v, v_gate, seconds, LARGEST_STEP)

    if not w.size:
        return state
    parts = in_shares(work, w.size, block=BLOCK)
    missed = sum(count for _, count in parts)
    if missed:
        raise ConvergenceError(f"{missed} of {w.size} integrations not finished after {MOST_STEPS} sub-steps")
    return np.concatenate([each for each, _ in parts]).reshape(state.shape)
