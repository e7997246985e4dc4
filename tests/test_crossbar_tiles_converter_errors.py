"""Converters that err: statistics of what is drawn, noise, calibration, slow twins, prices."""

import math
from dataclasses import replace

import numpy as np
import pytest

from crossbar import Activity, Adc, Dac, Tile, Wires
from crossbar.prices.adc_circuits import circuit_area, circuit_energy
from crossbar.prices.adc_models import adc_survey
from crossbar.prices.catalogue import adc_component
from crossbar.prices.costs import Costs
from crossbar.prices.periphery import Periphery
from crossbar.tiles.converter_circuits import CIRCUITS, error_power, threshold_errors
from crossbar.tiles.converter_errors import ConverterErrors, codes_of, draw_errors, residual_offset
from crossbar.tiles.row_drive import drive_rows
from crossbar.tiles.written_arrays import WrittenArray, build_tiles
from devices import AdaptiveMemristor, ReadNoise
from devices.constants import BOLTZMANN
from devices.errors import ParameterError
from mapping import Hardware

CELL = AdaptiveMemristor()
KEYS = np.array([3, 2**63 + 4, 77], dtype=np.uint64)
MANY = 4000  # converters that are drawn: a variance is known to √(2 / MANY) = 2.2 %


# ---- what is drawn ----


