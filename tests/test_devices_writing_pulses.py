"""Write–verify: schemes reach their targets, energy against the integral, retention, published write errors."""

import math

import numpy as np
import pytest

from devices import (
    AdaptiveMemristor,
    ParameterError,
    ReadNoise,
    Resistor,
    Spread,
    Waveform,
    WriteVerify,
    levels,
    neurram_error,
    published_error,
    quantise,
    retain,
    simulate,
    write_verify,
)
from devices.writing.write_pulses import Controller, Filaments

CELL = AdaptiveMemristor()
SCHEMES = [WriteVerify.amplitude(), WriteVerify.pulse_width(), WriteVerify.gate_assisted()]
ALIKE = Spread.none()


@pytest.fixture
def targets(rng):
    return rng.uniform(1e-6, 45e-6, (32, 32))


@pytest.mark.parametrize("start", [0.0, 1.0])
@pytest.mark.parametrize("scheme", SCHEMES, ids=["amplitude", "width", "gate"])
def test_write_verify__every_scheme_brings_equal_cells_into_the_band(scheme, start, targets, rng):
    done = write_verify(ALIKE.draw(CELL, targets.shape, rng), targets, scheme, rng, start=start)
    assert done.accepted.all()
    assert np.abs(done.error).max() <= scheme.tolerance * CELL.g_max * (1 + 1e-9)
    assert 5.0 < done.pulses.mean() < 25.0
    assert np.array_equal(done.written.g_filament - targets, done.error)


def test_write_verify__a_target_already_met_takes_no_pulse(rng):
    cells = ALIKE.draw(CELL, (2, 3), rng)
    done = write_verify(cells, np.full((2, 3), CELL.filament(0.4)), SCHEMES[0], rng, start=0.4)
    assert not done.pulses.any()
    assert np.allclose(done.time, SCHEMES[0].t_read, rtol=1e-12)
    shown = CELL.conductance(0.4, CELL.v_gate_max, 0.1)
    assert np.allclose(done.energy, shown * 0.01 * 1e-6, rtol=1e-9)


def test_write_verify__a_narrower_band_costs_pulses(targets, rng):
    cells = ALIKE.draw(CELL, targets.shape, rng)
    wide, narrow = (write_verify(cells, targets, WriteVerify(tolerance=t), rng) for t in (0.05, 0.005))
    assert narrow.pulses.mean() > wide.pulses.mean() + 1.0
    assert np.abs(narrow.error).mean() < 0.5 * np.abs(wide.error).mean()
    assert narrow.energy.sum() > wide.energy.sum()


def test_write_verify__stands_in_for_the_drawn_error():
    """Default cells and noise: 0.9 % of g_max where Spread draws 1 %; the reader knows the nominal gate only."""
    rng = np.random.default_rng(7)
    spread = Spread(stuck_on=0.0, stuck_off=0.0)
    goals = rng.uniform(5e-6, 40e-6, (64, 64))
    cells = spread.draw(CELL, goals.shape, rng)
    done = write_verify(cells, goals, WriteVerify(), rng, noise=ReadNoise())
    drawn = cells.write(goals, rng).g_filament - goals
    assert done.accepted.mean() > 0.999
    assert done.error[done.accepted].std() / CELL.g_max == pytest.approx(0.009, abs=0.0015)
    assert drawn.std() / CELL.g_max == pytest.approx(0.01, rel=0.05)
    assert np.abs(done.error[done.accepted].mean()) < 0.15 * drawn.std()
    assert type(done.written) is type(cells.write(goals, rng))
    assert np.array_equal(done.written.gate_offset, cells.gate_offset)


