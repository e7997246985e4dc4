"""The line solver against the reference solver and the transfer matrix, and its residual."""

from math import inf

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import Wires, reference_solve, solve, transfer_matrix
from crossbar.nodal.linear import residual
from devices.errors import ConvergenceError, ParameterError
from devices.numerics import worker_threads

VOLTS = 1e-12  # node voltages over the largest input: the last correction is below 1e-14, a few hundred nodes add up
AMPERES = 1e-11  # currents over the input's largest: drops of 1 % to 100 % of the input make them


@st.composite
def circuits(draw):
    """Sane arrays: 1e-7 to 1e-3 S with zeros, segments of 0 to 30 ohm, ends of 0 to 1 kohm or open, line by line."""
    m, n = draw(st.integers(1, 33)), draw(st.integers(1, 33))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = 10.0 ** rng.uniform(-7.0, -3.0, (m, n))
    g[rng.random((m, n)) < draw(st.sampled_from([0.0, 0.3]))] = 0.0
    v = rng.uniform(-1.0, 1.0, (draw(st.integers(1, 4)), m))
    pool = draw(st.sampled_from([[0.0], [1.0, 100.0], [0.0, 10.0, 1e3], [10.0, inf]]))
    segments = [draw(st.sampled_from([0.0, 1.0, 30.0])) for _ in range(2)]
    ends = [rng.choice(pool, count) for count in (m, n, m, n)]
    if draw(st.booleans()):
        ends[2], ends[3] = inf, inf
    return g, v, Wires(*segments, ends[0], ends[1], r_driver_far=ends[2], r_sense_far=ends[3])


def sane(rng, m=40, n=24, b=5):
    return 10.0 ** rng.uniform(-6.0, -4.0, (m, n)), rng.uniform(-0.2, 0.2, (b, m)), Wires(1.0, 2.0, 50.0, 10.0)


def kcl(g, v, wires, solution):
    """Largest current that a node keeps, over the largest current anywhere, for finite resistances above 0."""
    x, y = solution.v_rows[0], solution.v_columns[0]
    along_rows, along_columns = -np.diff(x, axis=1) / wires.r_row, -np.diff(y, axis=0) / wires.r_column
    cells = g * (x - y)
    into_rows, into_columns = -cells, cells.copy()
    into_rows[:, :-1] -= along_rows
    into_rows[:, 1:] += along_rows
    into_rows[:, 0] += (v[0] - x[:, 0]) / wires.r_driver
    into_columns[:-1] -= along_columns
    into_columns[1:] += along_columns
    into_columns[-1] -= y[-1] / wires.r_sense
    most = max(np.abs(each).max(initial=0.0) for each in (cells, along_rows, along_columns))
    return max(np.abs(into_rows).max(), np.abs(into_columns).max()) / most


# ---- against the reference solver ----


@settings(max_examples=60)
@given(circuits())
def test_solve__is_the_twin(circuit):
    g, v, wires = circuit
    fast, slow = solve(g, v, wires), reference_solve(g, v, wires)
    scale = np.abs(v).max()
    np.testing.assert_allclose(fast.v_rows, slow.v_rows, rtol=0.0, atol=VOLTS * scale)
    np.testing.assert_allclose(fast.v_columns, slow.v_columns, rtol=0.0, atol=VOLTS * scale)
    # 1e-16 of the input across the strongest cell is what rounding alone lets through
    largest = np.abs(slow.currents).max(1, keepdims=True)
    floor = 1e-15 * scale * g.max(initial=0.0)
    assert np.all(np.abs(fast.currents - slow.currents) <= AMPERES * largest + floor)
    np.testing.assert_allclose(fast.power, slow.power, rtol=1e-12, atol=floor * scale)


@settings(max_examples=30)
@given(circuits())
def test_solve__currents_are_the_transfer_matrixs(circuit):
    g, v, wires = circuit
    transfer = transfer_matrix(g, wires)
    floor = 1e-15 * np.abs(v).max() * g.max(initial=0.0)
    atol = AMPERES * (np.abs(v) @ transfer).max() + floor
    np.testing.assert_allclose(solve(g, v, wires).currents, v @ transfer, rtol=0.0, atol=atol)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 2), (64, 31), (37, 53)])
@pytest.mark.parametrize("segment", [0.0, 2.0])
@pytest.mark.parametrize("end", [0.0, 20.0])
def test_solve__zero_ohms_are_exact(rng, shape, segment, end):
    g, v = rng.uniform(1e-6, 1e-4, shape), rng.uniform(-1.0, 1.0, (2, shape[0]))
    wires = Wires(segment, segment, end, end)
    fast, slow = solve(g, v, wires), reference_solve(g, v, wires)
    np.testing.assert_allclose(fast.v_rows, slow.v_rows, rtol=0.0, atol=VOLTS)
    np.testing.assert_allclose(fast.v_columns, slow.v_columns, rtol=0.0, atol=VOLTS)
    np.testing.assert_allclose(fast.currents, slow.currents, rtol=1e-11, atol=1e-18)
    if segment == end == 0.0:
        np.testing.assert_array_equal(fast.v_rows, np.broadcast_to(v[:, :, None], fast.v_rows.shape))
        assert not fast.v_columns.any()
        assert fast.residual == 0.0


