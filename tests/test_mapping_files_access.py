"""Files and streams as systems have them: pipes, full disks, no home, what a killed process left behind."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devices.errors import ParameterError
from mapping.files.cache import Cache
from mapping.files.downloads import cache_folder
from mapping.files.regular_files import open_regular, read_text
from mapping.files.whole_files import ASIDE, write_whole

COMMAND = [sys.executable, "-m", "mapping.cli"]

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")


@pipes
def test_open_regular__a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a regular file") as caught:
        open_regular(tmp_path / "pipe")
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError, match=r"directory|regular file"):
        open_regular(tmp_path)
    (tmp_path / "text").write_text("Ω", encoding="utf-8")
    assert read_text(tmp_path / "text") == "Ω"


@pipes
@pytest.mark.parametrize("words", [("run", "--chip"), ("sweep",), ("device",)])
def test_command__pipes_in_place_of_files_are_refused(crossgate, refused, tmp_path, words):
    os.mkfifo(tmp_path / "pipe.toml")
    refused(crossgate(*words, tmp_path / "pipe.toml"), "it is not a regular file")


@pipes
def test_cache__a_pipe_in_its_place_is_no_value(tmp_path):
    said = []
    cache = Cache(tmp_path, say=said.append)
    os.mkfifo(cache.path("chip-0"))
    assert cache.get("chip-0", {}) is None
    assert len(said) == 1
    assert "it is not a regular file" in said[0]
    assert [each.about for each in cache.entries()] == [""]


def test_cache_folder__without_a_home_directory(monkeypatch):
    monkeypatch.delenv("CROSSGATE_CACHE", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(ParameterError, match=r"no home directory.*set CROSSGATE_CACHE to a folder"):
        cache_folder()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
@pytest.mark.parametrize("words", [("models",), ("chips", "show", "ideal", "--json"), ("cache",)])
def test_command__a_full_disk_behind_standard_output_is_one_sentence(words):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "crossgate: cannot write to standard output: No space left on device\n"


def test_command__a_reader_that_goes_away_is_no_error():
    """Standard output is a pipe whose other end is closed before anything is written, as `| head -0` does."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "models"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(os.name != "posix", reason="processes are not asked for here")
def test_write_whole__removes_what_a_killed_process_left(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, alive, foreign = (tmp_path / f"{ASIDE}{owner}" for owner in (f"{gone.pid}-x", f"{os.getpid()}-x", "mine"))
    for each in (left, alive, foreign):
        each.mkdir()
        (each / "half").write_text("")
    write_whole(tmp_path, {"a": lambda to: to.write_text("whole")})
    assert {path.name for path in tmp_path.iterdir()} == {"a", alive.name, foreign.name}
