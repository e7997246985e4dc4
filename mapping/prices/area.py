"""Area of arrays and their periphery, per tile and per layer, from published components.

docs/equations/costs.md, section 9.

Components without a published area are left out: clocks, wires between tiles, comparators, look-up tables.
"""

import math
from dataclasses import dataclass

from crossbar.prices.catalogue import adc_component, component
from crossbar.prices.costs import NO_MODEL, Costs
from crossbar.prices.read_prices import capacitor
from crossbar.prices.row_drivers import BYTE
from crossbar.tiles.converters import Adc, Dac
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.program import Program

AREAS = ("cells", "sensing", "adc", "drivers", "gates", "digital", "buffers", "control", "parts")
MULTIPLIED = 32  # bits of both factors of the published multiplier
LATCHES = 2  # areas of a register for a bit of a row's code: it is kept and compared, ours
EDRAM_BITS = 64 * 1024 * 8  # of the published buffer


@dataclass(frozen=True)
class ArrayReport:
    """One tile: its part of a matrix, its utilisation, and its area with periphery."""

    matrix: str
    tile: int  #: number of the tile in its matrix
    rows: int  #: number of rows in use, of each kernel
    pairs: int  #: number of outputs in use, each a pair of columns unless the chip description says otherwise
    arrays: int  #: number of physical arrays, copies included
    utilisation: float  #: fraction of their cells that hold a weight
    area_m2: float


def adc_area(adc: Adc, costs: Costs) -> float:
    """Area [m²] of one converter of the chosen model; that of the survey if it has no area; 0 if parts convert."""
    if costs.adc_model == NO_MODEL:
        return 0.0
    part = adc_component(adc, costs.node, costs.adc_model)
    return part.area or adc_component(adc, costs.node, "survey").area


def tile_area(matrix: Matrix, program: Program, costs: Costs) -> dict[str, float]:
    """Return the area [m²] of one tile by component, with all its arrays and copies, without buffers.

    Arrays count in full, whatever their utilisation. The arrays of a tile have common amplifiers and converters. Each
    row of each array has a driver. Each gate group has one driver, or two with double gates. Each converter has a
    shift-and-add and a multiplier for its scale, and a second multiplier if kernels are mixed digitally.
    Source: docs/equations/costs.md eq. 17.
    """
    hardware, node = program.hardware, costs.node
    shape = hardware.tile
    arrays = matrix.arrays * matrix.copies
    converters = matrix.copies * math.ceil(shape.converted / hardware.adc.columns)
    gates = matrix.gate_lines * matrix.copies * (2 if hardware.mapping.double_gates else 1) if matrix.gated else 0
    factor = component("multiplier", node).area * hardware.adc.width * hardware.dac.width / MULTIPLIED**2
    each = component("shift_add", node).area + factor * (2 if matrix.kind == "kernel" else 1)
    voltage, register = component("row_dac", node).area / BYTE, component("register", node).area
    return {
        "cells": arrays * shape.rows * shape.columns * costs.pitch**2,
        "sensing": matrix.copies * shape.converted * pair_area(program, costs),
        "adc": converters * adc_area(hardware.adc, costs),
        "drivers": arrays * shape.rows * row_area(hardware.dac, costs),
        "gates": gates * voltage * hardware.gate_dac.width,
        "digital": converters * each,
        "buffers": 0.0,
        "control": matrix.copies * costs.control_bits * register,
        "parts": 0.0,
    }


def pair_area(program: Program, costs: Costs) -> float:
    """Return the area [m²] of the amplifiers and the integrating capacitor of a pair.

    All pairs of a chip are alike, so the largest range of its converters decides.
    Source: docs/equations/costs.md eq. 31.
    """
    sense = program.hardware.sense
    if sense.stage == "none":
        return 0.0
    full = max((tile.full_scale for matrix in program.all_matrices for tile in matrix.tiles), default=0.0)
    amplifiers = 2.0 * component("sample", costs.node).area
    return amplifiers + capacitor(full, program.hardware.periphery) / sense.capacitance


def row_area(dac: Dac, costs: Costs) -> float:
    """Return the area [m²] of a row's driver: registers and comparator, or a converter, or a delay line; and switches.

    Source: docs/equations/costs.md, section 9.
    """
    node, switches = costs.node, component("row_pulse", costs.node).area
    if dac.coding == "amplitude":
        return switches + component("row_dac", node).area * dac.width / BYTE
    if dac.coding == "bit-serial":
        return switches + component("register", node).area * dac.width
    if costs.row_timer == "delay-line":
        return switches + component("time_dac", node).area
    return switches + LATCHES * component("register", node).area * dac.width


def layer_area(program: Program, layer: str, costs: Costs) -> dict[str, float]:
    """Return the area [m²] of a layer by component, with its attention, without components of the user's own.

    Its buffer holds the input map twice, because one image is read while the next one arrives. The buffer of a layer
    that is rewritten for each image also holds its kernels.
    """
    out = dict.fromkeys(AREAS, 0.0)
    for matrix in program.of(layer):
        for name, value in tile_area(matrix, program, costs).items():
            out[name] += len(matrix.tiles) * value
    shapes = program.folded.shapes()
    held = {each.name: each for each in program.folded.layers}[layer]
    bits = 2.0 * program.hardware.value_bits * sum(math.prod(shapes[source]) for source in held.inputs)
    for matrix in program.matrices.get(layer, ()):
        if matrix.rewritten:
            bits += costs.stored_bits * matrix.conductances.size / 2
    buffer = component("edram", costs.node)
    out["buffers"] = bits / EDRAM_BITS * buffer.area
    return out


def arrays(program: Program, costs: Costs) -> tuple[ArrayReport, ...]:
    """Return every tile of a program with its utilisation and its area."""
    shape = program.hardware.tile
    found = []
    for matrix in program.all_matrices:
        area = sum(tile_area(matrix, program, costs).values())
        count = matrix.arrays * matrix.copies
        for at, tile in enumerate(matrix.tiles):
            found.append(ArrayReport(
                matrix.name, at, *tile.shape, count, _used(matrix, tile) / (count * shape.rows * shape.columns), area
            ))  # fmt: skip
    return tuple(found)


def _used(matrix: Matrix, tile: Placement) -> int:
    return matrix.stored * matrix.copies * tile.shape[0] * tile.cell_columns
