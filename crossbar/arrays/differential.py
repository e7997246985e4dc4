"""Interleaved differential arrays: both cells of a pair are on one column, and their rows have opposite voltages.

The currents of a pair are subtracted on the column itself, so the column wire carries only their difference
(docs/equations/topologies.md, section 1).  The functions here map such an array to any solver of this package, as an
array of 2m rows with row 2i at +v_i and row 2i + 1 at -v_i.
b = batch, m = inputs (pairs of rows), n = columns
"""

from typing import overload

import numpy as np

from crossbar.arrays.array import Array
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError


@overload
def interleave(positive: FloatArray, negative: FloatArray) -> FloatArray: ...


@overload
def interleave(positive: Array, negative: Array) -> Array: ...


def interleave(positive: FloatArray | Array, negative: FloatArray | Array) -> FloatArray | Array:
    """Return the array (2m, n) whose row 2i is row i of `positive` and whose row 2i + 1 is row i of `negative`.

    positive, negative: both (m, n): conductances [S], gate voltages [V], or Arrays of the same cell.
    Raises ParameterError if they do not match.  Source: docs/equations/topologies.md eq. 1.
    """
    if isinstance(positive, Array) and isinstance(negative, Array):
        if positive.cell != negative.cell:
            raise ParameterError(f"both arrays must have the same cell, got {positive.cell!r} and {negative.cell!r}")
        one, other = (np.broadcast_to(each.gate_offset, each.shape) for each in (positive, negative))
        return Array(positive.cell, _alternate(positive.g_filament, negative.g_filament), _alternate(one, other))
    if isinstance(positive, Array) or isinstance(negative, Array):
        raise ParameterError("positive and negative must both be Arrays or both be conductances")
    return _alternate(checks.array("positive", positive, ndim=2), checks.array("negative", negative, ndim=2))


def opposed(v: FloatArray) -> FloatArray:
    """Return the row voltages (b, 2m) [V] of an interleaved array for inputs v (b, m) [V]: +v and -v alternate.

    Raises ParameterError for a wrong shape or value.  Source: docs/equations/topologies.md eq. 1.
    """
    v = checks.voltages("v", v, ndim=2)
    return np.stack([v, -v], axis=2).reshape(len(v), 2 * v.shape[1])


def pair_transfer(transfer: FloatArray) -> FloatArray:
    """Return the transfer matrix of pairs (m, n) [S] from the transfer matrix (2m, n) [S] of an interleaved array.

    currents = v @ pair_transfer(transfer_matrix(g, wires)), with g from `interleave` and v (b, m) [V].
    Raises ParameterError for an odd number of rows.  Source: docs/equations/topologies.md eq. 2.
    """
    transfer = checks.array("transfer", transfer, ndim=2)
    if len(transfer) % 2:
        raise ParameterError(f"transfer must have an even number of rows, two for each pair, got {len(transfer)}")
    difference: FloatArray = transfer[0::2] - transfer[1::2]
    return difference


def _alternate(one: FloatArray, other: FloatArray) -> FloatArray:
    """Rows (2m, n) of the two arrays, alternating."""
    if one.shape != other.shape:
        raise ParameterError(f"positive and negative must have the same shape, got {one.shape} and {other.shape}")
    return np.stack([one, other], axis=1).reshape(2 * len(one), -1)
