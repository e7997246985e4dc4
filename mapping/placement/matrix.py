"""One matrix of a layer, and the tiles that it is cut into."""

from dataclasses import dataclass, field

import numpy as np

from devices.aliases import FloatArray


@dataclass(frozen=True)
class Placement:
    """One tile: a rectangle of a matrix, all its kernels on arrays or row bands that share the sense nodes."""

    rows: slice  #: of the matrix
    columns: slice  #: outputs of the matrix
    full_scale: float  #: range of the tile's converters [A], from calibration
    #: range of each read of a bit-serial word, lowest bit first, over full_scale; empty: one range for all
    bit_ranges: tuple[float, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and pairs in use."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


@dataclass(frozen=True, eq=False)
class Matrix:
    """One matrix of a layer, cut into tiles."""

    name: str  #: of the layer, with a suffix where it has several matrices
    #: "conv", "transposed conv", "dynamic conv", "kernel", "linear", "recurrent input", "recurrent state", "attention"
    kind: str
    conductances: FloatArray  #: (k, r, 2 n) [S] terminal conductances at the top of the gate window
    scale: FloatArray  #: (n,) output of the layer per ampere and full code of 1
    x_scale: float  #: input that a full code stands for
    signed: bool  #: inputs of both signs: read once for each sign
    bias: FloatArray | None  #: (n,), or (k, n) mixed by the attention; added digitally
    positions: int  #: input vectors per image
    multiplications: int  #: weights times positions of one kernel: what the exact layer multiplies per image
    tiles: tuple[Placement, ...]
    layout: str = "parallel"  #: how kernels are mixed, one of LAYOUTS; of a matrix with one kernel it says nothing
    group: int = 0  #: of the convolution, whose rows these are
    copies: int = 1  #: of all its arrays, which share the positions
    #: (m, m) mean products of the inputs of a tile's rows over the calibration, by the first of these rows
    moments: dict[int, FloatArray] = field(default_factory=dict)
    through: FloatArray | None = None  #: (r, n) part of a pair's current that wires let through, for "reprogram"
    #: each pair of columns has a gate of its own, which scales its output
    column_gates: bool = False
    shift: FloatArray | None = None  #: (n,) added digitally, whatever the gates of the columns do
    window: int = 1  #: neighbouring rows that see the pixels of one window of one channel
    floor: float = 0.0  #: what a kernel of share 0 counts in a column of scale 1, where columns have gates
    held: bool = False  #: the last kernel's share is always 1: it takes away what the others' gates let through at 0

    @property
    def kernels(self) -> int:
        """Kernels that the matrix mixes."""
        return len(self.conductances)

    @property
    def rows(self) -> int:
        """Rows of the matrix: inputs of one position."""
        return int(self.conductances.shape[1])

    @property
    def outputs(self) -> int:
        """Outputs of the matrix, each a pair of columns."""
        return int(self.conductances.shape[2] // 2)

    @property
    def rewritten(self) -> bool:
        """Whether the mixture of its kernels is written anew for each image."""
        return self.layout == "reprogram" and self.kind == "dynamic conv"

    def strips(self, rows: slice) -> tuple[int, ...] | None:
        """First rows, within a tile of these rows, of those that see one channel; None if each row sees another.

        Pixels of a window are much alike, so the noise of their cells may be computed together.
        """
        if self.window == 1:
            return None
        return (0, *range(self.window - rows.start % self.window, rows.stop - rows.start, self.window))

    @property
    def gated(self) -> bool:
        """Whether its gates follow the input: kernels are mixed by them, or columns scaled."""
        return self.column_gates or (self.kind == "dynamic conv" and self.layout in ("parallel", "stacked"))

    def gate_shares(self, shares: FloatArray) -> FloatArray:
        """Return what the gates of the kernels are asked for, (b, kernels), by an attention (b, k)."""
        return np.concatenate([shares, np.ones((len(shares), 1))], axis=1) if self.held else shares

    @property
    def gate_lines(self) -> int:
        """Gate lines of the largest tile, over all its kernels."""
        return self.kernels * (max(tile.shape[1] for tile in self.tiles) if self.column_gates else 1)

    @property
    def stored(self) -> int:
        """Kernels that sit in cells; a matrix that is written anew for each image holds one."""
        return 1 if self.rewritten else self.kernels

    @property
    def bands(self) -> int:
        """Kernels below one another in one array."""
        return self.kernels if self.layout == "stacked" else 1

    @property
    def arrays(self) -> int:
        """Physical arrays of each tile, copies apart."""
        return self.stored // self.bands
