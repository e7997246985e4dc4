"""Fast estimate of a program's activity from histograms of its inputs, without writing or running it.

Counts that depend on shapes only are exact; array and drivers follow the histograms (docs/equations/costs.md eq. 19).
b = batch, k = kernels
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from crossbar.tiles.activity import Activity
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from mapping.hardware.description import Hardware
from mapping.networks import digital
from mapping.networks.layers.convolutions import DynamicConv
from mapping.networks.layers.matrix_layers import MatrixLayer, linear
from mapping.placement import counts
from mapping.placement.encoding import filaments, terminal_conductances
from mapping.placement.gate_lines import gains_at_cells, gate_reach
from mapping.placement.gated_layers import split_scales
from mapping.placement.gating import gains_of_images
from mapping.placement.matrix import Matrix
from mapping.placement.program import Program
from mapping.placement.row_codes import Rows, Vectors, rows_of

MOMENTS = 16  # number of moments of a read at which pulses of different width are evaluated, ours
GAINS = 16  # largest number of images whose read gains are evaluated, ours
LEVELS = 256  # number of codes in the histogram of a continuous driver, ours


@dataclass(frozen=True, eq=False)
class Histogram:
    """Frequencies of the codes of each row of a matrix, for inputs of each sign, and the attention of each image."""

    positive: FloatArray  #: (r, levels) relative frequency of each code in a row
    negative: FloatArray | None  #: the same for the negated inputs; None if inputs have one sign
    attention: FloatArray | None  #: (b, k) attention weights; None for one kernel
    scales: FloatArray | None = None  #: (b, n) factors, 0 to 1, for the gates of columns; None without such gates

    def __post_init__(self) -> None:
        for name in ("positive", "negative"):
            given = getattr(self, name)
            if given is None:
                continue
            sums = checks.array(name, given, ndim=2, minimum=0.0).sum(1)
            if not np.all(np.abs(sums - 1.0) < 1e-6):
                raise ParameterError(f"{name} must add up to 1 in each row, got {sums.min():g} to {sums.max():g}")


def histograms(program: Program, images: FloatArray) -> dict[str, Histogram]:
    """Return the histogram of each matrix, by name, for images (b, c, h, w) in the exact network.

    Raises ParameterError for images of another shape, or none.
    """
    images = checks.array("images", images, shape=(None, *program.network.input_shape))
    if not len(images):
        raise ParameterError("images must hold at least one image, got none")
    values = program.folded.activations(images)
    found: dict[str, Histogram] = {}
    for layer in program.folded.layers:
        if not isinstance(layer, MatrixLayer):
            continue
        matrices = program.matrices.get(layer.name, ())
        inputs, scales = split_scales(layer, [values[source] for source in layer.inputs])
        weights = values.get(f"{layer.name}.attention")
        for matrix in matrices:
            n = matrix.outputs
            mine = None if scales is None else scales[:, matrix.group * n : (matrix.group + 1) * n]
            seen = _histogram(rows_of(layer, inputs, matrix.group), matrix, program, weights)
            found[matrix.name] = replace(seen, scales=mine)
        if isinstance(layer, DynamicConv):
            first, second = program.matrices[f"{layer.name}.attention"]
            attention, pooled = layer.attention, layer.pooled(inputs)
            hidden = digital.relu(linear(pooled, attention.weight_1, attention.bias_1))
            found[first.name] = _histogram(Vectors(pooled), first, program, None)
            found[second.name] = _histogram(Vectors(hidden), second, program, None)
    return found


def _histogram(rows: Rows, matrix: Matrix, program: Program, attention: FloatArray | None) -> Histogram:
    dac = program.hardware.dac
    levels = LEVELS if dac.bits is None else int(dac.full_code) + 1

    def parts(sign: float) -> FloatArray:
        codes = rows.codes(dac, sign / matrix.x_scale, np.dtype(np.float64)) / dac.full_code
        places = np.minimum(np.rint(codes * (levels - 1)), levels - 1).astype(np.int64)
        r = len(places)
        flat = places.reshape(r, -1) + levels * np.arange(r)[:, None]
        counts: FloatArray = np.bincount(flat.ravel(), minlength=r * levels).reshape(r, levels) / flat.shape[1]
        return counts

    return Histogram(parts(1.0), parts(-1.0) if matrix.signed else None, attention)


def estimate(program: Program, found: Mapping[str, Histogram]) -> dict[str, Activity]:
    """Return the expected activity of one image in each layer on arrays, by name, from the histogram of each matrix.

    Raises ParameterError for a matrix without a histogram.
    """
    out: dict[str, Activity] = {}
    bits = program.hardware.value_bits
    for layer in program.folded.layers:
        done = Activity()
        for matrix in program.of(layer.name):
            if matrix.name not in found:
                raise ParameterError(f"found must hold a histogram of {matrix.name}")
            done = done + expected(program, matrix, found[matrix.name])
        matrices = program.matrices.get(layer.name, ())
        if not matrices:
            continue
        if isinstance(layer, DynamicConv):
            shapes = program.folded.shapes()
            sources, _ = split_scales(layer, layer.inputs)
            maps = shapes[sources[min(1, len(sources) - 1)]]
            pooled = layer.attention.weight_1.shape[1]
            done = done + counts.pooling_and_softmax(maps, pooled, layer.kernels, 1)
        apart = [matrix for matrix in matrices if matrix.kind == "kernel"]
        for group in sorted({matrix.group for matrix in apart}):
            done = done + counts.mixing_outputs([matrix for matrix in apart if matrix.group == group], 1, bits)
        if isinstance(layer, MatrixLayer):
            shapes = program.folded.shapes()
            done = done + counts.beside_matrices(layer, [shapes[each] for each in layer.inputs], 1, bits)
        out[layer.name] = done
    return out


def expected(program: Program, matrix: Matrix, found: Histogram) -> Activity:
    """Return the expected activity of one matrix for one image.  Source: docs/equations/costs.md eq. 19."""
    hardware = program.hardware
    dac = hardware.dac
    p, n = float(matrix.positions), dac.conversions
    signs = [found.positive] if found.negative is None else [found.positive, found.negative]
    driven = np.zeros(matrix.rows)  # fraction of each row's reads with a pulse
    moments: list[tuple[float, FloatArray]] = []  # (number of reads, mean row voltage over the read voltage (r,))
    for parts in signs:
        levels = parts.shape[1]
        codes: FloatArray = np.arange(float(levels)) * (dac.full_code / (levels - 1))
        for _, values, unit in dac.split(codes):
            level = values * unit
            driven += parts @ (level > 0.0)
            if dac.coding == "amplitude":  # all rows for the whole read, each at its root mean square voltage
                moments.append((1.0, np.sqrt(parts @ level**2)))
            elif dac.coding == "bit-serial":
                moments.append((1.0, parts @ level))
            else:  # all pulses begin together, so at each moment the longer ones are on
                ends = (np.arange(MOMENTS) + 0.5) / MOMENTS
                moments += [(1.0 / MOMENTS, parts @ on) for on in (level[:, None] > ends).T]
    arrays, reads = matrix.stored, p * n * len(signs)
    done = Activity()
    for tile in matrix.tiles:
        m, c = tile.shape[0], tile.converted
        pulses = float(driven[tile.rows].sum())
        done = done + Activity(
            reads=reads * matrix.arrays,
            row_pulses=p * pulses * arrays,
            row_codes=p * len(signs) * m * arrays,
            conversions=reads * c,
            cell_reads=p * pulses * arrays * tile.cell_columns,
            additions=p * len(signs) * (n - 1) * c,
            joules_array=_conductance(program, matrix, tile.rows, tile.cells, found, moments)
            * p * dac.v_read**2 * dac.t_read,
            sense_charge=reads * c * dac.t_read * tile.full_scale * max(tile.bit_ranges, default=1.0),
            sense_time=reads * c * dac.t_read,
            tile_reads=reads,
        )  # fmt: skip
    mixed = found.attention is not None and matrix.kind == "dynamic conv"
    done = (
        done
        + counts.partial_sums(matrix, matrix.positions, hardware.value_bits)
        + counts.mixed_bias(matrix, 1, mixed=mixed)
    )
    gains = _gains(program, matrix, found)
    if gains is not None:
        done = done + counts.gate_activity(matrix, gains, hardware).scaled(1.0 / max(len(gains), 1))
    return done + counts.rewriting(matrix, 1, hardware.costs.stored_bits) if matrix.rewritten else done


def _gains(program: Program, matrix: Matrix, found: Histogram) -> FloatArray | None:
    """Return the read gains of a matrix' gates for each image, (b, k), or (b, k, n) of columns; None: held open."""
    return gains_of_images(matrix, found.attention, found.scales, program.hardware)


