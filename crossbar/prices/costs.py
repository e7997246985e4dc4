"""Prices of the components of a chip: energy per action and time per step, with sources (docs/equations/costs.md).

Digital energies are scaled proportionally to the node (capacitance at constant voltage), our conservative choice.
"""

from dataclasses import dataclass, field

from crossbar.prices.adc_models import ADC_MODELS
from crossbar.prices.component_model import NOTHING, Band, Part, read_part
from crossbar.prices.technology import LEAKAGE, REPEATERS, WIRE_MODELS, supply, wire_bit, wire_capacitance
from crossbar.tiles.activity import Activity
from crossbar.tiles.converters import Adc
from devices import checks
from devices.checks import quantity
from devices.errors import ParameterError

# Lowest leakage over LEAKAGE.  NeuroSim V1.3: 10.5983 µJ in 12.1771 ms on 79.482 mm² for ResNet18; LEAKAGE is VGG8's.
LEAST_LEAKAGE = 10.95 / LEAKAGE
BANDED = ("adc", "wires", "clock", "leakage", "parts")  # components whose prices differ between models


@dataclass(frozen=True)
class Costs:
    """Prices of a chip's components; every energy is per action at the node of its source and is scaled to `node`."""

    node: float = quantity(22e-9, "m", above=0.0)  #: technology node [m]
    adc_model: str = "survey"  #: one of ADC_MODELS; the report gives the range over all of them
    pitch: float = quantity(80e-9, "m", above=0.0)  #: cell pitch [m], ours
    v_pulse: float = quantity(0.8, "V", above=0.0)  #: voltage swing of the row drivers' logic [V], 22 nm supply
    c_wire: float = quantity(2e-10, "F/m", minimum=0.0)  #: capacitance of a line [F/m], NeuroSim V1.3
    c_gate: float = quantity(1.55e-3, "F/m²", minimum=0.0)  #: gate capacitance of a cell [F/m²], 20 nm of h-BN
    e_row_code: float = quantity(0.291e-12, "J", minimum=0.0)  #: 8-bit row driver per code at 40 nm [J], Brahms
    e_gate_dac: float = quantity(0.291e-12, "J", minimum=0.0)  #: gate driver per update at 40 nm [J], as a row driver
    e_add: float = quantity(0.021e-12, "J", minimum=0.0)  #: shift and add of 16 bits at 32 nm [J], ISAAC
    e_multiply: float = quantity(0.25e-12, "J", minimum=0.0)  #: scaling of one result at 40 nm [J], RAELLA
    e_compare: float = quantity(7.4e-15, "J", minimum=0.0)  #: comparing 8 bits at 40 nm [J], Aladdin's 32 by 4
    e_buffer_bit: float = quantity(8.0e-14, "J", minimum=0.0)  #: buffer access per bit at 32 nm [J], ISAAC eDRAM
    e_write: float = quantity(2.5e-12, "J", minimum=0.0)  #: write-verify of one cell to a new target [J]
    t_write: float = quantity(120e-6, "s", minimum=0.0)  #: write-verify of one row to new targets [s]
    endurance: float = quantity(2e4, above=0.0)  #: writes that a cell endures, CuCrP2S6; gated silver cells: unknown
    wire_model: str = "supply"  #: one of WIRE_MODELS; the report gives the range over all of them
    e_register: float = quantity(9e-15, "J", minimum=0.0)  #: storing a bit in a register at 40 nm [J], Aladdin
    e_counter: float = quantity(0.063e-12, "J", minimum=0.0)  #: one clock of an 8-bit counter at 40 nm [J], Aladdin
    p_leak: float = quantity(LEAKAGE, "W/m²", minimum=0.0)  #: leakage of 22 nm low-power logic [W/m²], NeuroSim V1.3
    t_digital: float = quantity(1e-9, "s", minimum=0.0)  #: one digital step [s], 1 GHz, ours
    parts: dict[str, Part] = field(default_factory=dict)  #: the user's own components by name, as Part or as a table

    def __post_init__(self) -> None:
        checks.check_fields(self)
        if self.adc_model not in ADC_MODELS:
            raise ParameterError(f"costs.adc_model must be one of {', '.join(ADC_MODELS)}, got {self.adc_model!r}")
        if self.wire_model not in WIRE_MODELS:
            raise ParameterError(f"costs.wire_model must be one of {', '.join(WIRE_MODELS)}, got {self.wire_model!r}")
        given: object = self.parts
        if not isinstance(given, dict):
            raise ParameterError(f"costs.parts must be a table with one table for each part, got {given!r}")
        parts = {
            name: part if isinstance(part, Part) else read_part(name, part, "costs.parts")
            for name, part in given.items()
        }
        object.__setattr__(self, "parts", parts)

    def conversion(self, adc: Adc, model: str, r_column: float = 1e4) -> float:
        """Energy of one conversion [J] according to a model; a continuous converter is priced as 8 bits."""
        return ADC_MODELS[model].energy(adc.bits or 8, adc.sample_rate, self.node * 1e9, r_column)

    def energies(self, done: Activity, adc: Adc, model: str | None = None) -> dict[str, float]:
        """Price an activity: component -> energy [J]."""
        per_cell = self.c_wire * self.pitch
        return {
            "array": done.joules_array,
            "adc": done.conversions * self.conversion(adc, model or self.adc_model),
            "drivers": done.row_codes * self.e_row_code * self.node / 40e-9
            + done.cell_reads * per_cell * self.v_pulse**2,
            "gates": done.gate_updates * self.e_gate_dac * self.node / 40e-9
            + done.gate_swing * (self.c_gate * self.pitch**2 + per_cell),
            "writes": done.cell_writes * self.e_write,
            "digital": done.additions * self.e_add * self.node / 32e-9
            + done.multiplications * self.e_multiply * self.node / 40e-9
            + done.comparisons * self.e_compare * self.node / 40e-9,
            "buffers": done.buffer_bits * self.e_buffer_bit * self.node / 32e-9,
            "wires": done.wire_bit_meters * wire_bit(self.wire_model, self.node),
            "clock": self._registers(done) + done.clock_meters * self._clock() * REPEATERS[2.0],
            "leakage": done.leaking * self.p_leak,
            "parts": self._parts(done).nominal,
        }

    def bounds(self, done: Activity, adc: Adc) -> tuple[float, float]:
        """Lowest and highest energy of an activity [J] over the models of converters, wires, clocks and leakage.

        Source: docs/equations/costs.md eq. 24.
        """
        energies = self.energies(done, adc)
        others = sum(value for name, value in energies.items() if name not in BANDED)
        conversion = [done.conversions * self.conversion(adc, model) for model in ADC_MODELS]
        wires = [done.wire_bit_meters * wire_bit(model, self.node) for model in WIRE_MODELS]
        least = self._registers(done)
        most = least + done.clock_meters * self._clock() * REPEATERS[1.0]
        most += done.array_clocks * self.e_counter * self.node / 40e-9
        leaked, parts = energies["leakage"], self._parts(done)
        return (
            others + min(conversion) + min(wires) + least + LEAST_LEAKAGE * leaked + parts.low,
            others + max(conversion) + max(wires) + most + leaked + parts.high,
        )

    def _parts(self, done: Activity) -> Band:
        return sum((part.energy(done, self.node) for part in self.parts.values()), NOTHING)

    def _registers(self, done: Activity) -> float:
        return done.register_bits * self.e_register * self.node / 40e-9

    def _clock(self) -> float:
        """Energy of one clock per metre of the clock tree [J/m], without repeaters: one full swing."""
        return wire_capacitance(self.node) * supply(self.node) ** 2
