"""Cells: the conductance window, round trips, broadcasting, and invalid values in every field."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import devices
from devices import PRESETS, AdaptiveMemristor, Cell, ParameterError, Resistor, SelectedCell, StanfordPku, Vteam
from devices.cells.presets import adaptive_2d, adaptive_2d_volatile, ideal_adaptive, resistor, two_terminal

CELL = AdaptiveMemristor()
CELLS = {name: make() for name, make in PRESETS.items()}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
PLAIN = {name: cell for name, cell in CELLS.items() if not isinstance(cell, SelectedCell)}
every_plain_cell = pytest.mark.parametrize("cell", PLAIN.values(), ids=PLAIN.keys())


@every_cell
def test_presets__are_fresh_equal_values_with_the_common_interface(cell):
    common: Cell = cell
    assert 0.0 < common.g_min < common.g_max
    if not isinstance(cell, Vteam | StanfordPku):
        assert common.g_max < 77.5e-6  # below the conductance quantum, where a gate can act
    assert 0.0 < common.gain_low <= common.gain_high <= 1.0
    assert common.gated == (common.gain_low < common.gain_high)
    assert common.v_gate_min <= common.v_gate_max
    again = eval(repr(cell), vars(devices) | {"inf": math.inf})  # noqa: S307
    assert again == cell


def test_presets__differ_as_they_say():
    assert adaptive_2d() == AdaptiveMemristor()
    assert adaptive_2d_volatile() == AdaptiveMemristor(lifetime=1.0)
    gated = [name for name, cell in CELLS.items() if cell.gated]
    assert gated == ["adaptive_2d", "adaptive_2d_volatile", "ideal_adaptive", "selected_2d"]


@every_cell
@given(w=st.floats(0, 1))
def test_state__undoes_filament(cell, w):
    assert cell.state(cell.filament(w)) == pytest.approx(w, abs=1e-14)


def test_filament__window_ends_and_the_middle():
    assert np.allclose(CELL.filament([0.0, 0.5, 1.0]), [0.5e-6, 5e-6, 50e-6], rtol=1e-14, atol=0)  # geometric
    assert np.allclose(Resistor().filament([0.0, 0.5, 1.0]), [0.5e-6, 25.25e-6, 50e-6], rtol=1e-14, atol=0)  # linear


@every_cell
def test_state__outside_the_nominal_window_it_is_an_end(cell):
    assert np.array_equal(cell.state([0.0, 0.5 * cell.g_min, 2.0 * cell.g_max]), [0.0, 0.0, 1.0])


@every_plain_cell
@given(
    log_g=st.floats(-7, -4), gain=st.floats(0.01, 1.0), v=st.sampled_from([0.0, 1e-12, 0.05, 0.1, -0.1, 0.25, 0.3, 1.0])
)
def test_filament_for__undoes_terminal_conductance(cell, log_g, gain, v):
    g = 10.0**log_g
    assert cell.filament_for(cell.terminal_conductance(g, gain, v), gain, v) == pytest.approx(g, rel=1e-12, abs=0)


def test_terminal_conductance__hand_figures():
    assert ideal_adaptive().terminal_conductance(2e-5, 0.25, 0.1) == pytest.approx(5e-6, rel=1e-15, abs=0)
    assert two_terminal().conductance(1.0, 3.0) == pytest.approx(1.0 / (1.0 / 50e-6 + 1e3) + 1e-9, rel=1e-14, abs=0)
    assert resistor().terminal_conductance(2e-5, 0.25, 0.1) == 2e-5


def test_conductance__is_current_over_voltage():
    w, v = np.linspace(0, 1, 5)[:, None], np.array([-0.2, 0.05, 0.1, 0.6])
    current, slope = CELL.current(w, 1.5, v)
    assert np.allclose(CELL.conductance(w, 1.5, v), current / v, rtol=1e-14, atol=0)
    assert np.allclose(CELL.conductance(w, 1.5), CELL.current(w, 1.5, 0.0)[1], rtol=1e-14, atol=0)
    assert current.shape == slope.shape == (5, 4)


def test_conductance__the_gate_multiplies_an_ideal_cell():
    cell = ideal_adaptive()
    w, v_gate = np.linspace(0, 1, 4)[:, None], np.linspace(-2, 4, 5)
    assert np.allclose(cell.conductance(w, v_gate, 0.1), cell.filament(w) * cell.gate_gain(v_gate), rtol=1e-14, atol=0)


def test_conductance__series_resistance_breaks_the_product_downwards():
    open_gate = CELL.terminal_conductance(50e-6, 1.0, 0.0) / 50e-6
    closed = CELL.terminal_conductance(50e-6, 0.01, 0.0) / 0.5e-6
    assert open_gate == pytest.approx(1 / 1.05 + 1e-9 / 50e-6, rel=1e-12, abs=0)
    assert closed == pytest.approx(1 / 1.0005 + 1e-9 / 0.5e-6, rel=1e-12, abs=0)


def test_two_terminal__the_gate_does_nothing():
    cell = two_terminal()
    w = np.linspace(0, 1, 7)
    assert np.array_equal(cell.conductance(w, -2.0, 0.1), cell.conductance(w, 4.0, 0.1))
    assert np.array_equal(cell.evolve(w, 0.5, -2.0, 1e-3), cell.evolve(w, 0.5, 4.0, 1e-3))
    assert cell.gain_low == cell.gain_high == 1.0


def test_resistor__currents_and_refusals():
    cell = Resistor(1e-6, 1e-5)
    current, slope = cell.current([0.0, 1.0], 0.0, [[0.1], [-0.2]])
    assert np.allclose(current, [[1e-7, 1e-6], [-2e-7, -2e-6]], rtol=1e-14, atol=0)
    assert np.allclose(slope, [[1e-6, 1e-5]] * 2, rtol=1e-14, atol=0)
    assert cell.gate_gain([0.0, 3.0]).tolist() == [1.0, 1.0]
    for call in (cell.gate_voltage, cell.fermi_energy):
        with pytest.raises(ParameterError, match=r"must not be given for a cell without a gate, got 0.5 for Resistor"):
            call(0.5)


@every_cell
def test_results__scalars_for_scalars_and_arrays_for_arrays(cell):
    for shape in ((), (3,), (2, 1, 3), (0, 4)):
        w = np.full(shape, 0.5)
        results = [
            cell.filament(w),
            cell.state(np.full(shape, 1e-5)),
            cell.conductance(w, 0.0, 0.1),
            *cell.current(w, 0.0, 0.1),
            cell.gate_gain(w),
            cell.terminal_conductance(np.full(shape, 1e-5), 0.5, 0.4),
            cell.filament_for(np.full(shape, 1e-5), 0.5, 0.4),
            cell.gain_with_offset(0.0, w),
        ]
        for result in results:
            assert result.shape == shape
            assert isinstance(result, np.ndarray if shape else np.float64)


@every_cell
def test_arguments__are_never_changed(cell):
    g, gain = np.full((2, 3), 1e-5), np.full((2, 3), 0.5)
    result = cell.terminal_conductance(g, gain, 0.1)
    result[:] = 0.0
    assert np.all(g == 1e-5)
    assert np.all(gain == 0.5)


def test_arguments__strides_and_order_do_not_matter():
    g = np.asfortranarray(np.linspace(1e-6, 5e-5, 12).reshape(3, 4))
    expected = [[CELL.terminal_conductance(x, 0.5, 0.1) for x in row] for row in g]
    assert np.allclose(CELL.terminal_conductance(g, 0.5, 0.1), expected, rtol=1e-15, atol=0)
    assert np.allclose(
        CELL.terminal_conductance(g[::-1, ::2], 0.5, 0.1), np.array(expected)[::-1, ::2], rtol=1e-15, atol=0
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.filament(1.2), r"w must lie in \[0, 1\], got 1.2"),
        (lambda c: c.filament([0.5, -0.1]), r"w must be ≥ 0 everywhere, got -0.1 at index \(1,\)"),
        (lambda c: c.conductance(math.nan, 0.0), "w must hold no nan"),
        (lambda c: c.conductance(0.5, math.inf), "v_gate must be finite, got inf"),
        (lambda c: c.current(0.5, 0.0, "x"), "v must be an array of real numbers"),
        (lambda c: c.state(-1e-6), "g_filament must be ≥ 0 everywhere, got -1e-06"),
        (lambda c: c.terminal_conductance(1e-5, -0.1, 0.1), "gain must be ≥ 0 everywhere, got -0.1"),
        (lambda c: c.terminal_conductance(-1e-5, 0.1, 0.1), "g_filament must be ≥ 0 everywhere, got -1e-05"),
        (
            lambda c: c.terminal_conductance([1e-5] * 3, [0.1] * 2, 0.1),
            r"g_filament and gain and v must have shapes that broadcast, got g_filament \(3,\), gain \(2,\), v \(\)",
        ),
        (lambda c: c.filament_for(1e-5, 0.0, 0.1), "gain must be > 0 everywhere, got 0"),
        (lambda c: c.filament_for(2e-3, 0.5, 0.1), "g_terminal must be ≥ g_leak = 1e-09 S and < 0.001 S, got 0.002 S"),
        (lambda c: c.filament_for(1e-10, 0.5, 0.1), "g_terminal must be ≥ g_leak = 1e-09 S"),
        (lambda c: c.evolve(0.5, 0.1, 0.0, -1.0), "dt must be ≥ 0 everywhere, got -1"),
        (lambda c: c.evolve(1.5, 0.1, 0.0, 1.0), r"w must lie in \[0, 1\], got 1.5"),
        (lambda c: c.evolve(0.5, 0.1, 0.0, 1.0, temperature=-3), "temperature must be > 0 K, got -3 K"),
        (lambda c: c.evolve(0.5, 0.1, 0.0, 1.0, largest_step=0), "largest_step must be > 0 and ≤ 0.5, got 0"),
    ],
)
def test_calls__refuse_in_one_sentence(call, message):
    with pytest.raises(ParameterError, match=message):
        call(CELL)


@pytest.mark.parametrize("kind", [AdaptiveMemristor, Resistor, StanfordPku])
def test_fields__nonsense_in_any_of_them_is_refused_by_name(kind):
    for field in dataclasses.fields(kind):
        for nonsense in (math.nan, -math.inf, "1", None, True, [1.0], 1j):
            with pytest.raises(ParameterError, match=f"^{field.name} must be "):
                kind(**{field.name: nonsense})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("g_min", 0, "g_min must be > 0 S, got 0 S"),
        ("g_min", 1e-4, "g_min must be < g_max = 5e-05 S, got 0.0001 S"),
        ("v_0", 0, "v_0 must be > 0 V, got 0 V"),
        ("r_series", -1, "r_series must be ≥ 0 Ω, got -1 Ω"),
        ("gain_min", 1.1, "gain_min must be ≥ 0 and ≤ 1, got 1.1"),
        ("n_0", 0, "n_0 must be > 0 1/m², got 0 1/m²"),
        ("v_gate_max", -2.0, "v_gate_min must be < v_gate_max = -2 V, got -2 V"),
        ("temperature", 0, "temperature must be > 0 K, got 0 K"),
        ("c_gate", math.inf, "c_gate must be finite, got inf F/m²"),
    ],
)
def test_fields__bounds(field, value, message):
    with pytest.raises(ParameterError) as caught:
        AdaptiveMemristor(**{field: value})
    assert str(caught.value) == message


def test_cells__are_frozen_and_hashable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CELL.g_min = 1.0
    assert len({AdaptiveMemristor(), AdaptiveMemristor(), AdaptiveMemristor(beta=0)}) == 2
    assert type(AdaptiveMemristor(r_series=500).r_series) is float
