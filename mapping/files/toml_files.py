"""TOML files and values: whatever is wrong with them is one kind of error."""

import tomllib
from pathlib import Path
from typing import Any

from devices.errors import ParameterError
from mapping.files.regular_files import read_text

LARGEST = 2**24  # bytes of a file, ours


def read_toml(path: Path, what: str, largest: int = LARGEST) -> dict[str, Any]:
    """Return the content of a TOML file.

    what: the kind of file, for messages.  largest: bytes that it may have.
    Raises ParameterError if there is no such file, it cannot be read, or it is not valid TOML.
    """
    try:
        size = path.stat().st_size
        text = read_text(path) if size <= largest else ""
    except FileNotFoundError:
        raise ParameterError(f"there is no {what} {path}") from None
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a null character in the name
        raise ParameterError(f"the {what} {path} cannot be read: {error}") from None
    if size > largest:
        raise ParameterError(f"the {what} {path} is longer than {largest:,} bytes")
    try:
        return parse_toml(text)
    except ValueError as error:
        raise ParameterError(f"the {what} {path} is not valid TOML: {error}") from None


def parse_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML text.

    Raises ValueError if it is not valid, nests too deeply, or has a number of more digits than Python reads.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