def _conductance(
    program: Program,
    matrix: Matrix,
    rows: slice,
    columns: slice,
    found: Histogram,
    moments: Sequence[tuple[float, FloatArray]],
) -> float:
    """Return the mean conductance [S] between the sources of a tile and 0 V, over its arrays and the moments of a read.

    The model takes the mean conductances after writing, at the read gains of up to GAINS images. Each cell is in series
    with the row's driver and a third of the row's wire. The voltage of a column rises by its current through the sense
    resistor and a third of the column's wire; rows at 0 V draw part of this current.
    moments: (fraction of a read, (r,) mean row voltage over the read voltage).  Source: docs/equations/costs.md eq. 19.
    """
    wires = program.hardware.wires_in_use
    m, n = rows.stop - rows.start, columns.stop - columns.start
    along, across = wires.mean_segments(m, n)
    before = wires.driver(m)[:, None] + n * along / 3.0
    line, sense = m * across / 3.0, wires.sense(n)
    parts, driven = np.array([part for part, _ in moments]), np.array([on[rows] for _, on in moments])
    seen = []
    for cells in _cells(program, matrix, rows, columns, found):
        each = cells / (1.0 + cells.sum(2, keepdims=True) * before)
        held = each.sum(1)  # (k, 2 c) of each column
        drawn = np.einsum("kmc,tm->tkc", each, driven)
        together = drawn.sum(1, keepdims=True)
        risen = drawn * line / (1.0 + held * line) + together * sense / (1.0 + held.sum(0) * sense)
        seen.append(float(parts @ np.sum(drawn * (1.0 - risen), axis=(1, 2))))
    return float(np.mean(seen))


