"""Ranges of a layer's inputs that the network itself states, by clips such as those of quantised files."""

from mapping.hardware.description import Hardware
from mapping.networks.graph import Network
from mapping.networks.layers.activations import Clip, Relu
from mapping.networks.layers.base import Layer
from mapping.networks.layers.pools import AveragePool, GlobalAveragePool, MaxPool
from mapping.networks.layers.recurrent import Recurrent
from mapping.networks.layers.shapes import ChannelShuffle, Flatten, Permute, Reshape, Slice

INSIDE = (Relu, MaxPool, AveragePool, GlobalAveragePool, Flatten, Reshape, Permute, ChannelShuffle, Slice)
"""Layers whose outputs stay in the range of their input, or between it and 0."""


def input_range(network: Network, layer: Layer, hardware: Hardware) -> float | None:
    """Return the range that a layer's row codes get before calibration is looked at, None if calibration sets it.

    A recurrent layer's states have no stated range.
    """
    if hardware.mapping.input_ranges != "network" or isinstance(layer, Recurrent):
        return None
    return stated_range(network, layer)


def stated_range(network: Network, layer: Layer) -> float | None:
    """Return the largest size of a layer's first input by a clip with two bounds before it, None without one."""
    layers = {each.name: each for each in network.layers}
    before = layers.get(layer.inputs[0])
    while isinstance(before, INSIDE):
        before = layers.get(before.inputs[0])
    if not isinstance(before, Clip) or before.low is None or before.high is None:
        return None
    size = max(abs(before.low), abs(before.high))
    return size if size > 0.0 else None
