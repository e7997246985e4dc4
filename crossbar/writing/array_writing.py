"""Write–verify of an array through its own wires, with half-selected cells, IR drop and write disturb.

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
from devices.states.filament import MOST_STEPS, gate_factors
from devices.states.filament_blocks import train
from devices.writing.spread import DrawnCells
from devices.writing.write_pulses import Controller, Filaments, Programmed, WriteVerify, result, uneven

CHECKS = 2  # most checks of all cells after all have been accepted (ours)
SHARES = {"half": (1 / 2, 1 / 2), "third": (1 / 3, 2 / 3)}  # voltages of unselected rows and columns over the pulse's


@dataclass(frozen=True)
class Bias:
    """Voltages of unselected lines during a pulse; docs/equations/programming.md eq. 9."""

    #: "half": rows and columns at V/2; "third": rows at V/3, columns at 2 V/3
    scheme: Literal["half", "third"] = "half"
    #: gate voltage of unselected rows [V]; None: that of the pulse
    v_gate_idle: float | None = None
    #: most cells of a row that get their pulses at the same time; None: no limit
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
    """The result of a simulated write of an array."""

    rounds: int  #: rounds of reads, each followed by pulses for cells outside their tolerance
    energy_array: float  #: energy of all sources during the pulses, including wires and half-selected cells [J]
    time_array: float  #: time of all pulses, one after another [s]
    drop: FloatArray  #: (m, n) IR drop at each cell's last pulse over the pulse amplitude; NaN without a pulse
    disturbed: FloatArray  #: (m, n) change of each state by pulses for other cells after its own last pulse


class _Pulses(NamedTuple):
    """The pulses of a round, in the order in which they are given."""

    v: FloatArray  #: (b, m) source voltages of the rows [V]
    v_sense: FloatArray  #: (b, n) voltages at which the columns end [V]
    kind: IntArray  #: (b, m) gate voltage of each row: 0 SET, 1 RESET, 2 idle
    row: IntArray  #: (b,) selected row
    wanted: FloatArray  #: (b, n) amplitude for the selected cells of the row [V], 0 for the others
    width: FloatArray  #: (b, n) pulse widths [s]; for unselected cells the longest of the row


@checks.typed
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
    """Write an array (m, n) by write–verify; the voltages of every pulse are solved with wires and all cells.

    In a round, all cells that are not yet accepted are read.  Then the rows are selected one after another, and their
    cells get the pulses that they need, SET and RESET separately.  When all cells are accepted, all are read again, and
    those far outside their tolerance are written again, CHECKS times at most.
    A selected row has the largest amplitude V of its pulses.  A selected column has V minus the amplitude for its cell.
    `bias` sets the voltages of all other lines.  The voltages of a round are computed from the conductances at its
    start, to `tolerance` times the largest voltage.  Every pulse acts on every cell of the array.  A read returns the
    conductance of the cell alone: the read scheme is taken to correct for the wires.
    Raises ParameterError for a wrong shape or value, or a scheme with v_gate_step (all cells of a row share one gate);
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
            # pulses for other cells may have moved accepted cells out of their tolerance
            checks_left, active = checks_left - 1, everything
            continue
        round_ = _pulses(controller, active, (m, n), bias)
        volts, power = _voltages(filaments, cells, round_, levels[0], gates, wires, tolerance, memory)
        longest = round_.width.max(1)
        time_array += float(longest.sum())
        g, before = filaments.conductance(), energy.sum()
        _live(filaments, round_, volts, levels, scheme, rng, largest, energy)
        # power at the start of the round, corrected by the change of the selected cells' own power
        energy_array += float(power @ longest) + float(energy.sum() - before)
        p, j = np.nonzero(round_.wanted)
        at = round_.row[p] * n + j
        there, width = volts[p, at], round_.width[p, j]
        np.add.at(time, at, width)
        shown = filaments.cell.terminal_conductance(g[at], levels[0][round_.kind[p, round_.row[p]], at], there)
        energy_array -= float((shown * there**2) @ width)
        drop[at] = 1.0 - there / round_.wanted[p, j]  # a cell has at most one pulse in a round
        settled[active] = filaments.w[active]
    common = result(cells, targets, filaments, controller, energy, time)
    return ArrayProgrammed(
        common.written, common.target, common.error, common.accepted, common.pulses, common.energy, common.time,
        rounds, energy_array, time_array, drop.reshape(m, n), (filaments.w - settled).reshape(m, n),
    )  # fmt: skip


def _pulses(controller: Controller, active: IntArray, shape: tuple[int, int], bias: Bias) -> _Pulses:
    """Return the pulses of a round for active cells; docs/equations/programming.md eq. 9."""
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


def _gate_levels(filaments: Filaments, gates: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return read gains and gate factors on growth and dissolution (kinds, c) of all cells at gate voltages [V]."""
    law, growth = filaments.cell.law, filaments.cell.growth()
    energies = np.array([gate.fermi_energies(law, volts - filaments.offset) for volts in gates])
    gain = np.array([gate.read_gains(law, volts - filaments.offset) for volts in gates])
    up, down = (gate_factors(growth, energies, np.array(v)) for v in (1.0, -1.0))
    return gain, up, down


def _voltages(
    filaments: Filaments, cells: DrawnCells, round_: _Pulses, gain: FloatArray, gates: FloatArray, wires: Wires,
    tolerance: float, memory: dict[tuple[int, int], FloatArray],
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Return the voltages (b, c) [V] over all cells in the pulses of a round, and the power (b,) of all sources [W].

    memory: IR drops (c,) of the last pulse of each row and direction, from which the iteration starts.
    Circuits for which `settle` does not converge, and all circuits with open segments or connected far ends, are solved
    by Newton's method.
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
    filaments: Filaments, round_: _Pulses, volts: FloatArray, levels: tuple[FloatArray, FloatArray, FloatArray],
    scheme: WriteVerify, rng: np.random.Generator, largest: float, energy: FloatArray,
) -> None:  # fmt: skip
    """Apply the pulses of a round to the states of all cells, in place; volts: (b, c) voltages over the cells [V].

    Raises ConvergenceError if a pulse needs more than MOST_STEPS sub-steps.
    """
    chosen = round_.wanted != 0.0
    width = round_.width.copy()
    width[chosen] = uneven(width[chosen], scheme.pulse_ln_sigma, rng)
    gain, boost, back = levels
    w = filaments.w.copy()

    def part(cells: slice) -> int:
        return train(
            filaments.cell.law, filaments.cell.growth(), filaments.low, filaments.ln_window, volts, round_.row,
            round_.kind, gain, boost, back, round_.wanted, width, round_.width.max(1), largest, w, energy, cells.start,
            cells.stop,
        )  # fmt: skip

    m, n = round_.v.shape[1], round_.wanted.shape[1]
    missed = sum(in_shares(part, m * n, block=n))  # whole rows
    if missed:
        raise ConvergenceError(f"{missed} pulses of {volts.size} not finished after {MOST_STEPS} sub-steps")
    filaments.w[filaments.free] = w[filaments.free]
