"""Read noise: thermal, shot and 1/f noise in a bandwidth, and random telegraph noise of traps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
