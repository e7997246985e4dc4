"""Converters: codes to reads, currents to codes, attention to gate voltages."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbar import Adc, Dac, GateDac
from crossbar.tiles.converters import BINS, convert, overlaps
from devices import AdaptiveMemristor, ReadNoise
from devices.errors import ParameterError

CELL = AdaptiveMemristor()
KEYS = np.array([3, 2**63 + 4], dtype=np.uint64)


# ---- row drivers ----


@given(st.integers(1, 16), st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=20))
def test_dac__codes_are_rounded_and_saturate(bits, x):
    dac = Dac(bits=bits)
    codes = dac.codes(np.array(x))
    assert codes.min() >= 0.0
    assert codes.max() <= dac.full_code == 2**bits - 1
    np.testing.assert_array_equal(codes, np.rint(codes))
    inside = np.clip(x, 0.0, 1.0)
    assert np.abs(codes / dac.full_code - inside).max() <= 0.5 / dac.full_code * (1 + 1e-12)


def test_dac__continuous_codes_stay_what_they_are():
    dac = Dac(bits=None, coding="amplitude")
    np.testing.assert_array_equal(dac.codes(np.array([-0.2, 0.0, 0.123, 1.0, 1.7])), [0.0, 0.0, 0.123, 1.0, 1.7])
    assert dac.full_code == 1.0


@given(st.integers(1, 12), st.sampled_from(["pulse-width", "bit-serial", "amplitude"]), st.integers(0, 2**32 - 1))
def test_dac__planes_add_up_to_the_code(bits, coding, seed):
    dac = Dac(bits=bits, coding=coding)
    codes = np.random.default_rng(seed).integers(0, 2**bits, (2, 3, 5)).astype(float)
    planes = dac.split(codes)
    assert len(planes) == dac.conversions == (bits if coding == "bit-serial" else 1)
    total = sum(value * unit * driven for value, driven, unit in planes)
    np.testing.assert_allclose(total, codes / dac.full_code, rtol=1e-14)
    for _, driven, unit in planes:
        share = driven * unit
        assert share.min() >= 0.0
        assert share.max() <= 1.0
        if coding == "bit-serial":
            assert np.isin(share, [0.0, 1.0]).all()


@pytest.mark.parametrize(
    ("dac", "slots", "t_read"),
    [
        (Dac(), 255, 127.5e-9),
        (Dac(bits=4, t_slot=2e-9), 15, 30e-9),
        (Dac(bits=None), 255, 127.5e-9),  # a continuous pulse is as long as one of 8 bits
        (Dac(coding="bit-serial"), 1, 0.5e-9),
        (Dac(bits=6, coding="amplitude", t_slot=5e-9), 1, 5e-9),
    ],
)
def test_dac__length_of_a_read(dac, slots, t_read):
    assert dac.slots == slots
    assert math.isclose(dac.t_read, t_read)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_dac__white_noise_of_a_pulse_is_that_of_its_parts(share):
    """On for part of the read, at rest for the others; an amplitude is on all the time."""
    noise = ReadNoise()
    pulse, level = Dac(), Dac(coding="amplitude")
    on, rest = (noise.cell_variance(1e-6, v, pulse.t_read) for v in (pulse.v_read, 0.0))
    on -= noise.flicker_squared(1e-6, pulse.t_read) * pulse.v_read**2
    np.testing.assert_allclose(
        1e-6 * pulse.white(np.array(share), noise, 300.0), share * on + (1.0 - share) * rest, rtol=1e-12
    )
    np.testing.assert_allclose(
        level.white(np.array(share), noise, 300.0),
        noise.white_per_siemens(share * level.v_read, level.t_read, 300.0), rtol=1e-15,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"coding": "morse"}, "dac.coding must be one of pulse-width, bit-serial, amplitude, got 'morse'"),
        ({"bits": 0}, "dac.bits must be from 1 to 16, got 0"),
        ({"bits": 17}, "dac.bits must be from 1 to 16, got 17"),
        ({"bits": 8.0}, "dac.bits must be a whole number"),
        ({"bits": None, "coding": "bit-serial"}, "dac.bits must be a number for dac.coding = 'bit-serial'"),
        ({"v_read": 0.0}, "v_read must be > 0 V, got 0 V"),
        ({"t_slot": -1e-9}, "t_slot must be > 0 s"),
    ],
)
def test_dac__bad_values_are_refused(values, words):
    with pytest.raises(ParameterError, match=words):
        Dac(**values)


# ---- overlapping pulses ----


def met(length, worth):
    """Mean squares of what is on, by every two pulses' meeting: those that begin together meet for the shorter one."""
    meet = np.minimum(length[:, :, None], length[:, None])
    return np.einsum("bijp,bi,bj->bp", meet, worth, worth)


