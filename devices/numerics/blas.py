"""Triangular factorisation, solve and rank-k update from SciPy's BLAS/LAPACK, callable inside kernels.

The routines are bound by name, so that kernels which call them can be cached on disk between processes. All arrays
are C-ordered; Fortran sees them transposed, so a lower triangle here is an upper one there.
"""

from contextlib import AbstractContextManager
from functools import cache

import llvmlite.binding
import numpy as np
import scipy.linalg.cython_blas  # (binds the C-level table that is read below)
import scipy.linalg.cython_lapack  # noqa: F401
from numba import types
from numba.extending import get_cython_function_address
from threadpoolctl import ThreadpoolController

from devices.aliases import FloatArray
from devices.numerics.jit import kernel

_UPPER, _RIGHT, _PLAIN = (ord(letter) for letter in "URN")


def bind(module: str, name: str, arguments: int) -> types.ExternalFunction:
    """Return a routine of scipy.linalg's cython_blas or cython_lapack, by name, as kernels call it: all by address."""
    symbol = f"crossgate_{name}"
    llvmlite.binding.add_symbol(symbol, get_cython_function_address(f"scipy.linalg.{module}", name))
    return types.ExternalFunction(symbol, types.void(*([types.voidptr] * arguments)))


_dpotrf = bind("cython_lapack", "dpotrf", 5)
_dtrsm = bind("cython_blas", "dtrsm", 11)
_dsyrk = bind("cython_blas", "dsyrk", 10)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def one_blas_thread() -> AbstractContextManager[object]:
    """Return a context in which every BLAS, NumPy's too, stays on the calling thread.

    For kernels that are parallel themselves, for many small products (waking threads costs more than it brings), and
    for results that no number of threads changes.
    """
    context: AbstractContextManager[object] = _libraries().limit(limits=1)
    return context


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
def add_gram(x: FloatArray, out: FloatArray, size: int, p: int, step: int) -> None:
    """Add xᵀ x, of `x` (size, p), to the lower triangle of the (p, p) matrix in `out`, whose rows lie `step` apart."""
    letters = np.array([_UPPER, _PLAIN], dtype=np.uint8)
    sizes = np.array([p, size, step], dtype=np.int32)
    one = np.ones(1)
    _dsyrk(
        letters.ctypes, letters[1:].ctypes, sizes.ctypes, sizes[1:].ctypes, one.ctypes, x.ctypes, sizes.ctypes,
        one.ctypes, out.ctypes, sizes[2:].ctypes,
    )  # fmt: skip
