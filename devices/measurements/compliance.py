"""Points at which the analyser held the current at its limit: found in the data, or at a limit that is known.

What such a point says depends on the voltage in the file.  A measured voltage is that of the cell while it carries the
limit: the point lies on the curve.  A programmed voltage is one the cell never had: its own current would be larger.
"""

from dataclasses import dataclass

import numpy as np

from devices.aliases import BoolArray, FloatArray, IntArray

NEAR = 0.01  # part of a known limit from which on a current stands at it, ours: analysers hold it better
TIGHT, TIGHT_SPAN = 0.005, 0.05  # a plateau: currents within 0.5 % while the voltage grows by 5 %
LOOSE, LOOSE_SPAN, LOOSE_POINTS = 0.03, 0.2, 5  # or within 3 %, while it grows by 20 %, over five points
WIDE, WIDE_SPAN, WIDE_POINTS = 0.1, 0.6, 6  # or within 10 %, noisy or with an overshoot, while it grows by 60 %, ours
LEAST_POINTS = 3  # of a plateau
SLOW, STRETCH = (
    0.5,
    1.1,
)  # a passive cell's current grows at least as the voltage to 1; slower over 10 % is a limit, ours
SCATTER = 3.0  # robust standard deviations of a wide plateau's currents below which its first points are the cell's
FALLEN = 0.9  # part of the largest current below which a larger voltage shows a RESET and no limit, ours
STEPS = 0.5  # part of the sweep's usual step by which recorded voltages go on at a limit if they are programmed, ours


@dataclass(frozen=True)
class Limit:
    """A compliance limit and the points that stand at it."""

    current: float  #: [A], with its sign
    points: int
    programmed: bool  #: the voltages there are those of the source, so the points are censored
    found: bool  #: in the data, else it was known


def find_limits(
    v: FloatArray, current: FloatArray, sweep: IntArray, known: FloatArray, recorded: str = ""
) -> tuple[BoolArray, list[Limit]]:
    """Return which points stand at a limit with a programmed voltage (n,), and all limits, the largest first.

    known: limits (n,) [A], nan where none is known.
    recorded: "measured" or "programmed" voltages; "" tells by the data.
    No passive cell carries one current over a growing voltage, so a plateau at the end of a branch is a limit.
    """
    at = np.zeros(v.size, dtype=np.bool_)
    censored = np.zeros(v.size, dtype=np.bool_)
    limits: list[Limit] = []
    for sign in (1.0, -1.0):
        for which in range(int(sweep.max()) + 1):
            rows = np.flatnonzero((sweep == which) & (current * sign > 0.0))
            if not rows.size:
                continue
            size = np.abs(current[rows])
            given = known[rows]
            if np.isfinite(given).any():
                hit = size >= (1.0 - NEAR) * given
                level, found = float(np.nanmax(given)), False
            else:
                hit, level = _plateau(np.abs(v[rows]), size)
                found = True
            if not hit.any():
                continue
            at[rows[hit]] = True
            steps = _goes_on(v, rows, hit)
            programmed = recorded == "programmed" or (recorded != "measured" and steps)
            if programmed:
                censored[rows[hit]] = True
            limits.append(Limit(sign * level, int(hit.sum()), programmed, found))
    return censored, _joined(limits)


def _plateau(v: FloatArray, size: FloatArray) -> tuple[BoolArray, float]:
    """Return the points of a branch that stand at its largest current while the voltage grows, and that current [A].

    A passive cell's current grows at least as its voltage.  One that resets passes a maximum, and falls beyond it.
    """
    tiers = ((TIGHT, TIGHT_SPAN, LEAST_POINTS), (LOOSE, LOOSE_SPAN, LOOSE_POINTS), (WIDE, WIDE_SPAN, WIDE_POINTS))
    largest = float(size.max())
    for top in np.sort(size)[::-1][:2].tolist():  # a source may overshoot its limit in one point
        for spread, span, least in tiers:
            near = size >= (1.0 - spread) * top
            for run in np.split(np.arange(size.size), np.flatnonzero(np.diff(near.astype(np.int8))) + 1):
                flat = run[size[run] <= (1.0 + spread) * top]
                if not near[run[0]] or flat.size < least:
                    continue
                low, high = float(v[flat].min()), float(v[flat].max())
                beyond = size[v > 1.001 * high]
                if not (low > 0.0 and high > (1.0 + span) * low) or np.any(beyond < FALLEN * top):
                    continue
                level = float(np.median(size[run]))
                hit = size >= (1.0 - spread) * level
                if spread == WIDE:
                    scatter = SCATTER * 1.4826 * float(np.median(np.abs(size[run] / level - 1.0)))
                    hit &= (size >= (1.0 - max(TIGHT, scatter)) * level) | (v > low * (1.0 + TIGHT_SPAN))
                hit[_beside(v, size, run)] = True
                return hit, level
    return np.zeros(size.size, dtype=np.bool_), largest


def _beside(v: FloatArray, size: FloatArray, run: IntArray) -> IntArray:
    """Return the points beside a plateau that belong to it: the limit itself gives way or falls, or the knee is round.

    At lower voltages they are those from which the current grows more slowly than that of any passive cell.
    """
    found: list[int] = []
    for start, step in ((int(run[0]), -1), (int(run[-1]), 1)):
        k = start + step
        while 0 <= k < v.size and v[k] > 0.0:
            if v[k] < v[k - step]:
                above = k - step
                while above not in (run[0], run[-1]) and v[above] < STRETCH * v[k]:
                    above -= step
                if not size[k] >= size[above] * (v[k] / v[above]) ** SLOW:
                    break
            found.append(k)
            k += step
    return np.array(found, dtype=np.int64)


def _goes_on(v: FloatArray, rows: IntArray, hit: BoolArray) -> bool:
    """Tell if recorded voltages go on in the sweep's usual steps at the limit, so that they are the source's."""
    together = np.diff(rows) == 1
    steps = np.abs(np.diff(v[rows]))
    at_limit = together & hit[1:] & hit[:-1]
    usual = together & ~hit[1:] & ~hit[:-1] & (steps > 0.0)
    if not at_limit.any() or not usual.any():
        return True  # a single point: at least the limit, whatever was recorded
    return float(np.median(steps[at_limit])) >= STEPS * float(np.median(steps[usual]))


def _joined(limits: list[Limit]) -> list[Limit]:
    """Return limits with those of one current, within 2 %, as one."""
    result: list[Limit] = []
    for each in sorted(limits, key=lambda limit: -abs(limit.current)):
        for k, other in enumerate(result):
            same = each.programmed == other.programmed and each.found == other.found
            if same and abs(each.current - other.current) <= 0.02 * abs(other.current):
                result[k] = Limit(other.current, other.points + each.points, each.programmed, each.found)
                break
        else:
            result.append(each)
    return result
