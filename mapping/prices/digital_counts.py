"""Digital work of layers without matrices, counted from their shapes.

A function of one value is a look-up of one value. A second operand is read from a buffer; all other values stream
through and need no buffer. `digital_work` counts values of BITS; `work_of` scales to the chip's. Composition ours;
section 7 of docs/equations/costs.md.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch

from crossbar.prices.catalogue import activation, pooling, softmax
from crossbar.tiles.activity import Activity
from crossbar.tiles.converters import CONTINUOUS_BITS
from mapping.networks import digital
from mapping.networks.graph import Network
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
from mapping.networks.layers.base import Layer, Shape
from mapping.networks.layers.norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from mapping.networks.layers.pools import (
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    AveragePool,
    GlobalAveragePool,
    MaxPool,
)
from mapping.networks.layers.resizing import MODES, Upsample
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
from mapping.placement.gated_layers import MeanWindow, count_windows

BITS = float(CONTINUOUS_BITS)  # of a value in a buffer
#: layers that only reorder values: the values are read from their buffer in another order, at no cost
PASSING = (Flatten, Reshape, Permute, ChannelShuffle, Concat, Slice, Gather, Pad, Broadcast)


@singledispatch
def digital_work(layer: Layer, shapes: Sequence[Shape], result: Shape) -> Activity:
    """Return the digital work of one image in a layer with inputs of these shapes and an output of shape `result`.

    A layer of PASSING has none; layers with matrices are not counted here.
    """
    return Activity()


@digital_work.register
def _(layer: Relu, shapes: Sequence[Shape], result: Shape) -> Activity:
    return activation(_size(result))


@digital_work.register(Activation)
@digital_work.register(Elu)
@digital_work.register(Softplus)
@digital_work.register(HardSigmoid)
def _(layer: Layer, shapes: Sequence[Shape], result: Shape) -> Activity:
    return Activity(buffer_bits=BITS * _size(result))


@digital_work.register(LeakyRelu)
@digital_work.register(PRelu)
def _(layer: Layer, shapes: Sequence[Shape], result: Shape) -> Activity:
    return Activity(comparisons=_size(result), multiplications=_size(result))


@digital_work.register
def _(layer: Clip, shapes: Sequence[Shape], result: Shape) -> Activity:
    return Activity(comparisons=_size(result) * ((layer.low is not None) + (layer.high is not None)))


@digital_work.register
def _(layer: Power, shapes: Sequence[Shape], result: Shape) -> Activity:
    if layer.exponent == 2.0:
        return Activity(multiplications=_size(result))
    return Activity(buffer_bits=BITS * _size(result))


@digital_work.register
def _(layer: Softmax, shapes: Sequence[Shape], result: Shape) -> Activity:
    length = float(result[layer.axis])
    return softmax(_size(result) / length, length)


@digital_work.register
def _(layer: LogSoftmax, shapes: Sequence[Shape], result: Shape) -> Activity:
    """Find and subtract the largest value, look up and add the exponentials, subtract the logarithm of the sum."""
    size, rows = _size(result), _size(result) / result[layer.axis]
    return Activity(additions=3.0 * size - rows, comparisons=size - rows, buffer_bits=BITS * (size + rows))


@digital_work.register(MaxPool)
@digital_work.register(AveragePool)
def _(layer: MaxPool | AveragePool, shapes: Sequence[Shape], result: Shape) -> Activity:
    size = _size(result)
    return pooling(size * math.prod(layer.size), size, largest=isinstance(layer, MaxPool))


@digital_work.register
def _(layer: GlobalAveragePool, shapes: Sequence[Shape], result: Shape) -> Activity:
    return pooling(_size(shapes[0]), _size(result), largest=False)


@digital_work.register(AdaptiveAveragePool)
@digital_work.register(AdaptiveMaxPool)
def _(layer: AdaptiveAveragePool | AdaptiveMaxPool, shapes: Sequence[Shape], result: Shape) -> Activity:
    values = float(shapes[0][0])
    for length, count in zip((1, *shapes[0][1:])[-2:], layer.size, strict=True):
        values *= sum(each.stop - each.start for each in digital.adaptive_windows(length, count))
    return pooling(values, _size(result), largest=isinstance(layer, AdaptiveMaxPool))


@digital_work.register
def _(layer: Upsample, shapes: Sequence[Shape], result: Shape) -> Activity:
    """Interpolate along the columns, then along the rows; the mode "nearest" only reads pixels again."""
    taps = MODES[layer.mode]
    if taps == 1:
        return Activity()
    values = _size(result) + result[0] * layer.size[0] * float(shapes[0][-1])
    if len(result) == 2:  # a single row needs no interpolation between rows
        values = _size(result)
    return Activity(multiplications=taps * values, additions=(taps - 1) * values, buffer_bits=BITS * taps * values)


@digital_work.register
def _(layer: MeanWindow, shapes: Sequence[Shape], result: Shape) -> Activity:
    additions, multiplications = count_windows(layer, shapes[0])
    return Activity(additions=additions, multiplications=multiplications)


@digital_work.register(Add)
@digital_work.register(Subtract)
def _(layer: Layer, shapes: Sequence[Shape], result: Shape) -> Activity:
    return Activity(additions=(len(shapes) - 1) * _size(result), buffer_bits=_others(shapes))


@digital_work.register
def _(layer: Multiply, shapes: Sequence[Shape], result: Shape) -> Activity:
    return Activity(multiplications=(len(shapes) - 1) * _size(result), buffer_bits=_others(shapes))


@digital_work.register
def _(layer: Divide, shapes: Sequence[Shape], result: Shape) -> Activity:
    """Look up the reciprocal of each divisor and multiply."""
    return Activity(multiplications=_size(result), buffer_bits=_others(shapes) + BITS * _size(shapes[1]))


@digital_work.register(Maximum)
@digital_work.register(Minimum)
def _(layer: Layer, shapes: Sequence[Shape], result: Shape) -> Activity:
    return Activity(comparisons=(len(shapes) - 1) * _size(result), buffer_bits=_others(shapes))


@digital_work.register
def _(layer: Scale, shapes: Sequence[Shape], result: Shape) -> Activity:
    return Activity(multiplications=_size(result), buffer_bits=_others(shapes))


@digital_work.register
def _(layer: Affine, shapes: Sequence[Shape], result: Shape) -> Activity:
    size = _size(result)
    return Activity(
        multiplications=size if layer.scale is not None else 0.0, additions=size if layer.shift is not None else 0.0
    )


@digital_work.register
def _(layer: Reduce, shapes: Sequence[Shape], result: Shape) -> Activity:
    values, size = _size(shapes[0]), _size(result)
    if layer.kind == "sum":
        return Activity(additions=values - size)
    return pooling(values, size, largest=layer.kind != "mean")


@digital_work.register
def _(layer: MatMul, shapes: Sequence[Shape], result: Shape) -> Activity:
    size, length = _size(result), float(shapes[0][-1])
    return Activity(
        multiplications=size * length, additions=size * (length - 1.0), buffer_bits=2.0 * BITS * size * length
    )


@digital_work.register
def _(layer: BatchNorm, shapes: Sequence[Shape], result: Shape) -> Activity:
    return Activity(multiplications=_size(result), additions=_size(result))


@digital_work.register
def _(layer: LayerNorm, shapes: Sequence[Shape], result: Shape) -> Activity:
    return _normalising(_size(result), _size(result) / layer.gamma.size)


@digital_work.register
def _(layer: InstanceNorm, shapes: Sequence[Shape], result: Shape) -> Activity:
    return _normalising(_size(result), float(result[0]))


@digital_work.register
def _(layer: GroupNorm, shapes: Sequence[Shape], result: Shape) -> Activity:
    return _normalising(_size(result), float(layer.groups))


@digital_work.register
def _(layer: LocalResponseNorm, shapes: Sequence[Shape], result: Shape) -> Activity:
    """Square, add, scale and shift each value's neighbours, look up the power, and multiply."""
    size = _size(result)
    return Activity(multiplications=3.0 * size, additions=layer.size * size, buffer_bits=2.0 * BITS * size)


