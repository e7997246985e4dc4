"""One matrix of a layer and its tiles."""

from dataclasses import dataclass, field

import numpy as np

from devices.aliases import FloatArray
from mapping.hardware.weight_code import WeightCode


@dataclass(frozen=True)
class Placement:
    """One tile: a rectangle of a matrix; its kernels are on arrays, or on bands of rows, with common converters."""

    rows: slice  #: of the matrix
    columns: slice  #: outputs of the matrix
    full_scale: float  #: range of the tile's converters [A], from calibration
    #: range of each read of a bit-serial word, lowest bit first, over full_scale; empty: one range for all
    bit_ranges: tuple[float, ...] = ()
    block: slice | None = None  #: columns of its cells in the matrix; None: a pair for each output
    currents: int = 0  #: number of converted currents; 0: one for each output

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and outputs in use."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def converted(self) -> int:
        """Number of converted currents."""
        return self.currents or int(self.columns.stop - self.columns.start)

    @property
    def cells(self) -> slice:
        """Columns of its cells in the matrix."""
        return slice(2 * self.columns.start, 2 * self.columns.stop) if self.block is None else self.block

    @property
    def cell_columns(self) -> int:
        """Number of columns of cells."""
        return int(self.cells.stop - self.cells.start)


@dataclass(frozen=True, eq=False)
class Matrix:
    """One matrix of a layer, cut into tiles."""

    name: str  #: of the layer, with a suffix if the layer has several matrices
    #: "conv", "transposed conv", "dynamic conv", "kernel", "linear", "recurrent input", "recurrent state", "attention"
    kind: str
    #: (k, r, 2 n) [S] terminal conductances at the top of the gate window; with another `code` (k, r, columns)
    conductances: FloatArray
    scale: FloatArray  #: (n,) output of the layer per ampere, if full codes count as 1 [1/A]
    x_scale: float  #: input value of a full code
    signed: bool  #: inputs have both signs, and each sign is read by itself
    bias: FloatArray | None  #: (n,), or (k, n) mixed by the attention; added digitally
    positions: int  #: number of input vectors per image
    multiplications: int  #: of the exact layer per image: weights of one kernel times positions
    tiles: tuple[Placement, ...]
    layout: str = "parallel"  #: where kernels are mixed, one of LAYOUTS; without meaning for a single kernel
    group: int = 0  #: group of the convolution
    copies: int = 1  #: number of copies of all its arrays; the positions are divided among them
    #: (m, m) mean products of the inputs of a tile's rows over the calibration images, by the tile's first row
    moments: dict[int, FloatArray] = field(default_factory=dict)
    through: FloatArray | None = None  #: (r, n) fraction of a pair's current left by IR drop, for "reprogram"
    #: each pair of columns has its own gate, which scales its output
    column_gates: bool = False
    shift: FloatArray | None = None  #: (n,) added digitally, not scaled by the gates of the columns
    window: int = 1  #: number of neighbouring rows with the pixels of one window of one channel
    floor: float = 0.0  #: relative contribution of a kernel with attention weight 0, if columns have gates
    held: bool = False  #: the last kernel's gate is held open: it subtracts the floor of the other kernels
    code: WeightCode = field(default_factory=WeightCode)  #: how its weights are stored

    @property
    def kernels(self) -> int:
        """Number of kernels that the matrix mixes."""
        return len(self.conductances)

    @property
    def rows(self) -> int:
        """Number of rows: inputs of one position."""
        return int(self.conductances.shape[1])

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return len(self.scale)

    @property
    def rewritten(self) -> bool:
        """Whether the mixed kernel is written into cells anew for each image."""
        return self.layout == "reprogram" and self.kind == "dynamic conv"

    def strips(self, rows: slice) -> tuple[int, ...] | None:
        """Return the first row of each channel within a tile of these rows; None if each row has a channel of its own.

        The pixels of a window are similar, so the noise of their cells may be computed together.
        """
        if self.window == 1:
            return None
        return (0, *range(self.window - rows.start % self.window, rows.stop - rows.start, self.window))

    @property
    def gated(self) -> bool:
        """Whether its gates change from image to image, because they mix kernels or scale columns."""
        return self.column_gates or (self.kind == "dynamic conv" and self.layout in ("parallel", "stacked"))

    def gate_attention(self, attention: FloatArray) -> FloatArray:
        """Return the attention weights of all stored kernels, (b, kernels), from the attention (b, k) of the layer."""
        return np.concatenate([attention, np.ones((len(attention), 1))], axis=1) if self.held else attention

    @property
    def gate_lines(self) -> int:
        """Number of gate lines of the largest tile, over all kernels."""
        return self.kernels * (max(tile.shape[1] for tile in self.tiles) if self.column_gates else 1)

    @property
    def stored(self) -> int:
        """Number of kernels stored in cells; 1 if the matrix is rewritten for each image."""
        return 1 if self.rewritten else self.kernels

    @property
    def bands(self) -> int:
        """Number of kernels below one another in one array."""
        return self.kernels if self.layout == "stacked" else 1

    @property
    def arrays(self) -> int:
        """Number of physical arrays of each tile, copies not counted."""
        return self.stored // self.bands
