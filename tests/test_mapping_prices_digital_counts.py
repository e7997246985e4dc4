"""Counts and prices of layers without matrices."""

import dataclasses

import numpy as np
import pytest

from crossbar import Activity
from crossbar.prices.costs import Costs
from crossbar.prices.periphery import Periphery
from mapping.networks import (
    KINDS,
    Activation,
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    Add,
    Affine,
    AveragePool,
    BatchNorm,
    Broadcast,
    ChannelShuffle,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Divide,
    Elu,
    Flatten,
    Gather,
    GlobalAveragePool,
    GroupNorm,
    HardSigmoid,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyRelu,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MatMul,
    MatrixLayer,
    Maximum,
    MaxPool,
    Minimum,
    Multiply,
    Network,
    Pad,
    Permute,
    Power,
    PRelu,
    Recurrent,
    Reduce,
    Relu,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Softplus,
    Subtract,
    Upsample,
)
from mapping.placement.counts import beside_matrices
from mapping.prices.digital_counts import PASSING, digital_work, work_of

ONES = np.ones(4)


@pytest.mark.parametrize(
    ("layer", "shapes", "wanted"),
    [
        (Relu("x", ("a",)), [(4, 6, 6)], Activity(comparisons=144)),
        (Activation("x", ("a",), "silu"), [(4, 6, 6)], Activity(buffer_bits=8 * 144)),
        (MaxPool("x", ("a",), (2, 2), (2, 2)), [(4, 6, 6)], Activity(comparisons=3 * 36)),
        (MaxPool("x", ("a",), (3, 3), (3, 3)), [(4, 6, 6)], Activity(comparisons=8 * 16)),
        (AveragePool("x", ("a",), (2, 2), (2, 2)), [(4, 6, 6)], Activity(additions=3 * 36, multiplications=36)),
        (GlobalAveragePool("x", ("a",)), [(4, 6, 6)], Activity(additions=35 * 4, multiplications=4)),
        (Add("x", ("a", "b", "c")), [(4, 6, 6)] * 3, Activity(additions=288, buffer_bits=16 * 144)),
        (Scale("x", ("a", "b")), [(4, 6, 6), (4,)], Activity(multiplications=144, buffer_bits=32)),
        (BatchNorm("x", ("a",), ONES, ONES, ONES, ONES), [(4, 6, 6)], Activity(additions=144, multiplications=144)),
        (
            Softmax("x", ("a",)), [(4,)],
            Activity(additions=7, multiplications=4, comparisons=3, buffer_bits=40),
        ),
        (Softmax("x", ("a",)), [(4, 3, 3)],
            Activity(additions=63, multiplications=36, comparisons=27, buffer_bits=360)),
        (LogSoftmax("x", ("a",), 1), [(4, 3)], Activity(additions=32, comparisons=8, buffer_bits=128)),
        *((each, [(4, 6, 6)], Activity(buffer_bits=8 * 144)) for each in (
            Elu("x", ("a",)), Softplus("x", ("a",)), HardSigmoid("x", ("a",)), Power("x", ("a",), 0.5)
        )),
        (Power("x", ("a",), 2.0), [(4, 6, 6)], Activity(multiplications=144)),
        (LeakyRelu("x", ("a",)), [(4, 6, 6)], Activity(comparisons=144, multiplications=144)),
        (PRelu("x", ("a",), ONES), [(4, 6, 6)], Activity(comparisons=144, multiplications=144)),
        (Clip("x", ("a",), -1.0, 1.0), [(4, 6, 6)], Activity(comparisons=288)),
        (AdaptiveMaxPool("x", ("a",), (1, 4)), [(4, 2, 6)], Activity(comparisons=4 * (2 * 8 - 4))),
        (AdaptiveAveragePool("x", ("a",), (1, 3)), [(4, 6)], Activity(additions=12, multiplications=12)),
        (Upsample("x", ("a",), (12, 12)), [(4, 6, 6)], Activity()),
        (Upsample("x", ("a",), (12, 9), "bilinear"), [(4, 6, 6)],
            Activity(additions=288 + 432, multiplications=2 * 720, buffer_bits=16 * 720)),
        (Subtract("x", ("a", "b")), [(4, 6), (6,)], Activity(additions=24, buffer_bits=48)),
        (Multiply("x", ("a", "b", "c")), [(4, 6), (6,), (4, 6)], Activity(multiplications=48, buffer_bits=240)),
        (Divide("x", ("a", "b")), [(4, 6), (6,)], Activity(multiplications=24, buffer_bits=96)),
        (Maximum("x", ("a", "b")), [(4, 6), (6,)], Activity(comparisons=24, buffer_bits=48)),
        (Minimum("x", ("a", "b")), [(4, 6), (6,)], Activity(comparisons=24, buffer_bits=48)),
        (Affine("x", ("a",), 2.0), [(4, 6)], Activity(multiplications=24)),
        (Affine("x", ("a",), None, ONES[:, None]), [(4, 6)], Activity(additions=24)),
        (Reduce("x", ("a",), "sum", (1,)), [(4, 6)], Activity(additions=20)),
        (Reduce("x", ("a",), "mean", (1,)), [(4, 6)], Activity(additions=20, multiplications=4)),
        (Reduce("x", ("a",), "min", (0,)), [(4, 6)], Activity(comparisons=18)),
        (MatMul("x", ("a", "b")), [(4, 6), (6, 3)], Activity(additions=60, multiplications=72, buffer_bits=16 * 72)),
        (LayerNorm("x", ("a",), ONES, ONES), [(3, 4)], Activity(additions=45, multiplications=42, buffer_bits=8 * 39)),
        (GroupNorm("x", ("a",), 2, ONES, ONES), [(4, 3)],
            Activity(additions=46, multiplications=40, buffer_bits=8 * 38)),
        (InstanceNorm("x", ("a",), ONES, ONES), [(4, 3)],
            Activity(additions=44, multiplications=44, buffer_bits=8 * 40)),
        (LocalResponseNorm("x", ("a",), 3), [(4, 3)], Activity(additions=36, multiplications=36, buffer_bits=192)),
        *((each, [(4, 6, 6)], Activity()) for each in (
            Flatten("x", ("a",)), Reshape("x", ("a",), (24, 6)), Permute("x", ("a",), (1, 2, 0)),
            ChannelShuffle("x", ("a",), 2), Slice("x", ("a",), 0, 1, 2), Gather("x", ("a",), 0, (1, 0)),
            Pad("x", ("a",), (0, 1, 1), (0, 0, 0)), Broadcast("x", ("a",), (2, 4, 6, 6)),
        )),
        (Concat("x", ("a", "b")), [(4, 6), (2, 6)], Activity()),
    ],
)  # fmt: skip
def test_work__by_hand(layer, shapes, wanted):
    assert digital_work(layer, shapes, layer.output_shape(*shapes)) == wanted


