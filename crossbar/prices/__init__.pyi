from .catalogue import component as component
from .component_model import Component as Component
from .component_model import load_components as load_components
from .costs import Costs as Costs
from .periphery import Periphery as Periphery
