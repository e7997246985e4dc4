"""Energy, latency and area of a program: schedule, overheads, digital work, own components, estimates, comparison."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
