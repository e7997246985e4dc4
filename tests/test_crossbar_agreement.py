"""Every solver against the reference solver and ngspice, over the whole range of arrays for which accuracy is claimed.

Cells have 0 or 1e-9 to 1e-2 S, wires 0 to 100 ohm, ends 0 to inf ohm line by line; arrays have 1 to 64 lines per side.
Currents are compared relative to the largest current of their input, because a small difference of large currents is
only known to their rounding.  Transfer conductances and powers are compared relative to their own values.
"""

import shutil
import tempfile
from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import Array, Wires, reduce_array, reference_solve, run_ngspice, solve, to_spice
from devices import AdaptiveMemristor, Resistor

live = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")

TWIN = 1e-10  # claimed accuracy of all solvers against the reference solver
NGSPICE = 1e-8  # claimed accuracy against ngspice, which solves in plain float64
NONLINEAR = 1e-6  # claimed accuracy for nonlinear cells against ngspice
SIZES = [1, 2, 3, 5, 8, 13, 17, 24, 32, 33, 47, 64]
ENDS = [[0.0], [1.0, 50.0], [0.0, 1.0, 50.0, 1e6, inf], [10.0, inf], [0.0, 1e-3, 1e6]]
SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed, m, n, pools=ENDS):
    """Conductances (m, n), two inputs (2, m), wires."""
    rng = np.random.default_rng(seed)
    g = 10.0 ** rng.uniform(-9.0, -2.0, (m, n))
    g[rng.random((m, n)) < rng.choice([0.0, 0.2, 0.9])] = 0.0
    segments = rng.choice([0.0, 0.1, 1.0, 100.0], 2)

    def ends(count):
        return rng.choice(pools[rng.integers(len(pools))], count)

    far = rng.random(2) < 0.5
    wires = Wires(*segments, ends(m), ends(n), ends(m) if far[0] else inf, ends(n) if far[1] else inf)
    return g, rng.uniform(-1.0, 1.0, (2, m)), wires


arrays = st.builds(drawn, SEEDS, st.sampled_from(SIZES), st.sampled_from(SIZES))
small_arrays = st.builds(drawn, SEEDS, st.integers(1, 12), st.integers(1, 12))


def far_off(found, expected):
    """Largest difference (b,) of currents (b, n), relative to the input's largest; below 1e-25 A is no current."""
    return np.abs(found - expected).max(1) / np.maximum(np.abs(expected).max(1), 1e-25 / TWIN)


def heat(g, v, wires, x, y):
    """Power (b,) that each resistor turns into heat, one after another, from the voltages of its two nodes."""
    (m, n), total = g.shape, np.zeros(len(v))
    for i in range(m):
        for j in range(n):
            total += g[i, j] * (x[:, i, j] - y[:, i, j]) ** 2
            if j and wires.r_row:
                total += (x[:, i, j] - x[:, i, j - 1]) ** 2 / wires.r_row
            if i and wires.r_column:
                total += (y[:, i, j] - y[:, i - 1, j]) ** 2 / wires.r_column
        for end, node in ((wires.driver(m)[i], x[:, i, 0]), (wires.driver_far(m)[i], x[:, i, -1])):
            total += (v[:, i] - node) ** 2 / end if end else 0.0
    for j in range(n):
        for end, node in ((wires.sense(n)[j], y[:, -1, j]), (wires.sense_far(n)[j], y[:, 0, j])):
            total += node**2 / end if end else 0.0
    return total


@settings(max_examples=12)
@given(arrays)
def test_linear__all_solvers_are_the_twin(array):
    g, v, wires = array
    twin = reference_solve(g, np.vstack([v, np.eye(len(g))]), wires)
    transfer, currents = twin.currents[2:], twin.currents[:2]
    multiport, solution = reduce_array(g, wires), solve(g, v, wires)
    newton = solve(Array(Resistor(), g), v, wires, tolerance=1e-13)
    np.testing.assert_allclose(multiport.transfer, transfer, rtol=TWIN, atol=1e-25)
    assert np.all(far_off(v @ multiport.transfer, currents) <= TWIN)
    for each in (solution, newton):
        assert np.all(far_off(each.currents, currents) <= TWIN)
        np.testing.assert_allclose(each.v_rows, twin.v_rows[:2], rtol=0.0, atol=TWIN)
        np.testing.assert_allclose(each.v_columns, twin.v_columns[:2], rtol=0.0, atol=TWIN)


