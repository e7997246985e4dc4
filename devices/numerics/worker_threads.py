"""The threads that kernels and batches run on, and the one way in which work is cut over them.

Plain threads, since kernels release the interpreter's lock: numba's own double the time to compile. No result may
depend on how work is cut.
"""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numba

from devices.checks import whole

Item = TypeVar("Item")
Result = TypeVar("Result")


def set_threads(n: int) -> None:
    """Let parallel kernels use `n` threads.

    Raises ParameterError unless n is from 1 to the number of threads that numba started with.
    """
    numba.set_num_threads(whole("threads", n, minimum=1, maximum=int(numba.config.NUMBA_NUM_THREADS)))


def threads() -> int:
    """Return the number of threads that parallel kernels use."""
    return int(numba.get_num_threads())


def in_shares(work: Callable[[slice], Result], count: int, *, parts: int = 1, block: int = 1) -> list[Result]:
    """Cut `count` items into contiguous slices, call `work` with each on all threads, and return the results in order.

    parts: slices for each thread; more of them even out work of unequal length.  block: every slice but the last is a
    whole number of blocks of so many items.
    """
    blocks = -(-count // block)
    pieces = min(threads() * parts, blocks)
    cuts = [blocks * k // pieces * block for k in range(pieces)]
    shares = [slice(first, last) for first, last in pairwise([*cuts, count])]
    return list(over_threads(work, shares))


def over_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Call `work` with each item on all threads and yield the results in order, as soon as they are there.

    Whoever stops asking before the end cancels what has not begun.
    """
    waiting = list(items)
    if threads() == 1 or len(waiting) < 2:
        yield from map(work, waiting)
        return
    pool = ThreadPoolExecutor(min(threads(), len(waiting)))
    try:
        yield from pool.map(work, waiting)
    finally:
        pool.shutdown(cancel_futures=True)
