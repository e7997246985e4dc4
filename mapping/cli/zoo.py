"""The command `crossgate models`: the networks of the zoo as a table."""

from rich.console import Console
from rich.table import Table

import mapping


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
