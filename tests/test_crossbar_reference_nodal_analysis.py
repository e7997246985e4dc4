"""The reference solver: circuits by hand, laws of physics, elimination without subtraction, ngspice."""

from fractions import Fraction
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbar import Solution, Wires, reference_solve
from devices.errors import ConvergenceError, ParameterError

EXACT = 1e-14  # hand-solved circuits: a few roundings of float64
SOLVED = 1e-12  # larger circuits: the solver reaches about 1e-15, and the comparison sums a few hundred terms


@st.composite
def arrays(draw, *, ends=True):
    """Conductances (m, n), inputs (b, m), wires; zeros and open ends among them."""
    m, n = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = 10.0 ** rng.uniform(-8.0, -3.0, (m, n))
    g[rng.random((m, n)) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = 0.0
    v = rng.uniform(-1.0, 1.0, (draw(st.integers(1, 3)), m))
    r_row, r_column = draw(st.sampled_from([0.0, 1.0, 100.0])), draw(st.sampled_from([0.0, 2.0, 300.0]))
    pool = [0.0, 1.0, 50.0, 1e6, inf] if ends else [1.0, 50.0, 1e6]
    r_driver, r_driver_far = rng.choice(pool, m), rng.choice(pool, m)
    r_sense, r_sense_far = rng.choice(pool, n), rng.choice(pool, n)
    return g, v, Wires(r_row, r_column, r_driver, r_sense, r_driver_far=r_driver_far, r_sense_far=r_sense_far)


# ---- circuits solved by hand ----


def test_1x1__a_series_circuit():
    """Source, driver, cell, sense end in series: I = V / (r_driver + 1/g + r_sense)."""
    solution = reference_solve(np.array([[1 / 70]]), np.array([[2.0], [-4.0]]), Wires(5, 6, 10, 20))
    np.testing.assert_allclose(solution.currents, [[0.02], [-0.04]], rtol=EXACT)
    np.testing.assert_allclose(solution.v_rows, [[[1.8]], [[-3.6]]], rtol=EXACT)
    np.testing.assert_allclose(solution.v_columns, [[[0.4]], [[-0.8]]], rtol=EXACT)
    np.testing.assert_allclose(solution.power, [0.04, 0.16], rtol=EXACT)
    assert solution.residual < EXACT
    assert solution.steps == 0


def test_1x1__far_ends_are_parallel():
    """With one cell both ends meet the same node: 30 || 15 = 10 before it, 40 || 40 = 20 behind it."""
    solution = reference_solve(np.array([[1 / 70]]), np.array([[2.0]]), Wires(5, 6, 30, 40, 15, 40))
    np.testing.assert_allclose(solution.currents, [[0.02]], rtol=EXACT)
    np.testing.assert_allclose(solution.power, [0.04], rtol=EXACT)


def test_1x2__a_ladder():
    """One row, r_driver = 3, r_row = 6; cells 8 and 10 behind sense ends 4 and 2, so 12 and 12 to ground.

    From node b: 6 + 12 = 18 in parallel with 12 gives 36/5 seen from node a, so v_a = V (36/5) / (3 + 36/5) = 12 V/17
    and v_b = v_a 12/18 = 8 V/17. Then I_0 = v_a/12 = V/17 and I_1 = v_b/12 = 2 V/51; the source gives 5 V/51.
    """
    solution = reference_solve(np.array([[1 / 8, 1 / 10]]), np.array([[51.0]]), Wires(6, 7, 3, [4, 2]))
    np.testing.assert_allclose(solution.v_rows, [[[36.0, 24.0]]], rtol=EXACT)
    np.testing.assert_allclose(solution.currents, [[3.0, 2.0]], rtol=EXACT)
    np.testing.assert_allclose(solution.v_columns, [[[12.0, 4.0]]], rtol=EXACT)
    np.testing.assert_allclose(solution.power, [255.0], rtol=EXACT)


def test_1x2__driven_from_the_far_end_only():
    """The same ladder mirrored: the driver at column 1 sees cell 1 first."""
    wires = Wires(6, 7, inf, [2, 4], r_driver_far=3)
    solution = reference_solve(np.array([[1 / 10, 1 / 8]]), np.array([[51.0]]), wires)
    np.testing.assert_allclose(solution.v_rows, [[[24.0, 36.0]]], rtol=EXACT)
    np.testing.assert_allclose(solution.currents, [[2.0, 3.0]], rtol=EXACT)


def test_2x1__two_sources_meet():
    """One column, sensed at row 1 through 4: branches 3 + 4 + 5 = 12 from V_0 (driver, cell, r_column) and 2 + 4 = 6
    from V_1 meet at node u: v_u (1/12 + 1/6 + 1/4) = V_0/12 + V_1/6, so v_u = V_0/6 + V_1/3.
    """
    solution = reference_solve(np.array([[1 / 4], [1 / 4]]), np.array([[12.0, 6.0]]), Wires(9, 5, [3, 2], 4))
    np.testing.assert_allclose(solution.currents, [[1.0]], rtol=EXACT)  # v_u = 4
    # branch 0 carries (12 - 4)/12 = 2/3, branch 1 (6 - 4)/6 = 1/3
    np.testing.assert_allclose(solution.v_columns, [[[4 + 5 * 2 / 3], [4.0]]], rtol=EXACT)
    np.testing.assert_allclose(solution.v_rows, [[[12 - 3 * 2 / 3], [6 - 2 / 3]]], rtol=EXACT)
    np.testing.assert_allclose(solution.power, [12 * 2 / 3 + 6 / 3], rtol=EXACT)


def test_2x1__sensed_at_both_ends():
    """A balanced bridge carries nothing through r_column: each source meets its own end, I = V/(2+4+4) twice."""
    wires = Wires(9, 5, 2, 4, r_sense_far=4)
    solution = reference_solve(np.array([[1 / 4], [1 / 4]]), np.array([[10.0, 10.0]]), wires)
    np.testing.assert_allclose(solution.currents, [[2.0]], rtol=EXACT)
    np.testing.assert_allclose(solution.v_columns, [[[4.0], [4.0]]], rtol=EXACT)


def test_2x2__the_sneak_path():
    """Row 1 and column 1 float: besides cell 00, current runs through 01, 11 and 10 in series."""
    g = np.array([[1 / 10, 1 / 2], [1 / 3, 1 / 5]])
    wires = Wires(0, 0, [0, inf], [0, inf])
    solution = reference_solve(g, np.array([[30.0, 99.0]]), wires)
    np.testing.assert_allclose(solution.currents, [[30 / 10 + 30 / (2 + 5 + 3), 0.0]], rtol=EXACT)
    np.testing.assert_allclose(solution.v_columns[0, :, 1], 30 - 2 * 3.0, rtol=EXACT)
    np.testing.assert_allclose(solution.v_rows[0, 1], 3 * 3.0, rtol=EXACT)
    np.testing.assert_allclose(solution.power, [30 * 6.0], rtol=EXACT)


def test_2x2__all_eight_equations_in_exact_fractions():
    """Kirchhoff's current law written out at the eight nodes, solved in rational numbers.

    Resistances: r_row = 2, r_column = 3, drivers 4 and 5, sense ends 6 and 7, far drivers 8 and 9, far sense 10 and 11;
    cells 20, 30, 40, 50. Order: rows 00 01 10 11, columns 00 01 10 11. Sources 100 V and 70 V.
    """
    r = {k: Fraction(1, k) for k in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 20, 30, 40, 50)}
    o = Fraction(0)
    # fmt: off
    equations = [  # coefficients of the eight voltages | right-hand side
        [r[4] + r[2] + r[20], -r[2], o, o, -r[20], o, o, o, 100 * r[4]],
        [-r[2], r[2] + r[8] + r[30], o, o, o, -r[30], o, o, 100 * r[8]],
        [o, o, r[5] + r[2] + r[40], -r[2], o, o, -r[40], o, 70 * r[5]],
        [o, o, -r[2], r[2] + r[9] + r[50], o, o, o, -r[50], 70 * r[9]],
        [-r[20], o, o, o, r[20] + r[10] + r[3], o, -r[3], o, o],
        [o, -r[30], o, o, o, r[30] + r[11] + r[3], o, -r[3], o],
        [o, o, -r[40], o, -r[3], o, r[40] + r[3] + r[6], o, o],
        [o, o, o, -r[50], o, -r[3], o, r[50] + r[3] + r[7], o],
    ]
    # fmt: on
    for k in range(8):  # Gauss-Jordan, exact
        equations[k] = [each / equations[k][k] for each in equations[k]]
        for other in range(8):
            if other != k:
                factor = equations[other][k]
                equations[other] = [a - factor * b for a, b in zip(equations[other], equations[k], strict=True)]
    u = [row[8] for row in equations]
    currents = [u[6] * r[6] + u[4] * r[10], u[7] * r[7] + u[5] * r[11]]
    power = 100 * ((100 - u[0]) * r[4] + (100 - u[1]) * r[8]) + 70 * ((70 - u[2]) * r[5] + (70 - u[3]) * r[9])

    g = 1 / np.array([[20.0, 30.0], [40.0, 50.0]])
    solution = reference_solve(g, np.array([[100.0, 70.0]]), Wires(2, 3, [4, 5], [6, 7], [8, 9], [10, 11]))
    np.testing.assert_allclose(solution.v_rows.ravel(), [float(each) for each in u[:4]], rtol=EXACT)
    np.testing.assert_allclose(solution.v_columns.ravel(), [float(each) for each in u[4:]], rtol=EXACT)
    np.testing.assert_allclose(solution.currents.ravel(), [float(each) for each in currents], rtol=EXACT)
    np.testing.assert_allclose(solution.power, [float(power)], rtol=EXACT)


