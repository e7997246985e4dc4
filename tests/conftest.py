"""Fixtures of all tests: a seeded generator, stored ngspice runs, the command, a small network; Hypothesis profile."""

import json
import os
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from crossbar import Wires
from mapping import Network, save_network
from mapping.cli import command
from mapping.networks import Conv, GlobalAveragePool, Linear, Relu

os.environ.setdefault("MPLBACKEND", "Agg")

# Cached results of runs go into a folder of this test session, never into the user's cache.
_kept = tempfile.TemporaryDirectory(prefix="crossgate-tests-", ignore_cleanup_errors=True)
os.environ["CROSSGATE_CACHE"] = _kept.name

# The same examples on every machine, and no deadline: the first call of a kernel compiles it.
settings.register_profile("same", derandomize=True, deadline=None, max_examples=50, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


# Files whose tests compile, write, run and price networks, and those that need a part of the same kernels.
WHOLE_CHIPS = ("test_benchmarks_", "test_docs", "test_mapping_", "test_public_")
PARTS_OF_CHIPS = ("test_crossbar_tiles_", "test_crossbar_transfer_")


class FromBothEnds(LoadFileScheduling):
    """Give whole files to the workers, from one list: every second worker takes them from its other end.

    The files of whole chips stand at one end, those of cells and arrays at the other.  So two workers do not compile
    the same kernels at the same time, but find them in the cache later.  Files of many tests come first.
    """

    def _assign_work_unit(self, node):
        self.workqueue = OrderedDict(sorted(self.workqueue.items(), key=place_in_the_list))
        if self.nodes.index(node) % 2:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


def place_in_the_list(item):
    """Sort key of a file (name, tests): whole chips, their parts, all else."""
    path, tests = item
    name = Path(path).name
    if name.startswith(WHOLE_CHIPS):
        return (0, -len(tests), name)
    return (1 if name.startswith(PARTS_OF_CHIPS) else 2, len(tests), name)


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config, log):
    return FromBothEnds(config, log) if config.option.dist == "loadfile" else None


STORED = sorted(
    folder for folder in (Path(__file__).parent / "data").glob("ngspice_*/") if "nonlinear" not in folder.name
)


class Stored(NamedTuple):
    """One array that ngspice has solved; see make.py in its folder."""

    folder: Path
    g: np.ndarray  # (m, n) [S]
    v: np.ndarray  # (1, m) [V]
    wires: Wires
    currents: np.ndarray  # (1, n) [A], from ngspice


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250425)


@pytest.fixture(params=STORED, ids=lambda folder: folder.name)
def stored(request: pytest.FixtureRequest) -> Stored:
    """Each stored ngspice run in turn."""
    folder = request.param

    def table(name: str) -> np.ndarray:
        return np.loadtxt(folder / f"{name}.csv", delimiter=",", ndmin=2)

    values = json.loads((folder / "wires.json").read_text())
    ohms = {
        name: np.array(value, dtype=float) if isinstance(value, list) else float(value)
        for name, value in values.items()
    }
    return Stored(folder, table("conductances"), table("inputs"), Wires(**ohms), table("currents"))


@pytest.fixture
def model(tmp_path):
    """A small static network for the bundled digits, in a file."""
    rng = np.random.default_rng(4)
    layers = (
        Conv("conv", ("input",), rng.normal(size=(4, 1, 3, 3)), padding=(1, 1), stride=(2, 2)),
        Relu("relu", ("conv",)),
        GlobalAveragePool("pool", ("relu",)),
        Linear("fc", ("pool",), rng.normal(size=(10, 4))),
    )
    path = tmp_path / "small.npz"
    save_network(Network("small", (1, 8, 8), tuple("0123456789"), layers, {"dataset": "digits"}), path)
    return str(path)


@pytest.fixture
def crossgate(tmp_path, monkeypatch, capfd):
    """Call the command as the shell would: (status, stdout, stderr); the working folder is a fresh one."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("CROSSGATE_CACHE", str(tmp_path / "cache"))

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["crossgate", *map(str, words)])
        status = 0
        try:
            command.main()
        except SystemExit as stop:
            status = stop.code
        return status, *capfd.readouterr()

    return call


@pytest.fixture
def refused():
    """What checks an answer of the command that must be a refusal."""
    return _refused


def _refused(answer, *words):
    """Exit status 2, nothing on stdout, and one sentence with all these words on stderr."""
    status, out, err = answer
    assert status == 2
    assert out == ""
    assert err.startswith("crossgate: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err, err
    assert not list(Path.cwd().iterdir())  # neither a file nor a folder
    return err
