"""Triangular factorisation, solve and rank-k update from SciPy's BLAS/LAPACK, callable inside kernels.

The routines are bound by name, so that kernels which call them can be cached on disk between processes. All arrays
are C-ordered; Fortran sees them transposed, so a lower triangle here is an upper one there.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import llvmlite.binding
import numpy as np
import scipy.linalg.cython_blas  # (binds the C-level table that is read below)
import scipy.linalg.cython_lapack  # noqa: F401
from numba import types
from numba.extending import get_cython_function_address
from threadpoolctl import ThreadpoolController

from devices.aliases import FloatArray
from devices.numerics.jit import kernel

_UPPER, _RIGHT, _LEFT, _PLAIN, _TURNED = (ord(letter) for letter in "URLNT")


def bind(module: str, name: str, arguments: int) -> types.ExternalFunction:
    """Return a routine of scipy.linalg's cython_blas or cython_lapack, by name, as kernels call it: all by address."""
    symbol = f"crossgate_{name}"
    llvmlite.binding.add_symbol(symbol, get_cython_function_address(f"scipy.linalg.{module}", name))
    return types.ExternalFunction(symbol, types.void(*([types.voidptr] * arguments)))


_dpotrf = bind("cython_lapack", "dpotrf", 5)
_dtrsm = bind("cython_blas", "dtrsm", 11)
_dsyrk = bind("cython_blas", "dsyrk", 10)
_dsymm = bind("cython_blas", "dsymm", 12)
_dgemm = bind("cython_blas", "dgemm", 13)


class _OneThread:
    """Counts who asks for one thread: the first to come sets it for the whole process, the last to go restores it.

    A BLAS on OpenMP keeps a setting for each thread instead: there every thread sets and restores its own.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.mine = threading.local()  # how often this thread is inside, and the settings that it found
        self.inside = 0
        self.found: list[int] = []

    def enter(self) -> None:
        """Count the calling thread in."""
        shared, own = _libraries()
        if getattr(self.mine, "depth", 0) == 0:
            self.mine.depth, self.mine.found = 0, _set(own)
        self.mine.depth += 1
        with self.lock:
            if self.inside == 0:
                self.found = _set(shared)
            self.inside += 1

    def leave(self) -> None:
        """Count the calling thread out."""
        shared, own = _libraries()
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                _set(shared, self.found)
        self.mine.depth -= 1
        if self.mine.depth == 0:
            _set(own, self.mine.found)

    def forked(self) -> None:
        """Forget in a child the threads that it did not inherit; the fork holds the lock."""
        before, self.inside = self.inside, getattr(self.mine, "depth", 0)
        if before and not self.inside:
            _set(_libraries()[0], self.found)
        self.lock.release()


@cache
def _libraries() -> tuple[list[Any], list[Any]]:
    """Loaded BLAS libraries: those with one setting for the process, and those with one for each thread."""
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    own = [each for each in found if getattr(each, "threading_layer", "") == "openmp"]
    return [each for each in found if each not in own], own


def _set(libraries: list[Any], counts: list[int] | None = None) -> list[int]:
    """Set the threads of libraries, 1 unless counts are given; returns what they were."""
    before = [each.get_num_threads() for each in libraries]
    for each, count in zip(libraries, counts or [1] * len(libraries), strict=True):
        # threadpoolctl lets one thread alone set OpenBLAS and ignores all others; those who count need no such owner.
        release = getattr(each, "clear_controlling_thread", lambda **_: None)
        release(force=True)
        each.set_num_threads(count)
        release(force=True)
    return before


_one = _OneThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_one.lock.acquire, after_in_parent=_one.lock.release, after_in_child=_one.forked)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep every BLAS, NumPy's too, on the calling thread while the context lasts.

    For kernels that are cut over threads themselves, for many small products (waking threads costs more than it
    brings), and for results that no number of threads changes.  The libraries know one setting for the whole process:
    it is 1 while any thread is inside, and what it was before once the last has left.
    """
    _one.enter()
    try:
        yield
    finally:
        _one.leave()