def test_write_verify__stuck_cells_stay_and_are_given_up(rng):
    cells = Spread(0, 0, 0, 0, 0, stuck_on=0.3, stuck_off=0.3).draw(CELL, (16, 16), rng)
    done = write_verify(cells, np.full((16, 16), 20e-6), WriteVerify(most_pulses=60), rng)
    stuck = cells.stuck_on | cells.stuck_off
    assert np.array_equal(~done.accepted, stuck)
    assert np.all(done.pulses[stuck] == 60)
    assert np.allclose(done.written.g_filament[cells.stuck_on], CELL.g_max, rtol=1e-12)
    assert np.allclose(done.written.g_filament[cells.stuck_off], CELL.g_min, rtol=1e-12)


def test_write_verify__a_target_beyond_the_window_is_given_up_at_its_end(rng):
    done = write_verify(ALIKE.draw(CELL, (1, 1), rng), [[80e-6]], WriteVerify(most_pulses=60), rng)
    assert not done.accepted.any()
    assert done.written.g_filament == pytest.approx(CELL.g_max, rel=1e-3)


def test_write_verify__the_same_seed_the_same_write(targets):
    results = []
    for _ in range(2):
        rng = np.random.default_rng(5)
        results.append(write_verify(Spread().draw(CELL, targets.shape, rng), targets, WriteVerify(), rng))
    assert np.array_equal(results[0].written.g_filament, results[1].written.g_filament)


def test_controller__climbs_when_little_moved_and_retreats_when_too_much():
    scheme = WriteVerify()
    control = Controller(scheme, CELL, np.full(3, 20e-6))
    everything = np.arange(3)
    assert control.decide(everything, np.array([1e-6, 30e-6, 20.2e-6])).tolist() == [1, -1, 0]
    v, width, v_gate = control.next_pulses(np.array([0, 1]))
    assert v.tolist() == [scheme.v_set, -scheme.v_reset]
    assert width.tolist() == [scheme.width, scheme.width]
    assert v_gate.tolist() == [scheme.v_gate_set, scheme.v_gate_reset]
    control.decide(everything, np.array([1.5e-6, 30e-6, 20.2e-6]))  # 0.5 of 19 uS; nothing; nothing wanted
    climbed = round(math.log(0.7 * 18.5 / 0.5) / scheme.rung_ln)
    assert control.rungs[0, 0] == climbed
    assert control.rungs[1, 1] == scheme.most_rungs
    control.next_pulses(np.array([0, 1]))
    assert control.decide(everything, np.array([25e-6, 19.9e-6, 20.2e-6])).tolist() == [-1, 0, 0]
    assert control.rungs[0, 0] == climbed - 4
    assert control.accepted.tolist() == [False, True, True]


def test_schemes__each_climbs_by_its_own():
    up, rung = np.array([1, 1, -1]), np.array([0, 10, 10])
    v, width, v_gate = SCHEMES[0].rung(up, rung, CELL)
    assert np.allclose(v, [0.5, 0.6, -0.4])
    assert np.ptp(width) == np.ptp(v_gate) == 0.0
    v, width, v_gate = SCHEMES[1].rung(up, rung, CELL)
    assert np.allclose(v, [0.6, 0.6, -0.45])
    assert np.allclose(width, 1e-8 * (4 / 3) ** rung)
    v, width, v_gate = SCHEMES[2].rung(up, np.array([0, 10, 1000]), CELL)
    assert np.allclose(v_gate, [-2.0, -0.5, 0.0])
    assert SCHEMES[2].rung(up, np.array([0, 1000, 0]), CELL)[2][1] == CELL.v_gate_max
    assert np.abs(SCHEMES[0].rung(up, rung + 1000, CELL)[0]).max() == SCHEMES[0].v_most


@pytest.mark.parametrize(("v", "w", "dt"), [(0.8, 0.2, 3e-6), (-0.6, 0.9, 1e-4), (0.3, 0.5, 1e-3)])
def test_pulse__energy_is_the_integral_of_power(v, w, dt, rng):
    filaments = Filaments.of(ALIKE.draw(CELL, (1, 1), rng), w)
    energy = filaments.pulse(np.array([0]), np.array([v]), np.array([2.0]), np.array([dt]), 0.002)
    time = np.linspace(0.0, dt, 4001)
    trace = simulate(CELL, Waveform(time, np.full(4001, v), 2.0), w, largest_step=0.002)
    exact = np.trapezoid(trace.v * trace.current, time)
    assert energy[0] == pytest.approx(exact, rel=1e-3)
    assert filaments.w[0] == pytest.approx(trace.state[-1], abs=1e-4)


