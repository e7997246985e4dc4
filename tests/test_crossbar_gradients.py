"""Gradients through the wires: order of convergence, the adjoint circuits, laws of physics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import (
    Array,
    GateNodes,
    Wires,
    family_gradient,
    sensitivity,
    transfer_family,
    transfer_gradient,
    transfer_matrices,
    transfer_matrix,
    wire_gradient,
)
from crossbar.gradients.family_gradients import gated_conductances
from devices import AdaptiveMemristor
from devices.errors import ParameterError
from tests.random_arrays import linear_arrays

CELL = AdaptiveMemristor()
WIRES = Wires(3.0, 5.0, 80.0, 15.0)


@st.composite
def circuits(draw):
    """Arrays with open cells, on wires of 0 to 100 Ω, with ends of 0 Ω to open, all different from line to line."""
    g, wires, rng = draw(linear_arrays(13, [0.0, 0.1, 1.0, 30.0, 100.0]))
    return g, wires, rng.normal(size=g.shape)


def by_adjoint_circuits(g, wires, d_transfer):
    """The same by one solve per row and one per column."""
    return sensitivity(g, np.eye(len(g)), wires).gradient(d_transfer).sum(0)


def remainders(at, slope, steps):
    """What first-order steps leave of the change of a sum."""
    start = at(0.0)
    return np.array([abs(at(h) - start - h * slope) for h in steps])


# ---- cells ----


@given(circuits())
@settings(max_examples=60, deadline=None)
def test_transfer_gradient__is_that_of_the_adjoint_circuits(circuit):
    g, wires, d_transfer = circuit
    exact = by_adjoint_circuits(g, wires, d_transfer)
    got = transfer_gradient(g, wires, d_transfer)
    np.testing.assert_allclose(got, exact, rtol=0.0, atol=1e-9 * max(np.abs(exact).max(), 1e-300))


@given(circuits())
@settings(max_examples=40, deadline=None)
def test_transfer_gradient__what_a_step_leaves_falls_fourfold(circuit):
    """Second order is all that a first-order step leaves: half the step, a quarter of the rest."""
    g, wires, d_transfer = circuit
    toward = g * np.random.default_rng(5).uniform(-1.0, 1.0, g.shape)
    slope = (transfer_gradient(g, wires, d_transfer) * toward).sum()
    large, small = remainders(
        lambda h: (d_transfer * transfer_matrix(g + h * toward, wires)).sum(), slope, [2e-3, 1e-3]
    )
    assert abs(large - 4.0 * small) < 0.05 * large + 1e-13 * (np.abs(d_transfer) * g).sum()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (4, 4), (5, 8), (17, 9), (33, 20), (45, 37), (64, 70)])
def test_transfer_gradient__one_array_is_that_array_of_a_batch(rng, shape):
    g, d_transfer = rng.uniform(1e-6, 1e-4, (3, *shape)), rng.normal(size=(3, *shape))
    wires = Wires(1.0, 2.0, 10.0, 5.0, r_driver_far=30.0)
    batch = transfer_gradient(g, wires, d_transfer)
    for k in range(3):
        exact = by_adjoint_circuits(g[k], wires, d_transfer[k])
        np.testing.assert_allclose(transfer_gradient(g[k], wires, d_transfer[k]), exact, rtol=0.0, atol=1e-12)
        np.testing.assert_allclose(batch[k], exact, rtol=0.0, atol=1e-12)


def test_transfer_gradient__no_number_of_threads_changes_a_bit(rng, monkeypatch):
    g, d_transfer = rng.uniform(1e-6, 1e-4, (5, 40, 24)), rng.normal(size=(5, 40, 24))
    many, one = transfer_gradient(g, WIRES, d_transfer), transfer_gradient(g[0], WIRES, d_transfer[0])
    monkeypatch.setattr("devices.numerics.worker_threads._threads.count", 1)
    np.testing.assert_array_equal(transfer_gradient(g, WIRES, d_transfer), many)
    np.testing.assert_array_equal(transfer_gradient(g[0], WIRES, d_transfer[0]), one)


def test_transfer_gradient__without_wires_it_is_what_was_asked(rng):
    g, d_transfer = rng.uniform(1e-6, 1e-4, (6, 5)), rng.normal(size=(6, 5))
    np.testing.assert_array_equal(transfer_gradient(g, Wires(0, 0, 0, 0), d_transfer), d_transfer)


def test_transfer_gradient__no_array_gives_no_gradient():
    assert transfer_gradient(np.empty((0, 3, 2)), WIRES, np.empty((0, 3, 2))).shape == (0, 3, 2)


# ---- wires ----


@given(circuits())
@settings(max_examples=30, deadline=None)
def test_wire_gradient__is_that_of_the_adjoint_circuits(circuit):
    g, wires, d_transfer = circuit
    got, slopes = wire_gradient(g, wires, d_transfer), sensitivity(g, np.eye(len(g)), wires).wire_slopes()
    for name, ours in vars(got).items():
        each = getattr(slopes, name)
        exact = np.einsum("ij,ij...->...", d_transfer, each)
        np.testing.assert_allclose(ours, exact, rtol=0.0, atol=1e-9 * (np.abs(each).max() * d_transfer.size + 1e-300))


@given(circuits())
@settings(max_examples=20, deadline=None)
def test_gradients__are_of_degree_one(circuit):
    """Euler: transfer conductances are homogeneous, of degree 1 in cells and of -1 in wires."""
    g, wires, d_transfer = circuit
    m, n = g.shape
    of = wire_gradient(g, wires, d_transfer)
    ends = (wires.driver(m), wires.sense(n), wires.driver_far(m), wires.sense_far(n))
    slopes = (of.r_driver, of.r_sense, of.r_driver_far, of.r_sense_far)
    drawn = wires.r_row * of.r_row + wires.r_column * of.r_column
    drawn += sum((np.where(np.isfinite(end), end, 0.0) * slope).sum() for end, slope in zip(ends, slopes, strict=True))
    total = (g * transfer_gradient(g, wires, d_transfer)).sum() - drawn
    exact = (d_transfer * transfer_matrix(g, wires)).sum()
    np.testing.assert_allclose(total, exact, rtol=0.0, atol=1e-10 * (np.abs(d_transfer) * g).sum() + 1e-300)


def test_wire_gradient__what_a_step_leaves_falls_fourfold(rng):
    g, d_transfer = rng.uniform(1e-6, 1e-4, (2, 7, 9)), rng.normal(size=(2, 7, 9))
    base = {"r_row": 3.0, "r_column": 5.0, "r_driver": 80.0, "r_sense": 15.0, "r_driver_far": 40.0, "r_sense_far": 70.0}
    of = wire_gradient(g, Wires(**base), d_transfer)
    for name, value in base.items():

        def at(h, name=name, value=value):
            return (d_transfer * transfer_matrices(g, Wires(**{**base, name: value * (1.0 + h)}))).sum()

        large, small = remainders(at, value * getattr(of, name).sum(), [2e-2, 1e-2])
        assert abs(large - 4.0 * small) < 0.05 * large


# ---- gates ----


def gated(rng, m=7, n=6):
    cells = Array(CELL, CELL.filament(rng.random((m, n))), rng.normal(0.0, 0.05, (m, n)))
    nodes = GateNodes(CELL, 14)
    family = transfer_family(lambda gain: gated_conductances(cells, np.array([gain]), 0.1)[0], nodes, WIRES)
    gains = np.array([CELL.gain_low, 0.2, 0.55, 0.9, CELL.gain_high])
    return cells, family, gains, rng.normal(size=(5, m, n))


def whole(cells, nodes, gains, d_transfer):
    w = transfer_matrices(gated_conductances(cells, nodes.gains, 0.1), WIRES)
    return (d_transfer * np.tensordot(nodes.mix(gains), w, axes=1)).sum()


@pytest.mark.parametrize("part", ["g_filament", "gate_offset", "gain"])
def test_family_gradient__what_a_step_leaves_falls_fourfold(rng, part):
    cells, family, gains, d_transfer = gated(rng)
    of = family_gradient(cells, family, WIRES, gains, d_transfer, 0.1)
    if part == "gain":
        toward = rng.uniform(0.1, 0.2, 5) * np.array([0.05, 1.0, 1.0, -1.0, -1.0])

        def at(h):
            return whole(cells, family.nodes, gains + h * toward, d_transfer)

    elif part == "gate_offset":
        toward = rng.uniform(-1.0, 1.0, cells.shape)

        def at(h):
            return whole(Array(CELL, cells.g_filament, cells.gate_offset + h * toward), family.nodes, gains, d_transfer)

    else:
        toward = rng.uniform(-1.0, 1.0, cells.shape) * cells.g_filament

        def at(h):
            return whole(Array(CELL, cells.g_filament + h * toward, cells.gate_offset), family.nodes, gains, d_transfer)

    step = 2e-3 if part != "gain" else 2e-2
    large, small = remainders(at, (getattr(of, part) * toward).sum(), [step, step / 2])
    assert abs(large - 4.0 * small) < 0.1 * large


def test_family_gradient__a_held_gate_is_one_array(rng):
    """At a node the family is one reduced array, and so is its gradient."""
    cells, family, _, d_transfer = gated(rng)
    gain = family.nodes.gains[[5]]
    of = family_gradient(cells, family, WIRES, gain, d_transfer[:1], 0.1)
    g = gated_conductances(cells, gain, 0.1)[0]
    d_g = transfer_gradient(g, WIRES, d_transfer[0])
    more = gated_conductances(Array(CELL, cells.g_filament * (1 + 1e-6), cells.gate_offset), gain, 0.1)[0]
    np.testing.assert_allclose(of.g_filament, d_g * (more - g) / (1e-6 * cells.g_filament), rtol=1e-5)


# ---- bad input ----


def test_gradients__bad_input_is_refused(rng):
    g = rng.uniform(1e-6, 1e-4, (6, 5))
    with pytest.raises(ParameterError, match=r"d_transfer must have shape \(6, 5\), got"):
        transfer_gradient(g, WIRES, np.ones((5, 6)))
    with pytest.raises(ParameterError, match="g must be ≥ 0"):
        transfer_gradient(-g, WIRES, g)
    with pytest.raises(ParameterError, match="g must have 3 axes"):
        wire_gradient(g[0], WIRES, g[0])
    with pytest.raises(ParameterError, match="at least one row"):
        transfer_gradient(np.empty((0, 3)), WIRES, np.empty((0, 3)))
    cells, family, gains, d_transfer = gated(rng)
    with pytest.raises(ParameterError, match="gain must lie between"):
        family_gradient(cells, family, WIRES, np.full(5, 1.5), d_transfer, 0.1)
    with pytest.raises(ParameterError, match="family must be one of"):
        family_gradient(Array(CELL, g), family, WIRES, gains[:1], g[None], 0.1)