@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_overlaps__is_the_mean_square_of_what_is_on(rows, reads, seed):
    rng = np.random.default_rng(seed)
    worth = rng.uniform(0.0, 1.0, (2, rows))
    ends = rng.integers(0, BINS + 1, (2, rows, reads), dtype=np.uint8)
    np.testing.assert_allclose(overlaps(ends, worth), met(ends / BINS, worth).mean(1), rtol=1e-12)
    alike = met(ends / BINS, np.repeat(worth[:1], 2, axis=0))
    np.testing.assert_allclose(overlaps(ends, worth[:1]), alike.mean(1), rtol=1e-12)


def test_overlaps__other_lengths_are_right_to_the_square_of_a_step(rng):
    worth = rng.uniform(0.5, 1.0, (1, 128))
    drawn = rng.normal(0.0, 0.5, (128, 1, 40)).swapaxes(0, 1)
    length = np.maximum(drawn, 0.0)  # some beyond 1, as from continuous drivers
    longest = length.max()
    ends = np.floor(length * (BINS / longest) + 0.5).astype(np.uint8)  # as drive_rows has them
    np.testing.assert_allclose(overlaps(ends, worth) * longest, met(length, worth).mean(1), rtol=2.0 / BINS**2)


def test_overlaps__no_reads_none():
    np.testing.assert_array_equal(overlaps(np.zeros((2, 3, 0), dtype=np.uint8), np.ones((1, 3))), [0.0, 0.0])


# ---- converters of currents ----


def converted(currents, largest, offsets=None, variance=None, kind=np.float64, factor=1.0):
    """Codes of one read of some columns; currents and deviations in LSB."""
    currents = np.asarray(currents, dtype=kind).reshape(1, -1, 1)
    c = currents.shape[1]
    out = np.zeros((1, c + 2, 1), dtype=kind)
    convert(
        currents, np.full((1, 0 if variance is None else c, 1), variance or 0.0, dtype=kind), 1,
        np.ones((1, 2), dtype=kind), np.ones((2, 1, 1), dtype=kind), KEYS[:1],
        np.zeros(c, dtype=kind) if offsets is None else np.asarray(offsets, dtype=kind),
        kind(largest), np.full(c, factor, dtype=kind), 1, out,
    )  # fmt: skip
    assert out[0, 0] == out[0, -1] == 0.0
    return out[0, 1:-1, 0]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_convert__rounds_to_the_nearest_code(kind):
    read = converted([0.0, 0.49, 0.51, -0.49, -0.51, 3.2, -99.7], 127.0, kind=kind, factor=2.0)
    np.testing.assert_array_equal(read, [0, 0, 2, 0, -2, 6, -200])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_convert__saturates(kind):
    read = converted([126.6, 127.4, 128.0, 1e9, -127.4, -128.0, -1e9], 127.0, kind=kind)
    np.testing.assert_array_equal(read, [127, 127, 127, 127, -127, -127, -127])


def test_convert__offsets_shift_before_rounding():
    np.testing.assert_array_equal(converted([0.0, 0.0, 0.4, 127.0], 127.0, [0.4, 0.6, 0.2, 3.0]), [0, 1, 1, 127])


def test_convert__continuous_passes_amperes():
    currents = np.array([1.234e-9, -5.0, 0.0])
    np.testing.assert_array_equal(converted(currents, math.inf, [9.0, 9.0, 9.0]), currents)


def test_convert__no_variance_no_noise():
    """Interpolated variances may come out a little negative; they count as none."""
    currents = np.array([1e-6, -2e-6, 3e-6])
    np.testing.assert_array_equal(converted(currents, math.inf, variance=0.0), currents)
    np.testing.assert_array_equal(converted(currents, math.inf, variance=-1e-20), currents)
    assert np.all(converted(currents, math.inf, variance=1e-14) != currents)


@pytest.mark.parametrize("c", [1, 2, 7])
def test_convert__noise_is_a_stream_per_batch_entry(c):
    """The same entry with the same key reads the same, wherever it stands."""
    settings = (np.zeros(c), math.inf, np.ones(c), 0)
    currents, variance = np.zeros((2, c, 5)), np.ones((2, c, 5))
    both, alone = np.zeros_like(currents), np.zeros((1, c, 5))
    kinds, profile = np.ones((1, 2)), np.ones((2, 2, 5))
    convert(currents, variance, 1, kinds, profile, KEYS[:2], *settings, both)
    convert(currents[:1], variance[:1], 1, kinds, profile[:, 1:], KEYS[1:2], *settings, alone)
    np.testing.assert_array_equal(both[1], alone[0])
    assert len(np.unique(both)) == both.size


