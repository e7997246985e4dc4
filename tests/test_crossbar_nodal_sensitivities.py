"""Sensitivities and noise: finite differences, laws of physics, Monte Carlo sampling, the noise of a tile."""

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import Array, Wires, reference_solve, sensitivity, solve, transfer_matrices
from devices import AdaptiveMemristor, ReadNoise, Resistor
from devices.constants import BOLTZMANN
from devices.errors import ParameterError
from tests.random_arrays import linear_arrays

CELL = AdaptiveMemristor()
WIRES = Wires(3.0, 5.0, 80.0, 15.0)
READ = 50e-9  # [s]


def case(rng, m=6, n=5, b=3):
    """Cells, inputs and wires that matter."""
    return rng.uniform(1e-6, 1e-4, (m, n)), rng.uniform(-0.2, 0.2, (b, m)), WIRES


def gated(rng, m=5, n=4, b=3, volts=0.3):
    cells = Array(CELL, CELL.filament(rng.random((m, n))), rng.normal(0.0, 0.05, (m, n)))
    return cells, rng.uniform(-volts, volts, (b, m)), WIRES, rng.uniform(-1.0, 3.0, (m, n))


@st.composite
def circuits(draw):
    """Linear arrays with open cells, 0 Ω and open wires and ends, all of it different from line to line."""
    g, wires, rng = draw(linear_arrays(6, [0.0, 1.0, 30.0]))
    return g, rng.uniform(-1.0, 1.0, (2, len(g))), wires


def slope(function, x, step):
    """Central difference of fourth order."""
    f = [function(x + k * step) for k in (-2, -1, 1, 2)]
    return (f[0] - 8.0 * f[1] + 8.0 * f[2] - f[3]) / (12.0 * step)


# ---- cells ----


def test_currents_change__finite_differences(rng):
    """Every cell in turn, against the reference solver; finite differences err by 1e-8 of the largest slope."""
    g, v, wires = case(rng, 3, 3)
    made = sensitivity(g, v, wires)
    for i, j in np.ndindex(g.shape):
        one = np.zeros_like(g)
        one[i, j] = 1.0
        exact = slope(lambda x, i=i, j=j: moved(g, i, j, x, v, wires), 0.0, 1e-3 * g[i, j])
        np.testing.assert_allclose(made.currents_change(dg=one), exact, rtol=0.0, atol=1e-8 * np.abs(exact).max())


def moved(g, i, j, x, v, wires):
    other = g.copy()
    other[i, j] += x
    return reference_solve(other, v, wires).currents


@given(circuits())
def test_adjoint__any_circuit(circuit):
    """A change of all conductances, in second order small, with 0 Ω, open wires and ends driven from both sides."""
    g, v, wires = circuit
    toward = g * np.random.default_rng(3).uniform(-1.0, 1.0, g.shape)
    exact = slope(lambda x: reference_solve(g + x * toward, v, wires).currents, 0.0, 1e-2)
    scale = (np.abs(v[:, :, None]) * g).sum(1).max()
    np.testing.assert_allclose(sensitivity(g, v, wires).currents_change(dg=toward), exact, rtol=0.0, atol=1e-8 * scale)


def test_adjoint__without_wires_each_cell_reaches_its_own_column(rng):
    g, v, _ = case(rng)
    made = sensitivity(g, v, Wires(0, 0, 0, 0))
    np.testing.assert_array_equal(made.adjoint, np.broadcast_to(np.eye(5)[:, None, :], (5, 6, 5)))
    np.testing.assert_allclose(made.cell_voltages, np.broadcast_to(v[:, :, None], (3, 6, 5)), rtol=1e-15)


def test_adjoint__scaling_all_conductances_and_wires_is_scaling_the_currents(rng):
    """Euler: the currents are homogeneous of degree 1 in conductances, wires being of degree -1."""
    g, v, wires = case(rng)
    made = sensitivity(g, v, wires)
    of = made.wire_slopes()
    by_wires = wires.r_row * of.r_row + wires.r_column * of.r_column
    by_wires += wires.r_driver * of.r_driver.sum(-1) + wires.r_sense * of.r_sense.sum(-1)
    np.testing.assert_allclose(made.currents_change(dg=g) - by_wires, made.solution.currents, rtol=1e-11)


