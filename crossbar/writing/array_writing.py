"""Writing an array through its own wires: half-selected lines, voltage lost on the way, disturbed neighbours.

b = pulses of a round, m = rows, n = columns, c = m n cells
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from crossbar.arrays.array import Array
from crossbar.arrays.wires import Wires
from crossbar.nodal.newton import solve
from crossbar.writing.line_losses import settle
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ConvergenceError, ParameterError
from devices.laws import gate
from devices.noise.read_noise import ReadNoise
from devices.numerics.worker_threads import in_shares
from devices.states.filament import LARGEST_EXPONENT, MOST_STEPS
from devices.states.filament_blocks import train
from devices.writing.spread import DrawnCells
from devices.writing.write_pulses import Controller, Filaments, Programmed, WriteVerify, result, uneven

CHECKS = 2  # of all cells once all are done (ours)
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

    rounds: int  #: of reads, and of pulses for what was out of its band
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

    In a round the cells that are not done are read; then each row in turn gives pulses to those that want them, SET and
    RESET apart.  When all are done all are checked, and those far out of their bands written again, twice at most.
    A selected row stands at the largest amplitude V of its pulses and a selected column at what is too much for its
    cell, the others at what `bias` says.  The voltages of a round are those of the conductances at its beginning,
    solved to `tolerance` of the largest; every cell of the array lives through every pulse.  Reads are of the cell
    alone: the writer knows its wires.
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
    memory: dict[tuple[int, int], FloatArray] = {}
    checks_left = CHECKS
    while True:
        seen, used = filaments.read(active, scheme, noise, rng)
        energy[active] += used
        time[active] += scheme.t_read
        rounds, all_read = rounds + 1, len(active) == m * n
        active = active[controller.decide(active, seen) != 0]
        if not len(active):
            if all_read or not checks_left:
                break
            # neighbours' pulses may have moved cells that were done out of their bands
            checks_left, active = checks_left - 1, everything
            continue
        round_ = _pulses(controller, active, (m, n), bias)
        volts, power = _voltages(filaments, cells, round_, levels[0], gates, wires, tolerance, memory)
        longest = round_.width.max(1)
        time_array += float(longest.sum())
        g, before = filaments.conductance(), energy.sum()
        _live(filaments, round_, volts, levels, scheme, rng, largest, energy)
        # power of the beginning, corrected by how the selected cells' own changed
        energy_array += float(power @ longest) + float(energy.sum() - before)
        p, j = np.nonzero(round_.wanted)
        at = round_.row[p] * n + j
        there, width = volts[p, at], round_.width[p, j]
        np.add.at(time, at, width)
        shown = filaments.cell.terminal_conductance(g[at], levels[0][round_.kind[p, round_.row[p]], at], there)
        energy_array -= float((shown * there**2) @ width)
        drop[at] = 1.0 - there / round_.wanted[p, j]  # of a cell's only pulse in this round
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


def _voltages(
    filaments: Filaments, cells: DrawnCells, round_: _Pulses, gain: FloatArray, gates: FloatArray, wires: Wires,
    tolerance: float, memory: dict[tuple[int, int], FloatArray],
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Return the voltages (b, c) [V] over all cells in the pulses of a round, and the power (b,) of all sources [W].

    memory: voltages that the pulses of a row and direction lost when they were last solved; a pulse starts from them.
    Circuits that the passes of `settle` do not reach, and all with broken lines or terminals at far ends, are Newton's.
    """
    (b, m), n = round_.v.shape, round_.v_sense.shape[1]
    keys = list(zip(round_.row.tolist(), round_.kind[np.arange(b), round_.row].tolist(), strict=True))
    drop = np.zeros((b, m * n))
    for p, key in enumerate(keys):
        if key in memory:
            drop[p] = memory[key]
    volts, power, solved = np.empty_like(drop), np.zeros(b), np.zeros(b, dtype=np.bool_)
    g = filaments.conductance()
    segments = wires.row_segments(m, n), wires.column_segments(m, n)
    whole = all(np.isfinite(each).all() for each in segments)
    if whole and np.all(np.isinf(wires.driver_far(m))) and np.all(np.isinf(wires.sense_far(n))):
        ends = wires.driver(m), wires.sense(n)

        def part(inputs: slice) -> None:
            settle(
                filaments.cell.law, g, gain, round_.kind, round_.v, round_.v_sense, *segments, *ends,
                tolerance, drop, volts, power, solved, inputs.start, inputs.stop,
            )  # fmt: skip

        in_shares(part, b, parts=4)
        memory.update((keys[p], drop[p]) for p in np.flatnonzero(solved).tolist())
    rest = np.flatnonzero(~solved)
    if len(rest):
        solution = solve(
            Array(filaments.cell, g.reshape(m, n), cells.gate_offset), round_.v[rest], wires,
            v_gate=gates[round_.kind[rest]][:, :, None], v_sense=round_.v_sense[rest], tolerance=tolerance,
        )  # fmt: skip
        volts[rest] = (solution.v_rows - solution.v_columns).reshape(len(rest), m * n)
        power[rest] = solution.power
    return volts, power


def _live(
    filaments: Filaments, round_: _Pulses, volts: FloatArray, levels: tuple[FloatArray, FloatArray],
    scheme: WriteVerify, rng: np.random.Generator, largest: float, energy: FloatArray,
) -> None:  # fmt: skip
    """Take all cells through the pulses of a round, in place; volts: (b, c) over every cell [V].

    Raises ConvergenceError if sub-steps run out.
    """
    chosen = round_.wanted != 0.0
    width = round_.width.copy()
    width[chosen] = uneven(width[chosen], scheme.pulse_ln_sigma, rng)
    gain, boost = levels
    w = filaments.w.copy()

    def part(cells: slice) -> int:
        return train(
            filaments.cell.law, filaments.cell.growth(), filaments.low, filaments.ln_window, volts, round_.row,
            round_.kind, gain, boost, round_.wanted, width, round_.width.max(1), largest, w, energy, cells.start,
            cells.stop,
        )  # fmt: skip

    m, n = round_.v.shape[1], round_.wanted.shape[1]
    missed = sum(in_shares(part, m * n, block=n))  # whole rows
    if missed:
        raise ConvergenceError(f"{missed} pulses of {volts.size} not finished after {MOST_STEPS} sub-steps")
    filaments.w[filaments.free] = w[filaments.free]
