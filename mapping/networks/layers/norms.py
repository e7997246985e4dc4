"""Normalisation layers, with the statistics of the training or of the values themselves."""

# b = batch, c = channels

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from devices.aliases import FloatArray
from devices.checks import number, whole
from devices.errors import ParameterError
from mapping.networks import digital
from mapping.networks.layers.base import SameShape, Shape, set_fields, take


@dataclass(frozen=True, eq=False, repr=False)
class BatchNorm(SameShape):
    """Per channel gamma * (x - mean) / sqrt(variance + epsilon) + beta, with the statistics of the training."""

    gamma: FloatArray  #: (c,)
    beta: FloatArray  #: (c,)
    mean: FloatArray  #: (c,)
    variance: FloatArray  #: (c,), at least 0
    epsilon: float = 1e-5  #: keeps the root away from 0

    arrays: ClassVar[tuple[str, ...]] = ("gamma", "beta", "mean", "variance")

    def __post_init__(self) -> None:
        super().__post_init__()
        take(self, self.name, "gamma", (None,))
        for other in ("beta", "mean", "variance"):
            take(self, self.name, other, self.gamma.shape, minimum=0.0 if other == "variance" else None)
        set_fields(self, epsilon=number(f"{self.name}.epsilon", self.epsilon, above=0.0))

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        if shapes[0][:1] != self.gamma.shape:
            raise ParameterError(
                f"{self.name} takes {self.gamma.size} channels, but {self.inputs[0]} gives {shapes[0]}"
            )
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Normalise (b, c, …)."""
        return digital.batch_norm(values[0], self.gamma, self.beta, self.mean, self.variance, epsilon=self.epsilon)


@dataclass(frozen=True, eq=False, repr=False)
class LayerNorm(SameShape):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, with the statistics over the last axes.

    Source: Ba et al., Layer normalization, arXiv 1607.06450.
    """

    gamma: FloatArray  #: its shape is that of the last axes, over which statistics are taken
    beta: FloatArray  #: of the same shape
    epsilon: float = 1e-5  #: keeps the root away from 0

    arrays: ClassVar[tuple[str, ...]] = ("gamma", "beta")

    def __post_init__(self) -> None:
        super().__post_init__()
        take(self, self.name, "gamma", None)
        if not self.gamma.ndim:
            raise ParameterError(f"{self.name}.gamma must have an axis, got a single number")
        take(self, self.name, "beta", self.gamma.shape)
        set_fields(self, epsilon=number(f"{self.name}.epsilon", self.epsilon, above=0.0))

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        if shapes[0][-self.gamma.ndim :] != self.gamma.shape:
            raise ParameterError(
                f"{self.name} normalises last axes of shape {self.gamma.shape}, but {self.inputs[0]} gives {shapes[0]}"
            )
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Normalise (b, …)."""
        axes = tuple(range(-self.gamma.ndim, 0))
        return _normalised(values[0], axes, self.epsilon) * self.gamma + self.beta


@dataclass(frozen=True, eq=False, repr=False)
class InstanceNorm(SameShape):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, with the statistics of each channel of each image.

    Source: Ulyanov et al., arXiv 1607.08022 eq. 1.
    """

    gamma: FloatArray  #: (c,)
    beta: FloatArray  #: (c,)
    epsilon: float = 1e-5  #: keeps the root away from 0

    arrays: ClassVar[tuple[str, ...]] = ("gamma", "beta")

    def __post_init__(self) -> None:
        super().__post_init__()
        take(self, self.name, "gamma", (None,))
        take(self, self.name, "beta", self.gamma.shape)
        set_fields(self, epsilon=number(f"{self.name}.epsilon", self.epsilon, above=0.0))

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        if shapes[0][:1] != self.gamma.shape or len(shapes[0]) < 2:
            raise ParameterError(
                f"{self.name} takes maps of {self.gamma.size} channels, but {self.inputs[0]} gives {shapes[0]}"
            )
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Normalise (b, c, …)."""
        return _by_channel(_normalised(values[0], tuple(range(2, values[0].ndim)), self.epsilon), self.gamma, self.beta)


@dataclass(frozen=True, eq=False, repr=False)
class GroupNorm(SameShape):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, with the statistics of each group of channels.

    Source: Wu and He, Group normalization, arXiv 1803.08494 eq. 1-2.
    """

    groups: int
    gamma: FloatArray  #: (c,)
    beta: FloatArray  #: (c,)
    epsilon: float = 1e-5  #: keeps the root away from 0

    arrays: ClassVar[tuple[str, ...]] = ("gamma", "beta")

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, groups=whole(f"{self.name}.groups", self.groups, minimum=1))
        take(self, self.name, "gamma", (None,))
        take(self, self.name, "beta", self.gamma.shape)
        set_fields(self, epsilon=number(f"{self.name}.epsilon", self.epsilon, above=0.0))
        if self.gamma.size % self.groups:
            raise ParameterError(
                f"{self.name} splits {self.gamma.size} channels into {self.groups} groups: not a whole number each"
            )

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        if shapes[0][:1] != self.gamma.shape:
            raise ParameterError(
                f"{self.name} takes {self.gamma.size} channels, but {self.inputs[0]} gives {shapes[0]}"
            )
        if math.prod(shapes[0]) == self.groups:
            raise ParameterError(f"{self.name} has one value in each group of {shapes[0]}, which has no deviation")
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Normalise (b, c, …)."""
        x = values[0]
        grouped = _normalised(x.reshape(len(x), self.groups, -1), (2,), self.epsilon)
        return _by_channel(grouped.reshape(x.shape), self.gamma, self.beta)


@dataclass(frozen=True, eq=False, repr=False)
class LocalResponseNorm(SameShape):
    """x / (k + alpha / size * sum of squares of the neighbouring channels) ** beta.

    Source: Krizhevsky et al., NIPS 2012, section 3.3, with alpha divided by size as PyTorch and ONNX have it.
    """

    size: int  #: number of channels that are summed
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0
    before: int | None = None  #: number of summed channels before the channel itself; None: ⌊(size - 1) / 2⌋

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(
            self,
            size=whole(f"{self.name}.size", self.size, minimum=1),
            **{key: number(f"{self.name}.{key}", getattr(self, key)) for key in ("alpha", "beta", "k")},
        )
        if self.before is None:
            set_fields(self, before=(self.size - 1) // 2)
        set_fields(self, before=whole(f"{self.name}.before", self.before, minimum=0, maximum=self.size - 1))

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        if not shapes[0]:
            raise ParameterError(f"{self.name} takes channels, but {self.inputs[0]} gives a single number")
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Normalise (b, c, …)."""
        x, before = values[0], self.before or 0
        around = [(0, 0), (before, self.size - 1 - before), *[(0, 0)] * (x.ndim - 2)]
        squares = np.pad(x * x, around)
        total = np.zeros_like(x)
        for at in range(self.size):
            total += squares[:, at : at + x.shape[1]]
        out: FloatArray = x / (self.k + (self.alpha / self.size) * total) ** self.beta
        return out


def _normalised(x: FloatArray, axes: tuple[int, ...], epsilon: float) -> FloatArray:
    centred = x - x.mean(axis=axes, keepdims=True)
    out: FloatArray = centred / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + epsilon)
    return out


def _by_channel(x: FloatArray, gamma: FloatArray, beta: FloatArray) -> FloatArray:
    shape = (-1, *(1,) * (x.ndim - 2))
    return x * gamma.reshape(shape) + beta.reshape(shape)
