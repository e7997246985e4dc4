"""Convolutions with channel attention on gates of their columns; the compiler makes them, network files have none.

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
    """Return a layer's kind: "conv", "transposed conv", "dynamic conv", "linear", "recurrent" or "digital"."""
    kinds: dict[type[Layer], str] = {
        Conv: "conv", DynamicConv: "dynamic conv", Linear: "linear", GatedConv: "conv",
        GatedDynamicConv: "dynamic conv", ConvTranspose: "transposed conv", Recurrent: "recurrent",
    }  # fmt: skip
    return kinds.get(type(layer), "digital")


@dataclass(frozen=True, eq=False, repr=False)
class GatedConv(Conv):
    """Convolution whose outputs are multiplied by factors in [0, 1], the layer's last input (c_out,)."""

    shift: FloatArray | None = None  #: (c_out,) added afterwards

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
        """Convolve (b, c_in, h, w) and multiply by (b, c_out)."""
        return _scaled(super().apply(values[0]), values[-1], self.shift)


@dataclass(frozen=True, eq=False, repr=False)
class GatedDynamicConv(DynamicConv):
    """Dynamic convolution whose outputs are multiplied by factors in [0, 1], the layer's last input (c_out,)."""

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
        """Means (b, c_in) of the maps that the attention takes."""
        return super().pooled(values[: len(self.inputs) - 1])

    def rows(self, values: Sequence[FloatArray], group: int) -> FloatArray:
        """Unroll one group of the first input to (b, p, r)."""
        return super().rows(values[: len(self.inputs) - 1], group)

    def unroll(self, values: Sequence[FloatArray]) -> FloatArray:
        """Unroll the first input to (b, p, r)."""
        return super().unroll(values[: len(self.inputs) - 1])

    def mixed(self, values: Sequence[FloatArray], attention: FloatArray) -> FloatArray:
        """Convolve with given attention weights (b, k) and multiply by (b, c_out)."""
        return _scaled(super().mixed(values[: len(self.inputs) - 1], attention), values[-1], self.shift)


@dataclass(frozen=True, eq=False, repr=False)
class MeanWindow(Layer):
    """Mean window of a convolution, over its positions: (c, h, w) -> (c kernel_h kernel_w,)."""

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
    """Refuse factors of another shape; shapes may lack them if only the shape of the output is asked for."""
    if len(shapes) == len(layer.inputs) and shapes[-1] != (outputs,):
        raise ParameterError(
            f"{layer.name} takes a number for each of its {outputs} outputs, but {layer.inputs[-1]} gives {shapes[-1]}"
        )


Given = TypeVar("Given")


def split_scales(layer: Layer, values: Sequence[Given]) -> tuple[list[Given], Given | None]:
    """Split a layer's inputs, or their names: those of the convolution, and the factors (b, n) of its column gates."""
    if isinstance(layer, (GatedConv, GatedDynamicConv)):
        return list(values[:-1]), values[-1]
    return list(values), None


def count_windows(layer: MeanWindow, shape: Shape) -> tuple[float, float]:
    """Additions and multiplications of one image: running sums along rows and columns, then four terms per window."""
    c, pixels = shape[0], math.prod(shape[1:])
    r = c * layer.kernel[0] * layer.kernel[1]
    return 2.0 * c * pixels + r * (layer.kernel[0] + layer.kernel[1]), float(r)
