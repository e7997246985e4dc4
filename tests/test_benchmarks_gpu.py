"""The GPU benchmark without a GPU: the network in PyTorch, the arithmetic of a measurement, its file."""

import json

import numpy as np
import pytest

from benchmarks import gpu
from devices.errors import ParameterError
from mapping.data.datasets import load_dataset
from mapping.networks import (
    Activation,
    Add,
    Attention,
    AveragePool,
    BatchNorm,
    Conv,
    DynamicConv,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Network,
    Scale,
    Softmax,
)
from mapping.networks.models import load_model
from mapping.prices.yardsticks import MEASURED, measurements

ENTRY = {
    "model": "dvgg-digits", "batch": 1, "precision": "fp16", "card": "a card", "joules_per_image": 0.1,
    "joules_per_image_above_rest": 0.02, "images": 1000, "date": "2026-01-01", "driver": "1", "torch": "2",
}  # fmt: skip


def exotic(rng):
    """Every kind of layer but those of dvgg-digits."""
    layers = (
        Conv("conv", ("input",), rng.normal(size=(4, 1, 3, 3)), rng.normal(size=4), (1, 2), (2, 1), (2, 1), 2),
        BatchNorm("norm", ("conv",), rng.random(4), rng.random(4), rng.random(4), rng.random(4) + 0.5, 1e-3),
        Activation("swish", ("norm",), "hard-swish"),
        AveragePool("mean", ("swish",), (2, 2), (1, 1), (1, 1), count_padding=False),
        DynamicConv(
            "mixed", ("mean", "mean"), rng.normal(size=(3, 6, 2, 3, 3)), rng.normal(size=(3, 6)), (2, 1), (1, 1),
            (1, 1), 2,
            Attention(rng.normal(size=(2, 4)), rng.normal(size=2), rng.normal(size=(3, 2)), None, 2.0, "sigmoid"),
        ),
        MaxPool("max", ("mixed",), (2, 2), (1, 1), (1, 1)),
        GlobalAveragePool("pool", ("max",)),
        Activation("gate", ("pool",), "sigmoid"),
        Scale("scale", ("max", "gate")),
        Add("add", ("scale", "max")),
        Flatten("flat", ("add",)),
        Linear("fc", ("flat",), rng.normal(size=(2, 216)) / 216),
        Softmax("out", ("fc",)),
    )  # fmt: skip
    return Network("exotic", (2, 9, 8), tuple("ab"), layers)


def test_forward__is_the_network():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    cases = (
        (load_model("dvgg-digits"), load_dataset("digits", "test", limit=4).images),
        (exotic(rng), rng.normal(size=(3, 2, 9, 8))),
    )
    for network, images in cases:
        with torch.inference_mode():
            found = gpu.forward(network, "cpu", "fp32")(torch.as_tensor(images)).numpy()
        wanted = network.forward(images)
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_without_a_card__one_sentence_and_status_2(tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "measured.json"
    assert gpu.main(["dvgg-digits", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said == "gpu: there is no CUDA card that PyTorch can use on this machine, so nothing was measured\n"
    assert not out.exists()


def test_measured__counts_what_lies_between_settled_states():
    """A card of 50 W that takes 0.25 s for a call, with a counter that only moves while it works."""
    state = {"time": 0.0, "queued": 0}

    def settle():
        state["time"] += 0.25 * state["queued"]
        state["queued"] = 0

    def call():
        state["queued"] += 1
        state["time"] += 1e-3  # to launch

    calls, took, spent = gpu.measured(call, settle, lambda: 50.0 * state["time"], 10.0, lambda: state["time"])
    assert calls % 16 == 0
    assert took == pytest.approx(0.251 * calls, rel=1e-9)
    assert spent == pytest.approx(50.0 * took, rel=1e-9)


def test_store__replaces_what_it_measured_before(tmp_path):
    path = tmp_path / "measured.json"
    gpu.store([ENTRY, ENTRY | {"batch": 512}], path)
    gpu.store([ENTRY | {"joules_per_image": 0.2}], path)
    held = json.loads(path.read_text(encoding="utf-8"))
    assert [(each["batch"], each["joules_per_image"]) for each in held] == [(512, 0.1), (1, 0.2)]


def test_measurements__stand_beside_the_bounds(tmp_path):
    path = tmp_path / "measured.json"
    gpu.store([ENTRY, ENTRY | {"model": "other"}], path)
    (found,) = measurements("dvgg-digits", 1e-6, path)
    assert found.name == "a card, fp16, measured, batch 1"
    assert found.energy_J == (0.02, 0.1)
    assert found.ratio == pytest.approx((2e4, 1e5), rel=1e-12)
    assert measurements("dvgg-digits", 1e-6, tmp_path / "none.json") == ()
    path.write_text("[{}]")
    with pytest.raises(ParameterError, match="holds no measurements of cards: KeyError"):
        measurements("dvgg-digits", 1e-6, path)
    assert MEASURED.parent.name == "prices"
