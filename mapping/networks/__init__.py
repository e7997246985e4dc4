"""Trained networks as values: layers, graph, exact arithmetic, file format, zoo, importers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