# ---- laws of physics ----


def test_zero_wires__dot_product(rng):
    g, v = rng.uniform(0, 1e-4, (7, 5)), rng.uniform(-1, 1, (4, 7))
    for far in (0, 3, inf):  # a resistor across a short carries nothing
        solution = reference_solve(g, v, Wires(0, 0, 0, 0, far, far))
        np.testing.assert_allclose(solution.currents, v @ g, rtol=1e-13, atol=1e-18)  # the order of a sum
        np.testing.assert_array_equal(solution.v_rows, np.broadcast_to(v[:, :, None], (4, 7, 5)))
        assert not solution.v_columns.any()
        np.testing.assert_allclose(solution.power, (v**2) @ g.sum(axis=1), rtol=1e-13)
        assert solution.residual == 0.0


@given(arrays())
def test_kirchhoff__residual_and_currents_into_ground(case):
    g, v, wires = case
    solution = reference_solve(g, v, wires)
    assert 0.0 <= solution.residual < 1e-11  # resolution of a voltage times the strongest wire, 1 S, over the current
    # What a column delivers to 0 V has come through its cells, whatever its wires are.
    through_cells = g * (solution.v_rows - solution.v_columns)
    scale = np.abs(through_cells).sum(axis=1) + g.max() * np.abs(v).max()
    np.testing.assert_array_less(np.abs(solution.currents - through_cells.sum(axis=1)), SOLVED * scale + 1e-300)


