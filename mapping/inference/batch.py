"""A batch: images that run through a chip together, their seed and their precision."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from devices.aliases import FloatArray, IntArray
from mapping.chips.chip import Chip
from mapping.placement.matrix import Matrix

#: called with the chip, a matrix, the codes (r, b, p) of its rows (overwritten later) and the gains (b, k) of its gates
Observer = Callable[[Chip, Matrix, FloatArray, FloatArray | None], None]


@dataclass(frozen=True, eq=False)
class Batch:
    """Common values of the images of one batch; b = images."""

    seed: int  #: of the read noise, and of the write errors of cells that are rewritten for each image
    indices: IntArray  #: (b,) numbers of the images in the run; each names a noise stream
    kind: np.dtype  #: of the arithmetic, float32 or float64
    seen: Observer | None = None  #: called with the inputs of every read, for each matrix and sign
