"""The support matrix: found by running layers, and the page in the documents is what the command prints."""

from pathlib import Path

import pytest

from devices.errors import ParameterError
from mapping.cli import zoo
from mapping.networks import KINDS
from mapping.studies import layer_support
from mapping.studies.layer_support import ARRANGEMENTS, COLUMNS, Support, arranged, deviations, storage, support

PAGE = Path(__file__).parents[1] / "docs" / "layers.md"
SOME = ("ConvTranspose", "Recurrent, gru", "Concat", "Reduce, max")


def rows(kind):
    """Cells of the page's line of a kind."""
    (line,) = (line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {kind} |"))
    return tuple(cell.strip() for cell in line.strip("|").split("|"))


def test_page__has_a_row_for_every_kind():
    ours = [name for name, kind in KINDS.items() if kind.__module__.startswith("mapping.")]
    assert [rows(name)[0] for name in ours] == ours
    assert rows("layer") == COLUMNS


def test_page__says_what_running_some_kinds_finds():
    pytest.importorskip("torch")
    for found in support(SOME, zoo.reach):
        assert found.row == rows(found.layer)


def test_support__without_torch_does_not_tell_what_trains():
    (found,) = support(["Reshape"])
    assert found == Support("Reshape", "float64, float32", "exact", "digital", "free", "", "", "not tried")


def test_support__joins_the_variants_of_a_kind():
    (found,) = support(["Upsample, nearest", "Upsample, bilinear"])
    assert (found.layer, found.estimate) == ("Upsample", "free; counted")


def test_support__names_what_is_off(monkeypatch):
    """A layer whose run is not the exact network's, and whose estimate counts something else, does not pass."""
    monkeypatch.setattr(layer_support, "DOUBLE", -1.0)
    (found,) = support(["Linear"])
    assert found.ideal.startswith("off by ")
    assert found.estimate.endswith(" differs")


def test_deviations__are_those_of_the_page(monkeypatch):
    some = ("codes of gate drivers", "age")
    monkeypatch.setattr(layer_support, "DEVIATIONS", {name: layer_support.DEVIATIONS[name] for name in some})
    for name, shown in deviations().items():
        assert rows(name)[1:] == tuple("yes" if each else "" for each in shown)
        assert any(shown)


def test_storage__is_that_of_the_page():
    found = storage()
    for name, words in found.items():
        assert rows(name)[1:] == words
    assert set(found["differential pairs"]) == {"exact"}
    assert found["offset columns"][0] == "exact"
    assert found["ternary (pairs of 2 levels)"][0] == "rounded"
    refused = [name for name, words in found.items() if "" in words]
    assert len(refused) == len(found) - 1


def test_arranged__refuses_what_is_none():
    with pytest.raises(ParameterError, match="arrangement must be one of one matrix, parallel"):
        arranged("diagonal")
    assert arranged(ARRANGEMENTS[-1]).matrices["layer"][0].column_gates


@pytest.mark.slow
def test_page__is_what_the_command_prints(capsys):
    pytest.importorskip("torch")
    zoo.layers(markdown=True)
    assert capsys.readouterr().out == PAGE.read_text(encoding="utf-8")


def test_command__prints_all_tables(capsys, monkeypatch):
    word = Support("Conv", *("x",) * (len(COLUMNS) - 1))
    monkeypatch.setattr(zoo.studies, "support", lambda trains: (word,))
    monkeypatch.setattr(zoo.studies, "deviations", lambda: {"age": (True,) * len(ARRANGEMENTS)})
    monkeypatch.setattr(zoo.studies, "storage", lambda: {"in halves": ("exact",) * len(ARRANGEMENTS)})
    monkeypatch.setattr(zoo.importlib.util, "find_spec", lambda _: None)
    zoo.layers()
    said = capsys.readouterr().out
    assert "kinds of layers" in said
    assert "age" in said
    assert "in halves" in said
