"""The commands `crossgate chips`, a list, and `crossgate chips NAME`, one chip with the origin of each value."""

import dataclasses
import json
import math
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

import mapping
from mapping import hardware as descriptions
from mapping.cli.options import Settings
from mapping.presentation.wrapped_tables import Table


class Chips(TyperGroup):
    """Group of commands in which the name of a chip stands for `show` and the name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401  (classes of the parser inside typer)
        """Find the command of the first word."""
        known = not args or args[0].startswith("-") or args[0] in self.commands
        return super().resolve_command(ctx, args if known else ["show", *args])


app = typer.Typer(
    cls=Chips,
    help="List the bundled chip descriptions, or show one with the origin of each value.",
    subcommand_metavar="[CHIP | show CHIP]",
)


@app.callback(invoke_without_command=True)
def chips(context: typer.Context) -> None:
    """List the bundled chip descriptions; `chips NAME` shows all values of one and the origin of each."""
    if context.invoked_subcommand is not None:
        return
    table = Table("chip", "tile", "wires [Ω]", "converters [bit]", "about", title="chip descriptions", box=None)
    for name in mapping.hardware_names():
        each = mapping.load_hardware(name)
        bits = " / ".join(str(part.bits or "ideal") for part in (each.dac, each.adc, each.gate_dac))
        table.add_row(
            name, f"{each.tile.rows} × {each.tile.columns}", f"{each.wires.r_row:g} / {each.wires.r_column:g}", bits,
            each.about,
        )  # fmt: skip
    Console().print(table)
    Console().print(
        "[dim]converters: row driver / column converter / gate driver; all values of a chip: crossgate chips NAME[/dim]"
    )


@app.command()
def show(
    chip: Annotated[str, typer.Argument(help="A bundled chip description, or a .toml file.")],
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print key, value, unit and origin as JSON.")] = False,
) -> None:
    """Show every value of a chip, its unit and its origin: a default, a preset, a file or --set."""
    hardware, entries = descriptions.origins(chip, settings or ())
    if as_json:
        rows = [
            {
                "key": f"{each.section}.{each.key}",
                "value": _plain(each.value, _none(f"{each.section}.{each.key}")),
                "unit": each.unit,
                "origin": each.origin,
            }
            for each in entries
        ]
        sys.stdout.write(json.dumps({"name": hardware.name, "about": hardware.about, "values": rows}, indent=2) + "\n")
        return
    table = Table(title=f"{hardware.name}: {hardware.about}" if hardware.about else hardware.name, title_style="bold")
    table.add_column("key")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("from")
    section = entries[0].section
    for each in entries:
        if each.section != section:
            table.add_section()
        section = each.section
        style = "dim" if each.origin == descriptions.DEFAULT else None
        key = f"{each.section}.{each.key}"
        table.add_row(key, escape(_word(each.value, _none(key))), each.unit, escape(each.origin), style=style)
    console = Console()
    console.print(table)
    console.print("[dim]meaning and source of every key: docs/chips.md[/dim]")


def _word(value: object, none: str = "ideal") -> str:
    """Format a value as a chip file does; none: the word for no value."""
    if value is None:
        return none
    if isinstance(value, bool):
        return str(value).lower()
    shape = getattr(value, "shape", ())
    if shape:  # one value for each segment or line
        each = value.reshape(-1).tolist()  # type: ignore[attr-defined]
        return f"{min(each):g} to {max(each):g} ({' × '.join(map(str, shape))} values)"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _none(key: str) -> str:
    """Return the word of a chip file for no value of a key."""
    return "none" if key == "noise.table" else "ideal"


def _plain(value: object, none: str = "ideal") -> object:
    """Return a value that JSON can hold; none: the word for no value."""
    if value is None:
        return none
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if getattr(value, "shape", ()):
        return _plain(value.tolist())  # type: ignore[attr-defined]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
