"""Gradients of transfer matrices by cells, wires and gates: the reverse pass of the multiport reduction."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
