"""Settling: single capacitors, moments and bounds against all modes of the circuit, ngspice, distributed lines."""

import runpy
import shutil
from math import inf, pi
from pathlib import Path

import numpy as np
import pytest

from crossbar import (
    Capacitances,
    GateLines,
    Wires,
    gate_settling,
    gate_transient,
    reference_solve,
    settling,
    transient,
    worst_settling,
)
from crossbar.nodal.injection import dc_voltages, inject
from crossbar.reference.transients import array_circuit
from devices.errors import ParameterError

STORED = Path(__file__).parent / "data" / "transient_6x5"
live = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")


@pytest.mark.parametrize("model", ["two poles", "delayed pole"])
def test_settling__one_capacitor_is_exact(model):
    """A cell whose column is held: RC of the driver beside the cell."""
    g, r, c = 1e-4, 500.0, 3e-15
    wires = Wires(0.0, 0.0, r, 0.0)
    constant = c / (1.0 / r + g)
    found = settling(np.array([[g]]), np.array([[0.2]]), wires, Capacitances(c, 7e-15))
    np.testing.assert_allclose(found.coefficients.ravel(), constant ** np.arange(1, 4), rtol=1e-13)
    np.testing.assert_allclose(
        found.time(1e-3, model), -constant * np.log(1e-3), rtol=1e-7
    )  # σ is a root of a difference
    np.testing.assert_allclose(found.bound(1e-3), constant * (1.0 - np.log(1e-3)), rtol=1e-12)
    np.testing.assert_allclose(found.remaining(np.array(2 * constant), model), np.exp(-2.0), rtol=1e-7)


def test_settling__two_capacitors_are_two_poles():
    """Row and column node of one cell: two poles and no zero are what the estimate is made of."""
    g, wires, c = 1e-3, Wires(0.0, 0.0, 800.0, 300.0), Capacitances(2e-15, 5e-15)
    found = settling(np.array([[g]]), np.array([[1.0]]), wires, c)
    times = np.array([2e-12, 8e-12])
    exact = transient(np.array([[g]]), np.array([[1.0]]), wires, c, times)[0, :, 0] / found.final
    np.testing.assert_allclose(1.0 - found.remaining(times[:, None, None])[:, 0, 0], exact.ravel(), rtol=1e-9)
    late = found.time(1e-3)
    np.testing.assert_allclose(
        transient(np.array([[g]]), np.array([[1.0]]), wires, c, late[0])[0, 0] / found.final[0], 1.0 - 1e-3, rtol=1e-9
    )


def random_circuit(rng, *, across):
    m, n = rng.integers(1, 6, 2)
    g = 10.0 ** rng.uniform(-6, -3, (m, n))
    g[rng.random((m, n)) < rng.choice([0.0, 0.3])] = 0.0
    wires = Wires(
        rng.choice([0.0, 1.5, 50.0]), rng.choice([0.0, 2.5, 50.0]), rng.choice([0.0, 1.0, 300.0, inf], m),
        rng.choice([0.0, 1.0, 300.0]), r_sense_far=rng.choice([0.0, 1.0, inf]),
    )  # fmt: skip
    cell = 3e-16 if across else 0.0
    return g, wires, Capacitances(1e-15, 2e-15, cell, rng.choice([0.0, 1e-14]), rng.choice([0.0, 1e-14]))


