"""The study of a dynamic and a static network: the varied values reach the chip, and an interrupted study resumes."""

import csv

import numpy as np
import pytest

from benchmarks import cifar_study
from mapping.hardware.description_files import load_hardware
from mapping.networks import GlobalAveragePool, Linear, Network, save_network
from mapping.studies import sweeping as sweep
from mapping.studies.description import held_value


@pytest.mark.parametrize("name", cifar_study.PARAMETERS)
def test_parameters__include_what_the_chip_is_anyway(name):
    varied = cifar_study.PARAMETERS[name]
    chip = load_hardware("adaptive2d")
    for key in varied.keys:
        assert held_value(chip, key) in varied.values
        for value in varied.values:
            assert held_value(chip.with_values([f"{key}={value}"]), key) == value
    assert list(varied.values) == sorted(set(varied.values))


def test_studies__gates_are_for_the_dynamic_network_only():
    found = list(cifar_study.parts(cifar_study.arguments([])))
    assert len(found) == len(set(found)) == 2 * (2 * (len(cifar_study.PARAMETERS) + 1) - 3)
    assert not [part for part in found if part.model == "vgg-cifar10" and part.name in ("gate-dac", "offset-line")]


def test_studies__leave_the_chip_as_it_is_to_one_of_them():
    given = cifar_study.arguments(["--static", ""])
    for part in cifar_study.parts(given):
        [parameter] = cifar_study.study_of(part, given).parameters
        own = held_value(load_hardware("adaptive2d"), parameter.keys[0])
        assert (own in parameter.values) == (part.name == cifar_study.DEFAULT)


def test_main__writes_a_table_and_a_figure_and_goes_on(tmp_path, monkeypatch, rng):
    layers = (GlobalAveragePool("pool", ("input",)), Linear("fc", ("pool",), rng.normal(size=(10, 1))))
    model = tmp_path / "tiny.npz"
    save_network(Network("tiny", (1, 8, 8), tuple("0123456789"), layers, {"dataset": "digits"}), model)
    out = tmp_path / "out"
    words = ["--dynamic", "", "--static", str(model), "--images", "3", "--seeds", "2", "--out", str(out)]
    cifar_study.main([*words, "--only", "age"])
    first = (out / "study.csv").read_text()
    monkeypatch.setattr(sweep, "simulate", lambda task: pytest.fail("computed again"))
    cifar_study.main([*words, "--only", "age"])
    assert (out / "study.csv").read_text() == first
    rows = list(csv.DictReader(first.splitlines()))
    assert tuple(rows[0]) == cifar_study.HEADING
    assert len(rows) == 2 * len(cifar_study.PARAMETERS["age"].values)
    assert [float(row["value"]) for row in rows[::2]] == list(cifar_study.PARAMETERS["age"].values)
    assert {(row["network"], row["chip"], row["parameter"], row["images"]) for row in rows} == {
        ("tiny", "two_terminal", "age", "3")
    }
    assert np.all([0.0 <= float(row["accuracy_chip"]) <= 1.0 for row in rows])
    assert (out / "study.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit):
        cifar_study.arguments(["--only", "weather"])
