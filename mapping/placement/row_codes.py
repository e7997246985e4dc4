"""Row codes: the inputs of a layer's matrices; maps are converted to codes first, then unrolled to rows.

b = batch, c = channels, p = positions, r = rows
"""

import math
import threading
from typing import Protocol

import numpy as np

from crossbar.tiles.converters import Dac
from devices.aliases import FloatArray
from mapping.networks.layers.base import as_maps
from mapping.networks.layers.convolutions import Conv, DynamicConv
from mapping.networks.layers.matrix_layers import MatrixLayer
from mapping.networks.unrolling import output_size, unroll


class Rows(Protocol):
    """Inputs of the matrices of one group of a layer."""

    shape: tuple[int, int, int]  #: (b, p, r)

    def codes(self, dac: Dac, factor: float, kind: np.dtype) -> FloatArray:
        """Return the drivers' codes (r, b, p) for `factor` times the inputs, of type `kind`.

        The next call on the same thread may overwrite them.
        """


_held = threading.local()


def _room(size: int, kind: np.dtype) -> FloatArray:
    """Return memory of this thread; every layer of every batch unrolls its maps into it."""
    room: FloatArray | None = getattr(_held, kind.name, None)
    if room is None or room.size < size:
        room = np.empty(size, dtype=kind)
        setattr(_held, kind.name, room)
    return room


class Vectors:
    """Inputs (b, r) or (b, p, r) that need no unrolling."""

    def __init__(self, x: FloatArray) -> None:
        self.x = x[:, None] if x.ndim == 2 else x
        self.shape = (self.x.shape[0], self.x.shape[1], self.x.shape[2])

    def codes(self, dac: Dac, factor: float, kind: np.dtype) -> FloatArray:
        """Return codes (r, b, p)."""
        codes = dac.codes((factor * self.x).astype(kind, copy=False))
        return np.ascontiguousarray(codes.transpose(2, 0, 1))


def rows_of(layer: MatrixLayer, inputs: list[FloatArray], group: int) -> Rows:
    """Return the row inputs of one group of a layer's matrices, from the inputs of the layer.

    The state of a recurrent layer is the exact one.
    """
    if isinstance(layer, (Conv, DynamicConv)):
        return Windows(layer, inputs, group)
    return Vectors(layer.rows(inputs, group))


class Windows:
    """Windows of maps: the channels of one group of a convolution, unrolled."""

    def __init__(self, layer: Conv | DynamicConv, inputs: list[FloatArray], group: int) -> None:
        channels = layer.channels // layer.groups
        self.maps = as_maps(inputs[0])[:, group * channels : (group + 1) * channels]
        self.geometry = (layer.kernel, layer.stride, layer.padding, layer.dilation)
        #: (b, kernel height × width) factors of the rows of every channel; None: 1
        self.factors = inputs[2] if len(inputs) > 2 else None
        height, width = output_size((self.maps.shape[2], self.maps.shape[3]), *self.geometry)
        self.shape = (len(self.maps), height * width, channels * layer.kernel[0] * layer.kernel[1])

    def codes(self, dac: Dac, factor: float, kind: np.dtype) -> FloatArray:
        """Return codes (r, b, p); without factors the pixels are converted before they are repeated by the windows."""
        scaled = self.maps * kind.type(factor)
        if self.factors is None:
            codes = dac.codes(scaled.astype(kind, copy=False))
            return unroll(codes, *self.geometry, room=_room(math.prod(self.shape), kind)).transpose(2, 0, 1)
        rows = unroll(scaled, *self.geometry)
        r = self.factors.shape[1]
        each = rows.reshape(*rows.shape[:2], -1, r) * self.factors[:, None, None, :]
        return np.ascontiguousarray(dac.codes(each.reshape(rows.shape).astype(kind, copy=False)).transpose(2, 0, 1))
