"""A compiled network: the folded network, the chip description, and the placement of every matrix on tiles.

k = kernels, r = matrix rows, n = outputs, m = rows and c = pairs of one tile
"""

from dataclasses import dataclass, field, replace

from crossbar.prices.costs import Costs
from devices.aliases import FloatArray
from mapping.hardware.description import Hardware
from mapping.networks.graph import Network
from mapping.placement.floor_plan import FloorPlan, PlannedLayer
from mapping.placement.matrix import Matrix


@dataclass(frozen=True, eq=False)
class Program:
    """A network placed on a chip description; `write` makes a chip of it."""

    network: Network  #: the given network
    folded: Network  #: with batch norms folded into the matrices where that is exact
    hardware: Hardware
    matrices: dict[str, tuple[Matrix, ...]]  #: by layer: one per group; by "<layer>.attention": the two FC matrices
    calibration: FloatArray  #: (b, c, h, w) images that converter ranges are set for
    #: reasons why channel attention is digital although gates were asked for, by name of the Scale
    digital_scales: dict[str, str] = field(default_factory=dict)

    def priced(self, costs: Costs) -> "Program":
        """Return the same program with other costs."""
        return replace(self, hardware=replace(self.hardware, costs=costs))

    def of(self, layer: str) -> tuple[Matrix, ...]:
        """All matrices of a layer, those of its attention included."""
        return self.matrices.get(layer, ()) + self.matrices.get(f"{layer}.attention", ())

    @property
    def all_matrices(self) -> tuple[Matrix, ...]:
        """Every matrix, in the order of writing."""
        return tuple(matrix for group in self.matrices.values() for matrix in group)

    def tiles(self, layer: str) -> int:
        """Number of physical arrays of a layer."""
        return sum(len(matrix.tiles) * matrix.arrays * matrix.copies for matrix in self.of(layer))

    def utilisation(self, layer: str) -> float:
        """Fraction of the cells of a layer's arrays that hold a weight."""
        used = sum(
            matrix.stored * matrix.copies * tile.shape[0] * tile.cell_columns
            for matrix in self.of(layer)
            for tile in matrix.tiles
        )
        shape = self.hardware.tile
        return used / max(self.tiles(layer) * shape.rows * shape.columns, 1)

    @property
    def operations(self) -> int:
        """Useful operations per image: two per multiplication of the exact network, mixing of kernels excluded."""
        return 2 * sum(matrix.multiplications for matrix in self.all_matrices)

    @property
    def floor_plan(self) -> FloorPlan:
        """The floor plan, as a value that can be drawn."""
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
        """Return the floor plan, for notebooks."""
        return self.floor_plan.to_html("compiled")
