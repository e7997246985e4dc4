"""Components: published values, scaling to another node, bills, and components of the user."""

import math
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbar import Activity, Adc
from crossbar.prices.adc_models import ADC_MODELS, adc_flash, area_survey
from crossbar.prices.catalogue import (
    activation,
    adc_component,
    clocked,
    component,
    gate_line,
    ladder_dac,
    leakage,
    line,
    pooling,
    published,
    silicon_gate_line,
    softmax,
    total,
    wire,
)
from crossbar.prices.component_model import (
    COUNTS,
    Band,
    Bill,
    Component,
    Part,
    area_factor,
    energy_rules,
    load_components,
    read_part,
)
from crossbar.prices.costs import Costs
from crossbar.prices.periphery import Periphery
from crossbar.prices.technology import LEAKAGE, SUPPLY, supply
from devices.errors import ParameterError

approx = partial(pytest.approx, abs=0.0)
nodes = st.floats(7e-9, 130e-9)


def values(band):
    return [band.low, band.nominal, band.high]


# ---- published parts ----


@pytest.mark.parametrize(
    ("name", "picojoules", "square_micrometres", "node"),
    [
        ("row_dac", 0.291, 438, 40), ("adder", 0.21, 278, 40), ("multiplier", 12.68, 6350, 40),
        ("comparator", 0.0295, 0, 40), ("counter", 0.251, 0, 40), ("register", 0.009, 5.98, 40),
        ("shift_add", 0.021, 60, 32), ("requantiser", 0.25, 0, 40),
        ("edram", 20.45, 83000, 32), ("router", 20.74, 0, 32), ("chip_link", 26, 0, 32), ("time_adc", 0.145, 310, 65),
        ("time_dac", 0.0375, 240, 65), ("sample", 1.2, 350, 130), ("adc_step", 0.3, 400, 130), ("sram", 10, 0, 45),
    ],
)  # fmt: skip
def test_published__as_their_sources_have_them(name, picojoules, square_micrometres, node):
    part = component(name)
    assert values(part.energy) == approx(3 * [picojoules * 1e-12], rel=1e-12)
    assert part.area == (approx(square_micrometres * 1e-12, rel=1e-12) if square_micrometres else 0.0)
    assert part.node == approx(node * 1e-9, rel=1e-12)
    assert len(part.source) > 5


def test_published__agree_with_the_prices_of_a_chip():
    costs = Costs()
    assert costs.e_row_code == component("row_dac").energy.nominal
    assert costs.e_add == component("shift_add").energy.nominal
    assert costs.e_multiply == component("requantiser").energy.nominal
    assert costs.e_buffer_bit == approx(component("edram").energy.nominal / 256, rel=2e-3)
    assert costs.e_compare == approx(component("comparator").energy.nominal * 8 / 32, rel=5e-3)


def test_published__registers_agree_with_transistors():
    """Two sources that know nothing of each other: Aladdin's register at 22 nm, NeuroSim's flip-flop of 5.10 fJ."""
    assert clocked(1, 22e-9).energy.nominal == approx(5.10e-15, rel=0.05)
    assert clocked(16, 22e-9).energy.nominal == approx(16 * clocked(1, 22e-9).energy.nominal, rel=1e-12)


def test_component__unknown_names_the_nearest():
    with pytest.raises(ParameterError, match="unknown component 'ader'; nearest valid: adder"):
        component("ader")
    with pytest.raises(ParameterError, match=r"valid are .*adder"):
        component("zzz")


# ---- another node ----


def test_rules__by_hand():
    size, charge, fitted = energy_rules(45e-9, 7e-9)
    assert size == approx(7 / 45, rel=1e-12)
    assert charge == approx(7 / 45 * 0.49, rel=1e-12)
    old = 1.103 - 0.362 + 0.2767
    assert fitted == approx((0.1776 * 0.49 - 0.09097 * 0.7 + 0.02447) / old, rel=1e-9)
    assert area_factor(45e-9, 7e-9) == approx(0.0092 / 0.16, rel=1e-9)
    assert area_factor(130e-9, 65e-9) == approx(0.23, rel=1e-9)


@pytest.mark.parametrize("node", SUPPLY)
def test_supply__at_the_nodes_of_its_table(node):
    assert supply(node * 1e-9) == approx(SUPPLY[node], rel=1e-9)


