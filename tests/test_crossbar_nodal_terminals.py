"""Terminal voltages in every solver: half-selected and floating lines, both ends connected, shorted cells."""

import shutil
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import Array, Wires, reference_solve, run_ngspice, solve, to_spice, transfer_matrix
from crossbar.nodal.linear import residual
from devices import AdaptiveMemristor, Resistor
from devices.errors import ParameterError

live = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")

# Of the input's largest current: node voltages are known to 1e-14 of the largest terminal voltage, and drops of 1 %
# of it make the currents.
AGREES = 1e-11
CELL = AdaptiveMemristor()


def newton(g, v, wires, *, v_sense=0.0):
    """The same linear array as one of Resistor cells, by Newton."""
    return solve(Array(Resistor(), g), v, wires, v_sense=v_sense, tolerance=1e-13)


SOLVERS = {"linear": solve, "newton": newton, "twin": reference_solve}
every = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)


@st.composite
def circuits(draw):
    """Arrays with open cells, segments of 0 to 30 ohm, ends of 0 to 1 kohm or open, and voltages at both terminals."""
    m, n = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = 10.0 ** rng.uniform(-7.0, -3.0, (m, n))
    g[rng.random((m, n)) < draw(st.sampled_from([0.0, 0.3]))] = 0.0
    v, u = rng.uniform(-1.0, 1.0, (2, m)), rng.uniform(-1.0, 1.0, (2, n))
    pool = draw(st.sampled_from([[0.0], [1.0, 100.0], [0.0, 10.0, 1e3], [10.0, inf]]))
    segments = [draw(st.sampled_from([0.0, 1.0, 30.0])) for _ in range(2)]
    ends = [rng.choice(pool, count) for count in (m, n, m, n)]
    return g, v, Wires(*segments, ends[0], ends[1], r_driver_far=ends[2], r_sense_far=ends[3]), u


def sane(rng, m=9, n=7, b=2):
    return 10.0 ** rng.uniform(-6.0, -4.0, (m, n)), rng.uniform(-1.0, 1.0, (b, m)), Wires(1.0, 2.0, 50.0, 10.0)


def half_select(m, n, row, column, volts, part):
    """Terminal voltages (1, m), (1, n) [V] that write cell (row, column): others see at most `part` of `volts`."""
    v, u = np.full((1, m), part * volts), np.full((1, n), (1.0 - part) * volts)
    v[0, row], u[0, column] = volts, 0.0
    return v, u


# ---- columns at a voltage ----