def test_gradient__is_the_transpose_of_the_change(rng):
    g, v, wires = case(rng)
    upstream, dg = rng.normal(size=(3, 5)), rng.normal(size=(3, 6, 5)) * g
    made = sensitivity(g, v, wires)
    np.testing.assert_allclose(
        (made.gradient(upstream) * dg).sum((1, 2)), (upstream * made.currents_change(dg=dg)).sum(1), rtol=1e-12
    )
    cells, v, wires, v_gate = gated(rng)
    made = sensitivity(cells, v, wires, v_gate=v_gate)
    upstream = rng.normal(size=(3, 4))
    for of, name in (("g", "dg"), ("gain", "dgain"), ("v_gate", "dv_gate")):
        change = rng.normal(size=(5, 4))
        np.testing.assert_allclose(
            (made.gradient(upstream, of) * change).sum((1, 2)),
            (upstream * made.currents_change(**{name: change})).sum(1),
            rtol=1e-12,
        )


def test_columns__those_asked_for_and_no_others(rng):
    g, v, wires = case(rng)
    whole, some = sensitivity(g, v, wires), sensitivity(g, v, wires, columns=[3, 0])
    assert some.adjoint.shape == (2, 6, 5)
    np.testing.assert_allclose(some.adjoint, whole.adjoint[[3, 0]], rtol=0.0, atol=1e-13)
    np.testing.assert_allclose(some.variance(g), whole.variance(g)[:, [3, 0]], rtol=1e-12)
    np.testing.assert_allclose(some.wire_slopes().r_row, whole.wire_slopes().r_row[:, [3, 0]], rtol=1e-9)


# ---- nonlinear cells ----


@pytest.mark.parametrize("of", ["g", "gain", "v_gate"])
def test_gated__finite_differences(rng, of):
    """Newton solves at shifted parameters, 1e-6 of the largest change."""
    cells, v, wires, v_gate = gated(rng)
    toward = rng.uniform(-1.0, 1.0, cells.shape)
    made = sensitivity(cells, v, wires, v_gate=v_gate)
    if of == "g":
        change, step = {"dg": toward * cells.g_filament}, 1e-2

        def at(x):
            other = Array(CELL, cells.g_filament * (1.0 + x * toward), cells.gate_offset)
            return solve(other, v, wires, v_gate=v_gate, tolerance=1e-13).currents
    elif of == "v_gate":
        change, step = {"dv_gate": toward}, 2e-3

        def at(x):
            return solve(cells, v, wires, v_gate=v_gate + x * toward, tolerance=1e-13).currents
    else:
        gain = cells.gain(v_gate)[0]
        toward *= np.minimum(gain, 1.0 - gain)
        change, step = {"dgain": toward}, 1e-2

        def at(x):
            other = CELL.gate_voltage(gain + x * toward) + cells.gate_offset
            return solve(cells, v, wires, v_gate=other, tolerance=1e-13).currents

    exact = slope(at, 0.0, step)
    np.testing.assert_allclose(made.currents_change(**change), exact, rtol=0.0, atol=1e-6 * np.abs(exact).max())


