"""Writing an array through its wires: bias schemes, IR drop, write disturb, energy, and cells written without wires."""

import numpy as np
import pytest

from crossbar import Array, Bias, Wires, solve, write_array
from crossbar.writing.array_writing import _gate_levels, _pulses, _voltages
from devices import AdaptiveMemristor, ParameterError, ReadNoise, Spread, WriteVerify, write_verify
from devices.writing.write_pulses import REOPEN, Controller, Filaments

CELL = AdaptiveMemristor()
NO_WIRES = Wires(0.0, 0.0, 0.0, 0.0)
WIRES = Wires(2.0, 2.0, 100.0, 100.0)
EXACT = WriteVerify(pulse_ln_sigma=0.0)


def chip(shape, spread=None, seed=1):
    return (spread or Spread.none()).draw(CELL, shape, np.random.default_rng(seed))


@pytest.fixture
def targets(rng):
    return rng.uniform(1e-6, 40e-6, (12, 10))


def test_write_array__a_single_cell_without_wires_is_write_verify(rng):
    goal = np.array([[23e-6]])
    alone = write_verify(chip((1, 1)), goal, EXACT, rng)
    array = write_array(chip((1, 1)), goal, NO_WIRES, EXACT, rng, tolerance=1e-9)
    assert array.written.g_filament == pytest.approx(alone.written.g_filament, rel=1e-3)  # sub-steps of their own
    assert array.pulses == alone.pulses
    reads = array.rounds * float(CELL.conductance(CELL.state(23e-6), CELL.v_gate_max, 0.1)) * 0.01 * 1e-6
    assert array.energy == pytest.approx(alone.energy, rel=1e-3)
    assert array.energy_array == pytest.approx(float(array.energy.sum()), abs=reads)  # all but the reads


@pytest.mark.parametrize("bias", [Bias(), Bias("third"), Bias(v_gate_idle=-2.0), Bias(together=3)], ids=repr)
def test_write_array__reaches_its_targets_through_wires(bias, targets, rng):
    done = write_array(chip(targets.shape), targets, WIRES, WriteVerify(), rng, bias=bias)
    assert done.accepted.all()
    within = np.abs(done.error) <= 0.01 * CELL.g_max * (1 + 1e-9)
    assert within.mean() > 0.95  # neighbours may have moved a few of those that were done, by no more than that again
    assert np.abs(done.error).max() <= REOPEN * 0.01 * CELL.g_max
    assert np.all(done.pulses >= 1)
    assert np.all((done.drop > 0.0) & (done.drop < 0.2))
    assert done.energy_array > done.energy.sum() * 0.5
    assert done.time_array > 0.0


def test_write_array__the_far_corner_gets_less_and_takes_more(rng):
    """Cell (0, n-1) is farthest from the drivers at the left and the ends at the bottom."""
    goal = np.full((16, 16), 30e-6)
    wires = Wires(20.0, 20.0, 0.0, 0.0)
    done = write_array(chip(goal.shape), goal, wires, WriteVerify(v_gate_set=4.0, v_gate_reset=4.0), rng)
    assert done.accepted.all()
    assert done.drop[0, -1] > 3.0 * done.drop[-1, 0]
    assert done.pulses[:, 8:].mean() >= done.pulses[:, :8].mean()


def test_write_array__wires_cost_energy_outside_the_cells(targets):
    results = [
        write_array(chip(targets.shape), targets, wires, EXACT, np.random.default_rng(1))
        for wires in (NO_WIRES, Wires(50.0, 50.0, 500.0, 500.0))
    ]
    assert np.nanmax(np.abs(results[0].drop)) < 1e-9
    assert np.nanmin(results[1].drop) > np.nanmax(np.abs(results[0].drop))