@kernel
def factorise(s: FloatArray, size: int) -> int:
    """Cholesky-factorise the matrix whose lower triangle starts `s`, in place; 0, or the failing pivot."""
    letters = np.array([_UPPER], dtype=np.uint8)
    sizes = np.array([size, size, 0], dtype=np.int32)
    _dpotrf(letters.ctypes, sizes.ctypes, s.ctypes, sizes[1:].ctypes, sizes[2:].ctypes)
    return int(sizes[2])


@kernel
def solve_lower(s: FloatArray, x: FloatArray, size: int, p: int) -> None:
    """Replace `x` (size, p) by L⁻¹ x, with the factor L left in `s`."""
    letters = np.array([_RIGHT, _UPPER, _PLAIN, _PLAIN], dtype=np.uint8)
    sizes = np.array([p, size], dtype=np.int32)
    one = np.ones(1)
    _dtrsm(
        letters.ctypes, letters[1:].ctypes, letters[2:].ctypes, letters[3:].ctypes, sizes.ctypes, sizes[1:].ctypes,
        one.ctypes, s.ctypes, sizes[1:].ctypes, x.ctypes, sizes.ctypes,
    )  # fmt: skip


@kernel
def solve_upper(s: FloatArray, x: FloatArray, size: int, p: int) -> None:
    """Replace `x` (size, p) by L⁻ᵀ x, with the factor L left in `s`."""
    letters = np.array([_RIGHT, _UPPER, _TURNED, _PLAIN], dtype=np.uint8)
    sizes = np.array([p, size], dtype=np.int32)
    one = np.ones(1)
    _dtrsm(
        letters.ctypes, letters[1:].ctypes, letters[2:].ctypes, letters[3:].ctypes, sizes.ctypes, sizes[1:].ctypes,
        one.ctypes, s.ctypes, sizes[1:].ctypes, x.ctypes, sizes.ctypes,
    )  # fmt: skip


@kernel
def times_symmetric(x: FloatArray, a: FloatArray, out: FloatArray, size: int, p: int, step: int) -> None:
    """Write x a to `out` (size, p), of `x` (size, p) and the symmetric (p, p) matrix whose lower triangle is in `a`.

    step: floats from one row of `a` to the next.
    """
    letters = np.array([_LEFT, _UPPER], dtype=np.uint8)
    sizes = np.array([p, size, step], dtype=np.int32)
    factors = np.array([1.0, 0.0])
    _dsymm(
        letters.ctypes, letters[1:].ctypes, sizes.ctypes, sizes[1:].ctypes, factors.ctypes, a.ctypes,
        sizes[2:].ctypes, x.ctypes, sizes.ctypes, factors[1:].ctypes, out.ctypes, sizes.ctypes,
    )  # fmt: skip


@kernel
def times_turned(x: FloatArray, y: FloatArray, out: FloatArray, size: int, p: int) -> None:
    """Write the symmetric x yᵀ to `out` (size, size), of `x` and `y` (size, p)."""
    letters = np.array([_TURNED, _PLAIN], dtype=np.uint8)
    sizes = np.array([size, p], dtype=np.int32)
    factors = np.array([1.0, 0.0])
    _dgemm(
        letters.ctypes, letters[1:].ctypes, sizes.ctypes, sizes.ctypes, sizes[1:].ctypes, factors.ctypes,
        x.ctypes, sizes[1:].ctypes, y.ctypes, sizes[1:].ctypes, factors[1:].ctypes, out.ctypes, sizes.ctypes,
    )  # fmt: skip


@kernel
def add_gram(x: FloatArray, out: FloatArray, size: int, p: int, step: int) -> None:
    """Add xᵀ x, of `x` (size, p), to the lower triangle of the (p, p) matrix in `out`, whose rows lie `step` apart."""
    letters = np.array([_UPPER, _PLAIN], dtype=np.uint8)
    sizes = np.array([p, size, step], dtype=np.int32)
    one = np.ones(1)
    _dsyrk(
        letters.ctypes, letters[1:].ctypes, sizes.ctypes, sizes[1:].ctypes, one.ctypes, x.ctypes, sizes.ctypes,
        one.ctypes, out.ctypes, sizes[2:].ctypes,
    )  # fmt: skip
