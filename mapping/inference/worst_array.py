"""The worst array: the one with the largest IR drop, solved node by node for the mean input of a run.

The sparse reference solver does it. For one input it takes as long as loading the compiled solver, and it spares the
first run on a machine half of its compiling.

m = rows, n = columns of one array, k = kernels
"""

from dataclasses import dataclass

import numpy as np

from crossbar.arrays.array import Array
from crossbar.nodal.newton import solve
from crossbar.reference.nodal_analysis import reference_solve
from crossbar.tiles.tile import Tile
from devices.aliases import FloatArray
from devices.errors import ConvergenceError
from mapping.inference.traces import LayerTrace, RunResult
from mapping.networks.layers.matrix_layers import MatrixLayer
from mapping.placement.gating import gains_in_run
from mapping.placement.matrix import Matrix


@dataclass(frozen=True, eq=False)
class CloseUp:
    """One array of a chip, solved for the mean row voltages of the first images of a run."""

    layer: str
    matrix: str
    tile: int  #: number of the tile in its matrix
    kernel: int  #: number of the array in its tile
    #: current loss at full drive: all rows at the read voltage, open gate, relative to the targets without wires
    full_drive_loss: float
    v_rows: FloatArray  #: (m,) [V] mean voltages of the row drivers
    drop: FloatArray  #: (m, n) IR drop: driver voltage less cell voltage, over the largest of v_rows
    #: change of the total current in the mean read: for v_rows and the mean gate, relative to these cells without wires
    mean_read_change: float
    gain: float | None  #: read gain for the mean attention; None if the gate is held open or there is no gate
    array: Array  #: the cells as written
    v_gate: float | None  #: voltage of the gate's driver for this gain [V]
    v_cells: FloatArray | None = None  #: (m, n) gate voltages at the cells [V]; None: that of the driver


def close_up(result: RunResult) -> CloseUp | None:
    """Find and solve the worst array; None if no layer is on arrays or no image was run.

    The worst array has the largest product of the current that wires take at the open gate and the relative read gain
    for the mean attention. The circuit is linear at a fixed gate voltage, so mean row voltages give mean cell voltages.
    """
    program = result.chip.program
    found: tuple[float, float, LayerTrace, int, int, int] | None = None
    for trace in result.layers:
        for group, matrix in enumerate(program.matrices.get(trace.name, ())):
            at_work = _gains(trace, result, matrix)
            if matrix.name not in result.chip.tiles:
                continue  # its circuit changes with each batch
            for tile in range(len(matrix.tiles)):
                for kernel, lost in enumerate(_lost(result, matrix, tile)):
                    open_to = (
                        1.0 if at_work is None else float(at_work[kernel]) / program.hardware.cell_in_run.gain_high
                    )
                    if found is None or lost * open_to > found[0]:
                        found = lost * open_to, lost, trace, group, tile, kernel
    if found is None or not len(result.sample):
        return None
    _, lost, trace, group, tile, kernel = found
    return _solved(result, trace, group, tile, kernel, lost)


def _lost(result: RunResult, matrix: Matrix, at: int) -> list[float]:
    """Return the fraction (k,) of the current of each kernel's array that its wires take."""
    placement, tile = matrix.tiles[at], result.chip.tiles[matrix.name][at]
    bare = matrix.conductances[:, placement.rows, placement.cells].sum((1, 2))
    if not isinstance(tile, Tile):
        raise TypeError(f"{matrix.name} has no tiles that last longer than a batch")
    reached = tile.to_columns[:, -1].sum(-1)  # the last node is the open gate
    return [float(each) for each in 1.0 - reached / bare]


def _gains(trace: LayerTrace, result: RunResult, matrix: Matrix) -> FloatArray | None:
    """Return the read gains (k,) for the mean attention; None if gates do not follow the attention."""
    if trace.attention is None or not len(trace.attention) or not matrix.gated:
        return None
    hardware = result.chip.program.hardware
    mean = matrix.gate_attention(trace.attention.mean(0, keepdims=True))[0]
    return gains_in_run(hardware.gate_dac.gains(mean, hardware.cell), hardware)


def _solved(result: RunResult, trace: LayerTrace, group: int, at: int, kernel: int, lost: float) -> CloseUp:
    program = result.chip.program
    hardware, matrix = program.hardware, program.matrices[trace.name][group]
    cell, v_read = hardware.cell_in_run, hardware.dac.v_read
    written = result.chip.written(matrix, at)
    array = Array(cell, written.g_filament[kernel], written.gate_offset[kernel])
    gains = _gains(trace, result, matrix)
    gain = None if gains is None else float(gains[kernel])
    v_gate = float(cell.gate_voltage(np.array(cell.gain_high if gain is None else gain))) if cell.gated else None
    v_cells = None if v_gate is None or written.gate_reach is None else v_gate * written.gate_reach
    g = cell.terminal_conductance(array.g_filament, array.gain(v_gate if v_cells is None else v_cells)[0], v_read)
    v_rows = v_read * _mean_inputs(result, trace.name, group, at)
    try:
        solution = reference_solve(g, v_rows[None], hardware.wires_in_run)
    except ConvergenceError:  # wires that conduct 1e15 times better than the cells
        solution = solve(g, v_rows[None], hardware.wires_in_run)
    largest, whole = float(v_rows.max()), float(v_rows @ g.sum(1))
    drop = v_rows[:, None] - (solution.v_rows[0] - solution.v_columns[0])
    return CloseUp(
        trace.name,
        matrix.name,
        at,
        kernel,
        lost,
        v_rows,
        drop / largest if largest > 0.0 else np.zeros_like(drop),
        float(solution.currents.sum()) / whole - 1.0 if whole > 0.0 else 0.0,
        gain,
        array,
        v_gate,
        v_cells,
    )


def _mean_inputs(result: RunResult, name: str, group: int, at: int) -> FloatArray:
    """Return the mean row voltages (m,) of a tile, relative to the read voltage, for positive inputs."""
    program = result.chip.program
    matrix = program.matrices[name][group]
    layer = next(each for each in program.folded.layers if each.name == name)
    values = program.folded.activations(result.sample)
    inputs = [values[source] for source in layer.inputs]
    if not isinstance(layer, MatrixLayer):
        raise TypeError(f"{layer!r} has matrices but no way to run them")
    x = layer.rows(inputs, matrix.group)
    dac = program.hardware.dac
    means: FloatArray = (dac.codes(x[:, :, matrix.tiles[at].rows] / matrix.x_scale) / dac.full_code).mean((0, 1))
    return means
