"""Placement of a network on tiles: folding, encoding, compensation of IR drop, gates, counts, floor plan."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
