"""Stacked bands: exact at the gate nodes for any circuit, interpolation error between them, refusals."""

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import GainNodes, GateNodes, Wires, reduce_array, reference_solve, transfer_family
from crossbar.transfer.reduction import terminal_couplings
from crossbar.transfer.stacked_bands import stacked_family
from devices import AdaptiveMemristor
from devices.errors import ParameterError

CELL = AdaptiveMemristor()
LOW, HIGH = CELL.gain_low, CELL.gain_high
WIRES = Wires(2.8, 2.8, 5.0, 3.0)


def bands(rng, rows, n, offset=0.05):
    """Conductance functions of bands of default cells, each cell with its own Dirac point."""
    made = []
    for m in rows:
        g, shift = rng.uniform(CELL.g_min, CELL.g_max, (m, n)), rng.normal(0.0, offset, (m, n))
        made.append(lambda gain, g=g, shift=shift: CELL.terminal_conductance(
            g, CELL.gain_with_offset(CELL.gate_voltage(gain), shift), 0.1))  # fmt: skip
    return made


def whole(made, gains):
    """Conductances (m, n) of all bands one above the other."""
    return np.concatenate([band(gain) for band, gain in zip(made, gains, strict=True)])


@st.composite
def stacks(draw):
    """Bands with open cells, 0 Ω and open wires and ends, all different from line to line."""
    rows = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    m, n = sum(rows), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = 10.0 ** rng.uniform(-8, -3, (m, n)) * (rng.random((m, n)) < 0.9)
    pool = draw(st.sampled_from([[0.0], [1.0, 100.0], [0.0, 10.0, 1e3], [10.0, 50.0, inf]]))
    ends = [rng.choice(pool, count) for count in (m, n, m, n)]
    if draw(st.booleans()):
        ends[2], ends[3] = inf, inf
    segments = [draw(st.sampled_from([0.0, 1.0, 30.0])) for _ in range(2)]
    wires = Wires(*segments, ends[0], ends[1], r_driver_far=ends[2], r_sense_far=ends[3])
    parts = np.split(g, np.cumsum(rows)[:-1])
    return rows, [lambda gain, part=part: gain * part for part in parts], wires, rng


@given(stacks())
@settings(max_examples=40)
def test_stacked__exact_at_the_nodes(case):
    """Transfer and row couplings of any circuit, against the reference solver and the reduction of the whole array."""
    rows, made, wires, rng = case
    nodes = GainNodes(0.1, 1.0, 3, 0.5)
    gains = nodes.gains[rng.integers(0, 3, (3, len(rows)))]
    family = stacked_family(made, nodes, wires)
    transfers, taken = family.reduce(gains)
    for w, t, gain in zip(transfers, taken, gains, strict=True):
        g = whole(made, gain)
        exact = reference_solve(g, np.eye(len(g)), wires).currents
        np.testing.assert_allclose(w, exact, rtol=1e-10, atol=1e-13 * g.max())
        np.testing.assert_allclose(t, reduce_array(g, wires).exchange.sum(1), rtol=1e-10, atol=1e-13 * g.max())
    v = rng.uniform(-1.0, 1.0, (3, 2, sum(rows)))
    for p in (1, 2):  # through the cuts and, where there are as many inputs as rows, through the transfer
        got = family.currents(gains, v[:, :p])
        np.testing.assert_allclose(got, v[:, :p] @ transfers, rtol=0.0, atol=1e-13 * (np.abs(v) @ transfers).max())


@given(stacks())
@settings(max_examples=25)
def test_terminal_couplings__reduce_to_the_array_that_they_are_cut_from(case):
    """Rows, tops and bottoms at the terminals of a whole array: its transfer and its couplings between rows."""
    rows, made, wires, _ = case
    g = whole(made, np.ones(len(rows)))
    m, n = g.shape
    ports = terminal_couplings(g, wires)
    np.testing.assert_allclose(ports, ports.T, rtol=1e-12)
    assert np.all(ports >= 0.0)
    exact = reduce_array(g, wires)
    sent = ports[:m, m : m + n] + ports[:m, m + n :]
    np.testing.assert_allclose(sent, exact.transfer, rtol=1e-10, atol=1e-13 * g.max())
    np.testing.assert_allclose(ports[:m, :m], exact.exchange, rtol=1e-10, atol=1e-13 * g.max())


@pytest.mark.parametrize("far", [inf, 4.0], ids=["open far ends", "sensed at both ends"])
def test_stacked__between_the_nodes_as_good_as_a_family(rng, far):
    """Three bands of 7 rows at random gains: within twice the error of one array's family with the same nodes."""
    made = bands(rng, (7, 7, 7), 6)
    wires = Wires(2.8, 2.8, 5.0, 3.0, r_sense_far=far)
    gains = rng.uniform(LOW, HIGH, (12, 3))
    exact = np.array([reduce_array(whole(made, each), wires).transfer for each in gains])
    alone = [np.array([reduce_array(band(gain), wires).transfer for gain in gains[:, 0]]) for band in made]
    for count, bound in ((6, 1e-2), (12, 1e-4), (20, 1e-6)):
        nodes = GateNodes(CELL, count)
        family = stacked_family(made, nodes, wires)
        error = np.abs(family.at(gains) - exact).max() / exact.max()
        single = max(
            np.abs(transfer_family(band, nodes, wires).at(gains[:, 0]) - one).max() / one.max()
            for band, one in zip(made, alone, strict=True)
        )
        assert error < bound
        assert error < 3.0 * single
        assert error < 2.0 * family.error


