"""Sums of floats that can be vectorised.

IEEE arithmetic fixes the order of the additions of a plain sum, so a compiler may not vectorise it.
"""

from devices.aliases import FloatArray
from devices.numerics.jit import kernel


@kernel(inline=True)
def folded_sum(line: FloatArray, folded: FloatArray) -> float:
    """Return the sum of `line` (n,): its eight parts of equal length are added elementwise, then the result is summed.

    folded: work space of at least (n // 8,).
    """
    n = len(line)
    w = n // 8
    for i in range(w):
        folded[i] = (
            line[i] + line[w + i] + line[2 * w + i] + line[3 * w + i]
            + line[4 * w + i] + line[5 * w + i] + line[6 * w + i] + line[7 * w + i]
        )  # fmt: skip
    total = folded.dtype.type(0)
    for i in range(w):
        total += folded[i]
    for i in range(8 * w, n):
        total += line[i]
    return total
