"""Write–verify: alternating pulses and reads until a cell is within tolerance of its target.

`write_verify` simulates the pulses, while `Spread.write` draws their result at random.  Both return a `Written`;
`write_verify` also returns the number of pulses, their energy and their time.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices import checks
from devices.aliases import BoolArray, FloatArray, IntArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.errors import ConvergenceError, ParameterError
from devices.laws import gate
from devices.noise.read_noise import ReadNoise
from devices.states.filament import MOST_STEPS, gate_factors, pulse
from devices.writing.spread import DrawnCells, Written

AIM = 0.7  # fraction of the distance to the target that the next pulse should cover (ours)
RETREAT = 4  # rungs down after a pulse that went past the target (ours)
REOPEN = 2.0  # an accepted cell is written again if its error exceeds this times the tolerance (ours)


@dataclass(frozen=True)
class WriteVerify:
    """A write–verify scheme: read the cell; while it is outside the tolerance, apply a pulse towards the target.

    SET and RESET each have a ladder of increasingly strong pulses.  From one rung to the next, the amplitude increases
    by a step, the width by a factor, or the gate opens by a step; each classmethod uses one of the three.
    docs/equations/programming.md, section 1; all defaults are ours.
    """

    v_set: float = checks.quantity(0.5, "V", above=0.0)  #: SET amplitude on the lowest rung [V]
    v_reset: float = checks.quantity(
        0.3, "V", above=0.0
    )  #: RESET amplitude on the lowest rung [V], applied as a negative voltage
    v_step_set: float = checks.quantity(0.01, "V", minimum=0.0)  #: increase of the SET amplitude per rung [V]
    v_step_reset: float = checks.quantity(0.01, "V", minimum=0.0)  #: increase of the RESET amplitude per rung [V]
    v_most: float = checks.quantity(1.2, "V", above=0.0)  #: largest amplitude [V]
    width: float = checks.quantity(1e-6, "s", above=0.0)  #: pulse width on the lowest rung [s]
    width_factor: float = checks.quantity(1.0, minimum=1.0)  #: factor on the pulse width per rung
    width_most: float = checks.quantity(1.0, "s", above=0.0)  #: largest pulse width [s]
    v_gate_set: float = checks.quantity(0.0, "V")  #: gate voltage of SET on the lowest rung [V]
    v_gate_step: float = checks.quantity(
        0.0, "V", minimum=0.0
    )  #: increase of the SET gate voltage per rung [V], up to the end of the window
    v_gate_reset: float = checks.quantity(0.0, "V")  #: gate voltage of RESET [V]; it hardly affects RESET
    v_read: float = checks.quantity(0.1, "V", above=0.0)  #: voltage of the reads between pulses [V]
    t_read: float = checks.quantity(1e-6, "s", above=0.0)  #: length of these reads [s]
    tolerance: float = checks.quantity(0.01, above=0.0, maximum=1.0)  #: largest accepted error, as a fraction of g_max
    pulse_ln_sigma: float = checks.quantity(0.1, minimum=0.0)  #: lognormal variation of the effect of equal pulses
    rung_ln: float = checks.quantity(0.29, above=0.0)  #: logarithm of the expected factor per rung on the rate
    most_rungs: int = 12  #: most rungs climbed at once
    most_pulses: int = 100  #: most pulses per cell

    def __post_init__(self) -> None:
        checks.check_fields(self)
        for name in ("most_rungs", "most_pulses"):
            object.__setattr__(self, name, checks.whole(name, getattr(self, name), minimum=1))
        if max(self.v_set, self.v_reset) > self.v_most:
            raise ParameterError(
                f"v_most must be ≥ v_set and v_reset = {max(self.v_set, self.v_reset):g} V, got {self.v_most:g} V"
            )

    @classmethod
    def amplitude(cls) -> "WriteVerify":
        """Return a scheme of 1 us pulses whose amplitude rises by 10 mV per rung."""
        return cls()

    @classmethod
    def pulse_width(cls) -> "WriteVerify":
        """Return a scheme of 0.6 V and -0.45 V pulses whose width rises by a third per rung."""
        return cls(v_set=0.6, v_reset=0.45, v_step_set=0.0, v_step_reset=0.0, width=1e-8, width_factor=4 / 3)

    @classmethod
    def gate_assisted(cls) -> "WriteVerify":
        """Return a scheme of 0.62 V SET pulses, gate 0.15 V higher per rung, and RESET pulses of rising amplitude."""
        return cls(v_set=0.62, v_step_set=0.0, v_gate_set=-2.0, v_gate_step=0.15)

    def rung(
        self, direction: IntArray, rung: IntArray, cell: AdaptiveMemristor
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return signed amplitude [V], width [s] and gate voltage [V] of pulses; direction 1 is SET, -1 RESET.

        Source: docs/equations/programming.md eq. 1.
        """
        up = direction > 0
        v = np.where(up, self.v_set + rung * self.v_step_set, self.v_reset + rung * self.v_step_reset)
        width = np.minimum(self.width * np.power(self.width_factor, rung.astype(np.float64)), self.width_most)
        opened = np.minimum(self.v_gate_set + rung * self.v_gate_step, max(cell.v_gate_max, self.v_gate_set))
        signed: FloatArray = direction.astype(np.float64) * np.minimum(v, self.v_most)
        return signed, width, np.where(up, opened, self.v_gate_reset)


