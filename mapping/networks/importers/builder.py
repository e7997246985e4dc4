"""What the importers of PyTorch and ONNX share: foreign operations in, layers of ours out.

Both walk a graph with one image in it, so the first axis of every foreign tensor is 1 and is left out here. A foreign
(c, 1, 1) may be held as (c,): a pooled map and a vector are the same numbers, and FC layers are written either way.
"""

# c = channels, h, w = height, width of a map, k = kernels, n = values

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.graph import Network
from mapping.networks.layers import (
    INPUT,
    Activation,
    Add,
    Attention,
    AveragePool,
    BatchNorm,
    Conv,
    DynamicConv,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Relu,
    Scale,
    Shape,
    Softmax,
)
from mapping.networks.unrolling import Pair

NO_EPSILON = 1e-300  # a batch norm's epsilon that sqrt(1 + epsilon) does not see


@dataclass(frozen=True)
class Value:
    """What a foreign tensor is: the output of a layer of ours."""

    layer: str
    shape: Shape  #: as the foreign graph sees it, without the batch


@dataclass(frozen=True, eq=False)
class Mixture:
    """A foreign tensor that is a sum over kernels, weighted by the shares of each image."""

    shares: Value
    kernels: FloatArray  #: (k, *shape)


class Builder:
    """Grows a network layer by layer; every method returns what the foreign operation gives.

    Raises ParameterError, in each method, if no layer does the same.
    """

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        self.layers: dict[str, Layer] = {}
        self.held: dict[str, Shape] = {INPUT: input_shape}
        self.input = Value(INPUT, input_shape)
        self._products: dict[str, tuple[Value, FloatArray]] = {}  # vectors that are a constant times shares

    # matrices

    def conv(
        self,
        name: str,
        x: Value,
        weight: FloatArray | Mixture,
        bias: FloatArray | Mixture | Value | None = None,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
    ) -> Value:
        """Convolve; weight (c_out, c_in / groups, kernel_h, kernel_w), a constant or mixed by shares."""
        if isinstance(weight, Mixture):
            return self._mixed_conv(name, x, weight, bias, (stride, padding, dilation, groups))
        if isinstance(bias, (Mixture, Value)):
            raise ParameterError("its bias changes from image to image, but its kernel does not")
        if len(self.held[x.layer]) == 1:
            if weight.shape[2:] != (1, 1) or padding != (0, 0) or groups != 1:
                raise ParameterError("it convolves pooled values with more than one group or one pixel")
            out = self.linear(name, replace(x, shape=x.shape[:1]), weight[:, :, 0, 0], bias)
            return replace(out, shape=(*out.shape, 1, 1))
        return self._add(Conv(self._name(name), (x.layer,), weight, bias, stride, padding, dilation, groups))

    def linear(self, name: str, x: Value, weight: FloatArray, bias: FloatArray | None = None) -> Value:
        """Multiply a vector (n,) by (out, n)."""
        if len(x.shape) != 1:
            raise ParameterError(f"it multiplies {x.shape} by a matrix; flatten that first")
        out = self._add(Linear(self._name(name), (self._vector(x),), weight, bias))
        if bias is None:
            self._products[out.layer] = (x, weight)
        return out

    def dynamic_conv(
        self,
        name: str,
        x: Value,
        weight: FloatArray,
        bias: FloatArray | None,
        geometry: tuple[Pair, Pair, Pair, int],
        attention: Attention,
        pooled: Value | None = None,
        positions: Value | None = None,
    ) -> Value:
        """Convolve with kernels (k, c_out, …) mixed by attention; geometry is stride, padding, dilation, groups.

        pooled: map that the attention looks at, if it is not x.  positions: numbers that multiply every kernel.
        """
        inputs: tuple[str, ...] = (x.layer,)
        if pooled is not None and (pooled.layer != x.layer or positions is not None):
            inputs += (pooled.layer,)
        if positions is not None:
            inputs += (x.layer,) * (2 - len(inputs)) + (self._vector(positions),)
        return self._add(DynamicConv(self._name(name), inputs, weight, bias, *geometry, attention))

    def _mixed_conv(
        self,
        name: str,
        x: Value,
        weight: Mixture,
        bias: FloatArray | Mixture | Value | None,
        geometry: tuple[Pair, Pair, Pair, int],
    ) -> Value:
        """Convolve with a kernel that the foreign graph has mixed itself; the layers that made its shares fall away."""
        if isinstance(bias, Value):
            bias = self._as_mixture(bias, bias.shape)
        attention, pooled = self._attention(weight.shares)
        kernels = weight.kernels
        if isinstance(bias, Mixture) and bias.shares.layer != weight.shares.layer:
            raise ParameterError("its kernel and its bias are mixed by different shares")
        if isinstance(bias, Mixture):
            mixed = bias.kernels.reshape(len(kernels), -1)
            return self.dynamic_conv(name, x, kernels, mixed, geometry, attention, pooled)
        out = self.dynamic_conv(name, x, kernels, None, geometry, attention, pooled)
        return out if bias is None else self.affine(f"{name}.bias", out, np.ones(1), bias.reshape(-1, 1, 1))

    def _attention(self, shares: Value) -> tuple[Attention, Value]:
        """Read pool -> FC -> ReLU -> FC -> softmax or sigmoid, or the same with one FC layer, back from the shares."""
        known = "global average pool -> FC -> ReLU -> FC -> softmax or sigmoid, or the same with one FC layer"
        failed = ParameterError(f"the shares of its kernels do not come from {known}")
        last = self.layers.get(shares.layer)
        kind = "softmax" if isinstance(last, Softmax) else "sigmoid"
        if last is None or (kind == "sigmoid" and (not isinstance(last, Activation) or last.kind != "sigmoid")):
            raise failed
        second, gain = self._behind(last)
        if not isinstance(second, Linear) or np.ptp(gain) or not gain[0] > 0.0:
            raise failed
        temperature = 1.0 / float(gain[0])
        before = self.layers.get(second.inputs[0])
        if isinstance(before, GlobalAveragePool):
            pool, attention = before, one_layer_attention(second.weight, second.bias, temperature, kind)
        else:
            if not isinstance(before, Relu):
                raise failed
            first = self.layers.get(before.inputs[0])
            norm = None
            if isinstance(first, BatchNorm):
                norm, first = first, self.layers.get(first.inputs[0])
            if not isinstance(first, Linear):
                raise failed
            weight, bias = first.weight, first.bias
            if norm is not None:
                held = (norm.gamma, norm.beta, norm.mean, norm.variance)
                weight, bias = folded(weight, bias, held, norm.epsilon)
            found = self.layers.get(first.inputs[0])
            if not isinstance(found, GlobalAveragePool):
                raise failed
            pool, attention = found, Attention(weight, bias, second.weight, second.bias, temperature, kind)
        return attention, Value(pool.inputs[0], self.held[pool.inputs[0]])

    def _behind(self, layer: Layer) -> tuple[Layer | None, FloatArray]:
        """Return the layer before this one, past a division by the temperature, and the factor of that."""
        before = self.layers.get(layer.inputs[0])
        if isinstance(before, BatchNorm) and not before.beta.any() and not before.mean.any():
            return self.layers.get(before.inputs[0]), before.gamma / np.sqrt(before.variance + before.epsilon)
        return before, np.ones(1)

    # between matrices

    def norm(
        self,
        name: str,
        x: Value,
        gamma: FloatArray,
        beta: FloatArray,
        mean: FloatArray,
        variance: FloatArray,
        epsilon: float,
    ) -> Value:
        """Batch norm with the statistics of the training."""
        return self._like(x, BatchNorm(self._name(name), (x.layer,), gamma, beta, mean, variance, epsilon))

    def affine(self, name: str, x: Value, gain: FloatArray, shift: FloatArray) -> Value:
        """Multiply and add constants, one for each channel or one for all."""
        of_channel, added = per_channel(gain, x.shape), per_channel(shift, x.shape)
        zeros = np.zeros_like(added)
        return self.norm(name, x, of_channel, added, zeros, np.ones_like(zeros), NO_EPSILON)

    def relu(self, name: str, x: Value) -> Value:
        """Positive part."""
        return self._like(x, Relu(self._name(name), (x.layer,)))

    def activation(self, name: str, x: Value, kind: str) -> Value:
        """Another function of each value, named as in `Activation`."""
        return self._like(x, Activation(self._name(name), (x.layer,), kind))

    def softmax(self, name: str, x: Value, axis: int) -> Value:
        """Shares along the channels; axis as the foreign graph counts, with the batch."""
        if axis % (len(x.shape) + 1) != 1:
            raise ParameterError(f"its softmax runs along axis {axis}, only axis 1 (the channels) can be imported")
        return self._like(x, Softmax(self._name(name), (x.layer,)))

    def max_pool(
        self, name: str, x: Value, size: Pair, stride: Pair, padding: Pair = (0, 0), *, ceil: bool = False
    ) -> Value:
        """Largest value of each window."""
        self._check_ceil(x, size, stride, padding, ceil=ceil)
        return self._add(MaxPool(self._name(name), (self._map(x),), size, stride, padding))

    def average_pool(
        self,
        name: str,
        x: Value,
        size: Pair,
        stride: Pair,
        padding: Pair = (0, 0),
        *,
        count_padding: bool = True,
        ceil: bool = False,
    ) -> Value:
        """Mean of each window."""
        self._check_ceil(x, size, stride, padding, ceil=ceil)
        return self._add(AveragePool(self._name(name), (self._map(x),), size, stride, padding, count_padding))

    def adaptive_average_pool(self, name: str, x: Value, size: Sequence[int | None]) -> Value:
        """Means of as many windows as asked for, where windows of one size do it; one window: of the whole map."""
        wanted = self._adapted(x, size)
        if wanted == x.shape[1:]:
            return x
        if wanted == (1, 1):
            return self.global_average_pool(name, x, keep=True)
        window = (x.shape[1] // wanted[0], x.shape[2] // wanted[1])
        return self.average_pool(name, x, window, window)

    def adaptive_max_pool(self, name: str, x: Value, size: Sequence[int | None]) -> Value:
        """Largest values of as many windows as asked for, where windows of one size do it."""
        wanted = self._adapted(x, size)
        window = (x.shape[1] // wanted[0], x.shape[2] // wanted[1])
        return x if wanted == x.shape[1:] else self.max_pool(name, x, window, window)

    def global_average_pool(self, name: str, x: Value, *, keep: bool) -> Value:
        """Mean of each map, as (c, 1, 1) if keep, else (c,)."""
        if len(x.shape) != 3:
            raise ParameterError(f"it pools maps (c, h, w), but gets {x.shape}")
        if len(self.held[x.layer]) == 3:
            out = self._add(GlobalAveragePool(self._name(name), (x.layer,)))
        else:
            out = Value(x.layer, x.shape[:1])
        return replace(out, shape=(*out.shape, 1, 1)) if keep else out

    def mean(self, name: str, x: Value, axes: Sequence[int], *, keep: bool) -> Value:
        """Mean over axes, as the foreign graph counts them; only that of whole maps is a layer."""
        if len(x.shape) != 3 or sorted(axis % 4 for axis in axes) != [2, 3]:
            raise ParameterError(f"it takes the mean over axes {tuple(axes)}, only axes 2 and 3 can be imported")
        return self.global_average_pool(name, x, keep=keep)

    def add(self, name: str, one: Value, other: Value) -> Value:
        """Add two values of one shape."""
        if one.shape != other.shape:
            raise ParameterError(f"it adds {one.shape} and {other.shape}, only equal shapes can be imported")
        sources = (one.layer, other.layer)
        if self.held[one.layer] != self.held[other.layer]:
            sources = (self._vector(one), self._vector(other))
        return replace(self._add(Add(self._name(name), sources)), shape=one.shape)

    def multiply(self, name: str, one: Value, other: Value) -> Value:
        """Multiply a map by a number for each channel, or x by sigmoid(x)."""
        for x, gates in ((one, other), (other, one)):
            layer = self.layers.get(gates.layer)
            if isinstance(layer, Activation) and layer.inputs == (x.layer,) and x.shape == gates.shape:
                smooth = {"sigmoid": "silu", "hard-sigmoid": "hard-swish"}.get(layer.kind)
                if smooth is not None:
                    return self.activation(name, x, smooth)
        for x, gates in ((one, other), (other, one)):
            if gates.shape in (x.shape[:1], (x.shape[0], 1, 1)) and len(self._as_vector(gates)) == 1:
                return self._like(x, Scale(self._name(name), (x.layer, self._vector(gates))))
        raise ParameterError(
            f"it multiplies {one.shape} by {other.shape}, only a map by one number for each channel can be imported"
        )

    # shapes

    def reshape(self, name: str, x: Value | Mixture, target: Sequence[int]) -> Value | Mixture:
        """View x in another shape, batch of 1 included; one entry may be -1."""
        total = math.prod(x.kernels.shape[1:] if isinstance(x, Mixture) else x.shape)
        shape = resolved(target, total)
        if isinstance(x, Mixture):
            return replace(x, kernels=x.kernels.reshape(len(x.kernels), *shape))
        if shape == (1, *x.shape):
            return x
        if x.layer in self._products and (shape[0] != 1 or len(shape) == 1):
            return self._as_mixture(x, shape)
        if shape == (1, total):
            return self.flatten(name, x)
        if shape[:1] == (1,) and len(self._as_vector(x)) == 1 and shape[1:] == (total, *(1,) * (len(shape) - 2)):
            return Value(self._vector(x), shape[1:])
        raise ParameterError(f"it reshapes {(1, *x.shape)} to {shape}, only flattening can be imported")

    def flatten(self, name: str, x: Value) -> Value:
        """All values of an image in one row."""
        if len(self.held[x.layer]) == 1:
            return replace(x, shape=self.held[x.layer])
        return self._add(Flatten(self._name(name), (x.layer,)))

    @staticmethod
    def expanded(x: Value, target: Sequence[int]) -> Value:
        """Repeat values to another shape, batch of 1 included; what they meet repeats them itself."""
        kept = [n for n, wanted in zip((1, *x.shape), target, strict=False) if n not in (1, wanted) and wanted != -1]
        if len(target) != len(x.shape) + 1 or kept:
            raise ParameterError(f"it repeats {(1, *x.shape)} to {tuple(target)}")
        return x

    def network(self, output: Value, name: str, classes: Sequence[str] | None, card: dict[str, Any]) -> Network:
        """Return the network that ends in `output`, without layers that nothing needs."""
        if output.layer not in self.layers:
            raise ParameterError(f"{name} gives back its image: there is no layer to import")
        output = self.flatten("flat", output)
        needed, waiting = set(), [output.layer]
        while waiting:
            layer = waiting.pop()
            if layer not in needed and layer != INPUT:
                needed.add(layer)
                waiting += self.layers[layer].inputs
        if list(self.layers)[-1] != output.layer:  # what came after it was for others
            self.layers[output.layer] = self.layers.pop(output.layer)
        (n,) = self.held[output.layer]
        kept = tuple(layer for key, layer in self.layers.items() if key in needed)
        _, height, width = self.held[INPUT]
        shape = (self.held[INPUT][0], height, width)
        return Network(name, shape, tuple(classes or (str(i) for i in range(n))), kept, card)

    def _add(self, layer: Layer) -> Value:
        shape = layer.output_shape(*(self.held[source] for source in layer.inputs))
        self.layers[layer.name] = layer
        self.held[layer.name] = shape
        return Value(layer.name, shape)

    def _like(self, x: Value, layer: Layer) -> Value:
        """Add a layer whose output is shaped as its first input, and keep the foreign view of that."""
        return replace(self._add(layer), shape=x.shape)

    def _name(self, foreign: str) -> str:
        """Return a name of ours for a foreign one, not yet taken."""
        base = re.sub(r"[^A-Za-z0-9_./-]+", "_", foreign).lstrip("./-") or "layer"
        if base.endswith(".attention"):
            base += "_"
        name, count = base, 1
        while name in self.held:
            count += 1
            name = f"{base}_{count}"
        return name

    def _as_vector(self, x: Value) -> Shape:
        """Shape that x has once its axes of one entry are dropped, if it is no more than (n,); else that it has."""
        held = self.held[x.layer]
        return held[:1] if held[1:] in ((), (1, 1)) else held

    def _vector(self, x: Value) -> str:
        """Name of a layer that holds x as (n,)."""
        return self.flatten(f"{x.layer}.flat", x).layer

    def _map(self, x: Value) -> str:
        """Name of the layer that holds the map x."""
        if len(self.held[x.layer]) != 3:
            raise ParameterError(f"it pools maps (c, h, w), but gets {x.shape}")
        return x.layer

    def _as_mixture(self, x: Value, shape: Shape) -> Mixture:
        """See a product of shares and a constant as a mixture of the constant's rows."""
        if x.layer not in self._products:
            raise ParameterError("its kernel or bias is computed from the image, but not as a mixture of constant ones")
        shares, weight = self._products[x.layer]
        return Mixture(shares, np.ascontiguousarray(weight.T).reshape(weight.shape[1], *shape))

    @staticmethod
    def _adapted(x: Value, size: Sequence[int | None]) -> Pair:
        """Return the wanted size of a map, refused if windows of one size do not give it."""
        if len(x.shape) != 3 or len(size) != 2:
            raise ParameterError(f"it pools maps (c, h, w) to {tuple(size)}, but gets {x.shape}")
        height, width = (have if want is None else int(want) for want, have in zip(size, x.shape[1:], strict=True))
        if height < 1 or width < 1 or x.shape[1] % height or x.shape[2] % width:
            raise ParameterError(
                f"it pools maps of {x.shape[1:]} to {(height, width)}, only windows of one size can be imported; "
                "choose an input size whose maps divide evenly"
            )
        return height, width

    @staticmethod
    def _check_ceil(x: Value, size: Pair, stride: Pair, padding: Pair, *, ceil: bool) -> None:
        """Refuse a last window that hangs over the edge."""
        if ceil and any((n + 2 * p - k) % s for n, k, s, p in zip(x.shape[1:], size, stride, padding, strict=True)):
            raise ParameterError("its last window hangs over the edge (ceil_mode); use ceil_mode=False")


def one_layer_attention(weight: FloatArray, bias: FloatArray | None, temperature: float, kind: str) -> Attention:
    """Attention with one FC layer as one with two, exactly: z = relu(z) - relu(-z)."""
    both = np.concatenate([weight, -weight])
    added = None if bias is None else np.concatenate([bias, -bias])
    k = len(weight)
    return Attention(both, added, np.concatenate([np.eye(k), -np.eye(k)], axis=1), None, temperature, kind)


def folded(
    weight: FloatArray, bias: FloatArray | None, norm: Sequence[FloatArray], epsilon: float
) -> tuple[FloatArray, FloatArray]:
    """Weight (out, n) and bias (out,) of an FC layer and the batch norm behind it as one.

    norm: its gamma, beta, mean and variance (out,).
    """
    gamma, beta, mean, variance = norm
    gain = gamma / np.sqrt(variance + epsilon)
    return weight * gain[:, None], gain * ((0.0 if bias is None else bias) - mean) + beta


def per_channel(constant: FloatArray, shape: Shape) -> FloatArray:
    """Return a constant that broadcasts against (1, *shape) as one number for each channel.

    Raises ParameterError if it differs within a channel.
    """
    constant = np.asarray(constant, dtype=np.float64)
    if constant.size == 1:
        return np.full(shape[0], float(constant.reshape(())))
    full = (1,) * (len(shape) + 1 - constant.ndim) + constant.shape
    if full != (1, shape[0], *(1,) * (len(shape) - 1)):
        raise ParameterError(
            f"it combines {(1, *shape)} with a constant of shape {constant.shape}, "
            "only one number for all or one for each channel can be imported"
        )
    return constant.reshape(-1)


def resolved(target: Sequence[int], total: int) -> Shape:
    """Return a shape of `total` values in which -1 is worked out.

    Raises ParameterError if there is none.
    """
    shape = [int(n) for n in target]
    if shape.count(-1) == 1:
        rest = -math.prod(shape)
        shape[shape.index(-1)] = total // rest if rest > 0 else 0
    if not shape or min(shape) < 1 or math.prod(shape) != total:
        raise ParameterError(f"it reshapes {total} values to {tuple(target)}")
    return tuple(shape)


def two(value: object) -> Pair:
    """Return a whole number, or one or two of them, as a pair (vertical, horizontal)."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    first, last = values[0], values[-1]
    if len(values) > 2 or not isinstance(first, int) or not isinstance(last, int):
        raise ParameterError(f"{value!r} is no pair of whole numbers")
    return first, last
