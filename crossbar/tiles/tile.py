"""A tile: gated arrays that share row codes and sense nodes, with converters. Codes in, codes out.

b = batch, p = reads one after another (positions), k = gate groups, q = gate nodes, m = rows, s = strips of rows,
c = differential pairs
Column 2j of an array is the positive cell of pair j, column 2j + 1 the negative one; the pair's currents are
subtracted before conversion.
"""

import math
import threading
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from crossbar.tiles.activity import Activity
from crossbar.tiles.converters import Adc, Dac, convert, overlaps
from crossbar.tiles.row_drive import Drive, Plane, drive_rows
from crossbar.transfer.gate_nodes import Nodes
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.noise.read_noise import ReadNoise
from devices.numerics.jit import kernel
from devices.numerics.sums import folded_sum

FULL = 16  # rows of a product that BLAS works on together, or a multiple, ours


@dataclass(frozen=True)
class Tile:
    """k gated arrays of m rows and c pairs, joined at their sense nodes; k = q = 1 without a gate in use."""

    nodes: Nodes | None  #: gate nodes; None: the gate is held
    signal: FloatArray  #: (k, q, m, c) [S] transfer to the pair's current difference
    to_columns: FloatArray  #: (k, q, m) [S] transfer of each row to all columns together
    to_rows: FloatArray  #: (k, q, m) [S] coupling of each row to all others: what rows at 0 V take from a driven one
    noise_nodes: Nodes | None  #: gate nodes of the two below, fewer than for currents; None: the gate is held
    #: (k, NOISE_NODES or 1, 2 s, c) for each strip of rows [S] white noise of a pair's current, in that of 1 S at the
    #: rows' voltage, then for each strip [S²] variance of a pair's current over v², for 1/f noise
    variances: FloatArray
    dac: Dac
    adc: Adc
    full_scale: float  #: range of the converters [A], fixed
    offsets: FloatArray  #: (c,) [codes]
    noise: ReadNoise
    temperature: float  #: [K]
    strips: tuple[int, ...] | None = None  #: as of WrittenArray
    #: range of the converters in each read of a word, lowest bit first, over full_scale; empty: the same in all
    bit_ranges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.bit_ranges and len(self.bit_ranges) != self.dac.conversions:
            raise ParameterError(
                f"bit_ranges must be empty or hold one for each of {self.dac.conversions} reads, "
                f"got {len(self.bit_ranges)}"
            )

    @property
    def rows(self) -> int:
        """Rows in use."""
        return int(self.signal.shape[2])

    @property
    def pairs(self) -> int:
        """Differential pairs in use."""
        return int(self.signal.shape[3])

    @property
    def gates(self) -> int:
        """Gate groups."""
        return int(self.signal.shape[0])

    @cached_property
    def delivered(self) -> FloatArray:
        """What sources deliver in each stored matrix, to columns and to other rows: (k, q, 2, m) [S]."""
        return np.stack([self.to_columns, self.to_rows], axis=2)

    def mix(self, gains: FloatArray | None, b: int, nodes: Nodes | None = None) -> FloatArray:
        """Return what each stored matrix contributes: (b, k * q) from gains (b, k), or (1, 1) for a held gate.

        nodes: those of the matrices; None: of the currents.
        """
        if self.nodes is None:
            return np.ones((1, 1))
        if gains is None or gains.shape != (b, self.gates):
            shape = None if gains is None else gains.shape
            raise ParameterError(f"gains must have shape ({b}, {self.gates}) for a gated tile, got {shape}")
        held: Any = nodes or self.nodes  # nodes have a hash
        return _contributions(held, np.ascontiguousarray(gains, dtype=np.float64).tobytes(), self.gates)

    def single(self) -> "Tile":
        """Return the same tile with matrices of float32, for reads of that precision."""
        parts: list[Any] = [each.astype(np.float32, copy=False) for each in (self.signal, self.variances)]
        return replace(self, signal=parts[0], variances=parts[1])

    def currents(self, shares: FloatArray, mix: FloatArray) -> FloatArray:
        """Return pair currents (b, p, c) [A] without noise, from shares of v_read (b, p, m) and mixes (b or 1, k q)."""
        out: FloatArray = np.matmul(shares * self.dac.v_read, _mixed(self.signal, mix, "signal"))
        return out

    def read(
        self, codes: FloatArray | Drive, gains: FloatArray | None, keys: np.ndarray, noise: bool
    ) -> tuple[FloatArray, Activity]:
        """Read the tile for codes (b, p, m), or for rows that drive_rows prepared; return (b, p, c) and what was done.

        gains: (b, k) nominal read gains, None for a held gate.  keys: (b,) noise streams of the batch entries.  The
        result counts in units of the converter's LSB at a full code (amperes for continuous converters), already summed
        over bits; noise False reads without any.
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
        """Read the tile for driven rows and add `factor` times the codes of its pairs to out[:, first : first + c].

        factor: one for all pairs or (c,).  out: (b, n, p), of the precision of the tile's matrices and of the drive.
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
            kinds = noisy.reshape(len(noisy), 2, -1).sum(axis=2)  # white and 1/f noise, to each other
        offsets, largest = self.offsets.astype(kind), kind.type(self.adc.largest)
        worth = np.broadcast_to(factor, self.pairs)
        joules = 0.0
        for bit, plane in enumerate(drive.planes):
            part = self.bit_ranges[bit] if self.bit_ranges else 1.0
            shares = mix * (plane.unit * self.dac.v_read / (lsb * part))
            signal = _mixed(self.signal, shares, "signal").astype(kind, copy=False)
            currents = _products(signal, plane.driven, "currents")
            variance = np.empty((0, 0, 0), dtype=kind)
            if plane.noise_powers is not None:
                variance = _products(noisy, plane.noise_powers, "variance")
                if part != 1.0:
                    variance *= kind.type(part**-2)
            convert(
                currents, variance, drive.group, kinds, plane.profile, keys + np.uint64(bit), offsets, largest,
                (worth * (plane.value * part)).astype(kind), first, out,
            )  # fmt: skip
            joules += self._joules(plane, to_columns, factors)
        n, driven = len(drive.planes), float(sum(plane.count for plane in drive.planes))
        return Activity(
            reads=b * p * n * self.gates,
            row_pulses=driven * self.gates,
            row_codes=b * p * m * self.gates,
            conversions=b * p * n * self.pairs,
            cell_reads=driven * self.gates * 2 * self.pairs,
            additions=b * p * (n - 1) * self.pairs,
            joules_array=joules,
        )

    def _joules(self, plane: Plane, to_columns: FloatArray, factors: FloatArray) -> float:
        """Energy of one plane of reads [J]: what the sources deliver to columns and to rows at a lower voltage.

        Couplings between rows enter by their sums alone, as products of one factor per row; of many reads, what rows
        take from each other is looked at in some.
        Source: docs/equations/periphery.md eq. 8.
        """
        joules = _alone(plane.sums, to_columns, factors)
        if self.dac.coding == "pulse-width":
            together = plane.driven.shape[2] * plane.unit * float(overlaps(plane.ends, factors) @ plane.longest)
        else:
            meeting = np.matmul(factors[:, None, :].astype(plane.driven.dtype), plane.driven.swapaxes(0, 1))
            together = plane.unit**2 * float((meeting.astype(np.float64) ** 2).sum())
        total: float = (joules - together) * self.dac.v_read**2 * self.dac.t_read
        return total


