"""Prices of the components of a chip: energy per action and time per step, with sources (docs/equations/costs.md).

Digital energies are scaled proportionally to the node (capacitance at constant voltage), our conservative choice.
"""

from dataclasses import dataclass, field

from crossbar.prices.adc_circuits import CIRCUIT, circuit_energy
from crossbar.prices.adc_models import ADC_MODELS
from crossbar.prices.component_model import NOTHING, Band, Part, read_part
from crossbar.prices.periphery import Periphery
from crossbar.prices.read_prices import sensing, supply_loss
from crossbar.prices.row_drivers import BYTE, TIMERS, RowPrices, row_drivers
from crossbar.prices.technology import LEAKAGE, REPEATERS, WIRE_MODELS, supply, wire_bit, wire_capacitance
from crossbar.tiles.activity import Activity
from crossbar.tiles.converters import Adc
from devices import checks
from devices.checks import quantity
from devices.errors import ParameterError

# Lowest leakage over LEAKAGE.  NeuroSim V1.3: 10.5983 µJ in 12.1771 ms on 79.482 mm² for ResNet18; LEAKAGE is VGG8's.
LEAST_LEAKAGE = 10.95 / LEAKAGE
#: components of the energy, in the order of reports
COMPONENTS = ("array", "supply", "sensing", "adc", "drivers", "gates", "writes", "digital", "buffers", "memory",
              "wires", "clock", "control", "leakage", "parts")  # fmt: skip
NO_MODEL = "none"  #: of converters that are parts of the user's own
EXTERNAL = ("none", "inputs", "maps")  #: what goes to memory beyond the chip
EXTERNAL_BAND = (3.97, 20.3, 40.6)  # [pJ] for a bit: O'Connor et al., MICRO 2017; Horowitz, ISSCC 2014, both ends
REFERENCE_BAND = (0.0, 1.0)  # energy of the references over that of conversions: none, and as much again; ours
ADDED = 16  # bits of the published shift-and-add


