from .curve_files import curves as curves
from .law_fits import laws as laws
