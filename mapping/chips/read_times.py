"""Read stress: for how long the rows of each matrix are read during one image, at which voltage and gate voltage.

The times are exact means over the calibration images in the exact network, row by row, and gate by gate together with
the attention of the same image.
b = batch, r = matrix rows, p = positions, k = kernels, n = outputs, q = pairs of a cell voltage and a gate voltage
"""

import numpy as np

from crossbar.tiles.converters import Dac
from devices.aliases import FloatArray
from devices.cells.interface import Cell
from devices.cells.selected import SelectedCell
from devices.constants import BOLTZMANN_EV
from devices.writing.read_disturb import Stress
from mapping.hardware.description import Hardware
from mapping.networks import digital
from mapping.networks.layers.convolutions import DynamicConv
from mapping.networks.layers.matrix_layers import MatrixLayer, linear
from mapping.placement.gated_layers import split_scales
from mapping.placement.gating import gains_of_images
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.program import Program
from mapping.placement.row_codes import Rows, Vectors, rows_of

PIECE = 16  # images at a time, ours: bounds the memory of the unrolled maps
GATES = 12  # gate voltages over the window between which the times are divided, ours
LEVELS = 16  # steps of the row voltage of amplitude coding, ours


def stress_of_reads(program: Program, images: FloatArray | None = None) -> dict[str, Stress]:
    """Return the mean stress of one image on the cells of each matrix, by name: times (k, r, 1 or 2 n, q) [s].

    images: (b, c, h, w); default: the calibration images.  A matrix that is rewritten for each image is left out.
    Source: docs/equations/disturb.md eq. 3-5.
    """
    images = program.calibration if images is None else images
    sums: dict[str, FloatArray] = {}
    conditions: dict[str, tuple[FloatArray, FloatArray]] = {}
    for first in range(0, len(images), PIECE):
        for matrix, rows, attention, scales in _read(program, images[first : first + PIECE]):
            v, on = _times(rows, matrix, program.hardware)
            v_gate, parts = _gates(matrix, attention, scales, program.hardware, rows.shape[0])
            seconds = np.einsum("rbv,bklg->krlvg", on, parts)
            seconds = seconds.reshape(*seconds.shape[:3], -1)
            sums[matrix.name] = sums.get(matrix.name, 0.0) + seconds
            conditions[matrix.name] = np.repeat(v, len(v_gate)), np.tile(v_gate, len(v))
    copies = {matrix.name: matrix.copies for matrix in program.all_matrices}
    return {name: Stress(*conditions[name], seconds / (len(images) * copies[name])) for name, seconds in sums.items()}


def of_tile(stress: Stress | None, placement: Placement) -> Stress | None:
    """Return the stress of one tile's cells from that of its matrix; None for None."""
    if stress is None:
        return None
    seconds = stress.seconds[:, placement.rows]
    if seconds.shape[2] > 1:
        seconds = seconds[:, :, placement.cells]
    return Stress(stress.v, stress.v_gate, seconds)


def _read(program: Program, images: FloatArray) -> list[tuple[Matrix, Rows, FloatArray | None, FloatArray | None]]:
    """Return every matrix whose cells last, with its rows, attention (b, k) and factors of its columns (b, n)."""
    values = program.folded.activations(images)
    found: list[tuple[Matrix, Rows, FloatArray | None, FloatArray | None]] = []
    for layer in program.folded.layers:
        if not isinstance(layer, MatrixLayer):
            continue
        inputs, scales = split_scales(layer, [values[source] for source in layer.inputs])
        weights = values.get(f"{layer.name}.attention")
        for matrix in program.matrices.get(layer.name, ()):
            n = matrix.outputs
            mine = None if scales is None else scales[:, matrix.group * n : (matrix.group + 1) * n]
            if not matrix.rewritten:
                found.append((matrix, rows_of(layer, inputs, matrix.group), weights, mine))
        if isinstance(layer, DynamicConv):
            first, second = program.matrices[f"{layer.name}.attention"]
            attention, pooled = layer.attention, layer.pooled(inputs)
            hidden = digital.relu(linear(pooled, attention.weight_1, attention.bias_1))
            found += [(first, Vectors(pooled), None, None), (second, Vectors(hidden), None, None)]
    return found


