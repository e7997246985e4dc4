"""Cells under waveforms: voltages against time, what state and current do under them, and the usual ones ready.

Samples are joined by straight lines; two samples at one time are a jump, so a rectangle is a rectangle.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.constants import BOLTZMANN_EV
from devices.errors import ConvergenceError, ParameterError
from devices.numerics.worker_threads import in_shares
from devices.states.filament import MOST_STEPS, Growth
from devices.states.filament_blocks import BLOCK, march

STEEPEST = 20.0  # change of the field's exponent over a piece, in units of the largest step of w (ours)
MOST_PIECES = 1_000_000  # of one interval; more is a slip of the pen


@dataclass(frozen=True, eq=False)
class Waveform:
    """Cell voltage and gate voltage at sampled times, straight between samples.

    Raises ParameterError for times that fall, fewer than two samples, or shapes that do not fit.
    """

    time: FloatArray  #: (t,) [s], never falling; two equal times are a jump
    v: FloatArray  #: (t,) or (t, ...) cell voltage [V]; further axes spread over the cells
    v_gate: FloatArray = field(default_factory=lambda: np.zeros(1))  #: as v, or one value for all times [V]

    def __post_init__(self) -> None:
        time = checks.array("time", self.time, ndim=1)
        if len(time) < 2:
            raise ParameterError(f"time must hold at least 2 samples, got {len(time)}")
        steps = np.diff(time)
        if steps.min() < 0.0:
            k = int(np.argmax(steps < 0.0))
            raise ParameterError(f"time must never fall, got {time[k + 1]:g} s after {time[k]:g} s at sample {k + 1}")
        v, v_gate = checks.voltages("v", self.v), checks.voltages("v_gate", self.v_gate)
        if v.ndim < 1 or len(v) != len(time):
            raise ParameterError(f"v must have one value or row for each of {len(time)} times, got shape {v.shape}")
        if v_gate.ndim == 0:
            v_gate = v_gate.reshape(1)
        if len(v_gate) not in (1, len(time)):
            raise ParameterError(
                f"v_gate must be one value or have one value or row for each of {len(time)} times, got {v_gate.shape}"
            )
        for name, value in (("time", time), ("v", v), ("v_gate", v_gate)):
            own = value.copy()
            own.setflags(write=False)
            object.__setattr__(self, name, own)

    @checks.typed
    def then(self, other: "Waveform") -> "Waveform":
        """Return this waveform followed by another, which begins where this one ends."""
        v = _joined("v", self.v, other.v)
        gates = (np.broadcast_to(w.v_gate, (len(w.time), *w.v_gate.shape[1:])) for w in (self, other))
        return Waveform(np.concatenate([self.time, self.time[-1] + other.time - other.time[0]]), v,
                        _joined("v_gate", *gates))  # fmt: skip

    def repeated(self, times: int) -> "Waveform":
        """Return this waveform `times` times in a row."""
        count = checks.whole("times", times, minimum=1)
        length = self.time[-1] - self.time[0]
        time = (self.time + length * np.arange(count)[:, None]).reshape(-1)
        gate = self.v_gate if len(self.v_gate) == 1 else np.concatenate([self.v_gate] * count)
        return Waveform(time, np.concatenate([self.v] * count), gate)


@dataclass(frozen=True, eq=False)
class Trace:
    """What cells did under a waveform, at the samples that were kept."""

    time: FloatArray  #: (t,) [s]
    v: FloatArray  #: (t, ...) cell voltage [V]
    v_gate: FloatArray  #: (t, ...) [V]
    current: FloatArray  #: (t, ...) [A]
    state: FloatArray  #: (t, ...) w in [0, 1]
    temperature: FloatArray  #: (t, ...) of the filament [K]


@checks.typed
def simulate(
    cell: AdaptiveMemristor,
    waveform: Waveform,
    w: npt.ArrayLike = 0.0,
    *,
    gate_offset: npt.ArrayLike = 0.0,
    every: int | None = 1,
    r_thermal: float = 0.0,
    largest_step: float = 0.005,
) -> Trace:
    """Take cells through a waveform and return what they did.

    w: states at the beginning, any shape.  gate_offset: shift of each cell's Dirac point [V].  Both and the further
    axes of the waveform broadcast to the shape of the cells.  every: keep each such sample, and the last; None keeps
    the first and the last.  r_thermal: rise of the filament's temperature over the cell's power [K/W].  largest_step:
    a sub-step moves a state by about this much, and the exponent of its field by 20 times this much.
    Raises ParameterError for a wrong shape or value, ConvergenceError if sub-steps run out.
    Source: docs/equations/dynamics.md.
    """
    if not isinstance(cell, AdaptiveMemristor):
        raise ParameterError(f"cell must be an AdaptiveMemristor, whose state moves, got {cell!r}")
    largest = checks.number("largest_step", largest_step, above=0.0, maximum=0.1)
    heat = checks.number("r_thermal", r_thermal, unit="K/W", minimum=0.0)
    states, offset = checks.array("w", w, minimum=0.0), checks.voltages("gate_offset", gate_offset)
    if states.size and states.max() > 1.0:
        raise ParameterError(f"w must lie in [0, 1], got {states.max():g}")
    shape = _cells(states, offset, waveform)
    samples = len(waveform.time)
    v, v_gate = (_spread(values, samples, shape) for values in (waveform.v, waveform.v_gate))
    own, offsets = (np.array(np.broadcast_to(a, shape), dtype=np.float64).reshape(-1) for a in (states, offset))

    stride = samples if every is None else checks.whole("every", every, minimum=1)
    chosen = np.unique(np.append(np.arange(0, samples, stride), samples - 1))
    kept = np.full(samples, -1)
    kept[chosen] = np.arange(len(chosen))
    result = np.empty((len(chosen), own.size))
    growth = heating(cell, heat)
    march_cells(cell, growth, own, offsets, np.diff(waveform.time), v, v_gate, largest, kept, result)

    full = (len(chosen), *shape)
    volts, gates = (np.broadcast_to(a[chosen], result.shape).reshape(full) for a in (v, v_gate))
    state = result.reshape(full)
    gain = cell.gain_with_offset(gates, np.broadcast_to(offset, shape))
    current = cell.terminal_conductance(cell.filament(state), gain, volts) * volts
    temperature = cell.temperature + heat * volts * current
    return Trace(waveform.time[chosen], volts, gates, current, state, temperature)


def heating(cell: AdaptiveMemristor, r_thermal: float) -> Growth:
    """Return the parameters of a cell's state equation with a thermal resistance [K/W]."""
    return cell.growth()._replace(
        r_thermal=r_thermal, temperature=cell.temperature, activation=cell.e_activation / BOLTZMANN_EV
    )


