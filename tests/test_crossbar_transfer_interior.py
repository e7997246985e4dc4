"""Node voltages from the stored reduction, against the reference solver."""

from math import inf

import numpy as np
import pytest

from crossbar import Interior, Wires, reference_solve, solve, transfer_matrix
from devices.errors import ParameterError


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (8, 8), (13, 9), (33, 20)])
@pytest.mark.parametrize(
    "far", [{}, {"r_driver_far": 20.0, "r_sense_far": 30.0}, {"r_driver_far": 0.0}, {"r_sense_far": 0.0}],
    ids=["open", "both", "driven", "sensed"],
)  # fmt: skip
def test_solve__is_the_twin_at_every_node(rng, shape, far):
    """Drivers of 0 Ω and open ones among others; a few cells open."""
    m, n = shape
    wires = Wires(1.0, 1.5, rng.choice([0.0, 2.0, 80.0, inf], m), rng.uniform(1.0, 9.0, n), **far)
    g = 10.0 ** rng.uniform(-6.0, -3.0, shape) * (rng.random(shape) < 0.9)
    v = rng.normal(size=(5, m))
    senses = rng.normal(size=(5, n))
    got, exact = Interior(g, wires).solve(v, v_sense=senses), reference_solve(g, v, wires, v_sense=senses)
    scale = max(np.abs(v).max(), np.abs(senses).max())
    joined = transfer_matrix(g, wires).sum(1) > 0.0  # rows that hang together with anything
    np.testing.assert_allclose(got.v_rows[:, joined], exact.v_rows[:, joined], rtol=0.0, atol=1e-11 * scale)
    np.testing.assert_allclose(got.v_columns, exact.v_columns, rtol=0.0, atol=1e-11 * scale)
    np.testing.assert_allclose(got.currents, exact.currents, rtol=0.0, atol=1e-10 * np.abs(exact.currents).max())
    np.testing.assert_allclose(got.power, exact.power, rtol=1e-10)


def test_solve__many_inputs_in_parts(rng, monkeypatch):
    monkeypatch.setattr("crossbar.transfer.interior.AT_ONCE", 3)
    g, v, wires = rng.uniform(1e-6, 1e-4, (10, 12)), rng.normal(size=(8, 10)), Wires(1.0, 1.0, 10.0, 5.0)
    inside = Interior(g, wires)
    whole = solve(g, v, wires)
    np.testing.assert_allclose(inside.solve(v).v_columns, whole.v_columns, rtol=0.0, atol=1e-13)
    assert inside.solve(v[:0]).currents.shape == (0, 12)


@pytest.mark.parametrize("segments", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_solve__lines_without_resistance(rng, segments):
    g, v, wires = rng.uniform(1e-6, 1e-4, (6, 4)), rng.normal(size=(3, 6)), Wires(*segments, 5.0, 7.0)
    np.testing.assert_array_equal(Interior(g, wires).solve(v).v_rows, solve(g, v, wires).v_rows)


@pytest.mark.parametrize(
    ("g", "words"),
    [(np.ones(3), "g must have 2 axes"), (np.ones((0, 3)), "at least one row"), ([[1.0, -1.0]], "g must be ≥ 0")],
)
def test_interior__bad_conductances_are_refused(g, words):
    with pytest.raises(ParameterError, match=words):
        Interior(g, Wires(1.0, 1.0, 1.0, 1.0))


def test_solve__inputs_for_another_array_are_refused(rng):
    with pytest.raises(ParameterError, match="v must"):
        Interior(rng.random((3, 4)), Wires(1.0, 1.0, 1.0, 1.0)).solve(np.ones((2, 5)))