def test_gated__an_array_of_resistors_is_the_linear_one(rng):
    g, v, wires = case(rng)
    plain, cells = sensitivity(g, v, wires), sensitivity(Array(Resistor(), g), v, wires)
    noise = rng.uniform(0.0, 1e-18, (3, 6, 5))
    np.testing.assert_allclose(cells.variance(noise), plain.variance(noise), rtol=1e-9)
    np.testing.assert_allclose(cells.covariance(noise), plain.covariance(noise), rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(cells.by_conductance, plain.by_conductance, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(
        cells.read_variance(ReadNoise(), READ), plain.read_variance(ReadNoise(), READ), rtol=1e-8
    )
    for ours, theirs in zip(vars(cells.wire_slopes()).values(), vars(plain.wire_slopes()).values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-8 * max(np.abs(theirs).max(), 1e-30))
    np.testing.assert_array_equal(cells.by_gate, 0.0)


def test_gated__without_filament_the_slope_is_there(rng):
    """A cell that was never formed still answers to its first siemens."""
    g = np.zeros((2, 2))
    g[0, 0] = 1e-5
    v, v_gate = np.full((1, 2), 0.1), 1.0
    made = sensitivity(Array(CELL, g), v, WIRES, v_gate=v_gate)
    _, slopes = CELL.current(CELL.state(1e-6), v_gate, 1e-6)
    assert slopes > 0.0
    gain = CELL.gate_gain(v_gate)
    expected = gain * CELL.v_0 * np.sinh(0.1 / CELL.v_0)  # of a barrier that takes the whole voltage
    np.testing.assert_allclose(made.by_conductance[0, 1, 1], expected, rtol=1e-3)


# ---- wires ----


@pytest.mark.parametrize("kind", ["linear", "gated", "both ends"])
@pytest.mark.parametrize("part", ["r_row", "r_column", "r_driver", "r_sense", "r_driver_far", "r_sense_far"])
def test_wire_slopes__finite_differences(rng, part, kind):
    if kind == "gated":
        circuit, v, _, v_gate = gated(rng)
    else:
        (circuit, v, _), v_gate = case(rng), None
    far = (40.0, 70.0) if kind != "linear" else (inf, inf)
    values = {
        "r_row": 3.0,
        "r_column": 5.0,
        "r_driver": 80.0,
        "r_sense": 15.0,
        "r_driver_far": far[0],
        "r_sense_far": far[1],
    }
    values = {name: value if name in ("r_row", "r_column") else np.full(circuit.shape["sense" in name], value)
              for name, value in values.items()}  # fmt: skip
    made = getattr(sensitivity(circuit, v, Wires(**values), v_gate=v_gate).wire_slopes(), part)
    if kind == "linear" and part.endswith("far"):
        np.testing.assert_array_equal(made, 0.0)
        return

    def at(x, line=None):
        other = dict(values)
        if line is None:
            other[part] = values[part] + x
        else:
            other[part] = values[part] + x * (np.arange(len(values[part])) == line)
        return solve(circuit, v, Wires(**other), v_gate=v_gate, **({"tolerance": 1e-13} if v_gate is not None else {}))

    if part in ("r_row", "r_column"):
        exact = slope(lambda x: at(x).currents, 0.0, 0.1)
        np.testing.assert_allclose(made, exact, rtol=0.0, atol=1e-6 * np.abs(exact).max())
    else:
        for line in range(2):
            exact = slope(lambda x, line=line: at(x, line).currents, 0.0, 1.0)
            np.testing.assert_allclose(made[..., line], exact, rtol=0.0, atol=1e-6 * np.abs(exact).max())


def test_wire_slopes__of_wires_that_are_not_there(rng):
    """At 0 Ω the derivative is that of the first ohm."""
    g, v, _ = case(rng)
    none = Wires(0, 0, 0, 0)
    of = sensitivity(g, v, none).wire_slopes()
    base = reference_solve(g, v, none).currents
    names = ("r_row", "r_column", "r_driver", "r_sense")
    for part, made in zip(names, (of.r_row, of.r_column, of.r_driver.sum(-1), of.r_sense.sum(-1)), strict=True):
        steps = [
            (reference_solve(g, v, Wires(*[h * (name == part) for name in names])).currents - base) / h
            for h in (0.1, 0.2)
        ]
        exact = 2.0 * steps[0] - steps[1]
        np.testing.assert_allclose(made, exact, rtol=0.0, atol=1e-4 * np.abs(exact).max())


# ---- noise ----


def test_variance__without_wires_the_cells_add_up(rng):
    g, v, _ = case(rng)
    noise = rng.uniform(0.0, 1e-18, (3, 6, 5))
    made = sensitivity(g, v, Wires(0, 0, 0, 0))
    np.testing.assert_allclose(made.variance(noise), noise.sum(1), rtol=1e-14)
    np.testing.assert_allclose(made.covariance(noise), noise.sum(1)[:, :, None] * np.eye(5), rtol=1e-14)
    cells = ReadNoise().cell_variance(g, v[:, :, None], READ).sum(1)
    np.testing.assert_allclose(made.read_variance(ReadNoise(), READ), cells, rtol=1e-12)


def test_covariance__its_diagonal_is_the_variance(rng):
    g, v, wires = case(rng)
    noise = rng.uniform(0.0, 1e-18, (6, 5))
    made = sensitivity(g, v, wires)
    spread = made.covariance(noise)
    np.testing.assert_allclose(np.einsum("bjj->bj", spread), made.variance(noise), rtol=1e-13)
    np.testing.assert_allclose(spread, spread.swapaxes(1, 2), rtol=1e-13)
    assert np.all(np.linalg.eigvalsh(spread) > 0.0)
    assert np.all(spread[:, 0, 1] < 0.0)  # what one column loses through a row, another gets


@given(circuits())
@settings(max_examples=25)
def test_read_variance__nyquist(circuit):
    """At rest everything is in equilibrium: 4kT times the conductance that a sense terminal sees, wires and all."""
    g, _, wires = circuit
    m, n = g.shape
    rest = np.zeros((1, m))
    got = sensitivity(g, rest, wires).read_variance(ReadNoise(flicker=False), READ, 250.0)
    turned = Wires(
        wires.r_column, wires.r_row, wires.sense_far(n), wires.driver_far(m), wires.sense(n), wires.driver(m)
    )
    seen = reference_solve(g.T.copy(), np.eye(n), turned).power
    np.testing.assert_allclose(got[0], 4.0 * BOLTZMANN * 250.0 * seen / (2.0 * READ), rtol=1e-9, atol=1e-36)


def test_variance__sampling_of_the_cells(rng):
    """20,000 arrays whose cells carry drawn currents, each solved whole: covariances within 4.5 standard errors."""
    g, v, wires = case(rng, 5, 3, 1)
    wires = Wires(30.0, 50.0, 300.0, 200.0)
    made = sensitivity(g, v, wires)
    sigma = 0.02 * np.sqrt(g) * 1e-4  # about 1 % of a cell's current
    count = 20_000
    volts = made.cell_voltages[0]
    drawn = rng.normal(size=(count, 5, 3)) * sigma
    reads = v[0] @ transfer_matrices(g + drawn / volts, wires)
    got, exact = np.cov(reads.T), made.covariance(sigma**2)[0]
    error = np.sqrt((exact**2 + np.outer(np.diag(exact), np.diag(exact))) / count)
    assert np.all(np.abs(got - exact) < 4.5 * error)
    near = (sigma**2).sum(0)
    assert np.all(np.abs(np.diag(got) - near) > 4.5 * np.diag(error))  # the wires are seen


def test_variance__sampling_of_gated_cells(rng):
    """10,000 gated arrays whose gates carry 1 mV of noise, each solved by Newton."""
    cells, v, wires, v_gate = gated(rng, 4, 3, 1)
    made = sensitivity(cells, v, wires, v_gate=v_gate)
    sigma, count = 1e-3, 10_000
    gates = v_gate + sigma * rng.normal(size=(count, 4, 3))
    reads = solve(cells, np.broadcast_to(v, (count, 4)), wires, v_gate=gates).currents
    exact = made.variance((made.by_gate * sigma) ** 2)[0]
    np.testing.assert_allclose(reads.var(0, ddof=1), exact, rtol=4.5 * (2.0 / count) ** 0.5)


def test_read_variance__cells_at_their_own_voltages(rng):
    """Noise of the conductances and voltages that the solution has."""
    g, v, wires = case(rng)
    made = sensitivity(g, v, wires)
    solved = reference_solve(g, v, wires)
    cells = ReadNoise().cell_variance(g, solved.v_rows - solved.v_columns, READ, 350.0)
    thermal = 4.0 * BOLTZMANN * 350.0 / (2.0 * READ) * made.wire_conductance
    np.testing.assert_allclose(made.read_variance(ReadNoise(), READ, 350.0), made.variance(cells) + thermal, rtol=1e-9)
    np.testing.assert_array_equal(made.read_variance(ReadNoise.none(), READ), 0.0)
    assert np.all(made.wire_conductance > 0.0)


# ---- bad input ----


def test_bad_input__is_refused(rng):
    g, v, wires = case(rng)
    made = sensitivity(g, v, wires)
    with pytest.raises(ParameterError, match=r"cell_variance must have shape \(6, 5\) or \(3, 6, 5\), got \(5, 6\)"):
        made.variance(np.ones((5, 6)))
    with pytest.raises(ParameterError, match="cell_variance must be ≥ 0 everywhere"):
        made.covariance(np.full((6, 5), -1.0))
    with pytest.raises(ParameterError, match=r"dg must have shape \(6, 5\) or"):
        made.currents_change(dg=np.ones(5))
    with pytest.raises(ParameterError, match="v_gate must not be given for plain conductances"):
        made.currents_change(dv_gate=np.ones((6, 5)))
    with pytest.raises(ParameterError, match='of must be "g", "gain" or "v_gate", got "w"'.replace('"w"', "'w'")):
        made.gradient(np.ones((3, 5)), of="w")
    with pytest.raises(ParameterError, match=r"upstream must have shape \(3, 5\), got"):
        made.gradient(np.ones((3, 6)))
    with pytest.raises(ParameterError, match="columns must be from 0 to 4, got 5"):
        sensitivity(g, v, wires, columns=[5])
    with pytest.raises(ParameterError, match="v_gate must not be given"):
        sensitivity(g, v, wires, v_gate=1.0)
    with pytest.raises(ParameterError, match="v_gate must be given"):
        sensitivity(Array(CELL, g), v, wires)