@every
@pytest.mark.parametrize("part", [1 / 2, 1 / 3])
def test_half_select__without_wires_each_cell_sees_its_share(solver, part):
    """V/2: selected lines' cells see V/2, all others nothing; V/3: every other cell sees V/3 one way or the other."""
    g = np.full((4, 3), 1e-5)
    v, u = half_select(4, 3, 1, 2, 3.0, part)
    solution = solver(g, v, Wires(0, 0, 0, 0), v_sense=u)
    drops = (solution.v_rows - solution.v_columns)[0]
    share = np.full((4, 3), 0.0 if part == 1 / 2 else -1.0)  # volts: 3 V times 1 - 2/3
    share[1], share[:, 2] = 3.0 * part, 3.0 * part
    share[1, 2] = 3.0
    np.testing.assert_allclose(drops, share, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(solution.currents[0], 1e-5 * share.sum(0), rtol=1e-14, atol=1e-20)
    np.testing.assert_allclose(solution.power, [1e-5 * (share**2).sum()], rtol=1e-14)


@pytest.mark.parametrize("solver", [solve, newton], ids=["linear", "newton"])
@settings(max_examples=40)
@given(circuits())
def test_voltages_at_both_terminals__are_the_twins(solver, circuit):
    g, v, wires, u = circuit
    found, twin = solver(g, v, wires, v_sense=u), reference_solve(g, v, wires, v_sense=u)
    np.testing.assert_allclose(found.v_rows, twin.v_rows, rtol=0.0, atol=1e-10)
    np.testing.assert_allclose(found.v_columns, twin.v_columns, rtol=0.0, atol=1e-10)
    floor = 1e-15 * g.max(initial=0.0)  # rounding of 1 V across the strongest cell
    assert np.all(np.abs(found.currents - twin.currents) <= AGREES * np.abs(twin.currents).max(1)[:, None] + floor)
    np.testing.assert_allclose(found.power, twin.power, rtol=1e-10, atol=max(floor, 1e-30))


@every
@pytest.mark.parametrize("r_sense", [0.0, 10.0, 1e5])
def test_column_at_a_voltage__by_hand(solver, r_sense):
    """Two cells of 1 kΩ side by side, 0.6 V between sources and the column's end, whichever conducts less."""
    solution = solver(np.full((2, 1), 1e-3), np.ones((1, 2)), Wires(0, 0, 0, r_sense), v_sense=0.4)
    np.testing.assert_allclose(solution.currents, [[0.6 / (500.0 + r_sense)]], rtol=1e-12)
    np.testing.assert_allclose(solution.power, 0.6 * solution.currents[0], rtol=1e-12)


@every
def test_sense_voltages__one_value_one_line_or_one_per_input_are_the_same(rng, solver):
    g, v, wires = sane(rng)
    once = solver(g, v, wires, v_sense=0.3)
    for u in (np.full((1, 7), 0.3), np.full((2, 1), 0.3), np.full((2, 7), 0.3)):
        np.testing.assert_array_equal(solver(g, v, wires, v_sense=u).currents, once.currents)
    np.testing.assert_array_equal(solver(g, v, wires, v_sense=0.0).currents, solver(g, v, wires).currents)


@every
def test_common_voltage__moves_no_current(rng, solver):
    g, v, wires = sane(rng)
    u = rng.uniform(-1.0, 1.0, (2, 7))
    plain, raised = solver(g, v, wires, v_sense=u), solver(g, v + 2.0, wires, v_sense=u + 2.0)
    np.testing.assert_allclose(raised.v_columns, plain.v_columns + 2.0, rtol=1e-12)
    largest = np.abs(plain.currents).max()
    np.testing.assert_allclose(raised.currents, plain.currents, rtol=0.0, atol=1e-11 * largest)
    np.testing.assert_allclose(raised.power, plain.power, rtol=1e-10)


@every
def test_superposition__rows_and_columns_add(rng, solver):
    g, v, wires = sane(rng)
    u = rng.uniform(-1.0, 1.0, (2, 7))
    both = solver(g, v, wires, v_sense=u).currents
    rows, columns = solver(g, v, wires).currents, solver(g, 0.0 * v, wires, v_sense=u).currents
    np.testing.assert_allclose(both, rows + columns, rtol=0.0, atol=1e-11 * np.abs(both).max())
    np.testing.assert_allclose(rows, v @ transfer_matrix(g, wires), rtol=0.0, atol=1e-11 * np.abs(rows).max())


@every
def test_reciprocity__columns_take_from_each_other_alike(rng, solver):
    """What column j takes while column k alone is at 1 V is what k takes while j is, and no column gives back more."""
    g, _, wires = sane(rng)
    taken = solver(g, np.zeros((7, 9)), wires, v_sense=np.eye(7)).currents
    np.testing.assert_allclose(taken, taken.T, rtol=1e-9)
    assert np.all(taken - np.diag(np.diagonal(taken)) >= 0.0)
    assert np.all(taken.sum(1) < 0.0)  # the column at 1 V sends out more than the other columns get: rows take some


@every
def test_power__of_all_terminals_turns_into_heat(rng, solver):
    g, v, wires = sane(rng)
    u = rng.uniform(-1.0, 1.0, (2, 7))
    solution = solver(g, v, wires, v_sense=u)
    delivered = (v - solution.v_rows[:, :, 0]) / wires.r_driver
    np.testing.assert_allclose((v * delivered).sum(1) - (u * solution.currents).sum(1), solution.power, rtol=1e-10)


def test_residual__counts_the_sense_voltages(rng):
    g, v, wires = sane(rng)
    u = rng.uniform(-1.0, 1.0, (2, 7))
    solution = solve(g, v, wires, v_sense=u)
    assert solution.residual < 1e-11
    assert residual(g, v, wires, solution.v_rows, solution.v_columns, u) == solution.residual
    assert residual(g, v, wires, solution.v_rows, solution.v_columns) > 1e-3


@pytest.mark.parametrize("part", [1 / 2, 1 / 3])
def test_half_select__of_gated_cells_is_the_twins_at_their_secants(rng, part):
    """Writing at 1.5 V through real wires: at the solution each cell is a resistor I/V."""
    cells = Array(CELL, CELL.filament(rng.random((6, 5))), rng.normal(0.0, 0.05, (6, 5)))
    wires, v_gate = Wires(5.0, 8.0, 100.0, 30.0), rng.uniform(0.0, 4.0, (6, 5))
    v, u = half_select(6, 5, 4, 1, 1.5, part)
    solution = solve(cells, v, wires, v_gate=v_gate, v_sense=u, tolerance=1e-13)
    drops = solution.v_rows - solution.v_columns
    secants = CELL.terminal_conductance(cells.g_filament, cells.gain(v_gate)[0], drops[0])
    twin = reference_solve(secants, v, wires, v_sense=u)
    np.testing.assert_allclose(solution.v_columns, twin.v_columns, rtol=0.0, atol=1e-10)
    np.testing.assert_allclose(solution.currents, twin.currents, rtol=0.0, atol=1e-9 * np.abs(twin.currents).max())
    np.testing.assert_allclose(solution.power, twin.power, rtol=1e-9)
    assert 0.9 * 1.5 < drops[0, 4, 1] < 1.5
    others = np.abs(np.delete(drops.ravel(), 4 * 5 + 1))
    assert others.max() <= part * 1.5 * 1.1  # half-selected lines sag as well


@live
@pytest.mark.parametrize("part", [1 / 2, 1 / 3])
@pytest.mark.parametrize("linear", [True, False], ids=["linear", "gated"])
def test_ngspice__half_selected_lines(rng, tmp_path, linear, part):
    m, n = 7, 6
    g = CELL.filament(rng.random((m, n)))
    g[2, 3] = 0.0
    wires = Wires(3.0, 4.0, rng.choice([0.0, 20.0, inf], m), rng.choice([0.0, 20.0], n), r_sense_far=5.0)
    v, u = half_select(m, n, 5, 2, 1.2, part)
    circuit, gates = (g, {}) if linear else (Array(CELL, g, rng.normal(0.0, 0.05, (m, n))), {"v_gate": 2.0})
    to_spice(circuit, v, wires, tmp_path / "half.cir", v_sense=u, **gates)
    found = solve(circuit, v, wires, v_sense=u, **gates).currents
    expected = run_ngspice(tmp_path / "half.cir")
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=(1e-10 if linear else 1e-9) * np.abs(expected).max())
    if linear:
        twin = reference_solve(circuit, v, wires, v_sense=u).currents
        np.testing.assert_allclose(twin, expected, rtol=0.0, atol=1e-10 * np.abs(expected).max())


