"""A tile of a mapped network as a SPICE netlist: its written cells, wires and gate, read with chosen row voltages."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossbar.arrays.array import Array
from crossbar.reference.ngspice import to_spice
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.chips.chip import Chip
from mapping.placement.program import Program


@dataclass(frozen=True, eq=False)
class TileCircuit:
    """The circuit of one array of a mapped tile."""

    array: Array  #: (m, 2 c) written cells; two columns make a pair
    v_gate: float | None  #: [V] None: cells without a gate
    v_rows: FloatArray  #: (m,) [V]
    #: (m, 2 c) gate voltages at the cells [V]; None: that of the driver
    v_cells: FloatArray | None = None


def tile_circuit(
    program: Program | Chip,
    matrix: str,
    tile: int = 0,
    kernel: int = 0,
    *,
    seed: int = 0,
    v_gate: float | None = None,
    v_rows: FloatArray | None = None,
) -> TileCircuit:
    """Return the circuit of a tile after `write` with this seed; other tiles are not written.

    program: a chip in its place is taken with its own seed, or with its measured cells.
    matrix: name of a matrix, or of a layer for its first matrix.  v_gate: [V]; default: the top of the gate window.
    v_rows: (m,) [V]; default: the read voltage on every row.
    Raises ParameterError for an unknown matrix, tile or kernel, or a bad voltage.
    """
    chip = program if isinstance(program, Chip) else Chip(program, checks.seed(seed), {})
    program = chip.program
    by_name = {name: each[0] for name, each in program.matrices.items()}
    by_name |= {each.name: each for each in program.all_matrices}
    checks.known("matrix", matrix, by_name)
    found = by_name[matrix]
    tile = checks.whole("tile", tile, minimum=0, maximum=len(found.tiles) - 1)
    written = chip.written(found, tile)
    kernel = checks.whole("kernel", kernel, minimum=0, maximum=len(written.g_filament) - 1)
    cell, rows = program.hardware.cell_in_run, written.g_filament.shape[1]
    array = Array(cell, written.g_filament[kernel], written.gate_offset[kernel])
    if cell.gated:
        v_gate = checks.number("v_gate", cell.v_gate_max if v_gate is None else v_gate, unit="V")
    elif v_gate is not None:
        raise ParameterError(f"v_gate must be left out, as the cells have no gate, got {v_gate!r}")
    volts = np.full(rows, program.hardware.dac.v_read) if v_rows is None else v_rows
    at_cells = None if written.gate_reach is None or v_gate is None else v_gate * written.gate_reach
    return TileCircuit(array, v_gate if cell.gated else None, checks.array("v_rows", volts, shape=(rows,)), at_cells)


def write_netlist(program: Program, circuit: TileCircuit, path: str | os.PathLike[str]) -> None:
    """Write a tile's circuit on the program's wires as a netlist for ngspice; elements as `crossbar.to_spice` says.

    Raises ParameterError if the law of the cells has no netlist.
    """
    v_gate = circuit.v_gate if circuit.v_cells is None else circuit.v_cells
    to_spice(circuit.array, circuit.v_rows, program.hardware.wires_in_run, Path(path), v_gate=v_gate)
