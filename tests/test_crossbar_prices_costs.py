"""Prices against the tables of their sources, and the arithmetic of costs."""

import itertools
import math
from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbar import Activity, Adc
from crossbar.prices.adc_models import ADC_MODELS, ISAAC_ADC_PJ, adc_isaac, adc_neurosim, adc_silicon, adc_survey
from crossbar.prices.costs import COMPONENTS, Costs
from crossbar.prices.periphery import Periphery
from crossbar.prices.technology import WIRE_MODELS, wire_bit, wire_capacitance
from devices.errors import ParameterError

approx = partial(pytest.approx, abs=0.0)  # its own 1e-12 would let any energy pass
SLOW = 1e6  # below every corner of the survey's fit, where the energy does not depend on the rate

# Survey fit evaluated from the coefficients of arXiv 2404.06553, pJ per conversion: node: 4 to 8 bits,
# 8 bits at 1.2 GS/s, 10 bits at 10 MS/s.
SURVEY = {
    130: (12.89, 13.06, 14.86, 18.30, 23.90, 25.79, 46.17),
    65: (3.501, 3.548, 4.036, 4.973, 6.494, 7.006, 12.54),
    32: (0.924, 0.936, 1.065, 1.312, 1.714, 1.849, 3.310),
    22: (0.457, 0.463, 0.527, 0.649, 0.847, 0.914, 1.636),
    7: (0.053, 0.054, 0.061, 0.075, 0.098, 0.106, 0.190),
}
POINTS = [(4, SLOW), (5, SLOW), (6, SLOW), (7, SLOW), (8, SLOW), (8, 1.2e9), (10, 10e6)]


def some_activity(seed=0):
    rng = np.random.default_rng(seed)
    return Activity(*(float(each) for each in rng.uniform(1.0, 1e6, len(fields(Activity)))))


# ---- converters ----


@pytest.mark.parametrize("node", SURVEY)
def test_survey__the_evaluated_table(node):
    got = [1e12 * adc_survey(bits, rate, node) for bits, rate in POINTS]
    np.testing.assert_allclose(got, SURVEY[node], rtol=1e-2)  # the table has three digits, at 7 nm two


@pytest.mark.parametrize(("bits", "corner"), [(6, 10e9), (8, 1.07e9), (10, 114e6)])
def test_survey__corner_rate(bits, corner):
    """Energy is flat below the corner and grows with the power 0.661 of the rate above it."""
    flat = adc_survey(bits, SLOW, 22)
    assert adc_survey(bits, 0.95 * corner, 22) == flat
    assert adc_survey(bits, 1.1 * corner, 22) > flat
    rise = math.log(adc_survey(bits, 8 * corner, 22) / adc_survey(bits, 4 * corner, 22)) / math.log(2.0)
    assert rise == approx(2.871903 / 10 * math.log(10), rel=1e-9) == approx(0.661, abs=1e-3)


def test_survey__isaacs_converter_within_11_percent():
    assert 1e12 * adc_survey(8, 1.2e9, 32) == approx(1.11 * 1.667, rel=1e-2)


@pytest.mark.parametrize("bits", [2, 3])
def test_survey__below_4_bits_as_4(bits):
    assert adc_survey(bits, SLOW, 22) == adc_survey(4, SLOW, 22)


@pytest.mark.parametrize(
    ("bits", "node", "own", "column"),
    [(5, 22, 42.4, 43.4), (8, 22, 78.1, 65.1), (8, 65, 503.0, 109.0)],
)
def test_neurosim__own_and_column_parts(bits, node, own, column):
    """Femtojoules; the second part is the current of a column of 10 kΩ and goes as one over its resistance."""
    far = 1e15 * adc_neurosim(bits, node, 1e9)
    assert far == approx(own, rel=1e-2)
    assert 1e15 * adc_neurosim(bits, node, 1e4) - far == approx(column, rel=1e-2)
    assert 1e15 * adc_neurosim(bits, node, 1e5) - far == approx(column / 10, rel=1e-2)


