"""Writing an array through its own wires: half-selected lines, voltage lost on the way, disturbed neighbours.

b = pulses of a round, m = rows, n = columns, c = m n cells
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from crossbar.array import Array
from crossbar.newton import solve
from crossbar.wires import Wires
from devices import checks, gate
from devices.aliases import BoolArray, FloatArray, IntArray
from devices.dynamics import LARGEST_EXPONENT, MOST_STEPS, train
from devices.errors import ConvergenceError, ParameterError
from devices.jit import threads
from devices.noise import ReadNoise
from devices.programming import Controller, Filaments, Programmed, WriteVerify, result, uneven
from devices.spread import DrawnCells

__all__ = ["ArrayProgrammed", "Bias", "write_array"]

SHARES = {"half": (1 / 2, 1 / 2), "third": (1 / 3, 2 / 3)}  # of the pulse, on rows and columns that are not selected


@dataclass(frozen=True)
class Bias:
    """What lines that are not selected carry during a pulse; docs/equations/programming.md eq. 9."""

    #: "half": rows and columns at V/2; "third": rows at V/3, columns at 2 V/3
    scheme: Literal["half", "third"] = "half"
    #: gate of the rows that are not selected [V]; None: that of the pulse
    v_gate_idle: float | None = None
    #: cells of a row that get their pulses together at most; None: all that want one
    together: int | None = None

    def __post_init__(self) -> None:
        if self.scheme not in SHARES:
            raise ParameterError(f"scheme must be one of {', '.join(SHARES)}, got {self.scheme!r}")
        if self.v_gate_idle is not None:
            idle = checks.number("v_gate_idle", self.v_gate_idle, unit="V")
            object.__setattr__(self, "v_gate_idle", idle)
        if self.together is not None:
            object.__setattr__(self, "together", checks.whole("together", self.together, minimum=1))


@dataclass(frozen=True, eq=False)
class ArrayProgrammed(Programmed):
    """What a simulated write leaves in an array, and what it took."""

    rounds: int  #: reads of the whole array
    energy_array: float  #: delivered by all sources during the pulses, wires and half-selected cells included [J]
    time_array: float  #: of all pulses, one after another [s]
    drop: FloatArray  #: (m, n) part of its last pulse that each cell did not get; nan without a pulse
    disturbed: FloatArray  #: (m, n) move of each state by the pulses of other cells after its own last one


class _Pulses(NamedTuple):
    """The pulses of a round, in the order in which they are given."""

    v: FloatArray  #: (b, m) sources of the rows [V]
    v_sense: FloatArray  #: (b, n) ends of the columns [V]
    kind: IntArray  #: (b, m) gate of each row: 0 SET, 1 RESET, 2 idle
    row: IntArray  #: (b,)
    wanted: FloatArray  #: (b, n) amplitude of the selected cells of the row [V], 0 for the others
    width: FloatArray  #: (b, n) [s], for cells that are not selected the longest of the row


def write_array(
    cells: DrawnCells,
    g_filament_targets: npt.ArrayLike,
    wires: Wires,
    scheme: WriteVerify,
    rng: np.random.Generator,
    *,
    bias: Bias | None = None,
    start: npt.ArrayLike = 0.0,
    noise: ReadNoise | None = None,
    tolerance: float = 1e-3,
    largest_step: float = 0.01,
) -> ArrayProgrammed:
    """Write an array (m, n) by pulses and reads, every pulse solved with the wires and the cells on its way.

    In a round all cells are read; then each row in turn gives pulses to those of its cells that want them, SET and
    RESET apart.  A selected row stands at the largest amplitude V of its pulses and a selected column at what is too
    much for its cell, the others at what `bias` says.  The voltages of a round are those of the conductances at its
    beginning, each solved by Newton to `tolerance`; every cell of the array lives through every pulse.  Reads are of
    the cell alone: the writer knows its wires.
    Raises ParameterError for a wrong shape or value, or a scheme whose gate climbs (cells of a row share theirs);
    ConvergenceError if a circuit or a pulse is not solved.
    Source: docs/equations/programming.md, section 2.
    """
    targets = checks.array("g_filament_targets", g_filament_targets, shape=cells.g_min.shape, minimum=0.0)
    if targets.ndim != 2:
        raise ParameterError(f"g_filament_targets must have shape (m, n), got {targets.shape}")
    if scheme.v_gate_step > 0.0:
        raise ParameterError(
            f"v_gate_step must be 0 V in an array, whose rows have one gate each, got {scheme.v_gate_step:g} V"
        )
    largest = checks.number("largest_step", largest_step, above=0.0, maximum=0.1)
    m, n = targets.shape
    bias = Bias() if bias is None else bias
    filaments = Filaments.of(cells, start)
    controller = Controller(scheme, filaments.cell, targets.reshape(-1))
    idle = scheme.v_gate_set if bias.v_gate_idle is None else bias.v_gate_idle
    gates = np.array([scheme.v_gate_set, scheme.v_gate_reset, idle])
    levels = _gate_levels(filaments, gates)

    energy, time = np.zeros(m * n), np.zeros(m * n)
    drop, settled = np.full(m * n, np.nan), filaments.w.copy()
    everything = np.arange(m * n)
    active, rounds, energy_array, time_array = everything, 0, 0.0, 0.0
    while len(active):
        # a cell that was done is read again, as its neighbours' pulses may have moved it out of its band
        seen, used = filaments.read(everything, scheme, noise, rng)
        energy += used
        time += scheme.t_read
        rounds += 1
        active = everything[controller.decide(everything, seen) != 0]
        if not len(active):
            break
        round_ = _pulses(controller, active, (m, n), bias)
        solution = solve(
            Array(filaments.cell, filaments.conductance().reshape(m, n), cells.gate_offset), round_.v, wires,
            v_gate=gates[round_.kind][:, :, None], v_sense=round_.v_sense, tolerance=tolerance,
        )  # fmt: skip
        volts = (solution.v_rows - solution.v_columns).reshape(len(round_.v), m * n)
        longest = round_.width.max(1)
        time_array += float(longest.sum())
        g, before = filaments.conductance(), energy.sum()
        chosen = _live(filaments, round_, volts, levels, scheme, rng, largest, energy)
        # power of the beginning, corrected by how the selected cells' own changed
        energy_array += float(solution.power @ longest) + float(energy.sum() - before)
        given = np.zeros((len(volts), m, n))
        given[np.arange(len(volts)), round_.row] = round_.wanted
        given = given.reshape(volts.shape)
        for p in range(len(volts)):
            at = chosen[p]
            drop[at] = 1.0 - volts[p, at] / given[p, at]
            width = np.broadcast_to(round_.width[p], (m, n)).reshape(-1)[at]
            time[at] += width
            gain = levels[0][round_.kind[p, round_.row[p]], at]
            shown = filaments.cell.terminal_conductance(g[at], gain, volts[p, at])
            energy_array -= float(shown @ (volts[p, at] ** 2 * width))
        settled[active] = filaments.w[active]
    common = result(cells, targets, filaments, controller, energy, time)
    return ArrayProgrammed(
        common.written, common.target, common.error, common.accepted, common.pulses, common.energy, common.time,
        rounds, energy_array, time_array, drop.reshape(m, n), (filaments.w - settled).reshape(m, n),
    )  # fmt: skip


def _pulses(controller: Controller, active: IntArray, shape: tuple[int, int], bias: Bias) -> _Pulses:
    """Arrange the pulses that active cells get in a round; docs/equations/programming.md eq. 9."""
    m, n = shape
    amplitude, width, _ = controller.next_pulses(active)
    rows, columns = np.divmod(active, n)
    row_share, column_share = SHARES[bias.scheme]
    parts: list[tuple[int, IntArray]] = []
    for i in range(m):
        for sign in (1, -1):
            there = np.flatnonzero((rows == i) & (np.sign(amplitude) == sign))
            step = bias.together or max(len(there), 1)
            parts += [(i, there[k : k + step]) for k in range(0, len(there), step)]
    count = len(parts)
    v, v_sense = np.empty((count, m)), np.empty((count, n))
    kind, wanted, longest = np.empty((count, m), dtype=np.int64), np.zeros((count, n)), np.empty((count, n))
    for p, (i, there) in enumerate(parts):
        volts = amplitude[there]
        top = volts[np.argmax(np.abs(volts))]
        direction = 0 if top > 0.0 else 1
        v[p], v_sense[p] = row_share * top, column_share * top
        v[p, i], v_sense[p, columns[there]] = top, top - volts
        kind[p] = direction if bias.v_gate_idle is None else 2
        kind[p, i] = direction
        wanted[p, columns[there]] = volts
        longest[p] = width[there].max()
        longest[p, columns[there]] = width[there]
    return _Pulses(v, v_sense, kind, np.array([i for i, _ in parts]), wanted, longest)


def _gate_levels(filaments: Filaments, gates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return read gain and factor on growth (kinds, c) of every cell at the gates in use [V]."""
    law, growth = filaments.cell.law, filaments.cell.growth()
    energies = [gate.fermi_energies(law, volts - filaments.offset) for volts in gates]
    gain = np.array([gate.read_gains(law, volts - filaments.offset) for volts in gates])
    return gain, np.exp(np.minimum(growth.gate_per_ev * np.array(energies), LARGEST_EXPONENT))