def test_netlist__ammeters_hold_the_columns_voltages(tmp_path):
    to_spice(np.ones((2, 2)), np.ones(2), Wires(1, 1, 1, 1), tmp_path / "a.cir", v_sense=np.array([[0.25, 0.0]]))
    lines = (tmp_path / "a.cir").read_text().splitlines()
    assert "Vsense_0 t_0 0 DC 0.25" in lines
    assert "Vsense_1 t_1 0 DC 0" in lines


# ---- floating lines, both ends ----


@every
def test_floating_lines__find_the_voltage_that_takes_no_current(rng, solver):
    """A floating column reads as an open circuit: the mean of its row nodes, weighted with its cells, if its wire has
    no resistance.
    """
    g, v, _ = sane(rng)
    sense = np.full(7, 10.0)
    sense[3] = inf
    u = np.full((1, 7), 0.2)
    u[0, 3] = 55.0  # what stands behind an open end does not matter
    solution = solver(g, v, Wires(1.0, 0.0, 5.0, sense), v_sense=u)
    assert np.all(np.abs(solution.currents[:, 3]) <= 1e-12 * np.abs(solution.currents).max())
    mean = (g[:, 3] * solution.v_rows[:, :, 3]).sum(1) / g[:, 3].sum()
    np.testing.assert_allclose(solution.v_columns[:, 0, 3], mean, rtol=1e-9)