@pytest.mark.parametrize(
    ("node", "a", "c", "d"),
    [
        (130, 8.4483, 65.243, 0.169380), (90, 5.9869, 37.462, 0.144323), (65, 3.7506, 25.844, 0.121272),
        (45, 2.1691, 16.693, 0.100225), (32, 1.1294, 8.8998, 0.079449), (22, 0.538, 4.3753, 0.072341),
        (14, 0.3132, 2.5681, 0.061085), (10, 0.1823, 1.5073, 0.051580), (7, 0.1061, 0.8847, 0.043555),
    ],
)  # fmt: skip
def test_neurosim__every_node(node, a, c, d):
    slope = 2.297 if node == 32 else 2.303
    watts = (a * 6 + c) * 1e-6 + d * math.exp(-slope * 4.5)
    assert adc_neurosim(6, node, 10**4.5) == approx(watts * 7e-9, rel=1e-12)
    assert adc_neurosim(6, node, 10**4.5, temperature=350.0) == approx(watts * 7e-9 * 1.065, rel=1e-12)


def test_neurosim__nodes_between_take_the_next_larger():
    assert adc_neurosim(8, 28.0, 1e4) == adc_neurosim(8, 32.0, 1e4)
    assert adc_neurosim(8, 5.0, 1e4) == adc_neurosim(8, 7.0, 1e4)
    assert adc_neurosim(8, 180.0, 1e4) == adc_neurosim(8, 130.0, 1e4)
    for node in (7, 10, 14, 22, 32, 45, 65, 90, 130):  # metres to nanometres and back, rounded either way
        assert Costs(node=node * 1e-9).conversion(Adc(), "neurosim") == adc_neurosim(8, node, 1e4)


def test_isaac__the_table_at_32_nm():
    table = {4: 0.79, 5: 0.99, 6: 1.20, 7: 1.42, 8: 1.67, 9: 1.97, 10: 2.38}
    assert table == ISAAC_ADC_PJ
    for bits, pj in table.items():
        assert 1e12 * adc_isaac(bits, 32) == approx(pj, rel=1e-12)
        assert 1e12 * adc_isaac(bits, 16) == approx(pj / 2, rel=1e-12)
    assert adc_isaac(2, 32) == adc_isaac(4, 32)
    assert adc_isaac(12, 32) == adc_isaac(10, 32)


def test_silicon__as_built_at_130_nm():
    """A sample and a step for each bit; at 22 nm it lies inside the band of the other three."""
    assert 1e12 * adc_silicon(8, 130) == approx(3.6, rel=1e-12)
    assert 1e12 * adc_silicon(4, 130) == approx(2.4, rel=1e-12)
    assert adc_neurosim(8, 22, 1e4) < adc_silicon(8, 22) < adc_isaac(8, 22)


def test_models__differ_as_much_as_is_known():
    """At 22 nm and 8 bits accepted models lie 6 to 13 times apart, which is why a band is reported."""
    each = [Costs().conversion(Adc(), model, r_column=1e4) for model in ADC_MODELS]
    assert 5.0 < max(each) / min(each) < 13.0
    assert Costs().conversion(Adc(), "survey") == approx(0.847e-12, rel=1e-2)
    assert Costs().conversion(Adc(), "neurosim", 1e9) == approx(78.1e-15, rel=1e-2)
    assert Costs().conversion(Adc(), "isaac") == approx(1.67e-12 * 22 / 32, rel=1e-6)


@pytest.mark.parametrize("model", ADC_MODELS)
def test_models__grow_with_bits_and_node(model):
    energies = [Costs().conversion(Adc(bits=bits), model) for bits in range(4, 11)]
    assert np.all(np.diff(energies) > 0.0)
    nodes = [Costs(node=node * 1e-9).conversion(Adc(), model) for node in (7, 14, 22, 32, 65)]
    assert np.all(np.diff(nodes) > 0.0)
    assert Costs().conversion(Adc(bits=None), model) == Costs().conversion(Adc(bits=8), model)


# ---- activities ----


