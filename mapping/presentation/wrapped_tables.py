"""Tables on the terminal whose cells wrap: a narrow terminal cuts no name, value or unit."""

from typing import Any

from rich.table import Table as CuttingTable


class Table(CuttingTable):
    """A table of rich in which texts that do not fit are folded instead of cut."""

    def add_column(self, header: Any = "", footer: Any = "", **options: Any) -> None:  # noqa: ANN401 - as rich has it
        """Add a column; the options are those of rich."""
        options.setdefault("overflow", "fold")
        super().add_column(header, footer, **options)
