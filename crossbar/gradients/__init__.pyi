from .array_gradients import WireGradient as WireGradient
from .array_gradients import transfer_gradient as transfer_gradient
from .array_gradients import wire_gradient as wire_gradient
from .family_gradients import FamilyGradient as FamilyGradient
from .family_gradients import family_gradient as family_gradient
