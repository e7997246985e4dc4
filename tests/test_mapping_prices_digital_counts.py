"""What layers without matrices are counted and priced for."""

import numpy as np
import pytest

from crossbar import Activity, Adc
from crossbar.prices.costs import Costs
from mapping.networks import (
    Activation,
    Add,
    AveragePool,
    BatchNorm,
    Conv,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Network,
    Relu,
    Scale,
    Softmax,
)
from mapping.prices.digital_counts import digital_work, work_of

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
        (Flatten("x", ("a",)), [(4, 6, 6)], Activity()),
    ],
)  # fmt: skip
def test_work__by_hand(layer, shapes, wanted):
    assert digital_work(layer, shapes, layer.output_shape(*shapes)) == wanted


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
    energies = Costs(node=40e-9).energies(work_of(network())["add"], Adc())
    assert energies["digital"] == pytest.approx(144 * 0.021e-12 * 40 / 32, rel=1e-12, abs=0.0)
    assert energies["buffers"] == pytest.approx(8 * 144 * 8e-14 * 40 / 32, rel=1e-12, abs=0.0)
    assert energies["array"] == energies["adc"] == energies["drivers"] == energies["gates"] == 0.0
