"""A second process that compiles: what it has done is loaded, no failure of it matters, and it never stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devices.numerics import side_compilation
from devices.numerics.side_compilation import Claims, Compiled, compiled_beside

ROOT = Path(__file__).parents[1]
KERNELS = """
import sys
from pathlib import Path
from numba import float64, int64
from devices.numerics.jit import kernel
from devices.numerics.side_compilation import Compiled, compile_all

@kernel
def twice(x: float) -> float:
    return 2.0 * x

@kernel
def thrice(x: float) -> float:
    return 3.0 * x

@kernel
def half(x: float) -> float:
    return 0.5 * x

KERNELS = (Compiled(twice, (float64,)), Compiled(thrice, (float64,)), Compiled(half, (int64,)))
if __name__ == "__main__":
    compile_all(KERNELS, Path(sys.argv[1]))
"""
FIRST = """
import time
import own_kernels as own
from devices.numerics.side_compilation import compiled_beside, is_cached
with compiled_beside("{module}", own.KERNELS):
    end = time.monotonic() + {wait}
    while time.monotonic() < end and not all(is_cached(each.kernel) for each in own.KERNELS):
        time.sleep(0.02)
    print(own.twice(4.0), own.thrice(4.0), own.half(4.0))
print([sum(each.kernel.stats.cache_hits.values()) for each in own.KERNELS])
"""
SLOW = """
import os, sys, time
from pathlib import Path
from devices.numerics.side_compilation import Compiled, compile_all

class Slow:
    def py_func(self):
        pass

    def compile(self, types):
        Path("compiling").write_text(str(os.getpid()))
        time.sleep(600)

    @property
    def _cache(self):
        return self

    @property
    def _cache_file(self):
        return self

    _index_path = "never"

KERNELS = [Compiled(Slow(), ())] * 3
if __name__ == "__main__":
    if len(sys.argv) > 1:
        compile_all(KERNELS, Path(sys.argv[1]))
    else:
        from devices.numerics.side_compilation import compiled_beside
        with compiled_beside("slow", KERNELS):
            time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module of three kernels, an empty cache, and the environment to run scripts there."""
    (tmp_path / "own_kernels.py").write_text(KERNELS)
    (tmp_path / "slow.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(tmp_path))))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def output(script, folder):
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.skipif(side_compilation._processors() < 2, reason="one processor compiles by itself")
def test_second_process__compiles_what_the_first_one_loads(folder):
    results, hits = output(FIRST.format(module="own_kernels", wait=60), folder)
    assert results == "8.0 12.0 2.0"
    assert hits == "[1, 1, 0]"  # `half` was compiled for another type there


def test_second_process__that_fails_leaves_the_work_to_the_first(folder):
    results, hits = output(FIRST.format(module="no_such_module", wait=0), folder)
    assert results == "8.0 12.0 2.0"
    assert hits == "[0, 0, 0]"


@pytest.mark.skipif(side_compilation._processors() < 2, reason="one processor compiles by itself")
def test_second_process__ends_with_a_first_one_that_is_killed(folder, monkeypatch):
    temporary = folder / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    first = subprocess.Popen([sys.executable, "slow.py"], cwd=folder)
    mark, end = folder / "compiling", time.monotonic() + 120
    while not (mark.exists() and mark.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    second = int(mark.read_text())
    os.kill(second, 0)  # it lives
    assert len(list(temporary.iterdir())) == 1  # with the folder of the claims
    first.send_signal(signal.SIGKILL)
    first.wait()
    while alive(second) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(second)
    assert not list(temporary.iterdir())


def alive(process):
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


class Held:
    """Stands for a kernel and for its cache: finds nothing at first."""

    found = None

    def __init__(self):
        self._cache, self.py_func = self, alive

    def load_overload(self, signature, context):
        return self.found


class Other:
    """Stands for a second process that runs for some looks, then compiles a kernel or ends."""

    def __init__(self, looks, then):
        self.looks, self.then = looks, then

    def poll(self):
        self.looks -= 1
        return self.then() if self.looks < 0 else None


def test_claims__belong_to_the_first_who_asks(tmp_path):
    claims = Claims(tmp_path)
    assert claims.take("one")
    assert not claims.take("one")
    assert claims.take("two")
    assert not claims.finished("one")
    claims.finish("one")
    assert claims.finished("one")
    assert not Claims(tmp_path / "gone").take("one")


def test_waiting__loads_what_the_other_process_finishes(tmp_path):
    held, claims = Held(), Claims(tmp_path)
    each = Compiled(held, ())
    assert claims.take(each.name)  # by the other process

    def done():
        held.found = "code"
        claims.finish(each.name)

    undo = side_compilation._waiting(each, claims, Other(3, done))
    assert held.load_overload(None, None) == "code"
    undo()
    assert "load_overload" not in vars(held)


def test_waiting__ends_when_the_other_process_ends(tmp_path):
    held, claims = Held(), Claims(tmp_path)
    each = Compiled(held, ())
    assert claims.take(each.name)
    other = Other(3, lambda: -9)
    side_compilation._waiting(each, claims, other)
    assert held.load_overload(None, None) is None  # so numba compiles it here
    assert other.looks < 0


def test_waiting__claims_what_nobody_compiles(tmp_path):
    held, claims = Held(), Claims(tmp_path)
    each = Compiled(held, ())
    side_compilation._waiting(each, claims, Other(0, pytest.fail))
    assert held.load_overload(None, None) is None
    assert not claims.take(each.name)  # the other process skips it


def test_nothing__is_started_for_few_kernels_or_none(monkeypatch):
    monkeypatch.setattr(side_compilation.subprocess, "Popen", pytest.fail)
    with compiled_beside("nothing", ()):
        pass
    with compiled_beside("nothing", [Compiled(Held(), ())] * 9):  # kernels without a cache
        pass
