"""Energy, time and area of components: technology nodes, ADC models, a catalogue of components, prices of a chip."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
