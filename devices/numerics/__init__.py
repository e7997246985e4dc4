"""Tools for compiled kernels: numba options and cache, threads, vector registers, BLAS in kernels, random numbers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