@dataclass(frozen=True, eq=False)
class Programmed:
    """The result of a simulated write: conductances, errors, pulses, energy and time."""

    written: Written  #: conductances and gate offsets, as Spread.write returns them
    target: FloatArray  #: (..., m, n) target filament conductance [S]
    error: FloatArray  #: (..., m, n) written filament conductance minus target [S]
    accepted: BoolArray  #: (..., m, n) whether the last read was within the tolerance
    pulses: IntArray  #: (..., m, n) number of pulses
    energy: FloatArray  #: (..., m, n) energy of pulses and reads in the cell [J]
    time: FloatArray  #: (..., m, n) time of pulses and reads [s]


class Controller:
    """The write controller of many cells: it chooses each next pulse from the results of the reads alone.

    Read results and targets are filament conductances (c,) [S].  docs/equations/programming.md, section 1.
    """

    def __init__(self, scheme: WriteVerify, cell: AdaptiveMemristor, targets: FloatArray) -> None:
        self.scheme, self.cell, self.targets = scheme, cell, targets
        self.band = scheme.tolerance * cell.g_max
        self.rungs = np.zeros((2, targets.size), dtype=np.int64)  # SET, RESET
        self.direction = np.zeros(targets.size, dtype=np.int64)  # of the last pulse
        self.gap = np.zeros(targets.size)  # distance to the target before the last pulse [S]
        self.pulses = np.zeros(targets.size, dtype=np.int64)
        self.accepted = np.zeros(targets.size, dtype=np.bool_)

    def decide(self, chosen: IntArray, seen: FloatArray) -> IntArray:
        """Return the direction of the next pulse of the chosen cells, 0 for none, from read conductances `seen` [S].

        Source: docs/equations/programming.md eq. 2-3.
        """
        gap = self.targets[chosen] - seen
        band = np.where(self.accepted[chosen], REOPEN, 1.0) * self.band
        wanted = np.where(np.abs(gap) <= band, 0, np.sign(gap).astype(np.int64))
        self.accepted[chosen] = wanted == 0
        last = self.direction[chosen]
        side = (last < 0).astype(np.int64)
        moved = (np.abs(self.gap[chosen]) - np.abs(gap)) / np.abs(np.where(gap == 0.0, self.band, gap))
        climb = np.rint(np.log(AIM / np.maximum(moved, 1e-9)) / self.scheme.rung_ln).astype(np.int64)
        climb = np.clip(climb, 0, self.scheme.most_rungs)
        change = np.where((wanted == last) & (last != 0), climb, np.where(wanted == -last, -RETREAT, 0))
        change[(last == 0) | (wanted == 0)] = 0
        self.rungs[side, chosen] = np.maximum(self.rungs[side, chosen] + change, 0)
        wanted[self.pulses[chosen] >= self.scheme.most_pulses] = 0
        self.gap[chosen] = gap
        self.direction[chosen] = wanted
        return wanted

    def next_pulses(self, chosen: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return amplitude [V], width [s] and gate voltage [V] of the next pulses of chosen cells, and count them."""
        direction = self.direction[chosen]
        self.pulses[chosen] += 1
        rungs = self.rungs[(direction < 0).astype(np.int64), chosen]
        return self.scheme.rung(direction, rungs, self.cell)


@dataclass(eq=False)
class Filaments:
    """States of many cells, each with its own conductance window, as flat arrays (c,); pulses change w in place."""

    cell: AdaptiveMemristor  #: the nominal cell
    low: FloatArray  #: lower end of each window [S]
    ln_window: FloatArray  #: logarithm of upper over lower end of each window
    offset: FloatArray  #: shift of each Dirac point [V]
    free: BoolArray  #: cells that are not stuck
    w: FloatArray  #: states

    @classmethod
    def of(cls, cells: DrawnCells, w: npt.ArrayLike) -> "Filaments":
        """Return the cells of a chip in states w; a stuck cell has state 0 or 1."""
        if not isinstance(cells.cell, AdaptiveMemristor):
            raise ParameterError(f"cells must be AdaptiveMemristor, whose state moves, got {cells.cell!r}")
        states = checks.array("start", w, minimum=0.0)
        if states.size and states.max() > 1.0:
            raise ParameterError(f"start must lie in [0, 1], got {states.max():g}")
        try:
            states = np.broadcast_to(states, cells.g_min.shape)
        except ValueError:
            raise ParameterError(f"start must broadcast to {cells.g_min.shape}, got {states.shape}") from None
        states = np.where(cells.stuck_on, 1.0, np.where(cells.stuck_off, 0.0, states))
        window = np.maximum(np.log(cells.g_max / cells.g_min), 1e-9)  # avoids division by 0 in a window of no width
        parts = (cells.g_min, window, cells.gate_offset, ~(cells.stuck_on | cells.stuck_off), states)
        low, ln_window, offset, free, own = (np.array(part).reshape(-1) for part in parts)
        return cls(cells.cell, low, ln_window, offset, free, own)

    def conductance(self) -> FloatArray:
        """Return the filament conductances [S]."""
        result: FloatArray = self.low * np.exp(self.ln_window * self.w)
        return result

    def read(
        self, chosen: IntArray, scheme: WriteVerify, noise: ReadNoise | None, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Return the filament conductances [S] of chosen cells as read at the open gate, and the energy of reads [J].

        Conductances are computed with the nominal read gain, as the gain of each cell is not known to the reader.
        Source: docs/equations/programming.md eq. 4.
        """
        cell, v = self.cell, scheme.v_read
        g = self.low[chosen] * np.exp(self.ln_window[chosen] * self.w[chosen])
        shown = cell.terminal_conductance(g, cell.gain_with_offset(cell.v_gate_max, self.offset[chosen]), v)
        energy = shown * v * v * scheme.t_read
        if noise is not None:
            variance = noise.cell_variance(shown, v, scheme.t_read, cell.temperature)
            shown = shown + np.sqrt(variance) / v * rng.standard_normal(len(shown))
        top = cell.g_leak + (0.999 / cell.r_series if cell.r_series else np.inf)
        return cell.filament_for(np.clip(shown, cell.g_leak, top), cell.gain_high, v), energy

    def pulse(self, chosen: IntArray, v: FloatArray, v_gate: FloatArray, dt: FloatArray, largest: float) -> FloatArray:
        """Apply a pulse of v [V] for dt [s] at a gate voltage [V] to chosen cells; return the energy in each [J].

        Raises ConvergenceError if a pulse needs more than MOST_STEPS sub-steps.
        Source: docs/equations/programming.md eq. 5.
        """
        law, growth = self.cell.law, self.cell.growth()
        own = v_gate - self.offset[chosen]
        energy = gate.fermi_energies(law, own)
        boost = gate_factors(growth, energy, v)
        w, charge, missed = pulse(
            law, growth, self.low[chosen], self.ln_window[chosen], self.w[chosen], v, gate.read_gains(law, own), boost,
            dt, largest,
        )  # fmt: skip
        if missed:
            raise ConvergenceError(f"{missed} of {len(w)} pulses not finished after {MOST_STEPS} sub-steps")
        self.w[chosen] = np.where(self.free[chosen], w, self.w[chosen])
        return charge * v


@checks.typed
def write_verify(
    cells: DrawnCells,
    g_filament_targets: npt.ArrayLike,
    scheme: WriteVerify,
    rng: np.random.Generator,
    *,
    start: npt.ArrayLike = 0.0,
    noise: ReadNoise | None = None,
    largest_step: float = 0.01,
) -> Programmed:
    """Write cells one by one, without wires, until each is within tolerance of its target or has had most_pulses.

    cells: as returned by Spread.draw.  g_filament_targets: (..., m, n), the shape of the cells [S].  start: states
    before the write.  noise: read noise; None for noiseless reads.  The result's `written` has the form of the result
    of Spread.write.
    Raises ParameterError for a wrong shape or value, ConvergenceError if a pulse needs more than MOST_STEPS sub-steps.
    Source: docs/equations/programming.md, section 1.
    """
    targets = checks.array("g_filament_targets", g_filament_targets, minimum=0.0)
    if targets.shape != cells.g_min.shape:
        raise ParameterError(f"g_filament_targets must have shape {cells.g_min.shape}, got {targets.shape}")
    filaments = Filaments.of(cells, start)
    controller = Controller(scheme, filaments.cell, targets.reshape(-1))
    energy, time = np.zeros(targets.size), np.zeros(targets.size)
    active = np.arange(targets.size)
    while len(active):
        seen, used = filaments.read(active, scheme, noise, rng)
        energy[active] += used
        time[active] += scheme.t_read
        active = active[controller.decide(active, seen) != 0]
        v, width, v_gate = controller.next_pulses(active)
        energy[active] += filaments.pulse(
            active, v, v_gate, uneven(width, scheme.pulse_ln_sigma, rng), checks.number("largest_step", largest_step)
        )
        time[active] += width
    return result(cells, targets, filaments, controller, energy, time)


def uneven(width: FloatArray, ln_sigma: float, rng: np.random.Generator) -> FloatArray:
    """Return the effective lengths [s] of pulses of unequal effect: widths times lognormal factors."""
    return width * np.exp(ln_sigma * rng.standard_normal(len(width))) if ln_sigma else width


def result(
    cells: DrawnCells, targets: FloatArray, filaments: Filaments, controller: Controller, energy: FloatArray,
    time: FloatArray,
) -> Programmed:  # fmt: skip
    """Return the result of a finished write in the shape of its cells."""
    shape = targets.shape
    g = filaments.conductance().reshape(shape)
    return Programmed(
        Written(g, cells.gate_offset), targets, g - targets, controller.accepted.reshape(shape),
        controller.pulses.reshape(shape), energy.reshape(shape), time.reshape(shape),
    )  # fmt: skip
