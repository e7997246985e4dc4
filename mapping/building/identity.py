"""The identity of a placed network: tables of one program must not be read for another."""

from mapping.placement.program import Program
from mapping.workflow.digests import digest

VERSION = 1  #: of the tables' format


def program_digest(program: Program) -> str:
    """Return a hash of what a table of cells belongs to: the network, its placement, the cells and the wires.

    It holds no result of floating-point arithmetic, so it is the same on every machine. Read noise, variability, ways
    to write, converters and prices may differ between the export of a table and the run that reads it.
    """
    hardware, tile = program.hardware, program.hardware.tile
    placed = [
        (matrix.name, matrix.kind, matrix.layout, matrix.conductances.shape, matrix.copies, matrix.column_gates,
         [(tile.rows.start, tile.rows.stop, tile.columns.start, tile.columns.stop) for tile in matrix.tiles])
        for matrix in program.all_matrices
    ]  # fmt: skip
    encoded = (tile.rows, tile.columns, tile.column_scales, tile.compensate_wires, tile.code)
    chip = (hardware.cell, hardware.dac.v_read, hardware.wires_in_use, encoded)
    return digest(f"chip tables {VERSION}", program.network, chip, placed)
