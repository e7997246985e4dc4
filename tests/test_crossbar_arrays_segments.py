"""Wires with one resistance per segment, broken ones among them: every solver against the slow twin and ngspice."""

import copy
import pickle
import shutil
from math import inf, nan

import numpy as np
import pytest

from crossbar import (
    Array,
    Capacitances,
    GainNodes,
    Interior,
    TileWires,
    Wires,
    inject,
    interleave,
    reduce_array,
    reference_solve,
    reference_source_lines,
    run_ngspice,
    sensitivity,
    settling,
    solve,
    solve_source_lines,
    source_lines_to_spice,
    stacked_family,
    to_spice,
    transfer_gradient,
    transfer_matrices,
    transfer_matrix,
    transient,
    write_array,
)
from crossbar.plots import plot_crossbar
from crossbar.reference.transients import array_circuit
from crossbar.tiles.column_lines import column_reach
from devices import AdaptiveMemristor, ParameterError, Resistor, Spread, WriteVerify
from mapping import Hardware

live = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
TWIN = 1e-10  # as claimed of all solvers in test_crossbar_agreement
SHAPES = [(1, 1), (1, 6), (6, 1), (2, 3), (5, 4), (13, 9), (24, 17), (33, 40)]


def drawn(rng, m, n, *, broken=0.1, ends=(0.0, 1.0, 50.0)):
    """Conductances (m, n), inputs (3, m), and wires whose segments spread over four decades, some of them broken."""
    g = 10.0 ** rng.uniform(-8.0, -3.0, (m, n))
    g[rng.random((m, n)) < 0.1] = 0.0

    def segments(*shape):
        ohms = 10.0 ** rng.uniform(-2.0, 2.0, shape)
        ohms[rng.random(shape) < broken] = inf
        return ohms

    wires = Wires(
        segments(m, n - 1), segments(m - 1, n), rng.choice(ends, m), rng.choice(ends, n),
        rng.choice([1.0, inf], m), rng.choice([1.0, inf], n),
    )  # fmt: skip
    return g, rng.uniform(-1.0, 1.0, (3, m)), wires


def far_off(found, expected):
    return np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-25)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("broken", [0.0, 0.1, 0.6])
def test_linear__all_solvers_are_the_twin(rng, shape, broken):
    g, v, wires = drawn(rng, *shape, broken=broken)
    twin = reference_solve(g, v, wires)
    solved = solve(g, v, wires)
    assert far_off(solved.currents, twin.currents) <= TWIN
    assert far_off(solved.v_rows, twin.v_rows) <= TWIN
    assert far_off(solved.v_columns, twin.v_columns) <= TWIN
    np.testing.assert_allclose(solved.power, twin.power, rtol=1e-10)
    assert solved.residual <= 1e-8  # rounding of a voltage over the best segment, 0.01 Ω
    reduced = reduce_array(g, wires)
    assert far_off(v @ reduced.transfer, twin.currents) <= TWIN
    np.testing.assert_allclose(reduced.power(v), twin.power, rtol=1e-10)
    walked = Interior(g, wires).solve(v)
    assert far_off(walked.v_rows, twin.v_rows) <= 1e-9
    assert far_off(walked.v_columns, twin.v_columns) <= 1e-9
    assert far_off(walked.currents, twin.currents) <= 1e-9
    newton = solve(Array(Resistor(), g), v, wires, tolerance=1e-12)
    assert far_off(newton.currents, twin.currents) <= 1e-9


@pytest.mark.parametrize("shape", [(2, 3), (13, 9), (20, 33)])
def test_transfer_matrices__lanes_of_a_batch_are_single_arrays(rng, shape):
    g, _, wires = drawn(rng, *shape)
    stack = np.stack([g, g[::-1], g[:, ::-1], 2.0 * g, 0.5 * g])
    for one, together in zip(stack, transfer_matrices(stack, wires), strict=True):
        twin = reference_solve(one, np.eye(len(g)), wires).currents
        np.testing.assert_allclose(together, twin, rtol=1e-9, atol=1e-12 * twin.max())