@settings(max_examples=12)
@given(small_arrays)
def test_power__sources_deliver_what_branches_turn_into_heat(array):
    """The sources' power comes from the reduction, which knows no inner node, the heat from every branch's voltage."""
    g, v, wires = array
    solution, multiport = solve(g, v, wires), reduce_array(g, wires)
    branches = heat(g, v, wires, solution.v_rows, solution.v_columns)
    np.testing.assert_allclose((v * multiport.source_currents(v)).sum(1), branches, rtol=TWIN, atol=1e-25)
    np.testing.assert_allclose(multiport.power(v), branches, rtol=TWIN, atol=1e-25)
    np.testing.assert_allclose(solution.power, branches, rtol=TWIN, atol=1e-25)


@settings(max_examples=12)
@given(small_arrays, st.floats(-3.0, 3.0))
def test_superposition_and_reciprocity__of_the_line_solver(array, factor):
    g, v, wires = array
    m, n = g.shape
    one, other = solve(g, v, wires).currents
    both = solve(g, (v[0] + factor * v[1])[None], wires).currents[0]
    scale = max(np.abs(one).max(), abs(factor) * np.abs(other).max(), 1e-25 / TWIN)
    np.testing.assert_allclose(both, one + factor * other, rtol=0.0, atol=TWIN * scale)
    turned = Wires(
        wires.r_column, wires.r_row, wires.sense(n)[::-1], wires.driver(m)[::-1],
        r_driver_far=wires.sense_far(n)[::-1], r_sense_far=wires.driver_far(m)[::-1],
    )  # fmt: skip
    there = solve(g, np.eye(m), wires).currents
    back = solve(g[::-1, ::-1].T, np.eye(n), turned).currents[::-1, ::-1].T
    np.testing.assert_allclose(back, there, rtol=0.0, atol=TWIN * max(there.max(), 1e-25 / TWIN))


@live
@settings(max_examples=12)
@given(small_arrays)
def test_ngspice__linear_arrays(array):
    g, v, wires = array
    with tempfile.TemporaryDirectory() as folder:
        to_spice(g, v[:1], wires, Path(folder) / "drawn.cir")
        judged = run_ngspice(Path(folder) / "drawn.cir")
    assert np.all(far_off(reference_solve(g, v[:1], wires).currents, judged) <= NGSPICE)
    assert np.all(far_off(solve(g, v[:1], wires).currents, judged) <= NGSPICE)
    assert np.all(far_off(v[:1] @ reduce_array(g, wires).transfer, judged) <= NGSPICE)


@live
@settings(max_examples=8)
@given(SEEDS, st.integers(1, 8), st.integers(1, 8), st.sampled_from([0.2, 0.6, 1.2]))
def test_ngspice__gated_nonlinear_arrays(seed, m, n, volts):
    rng = np.random.default_rng(seed)
    cell = AdaptiveMemristor(r_series=rng.choice([0.0, 1e3]), v_0=rng.choice([0.15, 0.25]))
    g = cell.filament(rng.random((m, n)))
    g[rng.random((m, n)) < 0.2] = 0.0
    _, _, wires = drawn(seed, m, n, ENDS[:-1])  # behind 1 mΩ rounding keeps ngspice's own Newton steps from ending
    v, u = rng.uniform(-volts, volts, (1, m)), rng.choice([0.0, 0.5 * volts], (1, n))
    cells, v_gate = Array(cell, g, rng.normal(0.0, 0.05, (m, n))), rng.uniform(-2.0, 4.0, (m, n))
    with tempfile.TemporaryDirectory() as folder:
        to_spice(cells, v, wires, Path(folder) / "drawn.cir", v_gate=v_gate, v_sense=u)
        judged = run_ngspice(Path(folder) / "drawn.cir")
    found = solve(cells, v, wires, v_gate=v_gate, v_sense=u).currents
    # below 1e-18 A nothing flows: columns that float, or whose voltages are all the same
    assert np.abs(found - judged).max() <= NONLINEAR * np.abs(judged).max() + 1e-18
