"""Cell voltages of an array whose lines are connected at one end only, by fixed-point iteration (kernels).

Each pass computes the cell currents and then the IR drop that these currents cause along rows and columns.  With one
connected end per line, the IR drop is a simple sum over the line.
b = inputs, m = rows, n = columns, c = m n cells
"""

from typing import Any

import numpy as np

from devices.aliases import BoolArray, FloatArray, IntArray
from devices.laws.dispatch import fill_currents
from devices.numerics.jit import kernel

MOST_PASSES = 20  # enough for an IR drop of about half the voltage; Newton's method solves the rest (ours)
GROWN = 1.5  # the iteration diverges if a pass changes drops by more than this times the pass before (ours)


@kernel
def lost(
    current: FloatArray, m: int, n: int, r_row: FloatArray, r_column: FloatArray, driver: FloatArray, sense: FloatArray,
    drop: FloatArray, largest: FloatArray,
) -> None:  # fmt: skip
    """Fill `drop` (c,) with the IR drops [V] in row and column that cell currents (c,) [A] cause.

    r_row (m, n - 1), r_column (m - 1, n): segments [ohm].  largest: (1,) becomes the largest change of a drop [V].
    Source: docs/equations/programming.md eq. 10.
    """
    below, way = np.zeros(n), np.zeros(n)  # of each column, from its end upwards: current and IR drop
    for i in range(m):
        for j in range(n):
            below[j] += current[i * n + j]
    for j in range(n):
        way[j] = sense[j] * below[j]
    most = 0.0
    for i in range(m - 1, -1, -1):
        right = 0.0
        for j in range(n):
            right += current[i * n + j]
        loss = driver[i] * right
        for j in range(n):
            at = i * n + j
            new = loss + way[j]
            most = max(most, abs(new - drop[at]))
            drop[at] = new
            right -= current[at]
            if j < n - 1:
                loss += r_row[i, j] * right
            below[j] -= current[at]
            if i > 0:
                way[j] += r_column[i - 1, j] * below[j]
    largest[0] = most


@kernel
def settle(
    law: Any, g: FloatArray, gain: FloatArray, kind: IntArray, v: FloatArray, v_sense: FloatArray,  # noqa: ANN401
    r_row: FloatArray, r_column: FloatArray, driver: FloatArray, sense: FloatArray, tolerance: float,
    drop: FloatArray, volts: FloatArray, power: FloatArray, solved: BoolArray, first: int, last: int,
) -> None:  # fmt: skip
    """Solve inputs first to last - 1, starting from the IR drops in `drop` (b, c), which are replaced by the result.

    g: (c,) [S].  gain: (kinds, c); kind: (b, m) index into it for each row.  v: (b, m), v_sense: (b, n) [V].  volts:
    (b, c) voltage over each cell [V].  power: (b,) of all sources [W].
    The passes use a tangent of each cell's law, so that a pass needs no exponentials.  The tangents are renewed as long
    as a voltage ends further than √tolerance times the largest voltage from its tangent point.  An input has converged
    when the remaining change of its drops is estimated below half of `tolerance` times that voltage.
    """
    m, n = v.shape[1], v_sense.shape[1]
    own, current, slope, moved = np.empty(m * n), np.empty(m * n), np.empty(m * n), np.zeros(1)
    start, guess = np.empty(m * n), np.empty(m * n)
    for p in range(first, last):
        scale = 0.0
        for i in range(m):
            own[i * n : (i + 1) * n] = gain[kind[p, i], i * n : (i + 1) * n]
            for j in range(n):
                scale = max(scale, abs(v[p, i] - v_sense[p, j]))
        solved[p] = False
        for _ in range(MOST_PASSES):
            for i in range(m):
                for j in range(n):
                    volts[p, i * n + j] = v[p, i] - v_sense[p, j] - drop[p, i * n + j]
            fill_currents(law, g, own, volts[p], start, slope)
            guess[:] = drop[p]
            before, far = np.inf, 0.0
            for _ in range(MOST_PASSES):
                far = 0.0
                for i in range(m * n):
                    away = guess[i] - drop[p, i]
                    far = max(far, abs(away))
                    current[i] = start[i] + slope[i] * away
                lost(current, m, n, r_row, r_column, driver, sense, drop[p], moved)
                if not moved[0] < GROWN * before:
                    before = np.inf
                    break
                shrinks = min(moved[0] / before, 0.5) if before < np.inf else 0.5
                before = moved[0]
                if moved[0] * shrinks <= (1.0 - shrinks) * 0.5 * tolerance * scale:
                    break
            if not before < scale:  # it diverges
                break
            if far * far <= tolerance * scale * scale and before <= tolerance * scale:
                solved[p] = True
                break
        power[p] = 0.0
        for i in range(m):
            for j in range(n):
                at = i * n + j
                volts[p, at] = v[p, i] - v_sense[p, j] - drop[p, at]
                power[p] += (v[p, i] - v_sense[p, j]) * current[at]
