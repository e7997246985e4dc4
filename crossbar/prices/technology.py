"""What a technology node decides of wires and logic: supply, capacitance of a line; tables with a law between nodes."""

import math
from collections.abc import Mapping

import numpy as np

# Low-power supply by node, nm: V. NeuroSim V1.3, Technology.cpp, after the predictive technology models.
SUPPLY = {130: 1.3, 90: 1.2, 65: 1.1, 45: 1.0, 32: 0.9, 22: 0.85, 14: 0.8, 10: 0.75, 7: 0.7}
# Gate length nm: capacitance of a wire [pF/mm]; ITRS values of Accelergy's wire plug-in.
WIRE_PF_PER_MM = {130: 0.430, 100: 0.403, 70: 0.367, 50: 0.345, 35: 0.315, 25: 0.288, 18: 0.266, 13: 0.247}
REPEATERS = {1.0: 2.07, 2.0: 1.077, 3.0: 1.031}  # delay over the least delay: factor on the energy; same source
LEAKAGE = 13.8  # [W/m²] of a whole chip at 22 nm, low-power: 628.781 µW on 45.554 mm², NeuroSim V1.3's manual, fig. 24
RANDOM = 0.25  # of random bits, the part that charges a wire: one in two changes it, one in two of these upwards

#: Energy of a bit on a wire. supply: random bits that swing by the supply, repeaters for twice the least delay;
#: plug-in: Accelergy's with its defaults; low-swing and full-swing: wires that were built and measured.
WIRE_MODELS = ("supply", "plug-in", "low-swing", "full-swing")
LOW_SWING = (40.4e-12, 45e-9, 1.0)  # [J/m] a bit, node [m], supply [V]: S. Park et al., DATE 2013, 40.4 fJ/bit/mm
FULL_SWING = (310e-12, 130e-9, 1.2)  # likewise: conventional wire in ISRN Electronics 2012, 916259, table 1


def at(node: float, table: Mapping[int, float]) -> float:
    """Value of a table at a node [m]: a power law between its nodes and, with the last one's slope, beyond them."""
    nodes = np.log(sorted(table))
    values = np.log([table[each] for each in sorted(table)])
    x = math.log(node * 1e9)
    k = int(np.clip(np.searchsorted(nodes, x) - 1, 0, len(nodes) - 2))
    slope = (values[k + 1] - values[k]) / (nodes[k + 1] - nodes[k])
    return float(np.exp(values[k] + slope * (x - nodes[k])))


def supply(node: float) -> float:
    """Supply of low-power logic [V] at a node [m].  Source: SUPPLY."""
    return at(node, SUPPLY)


def wire_capacitance(node: float) -> float:
    """Capacitance of an on-chip wire [F/m] at a node [m].  Source: WIRE_PF_PER_MM."""
    return at(node, WIRE_PF_PER_MM) * 1e-9


def wire_bit(model: str, node: float) -> float:
    """Energy of a bit on each metre of wire [J/m] at a node [m]; measured ones scaled with capacitance and voltage.

    model: one of WIRE_MODELS.  Source: docs/equations/costs.md eq. 15, 21.
    """
    if model == "plug-in":
        return 0.15 * 0.5**2 * wire_capacitance(node) * REPEATERS[1.0]
    full = wire_capacitance(node) * supply(node) ** 2
    if model == "supply":
        return RANDOM * full * REPEATERS[2.0]
    joules, built, volts = LOW_SWING if model == "low-swing" else FULL_SWING
    return joules * full / (wire_capacitance(built) * volts**2)
