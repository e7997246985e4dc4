"""Arithmetic of layer outputs: elementwise operations with numpy's broadcasting, reductions, matrix products.

Shapes are those of one image, without the batch, and are aligned at their last axes.
"""

# b = batch, c = channels

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks import digital
from mapping.networks.layers.base import Layer, Shape, one_of, set_fields, take, truth, wholes


class Elementwise(Layer):
    """A function of two or more inputs, value by value."""

    operation: ClassVar[np.ufunc]
    verb: ClassVar[str]  #: for error messages
    most: ClassVar[int | None] = None  #: largest number of inputs; None: any number

    def _check_count(self) -> None:
        if len(self.inputs) < 2 or (self.most is not None and len(self.inputs) > self.most):
            wanted = "two or more" if self.most is None else "two"
            raise ParameterError(f"{self.name} {self.verb} {wanted} inputs, got {self.inputs}")

    def output_shape(self, *shapes: Shape) -> Shape:
        """The inputs' shapes, broadcast as numpy does."""
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            given = ", ".join(f"{source} {shape}" for source, shape in zip(self.inputs, shapes, strict=True))
            raise ParameterError(
                f"{self.name} {self.verb} inputs of one shape, or of shapes that broadcast, got {given}"
            ) from None

    def apply(self, *values: FloatArray) -> FloatArray:
        """Combine from left to right."""
        out, *others = _aligned(values)
        for other in others:
            out = self.operation(out, other)
        return out


@dataclass(frozen=True, eq=False, repr=False)
class Add(Elementwise):
    """Sum of two or more inputs (a residual connection)."""

    operation = np.add
    verb = "adds"


@dataclass(frozen=True, eq=False, repr=False)
class Subtract(Elementwise):
    """First input minus the second."""

    operation = np.subtract
    verb = "subtracts"
    most = 2


@dataclass(frozen=True, eq=False, repr=False)
class Multiply(Elementwise):
    """Product of two or more inputs."""

    operation = np.multiply
    verb = "multiplies"


@dataclass(frozen=True, eq=False, repr=False)
class Divide(Elementwise):
    """First input divided by the second."""

    operation = np.divide
    verb = "divides"
    most = 2


@dataclass(frozen=True, eq=False, repr=False)
class Maximum(Elementwise):
    """Largest of two or more inputs."""

    operation = np.maximum
    verb = "compares"


@dataclass(frozen=True, eq=False, repr=False)
class Minimum(Elementwise):
    """Smallest of two or more inputs."""

    operation = np.minimum
    verb = "compares"


@dataclass(frozen=True, eq=False, repr=False)
class Scale(Layer):
    """Product of a map and a factor for each of its channels: (c, …) and (c,).

    Source: Hu et al., Squeeze-and-excitation networks, CVPR 2018, arXiv 1709.01507 eq. 4.
    """

    def _check_count(self) -> None:
        if len(self.inputs) != 2:
            raise ParameterError(f"{self.name} takes a map and a number for each channel, got {self.inputs}")

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the first input's."""
        if not shapes[0] or shapes[1] != shapes[0][:1]:
            raise ParameterError(
                f"{self.name} takes a map and a number for each channel, "
                f"but {self.inputs[0]} gives {shapes[0]} and {self.inputs[1]} {shapes[1]}"
            )
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Multiply (b, c, …) by (b, c)."""
        return digital.scale(*values)


@dataclass(frozen=True, eq=False, repr=False)
class Affine(Layer):
    """Input times a constant plus a constant; both broadcast against one image as in numpy."""

    scale: FloatArray | None = None  #: of any shape that broadcasts; None: 1
    shift: FloatArray | None = None  #: likewise; None: 0

    arrays: ClassVar[tuple[str, ...]] = ("scale", "shift")

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in self.arrays:
            take(self, self.name, key, None, optional=True)
        if self.scale is None and self.shift is None:
            raise ParameterError(f"{self.name} must have a scale or a shift, got none")

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shapes of the input and the constants, broadcast as numpy does."""
        held = [each.shape for each in (self.scale, self.shift) if each is not None]
        try:
            return np.broadcast_shapes(shapes[0], *held)
        except ValueError:
            raise ParameterError(
                f"{self.name} has constants of shape {', '.join(map(str, held))}, which do not broadcast against "
                f"{shapes[0]} of {self.inputs[0]}"
            ) from None

    def apply(self, *values: FloatArray) -> FloatArray:
        """Multiply and add (b, …)."""
        rank = max([values[0].ndim - 1, *(each.ndim for each in (self.scale, self.shift) if each is not None)])
        out = _raised(values[0], rank)
        if self.scale is not None:
            out = out * self.scale
        if self.shift is not None:
            out = out + self.shift
        return out