def test_energies__by_hand():
    """One of each count, at the node where its price was found, tells each price."""
    one = replace(Activity(*([1.0] * len(fields(Activity)))), joules_gates=0.0)
    assert Costs().energies(Activity(joules_gates=1.0), Periphery())["gates"] == 1.0
    at_40, at_32 = (Costs(node=node).energies(one, Periphery()) for node in (40e-9, 32e-9))
    line = 2e-10 * 80e-9  # F per cell
    assert tuple(at_40) == COMPONENTS
    assert at_40["array"] == 1.0
    assert at_40["supply"] == approx(1 / 0.8 - 1, rel=1e-12)
    switches = 8 / 3 * 1.43e-9 * 0.2 * 1.77 * 0.85 / 791.9 * 40 / 22 / 100.0
    timed = 255 * (0.063e-12 + 7.4e-15 / 8)  # one counter for the read, one bit compared for the code
    assert at_40["drivers"] == approx(timed + (line + switches) * 0.8**2, rel=1e-12)
    assert at_40["gates"] == approx(0.291e-12 + 1.55e-3 * 80e-9**2 + line, rel=1e-12)
    assert at_40["digital"] == approx(0.021e-12 * 40 / 32 + 0.25e-12 + 7.4e-15, rel=1e-12)
    assert at_40["writes"] == 2.5e-12
    assert at_32["digital"] == approx(0.021e-12 + (0.25e-12 + 7.4e-15) * 32 / 40, rel=1e-12)
    assert at_32["buffers"] == approx(20.45e-12 / 256, rel=2e-3)  # ISAAC: 20.45 pJ per 256 bits
    assert at_32["adc"] == approx(1.25 * 1.714e-12, rel=1e-2)  # a quarter for references
    assert at_40["memory"] == 20.3e-12
    assert at_40["control"] == approx(16 * 9e-15, rel=1e-12)
    volts = {130: 1.3, 22: 0.85}
    for node, farads in ((130, 0.43e-9), (22, None)):
        found = Costs(node=node * 1e-9).energies(one, Periphery())
        line = farads or wire_capacitance(22e-9)
        assert found["wires"] == approx(0.25 * 1.077 * line * volts[node] ** 2, rel=1e-9)
        assert found["clock"] == approx(9e-15 * node / 40 + 1.077 * line * volts[node] ** 2, rel=1e-9)
    assert at_40["leakage"] == 13.8


def test_wires__models_by_hand():
    """At the nodes where they were measured, and Accelergy's own 18 nm to 130 nm values of 19 to 33 fJ/bit/mm."""
    assert wire_bit("plug-in", 130e-9) == approx(33.4e-12, rel=1e-2)
    assert wire_bit("plug-in", 13e-9) == approx(19.2e-12, rel=1e-2)
    assert wire_bit("low-swing", 45e-9) == approx(40.4e-12, rel=1e-9)  # at 1 V, the supply at 45 nm
    assert wire_bit("full-swing", 130e-9) == approx(310e-12 * (1.3 / 1.2) ** 2, rel=1e-9)
    at_22 = [wire_bit(model, 22e-9) * 1e12 for model in WIRE_MODELS]
    np.testing.assert_allclose(at_22, [54.3, 21.7, 24.3, 101], rtol=2e-2)


def test_bounds__hold_every_combination_of_models():
    adc, usual = Periphery(), Costs()
    for seed in range(5):
        done = some_activity(seed)
        low, high = usual.bounds(done, adc)
        for adc_model, wire_model in itertools.product(ADC_MODELS, WIRE_MODELS):
            costs = replace(usual, adc_model=adc_model, wire_model=wire_model)
            assert costs.bounds(done, adc) == approx((low, high), rel=1e-12)
            assert low < sum(costs.energies(done, adc).values()) < high
    codes = 7 * 37.5e-15 * 22 / 65, 7 * 255 * 7.4e-15 / 8 * 22 / 40  # a delay line, or comparators
    assert usual.bounds(Activity(row_codes=7.0), adc) == approx(codes, rel=1e-12)
    one = Activity(control_steps=1.0)
    assert usual.bounds(one, adc) == approx((0.0, 4 * 16 * 9e-15 * 22 / 40), rel=1e-12)
    assert usual.bounds(Activity(leaking=1.0), adc) == approx((10.95, 13.8), rel=1e-12)


