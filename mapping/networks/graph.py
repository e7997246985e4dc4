"""A trained network: its layers, their graph, and exact inference in float64.

The graph is checked when a network is made. A network never changes afterwards.
"""

# b = batch, c = channels, h, w = height, width of a map, k = kernels

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from devices.aliases import FloatArray
from devices.checks import array, whole
from devices.errors import ParameterError
from mapping.networks.layers.base import INPUT, Layer, Shape, set_fields, texts
from mapping.networks.layers.convolutions import Conv, DynamicConv
from mapping.networks.layers.kinds import named_arrays
from mapping.networks.layers.transposed import ConvTranspose

_CHUNK_BYTES = 2**25  # unrolled maps in memory at once in exact inference, ours; malloc keeps blocks up to this size
_LARGEST_MAP = 2**27  # largest number of values of one image after one layer, 1 GiB; ours


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in order, each after its inputs; the last one gives one number per class.

    Raises ParameterError, which names the layer, if the graph or a shape is impossible.
    """

    name: str
    input_shape: tuple[int, int, int]  #: c, h, w of an image
    classes: tuple[str, ...]  #: names of the classes, in the order of the outputs
    layers: tuple[Layer, ...]
    card: dict[str, Any] = field(default_factory=dict)  #: origin of the network, as plain JSON values
    _shapes: dict[str, Shape] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        (name,) = texts("a network's name", (self.name,))
        classes, layers = texts("classes", self.classes), tuple(self.layers)
        if len(set(classes)) != len(classes):
            raise ParameterError(f"classes must differ from each other, got {classes}")
        strangers = [layer for layer in layers if not _is_layer(layer)]
        if strangers or not layers:
            raise ParameterError(f"layers of {name} must be one or more layers, got {strangers or layers}")
        set_fields(
            self, input_shape=_image_shape(self.input_shape), layers=layers, classes=classes, card=plain_card(self.card)
        )
        set_fields(self, _shapes=self._trace())

    def shapes(self) -> dict[str, Shape]:
        """Shape of every layer's output for one image, by name; that of the image under "input"."""
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
        """Number of stored values, with the statistics of batch norms."""
        return sum(held.size for _, held in named_arrays(self.layers))

    def forward(
        self, images: FloatArray, *, single: bool = False, attention: Mapping[str, FloatArray] | None = None
    ) -> FloatArray:
        """Exact outputs of the last layer: (b, c, h, w) -> (b, classes), computed in float64, or in float32 if single.

        attention: weights (b, k), by name of the dynamic layer, to be used instead of its own.
        Raises ParameterError if images or attention weights have another shape or are not finite.
        """
        given = {
            layer.name: array(f"attention[{layer.name!r}]", attention[layer.name], shape=(len(images), layer.kernels))
            for layer in self.layers
            if attention is not None and isinstance(layer, DynamicConv) and layer.name in attention
        }
        return self._evaluate(images, keep=False, single=single, attention=given)[self.layers[-1].name]

    def activations(self, images: FloatArray, *, single: bool = False) -> dict[str, FloatArray]:
        """Exact outputs of all layers by name, the images under "input", attention (b, k) under "<name>.attention".

        Computed in float64, or in float32 if single.
        Raises ParameterError if images has another shape or is not finite.
        """
        return self._evaluate(images, keep=True, single=single)

    def layer_by_layer(self, images: FloatArray) -> Iterator[tuple[Layer, dict[str, FloatArray]]]:
        """Yield each layer with those values of `activations` that it and later layers take, and what it gives.

        The images stay; a value is dropped after its last use.
        Raises ParameterError as `activations` does.
        """
        images = array("images", images, shape=(None, *self.input_shape))
        values, step = {INPUT: images}, self._chunk(8)
        for layer, last in zip(self.layers, self.last_use, strict=True):
            parts: list[dict[str, FloatArray]] = []
            for start in range(0, max(len(images), 1), step):
                inputs = [values[source][start : start + step] for source in layer.inputs]
                if isinstance(layer, DynamicConv):
                    weights = layer.shares(inputs)
                    own = {layer.name: layer.mixed(inputs, weights), f"{layer.name}.attention": weights}
                else:
                    own = {layer.name: layer.apply(*inputs)}
                parts.append(own)
            alone = len(parts) == 1
            values |= {
                name: parts[0][name] if alone else np.concatenate([part[name] for part in parts]) for name in own
            }
            yield layer, values
            for name in {*last, f"{layer.name}.attention"} - {INPUT}:
                values.pop(name, None)

    def _trace(self) -> dict[str, Shape]:
        """Check names and order of the layers and return their shapes."""
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
            if math.prod(shapes[layer.name]) > _LARGEST_MAP:
                raise ParameterError(
                    f"{layer.name} gives {shapes[layer.name]} values per image, more than {_LARGEST_MAP:,}"
                )
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

    @cached_property
    def last_use(self) -> tuple[tuple[str, ...], ...]:
        """For each layer, the names of the outputs that no later layer uses."""
        last = {source: at for at, layer in enumerate(self.layers) for source in layer.inputs}
        return tuple(tuple(name for name, when in last.items() if when == at) for at in range(len(self.layers)))

    @cached_property
    def _single(self) -> tuple[Layer, ...]:
        return tuple(layer.single() for layer in self.layers)

    def _evaluate(
        self, images: FloatArray, *, keep: bool, single: bool = False, attention: Mapping[str, FloatArray] | None = None
    ) -> dict[str, FloatArray]:
        images, given = array("images", images, shape=(None, *self.input_shape)), attention or {}
        layers = self._single if single else self.layers
        if single:
            images = images.astype(np.float32)
        parts: list[dict[str, FloatArray]] = []
        step = self._chunk(4 if single else 8)
        for start in range(0, max(len(images), 1), step):
            values = {INPUT: images[start : start + step]}
            for index, layer in enumerate(layers):
                inputs = [values[source] for source in layer.inputs]
                if isinstance(layer, DynamicConv):
                    own = given.get(layer.name)
                    weights = layer.shares(inputs) if own is None else own[start : start + step]
                    values[layer.name] = layer.mixed(inputs, weights)
                    if keep:
                        values[f"{layer.name}.attention"] = weights
                else:
                    values[layer.name] = layer.apply(*inputs)
                for name in () if keep else self.last_use[index]:
                    del values[name]
            parts.append(values)
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([values[name] for values in parts]) for name in parts[0]}

    def _chunk(self, size: int) -> int:
        """Number of images to evaluate at once with values of `size` bytes, bounded by the largest unrolled map."""
        largest = 1
        for layer in self.layers:
            if isinstance(layer, ConvTranspose):
                largest = max(largest, math.prod(self._shapes[layer.inputs[0]]) * layer.weight[0].size)
            elif isinstance(layer, (Conv, DynamicConv)):
                positions = math.prod(self._shapes[layer.name][1:])
                mixed = layer.weight[0].size if isinstance(layer, DynamicConv) else 0
                largest = max(largest, positions * layer.channels * math.prod(layer.kernel) + mixed)
        return max(1, _CHUNK_BYTES // (size * largest))


def plain_card(card: object) -> dict[str, Any]:
    """Return a copy of a card, made of plain JSON values."""
    if not isinstance(card, dict):
        raise ParameterError(f"a network's card must be a dict, got {type(card).__name__}")
    try:
        copy = json.loads(json.dumps(card, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(f"a network's card must hold plain JSON values: {error}") from None
    plain: dict[str, Any] = copy
    return plain


def _image_shape(value: object) -> tuple[int, int, int]:
    """Return the shape of an image as three whole numbers."""
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise ParameterError(f"input_shape must be (channels, height, width), got {value!r}")
    c, h, w = (whole(f"input_shape[{i}]", n, minimum=1) for i, n in enumerate(value))
    return c, h, w


def _is_layer(value: object) -> bool:
    return isinstance(value, Layer)
