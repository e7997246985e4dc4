"""The digital functions against their definitions, and against torch if it is installed."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import ParameterError
from mapping.networks import digital


def brute_pool(x, size, stride, padding, take):
    """Apply `take` to the pixels of each window that lie inside the map."""
    b, c, h, w = x.shape
    height = (h + 2 * padding[0] - size[0]) // stride[0] + 1
    width = (w + 2 * padding[1] - size[1]) // stride[1] + 1
    out = np.empty((b, c, height, width))
    for y, z in itertools.product(range(height), range(width)):
        top, left = y * stride[0] - padding[0], z * stride[1] - padding[1]
        seen = x[:, :, max(top, 0) : top + size[0], max(left, 0) : left + size[1]]
        out[:, :, y, z] = take(seen.reshape(b, c, -1))
    return out


@st.composite
def pools(draw):
    size = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = (draw(st.integers(0, size[0] // 2)), draw(st.integers(0, size[1] // 2)))
    shape = (2, 2, draw(st.integers(size[0], 7)), draw(st.integers(size[1], 7)))
    return np.random.default_rng(draw(st.integers(0, 2**31))).normal(size=shape), size, stride, padding


@given(pools())
def test_max_pool__equals_its_definition(case):
    x, size, stride, padding = case
    expected = brute_pool(x, size, stride, padding, lambda seen: seen.max(axis=2))
    np.testing.assert_array_equal(digital.max_pool(x, size, stride, padding), expected)


@given(pools())
def test_average_pool__equals_its_definition(case):
    x, size, stride, padding = case
    inside = brute_pool(x, size, stride, padding, lambda seen: seen.mean(axis=2))
    ours = digital.average_pool(x, size, stride, padding, count_padding=False)
    np.testing.assert_allclose(ours, inside, rtol=0, atol=1e-13)
    whole = brute_pool(x, size, stride, padding, lambda seen: seen.sum(axis=2)) / (size[0] * size[1])
    np.testing.assert_allclose(digital.average_pool(x, size, stride, padding), whole, rtol=0, atol=1e-13)


def test_max_pool__of_negative_maps_never_takes_the_padding():
    assert digital.max_pool(np.full((1, 1, 2, 2), -3.0), (2, 2), (1, 1), (1, 1)).max() == -3.0


def test_global_average_pool__is_the_mean_of_each_map(rng):
    x = rng.normal(size=(3, 4, 5, 6))
    np.testing.assert_allclose(digital.global_average_pool(x)[2, 1], x[2, 1].mean(), rtol=1e-13)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3, 2)])
def test_batch_norm__with_the_batch_s_own_statistics_gives_gamma_and_beta(rng, shape):
    x = rng.normal(3.0, 5.0, size=shape)
    axes = (0, *range(2, len(shape)))
    gamma, beta = np.array([1.0, 2.0, -1.5, 0.5]), np.array([0.0, -1.0, 4.0, 2.0])
    y = digital.batch_norm(x, gamma, beta, x.mean(axes), x.var(axes), epsilon=1e-12)
    np.testing.assert_allclose(y.mean(axes), beta, atol=1e-12)
    np.testing.assert_allclose(y.std(axes), np.abs(gamma), rtol=1e-10)


@given(st.integers(0, 2**31), st.floats(0.5, 30.0), st.floats(-1e6, 1e6))
def test_softmax__is_a_share_whatever_is_added(seed, temperature, offset):
    x = np.random.default_rng(seed).normal(scale=5.0, size=(3, 5))
    shares = digital.softmax(x, temperature)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-14)
    ratio = np.log(shares[:, 0] / shares[:, 1])
    np.testing.assert_allclose(ratio, (x[:, 0] - x[:, 1]) / temperature, atol=1e-11)
    # the offset costs digits of x itself: 1e6 leaves 1e-10 of it
    np.testing.assert_allclose(digital.softmax(x + offset, temperature), shares, rtol=1e-8)


def test_softmax__of_huge_values_stays_finite():
    np.testing.assert_array_equal(digital.softmax(np.array([[1e300, 0.0, -1e300]])), [[1.0, 0.0, 0.0]])


def test_softmax__temperature_runs_from_one_hot_to_uniform():
    x = np.array([[1.0, 0.0, -1.0, 0.5]])
    np.testing.assert_allclose(digital.softmax(x, 1e-3), [[1.0, 0.0, 0.0, 0.0]], atol=1e-15)
    np.testing.assert_allclose(digital.softmax(x, 1e9), np.full((1, 4), 0.25), rtol=1e-8)


def test_sigmoid__is_odd_about_a_half_and_never_overflows():
    x = np.array([-1e4, -700.0, -2.0, 0.0, 2.0, 700.0, 1e4])
    y = digital.sigmoid(x)
    np.testing.assert_allclose(y + digital.sigmoid(-x), 1.0, rtol=1e-15)
    np.testing.assert_allclose(y[3:5], [0.5, 1.0 / (1.0 + np.exp(-2.0))], rtol=1e-15)


def test_relu__keeps_the_positive_part(rng):
    x = rng.normal(size=(3, 4))
    np.testing.assert_array_equal(digital.relu(x) - digital.relu(-x), x)
    assert digital.relu(x).min() == 0.0


def test_flatten__follows_memory_order(rng):
    x = rng.normal(size=(2, 3, 4, 5))
    assert digital.flatten(x)[1, 1 * 20 + 2 * 5 + 3] == x[1, 1, 2, 3]


def test_add__sums_and_leaves_its_terms_alone(rng):
    x, y, z = rng.normal(size=(3, 2, 4))
    before = x.copy()
    np.testing.assert_array_equal(digital.add(x, y, z), (x + y) + z)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: digital.add(np.zeros((2, 3)), np.zeros((2, 1))), "one shape"),
        (digital.add, "one shape"),
        (lambda: digital.max_pool(np.zeros((1, 1, 4, 4)), (2, 2), (2, 2), (2, 0)), "less than the window"),
        (lambda: digital.average_pool(np.zeros((1, 1, 4, 4)), (5, 2), (2, 2)), "does not fit"),
    ],
)
def test_digital__refuses_what_cannot_be(call, words):
    with pytest.raises(ParameterError, match=words):
        call()