class _Scratch(threading.local):
    """Arrays that a thread uses for one tile after another: new ones of this size cost more than what fills them."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, np.dtype], FloatArray] = {}

    def array(self, name: str, shape: tuple[int, ...], kind: np.dtype) -> FloatArray:
        """Return an array of any content, to be used until the next of that name is asked for."""
        size = math.prod(shape)
        held = self.held.get((name, kind))
        if held is None or held.size < size:
            held = self.held[name, kind] = np.empty(size, dtype=kind)
        return held[:size].reshape(shape)


_scratch = _Scratch()


@lru_cache(maxsize=32)
def _contributions(nodes: Nodes, gains: bytes, gates: int) -> FloatArray:
    """What each stored matrix contributes, (b, k q); tiles that are read alike ask for the same."""
    mix: FloatArray = nodes.mix(np.frombuffer(gains).reshape(-1, gates))
    mix = mix.reshape(len(mix), -1)
    mix.flags.writeable = False
    return mix


def _products(matrices: FloatArray, rows: FloatArray, name: str) -> FloatArray:
    """One product for each entry: matrices (b or 1, m, c) and rows (m, b, p) give (b, c, p), in a thread's scratch."""
    _, b, p = rows.shape
    out = _scratch.array(name, (b, matrices.shape[2], p), rows.dtype)
    return np.matmul(matrices.swapaxes(1, 2), rows.swapaxes(0, 1), out=out)


def _mixed(parts: FloatArray, mix: FloatArray, name: str) -> FloatArray:
    """Weighted sums (b or 1, m, c) of stored matrices (k, q, m, c), in a thread's scratch.

    An entry's has the same bits in whatever batch.
    """
    k, q, m, c = parts.shape
    b = len(mix)
    whole = np.zeros((-(-b // FULL) * FULL, k * q), dtype=parts.dtype)  # products of other heights sum in other orders
    whole[:b] = mix
    out = _scratch.array(name, (len(whole), m * c), parts.dtype)
    return np.matmul(whole, parts.reshape(k * q, m * c), out=out)[:b].reshape(b, m, c)


def cross_factors(sums: FloatArray) -> FloatArray:
    """Factors u (…, m) whose products u_i u_k, i ≠ k, sum over k to `sums` (…, m) [S] in each row.

    Source: docs/equations/periphery.md eq. 9; its steps leave 1e-5 of the sums where no row dominates.
    """
    factors = np.empty(sums.shape)
    m = sums.shape[-1]
    _cross_factors(np.ascontiguousarray(sums).reshape(-1, m), factors.reshape(-1, m))
    return factors


@kernel
def _alone(sums: FloatArray, to_columns: FloatArray, factors: FloatArray) -> float:
    """What the sources of driven rows deliver if all others rest: sums (b, m), the others (b or 1, m)."""
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
        for _ in range(3):  # the square of their sum is the sum of `given` and of their squares
            whole = np.sqrt(total + folded_sum(squares, folded))
            for row in range(m):
                u[row] = given[row] / (whole - u[row]) if whole > u[row] else 0.0
                squares[row] = u[row] * u[row]
        for _ in range(4):
            whole = folded_sum(u, folded)
            for row in range(m):
                others = whole - u[row]
                u[row] = np.sqrt(u[row] * given[row] / others) if others > 0.0 else 0.0
        factors[entry] = u
