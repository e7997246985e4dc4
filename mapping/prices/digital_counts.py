"""What layers without matrices make the digital part of a chip do, counted from their shapes alone.

A comparison, addition or multiplication each, a look-up of 8 bits for a function of one value; every value is used once
as it streams by, except a second operand, which is read from a buffer (8 bits). Composition ours; section 7 of
docs/equations/costs.md.
"""

import math
from collections.abc import Sequence

from crossbar.prices.catalogue import activation, pooling, softmax
from crossbar.tiles.activity import Activity
from mapping.networks.graph import Network
from mapping.networks.layers.activations import Activation, Relu, Softmax
from mapping.networks.layers.arithmetic import Add, Scale
from mapping.networks.layers.base import Layer, Shape
from mapping.networks.layers.norms import BatchNorm
from mapping.networks.layers.pools import AveragePool, GlobalAveragePool, MaxPool
from mapping.placement.gated_layers import MeanWindow, count_windows

BITS = 8.0  # of a value in a buffer, as everywhere on the chip


def digital_work(layer: Layer, shapes: Sequence[Shape], result: Shape) -> Activity:
    """Return the counts of one image in a digital layer that makes `result` of inputs of these shapes.

    A layer that only passes values on, such as Flatten, does nothing; one with matrices is not counted here.
    """
    size = float(math.prod(result))
    if isinstance(layer, Relu):
        return activation(size)
    if isinstance(layer, Activation):
        return Activity(buffer_bits=BITS * size)
    if isinstance(layer, (MaxPool, AveragePool)):
        return pooling(size * math.prod(layer.size), size, largest=isinstance(layer, MaxPool))
    if isinstance(layer, GlobalAveragePool):
        return pooling(float(math.prod(shapes[0])), size, largest=False)
    if isinstance(layer, MeanWindow):
        additions, multiplications = count_windows(layer, (shapes[0][0], shapes[0][1], shapes[0][2]))
        return Activity(additions=additions, multiplications=multiplications)
    if isinstance(layer, Add):
        terms = len(shapes) - 1
        return Activity(additions=terms * size, buffer_bits=terms * BITS * size)
    if isinstance(layer, Scale):
        return Activity(multiplications=size, buffer_bits=BITS * math.prod(shapes[1]))
    if isinstance(layer, BatchNorm):
        return Activity(multiplications=size, additions=size)
    if isinstance(layer, Softmax):
        return softmax(size / result[0], float(result[0]))
    return Activity()


def work_of(network: Network) -> dict[str, Activity]:
    """Return the digital work of one image in each layer of a network, by name."""
    shapes = network.shapes()
    return {
        layer.name: digital_work(layer, [shapes[source] for source in layer.inputs], shapes[layer.name])
        for layer in network.layers
    }