def march_cells(
    cell: AdaptiveMemristor, growth: Growth, w: FloatArray, offset: FloatArray, dt: FloatArray, v: FloatArray,
    v_gate: FloatArray, largest: float, kept: IntArray, states: FloatArray,
) -> None:  # fmt: skip
    """Take flat cells `w` along a waveform in place, each thread its own cells; arrays as in dynamics.march.

    Raises ConvergenceError if sub-steps run out.
    """
    low, window = np.full(w.size, growth.g_min), np.full(w.size, growth.ln_window)
    limit = STEEPEST * largest * min(cell.v_set, cell.v_reset)
    jumps = np.abs(np.diff(v, axis=0)).max(axis=1, initial=0.0)
    pieces = np.where(dt > 0.0, np.ceil(jumps / limit), 1.0)
    if pieces.max() > MOST_PIECES:
        k = int(pieces.argmax())
        raise ParameterError(
            f"v must not change by more than {MOST_PIECES * limit:g} V between samples, "
            f"got {jumps[k]:g} V at sample {k + 1}"
        )
    counts = np.maximum(pieces, 1.0).astype(np.int64)

    def part(cells: slice) -> int:
        return march(
            cell.law, growth, low, window, offset, dt, counts, v, v_gate, largest, kept, w, states, cells.start,
            cells.stop,
        )  # fmt: skip

    # Whole blocks, so that cells that go through a step side by side do so with any number of threads.
    missed = sum(in_shares(part, w.size, parts=4, block=BLOCK))
    if missed:
        raise ConvergenceError(
            f"{missed} steps of {w.size} cells not reached after {MOST_STEPS} sub-steps; raise largest_step "
            f"(now {largest:g})"
        )