def test_bias__voltages_of_half_and_third(rng):
    goal = np.array([[20e-6, 20e-6, 0.5e-6], [20e-6, 0.5e-6, 0.5e-6]])
    for scheme, row_share, column_share in (("half", 0.5, 0.5), ("third", 1 / 3, 2 / 3)):
        control = Controller(EXACT, CELL, goal.reshape(-1))
        active = np.flatnonzero(control.decide(np.arange(6), np.full(6, 0.5e-6)))
        made = _pulses(control, active, (2, 3), Bias(scheme, v_gate_idle=-2.0))
        v = EXACT.v_set
        assert np.allclose(made.v, [[v, row_share * v], [row_share * v, v]])
        assert np.allclose(made.v_sense, [[0, 0, column_share * v], [0, column_share * v, column_share * v]])
        assert made.kind.tolist() == [[0, 2], [2, 0]]
        cells = made.v[:, :, None] - made.v_sense[:, None, :]
        assert np.allclose(cells[0, 0], [v, v, (1 - column_share) * v])  # selected, selected, half-selected
        assert np.allclose(cells[0, 1], [row_share * v, row_share * v, (row_share - column_share) * v])


def test_bias__different_amplitudes_in_a_row_each_get_theirs():
    control = Controller(EXACT, CELL, np.full(3, 20e-6))
    active = np.flatnonzero(control.decide(np.arange(3), np.array([1e-6, 5e-6, 30e-6])))
    control.rungs[0] = [7, 2, 0]
    made = _pulses(control, active, (1, 3), Bias())
    assert np.allclose(made.v[:, 0] - made.v_sense[:, :].T, [[0.57, -0.15], [0.52, -0.15], [0.285, -0.3]])
    assert np.allclose(made.wanted, [[0.57, 0.52, 0], [0, 0, -0.3]])


@pytest.mark.parametrize(("ohms", "tolerance"), [(2.0, 1e-3), (40.0, 1e-3), (2.0, 1e-7)])
def test_voltages__are_those_of_the_full_solve(ohms, tolerance, rng):
    """Passes with tangents end within `tolerance` of Newton's voltages, from nothing and from the pulse before."""
    shape, wires = (14, 11), Wires(ohms, 0.5 * ohms, 30.0, rng.uniform(0.0, 60.0, 11))
    cells = chip(shape, Spread(stuck_on=0.0, stuck_off=0.0))
    gates, memory = np.array([2.0, 1.0, -2.0]), {}
    filaments = Filaments.of(cells, rng.uniform(0.2, 0.9, shape))
    gain = _gate_levels(filaments, gates)[0]
    control = Controller(EXACT, CELL, rng.uniform(1e-6, 45e-6, 14 * 11))
    for step in range(2):
        active = np.flatnonzero(control.decide(np.arange(14 * 11), filaments.conductance()))
        made = _pulses(control, active, shape, Bias(v_gate_idle=-2.0))
        volts, power = _voltages(filaments, cells, made, gain, gates, wires, tolerance, memory)
        exact = solve(
            Array(CELL, filaments.conductance().reshape(shape), cells.gate_offset), made.v, wires,
            v_gate=gates[made.kind][:, :, None], v_sense=made.v_sense,
        )  # fmt: skip
        full = (exact.v_rows - exact.v_columns).reshape(len(volts), -1)
        applied = np.abs(made.v[:, :, None] - made.v_sense[:, None, :]).max((1, 2))
        assert np.abs(full - (made.v[:, :, None] - made.v_sense[:, None, :]).reshape(full.shape)).max() > 3e-3
        assert np.all(np.abs(volts - full).max(1) <= tolerance * applied)
        assert np.allclose(power, exact.power, rtol=5.0 * tolerance)
        assert len(memory) == len(made.v)  # none was left to Newton
        filaments.w = np.clip(filaments.w + 0.02 * (-1) ** step, 0.0, 1.0)


def test_voltages__what_passes_do_not_reach_is_newtons(rng):
    """Losses of most of the voltage, and lines joined at both ends."""
    cells, gates = chip((6, 5)), np.array([2.0, 2.0, 2.0])
    filaments = Filaments.of(cells, np.full((6, 5), 0.9))
    control = Controller(EXACT, CELL, np.full(30, 45e-6))
    active = np.flatnonzero(control.decide(np.arange(30), filaments.conductance()))
    made = _pulses(control, active, (6, 5), Bias())
    for wires in (Wires(5e4, 5e4, 50.0, 50.0), Wires(1.0, 1.0, 50.0, 50.0, 50.0)):
        memory = {}
        gain = _gate_levels(filaments, gates)[0]
        volts, _ = _voltages(filaments, cells, made, gain, gates, wires, 1e-6, memory)
        exact = solve(
            Array(CELL, filaments.conductance().reshape(6, 5)), made.v, wires, v_gate=2.0, v_sense=made.v_sense
        )
        assert not memory
        assert np.allclose(volts, (exact.v_rows - exact.v_columns).reshape(volts.shape), rtol=1e-4, atol=1e-6)


