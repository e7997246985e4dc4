"""The commands that compute by torch: crossgate train, and crossgate run on a device."""

import json

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping import compile_network, load_dataset, load_hardware, load_network, run, write
from mapping.cli.command import app, main

torch = pytest.importorskip("torch")

from mapping.training import check_device, run_on_device  # noqa: E402

SMALL = ("--set", "tile.gate_nodes=3", "--set", "tile.adjust_outputs=false", "--set", "tile.compensate_wires=false")


def command(*words):
    app([*words], standalone_mode=False)


@pytest.fixture
def small(tmp_path, rng):
    """A network of one matrix on the digits, in a file."""
    from mapping import Network, save_network
    from mapping.networks import Flatten, Linear

    layers = (Flatten("flat", ("input",)), Linear("fc", ("flat",), 0.1 * rng.normal(size=(10, 64)), np.zeros(10)))
    card = {"dataset": "digits"}
    save_network(Network("small", (1, 8, 8), tuple("0123456789"), layers, card), tmp_path / "small.npz")
    return tmp_path / "small.npz"


def test_train__the_network_it_writes_runs_and_is_better(small, tmp_path, capsys):
    out = tmp_path / "out"
    words = ("train", str(small), *SMALL, "--epochs", "3", "--rate", "2e-2", "--images", "600", "--out", str(out))
    command(*words)
    said = capsys.readouterr()
    assert "before" in said.out
    assert "epoch 3:" in said.err
    trained = load_network(out / "network.npz")
    before, after = (rows_accuracy(network, tmp_path) for network in (load_network(small), trained))
    assert after > before + 0.3
    assert {path.name for path in out.iterdir()} == {"checkpoint.pt", "learning.png", "log.csv", "network.npz"}
    command(
        "train", str(small), *SMALL, "--epochs", "3", "--rate", "2e-2", "--images", "600", "--out", str(out), "--json"
    )
    rows = json.loads(capsys.readouterr().out)
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]


def rows_accuracy(network, tmp_path):
    train, test = load_dataset("digits", "train", limit=128), load_dataset("digits")
    hardware = load_hardware("adaptive2d").with_values(list(SMALL[1::2]))
    result = run(write(compile_network(network, hardware, train.images), 0), test.images)
    return result.accuracy(test.labels)[0]


def test_run_on_device__is_the_run(small):
    """Torch on a processor gives what the package's own kernels give; the code is that of a card."""
    test = load_dataset("digits", limit=200)
    program = compile_network(load_network(small), "adaptive2d", load_dataset("digits", "train", limit=32).images)
    chip, seen = write(program, 1), []
    got = run_on_device(chip, test.images, "cpu", seed=4, batch=90, progress=seen.append)
    exact = run(chip, test.images, seed=4).logits
    assert seen == [90, 180, 200]
    assert np.mean(np.abs(got - exact) < 1e-4 * np.abs(exact).max()) > 0.98
    assert np.mean(got.argmax(1) == exact.argmax(1)) > 0.99


def test_run__on_a_card(small, tmp_path, capsys, monkeypatch):
    """The command's way to a card, with torch's processor in its place."""
    from mapping import training

    monkeypatch.setattr("mapping.training.devices_of_torch.DEVICES", ("cpu", "cuda", "card"))
    real = training.run_on_device
    monkeypatch.setattr(
        "mapping.training.run_on_device", lambda chip, images, device, **rest: real(chip, images, "cpu", **rest)
    )
    command("run", str(small), "--images", "60", "--out", str(tmp_path / "a"), "--json", "--device", "card")
    card = json.loads(capsys.readouterr().out)
    command("run", str(small), "--images", "60", "--out", str(tmp_path / "b"), "--json")
    plain = json.loads(capsys.readouterr().out)
    assert card["accuracy_chip"] == plain["accuracy_chip"]
    assert card["accuracy_exact"] == plain["accuracy_exact"]
    assert (tmp_path / "a" / "predictions.csv").read_text() == (tmp_path / "b" / "predictions.csv").read_text()
    assert card["energy_J_per_image"] == pytest.approx(plain["energy_J_per_image"], rel=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a card is there")
def test_devices__no_card_is_one_sentence(small, tmp_path, capsys, monkeypatch):
    for words in (("run", str(small)), ("train", str(small))):
        monkeypatch.setattr("sys.argv", ["crossgate", *words, "--device", "cuda", "--out", str(tmp_path / "none")])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert "--device must be cpu on this machine, as torch" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_devices__bad_input_is_refused(small, tmp_path, monkeypatch):
    with pytest.raises(ParameterError, match="device must be one of cpu, cuda, got 'tpu'"):
        check_device("tpu")
    with pytest.raises(ParameterError, match="--epochs must be a whole number ≥ 1, got '0'"):
        command("train", str(small), "--epochs", "0")
    with pytest.raises(ParameterError, match="chips must be one of one, anew"):
        command("train", str(small), "--chips", "two")
    monkeypatch.setattr("mapping.training.devices_of_torch.find_spec", lambda name: None)
    with pytest.raises(ParameterError, match=r"this needs torch: pip install 'crossgate\[torch\]'"):
        command("train", str(small), "--out", str(tmp_path / "none"))
