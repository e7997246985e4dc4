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
    """Print which files were written; of files in one folder the first alone has its path."""
    written = [os.fspath(path) for path in paths]
    folders = {os.path.dirname(path) for path in written}  # noqa: PTH120 - as the text was given
    names = [written[0], *map(os.path.basename, written[1:])] if len(folders) == 1 else written
    console.print(f"[dim]written: {', '.join(map(outside, names))}[/dim]", soft_wrap=True)
