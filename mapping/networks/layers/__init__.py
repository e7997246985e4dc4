"""The layers of a network: their arrays, the shapes of their outputs, and their exact arithmetic."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
