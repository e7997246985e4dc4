"""Targets that compensate stuck cells: with the partner of the pair, then with the other cells of the column."""

import numpy as np

from devices.aliases import BoolArray, FloatArray

RIDGE = 0.1  # ridge of the inverted input moments, relative to the mean square input; ours


def pair_differences(conductances: FloatArray) -> FloatArray:
    """Return the signed conductances (k, m, c) [S] of pairs (k, m, 2 c)."""
    return conductances[..., 0::2] - conductances[..., 1::2]


def trimmed(wanted: FloatArray, found: FloatArray, stuck: BoolArray) -> FloatArray:
    """Return targets (k, m, 2 c) [S] in which the partner of a stuck cell restores the difference of the pair.

    wanted: target conductances [S].  found: conductances after writing [S].  The caller clips the result to the window.
    A pair with two stuck cells keeps its targets.
    """
    out = wanted.copy()
    for mine, partner in ((0, 1), (1, 0)):
        restoring = found[..., partner::2] + wanted[..., mine::2] - wanted[..., partner::2]
        out[..., mine::2] = np.where(stuck[..., partner::2] & ~stuck[..., mine::2], restoring, out[..., mine::2])
    return out


def compensated(wanted: FloatArray, missed: FloatArray, stuck: BoolArray, moments: FloatArray) -> FloatArray:
    """Return targets (k, m, 2 c) [S] in which the working cells of each column compensate its stuck pairs.

    The remaining error of the column's current has the least mean square over the inputs.
    wanted: target conductances [S].  missed: (k, m, c) error of the pairs with a stuck cell, found less wanted [S].
    moments: (m, m) mean products of the rows' inputs.
    Source: docs/equations/encoding.md eq. 12.
    """
    k, m, c = missed.shape
    pairs = stuck[..., 0::2] | stuck[..., 1::2]
    ridge = RIDGE * float(np.trace(moments)) / m
    inverse = np.linalg.inv(moments + (ridge if ridge > 0.0 else 1.0) * np.eye(m))
    columns, count = pairs.swapaxes(1, 2).reshape(k * c, m), int(pairs.sum(1).max())
    rows = np.argsort(~columns, axis=1, kind="stable")[:, :count]  # rows of stuck pairs first, then others
    known = np.take_along_axis(columns, rows, 1)
    among = np.where(known[:, :, None] & known[:, None, :], inverse[rows[:, :, None], rows[:, None, :]], np.eye(count))
    error = np.where(known, np.take_along_axis(missed.swapaxes(1, 2).reshape(k * c, m), rows, 1), 0.0)
    weights = np.linalg.solve(among, error[..., None])[..., 0]
    change = np.einsum("as,ams->am", np.where(known, weights, 0.0), inverse[:, rows].swapaxes(0, 1))
    change = np.where(columns, 0.0, change).reshape(k, c, m).swapaxes(1, 2)
    out = wanted.copy()
    rest = np.minimum(wanted[..., 0::2], wanted[..., 1::2])
    difference = pair_differences(wanted) + change
    for mine, sign in ((0, 1.0), (1, -1.0)):
        out[..., mine::2] = np.where(pairs, wanted[..., mine::2], rest + np.maximum(sign * difference, 0.0))
    return out
