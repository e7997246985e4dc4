"""Catalogue of chip components: energy, time and area of one action of each, scaled to a technology node.

Published components are in components.toml.  A user's own component is a `Component`, or a table of a TOML file
(docs/equations/costs.md, section 5).
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from crossbar.prices.adc_circuits import CIRCUIT, circuit_area
from crossbar.prices.adc_models import ADC_MODELS
from crossbar.prices.component_model import Band, Bill, Component, load_components
from crossbar.prices.costs import Costs
from crossbar.prices.periphery import Periphery
from crossbar.prices.technology import LEAKAGE, REPEATERS, wire_capacitance
from crossbar.tiles.activity import Activity
from crossbar.tiles.converters import CONTINUOUS_BITS, Adc
from devices import checks
from devices.errors import ParameterError

PUBLISHED = Path(__file__).with_name("components.toml")


@cache
def published() -> dict[str, Component]:
    """Return the published components by name, at the nodes of their sources."""
    return load_components(PUBLISHED)


def component(name: str, node: float | None = None) -> Component:
    """Return a published component by name, scaled to a node [m] or at the node of its source.

    Raises ParameterError for an unknown name.
    """
    parts = published()
    checks.known("component", name, parts)
    return parts[name] if node is None else parts[name].at(node)


def adc_component(adc: Adc, node: float = 22e-9, model: str | None = None, r_column: float = 1e4) -> Component:
    """Return a converter at a node [m]: energy and area of one model, or the energy band of all and the survey's area.

    r_column: resistance of a column during its conversion [ohm].  A continuous converter is priced as one of
    CONTINUOUS_BITS.
    Raises ParameterError for an unknown model.  Source: docs/equations/costs.md, section 1.
    """
    bits, nm = adc.width, node * 1e9
    if model is not None and model not in (*ADC_MODELS, CIRCUIT):
        raise ParameterError(f"model must be one of {', '.join((*ADC_MODELS, CIRCUIT))}, got {model!r}")
    prices = Costs(node=node)
    names = (*ADC_MODELS, CIRCUIT) if model == CIRCUIT else tuple(ADC_MODELS)
    energies = {name: prices.conversion(adc, name, r_column) for name in names}
    one = energies[model or "survey"]
    energy = Band(min(energies.values()), one, max(energies.values())) if model is None else Band(one, one, one)
    source, area = "docs/equations/costs.md, section 1", 0.0
    if model == CIRCUIT:
        area = circuit_area(adc, node)
    elif (priced := ADC_MODELS[model or "survey"]).area is not None:
        area = priced.area(adc.effective_bits() if priced.effective else bits, adc.rate, nm)
    return Component(
        f"adc_{model or 'band'}",
        f"one conversion of {bits} bits",
        energy,
        source,
        adc.t_conversions(1),
        area,
        0.0,
        node,
    )


def line(name: str, capacitance: float, swing: float, node: float = 22e-9) -> Component:
    """Return a line of a given capacitance [F] and voltage swing [V], which takes C V² for each change.

    Source: docs/equations/costs.md eq. 14.
    """
    c = checks.number("capacitance", capacitance, unit="F", minimum=0.0)
    joules = c * checks.number("swing", swing, unit="V") ** 2
    return Component(name, f"one change by {swing:g} V", Band(joules, joules, joules), "C V²", node=node)


def gate_line(
    cells: int, pitch: float, swing: float, costs: Costs | None = None, c_gate: float = Periphery().c_gate
) -> Component:
    """Return a gate line over cells of a given pitch [m] and swing [V]; its load are the gates and the wire.

    c_gate: gate capacitance of a cell [F/m²].

    Source: docs/equations/costs.md eq. 7.
    """
    checks.whole("cells", cells, minimum=1)
    checks.number("pitch", pitch, unit="m", above=0.0)
    prices = costs or Costs()
    return line("gate_line", cells * (c_gate * pitch**2 + prices.c_wire * pitch), swing, prices.node)


def silicon_gate_line(cells: int, swing: float = 1.3) -> Component:
    """Return a word line of access transistors: 2.1 fF per cell and 48 fF for its driver, at 130 nm.

    swing: 1.3 V between 0.9 and 2.2 V.  Source: Wan et al., Nature 2022, as CiMLoop models it.
    """
    checks.whole("cells", cells, minimum=1)
    return line("silicon_gate_line", (1.5e-15 + 0.6e-15) * cells + 48e-15, swing, 130e-9)


def wire(
    length: float, node: float = 22e-9, relaxed: float = 1.0, activity: float = 0.15, swing: float = 0.5
) -> Component:
    """Return an on-chip wire with repeaters, of a given length [m]: energy of one bit.

    relaxed: its delay over the smallest possible delay, 1, 2 or 3.  activity: fraction of the bits that change the
    voltage of the wire.
    Source: docs/equations/costs.md eq. 15, Accelergy's wire plug-in with its defaults.
    Raises ParameterError for another `relaxed`; the message lists the valid ones.
    """
    if relaxed not in REPEATERS:
        raise ParameterError(f"relaxed must be one of {', '.join(f'{each:g}' for each in REPEATERS)}, got {relaxed!r}")
    checks.number("length", length, unit="m", minimum=0.0)
    farads = wire_capacitance(node) * length
    joules = activity * swing**2 * farads * REPEATERS[relaxed]
    source = "Accelergy's wire plug-in, ITRS capacitances"
    return Component("wire", "one bit", Band(joules, joules, joules), source, node=node)


def ladder_dac(bits: int, volts: float, node: float) -> Component:
    """Return a resistor or capacitor ladder DAC with its control: 8e-17 J (volts × node in nm)² for each bit.

    Source: X2X_ladder.py of CiMLoop's component library.
    """
    checks.whole("bits", bits, minimum=1, maximum=16)
    joules = 8e-17 * (volts * node * 1e9) ** 2 * bits
    return Component("ladder_dac", f"one code of {bits} bits", Band(joules, joules, joules), "CiMLoop", node=node)


def clocked(bits: int, node: float) -> Component:
    """Return a register of some bits: energy of one clock, whether its content changes or not.  Source: Aladdin."""
    checks.whole("bits", bits, minimum=1)
    one = component("register", node)
    return replace(one, name="clocked", action=f"one clock of {bits} bits", energy=one.energy.scaled(bits),
                   area=one.area * bits)  # fmt: skip


def leakage(area: float) -> float:
    """Leakage power [W] of low-power logic of an area [m²] at 22 nm.  Source: LEAKAGE; no other node is known."""
    return LEAKAGE * checks.number("area", area, unit="m²", minimum=0.0)


def pooling(values: float, windows: float, *, largest: bool) -> Activity:
    """Return the counts of pooling `values` numbers in `windows` windows: comparisons if `largest`, else averages."""
    if largest:
        return Activity(comparisons=max(values - windows, 0.0))
    return Activity(additions=max(values - windows, 0.0), multiplications=windows)


def activation(values: float) -> Activity:
    """Return the counts of a ReLU on `values` numbers: one comparison each."""
    return Activity(comparisons=values)


def softmax(rows: float, length: float, bits: int = CONTINUOUS_BITS) -> Activity:
    """Return the counts of a softmax of `rows` rows of `length` numbers of some bits.

    The largest number of a row is found and subtracted.  Each exponential is one table look-up, and so is the
    reciprocal of the sum, which multiplies each exponential.  This decomposition is ours.
    """
    values = rows * length
    return Activity(
        additions=2.0 * values - rows,
        multiplications=values,
        comparisons=values - rows,
        buffer_bits=bits * (values + rows),
    )


def total(bills: Iterable[Bill]) -> Bill:
    """Return the sum of the bills of components that work one after another."""
    return sum(bills, Bill())
