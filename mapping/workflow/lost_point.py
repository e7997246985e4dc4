"""The number of images after which reads have cost a chip one point of accuracy, found by running it."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from mapping.chips.chip import Chip, write_arrays
from mapping.inference.running import exact_outputs, run
from mapping.placement.program import Program
from mapping.prices.refresh import images_to_limit
from mapping.workflow.writing import adjusted, new

POINT = 0.01  # of accuracy
FIRST = 1e5  # number of images that is tried first if reads are hardly felt, ours
FACTOR = 4.0  # between the numbers that are tried until the point is lost, ours
CLOSE = 1.1  # ratio of the last two numbers, ours
MOST_IMAGES = 1e12  # images beyond which a chip counts as undisturbed, ours


def images_until_lost(
    program: Program,
    images: FloatArray,
    labels: IntArray | FloatArray,
    seed: int = 0,
    *,
    exact: FloatArray | None = None,
    progress: Callable[[int], None] | None = None,
) -> float:
    """Return the number of images after which a chip has one point less accuracy than when it was new; inf: never.

    images: (b, c, h, w), labels: (b,) the images of each run and their classes.  All runs have the same random draws.
    Cells are not written again, and `retention.adjusted` decides whether outputs are adjusted anew.  Bisection of the
    logarithm finds the number to 10 %.  exact: (b, classes) outputs of the exact network, if they are known.
    progress: called with the number of runs done.
    Raises ParameterError for labels that are no classes, and what `write` and `run` raise.
    Source: docs/equations/disturb.md, section 6.
    """
    if np.asarray(labels).dtype.kind not in "iu":  # numbers that a network should give
        raise ParameterError(f"labels must be classes to lose a point of accuracy, got numbers such as {labels[0]!r}")
    classes: IntArray = checks.array("labels", labels, shape=(len(images),)).astype(np.int64)
    exact = exact_outputs(program, images) if exact is None else exact
    fresh = write_arrays(new(program), seed)
    adjusts = program.hardware.tile.adjust_outputs
    fresh = adjusted(fresh) if adjusts else fresh
    runs = 0

    def accuracy(chip: Chip) -> float:
        nonlocal runs
        right = run(chip, images, seed=seed, exact=exact).accuracy(classes)[0]
        runs += 1
        if progress is not None:
            progress(runs)
        return right

    def lost(count: float) -> bool:
        retention = replace(
            program.hardware.retention, images=count, rate=0.0, refresh_images=0.0, refresh_time=0.0, refresh_change=0.0
        )
        worn = replace(program, hardware=replace(program.hardware, retention=retention))
        chip = write_arrays(worn, seed)
        if adjusts:
            again = retention.adjusted == "aged"
            chip = adjusted(chip) if again else replace(chip, adjustments=fresh.adjustments)
        return accuracy(chip) <= allowed

    allowed = accuracy(fresh) - POINT * (1.0 - 1e-9)
    _, guess = images_to_limit(program)
    low, high = 0.0, math.inf
    count = guess if math.isfinite(guess) else FIRST
    while low == 0.0 or math.isinf(high):
        if lost(count):
            high, count = count, count / FACTOR
            if high < 1.0:
                return 0.0
        else:
            low, count = count, count * FACTOR
            if low > MOST_IMAGES:
                return math.inf
    while high / low > CLOSE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if lost(middle) else (middle, high)
    return high
