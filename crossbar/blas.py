"""Triangular factorisation, solve and rank-k update from SciPy's BLAS/LAPACK, callable inside kernels.

The routines are bound by name, so that kernels which call them can be cached on disk between processes.
All matrices are symmetric or stored so that a C-ordered ``(rows, k)`` array is the routine's ``k × rows`` one.
"""

import llvmlite.binding
import numpy as np
from numba import types
from numba.extending import get_cython_function_address

from devices.aliases import FloatArray
from devices.jit import kernel

_LOWER, _UPPER, _LEFT, _PLAIN, _TRANSPOSED = (ord(letter) for letter in "LULNT")


def _bind(module: str, name: str, arguments: int) -> types.ExternalFunction:
    symbol = f"crossgate_{name}"
    llvmlite.binding.add_symbol(symbol, get_cython_function_address(f"scipy.linalg.{module}", name))
    return types.ExternalFunction(symbol, types.void(*([types.voidptr] * arguments)))


_dpotrf = _bind("cython_lapack", "dpotrf", 5)
_dtrsm = _bind("cython_blas", "dtrsm", 11)
_dsyrk = _bind("cython_blas", "dsyrk", 10)


@kernel
def factorise(s: FloatArray, size: int) -> int:
    """Cholesky-factorise the symmetric ``size × size`` matrix at the start of `s` in place; 0, or the failing pivot."""
    letters = np.array([_LOWER], dtype=np.uint8)
    sizes = np.array([size, size, 0], dtype=np.int32)
    _dpotrf(letters.ctypes, sizes.ctypes, s.ctypes, sizes[1:].ctypes, sizes[2:].ctypes)
    return int(sizes[2])


@kernel
def solve_lower(s: FloatArray, x: FloatArray, size: int, rows: int) -> None:
    """Replace each of the `rows` rows of `x` (rows, size) by its solution with the factor left in `s`."""
    letters = np.array([_LEFT, _LOWER, _PLAIN, _PLAIN], dtype=np.uint8)
    sizes = np.array([size, rows], dtype=np.int32)
    one = np.ones(1)
    _dtrsm(
        letters.ctypes, letters[1:].ctypes, letters[2:].ctypes, letters[3:].ctypes, sizes.ctypes, sizes[1:].ctypes,
        one.ctypes, s.ctypes, sizes.ctypes, x.ctypes, sizes.ctypes,
    )  # fmt: skip


@kernel
def add_gram(x: FloatArray, out: FloatArray, size: int, rows: int) -> None:
    """Add x xᵀ, of `x` (rows, size), to the lower triangle of the (rows, rows) matrix at the start of `out`."""
    letters = np.array([_UPPER, _TRANSPOSED], dtype=np.uint8)
    sizes = np.array([rows, size], dtype=np.int32)
    one = np.ones(1)
    _dsyrk(
        letters.ctypes, letters[1:].ctypes, sizes.ctypes, sizes[1:].ctypes, one.ctypes, x.ctypes, sizes[1:].ctypes,
        one.ctypes, out.ctypes, sizes.ctypes,
    )  # fmt: skip
