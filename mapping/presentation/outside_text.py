"""Text from outside on the terminal: names of files, columns and layers, which may hold any characters."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.markup import escape

if TYPE_CHECKING:
    from rich.console import Console


def readable(text: object) -> str:
    """Return text that any encoding can write: bytes of a file's name that are not text become a replacement mark."""
    return os.fsencode(str(text)).decode("utf-8", "replace")


def outside(text: object) -> str:
    """Return text in which the terminal's markup is escaped."""
    return escape(readable(text))


def show_written(paths: Iterable[os.PathLike[str]], console: "Console") -> None:
    """Print which files were written."""
    console.print(f"[dim]written: {', '.join(outside(os.fspath(path)) for path in paths)}[/dim]", soft_wrap=True)