@pytest.mark.parametrize("shape", [(7, 5), (40, 33)])
def test_segments__of_one_value_are_that_value_to_the_last_bit(rng, shape):
    m, n = shape
    g, v = rng.uniform(1e-6, 1e-4, shape), rng.uniform(0.0, 0.2, (2, m))
    one = Wires(1.3, 0.7, 10.0, 5.0, inf, 3.0)
    each = Wires(np.full((m, n - 1), 1.3), np.full((m - 1, n), 0.7), 10.0, 5.0, inf, 3.0)
    assert np.array_equal(transfer_matrix(g, one), transfer_matrix(g, each))
    assert np.array_equal(solve(g, v, one).v_columns, solve(g, v, each).v_columns)
    zero = Wires(np.zeros((m, n - 1)), np.zeros((m - 1, n)), 10.0, 5.0, inf, 3.0)
    assert np.array_equal(transfer_matrix(g, Wires(0.0, 0.0, 10.0, 5.0, inf, 3.0)), transfer_matrix(g, zero))
    assert np.array_equal(solve(g, v, Wires(0.0, 0.0, 10.0, 5.0, inf, 3.0)).v_rows, solve(g, v, zero).v_rows)


def test_broken_row__cells_beyond_the_break_are_reached_through_columns_alone():
    """Row 0 is broken after its first cell: what lies beyond floats, and its cells bridge columns."""
    g = np.full((2, 3), 1e-4)
    wires = Wires([[inf, 1.0], [1.0, 1.0]], 0.0, 0.0, 0.0)
    solved = solve(g, np.array([[1.0, 0.0]]), wires)
    np.testing.assert_allclose(solved.currents, [[1e-4, 0.0, 0.0]], rtol=1e-12, atol=1e-19)
    np.testing.assert_allclose(solved.v_rows[0, 0], [1.0, 0.0, 0.0], atol=1e-15)


def test_series__segments_add_up():
    """One cell behind two segments and two ends is a divider."""
    g = np.array([[0.0, 1e-3], [0.0, 0.0]])
    wires = Wires([[100.0], [1.0]], [[1.0, 300.0]], 50.0, 20.0)
    solved = solve(g, np.array([[1.0, 0.0]]), wires)
    np.testing.assert_allclose(solved.currents, [[0.0, 1.0 / (50.0 + 100.0 + 1000.0 + 300.0 + 20.0)]], rtol=1e-12)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("shape", [(1, 4), (6, 1), (9, 7)])
def test_source_lines__are_their_twin(rng, shape, beside):
    m, n = shape
    g, _, wires = drawn(rng, m, n)
    on = rng.random((3, m)) < 0.6
    if beside:
        along = 10.0 ** rng.uniform(-2.0, 2.0, (n, m - 1))
        along[rng.random(along.shape) < 0.1] = inf
        wires = Wires(along, wires.r_column, rng.choice([0.0, 10.0], n), wires.r_sense, inf, wires.r_sense_far)
    found = solve_source_lines(g, on, 0.3, wires, beside_columns=beside, r_on=100.0, r_off=1e7)
    twin = reference_source_lines(g, on, 0.3, wires, beside_columns=beside, r_on=100.0, r_off=1e7)
    assert far_off(found.currents, twin.currents) <= TWIN
    assert far_off(found.v_rows, twin.v_rows) <= TWIN
    assert far_off(found.v_columns, twin.v_columns) <= TWIN
    np.testing.assert_allclose(found.power, twin.power, rtol=1e-9)


@pytest.mark.parametrize("broken", [0.0, 0.1])
def test_stacked_family__joins_to_the_whole_array(rng, broken):
    g, _, wires = drawn(rng, 9, 6, broken=broken)
    bands = [g[:4], g[4:5], g[5:]]
    family = stacked_family([lambda gain, band=band: gain * band for band in bands], GainNodes(0.2, 1.0, 24), wires)
    gains = np.array([[1.0, 0.3, 0.6], [0.2, 1.0, 1.0]])
    for one, found in zip(gains, family.at(gains), strict=True):
        scaled = np.concatenate([gain * band for gain, band in zip(one, bands, strict=True)])
        whole = transfer_matrix(scaled, wires)
        np.testing.assert_allclose(found, whole, atol=1e-8 * whole.max())


