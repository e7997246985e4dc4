"""What a program takes: schedule, area, overheads, digital work, own parts, estimates, yardsticks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