def test_work__of_every_kind_is_counted_or_known_to_pass_values_on():
    for name, kind in KINDS.items():
        if not kind.__module__.startswith("mapping."):
            continue
        counted = digital_work.dispatch(kind) is not digital_work.dispatch(Layer)
        assert counted + (kind in PASSING) + issubclass(kind, MatrixLayer) == 1, name


@pytest.mark.parametrize(
    ("layer", "shape", "wanted"),
    [
        # 2 columns of 3 taps each, one step apart: 6 products meet 4 pixels, in each of 5 rows and outputs
        (ConvTranspose("x", ("a",), np.ones((4, 2, 1, 3))), (4, 5, 2),
            Activity(additions=10 * 2.0, buffer_bits=8.0 * (60 + 40))),
        # padding cuts off the outermost two, and a bias is added to each of the 10 columns that stay
        (ConvTranspose("x", ("a",), np.ones((4, 2, 1, 3)), ONES[:2], padding=(0, 1)), (4, 5, 2),
            Activity(additions=10 * 2.0 + 20, buffer_bits=8.0 * (40 + 20))),
        (Recurrent("x", ("a",), np.ones((3, 2)), np.ones((3, 3)), None, None, "rnn-tanh"), (5, 2),
            Activity(additions=15, buffer_bits=16 * 15)),
        (Recurrent("x", ("a",), np.ones((12, 2)), np.ones((12, 3)), None, None, "lstm"), (5, 2),
            Activity(additions=75, multiplications=45, buffer_bits=64 * 15)),
        (Recurrent("x", ("a",), np.ones((9, 2)), np.ones((9, 3)), None, None, "gru"), (5, 2),
            Activity(additions=75, multiplications=45, buffer_bits=40 * 15)),
        (Linear("x", ("a",), np.ones((9, 2))), (5, 2), Activity()),
    ],
)  # fmt: skip
def test_work__beside_matrices_by_hand(layer, shape, wanted):
    assert beside_matrices(layer, [shape], 1, 8) == wanted
    halved = beside_matrices(layer, [shape], 1, 4)
    assert halved == dataclasses.replace(wanted, buffer_bits=wanted.buffer_bits / 2)
    assert beside_matrices(layer, [shape], 3, 8) == wanted.scaled(3.0)


def network():
    rng = np.random.default_rng(3)
    layers = (
        Conv("conv", ("input",), rng.normal(size=(4, 2, 3, 3)), padding=(1, 1)),
        Relu("relu", ("conv",)),
        Add("add", ("relu", "conv")),
        MaxPool("pool", ("add",), (2, 2), (2, 2)),
        Flatten("flat", ("pool",)),
        Linear("fc", ("flat",), rng.normal(size=(3, 36))),
    )
    return Network("small", (2, 6, 6), tuple("abc"), layers)


def test_work__of_a_network():
    found = work_of(network())
    assert list(found) == ["conv", "relu", "add", "pool", "flat", "fc"]
    assert found["conv"] == found["fc"] == found["flat"] == Activity()
    assert found["relu"] == Activity(comparisons=144)
    assert found["pool"] == Activity(comparisons=108)


def test_work__is_priced_without_a_converter_or_an_array():
    energies = Costs(node=40e-9).energies(work_of(network())["add"], Periphery())
    assert energies["digital"] == pytest.approx(144 * 0.021e-12 * 40 / 32, rel=1e-12, abs=0.0)
    assert energies["buffers"] == pytest.approx(8 * 144 * 8e-14 * 40 / 32, rel=1e-12, abs=0.0)
    assert energies["array"] == energies["adc"] == energies["drivers"] == energies["gates"] == 0.0
