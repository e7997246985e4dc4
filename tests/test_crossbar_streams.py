"""Counter-based random numbers: distribution, independence, and that nothing but key and index matters."""

import numpy as np
import pytest
from scipy import stats

from crossbar.streams import normal_pair, scramble, stream_keys
from devices.errors import ParameterError
from devices.jit import kernel

KEYS = [0, 1, 0x0123456789ABCDEF, 2**63 - 1, 2**63, 0xFEDCBA9876543210, 2**64 - 1]
MANY = 100_000  # pairs; drawn from fixed keys, so that a test either holds always or never
LEAST = 1e-4  # smallest p-value let through; some 60 are computed below


@kernel
def draw(key, count):
    out = np.empty((count, 2))
    for index in range(count):
        out[index, 0], out[index, 1] = normal_pair(key, index)
    return out


@kernel
def words(key, count):
    out = np.empty(count, dtype=np.uint64)
    for index in range(count):
        out[index] = scramble(key + np.uint64(index))
    return out


def numbers(key, count=MANY):
    return draw(np.uint64(key), count)


# ---- the distribution ----


@pytest.mark.parametrize("key", KEYS)
def test_normal_pair__is_normal(key):
    for column in numbers(key).T:
        assert stats.kstest(column, "norm").pvalue > LEAST


@pytest.mark.parametrize("key", KEYS)
def test_normal_pair__moments(key):
    """Mean, variance, skewness and kurtosis, each within 4.5 of its own standard errors."""
    x = numbers(key).ravel()
    size = x.size
    assert abs(x.mean()) < 4.5 / size**0.5
    assert abs((x**2).mean() - 1.0) < 4.5 * (2.0 / size) ** 0.5
    assert abs((x**3).mean()) < 4.5 * (15.0 / size) ** 0.5
    assert abs((x**4).mean() - 3.0) < 4.5 * (96.0 / size) ** 0.5


def test_normal_pair__tails_are_filled():
    """Beyond 4 sigma 6.3e-5 of the numbers, beyond 5 none is missing for want of small uniforms."""
    x = np.abs(np.concatenate([numbers(key, 1_000_000).ravel() for key in (3, 2**63 + 5)]))
    expected = 2.0 * stats.norm.sf(4.0) * x.size
    assert abs(np.count_nonzero(x > 4.0) - expected) < 4.5 * expected**0.5
    assert 4.9 < x.max() < 8.6  # √(2 · 53 ln 2): the radius of the smallest uniform, 2⁻⁵³
    assert np.isfinite(x).all()


# ---- independence ----


def correlation(a, b):
    """Correlation in units of its standard error for independent numbers."""
    return float(np.mean(a * b) * len(a) ** 0.5)


@pytest.mark.parametrize("key", KEYS)
def test_pairs__both_numbers_are_independent(key):
    """Uncorrelated, also in their squares, and with an even angle."""
    first, second = numbers(key).T
    assert abs(correlation(first, second)) < 4.5
    assert abs(correlation(first**2 - 1.0, second**2 - 1.0) / 2.0) < 4.5
    angle = np.arctan2(second, first) / (2.0 * np.pi) + 0.5
    assert stats.kstest(angle, "uniform").pvalue > LEAST


