"""A chip reads images: batches, layer by layer, traces; reads solved again, the worst array."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
