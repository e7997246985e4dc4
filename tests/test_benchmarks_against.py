"""Comparison with an older commit: medians and ratios by hand; the worktree is removed whatever happens."""

import subprocess
import sys

import pytest
from rich.console import Console

from benchmarks import against


def git(folder, *words):
    return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with two commits of a package `mapping` whose command prints nothing and takes its time."""
    root = tmp_path / "checkout"
    (root / "mapping").mkdir(parents=True)
    git(root, "init", "-q")
    for release in ("old", "new"):
        (root / "mapping" / "cli.py").write_text(f"def main():\n    pass  # {release}\n")
        git(root, "add", "-A")
        git(root, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", release)
    monkeypatch.setattr(against, "ROOT", root)
    return root


def test_found__medians_and_ratio_of_pairs():
    found = against.Found()
    for old, new in ((4.0, 1.0), (9.0, 3.0), (5.0, 2.0)):
        found.add("old", "wall", old)
        found.add("new", "wall", new)
    assert (found.median("old", "wall"), found.median("new", "wall")) == (5.0, 2.0)
    assert found.ratio("wall") == 3.0  # of 4, 3 and 2.5


def test_measured__sides_take_turns():
    sides = tuple(against.Side(name, *[None] * 3) for name in ("old", "new"))
    order = []

    def measure(side):
        order.append(side.name)
        return {"row": {"wall": float(len(order))}}

    found = against.measured({("row",): measure}, sides, 3)
    assert order == ["old", "new", "new", "old", "old", "new"]
    assert found["row"].values == {("old", "wall"): [1.0, 4.0, 5.0], ("new", "wall"): [2.0, 3.0, 6.0]}


def test_show__prints_every_quantity_of_the_rows(capsys):
    found = {"memory": against.Found({("old", "GB"): [3.0], ("new", "GB"): [1.5]}), "other": against.Found()}
    against.show(found, ["memory"], Console(width=100))
    rows = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert ["memory", "GB", "3", "1.5", "2.00"] in rows


def test_main__runs_both_commits_and_leaves_nothing(repository, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(against.tempfile, "tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    words = ["against", "HEAD~1", "--rows", "version", "--repeats", "1", "--old", sys.executable]
    monkeypatch.setattr(sys, "argv", words)
    against.main()
    out = capsys.readouterr().out
    assert "version" in out
    assert "cpu" in out
    assert sorted(tmp_path.iterdir()) == before
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_main__a_program_that_fails_leaves_nothing(repository, monkeypatch, tmp_path):
    (repository / "mapping" / "cli.py").write_text("def main():\n    raise SystemExit('no luck')\n")
    monkeypatch.setattr(against.tempfile, "tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    words = ["against", "HEAD~1", "--rows", "version", "--repeats", "1", "--old", sys.executable]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match="the new program failed with status 1:\nno luck"):
        against.main()
    assert sorted(tmp_path.iterdir()) == before
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_main__refuses_an_unknown_commit(repository, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["against", "nothing", "--rows", "version"])
    with pytest.raises(SystemExit, match="COMMIT must be a commit of this repository, got 'nothing'"):
        against.main()


@pytest.mark.parametrize("text", [against.COMMON, against.TRANSFER, against.BATCH, against.GROWTH, against.CIFAR])
def test_scripts__are_python(text):
    compile(text if text in (against.COMMON, against.GROWTH) else text.format_map(Anything()), "script", "exec")


class Anything(dict):
    """Gives 1 for every name."""

    def __missing__(self, name):
        return "1"
