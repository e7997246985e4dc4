"""Transposed convolution, with its weights on tiles: every input pixel gives a window, overlapping windows are added.

Each input pixel is one read. The rows are its channels, the columns are output channels times kernel pixels.
Overlapping windows and the bias are added digitally.
"""

# b = batch, c = channels, h, w = height, width of a map, p = positions, n = columns

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from devices.aliases import FloatArray
from devices.checks import whole
from devices.errors import ParameterError
from mapping.networks.layers.base import Shape, as_given, as_maps, set_fields, take
from mapping.networks.layers.matrix_layers import MatrixLayer
from mapping.networks.unrolling import Padding, Pair, as_padding, overlap_add, pair, sides, unroll


@dataclass(frozen=True, eq=False, repr=False)
class ConvTranspose(MatrixLayer):
    """Transposed convolution of maps: (c_in, h, w) -> (c_out, h', w'), or of rows (c_in, w) -> (c_out, w').

    h' = (h - 1) stride - padding above and below + dilation (kernel - 1) + output padding + 1.
    Source: Dumoulin and Visin, A guide to convolution arithmetic, arXiv 1603.07285, section 4.
    """

    weight: FloatArray  #: (c_in, c_out / groups, kernel_h, kernel_w)
    bias: FloatArray | None = None  #: (c_out,)
    stride: Pair = (1, 1)  #: vertical, horizontal distance between the windows of the output
    padding: Padding = (0, 0)  #: rows and columns cut off on each side, or (top, left, bottom, right)
    dilation: Pair = (1, 1)  #: distance between the pixels of the kernel
    groups: int = 1  #: number of groups of channels with separate convolutions
    output_padding: Pair = (0, 0)  #: rows and columns added at the lower and the right edge

    arrays: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        take(self, self.name, "weight", (None, None, None, None))
        set_fields(
            self,
            stride=pair(f"{self.name}.stride", self.stride, minimum=1),
            padding=as_padding(f"{self.name}.padding", self.padding),
            dilation=pair(f"{self.name}.dilation", self.dilation, minimum=1),
            groups=whole(f"{self.name}.groups", self.groups, minimum=1),
            output_padding=pair(f"{self.name}.output_padding", self.output_padding, minimum=0),
        )
        if self.channels % self.groups:
            raise ParameterError(
                f"{self.name} splits {self.channels} input channels into {self.groups} groups: not a whole number each"
            )
        take(self, self.name, "bias", (self.outputs,), optional=True)

    @property
    def kernel(self) -> Pair:
        """Height and width of the kernel."""
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return int(self.weight.shape[0])

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return int(self.weight.shape[1]) * self.groups

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c_out, h', w'), or (c_out, w')."""
        shape = self._map_shape(shapes[0], self.channels, rows=True)
        return self._as_given(shapes[0], (self.outputs, *self._size((shape[1], shape[2]))))

    def matrix(self, group: int) -> FloatArray:
        """Weights of one group as a matrix (c_in / groups, n), with n over output channels and kernel pixels."""
        each = self.channels // self.groups
        return self.weight[group * each : (group + 1) * each].reshape(each, -1)

    def scaled(self, gain: FloatArray) -> FloatArray:
        """Weights of this layer with its outputs multiplied by gains (c_out,)."""
        each = self.channels // self.groups
        by = gain.reshape(self.groups, 1, -1, 1, 1)
        return (self.weight.reshape(self.groups, each, *self.weight.shape[1:]) * by).reshape(self.weight.shape)

    def rows(self, values: Sequence[FloatArray], group: int) -> FloatArray:
        """Unroll the pixels of one group's channels to (b, p, c_in / groups)."""
        each = self.channels // self.groups
        return unroll(as_maps(values[0])[:, group * each : (group + 1) * each], (1, 1))

    def joined(self, products: Sequence[FloatArray], x: FloatArray) -> FloatArray:
        """Add the overlapping windows of each group, (b, n, p), and the bias; x: the layer's input."""
        size = (as_maps(x).shape[2], x.shape[-1])
        parts = [
            overlap_add(each, size, self._size(size), self.kernel, self.stride, self.padding, self.dilation)
            for each in products
        ]
        out = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        if self.bias is not None:
            out = out + self.bias.astype(out.dtype, copy=False)[:, None, None]
        return as_given(out, x)

    def overlaps(self, shape: Shape) -> tuple[int, int]:
        """Number of products of one image inside the output, and number of output values with at least one product."""
        _, *size = self._map_shape(shape, rows=True)
        products = reached = self.outputs
        output, before = self._size((size[0], size[1])), sides(self.padding)
        for axis in range(2):
            at = np.arange(size[axis])[:, None] * self.stride[axis] - before[axis]
            places = at + np.arange(self.kernel[axis]) * self.dilation[axis]
            inside = places[(places >= 0) & (places < output[axis])]
            products, reached = products * inside.size, reached * np.unique(inside).size
        return products, reached

    def apply(self, *values: FloatArray) -> FloatArray:
        """Convolve (b, c_in, h, w), or (b, c_in, w)."""
        products = [(self.rows(values, g) @ self.matrix(g)).swapaxes(1, 2) for g in range(self.groups)]
        return self.joined(products, values[0])

    def _size(self, size: Pair) -> Pair:
        top, left, bottom, right = sides(self.padding)
        cut = (top + bottom, left + right)
        height, width = (
            (n - 1) * s - p + d * (k - 1) + o + 1
            for n, s, p, d, k, o in zip(
                size, self.stride, cut, self.dilation, self.kernel, self.output_padding, strict=True
            )
        )
        if min(height, width) < 1:
            raise ParameterError(f"{self.name} must leave an output, got one of {height} rows and {width} columns")
        return height, width