@given(nodes, nodes, nodes)
def test_rules__two_steps_are_one(first, second, third):
    for one, two, both in zip(
        energy_rules(first, second), energy_rules(second, third), energy_rules(first, third), strict=True
    ):
        assert one * two == approx(both, rel=1e-9)
    assert area_factor(first, second) * area_factor(second, third) == approx(area_factor(first, third), rel=1e-9)


@given(nodes, nodes)
def test_node__smaller_is_cheaper_and_the_band_holds_every_rule(one, other):
    small, large = sorted((one, other))
    part = component("adder")
    down, up = part.at(small), part.at(large)
    assert down.energy.nominal <= up.energy.nominal * (1 + 1e-12)
    assert down.area <= up.area * (1 + 1e-12)
    for factor in energy_rules(part.node, small):
        assert down.energy.low <= factor * part.energy.nominal * (1 + 1e-12)
        assert down.energy.high >= factor * part.energy.nominal * (1 - 1e-12)
    assert part.at(part.node) is part


def test_node__nominal_is_in_proportion_as_a_chips_prices_are():
    done = Activity(additions=1.0)
    for node in (7e-9, 22e-9, 65e-9):
        found = Costs(node=node).energies(done, Periphery())["digital"]
        assert component("shift_add", node).energy.nominal == approx(found, rel=1e-12)
    assert component("integrator", 65e-9).latency == approx(0.135e-6, rel=1e-12)


# ---- converters ----


def test_adc__band_over_the_models():
    adc, node = Adc(), 22e-9
    band = adc_component(adc, node)
    each = {model: adc_component(adc, node, model) for model in ADC_MODELS}
    for model, part in each.items():
        assert values(part.energy) == approx(3 * [Costs(node=node).conversion(adc, model)], rel=1e-12)
        assert band.energy.low <= part.energy.nominal <= band.energy.high
        assert part.latency == approx(10e-9, rel=1e-12)
    assert band.energy.nominal == each["survey"].energy.nominal
    assert 5.0 < band.energy.high / band.energy.low < 13.0
    assert band.area == each["survey"].area
    assert each["neurosim"].area == 0.0  # its unit is a cell of a library that is not given
    with pytest.raises(ParameterError, match=r"model must be one of .*, got 'best'"):
        adc_component(adc, node, "best")


@pytest.mark.parametrize(("node", "area"), [(130, 34869), (65, 11862), (32, 3939), (22, 2199), (7, 370)])
def test_adc__area_of_the_survey(node, area):
    """The evaluated table of the fit, 8 bits at 100 MS/s."""
    assert 1e12 * area_survey(8, 100e6, node) == approx(area, rel=5e-3)


def test_adc__silicon_at_its_own_node():
    found = adc_component(Adc(bits=8), 130e-9, "silicon")
    assert found.energy.nominal == approx(3.6e-12, rel=1e-12)
    assert found.area == approx(750e-12, rel=1e-12)
    steps = component("sample").energy.nominal + 8 * component("adc_step").energy.nominal
    assert found.energy.nominal == approx(steps, rel=1e-12)


def test_flash__comparators_and_column():
    """31 comparators of 1.7 µW for 1 ns, and 0.0631 W ohm of the column's conductance; without a driven row 1 µW."""
    own = adc_flash(32, 22, 1e-15)
    assert own == approx(31 * 1.7e-15, rel=1e-6)
    assert adc_flash(32, 22, 3e-3) - own == approx(0.0631e-9 * 3e-3, rel=5e-3)
    assert adc_flash(32, 22, 0.0) == 1e-15
    assert adc_flash(2, 22, 1e-15) == approx(component("sense_amplifier").energy.nominal, rel=1e-6)
    assert adc_flash(32, 7, 1e-15) == approx(31 * 0.35e-15, rel=1e-6)
    with pytest.raises(ParameterError, match="priced at 22 nm and below, got 32 nm"):
        adc_flash(32, 32, 1e-3)


# ---- lines and wires ----


def test_line__charge_times_swing():
    assert line("any", 2e-15, 3.0).energy.nominal == approx(18e-15, rel=1e-12)
    assert line("any", 2e-15, -3.0) == replace(line("any", 2e-15, 3.0), action="one change by -3 V")
    with pytest.raises(ParameterError, match="capacitance must be ≥ 0 F"):
        line("any", -1e-15, 1.0)


