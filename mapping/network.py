"""A trained network as plain arrays: layers, their graph, exact inference in float64, and the file format.

Every layer knows its name and where its inputs come from; "input" is the image. A layer is checked where it is born,
the graph where the network is. Arrays are copied, float64 and read-only, so a network is a value and may be shared.
"""

# b = batch, c = channels, h, w = height, width of a map, k = kernels

import json
import math
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any, ClassVar, TypedDict, TypeVar

import numpy as np

from devices.aliases import FloatArray
from devices.checks import array, number, whole
from devices.errors import ParameterError
from mapping import digital
from mapping.unroll import Pair, convolve, output_size, pair

Shape = tuple[int, ...]  #: of one image's values: (c, h, w) or (n,)

INPUT = "input"  #: name of the image in `Layer.inputs`
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_CHUNK_BYTES = 2**27  # unrolled maps held at once during exact inference, 128 MiB; ours
_FORMAT, _VERSION = "crossgate network", 1
_SHORTEST_CODED = 1024  # values; below it the scale's own entry in the file costs what the codes save, ours
_LARGEST_HEADER, _LARGEST_FILE = 2**24, 2**32  # bytes a file may unpack to, 16 MiB and 4 GiB; ours


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
        _set(self, inputs=_texts(f"{self.name}.inputs", self.inputs))
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
        _take(self, "attention", "weight_1", (None, None))
        h = self.weight_1.shape[0]
        _take(self, "attention", "bias_1", (h,), optional=True)
        _take(self, "attention", "weight_2", (None, h))
        _take(self, "attention", "bias_2", (self.weight_2.shape[0],), optional=True)
        _set(self, temperature=number("attention.temperature", self.temperature, above=0.0))
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
        _take(self, self.name, "weight", (None, None, None, None))
        _take(self, self.name, "bias", self.weight.shape[:1], optional=True)
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

    def apply(self, *values: FloatArray) -> FloatArray:
        """Convolve (b, c_in, h, w)."""
        return convolve(values[0], self.weight, self.bias, **_geometry(self))


@dataclass(frozen=True, eq=False, repr=False)
class DynamicConv(Layer):
    """Convolution with w(x) = sum_k pi_k(x) w_k, b(x) = sum_k pi_k(x) b_k, pi the attention of the layer's own input.

    Source: Chen et al., Dynamic convolution, CVPR 2020, arXiv 1912.03458.
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
        _take(self, self.name, "weight", (None, None, None, None, None))
        _take(self, self.name, "bias", self.weight.shape[:2], optional=True)
        _check_window(self, self.weight.shape[1:])
        if not isinstance(self.attention, Attention):
            raise ParameterError(f"{self.name}.attention must be an Attention, got {self.attention!r}")
        if (self.attention.kernels, self.attention.channels) != (self.kernels, self.channels):
            raise ParameterError(
                f"{self.name} has {self.kernels} kernels and {self.channels} input channels, "
                f"but its attention {self.attention.kernels} and {self.attention.channels}"
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
        return self.weight.shape[1], *self._window_shape(shape, self.kernel, self.stride, self.padding, self.dilation)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Convolve (b, c_in, h, w) with the kernel that each image asks for."""
        return self.convolve(values[0], self.attention.shares(values[0]))

    def convolve(self, images: FloatArray, shares: FloatArray) -> FloatArray:
        """Convolve (b, c_in, h, w) with the kernels mixed by given shares (b, k)."""
        weight = (shares @ self.weight.reshape(self.kernels, -1)).reshape(len(shares), *self.weight.shape[1:])
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
        _take(self, self.name, "weight", (None, None))
        _take(self, self.name, "bias", self.weight.shape[:1], optional=True)

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
        _take(self, self.name, "gamma", (None,))
        for other in ("beta", "mean", "variance"):
            _take(self, self.name, other, self.gamma.shape, minimum=0.0 if other == "variance" else None)
        _set(self, epsilon=number(f"{self.name}.epsilon", self.epsilon, above=0.0))

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
        Conv, DynamicConv, Linear, BatchNorm, Relu, MaxPool, AveragePool, GlobalAveragePool, Flatten, Add, Softmax,
    )
}  # fmt: skip
"""Every kind of layer, by the name that the file format uses."""


