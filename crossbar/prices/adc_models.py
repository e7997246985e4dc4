"""Published models of analogue-to-digital converters: energy of one conversion, and area where the source gives it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from devices.errors import ParameterError

NEUROSIM_SAR = {  # node nm: (a, c [µW], d [W]), NeuroSim V1.3 SarADC.cpp, low-power branch
    130: (8.4483, 65.243, 0.169380), 90: (5.9869, 37.462, 0.144323), 65: (3.7506, 25.844, 0.121272),
    45: (2.1691, 16.693, 0.100225), 32: (1.1294, 8.8998, 0.079449), 22: (0.538, 4.3753, 0.072341),
    14: (0.3132, 2.5681, 0.061085), 10: (0.1823, 1.5073, 0.051580), 7: (0.1061, 0.8847, 0.043555),
}  # fmt: skip
NEUROSIM_FLASH = {  # node nm: (comparator [µW], d [W]), NeuroSim V1.3 MultilevelSenseAmp.cpp, low-power, currents
    130: (18.09, 0.1380), 90: (12.612, 0.1023), 65: (8.4147, 0.0972), 45: (6.3162, 0.075), 32: (3.0875, 0.0649),
    22: (1.7, 0.0631), 14: (1.0, 0.0508), 10: (0.55, 0.0315), 7: (0.35, 0.0235),
}  # fmt: skip
ISAAC_ADC_PJ = {4: 0.79, 5: 0.99, 6: 1.20, 7: 1.42, 8: 1.67, 9: 1.97, 10: 2.38}  # 32 nm, scaled from Kull 2013
ISAAC_ADC_UM2 = {4: 361.0, 5: 477.0, 6: 627.0, 7: 845.0, 8: 1200.0, 9: 1828.0, 10: 3002.0}  # same table
T_FLASH = 1e-9  # [s] conversion time of a flash converter at 22 nm and below in NeuroSim
IDLE_FLASH = 1e-6  # [W] power of a flash converter whose column has no driven row, NeuroSim V1.3


def _node_of(table: dict[int, tuple[float, float]] | dict[int, tuple[float, float, float]], node_nm: float) -> int:
    """Return the node of a table to use for node_nm: the same or the next larger one."""
    rounded = node_nm * (1.0 - 1e-9)  # in floating point 22 · 1e-9 m is a little more than 22 nm
    return min((each for each in table if each >= rounded), default=max(table))


def _column_watts(d: float, node: int, r_column: float) -> float:
    """Power [W] that a column of r_column [ohm] draws during a conversion, in NeuroSim."""
    return d * math.exp(-(2.297 if node == 32 else 2.303) * math.log10(r_column))


def adc_survey(bits: float, rate: float, node_nm: float) -> float:
    """Energy of one conversion [J] of the best published converters, `bits` effective bits at `rate` [1/s].

    The energy follows the signal-to-noise ratio at Schreier's figure of merit.
    Source: fit to Murmann's survey, Andrulis et al., arXiv 2404.06553; fewer than 4 bits are priced as 4 bits.
    """
    b = max(bits, 4)
    figure = min(213.78067 - 2.871903 * math.log(rate), 128.30683 + 3.2205225 * b)
    sndr = 6.0206 * b + 1.7609
    correction = math.exp(26.0496216 + 1.8800369 * math.log(node_nm) - 2.8291256 * math.log(b) - 1.4702022)
    return 0.5e-12 * math.pow(10.0, (sndr - figure) / 10.0) * correction


def adc_neurosim(bits: int, node_nm: float, r_column: float, temperature: float = 300.0) -> float:
    """Energy of one conversion [J] of a successive-approximation converter on a column of r_column [ohm].

    Source: NeuroSim V1.3, SarADC.cpp, low-power transistors; nodes that it lacks are priced as the next larger one.
    """
    node = _node_of(NEUROSIM_SAR, node_nm)
    a, c, d = NEUROSIM_SAR[node]
    watts = (a * bits + c) * 1e-6 + _column_watts(d, node, r_column)
    return watts * (1.0 + 1.3e-3 * (temperature - 300.0)) * (bits + 1) * 1e-9


def adc_flash(levels: int, node_nm: float, g_column: float) -> float:
    """Energy of one conversion [J] of a flash converter with `levels` - 1 comparators on a column of g_column [S].

    g_column: 0 if no row is driven.  Valid at 22 nm and below, where NeuroSim sets the conversion time to 1 ns.
    Raises ParameterError for a larger node.
    Source: NeuroSim V1.3, MultilevelSenseAmp.cpp, low-power transistors, current mode.
    """
    if node_nm > 22.0 * (1.0 + 1e-9):
        raise ParameterError(f"a flash converter is priced at 22 nm and below, got {node_nm:g} nm")
    node = _node_of(NEUROSIM_FLASH, node_nm)
    comparator, d = NEUROSIM_FLASH[node]
    if g_column == 0.0:
        return IDLE_FLASH * T_FLASH
    return (comparator * 1e-6 * (levels - 1) + _column_watts(d, node, 1.0 / g_column)) * T_FLASH


def adc_isaac(bits: int, node_nm: float) -> float:
    """Energy of one conversion [J] of Kull's converter as scaled in ISAAC, proportional to the node.

    Source: Shafiee et al., ISCA 2016, component table for 4 to 10 bits; other resolutions take the nearest entry.
    """
    return ISAAC_ADC_PJ[min(max(bits, 4), 10)] * 1e-12 * node_nm / 32.0


def adc_silicon(bits: int, node_nm: float) -> float:
    """Energy of one conversion [J] of a fabricated converter, NeuRRAM's neuron at 130 nm with one step per bit.

    Source: Wan et al., Nature 2022, with the values of CiMLoop's component library: 1.2 pJ to sample, 0.3 pJ for each
    step; proportional to the node.
    """
    return (1.2 + 0.3 * bits) * 1e-12 * node_nm / 130.0


def area_survey(bits: float, rate: float, node_nm: float) -> float:
    """Area [m²] of the converter of adc_survey.  Source: as adc_survey."""
    energy_pj = 1e12 * adc_survey(bits, rate, node_nm)
    logarithm = 1.3461916 + 0.9932795 * math.log(node_nm) + 0.1807154 * math.log(rate) + 0.2991243 * math.log(energy_pj)
    return 1e-12 * math.exp(logarithm)


def area_isaac(bits: int, node_nm: float) -> float:
    """Area [m²] of ISAAC's converter, proportional to the square of the node.  Source: as adc_isaac."""
    return ISAAC_ADC_UM2[min(max(bits, 4), 10)] * 1e-12 * (node_nm / 32.0) ** 2


