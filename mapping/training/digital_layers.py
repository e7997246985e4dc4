"""What the digital part of a chip computes, in torch: the twin of mapping/networks/digital.py, with gradients."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from devices.errors import ParameterError
from mapping.networks import digital
from mapping.networks.layers.activations import (
    Activation,
    Clip,
    Elu,
    HardSigmoid,
    LeakyRelu,
    LogSoftmax,
    Power,
    PRelu,
    Relu,
    Softmax,
    Softplus,
)
from mapping.networks.layers.arithmetic import (
    Add,
    Affine,
    Divide,
    Elementwise,
    MatMul,
    Maximum,
    Minimum,
    Multiply,
    Reduce,
    Scale,
    Subtract,
)
from mapping.networks.layers.base import Layer, as_given, as_maps
from mapping.networks.layers.norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from mapping.networks.layers.pools import (
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    AveragePool,
    GlobalAveragePool,
    MaxPool,
)
from mapping.networks.layers.resizing import Upsample
from mapping.networks.layers.shapes import (
    Broadcast,
    ChannelShuffle,
    Concat,
    Flatten,
    Gather,
    Pad,
    Permute,
    Reshape,
    Slice,
)
from mapping.networks.unrolling import Padding, sides

Tensor = Any  # torch's own classes have no types here

FUNCTIONS = {
    "relu6": functional.relu6,
    "sigmoid": torch.sigmoid,
    "hard-sigmoid": functional.hardsigmoid,
    "hard-swish": functional.hardswish,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "gelu-tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "quick-gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "mish": lambda x: x * torch.tanh(_softplus(x)),
    "softplus": lambda x: _softplus(x),  # noqa: PLW0108 - defined below
    "softsign": functional.softsign,
    "log-sigmoid": functional.logsigmoid,
    "tanh-shrink": functional.tanhshrink,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "reciprocal": torch.reciprocal,
    "abs": torch.abs,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "erf": torch.erf,
    "sin": torch.sin,
    "cos": torch.cos,
}
OPERATIONS = {
    Add: torch.add, Subtract: torch.sub, Multiply: torch.mul, Divide: torch.div, Maximum: torch.maximum,
    Minimum: torch.minimum,
}  # fmt: skip
REDUCTIONS = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin}


def apply(layer: Layer, *values: Tensor) -> Tensor:
    """Compute a layer that has no matrix on batches (b, *shape).

    Raises ParameterError for a kind that has no twin here.
    """
    for twins in (_function, _norm, _pool, _arithmetic, _moved):
        out = twins(layer, *values)
        if out is not None:
            return out
    raise ParameterError(f"{layer.name} is a {type(layer).__name__}, which training in torch does not know")


def _function(layer: Layer, x: Tensor, *_: Tensor) -> Tensor | None:
    """Functions of values alone, and shares along an axis."""
    match layer:
        case Relu():
            return functional.relu(x)
        case Activation():
            return FUNCTIONS[layer.kind](x)
        case LeakyRelu():
            return torch.where(x > 0.0, x, layer.slope * x)
        case PRelu():
            return torch.where(x > 0.0, x, like(layer.slope, x).reshape(-1, *(1,) * max(x.ndim - 2, 0)) * x)
        case Elu():
            below = layer.alpha * torch.expm1(layer.rate * torch.clamp(x, max=0.0))
            return layer.scale * torch.where(x > 0.0, x, below)
        case Softplus():
            return _softplus(layer.beta * x) / layer.beta
        case HardSigmoid():
            return torch.clamp(layer.slope * x + layer.offset, 0.0, 1.0)
        case Clip():
            return torch.clamp(x, layer.low, layer.high)
        case Power():
            return x**layer.exponent
        case LogSoftmax():
            return torch.log_softmax(x, dim=layer.axis + 1)
        case Softmax():
            return torch.softmax(x, dim=layer.axis + 1)
    return None


def _norm(layer: Layer, x: Tensor, *_: Tensor) -> Tensor | None:
    match layer:
        case BatchNorm():
            gain = layer.gamma / (layer.variance + layer.epsilon) ** 0.5
            shape = (1, -1) + (1,) * (x.ndim - 2)
            scale, shift = (like(part, x).reshape(shape) for part in (gain, layer.beta - layer.mean * gain))
            return x * scale + shift
        case LayerNorm():
            gamma, beta = like(layer.gamma, x), like(layer.beta, x)
            return functional.layer_norm(x, tuple(gamma.shape), gamma, beta, layer.epsilon)
        case InstanceNorm() | GroupNorm():
            groups = layer.groups if isinstance(layer, GroupNorm) else len(layer.gamma)
            return functional.group_norm(x, groups, like(layer.gamma, x), like(layer.beta, x), layer.epsilon)
        case LocalResponseNorm():
            before = layer.before or 0
            around = (0, 0) * (x.ndim - 2) + (before, layer.size - 1 - before)
            squares = functional.pad(x * x, around)
            total = sum(squares[:, at : at + x.shape[1]] for at in range(layer.size))
            return x / (layer.k + (layer.alpha / layer.size) * total) ** layer.beta
    return None


def _pool(layer: Layer, x: Tensor, *_: Tensor) -> Tensor | None:
    """Pools and resizing."""
    match layer:
        case MaxPool() | AveragePool():
            maps = as_maps(x)
            shape = (maps.shape[2], maps.shape[3])
            beside = digital.pool_sides(
                shape, layer.size, layer.stride, layer.padding, layer.dilation, ceil=layer.ceil_mode
            )
            if isinstance(layer, MaxPool):
                around = padded(maps, beside, -math.inf)
                return as_given(functional.max_pool2d(around, layer.size, layer.stride, 0, layer.dilation), x)
            counted = digital.pool_pixels(
                shape, layer.size, layer.stride, layer.padding, count_padding=layer.count_padding, ceil=layer.ceil_mode
            )
            totals = functional.avg_pool2d(padded(maps, beside), layer.size, layer.stride, divisor_override=1)
            return as_given(totals / like(counted, x), x)
        case GlobalAveragePool():
            return x.mean(dim=tuple(range(2, x.ndim)))
        case AdaptiveAveragePool():
            return as_given(functional.adaptive_avg_pool2d(as_maps(x), layer.size), x)
        case AdaptiveMaxPool():
            return as_given(functional.adaptive_max_pool2d(as_maps(x), layer.size), x)
        case Upsample():
            out = as_maps(x)
            for axis in range(2):
                indices, weights = layer.taps(out.shape[axis + 2], axis)
                behind = (1,) * (1 - axis)
                out = sum(
                    _picked(out, axis + 2, taken) * like(weight, x).reshape(-1, *behind)
                    for taken, weight in zip(indices.T, weights.T, strict=True)
                )
            return as_given(out, x)
    return None


def _arithmetic(layer: Layer, *values: Tensor) -> Tensor | None:
    match layer:
        case Elementwise():
            return functools.reduce(OPERATIONS[type(layer)], _aligned(values))
        case Scale():
            return values[0] * values[1].reshape(*values[1].shape, *(1,) * (values[0].ndim - 2))
        case Affine():
            x, *_ = values
            held = [each.ndim for each in (layer.scale, layer.shift) if each is not None]
            out = _raised(x, max(x.ndim - 1, *held))
            out = out if layer.scale is None else out * like(layer.scale, x)
            return out if layer.shift is None else out + like(layer.shift, x)
        case Reduce():
            axes = tuple(axis + 1 for axis in layer.axes)
            return REDUCTIONS[layer.kind](values[0], dim=axes, keepdim=layer.keep)
        case MatMul():
            one, other = _aligned(values)
            return one @ other
    return None


def _moved(layer: Layer, x: Tensor, *others: Tensor) -> Tensor | None:
    """Layers that change no value."""
    match layer:
        case Flatten():
            return x.reshape(len(x), -1)
        case Reshape():
            return x.reshape(len(x), *layer.shape)
        case Permute():
            return x.permute(0, *(axis + 1 for axis in layer.axes))
        case ChannelShuffle():
            return x.reshape(len(x), layer.groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)
        case Concat():
            return torch.cat([x, *others], dim=layer.axis + 1)
        case Slice():
            return _picked(x, layer.axis + 1, layer.start + layer.step * np.arange(layer.length))
        case Gather():
            return _picked(x, layer.axis + 1, np.array(layer.indices))
        case Pad() if layer.kind == "constant":
            around = [n for pair in zip(layer.before[::-1], layer.after[::-1], strict=True) for n in pair]
            return functional.pad(x, around, value=layer.value)
        case Pad():
            for axis, (before, after) in enumerate(zip(layer.before, layer.after, strict=True), start=1):
                taken = np.pad(np.arange(x.shape[axis]), (before, after), mode=layer.kind)  # type: ignore[call-overload]
                x = _picked(x, axis, taken)
            return x
        case Broadcast():
            return _raised(x, len(layer.shape)).expand(len(x), *layer.shape)
    return None


def padded(maps: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    """Return maps (b, c, h, w) with one value around them."""
    top, left, bottom, right = sides(padding)
    return functional.pad(maps, (left, right, top, bottom), value=value)


def _softplus(x: Tensor) -> Tensor:
    return functional.relu(x) + torch.log1p(torch.exp(-torch.abs(x)))


def _picked(x: Tensor, axis: int, taken: Any) -> Tensor:  # noqa: ANN401 - an array of whole numbers
    return torch.index_select(x, axis, torch.as_tensor(np.ascontiguousarray(taken), device=x.device))


def _aligned(values: Sequence[Tensor]) -> list[Tensor]:
    rank = max(x.ndim for x in values) - 1
    return [_raised(x, rank) for x in values]


def _raised(x: Tensor, rank: int) -> Tensor:
    return x.reshape(len(x), *(1,) * (rank - x.ndim + 1), *x.shape[1:])


def like(value: Any, x: Tensor) -> Tensor:  # noqa: ANN401 - an array or a number
    """Return an array as a tensor of the type and on the device of x."""
    return torch.tensor(value, device=x.device).to(x.dtype)
