"""What a read costs beside its array: supply, amplifiers, integrators and row drivers, from their own formulas."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from crossbar import Activity, Adc, Dac, Sense
from crossbar.prices.catalogue import component
from crossbar.prices.costs import Costs
from crossbar.prices.periphery import Periphery
from crossbar.prices.read_prices import capacitor, loop_current, sensing, supply_loss
from crossbar.prices.row_drivers import row_drivers, switching
from devices.errors import ParameterError

approx = partial(pytest.approx, abs=0.0)
USUAL = Periphery()


def pair(amperes, around=USUAL, array=0.0):
    """One read of one pair with a range of some amperes."""
    t = around.dac.t_read
    return Activity(sense_charge=amperes * t, sense_time=t, joules_array=array)


# amplifiers and integrators


def test_class_a__draws_at_least_the_signal_for_the_whole_read():
    """12 µA in each of two amplifiers from 0.8 V for a read and its settling; nothing else is as large."""
    t = USUAL.dac.t_read + 10e-9
    own = 2 * 12e-6 * 0.8 * t
    around = replace(USUAL, sense=Sense(stage="class-a", division=1e9), r_sense=1e9)
    assert sensing(pair(12e-6, around), around, 22e-9).nominal == approx(own, rel=1e-6)
    mirrored = replace(around, sense=Sense(stage="class-a", division=4.0))
    assert sensing(pair(12e-6, mirrored), mirrored, 22e-9).nominal == approx(own * (1 + 1 / 8), rel=1e-6)


def test_push_pull__draws_the_current_of_the_cells():
    """Cells that take 3 pJ at the read voltage let 30 pC flow, which come from the supply of the amplifiers."""
    around = replace(USUAL, sense=Sense(quiescent=0.0, division=1e9), r_sense=1e9)
    found = sensing(pair(12e-6, around, array=3e-12), around, 22e-9).nominal
    assert found == approx(3e-12 / around.dac.v_read * 0.8, rel=1e-3)


def test_sensing__band_spans_both_stages():
    done = pair(12e-6, array=0.1e-12)
    one, other = (sensing(done, replace(USUAL, sense=Sense(stage=stage)), 22e-9) for stage in ("push-pull", "class-a"))
    assert (one.low, one.high) == (other.low, other.high) == (one.nominal, other.nominal)
    assert one.nominal < other.nominal
    none = sensing(done, replace(USUAL, sense=Sense(stage="none")), 22e-9)
    assert (none.low, none.nominal, none.high) == (0.0, 0.0, 0.0)


def test_loop__by_hand():
    """A transistor's input resistance is 1.5 kT/q over its current; the loop divides it, at its gain-bandwidth product.

    Settling to half a code of 8 bits in 10 ns takes 5.5 time constants of 1.8 ns: 88 MHz.
    """
    bandwidth = 8 * math.log(2) / 10e-9 / (2 * math.pi)
    assert bandwidth == approx(88.3e6, rel=1e-3)
    each = 1.5 * 0.025852 * bandwidth / 116e9 / 10.0
    assert loop_current(USUAL, 22e-9) == approx(2 * each, rel=2e-3)
    assert loop_current(USUAL, 22e-9) == approx(5.9e-6, rel=2e-2)
    assert loop_current(USUAL, 44e-9) == approx(2 * loop_current(USUAL, 22e-9), rel=1e-9)  # slower transistors
    assert loop_current(replace(USUAL, r_sense=20.0), 22e-9) == approx(loop_current(USUAL, 22e-9) / 2, rel=1e-9)
    assert loop_current(replace(USUAL, sense=Sense(t_settle=20e-9)), 22e-9) < loop_current(USUAL, 22e-9)
    assert loop_current(replace(USUAL, r_sense=0.0), 22e-9) == 0.0  # ideal, without a price


def test_capacitor__is_charge_over_swing():
    """28 µA for 255 ns are 7.1 pC: 18 pF on 0.4 V, 3600 µm² at 5 fF/µm², and a thirty-second of it behind a mirror."""
    whole = replace(USUAL, sense=Sense(division=1.0), dac=Dac(t_slot=1e-9))
    assert capacitor(28e-6, whole) == approx(17.85e-12, rel=1e-3)
    assert capacitor(28e-6, whole) / whole.sense.capacitance == approx(3570e-12, rel=1e-3)
    assert capacitor(28e-6, replace(whole, sense=Sense(division=32.0))) == approx(17.85e-12 / 32, rel=1e-3)


def test_capacitor__of_the_default_is_quieter_than_a_code():
    """Thermal noise of the capacitor for a range of 5 µA, less than a fifth of the default chip's largest."""
    code = USUAL.sense.v_swing / 127
    assert math.sqrt(1.380649e-23 * 300.0 / capacitor(5e-6, USUAL)) < code / 8


