"""Layers in torch: the same numbers as the exact layers, and a chip's own numbers where they lie on tiles."""

import numpy as np
import pytest

from mapping.hardware.description_files import load_hardware
from mapping.inference.running import run
from mapping.networks import AveragePool, MatrixLayer, Network
from mapping.networks.layers.examples import MADE, example_images, example_layers
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

torch = pytest.importorskip("torch")

from mapping.training import ChipModule, digital_layers  # noqa: E402


@pytest.mark.parametrize("name", MADE)
def test_digital_layers__compute_what_the_exact_ones_do(name):
    network = Network("example", (2, 5, 6), ("a", "b", "c"), example_layers(name))
    values = network.activations(example_images(3))
    layer = network.layer("layer")
    if isinstance(layer, MatrixLayer):
        pytest.skip("it lies on tiles")
    found = digital_layers.apply(layer, *(torch.tensor(values[source]) for source in layer.inputs)).numpy()
    np.testing.assert_allclose(found, values["layer"], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("ceil", [True, False])
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (0, 1, 1, 0)])
def test_average_pool__divides_by_the_same_pixels(rng, ceil, counted, padding):
    x = rng.normal(size=(2, 3, 7, 6))
    layer = AveragePool("x", ("a",), (3, 2), (2, 2), padding, counted, ceil)
    np.testing.assert_allclose(digital_layers.apply(layer, torch.tensor(x)).numpy(), layer.apply(x), rtol=1e-12)


ON_TILES = ("Conv, padded on some sides", "Conv, one-dimensional", "ConvTranspose", "ConvTranspose, in groups",
            "DynamicConv, sigmoid", "Linear")  # fmt: skip


@pytest.mark.parametrize("name", ON_TILES)
def test_chip_module__gives_what_the_run_gives_and_a_gradient(name):
    images = example_images(3)
    network = Network("example", (2, 5, 6), ("a", "b", "c"), example_layers(name))
    program = compile_network(network, load_hardware("adaptive2d"), images)
    module = ChipModule(program, seed=4, read_seed=5, precision="double").eval()
    outputs = module(torch.tensor(images))
    wanted = run(write(program, 4), images, seed=5, precision="double").logits
    np.testing.assert_allclose(outputs.detach().numpy(), wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())
    outputs.square().sum().backward()
    own = [value.grad for key, value in module.named_parameters() if key.startswith("layer")]
    assert own
    assert all(bool(torch.isfinite(each).all()) and float(each.abs().sum()) > 0.0 for each in own)


@pytest.mark.parametrize("name", ["ConvTranspose", "DynamicConv, sigmoid", "Linear"])
def test_chip_module__gradient_is_the_slope_where_nothing_deviates(name, rng):
    images = example_images(2)
    network = Network("example", (2, 5, 6), ("a", "b", "c"), example_layers(name))
    program = compile_network(network, load_hardware("ideal"), images)
    module = ChipModule(program, precision="double")
    weight = dict(module.named_parameters())["layer_weight"]
    direction = torch.tensor(rng.normal(size=tuple(weight.shape)))
    loss = module(torch.tensor(images)).square().sum()
    loss.backward()
    slope = float((weight.grad * direction).sum())
    values, step = [], 1e-5
    for sign in (1.0, -1.0):
        with torch.no_grad():
            weight += sign * step * direction
        held = module.network()
        values.append(float((held.forward(images) ** 2).sum()))
        with torch.no_grad():
            weight -= sign * step * direction
    assert slope == pytest.approx((values[0] - values[1]) / (2.0 * step), rel=1e-5)
