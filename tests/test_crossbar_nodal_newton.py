"""Newton's method on gated arrays: limits, Kirchhoff's laws, reference solvers, ngspice, convergence, refusals."""

import json
import runpy
import shutil
from itertools import pairwise
from math import inf
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import Array, Wires, reference_solve, run_ngspice, solve, to_spice
from crossbar.nodal.newton import solve_array
from devices import AdaptiveMemristor, Resistor
from devices.errors import ConvergenceError, ParameterError
from devices.numerics import worker_threads

live = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")

CELL = AdaptiveMemristor()
READ = 0.2  # [V]
STORED = sorted((Path(__file__).parent / "data").glob("ngspice_nonlinear_*/"))


def some(rng, m=7, n=5, b=3, volts=READ, cell=CELL):
    """An array with offsets, inputs, wires that matter, and gates of all openings."""
    cells = Array(cell, cell.filament(rng.random((m, n))), rng.normal(0.0, 0.05, (m, n)))
    return cells, rng.uniform(-volts, volts, (b, m)), Wires(5.0, 8.0, 100.0, 30.0), rng.uniform(-2.0, 4.0, (m, n))


def secants(cells, v_gate, solution):
    """Conductances (b, m, n) of the cells at the voltages that they have in a solution, by the cell's own secant."""
    drops = solution.v_rows - solution.v_columns
    return cells.cell.terminal_conductance(cells.g_filament, cells.gain(v_gate, len(drops)), drops)


def textbook(cells, v, wires, v_gate):
    """Column currents (n,) by dense Newton on every node of the circuit, the nodes inside the cells among them.

    Written out with sinh and a resistor per cell: no kernel of ours but the read gain.  For finite, nonzero wires.
    """
    law, (m, n) = cells.cell.law, cells.shape
    barrier = cells.gain(v_gate)[0] * cells.g_filament
    row, column, inner = (np.arange(m * n).reshape(m, n) + k * m * n for k in range(3))
    count = 3 * m * n
    conductances, injected = np.zeros((count, count)), np.zeros(count)

    def join(a, b, siemens):
        for p, q in ((a, b), (b, a)):
            np.add.at(conductances, (p.ravel(), p.ravel()), siemens)
            np.subtract.at(conductances, (p.ravel(), q.ravel()), siemens)

    join(row[:, 1:], row[:, :-1], 1 / wires.r_row)
    join(column[1:], column[:-1], 1 / wires.r_column)
    join(inner, column, 1 / law.r_series)
    join(row, column, law.g_leak)
    conductances[row[:, 0], row[:, 0]] += 1 / wires.r_driver
    conductances[column[-1], column[-1]] += 1 / wires.r_sense
    injected[row[:, 0]] = v / wires.r_driver
    a, b, g = row.ravel(), inner.ravel(), barrier.ravel()
    x = np.zeros(count)
    for _ in range(400):
        u = (x[a] - x[b]) / law.v_0
        left = injected - conductances @ x
        jacobian = conductances.copy()
        slope = g * np.cosh(u)
        np.subtract.at(left, a, g * law.v_0 * np.sinh(u))
        np.add.at(left, b, g * law.v_0 * np.sinh(u))
        for p, q in ((a, b), (b, a)):
            np.add.at(jacobian, (p, p), slope)
            np.subtract.at(jacobian, (p, q), slope)
        step = np.linalg.solve(jacobian, left)
        x += step * min(1.0, law.v_0 / np.abs(step).max())
        if np.abs(step).max() < 1e-14:
            return x[column[-1]] / wires.r_sense
    raise AssertionError("the oracle did not converge")


@st.composite
def circuits(draw):
    """Gated arrays with 0 and open wires and ends, some cells without filament, up to 10 times the read voltage."""
    m, n = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = CELL.filament(rng.random((m, n)))
    g[rng.random((m, n)) < draw(st.sampled_from([0.0, 0.3]))] = 0.0
    v = rng.uniform(-1.0, 1.0, (2, m)) * draw(st.sampled_from([1e-3, READ, 10 * READ]))
    pool = draw(st.sampled_from([[0.0], [1.0, 100.0], [0.0, 10.0, 1e3], [10.0, inf]]))
    segments = [draw(st.sampled_from([0.0, 1.0, 30.0])) for _ in range(2)]
    ends = [rng.choice(pool, count) for count in (m, n, m, n)]
    if draw(st.booleans()):
        ends[2], ends[3] = inf, inf
    wires = Wires(*segments, ends[0], ends[1], r_driver_far=ends[2], r_sense_far=ends[3])
    return Array(CELL, g, rng.normal(0.0, 0.05, (m, n))), v, wires, rng.uniform(-2.0, 4.0, (2, m, n))