@given(arrays(ends=False))
def test_power__delivered_is_dissipated(case):
    """Joule's law, part by part, from the voltages alone."""
    g, v, wires = case
    (m, n), s = g.shape, reference_solve(*case)
    segments = (1 / wires.r_row if wires.r_row else 0.0), (1 / wires.r_column if wires.r_column else 0.0)
    heat = np.sum(g * (s.v_rows - s.v_columns) ** 2, axis=(1, 2))
    heat += segments[0] * np.sum(np.diff(s.v_rows, axis=2) ** 2, axis=(1, 2))
    heat += segments[1] * np.sum(np.diff(s.v_columns, axis=1) ** 2, axis=(1, 2))
    heat += np.sum((v - s.v_rows[:, :, 0]) ** 2 / wires.driver(m), axis=1)
    heat += np.sum((v - s.v_rows[:, :, -1]) ** 2 / wires.driver_far(m), axis=1)
    heat += np.sum(s.v_columns[:, -1] ** 2 / wires.sense(n) + s.v_columns[:, 0] ** 2 / wires.sense_far(n), axis=1)
    # Differences of float64 voltages across 1 ohm lose digits, hence the absolute part.
    np.testing.assert_allclose(s.power, heat, rtol=1e-9, atol=1e-20)


@given(arrays(), st.floats(-3, 3))
def test_superposition__and_scaling(case, factor):
    g, v, wires = case
    other = v[::-1] * 0.3 + 0.1
    one, two = reference_solve(g, v, wires), reference_solve(g, other, wires)
    both = reference_solve(g, v + factor * other, wires)
    scale = 10.0 * g.sum()
    np.testing.assert_allclose(both.currents, one.currents + factor * two.currents, rtol=0, atol=SOLVED * scale)
    np.testing.assert_allclose(both.v_rows, one.v_rows + factor * two.v_rows, rtol=0, atol=SOLVED)


