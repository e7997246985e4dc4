"""Written arrays, and the tiles that are built from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossbar.arrays.wires import Wires
from crossbar.tiles.column_lines import column_reach
from crossbar.tiles.converter_errors import ConverterErrors
from crossbar.tiles.converters import Adc, Dac
from crossbar.tiles.shared_sense import SharedSense, piece_of
from crossbar.tiles.tile import Tile
from crossbar.transfer.gate_nodes import GainNodes, Nodes
from crossbar.transfer.reduction import reduce_arrays
from devices.aliases import FloatArray, IntArray
from devices.cells.interface import Cell
from devices.errors import ParameterError
from devices.noise.read_noise import ReadNoise

#: Gate nodes for noise, ours.  Variances are nearly quadratic (white noise) and linear (1/f noise) in √gain.  With
#: three nodes the error of a column's variance is at most 4 % of its value at the open gate; the 1/f noise of an almost
#: closed gate alone may be overestimated by up to a factor of 2.  As most of the noise is 1/f noise, √gain stays the
#: interpolation coordinate at any IR drop: in the gain itself, the variance of cells with shifted Dirac points has an
#: error of up to 9 % of its value at the open gate.
NOISE_NODES = 3


@dataclass(frozen=True)
class WrittenArray:
    """The written cells of one tile."""

    g_filament: FloatArray  #: (k, m, 2c) [S]
    gate_offset: FloatArray  #: (k, m, 2c) shift of each cell's Dirac point [V]
    nodes: Nodes | None  #: gate nodes; None: the gate is held at the upper end of its window
    full_scale: float  #: range of the converters [A]
    offsets: FloatArray  #: (c,) offsets of the converters [codes]
    #: first rows, from 0, of strips of rows with a common noise variance; None: each row has its own
    strips: tuple[int, ...] | None = None
    bit_ranges: tuple[float, ...] = ()  #: as in Tile
    #: (m, 2c) part of a gate driver's voltage that reaches each cell; None: all of it
    gate_reach: FloatArray | None = None
    errors: ConverterErrors | None = None  #: as in Tile
    #: (k, m) voltage of each row driver relative to the nominal one, with one array or band for each k; None: all 1
    row_gains: FloatArray | None = None
    paired: bool = True  #: two columns are subtracted before conversion; False: each is converted by itself

    def at_cells(self, v_gate: FloatArray) -> FloatArray:
        """Return the gate voltages [V] at the cells for voltages of the drivers that broadcast to (…, m, 2c)."""
        return v_gate if self.gate_reach is None else v_gate * self.gate_reach

    def driven(self, signal: FloatArray) -> FloatArray:
        """Return signals (…, k, q, m, c) of the arrays, or bands, with the gains of their row drivers."""
        return signal if self.row_gains is None else signal * self.row_gains[:, None, :, None]


def terminal_conductances(cell: Cell, written: WrittenArray, v_read: float, nodes: Nodes | None) -> FloatArray:
    """Return the secant conductances (k, q, m, 2c) [S] of all cells at v_read [V] and each gate node."""
    gains = np.array([cell.gain_high]) if nodes is None else nodes.gains
    g, offset = written.g_filament[:, None], written.gate_offset[:, None]
    if not cell.gated:
        return cell.terminal_conductance(np.broadcast_to(g, (len(g), len(gains), *g.shape[2:])), 1.0, v_read)
    gain = cell.gain_with_offset(written.at_cells(cell.gate_voltage(gains)[None, :, None, None]), offset)
    return cell.terminal_conductance(g, gain, v_read)


def build_tiles(
    cell: Cell, written: Sequence[WrittenArray], wires: Wires, dac: Dac, adc: Adc, noise: ReadNoise, temperature: float,
    r_join: float | None = None,
) -> list[Tile]:  # fmt: skip
    """Reduce written arrays to tiles; arrays of equal shape are reduced together, then columns are paired.

    r_join: piece of wire [Ω] that joins the columns of neighbouring gated arrays; their sense inputs are then common,
    at the first array.  None: each column has a sense input of its own, whose currents are added.
    Raises ParameterError with r_join for columns that are not paired, and what piece_of raises.
    """
    seen = [terminal_conductances(cell, each, dac.v_read, each.nodes) for each in written]
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, g in enumerate(seen):
        by_shape.setdefault(g.shape[2:], []).append(index)
    transfers: list[FloatArray] = [np.empty(0)] * len(seen)
    to_rows: list[FloatArray] = [np.empty(0)] * len(seen)
    for shape, members in by_shape.items():
        stacked = np.concatenate([seen[index].reshape(-1, *shape) for index in members])
        pieces = np.concatenate([_pieces(written[index], seen[index], r_join) for index in members])
        reduced, exchanged = np.empty_like(stacked), np.empty(stacked.shape[:2])
        for piece in np.unique(pieces):
            own = wires if piece < 0 or r_join is None else piece_of(wires, int(piece), r_join)
            some = pieces == piece
            reduced[some], exchanged[some] = reduce_arrays(stacked[some], own)
        first = 0
        for index in members:
            count = seen[index].shape[0] * seen[index].shape[1]
            transfers[index] = reduced[first : first + count].reshape(seen[index].shape)
            to_rows[index] = exchanged[first : first + count].reshape(seen[index].shape[:3])
            first += count
    tiles = []
    for each, w, exchange in zip(written, transfers, to_rows, strict=True):
        nodes = None if each.nodes is None else GainNodes(each.nodes.gains[0], each.nodes.gains[-1], NOISE_NODES, 0.5)
        white, proportional = _noise(cell, each, nodes, w, wires, dac, noise, temperature)
        signal = w[..., 0::2] - w[..., 1::2] if each.paired else w
        variances = joined(white, proportional, each.strips, paired=each.paired)
        sense = None
        if r_join is not None and _shared(each):
            if not each.paired:
                raise ParameterError("tile.r_join needs columns in pairs, got columns that are converted one by one")
            sums = each.driven(w[..., 0::2] + w[..., 1::2])
            sense = SharedSense(float(np.max(wires.r_sense)), sums, w.sum(-2))
        tiles.append(
            Tile(
                each.nodes, each.driven(signal), w.sum(-1), exchange, nodes, variances, dac, adc, each.full_scale,
                each.offsets, noise, temperature, each.strips, each.bit_ranges, each.errors, 2 if each.paired else 1,
                sense,
            )
        )  # fmt: skip
    return tiles


def _shared(written: WrittenArray) -> bool:
    """Whether a tile has several gated arrays."""
    return written.nodes is not None and len(written.g_filament) > 1


def _pieces(written: WrittenArray, seen: FloatArray, r_join: float | None) -> IntArray:
    """Return the number of pieces of wire (k q,) between each array and its sense nodes; -1: inputs of its own."""
    k, q = seen.shape[:2]
    return np.repeat(np.arange(k), q) if r_join is not None and _shared(written) else np.full(k * q, -1)


def _noise(
    cell: Cell, written: WrittenArray, nodes: Nodes | None, transfers: FloatArray, wires: Wires, dac: Dac,
    noise: ReadNoise, temperature: float,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Contribution of each cell to the variance of its column's current at the noise nodes (k, q, m, 2c).

    Returns white noise, divided by the variance of 1 S at the row voltage [S], and noise proportional to the current,
    divided by the row voltage squared [S²].  Both account for the IR drop at the cell and for the attenuation of its
    noise along the column.  transfers: (k, all nodes, m, 2c) [S].
    Source: docs/equations/sensitivity.md eq. 9.
    """
    if nodes is not None and written.nodes is not None:
        transfers = np.einsum("pq,kqmc->kpmc", written.nodes.mix(nodes.gains), transfers)
    g = terminal_conductances(cell, written, dac.v_read, nodes)
    return cell_noise(g, transfers, wires, dac, noise, temperature)