@pytest.mark.parametrize("gain", [LOW, 0.03, HIGH])
def test_stacked__bands_with_one_gate_are_one_array(rng, gain):
    """Equal gains on every band: the family of the array as a whole."""
    made = bands(rng, (9, 4, 7), 6)
    got = stacked_family(made, GateNodes(CELL, 26), WIRES).at(np.full((1, 3), gain))[0]
    exact = reduce_array(whole(made, [gain] * 3), WIRES).transfer
    np.testing.assert_allclose(got, exact, rtol=0.0, atol=1e-8 * exact.max())


def test_stacked__couplings_stay_positive(rng):
    """Mixed couplings of nearly closed bands are clipped, so that no sum can lose its sign, and stay right."""
    made = bands(rng, (20, 20), 12)
    family = stacked_family(made, GateNodes(CELL, 10), WIRES)
    gains = np.stack([np.linspace(LOW, 0.05, 30), np.linspace(HIGH, LOW, 30)], axis=1)
    transfers, taken = family.reduce(gains)
    assert transfers.min() >= 0.0
    assert taken.min() >= 0.0
    exact = np.array([reduce_array(whole(made, each), WIRES).transfer for each in gains])
    assert np.abs(transfers - exact).max() < 3e-4 * exact.max()


def test_stacked__a_closed_band_leaves_the_others_alone(rng):
    """Cells of gain 0 conduct nothing: the open band is an array with longer columns."""
    g = rng.uniform(1e-6, 1e-4, (5, 4))
    family = stacked_family([lambda gain: gain * g, lambda gain: gain * g], GainNodes(0.0, 1.0, 2), WIRES)
    got = family.at(np.array([[1.0, 0.0]]))[0]
    np.testing.assert_array_equal(got[5:], 0.0)
    longer = Wires(WIRES.r_row, WIRES.r_column, WIRES.r_driver, WIRES.r_sense + 5 * WIRES.r_column)
    np.testing.assert_allclose(got[:5], reduce_array(g, longer).transfer, rtol=1e-12)


def test_stacked__the_batch_does_not_matter(rng):
    made = bands(rng, (5, 6), 7)
    family = stacked_family(made, GateNodes(CELL, 6), WIRES)
    gains, v = rng.uniform(LOW, HIGH, (19, 2)), rng.uniform(0.0, 0.1, (19, 3, 11))
    together, currents = family.at(gains), family.currents(gains, v)
    for b in (0, 7, 8, 18):
        np.testing.assert_allclose(family.at(gains[b : b + 1])[0], together[b], rtol=1e-12)
        np.testing.assert_allclose(family.currents(gains[b : b + 1], v[b : b + 1])[0], currents[b], rtol=1e-12)
        np.testing.assert_allclose(currents[b], v[b] @ together[b], rtol=1e-11)
    assert family.at(np.empty((0, 2))).shape == (0, 11, 7)


def test_stacked__bad_input_is_refused(rng):
    made = bands(rng, (3, 2), 4)
    family = stacked_family(made, GateNodes(CELL, 3), WIRES)
    with pytest.raises(ParameterError, match=r"gains must have shape \(any, 2\), got \(4, 3\)"):
        family.at(np.full((4, 3), 0.5))
    with pytest.raises(ParameterError, match="gain must lie between"):
        family.at(np.full((1, 2), 2.0))
    with pytest.raises(ParameterError, match=r"v must have shape \(any, any, 5\), got \(1, 2, 4\)"):
        family.currents(np.full((1, 2), 0.5), np.ones((1, 2, 4)))
    with pytest.raises(ParameterError, match="v and gains must have the same number of gate sets, got 2 and 1"):
        family.currents(np.full((1, 2), 0.5), np.ones((2, 2, 5)))
    with pytest.raises(ParameterError, match="at least one band"):
        stacked_family([], GateNodes(CELL, 3), WIRES)
    with pytest.raises(
        ParameterError,
        match=r"conductances of band 1 must have cells and the same columns as all bands, got shape \(2, 5\)",
    ):
        stacked_family([made[0], *bands(rng, (2,), 5)], GateNodes(CELL, 3), WIRES)
    with pytest.raises(ParameterError, match="r_driver has 4 resistances, but the array has 5 rows"):
        stacked_family(made, GateNodes(CELL, 3), Wires(1.0, 1.0, np.ones(4), 1.0))
