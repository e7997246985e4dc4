"""Fraction of a cell's current that a column line passes to its ends, with all row voltages fixed."""

import numpy as np

from crossbar.arrays.wires import Wires
from devices.aliases import FloatArray


def column_reach(g: FloatArray, wires: Wires) -> FloatArray:
    """Return the fraction, in (0, 1], of a current into each column node that arrives at the ends of the column.

    g: (…, m, n) [S], cells to row lines at 0 V.  Returns (…, m, n).  By reciprocity this fraction is the voltage of the
    column node when both ends have 1 V.  No subtraction can cancel, and resistances of 0 and inf are exact.
    Source: docs/equations/sensitivity.md eq. 9.
    """
    m, n = g.shape[-2:]
    near, far, r = wires.sense(n), wires.sense_far(n), wires.column_segments(m, n)
    if wires.columns_joined:
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = 1.0 / near + 1.0 / far
            one = np.where(np.isinf(ends), 1.0, ends / (g.sum(-2) + ends))
        return np.broadcast_to(np.nan_to_num(one)[..., None, :], g.shape)
    # Forward elimination from the far end: p is the conductance of a node and all nodes before it to 0 V, and e the
    # voltage that the far end alone gives it.
    p, e = np.empty(g.shape), np.empty(g.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        p[..., 0, :] = g[..., 0, :] + 1.0 / far
        e[..., 0, :] = np.where(np.isinf(far), 0.0, 1.0 / (g[..., 0, :] * far + 1.0))
        for i in range(1, m):
            before = 1.0 / (r[i - 1] + 1.0 / p[..., i - 1, :])
            p[..., i, :] = g[..., i, :] + before
            e[..., i, :] = np.where(before > 0.0, before / p[..., i, :], 0.0) * e[..., i - 1, :]
    last_p, last_e = p[..., -1, :], e[..., -1, :]
    open_end, held = np.isinf(near), np.isinf(last_p) | (near == 0.0)
    finite = np.where(open_end | (near == 0.0), 1.0, near)
    drawn = np.where(np.isinf(last_p), 1.0, last_p) * finite
    out = np.empty(g.shape)
    out[..., -1, :] = np.where(held, 1.0, np.where(open_end, last_e, (drawn * last_e + 1.0) / (drawn + 1.0)))
    for i in range(m - 2, -1, -1):
        broken = np.isinf(r[i])
        loss = np.where(broken, np.inf, 1.0 + p[..., i, :] * np.where(broken, 0.0, r[i]))
        out[..., i, :] = e[..., i, :] + (out[..., i + 1, :] - e[..., i, :]) / loss
    return out