def test_gate_line__as_a_chip_is_charged_for_it():
    cells, swing = 128 * 128, 6.0
    found = gate_line(cells, 80e-9, swing).energy.nominal
    assert found == approx(Costs().energies(Activity(gate_swing=cells * swing**2), Periphery())["gates"], rel=1e-12)


def test_silicon_gate_line__of_256_cells():
    assert silicon_gate_line(256).energy.nominal == approx((2.1e-15 * 256 + 48e-15) * 1.69, rel=1e-12)


def test_wire__19_to_33_femtojoules_per_millimetre():
    """Range of the plug-in's defaults from 13 to 130 nm."""
    assert wire(1e-3, 13e-9).energy.nominal == approx(19.2e-15, rel=1e-2)
    assert wire(1e-3, 130e-9).energy.nominal == approx(33.4e-15, rel=1e-2)
    assert wire(2e-3, 50e-9).energy.nominal == approx(2 * wire(1e-3, 50e-9).energy.nominal, rel=1e-12)
    assert wire(1e-3, relaxed=2.0).energy.nominal < wire(1e-3).energy.nominal
    with pytest.raises(ParameterError, match=r"relaxed must be one of 1, 2, 3, got 1.5"):
        wire(1e-3, relaxed=1.5)


def test_ladder__by_hand():
    assert ladder_dac(8, 0.85, 22e-9).energy.nominal == approx(8e-17 * (0.85 * 22) ** 2 * 8, rel=1e-12)


def test_leakage__of_the_chip_it_is_taken_from():
    assert leakage(4.5554e-5) == approx(628.781e-6, rel=1e-3)
    assert leakage(0.0) == 0.0
    assert LEAKAGE > 0.0


# ---- bills ----


def some(**values):
    return Component(
        **{"name": "part", "action": "act", "energy": Band(1e-12, 2e-12, 4e-12), "source": "here", **values}
    )


def test_bill__by_hand():
    found = some(latency=1e-9, area=10e-12, leakage=1e-6).bill(10, instances=4, duration=2e-6)
    assert values(found.energy) == approx([18e-12, 28e-12, 48e-12], rel=1e-12)
    assert found.latency == approx(3e-9, rel=1e-12)  # 10 actions on 4 parts: 3 rounds
    assert found.area == approx(40e-12, rel=1e-12)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5))
def test_bill__sums_are_totals(counts):
    part = some(latency=1e-9, area=1e-12)
    found = total(part.bill(each) for each in counts)
    assert found.energy.nominal == pytest.approx(part.bill(sum(counts)).energy.nominal, rel=1e-12)
    assert found.latency == pytest.approx(sum(counts) * 1e-9, rel=1e-12)
    assert total([]) == Bill()


# ---- digital work ----


def test_digital__counts_by_hand():
    """Windows of 4 in maps of 16 values; softmax of 2 rows of 3."""
    assert pooling(16, 4, largest=True) == Activity(comparisons=12)
    assert pooling(16, 4, largest=False) == Activity(additions=12, multiplications=4)
    assert pooling(4, 4, largest=True) == Activity()
    assert activation(7) == Activity(comparisons=7)
    found = softmax(2, 3)
    assert found == Activity(additions=10, multiplications=6, comparisons=4, buffer_bits=64)


def test_digital__is_priced():
    energies = Costs(node=40e-9).energies(pooling(16, 4, largest=True), Periphery())
    assert energies["digital"] == approx(12 * 7.4e-15, rel=1e-12)
    assert sum(energies.values()) == energies["digital"]


# ---- one's own ----

OWN = """
[tanh]
action = "one hyperbolic tangent"
energy = [0.1e-12, 0.2e-12, 0.5e-12]
latency = 2e-9
area = 50e-12
leakage = 1e-9
node = 28e-9
source = "our own layout"
"""