@dataclass(frozen=True)
class Costs:
    """Prices of a chip's components; every energy is per action at the node of its source and is scaled to `node`."""

    node: float = quantity(22e-9, "m", above=0.0)  #: technology node [m]; pitch, wires and swing follow it in files
    #: one of ADC_MODELS or CIRCUIT; the report gives the range over all of them; none: converters are parts of your own
    adc_model: str = "survey"
    #: energy of the converters' references over that of their conversions, ours
    reference_share: float = quantity(0.25, minimum=0.0)
    pitch: float = quantity(80e-9, "m", above=0.0)  #: cell pitch [m], ours
    v_pulse: float = quantity(0.8, "V", above=0.0)  #: voltage swing of the row drivers' logic [V], 22 nm supply
    c_wire: float = quantity(2e-10, "F/m", minimum=0.0)  #: capacitance of a line [F/m], NeuroSim V1.3
    row_timer: str = "counter"  #: one of TIMERS: what ends a row's pulse; the report gives the range over both
    e_delay: float = quantity(37.5e-15, "J", minimum=0.0)  #: delay line for a code of 8 bits at 65 nm [J], TIMELY
    e_row_pulse: float = quantity(0.0, "J", minimum=0.0)  #: a pulse in its driver beside line and switches, 32 nm [J]
    e_row_code: float = quantity(0.291e-12, "J", minimum=0.0)  #: an amplitude of 8 bits at 40 nm [J], Brahms
    e_gate_dac: float = quantity(0.291e-12, "J", minimum=0.0)  #: a gate voltage of 8 bits at 40 nm [J], as a row's
    e_add: float = quantity(0.021e-12, "J", minimum=0.0)  #: shift and add of 16 bits at 32 nm [J], ISAAC
    e_multiply: float = quantity(0.25e-12, "J", minimum=0.0)  #: scaling of 8 by 8 bits at 40 nm [J], RAELLA
    e_compare: float = quantity(7.4e-15, "J", minimum=0.0)  #: comparing 8 bits at 40 nm [J], Aladdin's 32 by 4
    e_buffer_bit: float = quantity(8.0e-14, "J", minimum=0.0)  #: buffer access per bit at 32 nm [J], ISAAC eDRAM
    external: str = "none"  #: one of EXTERNAL: what goes to memory beyond the chip
    e_external: float = quantity(20.3e-12, "J", minimum=0.0)  #: a bit of that memory [J], Horowitz, ISSCC 2014
    stored_bits: int = 8  #: bits of a number in digital memory from which cells are rewritten, ours
    e_write: float = quantity(2.5e-12, "J", minimum=0.0)  #: write-verify of one cell to a new target [J]
    t_write: float = quantity(120e-6, "s", minimum=0.0)  #: write-verify of one row to new targets [s]
    endurance: float = quantity(2e4, above=0.0)  #: writes that a cell endures, CuCrP2S6; gated silver cells: unknown
    wire_model: str = "supply"  #: one of WIRE_MODELS; the report gives the range over all of them
    e_register: float = quantity(9e-15, "J", minimum=0.0)  #: storing a bit in a register at 40 nm [J], Aladdin
    e_counter: float = quantity(0.063e-12, "J", minimum=0.0)  #: one clock of an 8-bit counter at 40 nm [J], Aladdin
    control_bits: int = 16  #: registers of a tile's sequencer, written at each turn of its converters; ours
    p_leak: float = quantity(LEAKAGE, "W/m²", minimum=0.0)  #: leakage of 22 nm low-power logic [W/m²], NeuroSim V1.3
    t_digital: float = quantity(1e-9, "s", minimum=0.0)  #: one digital step [s], 1 GHz, ours
    parts: dict[str, Part] = field(default_factory=dict)  #: the user's own components by name, as Part or as a table

    def __post_init__(self) -> None:
        checks.check_fields(self)
        for name, known in (
            ("adc_model", (*ADC_MODELS, CIRCUIT, NO_MODEL)), ("wire_model", WIRE_MODELS), ("row_timer", TIMERS),
            ("external", EXTERNAL),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise ParameterError(f"costs.{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        checks.whole("costs.stored_bits", self.stored_bits, minimum=1, maximum=64)
        checks.whole("costs.control_bits", self.control_bits, minimum=0, maximum=65536)
        given: object = self.parts
        if not isinstance(given, dict):
            raise ParameterError(f"costs.parts must be a table with one table for each part, got {given!r}")
        parts = {
            name: part if isinstance(part, Part) else read_part(name, part, "costs.parts")
            for name, part in given.items()
        }
        object.__setattr__(self, "parts", parts)

    def conversion(self, adc: Adc, model: str, r_column: float = 1e4) -> float:
        """Energy of one conversion [J] according to a model, without its references.

        Models that know no noise price the resolution, the others the effective bits.
        Raises ParameterError if the model CIRCUIT lacks a circuit or its noise.
        Source: docs/equations/costs.md eq. 1; docs/equations/periphery.md eq. 15-16.
        """
        if model == NO_MODEL:
            return 0.0
        if model == CIRCUIT:
            return circuit_energy(adc, self.node)
        one = ADC_MODELS[model]
        bits = adc.effective_bits() if one.effective else adc.width
        return one.energy(bits, adc.rate, self.node * 1e9, r_column)

    def energies(self, done: Activity, around: Periphery, model: str | None = None) -> dict[str, float]:
        """Price an activity on arrays with these circuits around them: component -> energy [J], by COMPONENTS."""
        bands = self.bands(done, around)
        out = {name: band.nominal for name, band in bands.items()}
        if model is not None:
            out["adc"] = self._converters(done, around.adc, model)
        return out

    def bounds(self, done: Activity, around: Periphery) -> tuple[float, float]:
        """Lowest and highest energy of an activity [J] over the models of each component.

        Source: docs/equations/costs.md eq. 24.
        """
        bands = self.bands(done, around).values()
        return sum(band.low for band in bands), sum(band.high for band in bands)

    def bands(self, done: Activity, around: Periphery) -> dict[str, Band]:
        """Price an activity: component -> energy [J], nominal and over the models of that component."""
        per_cell, byte = self.c_wire * self.pitch, float(BYTE)
        codes, results, at_40 = around.dac.width, around.adc.width, self.node / 40e-9
        models = (NO_MODEL,) if self.adc_model == NO_MODEL else {*ADC_MODELS, self.adc_model}
        converters = [self._converters(done, around.adc, model) for model in models]
        share = 1.0 + self.reference_share
        least, most = 1.0 + min(REFERENCE_BAND[0], self.reference_share), max(1.0 + REFERENCE_BAND[1], share)
        wires = [done.wire_bit_meters * wire_bit(model, self.node) for model in WIRE_MODELS]
        registers, clocked = done.register_bits * self.e_register * at_40, done.clock_meters * self._clock()
        leaked, control = done.leaking * self.p_leak, done.control_steps * self.control_bits * self.e_register * at_40
        external = done.external_bits * self.e_external
        return {
            "array": _exact(done.joules_array),
            "supply": supply_loss(done, around),
            "sensing": sensing(done, around, self.node),
            "adc": Band(
                min(converters) / share * least,
                self._converters(done, around.adc, self.adc_model),
                max(converters) / share * most,
            ),
            "drivers": row_drivers(done, around.dac, around.r_driver, self.row_prices),
            "gates": _exact(
                done.gate_updates * self.e_gate_dac * around.gate_dac.width / byte * at_40
                + done.gate_swing * (around.c_gate * self.pitch**2 + per_cell)
                + done.joules_gates
            ),
            "writes": _exact(done.cell_writes * self.e_write),
            "digital": _exact(
                done.additions * self.e_add * around.sum_bits / ADDED * self.node / 32e-9
                + done.multiplications * self.e_multiply * codes * results / byte**2 * at_40
                + done.comparisons * self.e_compare * codes / byte * at_40
            ),
            "buffers": _exact(done.buffer_bits * self.e_buffer_bit * self.node / 32e-9),
            "memory": Band(
                external * EXTERNAL_BAND[0] / EXTERNAL_BAND[1], external, external * EXTERNAL_BAND[2] / EXTERNAL_BAND[1]
            ),
            "wires": Band(min(wires), done.wire_bit_meters * wire_bit(self.wire_model, self.node), max(wires)),
            "clock": Band(registers, registers + clocked * REPEATERS[2.0], registers + clocked * REPEATERS[1.0]),
            "control": Band(0.0, control, 4.0 * control),  # none, and four times as many registers: ours
            "leakage": Band(LEAST_LEAKAGE * leaked, leaked, leaked),
            "parts": sum((part.energy(done, self.node) for part in self.parts.values()), NOTHING),
        }

    @property
    def row_prices(self) -> RowPrices:
        """Prices of the row drivers at the node of the chip."""
        at_40 = self.node / 40e-9
        return RowPrices(
            self.c_wire * self.pitch, self.v_pulse, self.node, self.row_timer, self.e_counter * at_40,
            self.e_compare * at_40, self.e_delay * self.node / 65e-9, self.e_row_pulse * self.node / 32e-9,
            self.e_row_code * at_40,
        )  # fmt: skip

    def _converters(self, done: Activity, adc: Adc, model: str) -> float:
        return done.conversions * self.conversion(adc, model) * (1.0 + self.reference_share)

    def _clock(self) -> float:
        """Energy of one clock per metre of the clock tree [J/m], without repeaters: one full swing."""
        return wire_capacitance(self.node) * supply(self.node) ** 2


def _exact(joules: float) -> Band:
    return Band(joules, joules, joules)
