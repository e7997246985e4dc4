"""The pass that moves channel attention to gates: the Scale after a convolution becomes gates of its columns.

docs/equations/columns.md, section 3, lists the conditions; a Scale that does not meet them stays digital.
"""

from dataclasses import fields, replace

import numpy as np

from devices.aliases import FloatArray
from mapping.hardware.description import Choices
from mapping.networks.graph import Network
from mapping.networks.layers.activations import Activation, Clip, HardSigmoid, LogSoftmax, Relu, Softmax
from mapping.networks.layers.arithmetic import Scale
from mapping.networks.layers.base import Layer
from mapping.networks.layers.convolutions import Conv, DynamicConv
from mapping.networks.layers.matrix_layers import Linear
from mapping.networks.layers.norms import BatchNorm
from mapping.networks.layers.pools import GlobalAveragePool
from mapping.networks.layers.shapes import Flatten, Reshape
from mapping.networks.unrolling import kernel_matrix
from mapping.placement.gated_layers import GatedConv, GatedDynamicConv, MeanWindow

BOUNDED = ("sigmoid", "hard-sigmoid")  #: activations between 0 and 1


class _StaysDigitalError(Exception):
    """The reason why a Scale stays digital."""


def gate_columns(network: Network, choices: Choices) -> tuple[Network, dict[str, str]]:
    """Return the network with every possible Scale on gates of columns, and the reason why each other one is digital.

    network: with batch norms folded.
    Source: docs/equations/columns.md, section 3.
    """
    digital: dict[str, str] = {}
    for layer in network.layers:
        if isinstance(layer, Scale):
            try:
                network = _moved(network, layer, choices)
            except _StaysDigitalError as why:
                digital[layer.name] = str(why)
    return network, digital


def _moved(network: Network, scale: Scale, choices: Choices) -> Network:
    """Return the network with one Scale moved to the gates of the convolution before it."""
    layers = {layer.name: layer for layer in network.layers}
    scale = _as(Scale, layers[scale.name])
    before = layers.get(scale.inputs[0])
    relu = before if isinstance(before, Relu) else None
    conv = layers.get(relu.inputs[0]) if relu is not None else before
    if not isinstance(conv, (Conv, DynamicConv)) or isinstance(conv, (GatedConv, GatedDynamicConv)):
        found = "the image" if conv is None else f"{conv.name}, a {type(conv).__name__}"
        raise _StaysDigitalError(f"it scales {found}, no convolution with at most a ReLU behind it")
    if isinstance(conv, DynamicConv) and choices.of(conv.name) != "parallel":
        raise _StaysDigitalError(
            f"{conv.name} has the layout {choices.of(conv.name)!r}, and only parallel arrays have such gates"
        )
    if not _between_0_and_1(layers, scale.inputs[1]):
        raise _StaysDigitalError(f"{scale.inputs[1]} is not known to lie between 0 and 1, as gates do")
    if scale.name == network.layers[-1].name:
        raise _StaysDigitalError("it is the last layer")
    own = conv.name in _above(layers, scale.inputs[1])
    users = {name: [each.name for each in network.layers if name in each.inputs] for name in layers}
    if own:
        _squeeze(layers, conv, relu, scale, users)
    elif set(users[conv.name]) != {scale.name if relu is None else relu.name} or (
        relu is not None and users[relu.name] != [scale.name]
    ):
        raise _StaysDigitalError(f"{conv.name} is used without the scale as well")
    shift = None
    held: Conv | DynamicConv = conv
    tail = [layers[name] for name in users[scale.name]]
    after = scale.name
    if relu is None and len(tail) == 1 and isinstance(tail[0], BatchNorm):
        norm = tail[0]
        gain = norm.gamma / np.sqrt(norm.variance + norm.epsilon)
        shift = norm.beta - gain * norm.mean
        bias = None if conv.bias is None else conv.bias * gain
        held = replace(conv, weight=conv.weight * gain[:, None, None, None], bias=bias)
        after = norm.name
        del layers[norm.name]
    del layers[scale.name]
    values = {each.name: getattr(held, each.name) for each in fields(held)}
    values |= {"inputs": (*conv.inputs, scale.inputs[1]), "shift": shift}
    layers[conv.name] = (GatedDynamicConv if isinstance(conv, DynamicConv) else GatedConv)(**values)
    end = conv.name if relu is None else relu.name
    for name, layer in layers.items():
        if after in layer.inputs:
            layers[name] = replace(layer, inputs=tuple(end if each == after else each for each in layer.inputs))
    return Network(network.name, network.input_shape, network.classes, _sorted(layers), network.card)