def test_own__from_toml(tmp_path):
    path = tmp_path / "parts.toml"
    path.write_text(OWN, encoding="utf-8")
    (part,) = load_components(path).values()
    assert part == Component(
        "tanh", "one hyperbolic tangent", Band(0.1e-12, 0.2e-12, 0.5e-12), "our own layout", 2e-9, 50e-12, 1e-9, 28e-9
    )
    assert eval(repr(part), {"Component": Component, "Band": Band}) == part  # noqa: S307
    assert part.bill(3).energy.high == approx(1.5e-12, rel=1e-12)
    assert "tanh" not in published()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("latency = 2e-9", "delay = 2e-9", "unknown key tanh.delay; valid are action, area"),
        ("node = 28e-9", "", "tanh needs the keys action, energy, node, source, node is missing"),
        ("[0.1e-12, 0.2e-12, 0.5e-12]", "[0.2e-12, 0.1e-12, 0.5e-12]", "a band must have 0 ≤ low ≤ nominal ≤ high"),
        ("[0.1e-12, 0.2e-12, 0.5e-12]", "[0.1e-12]", r"tanh.energy must be one number or \[low, nominal, high\]"),
        ("[0.1e-12, 0.2e-12, 0.5e-12]", '"much"', "tanh.energy must be a real number in J, got 'much'"),
        ("area = 50e-12", "area = -1.0", "area must be ≥ 0 m², got -1 m²"),
        ('"our own layout"', '""', "tanh.source must be a text, got ''"),
        ("[tanh]", "tanh = 3\n[other]", "tanh must be a table of a component's keys, got 3"),
        ("[tanh]", "[tanh", "cannot be read"),
    ],
)
def test_own__bad_tables_are_refused(old, new, words, tmp_path):
    path = tmp_path / "parts.toml"
    path.write_text(OWN.replace(old, new), encoding="utf-8")
    with pytest.raises(ParameterError, match=words):
        load_components(path)


def test_own__a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"the components of .*none.toml cannot be read"):
        load_components(tmp_path / "none.toml")


def test_values__bad_ones_are_refused():
    with pytest.raises(ParameterError, match=r"the energy of part must be a Band, got 1\.0"):
        some(energy=1.0)
    with pytest.raises(ParameterError, match="node must be > 0 m"):
        component("adder", 0.0)
    with pytest.raises(ParameterError, match="a band must have"):
        Band(0.0, 1.0, math.inf)


# ---- parts of a user's ----

TABLE = {"action": "one", "energy": [1e-12, 2e-12, 4e-12], "node": 22e-9, "source": "ours", "counts": "conversions"}


def test_part__acts_for_its_count():
    part = read_part("mine", TABLE | {"times": 3.0}, "here")
    done = Activity(conversions=5.0, additions=7.0)
    assert part.actions(done) == 15.0
    assert values(part.energy(done, 22e-9)) == approx((15e-12, 30e-12, 60e-12), rel=1e-12)
    assert part.energy(done, 44e-9).nominal == approx(60e-12, rel=1e-12)
    assert {"wire_bit_meters", "leaking"}.isdisjoint(COUNTS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counts": "conversion"}, r"here: \[mine\] counts must be one of reads, .*cell_writes, .*got 'conversion'"),
        ({"counts": None}, "here: mine needs the key counts, which names the count that drives it"),
        ({"each": "chip"}, r"here: \[mine\] each must be one of block, tile, array, got 'chip'"),
        ({"instances": 0}, r"here: \[mine\] instances must be ≥ 1, got 0"),
        ({"times": 0.0}, r"here: \[mine\] times must be > 0, got 0"),
        ({"energy": -1.0}, r"here: \[mine\] mine.energy must be ≥ 0 J"),
        ({"weight": 1.0}, "here: unknown key mine.weight"),
    ],
)
def test_part__nonsense_is_refused(change, words):
    table = {key: value for key, value in (TABLE | change).items() if value is not None}
    with pytest.raises(ParameterError, match=words):
        read_part("mine", table, "here")
    with pytest.raises(ParameterError, match="here: mine must be a table of a part's keys, got 3"):
        read_part("mine", 3, "here")


def test_parts__of_a_chip_are_priced():
    """In the costs of a chip, read from tables: they add their energy, and their band to the band."""
    usual, done, adc = Costs(), Activity(conversions=5.0, additions=7.0), Periphery()
    more = Costs(
        parts={"mine": TABLE, "other": Part(Component("o", "one", Band(0.0, 1e-12, 1e-12), "ours"), "additions")}
    )
    assert isinstance(more.parts["mine"], Part)
    one, two = usual.energies(done, adc), more.energies(done, adc)
    assert one.pop("parts") == 0.0
    assert two.pop("parts") == approx(10e-12 + 7e-12, rel=1e-12)
    assert one == two
    low, high = (b - a for a, b in zip(usual.bounds(done, adc), more.bounds(done, adc), strict=True))
    assert (low, high) == approx((5e-12, 27e-12), rel=1e-6)
    with pytest.raises(ParameterError, match=r"costs\.parts must be a table with one table for each part, got 3"):
        Costs(parts=3)