@pytest.mark.parametrize("seed", range(24))
def test_settling__moments_are_those_of_all_modes(seed):
    """a_k is the sum of share · θ^k: the integral of t^(k-1) e(t) / (k-1)!, known mode by mode from its decay."""
    rng = np.random.default_rng(seed)
    g, wires, c = random_circuit(rng, across=seed % 3 == 2)
    v = rng.uniform(0.0, 1.0, (2, len(g)))
    found = settling(g, v, wires, c)
    circuit, senses = array_circuit(g, wires, c)
    known = np.hstack([v, np.zeros((2, len(senses) + 1))])
    expected = np.where(found.final == 0.0, 0.0, circuit.moments(known, 3)[:, :, senses])  # a pulse of c_cell alone
    for k in range(3):
        scale = np.abs(expected[k]).max()
        np.testing.assert_allclose(found.coefficients[k] * found.final, -expected[k], rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("seed", range(16))
def test_settling__the_bound_holds_and_the_estimate_is_near(seed):
    rng = np.random.default_rng(seed)
    g, wires, c = random_circuit(rng, across=False)
    v = rng.uniform(0.0, 1.0, (1, len(g)))
    found = settling(g, v, wires, c)
    for accuracy in (0.3, 1e-2, 1e-4):
        for column in np.flatnonzero(found.final[0] > 0.0):
            late = max(found.bound(accuracy)[0, column], 1e-30)
            missing = 1.0 - transient(g, v, wires, c, np.array([late]))[0, 0, column] / found.final[0, column]
            assert missing <= accuracy * (1 + 1e-9) + 1e-12  # what float64 leaves of 1 - 1


def test_settling__moments_agree_with_the_shape_of_an_array(rng):
    """On 10 × 10 cells of a usual chip the two-pole estimate is within 2 % and the bound within 40 % of the truth."""
    g, wires = rng.uniform(5e-7, 2e-5, (10, 10)), Wires(2.1, 6.4, 500.0, 100.0)
    c = Capacitances(3.2e-17, 1e-16, c_sense=5e-14)
    v = np.full((1, 10), 0.1)
    found = settling(g, v, wires, c)
    estimate, bound = found.time(1e-3), found.bound(1e-3)
    assert found.tile(1e-3) == estimate.max()
    for column in range(10):
        times = np.array([0.98, 1.02]) * estimate[0, column]
        missing = 1.0 - transient(g, v, wires, c, times)[0, :, column] / found.final[0, column]
        assert missing[0] > 1e-3 > missing[1]
    assert np.all(bound > estimate)
    assert np.all(bound < 1.4 * estimate)


def test_settling__worst_pattern_is_a_single_row(rng):
    g, wires, c = rng.uniform(1e-6, 1e-4, (5, 4)), Wires(20.0, 30.0, 500.0, 100.0), Capacitances(1e-15, 2e-15)
    worst = worst_settling(g, wires, c)
    assert worst.final.shape == (5, 4)
    v = rng.uniform(0.0, 1.0, (6, 5))
    times = np.array([5e-12, 2e-11])
    final = settling(g, v, wires, c).final
    missing = 1.0 - transient(g, v, wires, c, times) / final[:, None]
    alone = 1.0 - transient(g, np.eye(5), wires, c, times) / worst.final[:, None]
    assert np.all(missing <= alone.max(0) * (1 + 1e-12))
    # mean delays mix by the rows' currents (first moments are linear in the input)
    mixed = (v @ (worst.final * worst.elmore)) / final
    np.testing.assert_allclose(settling(g, v, wires, c).elmore, mixed, rtol=1e-10)


def test_settling__without_resistance_or_capacitance_it_is_over_at_once(rng):
    g, v = rng.uniform(1e-6, 1e-4, (4, 3)), np.full((1, 4), 0.1)
    for wires, c in (
        (Wires(0, 0, 0, 0), Capacitances(1e-15, 1e-15)),
        (Wires(5.0, 5.0, 100.0, 100.0), Capacitances(0.0, 0.0)),
    ):
        found = settling(g, v, wires, c)
        for times in (
            found.elmore,
            found.deviation,
            found.time(1e-6),
            found.time(1e-6, "delayed pole"),
            found.bound(1e-6),
        ):
            assert not times.any()
    dead = settling(np.zeros((2, 2)), np.ones((1, 2)), Wires(1, 1, 1, 1), Capacitances())
    assert not dead.final.any()
    assert not dead.time(0.01).any()


def test_settling__capacitance_across_cells_is_felt(rng):
    """With held lines the current overshoots by c_cell: a_1 = -c / g, and nothing guarantees a bound."""
    found = settling(np.array([[1e-5]]), np.array([[1.0]]), Wires(0, 0, 0, 0), Capacitances(0.0, 0.0, 2e-16))
    np.testing.assert_allclose(found.elmore, -2e-11, rtol=1e-14)
    with pytest.raises(ParameterError, match="bound needs cells without capacitance"):
        found.bound(0.01)
    with pytest.raises(ParameterError, match="a delayed pole cannot overshoot"):
        found.time(0.01, "delayed pole")


def test_transient__stored_ngspice_run():
    """1e-5 for ngspice's trapezoidal steps, 1/4000 of the run each; they leave 3e-6."""
    draw = runpy.run_path(str(STORED / "make.py"))["draw"]
    compare(np.loadtxt(STORED / "step.csv", delimiter=","), *draw())


@live
def test_transient__ngspice_repeats_what_is_stored():
    recipe = runpy.run_path(str(STORED / "make.py"))
    store = runpy.run_path(str(STORED.parent / "transient_store.py"))
    text = store["netlist"](*recipe["draw"](), recipe["STOP"], recipe["STEPS"])
    assert text == (STORED / "netlist.cir").read_text()
    times, currents = store["run"](text)
    compare(np.column_stack([times, currents])[100::400], *recipe["draw"]())


def compare(table, g, v, wires, c):
    exact = transient(g, v[None], wires, c, table[:, 0])[0]
    assert len(table) > 8
    np.testing.assert_allclose(table[:, 1:], exact, rtol=0, atol=1e-5 * exact.max())


def test_inject__against_the_twin_of_a_current_source(rng):
    """A current into a node is a source of huge voltage behind a huge resistor; here by superposition of moments."""
    g, wires = rng.uniform(1e-6, 1e-4, (4, 3)), Wires(2.0, 3.0, 100.0, 50.0)
    v = rng.uniform(0, 1, (2, 4))
    into = np.zeros((2, 4, 3))
    into[:, :, 0] = v / 100.0  # what the drivers push in, while their sources are at 0 V
    found = inject(g, wires, into, np.zeros_like(into))
    expected = reference_solve(g, v, wires)
    np.testing.assert_allclose(found.currents, expected.currents, rtol=1e-12)
    np.testing.assert_allclose(found.v_rows, expected.v_rows, rtol=1e-12)
    np.testing.assert_allclose(found.v_columns, expected.v_columns, rtol=1e-12)


def test_dc_voltages__the_smallest_are_as_exact_as_the_largest():
    """Rows at 0 V behind weak cells have 1e-12 of the input voltage, compared with refined reference voltages."""
    g, wires = np.full((3, 3), 1e-9), Wires(1.0, 1.0, 1.0, 1.0)
    v = np.array([[1.0, 0.0, 0.0]])
    _, v_rows, _ = dc_voltages(g, v, wires)
    exact = reference_solve(g, v, wires).v_rows
    assert 0.0 < exact[0, 2].max() < 1e-15
    np.testing.assert_allclose(v_rows[0, 2], exact[0, 2], rtol=1e-9)


@pytest.mark.parametrize("group", ["tile", "band", "row", "column", "cell"])
def test_gate_settling__moments_bounds_and_modes(group, rng):
    shape = (4, 5)
    lines = GateLines(group, 200.0, 3e3, 8e3, 100.0, rng.uniform(0, 1e-5, shape), rows_per_band=2)
    c = Capacitances(c_gate=2e-15, c_gate_line=1e-15)
    found = gate_settling(lines, shape, c)
    ones = np.ones((1, lines.groups(shape)))
    for times in (found.time(1e-2), found.bound(1e-2)):
        at = gate_transient(lines, ones, shape, c, times.ravel())[0][
            np.arange(20), np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
        ]
        missing = 1.0 - at.reshape(shape) / found.final
        assert np.all(missing < 1.2e-2)  # two poles come this close on so short lines
    assert np.all(missing < 1e-2 * (1 + 1e-9))


def test_gate_settling__a_distributed_line():
    """Delay of the end R C N (N + 1) / 2 exactly; slowest constant (4 / π²) R C N² in the limit of many cells."""
    count, r, farads = 400, 50.0, 2e-17
    found = gate_settling(GateLines("row", r, r), (1, count), Capacitances(c_gate=farads, c_gate_line=0.0))
    np.testing.assert_allclose(found.elmore[0, -1], r * farads * count * (count + 1) / 2, rtol=1e-12)
    np.testing.assert_allclose(found.slowest[2, 0, 0], 4 / pi**2 * r * farads * count**2, rtol=0.03)
    late = -4 / pi**2 * r * farads * count**2 * np.log(0.01 * pi / 4)  # first mode of the diffusion, weight 4 / π
    np.testing.assert_allclose(found.time(0.01)[0, -1], late, rtol=0.01)


def test_settling__bad_input():
    g, wires, c = np.full((2, 2), 1e-5), Wires(1, 1, 1, 1), Capacitances()
    with pytest.raises(ParameterError, match="c_row must be ≥ 0 F, got -1 F"):
        Capacitances(c_row=-1.0)
    with pytest.raises(ParameterError, match="v must be ≥ 0 everywhere"):
        settling(g, np.array([[0.1, -0.1]]), wires, c)
    found = settling(g, np.ones((1, 2)), wires, c)
    with pytest.raises(ParameterError, match="accuracy must be > 0 and < 1, got 1"):
        found.time(1.0)
    with pytest.raises(ParameterError, match="model must be one of two poles, delayed pole, got 'one'"):
        found.time(0.1, "one")
    with pytest.raises(ParameterError, match="times must be above 0 s, got 0 s"):
        transient(g, np.ones((1, 2)), wires, c, np.zeros(1))
    with pytest.raises(ParameterError, match="modes are for at most 4000"):
        array_circuit(np.full((50, 50), 1e-5), wires, c)[0].modes()
