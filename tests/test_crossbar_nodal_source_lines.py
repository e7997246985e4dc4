"""Arrays with select transistors, fed from source lines along the rows or beside the columns."""

import runpy
import shutil
from math import inf
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import Array, Wires, reference_solve, run_ngspice, solve, transfer_matrix
from crossbar.arrays.differential import interleave
from crossbar.nodal.source_lines import solve_source_lines, switched
from crossbar.reference.ngspice import source_lines_to_spice
from crossbar.reference.nodal_analysis import reference_source_lines
from devices import AdaptiveMemristor
from devices.errors import ParameterError
from devices.numerics import worker_threads

live = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
beside = pytest.mark.parametrize("beside_columns", [False, True], ids=["along rows", "beside columns"])

STORED = Path(__file__).parent / "data" / "topologies_ngspice"

# Of the input's largest current. Beside the columns nothing is subtracted, and every entry agrees to 1e-12.
AGREES = 1e-11


@st.composite
def circuits(draw):
    """Cells of 1e-9 to 1e-2 S with open ones, wires of 0 to 100 ohm, ends of 0 to inf line by line, some rows on."""
    m, n = draw(st.integers(1, 12)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    beside_columns = draw(st.booleans())
    lines = n if beside_columns else m
    g = 10.0 ** rng.uniform(-9.0, -2.0, (m, n))
    g[rng.random((m, n)) < draw(st.sampled_from([0.0, 0.3]))] = 0.0
    on = rng.random((3, m)) < draw(st.sampled_from([0.5, 0.9]))
    pool = draw(st.sampled_from([[0.0], [1.0, 100.0], [0.0, 1.0, 1e6, inf], [10.0, inf]]))
    segments = [draw(st.sampled_from([0.0, 1e-3, 1.0, 100.0])) for _ in range(2)]
    ends = [rng.choice(pool, count) for count in (lines, n, lines, n)]
    wires = Wires(*segments, ends[0], ends[1], r_driver_far=ends[2], r_sense_far=ends[3])
    volts = {"v_source": rng.uniform(-1.0, 1.0, (3, lines)), "v_sense": rng.choice([0.0, 0.3]) * np.ones((3, n))}
    switch = {"r_on": draw(st.sampled_from([0.0, 2e3])), "r_off": draw(st.sampled_from([inf, 1e8]))}
    return (g, on), volts | {"wires": wires, "beside_columns": beside_columns} | switch


def sane(rng, m=9, n=6, b=4):
    return 10.0 ** rng.uniform(-6.0, -4.0, (m, n)), rng.random((b, m)) < 0.5, Wires(1.0, 2.0, 50.0, 10.0)


# ---- against the reference solver ----


@settings(max_examples=80)
@given(circuits())
def test_solve__is_the_twin(circuit):
    (g, on), rest = circuit
    wires = rest["wires"]
    found, twin = solve_source_lines(g, on, **rest), reference_source_lines(g, on, **rest)
    np.testing.assert_allclose(found.v_rows, twin.v_rows, rtol=0.0, atol=1e-11)
    np.testing.assert_allclose(found.v_columns, twin.v_columns, rtol=0.0, atol=1e-11)
    if rest["beside_columns"]:
        # the reference solver knows a column's voltage to 1e-19, which a wire of 1 mΩ turns into 1e-16 A
        atol = 1e-30 if not np.any(rest["v_sense"]) else 1e-15 if 1e-3 in (wires.r_row, wires.r_column) else 1e-18
        np.testing.assert_allclose(found.currents, twin.currents, rtol=1e-12, atol=atol)
        np.testing.assert_allclose(found.power, twin.power, rtol=1e-12, atol=1e-30)
    else:
        floor = 1e-15 * g.max(initial=0.0)  # rounding of 1 V across the strongest cell
        largest = np.abs(twin.currents).max(1)[:, None]
        assert np.all(np.abs(found.currents - twin.currents) <= AGREES * largest + floor)
        np.testing.assert_allclose(found.power, twin.power, rtol=1e-10, atol=1e-30 + floor**2)


# ---- limits and laws ----


@beside
def test_without_wires__the_sum_of_the_cells_that_are_on(rng, beside_columns):
    g, on, _ = sane(rng)
    found = solve_source_lines(g, on, 0.2, Wires(0, 0, 0, 0), beside_columns=beside_columns)
    np.testing.assert_allclose(found.currents, 0.2 * on @ g, rtol=1e-14)
    np.testing.assert_allclose(found.power, 0.04 * (on @ g).sum(1), rtol=1e-14)
    assert found.residual < 1e-15


@beside
def test_transistors__are_in_series_with_their_cells(rng, beside_columns):
    g, on, _ = sane(rng)
    resistances = 1.0 / g + np.where(on[:, :, None], 3e3, 2e7)
    np.testing.assert_allclose(switched(g, on, r_on=3e3, r_off=2e7), 1.0 / resistances, rtol=1e-14)
    found = solve_source_lines(g, on, 0.2, Wires(0, 0, 0, 0), beside_columns=beside_columns, r_on=3e3, r_off=2e7)
    np.testing.assert_allclose(found.currents, 0.2 * (1.0 / resistances).sum(1), rtol=1e-13)


def test_one_ladder__by_hand():
    """Two rungs of 2 and 4 ohm; source line 1 ohm, column 3 ohm a segment; driven and sensed at row 0 through 5 and 6.

    The outer rung sees 1 + 4 + 3 = 8 ohm beside 2: 1.6 ohm between the ends, so I = 12.6 V / 12.6 ohm = 1 A; of it
    0.8 A take the near rung and 0.2 A the far one.
    """
    g = np.array([[1 / 2], [1 / 4]])
    found = solve_source_lines(g, [[1, 1]], 12.6, Wires(1, 3, 5, inf, r_sense_far=6), beside_columns=True)
    np.testing.assert_allclose(found.currents, [[1.0]], rtol=1e-15)
    np.testing.assert_allclose(found.v_rows[0, :, 0], [7.6, 7.4], rtol=1e-15)
    np.testing.assert_allclose(found.v_columns[0, :, 0], [6.0, 6.6], rtol=1e-15)
    np.testing.assert_allclose(found.power, [12.6], rtol=1e-15)


def test_opposite_ends__every_cell_has_the_same_path():
    """Driven at row 0 and sensed at the last one over equal wires, one weak cell gives the same current in any row."""
    g = np.full((16, 1), 1e-5)
    on = np.eye(16)
    opposite = solve_source_lines(g, on, 0.2, Wires(5, 5, 10, 10), beside_columns=True)
    np.testing.assert_allclose(opposite.currents, 0.2 / (1e5 + 20.0 + 15 * 5.0), rtol=1e-13)
    same = solve_source_lines(g, on, 0.2, Wires(5, 5, inf, 10, r_driver_far=10), beside_columns=True)
    assert np.all(np.diff(same.currents[:, 0]) > 0.0)  # from 15 · 10 ohm to none


def test_rows_that_are_off__leave_the_circuit(rng):
    """Not so where inputs drive the rows: a row at 0 V takes current from the columns."""
    g, _, wires = sane(rng)
    on = np.array([[1, 0, 1, 1, 0, 0, 1, 0, 1]])
    found = solve_source_lines(g, on, 0.2, wires).currents
    alone = np.where(on[0][:, None] > 0, g, 0.0)
    np.testing.assert_allclose(found, 0.2 * on @ transfer_matrix(alone, wires), rtol=1e-11)
    assert np.all(found > 0.2 * on @ transfer_matrix(g, wires))


def test_inputs__do_not_add(rng):
    """Each pattern is a network of its own: why there is no transfer matrix."""
    g, _, wires = sane(rng)
    found = solve_source_lines(100 * g, [[1] * 9, [1] * 4 + [0] * 5, [0] * 4 + [1] * 5], 0.2, wires).currents
    assert np.all(found[0] < 0.99 * (found[1] + found[2]))


@beside
def test_power__of_all_terminals_turns_into_heat_branch_by_branch(rng, beside_columns):
    g, on, wires = sane(rng)
    found = solve_source_lines(g, on, 0.7, wires, beside_columns=beside_columns, r_off=1e6, v_sense=0.2)
    x, y = found.v_rows, found.v_columns
    line = 1 if beside_columns else 2  # the axis along a source line
    first = x[:, 0] if beside_columns else x[:, :, 0]
    heat = (switched(g, on, r_off=1e6) * (x - y) ** 2).sum((1, 2))
    heat += (np.diff(x, axis=line) ** 2).sum((1, 2)) / wires.r_row + (np.diff(y, axis=1) ** 2).sum((1, 2)) / 2.0
    heat += ((0.7 - first) ** 2).sum(1) / 50.0 + ((y[:, -1] - 0.2) ** 2).sum(1) / 10.0
    delivered = 0.7 * (0.7 - first).sum(1) / 50.0 - 0.2 * found.currents.sum(1)
    np.testing.assert_allclose(found.power, heat, rtol=1e-11)
    np.testing.assert_allclose(delivered, heat, rtol=1e-10)
    assert found.residual < 1e-11


@beside
def test_terminals__line_and_column_change_places(rng, beside_columns):
    """Beside the columns: terminals swapped, the same current. Along the rows: the lines' voltages add."""
    g, on, _ = sane(rng)
    if beside_columns:
        there = solve_source_lines(g, on, 0.2, Wires(1, 2, 50, 10, 7, 4), beside_columns=True)
        back = solve_source_lines(g, on, 0.2, Wires(2, 1, 4, 7, 10, 50), beside_columns=True)
        np.testing.assert_allclose(there.currents, back.currents, rtol=1e-13)
        np.testing.assert_allclose(0.2 - there.v_rows, back.v_columns, rtol=1e-12, atol=1e-15)
        return
    one, other = (solve_source_lines(g, on, np.eye(9)[[i] * 4], Wires(1, 2, 50, 10)).currents for i in (2, 5))
    both = solve_source_lines(g, on, np.eye(9)[[2] * 4] + np.eye(9)[[5] * 4], Wires(1, 2, 50, 10)).currents
    np.testing.assert_allclose(one + other, both, rtol=1e-10, atol=1e-12 * both.max())  # lines' voltages do add


def test_source_lines_along_rows__with_all_on_are_the_rows_of_solve(rng):
    g, _, wires = sane(rng)
    all_on = np.ones((1, 9))
    v = rng.uniform(-1.0, 1.0, (1, 9))
    np.testing.assert_array_equal(solve_source_lines(g, all_on, v, wires).currents, solve(g, v, wires).currents)


def test_gates__of_three_terminal_cells_switch_as_well(rng):
    """One gate voltage per row and input is a switched array of nonlinear cells, whose closed gates leak a little."""
    cell = AdaptiveMemristor(gain_min=0.0, g_leak=0.0)
    cells = Array(cell, cell.filament(rng.random((5, 4))))
    on = rng.random((3, 5)) < 0.6
    wires = Wires(2.0, 3.0, 20.0, 10.0)
    gated = solve(cells, np.full((3, 5), 1e-4), wires, v_gate=np.where(on, 4.0, -1e3)[:, :, None])
    open_ = cell.terminal_conductance(cells.g_filament, cells.gain(4.0)[0], 0.0)
    found = solve_source_lines(open_, on, 1e-4, wires)
    np.testing.assert_allclose(gated.currents, found.currents, rtol=1e-5)


def test_interleaved_source_lines__subtract_on_the_column(rng):
    positive, on, _ = sane(rng)
    negative = 10.0 ** rng.uniform(-6.0, -4.0, positive.shape)
    rails = np.tile([0.2, -0.2], 9)[None]
    found = solve_source_lines(interleave(positive, negative), np.repeat(on, 2, axis=1), rails, Wires(0, 0, 0, 0))
    np.testing.assert_allclose(found.currents, 0.2 * on @ (positive - negative), rtol=1e-12, atol=1e-18)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
@beside
def test_threads_and_batches__change_no_bit(rng, beside_columns):
    g, on, wires = sane(rng, b=7)
    before = worker_threads.threads()
    results = []
    try:
        for count in (1, 2):
            worker_threads.set_threads(count)
            results.append(solve_source_lines(g, on, 0.2, wires, beside_columns=beside_columns))
    finally:
        worker_threads.set_threads(before)
    np.testing.assert_array_equal(results[0].v_columns, results[1].v_columns)
    np.testing.assert_array_equal(results[0].currents, results[1].currents)
    alone = solve_source_lines(g, on[3:4], 0.2, wires, beside_columns=beside_columns)
    np.testing.assert_array_equal(alone.currents[0], results[0].currents[3])


# ---- the outside judge ----


@live
@beside
@pytest.mark.parametrize("seed", range(6))
def test_ngspice__switched_arrays(tmp_path, seed, beside_columns):
    rng = np.random.default_rng(seed)
    m, n = rng.integers(1, 8, 2)
    lines = n if beside_columns else m
    g = 10.0 ** rng.uniform(-7, -3, (m, n))
    g[rng.random((m, n)) < 0.2] = 0.0
    on = rng.random((1, m)) < 0.7
    pool = [0.0, 1.0, 300.0, inf]
    wires = Wires(
        rng.choice([0.0, 1.5]), rng.choice([0.0, 2.5]), rng.choice(pool, lines), rng.choice(pool, n),
        r_driver_far=rng.choice(pool, lines), r_sense_far=rng.choice(pool, n),
    )  # fmt: skip
    rest = {"r_on": 2e3, "r_off": rng.choice([1e7, inf]), "beside_columns": beside_columns}
    v, u = rng.uniform(-1, 1, (1, lines)), rng.uniform(-1, 1, (1, n))
    path = tmp_path / "switched.cir"
    source_lines_to_spice(g, on, v, wires, path, v_sense=u, **rest)
    found = solve_source_lines(g, on, v, wires, v_sense=u, **rest).currents
    np.testing.assert_allclose(found, run_ngspice(path), rtol=1e-8, atol=1e-12 * g.max() + 1e-20)


def test_stored__ngspice_agrees(tmp_path):
    """Half-selected lines, source lines along rows and beside columns; netlists are still what the recipe writes."""
    recipe = runpy.run_path(str(STORED / "make.py"))
    for name in recipe["write"](tmp_path):
        assert (tmp_path / f"{name}.cir").read_text() == (STORED / f"{name}.cir").read_text()
        judged = np.loadtxt(STORED / f"{name}.csv", delimiter=",", ndmin=2)
        if name == "half_select":
            g, v, wires, u = recipe["half_select"]()
            found = solve(g, v, wires, v_sense=u), reference_solve(g, v, wires, v_sense=u)
        else:
            g, on, v, wires, rest = recipe["source_lines"](name == "beside_columns")
            found = solve_source_lines(g, on, v, wires, **rest), reference_source_lines(g, on, v, wires, **rest)
        for each in found:
            np.testing.assert_allclose(each.currents, judged, rtol=0.0, atol=1e-10 * np.abs(judged).max())


@live
@pytest.mark.parametrize("name", ["half_select", "along_rows", "beside_columns"])
def test_ngspice__says_today_what_is_stored(name):
    judged = np.loadtxt(STORED / f"{name}.csv", delimiter=",", ndmin=2)
    np.testing.assert_allclose(run_ngspice(STORED / f"{name}.cir"), judged, rtol=1e-9)


def test_netlist__source_lines_beside_columns(tmp_path):
    g = np.array([[1e-3, 2e-3], [4e-3, 5e-3]])
    path = tmp_path / "a.cir"
    source_lines_to_spice(g, [[1, 0]], 0.2, Wires(1, 2, 3, 4), path, beside_columns=True, r_on=1e3)
    lines = path.read_text().splitlines()
    for line in ("Vdrv_1 s_1 0 DC 0.2", "Rdrv_1 s_1 r_0_1 3.0", "Rrow_0_1 r_0_1 r_1_1 1.0",
                 "Rcell_0_0 r_0_0 c_0_0 2000.0", "Rsense_0 c_1_0 t_0 4.0"):  # fmt: skip
        assert line in lines
    assert not any(line.startswith("Rcell_1") for line in lines)


# ---- bad input ----


@pytest.mark.parametrize("solver", [solve_source_lines, reference_source_lines], ids=["fast", "twin"])
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"g": np.ones(3)}, "g must have 2 axes, got 1"),
        ({"g": np.empty((2, 0))}, r"g must .* at least one .*, got shape \(2, 0\)"),
        ({"on": [[1.0, 0.5]]}, r"on must hold 0 and 1 only, got 0.5 \(1 such\)"),
        ({"on": [1, 1]}, r"on must have shape \(any, 2\), got \(2,\)"),
        ({"v_source": np.ones((1, 2))}, r"v_source must .* \(b, source lines\) = \(1, 3\), got shape \(1, 2\)"),
        ({"v_sense": np.ones(3)}, r"v_sense must be one value or broadcast to \(b, n\) = \(1, 3\)"),
        ({"wires": Wires(1, 1, [1, 1], 1)}, "r_driver has 2 resistances, but the array has 3 source lines"),
        ({"r_on": -1.0}, "r_on must be ≥ 0 Ω, got -1 Ω"),
        ({"r_on": 5.0, "r_off": 1.0}, "r_off must be ≥ 5 Ω, got 1 Ω"),
    ],
)
def test_arguments__bad_values_are_refused(solver, changed, words):
    arguments = {"g": np.ones((2, 3)), "on": [[1, 0]], "v_source": 1.0, "wires": Wires(1, 1, 1, 1)}
    with pytest.raises(ParameterError, match=words):
        solver(**(arguments | changed), beside_columns=True)


def test_no_inputs__no_outputs(rng):
    g, _, wires = sane(rng)
    for beside_columns in (False, True):
        nothing = solve_source_lines(g, np.empty((0, 9)), 0.2, wires, beside_columns=beside_columns)
        assert nothing.currents.shape == (0, 6)
        assert nothing.residual == 0.0


def test_twin__is_reference_solve_with_all_on(rng):
    g, _, wires = sane(rng)
    v = rng.uniform(-1.0, 1.0, (2, 9))
    np.testing.assert_allclose(
        reference_source_lines(g, np.ones((2, 9)), v, wires).currents, reference_solve(g, v, wires).currents, rtol=1e-13
    )
