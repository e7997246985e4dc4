"""What the digital part of a chip computes between two crossbars: pure functions on arrays of any batch.

`Network.forward` and the run of a chip call the same functions, so they differ by their matrix products alone.
"""

# b = batch, c = channels, h, w = height, width of a map

import math

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.unrolling import Pair, windows


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


def softmax(x: FloatArray, temperature: float = 1.0) -> FloatArray:
    """Shares exp(x / T) over their sum along axis 1, of (b, c) or (b, c, h, w)."""
    scaled = x / temperature
    grown = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: FloatArray = grown / grown.sum(axis=1, keepdims=True)
    return shares


def batch_norm(
    x: FloatArray, gamma: FloatArray, beta: FloatArray, mean: FloatArray, variance: FloatArray, *, epsilon: float
) -> FloatArray:
    """Per channel gamma * (x - mean) / sqrt(variance + epsilon) + beta, of (b, c) or (b, c, h, w)."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    scale = gamma / np.sqrt(variance + epsilon)
    return x * scale.reshape(shape) + (beta - mean * scale).reshape(shape)


def max_pool(x: FloatArray, size: Pair, stride: Pair, padding: Pair = (0, 0)) -> FloatArray:
    """Largest value of each window of (b, c, h, w); pixels outside the map never win.

    Raises ParameterError if no window fits or a window could lie outside the map entirely.
    """
    _check_padding(size, padding)
    if padding != (0, 0):
        x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2), constant_values=-np.inf)
    view = windows(x, size, stride)
    largest = view[..., 0, 0].copy()
    for i in range(size[0]):
        for j in range(size[1]):
            np.maximum(largest, view[..., i, j], out=largest)
    return largest


def average_pool(
    x: FloatArray, size: Pair, stride: Pair, padding: Pair = (0, 0), *, count_padding: bool = True
) -> FloatArray:
    """Mean of each window of (b, c, h, w); the zeros of the padding count as pixels if count_padding.

    Raises ParameterError if no window fits or a window could lie outside the map entirely.
    """
    _check_padding(size, padding)
    total: FloatArray = windows(x, size, stride, padding).sum(axis=(4, 5))
    if count_padding:
        return total / (size[0] * size[1])
    inside = windows(np.ones((1, 1, *x.shape[2:])), size, stride, padding).sum(axis=(4, 5))
    counted: FloatArray = total / inside
    return counted


def global_average_pool(x: FloatArray) -> FloatArray:
    """Mean of each map: (b, c, h, w) -> (b, c)."""
    mean: FloatArray = x.mean(axis=(2, 3))
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


def _check_padding(size: Pair, padding: Pair) -> None:
    """Refuse a padding of more than half the window: a window of padding alone has no mean and no maximum."""
    if 2 * padding[0] > size[0] or 2 * padding[1] > size[1]:
        raise ParameterError(f"padding {padding} must be at most half the window {size}")
