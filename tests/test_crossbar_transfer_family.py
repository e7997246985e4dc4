"""Transfer matrices between gate nodes: exact cases, convergence of the error, gains outside the window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import Polynomial

from crossbar import Family, GainNodes, GateNodes, Wires, transfer_family, transfer_matrices, transfer_matrix
from devices import AdaptiveMemristor, Resistor
from devices.cells.presets import ideal_adaptive
from devices.errors import ConvergenceError, ParameterError

CELL = AdaptiveMemristor()
LOW, HIGH = CELL.gain_low, CELL.gain_high
# Gains to test at: even in gain, and even in gate voltage about the Dirac point, where the gain bends most.
BETWEEN = np.concatenate([np.linspace(LOW, HIGH, 20), CELL.gate_gain(np.linspace(-0.5, 0.7, 20) + 0.01)])


def written(seed, wires, offset=0.05, shape=(128, 64)):
    """An array of default cells over their whole window, each with its own Dirac point, and its transfer matrices."""
    rng = np.random.default_rng(seed)
    g_filament = rng.uniform(CELL.g_min, CELL.g_max, shape)
    shift = rng.normal(0.0, offset, shape)

    def conductances(gain):
        seen = CELL.gain_with_offset(CELL.gate_voltage(gain), shift)
        return CELL.terminal_conductance(g_filament, seen, 0.1)

    return conductances, transfer_matrices(np.stack([conductances(gain) for gain in BETWEEN]), wires)


@pytest.fixture(scope="module", params=[1.0, 2.8], ids=["1 ohm", "2.8 ohm"])
def direct(request):
    wires = Wires(request.param, request.param, request.param, request.param)
    return (*written(5, wires), wires)


def misses(direct, nodes):
    """Largest error of an entry and of a column's current with all rows on, each over its full scale; the estimate."""
    conductances, exact, wires = direct
    family = transfer_family(conductances, nodes, wires)
    off = family.at(BETWEEN) - exact
    return np.abs(off).max() / exact.max(), np.abs(off.sum(1)).max() / exact.sum(1).max(), family.error


# ---- mixing ----


def nodes_of(kind, count):
    return GainNodes(LOW, HIGH, count) if kind == "gain" else GateNodes(CELL, count)


@pytest.mark.parametrize("count", [2, 3, 5, 10, 16])
@pytest.mark.parametrize("kind", ["gain", "gate"])
def test_mix__rows_sum_to_one(kind, count):
    mixed = nodes_of(kind, count).mix(BETWEEN.reshape(4, 10))
    assert mixed.shape == (4, 10, count)
    np.testing.assert_allclose(mixed.sum(-1), 1.0, rtol=1e-13)


@pytest.mark.parametrize("count", [2, 3, 5, 10, 16])
@pytest.mark.parametrize(("kind", "error"), [("gain", 0.0), ("gate", 1e-11)])
def test_mix__exact_at_nodes(kind, error, count):
    nodes = nodes_of(kind, count)
    assert nodes.gains[0] == LOW
    assert nodes.gains[-1] == HIGH
    assert np.all(np.diff(nodes.gains) > 0.0)
    np.testing.assert_allclose(nodes.mix(nodes.gains), np.eye(count), rtol=0.0, atol=error)


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=10), st.floats(0.0, 1.0), st.sampled_from([None, 0.5, 1.0]))
def test_gain_nodes__reproduce_polynomials_in_their_coordinate(coefficients, where, power):
    nodes = GainNodes(0.01, 0.9, 10, power)
    function = Polynomial(coefficients)
    gain, power = 0.01 + where * 0.89, power or 1.0
    mixed = nodes.mix(np.array(gain)) @ function(nodes.gains**power)
    np.testing.assert_allclose(mixed, function(gain**power), rtol=0.0, atol=1e-13)


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_gate_nodes__the_gain_itself_is_exact(count):
    """So that a cell which multiplies exactly, on wires without resistance, is read without any error."""
    nodes = GateNodes(CELL, count)
    np.testing.assert_allclose(nodes.mix(BETWEEN) @ nodes.gains, BETWEEN, rtol=0.0, atol=1e-13)


def test_gate_nodes__without_shifts_they_still_interpolate_smooth_functions():
    """With nothing left to fit, polynomials in the root of the gain fill up the functions."""
    nodes = GateNodes(CELL, 12, reach=0.0)
    function = Polynomial([0.3, -1.0, 0.5, 0.2])
    np.testing.assert_allclose(
        nodes.mix(BETWEEN) @ function(np.sqrt(nodes.gains)), function(np.sqrt(BETWEEN)), rtol=0.0, atol=5e-4
    )
    np.testing.assert_allclose(nodes.mix(nodes.gains), np.eye(12), rtol=0.0, atol=1e-8)


