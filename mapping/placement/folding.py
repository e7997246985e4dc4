"""Preparation of a network for tiles: batch norms are folded into matrices, channel attention moves to gates."""

from dataclasses import replace

import numpy as np

from mapping.hardware.description import Hardware
from mapping.networks.graph import Network
from mapping.networks.layers.base import Layer
from mapping.networks.layers.convolutions import Conv, DynamicConv
from mapping.networks.layers.matrix_layers import Linear
from mapping.networks.layers.norms import BatchNorm
from mapping.networks.layers.transposed import ConvTranspose
from mapping.placement.column_gates import gate_columns


def prepare(network: Network, hardware: Hardware) -> tuple[Network, dict[str, str]]:
    """Return the network to be placed: batch norms folded, and channel attention on gates if the chip asks for that.

    The second result has the reason why a Scale stays digital, by its name.
    """
    folded = fold(network)
    return gate_columns(folded, hardware.mapping) if hardware.mapping.channel_attention == "gates" else (folded, {})


def fold(network: Network) -> Network:
    """Fold each batch norm into the matrix before it if that is exact and nothing else uses the matrix' output.

    A batch norm stays after a dynamic layer whose attention weights do not sum to 1, as they would scale its shift.
    """
    layers: dict[str, Layer] = {layer.name: layer for layer in network.layers}
    used = [source for layer in network.layers for source in layer.inputs]
    renamed: dict[str, str] = {}
    for norm in network.layers:
        if not isinstance(norm, BatchNorm):
            continue
        before = layers.get(renamed.get(norm.inputs[0], norm.inputs[0]))
        if before is None or used.count(norm.inputs[0]) > 1:
            continue
        if not isinstance(before, (Conv, ConvTranspose, DynamicConv, Linear)):
            continue
        if isinstance(before, Linear) and len(network.shapes()[norm.inputs[0]]) > 1:  # its channels are no outputs
            continue
        if isinstance(before, DynamicConv) and before.attention.kind != "softmax":
            continue
        layers[before.name] = _folded(before, norm)
        del layers[norm.name]
        renamed[norm.name] = before.name
    kept = [
        replace(layer, inputs=tuple(renamed.get(source, source) for source in layer.inputs))
        for layer in layers.values()
    ]
    return Network(network.name, network.input_shape, network.classes, tuple(kept), network.card)


def _folded(layer: Conv | ConvTranspose | DynamicConv | Linear, norm: BatchNorm) -> Layer:
    gain = norm.gamma / np.sqrt(norm.variance + norm.epsilon)
    shift = norm.beta - gain * norm.mean
    if isinstance(layer, DynamicConv):  # attention weights of sum 1 keep a shift that all kernels have in common
        bias = np.zeros(layer.weight.shape[:2]) if layer.bias is None else layer.bias
        return replace(layer, weight=layer.weight * gain[:, None, None, None], bias=gain * bias + shift)
    bias = np.zeros_like(gain) if layer.bias is None else layer.bias
    if isinstance(layer, ConvTranspose):
        return replace(layer, weight=layer.scaled(gain), bias=gain * bias + shift)
    weight = layer.weight * gain.reshape(-1, *[1] * (layer.weight.ndim - 1))
    return replace(layer, weight=weight, bias=gain * bias + shift)
