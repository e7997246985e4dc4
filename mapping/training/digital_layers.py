"""What the digital part of a chip computes, in torch: the twin of mapping/networks/digital.py, with gradients."""

from typing import Any

import torch
from torch.nn import functional

from devices.errors import ParameterError
from mapping.networks.layers import (
    Activation,
    Add,
    AveragePool,
    BatchNorm,
    Flatten,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Relu,
    Scale,
    Softmax,
)

Tensor = Any  # torch's own classes have no types here

FUNCTIONS = {
    "relu6": functional.relu6,
    "sigmoid": torch.sigmoid,
    "hard-sigmoid": functional.hardsigmoid,
    "hard-swish": functional.hardswish,
    "silu": functional.silu,
    "tanh": torch.tanh,
}


def apply(layer: Layer, *values: Tensor) -> Tensor:
    """Compute a layer that has no matrix on batches (b, *shape).

    Raises ParameterError for a kind that has no twin here.
    """
    x = values[0]
    match layer:
        case BatchNorm():
            gain = layer.gamma / (layer.variance + layer.epsilon) ** 0.5
            shape = (1, -1) + (1,) * (x.ndim - 2)
            scale, shift = (like(part, x).reshape(shape) for part in (gain, layer.beta - layer.mean * gain))
            return x * scale + shift
        case Relu():
            return functional.relu(x)
        case Activation():
            return FUNCTIONS[layer.kind](x)
        case MaxPool():
            return functional.max_pool2d(x, layer.size, layer.stride, layer.padding)
        case AveragePool():
            return functional.avg_pool2d(
                x, layer.size, layer.stride, layer.padding, count_include_pad=layer.count_padding
            )
        case GlobalAveragePool():
            return x.mean(dim=(2, 3))
        case Flatten():
            return x.reshape(len(x), -1)
        case Add():
            return sum(values[1:], x)
        case Scale():
            return x * values[1].reshape(*values[1].shape, *(1,) * (x.ndim - 2))
        case Softmax():
            return torch.softmax(x, dim=1)
    raise ParameterError(f"{layer.name} is a {type(layer).__name__}, which training in torch does not know")


def like(value: Any, x: Tensor) -> Tensor:  # noqa: ANN401 - an array or a number
    """Return an array as a tensor of the type and on the device of x."""
    return torch.as_tensor(value, device=x.device).to(x.dtype)
