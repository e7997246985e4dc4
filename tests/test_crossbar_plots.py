"""Figures of arrays: they show the solved values, currents obey Kirchhoff's law, given axes are used."""

from math import inf

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from crossbar import Array, Wires, reference_solve, solve
from crossbar.plots import (
    plot_cell_current,
    plot_cell_voltage,
    plot_crossbar,
    plot_current_error,
    plot_gate_voltage,
    plot_map,
)
from devices import AdaptiveMemristor, ParameterError

WIRES = {
    "near": Wires(5.0, 3.0, 50.0, 20.0),
    "both": Wires(5.0, 3.0, 50.0, 20.0, r_driver_far=30.0, r_sense_far=[inf, 10.0, 0.0, 5.0]),
    "zero": Wires(0.0, 0.0, 0.0, 0.0),
    "held": Wires(5.0, 3.0, 0.0, 0.0, r_driver_far=0.0),
    "node": Wires(0.0, 0.0, 50.0, 0.0, r_sense_far=10.0),
}


def circuit(wires, inputs=1):
    rng = np.random.default_rng(3)
    g, v = rng.uniform(1e-5, 1e-4, (3, 4)), rng.uniform(-0.2, 0.2, (inputs, 3))
    return g, v, reference_solve(g, v, wires)  # nothing to compile


def drawn(ax):
    """Values of an image, not a number where masked."""
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def branches(ax):
    """End points and values of the coloured branches."""
    collection = next(each for each in ax.collections if isinstance(each, LineCollection))
    return np.array(collection.get_segments()), np.ma.filled(collection.get_array(), np.nan)


def test_map__shows_the_values_and_keeps_the_axes():
    ax = Figure().subplots()
    values = np.arange(6.0).reshape(2, 3)
    assert plot_map(values, "what", "V", ax) is ax
    np.testing.assert_array_equal(drawn(ax), values)
    assert ax.yaxis_inverted()  # row 0 at the top
    assert plot_map(values, "what", "V").figure is not ax.figure
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("values", "signed", "colours", "limits"),
    [
        ([[1.0, 3.0]], False, "viridis", (1.0, 3.0)),
        ([[-1.0, 3.0]], False, "coolwarm", (-3.0, 3.0)),
        ([[-0.01, 3.0]], False, "viridis", (-0.01, 3.0)),
        ([[-3.0, -1.0]], True, "coolwarm", (-3.0, 3.0)),
        ([[2.0, 2.0]], False, "viridis", (1.0, 3.0)),
        ([[0.0]], True, "viridis", (0.0, 1.0)),
        ([[np.inf]], False, "viridis", (0.0, 1.0)),
    ],
)
def test_map__signs_choose_the_colours(values, signed, colours, limits):
    ax = plot_map(values, "what", "A", signed=signed)
    image = ax.images[0]
    assert image.get_cmap().name == colours
    assert (image.norm.vmin, image.norm.vmax) == limits
    ax.figure.canvas.draw()  # what is drawn late may fail late


def test_colour_bar__has_prefixes():
    ax = plot_map([[1e-6, 2e-6]], "current", "A")
    ax.figure.canvas.draw()
    (bar,) = ax.child_axes
    assert all(text.get_text().endswith("µA") for text in bar.get_yticklabels())
    assert bar.get_ylabel() == "current"


@pytest.mark.parametrize(("shape", "above"), [((9, 36), True), ((9, 9), False), ((36, 9), False), ((4, 40), False)])
def test_plot_map__colour_bar_is_as_long_as_the_array(shape, above):
    """Beside a flat array a bar would be too short for its label, or higher than the array: it lies above."""
    ax = plot_map(np.linspace(0.0, 1.0, shape[0] * shape[1]).reshape(shape), "IR drop", "%")
    ax.figure.canvas.draw()
    (bar,) = ax.child_axes
    ax.apply_aspect()  # as while it draws
    bar.apply_aspect(bar.get_axes_locator()(bar, None))
    box, own = bar.get_window_extent(), ax.get_window_extent()
    if above:
        assert box.width == pytest.approx(own.width, abs=1.0)
        assert own.y1 < box.y0 < box.y1 < own.y1 + 0.2 * own.width
    else:
        assert box.height == pytest.approx(own.height, abs=1.0)
        assert box.x0 > own.x1


def test_maps__are_the_solved_numbers():
    g, v, solution = circuit(WIRES["near"], inputs=2)
    drops = solution.v_rows[1] - solution.v_columns[1]
    np.testing.assert_array_equal(drawn(plot_cell_voltage(solution, which=1)), drops)
    np.testing.assert_array_equal(drawn(plot_cell_current(g, solution, which=1)), g * drops)
    alone = g * v[1][:, None]
    expected = 100.0 * (g * drops - alone) / np.abs(alone).max()
    np.testing.assert_allclose(drawn(plot_current_error(g, v, solution, which=1)), expected, rtol=1e-12)


