"""Writing an array through its own wires, with IR drop and half-selected cells."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
