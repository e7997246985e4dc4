"""A programmable resistor: a conductance window without a gate."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.cells.interface import OhmicCell, checked_states, rising
from devices.checks import array, check_fields, quantity
from devices.laws.adaptive import OhmicLaw


@dataclass(frozen=True)
class Resistor(OhmicCell):
    """An ohmic cell without a gate, whose conductance is linear in the state (our choice)."""

    g_min: float = quantity(0.5e-6, "S", minimum=0.0)  #: lowest conductance [S]
    g_max: float = quantity(50e-6, "S", above=0.0)  #: highest conductance [S]

    def __post_init__(self) -> None:
        check_fields(self)
        rising(self, "g_min", "g_max", "S")

    @property
    def law(self) -> OhmicLaw:
        """Parameters of the current-voltage law, for kernels."""
        return OhmicLaw()

    def filament(self, w: npt.ArrayLike) -> FloatArray:
        """Return the conductance [S] of states w in [0, 1]: g_min + w (g_max - g_min).

        Raises ParameterError if a state lies outside [0, 1].
        """
        result: FloatArray = self.g_min + checked_states(w) * (self.g_max - self.g_min)
        return result[()]

    def state(self, g_filament: npt.ArrayLike) -> FloatArray:
        """Return the state w in [0, 1] of conductances [S]; outside the nominal window w is 0 or 1."""
        g = array("g_filament", g_filament, minimum=0.0)
        result: FloatArray = np.clip((g - self.g_min) / (self.g_max - self.g_min), 0.0, 1.0)
        return result[()]
