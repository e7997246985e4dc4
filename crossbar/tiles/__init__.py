"""Tiles: arrays with row drivers and converters, codes in and codes out, and counts of their activity."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
