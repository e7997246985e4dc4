from .adaptive import AdaptiveLaw as AdaptiveLaw
from .adaptive import OhmicLaw as OhmicLaw
from .dispatch import Law as Law
from .dispatch import cell_current as cell_current
from .dispatch import register as register
from .selector import SelectorLaw as SelectorLaw
from .tabulated import TabulatedLaw as TabulatedLaw
