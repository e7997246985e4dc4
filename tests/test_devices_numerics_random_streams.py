"""Counter-based random numbers: distribution, independence, and dependence on key and index only."""

import numpy as np
import pytest
from scipy import stats

from devices.errors import ParameterError
from devices.numerics.jit import kernel
from devices.numerics.random_streams import BLOCK, logarithm, normals, padded, scramble, stream_keys

KEYS = [0, 1, 0x0123456789ABCDEF, 2**63 - 1, 2**63, 0xFEDCBA9876543210, 2**64 - 1]
MANY = 100_000  # pairs; drawn from fixed keys, so that a test either holds always or never
LEAST = 1e-4  # smallest p-value let through; some 60 are computed below


@kernel
def words(key, count):
    out = np.empty(count, dtype=np.uint64)
    for index in range(count):
        out[index] = scramble(key + np.uint64(index))
    return out


def numbers(key, count=MANY):
    """Pairs (count, 2), each made from two words of the generator."""
    blocks = -(-2 * count // BLOCK)
    out = np.empty(blocks * BLOCK, dtype=np.float32)
    normals(np.uint64(key), out)
    pairs = out.reshape(blocks, 2, 2, BLOCK // 4).transpose(0, 1, 3, 2).reshape(-1, 2)
    return pairs[:count].astype(np.float64)


@kernel
def logarithms(values):
    out = np.empty_like(values)
    for i in range(len(values)):
        out[i] = logarithm(values[i])
    return out


# ---- the distribution ----


@pytest.mark.parametrize("key", KEYS)
def test_normals__is_normal(key):
    for column in numbers(key).T:
        assert stats.kstest(column, "norm").pvalue > LEAST


@pytest.mark.parametrize("key", KEYS)
def test_normals__moments(key):
    """Mean, variance, skewness and kurtosis, each within 4.5 of its own standard errors."""
    x = numbers(key).ravel()
    size = x.size
    assert abs(x.mean()) < 4.5 / size**0.5
    assert abs((x**2).mean() - 1.0) < 4.5 * (2.0 / size) ** 0.5
    assert abs((x**3).mean()) < 4.5 * (15.0 / size) ** 0.5
    assert abs((x**4).mean() - 3.0) < 4.5 * (96.0 / size) ** 0.5


def test_normals__tails_are_filled():
    """Beyond 4 sigma 6.3e-5 of the numbers, beyond 5 none is missing for want of small uniforms."""
    x = np.abs(np.concatenate([numbers(key, 1_000_000).ravel() for key in (3, 2**63 + 5)]))
    for sigma in (4.0, 4.5):
        expected = 2.0 * stats.norm.sf(sigma) * x.size
        assert abs(np.count_nonzero(x > sigma) - expected) < 4.5 * expected**0.5
    assert 4.9 < x.max() < 6.7  # √(2 · 32 ln 2): the radius of the smallest uniform, 2⁻³²
    assert np.isfinite(x).all()


def test_logarithm__is_right_to_a_rounding(rng):
    x = np.concatenate([rng.random(100_000), 2.0 ** -np.arange(33.0), 1.0 - 2.0 ** -np.arange(1.0, 25.0)])
    x = x.astype(np.float32)
    exact = np.log(x.astype(np.float64))
    np.testing.assert_allclose(logarithms(x), exact, rtol=3e-7, atol=1e-7)
    assert logarithms(np.ones(1, dtype=np.float32))[0] == 0.0


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


def test_keys__the_same_place_of_many_streams_is_normal():
    """Across the streams of one run, as noise of one cell over many inputs."""
    keys = stream_keys(11, ("tile", "3"), np.arange(20_000))
    across = np.empty((len(keys), 8), dtype=np.float32)
    for key, row in zip(keys, across, strict=True):
        normals(key, row)
    for column in across.T:
        assert stats.kstest(column, "norm").pvalue > LEAST
    assert abs(correlation(across[:-1, 5], across[1:, 5])) < 4.5


# ---- purity ----


@pytest.mark.parametrize("key", KEYS)
def test_normals__depend_on_key_and_place_alone(key):
    """A longer array begins with the blocks of a shorter one."""
    short, long = np.empty(2 * BLOCK, dtype=np.float32), np.empty(5 * BLOCK, dtype=np.float32)
    normals(np.uint64(key), short)
    normals(np.uint64(key), long)
    np.testing.assert_array_equal(long[: 2 * BLOCK], short)
    assert len(np.unique(long)) > 0.999 * long.size  # 24 bits: few repeat


def test_normals__an_odd_block_at_the_end():
    assert [padded(n) for n in (0, 1, 4, 5)] == [0, 4, 4, 8]
    out = np.full(BLOCK + 4, np.nan, dtype=np.float32)
    normals(np.uint64(3), out)
    assert np.isfinite(out).all()
    normals(np.uint64(3), out[:0])


def test_philox__a_published_sequence(monkeypatch):
    """Known answers of Philox 4×32-7 (Random123, kat_vectors): the words behind the first four numbers of key 0."""
    out = np.empty(4, dtype=np.float32)
    normals(np.uint64(0), out)
    words_ = (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)
    expected = []
    for a, b in (words_[:2], words_[2:]):
        radius = np.sqrt(-2.0 * np.log((a >> 1) * 2.0**-31 + 2.0**-32))
        angle = 2.0 * np.pi * b / 2.0**32
        expected += [radius * np.cos(angle), radius * np.sin(angle)]
    np.testing.assert_allclose(out, expected, rtol=2e-6)


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
