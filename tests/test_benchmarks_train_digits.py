"""Training of the digits' networks: one epoch from images to a stored network, and a stopped run that continues."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.train import digits  # noqa: E402
from benchmarks.train.layers import Hardware, plain_values  # noqa: E402
from mapping.data.datasets import load_dataset  # noqa: E402
from mapping.networks import DynamicConv, load_network  # noqa: E402

SMALL = {"widths": (4, 4, 4, 4, 4), "epochs": 1, "batch": 256}


@pytest.mark.parametrize("name", ["dvgg-digits", "vgg-negatives"])
def test_make__trains_an_epoch_and_stores_the_network(name, tmp_path, monkeypatch, capsys):
    """The card holds an infinite limit as a text, since JSON has no number for it."""
    monkeypatch.setattr(digits, "accuracy", lambda *_, **__: 0.5)  # 50 disturbed draws are most of the time
    data, recipe = digits.MODELS[name]
    made = digits.make(name, replace(recipe, **SMALL), Hardware(), 3, tmp_path)
    network = load_network(tmp_path / f"{name}.npz")
    test = load_dataset(data, "test")
    np.testing.assert_array_equal(network.forward(test.images), made.forward(test.images))
    assert network.card["accuracy"]["test"] == np.mean(network.forward(test.images).argmax(1) == test.labels)
    assert network.card["disturbances"]["clip"] == "inf"
    assert network.card["dataset"] == data
    assert [isinstance(layer, DynamicConv) for layer in network.layers[:6:3]] == [False, name.startswith("d")]
    assert json.loads(capsys.readouterr().out)["name"] == name
    assert (tmp_path / f"{name}.csv").read_text().count("\n") == 2


def test_run__continues_from_its_checkpoint_as_if_never_stopped(tmp_path, monkeypatch):
    recipe = replace(digits.NARROW, **SMALL | {"epochs": 2})
    whole = digits.Run("dvgg-negatives", recipe, Hardware(), 5)
    whole.train()
    kept = tmp_path / "run.pt"
    first = digits.Run("dvgg-negatives", recipe, Hardware(), 5, kept)
    monkeypatch.setattr(digits, "EVERY", 1)
    steps, step = [], first.step

    def stopped(chosen):
        steps.append(chosen)
        if len(steps) > 5:  # in the second of two epochs of four steps
            raise KeyboardInterrupt
        return step(chosen)

    monkeypatch.setattr(first, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        first.train()
    second = digits.Run("dvgg-negatives", recipe, Hardware(), 5, kept)
    assert second.epoch == 1
    second.train()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    with pytest.raises(SystemExit, match="another recipe or seed"):
        digits.Run("dvgg-negatives", recipe, Hardware(), 6, kept)


def test_plain_values__are_what_json_holds():
    values = plain_values(Hardware(weight=float("nan")))
    assert values["weight"] == "nan"
    assert json.loads(json.dumps(values, allow_nan=False))["clip"] == "inf"
