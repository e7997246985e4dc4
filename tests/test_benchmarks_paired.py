"""Comparison of runs input by input: means by hand, the interval against the normal one, refused arguments."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import paired


def written(folder: Path, right: np.ndarray) -> Path:
    folder.mkdir()
    lines = [f"{n},cat,{'cat' if good else 'dog'},cat" for n, good in enumerate(right)]
    (folder / "predictions.csv").write_text("\n".join(["image,label,chip,exact", *lines]) + "\n")
    return folder


def test_paired__means_and_interval(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(3)
    first, second = rng.random((2, 2000)) < 0.9, rng.random((3, 2000)) < 0.93
    folders = [
        [str(written(tmp_path / f"{name}{n}", each)) for n, each in enumerate(held)]
        for name, held in (("a", first), ("b", second))
    ]
    monkeypatch.setattr("sys.argv", ["paired", "--first", *folders[0], "--second", *folders[1]])
    paired.main()
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["exact"]) == (2000, [1.0, 1.0])
    assert found["first"]["chips"] == pytest.approx(first.mean(axis=1))
    assert found["second"]["deviation"] == pytest.approx(second.mean(axis=1).std(ddof=1))
    gain = second.mean(axis=0) - first.mean(axis=0)
    assert found["difference"] == pytest.approx(gain.mean())
    half = 1.96 * gain.std() / len(gain) ** 0.5
    assert [found["low"], found["high"]] == pytest.approx([gain.mean() - half, gain.mean() + half], abs=0.1 * half)


def test_paired__one_chip_has_no_deviation_and_images_must_agree():
    rng = np.random.default_rng(0)
    one = np.array([True, False, True])
    assert paired.compared([one], [one], rng)["first"]["deviation"] is None
    with pytest.raises(SystemExit, match="same images, got"):
        paired.compared([one], [one[:2]], rng)
