"""What every test may ask for: a seeded generator, stored ngspice runs, and one hypothesis profile for all machines."""

import json
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings

from crossbar import Wires

os.environ.setdefault("MPLBACKEND", "Agg")

# What a run keeps goes into a folder of this session's own, never into the user's.
_kept = tempfile.TemporaryDirectory(prefix="crossgate-tests-", ignore_cleanup_errors=True)
os.environ["CROSSGATE_CACHE"] = _kept.name

# The same examples on every machine, and no deadline: the first call of a kernel compiles it.
settings.register_profile("same", derandomize=True, deadline=None, max_examples=50, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

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
