"""Prices of what hardware does: energy per action and time per step, each with its source (docs/equations/costs.md).

Digital energies are scaled in proportion to the node (capacitance at equal voltage), a conservative choice of ours.
"""

import math
from dataclasses import dataclass

from crossbar.activity import Activity
from crossbar.periphery import Adc
from devices import checks
from devices.checks import quantity
from devices.errors import ParameterError

NEUROSIM_SAR = {  # node nm: (a, c [µW], d [W]), NeuroSim V1.3 SarADC.cpp, low-power branch
    130: (8.4483, 65.243, 0.169380), 90: (5.9869, 37.462, 0.144323), 65: (3.7506, 25.844, 0.121272),
    45: (2.1691, 16.693, 0.100225), 32: (1.1294, 8.8998, 0.079449), 22: (0.538, 4.3753, 0.072341),
    14: (0.3132, 2.5681, 0.061085), 10: (0.1823, 1.5073, 0.051580), 7: (0.1061, 0.8847, 0.043555),
}  # fmt: skip
ISAAC_ADC_PJ = {4: 0.79, 5: 0.99, 6: 1.20, 7: 1.42, 8: 1.67, 9: 1.97, 10: 2.38}  # 32 nm, scaled from Kull 2013
ADC_MODELS = ("survey", "neurosim", "isaac")


def adc_survey(bits: int, rate: float, node_nm: float) -> float:
    """Energy of one conversion [J], best published converters of `bits` effective bits at `rate` [1/s].

    Source: fit of Murmann's survey, Andrulis et al., arXiv 2404.06553; from 4 bits on, fewer are priced as 4.
    """
    b = max(bits, 4)
    figure = min(213.78067 - 2.871903 * math.log(rate), 128.30683 + 3.2205225 * b)
    sndr = 6.0206 * b + 1.7609
    correction = math.exp(26.0496216 + 1.8800369 * math.log(node_nm) - 2.8291256 * math.log(b) - 1.4702022)
    return 0.5e-12 * math.pow(10.0, (sndr - figure) / 10.0) * correction


def adc_neurosim(bits: int, node_nm: float, r_column: float, temperature: float = 300.0) -> float:
    """Energy of one conversion [J] of a successive-approximation converter on a column of r_column [ohm].

    Source: NeuroSim V1.3, SarADC.cpp, low-power transistors; nodes between its own take the next larger.
    """
    rounded = node_nm * (1.0 - 1e-9)  # 22 · 1e-9 m is a little more than 22 nm
    node = min((each for each in NEUROSIM_SAR if each >= rounded), default=max(NEUROSIM_SAR))
    a, c, d = NEUROSIM_SAR[node]
    exponent = 2.297 if node == 32 else 2.303
    watts = (a * bits + c) * 1e-6 + d * math.exp(-exponent * math.log10(r_column))
    return watts * (1.0 + 1.3e-3 * (temperature - 300.0)) * (bits + 1) * 1e-9


def adc_isaac(bits: int, node_nm: float) -> float:
    """Energy of one conversion [J] as ISAAC scales Kull's converter, in proportion to the node.

    Source: Shafiee et al., ISCA 2016, component table; 4 to 10 bits, others are priced as the nearest.
    """
    return ISAAC_ADC_PJ[min(max(bits, 4), 10)] * 1e-12 * node_nm / 32.0


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
    e_buffer_bit: float = quantity(8.0e-14, "J", minimum=0.0)  #: buffer access per bit at 32 nm [J], ISAAC eDRAM
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
        return adc_isaac(bits, node_nm) if model == "isaac" else adc_neurosim(bits, node_nm, r_column)

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
            "digital": done.additions * self.e_add * self.node / 32e-9
            + done.multiplications * self.e_multiply * self.node / 40e-9,
            "buffers": done.buffer_bits * self.e_buffer_bit * self.node / 32e-9,
        }
