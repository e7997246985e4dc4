"""Telling sweeps and written filaments apart in points that come without labels."""

import numpy as np

from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError

LEVELS = 5  # points of each stepped voltage, in the mean, that make it one, ours
JITTER = 0.02  # part of a stepped voltage's range, or
LEAST_JITTER = 2e-3  # [V], below which two of its readings are one level, ours


def level_voltages(values: FloatArray) -> FloatArray:
    """Return a stepped voltage that was measured, each reading replaced by the median of its level [V].

    Voltages that are no such levels come back as they are.
    """
    order = np.argsort(values, kind="stable")
    rising = values[order]
    apart = np.diff(rising) > max(JITTER * float(np.ptp(values)), LEAST_JITTER)
    level = np.concatenate(([0], np.cumsum(apart)))
    count = int(level[-1]) + 1
    widest = max(float(np.ptp(rising[level == which])) for which in range(count))
    clear = widest <= LEAST_JITTER or (count > 1 and widest < 0.25 * float(np.diff(rising)[apart].min()))
    if np.unique(values).size == count or count * LEVELS > values.size or not clear:
        return values
    result = values.copy()
    for which in range(count):
        here = order[level == which]
        result[here] = np.median(values[here])
    return result


def split_sweeps(v: FloatArray, v_gate: FloatArray, source: str) -> IntArray:
    """Number the sweeps of a table without a column for them.

    Of the two voltages one is swept and one is stepped: a sweep ends where the stepped one changes or the swept one
    jumps over more than half of its range.
    """
    changes = [np.diff(each) != 0.0 for each in (v, v_gate)]
    swept, stepped = (v, v_gate) if changes[0].sum() >= changes[1].sum() else (v_gate, v)
    ends = np.diff(stepped) != 0.0
    jumps = np.abs(np.diff(swept))
    ends |= jumps > 0.5 * np.ptp(swept)
    sweep = np.concatenate(([0], np.cumsum(ends)))
    if np.mean(np.bincount(sweep)) < 3.0:
        raise ParameterError(
            f"{source}: the {v.size} points make {sweep[-1] + 1} sweeps, as both voltages change from line to line; "
            "add a column 'state' that says which points were measured on one filament"
        )
    return sweep


def split_states(v: FloatArray, v_gate: FloatArray, sweep: IntArray) -> IntArray:
    """Number the filaments of sweeps without a column for them.

    A sweep over both voltages is a filament of its own.  Else each sweep has one stepped voltage, and the k-th sweep at
    the same one was measured on the k-th filament: in whatever order filaments and steps were measured.
    """
    rows_of = [np.flatnonzero(sweep == which) for which in range(int(sweep.max()) + 1)]
    steps = []
    for column in (v_gate, v):
        if all(np.ptp(column[rows]) == 0.0 for rows in rows_of):
            steps = [float(column[rows[0]]) for rows in rows_of]
            break
    else:
        return sweep
    seen: dict[float, int] = {}
    state_of = np.empty(len(rows_of), dtype=np.int64)
    for which, step in enumerate(steps):
        state_of[which] = seen.get(step, 0)
        seen[step] = state_of[which] + 1
    return state_of[sweep]
