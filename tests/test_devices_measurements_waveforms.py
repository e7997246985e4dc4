"""Cells under waveforms: figures of the device, closed forms, convergence, bounds, and what a trace holds."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from devices import AdaptiveMemristor, ParameterError, Resistor, Waveform, pulses, simulate, sweep
from devices.cells.presets import adaptive_2d_volatile, two_terminal
from devices.laws import gate
from devices.measurements.waveforms import heating
from devices.numerics.worker_threads import set_threads, threads
from devices.states import filament as dynamics

CELL = AdaptiveMemristor()
GATES = np.array([-2.0, 0.0, 2.0, 4.0])


def crossing(trace, rising, first=0):
    """Voltage at which each state passes 0.5, straight between samples."""
    state, volts = trace.state[first:], trace.v[first:]
    found = []
    for j in range(state.shape[1]):
        k = int(np.argmax((state[:, j] > 0.5) == rising))
        part = (0.5 - state[k - 1, j]) / (state[k, j] - state[k - 1, j])
        found.append(volts[k - 1, j] + part * (volts[k, j] - volts[k - 1, j]))
    return np.array(found)


def test_sweep__set_and_reset_voltages_of_the_device_model():
    """0.44 V and -0.33 V at 1 V/s; the gate moves SET from 0.54 to 0.29 V (docs/equations/cells.md, section 4)."""
    trace = simulate(CELL, sweep(0.7, -0.7, v_gate=GATES))
    assert np.allclose(crossing(trace, rising=True)[[0, 1, 3]], [0.54, 0.44, 0.29], atol=5e-3)
    after = int(np.argmin(trace.v[:, 0] > -0.01))
    assert np.allclose(crossing(trace, rising=False, first=after), -0.33, atol=8e-3)


def test_sweep__a_faster_ramp_switches_later_by_its_logarithm():
    """Field-driven switching: ten times the rate moves V_SET by v_set ln 10 (no series resistance, no dissolution)."""
    cell = AdaptiveMemristor(r_series=0.0, lifetime=math.inf)
    slow, fast = (crossing(simulate(cell, sweep(0.8, rate=r, v_gate=[0.0])), rising=True)[0] for r in (1.0, 10.0))
    assert fast - slow == pytest.approx(cell.v_set * math.log(10.0), rel=5e-3)


def test_hysteresis__the_loop_is_pinched_and_runs_around_the_right_way():
    trace = simulate(CELL, sweep(0.6, -0.6, cycles=2, v_gate=[0.0, 2.0]))
    assert np.all(np.abs(trace.current[trace.v == 0.0]) == 0.0)
    samples = len(trace.time) // 2
    up, down = trace.current[20], trace.current[290]  # the same voltage before and after SET
    assert trace.v[20, 0] == pytest.approx(trace.v[290, 0])
    assert np.all(down > 3.0 * up)
    assert np.allclose(trace.state[samples], trace.state[-1], atol=1e-3)  # a cycle later, the same


@pytest.mark.parametrize(("v", "time"), [(0.8, 1.3e-6), (1.0, 5.5e-9)])
def test_pulses__times_to_half_state(v, time):
    trace = simulate(two_terminal(), pulses([v], 2.0 * time, pause=0.0))
    grid = simulate(two_terminal(), Waveform(np.linspace(0.0, 2.0 * time, 401), np.full(401, v)))
    reached = np.interp(0.5, grid.state, grid.time)
    assert reached == pytest.approx(time, rel=0.04)
    assert trace.state[-1] == pytest.approx(grid.state[-1], abs=2e-4)


def test_pulses__potentiation_is_stronger_at_an_open_gate_and_depression_takes_it_back():
    train = pulses(np.repeat([0.5, -0.35], 40), 1e-4, pause=1e-3, v_gate=GATES)
    state = simulate(CELL, train, 0.1, every=4).state
    assert np.all(np.diff(state[:41], axis=0) > 0.0)
    assert np.all(np.diff(state[42:-1], axis=0) < 0.0)
    assert np.all(np.diff(state[40]) > 0.0)  # heterosynaptic: each gate further than the one before


def test_pulses__samples_are_rectangles():
    train = pulses([0.5, -0.2], 1e-3, pause=2e-3, v_rest=0.1, v_gate=1.0, v_gate_rest=-1.0)
    assert np.allclose(train.time, [0, 1e-3, 1e-3, 3e-3, 3e-3, 4e-3, 4e-3, 6e-3])
    assert train.v.tolist() == [0.5, 0.5, 0.1, 0.1, -0.2, -0.2, 0.1, 0.1]
    assert train.v_gate.tolist() == [1, 1, -1, -1, 1, 1, -1, -1]


def test_read_disturb__counts_of_reads():
    """8e8 reads of 10 ns at 0.1 V move an empty cell by 0.01 at the Dirac point, 75 times fewer at an open gate."""
    cell = AdaptiveMemristor(lifetime=math.inf)  # the empty cell neither grows nor dissolves but by the read
    held = simulate(cell, Waveform([0.0, 1.0], [0.1, 0.1], [[0.0, cell.v_gate_max]])).state[-1]
    reads = 0.01 / held * 1e8
    assert reads[0] == pytest.approx(8e8, rel=0.05)
    assert reads[0] / reads[1] == pytest.approx(75.0, rel=0.1)


def test_dissolution__of_a_volatile_cell_follows_the_fourth_root():
    cell = AdaptiveMemristor(lifetime=1.0, w_critical=1e-3)
    time = np.linspace(0.0, 0.99, 100)
    trace = simulate(cell, Waveform(time, np.zeros(100)), [1.0, 0.99], largest_step=1e-3)
    exact = np.maximum(np.array([1.0, 0.99]) ** 4 - time[:, None], 0.0) ** 0.25
    assert np.allclose(trace.state[:-4], exact[:-4], atol=2e-4)


def test_lifetimes__of_the_device_model():
    """8 h at w = 0.1, 28 d at 0.3, 217 d at 0.5, 9.5 years at 1: T1 w^4."""
    w = np.array([0.1, 0.3, 0.5, 1.0])
    lives = CELL.lifetime * w**4
    assert np.allclose(lives, [8.3 * 3600, 28.1 * 86400, 217.0 * 86400, 9.51 * 365.25 * 86400], rtol=0.01)
    waits = [Waveform([0.0, 0.9 * t, 1.1 * t], np.zeros(3)) for t in lives]
    left = np.array([simulate(CELL, wait, x).state for wait, x in zip(waits, w, strict=True)])
    assert np.all(left[:, 1] > 0.5 * w)
    assert np.all(left[:, 2] < 0.3 * w)


def reference(cell, waveform, w, r_thermal=0.0):
    """State at the end by an implicit integrator with the voltages of each moment."""
    law, growth = cell.law, heating(cell, r_thermal)

    def slope(t, y):
        v, v_gate = np.interp(t, waveform.time, waveform.v), np.interp(t, waveform.time, waveform.v_gate)
        energy = gate.fermi_energy(law, v_gate)
        boost = math.exp((growth.gate_per_ev if v > 0.0 else growth.reset_per_ev) * energy)
        up, down = dynamics.rates(law, growth, min(max(y[0], 0.0), 1.0), v, gate.gain_at(law, energy), boost)
        return [up * (1 - y[0]) - down * y[0]]

    ends = waveform.time[[0, -1]]
    return solve_ivp(slope, ends, [w], method="Radau", rtol=1e-9, atol=1e-12, max_step=np.ptp(ends) / 200).y[0, -1]


WAVE = Waveform([0.0, 0.5, 0.8, 1.2], [0.0, 0.42, 0.3, -0.31], [0.0, 0.5, 1.0, -0.5])


@pytest.mark.parametrize("r_thermal", [0.0, 1e6])
def test_simulate__agrees_with_an_independent_integrator(r_thermal):
    exact = reference(CELL, WAVE, 0.05, r_thermal)
    assert simulate(CELL, WAVE, 0.05, r_thermal=r_thermal).state[-1] == pytest.approx(exact, abs=3e-4)


def test_simulate__second_order():
    exact = reference(CELL, WAVE, 0.05)
    errors = [abs(simulate(CELL, WAVE, 0.05, largest_step=s).state[-1] - exact) for s in (0.02, 0.01, 0.005)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > 1.5), orders


def test_simulate__a_block_and_a_single_cell_are_one(rng):
    """The vector step and the sub-steps of one cell solve the same equation."""
    w, offset = rng.random(300), rng.normal(0.0, 0.05, 300)
    wave = Waveform(np.linspace(0.0, 1.0, 101), 0.45 * np.sin(np.linspace(0.0, 2.0 * np.pi, 101)), 1.0)
    whole = simulate(CELL, wave, w, gate_offset=offset).state
    law, growth = CELL.law, CELL.growth()
    energy = CELL.fermi_energy(1.0 - offset)
    gain, x = CELL.gain_with_offset(1.0, offset), w
    for k in range(100):
        volts, dt = np.full(300, wave.v[k : k + 2].mean()), np.full(300, 0.01)
        x, missed = dynamics.evolve(law, growth, x, volts, gain, energy, dt, 0.002)
        assert missed == 0
    fine = simulate(CELL, wave, w, gate_offset=offset, largest_step=5e-4).state
    assert np.allclose(whole, fine, atol=2e-3)
    assert np.allclose(fine[-1], x, atol=4e-3)  # x keeps the voltage of an interval of 28 mV: rougher in time


def test_simulate__ten_thousand_random_waveforms_stay_in_bounds(rng):
    w = rng.random(10_000)
    heights = rng.normal(0.0, 1.0, (3, 10_000)) * 10.0 ** rng.uniform(-1.0, 1.5, 10_000)
    wave = pulses(heights, 1e-6, pause=1e-3, v_gate=rng.uniform(-5.0, 5.0, 10_000))
    for cell in (CELL, adaptive_2d_volatile()):
        state = simulate(cell, wave, w).state
        assert np.isfinite(state).all()
        assert state.min() >= 0.0
        assert state.max() <= 1.0


def test_simulate__extreme_cells_and_voltages_stay_finite():
    """Beyond the exponents of the vector step, and with a straight barrier, single cells take over."""
    for cell in (AdaptiveMemristor(v_0=math.inf), AdaptiveMemristor(r_series=0.0), AdaptiveMemristor(r_series=1e6)):
        state = simulate(cell, pulses([100.0, -100.0, 3.0, -3.0], 1e-9, pause=0.0), np.linspace(0.0, 1.0, 5)).state
        assert np.isfinite(state).all()
        assert np.all((state >= 0.0) & (state <= 1.0))
        assert np.allclose(state[1], 1.0)


@pytest.mark.parametrize(
    "cell",
    [
        CELL,
        two_terminal(),
        AdaptiveMemristor(v_0=math.inf),
        AdaptiveMemristor(r_series=0.0),
        AdaptiveMemristor(beta_reset=-0.4),
    ],
)
def test_simulate__one_interval_is_evolve(cell):
    w = np.linspace(0.0, 1.0, 9)
    for v, dt in ((0.5, 1e-3), (-0.4, 1e-3), (0.0, 1e5), (0.9, 1e-8)):
        held = simulate(cell, Waveform([0.0, dt], [v, v], 1.0), w).state[-1]
        assert np.allclose(held, cell.evolve(w, v, 1.0, dt, largest_step=1e-3), atol=2e-4)


def test_heat__speeds_up_switching_and_shows_in_the_trace():
    cold, warm = (simulate(CELL, pulses([0.7], 1e-4, pause=1e-4, v_gate=4.0), 0.5, r_thermal=r) for r in (0.0, 1e6))
    assert np.all(cold.temperature == CELL.temperature)
    power = warm.v * warm.current
    assert np.allclose(warm.temperature, 300.0 + 1e6 * power, rtol=1e-12)
    assert warm.temperature.max() > 310.0
    cold, warm = (simulate(CELL, pulses([-0.4], 1e-3, pause=0.0, v_gate=4.0), 0.9, r_thermal=r) for r in (0.0, 1e6))
    assert warm.state[-1] < cold.state[-1] - 0.01


def test_trace__currents_are_those_of_the_cells():
    trace = simulate(CELL, sweep(0.5, v_gate=GATES, points=11), 0.3, gate_offset=0.1)
    expected = CELL.current(trace.state, GATES - 0.1, trace.v)[0]
    assert np.allclose(trace.current, expected, rtol=1e-9, atol=0)
    assert trace.current.shape == trace.state.shape == trace.temperature.shape == (len(trace.time), 4)


def test_simulate__keeps_what_is_asked_for():
    wave = sweep(0.5, points=11)
    full, third, ends = (simulate(CELL, wave, [0.1, 0.9], every=e) for e in (1, 3, None))
    assert np.array_equal(third.state, full.state[[0, 3, 6, 9, 12, 15, 18, 20]])
    assert np.array_equal(third.time, full.time[[0, 3, 6, 9, 12, 15, 18, 20]])
    assert np.array_equal(ends.state, full.state[[0, 20]])


def test_simulate__threads_change_no_bit(rng):
    w, before = rng.random(2000), threads()
    try:
        states = []
        for count in {1, before}:
            set_threads(count)
            states.append(simulate(CELL, sweep(0.5, -0.5, points=21), w).state)
    finally:
        set_threads(before)
    assert all(np.array_equal(states[0], other) for other in states)


def test_waveform__joined_and_repeated():
    first, second = sweep(0.5, points=3), pulses([[0.1, 0.2]], 1e-3, pause=0.0, v_gate=2.0)
    both = first.then(second)
    assert both.v.shape == (9, 2)
    assert both.time[-1] == pytest.approx(1.0 + 1e-3)
    assert both.v_gate[0] == 0.0
    assert both.v_gate[-1] == 2.0
    twice = second.repeated(2)
    assert np.allclose(twice.time, [0, 1e-3, 1e-3, 1e-3, 1e-3, 2e-3, 2e-3, 2e-3])
    a = simulate(CELL, both, 0.2).state[-1]
    b = simulate(CELL, second, simulate(CELL, first, 0.2).state[-1]).state[-1]
    assert np.allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Waveform([0.0], [1.0]), "at least 2 samples, got 1"),
        (lambda: Waveform([0.0, 1.0, 0.5], np.zeros(3)), "time must never fall, got 0.5 s after 1 s at sample 2"),
        (lambda: Waveform([0.0, 1.0], np.zeros(3)), "v must have one value or row for each of 2 times"),
        (lambda: Waveform([0.0, 1.0], np.zeros(2), np.zeros(3)), "v_gate must be one value"),
        (lambda: Waveform([0.0, np.nan], np.zeros(2)), "time must hold no nan"),
        (lambda: sweep(0.0), "corners must hold a voltage other than 0 V"),
        (lambda: sweep(0.5, rate=0.0), "rate must be > 0 V/s"),
        (lambda: pulses(0.5, 1e-3, pause=0.0), "v must hold at least one pulse"),
        (lambda: pulses([0.5], 0.0, pause=0.0), "width must be > 0 s"),
        (lambda: simulate(Resistor(), sweep(0.5)), "cell must be an AdaptiveMemristor"),
        (lambda: simulate(CELL, sweep(0.5), 1.5), r"w must lie in \[0, 1\], got 1.5"),
        (lambda: simulate(CELL, sweep(0.5, v_gate=GATES), np.zeros(3)), "cells must have shapes that broadcast"),
        (lambda: simulate(CELL, sweep(0.5), every=0), "every must be ≥ 1"),
        (lambda: simulate(CELL, sweep(0.5), largest_step=0.5), "largest_step must be"),
        (lambda: simulate(CELL, sweep(0.5), r_thermal=-1.0), "r_thermal must be ≥ 0 K/W"),
        (lambda: simulate(CELL, Waveform([0, 1], [0, 1e5])), "v must not change by more than"),
        (
            lambda: Waveform([0, 1], np.zeros((2, 3))).then(Waveform([0, 1], np.zeros((2, 2)))),
            "v of both waveforms must have cells that broadcast",
        ),
    ],
)
def test_bad_input__is_refused_in_a_sentence(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
