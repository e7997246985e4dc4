"""The fraction of a cell's current that its column line passes to the ends."""

from math import inf

import numpy as np
import pytest

from crossbar import Wires, reference_solve
from crossbar.tiles.column_lines import column_reach


def adjoint(g, wires):
    """Voltages of the column nodes with both ends at 1 V and ideal rows at 0 V, by the slow twin.

    It drives rows only, so the array is turned: its columns become rows, driven from the same ends.
    """
    n = g.shape[1]
    turned = Wires(wires.r_column, 0.0, wires.sense_far(n), 0.0, wires.sense(n), inf)
    return reference_solve(np.ascontiguousarray(g.T), np.ones((1, n)), turned).v_rows[0].T


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 1), (5, 4), (40, 3)])
@pytest.mark.parametrize(("near", "far"), [(2.0, inf), (0.0, inf), (inf, 3.0), (5.0, 7.0), (0.0, 0.0), (4.0, 0.0)])
@pytest.mark.parametrize("r", [0.0, 2.8])
def test_reach__is_the_adjoint_voltage_of_the_column(rng, shape, near, far, r):
    g = 10.0 ** rng.uniform(-6.0, -3.0, shape)
    g[rng.random(shape) < 0.2] = 0.0
    wires = Wires(1.0, r, 1.0, near, r_sense_far=far)
    np.testing.assert_allclose(column_reach(g, wires), adjoint(g, wires), rtol=1e-12, atol=1e-15)


def test_reach__ideal_columns_let_everything_through(rng):
    assert np.all(column_reach(rng.uniform(0.0, 1e-3, (2, 4, 3)), Wires(5.0, 0.0, 5.0, 0.0)) == 1.0)


def test_reach__falls_with_the_distance_from_the_sense_end(rng):
    reach = column_reach(rng.uniform(1e-5, 1e-4, (3, 30, 4)), Wires(1.0, 5.0, 1.0, 2.0))
    assert np.all(np.diff(reach, axis=-2) > 0.0)
    assert np.all((reach > 0.0) & (reach < 1.0))


def test_reach__floating_columns_let_nothing_through(rng):
    g = rng.uniform(1e-5, 1e-4, (4, 3))
    for r in (0.0, 1.0):
        assert not column_reach(g, Wires(1.0, r, 1.0, inf)).any()
