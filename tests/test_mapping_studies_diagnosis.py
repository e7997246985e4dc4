"""Diagnosis: alternatives of a chip, their ranking, paired intervals, and what a run says by itself."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from mapping.data.datasets import Dataset
from mapping.hardware.alternatives import compensations, deviations, without_deviations
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import hardware_names, load_hardware
from mapping.networks import save_network
from mapping.presentation.sample_intervals import paired_interval
from mapping.report.findings import Finding
from mapping.studies.diagnosis import diagnose, ranked, worth_diagnosing
from tests.key_effects import QUIET
from tests.small_networks import joined

TILE = ["tile.rows=32", "tile.columns=32"]


@pytest.fixture
def images(rng):
    return rng.uniform(size=(96, 2, 6, 5))


@pytest.fixture
def network(rng, images):
    """The joined network with outputs around 0, so that it names every class."""
    made = joined(rng)
    *layers, last = made.layers
    return replace(made, layers=(*layers, replace(last, bias=-made.forward(images).mean(axis=0))), card={})


@pytest.fixture
def labelled(network, images):
    """Images whose labels are what the exact network says, so that it is always right."""
    labels = network.forward(images).argmax(axis=1)
    return Dataset(images, labels, network.classes, "made", "train", "made")


@pytest.fixture
def stored(network, labelled, tmp_path):
    """The network and the images in files: arguments of the command."""
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "images.npy", labelled.images)
    np.save(tmp_path / "data" / "labels.npy", labelled.labels)
    save_network(network, tmp_path / "joined.npz")
    return tmp_path / "joined.npz", "--data", tmp_path / "data"


# alternatives


def test_deviations__all_off_is_a_chip_without_deviations():
    chip = Hardware()
    off = deviations(chip)
    assert [each.name for each in off] == [
        "wires (IR drop)", "write errors", "variability of the window", "stuck cells", "offsets of gates",
        "bits of gate drivers", "bits of row drivers", "bits and offsets of converters", "read noise",
        "curves of the cells",
    ]  # fmt: skip
    for each in off:
        assert each.hardware != chip
        assert not deviations(each.hardware) or each.name not in {one.name for one in deviations(each.hardware)}
    assert deviations(without_deviations(chip, off)) == ()
    assert "age" in {each.name for each in deviations(chip.with_values(["retention.age=1e5"]))}
    assert not any("gate" in each.name for each in deviations(chip, gated=False))


@pytest.mark.parametrize("name", hardware_names())
def test_deviations__of_every_bundled_chip_can_be_switched_off(name):
    chip = load_hardware(name)
    assert deviations(without_deviations(chip, deviations(chip))) == ()


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("tile.write=simulated", "write errors"),
        ("tile.stuck_missed=0.1", "stuck cells"),
        ("adc.inl=0.5", "errors of converters"),
        ("adc.comparator_noise=1e-3", "errors of converters"),
        ("dac.gain_error=0.01", "gains of row drivers"),
        ("tile.r_join=10", "common sense inputs"),
        ("tile.levels=8", "levels of the cells"),
        ("cell.g_gate_leak=1e-10", "sag of gate lines"),
        ("retention.images=1e5", "reads since writing"),
        ("retention.run_temperature=350", "temperature of the run"),
    ],
)
def test_deviations__name_what_a_key_adds(setting, name):
    chip = Hardware().with_values([setting])
    off = deviations(chip)
    assert setting.partition("=")[0] in next(each for each in off if each.name == name).keys
    assert deviations(without_deviations(chip, off)) == ()


def test_deviations__slices_have_levels():
    chip = Hardware().with_values(["tile.slices=2", "tile.levels=4"])
    (levels,) = (each for each in deviations(chip) if each.name == "levels of the cells")
    assert levels.keys == ("tile.slices", "tile.levels")
    assert levels.hardware.tile.code.plain


def test_deviations__gate_lines_that_a_run_takes_as_held_do_not_sag():
    """The default leakage lowers the far end of a gate line by 2 nV."""
    assert "sag of gate lines" not in {each.name for each in deviations(Hardware())}
    leaky = Hardware().with_values(["cell.g_gate_leak=1e-10"])
    assert "sag of gate lines" not in {each.name for each in deviations(leaky, gated=False)}


def test_deviations__drivers_that_send_bits_become_pulses():
    chip = load_hardware("isaac_like")
    (rows,) = (each for each in deviations(chip) if each.name == "bits of row drivers")
    assert (rows.hardware.dac.coding, rows.hardware.dac.bits) == ("pulse-width", None)
    assert rows.keys == ("dac.coding", "dac.bits")


def test_compensations__are_those_with_something_to_make_up_for():
    assert [each.name for each in compensations(Hardware())] == ["wires", "stuck cells", "scale and shift of outputs"]
    chip = Hardware().with_values(QUIET)
    assert compensations(chip) == ()
    assert [each.keys for each in compensations(Hardware().with_values(["tile.trim_pairs=false"]))][1] == (
        "tile.compensate_stuck",
    )


# intervals and ranks


@pytest.mark.parametrize("count", [128, 500])
def test_paired_interval__tells_what_the_exact_test_tells(count):
    """With only gains or only losses, McNemar's exact test at 5 % asks for six; the interval does, too."""
    for gained in range(12):
        low, high = paired_interval(np.repeat([1.0, 0.0], [gained, count - gained]))
        significant = gained > 0 and binomtest(gained, gained).pvalue < 0.05
        assert (low > 0.0) == significant
        assert low <= gained / count <= high
        back = paired_interval(np.repeat([-1.0, 0.0], [gained, count - gained]))
        assert back == pytest.approx((-high, -low), abs=1e-15)