def test_set_energy__of_a_whole_switch():
    """0.5 pJ for 50 uS at 1 V and 10 ns, the device model's anchor: ohmic, always on."""
    cell = AdaptiveMemristor(v_0=math.inf, r_series=0.0, gain_min=1.0, k_set=0.0, lifetime=math.inf)
    filaments = Filaments.of(ALIKE.draw(cell, (1, 1), np.random.default_rng(1)), 1.0)
    energy = filaments.pulse(np.array([0]), np.array([1.0]), np.array([0.0]), np.array([1e-8]), 0.01)
    assert energy[0] == pytest.approx(0.5e-12, rel=1e-3)


@pytest.mark.parametrize(
    ("age", "microsiemens"), [(1.0, [1.75, 2.26, 2.02, 1.10]), (86400.0, [2.76, 3.72, 3.91, 2.65])]
)
def test_neurram_error__at_its_tabulated_points(age, microsiemens):
    assert np.allclose(neurram_error([5e-6, 10e-6, 20e-6, 40e-6], age) * 1e6, microsiemens, atol=0.006)


def test_neurram_error__peaks_and_saturates_as_published():
    g = np.linspace(0.0, 40e-6, 401)
    assert neurram_error(g, 1.0).max() / 40e-6 == pytest.approx(0.0575, abs=0.001)
    assert neurram_error(g, 86400.0).max() / 40e-6 == pytest.approx(0.1001, abs=0.001)  # 9.8 % at 20 uS
    assert np.abs(neurram_error(g, 172800.0) - neurram_error(g, 86400.0)).max() < 0.09e-6
    assert np.allclose(neurram_error(g * 2, 1.0, 80e-6), 2 * neurram_error(g, 1.0), rtol=1e-12)


@pytest.mark.parametrize(
    ("law", "g", "microsiemens"),
    [
        ("neurram", [5e-6, 10e-6, 39e-6], [1.97, 2.41, 1.67]),
        ("hfo2", [50e-6, 225e-6], [4.33, 2.73]),
        ("cmo_hfox_2_percent", [50e-6], [0.576]),
        ("cmo_hfox_0.2_percent", [50e-6], [0.0543]),
    ],
)
def test_published_error__at_tabulated_points(law, g, microsiemens):
    assert np.allclose(published_error(g, law) * 1e6, microsiemens, rtol=3e-3)


def test_retain__without_noise_is_the_state_equation():
    w = np.array([0.2, 0.5, 1.0])
    ages = np.array([0.0, 1e5, 1e7])
    kept = retain(CELL, CELL.filament(w), ages)
    for k, age in enumerate(ages):
        assert np.allclose(kept[k], CELL.filament(CELL.evolve(w, 0.0, 0.0, age)), rtol=1e-12)
    exact = (1.0 - 1e7 / CELL.lifetime) ** 0.25
    assert CELL.state(kept[2, 2]) == pytest.approx(exact, abs=1e-3)
    assert np.array_equal(kept[0], CELL.filament(w))


def test_retain__relaxes_to_the_published_deviation_in_a_day():
    cell = AdaptiveMemristor(lifetime=math.inf)
    g = np.full(20_000, 20e-6)
    ages = [0.0, 3600.0, 86400.0, 1e7]
    kept = retain(cell, g, ages, np.random.default_rng(3))
    deviation = (kept - g).std(axis=1)
    grown = math.sqrt(neurram_error(20e-6, 86400.0, 50e-6) ** 2 - neurram_error(20e-6, 1.0, 50e-6) ** 2)
    sampled = 5 / math.sqrt(2 * len(g))
    assert deviation[0] == 0.0
    assert deviation[1] == pytest.approx(grown * math.sqrt(math.log(3601) / math.log(86401)), rel=sampled)
    assert deviation[2] == pytest.approx(grown, rel=sampled)
    assert deviation[3] == pytest.approx(deviation[2], rel=1e-12)
    assert np.corrcoef(kept[1], kept[2])[0, 1] == pytest.approx(1.0, abs=1e-9)  # one path per cell


