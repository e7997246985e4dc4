"""Noise of a read: white and 1/f noise over a bandwidth, and traps that switch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
