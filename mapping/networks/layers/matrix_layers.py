"""The base class of layers with weights on tiles, and the fully connected layer."""

# b = batch, p = positions, r = matrix rows, n = values

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.layers.base import Layer, Shape, take


class MatrixLayer(Layer):
    """A layer with weights on tiles."""

    groups: int  #: number of matrices with separate inputs
    output_axis: ClassVar[int] = 1  #: axis of (b, …) along which each entry belongs to one column of a matrix

    def rows(self, values: Sequence[FloatArray], group: int) -> FloatArray:
        """Unroll the exact inputs of one group to (b, p, r), the inputs of a crossbar's rows."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class Linear(MatrixLayer):
    """Fully connected layer along the last axis: (n,) -> (out,), or (…, n) -> (…, out)."""

    weight: FloatArray  #: (out, n)
    bias: FloatArray | None = None  #: (out,)

    arrays: ClassVar[tuple[str, ...]] = ("weight", "bias")
    output_axis: ClassVar[int] = -1
    groups = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        take(self, self.name, "weight", (None, None))
        take(self, self.name, "bias", self.weight.shape[:1], optional=True)

    def output_shape(self, *shapes: Shape) -> Shape:
        """(…, out)."""
        if shapes[0][-1:] != self.weight.shape[1:]:
            raise ParameterError(
                f"{self.name} takes {self.weight.shape[1]} values, but {self.inputs[0]} gives {shapes[0]}"
            )
        return *shapes[0][:-1], self.weight.shape[0]

    def rows(self, values: Sequence[FloatArray], group: int) -> FloatArray:
        """Reshape (b, …, n) to (b, p, n)."""
        return values[0].reshape(len(values[0]), math.prod(values[0].shape[1:-1]), values[0].shape[-1])

    def apply(self, *values: FloatArray) -> FloatArray:
        """Multiply (b, …, n)."""
        return linear(values[0], self.weight, self.bias)


def linear(x: FloatArray, weight: FloatArray, bias: FloatArray | None) -> FloatArray:
    """Return x weightᵀ + bias: (b, …, n), (out, n), (out,) -> (b, …, out)."""
    product: FloatArray = x @ weight.T
    return product if bias is None else product + bias