def test_solve__driven_and_sensed_at_both_ends(rng):
    g, v, _ = sane(rng)
    wires = Wires(3.0, 4.0, 20.0, 0.0, r_driver_far=0.0, r_sense_far=30.0)
    fast, slow = solve(g, v, wires), reference_solve(g, v, wires)
    np.testing.assert_array_equal(fast.v_rows[:, :, -1], v)
    assert not fast.v_columns[:, -1].any()
    np.testing.assert_allclose(fast.currents, slow.currents, rtol=1e-11)
    np.testing.assert_allclose(fast.power, slow.power, rtol=1e-13)


# ---- lines that float ----


def test_floating_columns__deliver_exactly_nothing(rng):
    g, v, _ = sane(rng)
    sense = np.full(24, 10.0)
    sense[[2, 9]] = inf
    wires = Wires(1.0, 1.0, 50.0, sense)
    fast, slow = solve(g, v, wires), reference_solve(g, v, wires)
    assert not fast.currents[:, [2, 9]].any()
    assert np.abs(fast.v_columns[:, :, 2]).min() > 0.0  # it still has a voltage: what its cells agree on
    np.testing.assert_allclose(fast.v_columns, slow.v_columns, rtol=0.0, atol=VOLTS)


def test_floating_rows__take_the_columns_voltage(rng):
    g, v, _ = sane(rng)
    driver = np.full(40, 50.0)
    driver[7] = inf
    wires = Wires(1.0, 1.0, driver, 10.0)
    fast = solve(g, v, wires)
    other = v.copy()
    other[:, 7] += 0.1  # the source of a floating row does not matter
    np.testing.assert_array_equal(fast.currents, solve(g, other, wires).currents)
    np.testing.assert_allclose(fast.v_rows, reference_solve(g, v, wires).v_rows, rtol=0.0, atol=VOLTS)


@pytest.mark.parametrize("wires", [Wires(1, 1, inf, 1), Wires(0, 0, inf, inf), Wires(0, 2, inf, inf, 3, inf)])
def test_islands__carry_nothing(rng, wires):
    """Without sources all is 0 V; without sense ends all rows' voltages meet, and no current leaves."""
    g, v, _ = sane(rng, 6, 7, 2)
    fast = solve(g, v, wires)
    np.testing.assert_allclose(fast.currents, 0.0, atol=1e-18)
    slow = reference_solve(g, v, wires)
    np.testing.assert_allclose(fast.v_rows, slow.v_rows, rtol=0.0, atol=VOLTS)
    np.testing.assert_allclose(fast.v_columns, slow.v_columns, rtol=0.0, atol=VOLTS)


def test_open_cells__leave_their_wires_at_rest():
    wires = Wires(1.0, 1.0, 5.0, 5.0)
    fast = solve(np.zeros((3, 4)), np.array([[1.0, 2.0, -3.0]]), wires)
    np.testing.assert_allclose(fast.v_rows[0], np.repeat([[1.0], [2.0], [-3.0]], 4, axis=1), rtol=1e-15)
    assert not fast.currents.any()
    assert not fast.v_columns.any()
    assert fast.residual < 1e-15


# ---- batches, threads, scale ----


def test_batch__equals_one_by_one(rng):
    g, v, wires = sane(rng, b=17)
    together = solve(g, v, wires)
    for k in range(len(v)):
        alone = solve(g, v[k : k + 1], wires)
        np.testing.assert_array_equal(together.v_rows[k], alone.v_rows[0])
        np.testing.assert_array_equal(together.v_columns[k], alone.v_columns[0])
        np.testing.assert_array_equal(together.currents[k], alone.currents[0])
        np.testing.assert_allclose(together.power[k], alone.power[0], rtol=1e-14)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_threads__change_no_bit(rng):
    g, v, wires = sane(rng, b=9)
    before = worker_threads.threads()
    results = []
    try:
        for count in (1, 2):
            worker_threads.set_threads(count)
            results.append(solve(g, v, wires))
    finally:
        worker_threads.set_threads(before)
    np.testing.assert_array_equal(results[0].v_rows, results[1].v_rows)
    np.testing.assert_array_equal(results[0].v_columns, results[1].v_columns)