def _squeeze(
    layers: dict[str, Layer], conv: Conv | DynamicConv, relu: Relu | None, scale: Scale, users: dict[str, list[str]]
) -> None:
    """Compute the factors of a squeeze-and-excitation block from the convolution's input instead of its output.

    The mean of a convolution's output is its kernel times the mean window of its input. The FC layer after the mean
    takes up the kernel, so its result does not change.
    Source: docs/equations/columns.md eq. 6.
    """
    if isinstance(conv, DynamicConv) or relu is not None:
        behind = "mixes its kernels" if relu is None else "has a ReLU behind it"
        raise _StaysDigitalError(
            f"its numbers come from {conv.name} itself, which {behind}: it would have to be read twice"
        )
    pools = [layers[name] for name in users[conv.name] if name != scale.name]
    if len(pools) != 1 or not isinstance(pools[0], GlobalAveragePool):
        raise _StaysDigitalError(f"{conv.name} is used without the scale as well")
    (pool,) = pools
    after = [layers[name] for name in users[pool.name]]
    if len(after) != 1 or not isinstance(after[0], Linear):
        raise _StaysDigitalError(f"the mean of {conv.name} does not go into one FC layer alone")
    linear = after[0]
    matrix = _whole_matrix(conv)  # (r, n)
    bias = linear.bias if conv.bias is None else (0.0 if linear.bias is None else linear.bias) + (
        linear.weight @ conv.bias
    )  # fmt: skip
    layers[pool.name] = MeanWindow(pool.name, conv.inputs, conv.kernel, conv.stride, conv.padding, conv.dilation)
    layers[linear.name] = replace(linear, weight=linear.weight @ matrix.T, bias=bias)


def _whole_matrix(conv: Conv) -> FloatArray:
    """Return the matrix (r, n) of all groups of a convolution, r over all input channels."""
    matrix, groups = kernel_matrix(conv.weight), conv.groups
    r, n = matrix.shape[0], matrix.shape[1] // groups
    out = np.zeros((groups * r, groups * n))
    for g in range(groups):
        out[g * r : (g + 1) * r, g * n : (g + 1) * n] = matrix[:, g * n : (g + 1) * n]
    return out


def _between_0_and_1(layers: dict[str, Layer], name: str) -> bool:
    layer = layers.get(name)
    while isinstance(layer, (Flatten, GlobalAveragePool, Reshape)):
        layer = layers.get(layer.inputs[0])
    if isinstance(layer, Clip):
        return layer.low is not None and layer.low >= 0.0 and layer.high is not None and layer.high <= 1.0
    if isinstance(layer, Activation):
        return layer.kind in BOUNDED
    return isinstance(layer, HardSigmoid) or (isinstance(layer, Softmax) and not isinstance(layer, LogSoftmax))


def _above(layers: dict[str, Layer], name: str) -> set[str]:
    """Return the names of all layers that a layer depends on, its own included."""
    found: set[str] = set()
    todo = [name]
    while todo:
        one = todo.pop()
        if one in layers and one not in found:
            found.add(one)
            todo += layers[one].inputs
    return found


def _sorted(layers: dict[str, Layer]) -> tuple[Layer, ...]:
    """Return the layers with each one after its inputs, otherwise in their order; the last one stays last."""
    left, done = list(layers.values()), []
    known: set[str] = set(layers)
    while left:
        at = next(i for i, layer in enumerate(left) if not any(each in known for each in layer.inputs))
        done.append(left.pop(at))
        known.discard(done[-1].name)
    return tuple(done)


def _as(kind: type[Scale], layer: Layer) -> Scale:
    if not isinstance(layer, kind):
        raise TypeError(f"{layer!r} is no {kind.__name__}")
    return layer