def test_retain__outside_the_nominal_window_and_in_the_heat():
    kept = retain(CELL, [0.3e-6, 60e-6], [0.0, 1e4], np.random.default_rng(1))
    assert np.allclose(kept[0], [0.3e-6, 60e-6], rtol=1e-12)
    assert np.all(kept > 0.0)


def test_levels__and_the_nearest_of_them():
    table = levels(CELL, 3)
    assert np.allclose(table, [0.5e-6, 25.25e-6, 50e-6])
    assert np.allclose(levels(CELL, 3, "ratio"), [0.5e-6, 5e-6, 50e-6])
    assert len(levels(CELL)) == 64
    assert np.array_equal(quantise([0.0, 12e-6, 13e-6, 1.0], table), table[[0, 0, 1, 2]])
    g = np.linspace(CELL.g_min, CELL.g_max, 999)
    step = (CELL.g_max - CELL.g_min) / 63
    assert np.abs(quantise(g, levels(CELL)) - g).max() <= 0.5 * step * (1 + 1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: WriteVerify(v_set=2.0), "v_most must be ≥ v_set and v_reset = 2 V, got 1.2 V"),
        (lambda rng: WriteVerify(most_pulses=0), "most_pulses must be ≥ 1"),
        (lambda rng: WriteVerify(tolerance=0.0), "tolerance must be > 0"),
        (lambda rng: WriteVerify(width_factor=0.5), "width_factor must be ≥ 1"),
        (
            lambda rng: write_verify(ALIKE.draw(CELL, (2, 2), rng), np.zeros((3, 2)), WriteVerify(), rng),
            r"g_filament_targets must have shape \(2, 2\), got \(3, 2\)",
        ),
        (
            lambda rng: write_verify(ALIKE.draw(CELL, (2, 2), rng), np.zeros((2, 2)), WriteVerify(), rng, start=1.5),
            r"start must lie in \[0, 1\], got 1.5",
        ),
        (
            lambda rng: write_verify(
                ALIKE.draw(CELL, (2, 2), rng), np.zeros((2, 2)), WriteVerify(), rng, start=[0.1] * 3
            ),
            "start must broadcast to",
        ),
        (
            lambda rng: write_verify(ALIKE.draw(Resistor(), (2, 2), rng), np.zeros((2, 2)), WriteVerify(), rng),
            "cells must be AdaptiveMemristor",
        ),
        (lambda rng: neurram_error(10e-6, 5.0), "age must be one of 1, 86400, 172800 s, got 5.0"),
        (lambda rng: neurram_error(50e-6, 1.0), "g must be ≤ g_max = 4e-05 S, got 5e-05 S"),
        (lambda rng: published_error(1e-6, "hfo2"), r"g must lie in \[5e-05, 0.000225\] S for hfo2"),
        (lambda rng: published_error(1e-6, "pcm"), "law must be one of neurram"),
        (lambda rng: levels(CELL, 1), "count must be ≥ 2"),
        (lambda rng: levels(CELL, 4, "odd"), "spacing must be 'linear' or 'ratio', got 'odd'"),
        (lambda rng: quantise(1e-6, [2.0, 1.0]), "table must hold rising conductances"),
        (lambda rng: retain(CELL, 1e-6, [-1.0]), "ages must be ≥ 0"),
    ],
)
def test_bad_input__is_refused_in_a_sentence(call, message, rng):
    with pytest.raises(ParameterError, match=message):
        call(rng)
