"""The threads that kernels and batches run on, and the one way in which work is cut over them.

Plain threads of Python, as kernels release the interpreter's lock. numba's own are never started: they double the time
to compile, two of its three threading layers end the process when two Python threads call parallel kernels at once,
and none survives a fork. Threads here live as long as the call, so any number of Python threads may call at once, and a
process that forks between calls leaves a child that can call as well. No result may depend on how work is cut.
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
    """What each Python thread was told, so that none changes what another works with."""

    count = int(numba.config.NUMBA_NUM_THREADS)
    inside = False  # whether this thread works on a part itself


_threads = _Threads()


def set_threads(n: int) -> None:
    """Let work that this Python thread starts use `n` threads.

    Raises ParameterError unless n is from 1 to the number of threads that numba was given (NUMBA_NUM_THREADS, or the
    processor's cores).
    """
    _threads.count = whole("threads", n, minimum=1, maximum=int(numba.config.NUMBA_NUM_THREADS))


def threads() -> int:
    """Return the number of threads that work started by this Python thread uses; 1 inside a part of such work."""
    return 1 if _threads.inside else _threads.count


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

    Whoever stops asking before the end cancels what has not begun.  Work that a part cuts again stays on its thread.
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
