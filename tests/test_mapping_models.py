"""The zoo: what load_model finds, what the cards say, and that the networks are as good as their cards."""

import json
import shutil

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping.datasets import load_dataset
from mapping.models import load_model, model_card, model_names
from mapping.network import DynamicConv, load_network

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
    from mapping.datasets import ZOO

    path = tmp_path / "mine.npz"
    shutil.copy(ZOO / "vgg-digits.npz", path)
    for given in (path, str(path)):
        assert load_model(given).name == "vgg-digits"
        assert model_card(given) == networks["vgg-digits"].card
    assert load_network(path).parameters == networks["vgg-digits"].parameters


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dvgg-digit", "there is no model 'dvgg-digit' in the zoo; did you mean dvgg-digits or vgg-digits"),
        ("VGG_digits", "did you mean vgg-digits"),
        ("", "the zoo has .*vgg-digits"),
        ("???", "the zoo has .*vgg-digits"),
        ("digits", "there is no model 'digits'"),
        ("missing.npz", r"there is no network file missing\.npz"),
        ("some/folder", r"there is no network file some/folder"),
    ],
)
def test_load_model__of_an_unknown_name_is_one_sentence(name, words):
    for call in (load_model, model_card):
        with pytest.raises(ParameterError, match=words) as caught:
            call(name)
        assert "\n" not in str(caught.value)
