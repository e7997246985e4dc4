"""A tile: gated arrays with common row codes and common sense nodes, and converters.  Codes in, codes out.

b = batch, p = reads one after another (positions), k = gate groups, q = gate nodes, r = stored matrices of a gate
group, m = rows, s = strips of rows, c = differential pairs
Column 2j of an array is the positive column of pair j, column 2j + 1 the negative one.  The two currents of a pair are
subtracted before conversion.
"""

import math
import threading
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from crossbar.tiles.activity import Activity
from crossbar.tiles.converter_errors import ConverterErrors, convert_erring
from crossbar.tiles.converters import Adc, Dac, convert, overlaps
from crossbar.tiles.row_drive import Drive, Plane, drive_rows
from crossbar.tiles.shared_sense import SharedSense
from crossbar.transfer.gate_nodes import Nodes
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.noise.read_noise import ReadNoise
from devices.numerics.jit import kernel
from devices.numerics.sums import folded_sum

FULL = 16  # number of rows, or a multiple of it, that BLAS processes together in a matrix product, ours


@dataclass(frozen=True)
class Tile:
    """k gated arrays of m rows and c pairs with common sense nodes; k = q = 1 if the gate is not used."""

    nodes: Nodes | None  #: gate nodes; None: the gate is held open
    #: (k, r, m, c) [S] transfer conductances to the difference current of a pair: at the gate nodes, where r = q, or
    #: the stored matrices of `basis`
    signal: FloatArray
    to_columns: FloatArray  #: (k, q, m) [S] transfer conductance of each row to all columns together
    to_rows: FloatArray  #: (k, q, m) [S] current into all rows at 0 V from one row at 1 V
    noise_nodes: Nodes | None  #: gate nodes of `variances`, fewer than `nodes`; None: the gate is held open
    #: (k, NOISE_NODES or 1, 2 s, c) for each strip of rows the white noise variance of a pair's current, as the
    #: conductance with the same noise at the row voltage [S], then its 1/f noise variance divided by v² [S²]
    variances: FloatArray
    dac: Dac
    adc: Adc
    full_scale: float  #: range of the converters [A]
    offsets: FloatArray  #: (c,) [codes]
    noise: ReadNoise
    temperature: float  #: [K]
    strips: tuple[int, ...] | None = None  #: as in WrittenArray
    #: range of the converters over full_scale in each read of a word, lowest bit first; empty: 1 in all reads
    bit_ranges: tuple[float, ...] = ()
    errors: ConverterErrors | None = None  #: of the converters; None: their gains and thresholds are nominal
    columns: int = 2  #: of cells of each converted current: 2 for pairs, 1 for columns that are converted one by one
    sense: SharedSense | None = None  #: common sense inputs of its arrays; None: their currents add
    #: (k, q, r) parts of the stored matrices in the matrix at each gate node; None: `signal` holds those at the nodes
    basis: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.bit_ranges and len(self.bit_ranges) != self.dac.conversions:
            raise ParameterError(
                f"bit_ranges must be empty or hold one for each of {self.dac.conversions} reads, "
                f"got {len(self.bit_ranges)}"
            )

    @property
    def rows(self) -> int:
        """Number of rows in use."""
        return int(self.signal.shape[2])

    @property
    def pairs(self) -> int:
        """Number of differential pairs in use."""
        return int(self.signal.shape[3])

    @property
    def gates(self) -> int:
        """Number of gate groups."""
        return int(self.signal.shape[0])

    @cached_property
    def delivered(self) -> FloatArray:
        """to_columns and to_rows of each stored matrix in one array: (k, q, 2, m) [S]."""
        return np.stack([self.to_columns, self.to_rows], axis=2)

    def mix(self, gains: FloatArray | None, b: int, nodes: Nodes | None = None) -> FloatArray:
        """Return the coefficient of each stored matrix: (b, k * q) from gains (b, k), or (1, 1) for a held gate.

        nodes: gate nodes of the matrices; None: those of `signal`.
        """
        if self.nodes is None:
            return np.ones((1, 1))
        if gains is None or gains.shape != (b, self.gates):
            shape = None if gains is None else gains.shape
            raise ParameterError(f"gains must have shape ({b}, {self.gates}) for a gated tile, got {shape}")
        held: Any = nodes or self.nodes  # nodes are hashable
        return _contributions(held, np.ascontiguousarray(gains, dtype=np.float64).tobytes(), self.gates)

    @cached_property
    def blocks(self) -> FloatArray | None:
        """The basis of all gate groups as one matrix (k q, k r)."""
        if self.basis is None:
            return None
        k, q, r = self.basis.shape
        blocks = np.zeros((k, q, k, r))
        blocks[np.arange(k), :, np.arange(k)] = self.basis
        return blocks.reshape(k * q, k * r)

    def stored(self, mix: FloatArray) -> FloatArray:
        """Return the coefficients (b, k r) of the matrices of `signal` from those (b, k q) of the gate nodes.

        The result of an input is bit-identical for any batch size.
        """
        return mix if self.blocks is None else np.matmul(_full(mix), self.blocks)[: len(mix)]

    def single(self) -> "Tile":
        """Return the same tile with float32 matrices, for reads in single precision."""
        parts: list[Any] = [each.astype(np.float32, copy=False) for each in (self.signal, self.variances)]
        return replace(self, signal=parts[0], variances=parts[1])

    def _signal(self, shares: FloatArray, mix: FloatArray) -> FloatArray:
        """Return the matrices (b or 1, m, c) of a batch: the nodes' with coefficients `shares`, (b, k q) as `mix`."""
        signal = _mixed(self.signal, self.stored(shares), "signal")
        if self.sense is None:
            return signal
        return self.sense.joined(signal, _mixed(self.sense.sums, shares, "sums"), mix)

    def currents(self, shares: FloatArray, mix: FloatArray) -> FloatArray:
        """Return noiseless pair currents (b, p, c) [A]; shares: v / v_read (b, p, m), mix: as from `mix`."""
        out: FloatArray = np.matmul(shares * self.dac.v_read, self._signal(mix, mix))
        return out

    def read(
        self, codes: FloatArray | Drive, gains: FloatArray | None, keys: np.ndarray, noise: bool
    ) -> tuple[FloatArray, Activity]:
        """Read the tile for codes (b, p, m), or for a Drive; return the results (b, p, c) and the activity.

        gains: (b, k) nominal read gains, None for a held gate.  keys: (b,) noise streams of the inputs.  noise: whether
        reads have noise; a Drive already contains it.  The results are converted currents in LSB of the converter for
        full codes, or in amperes for continuous converters, summed over the bits of a bit-serial code.
        Raises ParameterError for shapes that do not fit.
        """
        if not isinstance(codes, Drive):
            codes = checks.array("codes", codes, shape=(None, None, self.rows), minimum=0.0)
            rows = np.ascontiguousarray(codes.transpose(2, 0, 1))
            source = self.noise if noise else None
            codes = drive_rows(rows, self.dac, source, self.temperature, strips=self.strips, keys=keys)
        out = np.zeros((codes.shape[1], self.pairs, codes.shape[2]), dtype=self.signal.dtype)
        return out.swapaxes(1, 2), self.add_read(codes, gains, keys, out)

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
        """Read the tile for a drive and add `factor` times the result of each pair to out[:, first : first + c].

        factor: one for all pairs or (c,).  out: (b, n, p), in the precision of the tile's matrices and of the drive.
        Raises ParameterError for shapes that do not fit.
        """
        m, b, p = drive.shape
        if m != self.rows:
            raise ParameterError(f"codes must drive {self.rows} rows, got {m}")
        if drive.strips != self.strips:
            raise ParameterError(f"rows must be driven in the strips {self.strips}, got {drive.strips}")
        mix, kind = self.mix(gains, b), out.dtype
        to_columns, to_rows = _mixed(self.delivered, mix, "delivered").transpose(1, 0, 2)
        factors = cross_factors(to_rows)
        lsb = self.adc.lsb(self.full_scale) or 1.0
        kinds = np.empty((0, 2), dtype=kind)
        if drive.noisy:
            blurred = self.mix(gains, b, self.noise_nodes) / lsb**2
            noisy = _mixed(self.variances, blurred, "variances").astype(kind, copy=False)
            kinds = noisy.reshape(len(noisy), 2, -1).sum(axis=2)  # relative strengths of white and 1/f noise
        offsets, largest = self.offsets.astype(kind), kind.type(self.adc.largest)
        smallest = kind.type(self.adc.smallest)
        worth = np.broadcast_to(factor, self.pairs)
        erring, joules = self._erring(kind), 0.0
        for bit, plane in enumerate(drive.planes):
            part = self.bit_ranges[bit] if self.bit_ranges else 1.0
            shares = mix * (plane.unit * self.dac.v_read / (lsb * part))
            signal = self._signal(shares, mix).astype(kind, copy=False)
            currents = _products(signal, plane.driven, "currents")
            variance = np.empty((0, 0, 0), dtype=kind)
            if plane.noise_powers is not None:
                variance = _products(noisy, plane.noise_powers, "variance")
                if part != 1.0:
                    variance *= kind.type(part**-2)
            values = (worth * (plane.value * part)).astype(kind)
            stream = keys + np.uint64(bit)
            if erring is None:
                convert(
                    currents, variance, drive.group, kinds, plane.profile, stream, offsets, largest, values, first, out
                )
            else:
                convert_erring(
                    currents, variance, drive.group, kinds, plane.profile, stream, offsets, smallest, largest, values,
                    first, out, *erring,
                )  # fmt: skip
            joules += self._joules(plane, to_columns, factors)
        n, driven = len(drive.planes), float(sum(plane.count for plane in drive.planes))
        sensed = b * p * n * self.pairs * self.dac.t_read
        return Activity(
            reads=b * p * n * self.gates,
            row_pulses=driven * self.gates,
            row_codes=b * p * m * self.gates,
            conversions=b * p * n * self.pairs,
            cell_reads=driven * self.gates * self.columns * self.pairs,
            additions=b * p * (n - 1) * self.pairs,
            joules_array=joules,
            sense_charge=sensed * self.full_scale * max(self.bit_ranges, default=1.0),
            sense_time=sensed,
            tile_reads=b * p * n,
        )

    def _erring(self, kind: np.dtype) -> tuple[Any, ...] | None:
        """Noise, gains, thresholds, converters and corrections for `convert_erring`; None if no converter errs."""
        sigma = self.adc.noise(self.temperature)
        if self.errors is None and sigma == 0.0 and self.adc.smallest == -self.adc.largest:
            return None
        if self.adc.bits is None:
            sigma *= self.full_scale  # the noise is relative to half the range of signed currents
        held = self.errors or ConverterErrors.none(self.pairs)
        gains, thresholds, correction = (each.astype(kind) for each in (held.gains, held.thresholds, held.correction))
        return kind.type(sigma), gains, thresholds, held.converter, correction

    def _joules(self, plane: Plane, to_columns: FloatArray, factors: FloatArray) -> float:
        """Energy of one plane of reads [J] that the sources deliver to columns and to rows at lower voltages.

        The couplings between rows are approximated by products of one factor per row that have the same row sums (see
        cross_factors).  The energy exchanged between rows is estimated from a sample of the reads.
        Source: docs/equations/periphery.md eq. 8.
        """
        joules = _alone(plane.sums, np.ascontiguousarray(to_columns), factors)
        if self.dac.coding == "pulse-width":
            together = plane.driven.shape[2] * plane.unit * float(overlaps(plane.ends, factors) @ plane.longest)
        else:
            meeting = np.matmul(factors[:, None, :].astype(plane.driven.dtype), plane.driven.swapaxes(0, 1))
            together = plane.unit**2 * float((meeting.astype(np.float64) ** 2).sum())
        total: float = (joules - together) * self.dac.v_read**2 * self.dac.t_read
        return total