def test_sensitivity__is_the_difference_quotient(rng):
    g, v, wires = drawn(rng, 6, 5, broken=0.0)
    found = sensitivity(g, v, wires)
    change = 1e-4 * g * rng.uniform(-1.0, 1.0, g.shape)
    quotient = (solve(g + change, v, wires).currents - solve(g - change, v, wires).currents) / 2
    np.testing.assert_allclose(found.currents_change(change), quotient, rtol=1e-5, atol=1e-6 * np.abs(quotient).max())
    slopes = found.wire_slopes()
    for name in ("r_row", "r_column"):
        step = 1e-4
        both = [
            solve(g, v, Wires(**{**fields_of(wires), name: getattr(wires, name) + sign * step})).currents
            for sign in (1.0, -1.0)
        ]
        quotient = (both[0] - both[1]) / (2 * step)
        expected = getattr(slopes, name)
        np.testing.assert_allclose(expected, quotient, atol=1e-4 * np.abs(expected).max())


def fields_of(wires):
    return {name: getattr(wires, name) for name in wires.__dataclass_fields__}


def test_settling__moments_are_those_of_all_modes(rng):
    g, _, wires = drawn(rng, 5, 4, broken=0.1)
    v, farads = rng.uniform(0.1, 1.0, (2, 5)), Capacitances()
    found = settling(g, v, wires, farads)
    circuit, senses = array_circuit(g, wires, farads)
    moments = -circuit.moments(np.hstack([v, np.zeros((2, len(senses) + 1))]), 2)[:, :, senses]
    arrives = np.abs(found.final) > 1e-9 * np.abs(found.final).max()
    np.testing.assert_allclose((found.coefficients[0] * found.final)[arrives], moments[0][arrives], rtol=1e-6)
    late = transient(g, v, wires, farads, np.array([1e3 * float(np.max(found.slowest))]))[:, 0]
    np.testing.assert_allclose(late, found.final, rtol=1e-9, atol=1e-12 * np.abs(found.final).max())


