"""A compiled network: the folded network, the chip description, and where every piece of every matrix lies.

k = kernels, r = matrix rows, n = outputs, m = rows and c = pairs of one tile
"""

from dataclasses import dataclass, field, replace

import numpy as np

from crossbar.prices.costs import Costs
from devices.aliases import FloatArray
from mapping.hardware.description import Hardware
from mapping.networks.graph import Network
from mapping.placement.floor_plan import FloorPlan, PlannedLayer
from mapping.placement.matrix import Matrix


@dataclass(frozen=True, eq=False)
class Program:
    """A network placed on a chip description; write it to get a chip."""

    network: Network  #: as given
    folded: Network  #: with batch norms folded into the matrices where that is exact
    hardware: Hardware
    matrices: dict[str, tuple[Matrix, ...]]  #: per layer: its groups; per "<layer>.attention": the two FC matrices
    calibration: FloatArray  #: (b, c, h, w) images that ranges were fixed on
    #: why scales that could have been on gates of columns are digital, by name of the Scale
    digital_scales: dict[str, str] = field(default_factory=dict)

    def priced(self, costs: Costs) -> "Program":
        """Return the same program with other prices."""
        return replace(self, hardware=replace(self.hardware, costs=costs))

    def of(self, layer: str) -> tuple[Matrix, ...]:
        """All matrices that belong to a layer, its attention's included."""
        return self.matrices.get(layer, ()) + self.matrices.get(f"{layer}.attention", ())

    @property
    def all_matrices(self) -> tuple[Matrix, ...]:
        """Every matrix, in the order in which they are written."""
        return tuple(matrix for group in self.matrices.values() for matrix in group)

    def tiles(self, layer: str) -> int:
        """Physical arrays that a layer occupies."""
        return sum(len(matrix.tiles) * matrix.arrays * matrix.copies for matrix in self.of(layer))

    def utilisation(self, layer: str) -> float:
        """Part of the cells of a layer's arrays that carry a weight."""
        used = sum(
            2 * matrix.stored * matrix.copies * int(np.prod(tile.shape))
            for matrix in self.of(layer)
            for tile in matrix.tiles
        )
        shape = self.hardware.tile
        return used / max(self.tiles(layer) * shape.rows * shape.columns, 1)

    @property
    def operations(self) -> int:
        """Useful operations per image: two per multiplication of the exact network, mixing of kernels not counted."""
        return 2 * sum(matrix.multiplications for matrix in self.all_matrices)

    @property
    def floor_plan(self) -> FloorPlan:
        """Where the arrays lie, as a value to draw."""
        layers = tuple(
            PlannedLayer(
                layer.name, self.matrices.get(layer.name, ()), self.matrices.get(f"{layer.name}.attention", ()),
                self.tiles(layer.name), self.utilisation(layer.name),
            )
            for layer in self.folded.layers
            if self.of(layer.name)
        )  # fmt: skip
        shape = self.hardware.tile
        return FloorPlan(f"{self.network.name} on {self.hardware.name}", shape.rows, shape.columns, layers)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: where the arrays lie and how far they are filled."""
        return self.floor_plan.to_html("compiled")
