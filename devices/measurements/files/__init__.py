"""Tables as instruments write them: bytes, rows, headings, blocks; what the columns mean is told here, not fitted."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
