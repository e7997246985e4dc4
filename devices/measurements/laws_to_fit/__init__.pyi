from .catalogue import LAWS as LAWS
from .interface import LawToFit as LawToFit
from .interface import Parameter as Parameter
