"""Convolution as a matrix product; this file alone defines the order of rows and positions.

Row order: row = (channel * kernel_height + i) * kernel_width + j, the order of a kernel in memory. So group g of a
grouped convolution has the contiguous rows [g, g + 1) * rows / groups.
Position order: position = y * output_width + x.
"""

# b = batch, c = channels, h, w = height, width of a map, n = columns, p = positions, r = rows

import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.checks import whole
from devices.errors import ParameterError
from devices.numerics.blas import one_blas_thread

Scalar = TypeVar("Scalar", bound=np.generic)
Pair = tuple[int, int]
Sides = tuple[int, int, int, int]
Padding = Pair | Sides  #: zeros: (above and below, left and right), or (top, left, bottom, right)


def pair(name: str, value: object, *, minimum: int) -> Pair:
    """Return `value` as two whole numbers (vertical, horizontal).

    Raises ParameterError if value is not a pair, or an entry is below minimum.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ParameterError(f"{name} must be a pair (vertical, horizontal), got {value!r}")
    return whole(f"{name}[0]", value[0], minimum=minimum), whole(f"{name}[1]", value[1], minimum=minimum)


def as_padding(name: str, value: object) -> Padding:
    """Return `value` as a pair if opposite sides have equal padding, else as (top, left, bottom, right).

    Raises ParameterError if value is neither two nor four whole numbers of at least 0.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 4:
        return pair(name, value, minimum=0)
    top, left, bottom, right = (whole(f"{name}[{i}]", each, minimum=0) for i, each in enumerate(value))
    return (top, left) if (top, left) == (bottom, right) else (top, left, bottom, right)


def sides(padding: Padding) -> Sides:
    """Return padding as (top, left, bottom, right)."""
    return padding if len(padding) == 4 else (*padding, *padding)


def output_size(
    size: Pair, kernel: Pair, stride: Pair = (1, 1), padding: Padding = (0, 0), dilation: Pair = (1, 1)
) -> Pair:
    """Height and width of the output of a window of `kernel` pixels over a map of `size` pixels.

    A last window that crosses the edge is left out.
    Raises ParameterError if no window fits, or an argument is not such a pair.
    """
    size, kernel = pair("size", size, minimum=1), pair("kernel", kernel, minimum=1)
    stride, dilation = pair("stride", stride, minimum=1), pair("dilation", dilation, minimum=1)
    padding = as_padding("padding", padding)
    top, left, bottom, right = sides(padding)
    added = (top + bottom, left + right)
    free = [n + p - d * (k - 1) - 1 for n, k, p, d in zip(size, kernel, added, dilation, strict=True)]
    if min(free) < 0:
        raise ParameterError(
            f"a window of {kernel} pixels with dilation {dilation} does not fit into a map of {size}, padding {padding}"
        )
    return free[0] // stride[0] + 1, free[1] // stride[1] + 1


def padded(images: npt.NDArray[Scalar], padding: Padding, value: float = 0.0) -> npt.NDArray[Scalar]:
    """Return (b, c, h, w) maps padded with one value."""
    top, left, bottom, right = sides(padding)
    if not (top or left or bottom or right):
        return images
    return np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def windows(
    images: npt.NDArray[Scalar], kernel: Pair, stride: Pair = (1, 1), padding: Padding = (0, 0), dilation: Pair = (1, 1)
) -> npt.NDArray[Scalar]:
    """Return all windows of zero-padded (b, c, h, w) maps as a view (b, c, out_h, out_w, kernel_h, kernel_w).

    Raises ParameterError if images does not have four axes or no window fits.
    """
    if images.ndim != 4:
        raise ParameterError(f"images must have 4 axes (batch, channel, height, width), got shape {images.shape}")
    height, width = output_size((images.shape[2], images.shape[3]), kernel, stride, padding, dilation)
    images = padded(images, padding)
    extent = (dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1)
    view = np.lib.stride_tricks.sliding_window_view(images, extent, axis=(2, 3))
    strided: npt.NDArray[Scalar] = view[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    return strided[:, :, :height, :width]


def unroll(
    images: npt.NDArray[Scalar],
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0),
    dilation: Pair = (1, 1),
    *,
    room: npt.NDArray[Scalar] | None = None,
) -> npt.NDArray[Scalar]:
    """Unroll (b, c, h, w) maps to (b, p, r): for each position the inputs of the rows of a crossbar.

    The type of the values is kept, so numbers and codes can be unrolled. The result is a transposed view of an
    (r, b, p) array, so that copying follows the lines of the map, a block of rows is contiguous, and reshape(b * p, r)
    copies nothing.
    room: a flat array that takes the rows if it is large enough; allocating new memory takes ten times as long as
    copying.
    Raises ParameterError if images does not have four axes or no window fits.
    """
    view = windows(images, kernel, stride, padding, dilation).transpose(1, 4, 5, 0, 2, 3)
    r, (b, height, width) = math.prod(view.shape[:3]), view.shape[3:]
    if room is None or room.size < view.size:
        copied = np.ascontiguousarray(view)
    else:
        copied = room[: view.size].reshape(view.shape)
        np.copyto(copied, view)
    return copied.reshape(r, b, height * width).transpose(1, 2, 0)


