"""Exceptions of the three packages, with one common base class."""

import re

LONGEST = 1200  # characters of a message, ours: an argument or a file's text may be of any length
LINE_ENDS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


class SimulationError(Exception):
    """Base class of all errors that the simulator raises deliberately; the message is one line of bounded length."""

    def __init__(self, message: object = "") -> None:
        super().__init__(_one_line(str(message)))


class ParameterError(SimulationError, ValueError):
    """An argument is invalid; the message gives its name, its value and what would be valid."""


class ConvergenceError(SimulationError, RuntimeError):
    """A solver did not reach its tolerance; the message gives what it reached."""


class MappingError(SimulationError, ValueError):
    """A network does not fit the hardware that it is compiled for."""


def _one_line(text: str) -> str:
    """Return a text without line ends; a long one loses its middle, as its ends name the argument and the cure."""
    text = LINE_ENDS.sub(" ", text)
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST * 2 // 3]} … {text[-LONGEST // 3 + 3 :]}"
