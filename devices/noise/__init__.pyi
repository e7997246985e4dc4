from .noise_table import NoiseTable as NoiseTable
from .noise_table import read_noise_table as read_noise_table
from .read_noise import ReadNoise as ReadNoise
from .traps import Traps as Traps