def test_maps__of_gated_cells():
    """Columns' currents are the sums of what is drawn; the gate that is drawn is the one that acts."""
    rng, cell, wires = np.random.default_rng(5), AdaptiveMemristor(), WIRES["near"]
    cells = Array(cell, cell.filament(rng.random((3, 4))), rng.normal(0.0, 0.1, (3, 4)))
    v, v_gate = rng.uniform(0.0, 0.2, (2, 3)), rng.uniform(0.0, 3.0, (2, 1, 4))
    solution = solve(cells, v, wires, v_gate=v_gate)
    currents = drawn(plot_cell_current(cells, solution, v_gate=v_gate, which=1))
    np.testing.assert_allclose(currents.sum(0), solution.currents[1], rtol=1e-8)  # Newton stops at 1e-9
    gates = drawn(plot_gate_voltage(cells, v_gate, which=1))
    np.testing.assert_array_equal(gates, v_gate[1] - cells.gate_offset)
    (error,) = (drawn(plot_current_error(cells, v, solution, v_gate=v_gate, which=1)),)
    assert error.max() < 0.0  # positive inputs alone: wires only take


@pytest.mark.parametrize("wires", WIRES.values(), ids=WIRES.keys())
def test_crossbar__currents_obey_kirchhoff_at_every_node(wires):
    g, v, solution = circuit(wires)
    points, values = branches(plot_crossbar(g, v, wires, solution))
    assert np.isfinite(values).all()
    left = {}
    for (start, end), value in zip(points.round(6).tolist(), values, strict=True):
        left[tuple(start)] = left.get(tuple(start), 0.0) - value
        left[tuple(end)] = left.get(tuple(end), 0.0) + value
    nodes = {(j + d, i + d) for i in range(3) for j in range(4) for d in (0.0, 0.38)}
    assert nodes <= left.keys()
    most = np.abs(values).max()
    assert max(abs(left[node]) for node in nodes) < 1e-9 * most  # of differences over 3 to 50 Ω
    bottom = np.isclose(points[:, 1, 1], 2 + 0.38 + 0.75)
    assert bottom.sum() == 4
    if np.all(wires.sense_far(4) == inf):
        np.testing.assert_allclose(values[bottom], solution.currents[0], rtol=1e-8)


def test_crossbar__ends_are_drawn_where_they_exist():
    counts = {}
    for name in ("near", "both"):
        g, v, solution = circuit(WIRES[name])
        counts[name] = len(branches(plot_crossbar(g, v, WIRES[name], solution))[1])
    assert counts["near"] == 12 + 3 * 3 + 4 * 2 + 3 + 4
    assert counts["both"] == counts["near"] + 3 + 3


def test_crossbar__two_ends_at_one_node_leave_their_shares_open():
    wires = Wires(0.0, 3.0, 0.0, 20.0, r_driver_far=0.0)
    g, v, solution = circuit(wires)
    values = branches(plot_crossbar(g, v, wires, solution))[1]
    assert np.isnan(values).sum() == 3 * (3 + 2)  # rows: segments and both ends


def test_crossbar__voltages_are_means_of_the_ends():
    wires = WIRES["near"]
    g, v, solution = circuit(wires)
    points, values = branches(plot_crossbar(g, v, wires, solution, colour="voltage"))
    first = np.isclose(points[:, 0, 0], -0.75)
    np.testing.assert_allclose(values[first], (v[0] + solution.v_rows[0, :, 0]) / 2, rtol=1e-14)
    assert values.max() <= np.abs(v).max()


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda g, v, s: plot_map(g[0], "a", "V"), "values must have 2 ax"),
        (lambda g, v, s: plot_map(g[:0], "a", "V"), "at least one cell"),
        (lambda g, v, s: plot_cell_voltage(s, which=1), "which must be"),
        (lambda g, v, s: plot_cell_current(g.T, s), "circuit must have shape"),
        (lambda g, v, s: plot_cell_current(g, s, v_gate=1.0), "v_gate must not be given"),
        (lambda g, v, s: plot_cell_current(Array(AdaptiveMemristor(), g.T), s, v_gate=1.0), "solution's"),
        (lambda g, v, s: plot_crossbar(g, v, WIRES["near"], s, colour="power"), 'colour must be "current"'),
    ],
)
def test_arguments__bad_values_are_refused(draw, words):
    with pytest.raises(ParameterError, match=words):
        draw(*circuit(WIRES["near"]))


def test_crossbar__too_many_cells_are_refused():
    g, v = np.full((33, 32), 1e-5), np.full((1, 33), 0.1)
    with pytest.raises(ParameterError, match="at most 1024 cells, got 33 × 32 = 1056"):
        plot_crossbar(g, v, WIRES["near"], reference_solve(g, v, Wires(1, 1, 1, 1)))