def test_convert__neighbours_share_a_variance_by_their_profile():
    """Ten reads in groups of four: the mean variances of the groups are 1, 4 and 9, and nothing is drawn together."""
    c = 4000
    currents, variance = np.zeros((1, c, 10)), np.tile([1.0, 4.0, 9.0], (1, c, 1))
    out = np.zeros_like(currents)
    white = np.array([2.0, 1, 0, 2, 1, 0, 0, 2, 1, 1])
    proportional = np.array([0.0, 1, 2, 0, 0, 1, 0, 0, 2, 0]) / 5.0
    profile = np.array([white, proportional])[:, None]
    convert(currents, variance, 4, np.array([[1.0, 5.0]]), profile, KEYS[:1], np.zeros(c), math.inf, np.ones(c), 0, out)
    expected = np.array([1.0, 1, 1, 1, 2, 2, 0, 8**0.5, 13.5**0.5, 4.5**0.5])
    np.testing.assert_allclose(out[0].std(0), expected, rtol=4.5 / (2 * c) ** 0.5)
    heard = np.delete(out[0], 6, axis=1)
    assert np.abs(np.corrcoef(heard.T) - np.eye(9)).max() < 4.5 / c**0.5


def test_adc__codes_and_range():
    adc = Adc(bits=8)
    assert adc.largest == 127.0
    assert math.isclose(adc.lsb(1.27e-6), 1e-8)
    ideal = Adc(bits=None)
    assert ideal.largest == math.inf
    assert ideal.lsb(1.0) == 0.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"bits": 1}, "adc.bits must be from 2 to 16, got 1"),
        ({"bits": 17}, "adc.bits must be from 2 to 16, got 17"),
        ({"columns": 0}, "adc.columns must be ≥ 1, got 0"),
        ({"sample_rate": 0.0}, "sample_rate must be > 0 1/s"),
        ({"margin": 0.5}, r"margin must be ≥ 1, got 0\.5"),
        ({"offset": -1.0}, "offset must be ≥ 0, got -1"),
    ],
)
def test_adc__bad_values_are_refused(values, words):
    with pytest.raises(ParameterError, match=words):
        Adc(**values)


# ---- gate drivers ----


def shares(gains):
    """Attention that gains stand for, 0 and 1 at the ends of the window."""
    return (gains - CELL.gain_low) / (CELL.gain_high - CELL.gain_low)


def test_gate_dac__continuous_is_exact():
    attention = np.linspace(0.0, 1.0, 21)
    np.testing.assert_allclose(shares(GateDac(bits=None).gains(attention, CELL)), attention, rtol=0.0, atol=1e-15)


def test_gate_dac__steps_of_8_bits():
    """6 V in 255 steps of 23.5 mV; the attention is missed by at most half a step at its steepest, 0.38 per volt.

    docs/equations/periphery.md, section 5, allows a whole step: 0.009.
    """
    attention = np.linspace(0.0, 1.0, 4001)
    dac = GateDac(bits=8)
    gains = dac.gains(attention, CELL)
    voltages = dac.voltages(gains, CELL)
    step = 6.0 / 255
    assert math.isclose(step, 0.0235, rel_tol=2e-3)
    steps = (voltages + 2.0) / step
    np.testing.assert_allclose(steps, np.rint(steps), rtol=0.0, atol=1e-6)
    missed = np.abs(shares(gains) - attention).max()
    assert 0.003 < missed < 0.0046
    assert np.all(np.diff(gains) >= 0.0)
    assert gains[0] == CELL.gain_low
    assert gains[-1] == CELL.gain_high


@pytest.mark.parametrize("bits", [1, 4, 12, 16])
def test_gate_dac__more_bits_miss_less(bits):
    attention = np.linspace(0.0, 1.0, 1001)
    missed = np.abs(shares(GateDac(bits=bits).gains(attention, CELL)) - attention).max()
    assert missed <= 0.5 * 6.0 / (2**bits - 1) * 0.39 + 1e-12
    assert set(np.unique(GateDac(bits=1).gains(attention, CELL))) == {CELL.gain_low, CELL.gain_high}


def test_gate_dac__a_linear_drive_would_miss_by_a_third():
    """Why the inverse law is there: gate voltage in proportion to attention misses by up to 0.30."""
    attention = np.linspace(0.0, 1.0, 1001)
    linear = CELL.gate_gain(-2.0 + 6.0 * attention)
    assert 0.28 < np.abs(shares(linear) - attention).max() < 0.32


def test_gate_dac__attention_saturates_and_keeps_its_shape():
    gains = GateDac().gains(np.array([[-0.3, 0.0], [1.0, 1.4]]), CELL)
    np.testing.assert_array_equal(gains, [[CELL.gain_low] * 2, [CELL.gain_high] * 2])
    np.testing.assert_allclose(GateDac().voltages(gains, CELL), [[-2.0, -2.0], [4.0, 4.0]], rtol=1e-9)


@pytest.mark.parametrize("values", [{"bits": 0}, {"bits": 17}, {"t_settle": -1.0}])
def test_gate_dac__bad_values_are_refused(values):
    with pytest.raises(ParameterError, match=f"{next(iter(values))} must be"):
        GateDac(**values)