def joined(
    white: FloatArray, proportional: FloatArray, strips: tuple[int, ...] | None, *, paired: bool = True
) -> FloatArray:
    """Return Tile.variances (…, 2 s, c) from variances (…, m, 2c) of cells, summed over pairs and strips of rows.

    paired: False for columns that are converted one by one, (…, m, c).
    """
    parts = [white, proportional]
    if paired:
        parts = [part[..., 0::2] + part[..., 1::2] for part in parts]
    if strips is not None:
        parts = [np.add.reduceat(part, strips, axis=-2) for part in parts]
    return np.concatenate(parts, axis=-2)


def cell_noise(
    g: FloatArray, transfers: FloatArray, wires: Wires, dac: Dac, noise: ReadNoise, temperature: float
) -> tuple[FloatArray, FloatArray]:
    """Return variances as `_noise` does, (…, m, 2c), for cells of conductance g and transfers (…, m, 2c) [S].

    Source: docs/equations/sensitivity.md eq. 9.
    """
    seen = np.clip(np.divide(transfers, g, out=np.ones_like(g), where=g > 0.0), 0.0, 1.0)
    reach = column_reach(g, wires) ** 2
    full = noise.white_per_siemens(dac.v_read, dac.t_read, temperature)
    white = noise.white_per_siemens(dac.v_read * seen, dac.t_read, temperature) / full if full > 0.0 else 1.0
    return reach * g * white, reach * seen**2 * noise.proportional_squared(g, dac.t_read)