REDUCTIONS: dict[str, Callable[..., FloatArray]] = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}
"""What `Reduce` computes, by the name that the file format uses."""


@dataclass(frozen=True, eq=False, repr=False)
class Reduce(Layer):
    """Sum, mean, maximum or minimum along axes."""

    kind: str  #: a key of REDUCTIONS
    axes: tuple[int, ...]  #: axes that are reduced; the channels are axis 0
    keep: bool = False  #: whether reduced axes stay with length 1

    def __post_init__(self) -> None:
        super().__post_init__()
        axes = wholes(f"{self.name}.axes", self.axes)
        if len(set(axes)) != len(axes):
            raise ParameterError(f"{self.name}.axes must differ from each other, got {axes}")
        set_fields(
            self,
            kind=one_of(f"{self.name}.kind", self.kind, tuple(REDUCTIONS)),
            axes=tuple(sorted(axes)),
            keep=truth(f"{self.name}.keep", self.keep),
        )

    def output_shape(self, *shapes: Shape) -> Shape:
        """The axes that are not reduced; with `keep` the reduced ones too, with length 1."""
        if self.axes[-1] >= len(shapes[0]):
            raise ParameterError(f"{self.name} reduces axes {self.axes}, but {self.inputs[0]} gives {shapes[0]}")
        kept = (1 if at in self.axes else n for at, n in enumerate(shapes[0]) if self.keep or at not in self.axes)
        return tuple(kept)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Reduce (b, …)."""
        return REDUCTIONS[self.kind](values[0], axis=tuple(axis + 1 for axis in self.axes), keepdims=self.keep)


@dataclass(frozen=True, eq=False, repr=False)
class MatMul(Layer):
    """Digital matrix product of two layer outputs: (…, m, n) and (…, n, k) -> (…, m, k); other axes broadcast."""

    def _check_count(self) -> None:
        if len(self.inputs) != 2:
            raise ParameterError(f"{self.name} multiplies two inputs, got {self.inputs}")

    def output_shape(self, *shapes: Shape) -> Shape:
        """(…, m, k)."""
        one, other = shapes
        refused = ParameterError(
            f"{self.name} multiplies matrices (…, m, n) and (…, n, k), but {self.inputs[0]} gives {one} and "
            f"{self.inputs[1]} {other}"
        )
        if min(len(one), len(other)) < 2 or one[-1] != other[-2]:
            raise refused
        try:
            return *np.broadcast_shapes(one[:-2], other[:-2]), one[-2], other[-1]
        except ValueError:
            raise refused from None

    def apply(self, *values: FloatArray) -> FloatArray:
        """Multiply (b, …, m, n) by (b, …, n, k)."""
        one, other = _aligned(values)
        out: FloatArray = one @ other
        return out


def _aligned(values: tuple[FloatArray, ...]) -> list[FloatArray]:
    """Return values (b, …) with axes of length 1 inserted after the batch, so that all have the same number of axes."""
    rank = max(x.ndim for x in values) - 1
    return [_raised(x, rank) for x in values]


def _raised(x: FloatArray, rank: int) -> FloatArray:
    return x.reshape(len(x), *(1,) * (rank - x.ndim + 1), *x.shape[1:])