def test_write_array__noise_does_not_keep_it_writing(rng):
    """Cells that were done are taken up again when far out of their bands only: all end there, within a few rounds."""
    goal = rng.uniform(3e-6, 40e-6, (16, 16))
    scheme = WriteVerify(v_gate_set=2.0, v_gate_reset=2.0, v_set=0.4)
    done = write_array(chip(goal.shape), goal, WIRES, scheme, rng, noise=ReadNoise(), bias=Bias(v_gate_idle=-2.0))
    assert done.accepted.all()
    assert done.rounds < 120
    assert 0.003 * CELL.g_max < done.error.std() < 0.012 * CELL.g_max


def test_disturb__a_third_disturbs_less_than_a_half_and_a_closed_gate_least():
    """Half-selected cells creep; the field's exponent makes V/3 gentler, and a closed gate takes the growth away."""
    goal = np.full((8, 8), 0.5e-6)
    goal[0] = 45e-6  # one row is written at an open gate, the others rest at the low end
    scheme = WriteVerify(v_gate_set=4.0, pulse_ln_sigma=0.0, width=1e-4, tolerance=0.02)
    moved = []
    for bias in (Bias(), Bias("third"), Bias(v_gate_idle=-2.0)):
        done = write_array(chip(goal.shape), goal, WIRES, scheme, np.random.default_rng(1), bias=bias)
        assert done.accepted.all()
        moved.append(np.abs(CELL.state(done.written.g_filament[1:])).max())
    assert moved[0] > 3.0 * moved[1]
    assert moved[0] > 30.0 * moved[2]
    assert moved[0] > 1e-6


def test_write_array__is_read_by_the_solver(targets, rng):
    """Written conductances to currents: the error of a column is that of its cells, wires the same on both sides."""
    cells = chip(targets.shape, Spread(stuck_on=0.0, stuck_off=0.0))
    done = write_array(cells, targets, WIRES, WriteVerify(), rng)
    v = np.full((1, 12), 0.1)
    got = solve(Array(CELL, done.written.g_filament), v, WIRES, v_gate=4.0).currents
    ideal = solve(Array(CELL, targets), v, WIRES, v_gate=4.0).currents
    assert np.abs(got / ideal - 1.0).max() < 0.03
    assert np.abs(got / ideal - 1.0).max() > 1e-6


def test_write_array__the_same_seed_the_same_array(targets):
    spread = Spread(stuck_on=0.02, stuck_off=0.02)
    runs = [
        write_array(chip(targets.shape, spread), targets, WIRES, WriteVerify(most_pulses=30), np.random.default_rng(2))
        for _ in range(2)
    ]
    assert np.array_equal(runs[0].written.g_filament, runs[1].written.g_filament)
    stuck = chip(targets.shape, spread).stuck_on
    assert np.allclose(runs[0].written.g_filament[stuck], chip(targets.shape, spread).g_max[stuck], rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Bias("quarter"), "scheme must be one of half, third, got 'quarter'"),
        (lambda: Bias(together=0), "together must be ≥ 1"),
        (lambda: Bias(v_gate_idle=np.inf), "v_gate_idle must be finite"),
        (
            lambda: write_array(chip((2, 2)), np.zeros((2, 3)), WIRES, EXACT, np.random.default_rng(1)),
            r"g_filament_targets must have shape \(2, 2\)",
        ),
        (
            lambda: write_array(
                chip((2, 2)), np.zeros((2, 2)), WIRES, WriteVerify.gate_assisted(), np.random.default_rng(1)
            ),
            "v_gate_step must be 0 V in an array",
        ),
    ],
)
def test_bad_input__is_refused_in_a_sentence(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
