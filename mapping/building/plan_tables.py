"""Tables of a chip's plan: its arrays, gate lines, gate codes, converters and outputs."""

import math
from collections.abc import Iterator

import numpy as np

from crossbar.tiles.converter_errors import ConverterErrors
from crossbar.tiles.converters import GateDac
from devices.cells.interface import Cell
from mapping.building.tables import Block, Column
from mapping.chips.cells import converter_errors, converter_offsets
from mapping.chips.chip import Chip
from mapping.placement.matrix import Matrix
from mapping.placement.program import Program

ARRAYS = (
    Column("array", "whole", "", "number of the physical array"),
    Column("layer", "text", "", "layer that the array computes"),
    Column("matrix", "text", "", "matrix of the layer"),
    Column("tile", "whole", "", "tile of the matrix"),
    Column("kernel", "whole", "", "kernel in these rows; -1: the mixed kernel, rewritten for each image"),
    Column("copy", "whole", "", "copy of the matrix, from 0; all copies hold the same cells"),
    Column("first_row", "whole", "", "row of the array that holds row 0 of the tile; the last row is next to sensing"),
    Column("rows", "whole", "", "rows in use"),
    Column("columns", "whole", "", "columns in use, from column 0 next to the drivers"),
    Column("first_input", "whole", "", "row of the matrix that row 0 of the tile holds"),
    Column("first_output", "whole", "", "output of the matrix that the first pair of columns computes"),
)
GATE_LINES = (
    Column("line", "whole", "", "number of the gate line"),
    Column("matrix", "text", "", "matrix of a layer"),
    Column("tile", "whole", "", "tile of the matrix"),
    Column("kernel", "whole", "", "kernel whose cells the line gates; -1: the mixed kernel"),
    Column("output", "whole", "", "output whose pair of columns the line gates; -1: all outputs of the tile"),
    Column("use", "text", "", "mixes: its kernel's attention weight sets it; scales: so does the output's; open: held"),
)
GATE_CODES = (
    Column("code", "whole", "", "code of the gate DAC"),
    Column("gate_V", "number", "V", "gate voltage"),
    Column("gain", "number", "", "read gain of a nominal cell"),
    Column("attention", "number", "", "attention weight with this gain"),
)
CONVERTERS = (
    Column("matrix", "text", "", "matrix of a layer"),
    Column("tile", "whole", "", "tile of the matrix"),
    Column("current", "whole", "", "number of the converted current, from 0"),
    Column("positive_column", "whole", "", "column whose current counts positive"),
    Column("negative_column", "whole", "", "column whose current is subtracted; -1: none"),
    Column("output", "whole", "", "output of the matrix; -1: a reference, which is subtracted digitally"),
    Column("slice", "whole", "", "digit of the weights, from the lowest one"),
    Column("worth", "number", "", "factor of this digit; those of one output add up to 1"),
    Column("converter", "whole", "", "number of the converter; currents with the same number share it"),
    Column("full_scale_A", "number", "A", "current of the largest code"),
    Column("lsb_A", "number", "A", "current of one code; 0: a continuous converter"),
    Column("offset_codes", "number", "", "offset of the converter in codes; empty: not written"),
    Column("gain", "number", "", "gain of the converter relative to the nominal one; empty: not written"),
    Column("correction_codes", "number", "", "offset that calibration found and the digital part subtracts"),
    Column(
        "scale_per_A",
        "number",
        "1/A",
        "digital scale of the output per ampere for rows at full code; empty: a reference",
    ),
    Column("input_full_code", "number", "", "input value of a full code of the rows"),
)
OUTPUTS = (
    Column("name", "text", "", "layer, or a matrix that is adjusted by itself"),
    Column("output", "whole", "", "output, from 0"),
    Column("scale", "number", "", "digital scale fitted on the written chip"),
    Column("shift", "number", "", "digital shift fitted on the written chip"),
)


def array_rows(program: Program) -> Iterator[Block]:
    """Yield the arrays of one matrix after another; arrays are numbered in this order."""
    number, shape = 0, program.hardware.tile
    for layer, matrix in _layers(program):
        rows = []
        for copy in range(matrix.copies):
            for at, tile in enumerate(matrix.tiles):
                m, n = tile.shape[0], tile.cell_columns
                for kernel in range(matrix.stored):
                    band = kernel % matrix.bands
                    first = max(shape.rows - matrix.bands * m, 0) + band * m
                    held = -1 if matrix.rewritten else kernel
                    rows.append((number, at, held, copy, first, m, n, tile.rows.start, tile.columns.start))
                    number += band == matrix.bands - 1
        names = ("array", "tile", "kernel", "copy", "first_row", "rows", "columns", "first_input", "first_output")
        yield {"layer": layer, "matrix": matrix.name, **dict(zip(names, np.array(rows).T, strict=True))}


