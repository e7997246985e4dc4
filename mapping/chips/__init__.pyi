from .chip import Bank as Bank
from .chip import Chip as Chip
from .chip import write_arrays as write_arrays