def _cells(program: Program, matrix: Matrix, rows: slice, columns: slice, found: Histogram) -> Iterator[FloatArray]:
    """Yield mean conductances (k, m, 2 c) [S] of a tile after writing, for up to GAINS images if they differ."""
    hardware = program.hardware
    cell, v_read = hardware.cell, hardware.dac.v_read
    targets = matrix.conductances[:, rows, columns]
    reach = gate_reach(matrix, (rows.stop - rows.start, columns.stop - columns.start), hardware)
    attention, gains = found.attention, _gains(program, matrix, found)
    if gains is not None:
        filament = mean_written(filaments(targets, cell, v_read), hardware)
        for at in gains[_some(len(gains))]:
            lines = np.repeat(at, 2, axis=-1)[:, None, columns] if matrix.column_gates else at[:, None, None]
            yield cell.terminal_conductance(filament, gains_at_cells(lines, reach, cell), v_read)
        return
    if attention is not None and matrix.rewritten:
        low = float(terminal_conductances(np.array(cell.g_min), hardware))
        signed = targets[..., 0::2] - targets[..., 1::2]
        each = np.tensordot(attention[_some(len(attention))], signed, axes=1)[:, None]
        pairs = np.stack([np.maximum(each, 0.0), np.maximum(-each, 0.0)], -1)
        written: Iterable[FloatArray] = low + pairs.reshape(len(each), 1, *targets.shape[1:])
    else:
        written = (targets,)
    for wanted in written:
        filament = mean_written(filaments(wanted, cell, v_read), hardware)
        if reach is None:
            yield terminal_conductances(filament, hardware)
        else:
            opened = gains_at_cells(np.array(cell.gain_high), reach, cell)
            yield cell.terminal_conductance(filament, opened, v_read)


def mean_written(wanted: FloatArray, hardware: Hardware) -> FloatArray:
    """Return the mean filament conductances (..., m, 2 c) [S] of pairs after writing the wanted ones.

    Write errors are clipped to the window, some cells are stuck, and if the chip trims pairs the partners of stuck
    cells restore the difference of the pair.  Source: docs/equations/costs.md eq. 27.
    """
    cell, spread = hardware.cell, hardware.spread
    low, top = cell.g_min * np.exp(spread.window_low_ln_sigma**2 / 2.0), cell.g_max
    sigma = np.hypot(spread.write_error * cell.g_max, spread.window_low_ln_sigma * cell.g_min)

    def mean_of(target: FloatArray) -> FloatArray:
        if not spread.verified or sigma == 0.0:
            return target
        below, above = (low - target) / sigma, (target - top) / sigma
        inside: FloatArray = target + sigma * (_excess(below) - _excess(above))
        return inside

    on, off = spread.stuck_on, spread.stuck_off
    held = mean_of(wanted)
    if spread.verified and hardware.tile.trim_pairs and hardware.tile.code.paired:
        beside = wanted - wanted.reshape(*wanted.shape[:-1], -1, 2)[..., ::-1].reshape(wanted.shape)
        held = (1.0 - on - off) * held + sum(
            part * mean_of(np.clip(end + beside, low, top)) for part, end in ((on, top), (off, low))
        )
    mean: FloatArray = on * top + off * low + (1.0 - on - off) * held
    return mean


def _excess(u: FloatArray) -> FloatArray:
    """Return the mean of max(x + u, 0) for a standard normal x."""
    excess: FloatArray = np.exp(-(u**2) / 2.0) / np.sqrt(2.0 * np.pi) + u * ndtr(u)
    return excess


def _some(count: int) -> IntArray:
    """Return the numbers of up to GAINS evenly spaced images out of `count`."""
    chosen: IntArray = np.linspace(0, count - 1, min(count, GAINS)).astype(np.int64)
    return chosen
