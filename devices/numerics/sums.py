"""Sums of floats in vector registers: IEEE arithmetic fixes the order of a plain sum, one addition after another."""

from devices.aliases import FloatArray
from devices.numerics.jit import kernel


@kernel(inline=True)
def folded_sum(line: FloatArray, folded: FloatArray) -> float:
    """Return the sum of `line` (n,): eighths of it are added side by side, and what that leaves one after another.

    folded: at least (n // 8,), overwritten.
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
