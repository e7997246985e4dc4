from .fidelity import Fidelity as Fidelity
from .fidelity import sample as sample
from .running import exact_outputs as exact_outputs
from .running import run as run
from .traces import LayerTrace as LayerTrace
from .traces import RunResult as RunResult
from .worst_array import CloseUp as CloseUp
from .worst_array import close_up as close_up