def sweep(
    *corners: float, rate: float = 1.0, cycles: int = 1, points: int = 201, v_gate: npt.ArrayLike = 0.0
) -> Waveform:
    """Return a ramp from 0 V through the corners [V] and back to 0 V at `rate` [V/s], `cycles` times.

    points: samples of each straight part.  v_gate: constant; axes spread over the cells.
    Raises ParameterError without a corner that differs from its neighbours.
    """
    rate = checks.number("rate", rate, unit="V/s", above=0.0)
    points = checks.whole("points", points, minimum=2)
    path = [0.0, *(checks.number("corner", corner, unit="V") for corner in corners), 0.0]
    parts = [(a, b) for a, b in pairwise(path) if a != b]
    if not parts:
        raise ParameterError(f"corners must hold a voltage other than 0 V, got {corners}")
    v = np.concatenate([np.linspace(a, b, points)[1 if k else 0 :] for k, (a, b) in enumerate(parts)])
    with np.errstate(over="ignore"):  # an infinite time is refused
        time = checks.finite("rate and corners", np.concatenate([[0.0], np.cumsum(np.abs(np.diff(v)))]) / rate)
    return Waveform(time, v, checks.voltages("v_gate", v_gate)[None]).repeated(cycles)


def pulses(
    v: npt.ArrayLike, width: float, *, pause: float, v_rest: float = 0.0, v_gate: npt.ArrayLike = 0.0,
    v_gate_rest: npt.ArrayLike | None = None,
) -> Waveform:  # fmt: skip
    """Return rectangles of heights v (p, ...) [V], each `width` [s] and followed by `pause` [s] at v_rest [V].

    Four samples for each pulse: its beginning and end, the beginning and end of its pause; keeping every fourth of a
    trace shows the states before each pulse, and the last after all.  v_gate [V] holds during pulses, v_gate_rest
    (v_gate if None) during pauses; their axes spread over the cells.
    Raises ParameterError for a wrong shape or value.
    """
    heights = checks.voltages("v", v)
    if heights.ndim < 1 or not len(heights):
        raise ParameterError(f"v must hold at least one pulse, got shape {heights.shape}")
    width = checks.number("width", width, unit="s", above=0.0)
    pause = checks.number("pause", pause, unit="s", minimum=0.0)
    rest = np.full_like(heights, checks.number("v_rest", v_rest, unit="V"))
    times = np.append(0.0, np.cumsum(np.tile([width, 0.0, pause, 0.0], len(heights)))[:-1])
    volts = np.stack([heights, heights, rest, rest], axis=1).reshape(-1, *heights.shape[1:])
    on = checks.voltages("v_gate", v_gate)
    off = on if v_gate_rest is None else checks.voltages("v_gate_rest", v_gate_rest)
    on, off = np.broadcast_arrays(on, off)
    gates = np.concatenate([np.stack([on, on, off, off])] * len(heights))
    return Waveform(times, volts, on[None] if v_gate_rest is None else gates)


def _cells(states: FloatArray, offset: FloatArray, waveform: Waveform) -> tuple[int, ...]:
    """Return the shape of the cells; raise ParameterError if there is none."""
    shapes = {
        "w": states.shape,
        "gate_offset": offset.shape,
        "v after its first axis": waveform.v.shape[1:],
        "v_gate after its first axis": waveform.v_gate.shape[1:],
    }
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        shown = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ParameterError(f"cells must have shapes that broadcast, got {shown}") from None


def _spread(values: FloatArray, samples: int, shape: tuple[int, ...]) -> FloatArray:
    """Return samples (t, 1) that all cells share, or (t, cells)."""
    if values[0].size == 1:
        return np.array(np.broadcast_to(values.reshape(-1, 1), (samples, 1)), order="C")  # own: one compiled version
    return np.array(np.broadcast_to(_aligned(values, len(shape)), (samples, *shape)), order="C").reshape(samples, -1)


def _aligned(values: FloatArray, ndim: int) -> FloatArray:
    """Return samples whose axes after the first line up with the last axes of the cells."""
    return values.reshape(len(values), *(1,) * (ndim + 1 - values.ndim), *values.shape[1:])


def _joined(name: str, first: FloatArray, second: FloatArray) -> FloatArray:
    """Return two runs of samples in a row, their further axes made equal."""
    try:
        shape = np.broadcast_shapes(first.shape[1:], second.shape[1:])
    except ValueError:
        raise ParameterError(
            f"{name} of both waveforms must have cells that broadcast, got {first.shape[1:]} and {second.shape[1:]}"
        ) from None
    return np.concatenate([np.broadcast_to(_aligned(a, len(shape)), (len(a), *shape)) for a in (first, second)])
