"""Formats of numbers, colours of figures, HTML templates, and text from outside on the terminal."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
