"""Tiles whose transfer matrix differs between the inputs of a batch.

There are three kinds: row bands on common columns, pairs of columns with their own gates, and cells that are rewritten
for each input.  Each makes a BatchTile for a batch, whose Tile stores one matrix for each input of the batch.
b = batch, p = reads one after another, k = bands or arrays, m = rows of each, c = differential pairs
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from crossbar.arrays.wires import Wires
from crossbar.tiles.activity import Activity
from crossbar.tiles.converters import Adc, Dac
from crossbar.tiles.row_drive import Drive
from crossbar.tiles.tile import Tile, cross_factors
from crossbar.tiles.written_arrays import WrittenArray, build_tiles, cell_noise, joined
from crossbar.transfer.gate_nodes import Nodes
from crossbar.transfer.reduction import reduce_arrays
from crossbar.transfer.stacked_bands import StackedFamily, stacked_family
from devices import checks
from devices.aliases import FloatArray
from devices.cells.interface import Cell
from devices.errors import ParameterError
from devices.noise.read_noise import ReadNoise

FAMILIES = 2**30  # most bytes for the couplings of all stacked bands at all gate nodes, ours
CHUNK = 8  # inputs of a batch that are reduced together, ours: limits memory
SLACK = 1e-9  # relative excess of a gain over the gate window that counts as rounding


@dataclass(frozen=True)
class BatchEntries:
    """Nodes of a Tile that stores one matrix for each input of a batch: input i uses matrix i only."""

    count: int  #: b

    @property
    def gains(self) -> FloatArray:
        """Numbers of the inputs."""
        return np.arange(float(self.count))

    @property
    def tail(self) -> FloatArray:
        """Zeros, as nothing is interpolated."""
        return np.zeros((2, self.count))

    def mix(self, gain: FloatArray) -> FloatArray:
        """Return 1 for the matrix of each input number and 0 for all others: (…, count) from (…)."""
        out: FloatArray = (gain[..., None] == self.gains).astype(np.float64)
        return out

    def grown(self) -> "BatchEntries":
        """Return the same nodes: nothing is interpolated between inputs."""
        return self


@dataclass(frozen=True)
class BatchTile:
    """A tile made for one batch; each row of codes drives `bands` rows of the array."""

    tile: Tile  #: a Tile with one stored matrix for each input of the batch
    bands: int = 1

    @property
    def full_scale(self) -> float:
        """Range of the converters [A]."""
        return self.tile.full_scale

    def add_read(
        self,
        drive: Drive,
        gains: FloatArray | None,
        keys: np.ndarray,
        out: FloatArray,
        *,
        factor: float | FloatArray = 1.0,
        first: int = 0,
    ) -> Activity:
        """Read as Tile.add_read does; `gains` is ignored, as the gains were fixed when the tile was made.

        Raises ParameterError for shapes that do not fit, or another batch size.
        """
        nodes = self.tile.nodes
        if not isinstance(nodes, BatchEntries) or len(drive) != nodes.count:
            raise ParameterError(f"drive must belong to the batch of this tile, got a batch of {len(drive)}")
        numbers = np.repeat(nodes.gains[:, None], self.tile.gates, axis=1)
        done = self.tile.add_read(drive, numbers, keys, out, factor=factor, first=first)
        return replace(
            done,
            row_pulses=self.bands * done.row_pulses,
            row_codes=self.bands * done.row_codes,
            cell_reads=self.bands * done.cell_reads,
        )

    def single(self) -> "BatchTile":
        """Return the same tile with float32 matrices, for reads in single precision."""
        return replace(self, tile=self.tile.single())


@dataclass(frozen=True, eq=False)
class RemadeTile:
    """Written cells with their wires, converters and noise, from which a tile is computed for each batch."""

    cell: Cell
    written: WrittenArray  #: (k, m, 2c)
    wires: Wires
    dac: Dac
    adc: Adc
    noise: ReadNoise
    temperature: float  #: [K]

    @property
    def full_scale(self) -> float:
        """Range of the converters [A]."""
        return self.written.full_scale

    def _seen(self, v_gate: FloatArray) -> FloatArray:
        """Secant conductances (b, k, m, 2c) [S] of the cells at gate voltages that broadcast to this shape [V]."""
        gain = self.cell.gain_with_offset(self.written.at_cells(v_gate), self.written.gate_offset[None])
        return self.cell.terminal_conductance(self.written.g_filament[None], gain, self.dac.v_read)

    def _noise(self, g: FloatArray, transfers: FloatArray, bands: int = 1) -> FloatArray:
        """White and 1/f variances (…, 2 s, c) of pairs, for cells of conductance g and transfers (…, k m, 2c) [S].

        bands: number k of bands of equally many rows, whose corresponding rows have the same drive.
        """
        of_cells = cell_noise(g, transfers, self.wires, self.dac, self.noise, self.temperature)
        white, proportional = (each.reshape(*g.shape[:-2], bands, -1, g.shape[-1]).sum(-3) for each in of_cells)
        return joined(white, proportional, self.written.strips)

    def _tile(self, signal: FloatArray, to_columns: FloatArray, to_rows: FloatArray, variances: FloatArray) -> Tile:
        """Tile of a batch from arrays (k, b, m, c), (k, b, m) and (k, b, 2 s, c), one matrix for each input."""
        entries = BatchEntries(signal.shape[1])
        return Tile(
            entries, signal, to_columns, to_rows, entries, variances, self.dac, self.adc, self.full_scale,
            self.written.offsets, self.noise, self.temperature, self.written.strips, self.written.bit_ranges,
            self.written.errors,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class StackedTile(RemadeTile):
    """k row bands with their own gates on common columns; all bands have the same inputs, and their currents add.

    The first band lies at the far end of the columns.
    """

    family: StackedFamily | None  #: interpolated bands; None: the whole array is reduced for each set of gains

    def at(self, gains: FloatArray) -> BatchTile:
        """Return the tile of a batch with gains (b, k) of its bands.

        Raises what StackedFamily.reduce or reduce_arrays raises.
        Source: docs/equations/stacked.md eq. 3-6 and 8; noise at exactly these gains, docs/equations/sensitivity.md
        eq. 9.
        """
        k, m, n = self.written.g_filament.shape
        b = len(gains)
        signal, variances = np.empty((b, m, n // 2)), []
        to_columns, to_rows = np.empty((b, m)), np.empty((b, m))
        for first in range(0, b, CHUNK):
            some = slice(first, min(first + CHUNK, b))
            g = self._seen(self.cell.gate_voltage(gains[some])[:, :, None, None]).reshape(-1, k * m, n)
            family = self.family
            w, exchanged = reduce_arrays(g, self.wires) if family is None else family.reduce(gains[some])
            factors = cross_factors(exchanged).reshape(-1, k, m).sum(1)
            to_rows[some] = factors * (factors.sum(-1, keepdims=True) - factors)
            to_columns[some] = w.sum(-1).reshape(-1, k, m).sum(1)
            bands = (w[..., 0::2] - w[..., 1::2]).reshape(-1, k, m, n // 2)
            signal[some] = self.written.driven(bands[:, :, None])[:, :, 0].sum(1)
            variances.append(self._noise(g, w, bands=k))
        return BatchTile(self._tile(signal[None], to_columns[None], to_rows[None], np.concatenate(variances)[None]), k)


@dataclass(frozen=True, eq=False)
class ColumnTile(RemadeTile):
    """k arrays with common sense nodes; in each array every pair of columns has its own gate."""

    def conductances(self, gains: FloatArray) -> FloatArray:
        """Return the secant conductances (b, k, m, 2c) [S] of all cells at gains (b, k, c).

        Raises ParameterError for gains of another shape, or outside the gate window.
        Source: docs/equations/columns.md eq. 1.
        """
        k, _, n = self.written.g_filament.shape
        gains = checks.array("gains", gains, shape=(None, k, n // 2))
        low, high = self.cell.gain_low, self.cell.gain_high
        if gains.size and (gains.min() < low * (1.0 - SLACK) or gains.max() > high * (1.0 + SLACK)):
            raise ParameterError(
                f"gains must lie between {low:.6g} and {high:.6g}, got {gains.min():.6g} to {gains.max():.6g}"
            )
        return self._seen(np.repeat(self.cell.gate_voltage(np.clip(gains, low, high)), 2, axis=2)[:, :, None, :])

    def at(self, gains: FloatArray) -> BatchTile:
        """Reduce the arrays for gains (b, k, c), input by input, and return the tile of that batch.

        Nothing is interpolated, because the gate of one column also changes the others through the row wires.
        Raises what `conductances` and reduce_arrays raise.
        Source: docs/equations/columns.md eq. 2; noise at exactly these gains, docs/equations/sensitivity.md eq. 9.
        """
        k, m, n = self.written.g_filament.shape
        b = len(gains)
        signal, variances = np.empty((k, b, m, n // 2)), []
        to_columns, to_rows = np.empty((2, k, b, m))
        for first in range(0, b, CHUNK):
            some = slice(first, min(first + CHUNK, b))
            g = self.conductances(gains[some])
            w, exchanged = reduce_arrays(g.reshape(-1, m, n), self.wires)
            w = w.reshape(g.shape)
            parts = (w[..., 0::2] - w[..., 1::2], w.sum(-1), exchanged.reshape(-1, k, m))
            for out, part in zip((signal, to_columns, to_rows), parts, strict=True):
                out[:, some] = part.swapaxes(0, 1)
            signal[:, some] = self.written.driven(signal[:, some])  # b is in the place of q
            variances.append(self._noise(g, w).swapaxes(0, 1))
        return BatchTile(self._tile(signal, to_columns, to_rows, np.concatenate(variances, axis=1)))


def build_stacked_tiles(
    cell: Cell, written: Sequence[WrittenArray], wires: Wires, dac: Dac, adc: Adc, noise: ReadNoise, temperature: float
) -> list[StackedTile]:
    """Reduce the bands of written arrays at every gate node, unless that would take more than FAMILIES bytes.

    Raises ParameterError for an array without gate nodes, and what stacked_family raises.
    """
    tiles = []
    small = sum(_family_bytes(each) for each in written) <= FAMILIES
    for each in written:
        if each.nodes is None:
            raise ParameterError("stacked bands need an array with gate nodes, got one whose gates are held open")
        nodes: Nodes = each.nodes
        bands = [
            partial(_band, cell, each, g, offset, dac.v_read)
            for g, offset in zip(each.g_filament, each.gate_offset, strict=True)
        ]
        family = stacked_family(bands, nodes, wires) if small else None
        tiles.append(StackedTile(cell, each, wires, dac, adc, noise, temperature, family))
    return tiles


def _family_bytes(written: WrittenArray) -> int:
    """Size in bytes of the couplings that stacked_family stores for the bands of an array."""
    k, m, n = written.g_filament.shape
    return 0 if written.nodes is None else 8 * k * len(written.nodes.gains) * (3 * n**2 + 2 * n * m + m)


def _band(
    cell: Cell, written: WrittenArray, g_filament: FloatArray, gate_offset: FloatArray, v_read: float, gain: float
) -> FloatArray:
    """Conductances (m, 2c) [S] of one band at a gain."""
    seen = cell.gain_with_offset(written.at_cells(cell.gate_voltage(np.array(gain))), gate_offset)
    return cell.terminal_conductance(g_filament, seen, v_read)


def rewritten_tile(
    cell: Cell, written: WrittenArray, wires: Wires, dac: Dac, adc: Adc, noise: ReadNoise, temperature: float
) -> BatchTile:
    """Return the tile of a batch from cells (b, m, 2c) that were written for each input, with open gates.

    Raises what build_tiles raises.
    """
    b = len(written.g_filament)
    (tile,) = build_tiles(cell, [replace(written, nodes=None)], wires, dac, adc, noise, temperature)
    one = {name: getattr(tile, name)[:, 0][None] for name in ("signal", "to_columns", "to_rows", "variances")}
    return BatchTile(replace(tile, nodes=BatchEntries(b), noise_nodes=BatchEntries(b), **one))
