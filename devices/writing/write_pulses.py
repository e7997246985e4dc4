"""Writing cells: pulses and reads in turn until a target is met, levels, and what time does to a written conductance.

`write_verify` simulates what `Spread.write` draws: its result has the same `Written`, beside pulses, energy and time.
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
from devices.states.filament import LARGEST_EXPONENT, MOST_STEPS, pulse
from devices.writing.spread import DrawnCells, Written

AIM = 0.7  # part of the way that the next pulse is to go (ours)
RETREAT = 4  # rungs down after a pulse that went too far (ours)
REOPEN = 2.0  # half width beyond which a cell that was accepted is taken up again, in units of the band's (ours)


@dataclass(frozen=True)
class WriteVerify:
    """A scheme of pulses: read, and while the cell is out of the band, give the next pulse towards the target.

    Each direction has a ladder.  A rung up adds to the amplitude, multiplies the width, or opens the gate further; the
    classmethods climb by one of them each.  docs/equations/programming.md, section 1; all defaults are ours.
    """

    v_set: float = checks.quantity(0.5, "V", above=0.0)  #: amplitude of SET on the lowest rung [V]
    v_reset: float = checks.quantity(
        0.3, "V", above=0.0
    )  #: amplitude of RESET on the lowest rung [V], applied below 0 V
    v_step_set: float = checks.quantity(0.01, "V", minimum=0.0)  #: more on each rung [V]
    v_step_reset: float = checks.quantity(0.01, "V", minimum=0.0)  #: more on each rung [V]
    v_most: float = checks.quantity(1.2, "V", above=0.0)  #: no amplitude beyond [V]
    width: float = checks.quantity(1e-6, "s", above=0.0)  #: of a pulse on the lowest rung [s]
    width_factor: float = checks.quantity(1.0, minimum=1.0)  #: longer on each rung by
    width_most: float = checks.quantity(1.0, "s", above=0.0)  #: no longer pulse [s]
    v_gate_set: float = checks.quantity(0.0, "V")  #: gate of SET on the lowest rung [V]
    v_gate_step: float = checks.quantity(
        0.0, "V", minimum=0.0
    )  #: more on each rung of SET [V], to the end of the window
    v_gate_reset: float = checks.quantity(0.0, "V")  #: gate of RESET [V]; in this cell it hardly acts on RESET
    v_read: float = checks.quantity(0.1, "V", above=0.0)  #: voltage of the reads between pulses [V]
    t_read: float = checks.quantity(1e-6, "s", above=0.0)  #: their length [s]
    tolerance: float = checks.quantity(0.01, above=0.0, maximum=1.0)  #: half width of the accepted band, part of g_max
    pulse_ln_sigma: float = checks.quantity(0.1, minimum=0.0)  #: of the effect of equal pulses, lognormal
    rung_ln: float = checks.quantity(0.29, above=0.0)  #: logarithm of what a rung is expected to do to the rate
    most_rungs: int = 12  #: climbed at once
    most_pulses: int = 100  #: of one cell

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
        """Return pulses of 1 us that grow by 10 mV."""
        return cls()

    @classmethod
    def pulse_width(cls) -> "WriteVerify":
        """Return pulses of 0.6 V and -0.45 V that grow longer by a third."""
        return cls(v_set=0.6, v_reset=0.45, v_step_set=0.0, v_step_reset=0.0, width=1e-8, width_factor=4 / 3)

    @classmethod
    def gate_assisted(cls) -> "WriteVerify":
        """Return SET pulses of 0.62 V under a gate that opens by 0.15 V; RESET climbs in amplitude."""
        return cls(v_set=0.62, v_step_set=0.0, v_gate_set=-2.0, v_gate_step=0.15)

    def rung(
        self, direction: IntArray, rung: IntArray, cell: AdaptiveMemristor
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return amplitude [V], with its sign, width [s] and gate [V] of pulses on rungs; direction 1 is SET, -1 RESET.

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
    """What a simulated write leaves, and what it took."""

    written: Written  #: conductances and gate offsets, as Spread.write returns them
    target: FloatArray  #: (..., m, n) [S]
    error: FloatArray  #: (..., m, n) written filament conductance less its target [S]
    accepted: BoolArray  #: (..., m, n) whether the last read lay in the band
    pulses: IntArray  #: (..., m, n) pulses given
    energy: FloatArray  #: (..., m, n) of pulses and reads in the cell [J]
    time: FloatArray  #: (..., m, n) of pulses and reads [s]


class Controller:
    """The decisions of a writer about many cells: from what was read, which pulse comes next.

    It sees reads only.  seen and targets are filament conductances (c,) [S].  docs/equations/programming.md, section 1.
    """

    def __init__(self, scheme: WriteVerify, cell: AdaptiveMemristor, targets: FloatArray) -> None:
        self.scheme, self.cell, self.targets = scheme, cell, targets
        self.band = scheme.tolerance * cell.g_max
        self.rungs = np.zeros((2, targets.size), dtype=np.int64)  # SET, RESET
        self.direction = np.zeros(targets.size, dtype=np.int64)  # of the last pulse
        self.gap = np.zeros(targets.size)  # before it
        self.pulses = np.zeros(targets.size, dtype=np.int64)
        self.accepted = np.zeros(targets.size, dtype=np.bool_)

    def decide(self, chosen: IntArray, seen: FloatArray) -> IntArray:
        """Return the direction of the next pulse of the chosen cells, 0 for none, from what was just read of them.

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
        """Return amplitude [V], width [s] and gate [V] of the pulses decided for chosen cells, and count them."""
        direction = self.direction[chosen]
        self.pulses[chosen] += 1
        rungs = self.rungs[(direction < 0).astype(np.int64), chosen]
        return self.scheme.rung(direction, rungs, self.cell)


