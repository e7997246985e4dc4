"""Prices of what hardware does: energy per action and time per step, each with its source (docs/equations/costs.md).

Digital energies are scaled in proportion to the node (capacitance at equal voltage), a conservative choice of ours.
"""

from dataclasses import dataclass

from crossbar.activity import Activity
from crossbar.converters import (
    ADC_MODELS,
    adc_isaac,
    adc_neurosim,
    adc_silicon,
    adc_survey,
)
from crossbar.periphery import Adc
from devices import checks
from devices.checks import quantity
from devices.errors import ParameterError

__all__ = ["ADC_MODELS", "Costs"]


@dataclass(frozen=True)
class Costs:
    """Prices of a chip's components; every energy is per action at its source's node and scaled to `node`."""

    node: float = quantity(22e-9, "m", above=0.0)  #: technology node [m]
    adc_model: str = "survey"  #: one of ADC_MODELS; the report gives the band over all of them
    pitch: float = quantity(80e-9, "m", above=0.0)  #: of a cell [m], ours
    v_pulse: float = quantity(0.8, "V", above=0.0)  #: swing of the logic that drives a row [V], 22 nm supply
    c_wire: float = quantity(2e-10, "F/m", minimum=0.0)  #: of a line [F/m], NeuroSim V1.3
    c_gate: float = quantity(1.55e-3, "F/m²", minimum=0.0)  #: of a gated cell [F/m²], 20 nm of h-BN
    e_row_code: float = quantity(0.291e-12, "J", minimum=0.0)  #: 8-bit row driver per code at 40 nm [J], Brahms
    e_gate_dac: float = quantity(0.291e-12, "J", minimum=0.0)  #: gate driver per update at 40 nm [J], as a row driver
    e_add: float = quantity(0.021e-12, "J", minimum=0.0)  #: shift and add of 16 bits at 32 nm [J], ISAAC
    e_multiply: float = quantity(0.25e-12, "J", minimum=0.0)  #: scaling of one result at 40 nm [J], RAELLA
    e_compare: float = quantity(7.4e-15, "J", minimum=0.0)  #: comparing 8 bits at 40 nm [J], Aladdin's 32 by 4
    e_buffer_bit: float = quantity(8.0e-14, "J", minimum=0.0)  #: buffer access per bit at 32 nm [J], ISAAC eDRAM
    e_write: float = quantity(2.5e-12, "J", minimum=0.0)  #: a cell from one target to another [J], write and verify
    t_write: float = quantity(120e-6, "s", minimum=0.0)  #: a row from one set of targets to another [s], likewise
    endurance: float = quantity(2e4, above=0.0)  #: writes that a cell takes, CuCrP2S6; gated silver cells: unknown
    t_digital: float = quantity(1e-9, "s", minimum=0.0)  #: one digital step [s], 1 GHz, ours

    def __post_init__(self) -> None:
        checks.check_fields(self)
        if self.adc_model not in ADC_MODELS:
            raise ParameterError(f"costs.adc_model must be one of {', '.join(ADC_MODELS)}, got {self.adc_model!r}")

    def conversion(self, adc: Adc, model: str, r_column: float = 1e4) -> float:
        """Energy of one conversion [J] by one of the models; a continuous converter is priced as 8 bits."""
        bits, node_nm = adc.bits or 8, self.node * 1e9
        if model == "survey":
            return adc_survey(bits, adc.sample_rate, node_nm)
        if model == "neurosim":
            return adc_neurosim(bits, node_nm, r_column)
        return adc_isaac(bits, node_nm) if model == "isaac" else adc_silicon(bits, node_nm)

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
        }
