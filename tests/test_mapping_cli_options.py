"""Command lines that a report shows, and numbers read from options."""

import shlex

import pytest

from devices.errors import ParameterError
from mapping.cli.options import command_line, number, whole


def test_command_line__gives_the_words_back():
    line = command_line("run", "my net.npz", chip="it's.toml", set=["a.b=1", "c.d=2 3"], data=None, images=5)
    assert shlex.split(line) == [
        "crossgate", "run", "my net.npz", "--chip", "it's.toml", "--set", "a.b=1", "--set", "c.d=2 3", "--images", "5",
    ]  # fmt: skip


def test_numbers__name_the_option():
    assert (whole("--images", "7", 1), number("--bound", "0.5")) == (7, 0.5)
    with pytest.raises(ParameterError, match="--images must be a whole number ≥ 1, got '0'"):
        whole("--images", "0", 1)
    with pytest.raises(ParameterError, match="--bound must be a number, got 'x'"):
        number("--bound", "x")