@pytest.mark.parametrize("circuit", CIRCUITS)
@pytest.mark.parametrize("bits", [3, 6])
def test_thresholds__inl_and_dnl_have_the_size_that_was_asked_for(circuit, bits, rng):
    """Widths are thresholds' differences; the ramp is one draw for all, so it is drawn again and again."""
    draws = 1 if circuit != "ramp" else MANY
    drawn = [threshold_errors(circuit, bits, 0.0, 0.3, MANY // draws, rng) for _ in range(draws)]
    found = np.concatenate(drawn)
    assert found.shape == (MANY, 2**bits - 2)
    widths = np.diff(found, axis=1)
    edges = 1.0 if circuit != "ramp" else 1.0 - 1.0 / (2**bits - 2)  # the line takes a part of the ramp's widths
    assert np.mean(widths**2) == pytest.approx(0.3**2 * edges, rel=0.1)
    assert np.mean(found**2) == pytest.approx(0.3**2 * error_power(circuit, bits), rel=0.1)
    assert abs(found.mean()) < 0.03
    smooth = np.concatenate([threshold_errors(circuit, bits, 0.3, 0.0, MANY // draws, rng) for _ in range(draws)])
    if bits == 6:  # the polynomials' means over 62 thresholds are their integrals' to 1e-3
        assert np.mean(smooth**2) == pytest.approx(0.3**2, rel=0.1)
        u = np.linspace(-1.0, 1.0, 62)
        line = np.polynomial.polynomial.polyfit(u, smooth.T, 1)
        assert np.abs(line).max() < 0.05 * np.abs(smooth).max()


def test_thresholds__of_a_sar_have_the_largest_step_at_mid_scale_and_of_a_pipeline_there_too(rng):
    for circuit in ("sar", "pipelined"):
        widths = np.diff(threshold_errors(circuit, 6, 0.0, 1.0, MANY, rng), axis=1)
        size = np.sqrt((widths**2).mean(0))
        middle = len(size) // 2
        assert size.argmax() == middle
        assert size[middle] > 1.8 * size[middle - 1]
    # bit 5 against bits 0 to 4: 32 + 31 units, and 1 unit for every second width
    sar = np.diff(threshold_errors("sar", 6, 0.0, 1.0, 20 * MANY, rng), axis=1)
    assert sar[:, 30].std() / sar[:, 31].std() == pytest.approx(math.sqrt(63.0), rel=0.03)


def test_thresholds__of_a_ramp_are_common_to_all_converters(rng):
    found = threshold_errors("ramp", 5, 0.2, 0.2, 3, rng)
    np.testing.assert_array_equal(found, np.broadcast_to(found[0], found.shape))
    assert len(np.unique(threshold_errors("sar", 5, 0.2, 0.2, 3, rng)[:, 3])) == 3


def test_draw__columns_of_one_converter_have_equal_errors_and_others_do_not(rng):
    found = draw_errors(Adc(columns=3, gain_error=0.02, inl=0.5, dnl=0.2), np.zeros(8), rng, 300.0)
    np.testing.assert_array_equal(found.converter, [0, 0, 0, 1, 1, 1, 2, 2])
    assert found.thresholds.shape == (3, 254)
    assert np.all(np.diff(found.thresholds, axis=1) >= 0.0)
    for gains in (found.gains[:3], found.gains[3:6], found.gains[6:]):
        assert len(set(gains)) == 1
    assert len(set(found.gains)) == 3
    gains = draw_errors(Adc(columns=1, gain_error=0.02), np.zeros(MANY), rng, 300.0).gains
    assert gains.std() == pytest.approx(0.02, rel=0.1)


def test_draw__without_errors_there_is_nothing(rng):
    assert draw_errors(Adc(), np.zeros(4), rng, 300.0) is None
    assert draw_errors(Adc(comparator_noise=1e-3, c_sample=1e-14), np.zeros(4), rng, 300.0) is None
    assert draw_errors(Adc(bits=None, calibration=8), np.zeros(4), rng, 300.0) is None


# ---- noise and calibration ----


def test_noise__is_kt_over_c():
    adc = Adc(bits=8, v_swing=0.5, c_sample=20e-15)
    assert adc.noise_volts(400.0) ** 2 == pytest.approx(BOLTZMANN * 400.0 / 20e-15, rel=1e-12)
    assert adc.noise(400.0) == pytest.approx(adc.noise_volts(400.0) / (0.5 / 254.0), rel=1e-12)
    both = replace(adc, comparator_noise=3e-4)
    assert both.noise_volts(400.0) == pytest.approx(math.hypot(adc.noise_volts(400.0), 3e-4), rel=1e-12)


def small_tile(adc, errors=None, offsets=None, noise=None, dac=None, row_gains=None, pairs=6) -> Tile:
    g = np.random.default_rng(5).uniform(CELL.g_min, CELL.g_max, (1, 9, 2 * pairs))
    held = np.zeros(pairs) if offsets is None else offsets
    written = WrittenArray(
        g, np.zeros_like(g), None, 4e-6, held, errors=errors, row_gains=row_gains
    )  # fmt: skip
    silent = ReadNoise.none() if noise is None else noise
    return build_tiles(CELL, [written], Wires(1.0, 2.0, 80.0, 15.0), dac or Dac(), adc, silent, 300.0)[0]


def codes(b=3, p=40, rows=9):
    return np.random.default_rng(6).integers(0, 256, (b, p, rows)).astype(float)


def test_noise__of_a_read_has_the_variance_of_the_converter_and_the_cells(rng):
    adc = Adc(bits=None, c_sample=1e-15, comparator_noise=1e-3)
    for noise in (None, ReadNoise()):
        tile = small_tile(adc, noise=noise)
        quiet = small_tile(Adc(bits=None))
        many = codes(1, 1).repeat(MANY, axis=1)
        of_cells = 0.0
        if noise is not None:
            both, _ = small_tile(Adc(bits=None), noise=noise).read(many, None, KEYS[:1], True)
            of_cells = both[0].var(axis=0)
        seen = tile.read(many, None, KEYS[:1], noise is not None)[0][0]
        wanted = of_cells + (adc.noise(300.0) * tile.full_scale) ** 2
        np.testing.assert_allclose(seen.var(axis=0), np.broadcast_to(wanted, 6), rtol=0.15)
        exact = quiet.read(many[:, :1], None, KEYS[:1], False)[0][0, 0]
        np.testing.assert_allclose(seen.mean(0), exact, atol=4.0 * np.sqrt(np.max(wanted) / MANY))


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_noise__does_not_depend_on_the_batch(kind):
    adc = Adc(comparator_noise=3e-3, gain_error=0.02, inl=0.5, dnl=0.3, circuit="sar", columns=2)
    errors = draw_errors(adc, np.zeros(6), np.random.default_rng(1), 300.0)
    tile = small_tile(adc, errors, noise=ReadNoise())
    tile = tile.single() if kind is np.float32 else tile
    given = codes().astype(kind)
    whole, _ = tile.read(given, None, KEYS, True)
    for entry in range(3):
        alone, _ = tile.read(given[entry : entry + 1], None, KEYS[entry : entry + 1], True)
        np.testing.assert_array_equal(alone[0], whole[entry])


def test_calibration__leaves_the_offset_that_noise_and_rounding_leave(rng):
    adc = Adc(comparator_noise=3e-3, calibration=16)  # 0.95 LSB of noise
    offsets = rng.normal(0.0, 3.0, MANY)
    left = offsets - draw_errors(adc, offsets, rng, 300.0).correction
    assert left.std() == pytest.approx(residual_offset(adc, 300.0), rel=0.1)
    assert abs(left.mean()) < 0.02
    silent = draw_errors(Adc(calibration=16), offsets, rng, 300.0)  # no noise: the mean is the rounded offset
    np.testing.assert_array_equal(silent.correction, np.rint(offsets))


# ---- conversion: slow twin ----


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_read__converts_as_a_slow_twin_does(circuit, rng):
    """Codes are counted threshold by threshold in the plainest way."""
    adc = Adc(
        bits=5, columns=4, gain_error=0.05, inl=0.6, dnl=0.5, circuit=circuit, calibration=9, comparator_noise=4e-2
    )
    offsets = rng.normal(0.0, 0.5, 6)
    errors = draw_errors(adc, offsets, rng, 300.0)
    quiet = replace(adc, comparator_noise=0.0)
    tile = small_tile(quiet, errors, offsets)
    got, done = tile.read(codes(), None, KEYS, False)
    exact = small_tile(Adc(bits=None)).read(codes(), None, KEYS, False)[0] / adc.lsb(4e-6)
    wanted = np.empty(exact.shape)
    for entry, read, j in np.ndindex(exact.shape):
        level = exact[entry, read, j] * errors.gains[j] + offsets[j]
        reached = sum(level >= each for each in errors.thresholds[j // 4])
        wanted[entry, read, j] = -15 + reached - errors.correction[j]
    np.testing.assert_allclose(got, wanted, rtol=0.0, atol=1e-9)
    assert np.abs(exact).max() > 15.0  # some saturate
    assert done.conversions == exact.size
    plain = codes_of(exact * errors.gains + offsets, errors, quiet)
    np.testing.assert_allclose(plain, wanted + errors.correction, rtol=0.0, atol=1e-9)


def test_read__errors_that_are_zero_change_nothing():
    plain, _ = small_tile(Adc(), noise=ReadNoise()).read(codes(), None, KEYS, True)
    zero = small_tile(Adc(), ConverterErrors.none(6), noise=ReadNoise())
    found, _ = zero.read(codes(), None, KEYS, True)
    assert np.mean(found != plain) < 1e-3  # the variance is rooted after the product: a tie may fall the other way
    nominal = ConverterErrors(np.ones(6), np.arange(254)[None] - 126.5, np.zeros(6, dtype=np.int64), np.zeros(6))
    silent, _ = small_tile(Adc()).read(codes(), None, KEYS, False)
    tables, _ = small_tile(Adc(), nominal).read(codes(), None, KEYS, False)
    np.testing.assert_array_equal(tables, silent)


def test_read__row_drivers_scale_the_currents_of_their_rows():
    gains = 1.0 + np.linspace(-0.1, 0.2, 9)
    one = np.eye(9)[None] * 255.0
    plain, before = small_tile(Adc(bits=None)).read(one, None, KEYS[:1], False)
    found, after = small_tile(Adc(bits=None), row_gains=gains[None]).read(one, None, KEYS[:1], False)
    np.testing.assert_allclose(found, plain * gains[None, :, None], rtol=1e-12)
    assert after == before


# ---- time, effective bits, prices ----


def test_time__by_circuit():
    times = {each: Adc(bits=6, circuit=each, clock=2e9).t_conversions(4) * 2e9 for each in CIRCUITS[1:]}
    assert times == pytest.approx({"sar": 28.0, "ramp": 256.0, "flash": 4.0, "pipelined": 9.0}, rel=1e-12)
    assert Adc(sample_rate=1e7).t_conversions(8) == pytest.approx(8e-7)
    assert Adc(circuit="pipelined").rate == pytest.approx(1e9)
    assert Adc(circuit="sar").rate == pytest.approx(1e9 / 9.0)


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_effective_bits__are_those_of_a_sine_test(circuit, rng):
    """Errors of random levels, by simulation; the curve and the steps alone, then with noise."""
    adc = Adc(bits=7, circuit=circuit, inl=0.4, dnl=0.3, comparator_noise=2e-3)
    powers = []
    for _ in range(300):
        errors = draw_errors(adc, np.zeros(1), rng, 300.0)
        levels = rng.uniform(-62.0, 62.0, (500, 1))
        codes = codes_of(levels + adc.noise() * rng.standard_normal(levels.shape), errors, adc)
        powers.append(np.mean((codes - levels) ** 2))
    found = adc.bits - 0.5 * math.log2(12.0 * np.mean(powers))
    assert adc.effective_bits() == pytest.approx(found, abs=0.1)


def test_effective_bits__without_errors_are_the_resolution():
    assert [Adc(bits=bits).effective_bits() for bits in (2, 8, 13)] == [2.0, 8.0, 13.0]
    assert Adc(bits=None).effective_bits() == 8.0


def test_price__less_noise_costs_more_energy():
    costs, loud = Costs(), Adc(comparator_noise=4e-3)
    prices = [costs.conversion(replace(loud, comparator_noise=v), "survey") for v in (8e-3, 4e-3, 2e-3, 0.0)]
    assert prices == sorted(prices)
    assert prices[-1] == costs.conversion(Adc(), "survey")
    bits = loud.effective_bits()
    assert prices[1] == adc_survey(bits, 1e8, 22.0)
    assert costs.conversion(loud, "isaac") == costs.conversion(Adc(), "isaac")


@pytest.mark.parametrize("circuit", CIRCUITS[1:])
def test_price__of_a_circuit_by_its_parts(circuit):
    adc = Adc(circuit=circuit, c_sample=10e-15, comparator_noise=5e-4)
    half = replace(adc, c_sample=40e-15, comparator_noise=2.5e-4)  # half the noise voltage
    # logic alone: nearly no capacitor and a comparator that hardly resolves
    logic = circuit_energy(replace(adc, c_sample=1e-30, comparator_noise=1e3), 22e-9)
    assert circuit_energy(half, 22e-9) - logic == pytest.approx(4.0 * (circuit_energy(adc, 22e-9) - logic), rel=1e-6)
    assert logic < circuit_energy(adc, 22e-9)
    assert Costs(adc_model="circuit").conversion(adc, "circuit") == circuit_energy(adc, 22e-9)
    assert circuit_area(half, 22e-9) > circuit_area(adc, 22e-9) > circuit_area(adc, 11e-9)
    part = adc_component(adc, 22e-9, "circuit")
    assert (part.area, part.energy.nominal) == (circuit_area(adc, 22e-9), circuit_energy(adc, 22e-9))
    assert part.latency == adc.t_conversions(1)


def test_price__switching_energy_of_the_ladder_is_the_published_one():
    """1363.3 units C V² for 10 bits, Liu et al. 2010."""
    adc = Adc(bits=10, circuit="sar", c_sample=1024e-15, v_swing=1.0, comparator_noise=1e3)
    logic = circuit_energy(replace(adc, c_sample=1e-30), 22e-9)
    assert (circuit_energy(adc, 22e-9) - logic - 1024e-15) / 1e-15 == pytest.approx(1363.3, abs=0.1)


def test_price__band_holds_the_circuit():
    adc = Adc(circuit="flash", c_sample=1e-12, comparator_noise=1e-4)
    costs, done = Costs(adc_model="circuit"), Activity(conversions=10.0)
    low, high = costs.bounds(done, Periphery(adc))
    assert low <= costs.energies(done, Periphery(adc))["adc"] <= high


# ---- bad input ----


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"circuit": "dual"}, "adc.circuit must be one of generic, sar, ramp, flash, pipelined, got 'dual'"),
        ({"inl": 0.1, "bits": None}, "adc.bits must be from 2 to 12 .* got 'ideal'"),
        ({"dnl": 0.1, "bits": 13}, "adc.bits must be from 2 to 12 .* got 13"),
        ({"gain_error": 0.5}, "gain_error must be ≥ 0 and ≤ 0.3"),
        ({"calibration": -1}, "adc.calibration must be from 0 to 65536"),
        ({"c_sample": -1.0}, "c_sample must be ≥ 0 F"),
    ],
)
def test_adc__bad_values_are_refused(values, words):
    with pytest.raises(ParameterError, match=words):
        Adc(**values)


def test_price__a_circuit_needs_its_noise():
    with pytest.raises(ParameterError, match=r"needs adc.circuit = .* got 'generic'"):
        Hardware(costs=Costs(adc_model="circuit"))
    with pytest.raises(ParameterError, match=r"adc.c_sample must be > 0 F, got 0 F"):
        Hardware(costs=Costs(adc_model="circuit"), adc=Adc(circuit="sar"))
    with pytest.raises(ParameterError, match=r"adc.comparator_noise must be > 0 V, got 0 V"):
        Hardware().with_values(["costs.adc_model=circuit", "adc.circuit=sar", "adc.c_sample=1e-14"])


def test_drive__shapes_are_checked_as_before():
    drive = drive_rows(np.ones((4, 1, 1)), Dac(), None, 300.0)
    with pytest.raises(ParameterError, match="codes must drive 9 rows, got 4"):
        small_tile(Adc(gain_error=0.1), ConverterErrors.none(6)).add_read(drive, None, KEYS[:1], np.zeros((1, 6, 1)))