# ---- limits ----


def test_resistors__are_the_linear_array(rng):
    g, v, wires = rng.uniform(1e-6, 1e-4, (7, 5)), rng.uniform(-1.0, 1.0, (3, 7)), Wires(1.0, 2.0, 50.0, 10.0)
    nonlinear, linear = solve(Array(Resistor(), g), v, wires, tolerance=1e-12), solve(g, v, wires)
    np.testing.assert_allclose(nonlinear.currents, linear.currents, rtol=1e-10)
    np.testing.assert_allclose(nonlinear.v_columns, linear.v_columns, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(nonlinear.power, linear.power, rtol=1e-11)
    assert nonlinear.history.shape == (3, nonlinear.steps + 1)
    assert linear.history is None


def test_small_voltages__are_the_linear_array_of_the_slopes(rng):
    cells, v, wires, v_gate = some(rng, volts=1e-6)
    slopes = CELL.terminal_conductance(cells.g_filament, cells.gain(v_gate)[0], 0.0)
    np.testing.assert_allclose(
        solve(cells, v, wires, v_gate=v_gate).currents, solve(slopes, v, wires).currents, rtol=1e-8
    )


def test_without_wires__each_cell_sees_its_source(rng):
    cells, v, _, v_gate = some(rng)
    current, _ = CELL.current(CELL.state(cells.g_filament), v_gate - cells.gate_offset, v[:, :, None])
    alone = solve(cells, v, Wires(0, 0, 0, 0), v_gate=v_gate)
    np.testing.assert_allclose(alone.currents, current.sum(1), rtol=1e-12)
    np.testing.assert_allclose(alone.power, (v[:, :, None] * current).sum((1, 2)), rtol=1e-12)
    assert alone.residual == 0.0


def test_straight_cells__need_one_linear_solve(rng):
    """V0 = inf: gain and series resistance make a resistor."""
    cell = AdaptiveMemristor(v_0=inf)
    cells, v, wires, v_gate = some(rng, cell=cell)
    g = cell.terminal_conductance(cells.g_filament, cells.gain(v_gate)[0], READ)
    straight = solve(cells, v, wires, v_gate=v_gate)
    np.testing.assert_allclose(straight.currents, solve(g, v, wires).currents, rtol=1e-8)


def test_closed_gate__leaves_the_leak(rng):
    cell = AdaptiveMemristor(gain_min=0.0)
    cells, v, wires, _ = some(rng, cell=cell)
    leak = solve(np.full(cells.shape, cell.g_leak), v, wires)
    for closed, v_gate in ((cells, -1000.0), (Array(cell, np.zeros(cells.shape)), 4.0)):
        solution = solve(closed, v, wires, v_gate=v_gate)
        np.testing.assert_allclose(solution.currents, leak.currents, rtol=1e-7)
        np.testing.assert_allclose(solution.power, leak.power, rtol=1e-7)


# ---- oracles ----


@settings(max_examples=60)
@given(circuits())
def test_solution__is_the_linear_twins_at_the_cells_secants(circuit):
    """With each cell replaced by its secant conductance, the linear reference solver must find the same voltages."""
    cells, v, wires, v_gate = circuit
    solution = solve(cells, v, wires, v_gate=v_gate, tolerance=1e-13)
    conductances = secants(cells, v_gate, solution)
    for k in range(len(v)):
        twin = reference_solve(conductances[k], v[k : k + 1], wires)
        scale = np.abs(v[k]).max()
        np.testing.assert_allclose(solution.v_rows[k], twin.v_rows[0], rtol=0.0, atol=1e-10 * scale)
        np.testing.assert_allclose(solution.v_columns[k], twin.v_columns[0], rtol=0.0, atol=1e-10 * scale)
        largest = np.abs(twin.currents).max() + 1e-15 * scale * conductances[k].max()
        np.testing.assert_allclose(solution.currents[k], twin.currents[0], rtol=0.0, atol=1e-9 * largest)
        np.testing.assert_allclose(solution.power[k], twin.power[0], rtol=1e-9, atol=1e-15 * largest * scale)


@pytest.mark.parametrize("volts", [READ, 10 * READ])
@pytest.mark.parametrize("cell", [CELL, AdaptiveMemristor(v_0=0.05, r_series=20.0)], ids=["default", "steep"])
def test_currents__are_those_of_a_dense_newton_on_all_nodes(rng, volts, cell):
    cells, v, wires, v_gate = some(rng, 5, 4, 3, volts, cell)
    found = solve(cells, v, wires, v_gate=v_gate).currents
    for k in range(len(v)):
        expected = textbook(cells, v[k], wires, v_gate)
        np.testing.assert_allclose(found[k], expected, rtol=0.0, atol=1e-9 * np.abs(expected).max())


# ---- laws of the circuit ----


@pytest.mark.parametrize("volts", [READ, 10 * READ])
def test_kirchhoff__holds_at_every_node_and_is_reported(rng, volts):
    cells, v, wires, v_gate = some(rng, 40, 24, 1, volts)
    solution = solve(cells, v, wires, v_gate=v_gate)
    x, y = solution.v_rows[0], solution.v_columns[0]
    along_rows, along_columns = -np.diff(x, axis=1) / wires.r_row, -np.diff(y, axis=0) / wires.r_column
    current = secants(cells, v_gate, solution)[0] * (x - y)
    into_rows, into_columns = -current, current.copy()
    into_rows[:, :-1] -= along_rows
    into_rows[:, 1:] += along_rows
    into_rows[:, 0] += (v[0] - x[:, 0]) / wires.r_driver
    into_columns[:-1] -= along_columns
    into_columns[1:] += along_columns
    into_columns[-1] -= y[-1] / wires.r_sense
    most = max(np.abs(each).max() for each in (current, along_rows, along_columns))
    left = max(np.abs(into_rows).max(), np.abs(into_columns).max()) / most
    assert left <= 1e-9
    np.testing.assert_allclose(solution.residual, left, rtol=0.3, atol=1e-13)
    np.testing.assert_allclose(solution.residual, np.nanmin(solution.history), rtol=0.3, atol=1e-13)


def test_power__is_what_the_sources_deliver(rng):
    cells, v, wires, v_gate = some(rng, volts=1.0)
    solution = solve(cells, v, wires, v_gate=v_gate)
    delivered = (v - solution.v_rows[:, :, 0]) / wires.r_driver
    np.testing.assert_allclose(solution.power, (v * delivered).sum(1), rtol=1e-9)


def test_signs__turn_together(rng):
    cells, v, wires, v_gate = some(rng, volts=1.0)
    there, back = solve(cells, v, wires, v_gate=v_gate), solve(cells, -v, wires, v_gate=v_gate)
    np.testing.assert_array_equal(there.currents, -back.currents)
    np.testing.assert_array_equal(there.power, back.power)


def test_mirror__driven_from_the_other_side(rng):
    cells, v, wires, v_gate = some(rng, volts=1.0)
    mirrored = Array(CELL, cells.g_filament[:, ::-1], cells.gate_offset[:, ::-1])
    other = Wires(wires.r_row, wires.r_column, inf, wires.r_sense, r_driver_far=wires.r_driver)
    np.testing.assert_allclose(
        solve(mirrored, v, other, v_gate=v_gate[:, ::-1]).currents[:, ::-1],
        solve(cells, v, wires, v_gate=v_gate).currents,
        rtol=1e-8,
    )


def test_floating_columns__deliver_exactly_nothing(rng):
    cells, v, _, v_gate = some(rng)
    solution = solve(cells, v, Wires(1.0, 1.0, 50.0, [10.0, inf, 10.0, 10.0, inf]), v_gate=v_gate)
    assert not solution.currents[:, [1, 4]].any()
    assert solution.currents[:, [0, 2, 3]].all()


# ---- gates ----


def test_gates__one_value_per_cell_or_per_input_are_the_same(rng):
    cells, v, wires, _ = some(rng)
    once = solve(cells, v, wires, v_gate=1.3)
    for v_gate in (np.full((7, 5), 1.3), np.full((7, 1), 1.3), np.full((3, 1, 1), 1.3), np.full((3, 7, 5), 1.3)):
        np.testing.assert_array_equal(solve(cells, v, wires, v_gate=v_gate).currents, once.currents)


def test_gates__of_each_input_are_its_own(rng):
    cells, v, wires, _ = some(rng)
    volts = np.array([-1.0, 1.0, 3.0])
    together = solve(cells, v, wires, v_gate=volts[:, None, None])
    for k, volt in enumerate(volts):
        np.testing.assert_array_equal(together.currents[k], solve(cells, v[k : k + 1], wires, v_gate=volt).currents[0])


def test_offsets__shift_the_gate(rng):
    cells, v, wires, v_gate = some(rng)
    shifted = Array(CELL, cells.g_filament, 0.3)
    np.testing.assert_allclose(
        solve(shifted, v, wires, v_gate=v_gate + 0.3).currents,
        solve(Array(CELL, cells.g_filament), v, wires, v_gate=v_gate).currents,
        rtol=1e-12,
    )


# ---- convergence ----


def test_history__digits_double(rng):
    """Quadratic convergence: from 1e-3 on, each step squares the residual but for a constant, down to rounding."""
    cells, v, _, v_gate = some(rng, 12, 12, 4, 10 * READ)
    solution = solve(cells, v, Wires(50.0, 50.0, 500.0, 500.0), v_gate=v_gate, tolerance=1e-13)
    squares = 0
    for history in solution.history:
        for before, after in pairwise(history):
            if 1e-6 < before < 1e-3 and np.isfinite(after):
                assert after <= 100.0 * before**2
                squares += 1
    assert squares >= 4


def test_steps__never_many(rng):
    """100 gated arrays of many shapes, curvatures and wires, up to 10 times the read voltage."""
    most = 0
    for _ in range(100):
        m, n = rng.integers(1, 17, 2)
        cell = AdaptiveMemristor(
            v_0=10.0 ** rng.uniform(-1.3, 0.0), r_series=rng.choice([0.0, 10.0, 1e3]), g_leak=rng.choice([0.0, 1e-9])
        )
        cells = Array(cell, cell.filament(rng.random((m, n))), rng.normal(0.0, 0.1, (m, n)))
        wires = Wires(*10.0 ** rng.uniform(-1.0, 2.0, 4))
        v = rng.uniform(-1.0, 1.0, (2, m)) * rng.choice([READ, 3 * READ, 10 * READ])
        solution = solve(cells, v, wires, v_gate=rng.uniform(-2.0, 4.0, (m, n)))
        floor = 1e-16 * np.abs(v).max() / min(wires.r_row, wires.r_column, wires.r_driver, wires.r_sense)
        largest = np.abs(secants(cells, 0.0, solution) * (solution.v_rows - solution.v_columns)).max()
        assert solution.residual <= max(1e-9, 100.0 * floor / largest)
        most = max(most, solution.steps)
    assert 3 <= most <= 30


def test_extremes__solved_or_refused(rng):
    """800 times the curvature and no series resistance: sinh overflows at the source's voltage."""
    cell = AdaptiveMemristor(r_series=0.0)
    cells, v, wires, v_gate = some(rng, volts=200.0, cell=cell)
    try:
        solution = solve(cells, v, wires, v_gate=v_gate)
    except ConvergenceError as error:
        assert "inputs did not converge; first" in str(error)  # noqa: PT017
    else:
        assert solution.residual <= 1e-9
        assert np.isfinite(solution.currents).all()


def test_too_few_steps__are_an_error_with_numbers(rng):
    cells, v, wires, v_gate = some(rng, volts=10 * READ)
    v[1] = 0.0
    words = r"2 of 3 inputs did not converge; first 0: residual \d\.\de-\d+ > 1e-12 after 1 of at most 1 steps"
    with pytest.raises(ConvergenceError, match=words):
        solve_array(cells, v, wires, v_gate=v_gate, tolerance=1e-12, most_steps=1)


def test_rest__is_nothing(rng):
    cells, v, wires, v_gate = some(rng)
    rest = solve(cells, 0.0 * v, wires, v_gate=v_gate)
    assert not rest.currents.any()
    assert (rest.steps, rest.residual) == (0, 0.0)
    assert solve(cells, np.empty((0, 7)), wires, v_gate=v_gate).currents.shape == (0, 5)


def test_batch__equals_one_by_one(rng):
    cells, v, wires, v_gate = some(rng, b=9)
    together = solve(cells, v, wires, v_gate=v_gate)
    for k in range(len(v)):
        alone = solve(cells, v[k : k + 1], wires, v_gate=v_gate)
        np.testing.assert_array_equal(together.v_rows[k], alone.v_rows[0])
        np.testing.assert_array_equal(together.currents[k], alone.currents[0])


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_threads__change_no_bit(rng):
    cells, v, wires, v_gate = some(rng, b=9)
    before = worker_threads.threads()
    results = []
    try:
        for count in (1, 2):
            worker_threads.set_threads(count)
            results.append(solve(cells, v, wires, v_gate=v_gate))
    finally:
        worker_threads.set_threads(before)
    np.testing.assert_array_equal(results[0].v_rows, results[1].v_rows)
    np.testing.assert_array_equal(results[0].history, results[1].history)


# ---- ngspice ----


@pytest.fixture(params=STORED, ids=lambda folder: folder.name)
def spice_run(request):
    """Folder and recipe of a stored run of nonlinear cells."""
    return request.param, runpy.run_path(str(request.param / "make.py"))["draw"]()


def table(folder, name):
    return np.loadtxt(folder / f"{name}.csv", delimiter=",", ndmin=2)


def test_stored_runs__are_there():
    assert len(STORED) >= 2


def test_stored__numbers_and_netlist_are_what_the_recipe_makes(spice_run, tmp_path):
    folder, (cells, v, wires, v_gate) = spice_run
    # exp differs in the last place by machine: filaments here, gains in the netlist
    np.testing.assert_allclose(table(folder, "filaments"), cells.g_filament, rtol=1e-13)
    np.testing.assert_array_equal(table(folder, "offsets"), np.broadcast_to(cells.gate_offset, cells.shape))
    np.testing.assert_array_equal(table(folder, "gates"), np.broadcast_to(v_gate, cells.shape))
    np.testing.assert_array_equal(table(folder, "inputs"), v)
    values = json.loads((folder / "wires.json").read_text())
    assert Wires(**{name: float(value) for name, value in values.items()}) == wires
    to_spice(cells, v, wires, tmp_path / "netlist.cir", v_gate=v_gate)
    same = numbers(tmp_path / "netlist.cir"), numbers(folder / "netlist.cir")
    assert same[0].keys() == same[1].keys()
    for name, values in same[0].items():
        np.testing.assert_allclose(values, same[1][name], rtol=1e-13)


def numbers(path):
    """Each element of a netlist with the numbers of its value."""
    found = {}
    for line in path.read_text().splitlines():
        if line[:1] in "RVB":
            name, a, b, *value = line.split()
            text = value[-1].removeprefix("I=")
            for sign in ("*sinh(V(", ")/", ")", ","):
                text = text.replace(sign, " ")
            found[name, a, b] = [float(word) for word in text.split() if word[0] in "-.0123456789"]
    return found


def test_stored__ngspice_agrees(spice_run):
    folder, (cells, v, wires, v_gate) = spice_run
    np.testing.assert_allclose(
        solve(cells, v, wires, v_gate=v_gate).currents, table(folder, "currents"), rtol=1e-9, atol=0.0
    )


@live
def test_ngspice__says_today_what_is_stored(spice_run):
    folder, _ = spice_run
    np.testing.assert_allclose(run_ngspice(folder / "netlist.cir"), table(folder, "currents"), rtol=1e-9)


@live
@pytest.mark.parametrize("seed", range(6))
def test_ngspice__round_trip(tmp_path, seed):
    """Shorts, open ends, floating lines, cells without filament, leak or series resistance: ngspice judges."""
    rng = np.random.default_rng(seed)
    m, n = rng.integers(1, 7, 2)
    cell = AdaptiveMemristor(
        r_series=rng.choice([0.0, 1e3]), g_leak=rng.choice([0.0, 1e-9]), v_0=rng.choice([0.1, 0.25, inf])
    )
    g = cell.filament(rng.random((m, n)))
    g[rng.random((m, n)) < 0.2] = 0.0
    pool = [0.0, 1.0, 300.0, inf]
    wires = Wires(
        rng.choice([0.0, 1.5]), rng.choice([0.0, 2.5]), rng.choice(pool, m), rng.choice(pool, n),
        r_driver_far=rng.choice(pool, m), r_sense_far=rng.choice(pool, n),
    )  # fmt: skip
    v, v_gate = rng.uniform(-0.6, 0.6, (1, m)), rng.uniform(-2.0, 4.0, (m, n))
    path = tmp_path / "cells.cir"
    cells = Array(cell, g, rng.normal(0.0, 0.05, (m, n)))
    to_spice(cells, v, wires, path, v_gate=v_gate)
    found = solve(cells, v, wires, v_gate=v_gate).currents
    np.testing.assert_allclose(found, run_ngspice(path), rtol=1e-6, atol=1e-9 * np.abs(found).max() + 1e-18)


def test_netlist__a_cell_is_a_source_a_resistor_and_a_leak(tmp_path):
    cells = Array(CELL, np.array([[10e-6, 0.0]]))
    to_spice(cells, np.array([0.1]), Wires(1, 1, 1, 1), tmp_path / "a.cir", v_gate=4.0)
    lines = (tmp_path / "a.cir").read_text().splitlines()
    gain = CELL.gate_gain(4.0)
    assert f"Bcell_0_0 r_0_0 x_0_0 I={float(gain * 10e-6) * 0.25!r}*sinh(V(r_0_0,x_0_0)/0.25)" in lines
    assert "Rseries_0_0 x_0_0 c_0_0 1000.0" in lines
    assert f"Rleak_0_1 r_0_1 c_0_1 {1 / 1e-9!r}" in lines
    assert not any(line.startswith(("Bcell_0_1", "Rseries_0_1")) for line in lines)


def test_netlist__resistors_are_the_linear_netlist(tmp_path, rng):
    g, v, wires = rng.uniform(1e-6, 1e-4, (3, 4)), rng.uniform(-1, 1, 3), Wires(1, 0, 2, 0)
    to_spice(g, v, wires, tmp_path / "a.cir")
    to_spice(Array(Resistor(), g), v, wires, tmp_path / "b.cir")
    assert (tmp_path / "a.cir").read_text() == (tmp_path / "b.cir").read_text()


# ---- values and refusals ----


def test_array__keeps_its_own_numbers(rng):
    g = rng.uniform(1e-6, 1e-5, (2, 3))
    cells = Array(CELL, g)
    g[0, 0] = 1.0
    assert cells.g_filament[0, 0] < 1.0
    with pytest.raises(ValueError, match="read-only"):
        cells.g_filament[0, 0] = 1.0
    assert cells.shape == (2, 3)
    assert cells.gate_offset == 0.0
    assert repr(cells).startswith("<Array of 2 × 3 AdaptiveMemristor(")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((3.0, np.ones((2, 2))), r"cell must be a cell of devices, such as AdaptiveMemristor\(\), got 3.0"),
        ((CELL, np.ones(2)), "g_filament must have 2 axes, got 1"),
        ((CELL, np.ones((0, 2))), r"g_filament must have at least one row and one column, got shape \(0, 2\)"),
        ((CELL, -np.ones((1, 1))), r"g_filament must be ≥ 0 everywhere, got -1 at index \(0, 0\)"),
        ((CELL, np.ones((2, 2)), np.ones(2)), r"gate_offset must be one value or have shape \(2, 2\), got \(2,\)"),
        ((CELL, np.ones((1, 1)), np.nan), "gate_offset must hold no nan"),
    ],
)
def test_array__bad_values_are_refused(arguments, words):
    with pytest.raises(ParameterError, match=words):
        Array(*arguments)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"v_gate": None}, "v_gate must be given: AdaptiveMemristor has a gate"),
        ({"v_gate": np.ones(3)}, r"v_gate must be one value or broadcast to \(m, n\) = \(2, 3\) .*got shape \(3,\)"),
        ({"v_gate": np.ones((4, 1, 1))}, r"or \(b, m, n\) = \(1, 2, 3\), got shape \(4, 1, 1\)"),
        ({"v_gate": np.nan}, "v_gate must hold no nan"),
        ({"v": np.ones(2)}, r"v must have shape \(any, 2\), got \(2,\)"),
        ({"v": np.ones((1, 3))}, r"v must have shape \(any, 2\), got \(1, 3\)"),
        ({"tolerance": 0.0}, "tolerance must be > 0 and < 1, got 0"),
        ({"wires": Wires(1, 1, [1, 1, 1], 1)}, "r_driver has 3 resistances, but the array has 2 rows"),
    ],
)
def test_arguments__bad_values_are_refused(changed, words):
    arguments = {"v": np.ones((1, 2)), "wires": Wires(1, 1, 1, 1), "v_gate": 0.0} | changed
    with pytest.raises(ParameterError, match=words):
        solve(Array(CELL, np.full((2, 3), 1e-6)), **arguments)


def test_conductances__have_no_gate(tmp_path):
    with pytest.raises(ParameterError, match="v_gate must not be given for plain conductances"):
        solve(np.ones((2, 2)), np.ones((1, 2)), Wires(1, 1, 1, 1), v_gate=0.0)
    with pytest.raises(ParameterError, match="v_gate must not be given for plain conductances"):
        to_spice(np.ones((2, 2)), np.ones(2), Wires(1, 1, 1, 1), tmp_path / "a.cir", v_gate=0.0)
