"""Overheads of arrays: wires between them, clocks and leakage, from counts, areas and times.

Arrays are the leaves of one H-tree over the chip; the arrays of a layer are neighbours, in the order of the layers
(docs/equations/costs.md, section 12).
"""

import math
from collections.abc import Mapping

from crossbar.prices.costs import Costs
from crossbar.tiles.activity import Activity
from crossbar.tiles.converters import Adc
from mapping.networks.layers.base import INPUT
from mapping.placement.program import Program

BITS = 8.0  # of a code, a result and a gate's voltage on a wire
SUM_BITS = 16.0  # of a partial sum, the width of ISAAC's shift-and-add


def overheads(
    program: Program,
    costs: Costs,
    done: Mapping[str, Activity],
    times: Mapping[str, Mapping[str, float]],
    areas: Mapping[str, float],
    interval: float,
) -> dict[str, Activity]:
    """Return the overhead activity of one image in each layer on arrays, by name.

    done: activity of one image, by layer.  times: phases [s], by layer.  areas [m²]: of each layer on arrays.
    interval: time from one image to the next [s], during which the area leaks.
    Source: docs/equations/costs.md eq. 22-23.
    """
    moved = traffic(program, areas)
    out = {}
    for name, area in areas.items():
        working = times[name]["attention"] + times[name]["read"]
        clocks = working / costs.t_digital if costs.t_digital else 0.0
        arrays = program.tiles(name)
        out[name] = Activity(
            wire_bit_meters=moved[name],
            register_bits=register_bits(done[name], program.hardware.adc),
            clock_meters=clocks * tree(area, arrays),
            array_clocks=clocks * arrays,
            leaking=area * interval,
        )
    return out


def register_bits(done: Activity, adc: Adc) -> float:
    """Return the number of bits written to registers: codes of rows and gates, and results of converters."""
    return BITS * (done.row_codes + done.gate_updates) + (adc.bits or 8) * done.conversions


def tree(area: float, leaves: float) -> float:
    """Return the total wire length [m] of an H-tree over a square of an area [m²].

    Source: docs/equations/costs.md eq. 23.
    """
    return 1.5 * math.sqrt(area) * (math.sqrt(leaves) - 1.0)


def way(outer: float, inner: float) -> float:
    """Return the wire length [m] in an H-tree from the root of a square to that of a square in it, areas in [m²].

    Source: docs/equations/costs.md eq. 22.
    """
    return math.sqrt(outer) - math.sqrt(inner)


def traffic(program: Program, areas: Mapping[str, float]) -> dict[str, float]:
    """Return bits times wire length [m] of each layer on arrays for one image, by name.

    Codes go to every array that needs them, and sums come back from every tile. The outputs of a layer go to the next
    layers. The image enters at the root of the chip, and the last outputs leave there.  areas [m²]: by layer.
    """
    names = list(areas)
    chip = sum(areas.values())
    shapes = program.folded.shapes()
    inputs = {layer.name: layer.inputs for layer in program.folded.layers}
    out = {}
    for at, name in enumerate(names):
        moved = within(program, name, areas[name])
        for given in inputs[name]:
            bits = BITS * math.prod(shapes[given])
            for source in _origins(given, inputs, areas):
                if source == INPUT:
                    moved += bits * way(chip, areas[name])
                    continue
                before = names.index(source)
                span = sum(areas[each] for each in names[before : at + 1])
                moved += bits * (way(span, areas[source]) + way(span, areas[name]))
        out[name] = moved
    last = program.folded.layers[-1].name if program.folded.layers else INPUT
    for source in _origins(last, inputs, areas) - {INPUT}:
        out[source] += BITS * math.prod(shapes[last]) * way(chip, areas[source])
    return out


def within(program: Program, layer: str, area: float) -> float:
    """Return bits times wire length [m] between the root of a layer of this area [m²] and its arrays, for one image.

    A code goes once to the root of all arrays with its row (all kernels, and tiles side by side), and from there along
    all branches to these arrays. A sum comes from its tile.
    """
    array = area / program.tiles(layer)
    moved = 0.0
    sharing: dict[tuple[str, int, int], tuple[float, float]] = {}  # by rows: (bits, arrays with these rows)
    for matrix in program.of(layer):
        inputs = f"group {matrix.group}" if matrix in program.matrices.get(layer, ()) else matrix.name
        pieces = len({tile.rows.start for tile in matrix.tiles})
        here = way(area, array * matrix.arrays)
        for tile in matrix.tiles:
            rows, pairs = tile.shape
            key = (inputs, tile.rows.start, tile.rows.stop)
            _, arrays = sharing.get(key, (0.0, 0.0))
            sharing[key] = BITS * matrix.positions * rows, arrays + matrix.arrays
            moved += (SUM_BITS if pieces > 1 else BITS) * matrix.positions * pairs * here
            if matrix.gated:
                lines = matrix.kernels * pairs if matrix.column_gates else matrix.kernels - matrix.held
                moved += BITS * lines * matrix.copies * here
            if matrix.rewritten:
                moved += BITS * rows * pairs * matrix.copies * here
    for bits, arrays in sharing.values():
        moved += bits * (way(area, array * arrays) + tree(array * arrays, arrays))
    return moved


def _origins(name: str, inputs: Mapping[str, tuple[str, ...]], placed: Mapping[str, float]) -> set[str]:
    """Return the layers on arrays, or the image, from which a value comes through digital layers only."""
    if name == INPUT or name in placed:
        return {name}
    return set().union(*(_origins(source, inputs, placed) for source in inputs[name]))
