"""Steps that combine others: compiling with a choice of layouts, writing with adjusted outputs, both with a cache."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