def linear(x: FloatArray, weight: FloatArray, bias: FloatArray | None) -> FloatArray:
    """Return x weightᵀ + bias: (b, n), (out, n), (out,) -> (b, out)."""
    product: FloatArray = x @ weight.T
    return product if bias is None else product + bias


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in an order in which each comes after its inputs; the last one gives one number per class.

    Raises ParameterError if the graph or a shape is impossible; the sentence names the layer.
    """

    name: str
    input_shape: tuple[int, int, int]  #: c, h, w of an image
    classes: tuple[str, ...]  #: what the outputs stand for
    layers: tuple[Layer, ...]
    card: dict[str, Any] = field(default_factory=dict)  #: where the network comes from, as plain JSON values
    _shapes: dict[str, Shape] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        (name,) = _texts("a network's name", (self.name,))
        classes, layers = _texts("classes", self.classes), tuple(self.layers)
        if len(set(classes)) != len(classes):
            raise ParameterError(f"classes must differ from each other, got {classes}")
        strangers = [layer for layer in layers if not _is_layer(layer)]
        if strangers or not layers:
            raise ParameterError(f"layers of {name} must be one or more layers, got {strangers or layers}")
        _set(self, input_shape=_image_shape(self.input_shape), layers=layers, classes=classes, card=_plain(self.card))
        _set(self, _shapes=self._trace())

    def shapes(self) -> dict[str, Shape]:
        """Shape of one image's output of every layer, and of the image under "input"."""
        return dict(self._shapes)

    def layer(self, name: str) -> Layer:
        """Return the layer of that name.

        Raises ParameterError if there is none.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise ParameterError(f"{self.name} has no layer {name!r}; its layers are {names}")

    @property
    def parameters(self) -> int:
        """Number of stored numbers, the statistics of batch norms included."""
        return sum(held.size for _, held in _named_arrays(self.layers))

    def forward(self, images: FloatArray) -> FloatArray:
        """Exact outputs of the last layer, float64: (b, c, h, w) -> (b, classes).

        Raises ParameterError if images has another shape or is not finite.
        """
        return self._evaluate(images, keep=False)[self.layers[-1].name]

    def activations(self, images: FloatArray) -> dict[str, FloatArray]:
        """Exact output of every layer, the images under "input", and the attention (b, k) under "<name>.attention".

        Raises ParameterError if images has another shape or is not finite.
        """
        return self._evaluate(images, keep=True)

    def _trace(self) -> dict[str, Shape]:
        """Walk the graph once: names, order and shapes."""
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        used: set[str] = set()
        for layer in self.layers:
            if layer.name in shapes:
                raise ParameterError(f"two layers of {self.name} are called {layer.name!r}")
            for source in layer.inputs:
                if source not in shapes:
                    raise ParameterError(f"{layer.name} takes {source!r}, but no layer before it is called that")
            used.update(layer.inputs)
            shapes[layer.name] = layer.output_shape(*(shapes[source] for source in layer.inputs))
        last = self.layers[-1].name
        idle = [name for name in shapes if name not in used and name != last]
        if idle:
            raise ParameterError(f"nothing takes the output of {idle[0]!r}, and only the last layer may be an end")
        if shapes[last] != (len(self.classes),):
            raise ParameterError(
                f"the last layer must give one number for each of the {len(self.classes)} classes, "
                f"but {last} gives {shapes[last]}"
            )
        return shapes

    def _evaluate(self, images: FloatArray, *, keep: bool) -> dict[str, FloatArray]:
        images = array("images", images, shape=(None, *self.input_shape))
        parts: list[dict[str, FloatArray]] = []
        step = self._chunk()
        for start in range(0, max(len(images), 1), step):
            values = {INPUT: images[start : start + step]}
            for index, layer in enumerate(self.layers):
                inputs = [values[source] for source in layer.inputs]
                if isinstance(layer, DynamicConv):
                    shares = layer.attention.shares(inputs[0])
                    values[layer.name] = layer.convolve(inputs[0], shares)
                    if keep:
                        values[f"{layer.name}.attention"] = shares
                else:
                    values[layer.name] = layer.apply(*inputs)
                if not keep:
                    needed = {source for later in self.layers[index + 1 :] for source in later.inputs}
                    values = {name: held for name, held in values.items() if name in needed or name == layer.name}
            parts.append(values)
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([values[name] for values in parts]) for name in parts[0]}

    def _chunk(self) -> int:
        """Images to evaluate at once, so that the largest unrolled map and its kernels stay small."""
        largest = 1
        for layer in self.layers:
            if isinstance(layer, (Conv, DynamicConv)):
                positions = math.prod(self._shapes[layer.name][1:])
                mixed = layer.weight[0].size if isinstance(layer, DynamicConv) else 0
                largest = max(largest, positions * layer.channels * math.prod(layer.kernel) + mixed)
        return max(1, _CHUNK_BYTES // (8 * largest))


def save_network(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to `path` (.npz): a JSON header and one member per array, all or nothing.

    An array is stored as 8-bit codes times one scale, or as float32, where that loses nothing. The same network gives
    the same bytes.
    Raises OSError if the folder cannot be written.
    """
    path = Path(path)
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "name": network.name,
        "input_shape": network.input_shape,
        "classes": network.classes,
        "card": network.card,
        "layers": [_described(layer) for layer in network.layers],
    }
    text = json.dumps(header, ensure_ascii=False, allow_nan=False).encode()
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            arrays: dict[str, np.ndarray[Any, Any]] = {}
            for key, held in _named_arrays(network.layers):
                arrays |= _coded(key, held) or {key: _narrow(held)}
            np.savez(file, allow_pickle=False, header=np.frombuffer(text, dtype=np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_network(path: str | os.PathLike[str]) -> Network:
    """Read a network that `save_network` wrote: nothing in the file is executed, sizes are checked before arrays.

    Raises ParameterError if there is no such file, or it is damaged, foreign or of a later version.
    """

    def build(archive: zipfile.ZipFile) -> Network:
        header = _read_header(archive)
        if sum(member.file_size for member in archive.infolist()) > _LARGEST_FILE:
            raise ParameterError(f"its arrays unpack to more than {_LARGEST_FILE >> 30} GiB")
        layers = [_restored(archive, index, entry) for index, entry in enumerate(header["layers"])]
        return Network(header["name"], header["input_shape"], header["classes"], tuple(layers), header["card"])

    return _opened(path, build)


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the card of a stored network without its arrays.

    Raises ParameterError if there is no such file, or it is damaged, foreign or of a later version.
    """

    def card(archive: zipfile.ZipFile) -> dict[str, Any]:
        return _plain(_read_header(archive)["card"])

    return _opened(path, card)


Result = TypeVar("Result")


def _opened(path: str | os.PathLike[str], read: Callable[[zipfile.ZipFile], Result]) -> Result:
    """Read from the archive at `path`; whatever a damaged file makes the readers say becomes one sentence."""
    try:
        with zipfile.ZipFile(path) as archive:
            return read(archive)
    except FileNotFoundError:
        raise ParameterError(f"there is no network file {os.fspath(path)}") from None
    except Exception as error:  # noqa: BLE001  (zip, zlib, npy, json and our own checks each have their own kinds)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ParameterError(f"{os.fspath(path)} is not a sound network file: {reason}") from None


def _read_header(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Read and check the JSON header."""
    if "header.npy" not in archive.namelist():
        raise ParameterError("it has no header of ours")
    if archive.getinfo("header.npy").file_size > _LARGEST_HEADER:
        raise ParameterError("its header is larger than any network needs")
    with archive.open("header.npy") as stream:
        shape, dtype = _array_header(stream)
        if dtype != np.dtype(np.uint8) or len(shape) != 1:
            raise ParameterError("its header is not text")
        text = stream.read()
    if len(text) != shape[0]:
        raise ParameterError("its header is cut short")
    header = json.loads(text.decode())
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ParameterError("its header is not ours")
    if header.get("version") != _VERSION:
        raise ParameterError(f"it has version {header.get('version')!r} of the format, this program reads {_VERSION}")
    wanted = {"name": str, "input_shape": list, "classes": list, "card": dict, "layers": list}
    for key, kind in wanted.items():
        if not isinstance(header.get(key), kind):
            raise ParameterError(f"its header has no proper {key!r}")
    return header


def _array_header(stream: IO[bytes]) -> tuple[Shape, np.dtype[Any]]:
    """Read shape and type of the array that starts here; Fortran order is refused (we never write it)."""
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ParameterError(f"an array has version {version} of the npy format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if fortran and len(shape) > 1:
        raise ParameterError("an array is in Fortran order")
    return tuple(shape), dtype


def _read_array(archive: zipfile.ZipFile, key: str, shape: object) -> FloatArray:
    """Read one array, once its declared shape, its own header and its size agree."""
    if f"{key}.npy" not in archive.namelist():
        raise ParameterError(f"the array {key} is missing")
    with archive.open(f"{key}.npy") as stream:
        found, dtype = _array_header(stream)
        if dtype not in (np.dtype("<f4"), np.dtype("<f8"), np.dtype("i1")):
            raise ParameterError(f"the array {key} holds {dtype}, not numbers of 4 or 8 bytes or codes of 1")
        if list(found) != shape:
            raise ParameterError(f"the array {key} has shape {list(found)}, the header says {shape}")
        size = math.prod(found) * dtype.itemsize
        if archive.getinfo(f"{key}.npy").file_size - stream.tell() != size:
            raise ParameterError(f"the array {key} is not {size} bytes long")
        data = stream.read()
    if len(data) != size:
        raise ParameterError(f"the array {key} is cut short")
    held: FloatArray = np.frombuffer(data, dtype=dtype).reshape(found).astype(np.float64)
    return held if dtype != np.dtype("i1") else held * float(_read_array(archive, f"{key}.scale", []))


def _described(layer: Layer | Attention) -> dict[str, Any]:
    """Describe a layer for the header: its kind, its plain fields and the shapes of its arrays."""
    entry: dict[str, Any] = {"class": type(layer).__name__} if isinstance(layer, Layer) else {}
    for item in fields(layer):
        value = getattr(layer, item.name)
        if item.name in layer.arrays:
            entry[item.name] = None if value is None else list(value.shape)
        else:
            entry[item.name] = _described(value) if isinstance(value, Attention) else value
    return entry


def _restored(archive: zipfile.ZipFile, index: int, entry: object) -> Layer:
    """Build the layer that an entry of the header describes."""
    if not isinstance(entry, dict) or entry.get("class") not in KINDS:
        raise ParameterError(f"layer {index} is of no known kind")
    kind = KINDS[entry["class"]]
    values = _values(archive, kind, f"{index}", {key: value for key, value in entry.items() if key != "class"})
    if kind is DynamicConv:
        attention = values.get("attention")
        if not isinstance(attention, dict):
            raise ParameterError(f"layer {index} has no attention")
        parts = _values(archive, Attention, f"{index}.attention", attention)
        try:
            values["attention"] = Attention(**parts)
        except ParameterError as error:
            raise ParameterError(f"{values['name']}.{error}") from None
    return kind(**values)


def _values(
    archive: zipfile.ZipFile, kind: type[Layer] | type[Attention], key: str, entry: dict[str, Any]
) -> dict[str, Any]:
    """Field values of a layer: arrays read, lists as tuples."""
    wanted = {item.name for item in fields(kind)}
    if set(entry) != wanted:
        raise ParameterError(f"layer {key} must have the fields {sorted(wanted)}, got {sorted(entry)}")
    values: dict[str, Any] = {}
    for name, value in entry.items():
        if name in kind.arrays:
            values[name] = None if value is None else _read_array(archive, f"{key}.{name}", value)
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return values


def _named_arrays(layers: Iterable[Layer]) -> Iterable[tuple[str, FloatArray]]:
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


def _coded(key: str, values: FloatArray) -> dict[str, np.ndarray[Any, Any]] | None:
    """Return int8 codes and their scale where code times scale is exactly every value and is shorter, else None."""
    top = float(np.abs(values).max())
    if values.size < _SHORTEST_CODED or not top > 0.0:
        return None
    scale = top / 127.0
    codes = np.rint(values / scale).astype(np.int8)
    same = (codes * scale).view(np.int64) == values.view(np.int64)  # bit for bit, so no -0.0
    return {key: codes, f"{key}.scale": np.array(scale)} if np.all(same) else None


def _narrow(values: FloatArray) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:
    """Return float32 values where every one is exactly such a number, else the float64 ones (little-endian both)."""
    with np.errstate(over="ignore", under="ignore"):
        single = values.astype("<f4")
    same = single.astype(np.float64).view(np.int64) == values.view(np.int64)  # bit for bit, -0.0 too
    return single if np.all(same) else values.astype("<f8")


def _plain(card: object) -> dict[str, Any]:
    """Return a copy of a card, made of plain JSON values."""
    if not isinstance(card, dict):
        raise ParameterError(f"a network's card must be a dict, got {type(card).__name__}")
    try:
        copy = json.loads(json.dumps(card, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(f"a network's card must hold plain JSON values: {error}") from None
    plain: dict[str, Any] = copy
    return plain


def _texts(what: str, value: object) -> tuple[str, ...]:
    """Return a sequence of texts that are not empty as a tuple."""
    if not isinstance(value, (tuple, list)) or not all(isinstance(text, str) and text for text in value):
        raise ParameterError(f"{what} must be texts that are not empty, got {value!r}")
    return tuple(value)


def _image_shape(value: object) -> tuple[int, int, int]:
    """Return the shape of an image as three whole numbers."""
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise ParameterError(f"input_shape must be (channels, height, width), got {value!r}")
    c, h, w = (whole(f"input_shape[{i}]", n, minimum=1) for i, n in enumerate(value))
    return c, h, w


def _is_layer(value: object) -> bool:
    return isinstance(value, Layer)


def _check_name(name: object) -> None:
    """Refuse names that a file, a report or `activations` could not tell apart."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ParameterError(f"a layer's name must be letters, digits and any of _ . / -, got {name!r}")
    if name == INPUT or name.endswith(".attention"):
        raise ParameterError(f"a layer cannot be called {name!r}: that is the name of something else")


def _check_window(layer: Conv | DynamicConv, weight_shape: Shape) -> None:
    """Clean stride, padding, dilation and groups of a convolution with (c_out, c_in / groups, h, w) weights."""
    _set(
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
    _set(layer, size=size, stride=pair(f"{layer.name}.stride", layer.stride, minimum=1), padding=padding)


def _take(
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
    _set(holder, **{name: held})


def _set(holder: object, **values: object) -> None:
    """Set fields of a frozen dataclass while it is being made."""
    for name, value in values.items():
        object.__setattr__(holder, name, value)


def _summary(value: Layer | Attention) -> str:
    """Every field, arrays by their shape."""
    held = ((item.name, getattr(value, item.name)) for item in fields(value))
    shown = (f"{name}={f'<{x.shape}>' if isinstance(x, np.ndarray) else repr(x)}" for name, x in held)
    return f"{type(value).__name__}({', '.join(shown)})"
