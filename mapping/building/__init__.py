"""From a chip to the bench and back: programming tables, floor plans, netlists, and measured conductances."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
