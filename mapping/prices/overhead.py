"""Overheads of arrays: wires between them, clocks and leakage, from counts, areas and times.

Arrays are the leaves of one H-tree over the chip; the arrays of a layer are neighbours, in the order of the layers
(docs/equations/costs.md, section 12).
"""

import math
from collections.abc import Collection, Mapping

from crossbar.prices.costs import Costs
from crossbar.tiles.activity import Activity
from mapping.hardware.description import Hardware
from mapping.networks.layers.base import INPUT
from mapping.placement.gate_lines import gate_leak, held_squares
from mapping.placement.program import Program


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
    moved, outside = traffic(program, areas), beyond_the_chip(program, areas)
    out = {}
    for name, area in areas.items():
        working = times[name]["attention"] + times[name]["read"]
        out[name] = Activity(
            wire_bit_meters=moved[name],
            register_bits=register_bits(done[name], program.hardware),
            clock_meters=working * clock_rate(program.hardware) * tree(area, program.tiles(name)),
            control_steps=control_steps(program, name),
            leaking=area * interval,
            external_bits=outside[name],
            joules_gates=interval * gate_power(program, name, done[name]),
        )
    return out


def gate_power(program: Program, layer: str, done: Activity) -> float:
    """Return the power [W] that the gate drivers of a layer deliver into leaking gates; done: activity of one image.

    Gates that follow the attention hold their voltages of one image until the next; all others are held open.
    Source: docs/equations/gates.md eq. 12.
    """
    hardware = program.hardware
    leak = gate_leak(hardware.cell)
    if not leak:
        return 0.0
    opened = sum(held_squares(matrix, hardware) for matrix in program.of(layer) if not matrix.gated)
    return leak * (done.gate_holding + opened)


def clock_rate(hardware: Hardware) -> float:
    """Return the mean rate [1/s] of the clock of a layer that reads: one edge for each slot and each conversion.

    It stops while a read waits for its converters.
    """
    dac, turns = hardware.dac, min(hardware.adc.columns, hardware.tile.converted)
    whole = max(dac.t_read + hardware.sense.t_settle, hardware.adc.t_conversions(turns))
    return (dac.slots + turns) / whole


def control_steps(program: Program, layer: str) -> float:
    """Return the steps of the sequencers of a layer's tiles for one image: one for each turn of their converters."""
    hardware = program.hardware
    return float(sum(
        matrix.positions * hardware.dac.conversions * (2 if matrix.signed else 1)
        * sum(min(hardware.adc.columns, tile.converted) for tile in matrix.tiles)
        for matrix in program.of(layer)
    ))  # fmt: skip


def beyond_the_chip(program: Program, names: Collection[str]) -> dict[str, float]:
    """Return the bits that each layer on arrays exchanges with memory beyond the chip for one image, by name.

    costs.external "inputs": the image in and the last outputs out; "maps": also all maps between layers on arrays.
    """
    out, kind = dict.fromkeys(names, 0.0), program.hardware.costs.external
    layers, bits = program.folded.layers, float(program.hardware.value_bits)
    if kind == "none" or not layers:
        return out
    shapes = program.folded.shapes()
    inputs = {layer.name: layer.inputs for layer in layers}
    for name in names:
        for given in inputs[name]:
            if kind == "maps" or INPUT in _origins(given, inputs, names):
                out[name] += bits * math.prod(shapes[given])
        if kind == "maps":
            out[name] += bits * math.prod(shapes[name])
    if kind == "inputs":
        for source in _origins(layers[-1].name, inputs, names) - {INPUT}:
            out[source] += bits * math.prod(shapes[layers[-1].name])
    return out


def register_bits(done: Activity, hardware: Hardware) -> float:
    """Return the number of bits written to registers: codes of rows and gates, and results of converters."""
    dac, gates, adc = hardware.dac.width, hardware.gate_dac.width, hardware.adc.width
    return dac * done.row_codes + gates * done.gate_updates + adc * done.conversions


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
    out, width = {}, program.hardware.value_bits
    for at, name in enumerate(names):
        moved = within(program, name, areas[name])
        for given in inputs[name]:
            bits = width * math.prod(shapes[given])
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
        out[source] += width * math.prod(shapes[last]) * way(chip, areas[source])
    return out


def within(program: Program, layer: str, area: float) -> float:
    """Return bits times wire length [m] between the root of a layer of this area [m²] and its arrays, for one image.

    A code goes once to the root of all arrays with its row (all kernels, and tiles side by side), and from there along
    all branches to these arrays. A sum comes from its tile.
    """
    array, hardware = area / program.tiles(layer), program.hardware
    codes, results, sums = hardware.value_bits, hardware.adc.width, hardware.periphery.sum_bits
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
            sharing[key] = codes * matrix.positions * rows, arrays + matrix.arrays
            moved += (sums if pieces > 1 else results) * matrix.positions * pairs * here
            if matrix.gated:
                lines = matrix.kernels * pairs if matrix.column_gates else matrix.kernels - matrix.held
                moved += hardware.gate_dac.width * lines * matrix.copies * here
            if matrix.rewritten:
                moved += hardware.costs.stored_bits * rows * pairs * matrix.copies * here
    for bits, arrays in sharing.values():
        moved += bits * (way(area, array * arrays) + tree(array * arrays, arrays))
    return moved


def _origins(name: str, inputs: Mapping[str, tuple[str, ...]], placed: Collection[str]) -> set[str]:
    """Return the layers on arrays, or the image, from which a value comes through digital layers only."""
    if name == INPUT or name in placed:
        return {name}
    return set().union(*(_origins(source, inputs, placed) for source in inputs[name]))
