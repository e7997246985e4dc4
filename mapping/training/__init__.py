"""Training through the exact chip, in PyTorch: a compiled program as a module, and its fine-tuning."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