@dataclass(eq=False)
class Filaments:
    """States of many cells with windows of their own, flat (c,); pulses move them in place."""

    cell: AdaptiveMemristor
    low: FloatArray  #: [S]
    ln_window: FloatArray
    offset: FloatArray  #: [V]
    free: BoolArray  #: not stuck
    w: FloatArray

    @classmethod
    def of(cls, cells: DrawnCells, w: npt.ArrayLike) -> "Filaments":
        """Return the cells of a chip in states w; a stuck cell sits at its end."""
        if not isinstance(cells.cell, AdaptiveMemristor):
            raise ParameterError(f"cells must be AdaptiveMemristor, whose state moves, got {cells.cell!r}")
        states = checks.array("start", w, minimum=0.0)
        if states.size and states.max() > 1.0:
            raise ParameterError(f"start must lie in [0, 1], got {states.max():g}")
        try:
            states = np.broadcast_to(states, cells.g_min.shape)
        except ValueError:
            raise ParameterError(f"start must spread over {cells.g_min.shape}, got {states.shape}") from None
        states = np.where(cells.stuck_on, 1.0, np.where(cells.stuck_off, 0.0, states))
        window = np.maximum(np.log(cells.g_max / cells.g_min), 1e-9)  # a window that draws gave no width: any state
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
        """Return the filament conductances [S] that reads at the open gate show of chosen cells, and their energy [J].

        The reader knows the nominal gain, not each cell's.  Source: docs/equations/programming.md eq. 4.
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
        """Give chosen cells a pulse of v [V] at a gate [V] for dt [s]; return the energy in each [J].

        Raises ConvergenceError if sub-steps run out.  Source: docs/equations/programming.md eq. 5.
        """
        law, growth = self.cell.law, self.cell.growth()
        own = v_gate - self.offset[chosen]
        energy = gate.fermi_energies(law, own)
        boost = np.exp(np.minimum(growth.gate_per_ev * energy, LARGEST_EXPONENT))
        w, charge, missed = pulse(
            law, growth, self.low[chosen], self.ln_window[chosen], self.w[chosen], v, gate.read_gains(law, own), boost,
            dt, largest,
        )  # fmt: skip
        if missed:
            raise ConvergenceError(f"{missed} of {len(w)} pulses not finished after {MOST_STEPS} sub-steps")
        self.w[chosen] = np.where(self.free[chosen], w, self.w[chosen])
        return charge * v


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
    """Write cells one by one without wires between them: pulses and reads until each target is met or given up.

    cells: as Spread.draw makes them; targets: of their shape [S]; start: states before.  noise: of the reads.
    The result's `written` stands in for that of Spread.write.
    Raises ParameterError for a wrong shape or value, ConvergenceError if the sub-steps of a pulse run out.
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
    """Return the times [s] for which pulses act as if they were alike: widths times lognormal factors."""
    return width * np.exp(ln_sigma * rng.standard_normal(len(width))) if ln_sigma else width


def result(
    cells: DrawnCells, targets: FloatArray, filaments: Filaments, controller: Controller, energy: FloatArray,
    time: FloatArray,
) -> Programmed:  # fmt: skip
    """Return what a finished write leaves, in the shape of its cells."""
    shape = targets.shape
    g = filaments.conductance().reshape(shape)
    return Programmed(
        Written(g, cells.gate_offset), targets, g - targets, controller.accepted.reshape(shape),
        controller.pulses.reshape(shape), energy.reshape(shape), time.reshape(shape),
    )  # fmt: skip
