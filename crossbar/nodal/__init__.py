"""Node voltages, input by input: Newton's method, injected currents, source and gate lines, sensitivities, settling."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
