"""Digital operations between crossbars: functions of arrays with a batch axis.

`Network.forward` and a run of a chip call the same functions, so only their matrix products differ.
"""

# b = batch, c = channels, h, w = height, width of a map

import math

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.unrolling import Padding, Pair, Sides, padded, sides, windows


def relu(x: FloatArray) -> FloatArray:
    """Positive part, of any shape."""
    return np.maximum(x, 0.0)


def sigmoid(x: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x)), of any shape; no overflow at either end."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, small) / (1.0 + small)


def relu6(x: FloatArray) -> FloatArray:
    """Positive part, at most 6; of any shape."""
    return np.clip(x, 0.0, 6.0)


def hard_sigmoid(x: FloatArray) -> FloatArray:
    """Straight line (x + 3) / 6 between 0 and 1, of any shape. Source: Howard et al., arXiv 1905.02244, section 5.2."""
    return np.clip(x + 3.0, 0.0, 6.0) / 6.0


def hard_swish(x: FloatArray) -> FloatArray:
    """x hard_sigmoid(x), of any shape. Source: Howard et al., arXiv 1905.02244, section 5.2."""
    return x * hard_sigmoid(x)


def silu(x: FloatArray) -> FloatArray:
    """x sigmoid(x), of any shape."""
    return x * sigmoid(x)


def scale(x: FloatArray, gates: FloatArray) -> FloatArray:
    """Multiply (b, c, h, w) or (b, c) by a number for each channel, (b, c)."""
    return x * gates.reshape(*gates.shape, *(1,) * (x.ndim - 2))


def softmax(x: FloatArray, temperature: float = 1.0, axis: int = 1) -> FloatArray:
    """exp(x / T) over its sum along an axis, by default that of the channels; of any shape."""
    scaled = x / temperature
    powers = np.exp(scaled - scaled.max(axis=axis, keepdims=True))
    weights: FloatArray = powers / powers.sum(axis=axis, keepdims=True)
    return weights


def log_softmax(x: FloatArray, axis: int = 1) -> FloatArray:
    """Logarithm of the softmax along an axis, of any shape."""
    lower = x - x.max(axis=axis, keepdims=True)
    out: FloatArray = lower - np.log(np.exp(lower).sum(axis=axis, keepdims=True))
    return out


def batch_norm(
    x: FloatArray, gamma: FloatArray, beta: FloatArray, mean: FloatArray, variance: FloatArray, *, epsilon: float
) -> FloatArray:
    """Per channel gamma * (x - mean) / sqrt(variance + epsilon) + beta, of (b, c) or (b, c, h, w)."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    scale = gamma / np.sqrt(variance + epsilon)
    return x * scale.reshape(shape) + (beta - mean * scale).reshape(shape)


def max_pool(
    x: FloatArray,
    size: Pair,
    stride: Pair,
    padding: Padding = (0, 0),
    *,
    dilation: Pair = (1, 1),
    ceil: bool = False,
) -> FloatArray:
    """Largest value of each window of (b, c, h, w); pixels outside the map are ignored.

    ceil: include a last window that crosses the edge, if it begins inside the map or in the padding before it.
    Raises ParameterError if no window fits or a window could lie outside the map entirely.
    """
    _check_padding(size, padding, dilation)
    beside = pool_sides((x.shape[2], x.shape[3]), size, stride, padding, dilation, ceil=ceil)
    view = windows(padded(x, beside, -np.inf), size, stride, dilation=dilation)
    largest = view[..., 0, 0].copy()
    for i in range(size[0]):
        for j in range(size[1]):
            np.maximum(largest, view[..., i, j], out=largest)
    return largest


def average_pool(
    x: FloatArray,
    size: Pair,
    stride: Pair,
    padding: Padding = (0, 0),
    *,
    count_padding: bool = True,
    ceil: bool = False,
) -> FloatArray:
    """Mean of each window of (b, c, h, w); the zeros of the padding count as pixels if count_padding.

    ceil: include a last window that crosses the edge, if it begins inside the map or in the padding before it; places
    beyond the padding never count as pixels.
    Raises ParameterError if no window fits or a window could lie outside the map entirely.
    """
    _check_padding(size, padding)
    shape = (x.shape[2], x.shape[3])
    beside = pool_sides(shape, size, stride, padding, ceil=ceil)
    total: FloatArray = windows(x, size, stride, beside).sum(axis=(4, 5))
    if count_padding and beside == sides(padding):
        return total / (size[0] * size[1])
    counted = pool_pixels(shape, size, stride, padding, count_padding=count_padding, ceil=ceil)
    mean: FloatArray = total / counted.astype(x.dtype)
    return mean


def pool_pixels(
    shape: Pair, size: Pair, stride: Pair, padding: Padding, *, count_padding: bool, ceil: bool
) -> FloatArray:
    """Pixels (h', w') that each window of an average pool divides by, on maps of a shape (h, w)."""
    beside = pool_sides(shape, size, stride, padding, ceil=ceil)
    inside = np.ones((1, 1, *shape))
    if count_padding:
        inside = padded(inside, padding, 1.0)
        bottom, right = (now - before for now, before in zip(beside[2:], sides(padding)[2:], strict=True))
        beside = (0, 0, bottom, right)
    counted: FloatArray = windows(inside, size, stride, beside).sum(axis=(4, 5))[0, 0]
    return counted


def pool_sides(
    shape: Pair, size: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1), *, ceil: bool
) -> Sides:
    """Padding (top, left, bottom, right) of a pool; ceil: with the extra padding of a last window across the edge.

    Raises ParameterError if no window fits.
    """
    given = sides(padding)
    if not ceil:
        return given
    wanted = list(given)
    for axis in range(2):
        extent, before = dilation[axis] * (size[axis] - 1) + 1, given[axis]
        length = shape[axis] + before + given[axis + 2]
        steps = -((extent - length) // stride[axis])  # number of windows after the first, with one across the edge
        if steps * stride[axis] >= shape[axis] + before:
            steps -= 1
        wanted[axis + 2] += max(steps * stride[axis] + extent - length, 0)
    return wanted[0], wanted[1], wanted[2], wanted[3]


def adaptive_windows(length: int, count: int) -> list[slice]:
    """Cut `length` pixels into `count` windows that may overlap: ⌊i length / count⌋ to ⌈(i + 1) length / count⌉."""
    return [slice(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


def global_average_pool(x: FloatArray) -> FloatArray:
    """Mean of each map: (b, c, h, w), or other axes after the channels, -> (b, c)."""
    mean: FloatArray = x.mean(axis=tuple(range(2, x.ndim)))
    return mean


def flatten(x: FloatArray) -> FloatArray:
    """All values of an image in memory order: (b, ...) -> (b, n)."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def add(*terms: FloatArray) -> FloatArray:
    """Sum of arrays of one shape, from left to right.

    Raises ParameterError if there is no term or the shapes differ.
    """
    if not terms or any(term.shape != terms[0].shape for term in terms):
        raise ParameterError(f"terms must be arrays of one shape, got {[term.shape for term in terms]}")
    total = terms[0].copy()
    for term in terms[1:]:
        total += term
    return total


def _check_padding(size: Pair, padding: Padding, dilation: Pair = (1, 1)) -> None:
    """Refuse a padding that holds a whole window: such a window has no mean and no maximum."""
    top, left, bottom, right = sides(padding)
    extent = [d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True)]
    if max(top, bottom) >= extent[0] or max(left, right) >= extent[1]:
        raise ParameterError(f"padding must be less than the window {size}, as a window needs a pixel, got {padding}")