@pytest.mark.parametrize("shift", [-0.2, -0.13, 0.0, 0.07, 0.2])
def test_gate_nodes__shifted_cells_on_wires(shift):
    """Gains of cells with another Dirac point, bent by a series resistance up to three times the cell's."""
    nodes = GateNodes(CELL, 14)
    for bend in (0.0, 0.1, 0.6, 2.5):

        def seen(gain, bend=bend):
            other = CELL.gain_with_offset(CELL.gate_voltage(gain), shift)
            return other / (1.0 + bend * other)

        np.testing.assert_allclose(nodes.mix(BETWEEN) @ seen(nodes.gains), seen(BETWEEN), rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("kind", ["gain", "gate"])
@pytest.mark.parametrize("gain", [0.0, 0.5 * LOW, 1.001 * HIGH, 1.0])
def test_mix__refuses_to_extrapolate(kind, gain):
    with pytest.raises(ParameterError, match=r"gain must lie between 0\.0106\d+ and 0\.917\d+, got"):
        nodes_of(kind, 6).mix(np.array([0.5, gain]))


@pytest.mark.parametrize("kind", ["gain", "gate"])
def test_mix__takes_rounded_ends_and_nothing(kind):
    nodes = nodes_of(kind, 6)
    np.testing.assert_allclose(nodes.mix(np.array([LOW * (1 - 1e-12)]))[0], np.eye(6)[0], atol=1e-9)
    assert nodes.mix(np.empty((0, 3))).shape == (0, 3, 6)
    with pytest.raises(ParameterError, match="nan"):
        nodes.mix(np.array([np.nan]))


def test_nodes__bad_values_are_refused():
    with pytest.raises(ParameterError, match="count must be from 2 to 4097, got 1"):
        GainNodes(0.1, 0.9, 1)
    with pytest.raises(ParameterError, match=r"high must be > 0\.5, got 0\.5"):
        GainNodes(0.5, 0.5, 4)
    with pytest.raises(ParameterError, match=r"low must be ≥ 0, got -0\.1"):
        GainNodes(-0.1, 0.5, 4)
    with pytest.raises(ParameterError, match="count must be from 2 to 65, got 1"):
        GateNodes(CELL, 1)
    with pytest.raises(ParameterError, match="count must be from 2 to 65, got 66"):
        GateNodes(CELL, 66)
    with pytest.raises(ParameterError, match=r"reach must be ≥ 0 V, got -0\.1 V"):
        GateNodes(CELL, 4, reach=-0.1)
    with pytest.raises(ParameterError, match="cell must be gated"):
        GateNodes(Resistor(), 4)


# ---- families ----


@pytest.mark.parametrize(
    ("count", "entries", "columns"), [(8, 5e-4, 2e-4), (10, 2e-4, 6e-5), (14, 2e-5, 5e-6), (22, 1e-7, 1e-8)]
)
def test_gate_nodes__error_on_wires_with_shifted_cells(direct, count, entries, columns):
    """Measured, 2.8 ohm: see docs/equations/reduction.md, section 5."""
    entry, column, _ = misses(direct, GateNodes(CELL, count))
    assert entry < entries
    assert column < columns


@pytest.mark.parametrize("count", [6, 10, 14])
def test_gate_nodes__error_estimate_bounds_the_error(direct, count):
    """The last two terms are at least the error, and not more than 12 times it."""
    entry, _, estimate = misses(direct, GateNodes(CELL, count))
    assert entry < estimate < 12.0 * entry


@pytest.mark.parametrize("count", [6, 10, 14])
def test_gain_nodes__error_estimate_is_within_a_factor_of_4(direct, count):
    """Shifted cells bend near the Dirac point, where Chebyshev nodes in √gain are few: 1e-3 of full scale with 10."""
    entry, _, estimate = misses(direct, GainNodes(LOW, HIGH, count, 0.5))
    assert estimate / 4.0 < entry < 4.0 * estimate
    assert entry > 5.0 * misses(direct, GateNodes(CELL, count))[0]


@pytest.mark.parametrize("kind", ["gain", "gate"])
def test_family__equal_cells_converge_fast(kind):
    """Without shifts only wires and series resistance bend the gain: 10 nodes are exact to 1e-6 of full scale."""
    wires = Wires(2.8, 2.8, 2.8, 2.8)
    case = (*written(6, wires, offset=0.0), wires)
    nodes = nodes_of("gain", 10) if kind == "gain" else GateNodes(CELL, 10, reach=0.0)
    entry, column, _ = misses(case, nodes)
    assert entry < 1e-6
    assert column < 1e-6


@pytest.mark.parametrize("kind", ["gain", "gate"])
def test_family__exact_at_nodes(kind, direct):
    conductances, _, wires = direct
    nodes = nodes_of(kind, 5)
    family = transfer_family(conductances, nodes, wires)
    single = transfer_matrix(conductances(nodes.gains[3]), wires)
    np.testing.assert_allclose(family.at(nodes.gains[3]), single, rtol=0.0, atol=1e-10 * single.max())


def test_family__ideal_cells_are_linear_in_the_gain(rng):
    """Two nodes tell all."""
    cell = ideal_adaptive()
    g = rng.uniform(cell.g_min, cell.g_max, (6, 5))
    nodes = GateNodes(cell, 2)
    family = transfer_family(lambda gain: cell.terminal_conductance(g, gain, 0.1), nodes, Wires(0, 0, 0, 0))
    gains = np.array([[cell.gain_low, 0.3], [0.5, cell.gain_high]])
    np.testing.assert_allclose(family.at(gains), gains[..., None, None] * g, rtol=1e-12)


def test_family__estimate_of_what_is_exact_is_nothing(rng):
    """A function that three nodes hold leaves no tail in eight."""
    g = rng.uniform(1e-6, 1e-5, (4, 3))
    nodes = GainNodes(LOW, HIGH, 8)
    assert Family(nodes, nodes.gains[:, None, None] * g).error < 1e-15
    nodes = GateNodes(CELL, 8)
    assert Family(nodes, nodes.gains[:, None, None] * g).error < 1e-9


# ---- tolerances ----

REFUSED = {"most_nodes": r"most_nodes must be ≥ 6, got 5", "tolerance": r"tolerance must be > 0 and < 1, got "}


@pytest.mark.parametrize(("kind", "count"), [("gain", 2), ("gain", 5), ("gate", 2), ("gate", 3), ("gate", 20)])
def test_grown__holds_the_nodes_it_came_from(kind, count):
    nodes = nodes_of(kind, count)
    larger = nodes.grown()
    assert larger.count > count
    distance = np.abs(larger.gains[:, None] - nodes.gains)
    np.testing.assert_allclose(distance.min(0), 0.0, atol=1e-15)


@pytest.mark.parametrize("offset", [0.0, 0.03, 0.06], ids=["equal", "30 mV", "60 mV"])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=4)
def test_transfer_family__true_error_is_below_the_tolerance_asked(offset, seed):
    """From 1e-3 to 1e-8 of the largest entry, arrays of any shape on wires of 0.3 to 10 ohm; measured: 0.4 of it."""
    rng = np.random.default_rng(seed)
    m, n = rng.integers(2, 40, 2)
    wires = Wires(*10.0 ** rng.uniform(-0.5, 1.0, 4))
    conductances, exact = written(seed, wires, offset, (m, n))
    counts = []
    for tolerance in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8):
        family = transfer_family(conductances, GateNodes(CELL, 4, reach=4.0 * offset), wires, tolerance=tolerance)
        off = np.abs(family.at(BETWEEN) - exact).max() / exact.max()
        assert off <= tolerance
        assert family.error <= tolerance
        counts.append(family.nodes.count)
    assert counts == sorted(counts)
    assert counts[-1] <= (32 if offset else 14)


