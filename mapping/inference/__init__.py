"""Inference on a chip: batches, layers, traces; comparison of the levels of fidelity; the worst array."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
