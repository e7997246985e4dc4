"""Images that run through a chip together, and how."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from devices.aliases import FloatArray, IntArray
from mapping.chips.chip import Chip
from mapping.placement.matrix import Matrix

#: takes the chip, a matrix on it, the codes (r, b, p) of its rows, which do not last, and the gains (b, k) of its gates
Observer = Callable[[Chip, Matrix, FloatArray, FloatArray | None], None]


@dataclass(frozen=True, eq=False)
class Batch:
    """What the images of one batch have in common; b = images."""

    seed: int  #: of the read noise, and of what repeats of writing leave
    indices: IntArray  #: (b,) numbers of the images in their run, which name their noise streams
    kind: np.dtype  #: of the arithmetic, float32 or float64
    seen: Observer | None = None  #: is shown everything that tiles are read with, one matrix and sign after another