@pytest.mark.parametrize(("tolerance", "most"), [(1e-3, 17), (1e-5, 65)])
def test_transfer_family__gain_nodes_double_until_they_reach_the_tolerance(tolerance, most):
    """Shifted cells ask for far more nodes that know no cell; their estimate holds within a factor of 3."""
    wires = Wires(2.8, 2.8, 2.8, 2.8)
    conductances, exact = written(8, wires, shape=(40, 20))
    family = transfer_family(conductances, GainNodes(LOW, HIGH, 5), wires, tolerance=tolerance)
    assert np.abs(family.at(BETWEEN) - exact).max() <= 3.0 * tolerance * exact.max()
    assert 5 < family.nodes.count <= most


def test_transfer_family__reduces_each_node_once():
    wires = Wires(2.8, 2.8, 2.8, 2.8)
    conductances, _ = written(9, wires, shape=(20, 10))
    asked = []
    family = transfer_family(
        lambda gain: (asked.append(gain), conductances(gain))[1], GateNodes(CELL, 4), wires, tolerance=1e-5
    )
    assert len(asked) == family.nodes.count > 8
    at_once = transfer_family(conductances, family.nodes, wires)
    np.testing.assert_array_equal(family.transfers, at_once.transfers)


def test_transfer_family__no_floor_above_rounding():
    """40 nodes for Dirac points 50 mV apart, 20 for equal ones: what is left is below 1e-11 of the largest entry."""
    wires = Wires(2.8, 2.8, 2.8, 2.8)
    for offset, count in ((0.05, 40), (0.0, 20)):
        conductances, exact = written(10, wires, offset, (40, 20))
        family = transfer_family(conductances, GateNodes(CELL, count, reach=4.5 * offset), wires)
        assert np.abs(family.at(BETWEEN) - exact).max() < 1e-11 * exact.max()