def area_silicon(node_nm: float) -> float:
    """Area [m²] of NeuRRAM's converter and sampling stage, 750 µm² at 130 nm.  Source: as adc_silicon."""
    return 750e-12 * (node_nm / 130.0) ** 2


class AdcModel(NamedTuple):
    """Energy and area of a converter according to one source."""

    energy: Callable[[Any, float, float, float], float]
    """Energy [J] from bits, rate [1/s], node [nm] and resistance of the column [ohm]."""
    area: Callable[[Any, float, float], float] | None
    """Area [m²] from bits, rate [1/s] and node [nm]; None: the source gives none."""
    effective: bool = False
    """Whether its bits are the effective ones, which noise reduces; the other sources know the resolution alone."""


ADC_MODELS: dict[str, AdcModel] = {
    "survey": AdcModel(lambda bits, rate, nm, _: adc_survey(bits, rate, nm), area_survey, True),
    "neurosim": AdcModel(lambda bits, _, nm, r_column: adc_neurosim(bits, nm, r_column), None),
    "isaac": AdcModel(lambda bits, _, nm, __: adc_isaac(bits, nm), lambda bits, _, nm: area_isaac(bits, nm)),
    "silicon": AdcModel(lambda bits, _, nm, __: adc_silicon(bits, nm), lambda _, __, nm: area_silicon(nm)),
}
"""Converter models by name.  The first one is the default; reports give the range over all."""
