from .exporting import export_chip as export_chip
from .measured_tables import MISSING as MISSING
from .measured_tables import read_measured as read_measured
from .pulse_tables import SCHEMES as SCHEMES
