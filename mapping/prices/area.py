"""Area of arrays and of their periphery, per tile and per layer, from published components.

docs/equations/costs.md, section 9.

What has no published area is left out: control, clocks, wires between tiles, comparators, look-up tables.
"""

import math
from dataclasses import dataclass

from crossbar.prices.catalogue import adc_component, component
from crossbar.prices.costs import Costs
from crossbar.tiles.converters import Adc
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.program import Program

AREAS = ("cells", "adc", "drivers", "gates", "digital", "buffers", "parts")
BITS = 8  # of a value in a buffer and of a factor
EDRAM_BITS = 64 * 1024 * 8  # of the published buffer


@dataclass(frozen=True)
class ArrayReport:
    """One tile: its part of a matrix, the utilisation of its cells, and its area with its periphery."""

    matrix: str
    tile: int  #: number of the tile in its matrix
    rows: int  #: in use, of each kernel
    pairs: int  #: in use
    arrays: int  #: physical ones, copies included
    utilisation: float  #: part of their cells that carry a weight
    area_m2: float


def adc_area(adc: Adc, costs: Costs) -> float:
    """Area [m²] of one converter of the chosen model, of the survey's where the model gives none."""
    part = adc_component(adc, costs.node, costs.adc_model)
    return part.area or adc_component(adc, costs.node, "survey").area


def tile_area(matrix: Matrix, program: Program, costs: Costs) -> dict[str, float]:
    """Return the area [m²] of one tile with all its arrays, copies included, by component; buffers apart.

    Arrays are whole, however few of their cells are used. Arrays of one tile share converters; each row of each array
    has a driver, each gate group its own, twice where gates are double; each converter a shift-and-add and a multiplier
    for its scale, and one more where kernels are mixed digitally.  Source: docs/equations/costs.md eq. 17.
    """
    hardware, node = program.hardware, costs.node
    shape = hardware.tile
    arrays = matrix.arrays * matrix.copies
    converters = matrix.copies * math.ceil(shape.pairs / hardware.adc.columns)
    gates = matrix.gate_lines * matrix.copies * (2 if hardware.mapping.double_gates else 1) if matrix.gated else 0
    factor = component("multiplier", node).area * (BITS / 32) ** 2
    each = component("shift_add", node).area + factor * (2 if matrix.kind == "kernel" else 1)
    driver = component("row_dac", node).area
    return {
        "cells": arrays * shape.rows * shape.columns * costs.pitch**2,
        "adc": converters * adc_area(hardware.adc, costs),
        "drivers": arrays * shape.rows * driver,
        "gates": gates * driver,
        "digital": converters * each,
        "buffers": 0.0,
        "parts": 0.0,
    }


def layer_area(program: Program, layer: str, costs: Costs) -> dict[str, float]:
    """Return the area [m²] of a layer by component, attention included, the user's parts apart.

    Its buffer holds the input map twice, as one image is read while the next arrives; one that is rewritten also keeps
    its kernels.
    """
    out = dict.fromkeys(AREAS, 0.0)
    for matrix in program.of(layer):
        for name, value in tile_area(matrix, program, costs).items():
            out[name] += len(matrix.tiles) * value
    shapes = program.folded.shapes()
    held = {each.name: each for each in program.folded.layers}[layer]
    bits = 2.0 * BITS * sum(math.prod(shapes[source]) for source in held.inputs)
    for matrix in program.matrices.get(layer, ()):
        if matrix.rewritten:
            bits += BITS * matrix.conductances.size / 2
    buffer = component("edram", costs.node)
    out["buffers"] = bits / EDRAM_BITS * buffer.area
    return out


def arrays(program: Program, costs: Costs) -> tuple[ArrayReport, ...]:
    """Return every tile of a program with its use and its area."""
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
    return 2 * matrix.stored * matrix.copies * math.prod(tile.shape)
