"""What an action costs: technology nodes, ADC models, components with their catalogue, and the sums."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
