"""Cholesky factorisation, triangular solve and rank-k update from SciPy's BLAS/LAPACK, callable inside kernels.

The routines are bound by name, so that kernels that call them can be cached on disk between processes.  All arrays
are C-ordered.  Fortran sees them transposed, so a lower triangle here is an upper triangle there.
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
    """Return a routine of scipy.linalg's cython_blas or cython_lapack for kernels; all its arguments are addresses."""
    symbol = f"crossgate_{name}"
    llvmlite.binding.add_symbol(symbol, get_cython_function_address(f"scipy.linalg.{module}", name))
    return types.ExternalFunction(symbol, types.void(*([types.voidptr] * arguments)))


_dpotrf = bind("cython_lapack", "dpotrf", 5)
_dtrsm = bind("cython_blas", "dtrsm", 11)
_dsyrk = bind("cython_blas", "dsyrk", 10)
_dsymm = bind("cython_blas", "dsymm", 12)
_dgemm = bind("cython_blas", "dgemm", 13)


class _OneThread:
    """Counter of the threads that want single-threaded BLAS.

    The first to enter limits BLAS to one thread for the whole process, and the last to leave restores the old setting.
    A BLAS on OpenMP has one setting for each thread; there every thread sets and restores its own.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.mine = threading.local()  # nesting depth of this thread, and the settings before it entered
        self.inside = 0
        self.found: list[int] = []

    def enter(self) -> None:
        """Limit BLAS to one thread on behalf of the calling thread."""
        shared, own = _libraries()
        if getattr(self.mine, "depth", 0) == 0:
            self.mine.depth, self.mine.found = 0, _set(own)
        self.mine.depth += 1
        with self.lock:
            if self.inside == 0:
                self.found = _set(shared)
            self.inside += 1

    def leave(self) -> None:
        """Withdraw the limit of the calling thread."""
        shared, own = _libraries()
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                _set(shared, self.found)
        self.mine.depth -= 1
        if self.mine.depth == 0:
            _set(own, self.mine.found)

    def forked(self) -> None:
        """Remove from the count, in a forked child, the threads that it did not inherit; the fork holds the lock."""
        before, self.inside = self.inside, getattr(self.mine, "depth", 0)
        if before and not self.inside:
            _set(_libraries()[0], self.found)
        self.lock.release()


@cache
def _libraries() -> tuple[list[Any], list[Any]]:
    """Loaded BLAS libraries: those with one setting per process, and those with one per thread."""
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    own = [each for each in found if getattr(each, "threading_layer", "") == "openmp"]
    return [each for each in found if each not in own], own


def _set(libraries: list[Any], counts: list[int] | None = None) -> list[int]:
    """Set the number of threads of each library, 1 unless counts are given; returns the numbers before."""
    before = [each.get_num_threads() for each in libraries]
    for each, count in zip(libraries, counts or [1] * len(libraries), strict=True):
        # threadpoolctl lets only one thread change OpenBLAS and ignores the others.  Our counter makes that needless.
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
    """Keep every BLAS, including NumPy's, on the calling thread inside the context.

    Use it around kernels that run on several threads already, around many small products (starting threads would cost
    more than it saves), and where results must not depend on the number of threads.  Most libraries have one setting
    per process.  It is 1 while any thread is inside the context, and is restored when the last thread has left.
    """
    _one.enter()
    try:
        yield
    finally:
        _one.leave()


@kernel
def factorise(s: FloatArray, size: int) -> int:
    """Cholesky-factorise in place the (size, size) matrix at the start of `s`, given by its lower triangle.

    Returns 0, or the number of the pivot that failed.
    """
    letters = np.array([_UPPER], dtype=np.uint8)
    sizes = np.array([size, size, 0], dtype=np.int32)
    _dpotrf(letters.ctypes, sizes.ctypes, s.ctypes, sizes[1:].ctypes, sizes[2:].ctypes)
    return int(sizes[2])


@kernel
def solve_lower(s: FloatArray, x: FloatArray, size: int, p: int) -> None:
    """Replace `x` (size, p) by L⁻¹ x, with the factor L that `factorise` left in `s`."""
    letters = np.array([_RIGHT, _UPPER, _PLAIN, _PLAIN], dtype=np.uint8)
    sizes = np.array([p, size], dtype=np.int32)
    one = np.ones(1)
    _dtrsm(
        letters.ctypes, letters[1:].ctypes, letters[2:].ctypes, letters[3:].ctypes, sizes.ctypes, sizes[1:].ctypes,
        one.ctypes, s.ctypes, sizes[1:].ctypes, x.ctypes, sizes.ctypes,
    )  # fmt: skip


@kernel
def solve_upper(s: FloatArray, x: FloatArray, size: int, p: int) -> None:
    """Replace `x` (size, p) by L⁻ᵀ x, with the factor L that `factorise` left in `s`."""
    letters = np.array([_RIGHT, _UPPER, _TURNED, _PLAIN], dtype=np.uint8)
    sizes = np.array([p, size], dtype=np.int32)
    one = np.ones(1)
    _dtrsm(
        letters.ctypes, letters[1:].ctypes, letters[2:].ctypes, letters[3:].ctypes, sizes.ctypes, sizes[1:].ctypes,
        one.ctypes, s.ctypes, sizes[1:].ctypes, x.ctypes, sizes.ctypes,
    )  # fmt: skip


@kernel
def times_symmetric(x: FloatArray, a: FloatArray, out: FloatArray, size: int, p: int, step: int) -> None:
    """Write x a to `out` (size, p), for `x` (size, p) and a symmetric matrix (p, p) given by its lower triangle `a`.

    step: distance between the rows of `a`.
    """
    letters = np.array([_LEFT, _UPPER], dtype=np.uint8)
    sizes = np.array([p, size, step], dtype=np.int32)
    factors = np.array([1.0, 0.0])
    _dsymm(
        letters.ctypes, letters[1:].ctypes, sizes.ctypes, sizes[1:].ctypes, factors.ctypes, a.ctypes,
        sizes[2:].ctypes, x.ctypes, sizes.ctypes, factors[1:].ctypes, out.ctypes, sizes.ctypes,
    )  # fmt: skip


@kernel
def times_two_sided(
    x: FloatArray, a: FloatArray, out: FloatArray, size: int, rows: int, columns: int, step: int
) -> None:
    """Write x s to `out` (size, rows + columns), for a symmetric matrix s that only couples rows to columns.

    x: (size, rows + columns).  a: (columns, rows), the lower left part of s; its rows lie `step` apart.
    """
    letters = np.array([_TURNED, _PLAIN], dtype=np.uint8)
    sizes = np.array([rows, columns, size, rows + columns, step], dtype=np.int32)
    factors = np.array([1.0, 0.0])
    _dgemm(
        letters[1:].ctypes, letters[1:].ctypes, sizes.ctypes, sizes[2:].ctypes, sizes[1:].ctypes, factors.ctypes,
        a.ctypes, sizes[4:].ctypes, x[rows:].ctypes, sizes[3:].ctypes, factors[1:].ctypes, out.ctypes, sizes[3:].ctypes,
    )  # fmt: skip
    _dgemm(
        letters.ctypes, letters[1:].ctypes, sizes[1:].ctypes, sizes[2:].ctypes, sizes.ctypes, factors.ctypes,
        a.ctypes, sizes[4:].ctypes, x.ctypes, sizes[3:].ctypes, factors[1:].ctypes, out[rows:].ctypes,
        sizes[3:].ctypes,
    )  # fmt: skip


@kernel
def times_turned(x: FloatArray, y: FloatArray, out: FloatArray, size: int, p: int) -> None:
    """Write x yᵀ, which must be symmetric, to `out` (size, size), for `x` and `y` (size, p)."""
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
