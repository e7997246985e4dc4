"""Resizing of maps: nearest, bilinear and bicubic interpolation."""

# c = channels, h, w = height, width of a map

from dataclasses import dataclass

import numpy as np

from devices.aliases import FloatArray, IntArray
from devices.checks import number
from devices.errors import ParameterError
from mapping.networks.layers.base import Layer, Shape, as_given, as_maps, one_of, set_fields
from mapping.networks.unrolling import Pair, pair

MODES = {"nearest": 1, "bilinear": 2, "bicubic": 4}  #: number of input pixels along each axis for an output pixel
COORDINATES = ("asymmetric", "half-pixel", "align-corners")  #: positions of the output pixels among the input pixels
CUBIC = -0.75  #: free parameter of the cubic, with the value of PyTorch and ONNX


@dataclass(frozen=True, eq=False, repr=False)
class Upsample(Layer):
    """Map resized by interpolation: (c, h, w) -> (c, *size), or (c, w) -> (c, w').

    Output pixel i is at i scale ("asymmetric"), at (i + 1/2) scale - 1/2 ("half-pixel"), or so that the outermost
    pixels coincide ("align-corners").  The mode "nearest" rounds asymmetric positions down, others to the nearest pixel
    and halves up.  Source: Keys, IEEE Trans. ASSP 29, 1153 (1981) for the cubic.
    """

    size: Pair  #: height, width of the output
    mode: str = "nearest"  #: a key of MODES
    coordinates: str = "asymmetric"  #: one of COORDINATES
    scale: tuple[float, float] | None = None  #: input pixels per output pixel, vertical, horizontal; None: by the sizes

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(
            self,
            size=pair(f"{self.name}.size", self.size, minimum=1),
            mode=one_of(f"{self.name}.mode", self.mode, tuple(MODES)),
            coordinates=one_of(f"{self.name}.coordinates", self.coordinates, COORDINATES),
        )
        if self.scale is not None:
            given: object = self.scale
            if not isinstance(given, (tuple, list)) or len(given) != 2:
                raise ParameterError(f"{self.name}.scale must be a pair (vertical, horizontal), got {given!r}")
            set_fields(self, scale=tuple(number(f"{self.name}.scale[{i}]", given[i], above=0.0) for i in range(2)))

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c, *size), or (c, w')."""
        return self._as_given(shapes[0], (self._map_shape(shapes[0], rows=True)[0], *self.size))

    def apply(self, *values: FloatArray) -> FloatArray:
        """Resize (b, c, h, w), or (b, c, w)."""
        out = as_maps(values[0])
        for axis in range(2):
            out = self._along(out, axis)
        return as_given(np.ascontiguousarray(out), values[0])

    def _along(self, x: FloatArray, axis: int) -> FloatArray:
        indices, weights = self.taps(x.shape[axis + 2], axis)
        if self.mode == "nearest":
            return np.take(x, indices[:, 0], axis=axis + 2)
        shape = (-1, 1) if axis == 0 else (-1,)
        parts = (
            np.take(x, indices[:, tap], axis=axis + 2) * weights[:, tap].astype(x.dtype).reshape(shape)
            for tap in range(indices.shape[1])
        )
        total = next(parts)
        for part in parts:
            total = total + part
        return total

    def taps(self, length: int, axis: int) -> tuple[IntArray, FloatArray]:
        """Input pixels (n, taps) of each output pixel along an axis, and their weights."""
        count = self.size[axis]
        at = np.arange(count)
        scale = length / count if self.scale is None else self.scale[axis]
        if self.mode == "nearest" and self.coordinates == "asymmetric" and self.scale is None:
            return np.minimum(at * length // count, length - 1)[:, None], np.ones((count, 1))
        if self.coordinates == "align-corners":
            place = at * ((length - 1) / (count - 1) if count > 1 else 0.0)
        else:
            place = at * scale if self.coordinates == "asymmetric" else (at + 0.5) * scale - 0.5
        if self.mode == "nearest":
            nearest = np.floor(place if self.coordinates == "asymmetric" else place + 0.5)
            return np.clip(nearest, 0, length - 1).astype(np.int64)[:, None], np.ones((count, 1))
        if self.mode == "bilinear":
            place = np.clip(place, 0.0, length - 1)
        first = np.floor(place)
        part = place - first
        if self.mode == "bilinear":
            offsets, weights = np.array([0, 1]), np.stack([1.0 - part, part], axis=1)
        else:
            offsets = np.array([-1, 0, 1, 2])
            weights = np.stack([_cubic(np.abs(part - offset)) for offset in offsets], axis=1)
        indices = np.clip(first[:, None].astype(np.int64) + offsets, 0, length - 1)
        return indices, weights


def _cubic(distance: FloatArray) -> FloatArray:
    """Cubic weight of a pixel at a distance from 0 to 2."""
    near = ((CUBIC + 2.0) * distance - (CUBIC + 3.0)) * distance**2 + 1.0
    far = ((distance - 5.0) * distance + 8.0) * distance * CUBIC - 4.0 * CUBIC
    return np.where(distance <= 1.0, near, far)
