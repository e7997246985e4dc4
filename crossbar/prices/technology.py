"""Properties of a technology node: supply voltage, wire capacitance, leakage, energy of a bit on a wire."""

import math
from collections.abc import Mapping
from functools import cache

import numpy as np

# Node [nm]: supply voltage of low-power logic [V]; NeuroSim V1.3, Technology.cpp, after predictive technology models.
SUPPLY = {130: 1.3, 90: 1.2, 65: 1.1, 45: 1.0, 32: 0.9, 22: 0.85, 14: 0.8, 10: 0.75, 7: 0.7}
# Gate length [nm]: capacitance of a wire [pF/mm]; ITRS values of Accelergy's wire plug-in.
WIRE_PF_PER_MM = {130: 0.430, 100: 0.403, 70: 0.367, 50: 0.345, 35: 0.315, 25: 0.288, 18: 0.266, 13: 0.247}
REPEATERS = {1.0: 2.07, 2.0: 1.077, 3.0: 1.031}  # delay over the smallest delay: factor on the energy; same source
LEAKAGE = 13.8  # [W/m²] of a low-power chip at 22 nm: 628.781 µW on 45.554 mm², NeuroSim V1.3's manual, fig. 24
RANDOM = 0.25  # fraction of random bits that charge a wire: one in two changes it, half of these upwards

#: Models of the energy of a bit on a wire.  supply: random bits with full supply swing and repeaters for twice the
#: smallest delay.  plug-in: Accelergy's plug-in with its defaults.  low-swing, full-swing: measured wires.
WIRE_MODELS = ("supply", "plug-in", "low-swing", "full-swing")
LOW_SWING = (40.4e-12, 45e-9, 1.0)  # [J/m] per bit, node [m], supply [V]: S. Park et al., DATE 2013, 40.4 fJ/bit/mm
FULL_SWING = (310e-12, 130e-9, 1.2)  # the same of a conventional wire: ISRN Electronics 2012, 916259, table 1


def at(node: float, table: Mapping[int, float]) -> float:
    """Value of a table at a node [m]: power laws between its nodes, extrapolated beyond them."""
    nodes = np.log(sorted(table))
    values = np.log([table[each] for each in sorted(table)])
    x = math.log(node * 1e9)
    k = int(np.clip(np.searchsorted(nodes, x) - 1, 0, len(nodes) - 2))
    slope = (values[k + 1] - values[k]) / (nodes[k + 1] - nodes[k])
    return float(np.exp(values[k] + slope * (x - nodes[k])))


@cache  # one price asks for it thousands of times
def supply(node: float) -> float:
    """Supply voltage of low-power logic [V] at a node [m].  Source: SUPPLY."""
    return at(node, SUPPLY)


@cache
def wire_capacitance(node: float) -> float:
    """Capacitance of an on-chip wire [F/m] at a node [m].  Source: WIRE_PF_PER_MM."""
    return at(node, WIRE_PF_PER_MM) * 1e-9


def wire_bit(model: str, node: float) -> float:
    """Energy of a bit per metre of wire [J/m] at a node [m]; measured values are scaled by capacitance and voltage².

    model: one of WIRE_MODELS.  Source: docs/equations/costs.md eq. 15, 21.
    """
    if model == "plug-in":
        return 0.15 * 0.5**2 * wire_capacitance(node) * REPEATERS[1.0]
    full = wire_capacitance(node) * supply(node) ** 2
    if model == "supply":
        return RANDOM * full * REPEATERS[2.0]
    joules, built, volts = LOW_SWING if model == "low-swing" else FULL_SWING
    return joules * full / (wire_capacitance(built) * volts**2)
