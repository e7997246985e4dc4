from .colours import COLOURS as COLOURS
from .colours import KIND_COLOURS as KIND_COLOURS
from .colours import PHASE_COLOURS as PHASE_COLOURS
from .html_templates import environment as environment
from .intervals import wilson as wilson
from .quantities import percent as percent
from .quantities import ratio as ratio
from .quantities import si as si
