"""Copies of arrays inside kernels.

numba compiles ``out[:] = values`` together with the error message for shapes that do not fit, which takes it seconds.
"""

from devices.aliases import FloatArray
from devices.numerics.jit import kernel


@kernel(inline=True)
def copy_into(out: FloatArray, values: FloatArray) -> None:
    """Fill `out` (q, k) with `values` (q, k), or with the values of a single row (1, k) in every row."""
    rows = len(values)
    for i in range(len(out)):
        for j in range(out.shape[1]):
            out[i, j] = values[i if rows > 1 else 0, j]
