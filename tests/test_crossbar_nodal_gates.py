"""Gate lines: dividers and ladders by hand, the reference solver, exact limits, every kind of group."""

from math import inf

import numpy as np
import pytest

from crossbar import GateLines, GateNetwork, Wires, gate_voltages, reference_gates
from crossbar.nodal.injection import inject
from crossbar.nodal.linear import solve
from devices.errors import ParameterError

WIRES = Wires(2.0, 3.0, 100.0, 50.0)


def test_gates__one_cell_is_a_divider():
    lines = GateLines("cell", r_segment=0.0, r_driver=1e6, g_gate_leak=1e-7)
    gates = gate_voltages(lines, np.array([[2.0]]), (1, 1))
    np.testing.assert_allclose(gates.v_gate, [[[2.0 / 1.1]]], rtol=1e-15)
    np.testing.assert_allclose(gates.currents, [[2.0 / 1.1e7]], rtol=1e-15)
    np.testing.assert_allclose(gates.power, [4.0 / 1.1e7], rtol=1e-15)


def test_gates__a_long_line_sags_as_a_cosh():
    """Continuum limit: a line that is open at its end has z = cosh(a (N - x)) / cosh(a N), a² = r l, here to N⁻¹."""
    count, r, leak = 4000, 1.0, 1e-7
    lines = GateLines("row", r_segment=r, r_driver=r / 2, g_gate_leak=leak)
    factor = GateNetwork(lines, (1, count)).factor[0]
    a, x = np.sqrt(r * leak), np.arange(count) + 0.5
    np.testing.assert_allclose(factor, np.cosh(a * (count - x)) / np.cosh(a * count), rtol=1e-7)