# supply


def test_supply__switched_and_linear():
    """Of the energy drawn, 80 % arrive; a linear regulator draws the current at 0.8 V and delivers it at 0.1 V."""
    around = replace(USUAL, dac=Dac(v_read=0.1))
    found = supply_loss(Activity(joules_array=1.0), around)
    assert (found.low, found.nominal, found.high) == approx((0.25, 0.25, 7.0), rel=1e-9)
    linear = replace(around, sense=Sense(regulator="linear"))
    assert supply_loss(Activity(joules_array=1.0), linear).nominal == approx(7.0, rel=1e-9)
    higher = replace(linear, dac=Dac(v_read=0.8))
    assert supply_loss(Activity(joules_array=1.0), higher).nominal == 0.0


# row drivers


def drivers(done, dac, costs=None, r_driver=100.0):
    return row_drivers(done, dac, r_driver, (costs or Costs()).row_prices)


def read_of(dac, rows=128, cells=128):
    """One array, all rows driven with one code each."""
    n = dac.conversions
    return Activity(tile_reads=n, row_pulses=rows * n, row_codes=rows, cell_reads=rows * cells * n)


def test_rows__each_coding_pays_for_its_own_circuit():
    """Pulses pay for every slot, amplitudes for every bit of a converter, bits for lines and switches alone."""
    costs = Costs()
    per_row = {}
    for coding in ("pulse-width", "amplitude", "bit-serial"):
        for bits in (4, 8):
            dac = Dac(bits=bits, coding=coding)
            pulses = 128 * dac.conversions * (switching(100.0, costs.row_prices) + 128 * 2e-10 * 80e-9 * 0.64)
            per_row[coding, bits] = (drivers(read_of(dac), dac).nominal - pulses) / 128
    assert per_row["pulse-width", 8] == approx(255 * (0.063e-12 / 128 + 7.4e-15 / 8) * 22 / 40, rel=1e-9)
    assert per_row["pulse-width", 4] == approx(15 * (0.063e-12 / 128 / 2 + 7.4e-15 / 8) * 22 / 40, rel=1e-9)
    assert per_row["amplitude", 8] == approx(0.291e-12 * 22 / 40, rel=1e-9)
    assert per_row["amplitude", 4] == approx(0.291e-12 * 22 / 40 / 2, rel=1e-9)
    assert per_row["bit-serial", 8] == pytest.approx(0.0, abs=1e-20)


def test_rows__against_three_published_designs():
    """Ours over theirs at their node and bits: 1.24 of Brahms, 15.6 of TIMELY, 1 / 21.7 of ISAAC.

    ISAAC's 417 fJ are the power of a converter of one bit for 100 ns; ours is the charge of a line and its switches.
    """
    dac = Dac(bits=8)
    counted = {
        nm: drivers(Activity(tile_reads=1.0, row_codes=128.0), dac, Costs(node=nm * 1e-9)).nominal / 128
        for nm in (40, 65)
    }
    assert counted[40] / component("row_dac").energy.nominal == approx(1.24, rel=0.01)
    assert counted[65] / component("time_dac").energy.nominal == approx(15.6, rel=0.01)
    timed = drivers(Activity(row_codes=128.0), dac, Costs(node=65e-9, row_timer="delay-line")).nominal / 128
    assert timed == approx(component("time_dac").energy.nominal, rel=1e-9)
    one = Dac(bits=1, coding="bit-serial")
    bit = drivers(read_of(one, rows=1), one, Costs(node=32e-9, pitch=112e-9, v_pulse=0.9)).nominal
    assert component("row_pulse").energy.nominal / bit == approx(21.7, rel=0.05)
    held = drivers(read_of(one, rows=1), one, Costs(node=32e-9, e_row_pulse=0.4167e-12)).nominal
    assert held == approx(component("row_pulse").energy.nominal, rel=0.05)


