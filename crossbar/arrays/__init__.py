"""Values that every solver takes and gives: wires, arrays, gate lines, capacitances, solutions, pairs of columns."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