@every
def test_both_ends__of_rows_and_columns_halve_the_path(rng, solver):
    """Mirror symmetry: equal cells driven and sensed alike at both ends; one end alone delivers less."""
    g, v, u = np.full((6, 5), 1e-3), np.full((1, 6), 1.0), np.full((1, 5), -0.5)
    both = solver(g, v, Wires(3.0, 4.0, 2.0, 5.0, r_driver_far=2.0, r_sense_far=5.0), v_sense=u)
    np.testing.assert_allclose(both.currents, both.currents[:, ::-1], rtol=1e-11)
    np.testing.assert_allclose(both.v_columns, both.v_columns[:, ::-1], rtol=1e-11)
    one = solver(g, v, Wires(3.0, 4.0, 2.0, 5.0), v_sense=u)
    assert np.all(one.currents < both.currents)
    assert np.all(both.currents < 1.5 * g.sum(0))


# ---- shorted cells ----


@pytest.mark.parametrize("r_end", [10.0, 1e6])
@pytest.mark.parametrize("siemens", [1.0, 1e3, 1e6])
def test_shorted_cells__are_finite_and_exact(rng, siemens, r_end):
    """Cells of 1 Ω down to 1 µΩ among cells of 1 to 100 µS: rows and columns that touch are one node to all solvers."""
    g, v, _ = sane(rng)
    g[2, 3] = g[5, 3] = g[2, 6] = siemens
    u = rng.uniform(-1.0, 1.0, (2, 7))
    for wires in (Wires(1, 1, r_end, r_end), Wires(0, 1, r_end, 0), Wires(1, 0, 0, r_end)):
        twin = reference_solve(g, v, wires, v_sense=u)
        largest = np.abs(twin.currents).max(1)[:, None]
        for solver in (solve, newton):
            found = solver(g, v, wires, v_sense=u)
            np.testing.assert_allclose(found.v_rows, twin.v_rows, rtol=0.0, atol=1e-10)
            assert np.all(np.abs(found.currents - twin.currents) <= 1e-10 * largest)
            np.testing.assert_allclose(found.power, twin.power, rtol=1e-10)
        transfer = transfer_matrix(g, wires)
        plain = reference_solve(g, v, wires).currents
        np.testing.assert_allclose(v @ transfer, plain, rtol=0.0, atol=1e-10 * np.abs(plain).max())


@pytest.mark.parametrize("r_end", [1e6, 1e9])
def test_isolated_cluster__keeps_its_digits(rng, r_end):
    """Strong cells behind weak ends: what an end carries off is far less than rounding in a cell."""
    g, v, _ = sane(rng)
    g = 1e3 * g
    wires = Wires(1.0, 2.0, r_end, r_end)
    twin, found = reference_solve(g, v, wires, v_sense=0.1), solve(g, v, wires, v_sense=0.1)
    np.testing.assert_allclose(found.v_columns, twin.v_columns, rtol=0.0, atol=1e-12)
    largest = np.abs(twin.currents).max(1)[:, None]
    assert np.all(np.abs(found.currents - twin.currents) <= 1e-11 * largest)


@every
def test_shorted_cells__infinite_ones_are_refused(solver):
    """Two sources would be shorted together; a real short has the resistance of its contacts."""
    g = np.array([[1e-5, inf]])
    with pytest.raises(ParameterError, match=r"(g|g_filament) must be finite, got inf at index \(0, 1\)"):
        solver(g, np.ones((1, 1)), Wires(1, 1, 1, 1))


@every
@pytest.mark.parametrize(
    ("u", "words"),
    [
        (np.ones(7), r"v_sense must be one value or broadcast to \(b, n\) = \(2, 7\), got shape \(7,\)"),
        (np.ones((3, 7)), r"v_sense must be one value or broadcast to \(b, n\) = \(2, 7\), got shape \(3, 7\)"),
        (np.nan, "v_sense must hold no nan"),
        (np.full((2, 7), inf), "v_sense must be finite"),
        ("1 V", "v_sense must be an array of real numbers"),
    ],
)
def test_sense_voltages__bad_values_are_refused(rng, solver, u, words):
    g, v, wires = sane(rng)
    with pytest.raises(ParameterError, match=words):
        solver(g, v, wires, v_sense=u)
