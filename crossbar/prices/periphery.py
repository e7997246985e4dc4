"""The circuits around an array whose properties its prices depend on."""

from dataclasses import dataclass, field

from crossbar.tiles.converters import Adc, Dac, GateDac
from crossbar.tiles.sense import Sense


@dataclass(frozen=True)
class Periphery:
    """Converters, drivers and amplifiers of an array, as the description of a chip has them."""

    adc: Adc = field(default_factory=Adc)
    dac: Dac = field(default_factory=Dac)
    gate_dac: GateDac = field(default_factory=GateDac)
    sense: Sense = field(default_factory=Sense)
    r_driver: float = 100.0  #: resistance of a row's driver [Ω]; 0: ideal, and without a price
    r_sense: float = 10.0  #: input resistance of a column's amplifier [Ω]; 0: ideal, and without a price
    c_gate: float = 1.55e-3  #: gate capacitance of a cell [F/m²]; 0: cells without a gate

    @property
    def sum_bits(self) -> int:
        """Bits of a sum of results: of a result, and of the factor that scales it to a code of the next array."""
        return self.adc.width + self.dac.width
