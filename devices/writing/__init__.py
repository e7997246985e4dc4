"""Programming cells: variability, write–verify pulses, conductance levels, published write errors, retention."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
