"""Files that are written completely or not at all: output folders, packed values, the cache, downloads."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
