from .encoding import Encoding as Encoding
from .floor_plan import FloorPlan as FloorPlan
from .floor_plan import PlannedLayer as PlannedLayer
from .matrix import Matrix as Matrix
from .matrix import Placement as Placement
from .program import Program as Program
