"""Convolutions whose outputs are scaled by attention, on gates of their columns: what a compiler makes, no file holds.

b = batch, c = channels, k = kernels, n = outputs
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks import digital
from mapping.networks.layers.base import Layer, Shape, as_maps, take
from mapping.networks.layers.convolutions import Conv, DynamicConv
from mapping.networks.layers.matrix_layers import Linear
from mapping.networks.layers.recurrent import Recurrent
from mapping.networks.layers.transposed import ConvTranspose
from mapping.networks.unrolling import Padding, Pair, windows


def kind_of(layer: Layer) -> str:
    """Name what a layer is on a chip: "conv", "transposed conv", "dynamic conv", "linear", "recurrent" or "digital"."""
    kinds: dict[type[Layer], str] = {
        Conv: "conv", DynamicConv: "dynamic conv", Linear: "linear", GatedConv: "conv",
        GatedDynamicConv: "dynamic conv", ConvTranspose: "transposed conv", Recurrent: "recurrent",
    }  # fmt: skip
    return kinds.get(type(layer), "digital")


@dataclass(frozen=True, eq=False, repr=False)
class GatedConv(Conv):
    """Convolution times a number for each output, in [0, 1]: its last input (c_out,); the shift is added afterwards."""

    shift: FloatArray | None = None  #: (c_out,)

    arrays = (*Conv.arrays, "shift")

    def __post_init__(self) -> None:
        super().__post_init__()
        take(self, self.name, "shift", self.weight.shape[:1], optional=True)

    def _check_count(self) -> None:
        if len(self.inputs) != 2:
            raise ParameterError(f"{self.name} takes a map and a number for each output, got {self.inputs}")

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c_out, h', w')."""
        _check_scales(self, shapes, self.weight.shape[0])
        return super().output_shape(shapes[0])

    def apply(self, *values: FloatArray) -> FloatArray:
        """Convolve (b, c_in, h, w), times (b, c_out)."""
        return _scaled(super().apply(values[0]), values[-1], self.shift)


@dataclass(frozen=True, eq=False, repr=False)
class GatedDynamicConv(DynamicConv):
    """Dynamic convolution times a number for each output, in [0, 1]: its last input (c_out,), after its other ones."""

    shift: FloatArray | None = None  #: (c_out,) added afterwards

    arrays = (*DynamicConv.arrays, "shift")

    def __post_init__(self) -> None:
        super().__post_init__()
        take(self, self.name, "shift", self.weight.shape[1:2], optional=True)

    def _check_count(self) -> None:
        if not 2 <= len(self.inputs) <= 4:
            raise ParameterError(f"{self.name} takes the inputs of a DynamicConv and a number for each output")

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c_out, h', w')."""
        _check_scales(self, shapes, self.weight.shape[1])
        return super().output_shape(*shapes[: len(self.inputs) - 1])

    def pooled(self, values: Sequence[FloatArray]) -> FloatArray:
        """Means (b, c_in) of the maps that the attention looks at."""
        return super().pooled(values[: len(self.inputs) - 1])

    def rows(self, values: Sequence[FloatArray], group: int) -> FloatArray:
        """Lay one group of the first input out as (b, p, r)."""
        return super().rows(values[: len(self.inputs) - 1], group)

    def unroll(self, values: Sequence[FloatArray]) -> FloatArray:
        """Lay the first input out as (b, p, r)."""
        return super().unroll(values[: len(self.inputs) - 1])

    def mixed(self, values: Sequence[FloatArray], shares: FloatArray) -> FloatArray:
        """Convolve with given shares, times (b, c_out)."""
        return _scaled(super().mixed(values[: len(self.inputs) - 1], shares), values[-1], self.shift)


@dataclass(frozen=True, eq=False, repr=False)
class MeanWindow(Layer):
    """Mean of a map over the windows of a convolution: (c, h, w) -> (c kernel_h kernel_w,), what its rows see."""

    kernel: Pair
    stride: Pair
    padding: Padding
    dilation: Pair

    def output_shape(self, *shapes: Shape) -> Shape:
        """(r,)."""
        shape = self._map_shape(shapes[0], rows=True)
        self._window_shape(shape, self.kernel, self.stride, self.padding, self.dilation)
        return (shape[0] * self.kernel[0] * self.kernel[1],)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Average (b, c, h, w)."""
        seen = windows(as_maps(values[0]), self.kernel, self.stride, self.padding, self.dilation)
        out: FloatArray = seen.mean((2, 3)).reshape(len(seen), -1)
        return out


def _scaled(maps: FloatArray, scales: FloatArray, shift: FloatArray | None) -> FloatArray:
    out = digital.scale(maps, scales)
    return out if shift is None else out + shift.reshape(-1, *(1,) * (maps.ndim - 2))


def _check_scales(layer: GatedConv | GatedDynamicConv, shapes: Sequence[Shape], outputs: int) -> None:
    """Refuse scales of another number; without them only the shape of the output was asked for."""
    if len(shapes) == len(layer.inputs) and shapes[-1] != (outputs,):
        raise ParameterError(
            f"{layer.name} takes a number for each of its {outputs} outputs, but {layer.inputs[-1]} gives {shapes[-1]}"
        )


Given = TypeVar("Given")


def split_scales(layer: Layer, values: Sequence[Given]) -> tuple[list[Given], Given | None]:
    """Return the inputs that a convolution sees, or their names, and the numbers (b, n) of the gates of its columns."""
    if isinstance(layer, (GatedConv, GatedDynamicConv)):
        return list(values[:-1]), values[-1]
    return list(values), None


def count_windows(layer: MeanWindow, shape: Shape) -> tuple[float, float]:
    """Additions and multiplications of one image: sums along rows and columns once, then the border of each window."""
    c, pixels = shape[0], math.prod(shape[1:])
    r = c * layer.kernel[0] * layer.kernel[1]
    return 2.0 * c * pixels + r * (layer.kernel[0] + layer.kernel[1]), float(r)
