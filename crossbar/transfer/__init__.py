"""All inputs at once: transfer matrices by multiport reduction, gate families, stacked bands, node voltages."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
