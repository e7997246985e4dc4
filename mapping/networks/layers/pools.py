"""Pooling layers: the largest value or the mean of windows of a map."""

# b = batch, c = channels, h, w = height, width of a map

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks import digital
from mapping.networks.layers.base import Layer, Shape, as_given, as_maps, set_fields, truth
from mapping.networks.unrolling import Padding, Pair, as_padding, pair, sides, windows


class _Pool(Layer):
    """Pool over windows of one size."""

    size: Pair
    stride: Pair
    padding: Padding
    ceil_mode: bool
    dilation: Pair

    def __post_init__(self) -> None:
        super().__post_init__()
        size = pair(f"{self.name}.size", self.size, minimum=1)
        dilation = pair(f"{self.name}.dilation", self.dilation, minimum=1)
        padding = as_padding(f"{self.name}.padding", self.padding)
        top, left, bottom, right = sides(padding)
        extent = [d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True)]
        if max(top, bottom) >= extent[0] or max(left, right) >= extent[1]:
            raise ParameterError(
                f"{self.name}.padding must be less than the window {size}, as a window needs a pixel, got {padding}"
            )
        truth(f"{self.name}.ceil_mode", self.ceil_mode)
        set_fields(self, size=size, stride=pair(f"{self.name}.stride", self.stride, minimum=1), padding=padding)

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c, h', w'), or (c, w')."""
        shape = self._map_shape(shapes[0], rows=True)
        size = (shape[1], shape[2])
        beside = digital.pool_sides(size, self.size, self.stride, self.padding, self.dilation, ceil=self.ceil_mode)
        made = (shape[0], *self._window_shape(shape, self.size, self.stride, beside, self.dilation))
        for axis in range(2):  # a window with dilation may have no pixel in a short map
            seen = windows(
                np.ones((1, 1, 1, size[axis])), (1, self.size[axis]), (1, self.stride[axis]),
                (0, beside[axis], 0, beside[axis + 2]), (1, self.dilation[axis]),
            )  # fmt: skip
            if not seen.any(axis=-1).all():
                raise ParameterError(f"{self.name} has a window with no pixel of {shapes[0]}, only padding")
        return self._as_given(shapes[0], made)


@dataclass(frozen=True, eq=False, repr=False)
class MaxPool(_Pool):
    """Largest value of each window: (c, h, w) -> (c, h', w'), or (c, w) -> (c, w')."""

    size: Pair  #: height, width of the window
    stride: Pair  #: vertical, horizontal
    #: ignored pixels around the map: on each side, or (top, left, bottom, right); less than the window
    padding: Padding = (0, 0)
    ceil_mode: bool = False  #: whether to include a last window that begins inside the map and crosses its edge
    dilation: Pair = (1, 1)  #: distance between the pixels of the window

    added: ClassVar[tuple[str, ...]] = ("ceil_mode", "dilation")

    def apply(self, *values: FloatArray) -> FloatArray:
        """Pool (b, c, h, w), or (b, c, w)."""
        made = digital.max_pool(
            as_maps(values[0]), self.size, self.stride, self.padding, dilation=self.dilation, ceil=self.ceil_mode
        )
        return as_given(made, values[0])


@dataclass(frozen=True, eq=False, repr=False)
class AveragePool(_Pool):
    """Mean of each window: (c, h, w) -> (c, h', w'), or (c, w) -> (c, w')."""

    size: Pair  #: height, width of the window
    stride: Pair  #: vertical, horizontal
    #: rows and columns of zeros on each side, or (top, left, bottom, right); less than the window
    padding: Padding = (0, 0)
    count_padding: bool = True  #: whether these zeros count as pixels in the mean
    ceil_mode: bool = False  #: whether to include a last window that begins inside the map and crosses its edge
    dilation = (1, 1)
    added: ClassVar[tuple[str, ...]] = ("ceil_mode",)

    def __post_init__(self) -> None:
        super().__post_init__()
        truth(f"{self.name}.count_padding", self.count_padding)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Pool (b, c, h, w), or (b, c, w)."""
        made = digital.average_pool(
            as_maps(values[0]), self.size, self.stride, self.padding, count_padding=self.count_padding,
            ceil=self.ceil_mode,
        )  # fmt: skip
        return as_given(made, values[0])


@dataclass(frozen=True, eq=False, repr=False)
class GlobalAveragePool(Layer):
    """Mean of each channel: (c, h, w), or (c, …), -> (c,)."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c,)."""
        return shapes[0][:1] if len(shapes[0]) == 2 or len(shapes[0]) > 3 else self._map_shape(shapes[0])[:1]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Pool (b, c, …)."""
        return digital.global_average_pool(values[0])


class _AdaptivePool(Layer):
    """Pool to an output of fixed size, over windows that cover the map."""

    size: Pair

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, size=pair(f"{self.name}.size", self.size, minimum=1))

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c, *size), or (c, w')."""
        return self._as_given(shapes[0], (self._map_shape(shapes[0], rows=True)[0], *self.size))

    def _windows(self, x: FloatArray) -> list[list[FloatArray]]:
        """Pixels (b, c, …) of each window, by row and column of the output."""
        rows, columns = (digital.adaptive_windows(n, k) for n, k in zip(x.shape[2:], self.size, strict=True))
        return [[x[:, :, row, column] for column in columns] for row in rows]


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveAveragePool(_AdaptivePool):
    """Mean of each of a given number of windows, which cover the map and may overlap: (c, h, w) -> (c, *size)."""

    size: Pair  #: height, width of the output

    def apply(self, *values: FloatArray) -> FloatArray:
        """Pool (b, c, h, w), or (b, c, w)."""
        means = [[each.mean(axis=(2, 3)) for each in row] for row in self._windows(as_maps(values[0]))]
        return as_given(np.moveaxis(np.array(means), (0, 1), (2, 3)), values[0])


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveMaxPool(_AdaptivePool):
    """Largest value of each of a given number of windows, which cover the map and may overlap: -> (c, *size)."""

    size: Pair  #: height, width of the output

    def apply(self, *values: FloatArray) -> FloatArray:
        """Pool (b, c, h, w), or (b, c, w)."""
        largest = [[each.max(axis=(2, 3)) for each in row] for row in self._windows(as_maps(values[0]))]
        return as_given(np.moveaxis(np.array(largest), (0, 1), (2, 3)), values[0])
