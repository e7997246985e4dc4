"""Chip descriptions: the value, its files, settings by key, the origin of each value, retention."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
