"""Tables on the terminal: nothing in them is cut."""

import importlib
import io
import pkgutil

import pytest
import rich.table
from rich.console import Console

import mapping.cli
from mapping.presentation.wrapped_tables import Table

NAME = "node_Conv_1234_quantized_of_block_7"


def printed(table, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


@pytest.mark.parametrize("width", [24, 40, 80])
def test_table__folds_what_does_not_fit(width):
    table = Table("layer", "kind")
    table.add_row(NAME, "dynamic conv")
    text = printed(table, width)
    assert "…" not in text
    letters = [line[1:].split("│")[0].strip() for line in text.splitlines() if line.startswith("│")]
    assert "".join(letters) == NAME
    cut = rich.table.Table("layer", "kind")
    cut.add_row(NAME, "dynamic conv")
    assert ("…" in printed(cut, width)) == (width < 80)


def test_commands__have_no_other_tables():
    """Every table of the commands is one that folds."""
    for found in pkgutil.walk_packages(mapping.cli.__path__, "mapping.cli."):
        if not found.name.endswith("__main__"):
            held = vars(importlib.import_module(found.name))
            assert held.get("Table", Table) is Table, found.name
