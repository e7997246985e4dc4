"""Every reader on damaged input: a sound value or one sentence, in bounded memory and time, and nothing is written."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from devices import SimulationError
from tests.damaged_inputs import NEEDS, READERS, cases, elsewhere, reader

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 20  # for one case, on a machine that does other things as well
MEMORY = 2 << 30  # bytes that all cases may take beyond what the libraries take


DOCUMENTED = ("history", "drop")  # nan behind the last step of Newton, and for a cell without a pulse


def holds_nan(value, depth=0):
    """Whether a value holds a nan somewhere."""
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fc" and bool(np.isnan(value).any())
    if isinstance(value, dict):
        return any(holds_nan(each, depth + 1) for each in value.values())
    if isinstance(value, (tuple, list)):
        return any(holds_nan(each, depth + 1) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and depth < 8:
        names = [each.name for each in dataclasses.fields(value) if each.name not in DOCUMENTED]
        return any(holds_nan(getattr(value, name, None), depth + 1) for name in names)
    return False


def outcome(read, folder):
    """What is wrong with reading a folder; None if a value without nan, or one sentence, comes out."""
    before = sorted(folder.rglob("*"))
    try:
        value = read(folder)
    except SimulationError as error:
        text = str(error).replace(str(folder), "")
        wrong = None if text and "\n" not in text and len(text) < 1500 else f"no sentence: {text[:200]!r}"
    except (Exception, Late) as error:  # noqa: BLE001 - that is what is looked for
        wrong = f"{type(error).__name__}: {str(error)[:150]}"
    else:
        wrong = "nan without a word" if holds_nan(value) else None
    return wrong or (None if sorted(folder.rglob("*")) == before else "it left something behind")


def laid(files, folder):
    """Write an input to a folder."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tried(name, seed, count, folder):
    """What is wrong with `count` damaged inputs of a reader."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    mine, rng = reader(name), np.random.default_rng(seed)
    wrong = {}
    for number, (file, what, content) in enumerate(cases(mine, rng, count)):
        place = laid(mine.files, folder / f"{name} {number}")
        if isinstance(content, str):
            elsewhere(place / file, content)
        else:
            (place / file).write_bytes(content)
        with limited(SECONDS):
            found = outcome(mine.read, place)
        if found:
            wrong[f"{name} {seed} {number} {file} {what}"] = found
    return wrong


class Late(BaseException):
    """No error that a reader may take for its own."""


class limited:  # noqa: N801 - reads as a word of the language
    """Ends what takes longer than it may."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        import signal

        def late(*_):
            raise Late(f"more than {self.seconds} s")

        signal.signal(signal.SIGALRM, late)
        signal.alarm(self.seconds)

    def __exit__(self, *_):
        import signal

        signal.alarm(0)


@pytest.mark.parametrize("name", READERS)
def test_readers__take_their_sound_input(name, tmp_path):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    mine = reader(name)
    value = mine.read(laid(mine.files, tmp_path / "sound"))
    assert value is not None
    assert not holds_nan(value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and signals of POSIX")
@pytest.mark.parametrize("name", READERS)
def test_readers__a_few_damaged_inputs_end_in_a_value_or_one_sentence(name, tmp_path):
    assert tried(name, 0, 14, tmp_path) == {}


CHILD = """
import json, resource, sys, tempfile, warnings
from pathlib import Path
from tests.damaged_inputs import READERS, available, reader
from tests.test_public_readers import tried
warnings.simplefilter("error")
names = [name for name in READERS if available(name)]
for name in names:
    reader(name)
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (most, most))
wrong = {}
for name in names:
    with tempfile.TemporaryDirectory() as folder:
        wrong |= tried(name, int(sys.argv[1]), int(sys.argv[2]), Path(folder))
print(json.dumps(wrong))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited as on Linux")
@pytest.mark.parametrize("seed", range(1, 5))
def test_readers__thousands_of_damaged_inputs(seed):
    """More than 2,000 inputs, in a child whose memory is limited; each has a time limit of its own."""
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(seed), "60", str(MEMORY)],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    assert json.loads(run.stdout.splitlines()[-1]) == {}
