"""Measuring a cell: waveforms, measured curves, fits with their uncertainty, and a data sheet."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
