"""The comparison of ways to train: its table from stored results."""

import json

import pytest

pytest.importorskip("torch")

from benchmarks import training_comparison


def test_table__means_over_seeds(tmp_path, capsys):
    rows = [
        {"model": "net", "wires": 20, "bits": 3, "seed": seed, "way": "exact chip", "accuracy": right}
        for seed, right in enumerate((0.5, 0.7))
    ]
    other = {"model": "other", "wires": 20, "bits": 3, "seed": 0, "way": "exact chip", "accuracy": 0.1}
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, other]))
    training_comparison.table(path, "net")
    assert "| × 20 | 3 | 2 |  |  |  | 60.00 % |" in capsys.readouterr().out


def test_description__is_the_chip_that_is_asked_for():
    chip = training_comparison.description(10, 5, compensate=False)
    assert (chip.wires.r_row, chip.adc.bits, chip.gate_dac.bits) == (pytest.approx(10.6), 5, 4)
    assert not chip.tile.compensate_wires
