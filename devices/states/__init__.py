"""State equations of cells under voltage: filament growth and dissolution, and published drift equations."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
