"""Two runs compared: by hand, against the normal interval and McNemar's binomial, and what is refused."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest

from devices.errors import ParameterError
from mapping.report.comparing import paired

QUICK = ["--set", "tile.rows=32", "--set", "tile.columns=32"]


def test_paired__by_hand(rng):
    first = np.array([True] * 90 + [False] * 10)
    second = np.array([True] * 85 + [False] * 5 + [True] * 8 + [False] * 2)
    found = paired(first, second, rng)
    assert (found.first, found.second, found.images) == (0.9, 0.93, 100)
    assert (found.only_first_right, found.only_second_right) == (5, 8)
    assert found.difference == pytest.approx(0.03)
    assert found.p == pytest.approx(binomtest(8, 13).pvalue)
    half = 1.96 * np.sqrt((13 - 9 / 100) / 100**2)  # of a difference of two shares of one multinomial
    assert [found.low, found.high] == pytest.approx([0.03 - half, 0.03 + half], abs=0.15 * half)
    assert paired(first, first, rng)[5:] == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("count", [0, 3])
def test_paired__needs_the_same_images(rng, count):
    with pytest.raises(ParameterError, match=f"runs must be of the same images, at least one, got {count} and 0"):
        paired(np.ones(count, bool), np.ones(0, bool), rng)


def test_command__compares_two_runs(crossgate, refused, model, tmp_path):
    for name, words in (("one", ()), ("two", ("--set", "adc.bits=4", "--seed", "3"))):
        assert crossgate("run", model, "--images", 20, "--out", tmp_path / name, *QUICK, *words)[0] == 0
    status, out, err = crossgate("compare", tmp_path / "one", tmp_path / "two", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("one", "two")]
    assert [found["chip"]["first"], found["chip"]["second"]] == [each["accuracy_chip"] for each in reports]
    assert found["exact"]["difference"] == 0.0
    assert found["settings"] == [["adc.bits", 8, 4]]
    assert found["prices"][0][2:] == [each["energy_J_per_image"] for each in reports]
    status, out, _ = crossgate("compare", tmp_path / "one", tmp_path / "two")
    assert status == 0
    for word in ("accuracy, on the chip", "points", "adc.bits", "mm²", "images/s"):
        assert word in out


def test_command__refuses_what_is_no_pair_of_runs(crossgate, refused, model, tmp_path):
    for name, images in (("one", 4), ("two", 5)):
        assert crossgate("run", model, "--images", images, "--out", tmp_path / name, *QUICK)[0] == 0
    refused(crossgate("compare", tmp_path / "one", tmp_path / "two"), "must be runs of the same images")
    refused(crossgate("compare", tmp_path / "one", tmp_path / "nowhere"), "report.json cannot be read", "give a folder")
    (tmp_path / "two" / "report.json").write_text("[1]")
    refused(crossgate("compare", tmp_path / "one", tmp_path / "two"), "report.json is no report of a run")
    (tmp_path / "two" / "report.json").write_text("{")
    refused(crossgate("compare", tmp_path / "one", tmp_path / "two"), "report.json cannot be read")
    (tmp_path / "one" / "predictions.csv").write_text("image,label\n1,2\n")
    refused(crossgate("compare", tmp_path / "one", tmp_path / "one"), "must have the columns image, label, chip, exact")
