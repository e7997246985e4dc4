"""im2col against SciPy's correlation and against plain loops."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate

from devices.errors import ParameterError
from mapping.networks.unrolling import convolve, kernel_matrix, output_size, pair, unroll, windows

# float64 sums of at most a few hundred products of numbers of order 1
TOLERANCE = {"rtol": 0.0, "atol": 1e-11}


def brute(images, weight, bias, stride, padding, dilation, groups):
    """Every output as its defining sum, one product at a time."""
    b, _, h, w = images.shape
    c_out, c_group, kh, kw = weight.shape
    height = (h + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    width = (w + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((b, c_out, height, width))
    for image, o, y, x in itertools.product(range(b), range(c_out), range(height), range(width)):
        first = (o // (c_out // groups)) * c_group
        total = 0.0 if bias is None else bias[o]
        for ci, i, j in itertools.product(range(c_group), range(kh), range(kw)):
            row = y * stride[0] - padding[0] + i * dilation[0]
            column = x * stride[1] - padding[1] + j * dilation[1]
            if 0 <= row < h and 0 <= column < w:
                total += images[image, first + ci, row, column] * weight[o, ci, i, j]
        out[image, o, y, x] = total
    return out


@st.composite
def geometries(draw):
    two = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    kernel, dilation, padding = two(1, 3), two(1, 2), two(0, 2)
    size = tuple(
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 7)) for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    return size, kernel, two(1, 3), padding, dilation, draw(st.integers(1, 3)), draw(st.integers(0, 2**31))


@given(geometries())
def test_convolve__equals_its_defining_sum(geometry):
    size, kernel, stride, padding, dilation, groups, seed = geometry
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(2, 2 * groups, *size))
    weight, bias = rng.normal(size=(2 * groups, 2, *kernel)), rng.normal(size=2 * groups)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    expected = brute(images, weight, bias, **options)
    np.testing.assert_allclose(convolve(images, weight, bias, **options), expected, **TOLERANCE)
    assert output_size(size, kernel, stride, padding, dilation) == expected.shape[2:]


@given(geometries())
def test_unroll__rows_are_channel_then_kernel_row_then_kernel_column(geometry):
    size, kernel, stride, padding, dilation, channels, seed = geometry
    images = np.random.default_rng(seed).integers(1, 200, size=(2, channels, *size)).astype(np.uint8)
    rows = unroll(images, kernel, stride, padding, dilation)
    padded = np.pad(images, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    height, width = output_size(size, kernel, stride, padding, dilation)
    assert rows.shape == (2, height * width, channels * kernel[0] * kernel[1])
    assert rows.dtype == np.uint8
    for y, x, c, i, j in itertools.product(range(height), range(width), range(channels), *map(range, kernel)):
        pixel = padded[:, c, y * stride[0] + i * dilation[0], x * stride[1] + j * dilation[1]]
        assert np.array_equal(rows[:, y * width + x, (c * kernel[0] + i) * kernel[1] + j], pixel)


def test_convolve__equals_scipy_correlate(rng):
    images, weight = rng.normal(size=(3, 5, 9, 11)), rng.normal(size=(4, 5, 3, 2))
    ours = convolve(images, weight)
    for image, o in itertools.product(range(3), range(4)):
        np.testing.assert_allclose(ours[image, o], correlate(images[image], weight[o], mode="valid")[0], **TOLERANCE)


def test_convolve__product_of_unrolled_maps_and_kernel_matrix(rng):
    images, weight = rng.normal(size=(2, 3, 6, 5)), rng.normal(size=(7, 3, 3, 3))
    product = unroll(images, (3, 3), padding=(1, 1)) @ kernel_matrix(weight)
    expected = convolve(images, weight, padding=(1, 1)).reshape(2, 7, 30).swapaxes(1, 2)
    np.testing.assert_allclose(product, expected, **TOLERANCE)


def test_convolve__is_linear_in_maps_and_in_weights(rng):
    x, y = rng.normal(size=(2, 2, 3, 8, 8))
    u, v = rng.normal(size=(2, 4, 3, 3, 3))
    both = convolve(2.0 * x - y, u, padding=(1, 1))
    np.testing.assert_allclose(both, 2.0 * convolve(x, u, padding=(1, 1)) - convolve(y, u, padding=(1, 1)), **TOLERANCE)
    both = convolve(x, u + 3.0 * v, stride=(2, 1))
    np.testing.assert_allclose(both, convolve(x, u, stride=(2, 1)) + 3.0 * convolve(x, v, stride=(2, 1)), **TOLERANCE)


def test_convolve__a_shifted_map_gives_a_shifted_result(rng):
    x, w = rng.normal(size=(1, 2, 10, 10)), rng.normal(size=(3, 2, 3, 3))
    np.testing.assert_array_equal(convolve(x[:, :, 2:, 1:], w), convolve(x, w)[:, :, 2:, 1:])


def test_convolve__a_single_one_in_the_middle_copies_the_map(rng):
    x = rng.normal(size=(2, 1, 5, 4))
    w = np.zeros((1, 1, 3, 3))
    w[0, 0, 1, 1] = 1.0
    np.testing.assert_array_equal(convolve(x, w, padding=(1, 1)), x)


def test_convolve__one_kernel_per_image_is_each_image_with_its_own(rng):
    x, w, bias = rng.normal(size=(5, 4, 6, 6)), rng.normal(size=(5, 6, 2, 3, 3)), rng.normal(size=(5, 6))
    ours = convolve(x, w, bias, padding=(1, 0), groups=2)
    alone = [convolve(x[i : i + 1], w[i], bias[i], padding=(1, 0), groups=2) for i in range(5)]
    np.testing.assert_allclose(ours, np.concatenate(alone), **TOLERANCE)


def test_unroll__lines_up_positions_without_copying(rng):
    rows = unroll(rng.normal(size=(3, 2, 5, 5)), (3, 3))
    assert np.shares_memory(rows, rows.reshape(27, 18))


def test_windows__are_a_view(rng):
    images = rng.normal(size=(1, 2, 5, 5))
    assert np.shares_memory(windows(images, (3, 3)), images)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: output_size((4, 4), (5, 3)), "does not fit"),
        (lambda: output_size((4, 4), (3, 3), (0, 1)), r"stride\[0\] must be ≥ 1, got 0"),
        (lambda: output_size((4, 4), (3, 3), (1, 1), (-1, 0)), r"padding\[0\] must be ≥ 0"),
        (lambda: output_size((4, 4), (3, 3), dilation=(1, 2)), "does not fit"),
        (lambda: pair("stride", 2, minimum=1), "stride must be a pair"),
        (lambda: pair("stride", (1, 2.0), minimum=1), r"stride\[1\] must be a whole number"),
        (lambda: unroll(np.zeros((3, 4, 4)), (3, 3)), "4 axes"),
        (lambda: kernel_matrix(np.zeros((3, 4, 4))), "4 axes"),
        (lambda: convolve(np.zeros((1, 3, 4, 4)), np.zeros((2, 2, 3, 3))), "does not fit images"),
        (lambda: convolve(np.zeros((1, 4, 4, 4)), np.zeros((3, 2, 3, 3)), groups=2), "does not fit images"),
    ],
)
def test_unroll__refuses_what_cannot_be(call, words):
    with pytest.raises(ParameterError, match=words):
        call()
