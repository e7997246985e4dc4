"""The report of a run or an estimate: pricing, values, HTML page, figures, files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
