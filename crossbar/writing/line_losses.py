"""Cell voltages of an array whose lines are fed at one end: currents, then the voltage they lose on the wires (kernel).

b = inputs, m = rows, n = columns, c = m n cells
"""

from typing import Any

import numpy as np

from devices.aliases import BoolArray, FloatArray, IntArray
from devices.laws.dispatch import fill_currents
from devices.numerics.jit import kernel

MOST_PASSES = 20  # a loss of half the voltage takes about as many; what needs more is Newton's (ours)
GROWN = 1.5  # a pass that moves drops by more than this times the pass before does not settle (ours)


@kernel
def lost(
    current: FloatArray, m: int, n: int, r_row: FloatArray, r_column: FloatArray, driver: FloatArray, sense: FloatArray,
    drop: FloatArray, largest: FloatArray,
) -> None:  # fmt: skip
    """Fill `drop` (c,) with the voltages that cell currents (c,) [A] lose on the way to the cell and back [V].

    r_row (m, n - 1), r_column (m - 1, n): segments [ohm].  largest: (1,) how far a drop moved at most.
    Source: docs/equations/programming.md eq. 10.
    """
    below, way = np.zeros(n), np.zeros(n)  # of each column: current and loss from the bottom up
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
    """Solve inputs first to last - 1 from the drops that are guessed in `drop` (b, c), which takes theirs.

    g: (c,) [S]; gain: (kinds, c), kind: (b, m) which of them each row has; v: (b, m), v_sense: (b, n) [V]; volts:
    (b, c) over each cell; power: (b,) of all sources [W].  Passes take tangents of the cells' laws, drawn anew while
    voltages end further from where they were drawn than the root of `tolerance` times the largest voltage; an input is
    solved once what further passes would move its drops is below half of `tolerance` times that voltage.
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
            if not before < scale:  # it does not settle
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