def test_paired_interval__holds_the_truth_in_95_of_100(rng):
    gains = rng.choice([1.0, -1.0, 0.0], p=[0.08, 0.03, 0.89], size=(2000, 128))
    ends = np.array([paired_interval(each) for each in gains])
    held = np.mean((ends[:, 0] <= 0.05) & (ends[:, 1] >= 0.05))
    assert abs(held - 0.95) < 0.025  # five standard errors


def test_ranked__what_is_not_distinguishable_has_no_rank():
    def found(name, change, low, high):
        return Finding(name, (), 0.9, change, low, high, 0.1)

    given = (found("a", 0.01, -0.01, 0.03), found("b", 0.02, 0.01, 0.03), found("c", 0.04, -0.01, 0.09),
             found("d", 0.06, 0.03, 0.09), found("e", -0.05, -0.09, -0.01))  # fmt: skip
    assert [each.name for each in ranked(given)] == ["d", "b", "e", "a", "c"]
    assert [each.name for each in ranked(given, losses=True)] == ["e", "b", "d", "a", "c"]


# diagnosis


def test_diagnose__finds_the_one_deviation_that_hurts(network, labelled):
    chip = Hardware().with_values([*TILE, *QUIET, "adc.bits=3", "spread.write_error=0.001"])
    steps = []
    found = diagnose(network, chip, labelled, 2, progress=lambda done, total: steps.append((done, total)))
    assert found.accuracy_exact == 1.0
    assert found.accuracy < 0.9
    first = found.deviations[0]
    assert first.name == "bits and offsets of converters"
    assert first.settings == ("adc.bits=ideal",)
    assert first.distinct
    assert first.error < 0.5 * found.error
    assert first.change == pytest.approx(first.accuracy - found.accuracy, abs=1e-12)
    assert {each.name for each in found.deviations} == {first.name, "write errors", "curves of the cells"}
    assert found.together is not None
    assert found.together.accuracy == 1.0
    assert found.together.error < 1e-5  # float32: nothing that deviates is left
    assert steps == [(n + 1, 5) for n in range(5)]


def test_diagnose__a_chip_without_deviations_has_none(network, labelled):
    found = diagnose(network, Hardware().with_values([*TILE, *QUIET]).idealised(), labelled)
    assert (found.deviations, found.together, found.compensations) == ((), None, ())
    assert found.accuracy == 1.0


def test_diagnose__says_what_a_compensation_is_worth(network, labelled):
    wires = ["wires.r_row=400", "wires.r_column=400"]
    found = diagnose(network, Hardware().with_values([*TILE, *QUIET, *wires]), labelled)
    (worth,) = found.compensations
    assert worth.name == "wires"
    assert worth.error > 1.5 * found.error


@pytest.mark.parametrize(
    ("loss", "images", "worth"), [(0.019, 1000, False), (0.03, 128, False), (0.05, 128, True), (0.03, 200, True)]
)
def test_worth_diagnosing__six_lost_images_are_no_chance(loss, images, worth):
    assert worth_diagnosing(loss, images) == worth
    lost = round(loss * images)
    if loss > 0.02:
        assert (binomtest(lost, lost).pvalue < 0.05) == worth


# the command


def test_run__diagnoses_a_small_network_that_loses_by_itself(crossgate, stored):
    chip = [word for each in (*TILE, *QUIET, "adc.bits=3", "noise.traps=2") for word in ("--set", each)]
    status, out, err = crossgate("run", *stored, "--out", "o", *chip)
    assert status == 0, err
    assert "what costs accuracy: each deviation switched off alone" in out
    assert "adc.bits=ideal" in out
    assert "noise.traps cannot act: noise.telegraph is off" in out
    report = json.loads(Path("o/report.json").read_text())
    assert report["diagnosis"]["deviations"][0]["settings"] == ["adc.bits=ideal"]
    assert "noise.traps cannot act: noise.telegraph is off" in report["idle_keys"]
    page = Path("o/report.html").read_text()
    assert "What costs accuracy" in page
    assert "noise.traps cannot act" in page


def test_run__of_a_large_network_offers_a_diagnosis_and_its_cost(crossgate, stored, monkeypatch):
    monkeypatch.setattr("mapping.studies.EXECUTED", 1.0)
    chip = [word for each in (*TILE, *QUIET, "adc.bits=3") for word in ("--set", each)]
    status, out, err = crossgate("run", *stored, *chip)
    assert status == 0, err
    assert "--diagnose says which deviation costs what: 4 chips on 96 calibration images each, 4 times as many" in out
    assert "switched off alone" not in out


def test_run__refuses_to_diagnose_measured_cells(crossgate, model, refused):
    words = ("run", model, "--diagnose", "--measured", "somewhere")
    refused(crossgate(*words), "--diagnose must be left out for --measured")
