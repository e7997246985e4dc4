"""A written chip: Program × seed → every tile with the conductances that writing left, reduced and ready to run."""

from dataclasses import dataclass

import numpy as np

from crossbar.family import GainNodes
from crossbar.tile import Tile, WrittenArray, build_tiles
from devices import checks
from mapping.encode import filaments
from mapping.program import Matrix, Placement, Program


@dataclass(frozen=True, eq=False)
class Chip:
    """A program on cells: what `write` returns and `run` reads."""

    program: Program
    seed: int
    tiles: dict[str, tuple[Tile, ...]]  #: per matrix, in the order of its placements


def write(program: Program, seed: int = 0) -> Chip:
    """Write every tile of a program with the spread that `seed` draws, and solve its wires.

    Each tile draws from a stream of its own, so that neither order nor neighbours matter.
    Raises ParameterError if seed is no whole number ≥ 0.
    """
    seed = checks.whole("seed", seed, minimum=0)
    hardware = program.hardware
    order = [matrix for group in program.matrices.values() for matrix in group]
    tiles = {}
    for index, matrix in enumerate(order):
        arrays = [
            write_tile(matrix, placement, program, np.random.SeedSequence(seed, spawn_key=(index, at)))
            for at, placement in enumerate(matrix.tiles)
        ]
        tiles[matrix.name] = tuple(
            build_tiles(
                hardware.cell, arrays, hardware.wires, hardware.dac, hardware.adc, hardware.noise, hardware.temperature
            )
        )
    return Chip(program, seed, tiles)


def write_tile(matrix: Matrix, placement: Placement, program: Program, stream: np.random.SeedSequence) -> WrittenArray:
    """Write the cells of one tile; a static kernel's gate is held open, so its offset does not matter."""
    hardware = program.hardware
    rng = np.random.default_rng(stream)
    columns = slice(2 * placement.columns.start, 2 * placement.columns.stop)
    targets = filaments(matrix.conductances[:, placement.rows, columns], hardware.cell, hardware.dac.v_read)
    written = hardware.spread.write(hardware.cell, targets, rng)
    gated = matrix.kind == "dynamic conv"
    offsets = hardware.adc.offset * rng.standard_normal(placement.shape[1])
    nodes = GainNodes(hardware.cell.gain_low, hardware.cell.gain_high, hardware.tile.gate_nodes) if gated else None
    return WrittenArray(written.g_filament, written.gate_offset, nodes, placement.full_scale, offsets)