@given(arrays())
def test_batch__each_input_alone(case):
    g, v, wires = case
    together = reference_solve(g, v, wires)
    for k, one in enumerate(v):
        alone = reference_solve(g, one[None], wires)
        np.testing.assert_allclose(together.currents[k], alone.currents[0], rtol=SOLVED, atol=1e-25)
        np.testing.assert_allclose(together.power[k], alone.power[0], rtol=SOLVED, atol=1e-25)


@given(arrays())
def test_reciprocity__driven_from_the_columns(case):
    """Turned by 90 degrees, columns become driven rows: the transfer matrix turns with the array."""
    g, _, wires = case
    m, n = g.shape
    turned = Wires(
        wires.r_column, wires.r_row, wires.sense(n)[::-1], wires.driver(m)[::-1],
        r_driver_far=wires.sense_far(n)[::-1], r_sense_far=wires.driver_far(m)[::-1],
    )  # fmt: skip
    forth = reference_solve(g, np.eye(m), wires).currents
    back = reference_solve(g[::-1, ::-1].T, np.eye(n), turned).currents
    np.testing.assert_allclose(forth, back[::-1, ::-1].T, rtol=SOLVED, atol=1e-22)


@given(arrays())
def test_mirror__near_and_far_ends_change_places(case):
    g, v, wires = case
    m, n = g.shape
    mirrored = Wires(
        wires.r_row, wires.r_column, wires.driver_far(m)[::-1], wires.sense_far(n)[::-1],
        r_driver_far=wires.driver(m)[::-1], r_sense_far=wires.sense(n)[::-1],
    )  # fmt: skip
    one = reference_solve(g, v, wires)
    two = reference_solve(g[::-1, ::-1], v[:, ::-1], mirrored)
    np.testing.assert_allclose(one.currents, two.currents[:, ::-1], rtol=SOLVED, atol=SOLVED * 1e-4)
    np.testing.assert_allclose(one.v_columns, two.v_columns[:, ::-1, ::-1], rtol=SOLVED, atol=SOLVED)


@given(arrays())
def test_passivity__voltages_stay_between_the_sources_and_power_is_positive(case):
    g, v, wires = case
    solution = reference_solve(g, v, wires)
    low, high = np.minimum(v.min(axis=1), 0.0), np.maximum(v.max(axis=1), 0.0)
    for nodes in (solution.v_rows, solution.v_columns):
        assert (nodes.min(axis=(1, 2)) >= low - 1e-15).all()
        assert (nodes.max(axis=(1, 2)) <= high + 1e-15).all()
    assert (solution.power >= -1e-20).all()


@given(arrays())
def test_elimination_without_subtraction__same_transfer(case):
    """Star-mesh elimination of every inner node keeps all digits; what is left between a source and a sense end is the
    transfer conductance.
    """
    g, _, wires = case
    twin = reference_solve(g, np.eye(len(g)), wires).currents
    np.testing.assert_allclose(twin, star_mesh(g, wires), rtol=1e-13, atol=0.0 if twin.all() else 1e-25)


@pytest.mark.parametrize("ratio", [1e3, 1e6, 1e9, 1e12])
def test_elimination_without_subtraction__weak_cells(rng, ratio):
    """Cells 1e12 times weaker than the wires: a plain float64 solve would have four digits left."""
    g = rng.uniform(0.1, 1.0, (6, 5)) / ratio
    wires = Wires(1.0, 2.0, 3.0, 4.0)
    twin = reference_solve(g, np.eye(6), wires).currents
    np.testing.assert_allclose(twin, star_mesh(g, wires), rtol=1e-13)