@pytest.mark.parametrize("lag", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("key", [1, 2**63 + 12345])
def test_indices__numbers_at_a_lag_are_independent(key, lag):
    x = numbers(key)
    for a in range(2):
        for b in range(2):
            ahead, behind = x[lag:, a], x[:-lag, b]
            assert abs(correlation(ahead, behind)) < 4.5
            assert abs(correlation(ahead**2 - 1.0, behind**2 - 1.0) / 2.0) < 4.5


@pytest.mark.parametrize("step", [1, 2, 3, 8, 2**32, 2**63])
@pytest.mark.parametrize("key", [7, 2**63 - 1, 2**64 - 20])
def test_keys__streams_side_by_side_are_independent(key, step):
    """A tile adds the number of the bit to a key, so keys that differ by little must not look alike."""
    ours, other = numbers(key), numbers((key + step) % 2**64)
    for a in range(2):
        for b in range(2):
            assert abs(correlation(ours[:, a], other[:, b])) < 4.5
            assert abs(correlation(ours[:, a] ** 2 - 1.0, other[:, b] ** 2 - 1.0) / 2.0) < 4.5


def test_keys__the_same_index_of_many_streams_is_normal():
    """Across the streams of one run, as noise of one cell over many inputs."""
    keys = stream_keys(11, ("tile", "3"), np.arange(20_000))
    across = np.array([normal_pair(key, 5) for key in keys])
    for column in across.T:
        assert stats.kstest(column, "norm").pvalue > LEAST
    assert abs(correlation(across[:-1, 0], across[1:, 0])) < 4.5


# ---- purity ----


@pytest.mark.parametrize("key", KEYS)
def test_normal_pair__depends_on_key_and_index_alone(key):
    x = numbers(key, 50)
    shuffled = np.random.default_rng(1).permutation(50)
    again = np.array([normal_pair(np.uint64(key), index) for index in shuffled])
    np.testing.assert_array_equal(again, x[shuffled])


@pytest.mark.parametrize("key", [0, 1, 2**63 - 1])
def test_normal_pair__an_int_is_the_same_key(key):
    assert normal_pair(key, 3) == normal_pair(np.uint64(key), 3)


def test_normal_pair__far_indices():
    far = [normal_pair(np.uint64(9), index) for index in (0, 1, 2**40, 2**62)]
    assert len(set(far)) == 4
    assert np.isfinite(far).all()


def test_scramble__a_published_sequence():
    """SplitMix64 from state 1234567: the first five words as listed by Rosetta Code."""
    state = np.uint64(1234567)
    golden = 0x9E3779B97F4A7C15
    expected = [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821,
    ]  # fmt: skip
    got = [int(scramble(np.uint64((int(state) + k * golden) % 2**64))) for k in range(5)]
    assert got == expected


def test_scramble__is_one_to_one():
    out = words(np.uint64(2**63 - 50_000), 100_000)
    assert len(np.unique(out)) == 100_000
    bits = np.unpackbits(out.view(np.uint8))
    assert abs(bits.mean() - 0.5) < 4.5 * 0.5 / bits.size**0.5


# ---- keys ----


def test_stream_keys__distinct_for_every_argument():
    indices = np.arange(5000)
    sets = [
        stream_keys(seed, labels, indices)
        for seed in (0, 1, 2**63, 2**64 - 1)
        for labels in (("a",), ("a", "b"), ("ab",), ("b", "a"), ("a", "b", "0"), ("a", "b0"), ("é",))
    ]
    together = np.concatenate(sets)
    assert together.dtype == np.uint64
    assert len(np.unique(together)) == together.size


def test_stream_keys__repeat_and_follow_the_index_not_its_place():
    keys = stream_keys(5, ("tile", "2"), np.array([4, 9, 1000]))
    np.testing.assert_array_equal(keys, stream_keys(5, ("tile", "2"), np.arange(1001))[[4, 9, 1000]])
    np.testing.assert_array_equal(keys, stream_keys(5, ("tile", "2"), np.array([4, 9, 1000])))


def test_stream_keys__cover_both_halves_of_the_range():
    keys = stream_keys(1, ("x",), np.arange(10_000))
    above = np.count_nonzero(keys >= np.uint64(2**63))
    assert abs(above - 5000) < 4.5 * 50
    assert stats.kstest(keys / 2.0**64, "uniform").pvalue > LEAST


@pytest.mark.parametrize("labels", [(), ("",), ("", "")])
def test_stream_keys__a_stream_needs_a_name(labels):
    with pytest.raises(ParameterError, match="labels must name the stream with at least one letter"):
        stream_keys(1, labels, np.arange(3))


def test_stream_keys__no_indices_no_keys():
    assert stream_keys(1, ("x",), np.array([], dtype=np.int64)).shape == (0,)