class _Scratch(threading.local):
    """Work arrays that a thread uses for one tile after another, as allocating them would take longer than filling."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, np.dtype], FloatArray] = {}

    def array(self, name: str, shape: tuple[int, ...], kind: np.dtype) -> FloatArray:
        """Return an uninitialised array, which is valid until the next call with the same name."""
        size = math.prod(shape)
        held = self.held.get((name, kind))
        if held is None or held.size < size:
            held = self.held[name, kind] = np.empty(size, dtype=kind)
        return held[:size].reshape(shape)


_scratch = _Scratch()


@lru_cache(maxsize=32)
def _contributions(nodes: Nodes, gains: bytes, gates: int) -> FloatArray:
    """Coefficient of each stored matrix, (b, k q); cached, as tiles with the same gains need the same coefficients."""
    mix: FloatArray = nodes.mix(np.frombuffer(gains).reshape(-1, gates))
    mix = mix.reshape(len(mix), -1)
    mix.flags.writeable = False
    return mix


def _products(matrices: FloatArray, rows: FloatArray, name: str) -> FloatArray:
    """One product for each input: matrices (b or 1, m, c) and rows (m, b, p) give (b, c, p), in a work array."""
    _, b, p = rows.shape
    out = _scratch.array(name, (b, matrices.shape[2], p), rows.dtype)
    return np.matmul(matrices.swapaxes(1, 2), rows.swapaxes(0, 1), out=out)


def _mixed(parts: FloatArray, mix: FloatArray, name: str) -> FloatArray:
    """Linear combinations (b or 1, m, c) of stored matrices (k, q, m, c) with coefficients `mix`, in a work array.

    The result of an input is bit-identical for any batch size.
    """
    k, q, m, c = parts.shape
    b = len(mix)
    whole = _full(mix, parts.dtype)
    out = _scratch.array(name, (len(whole), m * c), parts.dtype)
    return np.matmul(whole, parts.reshape(k * q, m * c), out=out)[:b].reshape(b, m, c)


def _full(mix: FloatArray, kind: DTypeLike = np.float64) -> FloatArray:
    """Return coefficients with rows of 0 below them up to a multiple of FULL: BLAS sums in another order else."""
    whole = np.zeros((-(-len(mix) // FULL) * FULL, mix.shape[1]), dtype=kind)
    whole[: len(mix)] = mix
    return whole


def cross_factors(sums: FloatArray) -> FloatArray:
    """Return factors u (…, m) whose products u_i u_k, summed over k ≠ i, give `sums` (…, m) [S] for each row i.

    Source: docs/equations/periphery.md eq. 9; the relative error of the sums is 1e-5 where no row dominates.
    """
    factors = np.empty(sums.shape)
    m = sums.shape[-1]
    _cross_factors(np.ascontiguousarray(sums).reshape(-1, m), factors.reshape(-1, m))
    return factors


@kernel
def _alone(sums: FloatArray, to_columns: FloatArray, factors: FloatArray) -> float:
    """Sum over rows of the power that a source delivers if all other rows are at 0 V, times sums (b, m)."""
    total = 0.0
    for entry in range(len(sums)):
        at = entry % len(factors)
        whole = factors[at].sum()
        for row in range(sums.shape[1]):
            total += sums[entry, row] * (to_columns[at, row] + factors[at, row] * whole)
    return total


@kernel
def _cross_factors(sums: FloatArray, factors: FloatArray) -> None:
    b, m = sums.shape
    given, u, squares, folded = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
    for entry in range(b):
        for row in range(m):
            given[row] = max(sums[entry, row], 0.0)
        total = folded_sum(given, folded)
        u[:], squares[:] = 0.0, 0.0
        for _ in range(3):  # start: (sum of u)² = sum of `given` + sum of u²
            whole = np.sqrt(total + folded_sum(squares, folded))
            for row in range(m):
                u[row] = given[row] / (whole - u[row]) if whole > u[row] else 0.0
                squares[row] = u[row] * u[row]
        for _ in range(4):
            whole = folded_sum(u, folded)
            for row in range(m):
                others = whole - u[row]
                u[row] = np.sqrt(u[row] * given[row] / others) if others > 0.0 else 0.0
        for row in range(m):  # numba takes seconds to compile the assignment of one array to another
            factors[entry, row] = u[row]
