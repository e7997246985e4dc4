"""Arrays whose columns meet at common sense nodes, each through its own piece of wire.

b = batch, k = arrays, q = gate nodes, m = rows, c = differential pairs
"""

from dataclasses import dataclass, replace

import numpy as np

from crossbar.arrays.wires import Wires
from devices.aliases import FloatArray
from devices.errors import ParameterError


@dataclass(frozen=True, eq=False)
class SharedSense:
    """What the transfer conductances to pair currents lack where k arrays share the sense inputs of their columns."""

    r_sense: float  #: of the common input of each column [Ω]
    sums: FloatArray  #: (k, q, m, c) [S] sum of the transfer conductances to both columns of a pair
    columns: FloatArray  #: (k, q, 2c) [S] transfer conductance of all rows together to each column

    def factors(self, mix: FloatArray) -> FloatArray:
        """Return the part (b, 2c) of each column's current that is left with the input in place of 0 V.

        mix: (b, k q) coefficients of the stored matrices.
        Source: docs/equations/periphery.md eq. 19.
        """
        each = self.columns.reshape(-1, self.columns.shape[-1])
        whole = (mix[:, :, None] * each[None]).sum(1)  # in one order for any batch size
        found: FloatArray = 1.0 / (1.0 + self.r_sense * whole)
        return found

    def joined(self, signal: FloatArray, sums: FloatArray, mix: FloatArray) -> FloatArray:
        """Return mixed signals (b, m, c) [S] with the common input, from those with its node at 0 V and their sums.

        Source: docs/equations/periphery.md eq. 20.
        """
        part = self.factors(mix)
        both = 0.5 * (part[:, 0::2] + part[:, 1::2]), 0.5 * (part[:, 0::2] - part[:, 1::2])
        out: FloatArray = both[0][:, None] * signal + both[1][:, None] * sums
        return out


def piece_of(wires: Wires, pieces: int, r_join: float) -> Wires:
    """Return the wires of an array whose columns end at 0 V behind `pieces` pieces of wire of r_join [Ω] each.

    Raises ParameterError unless the columns have one sense resistance, at their near ends.
    """
    if (
        not isinstance(wires.r_sense, float)
        or not np.isfinite(wires.r_sense)
        or not np.all(np.isinf(wires.r_sense_far))
    ):
        raise ParameterError("tile.r_join needs one finite wires.r_sense for all columns and open far ends")
    return replace(wires, r_sense=pieces * r_join)
