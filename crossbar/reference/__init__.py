"""Reference solvers and ngspice, which judge the other solvers and share no code with them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