def gate_line_rows(program: Program) -> Iterator[Block]:
    """Yield the gate lines of one tile after another, of cells with gates; copies of a matrix repeat them."""
    number = 0
    for _, matrix in _layers(program) if program.hardware.cell.gated else ():
        for at, tile in enumerate(matrix.tiles):
            outputs = range(tile.columns.start, tile.columns.stop) if matrix.column_gates else (-1,)
            lines = [(kernel, output) for kernel in range(matrix.stored) for output in outputs]
            open_kernels = {matrix.kernels - 1} if matrix.held else set()
            use = "scales" if matrix.column_gates else "mixes"
            yield {
                "line": np.arange(number, number + len(lines)),
                "matrix": matrix.name,
                "tile": at,
                "kernel": np.array([-1 if matrix.rewritten else kernel for kernel, _ in lines]),
                "output": np.array([output for _, output in lines]),
                "use": [use if matrix.gated and kernel not in open_kernels else "open" for kernel, _ in lines],
            }
            number += len(lines)


def gate_code_rows(dac: GateDac, cell: Cell) -> Iterator[Block]:
    """Yield voltage and gain of each code of the gate DAC; nothing if it is continuous or the cells have no gate."""
    if dac.bits is None or not cell.gated:
        return
    codes = np.arange(2**dac.bits)
    volts = cell.v_gate_min + codes * ((cell.v_gate_max - cell.v_gate_min) / (2**dac.bits - 1))
    gains = np.clip(cell.gate_gain(volts), cell.gain_low, cell.gain_high)
    yield {
        "code": codes,
        "gate_V": volts,
        "gain": gains,
        "attention": (gains - cell.gain_low) / (cell.gain_high - cell.gain_low),
    }


def converter_rows(held: Program | Chip) -> Iterator[Block]:
    """Yield the converted currents of one tile after another, with the converters that read them."""
    program = held.program if isinstance(held, Chip) else held
    hardware, number = program.hardware, 0
    for _, matrix in _layers(program):
        for at, tile in enumerate(matrix.tiles):
            code, adc = matrix.code, matrix.code.converter(hardware.adc)
            currents = np.arange(tile.converted)
            held_outputs = tile.shape[1] * code.slices  # currents behind these are references
            reference = currents >= held_outputs
            output, digit = np.divmod(np.where(reference, 0, currents), code.slices)
            output += tile.columns.start
            offsets = gains = corrections = np.full(currents.size, np.nan)
            if isinstance(held, Chip):
                stream = held.stream(matrix, at)
                offsets = converter_offsets(tile, hardware, stream)
                errors = converter_errors(offsets, hardware, stream) or ConverterErrors.none(currents.size)
                gains, corrections = errors.gains, errors.correction
            yield {
                "matrix": matrix.name, "tile": at, "current": currents,
                "positive_column": 2 * currents if code.paired else currents,
                "negative_column": 2 * currents + 1 if code.paired else -1,
                "output": np.where(reference, -1, output), "slice": digit,
                "worth": np.where(reference, np.nan, code.worth[digit]),
                "converter": number + currents // hardware.adc.columns,
                "full_scale_A": tile.full_scale, "lsb_A": adc.lsb(tile.full_scale), "offset_codes": offsets,
                "gain": gains, "correction_codes": corrections,
                "scale_per_A": np.where(reference, np.nan, matrix.scale[output]), "input_full_code": matrix.x_scale,
            }  # fmt: skip
            number += math.ceil(currents.size / hardware.adc.columns)


def output_rows(held: Program | Chip) -> Iterator[Block]:
    """Yield the adjustments of a written chip's outputs."""
    for name, (scale, shift) in held.adjustments.items() if isinstance(held, Chip) else ():
        yield {"name": name, "output": np.arange(len(scale)), "scale": scale, "shift": shift}


def _layers(program: Program) -> Iterator[tuple[str, Matrix]]:
    """Yield every matrix with the name of its layer, in the order of writing."""
    for name, matrices in program.matrices.items():
        for matrix in matrices:
            yield name.removesuffix(".attention"), matrix