def test_energies__gates_of_an_array():
    """128 × 128 cells of 80 nm swung over the whole window: 5.8 pJ in the cells, and their lines on top."""
    swing = Activity(gate_swing=128 * 128 * 6.0**2)
    assert Costs(c_wire=0.0).energies(swing, Periphery())["gates"] == approx(5.8e-12, rel=1e-2)
    lines = 128 * 128 * 36 * 2e-10 * 80e-9
    assert Costs().energies(swing, Periphery())["gates"] == approx(5.85e-12 + lines, rel=1e-2)


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(1e-100, 1e3))
def test_energies__linear_in_the_counts(seed, other, factor):
    costs, adc = Costs(), Periphery()
    a, b = some_activity(seed), some_activity(other)
    both, scaled = costs.energies(a + b, adc), costs.energies(a.scaled(factor), adc)
    for name, joules in costs.energies(a, adc).items():
        assert both[name] == approx(joules + costs.energies(b, adc)[name], rel=1e-12)
        assert scaled[name] == approx(factor * joules, rel=1e-12)
    assert set(costs.energies(Activity(), adc).values()) == {0.0}


def test_energies__a_dearer_price_raises_its_component_alone():
    done, adc = some_activity(), Periphery()
    usual = Costs().energies(done, adc)
    for name, component in {
        "e_row_pulse": "drivers", "v_pulse": "drivers", "e_counter": "drivers", "e_gate_dac": "gates",
        "e_add": "digital", "e_multiply": "digital", "e_compare": "digital drivers", "e_buffer_bit": "buffers",
        "e_write": "writes", "p_leak": "leakage", "e_external": "memory", "reference_share": "adc",
        "control_bits": "control",
    }.items():  # fmt: skip
        held = getattr(Costs(), name)
        dearer = replace(Costs(), **{name: 2 * held or 1e-12}).energies(done, adc)
        assert sum(dearer.values()) > sum(usual.values())
        assert {each for each in usual if dearer[each] != usual[each]} == set(component.split())


def test_energies__digital_scales_with_the_node_and_the_array_does_not():
    done, adc = some_activity(), Periphery()
    at_22, at_44 = Costs(node=22e-9).energies(done, adc), Costs(node=44e-9).energies(done, adc)
    assert at_44["array"] == at_22["array"]
    for name in ("digital", "buffers"):
        assert at_44[name] == approx(2.0 * at_22[name], rel=1e-12)
    lines = Activity(cell_reads=1.0, gate_swing=1.0)  # without a pulse no switch is driven
    for name in ("drivers", "gates"):  # capacitance of lines and cells goes with the pitch, not with the node
        assert Costs(node=44e-9).energies(lines, adc)[name] == Costs(node=22e-9).energies(lines, adc)[name]
    codes = Activity(row_codes=1.0, gate_updates=1.0)
    for name in ("drivers", "gates"):
        twice, once = (Costs(node=node).energies(codes, adc)[name] for node in (44e-9, 22e-9))
        assert twice == approx(2.0 * once, rel=1e-12)


def test_pricing_twice__changes_no_count():
    done = some_activity(3)
    before = Activity(**vars(done))
    first = Costs().energies(done, Periphery())
    for costs in (Costs(node=7e-9), Costs(adc_model="neurosim"), Costs(pitch=1e-6, e_add=0.0)):
        assert costs.energies(done, Periphery()) != first
    for model in ADC_MODELS:
        energies = Costs().energies(done, Periphery(), model)
        assert {name: energies[name] for name in energies if name != "adc"} == {
            name: first[name] for name in first if name != "adc"
        }
    assert done == before
    assert Costs().energies(done, Periphery()) == first


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"adc_model": "best"},
            "costs.adc_model must be one of survey, neurosim, isaac, silicon, circuit, none, got 'best'",
        ),
        (
            {"wire_model": "light"},
            "costs.wire_model must be one of supply, plug-in, low-swing, full-swing, got 'light'",
        ),
        ({"node": 0.0}, "node must be > 0 m, got 0 m"),
        ({"pitch": -1.0}, "pitch must be > 0 m"),
        ({"e_add": -1.0}, "e_add must be ≥ 0 J"),
        ({"c_wire": math.nan}, "c_wire must be a real number in F/m, got nan"),
    ],
)
def test_costs__bad_values_are_refused(values, words):
    with pytest.raises(ParameterError, match=words):
        Costs(**values)
