"""The layers of a network as plain arrays: what each holds, the shape it gives, and what it computes exactly.

Every layer knows its name and where its inputs come from; "input" is the image. A layer is checked where it is born.
Arrays are copied, float64 and read-only, so a layer is a value and may be shared.
"""

# b = batch, c = channels, h, w = height, width of a map, k = kernels

import copy
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, TypedDict, TypeVar

import numpy as np

from devices.aliases import FloatArray
from devices.checks import array, number, whole
from devices.errors import ParameterError
from mapping.networks import digital
from mapping.networks.unrolling import Pair, convolve, output_size, pair, unroll

Shape = tuple[int, ...]  #: of one image's values: (c, h, w) or (n,)

INPUT = "input"  #: name of the image in `Layer.inputs`
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


class _Geometry(TypedDict):
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


@dataclass(frozen=True, eq=False, repr=False)
class Layer:
    """One operation of a network; the kinds below say which."""

    name: str  #: unique in its network
    inputs: tuple[str, ...]  #: names of the layers whose outputs come in, "input" for the image

    arrays: ClassVar[tuple[str, ...]] = ()  #: the fields that hold arrays (or None)

    def __post_init__(self) -> None:
        _check_name(self.name)
        set_fields(self, inputs=texts(f"{self.name}.inputs", self.inputs))
        self._check_count()

    def __repr__(self) -> str:
        return _summary(self)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of one image's output, from the shapes of the inputs in order.

        Raises ParameterError if the layer cannot take such inputs.
        """
        raise NotImplementedError

    def apply(self, *values: FloatArray) -> FloatArray:
        """Compute the layer exactly on whole batches: (b, *shape) each."""
        raise NotImplementedError

    def single(self) -> "Layer":
        """Return the same layer with arrays of float32, which computes in that precision."""
        return _single(self)

    def _check_count(self) -> None:
        if len(self.inputs) != 1:
            raise ParameterError(f"{self.name} takes one input, got {self.inputs}")

    def _map_shape(self, shape: Shape, channels: int | None = None) -> tuple[int, int, int]:
        """Return shape as (c, h, w), refused if it is no map or has other channels."""
        if len(shape) != 3 or (channels is not None and shape[0] != channels):
            wanted = f"({'c' if channels is None else channels}, h, w)"
            raise ParameterError(f"{self.name} takes maps of shape {wanted}, but {self.inputs[0]} gives {shape}")
        return shape[0], shape[1], shape[2]

    def _window_shape(self, shape: Shape, *window: Pair) -> Pair:
        try:
            return output_size((shape[1], shape[2]), *window)
        except ParameterError as error:
            raise ParameterError(f"{self.name}: {error}") from None


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
        return _summary(self)

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
        """Shares of the kernels from their scores: (b, k) -> (b, k), each in [0, 1], of sum 1 for softmax."""
        if self.kind == "softmax":
            return digital.softmax(scores, self.temperature)
        return digital.sigmoid(scores / self.temperature)

    def shares(self, images: FloatArray) -> FloatArray:
        """Attention of (b, c, h, w) maps: (b, k)."""
        return self.normalise(self.scores(digital.global_average_pool(images)))


@dataclass(frozen=True, eq=False, repr=False)
class Conv(Layer):
    """Convolution of maps: (c_in, h, w) -> (c_out, h', w')."""

    weight: FloatArray  #: (c_out, c_in / groups, kernel_h, kernel_w)
    bias: FloatArray | None = None  #: (c_out,)
    stride: Pair = (1, 1)  #: vertical, horizontal
    padding: Pair = (0, 0)  #: rows and columns of zeros on either side
    dilation: Pair = (1, 1)  #: steps between the pixels of the kernel
    groups: int = 1  #: channels are split into so many convolutions side by side

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
        """(c_out, h', w')."""
        shape = self._map_shape(shapes[0], self.channels)
        return self.weight.shape[0], *self._window_shape(shape, self.kernel, self.stride, self.padding, self.dilation)

    def unroll(self, values: Sequence[FloatArray]) -> FloatArray:
        """Lay the input out as (b, p, r), what the rows of a crossbar see."""
        return unroll(values[0], self.kernel, self.stride, self.padding, self.dilation)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Convolve (b, c_in, h, w)."""
        return convolve(values[0], self.weight, self.bias, **_geometry(self))