def test_rows__a_stronger_driver_has_wider_switches():
    """Half the resistance, twice the gate: 5.4 fF for each of two switches of 100 Ω and a third for their buffers."""
    prices = Costs().row_prices
    assert switching(100.0, prices) == approx(8 / 3 * 5.44e-15 * 0.64, rel=0.01)
    assert switching(50.0, prices) == approx(2 * switching(100.0, prices), rel=1e-9)
    assert switching(0.0, prices) == 0.0


def test_rows__band_spans_counter_and_delay_line():
    done, dac = read_of(Dac()), Dac()
    one, other = (drivers(done, dac, Costs(row_timer=timer)) for timer in ("counter", "delay-line"))
    assert (one.low, one.high) == (other.low, other.high) == (other.nominal, one.nominal)


# widths


def test_widths__price_what_they_switch():
    """Half the bits: half a comparison, half a gate voltage, a quarter of a product, and sums of half the width."""
    done = Activity(comparisons=1.0)
    narrow = replace(USUAL, adc=Adc(bits=4), dac=Dac(bits=4))
    for count, factor in (("comparisons", 2.0), ("multiplications", 4.0), ("additions", 2.0)):
        done = Activity(**{count: 1.0})
        wide, less = (Costs().energies(done, each)["digital"] for each in (USUAL, narrow))
        assert wide == approx(factor * less, rel=1e-12)
    gates = replace(USUAL, gate_dac=replace(USUAL.gate_dac, bits=2))
    wide, less = (Costs().energies(Activity(gate_updates=1.0), each)["gates"] for each in (USUAL, gates))
    assert wide == approx(4.0 * less, rel=1e-12)
    ideal = replace(USUAL, adc=Adc(bits=None), dac=Dac(bits=None))
    assert Costs().energies(Activity(additions=1.0), ideal) == Costs().energies(Activity(additions=1.0), USUAL)


def test_converters__without_a_model_are_parts():
    costs = Costs(adc_model="none")
    assert costs.energies(Activity(conversions=5.0), USUAL)["adc"] == 0.0
    assert costs.bounds(Activity(conversions=5.0), USUAL) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sense(stage="class-b"), "sense.stage must be one of push-pull, class-a, none, got 'class-b'"),
        (lambda: Sense(regulator="buck"), "sense.regulator must be one of switched, linear, got 'buck'"),
        (lambda: Sense(division=0.5), "division must be ≥ 1, got 0.5"),
        (lambda: Sense(efficiency=1.5), "efficiency must be > 0 and ≤ 1, got 1.5"),
        (lambda: Costs(row_timer="clock"), "costs.row_timer must be one of counter, delay-line, got 'clock'"),
        (lambda: Costs(external="disk"), "costs.external must be one of none, inputs, maps, got 'disk'"),
        (lambda: Costs(stored_bits=0), "costs.stored_bits must be from 1 to 64, got 0"),
        (lambda: Costs(control_bits=-1), "costs.control_bits must be from 0 to 65536, got -1"),
    ],
)
def test_keys__nonsense_is_refused(make, words):
    with pytest.raises(ParameterError, match=words):
        make()


def test_keys__each_acts_on_the_energy_in_its_direction():
    """Of a read of 128 rows and 64 pairs on the default chip."""
    done = Activity(tile_reads=1, row_pulses=100, row_codes=128, conversions=64, cell_reads=12800, joules_array=3e-12,
                    sense_charge=64 * 12e-6 * 255e-9, sense_time=64 * 255e-9)  # fmt: skip

    def total(**keys):
        return sum(Costs().energies(done, replace(USUAL, sense=replace(USUAL.sense, **keys))).values())

    usual = total()
    for keys in ({"v_supply": 1.0}, {"stage": "class-a"}, {"quiescent": 0.25}, {"regulator": "linear"}):
        assert total(**keys) > usual, keys
    for keys in ({"division": 64.0}, {"efficiency": 0.9}, {"stage": "none"}):
        assert total(**keys) < usual, keys
    shorter = replace(USUAL, dac=replace(USUAL.dac, t_slot=USUAL.dac.t_slot / 2))
    half = replace(done, sense_charge=done.sense_charge / 2, sense_time=done.sense_time / 2, joules_array=1.5e-12)
    assert sum(Costs().energies(half, shorter).values()) < usual
    assert np.isfinite(usual)
