"""Targets that make up for stuck cells: by the partner of a pair, then by the other cells of a column."""

import numpy as np

from devices.aliases import BoolArray, FloatArray

RIDGE = 0.1  # of the mean square input, added to the inputs' products before they are inverted, ours


def pair_differences(conductances: FloatArray) -> FloatArray:
    """Signed conductances of pairs."""
    return conductances[..., 0::2] - conductances[..., 1::2]


def trimmed(wanted: FloatArray, found: FloatArray, stuck: BoolArray) -> FloatArray:
    """Return conductances (k, m, 2 c) [S] in which the partner of a stuck cell restores the difference of the pair.

    wanted: what the pairs should show; found: what they show [S]. The window may bound what a partner can do; where
    both cells of a pair are stuck nothing helps.
    """
    out = wanted.copy()
    for mine, partner in ((0, 1), (1, 0)):
        answer = found[..., partner::2] + wanted[..., mine::2] - wanted[..., partner::2]
        out[..., mine::2] = np.where(stuck[..., partner::2] & ~stuck[..., mine::2], answer, out[..., mine::2])
    return out


def made_up(wanted: FloatArray, missed: FloatArray, stuck: BoolArray, moments: FloatArray) -> FloatArray:
    """Return conductances (k, m, 2 c) [S] in which whole cells of each column make up for what stuck pairs miss.

    wanted: what the cells should show; missed: (k, m, c) what pairs with a stuck cell show too much [S]; moments:
    (m, m) mean products of the rows' inputs. What the column then errs has the least mean square over these inputs.
    Source: docs/equations/encoding.md eq. 12.
    """
    k, m, c = missed.shape
    pairs = stuck[..., 0::2] | stuck[..., 1::2]
    ridge = RIDGE * float(np.trace(moments)) / m
    inverse = np.linalg.inv(moments + (ridge if ridge > 0.0 else 1.0) * np.eye(m))
    columns, count = pairs.swapaxes(1, 2).reshape(k * c, m), int(pairs.sum(1).max())
    rows = np.argsort(~columns, axis=1, kind="stable")[:, :count]  # of stuck pairs, then others
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
