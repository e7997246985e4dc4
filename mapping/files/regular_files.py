"""Reading of regular files; other files are refused, because a pipe or a device can block a reader for ever."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading bytes.

    Raises OSError if it cannot be opened or is not a regular file.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
    return os.fdopen(handle, "rb")


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file.

    Raises OSError as open_regular does, UnicodeDecodeError if it is not UTF-8.
    """
    with open_regular(path) as file:
        return file.read().decode("utf-8")
