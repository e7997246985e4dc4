"""Another place for `devices.measurements.curves`, where scripts written before the folders look for it."""

from devices.measurements.curves import Curves, Reading, TableRead, read_curves, read_measurement, simulate_curves

__all__ = ["Curves", "Reading", "TableRead", "read_curves", "read_measurement", "simulate_curves"]
