"""The threads that kernels and batches run on."""

import numba

from devices.checks import whole


def set_threads(n: int) -> None:
    """Let parallel kernels use `n` threads.

    Raises ParameterError unless n is from 1 to the number of threads that numba started with.
    """
    numba.set_num_threads(whole("threads", n, minimum=1, maximum=int(numba.config.NUMBA_NUM_THREADS)))


def threads() -> int:
    """Return the number of threads that parallel kernels use."""
    return int(numba.get_num_threads())