def _times(rows: Rows, matrix: Matrix, hardware: Hardware) -> tuple[FloatArray, FloatArray]:
    """Return row voltages (v,) [V] and the time for which each row has them during each image, (r, b, v) [s]."""
    dac = hardware.dac
    on = sum(
        (
            _on(rows.codes(dac, sign / matrix.x_scale, np.dtype(np.float64)), dac)
            for sign in ((1.0, -1.0) if matrix.signed else (1.0,))
        ),
        np.zeros((1, 1, 1)),
    )
    levels = np.linspace(0.0, 1.0, on.shape[2] + 1)[1:]
    signs = np.array(dac.signs)
    v: FloatArray = dac.v_read * np.outer(signs, levels).ravel()
    return v, np.tile(on, len(signs)) / len(signs)


def _on(codes: FloatArray, dac: Dac) -> FloatArray:
    """Return the times (r, b, levels) [s] of codes (r, b, p) at equal steps of the row voltage up to v_read.

    Amplitudes are divided between the two nearest steps, lower ones than the first between it and 0 V.
    """
    if dac.coding != "amplitude":
        driven = [values.sum(2) * unit for _, values, unit in dac.split(codes)]
        times: FloatArray = dac.t_read * np.sum(driven, axis=0)[..., None]
        return times
    place = np.minimum(codes / dac.full_code, 1.0) * LEVELS
    out = np.empty((*codes.shape[:2], LEVELS))
    for level in range(1, LEVELS + 1):
        out[..., level - 1] = dac.t_read * np.maximum(1.0 - np.abs(place - level), 0.0).sum(2)
    return out


def _gates(
    matrix: Matrix, attention: FloatArray | None, scales: FloatArray | None, hardware: Hardware, images: int
) -> tuple[FloatArray, FloatArray]:
    """Return gate voltages (g,) [V], and the fraction of the reads of each image at each, (b, k, 1 or 2 n, g).

    The fractions between two neighbouring voltages keep the mean factor of the gate on growth exact.
    """
    cell, warm = hardware.cell, hardware.cell_in_run
    gains = gains_of_images(matrix, attention, scales, hardware)
    if gains is None or not cell.gated:
        open_gate = np.array([cell.v_gate_max])
        return open_gate, np.ones((images, matrix.stored, 1, 1))
    volts = hardware.gate_dac.voltages(gains, warm)
    volts = np.repeat(volts, 2, axis=2) if volts.ndim == 3 else volts[..., None]
    nodes = np.linspace(cell.v_gate_min, cell.v_gate_max, GATES)
    above = np.clip(np.searchsorted(nodes, volts, side="right"), 1, GATES - 1)
    at = [_factor(warm, each) for each in (nodes[above - 1], volts, nodes[above])]
    upper = np.clip((at[1] - at[0]) / (at[2] - at[0]), 0.0, 1.0)
    parts = np.zeros((*volts.shape, GATES))
    np.put_along_axis(parts, above[..., None] - 1, (1.0 - upper)[..., None], axis=-1)
    np.put_along_axis(parts, above[..., None], upper[..., None], axis=-1)
    return nodes, parts


def _factor(cell: Cell, v_gate: FloatArray) -> FloatArray:
    """Return the factor of the gate on growth at gate voltages [V]; the voltages if it has none."""
    inner = cell.cell if isinstance(cell, SelectedCell) else cell
    beta, temperature = float(getattr(inner, "beta", 0.0)), float(getattr(inner, "temperature", 300.0))
    if beta == 0.0:
        return v_gate
    factors: FloatArray = np.exp(beta / (BOLTZMANN_EV * temperature) * np.asarray(inner.fermi_energy(v_gate)))
    return factors
