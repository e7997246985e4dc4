"""Cells of a chip as they were measured, in place of simulated writes: the chip in the loop."""

from collections.abc import Mapping
from dataclasses import dataclass

from devices.writing.spread import Written


@dataclass(frozen=True, eq=False)
class MeasuredCells:
    """Measured conductances of every tile that is written once; `mapping.read_measured` reads them from a table."""

    #: by name of the matrix, in the order of its placements: (k, m, 2 c) filament conductances [S] and shifts [V]
    tiles: Mapping[str, tuple[Written, ...]]
    source: str  #: name of the table
    cells: int  #: number of cells in the table
    missing: int = 0  #: number of them without a conductance
    stuck: int = 0  #: number of them that the table marks as stuck

    def tile(self, matrix: str, at: int) -> Written | None:
        """Return the cells of tile number `at` of a matrix; None if its cells are rewritten for each image."""
        return self.tiles[matrix][at] if matrix in self.tiles else None

    def __str__(self) -> str:
        stuck = f", {self.stuck:,} marked as stuck" if self.stuck else ""
        return f"{self.cells:,} cells measured in {self.source}, {self.missing:,} missing{stuck}"
