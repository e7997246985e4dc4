"""Data sheets and figures of cells: against closed forms, against the state equation, and drawn for every preset."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from devices import PRESETS, AdaptiveMemristor, ParameterError, ReadNoise, Resistor
from devices import plots as drawn
from devices.measurements.curves import simulate_curves
from devices.measurements.fitting import fit_cell
from devices.measurements.summary import (
    STATES,
    held,
    ramp,
    read_noise,
    retention_time,
    summarise,
    switching_voltage,
    times,
    worst_retention,
)

CELL = AdaptiveMemristor()


def test_retention_time__is_the_fourth_power_law():
    """w^4 = 1 - t / T1 at rest (docs/equations/cells.md, section 4); a tenth of the conductance is ln 0.9 / ln 100."""
    w = 1.0 + math.log(0.9) / math.log(CELL.g_max / CELL.g_min)
    assert retention_time(CELL) == pytest.approx(3e8 * (1.0 - w**4), rel=0.01)  # chord of a twentieth of a decade
    assert retention_time(AdaptiveMemristor(lifetime=math.inf)) == math.inf
    assert retention_time(Resistor()) == math.inf
    half = 1.0 + math.log(0.5) / math.log(CELL.g_max / CELL.g_min)
    assert retention_time(CELL, 0.5) == pytest.approx(3e8 * (1.0 - half**4), rel=0.01)


def test_worst_retention__is_that_of_a_weak_state():
    """The worst state of a cell that dissolves from the surface is a thin filament; a resistor has none."""
    seconds, state = worst_retention(CELL)
    assert seconds == min(retention_time(CELL, w=w) for w in STATES)
    assert retention_time(CELL, w=state) == seconds
    assert seconds < 0.1 * retention_time(CELL)
    assert state < 0.5
    assert worst_retention(Resistor()) == (math.inf, 1.0)
    found = summarise(CELL)
    assert (found.retention_worst, found.retention_worst_state) == (seconds, state)
    for bad in ({"loss": 0.0}, {"loss": 1.0}, {"w": 1.5}):
        with pytest.raises(ParameterError, match="must be"):
            retention_time(CELL, **bad)


def test_switching_voltage__solves_the_rate_of_a_ramp():
    """Straight cell without a gate's help: w passes one half where the integral of the rate over the ramp is ln 2."""
    cell = AdaptiveMemristor(r_series=0.0, beta=0.0, gain_min=1.0, lifetime=math.inf)
    for rate in (0.1, 1.0, 10.0):
        # k_s V_s (e^(V/V_s) - 1 - V/V_s) = rate ln 2
        level = rate * math.log(2.0) / (cell.k_set * cell.v_set)
        expected = cell.v_set * math.log(level + 1.0 + 0.4 / cell.v_set)
        assert switching_voltage(cell, 1.0, 0.0, rate) == pytest.approx(expected, abs=2e-3)  # one sample of the ramp
    level = math.log(2.0) / (cell.k_reset * cell.v_reset)
    expected = -cell.v_reset * math.log(level + 1.0 + 0.33 / cell.v_reset)
    assert switching_voltage(cell, -1.0, 0.0) == pytest.approx(expected, abs=2e-3)


def test_switching_voltage__gate_and_cells_that_do_not_switch():
    opened, closed = (switching_voltage(CELL, 1.0, gate) for gate in (4.0, -2.0))
    assert 0.25 < opened < closed - 0.2  # an open gate helps growth
    assert math.isnan(switching_voltage(Resistor(), 1.0, 0.0))
    assert math.isnan(switching_voltage(AdaptiveMemristor(k_set=0.0), 1.0, 0.0))
    with pytest.raises(ParameterError, match="rate must be > 0 V/s"):
        switching_voltage(CELL, 1.0, 0.0, -1.0)


def test_summarise__is_the_cell():
    found = summarise(CELL, ReadNoise(flicker=False), v_read=0.1, t_read=1e-8)
    assert (found.g_min, found.g_max) == (CELL.g_min, CELL.g_max)
    assert (found.gain_low, found.gain_high) == (CELL.gain_low, CELL.gain_high)
    g = float(CELL.conductance(0.5, 4.0, 0.1))
    # thermal and shot noise: 2 q I coth(q V / 2 k T) over half the read's inverse (docs/equations/noise.md)
    density = 2 * 1.602176634e-19 * g * 0.1 / math.tanh(0.1 / (2 * 8.617333262e-5 * 300))
    assert found.read_noise == pytest.approx(math.sqrt(density * 0.5e8) / (g * 0.1), rel=1e-6)
    assert found.v_set < found.v_set_closed
    assert summarise(PRESETS["two_terminal"]()).v_set == summarise(PRESETS["two_terminal"]()).v_set_closed


def test_held_and_ramp__keep_the_state_of_a_fixed_cell_and_their_shapes():
    v = np.array([0.0, 0.1, -0.1])
    assert np.array_equal(ramp(Resistor(), v, 0.3, 0.0), [0.3] * 3)
    assert held(Resistor(), [0.1, 0.9], 0.1, 0.0, times(1e-3, 1e-1)).shape == (41, 2)
    one = held(CELL, 0.2, 0.4, 0.0, np.array([1e-3, 5e-3]))
    assert one[1] == pytest.approx(
        float(CELL.evolve(0.2, 0.4, 0.0, 5e-3)), rel=1e-4
    )  # steps of 0.005 in w, second order
    assert read_noise(CELL, [0.1, 0.9], 4.0, 0.1, 1e-7, ReadNoise()).shape == (2,)


@pytest.mark.parametrize("name", ["adaptive_2d", "resistor", "vteam"])
def test_plot_cell__draws_six_panels(name, tmp_path):
    figure = drawn.cell_figure(PRESETS[name](), name)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 6
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert ("no gate" in texts) == (name != "adaptive_2d")
    assert texts.count("the state does not move") == (3 if name == "resistor" else 0)
    figure.savefig(tmp_path / "drawn.png", dpi=40)


def test_plots__draw_the_numbers_they_are_given():
    ax = drawn.plot_family(CELL)
    line = ax.get_lines()[-1]
    assert np.allclose(line.get_ydata(), CELL.current(1.0, 4.0, line.get_xdata())[0] * 1e6, rtol=1e-12, atol=0)
    ax = drawn.plot_transfer(CELL, v_read=0.2)
    line = ax.get_lines()[0]
    assert np.allclose(line.get_ydata(), CELL.conductance(0.0, line.get_xdata(), 0.2) * 1e6, rtol=1e-12, atol=0)
    ax = drawn.plot_retention(CELL)
    full = next(each for each in ax.get_lines() if each.get_ydata()[0] == pytest.approx(50.0))
    assert full.get_ydata()[-1] == pytest.approx(0.5)


def test_plot_fit__shows_every_point(rng, tmp_path):
    curves = simulate_curves(CELL, [1e-6, 3e-5], np.linspace(-0.4, 0.4, 10), np.linspace(-2, 4, 8), rng)
    fit = fit_cell(curves, {"c_gate": 1.55e-3})
    ax = drawn.plot_curves(fit)
    shown = np.concatenate([line.get_ydata() for line in ax.get_lines() if line.get_marker() == "."])
    assert sorted(shown) == sorted(np.abs(fit.curves.current))
    residuals = drawn.plot_residuals(fit, over="v_gate").collections[0].get_offsets()
    assert np.allclose(residuals[:, 1], fit.residuals, rtol=1e-12)
    figure = drawn.fit_figure(fit)
    assert len(figure.axes) == 4
    figure.savefig(tmp_path / "drawn.png", dpi=40)
