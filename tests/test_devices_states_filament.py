"""The filament state under voltage: closed forms, an independent integrator, switching times, bounds at any voltage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from devices import AdaptiveMemristor, ConvergenceError
from devices.cells.presets import adaptive_2d_volatile, two_terminal
from devices.laws import gate
from devices.states import filament as dynamics

CELL = AdaptiveMemristor()


def pulse_time(cell, v, v_gate=0.0, w=0.0, target=0.5):
    """Length of the pulse [s] that takes w to the target, by bisection."""
    low, high = 1e-12, 1e4
    for _ in range(60):
        middle = math.sqrt(low * high)
        reached = cell.evolve(w, v, v_gate, middle)
        low, high = (low, middle) if (reached > target) == (target > w) else (middle, high)
    return middle


def switching_voltage(cell, sign, v_gate=0.0):
    """Voltage of a ramp of 1 V/s at which the state passes 0.5, coming from the other end."""
    step, w = 1e-3, 0.0 if sign > 0 else 1.0
    for k in range(2000):
        new = cell.evolve(w, sign * (k + 0.5) * step, v_gate, step)
        if (new - 0.5) * sign > 0:
            return sign * step * (k + (0.5 - w) / (new - w))
        w = new
    raise AssertionError("the cell did not switch")


@pytest.mark.parametrize(("v", "time"), [(0.5, 6e-3), (0.8, 1.3e-6), (1.0, 5.5e-9)])
def test_set__pulse_times_of_an_open_gate(v, time):
    """The published set of figures holds for gain 1 and growth without gate action."""
    assert pulse_time(two_terminal(), v) == pytest.approx(time, rel=0.04)


@pytest.mark.parametrize(("v", "time"), [(0.5, 5.87e-3), (0.8, 1.12e-6), (1.0, 3.73e-9)])
def test_set__a_closed_gate_draws_less_current_and_switches_sooner(v, time):
    """At 0 V the gate lets 4 % through: the series resistance takes less of the voltage."""
    assert pulse_time(CELL, v) == pytest.approx(time, rel=0.01)


def test_switching_voltages__at_1_volt_per_second():
    assert switching_voltage(CELL, 1) == pytest.approx(0.44, abs=5e-3)
    assert switching_voltage(two_terminal(), -1) == pytest.approx(-0.33, abs=5e-3)


def test_switching_voltages__move_with_the_gate():
    closed, opened = (switching_voltage(CELL, 1, v) for v in (CELL.v_gate_min, CELL.v_gate_max))
    assert closed == pytest.approx(0.54, abs=5e-3)
    assert opened == pytest.approx(0.29, abs=5e-3)


def test_set__without_series_resistance_it_is_an_exponential():
    cell = AdaptiveMemristor(r_series=0.0, lifetime=math.inf)
    rate = cell.k_set * math.expm1(0.4 / cell.v_set)
    times = np.array([0.1, 1.0, 3.0]) / rate
    assert np.allclose(cell.evolve(0.2, 0.4, 0.0, times), 1 - 0.8 * np.exp(-rate * times), rtol=1e-9)


def test_reset__without_series_resistance_it_is_an_exponential():
    cell = AdaptiveMemristor(r_series=0.0, lifetime=math.inf)
    rate = cell.k_reset * math.expm1(0.3 / cell.v_reset)
    times = np.array([0.1, 1.0, 3.0]) / rate
    assert np.allclose(cell.evolve(0.8, -0.3, 3.0, times), 0.8 * np.exp(-rate * times), rtol=1e-9)


def test_set__the_gate_helps_by_its_fermi_level():
    cell = AdaptiveMemristor(r_series=0.0, lifetime=math.inf)
    energies = cell.fermi_energy(np.array([-2.0, 0.0, 4.0]))
    factor = np.exp(0.5 * energies / (8.617333e-5 * 300.0))
    grown = -np.log1p(-cell.evolve(0.0, 0.1, np.array([-2.0, 0.0, 4.0]), 1.0))
    assert np.allclose(grown / grown[1], factor, rtol=1e-6)


def test_reset__the_gate_acts_by_its_fermi_level_in_either_direction():
    gates = np.array([-2.0, 0.0, 4.0])
    for beta_reset in (0.0, 0.4, -0.4):
        cell = AdaptiveMemristor(r_series=0.0, lifetime=math.inf, beta_reset=beta_reset)
        shrunk = -np.log(cell.evolve(1.0, -0.1, gates, 1e-2))
        factor = np.exp(beta_reset * cell.fermi_energy(gates) / (8.617333e-5 * 300.0))
        assert np.allclose(shrunk / shrunk[1], factor, rtol=1e-6)
        assert np.array_equal(cell.evolve(0.0, 0.1, gates, 1.0), AdaptiveMemristor(
            r_series=0.0, lifetime=math.inf).evolve(0.0, 0.1, gates, 1.0))  # SET does not feel it  # fmt: skip


def test_reset__the_voltage_of_a_ramp_moves_by_the_fermi_level_over_its_scale():
    """At a higher rate k the same ramp resets sooner by v_reset ln k."""
    moved = []
    for beta_reset in (0.5, -0.5):
        cell = AdaptiveMemristor(beta_reset=beta_reset, r_series=0.0)
        shut, opened = (switching_voltage(cell, -1, v) for v in (cell.v_gate_min, cell.v_gate_max))
        energies = cell.fermi_energy(np.array([cell.v_gate_min, cell.v_gate_max]))
        moved.append(opened - shut)
        assert opened - shut == pytest.approx(cell.v_reset * beta_reset * np.ptp(energies) / 0.02585, rel=0.02)
    assert moved[0] > 0.1
    assert moved[1] < -0.1


def test_read_disturb__reads_to_one_percent():
    reads = [0.01 / (CELL.evolve(0.5, 0.1, v, 1e-8 * 1e6) - 0.5) * 1e6 for v in (0.0, CELL.v_gate_max)]
    assert reads[0] == pytest.approx(2 * 8e8, rel=0.06)  # 1 - w = 0.5 doubles the count of an empty cell
    assert 50 < reads[0] / reads[1] < 90


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9, 0.99])
def test_dissolution__follows_the_fourth_root(t):
    cell = AdaptiveMemristor(lifetime=1.0, w_critical=1e-3)
    assert cell.evolve(1.0, 0.0, 0.0, t) == pytest.approx((1.0 - t) ** 0.25, rel=5e-3)
    assert cell.evolve(1.0, 0.0, 0.0, t, largest_step=5e-4) == pytest.approx((1.0 - t) ** 0.25, rel=5e-5)


def test_dissolution__life_of_thin_filaments():
    w = np.array([0.1, 0.3, 0.5, 1.0])
    for part, alive in ((0.9, True), (1.1, False)):
        left = CELL.evolve(w, 0.0, 0.0, part * CELL.lifetime * w**4)
        assert np.all((left > 0.3 * w) == alive)


def test_dissolution__volatile_cell_forgets_in_seconds_and_holds_under_voltage():
    cell = adaptive_2d_volatile()
    assert cell.evolve(1.0, 0.0, 0.0, 2.0) < 1e-6
    assert cell.evolve(1.0, 0.6, 0.0, 10.0) > 0.99
    assert CELL.evolve(1.0, 0.0, 0.0, 2.0) > 0.999999


def test_temperature__scales_switching_by_arrhenius():
    # at the Dirac point the gate's factor on growth is 1 at any temperature
    grown = [1 - CELL.evolve(0.0, 0.3, 0.0, 1e-3, temperature=t) for t in (300.0, 340.0)]
    assert math.log(grown[1]) / math.log(grown[0]) == pytest.approx(15.3, rel=0.01)  # 0.6 eV from 300 to 340 K
    shrunk = [1 - CELL.evolve(1.0, -0.1, 0.0, 1e-2, temperature=t, largest_step=1e-3) for t in (300.0, 340.0)]
    assert shrunk[1] / shrunk[0] == pytest.approx(15.3, rel=0.01)
    assert CELL.evolve(0.0, 0.3, 0.0, 1e-3, temperature=300.0) == CELL.evolve(0.0, 0.3, 0.0, 1e-3)


def reference(cell, w, v, v_gate, dt):
    """The same equation by an implicit integrator of tight tolerance."""
    law, growth = cell.law, cell.growth()
    energy = gate.fermi_energy(law, v_gate)
    boost = math.exp((growth.gate_per_ev if v > 0.0 else growth.reset_per_ev) * energy)
    gain = gate.gain_at(law, energy)

    def slope(_, y):
        up, down = dynamics.rates(law, growth, min(max(y[0], 0.0), 1.0), v, gain, boost)
        return [up * (1 - y[0]) - down * y[0]]

    return solve_ivp(slope, (0, dt), [w], method="Radau", rtol=1e-9, atol=1e-11).y[0, -1]


@pytest.mark.parametrize(
    "cell",
    [CELL, adaptive_2d_volatile(), two_terminal(), AdaptiveMemristor(beta_reset=0.3)],
    ids=["stable", "volatile", "ungated", "gated RESET"],
)
@pytest.mark.parametrize(
    ("w", "v", "v_gate", "dt"),
    [
        (0.0, 1.0, 0.0, 4e-9),
        (0.3, 0.8, 4.0, 1e-7),
        (0.9, -0.6, 4.0, 2e-4),
        (0.7, -0.3, 0.0, 0.5),
        (0.5, 0.0, 0.0, 0.03),
        (0.2, 0.35, 1.0, 0.3),
    ],
)
def test_evolve__agrees_with_an_independent_integrator(cell, w, v, v_gate, dt):
    exact = reference(cell, w, v, v_gate, dt)
    assert cell.evolve(w, v, v_gate, dt) == pytest.approx(exact, abs=2e-4)
    assert cell.evolve(w, v, v_gate, dt, largest_step=5e-4) == pytest.approx(exact, abs=2e-6)


def test_evolve__second_order_in_the_sub_step():
    exact = reference(two_terminal(), 0.0, 1.0, 0.0, 8e-9)
    errors = [abs(two_terminal().evolve(0.0, 1.0, 0.0, 8e-9, largest_step=s) - exact) for s in (0.04, 0.02, 0.01)]
    assert 3.0 < errors[0] / errors[1] < 5.5
    assert 3.0 < errors[1] / errors[2] < 5.5


def test_evolve__holding_a_volatile_cell_ends_at_its_balance():
    cell = adaptive_2d_volatile()
    law, growth = cell.law, cell.growth()
    v = np.linspace(0.35, 0.7, 8)
    held = cell.evolve(0.0, v, 4.0, 1e6)
    energy = gate.fermi_energy(law, 4.0)
    boost, gain = math.exp(growth.gate_per_ev * energy), gate.gain_at(law, energy)
    for w, volt in zip(held, v, strict=True):
        up, down = dynamics.rates(law, growth, w, volt, gain, boost)
        assert up / (up + down) == pytest.approx(w, abs=2e-9)


def test_evolve__creeps_through_a_bottleneck():
    """Just above the threshold of a volatile cell growth and dissolution nearly cancel: the passage takes its time."""
    cell = AdaptiveMemristor(lifetime=1.0, r_series=0.0, beta=0.0)
    w = np.linspace(0.0, 0.02, 2001)
    threshold = np.max(w / (4 * (w**4 + cell.w_critical**4) * (1 - w)))  # rate of growth that no dissolution matches
    v = cell.v_set * math.log1p(1.0002 * threshold / cell.k_set)
    times = np.array([1e-7, 1e-5, 3e-5, 1e-4, 1.0])
    exact = [reference(cell, 0.0, v, 0.0, t) for t in times]
    assert exact[1] < 0.02
    assert exact[-1] > 0.9
    assert np.allclose(cell.evolve(0.0, v, 0.0, times, largest_step=1e-3), exact, rtol=0, atol=1e-3)


@given(
    w=st.floats(0, 1),
    waveform=st.lists(st.tuples(st.floats(-50, 50), st.floats(-5, 5), st.floats(0, 1e3)), min_size=1, max_size=8),
    lifetime=st.sampled_from([1e-9, 1.0, 3e8, math.inf]),
    temperature=st.floats(77, 500),
    beta_reset=st.sampled_from([0.0, 2.0, -2.0]),
)
def test_evolve__no_waveform_leaves_the_bounds(w, waveform, lifetime, temperature, beta_reset):
    cell = AdaptiveMemristor(lifetime=lifetime, beta_reset=beta_reset)
    for v, v_gate, dt in waveform:
        w = cell.evolve(w, v, v_gate, dt, temperature=temperature)
        assert 0.0 <= w <= 1.0


@given(w=st.floats(0, 1), v=st.floats(-1, 1), t=st.floats(1e-9, 1e-2))
def test_evolve__two_halves_are_the_whole(w, v, t):
    cell = adaptive_2d_volatile()
    halves = cell.evolve(cell.evolve(w, v, 1.0, t / 2), v, 1.0, t / 2)
    assert halves == pytest.approx(cell.evolve(w, v, 1.0, t), abs=2e-4)


@given(v=st.floats(-1, 1), t=st.floats(1e-9, 1e-2))
def test_evolve__trajectories_do_not_cross(v, t):
    ends = CELL.evolve(np.linspace(0, 1, 21), v, 1.0, t)
    assert np.all(np.diff(ends) >= -2e-4)


def test_evolve__broadcasts_and_leaves_its_input_alone():
    w = np.linspace(0, 1, 3)
    result = CELL.evolve(w, [[0.5], [-0.5]], 1.0, 1e-3)
    assert result.shape == (2, 3)
    assert np.array_equal(w, np.linspace(0, 1, 3))
    assert result[1, 2] == CELL.evolve(1.0, -0.5, 1.0, 1e-3)
    assert np.array_equal(CELL.evolve(w, 0.7, 1.0, 0.0), w)


def test_evolve__says_when_sub_steps_run_out():
    words = r"1 of 1 integrations not finished after 100000 sub-steps; raise largest_step"
    with pytest.raises(ConvergenceError, match=words):
        CELL.evolve(0.0, 1.0, 0.0, 1.0, largest_step=1e-6)
