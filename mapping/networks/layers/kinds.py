"""All kinds of layers by name, and all arrays of layers by key."""

from collections.abc import Iterable

from devices.aliases import FloatArray
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
from mapping.networks.layers.recurrent import Recurrent
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

KINDS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        Conv, ConvTranspose, DynamicConv, Linear, Recurrent, BatchNorm, LayerNorm, GroupNorm, InstanceNorm,
        LocalResponseNorm, Relu, Activation, LeakyRelu, PRelu, Elu, Softplus, HardSigmoid, Clip, Power, Softmax,
        LogSoftmax, MaxPool, AveragePool, GlobalAveragePool, AdaptiveAveragePool, AdaptiveMaxPool, Upsample, Add,
        Subtract, Multiply, Divide, Maximum, Minimum, Scale, Affine, Reduce, MatMul, Flatten, Reshape, Permute,
        ChannelShuffle, Concat, Slice, Gather, Pad, Broadcast,
    )
}  # fmt: skip
"""Every kind of layer, by the name that the file format uses."""


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
