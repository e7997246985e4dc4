"""Static and dynamic convolutions: (c_in, h, w) -> (c_out, h', w'), with their weights on tiles.

A row (c, w) is treated as a map (c, 1, w), so a kernel of one row makes a one-dimensional convolution.
"""

# b = batch, c = channels, h, w = height, width of a map, k = kernels, p = positions, r = matrix rows

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypedDict

import numpy as np

from devices.aliases import FloatArray
from devices.checks import number, whole
from devices.errors import ParameterError
from mapping.networks import digital
from mapping.networks.layers.base import Shape, as_given, as_maps, in_single, set_fields, summary, take
from mapping.networks.layers.matrix_layers import MatrixLayer, linear
from mapping.networks.unrolling import Padding, Pair, as_padding, convolve, pair, unroll


class _Geometry(TypedDict):
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int


@dataclass(frozen=True, eq=False, repr=False)
class Attention:
    """Attention over k kernels: global average pool -> FC -> ReLU -> FC -> softmax(z / T), or sigmoid(z / T).

    Source: Chen et al., Dynamic convolution, CVPR 2020, arXiv 1912.03458; with sigmoid CondConv, arXiv 1904.04971.
    """

    weight_1: FloatArray  #: (h, c_in)
    bias_1: FloatArray | None  #: (h,)
    weight_2: FloatArray  #: (k, h)
    bias_2: FloatArray | None  #: (k,)
    temperature: float = 1.0  #: T
    kind: str = "softmax"  #: "softmax" or "sigmoid"

    arrays: ClassVar[tuple[str, ...]] = ("weight_1", "bias_1", "weight_2", "bias_2")

    def __post_init__(self) -> None:
        take(self, "attention", "weight_1", (None, None))
        h = self.weight_1.shape[0]
        take(self, "attention", "bias_1", (h,), optional=True)
        take(self, "attention", "weight_2", (None, h))
        take(self, "attention", "bias_2", (self.weight_2.shape[0],), optional=True)
        set_fields(self, temperature=number("attention.temperature", self.temperature, above=0.0))
        if self.kind not in ("softmax", "sigmoid"):
            raise ParameterError(f"attention.kind must be 'softmax' or 'sigmoid', got {self.kind!r}")

    def __repr__(self) -> str:
        return summary(self)

    @property
    def kernels(self) -> int:
        """Number of kernels k."""
        return len(self.weight_2)

    @property
    def channels(self) -> int:
        """Number of channels of the map that is pooled."""
        return int(self.weight_1.shape[1])

    def scores(self, pooled: FloatArray) -> FloatArray:
        """The two FC layers and the ReLU between them: (b, c) -> (b, k)."""
        return linear(digital.relu(linear(pooled, self.weight_1, self.bias_1)), self.weight_2, self.bias_2)

    def normalise(self, scores: FloatArray) -> FloatArray:
        """Attention weights from scores: (b, k) -> (b, k), each in [0, 1]; those of a softmax sum to 1."""
        if self.kind == "softmax":
            return digital.softmax(scores, self.temperature)
        return digital.sigmoid(scores / self.temperature)

    def shares(self, images: FloatArray) -> FloatArray:
        """Attention weights (b, k) for (b, c, h, w) maps."""
        return self.normalise(self.scores(digital.global_average_pool(images)))