def random_lines(rng, m, n):
    """Any mixture of groups, directions, zeros and open ends."""
    pool, band = [0.0, 1.0, 300.0], [d for d in range(1, m + 1) if m % d == 0]
    leak = 10.0 ** rng.uniform(-8, -4, (m, n)) * (rng.random((m, n)) > rng.choice([0.0, 0.5]))
    words = [str(rng.choice(each)) for each in (["tile", "band", "row", "column", "cell"], ["rows", "columns"])]
    return GateLines(
        words[0], rng.choice(pool), rng.choice([*pool, inf]), rng.choice([*pool, inf]), rng.choice(pool), leak,
        along=words[1], leak_to=str(rng.choice(["row", "column"])), rows_per_band=int(rng.choice(band)),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_gates__with_the_columns_of_the_coupled_twin(seed):
    """At the column voltages of the reference solver, the gate network must give its gate voltages."""
    rng = np.random.default_rng(seed)
    m, n = rng.integers(1, 6, 2)
    lines = random_lines(rng, m, n)
    v, v_group = rng.uniform(-1, 1, (2, m)), rng.uniform(-2, 4, (2, lines.groups((m, n))))
    array, twin = reference_gates(10.0 ** rng.uniform(-6, -4, (m, n)), v, WIRES, lines, v_group)
    into = array.v_columns if lines.leak_to == "column" else array.v_rows
    gates = gate_voltages(lines, v_group, (m, n), v_leak=into)
    np.testing.assert_allclose(gates.v_gate, twin.v_gate, rtol=0, atol=1e-11)  # of volts; weak leaks lose four digits
    amperes = 1e-9 * np.abs(twin.leaks).max() + 1e-13 * np.max(lines.g_gate_leak)  # differences of volts lose digits
    np.testing.assert_allclose(gates.leaks, twin.leaks, rtol=0, atol=amperes)
    np.testing.assert_allclose(gates.currents, twin.currents, rtol=0, atol=amperes * m * n)
    np.testing.assert_allclose(gates.power, twin.power, rtol=0, atol=4 * amperes * m * n)
    assert array.residual < 1e-9


def test_gates__first_order_against_coupled_and_back(rng):
    """The error of columns at 0 V is a small part of the sag; passing voltages and leaks on removes it."""
    m, n = 8, 6
    g = rng.uniform(1e-6, 2e-5, (m, n))
    wires, v, v_group = Wires(2.0, 6.0, 100.0, 100.0), np.full((1, m), 0.1), np.array([[2.0]])
    lines = GateLines("tile", 50.0, 1e4, r_spine=50.0, g_gate_leak=1e-7)
    array, twin = reference_gates(g, v, wires, lines, v_group)
    plain = solve(g, v, wires)
    first = gate_voltages(lines, v_group, (m, n))
    second = gate_voltages(lines, v_group, (m, n), v_leak=plain.v_columns)
    sag = (2.0 - twin.v_gate).max()
    errors = [np.abs(each.v_gate - twin.v_gate).max() / sag for each in (first, second)]
    assert 1e-6 < errors[0] < 0.02
    assert errors[1] < 0.3 * errors[0]
    full = array.currents.max()
    added = inject(g, wires, np.zeros((1, m, n)), second.leaks)
    errors = [
        np.abs(currents - array.currents).max() / full
        for currents in (plain.currents, plain.currents + first.leaks.sum(1), plain.currents + added.currents)
    ]
    assert errors[0] > 5 * errors[1] > 5 * 5 * errors[2]


@pytest.mark.parametrize("group", ["tile", "band", "row", "column", "cell"])
def test_gates__zero_resistance_is_the_driver_and_open_is_nothing(group):
    lines = GateLines(group, 0.0, 0.0, g_gate_leak=1e-6, rows_per_band=2)
    v = np.arange(1.0, 1.0 + lines.groups((4, 3)))[None]
    gates = gate_voltages(lines, v, (4, 3))
    np.testing.assert_array_equal(gates.v_gate, GateNetwork(lines, (4, 3)).spread(v))
    np.testing.assert_allclose(gates.currents, v * 1e-6 * (12 // v.size), rtol=1e-15)
    unconnected = gate_voltages(GateLines(group, 1.0, inf, g_gate_leak=1e-6, rows_per_band=2), v, (4, 3))
    assert not unconnected.v_gate.any()
    assert not unconnected.currents.any()
    no_leak = gate_voltages(GateLines(group, 9.0, 5.0, r_spine=7.0, rows_per_band=2), v, (4, 3))
    np.testing.assert_allclose(no_leak.v_gate, gates.v_gate, rtol=1e-14)


def test_gates__voltages_stand_where_their_group_is():
    v = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    by_row = gate_voltages(GateLines("row", 1.0, 1.0), v, (6, 2)).v_gate[0]
    by_column = gate_voltages(GateLines("column", 1.0, 1.0), v, (2, 6)).v_gate[0]
    by_band = gate_voltages(GateLines("band", 1.0, 1.0, along="columns", rows_per_band=2), v[:, :3], (6, 2)).v_gate[0]
    by_cell = gate_voltages(GateLines("cell", 1.0, 1.0), v, (2, 3)).v_gate[0]
    np.testing.assert_allclose(by_row, v[0][:, None] * np.ones(2), rtol=1e-15)
    np.testing.assert_allclose(by_column, np.ones((2, 1)) * v[0], rtol=1e-15)
    np.testing.assert_allclose(by_band, np.repeat([1.0, 2.0, 3.0], 2)[:, None] * np.ones(2), rtol=1e-15)
    np.testing.assert_allclose(by_cell, v.reshape(2, 3), rtol=1e-15)


def test_gates__a_shorted_gate_pulls_its_line_down():
    leak = np.zeros((4, 5))
    leak[2, 3] = 1e-3
    factor = GateNetwork(GateLines("row", 10.0, 100.0, g_gate_leak=leak), (4, 5)).factor
    np.testing.assert_allclose(factor[[0, 1, 3]], 1.0, rtol=1e-15)
    np.testing.assert_allclose(factor[2, 3:], 1.0 / (1.0 + 130e-3), rtol=1e-14)
    np.testing.assert_allclose(factor[2, 0], 1.0 - 100.0 / 130.0 * (1.0 - factor[2, 3]), rtol=1e-14)


def test_gates__transposing_the_array_turns_the_lines(rng):
    leak = rng.uniform(0, 1e-5, (5, 3))
    one = GateNetwork(GateLines("tile", 20.0, 50.0, 70.0, 9.0, leak, along="rows"), (5, 3)).factor
    other = GateNetwork(GateLines("tile", 20.0, 50.0, 70.0, 9.0, leak.T, along="columns"), (3, 5)).factor
    np.testing.assert_allclose(one, other.T, rtol=1e-14)


def test_gates__bad_input():
    with pytest.raises(ParameterError, match="group must be one of tile, band, row, column, cell, got 'layer'"):
        GateLines("layer", 1.0, 1.0)
    with pytest.raises(ParameterError, match="r_segment must be finite"):
        GateLines("tile", inf, 1.0)
    with pytest.raises(ParameterError, match="r_spine must be ≥ 0 Ω, got -1 Ω"):
        GateLines("tile", 1.0, 1.0, r_spine=-1.0)
    with pytest.raises(ParameterError, match="bands of 2 rows do not divide an array of 5 rows"):
        gate_voltages(GateLines("band", 1.0, 1.0, rows_per_band=2), np.ones((1, 2)), (5, 3))
    with pytest.raises(ParameterError, match=r"v_gate must have shape \(any, 3\), got \(1, 2\)"):
        gate_voltages(GateLines("row", 1.0, 1.0), np.ones((1, 2)), (3, 3))
    with pytest.raises(ParameterError, match=r"g_gate_leak has shape \(2, 2\), but the array has shape \(3, 3\)"):
        gate_voltages(GateLines("row", 1.0, 1.0, g_gate_leak=np.ones((2, 2))), np.ones((1, 3)), (3, 3))
    with pytest.raises(ParameterError, match="v_leak must be one value or broadcast to"):
        gate_voltages(GateLines("tile", 1.0, 1.0), np.ones((2, 1)), (3, 3), v_leak=np.ones((3, 3, 3)))
