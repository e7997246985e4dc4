"""Threads for kernels and batches, and the only functions that divide work over threads.

They are plain Python threads, as kernels release the GIL.  numba's own threads are not used: they double the compile
time, two of numba's three threading layers end the process when two Python threads call parallel kernels at the same
time, and none works after a fork.  The threads here end with the call, so several Python threads can call at the same
time, and a process that forks between two calls leaves a child that can call as well.  No result may depend on how the
work is divided.
"""

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numba

from devices.checks import whole

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Threads(threading.local):
    """Settings of each Python thread, so that no thread changes the settings of another."""

    count = int(numba.config.NUMBA_NUM_THREADS)
    inside = False  # whether this thread is a worker itself


_threads = _Threads()


def set_threads(n: int) -> None:
    """Set the number of threads for work that this Python thread starts.

    Raises ParameterError unless n is from 1 to NUMBA_NUM_THREADS, by default the number of cores.
    """
    _threads.count = whole("threads", n, minimum=1, maximum=int(numba.config.NUMBA_NUM_THREADS))


def threads() -> int:
    """Return the number of threads for work that this Python thread starts; 1 if it is a worker thread itself."""
    return 1 if _threads.inside else _threads.count


def in_shares(work: Callable[[slice], Result], count: int, *, parts: int = 1, block: int = 1) -> list[Result]:
    """Divide `count` items into contiguous slices, call `work` with each on all threads, return the results in order.

    parts: number of slices per thread; more slices balance work of unequal duration.  block: the length of every slice
    but the last is a multiple of this number of items.
    """
    blocks = -(-count // block)
    pieces = min(threads() * parts, blocks)
    cuts = [blocks * k // pieces * block for k in range(pieces)]
    shares = [slice(first, last) for first, last in pairwise([*cuts, count])]
    return list(over_threads(work, shares))


def over_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Call `work` with each item on all threads and yield the results in order, as soon as they are available.

    Closing the generator before its end cancels all work that has not begun.  Work that is divided again inside `work`
    stays on the same thread.
    """
    waiting = list(items)
    if threads() == 1 or len(waiting) < 2:
        yield from map(work, waiting)
        return

    def part(item: Item) -> Result:
        _threads.inside = True
        return work(item)

    pool = ThreadPoolExecutor(min(threads(), len(waiting)))
    try:
        yield from pool.map(part, waiting)
    finally:
        pool.shutdown(cancel_futures=True)
