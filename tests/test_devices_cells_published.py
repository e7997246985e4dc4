"""Published cell models: their equations, slopes, passivity, and state equations against other integrators."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.constants import e, k
from scipy.integrate import solve_ivp
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from devices import (
    AdaptiveMemristor,
    ParameterError,
    Resistor,
    SelectedCell,
    StanfordPku,
    Tabulated,
    Vteam,
    cell_current,
)
from devices.cells.presets import adaptive_2d, selected_2d, stanford_asu, stanford_pku, two_terminal, vteam
from devices.laws import dispatch
from devices.laws.tabulated import monotone_slopes
from devices.states.drift import drift_rate

VOLTS = np.linspace(-0.5, 0.5, 21)
GATES = np.linspace(-2.0, 4.0, 7)
STATES = np.array([0.3, 0.6, 1.0])
MEASURED = Tabulated(VOLTS, [[adaptive_2d().current(w, q, VOLTS)[0] for q in GATES] for w in STATES], GATES)
GATELESS = Tabulated(VOLTS, two_terminal().current(1.0, 0.0, VOLTS)[0])
CELLS = {
    "vteam": vteam(),
    "vteam exponential": Vteam(exponential=True),
    "stanford_pku": stanford_pku(),
    "stanford_pku with series": StanfordPku(r_series=2e3),
    "stanford_asu": stanford_asu(),
    "selected adaptive": selected_2d(),
    "selected resistor": SelectedCell(Resistor(), v_decade=5e-3),
    "selected pku": SelectedCell(stanford_asu(), g_off=1e-9, v_decade=2e-2),
    "selected table": SelectedCell(MEASURED, g_on=1e-4, v_threshold=0.15, v_decade=1e-2),
    "table": MEASURED,
    "table of one curve": GATELESS,
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())


# every law


@every_cell
@given(w=st.floats(0.0, 1.0), part=st.floats(0.0, 1.0), v=st.floats(-0.45, 0.45))
def test_current__slope_is_the_derivative(cell, w, part, v):
    v_gate = cell.v_gate_min + part * (cell.v_gate_max - cell.v_gate_min)
    _, slope = cell.current(w, v_gate, v)
    h = 1e-6
    around = cell.current(w, v_gate, v + h * np.array([-2.0, -1.0, 1.0, 2.0]))[0]
    derivative = (8 * (around[2] - around[1]) - (around[3] - around[0])) / (12 * h)
    scale = np.max(np.abs(cell.current(w, v_gate, v + h * np.array([-1.0, 1.0]))[1]))
    # a table's slope turns at its nodes, where the difference sees both sides
    # and below the smallest normal number there are fewer digits than the comparison needs
    assert slope == pytest.approx(derivative, rel=2e-6, abs=2e-5 * scale + 1e-300)


@every_cell
@given(w=st.floats(0.01, 1.0), part=st.floats(0.0, 1.0), v=st.floats(-0.5, 0.5), more=st.floats(1e-6, 0.1))
def test_current__is_passive_and_rises(cell, w, part, v, more):
    v_gate = cell.v_gate_min + part * (cell.v_gate_max - cell.v_gate_min)
    current, slope = cell.current(w, v_gate, v)
    assert current * v >= 0.0
    assert slope >= 0.0
    assert cell.current(w, v_gate, v + more)[0] > current
    assert cell.current(w, v_gate, 0.0)[0] == 0.0


@every_cell
def test_current__is_the_law_s_in_and_out_of_kernels(cell):
    g, v = cell.filament(0.7), 0.31
    alone = cell_current(cell.law, float(g), v, cell.v_gate_max)
    assert cell.current(0.7, cell.v_gate_max, v) == pytest.approx(alone, rel=1e-13, abs=0.0)
    gain = dispatch.law_gain(cell.law, cell.v_gate_min)
    assert cell.gate_gain(cell.v_gate_min) == pytest.approx(gain, rel=1e-14, abs=0.0)


@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if not cell.gated])
def test_gateless__the_gate_does_nothing(name):
    cell = CELLS[name]
    v = np.linspace(-0.4, 0.4, 9)
    assert np.array_equal(cell.current(0.6, -3.0, v)[0], cell.current(0.6, 5.0, v)[0])
    assert (cell.gain_low, cell.gain_high, cell.gate_gain(2.0)) == (1.0, 1.0, 1.0)
    for call in (cell.gate_voltage, cell.fermi_energy):
        with pytest.raises(ParameterError, match="must not be given"):
            call(0.5)


@every_cell
@given(w=st.floats(0.0, 1.0))
def test_state__undoes_filament(cell, w):
    assert cell.state(cell.filament(w)) == pytest.approx(w, abs=1e-12)
    assert cell.filament([0.0, 1.0]) == pytest.approx([cell.g_min, cell.g_max], rel=1e-12, abs=0.0)


@every_cell
@given(w=st.floats(0.01, 1.0), v=st.sampled_from([-0.45, 0.0, 0.1, 0.4]))
def test_filament_for__undoes_terminal_conductance(cell, w, v):
    g, gain = cell.filament(w), 0.7 if cell.gated else 1.0
    shown = cell.terminal_conductance(g, gain, v)
    inside = isinstance(cell, SelectedCell) and shown > 0.999 * cell.selector_conductance(v)
    if not inside:  # behind a selector that is off nothing can be told
        assert cell.filament_for(shown, gain, v) == pytest.approx(g, rel=1e-9, abs=0.0)


# VTEAM


def test_vteam__resistance_between_its_ends():
    cell = Vteam(r_on=100.0, r_off=2500.0)
    assert np.allclose(1 / cell.filament([0.0, 0.25, 1.0]), [2500.0, 1900.0, 100.0], rtol=1e-14, atol=0.0)
    assert np.allclose(
        1 / dataclasses.replace(cell, exponential=True).filament([0.0, 0.5, 1.0]),
        [2500.0, 500.0, 100.0],
        rtol=1e-14,
        atol=0.0,
    )


@given(v=st.floats(-1.0, 1.0), w=st.floats(0.0, 1.0))
def test_vteam__rate_is_the_published_equation(v, w):
    """In the published variables: an internal state in metres, and a voltage of the other sign."""
    cell = Vteam(k_on=-10.0, k_off=5e-4, v_on=-0.2, v_off=0.02, alpha_on=3, alpha_off=1)
    published, speed = -v, 0.0
    if published > cell.v_off:
        speed = cell.k_off * (published / cell.v_off - 1) ** cell.alpha_off
    elif published < cell.v_on:
        speed = cell.k_on * (published / cell.v_on - 1) ** cell.alpha_on
    assert drift_rate(cell.drift(), w, v) == pytest.approx(-speed / (cell.w_off - cell.w_on), rel=1e-12, abs=1e-12)


def test_vteam__between_the_thresholds_nothing_moves():
    w = np.linspace(0, 1, 5)
    assert np.array_equal(vteam().evolve(w, [[-0.019], [0.0], [0.199]], 0.0, 1e3), np.tile(w, (3, 1)))


def test_vteam__without_a_window_a_pulse_is_a_straight_line_to_the_end():
    cell = vteam()
    speed = 10.0 * (0.5 / 0.2 - 1) ** 3 / 3e-9
    times = np.array([0.0, 1e-11, 5e-11, 1e-9])
    assert np.allclose(cell.evolve(0.1, 0.5, 0.0, times), np.minimum(0.1 + speed * times, 1.0), rtol=1e-10, atol=0.0)


def test_vteam__with_a_quadratic_window_it_is_a_tanh():
    cell = Vteam(window=1.0)
    speed = 10.0 * (0.5 / 0.2 - 1) ** 3 / 3e-9
    times = np.linspace(0, 3e-10, 7)
    assert np.allclose(cell.evolve(0.0, 0.5, 0.0, times), np.tanh(speed * times), rtol=1e-6, atol=1e-9)
    back = 5e-4 * (0.5 / 0.02 - 1) / 3e-9
    times = np.linspace(0, 1e-6, 5)
    assert np.allclose(1 - cell.evolve(1.0, -0.5, 0.0, times), np.tanh(back * times), rtol=1e-6, atol=1e-9)


# Stanford-PKU


@given(v=st.floats(-1.0, 1.0), w=st.floats(0.0, 1.0))
def test_stanford_pku__current_is_the_published_equation(v, w):
    cell = stanford_pku()
    gap = 1.7e-9 - w * 1.5e-9
    assert cell.gap(w) == pytest.approx(gap, rel=1e-14, abs=0.0)
    assert cell.current(w, 0.0, v)[0] == pytest.approx(
        1e-3 * math.exp(-gap / 0.25e-9) * math.sinh(v / 0.25), rel=1e-12, abs=1e-30
    )


@given(v=st.floats(-3.0, 3.0), w=st.floats(0.0, 1.0))
def test_stanford_pku__gap_speed_is_the_published_equation(v, w):
    cell = stanford_pku()
    gap = cell.gap(w)
    current = 1e-3 * math.exp(-gap / 0.25e-9) * math.sinh(v / 0.25)
    temperature = 298.0 + abs(v * current) * 2.1e3
    gamma = 16.0 - 0.8 * (gap / 1e-9) ** 3
    if gamma * abs(v) / 12e-9 < 1.4e9:
        gamma = 0.0
    speed = -10.0 * math.exp(-0.6 * e / (k * temperature))
    speed *= math.sinh(gamma * 0.25e-9 / 12e-9 * e * v / (k * temperature))
    assert drift_rate(cell.drift(), w, v) == pytest.approx(-speed / 1.5e-9, rel=1e-9, abs=1e-30)


@pytest.mark.parametrize(
    ("cell", "v", "w", "dt"),
    [
        (stanford_pku(), 1.5, 0.1, 1e-8),
        (stanford_pku(), -1.5, 0.9, 3e-8),
        (stanford_asu(), 1.3, 0.5, 2e-5),
        (stanford_asu(), -1.2, 1.0, 1e-6),
        (StanfordPku(r_series=500.0), 1.8, 0.0, 1e-8),
    ],
)
def test_stanford_pku__evolve_follows_another_integrator(cell, v, w, dt):
    drift = cell.drift()

    def rate(_, state):
        return [drift_rate(drift, float(np.clip(state[0], 0, 1)), v)]

    other = solve_ivp(rate, (0, dt), [w], method="LSODA", rtol=1e-9, atol=1e-12).y[0, -1]
    assert abs(np.clip(other, 0, 1) - w) > 0.02  # it moved
    assert cell.evolve(w, v, 0.0, dt) == pytest.approx(float(np.clip(other, 0, 1)), abs=2e-5)


def test_stanford_pku__two_steps_are_one():
    cell = stanford_pku()
    once = cell.evolve(0.1, 1.5, 0.0, 4e-8)
    assert cell.evolve(cell.evolve(0.1, 1.5, 0.0, 1.5e-8), 1.5, 0.0, 2.5e-8) == pytest.approx(once, abs=1e-6)


def test_stanford_pku__resets_to_where_the_least_field_stops_it():
    cell = stanford_pku()
    stop = ((16.0 - 1.4e9 * 12e-9 / 1.2) / 0.8) ** (1 / 3) * 1e-9  # gamma V / t_ox = F_min
    assert cell.gap(cell.evolve(1.0, -1.2, 0.0, 1.0)) == pytest.approx(stop, rel=1e-7, abs=0.0)


def test_stanford_pku__heat_speeds_it_up():
    cell = stanford_pku()
    cold, warm = cell.evolve(0.1, 1.3, 0.0, 1e-9), cell.evolve(0.1, 1.3, 0.0, 1e-9, temperature=340.0)
    assert warm - 0.1 > 2.0 * (cold - 0.1) > 0
    own = dataclasses.replace(cell, r_thermal=0.0).evolve(0.7, 1.3, 0.0, 1e-9)
    assert cell.evolve(0.7, 1.3, 0.0, 1e-9) - 0.7 > 1.3 * (own - 0.7) > 0  # that of its own current as well


def test_evolve__states_stay_in_bounds_at_any_voltage_and_time():
    for cell in (vteam(), Vteam(window=2.0), stanford_pku(), stanford_asu()):
        w = cell.evolve(np.linspace(0, 1, 5)[:, None], [[-50.0, -1.0, 0.0, 1.0, 50.0]], 0.0, 1e3)
        assert np.all((w >= 0.0) & (w <= 1.0))
        assert np.array_equal(cell.evolve(0.3, 1.0, 0.0, 0.0), 0.3)


# selector


@every_cell
@given(w=st.floats(0.0, 1.0), v=st.floats(-0.45, 0.45))
def test_selected__division_of_the_voltage_solves_the_circuit(cell, w, v):
    """Root of the series circuit by bracketing, in a currency where small voltages count: any inner law."""
    if isinstance(cell, SelectedCell):
        return
    outer = SelectedCell(cell, v_threshold=0.1, v_decade=5e-3)
    g, gate = float(cell.filament(w)), cell.v_gate_max
    selector = outer.selector_conductance(v)
    if v == 0.0:
        assert outer.current(w, gate, v)[0] == 0.0
        return

    def left_over(x):
        return cell_current(cell.law, g, x, gate)[0] / selector - (v - x)

    x = brentq(left_over, 0.0, v, xtol=1e-300, rtol=1e-14, maxiter=2000)
    assert outer.current(w, gate, v)[0] == pytest.approx(cell_current(cell.law, g, x, gate)[0], rel=1e-9, abs=1e-280)


def test_selected__off_it_blocks_and_on_it_is_a_small_resistance():
    cell, bare = SelectedCell(two_terminal()), two_terminal()
    assert cell.current(1.0, 0.0, 0.1)[0] == pytest.approx(1e-14, rel=1e-6, abs=0.0)
    on, without = cell.current(1.0, 0.0, 0.5)[0], bare.current(1.0, 0.0, 0.5)[0]
    assert 0.85 < on / without < 1.0
    assert on / cell.current(1.0, 0.0, 0.25)[0] < 4.0
    assert cell.conductance(1.0, 0.0, 0.5) / cell.conductance(1.0, 0.0, 0.1) > 1e8


def test_selected__a_decade_takes_v_decade_at_the_threshold():
    cell = SelectedCell(two_terminal(), v_decade=2e-3)
    below, above = (cell.selector_conductance(0.2 + d) for d in (-1e-5, 1e-5))
    assert math.log10(above / below) == pytest.approx(2e-5 / 2e-3, rel=1e-4, abs=0.0)
    assert cell.selector_conductance(0.2) == pytest.approx(math.sqrt(1e-13 * 1e-3), rel=1e-9, abs=0.0)
    assert cell.selector_conductance(-0.3) == cell.selector_conductance(0.3) == pytest.approx(1e-3, rel=1e-6, abs=0.0)


def test_selected__the_gate_acts_through_it():
    cell = selected_2d()
    assert cell.gated
    assert cell.gate_voltage(0.5) == adaptive_2d().gate_voltage(0.5)
    closed, opened = (cell.current(0.5, q, 0.4)[0] for q in (-2.0, 4.0))
    assert opened / closed > 50.0


def test_selected__half_selected_cells_do_not_move_and_selected_ones_do():
    cell = SelectedCell(two_terminal(), v_threshold=0.4)
    half, full = cell.evolve(0.2, [0.35, 0.7], 0.0, 1e-4)
    assert half == pytest.approx(0.2, abs=1e-6)
    assert two_terminal().evolve(0.2, 0.35, 0.0, 1e-4) > 0.2 + 1e-6
    assert full > 0.4


def test_selected__evolves_as_the_cell_alone_at_its_share_of_the_voltage():
    inner = two_terminal()
    cell = SelectedCell(inner, g_on=1e-4)

    def rate(_, w):
        state = float(np.clip(w[0], 0, 1))
        x = 0.6 - float(cell.current(state, 0.0, 0.6)[0]) / 1e-4
        d = 1e-8
        return [float(inner.evolve(state, x, 0.0, d) - state) / d]

    other = solve_ivp(rate, (0, 1e-4), [0.1], rtol=1e-7, atol=1e-9, max_step=1e-5).y[0, -1]
    assert cell.evolve(0.1, 0.6, 0.0, 1e-4) == pytest.approx(other, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SelectedCell(selected_2d()), "cell must be a cell of devices without a selector"),
        (lambda: SelectedCell(3), "cell must be a cell of devices without a selector, got 3"),
        (lambda: SelectedCell(two_terminal(), g_off=1e-2), "g_off must be < g_on = 0.001 S, got 0.01 S"),
        (lambda: SelectedCell(Resistor()).evolve(0.5, 1.0, 0.0, 1.0), "cell must have a state that evolves, got Resis"),
        (
            lambda: selected_2d().filament_for(1e-5, 1.0, 0.1),
            "g_terminal must be below the selector's 1e-13 S at 0.1",
        ),
        (lambda: Vteam(r_on=2e3), "r_on must be < r_off = 1000 Ω, got 2000 Ω"),
        (lambda: Vteam(v_on=0.1), "v_on must be < 0 V, got 0.1 V"),
        (lambda: StanfordPku(gap_min=2e-9), "gap_min must be < gap_max = 1.7e-09 m, got 2e-09 m"),
        (lambda: stanford_pku().evolve(0.5, 1.0, 0.0, -1.0), "dt must be ≥ 0 everywhere, got -1"),
    ],
)
def test_cells__refuse_in_one_sentence(call, message):
    with pytest.raises(ParameterError, match=message):
        call()


# table


def test_monotone_slopes__are_scipy_s_inside(rng):
    x = np.cumsum(rng.uniform(0.1, 1.0, 12))
    y = np.cumsum(rng.uniform(0.0, 1.0, (3, 12)) ** 4, axis=-1)
    ours = monotone_slopes(x, y)
    theirs = PchipInterpolator(x, y, axis=-1).derivative()(x)
    assert np.allclose(ours[:, 1:-1], theirs[:, 1:-1], rtol=1e-12, atol=0.0)
    assert np.all(ours > 0.0)


def test_table__meets_its_points_and_scipy_between_them():
    curve = two_terminal().current(1.0, 0.0, VOLTS)[0]
    v = np.linspace(-0.44, 0.44, 101)
    found, slope = GATELESS.current(1.0, 0.0, v)
    assert np.allclose(GATELESS.current(1.0, 0.0, VOLTS)[0], curve, rtol=1e-14, atol=0.0)
    other = PchipInterpolator(VOLTS, curve)
    assert np.allclose(found, other(v), rtol=1e-10, atol=1e-20)
    assert np.allclose(slope, other.derivative()(v), rtol=1e-10, atol=0.0)
    assert np.allclose(found, two_terminal().current(1.0, 0.0, v)[0], rtol=2e-3, atol=1e-9)


def test_table__finds_gate_and_level_between_measured_ones():
    cell, w, v_gate, v = adaptive_2d(), 0.75, 1.6, 0.13
    level = cell.filament(w) * cell.gain_high
    g = MEASURED.filament(MEASURED.state(level))
    found = MEASURED.current(MEASURED.state(g), v_gate, v)[0]
    assert found == pytest.approx(cell.current(w, v_gate, v)[0], rel=0.05, abs=0.0)
    assert MEASURED.gate_gain(GATES) == pytest.approx(MEASURED.law.gains, rel=1e-14, abs=0.0)
    assert MEASURED.gate_gain([-9.0, 9.0]) == pytest.approx([MEASURED.gain_low, 1.0])


def test_table__of_an_exact_multiplier_is_exact_at_any_level_and_gain():
    currents = [[level * gain * VOLTS for gain in (0.1, 0.4, 1.0)] for level in (1e-6, 1e-5)]
    cell = Tabulated(VOLTS, currents, (0.0, 1.0, 2.0))
    for g in (1e-7, 3e-6, 1e-5, 2e-5):
        for gain in (0.05, 0.25, 0.7, 1.0, 1.2):
            assert cell.terminal_conductance(g, gain, 0.23) == pytest.approx(g * gain, rel=1e-12, abs=0.0)
            assert cell.filament_for(g * gain, gain, 0.23) == pytest.approx(g, rel=1e-12, abs=0.0)


@given(gain=st.floats(0.02, 1.0))
def test_table__gate_voltage_undoes_gate_gain(gain):
    assert MEASURED.gate_gain(MEASURED.gate_voltage(gain)) == pytest.approx(gain, rel=1e-9, abs=0.0)


def test_table__goes_on_straight_for_solvers_and_refuses_for_users():
    law = GATELESS.law
    end, slope = dispatch.gated_current(law, GATELESS.g_max, 1.0, 0.5)
    assert dispatch.gated_current(law, GATELESS.g_max, 1.0, 0.8) == pytest.approx(
        (end + 0.3 * slope, slope), rel=1e-12, abs=0.0
    )
    with pytest.raises(ParameterError, match=r"v must lie in the table, -0.5 to 0.5 V, got 0.8 V"):
        GATELESS.conductance(1.0, 0.0, 0.8)


def test_table__is_a_value():
    again = Tabulated(VOLTS.tolist(), MEASURED.currents, tuple(GATES))
    assert again == MEASURED
    assert hash(again) == hash(MEASURED)
    assert eval(repr(GATELESS), {"Tabulated": Tabulated}) == GATELESS  # noqa: S307


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.1, 0.2], [1.0, 2.0]), "voltages must rise and include 0 V"),
        (([0.2, 0.0], [1.0, 0.0]), "voltages must rise and include 0 V"),
        (
            ([0.0, 0.1, 0.2], [0.0, 1.0, 0.5]),
            "currents must rise with the voltage, got 1 A at level 0, gate 0",
        ),
        (([0.0, 0.1], [0.1, 1.0]), "currents must be 0 A at 0 V, got 0.1 A"),
        (([0.0, 0.1], [[0.0, 1.0], [0.0, 0.5]], [0.0, 1.0]), "currents must rise in magnitude with v_gates"),
        (([0.0, 0.1], [[0.0, 1.0]] * 3, [0.0, 1.0]), r"currents must have shape \(levels, 2, 2\)"),
        (([0.0, 0.1], [0.0, 1.0], [0.0], 0.2), "v_reference must be > 0 V and ≤ 0.1 V, got 0.2 V"),
    ],
)
def test_table__refuses_in_one_sentence(arguments, message):
    with pytest.raises(ParameterError, match=message):
        Tabulated(*arguments)


def test_table__conductance_of_a_gated_cell_follows_the_memristor_it_was_measured_on():
    cell = AdaptiveMemristor()
    for v_gate in (-1.0, 0.5, 2.5):
        ratio = MEASURED.conductance(1.0, v_gate, 0.1) / cell.conductance(1.0, v_gate, 0.1)
        assert ratio == pytest.approx(1.0, abs=0.12)  # seven gate voltages