def test_inject__against_superposition_of_the_twin(rng):
    """Reciprocity: what 1 A into a row node delivers to a column is the node's voltage for 1 V at that column's end."""
    g, _, wires = drawn(rng, 4, 5, broken=0.1)
    into = np.zeros((20, 4, 5))
    into[np.arange(20), np.arange(20) // 5, np.arange(20) % 5] = 1.0
    found = inject(g, wires, into, np.zeros_like(into)).currents
    twin = reference_solve(g, np.zeros((5, 4)), wires, v_sense=np.eye(5)).v_rows
    np.testing.assert_allclose(found.T, twin.reshape(5, 20), atol=1e-9)


def test_reach__is_the_adjoint_voltage_of_the_column(rng):
    for broken in (0.0, 0.3):
        g, _, wires = drawn(rng, 9, 5, broken=broken)
        along = np.asarray(wires.r_column).T
        turned = Wires(along, 0.0, wires.sense_far(5), 0.0, wires.sense(5), inf)
        adjoint = reference_solve(np.ascontiguousarray(g.T), np.ones((1, 5)), turned).v_rows[0].T
        np.testing.assert_allclose(column_reach(g, wires), adjoint, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("broken", [0.0, 0.2])
def test_write_array__a_thin_line_takes_more_pulses_and_one_value_changes_nothing(broken):
    cell = AdaptiveMemristor()
    targets = np.full((3, 4), 0.5 * cell.g_max)

    def written(wires):
        rng = np.random.default_rng(3)
        return write_array(Spread().draw(cell, (3, 4), rng), targets, wires, WriteVerify(), rng)

    one = written(Wires(1.0, 1.0, 10.0, 10.0))
    each = written(Wires(np.full((3, 3), 1.0), np.full((2, 4), 1.0), 10.0, 10.0))
    assert np.array_equal(one.drop, each.drop)
    if not broken:
        thin = np.full((3, 3), 1.0)
        thin[1] = 2000.0
        drop = written(Wires(thin, 1.0, 10.0, 10.0)).drop
        assert drop[1, -1] > 2.0 * one.drop[1, -1]


def test_newton__bent_cells_on_thin_lines_meet_kirchhoff(rng):
    g, v, wires = drawn(rng, 8, 6)
    solved = solve(Array(AdaptiveMemristor(), g), 0.3 * v, wires, v_gate=0.5)
    assert solved.residual <= 1e-9


def test_plot__draws_segments(rng):
    g, v, wires = drawn(rng, 5, 4, ends=(1.0,))
    plot_crossbar(g, v, wires, solve(g, v, wires))


@live
@pytest.mark.parametrize("shape", [(1, 1), (4, 3), (12, 9)])
def test_ngspice__says_the_same(rng, tmp_path, shape):
    g, v, wires = drawn(rng, *shape)
    to_spice(g, v[:1], wires, tmp_path / "array.cir")
    assert far_off(run_ngspice(tmp_path / "array.cir"), reference_solve(g, v[:1], wires).currents) <= 1e-8
    on = rng.random((1, shape[0])) < 0.7
    along = 10.0 ** rng.uniform(-2.0, 2.0, (shape[1], shape[0] - 1))
    beside = Wires(along, wires.r_column, 10.0, wires.r_sense)
    source_lines_to_spice(g, on, 0.3, beside, tmp_path / "lines.cir", beside_columns=True, r_on=100.0)
    twin = reference_source_lines(g, on, 0.3, beside, beside_columns=True, r_on=100.0).currents
    assert far_off(run_ngspice(tmp_path / "lines.cir"), twin) <= 1e-8


def test_interleaved__pairs_take_segments_of_twice_the_rows(rng):
    g, v, wires = drawn(rng, 8, 3)
    both = interleave(g[:4], g[4:])
    assert far_off(solve(both, v, wires).currents, reference_solve(both, v, wires).currents) <= TWIN


def test_value__repr_copies_hash_and_temperature():
    wires = Wires([[1.0, inf], [2.0, 3.0]], [[0.5, 0.25, 0.125]], 1.0, 2.0)
    text = "Wires(r_row=[[1.0, float('inf')], [2.0, 3.0]], r_column=[[0.5, 0.25, 0.125]], r_driver=1.0, r_sense=2.0)"
    assert repr(wires) == text
    assert eval(text) == wires == copy.deepcopy(wires) == pickle.loads(pickle.dumps(wires))  # noqa: S307
    assert len({wires, copy.copy(wires)}) == 1
    assert wires != Wires([[1.0, 2.0], [2.0, 3.0]], [[0.5, 0.25, 0.125]], 1.0, 2.0)
    assert not pickle.loads(pickle.dumps(wires)).r_row.flags.writeable
    warm = wires.at_temperature(310.0, 0.01)
    np.testing.assert_allclose(warm.r_row, [[1.1, inf], [2.2, 3.3]])
    assert not wires.ideal
    assert Wires(np.zeros((2, 2)), 0.0, 0.0, 0.0).ideal


@pytest.mark.parametrize(
    ("r_row", "words"),
    [
        ([[1.0, 0.0], [1.0, 1.0]], r"^r_row must be above 0 Ω in every segment, or 0 in all of them, got 0 at index"),
        ([[1.0, -1.0], [1.0, 1.0]], r"^r_row must be ≥ 0 everywhere, got -1 at index \(0, 1\)"),
        ([[1.0, nan], [1.0, 1.0]], r"^r_row must hold no nan"),
        ([[1.0, 1e-310], [1.0, 1.0]], r"^r_row\[0, 1\] must be 0 or at least 1e-300 Ω"),
        ([1.0, 1.0], r"^r_row must have 2 axes, got 1"),
        ([["a", "b"]], r"^r_row must be an array of real numbers"),
    ],
)
def test_refused__in_one_sentence(r_row, words):
    with pytest.raises(ParameterError, match=words):
        Wires(r_row, 1.0, 1.0, 1.0)


def test_refused__of_another_array():
    wires = Wires(np.ones((2, 2)), np.ones((1, 3)), 1.0, 1.0)
    for call in (solve, reference_solve):
        with pytest.raises(ParameterError, match=r"^r_row has shape \(2, 2\), but 3 rows of 3 cells have segments of"):
            call(np.ones((3, 3)), np.ones((1, 3)), wires)
    with pytest.raises(ParameterError, match=r"^r_row has shape"):
        transfer_matrix(np.ones((3, 3)), wires)
    with pytest.raises(ParameterError, match=r"^r_column has shape \(1, 3\), but 3 columns of 4 cells have segments"):
        solve(np.ones((4, 3)), np.ones((1, 4)), Wires(1.0, np.ones((1, 3)), 1.0, 1.0))


def test_chips__take_lists_of_a_full_tile_only():
    with pytest.raises(ParameterError, match=r"^wires\.r_row must be one value, or 127 or 128 × 127 values for"):
        Hardware(wires=Wires(np.ones((2, 2)), 1.0, 1.0, 1.0))
    with pytest.raises(ParameterError, match=r"^wires\.r_sense must be one value, or 128 values for .* got 3"):
        Hardware(wires=Wires(1.0, 1.0, 1.0, np.ones(3)))


# the wires of a chip's tiles


def test_tile_wires__small_arrays_lie_next_to_drivers_and_sense_ends(rng):
    whole_row, whole_column = rng.uniform(1.0, 9.0, (8, 5)), rng.uniform(1.0, 9.0, (7, 6))
    driver, sense = rng.uniform(1.0, 9.0, 8), rng.uniform(1.0, 9.0, 6)
    wires = TileWires(whole_row, whole_column, driver, sense)
    g, v = 10.0 ** rng.uniform(-6.0, -4.0, (3, 4)), rng.uniform(0.1, 0.3, (2, 3))
    own = Wires(whole_row[5:, :3], whole_column[5:, :4], driver[5:], sense[:4])
    expected = reference_solve(g, v, own).currents
    np.testing.assert_array_equal(reference_solve(g, v, wires).currents, expected)
    np.testing.assert_allclose(solve(g, v, wires).currents, expected, rtol=TWIN)
    np.testing.assert_allclose(v @ transfer_matrix(g, wires), expected, rtol=TWIN)
    np.testing.assert_allclose(column_reach(g, wires), column_reach(g, own), rtol=1e-15)
    assert wires.of_array(3, 4) == own
    np.testing.assert_allclose(wires.mean_segments(3, 4), [own.r_row.mean(), own.r_column.mean()])
    np.testing.assert_array_equal(reference_solve(np.ones((8, 6)), np.ones((1, 8)), wires).currents.shape, (1, 6))


def test_tile_wires__one_list_is_the_same_in_every_line(rng):
    along, across = rng.uniform(1.0, 9.0, 5), rng.uniform(1.0, 9.0, 7)
    wires = TileWires(along, across.tolist(), 10.0, 5.0)
    np.testing.assert_array_equal(wires.row_segments(3, 4), np.tile(along[:3], (3, 1)))
    np.testing.assert_array_equal(wires.column_segments(3, 4), np.tile(across[5:, None], (1, 4)))
    np.testing.assert_array_equal(wires.column_segments(1, 4), np.empty((0, 4)))
    warm = wires.at_temperature(400.0)
    np.testing.assert_allclose(warm.row_segments(2, 2), 1.45 * wires.row_segments(2, 2))
    again = eval(repr(wires), {"TileWires": TileWires})  # noqa: S307
    assert again == wires == pickle.loads(pickle.dumps(wires))
    assert hash(again) == hash(wires)
    assert isinstance(copy.copy(wires), TileWires)
    with pytest.raises(ParameterError, match=r"^r_row has shape \(5,\), but 3 rows of 7 cells have segments"):
        wires.row_segments(3, 7)
    with pytest.raises(ParameterError, match=r"^r_column must be ≥ 0 everywhere, got -1"):
        TileWires(1.0, [1.0, -1.0], 1.0, 1.0)


def test_tile_wires__broken_segments_cut_cells_off(rng):
    along = np.ones(5)
    along[1] = inf
    wires = TileWires(along, 1.0, 10.0, 5.0)
    w = transfer_matrix(np.full((3, 4), 1e-5), wires)
    assert np.all(w[:, :2] > 0.0)
    np.testing.assert_array_equal(w[:, 2:], 0.0)
    assert wires.broken


@pytest.mark.parametrize("broken", [0.0, 0.2])
@pytest.mark.parametrize("arrays", [1, 3])
def test_gradient__is_the_difference_quotient(rng, broken, arrays):
    g, _, wires = drawn(rng, 9, 7, broken=broken, ends=(1.0, 50.0))
    stack = np.stack([g * factor for factor in (1.0, 2.0, 0.5)[:arrays]])
    factors, change = rng.normal(size=stack.shape), 1e-4 * stack * rng.uniform(-1.0, 1.0, stack.shape)
    slopes = transfer_gradient(stack if arrays > 1 else g, wires, factors if arrays > 1 else factors[0])
    up, down = (transfer_matrices(stack + sign * change, wires) for sign in (1.0, -1.0))
    expected = (factors * (up - down)).sum((1, 2)) / 2.0
    np.testing.assert_allclose((slopes * change).reshape(arrays, -1).sum(1), expected, rtol=1e-5, atol=1e-12)