def test_inputs__scale_and_add(rng):
    g, v, wires = sane(rng, b=2)
    both = solve(g, np.vstack([v, v[0] + v[1], 1e-6 * v[0], np.zeros_like(v[0])]), wires)
    largest = np.abs(both.currents).max()
    np.testing.assert_allclose(both.currents[2], both.currents[0] + both.currents[1], rtol=0.0, atol=AMPERES * largest)
    np.testing.assert_allclose(1e6 * both.currents[3], both.currents[0], rtol=0.0, atol=AMPERES * largest)
    assert not both.currents[4].any()
    assert both.power[4] == 0.0


def test_power__is_what_the_sources_deliver(rng):
    g, v, wires = sane(rng)
    fast = solve(g, v, wires)
    delivered = (v - fast.v_rows[:, :, 0]) / wires.r_driver
    np.testing.assert_allclose(fast.power, (v * delivered).sum(1), rtol=1e-10)


def test_no_inputs__no_outputs(rng):
    g, _, wires = sane(rng)
    nothing = solve(g, np.empty((0, 40)), wires)
    assert nothing.currents.shape == (0, 24)
    assert nothing.v_rows.shape == (0, 40, 24)
    assert nothing.power.shape == (0,)
    assert nothing.residual == 0.0


# ---- the residual ----


@pytest.mark.parametrize("shape", [(1, 1), (1, 24), (128, 64), (53, 97)])
def test_residual__small_and_honest(rng, shape):
    """At most 1e-9 on a sane array, and what Kirchhoff's current law written out at every node says."""
    g, v, wires = sane(rng, *shape, 1)
    fast = solve(g, v, wires)
    assert fast.residual <= 1e-9
    np.testing.assert_allclose(fast.residual, kcl(g, v, wires, fast), rtol=0.3, atol=1e-15)


def test_residual__sees_a_wrong_voltage(rng):
    g, v, wires = sane(rng)
    fast = solve(g, v, wires)
    wrong = fast.v_columns.copy()
    wrong[3, 20, 11] += 1e-6
    seen = residual(g, v, wires, fast.v_rows, wrong)
    leaking = 1e-6 * 2.0 / wires.r_column
    assert seen > 0.1 * leaking / np.abs(np.diff(wrong, axis=1) / wires.r_column).max()
    assert seen > 1e4 * fast.residual


def test_twin_and_solver__residuals_are_one_measure(rng):
    g, v, wires = sane(rng, 8, 9)
    slow = reference_solve(g, v, wires)
    assert slow.residual < 1e-14  # of voltages before they are rounded
    # rounded, they show the floor of docs/equations/nodal.md, section 4: half a unit in the last place across a wire
    floor = 2.0**-53 * np.abs(slow.v_rows).max() / wires.r_row / np.abs(g * (slow.v_rows - slow.v_columns)).max()
    assert residual(g, v, wires, slow.v_rows, slow.v_columns) < 4.0 * floor


# ---- far from sane, and bad input ----


def test_extremes__solved_or_refused(rng):
    """Cells from 1e-12 S to 1 S between lines of 0.1 mΩ that mostly float: right, or a sentence with numbers."""
    for _ in range(10):
        g = 10.0 ** rng.uniform(-12.0, 0.0, (20, 20))
        ends = [np.where(rng.random(20) < 0.8, inf, 1e-3) for _ in range(2)]
        v = rng.uniform(-1.0, 1.0, (1, 20))
        wires = Wires(1e-4, 1e-4, *ends)
        try:
            fast = solve(g, v, wires)
        except ConvergenceError as error:
            assert "of 1 inputs did not converge, first 0" in str(error)  # noqa: PT017
            continue
        slow = reference_solve(g, v, wires)
        np.testing.assert_allclose(fast.v_columns, slow.v_columns, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("g", "v", "words"),
    [
        (np.ones(3), np.ones((1, 3)), "g must have 2 axes, got 1"),
        (np.ones((2, 0)), np.ones((1, 2)), r"g must have at least one row and one column, got shape \(2, 0\)"),
        ([[1.0, -1.0]], [[1.0]], r"g must be ≥ 0 everywhere, got -1 at index \(0, 1\)"),
        (np.ones((2, 3)), np.ones(2), r"v must have shape \(any, 2\), got \(2,\)"),
        (np.ones((2, 3)), np.ones((1, 3)), r"v must have shape \(any, 2\), got \(1, 3\)"),
        (np.ones((2, 3)), [[1.0, np.nan]], r"v must hold no nan, got nan at index \(0, 1\)"),
        (np.ones((2, 3)), [[1.0, inf]], "v must be finite"),
    ],
)
def test_arguments__bad_values_are_refused(g, v, words):
    with pytest.raises(ParameterError, match=words):
        solve(g, v, Wires(1, 1, 1, 1))


def test_wires__for_another_array_are_refused():
    with pytest.raises(ParameterError, match="r_sense_far has 2 resistances, but the array has 3 columns"):
        solve(np.ones((2, 3)), np.ones((1, 2)), Wires(1, 1, 1, 1, r_sense_far=[1, 1]))