def kernel_matrix(weight: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Return (c_out, c, kernel_h, kernel_w) weights as a matrix (r, c_out), with rows in the order of `unroll`.

    Raises ParameterError if weight does not have four axes.
    """
    if weight.ndim != 4:
        raise ParameterError(f"weight must have 4 axes (c_out, c_in, height, width), got shape {weight.shape}")
    return np.ascontiguousarray(weight.reshape(weight.shape[0], -1).T)


def convolve(
    images: FloatArray,
    weight: FloatArray,
    bias: FloatArray | None = None,
    *,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> FloatArray:
    """Convolve (b, c, h, w) maps with one kernel, or with one kernel per image; the kernel is not flipped.

    weight: (c_out, c / groups, kernel_h, kernel_w), with an axis b before for one kernel per image.  bias: (c_out) or
    (b, c_out).
    Returns (b, c_out, out_h, out_w).
    Raises ParameterError if the shapes do not fit.
    """
    c_out, kernel = weight.shape[-4], (weight.shape[-2], weight.shape[-1])
    if images.ndim != 4 or images.shape[1] != weight.shape[-3] * groups or c_out % groups:
        raise ParameterError(f"weight {weight.shape} in {groups} groups does not fit images {images.shape}")
    height, width = output_size((images.shape[2], images.shape[3]), kernel, stride, padding, dilation)
    rows = unroll(images, kernel, stride, padding, dilation)
    r = math.prod(weight.shape[-3:])
    matrix = weight.reshape(*weight.shape[:-3], r).swapaxes(-1, -2)  # (r, c_out), or one per image
    out = c_out // groups
    product = _product if weight.ndim == 4 else _products
    parts = [product(rows[:, :, g * r : (g + 1) * r], matrix[..., g * out : (g + 1) * out]) for g in range(groups)]
    result = parts[0] if groups == 1 else np.concatenate(parts, axis=2)
    if bias is not None:
        result = result + bias[..., None, :]
    return np.ascontiguousarray(result.swapaxes(1, 2)).reshape(images.shape[0], c_out, height, width)


def _product(rows: FloatArray, matrix: FloatArray) -> FloatArray:
    """(b, p, r) @ (r, n) as one product of two matrices."""
    b, p, r = rows.shape
    result: FloatArray = (rows.reshape(b * p, r) @ matrix).reshape(b, p, matrix.shape[1])
    return result


def _products(rows: FloatArray, matrices: FloatArray) -> FloatArray:
    """(b, p, r) @ (b, r, n), on one thread: for many small products starting threads takes more time than it saves."""
    with one_blas_thread():
        return rows @ matrices


def overlap_add(
    products: FloatArray, size: Pair, output: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> FloatArray:
    """Add the overlapping windows of a transposed convolution, one window for each input pixel.

    products: (b, n * kernel_h * kernel_w, p), one column per output channel and kernel pixel, one position per pixel of
    the input's `size`.  output: height and width of the result, without the padding.  Returns (b, n, *output).
    """
    top, left = sides(padding)[:2]
    b, columns, _ = products.shape
    n = columns // (kernel[0] * kernel[1])
    parts = products.reshape(b, n, *kernel, *size)
    reach = [(s - 1) * t + d * (k - 1) + 1 for s, t, d, k in zip(size, stride, dilation, kernel, strict=True)]
    room = (max(reach[0], top + output[0]), max(reach[1], left + output[1]))
    whole_map = np.zeros((b, n, *room), dtype=products.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            y, x = i * dilation[0], j * dilation[1]
            whole_map[
                :, :, y : y + (size[0] - 1) * stride[0] + 1 : stride[0],
                x : x + (size[1] - 1) * stride[1] + 1 : stride[1],
            ] += parts[:, :, i, j]  # fmt: skip
    return np.ascontiguousarray(whole_map[:, :, top : top + output[0], left : left + output[1]])
