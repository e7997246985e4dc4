"""Text from outside on the terminal: names of files and columns, whatever they hold."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.markup import escape

if TYPE_CHECKING:
    from rich.console import Console


def readable(text: object) -> str:
    """Return text that every encoder takes: bytes of a file's name that are no text become a mark."""
    return os.fsencode(str(text)).decode("utf-8", "replace")


def outside(text: object) -> str:
    """Return text that the terminal's markup leaves as it is."""
    return escape(readable(text))


def show_written(paths: Iterable[os.PathLike[str]], console: "Console") -> None:
    """Say which files were written."""
    console.print(f"[dim]written: {', '.join(outside(os.fspath(path)) for path in paths)}[/dim]", soft_wrap=True)
