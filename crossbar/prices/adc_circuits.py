"""Energy and area of a converter from its circuit and its noise: sampling capacitor, comparators, ladder and counter.

Source: docs/equations/periphery.md eq. 16-17.
"""

import math

from crossbar.tiles.converters import Adc
from devices.constants import BOLTZMANN
from devices.errors import ParameterError

CIRCUIT = "circuit"  #: name of this model in costs.adc_model
ROOM = 300.0  # [K] temperature of the price
COUNTER = 0.063e-12 / 8.0  # [J] one clock of one bit of a counter at 40 nm, Aladdin; the same price for a register
FULL_ADDER = 0.021e-12 / 16.0  # [J] one bit of an addition at 32 nm, ISAAC
OVERDRIVE = 0.15  # [V] of the transistors of a residue amplifier, ours
CAPACITOR = 2e-3  # [F/m²] density of metal capacitors, ours: 2 fF/µm²
COMPARATOR = 10e-12  # [m²] of a comparator at 22 nm with its part of the logic, ours


def circuit_energy(adc: Adc, node: float) -> float:
    """Energy of one conversion [J] at a node [m]; a continuous converter is priced as 8 bits.

    Raises ParameterError for a converter without a circuit, sampling capacitor or comparator noise, whose energy is
    not bounded.
    Source: docs/equations/periphery.md eq. 16.
    """
    check_circuit(adc)
    n, v, c = adc.width, adc.v_swing, adc.c_sample
    codes = float(1 << n)
    decision = BOLTZMANN * ROOM * v**2 / adc.comparator_noise**2
    bit = COUNTER * node / 40e-9
    sampled = c * v**2
    if adc.circuit == "sar":
        ladder = sum(2.0 ** (n + 1 - 2 * i) * (2.0**i - 1.0) for i in range(1, n + 1)) * sampled / codes
        return sampled + ladder + n * decision + 2 * n * (n + 1) * bit
    if adc.circuit == "ramp":
        return 2.0 * sampled + codes * (decision + 2.0 * bit)  # the low bits of a counter change most: two bits a clock
    if adc.circuit == "flash":
        return sampled + (codes - 1.0) * decision + (codes - 1.0 - n) * FULL_ADDER * node / 32e-9
    stages = [(0.5**i * c, n - i) for i in range(n)]  # a stage of one bit halves the noise power of the next one
    amplifiers = sum(each * bits * math.log(2.0) * v * OVERDRIVE for each, bits in stages[:-1])
    return sum(each for each, _ in stages) * v**2 + amplifiers + n * decision + n * (n + 1) / 2 * bit


def circuit_area(adc: Adc, node: float) -> float:
    """Area of one converter [m²] at a node [m]: its capacitors, which do not scale, and its comparators, which do.

    Raises what circuit_energy raises.
    Source: docs/equations/periphery.md eq. 17.
    """
    check_circuit(adc)
    n = adc.width
    capacitors = {"sar": 1.0, "ramp": 2.0, "flash": 1.0, "pipelined": 2.0 - 2.0 / (1 << n)}[adc.circuit]
    comparators = {"sar": 1 + n, "ramp": 1 + n, "flash": (1 << n) - 1, "pipelined": 3 * n}[adc.circuit]
    return capacitors * adc.c_sample / CAPACITOR + comparators * COMPARATOR * (node / 22e-9) ** 2


def check_circuit(adc: Adc) -> None:
    """Raise ParameterError for a converter without a circuit, sampling capacitor or comparator noise."""
    if adc.circuit == "generic":
        raise ParameterError(
            "costs.adc_model = 'circuit' needs adc.circuit = 'sar', 'ramp', 'flash' or 'pipelined', got 'generic'"
        )
    for key, value, unit in (("c_sample", adc.c_sample, "F"), ("comparator_noise", adc.comparator_noise, "V")):
        if value <= 0.0:
            raise ParameterError(
                f"costs.adc_model = 'circuit' prices a converter by its noise, so adc.{key} must be > 0 {unit}, "
                f"got {value:g} {unit}"
            )
