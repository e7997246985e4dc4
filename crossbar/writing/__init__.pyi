from .array_writing import ArrayProgrammed as ArrayProgrammed
from .array_writing import Bias as Bias
from .array_writing import write_array as write_array
