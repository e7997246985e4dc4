"""How kernels are made: the one owner of numba, threads, vector registers, BLAS inside kernels, random numbers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
