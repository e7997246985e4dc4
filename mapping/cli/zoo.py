"""The commands `crossgate models` and `crossgate layers`: tables of the networks and the kinds of layers there are."""

import importlib.util
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import mapping
from mapping import studies, training
from mapping.presentation.wrapped_tables import Table

if TYPE_CHECKING:
    from mapping.placement.program import Program


def models() -> None:
    """List the networks of the zoo."""
    table = Table("model", "data", "layers", "weights", "accuracy, exact", title="networks of the zoo", box=None)
    for name in mapping.model_names():
        network, card = mapping.load_model(name), mapping.model_card(name)
        accuracy = card.get("accuracy", {}).get("test")
        table.add_row(
            name, str(card.get("dataset", "")), str(len(network.layers)), f"{network.parameters:,}",
            f"{accuracy:.2%}" if isinstance(accuracy, float) else "",
        )  # fmt: skip
    Console().print(table)


def layers(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/layers.md.")] = False,
) -> None:
    """Show what every kind of layer can do, and which deviation shows where; runs a small network of each."""
    trains = reach if importlib.util.find_spec("torch") else None
    with Console(stderr=True).status("running a small network around every kind of layer"):
        rows, shown, stored = studies.support(trains=trains), studies.deviations(), studies.storage()
        if trains is not None:
            shown["trains"] = tuple(trains(studies.arranged(each)) != "no" for each in studies.ARRANGEMENTS)
    if markdown:
        typer.echo(studies.layer_page_text(rows, shown, stored), nl=False)
        return
    console = Console()
    table = Table(*studies.COLUMNS, title="kinds of layers", box=None)
    for row in rows:
        table.add_row(*row.row)
    console.print(table)
    title = "which deviation shows in which layout, and what trains"
    table = Table("deviation", *studies.ARRANGEMENTS, title=title, box=None)
    for name, marks in shown.items():
        table.add_row(name, *("yes" if mark else "" for mark in marks))
    console.print(table)
    table = Table(
        "weights", *studies.ARRANGEMENTS, title="which way of storing weights goes with which layout", box=None
    )
    for name, words in stored.items():
        table.add_row(name, *words)
    console.print(table)
    console.print("[dim]what the words mean: docs/layers.md[/dim]")


def reach(program: "Program") -> str:
    """Say what a gradient reaches in an example of a layer."""
    return training.gradient_reach(program, "layer", "map")