@dataclass(frozen=True, eq=False, repr=False)
class DynamicConv(Layer):
    """Convolution with w(x) = sum_k pi_k(x) w_k, b(x) = sum_k pi_k(x) b_k, pi the attention of the layer's own input.

    A second input, a map of as many channels, is pooled for the attention in place of the first (omni-dimensional
    convolution scales the channels of the first by attention too). A third, (kernel_h kernel_w,), multiplies every
    kernel position by position.
    Source: Chen et al., Dynamic convolution, CVPR 2020, arXiv 1912.03458; Li et al., Omni-dimensional dynamic
    convolution, ICLR 2022, arXiv 2209.07947 eq. 2.
    """

    weight: FloatArray  #: (k, c_out, c_in / groups, kernel_h, kernel_w)
    bias: FloatArray | None  #: (k, c_out)
    stride: Pair  #: vertical, horizontal
    padding: Pair  #: rows and columns of zeros on either side
    dilation: Pair  #: steps between the pixels of the kernel
    groups: int  #: channels are split into so many convolutions side by side
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
        """Return the same layer with arrays of float32, its attention's as well."""
        twin = _single(self)
        set_fields(twin, attention=_single(self.attention))
        return twin

    def _check_count(self) -> None:
        if not 1 <= len(self.inputs) <= 3:
            raise ParameterError(
                f"{self.name} takes a map, and at most a map for its attention and numbers for the positions of its "
                f"kernels, got {self.inputs}"
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
                f"{self.name} takes {math.prod(self.kernel)} numbers for the positions of its kernels, "
                f"but {self.inputs[2]} gives {shapes[2]}"
            )
        return self.weight.shape[1], *self._window_shape(shape, self.kernel, self.stride, self.padding, self.dilation)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Convolve (b, c_in, h, w) with the kernel that each image asks for."""
        return self.mixed(values, self.shares(values))

    def mixed(self, values: Sequence[FloatArray], shares: FloatArray) -> FloatArray:
        """Convolve the layer's inputs with the kernels mixed by given shares (b, k)."""
        return self.convolve(values[0], shares, *values[2:])

    def pooled(self, values: Sequence[FloatArray]) -> FloatArray:
        """Means (b, c_in) of the maps that the attention looks at, from the layer's inputs."""
        return digital.global_average_pool(values[1] if len(values) > 1 else values[0])

    def shares(self, values: Sequence[FloatArray]) -> FloatArray:
        """Attention (b, k) that the layer's inputs ask for."""
        return self.attention.normalise(self.attention.scores(self.pooled(values)))

    def unroll(self, values: Sequence[FloatArray]) -> FloatArray:
        """Lay the first input out as (b, p, r), each kernel position multiplied by its number where there are any."""
        rows = unroll(values[0], self.kernel, self.stride, self.padding, self.dilation)
        if len(values) > 2:
            rows = rows * np.tile(values[2], self.channels)[:, None, :]
        return rows

    def convolve(self, images: FloatArray, shares: FloatArray, positions: FloatArray | None = None) -> FloatArray:
        """Convolve (b, c_in, h, w) with the kernels mixed by given shares (b, k).

        positions: (b, kernel_h kernel_w) that multiply every kernel; None: ones.
        """
        weight = (shares @ self.weight.reshape(self.kernels, -1)).reshape(len(shares), *self.weight.shape[1:])
        if positions is not None:
            weight = weight * positions.reshape(-1, 1, 1, *self.kernel)
        bias = None if self.bias is None else shares @ self.bias
        return convolve(images, weight, bias, **_geometry(self))


@dataclass(frozen=True, eq=False, repr=False)
class Linear(Layer):
    """Fully connected layer: (n,) -> (out,)."""

    weight: FloatArray  #: (out, n)
    bias: FloatArray | None = None  #: (out,)

    arrays: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        take(self, self.name, "weight", (None, None))
        take(self, self.name, "bias", self.weight.shape[:1], optional=True)

    def output_shape(self, *shapes: Shape) -> Shape:
        """(out,)."""
        if shapes[0] != self.weight.shape[1:]:
            raise ParameterError(
                f"{self.name} takes {self.weight.shape[1]} values, but {self.inputs[0]} gives {shapes[0]}"
            )
        return self.weight.shape[:1]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Multiply (b, n)."""
        return linear(values[0], self.weight, self.bias)


@dataclass(frozen=True, eq=False, repr=False)
class BatchNorm(Layer):
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
        if len(shapes[0]) not in (1, 3) or shapes[0][0] != self.gamma.size:
            raise ParameterError(
                f"{self.name} takes {self.gamma.size} channels, but {self.inputs[0]} gives {shapes[0]}"
            )
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Normalise (b, c) or (b, c, h, w)."""
        return digital.batch_norm(values[0], self.gamma, self.beta, self.mean, self.variance, epsilon=self.epsilon)


@dataclass(frozen=True, eq=False, repr=False)
class Relu(Layer):
    """Positive part."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Take the positive part of values of any shape."""
        return digital.relu(values[0])


ACTIVATIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "relu6": digital.relu6,
    "sigmoid": digital.sigmoid,
    "hard-sigmoid": digital.hard_sigmoid,
    "hard-swish": digital.hard_swish,
    "silu": digital.silu,
    "tanh": np.tanh,
}
"""What `Activation` computes, by the name that the file format uses."""


@dataclass(frozen=True, eq=False, repr=False)
class Activation(Layer):
    """A function of each value alone, other than the positive part."""

    kind: str  #: a key of ACTIVATIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in tuple(ACTIVATIONS):
            raise ParameterError(f"{self.name}.kind must be one of {', '.join(ACTIVATIONS)}, got {self.kind!r}")

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Evaluate the function on values of any shape."""
        return ACTIVATIONS[self.kind](values[0])


@dataclass(frozen=True, eq=False, repr=False)
class MaxPool(Layer):
    """Largest value of each window: (c, h, w) -> (c, h', w')."""

    size: Pair  #: height, width of the window
    stride: Pair  #: vertical, horizontal
    padding: Pair = (0, 0)  #: pixels outside the map, which never win; at most half the window

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_pool(self)

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c, h', w')."""
        shape = self._map_shape(shapes[0])
        return shape[0], *self._window_shape(shape, self.size, self.stride, self.padding)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Pool (b, c, h, w)."""
        return digital.max_pool(values[0], self.size, self.stride, self.padding)


@dataclass(frozen=True, eq=False, repr=False)
class AveragePool(Layer):
    """Mean of each window: (c, h, w) -> (c, h', w')."""

    size: Pair  #: height, width of the window
    stride: Pair  #: vertical, horizontal
    padding: Pair = (0, 0)  #: rows and columns of zeros on either side; at most half the window
    count_padding: bool = True  #: whether these zeros count as pixels in the mean

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_pool(self)
        if not isinstance(self.count_padding, bool):
            raise ParameterError(f"{self.name}.count_padding must be True or False, got {self.count_padding!r}")

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c, h', w')."""
        shape = self._map_shape(shapes[0])
        return shape[0], *self._window_shape(shape, self.size, self.stride, self.padding)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Pool (b, c, h, w)."""
        return digital.average_pool(values[0], self.size, self.stride, self.padding, count_padding=self.count_padding)


@dataclass(frozen=True, eq=False, repr=False)
class GlobalAveragePool(Layer):
    """Mean of each map: (c, h, w) -> (c,)."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """(c,)."""
        return self._map_shape(shapes[0])[:1]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Pool (b, c, h, w)."""
        return digital.global_average_pool(values[0])


@dataclass(frozen=True, eq=False, repr=False)
class Flatten(Layer):
    """All values of an image in memory order: (c, h, w) -> (c h w,)."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """(n,)."""
        return (math.prod(shapes[0]),)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Flatten (b, ...)."""
        return digital.flatten(values[0])


@dataclass(frozen=True, eq=False, repr=False)
class Add(Layer):
    """Sum of two or more inputs of one shape (a residual connection)."""

    def _check_count(self) -> None:
        if len(self.inputs) < 2:
            raise ParameterError(f"{self.name} adds two or more inputs, got {self.inputs}")

    def output_shape(self, *shapes: Shape) -> Shape:
        """As each input's."""
        if len(set(shapes)) != 1:
            given = ", ".join(f"{source} {shape}" for source, shape in zip(self.inputs, shapes, strict=True))
            raise ParameterError(f"{self.name} adds inputs of one shape, got {given}")
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Add from left to right."""
        return digital.add(*values)


@dataclass(frozen=True, eq=False, repr=False)
class Scale(Layer):
    """Product of a map and a number for each of its channels: (c, h, w) or (c,), and (c,).

    Source: Hu et al., Squeeze-and-excitation networks, CVPR 2018, arXiv 1709.01507 eq. 4.
    """

    def _check_count(self) -> None:
        if len(self.inputs) != 2:
            raise ParameterError(f"{self.name} takes a map and a number for each channel, got {self.inputs}")

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the first input's."""
        if len(shapes[0]) not in (1, 3) or shapes[1] != shapes[0][:1]:
            raise ParameterError(
                f"{self.name} takes a map and a number for each channel, "
                f"but {self.inputs[0]} gives {shapes[0]} and {self.inputs[1]} {shapes[1]}"
            )
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Multiply (b, c, h, w) by (b, c)."""
        return digital.scale(*values)


@dataclass(frozen=True, eq=False, repr=False)
class Softmax(Layer):
    """Shares exp(x) over their sum along the channels."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Normalise (b, c) or (b, c, h, w)."""
        return digital.softmax(values[0])