def star_mesh(g, wires):
    """Transfer matrix (m, n) [S] by eliminating one node after another: no subtraction, so no lost digits."""
    m, n = g.shape
    parts = []
    for i in range(m):
        parts += [(("s", i), ("r", i, 0), wires.driver(m)[i]), (("s", i), ("r", i, n - 1), wires.driver_far(m)[i])]
        parts += [(("r", i, j), ("r", i, j + 1), wires.r_row) for j in range(n - 1)]
    for j in range(n):
        parts += [(("t", j), ("c", m - 1, j), wires.sense(n)[j]), (("t", j), ("c", 0, j), wires.sense_far(n)[j])]
        parts += [(("c", i, j), ("c", i + 1, j), wires.r_column) for i in range(m - 1)]
    alias = {}

    def name(node):
        while node in alias:
            node = alias[node]
        return node

    for a, b, ohm in parts:  # a terminal keeps its name
        one, two = sorted((name(a), name(b)), key=lambda node: node[0] in "st")
        if ohm == 0.0 and one != two:
            alias[one] = two
    mesh: dict = {}

    def join(a, b, siemens):
        if a != b:
            for one, two in ((a, b), (b, a)):
                mesh.setdefault(one, {})[two] = mesh.get(one, {}).get(two, 0.0) + siemens

    for a, b, ohm in parts:
        if 0.0 < ohm < inf:
            join(name(a), name(b), 1.0 / ohm)
    for (i, j), siemens in np.ndenumerate(g):
        if siemens > 0.0:
            join(name(("r", i, j)), name(("c", i, j)), siemens)
    for node in [each for each in mesh if each[0] in "rc"]:
        arms = list(mesh.pop(node).items())
        total = sum(siemens for _, siemens in arms)
        for k, (a, y_a) in enumerate(arms):
            del mesh[a][node]
            for b, y_b in arms[:k]:
                join(a, b, y_a / total * y_b)
    return np.array([[mesh.get(("s", i), {}).get(("t", j), 0.0) for j in range(n)] for i in range(m)])


# ---- 0 and inf, floating lines ----


def test_zero_and_inf__are_the_limits_of_small_and_large(rng):
    g, v = rng.uniform(1e-6, 1e-4, (4, 3)), rng.uniform(-1, 1, (2, 4))

    def currents(zero, large):
        wires = Wires(zero, 2.0, [zero, large, 5.0, zero], [1.0, zero, large], [large, 4.0, large, zero], zero)
        return reference_solve(g, v, wires).currents

    np.testing.assert_allclose(currents(1e-9, 1e15), currents(0.0, inf), rtol=1e-9)


def test_floating_row__finds_its_own_voltage(rng):
    """Between columns at 0 V and 0 V it rests at 0 V; an open column would take it along."""
    g = rng.uniform(1e-6, 1e-4, (3, 2))
    solution = reference_solve(g, np.array([[1.0, 5.0, 1.0]]), Wires(0, 0, [0, inf, 0], [0, inf]))
    assert np.allclose(solution.v_rows[0, 1], solution.v_rows[0, 1, 0], rtol=EXACT)
    assert 0.0 < solution.v_rows[0, 1, 0] < 1.0  # of its own source's 5 V nothing arrives
    assert solution.currents[0, 1] == 0.0
    grounded = reference_solve(g, np.array([[1.0, 5.0, 1.0]]), Wires(0, 0, [0, inf, 0], 0))
    assert not grounded.v_rows[0, 1].any()


def test_islands__rest_at_zero_volt_and_break_nothing():
    """Row 1 has no driver and no cell; column 1 no sense end and no cell; the others do not notice."""
    g = np.array([[1e-3, 0.0], [0.0, 0.0]])
    solution = reference_solve(g, np.array([[1.0, 7.0]]), Wires(1.0, 1.0, [0.0, inf], [0.0, inf]))
    np.testing.assert_allclose(solution.currents, [[1.0 / (1e3 + 1.0), 0.0]], rtol=EXACT)
    assert not solution.v_rows[0, 1].any()
    assert not solution.v_columns[0, :, 1].any()
    assert np.isfinite(solution.power).all()