def test_transfer_family__says_when_nodes_do_not_suffice():
    wires = Wires(2.8, 2.8, 2.8, 2.8)
    conductances, _ = written(11, wires, shape=(20, 10))
    with pytest.raises(ConvergenceError, match=r"8 nodes leave an estimated error of \d\.\de-0\d > 1e-08, .* than 9;"):
        transfer_family(conductances, GateNodes(CELL, 6), wires, tolerance=1e-8, most_nodes=9)
    with pytest.raises(ParameterError, match=REFUSED["most_nodes"]):
        transfer_family(conductances, GateNodes(CELL, 6), wires, tolerance=1e-8, most_nodes=5)
    for bad in (0.0, 1.0, -1e-3):
        with pytest.raises(ParameterError, match=REFUSED["tolerance"]):
            transfer_family(conductances, GateNodes(CELL, 6), wires, tolerance=bad)


def test_gate_nodes__a_sharp_dirac_point_takes_a_finer_grid():
    """A tenth of the residual carriers: the gain turns within 20 mV, and 30 nodes still mix shifted cells."""
    cell = AdaptiveMemristor(n_0=2e14)
    nodes = GateNodes(cell, 30, reach=0.05)
    gains = cell.gate_gain(np.linspace(-0.5, 0.7, 301) + 1e-3)

    def seen(gain):
        return cell.gain_with_offset(cell.gate_voltage(gain), 0.021)

    np.testing.assert_allclose(nodes.mix(gains) @ seen(nodes.gains), seen(gains), rtol=0.0, atol=1e-4)
    np.testing.assert_allclose(nodes.mix(nodes.gains), np.eye(30), rtol=0.0, atol=1e-9)


# ---- the coordinate of GainNodes ----


@pytest.mark.parametrize("ohms", [0.1, 1.06, 10.0, 30.0, 100.0, 300.0])
@pytest.mark.parametrize("seed", range(3))
def test_gain_nodes__take_the_coordinate_that_the_loss_asks_for(ohms, seed):
    """Over arrays that lose 1 to 90 %, the chosen coordinate is the better one, or nearly: they cross at 60 %."""
    rng = np.random.default_rng(seed)
    g = 10.0 ** rng.uniform(-6.3, -4.3, (48, 24))
    wires = Wires(ohms, ohms, min(100.0, 100.0 * ohms), min(10.0, 10.0 * ohms))
    exact = transfer_matrices(BETWEEN[:, None, None] * g, wires)
    errors = {}
    for power in (None, 0.5, 1.0):
        family = transfer_family(lambda gain: gain * g, GainNodes(LOW, HIGH, 8, power), wires)
        errors[power] = np.abs(family.at(BETWEEN) - exact).max() / exact.max()
    assert errors[None] <= 3.0 * min(errors[0.5], errors[1.0])
    if ohms == 1.06:
        assert errors[None] < 1e-10
        assert errors[0.5] > 1e-9
    if ohms == 300.0:
        assert errors[None] < 0.4 * errors[1.0]


def test_suited__changes_where_wires_take_three_fifths():
    nodes = GainNodes(LOW, HIGH, 8)
    powers = [nodes.suited(loss).power for loss in (0.0, 0.2, 0.5, 0.7, 0.99)]
    assert powers == [1.0, 1.0, 1.0, 0.5, 0.5]
    assert GainNodes(LOW, HIGH, 8, 0.5).suited(0.0).power == 0.5
    assert nodes.suited(0.7).grown().power == 0.5


@pytest.mark.parametrize("power", [0.0, 2.0, "1", np.nan])
def test_gain_nodes__refuse_another_power(power):
    with pytest.raises(ParameterError, match=r"^power must be 0\.5, 1 or None, got"):
        GainNodes(0.1, 0.9, 4, power)


def test_tolerance__grows_nodes_in_the_chosen_coordinate():
    g, wires = np.full((24, 12), 2e-5), Wires(3000.0, 3000.0, 1.0, 1.0)
    family = transfer_family(lambda gain: gain * g, GainNodes(LOW, HIGH, 3), wires, tolerance=1e-6)
    assert family.nodes.power == 0.5
    exact = transfer_matrices(BETWEEN[:, None, None] * g, wires)
    assert np.abs(family.at(BETWEEN) - exact).max() <= 1e-5 * exact.max()
