"""A small example network for every kind of layer, for the support matrix and for tests."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.layers.activations import (
    ACTIVATIONS,
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
    REDUCTIONS,
    Add,
    Affine,
    Divide,
    MatMul,
    Maximum,
    Minimum,
    Multiply,
    Reduce,
    Scale,
    Subtract,
)
from mapping.networks.layers.base import Layer
from mapping.networks.layers.convolutions import Attention, Conv, DynamicConv
from mapping.networks.layers.matrix_layers import Linear
from mapping.networks.layers.norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from mapping.networks.layers.pools import (
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    AveragePool,
    GlobalAveragePool,
    MaxPool,
)
from mapping.networks.layers.recurrent import GATES, Recurrent
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
from mapping.networks.layers.transposed import ConvTranspose

MAP = (4, 5, 6)  #: shape of the map "map" that the layers of an example take; BESIDE has their other inputs
BESIDE: dict[str, tuple[Layer, ...]] = {
    "row": (Reshape("row", ("map",), (4, 30)),),
    "positive": (Activation("positive", ("map",), "exp"),),
    "gates": (GlobalAveragePool("mean", ("map",)), Activation("gates", ("mean",), "sigmoid")),
    "means": (Reduce("means", ("map",), "mean", (1, 2), keep=True),),
    "turned": (Permute("turned", ("map",), (0, 2, 1)),),
}


def _attention(rng: np.random.Generator, kind: str) -> Attention:
    return Attention(rng.normal(size=(3, 4)), None, rng.normal(size=(3, 3)), rng.normal(size=3), 2.0, kind)


def _dynamic(rng: np.random.Generator, kind: str) -> DynamicConv:
    weight, bias = rng.normal(size=(3, 4, 4, 3, 3)), rng.normal(size=(3, 4))
    return DynamicConv("layer", ("map",), weight, bias, (1, 1), (1, 1), (1, 1), 1, _attention(rng, kind))


def _recurrent(rng: np.random.Generator, kind: str) -> Recurrent:
    g = GATES[kind]
    weights = (0.3 * rng.normal(size=(g * 3, 30)), rng.normal(size=(g * 3, 3)))
    return Recurrent("layer", ("row",), *weights, rng.normal(size=g * 3), rng.normal(size=g * 3), kind)


#: one layer of each kind and variant, with random weights
MADE: dict[str, Callable[[np.random.Generator], Layer]] = {
    "Conv": lambda rng: Conv(
        "layer", ("map",), rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4), padding=(1, 1), groups=2
    ),
    "Conv, padded on some sides": lambda rng: Conv(
        "layer", ("map",), rng.normal(size=(3, 4, 2, 3)), None, (2, 1), (0, 2, 1, 1)
    ),
    "Conv, one-dimensional": lambda rng: Conv(
        "layer", ("row",), rng.normal(size=(3, 4, 1, 5)), rng.normal(size=3), (1, 2), (0, 2)
    ),
    "ConvTranspose": lambda rng: ConvTranspose(
        "layer", ("map",), rng.normal(size=(4, 3, 3, 2)), rng.normal(size=3), (2, 2), (1, 0), output_padding=(1, 0)
    ),
    "ConvTranspose, in groups": lambda rng: ConvTranspose(
        "layer", ("map",), rng.normal(size=(4, 2, 2, 2)), None, (1, 1), (0, 1, 1, 0), (2, 1), 2
    ),
    "DynamicConv, softmax": lambda rng: _dynamic(rng, "softmax"),
    "DynamicConv, sigmoid": lambda rng: _dynamic(rng, "sigmoid"),
    "Linear": lambda rng: Linear("layer", ("row",), rng.normal(size=(5, 30)), rng.normal(size=5)),
    **{f"Recurrent, {kind}": lambda rng, kind=kind: _recurrent(rng, kind) for kind in GATES},  # type: ignore[misc]
    "BatchNorm": lambda rng: BatchNorm(
        "layer", ("positive",), rng.normal(size=4), rng.normal(size=4), rng.normal(size=4), rng.uniform(0.5, 2, size=4)
    ),
    "LayerNorm": lambda rng: LayerNorm("layer", ("map",), *rng.normal(size=(2, 5, 6))),
    "GroupNorm": lambda rng: GroupNorm("layer", ("map",), 2, *rng.normal(size=(2, 4))),
    "InstanceNorm": lambda rng: InstanceNorm("layer", ("map",), *rng.normal(size=(2, 4))),
    "LocalResponseNorm": lambda rng: LocalResponseNorm("layer", ("map",), 3, 0.5),
    "Relu": lambda rng: Relu("layer", ("map",)),
    **{
        f"Activation, {kind}": lambda rng, kind=kind: Activation(  # type: ignore[misc]
            "layer", ("positive" if kind in ("log", "sqrt", "reciprocal") else "map",), kind
        )
        for kind in ACTIVATIONS
    },
    "LeakyRelu": lambda rng: LeakyRelu("layer", ("map",), 0.2),
    "PRelu": lambda rng: PRelu("layer", ("map",), rng.normal(size=4)),
    "Elu": lambda rng: Elu("layer", ("map",), 1.5, 1.1, 0.5),
    "Softplus": lambda rng: Softplus("layer", ("map",), 2.0),
    "HardSigmoid": lambda rng: HardSigmoid("layer", ("map",), 0.2),
    "Clip": lambda rng: Clip("layer", ("map",), -0.5, 1.0),
    "Power": lambda rng: Power("layer", ("positive",), 1.5),
    "Softmax": lambda rng: Softmax("layer", ("map",), 2),
    "LogSoftmax": lambda rng: LogSoftmax("layer", ("map",), 1),
    "MaxPool": lambda rng: MaxPool("layer", ("map",), (2, 3), (2, 2), (0, 1, 1, 2), ceil_mode=True),
    "AveragePool": lambda rng: AveragePool("layer", ("map",), (2, 3), (2, 2), (1, 0, 0, 1), ceil_mode=True),
    "GlobalAveragePool": lambda rng: GlobalAveragePool("layer", ("map",)),
    "AdaptiveAveragePool": lambda rng: AdaptiveAveragePool("layer", ("map",), (3, 4)),
    "AdaptiveMaxPool": lambda rng: AdaptiveMaxPool("layer", ("map",), (2, 8)),
    "Upsample, nearest": lambda rng: Upsample("layer", ("map",), (9, 12)),
    "Upsample, bilinear": lambda rng: Upsample("layer", ("map",), (10, 7), "bilinear", "half-pixel"),
    "Upsample, bicubic": lambda rng: Upsample("layer", ("map",), (4, 9), "bicubic", "align-corners"),
    "Add": lambda rng: Add("layer", ("map", "means")),
    "Subtract": lambda rng: Subtract("layer", ("map", "means")),
    "Multiply": lambda rng: Multiply("layer", ("map", "means")),
    "Divide": lambda rng: Divide("layer", ("map", "positive")),
    "Maximum": lambda rng: Maximum("layer", ("map", "means")),
    "Minimum": lambda rng: Minimum("layer", ("map", "means")),
    "Scale": lambda rng: Scale("layer", ("map", "gates")),
    "Affine": lambda rng: Affine("layer", ("map",), rng.normal(size=6), rng.normal(size=(4, 1, 1))),
    **{f"Reduce, {kind}": lambda rng, kind=kind: Reduce("layer", ("map",), kind, (0, 2)) for kind in REDUCTIONS},  # type: ignore[misc]
    "MatMul": lambda rng: MatMul("layer", ("map", "turned")),
    "Flatten": lambda rng: Flatten("layer", ("map",)),
    "Reshape": lambda rng: Reshape("layer", ("map",), (2, 2, 5, 6)),
    "Permute": lambda rng: Permute("layer", ("map",), (1, 2, 0)),
    "ChannelShuffle": lambda rng: ChannelShuffle("layer", ("map",), 2),
    "Concat": lambda rng: Concat("layer", ("map", "positive"), 1),
    "Slice": lambda rng: Slice("layer", ("map",), 2, 5, 3, -2),
    "Gather": lambda rng: Gather("layer", ("map",), 0, (3, 0, 0, 2)),
    "Pad": lambda rng: Pad("layer", ("map",), (0, 1, 2), (1, 0, 3), "reflect"),
    "Broadcast": lambda rng: Broadcast("layer", ("means",), (4, 2, 3)),
}  # fmt: skip


def example_layers(name: str, seed: int = 0) -> tuple[Layer, ...]:
    """Return the layers of a small network of 3 classes with one entry of MADE, called "layer".

    Raises ParameterError if there is no such entry.
    """
    if name not in MADE:
        raise ParameterError(f"name must be one of {', '.join(MADE)}, got {name!r}")
    rng = np.random.default_rng(seed)
    weight, bias = 0.4 * rng.normal(size=(MAP[0], 2, 3, 3)), 0.1 * rng.normal(size=MAP[0])
    given = Conv("map", ("input",), weight, bias, padding=(1, 1))
    layer = MADE[name](rng)
    before = [each for source in layer.inputs for each in BESIDE.get(source, ())]
    layers: list[Layer] = [given, *before, layer]
    shape = _shape(layers)
    if len(shape) != 1:
        layers.append(Flatten("flat", ("layer",)))
    n = math.prod(shape)
    layers.append(Linear("classes", (layers[-1].name,), rng.normal(size=(3, n)) / math.sqrt(n)))
    return tuple(layers)


def example_images(count: int, seed: int = 0) -> FloatArray:
    """Return images (count, 2, 5, 6) for the networks of `example_layers`."""
    return np.random.default_rng([seed, 1]).normal(size=(count, 2, *MAP[1:]))


def _shape(layers: Sequence[Layer]) -> tuple[int, ...]:
    """Shape of the output of the last layer."""
    shapes: dict[str, tuple[int, ...]] = {"input": (2, *MAP[1:])}
    for layer in layers:
        shapes[layer.name] = layer.output_shape(*(shapes[source] for source in layer.inputs))
    return shapes[layers[-1].name]
