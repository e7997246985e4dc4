"""Arguments and results of all solvers: wires, arrays, gate lines, capacitances, solutions, differential pairs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
