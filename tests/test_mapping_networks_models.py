"""The zoo: what load_model finds, the model cards, and accuracies that agree with the cards."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from devices.errors import ParameterError
from mapping.data.datasets import load_dataset
from mapping.networks import DynamicConv, load_network
from mapping.networks.models import load_model, model_card, model_names

NAMES = ("dvgg-digits", "vgg-digits")


@pytest.fixture(scope="module")
def networks():
    return {name: load_model(name) for name in NAMES}


def accuracy(network, split):
    data = load_dataset("digits", split)
    return np.mean(network.forward(data.images).argmax(axis=1) == data.labels)


def test_model_names__are_the_networks_and_not_the_data():
    assert set(NAMES) <= set(model_names())
    assert "digits" not in model_names()


@pytest.mark.parametrize("name", NAMES)
def test_zoo__is_right_on_held_out_digits_as_its_card_says(networks, name):
    measured = accuracy(networks[name], "test")
    assert measured >= 0.98
    assert measured == model_card(name)["accuracy"]["test"]
    assert accuracy(networks[name], "validation") == model_card(name)["accuracy"]["validation"]


@pytest.mark.parametrize("name", NAMES)
def test_zoo__cards_say_where_the_network_comes_from(networks, name):
    card = model_card(name)
    assert card == networks[name].card
    assert card["dataset"] == "digits"
    wanted = {"accuracy", "command", "date", "epochs", "licence", "recipe", "seed", "split", "torch"}
    assert wanted <= set(card)
    assert all(0.0 <= card["accuracy"][split] <= 1.0 for split in ("train", "validation", "test"))
    json.dumps(card, allow_nan=False)


def test_zoo__static_and_dynamic_share_backbone_and_recipe(networks):
    dynamic, static = networks["dvgg-digits"], networks["vgg-digits"]
    assert dynamic.shapes() == static.shapes()
    assert dynamic.card["recipe"] == static.card["recipe"]
    assert dynamic.card["seed"] == static.card["seed"]
    assert static.parameters < 150_000
    kinds = [isinstance(layer, DynamicConv) for layer in dynamic.layers if layer.name.startswith("conv")]
    assert kinds == [False, True, True, True, True]


CIFAR10 = ("cifar10", "cifar10-narrow")


@pytest.fixture(scope="module")
def cifar10():
    return {name: load_model(name) for size in CIFAR10 for name in (f"dvgg-{size}", f"vgg-{size}")}


@pytest.mark.parametrize("size", CIFAR10)
def test_zoo__cifar10_networks_share_backbone_and_recipe(cifar10, size):
    dynamic, static = cifar10[f"dvgg-{size}"], cifar10[f"vgg-{size}"]
    assert dynamic.shapes() == static.shapes()
    ours = ("kernels", "growth", "routed", "attention_rate", "hot", "cold", "annealed", "dropped")  # of its attention
    recipes = [{key: x for key, x in net.card["recipe"].items() if key not in ours} for net in (dynamic, static)]
    assert recipes[0] == recipes[1]
    assert [layer.kernels for layer in dynamic.layers if isinstance(layer, DynamicConv)] == [4] * 6
    for network in (dynamic, static):
        card = network.card
        assert card["dataset"] == "cifar10"
        assert {"accuracy", "chosen_on", "curves", "date", "epochs", "licence", "seed", "split", "torch"} <= set(card)
        assert (Path(__file__).parent.parent / card["curves"]).read_text().count("\n") == card["epochs"] + 1


@pytest.mark.parametrize("size", CIFAR10)
def test_zoo__cifar10_attention_is_alive_on_noise_of_every_scale(cifar10, size, rng):
    """Its card tells how alive it is on images of the data set; here only that it looks at the image."""
    layers = cifar10[f"dvgg-{size}"].card["attention"]["layers"]
    assert set(layers) == {f"conv{n}" for n in range(1, 7)}
    for each in layers.values():
        assert each["variance_over_images"] > 0.005
        assert each["entropy"] < 0.95
        assert each["entropy_of_mean"] > 0.9
    images = rng.random((4, 3, 32, 32)) * np.array([0.2, 0.5, 0.8, 1.0])[:, None, None, None]
    values = cifar10[f"dvgg-{size}"].activations(images)
    assert all(values[f"conv{n}.attention"].std(axis=0).max() > 0.01 for n in range(1, 7))


@pytest.mark.parametrize("name", [f"{kind}-{size}" for kind in ("dvgg", "vgg") for size in CIFAR10])
def test_zoo__cifar10_is_right_as_its_card_says(cifar10, name):
    folder = os.environ.get("CROSSGATE_TEST_CIFAR10")
    if folder is None:
        pytest.skip("CROSSGATE_TEST_CIFAR10 names no folder with CIFAR-10; tests download nothing")
    data = load_dataset("cifar10", "test", folder, limit=500)
    right = np.mean(cifar10[name].forward(data.images, single=True).argmax(axis=1) == data.labels)
    assert abs(right - model_card(name)["accuracy"]["test"]) < 0.04  # 500 of 10,000 images


def test_zoo__attention_is_alive(networks):
    network = networks["dvgg-digits"]
    values = network.activations(load_dataset("digits", "test").images)
    for layer in network.layers:
        if isinstance(layer, DynamicConv):
            shares = values[f"{layer.name}.attention"]
            np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)
            assert shares.shape[1] == 4
            assert shares.std(axis=0).max() > 0.03  # differs between images
            assert shares.mean(axis=0).min() > 0.02  # every kernel is used


def test_zoo__the_attention_of_other_images_costs_accuracy(networks, rng):
    """The shares belong to the image: with those of another image the same kernels do clearly worse."""
    network = networks["dvgg-digits"]
    data = load_dataset("digits", "test")
    others = rng.permutation(len(data))
    values = {"input": data.images}
    for layer in network.layers:
        x = values[layer.inputs[0]]
        dynamic = isinstance(layer, DynamicConv)
        values[layer.name] = layer.convolve(x, layer.attention.shares(x)[others]) if dynamic else layer.apply(x)
    assert np.mean(values["fc"].argmax(axis=1) == data.labels) < accuracy(network, "test") - 0.03


def test_zoo__weights_are_single_precision_in_the_file(networks):
    for network in networks.values():
        for layer in network.layers:
            for name in layer.arrays:
                held = getattr(layer, name)
                assert held is None or np.array_equal(held, held.astype(np.float32))


def test_load_model__takes_a_path(networks, tmp_path):
    from mapping.networks.models import ZOO

    path = tmp_path / "mine.npz"
    shutil.copy(ZOO / "vgg-digits.npz", path)
    for given in (path, str(path)):
        assert load_model(given).name == "vgg-digits"
        assert model_card(given) == networks["vgg-digits"].card
    assert load_network(path).parameters == networks["vgg-digits"].parameters


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dvgg-digit", "unknown model 'dvgg-digit'; nearest valid: dvgg-digits, vgg-digits"),
        ("VGG_digits", "nearest valid: vgg-digits"),
        ("", "valid are .*vgg-digits"),
        ("???", "valid are .*vgg-digits"),
        ("digits", "unknown model 'digits'"),
        ("missing.npz", r"there is no network file missing\.npz"),
        ("some/folder", r"there is no network file some/folder"),
    ],
)
def test_load_model__of_an_unknown_name_is_one_sentence(name, words):
    for call in (load_model, model_card):
        with pytest.raises(ParameterError, match=words) as caught:
            call(name)
        assert "\n" not in str(caught.value)


def test_zoo__negatives_need_their_attention():
    """Digits and their negatives: with equal attention weights half of the answers are lost; the twin stays behind."""
    dynamic, static = load_model("dvgg-negatives"), load_model("vgg-negatives")
    assert dynamic.shapes() == static.shapes()
    assert dynamic.card["recipe"] == static.card["recipe"]
    data = load_dataset("negatives", "test")
    layers = [layer for layer in dynamic.layers if isinstance(layer, DynamicConv)]
    assert len(layers) == 5
    equal = {layer.name: np.full((len(data), layer.kernels), 1.0 / layer.kernels) for layer in layers}
    right = {
        "dynamic": dynamic.forward(data.images).argmax(axis=1) == data.labels,
        "static": static.forward(data.images).argmax(axis=1) == data.labels,
        "equal": dynamic.forward(data.images, attention=equal).argmax(axis=1) == data.labels,
    }
    for name, network in (("dynamic", dynamic), ("static", static)):
        assert right[name].mean() == network.card["accuracy"]["test"]
    assert right["dynamic"].mean() > 0.95
    assert right["equal"].mean() < 0.5
    gained, lost = np.sum(right["dynamic"] & ~right["static"]), np.sum(~right["dynamic"] & right["static"])
    assert binomtest(int(gained), int(gained + lost)).pvalue < 1e-4  # McNemar's exact test
