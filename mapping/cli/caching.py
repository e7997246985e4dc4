"""The command `crossgate cache`: lists or removes the results that are kept between runs."""

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from mapping import files
from mapping.presentation.wrapped_tables import Table

UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all kept results. Downloads stay.")] = False,
) -> None:
    """List the compiled networks, written chips and stopped runs that are kept on this machine."""
    kept = files.Cache.of_user()
    if clear:
        typer.echo(f"{_size(kept.clear())} removed from {kept.folder}")
        return
    entries = kept.entries()
    if entries:
        table = Table("result", "size", "last used", box=None)
        for each in entries:
            kind = each.path.name.partition("-")[0]
            table.add_row(
                escape(each.about or kind), _size(each.size), time.strftime("%F %R", time.localtime(each.used))
            )
        Console().print(table)
    total = sum(each.size for each in entries)
    typer.echo(
        f"{_size(total)} of at most {_size(files.LIMIT)} in {kept.folder}; beyond that the least recently used results "
        "are removed"
    )


def _size(count: int) -> str:
    """Format a number of bytes with a prefix."""
    for factor, unit in UNITS:
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"