KINDS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        Conv, DynamicConv, Linear, BatchNorm, Relu, Activation, MaxPool, AveragePool, GlobalAveragePool, Flatten, Add,
        Scale, Softmax,
    )
}  # fmt: skip
"""Every kind of layer, by the name that the file format uses."""


def linear(x: FloatArray, weight: FloatArray, bias: FloatArray | None) -> FloatArray:
    """Return x weightᵀ + bias: (b, n), (out, n), (out,) -> (b, out)."""
    product: FloatArray = x @ weight.T
    return product if bias is None else product + bias


def named_arrays(layers: Iterable[Layer]) -> Iterable[tuple[str, FloatArray]]:
    """Every array of the layers with its key in the file: <index>.<field> or <index>.attention.<field>."""
    for index, layer in enumerate(layers):
        holders: list[tuple[str, Layer | Attention]] = [(f"{index}", layer)]
        if isinstance(layer, DynamicConv):
            holders.append((f"{index}.attention", layer.attention))
        for key, holder in holders:
            for name in holder.arrays:
                value = getattr(holder, name)
                if value is not None:
                    yield f"{key}.{name}", value


def texts(what: str, value: object) -> tuple[str, ...]:
    """Return a sequence of texts that are not empty as a tuple."""
    if not isinstance(value, (tuple, list)) or not all(isinstance(text, str) and text for text in value):
        raise ParameterError(f"{what} must be texts that are not empty, got {value!r}")
    return tuple(value)


def _check_name(name: object) -> None:
    """Refuse names that a file, a report or `activations` could not tell apart."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ParameterError(f"a layer's name must be letters, digits and any of _ . / -, got {name!r}")
    if name == INPUT or name.endswith(".attention"):
        raise ParameterError(f"a layer cannot be called {name!r}: that is the name of something else")


def _check_window(layer: Conv | DynamicConv, weight_shape: Shape) -> None:
    """Clean stride, padding, dilation and groups of a convolution with (c_out, c_in / groups, h, w) weights."""
    set_fields(
        layer,
        stride=pair(f"{layer.name}.stride", layer.stride, minimum=1),
        padding=pair(f"{layer.name}.padding", layer.padding, minimum=0),
        dilation=pair(f"{layer.name}.dilation", layer.dilation, minimum=1),
        groups=whole(f"{layer.name}.groups", layer.groups, minimum=1),
    )
    if weight_shape[0] % layer.groups:
        raise ParameterError(
            f"{layer.name} splits {weight_shape[0]} output channels into {layer.groups} groups: not a whole number each"
        )


def _geometry(layer: Conv | DynamicConv) -> _Geometry:
    """Return how the windows of a convolution lie."""
    return {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups}


def _check_pool(layer: MaxPool | AveragePool) -> None:
    """Clean size, stride and padding of a pool."""
    size = pair(f"{layer.name}.size", layer.size, minimum=1)
    padding = pair(f"{layer.name}.padding", layer.padding, minimum=0)
    if 2 * padding[0] > size[0] or 2 * padding[1] > size[1]:
        raise ParameterError(f"{layer.name}.padding must be at most half the window {size}, got {padding}")
    set_fields(layer, size=size, stride=pair(f"{layer.name}.stride", layer.stride, minimum=1), padding=padding)


def take(
    holder: Layer | Attention,
    owner: str,
    name: str,
    shape: tuple[int | None, ...],
    *,
    optional: bool = False,
    minimum: float | None = None,
) -> None:
    """Check one array field and replace it by a read-only copy of our own."""
    value = getattr(holder, name)
    if value is None and optional:
        return
    held = array(f"{owner}.{name}", value, shape=shape, minimum=minimum).copy()
    if held.size == 0:
        raise ParameterError(f"{owner}.{name} must not be empty, got shape {held.shape}")
    held.flags.writeable = False
    set_fields(holder, **{name: held})


Held = TypeVar("Held", bound="Layer | Attention")


def _single(held: Held) -> Held:
    twin = copy.copy(held)
    for each in held.arrays:
        value = getattr(held, each)
        set_fields(twin, **{each: None if value is None else value.astype(np.float32)})
    return twin


def set_fields(holder: object, **values: object) -> None:
    """Set fields of a frozen dataclass while it is being made."""
    for name, value in values.items():
        object.__setattr__(holder, name, value)


def _summary(value: Layer | Attention) -> str:
    """Every field, arrays by their shape."""
    held = ((item.name, getattr(value, item.name)) for item in fields(value))
    shown = (f"{name}={f'<{x.shape}>' if isinstance(x, np.ndarray) else repr(x)}" for name, x in held)
    return f"{type(value).__name__}({', '.join(shown)})"