def _normalising(size: float, rows: float) -> Activity:
    """Count the normalisation of `size` values by `rows` means and deviations, with a scale and a shift of each value.

    Values are added and stored, then read twice: the mean is subtracted, squares are added, and the values are scaled.
    The reciprocal of the square root is one look-up.
    """
    return Activity(
        additions=4.0 * size - rows,  # two sums of size - rows, the mean subtracted, the shift, and epsilon
        multiplications=3.0 * size + 2.0 * rows,  # squares, two scalings, and the division of two sums
        buffer_bits=BITS * (3.0 * size + rows),
    )


def _size(shape: Shape) -> float:
    return float(math.prod(shape))


def _others(shapes: Sequence[Shape]) -> float:
    """Number of bits of the operands after the first, which are read from a buffer."""
    return BITS * sum(math.prod(shape) for shape in shapes[1:])


def work_of(network: Network, bits: int = CONTINUOUS_BITS) -> dict[str, Activity]:
    """Return the digital work of one image in each layer of a network, by name; bits: of a value in a buffer."""
    shapes = network.shapes()
    found = {
        layer.name: digital_work(layer, [shapes[source] for source in layer.inputs], shapes[layer.name])
        for layer in network.layers
    }
    return {name: replace(done, buffer_bits=done.buffer_bits * bits / BITS) for name, done in found.items()}
