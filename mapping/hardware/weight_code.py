"""How weights are stored in cells: differential pairs or one column with an offset, slices, levels of a cell."""

import math
from dataclasses import dataclass

import numpy as np

from crossbar.tiles.converters import Adc, UnsignedAdc
from devices.aliases import FloatArray
from devices.errors import ParameterError

ENCODINGS = ("differential", "offset")
MOST_STEPS = 2**16  # of a weight in all its slices, ours: as many as converters have codes


@dataclass(frozen=True)
class WeightCode:
    """Storage of one weight; the columns of a block of outputs are those of output 0, then 1, …, then references.

    differential: each slice is a pair of columns, whose currents are subtracted before conversion.  offset: each slice
    is one column, and columns of reference cells, shared by the outputs of a tile, are subtracted digitally.
    Source: docs/equations/encoding.md, section 9.
    """

    encoding: str = "differential"  #: one of ENCODINGS
    slices: int = 1  #: number of cells, or pairs, whose digits make up a weight
    levels: int | None = None  #: conductance levels of a cell, equally spaced; None: any conductance in the window

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise ParameterError(f"tile.encoding must be one of {', '.join(ENCODINGS)}, got {self.encoding!r}")
        if self.slices > 1 and self.levels is None:
            raise ParameterError(
                f"tile.levels must be a number for weights of several slices, got 'ideal' for tile.slices = "
                f"{self.slices}"
            )
        if self.levels is not None and self.levels**self.slices > MOST_STEPS:
            raise ParameterError(
                f"tile.levels to the power of tile.slices must be at most {MOST_STEPS}, got {self.levels} to the power "
                f"of {self.slices}"
            )

    @property
    def plain(self) -> bool:
        """Whether a weight is one differential pair of cells that take any conductance."""
        return self.encoding == "differential" and self.slices == 1 and self.levels is None

    @property
    def paired(self) -> bool:
        """Whether two columns are subtracted before conversion."""
        return self.encoding == "differential"

    @property
    def references(self) -> int:
        """Columns of reference cells in a tile: one in the middle of the window, or one on each side of it."""
        if self.paired:
            return 0
        return 1 if self.levels is None or self.levels % 2 else 2

    @property
    def steps(self) -> int | None:
        """Largest whole number that the slices of a weight can hold; None: weights are not rounded."""
        return None if self.levels is None else self.levels**self.slices - 1

    def converted(self, outputs: int) -> int:
        """Return the number of converted currents of so many outputs of a tile."""
        return outputs * self.slices + self.references

    def columns(self, outputs: int) -> int:
        """Return the number of columns of cells of so many outputs of a tile."""
        return (2 if self.paired else 1) * self.converted(outputs)

    def outputs(self, columns: int) -> int:
        """Return how many outputs fit into an array of so many columns."""
        return (columns // (2 if self.paired else 1) - self.references) // self.slices

    @property
    def worth(self) -> FloatArray:
        """Factors (slices,) of the slices' currents, lowest digit first; they add up to 1.

        Source: docs/equations/encoding.md eq. 16.
        """
        if self.levels is None:
            return np.ones(1)
        digits: FloatArray = np.power(float(self.levels), np.arange(float(self.slices)))
        worth: FloatArray = digits / digits.sum()
        return worth

    def converter(self, adc: Adc) -> Adc:
        """Return the converters of its currents: unsigned where all currents have one sign."""
        return adc if self.paired else UnsignedAdc.of(adc)

    def joined(self, codes: FloatArray) -> FloatArray:
        """Shift and add converted currents (b, converted, p) to those of the outputs (b, n, p).

        Source: docs/equations/encoding.md eq. 16.
        """
        held = codes.shape[1] - self.references
        worth = self.worth.astype(codes.dtype)
        out: FloatArray = worth[0] * codes[:, 0 : held : self.slices]
        for digit in range(1, self.slices):
            out += worth[digit] * codes[:, digit : held : self.slices]
        if self.references:
            out -= codes[:, held:].mean(axis=1, keepdims=True)
        return out

    @property
    def additions(self) -> tuple[float, float]:
        """Digital additions for each output, and for each tile: digits, reference, mean of two references."""
        return self.slices - 1.0 + (self.references > 0), float(max(self.references - 1, 0))

    @property
    def bits(self) -> float:
        """Bits of a weight; inf for continuous cells."""
        if self.steps is None:
            return math.inf
        return math.log2(2.0 * self.steps + 1.0 if self.paired else self.steps + 1.0)
