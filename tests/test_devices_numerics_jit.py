"""The kernel cache: edits are never ignored, unchanged sources compile nothing, other caches are left alone."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
import pytest

from devices import ParameterError
from devices.numerics import jit
from devices.numerics.jit import kernel
from devices.numerics.worker_threads import set_threads

ROOT = Path(__file__).resolve().parents[1]

SOLVER = '''
"""A solver of an upper package that calls a law of the lower one."""
from devices.numerics.jit import kernel
from devices.laws.dispatch import cell_current
from crossbar.scale import SCALE

@kernel
def solver(law, v):
    return SCALE * cell_current(law, 1e-5, v, 0.0)[0]
'''

SCRIPT = """
import json
from crossbar.solver import solver
from devices.laws.adaptive import OhmicLaw
value = solver(OhmicLaw(), 0.5)
stats = solver.stats
print(json.dumps([value, sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]))
"""


@pytest.fixture
def checkout(tmp_path):
    """A copy of this package with a solver above it, and a cache of its own."""
    shutil.copytree(ROOT / "devices", tmp_path / "devices", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "crossbar").mkdir()
    (tmp_path / "crossbar" / "__init__.py").touch()
    (tmp_path / "crossbar" / "scale.py").write_text("SCALE = 1.0\n")
    (tmp_path / "crossbar" / "solver.py").write_text(SOLVER)
    return tmp_path


def run(checkout, script=SCRIPT, **variables):
    """Run a script in the copy and return the JSON it prints."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": str(checkout / "cache")} | variables
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def amperes(value):
    """Equal up to rounding; approx alone would allow 1e-12 A, much of a microampere's last digits."""
    return pytest.approx(value, rel=1e-14, abs=0)


def edit(path, old, new):
    """Replace a text that must be there."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_cache__an_edited_law_or_constant_is_never_ignored(checkout):
    first = run(checkout)
    assert first == [amperes(5e-6), 0, 1]
    assert run(checkout) == [first[0], 1, 0]  # unedited: a hit
    edit(checkout / "devices" / "laws" / "adaptive.py", "    return g * v, g\n", "    return 10.0 * g * v, g\n")
    assert run(checkout) == [amperes(5e-5), 0, 1]  # a law in another file, another package
    (checkout / "crossbar" / "scale.py").write_text("SCALE = 3.0\n")
    assert run(checkout) == [amperes(1.5e-4), 0, 1]  # a file without kernels that a kernel file imports
    edit(checkout / "devices" / "laws" / "adaptive.py", "    return 10.0 * g * v, g\n", "    return g * v, g\n")
    (checkout / "crossbar" / "scale.py").write_text("SCALE = 1.0\n")
    assert run(checkout) == [first[0], 1, 0]  # back again: the first cache is still there


def test_source_hash__knows_what_a_package_stands_on(checkout):
    """A package is keyed by itself and by what lies below it, so an edit above recompiles nothing below."""
    script = """
import json, pathlib
from devices.numerics import jit
def hashes():
    jit.source_hash.cache_clear(); jit._source.cache_clear()
    return [jit.source_hash(name) for name in jit.PACKAGES]
def changed(path, text):
    before = hashes()
    with open(path, "a") as file: file.write(text)
    return [a != b for a, b in zip(before, hashes())]
print(json.dumps([
    changed("devices/laws/adaptive.py", "# edited\\n"),
    changed("devices/aliases.py", "# no kernel, imported by kernels\\n"),
    changed("devices/numerics/jit.py", "# edited\\n"),
    changed("crossbar/solver.py", "# edited\\n"),
    changed("crossbar/scale.py", "# edited\\n"),
    changed("crossbar/other.py", "# no kernel, imported by none\\n"),
]))
"""
    found = run(checkout, script)
    assert found[:3] == [[True, True, True]] * 3
    assert found[3:5] == [[False, True, True]] * 2
    assert found[5] == [False, False, False]


def test_cache__without_a_writable_place_kernels_work_uncached(checkout):
    (checkout / "file").touch()
    assert run(checkout, NUMBA_CACHE_DIR=str(checkout / "file" / "below")) == [amperes(5e-6), 0, 1]
    assert not list(checkout.rglob("*.nbi"))


def test_cache__lies_below_the_user_s_cache(checkout):
    (checkout / "xdg").mkdir()
    assert run(checkout, NUMBA_CACHE_DIR="", XDG_CACHE_HOME=str(checkout / "xdg"))[2] == 1
    found = {path.relative_to(checkout / "xdg").parts[:2] for path in checkout.rglob("*.nbi")}
    assert found == {("crossgate", "numba")}


def test_cache__other_libraries_keep_their_directory():
    before = numba.config.CACHE_DIR

    @kernel
    def twice(x):
        return 2.0 * x

    assert twice(1.5) == 3.0
    after = numba.config.CACHE_DIR
    assert after == before


def test_kernel__keeps_ieee_rules_and_numpy_division():
    @kernel
    def probe(a, b):
        return a / b, np.isnan(a - a), (a + b) - a

    assert probe(1.0, 0.0)[0] == np.inf
    assert probe(np.nan, 1.0)[1]
    assert probe(1e16, 1.0)[2] == 0.0  # no reordering


@pytest.mark.parametrize("n", [0, -1, 10_000, 1.0, "2", True])
def test_set_threads__refuses_in_one_sentence(n):
    with pytest.raises(ParameterError, match=r"^threads must be (from 1 to \d+|a whole number), got"):
        set_threads(n)


def test_prune__keeps_the_newest_and_the_recently_used(tmp_path):
    now = time.time()
    for age in range(8):
        (tmp_path / f"devices-{age}").mkdir()
        os.utime(tmp_path / f"devices-{age}", (now - 90_000 - age, now - 90_000 - age))
    for name in ("devices-current", "devices-just-used", "crossbar-old"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / "crossbar-old", (0, 0))
    jit._prune(tmp_path, "devices", tmp_path / "devices-current")
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"devices-current", "devices-just-used", "crossbar-old", "devices-0", "devices-1"}
    jit._prune(tmp_path / "nowhere", "devices", tmp_path)  # never fails


OWN_LAW = """
from typing import NamedTuple
from devices.laws.dispatch import register
from devices.numerics.jit import kernel

class OwnLaw(NamedTuple):
    g: float

@kernel
def own_gain(law, v_gate):
    return 1.0

@kernel
def own_current(law, g_filament, gain, v):
    return law.g * v, law.g

register(OwnLaw, own_gain, own_current)
"""


def test_kernel__a_law_of_another_program_in_the_cache_disturbs_nobody(checkout):
    """numba pickles the types of all versions of a kernel together, and here one cannot be imported any more."""
    (checkout / "own.py").write_text(OWN_LAW)
    script = SCRIPT.replace("from devices.laws.adaptive import OhmicLaw", "from own import OwnLaw as OhmicLaw")
    assert run(checkout, script.replace("OhmicLaw()", "OhmicLaw(2.0)"))[0] == 1.0
    (checkout / "own.py").unlink()
    assert run(checkout)[0] == 0.5e-5
    assert run(checkout)[1:] == [1, 0]  # and caching goes on
