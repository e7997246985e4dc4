"""The layers of a network as plain arrays: what each holds, the shape it gives, and what it computes exactly."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
