"""The comparison of ways to train: its table from stored results."""

import json

import pytest

pytest.importorskip("torch")

from benchmarks import training_comparison


@pytest.fixture
def stored(tmp_path):
    rows = [
        {"model": "net", "wires": 20, "bits": 3, "seed": seed, "way": "exact chip", "accuracy": right}
        for seed, right in enumerate((0.5, 0.7))
    ]
    other = {"model": "other", "wires": 4, "bits": 5, "seed": 0, "way": "as trained", "accuracy": 0.1}
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, other]))
    return path


def test_table__means_over_seeds(stored, capsys):
    training_comparison.table(stored)
    shown = capsys.readouterr().out
    assert "| `net` | × 20 | 3 bits | 2 | not run | not run | not run | 60.0 % (50.0–70.0) |" in shown
    assert "| `other` | × 4 | 5 bits | 1 | 10.0 % (10.0–10.0) | not run | not run | not run |" in shown


def test_figure__has_axes_for_each_network(stored):
    drawn = training_comparison.figure(stored)
    assert sorted(axes.get_title() for axes in drawn.axes) == ["net", "other"]
    heights = sorted(patch.get_height() for axes in drawn.axes for patch in axes.patches)
    assert heights == pytest.approx([10.0, 60.0])


def test_description__is_the_chip_that_is_asked_for():
    chip = training_comparison.description(10, 5, compensate=False)
    assert (chip.wires.r_row, chip.adc.bits, chip.gate_dac.bits) == (pytest.approx(10.6), 5, 4)
    assert not chip.tile.compensate_wires
    assert (chip.dac.v_read, chip.cell.v_gate_max) == (0.05, 2.0)
