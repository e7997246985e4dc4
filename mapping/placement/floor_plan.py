"""The floor plan: the arrays of a program in the order of their placement, and their utilisation."""

import math
from dataclasses import dataclass
from typing import Any

from mapping.placement.matrix import Matrix
from mapping.presentation.colours import KIND_COLOURS
from mapping.presentation.html_templates import WIDTH, environment
from mapping.presentation.quantities import percent, ratio

ARRAY_SIZES = ((150, 26.0), (600, 16.0), (2500, 9.0), (math.inf, 6.0))  # (largest number of arrays, px of each), ours
NAMED_ARRAYS = 600  # with more arrays than that single arrays have no text, ours


@dataclass(frozen=True, eq=False)
class PlannedLayer:
    """One layer of the plan."""

    name: str
    matrices: tuple[Matrix, ...]
    attention: tuple[Matrix, ...]  #: the matrices of its attention
    arrays: int  #: physical arrays
    utilisation: float  #: fraction of their cells that hold a weight


@dataclass(frozen=True, eq=False)
class FloorPlan:
    """The plan of a chip."""

    title: str
    rows: int  #: of one physical array
    columns: int
    layers: tuple[PlannedLayer, ...]

    @property
    def arrays(self) -> int:
        """Number of physical arrays."""
        return sum(layer.arrays for layer in self.layers)

    def to_html(self, state: str) -> str:
        """Return the plan as a fragment of HTML; state: text after the title."""
        template = environment().get_template("show_program.html")
        return template.render(
            title=f"{self.title}, {state}", tile=f"{self.rows} × {self.columns}", plan=self.drawing()
        )

    def drawing(self) -> dict[str, Any]:
        """Return a block of arrays for each layer: tiles from left to right, their kernels below one another."""
        size = next(px for most, px in ARRAY_SIZES if self.arrays <= most)
        blocks = [_block(self, layer, size, named=self.arrays <= NAMED_ARRAYS) for layer in self.layers]
        matrices = [matrix for layer in self.layers for matrix in layer.matrices + layer.attention]
        used = sum(m.stored * m.copies * tile.shape[0] * tile.cell_columns for m in matrices for tile in m.tiles)
        kinds = dict.fromkeys(matrix.kind for matrix in matrices)
        return {
            "blocks": blocks, "arrays": self.arrays, "used": ratio(used, self.arrays * self.rows * self.columns),
            "cells": used, "rows": self.rows, "columns": self.columns, "gated": "attention" in kinds,
            "kinds": {kind: KIND_COLOURS[kind] for kind in kinds},
        }  # fmt: skip


def _block(plan: FloorPlan, layer: PlannedLayer, size: float, *, named: bool) -> dict[str, Any]:
    unit = size / max(plan.rows, plan.columns)
    width, height = plan.columns * unit, plan.rows * unit
    gap = max(1.0, round(size / 9.0))
    across = int((WIDTH - 40) / (width + gap))
    cells, right, bottom = [], 0.0, 0.0

    def put(matrix: Matrix, tile: int, kernel: int, x: float, y: float) -> None:
        placement = matrix.tiles[tile]
        rows, columns = placement.shape[0] * matrix.bands, placement.cell_columns
        cells.append({
            "x": x, "y": y, "width": columns * unit, "height": rows * unit, "colour": KIND_COLOURS[matrix.kind],
            "text": f"{matrix.name}, tile {tile}, kernel {kernel}: {rows} rows × {columns} columns, "
            f"utilisation {percent(rows * columns / (plan.rows * plan.columns), 0)}",
        })  # fmt: skip

    main = [(matrix, tile) for matrix in layer.matrices for tile in range(len(matrix.tiles))]
    tall = max((matrix.arrays for matrix, _ in main), default=1)
    for at, (matrix, tile) in enumerate(main):
        x, y = at % across * (width + gap), at // across * (tall * (height + gap) + 2.0 * gap)
        for kernel in range(matrix.arrays):
            put(matrix, tile, kernel, x, y + kernel * (height + gap))
        right, bottom = max(right, x + width), y + matrix.arrays * (height + gap) - gap
    others = [(matrix, tile) for matrix in layer.attention for tile in range(len(matrix.tiles))]
    down = max(1, round((bottom + gap) / (height + gap)))
    x_0 = right + 2.0 * gap + 2.0
    for at, (matrix, tile) in enumerate(others):
        x, y = x_0 + at // down * (width + gap), at % down * (height + gap)
        put(matrix, tile, 0, x, y)
        right, bottom = max(right, x + width), max(bottom, y + height)
    return {
        "name": layer.name, "arrays": layer.arrays, "used": layer.utilisation, "cells": cells, "named": named,
        "width": right + 1.0, "height": bottom + 1.0, "array_width": width, "array_height": height,
    }  # fmt: skip