@dataclass(frozen=True, eq=False, repr=False)
class Conv(MatrixLayer):
    """Convolution of maps: (c_in, h, w) -> (c_out, h', w'), or of rows (c_in, w) -> (c_out, w')."""

    weight: FloatArray  #: (c_out, c_in / groups, kernel_h, kernel_w)
    bias: FloatArray | None = None  #: (c_out,)
    stride: Pair = (1, 1)  #: vertical, horizontal
    padding: Padding = (0, 0)  #: rows and columns of zeros on each side, or (top, left, bottom, right)
    dilation: Pair = (1, 1)  #: distance between the pixels of the kernel
    groups: int = 1  #: number of groups of channels with separate convolutions

    arrays: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        take(self, self.name, "weight", (None, None, None, None))
        take(self, self.name, "bias", self.weight.shape[:1], optional=True)
        _check_window(self, self.weight.shape)

    @property
    def kernel(self) -> Pair:
        """Height and width of the kernel."""
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return int(self.weight.shape[1]) * self.groups

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c_out, h', w'), or (c_out, w')."""
        shape = self._map_shape(shapes[0], self.channels, rows=True)
        size = self._window_shape(shape, self.kernel, self.stride, self.padding, self.dilation)
        return self._as_given(shapes[0], (self.weight.shape[0], *size))

    def rows(self, values: Sequence[FloatArray], group: int) -> FloatArray:
        """Unroll the input of one group to (b, p, r)."""
        return unroll(_of_group(self, values, group), self.kernel, self.stride, self.padding, self.dilation)

    def unroll(self, values: Sequence[FloatArray]) -> FloatArray:
        """Unroll the input to (b, p, r), the inputs of a crossbar's rows."""
        return unroll(as_maps(values[0]), self.kernel, self.stride, self.padding, self.dilation)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Convolve (b, c_in, h, w), or (b, c_in, w)."""
        return as_given(convolve(as_maps(values[0]), self.weight, self.bias, **_geometry(self)), values[0])


@dataclass(frozen=True, eq=False, repr=False)
class DynamicConv(MatrixLayer):
    """Convolution with w(x) = sum_k pi_k(x) w_k, b(x) = sum_k pi_k(x) b_k, pi the attention of the layer's own input.

    A second input, a map with as many channels, is pooled for the attention instead of the first one, because
    omni-dimensional convolution also scales the channels of the first input by attention. A third input,
    (kernel_h kernel_w,), multiplies the weights of every kernel by a factor for each position in the kernel.
    Source: Chen et al., Dynamic convolution, CVPR 2020, arXiv 1912.03458; Li et al., Omni-dimensional dynamic
    convolution, ICLR 2022, arXiv 2209.07947 eq. 2.
    """

    weight: FloatArray  #: (k, c_out, c_in / groups, kernel_h, kernel_w)
    bias: FloatArray | None  #: (k, c_out)
    stride: Pair  #: vertical, horizontal
    padding: Padding  #: rows and columns of zeros on each side, or (top, left, bottom, right)
    dilation: Pair  #: distance between the pixels of the kernel
    groups: int  #: number of groups of channels with separate convolutions
    attention: Attention

    arrays: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        take(self, self.name, "weight", (None, None, None, None, None))
        take(self, self.name, "bias", self.weight.shape[:2], optional=True)
        _check_window(self, self.weight.shape[1:])
        if not isinstance(self.attention, Attention):
            raise ParameterError(f"{self.name}.attention must be an Attention, got {self.attention!r}")
        if (self.attention.kernels, self.attention.channels) != (self.kernels, self.channels):
            raise ParameterError(
                f"{self.name} has {self.kernels} kernels and {self.channels} input channels, "
                f"but its attention {self.attention.kernels} and {self.attention.channels}"
            )

    def single(self) -> "DynamicConv":
        """Return the same layer and attention with float32 arrays."""
        twin = in_single(self)
        set_fields(twin, attention=in_single(self.attention))
        return twin

    def _check_count(self) -> None:
        if not 1 <= len(self.inputs) <= 3:
            raise ParameterError(
                f"{self.name} takes a map, optionally a map for its attention, and then optionally factors for the "
                f"positions in its kernels, got {self.inputs}"
            )

    @property
    def kernels(self) -> int:
        """Number of kernels k."""
        return len(self.weight)

    @property
    def kernel(self) -> Pair:
        """Height and width of each kernel."""
        return self.weight.shape[3], self.weight.shape[4]

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return int(self.weight.shape[2]) * self.groups

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c_out, h', w')."""
        shape = self._map_shape(shapes[0], self.channels)
        if len(shapes) > 1 and (len(shapes[1]) != 3 or shapes[1][0] != self.channels):
            raise ParameterError(
                f"{self.name} pools maps of shape ({self.channels}, h, w), but {self.inputs[1]} gives {shapes[1]}"
            )
        if len(shapes) > 2 and shapes[2] != (math.prod(self.kernel),):
            raise ParameterError(
                f"{self.name} takes {math.prod(self.kernel)} factors for the positions in its kernels, "
                f"but {self.inputs[2]} gives {shapes[2]}"
            )
        return self.weight.shape[1], *self._window_shape(shape, self.kernel, self.stride, self.padding, self.dilation)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Convolve (b, c_in, h, w) with the mixed kernel of each image."""
        return self.mixed(values, self.shares(values))

    def mixed(self, values: Sequence[FloatArray], attention: FloatArray) -> FloatArray:
        """Convolve the layer's inputs with the kernels mixed by given attention weights (b, k)."""
        return self.convolve(values[0], attention, *values[2:])

    def pooled(self, values: Sequence[FloatArray]) -> FloatArray:
        """Means (b, c_in) of the maps that the attention takes, from the layer's inputs."""
        return digital.global_average_pool(values[1] if len(values) > 1 else values[0])

    def shares(self, values: Sequence[FloatArray]) -> FloatArray:
        """Attention weights (b, k) for the layer's inputs."""
        return self.attention.normalise(self.attention.scores(self.pooled(values)))

    def rows(self, values: Sequence[FloatArray], group: int) -> FloatArray:
        """Unroll one group of the first input to (b, p, r), times the factors for the kernel positions if any."""
        return self._unrolled(_of_group(self, values, group), values)

    def unroll(self, values: Sequence[FloatArray]) -> FloatArray:
        """Unroll the first input to (b, p, r), times the factors for the kernel positions if there are any."""
        return self._unrolled(values[0], values)

    def _unrolled(self, maps: FloatArray, values: Sequence[FloatArray]) -> FloatArray:
        rows = unroll(maps, self.kernel, self.stride, self.padding, self.dilation)
        if len(values) > 2:
            rows = rows * np.tile(values[2], maps.shape[1])[:, None, :]
        return rows

    def convolve(self, images: FloatArray, attention: FloatArray, positions: FloatArray | None = None) -> FloatArray:
        """Convolve (b, c_in, h, w) with the kernels mixed by given attention weights (b, k).

        positions: (b, kernel_h kernel_w) factors for the positions in every kernel; None: 1.
        """
        weight = (attention @ self.weight.reshape(self.kernels, -1)).reshape(len(attention), *self.weight.shape[1:])
        if positions is not None:
            weight = weight * positions.reshape(-1, 1, 1, *self.kernel)
        bias = None if self.bias is None else attention @ self.bias
        return convolve(images, weight, bias, **_geometry(self))


def _check_window(layer: Conv | DynamicConv, weight_shape: Shape) -> None:
    """Check stride, padding, dilation and groups of a convolution with (c_out, c_in / groups, h, w) weights."""
    set_fields(
        layer,
        stride=pair(f"{layer.name}.stride", layer.stride, minimum=1),
        padding=as_padding(f"{layer.name}.padding", layer.padding),
        dilation=pair(f"{layer.name}.dilation", layer.dilation, minimum=1),
        groups=whole(f"{layer.name}.groups", layer.groups, minimum=1),
    )
    if weight_shape[0] % layer.groups:
        raise ParameterError(
            f"{layer.name} splits {weight_shape[0]} output channels into {layer.groups} groups: not a whole number each"
        )


def _geometry(layer: Conv | DynamicConv) -> _Geometry:
    """Return stride, padding, dilation and groups of a convolution."""
    return {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups}


def _of_group(layer: Conv | DynamicConv, values: Sequence[FloatArray], group: int) -> FloatArray:
    """Return the maps of the channels of one group."""
    channels = layer.channels // layer.groups
    return as_maps(values[0])[:, group * channels : (group + 1) * channels]
