"""Laws of the literature that measured points can be fitted to, on one interface; LAWS names them all."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
