"""Written arrays, and the tiles that are built from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from crossbar.arrays.wires import Wires
from crossbar.tiles.column_lines import column_reach
from crossbar.tiles.converter_errors import ConverterErrors
from crossbar.tiles.converters import Adc, Dac
from crossbar.tiles.family_basis import fewer_nodes, more_nodes, truncated
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
TOGETHER = 1 << 21  # conductances that are reduced together, ours: 16 MB, some dozen arrays of 128 × 128


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

    def signal(self, transfers: FloatArray) -> FloatArray:
        """Return what converters see of transfers (k, q, m, 2c) [S]: pairs (k, q, m, c), or single columns."""
        return self.driven(transfers[..., 0::2] - transfers[..., 1::2] if self.paired else transfers)


def terminal_conductances(cell: Cell, written: WrittenArray, v_read: float, nodes: Nodes | None) -> FloatArray:
    """Return the secant conductances (k, q, m, 2c) [S] of all cells at v_read [V] and each gate node."""
    return _conductances(cell, written, v_read, np.array([cell.gain_high]) if nodes is None else nodes.gains)


def _conductances(cell: Cell, written: WrittenArray, v_read: float, gains: FloatArray) -> FloatArray:
    """Return the same (k, q, m, 2c) [S] at gains (q,)."""
    g, offset = written.g_filament[:, None], written.gate_offset[:, None]
    if not cell.gated:
        return cell.terminal_conductance(np.broadcast_to(g, (len(g), len(gains), *g.shape[2:])), 1.0, v_read)
    gain = cell.gain_with_offset(written.at_cells(cell.gate_voltage(gains)[None, :, None, None]), offset)
    return cell.terminal_conductance(g, gain, v_read)


def build_tiles(
    cell: Cell, written: Sequence[WrittenArray], wires: Wires, dac: Dac, adc: Adc, noise: ReadNoise, temperature: float,
    r_join: float | None = None, *, family_error: float = 0.0,
) -> list[Tile]:  # fmt: skip
    """Reduce written arrays to tiles; arrays of equal shape are reduced together, then columns are paired.

    r_join: piece of wire [Ω] that joins the columns of neighbouring gated arrays; their sense inputs are then common,
    at the first array.  None: each column has a sense input of its own, whose currents are added.
    family_error: largest error of the current of a gated array [LSB], for any codes and any gate voltage, that fewer
    gate nodes and a truncated basis of the stored matrices may cause; 0: the matrices at all gate nodes are kept.
    Tiles with common sense inputs, and those with continuous converters, keep them always.
    Raises ParameterError with r_join for columns that are not paired, and what piece_of raises.
    """
    reducer, tiles = _Reducer(cell, wires, dac.v_read, r_join), dict[int, Tile]()
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, each in enumerate(written):
        by_shape.setdefault(each.g_filament.shape[1:], []).append(index)
    for members in by_shape.values():
        sizes = [written[index].g_filament.size * _count(written[index]) for index in members]
        starts = np.cumsum([0, *sizes[:-1]]) // TOGETHER  # few families at a time, so that memory stays small
        for start in np.unique(starts):
            some = [index for index, at in zip(members, starts, strict=True) if at == start]
            arrays = [written[index] for index in some]
            errors = [
                0.0 if each.nodes is None or (r_join is not None and _shared(each))
                else _accepted(each, dac, adc, family_error)
                for each in arrays
            ]  # fmt: skip
            families = reducer.family(arrays, errors)
            for index, each, family, error in zip(some, arrays, families, errors, strict=True):
                tiles[index] = _tile(each, family, cell, wires, dac, adc, noise, temperature, r_join, error)
    return [tiles[index] for index in range(len(written))]


class _Reduced(NamedTuple):
    """The reduced arrays of one tile."""

    nodes: Nodes | None  #: at which they were reduced
    transfers: FloatArray  #: (k, q, m, 2c) [S]
    to_rows: FloatArray  #: (k, q, m) [S]

    def joined(self, more: "_Reduced", nodes: Nodes, gains: FloatArray) -> "_Reduced":
        """Return both at `nodes`; gains: of this one's arrays, then of the other's."""
        order = np.argsort(gains)
        pairs = (self.transfers, more.transfers), (self.to_rows, more.to_rows)
        return _Reduced(nodes, *(np.concatenate(pair, axis=1)[:, order] for pair in pairs))


class _Reducer(NamedTuple):
    """What all arrays of a matrix have in common while they are reduced."""

    cell: Cell
    wires: Wires
    v_read: float  #: [V]
    r_join: float | None

    def family(self, written: Sequence[WrittenArray], errors: Sequence[float]) -> list[_Reduced]:
        """Reduce arrays of equal shape; those with an error > 0 [S] at as many gate nodes as it takes."""
        nodes = [
            each.nodes if each.nodes is None or not error else fewer_nodes(each.nodes)
            for each, error in zip(written, errors, strict=True)
        ]
        opened = np.array([self.cell.gain_high])
        found = self._at(written, nodes, [opened if each is None else each.gains for each in nodes])
        growing = [index for index, error in enumerate(errors) if error]
        while growing:
            larger: list[tuple[int, Nodes, FloatArray]] = []
            for index in growing:
                held, most = found[index].nodes, written[index].nodes
                if held is None or most is None:
                    continue
                grown = more_nodes(held, most, written[index].signal(found[index].transfers), errors[index])
                if grown.count > held.count:
                    larger.append((index, grown, np.setdiff1d(grown.gains, held.gains)))
            added = self._at(
                [written[index] for index, _, _ in larger], [new for _, new, _ in larger], [new for _, _, new in larger]
            )
            for (index, grown, gains), more in zip(larger, added, strict=True):
                before: Any = found[index].nodes
                found[index] = found[index].joined(more, grown, np.concatenate([before.gains, gains]))
            growing = [index for index, _, _ in larger]
        return found

    def _at(
        self, written: Sequence[WrittenArray], nodes: Sequence[Nodes | None], gains: Sequence[FloatArray]
    ) -> list[_Reduced]:
        """Reduce arrays of equal shape together, each at its own gains (q,)."""
        if not written:
            return []
        seen = [_conductances(self.cell, each, self.v_read, at) for each, at in zip(written, gains, strict=True)]
        stacked = np.concatenate([g.reshape(-1, *g.shape[2:]) for g in seen])
        pieces = np.concatenate([_pieces(each, g, self.r_join) for each, g in zip(written, seen, strict=True)])
        shapes = [g.shape for g in seen]
        del seen
        if self.r_join is None or (pieces < 0).all():
            reduced, exchanged = reduce_arrays(stacked, self.wires)
        else:
            reduced, exchanged = np.empty_like(stacked), np.empty(stacked.shape[:2])
            for piece in np.unique(pieces):
                own = self.wires if piece < 0 else piece_of(self.wires, int(piece), self.r_join)
                some = pieces == piece
                reduced[some], exchanged[some] = reduce_arrays(stacked[some], own)
        ends = np.cumsum([k * q for k, q, _, _ in shapes])[:-1]
        return [
            _Reduced(at, w.reshape(shape), exchange.reshape(shape[:3]))
            for at, w, exchange, shape in zip(
                nodes, np.split(reduced, ends), np.split(exchanged, ends), shapes, strict=True
            )
        ]


def _accepted(written: WrittenArray, dac: Dac, adc: Adc, family_error: float) -> float:
    """Return the accepted error of the current of a pair in each array of a tile, over the row voltage [S].

    family_error: of the converted current [LSB]; in a bit-serial read with a smaller range, of that.
    """
    return family_error * adc.lsb(written.full_scale) * min(written.bit_ranges, default=1.0) / dac.v_read


def _count(written: WrittenArray) -> int:
    return 1 if written.nodes is None else written.nodes.count


def _tile(
    each: WrittenArray, family: _Reduced, cell: Cell, wires: Wires, dac: Dac, adc: Adc, noise: ReadNoise,
    temperature: float, r_join: float | None, error: float,
) -> Tile:  # fmt: skip
    """Pair the columns of reduced arrays; with an accepted error > 0 [S], keep them in a truncated basis."""
    w, held = family.transfers, family.nodes
    nodes = None if held is None else GainNodes(held.gains[0], held.gains[-1], NOISE_NODES, 0.5)
    white, proportional = _noise(cell, each, held, nodes, w, wires, dac, noise, temperature)
    variances = joined(white, proportional, each.strips, paired=each.paired)
    signal, sense = each.signal(w), None
    if r_join is not None and _shared(each):
        if not each.paired:
            raise ParameterError("tile.r_join needs columns in pairs, got columns that are converted one by one")
        sums = each.driven(w[..., 0::2] + w[..., 1::2])
        sense = SharedSense(float(np.max(wires.r_sense)), sums, w.sum(-2))
    short = truncated(signal, held, error) if error and held is not None else None
    tile = Tile(
        held, signal if short is None else short.stored, w.sum(-1), family.to_rows, nodes, variances, dac, adc,
        each.full_scale, each.offsets, noise, temperature, each.strips, each.bit_ranges, each.errors,
        2 if each.paired else 1, sense, None if short is None else short.basis,
    )  # fmt: skip
    return tile if short is None else tile.single()


def _shared(written: WrittenArray) -> bool:
    """Whether a tile has several gated arrays."""
    return written.nodes is not None and len(written.g_filament) > 1


def _pieces(written: WrittenArray, seen: FloatArray, r_join: float | None) -> IntArray:
    """Return the number of pieces of wire (k q,) between each array and its sense nodes; -1: inputs of its own."""
    k, q = seen.shape[:2]
    return np.repeat(np.arange(k), q) if r_join is not None and _shared(written) else np.full(k * q, -1)


def _noise(
    cell: Cell, written: WrittenArray, held: Nodes | None, nodes: Nodes | None, transfers: FloatArray, wires: Wires,
    dac: Dac, noise: ReadNoise, temperature: float,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Contribution of each cell to the variance of its column's current at the noise nodes (k, q, m, 2c).

    Returns white noise, divided by the variance of 1 S at the row voltage [S], and noise proportional to the current,
    divided by the row voltage squared [S²].  Both account for the IR drop at the cell and for the attenuation of its
    noise along the column.  transfers: (k, q, m, 2c) [S] at the gate nodes `held`; nodes: those of the noise.
    Source: docs/equations/sensitivity.md eq. 9.
    """
    if nodes is not None and held is not None:
        k, q, m, n = transfers.shape
        transfers = np.matmul(held.mix(nodes.gains), transfers.reshape(k, q, m * n)).reshape(k, -1, m, n)
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
