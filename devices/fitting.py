"""Another place for `devices.measurements.fitting`, where scripts written before the folders look for it."""

from devices.measurements.fitting import Estimate, Fit, fit_cell

__all__ = ["Estimate", "Fit", "fit_cell"]