@pytest.mark.parametrize("ends", [0.0, 1.0, inf])
def test_all_cells_open__no_current(ends):
    v = np.array([[1.0, -2.0]])
    solution = reference_solve(np.zeros((2, 3)), v, Wires(1, 1, ends, ends, ends, ends))
    assert not solution.currents.any()
    assert not solution.power.any()
    assert solution.residual == 0.0
    rows = v[0] if ends < inf else [0.0, 0.0]
    np.testing.assert_allclose(solution.v_rows[0], np.repeat(np.reshape(rows, (2, 1)), 3, axis=1), rtol=EXACT)
    assert not solution.v_columns.any()


def test_both_ends_shorted__source_meets_itself(rng):
    """A row driven at both ends without resistance, its wire still having some: the middle sags, the ends do not."""
    g = rng.uniform(1e-3, 1e-2, (2, 3))
    solution = reference_solve(g, np.array([[1.0, 2.0]]), Wires(10, 10, 0, 0, 0, 0))
    np.testing.assert_array_equal(solution.v_rows[0][:, [0, 2]], [[1.0, 1.0], [2.0, 2.0]])
    assert (solution.v_rows[0, :, 1] < [1.0, 2.0]).all()
    np.testing.assert_array_equal(solution.v_columns, 0.0)  # two rows: both column nodes are ends
    np.testing.assert_allclose(solution.currents, np.sum(g * solution.v_rows, axis=1), rtol=EXACT)


# ---- shapes, and what is refused ----


def test_shapes__stay_when_the_batch_is_one():
    solution = reference_solve(np.ones((3, 2)), np.ones((1, 3)), Wires(1, 1, 1, 1))
    assert isinstance(solution, Solution)
    assert solution.currents.shape == (1, 2)
    assert solution.v_rows.shape == solution.v_columns.shape == (1, 3, 2)
    assert solution.power.shape == (1,)
    assert {each.dtype for each in (solution.currents, solution.v_rows, solution.v_columns, solution.power)} == {
        np.dtype(np.float64)
    }


@pytest.mark.parametrize(
    ("g", "v", "wires", "words"),
    [
        (np.ones(3), np.ones((1, 3)), Wires(1, 1, 1, 1), "g must have 2 axes"),
        (np.ones((0, 3)), np.ones((1, 0)), Wires(1, 1, 1, 1), "g must have at least one row and one column"),
        (-np.ones((1, 1)), np.ones((1, 1)), Wires(1, 1, 1, 1), "g must be ≥ 0"),
        (np.full((1, 1), inf), np.ones((1, 1)), Wires(1, 1, 1, 1), "g must be finite"),
        (np.ones((3, 2)), np.ones(3), Wires(1, 1, 1, 1), "v must have shape"),
        (np.ones((3, 2)), np.ones((1, 2)), Wires(1, 1, 1, 1), "v must have shape"),
        (np.ones((3, 2)), np.ones((0, 3)), Wires(1, 1, 1, 1), "v must hold at least one input"),
        (np.ones((3, 2)), np.full((1, 3), np.nan), Wires(1, 1, 1, 1), "v must hold no nan"),
        (np.ones((3, 2)), np.ones((1, 3)), Wires(1, 1, [1, 1], 1), "r_driver has 2 resistances"),
        (np.ones((3, 2)), np.ones((1, 3)), Wires(1, 1, 1, 1, inf, [1, 1, 1]), "r_sense_far has 3 resistances"),
    ],
)
def test_refused__with_a_sentence(g, v, wires, words):
    with pytest.raises(ParameterError, match=words):
        reference_solve(g, v, wires)


@pytest.mark.parametrize("ohm", [1e-300, 1e-100, 1e-30])
def test_refused__conductances_too_far_apart(rng, ohm):
    """Never a wrong answer: the wires swallow the cells in float64, and the solver says so."""
    g = rng.uniform(1e-8, 1e-6, (6, 6))
    with pytest.raises(ConvergenceError, match="too far apart"):
        reference_solve(g, np.ones((1, 6)), Wires(ohm, ohm, 1.0, 1.0))


# ---- the outside judge ----


def test_ngspice__stored_runs_agree(stored):
    """ngspice's own rounding is the limit: it solves in plain float64."""
    solution = reference_solve(stored.g, stored.v, stored.wires)
    np.testing.assert_allclose(solution.currents, stored.currents, rtol=1e-10, atol=0.0)
    assert solution.residual < 1e-14
