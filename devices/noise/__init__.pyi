from .read_noise import ReadNoise as ReadNoise
from .traps import Traps as Traps
