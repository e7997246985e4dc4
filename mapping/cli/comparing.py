"""The command `crossgate compare`: compares two runs image by image."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from mapping import report
from mapping.presentation.quantities import rounded, si
from mapping.presentation.wrapped_tables import Table

if TYPE_CHECKING:
    from mapping.report.comparing import Paired, PairedErrors

TOLD_APART = 0.05  # two accuracies are called different if p is below this


def compare(
    first: Annotated[Path, typer.Argument(help="A folder that crossgate run wrote.")],
    second: Annotated[Path, typer.Argument(help="Another such folder, with the same images.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON and nothing else.")] = False,
) -> None:
    """Compare two runs: accuracy on the same images with an interval, energy, latency, area, and changed settings."""
    found = report.compare_runs(first, second)
    if as_json:
        text = dataclasses.asdict(found) | {
            name: _plain(getattr(found, name)) for name in ("chip", "exact", "top5")
        }  # fmt: skip
        sys.stdout.write(json.dumps(text, indent=2) + "\n")
        return
    console = Console()
    table = Table(title="two runs", title_style="bold")
    table.add_column("")
    for name in found.names:
        table.add_column(escape(name), justify="right")
    table.add_column("second against first", justify="right")
    for where, each in (("on the chip", found.chip), ("exact", found.exact), ("top-5, on the chip", found.top5)):
        if isinstance(each, report.PairedErrors):
            table.add_row(f"error, {where}", rounded(each.first), rounded(each.second), _difference_of_errors(each))
        elif each is not None:
            table.add_row(f"accuracy, {where}", f"{each.first:.2%}", f"{each.second:.2%}", _difference(each))
    for what, unit, one, two in found.prices:
        table.add_row(what, _quantity(one, unit), _quantity(two, unit), f"× {two / one:.3g}" if one > 0.0 else "")
    console.print(table)
    if found.chip is None:
        console.print("without labels there are no accuracies to compare")
    if found.settings:
        other = Table(title="settings that differ", title_style="bold")
        for heading in ("key", "first", "second"):
            other.add_column(heading)
        for key, one, two in found.settings:
            other.add_row(escape(key), escape(str(one)), escape(str(two)))
        console.print(other)


def _quantity(value: float, unit: str) -> str:
    if unit in ("J", "s"):
        return si(value, unit)
    if unit == "m²":
        return f"{value * 1e6:.3g} mm²"
    return f"{value:,.0f} {unit}".strip() if value >= 1000.0 else f"{value:.3g} {unit}".strip()


def _difference(each: "Paired") -> str:
    """Format the difference of two accuracies, and whether it is significant."""
    verdict = "" if each.p < TOLD_APART else ", not distinguishable"
    return (
        f"{100 * each.difference:+.2f} points ({100 * each.low:+.2f} … {100 * each.high:+.2f}), "
        f"p = {each.p:.2g}{verdict}"
    )


def _difference_of_errors(each: "PairedErrors") -> str:
    """Format the difference of two errors, and whether its interval excludes 0."""
    verdict = "" if each.low > 0.0 or each.high < 0.0 else ", not distinguishable"
    return f"{each.difference:+.3g} ({each.low:+.3g} … {each.high:+.3g}){verdict}"


def _plain(each: "Paired | PairedErrors | None") -> dict[str, float] | None:
    return None if each is None else each._asdict()
