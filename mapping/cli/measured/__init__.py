"""The commands about measured files: what was understood of them, and the laws of the literature."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
