"""Current–voltage laws with their slopes, the gate law, and the choice of a law by the type of its parameters."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