def _live(
    filaments: Filaments, round_: _Pulses, volts: FloatArray, levels: tuple[FloatArray, FloatArray],
    scheme: WriteVerify, rng: np.random.Generator, largest: float, energy: FloatArray,
) -> BoolArray:  # fmt: skip
    """Take all cells through the pulses of a round, in place; return which cells each pulse selects (b, c).

    volts: (b, c) over every cell [V].  Raises ConvergenceError if sub-steps run out.
    """
    b, n = round_.wanted.shape
    m = round_.v.shape[1]
    selected = np.zeros((b, m, n), dtype=np.bool_)
    selected[np.arange(b), round_.row] = round_.wanted != 0.0
    chosen = selected.reshape(b, m * n)
    dt = np.repeat(round_.width.max(1)[:, None], m * n, axis=1)
    own = np.broadcast_to(round_.width[:, None, :], (b, m, n)).reshape(b, m * n)
    dt[chosen] = uneven(own[chosen], scheme.pulse_ln_sigma, rng)
    kind = np.repeat(round_.kind[:, :, None], n, axis=2).reshape(b, m * n)
    gain, boost = levels
    w = filaments.w.copy()

    def part(first: int, last: int) -> int:
        return train(
            filaments.cell.law, filaments.cell.growth(), filaments.low, filaments.ln_window, volts, dt, kind, gain,
            boost, chosen, largest, w, energy, first, last,
        )  # fmt: skip

    bounds = np.linspace(0, w.size, threads() + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads()) as pool:
        missed = sum(pool.map(part, bounds[:-1], bounds[1:]))
    if missed:
        raise ConvergenceError(f"{missed} pulses of {b * w.size} not finished after {MOST_STEPS} sub-steps")
    filaments.w[filaments.free] = w[filaments.free]
    return chosen
