"""Interleaved differential arrays: limits, the equivalent circuit, and the small IR drop on their columns."""

import numpy as np
import pytest

from crossbar import Array, Wires, reference_solve, solve, transfer_matrix
from crossbar.arrays.differential import interleave, opposed, pair_transfer
from devices import AdaptiveMemristor, Resistor
from devices.errors import ParameterError


def pairs(rng, m=16, n=8):
    """Positive and negative cells (m, n) of 1 to 100 µS [S]."""
    return 1e-6 * rng.uniform(1.0, 10.0, (m, n)) ** 2, 1e-6 * rng.uniform(1.0, 10.0, (m, n)) ** 2


def test_rows__stand_in_turn(rng):
    positive, negative = pairs(rng, 3, 2)
    np.testing.assert_array_equal(interleave(positive, negative)[[0, 2, 4]], positive)
    np.testing.assert_array_equal(interleave(positive, negative)[[1, 3, 5]], negative)
    np.testing.assert_array_equal(opposed([[1.0, -2.0], [0.5, 0.0]]), [[1, -1, -2, 2], [0.5, -0.5, 0, 0]])


def test_without_wires__the_plain_difference(rng):
    positive, negative = pairs(rng)
    v, g, wires = rng.uniform(-0.2, 0.2, (4, 16)), interleave(positive, negative), Wires(0, 0, 0, 0)
    np.testing.assert_array_equal(pair_transfer(transfer_matrix(g, wires)), positive - negative)
    largest = (np.abs(v) @ (positive + negative)).max()
    found = solve(g, opposed(v), wires)
    np.testing.assert_allclose(found.currents, v @ (positive - negative), rtol=0.0, atol=1e-15 * largest)
    np.testing.assert_allclose(found.power, v**2 @ (positive + negative).sum(1), rtol=1e-14)


def test_currents__of_transfer_solver_and_twin_are_one(rng):
    positive, negative = pairs(rng)
    v, g, wires = rng.uniform(-0.2, 0.2, (3, 16)), interleave(positive, negative), Wires(1.0, 2.0, 50.0, 10.0)
    twin = reference_solve(g, opposed(v), wires).currents
    scale = np.abs(twin).max()
    np.testing.assert_allclose(v @ pair_transfer(transfer_matrix(g, wires)), twin, rtol=0.0, atol=1e-13 * scale)
    np.testing.assert_allclose(solve(g, opposed(v), wires).currents, twin, rtol=0.0, atol=1e-11 * scale)


def test_equal_pairs__cancel_on_the_column_and_leave_its_wire_at_rest(rng):
    """Over rows without resistance the two cells of a balanced pair feed each other: the column stays at 0 V."""
    positive, _ = pairs(rng)
    v = rng.uniform(0.1, 0.2, (1, 16))
    found = solve(interleave(positive, positive), opposed(v), Wires(0.0, 0.0, 0.0, 10.0))
    assert np.abs(found.currents).max() < 1e-13 * (v @ positive).max()
    assert np.abs(found.v_columns).max() < 1e-12


def test_sense_resistor__sees_the_difference_alone(rng):
    """With all resistance at the sense end a column's node is at r D / (1 + r G): the output is short by a factor that
    no input changes.  Separate columns are short by two factors, of both sums.
    """
    positive, negative = pairs(rng)
    v = rng.uniform(-0.2, 0.2, (5, 16))
    found = solve(interleave(positive, negative), opposed(v), Wires(0.0, 0.0, 0.0, 25.0))
    factor = 1.0 + 25.0 * (positive + negative).sum(0)
    largest = (np.abs(v) @ (positive + negative)).max()
    np.testing.assert_allclose(found.currents * factor, v @ (positive - negative), rtol=0.0, atol=1e-13 * largest)
    np.testing.assert_allclose(found.v_columns[:, 0], 25.0 * found.currents, rtol=0.0, atol=1e-13)


def test_columns__rise_far_less_than_separate_ones(rng):
    """Pairs that differ by up to 10 % of what they have in common, inputs of one sign, columns of the same length: the
    columns' wires drop ten times less and turn a hundred times less into heat.  The error of the difference current
    is of the same order both ways (docs/equations/topologies.md, section 1).
    """
    m, n = 48, 3
    common, part = rng.uniform(40e-6, 60e-6, (m, n)), rng.uniform(-5e-6, 5e-6, (m, n))
    positive, negative = common + part, common - part
    v = rng.uniform(0.05, 0.2, (4, m))
    exact = v @ (positive - negative)
    together = solve(interleave(positive, negative), opposed(v), Wires(1.0, 1.0, 10.0, 10.0))
    columns = np.stack([positive, negative], axis=2).reshape(m, 2 * n)  # of pair j: columns 2j and 2j + 1
    apart = solve(columns, v, Wires(1.0, 2.0, 10.0, 10.0))
    assert np.abs(together.v_columns).max() < 0.1 * np.abs(apart.v_columns).max()
    heat = [(np.diff(each.v_columns, axis=1) ** 2).sum() / r for each, r in ((together, 1.0), (apart, 2.0))]
    assert heat[0] < 0.01 * heat[1]
    difference = apart.currents[:, 0::2] - apart.currents[:, 1::2]
    errors = [np.abs(currents - exact).max() for currents in (together.currents, difference)]
    assert 0.3 < errors[0] / errors[1] < 3.0


def test_gated_cells__are_interleaved_with_offsets_and_gates(rng):
    cell = AdaptiveMemristor()
    one, other = (Array(cell, cell.filament(rng.random((4, 3))), rng.normal(0.0, 0.05, (4, 3))) for _ in range(2))
    gates = [rng.uniform(0.0, 4.0, (4, 3)) for _ in range(2)]
    both = interleave(one, other)
    v = rng.uniform(-0.2, 0.2, (2, 4))
    found = solve(both, opposed(v), Wires(0, 0, 0, 0), v_gate=interleave(*gates)).currents
    plus = solve(one, v, Wires(0, 0, 0, 0), v_gate=gates[0]).currents
    minus = solve(other, v, Wires(0, 0, 0, 0), v_gate=gates[1]).currents
    np.testing.assert_allclose(found, plus - minus, rtol=0.0, atol=1e-12 * np.abs(plus).max())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: interleave(np.ones((2, 3)), np.ones((3, 2))), r"must have the same shape, got \(2, 3\) and \(3, 2\)"),
        (lambda: interleave(np.ones(3), np.ones(3)), "positive must have 2 axes, got 1"),
        (lambda: interleave(Array(Resistor(), np.ones((1, 1))), np.ones((1, 1))), "must both be Arrays or both be"),
        (lambda: interleave(Array(Resistor(), np.ones((1, 1))), Array(AdaptiveMemristor(), np.ones((1, 1)))),
         "both arrays must have the same cell, got Resistor"),
        (lambda: opposed(np.ones(3)), "v must have 2 axes, got 1"),
        (lambda: pair_transfer(np.ones((3, 2))), "transfer must have an even number of rows, two for each pair, got 3"),
    ],
)  # fmt: skip
def test_arguments__bad_values_are_refused(call, words):
    with pytest.raises(ParameterError, match=words):
        call()
