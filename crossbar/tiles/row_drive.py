"""The drive of a block of rows: codes as pulses, and the sums over codes that noise and energy need.

It is prepared once for all tiles that share the rows.
b = batch, p = reads one after another, m = rows, s = groups of reads with a common variance, t = strips of rows with a
common variance
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossbar.tiles.converters import BINS, Dac
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from devices.noise.read_noise import ReadNoise
from devices.numerics.jit import kernel
from devices.numerics.sums import folded_sum

LOOKED_AT = 8  # sampled reads from which the energy exchanged between rows is estimated, ours


@dataclass(frozen=True, eq=False)
class Plane:
    """One of the reads into which a code is split, such as one bit of a bit-serial code."""

    value: float  #: factor of its result in the result of the code
    driven: FloatArray  #: (m, b, p) drive of the rows in units of `unit`
    unit: float  #: fraction of v_read, or of the slots, for a drive of 1
    noise_powers: (
        FloatArray | None
    )  #: (2 t, b, s) white noise per siemens [A²/S], then mean squared voltages [V²]; None: no noise
    profile: FloatArray  #: (2, b, p) the same two for each read, summed over rows
    sums: FloatArray  #: (b, m) drives as fractions, for amplitudes their squares, summed over reads
    count: int  #: number of driven rows, summed over reads
    longest: FloatArray  #: (b,) upper bound of the pulse lengths of the sampled reads, in units of `unit`
    ends: npt.NDArray[np.uint8]  #: (b, m, r) pulse ends of r sampled reads, in longest / BINS; r = 0: no pulses


@dataclass(frozen=True, eq=False)
class Drive:
    """The drive of a block of rows for a batch."""

    planes: tuple[Plane, ...]
    shape: tuple[int, int, int]  #: (m, b, p)
    group: int  #: number of neighbouring reads with a common variance
    strips: tuple[int, ...] | None  #: first rows of strips of rows with a common variance; None: each row has its own

    def __len__(self) -> int:
        return self.shape[1]

    @property
    def noisy(self) -> bool:
        """Whether reads with this drive have noise."""
        return any(plane.noise_powers is not None for plane in self.planes)


def drive_rows(
    codes: FloatArray,
    dac: Dac,
    noise: ReadNoise | None,
    temperature: float,
    *,
    group: int = 1,
    strips: tuple[int, ...] | None = None,
    keys: npt.NDArray[np.uint64] | None = None,
) -> Drive:
    """Prepare codes (m, b, p), float32 or float64, for the tiles that read them.

    noise: None for reads without noise.  group: number of neighbouring reads whose variances are replaced by their
    mean.  strips: first rows, rising from 0, of strips of neighbouring rows whose variances are replaced by their mean.
    keys: (b,) choose the sampled reads from which the energy exchanged between rows is estimated; None: the first read
    is the first sample.
    Source: docs/equations/periphery.md eq. 4 and 4a.
    Raises ParameterError for codes below 0, or strips that do not rise from 0 below the number of rows.
    """
    if strips is not None and not (strips[:1] == (0,) and all(np.diff([*strips, len(codes)]) > 0)):
        raise ParameterError(f"strips must rise from 0 to less than {len(codes)}, got {strips}")
    group = checks.whole("group", group, minimum=1)
    if codes.size and not codes.min() >= 0.0:
        raise ParameterError(f"codes must be ≥ 0, got {codes.min():g}")
    m, b, p = codes.shape
    places = _places(b, p, keys) if dac.coding == "pulse-width" else np.empty((b, 0), dtype=np.int64)
    planes = tuple(
        _plane(value, np.ascontiguousarray(driven), unit, dac, noise, temperature, group, strips, places)
        for value, driven, unit in dac.split(codes)
    )
    return Drive(planes, (m, b, p), group, strips)


def _places(b: int, p: int, keys: npt.NDArray[np.uint64] | None) -> IntArray:
    """Numbers (b, r) of the sampled reads: evenly spaced and cyclic, starting at a read that the key chooses."""
    r = min(p, LOOKED_AT)
    begin = np.zeros(b, dtype=np.uint64) if keys is None else keys % np.uint64(max(p, 1))
    places: IntArray = (begin.astype(np.int64)[:, None] + np.arange(r) * p // max(r, 1)) % max(p, 1)
    return places


def _plane(
    value: float, driven: FloatArray, unit: float, dac: Dac, noise: ReadNoise | None, temperature: float, group: int,
    strips: tuple[int, ...] | None, places: IntArray,
) -> Plane:  # fmt: skip
    m, b, p = driven.shape
    bounds = np.array([*(range(m) if strips is None else strips), m])
    noise_powers = np.empty((2, len(bounds) - 1, b, -(-p // group)), dtype=driven.dtype)
    profile = np.zeros((2, b, p), dtype=driven.dtype)
    sums = np.empty((b, m))
    power = 2 if dac.coding == "amplitude" else 1
    seen = np.empty((b, m, places.shape[1]), dtype=driven.dtype)
    count = survey(driven, group, bounds, power, places, noise_powers, profile, sums, seen)
    kept = sums * unit**power
    longest = seen.max(axis=(1, 2), initial=1.0 / unit)
    ends = (seen * (BINS / longest)[:, None, None] + 0.5).astype(np.uint8)
    if noise is None:
        return Plane(value, driven, unit, None, profile, kept, count, longest, ends)
    if dac.coding == "amplitude":
        white = dac.white(driven * unit, noise, temperature)
        profile[0] = white.sum(0)
        starts = np.arange(0, p, group)
        means = np.add.reduceat(white, starts, axis=2) / np.diff([*starts, p]) if p else white
        noise_powers[0] = np.add.reduceat(means, bounds[:-1], axis=0) / np.diff(bounds)[:, None, None] if m else means
    else:  # the noise of a pulse is linear in its length, so the mean length gives the mean noise
        noise_powers[0] = dac.white(noise_powers[0] * unit, noise, temperature)
        profile[0] = m * dac.white(profile[0] * (unit / max(m, 1)), noise, temperature)
    volts = unit * dac.v_read
    noise_powers[1] *= volts**2
    profile[1] *= volts**2
    return Plane(
        value, driven, unit, noise_powers.reshape(-1, *noise_powers.shape[2:]), profile, kept, count, longest, ends
    )


@kernel
def survey(
    driven: FloatArray, group: int, bounds: IntArray, power: int, places: IntArray, means: FloatArray,
    profile: FloatArray, sums: FloatArray, seen: FloatArray,
) -> int:  # fmt: skip
    """Return how many elements of `driven` (m, b, p) are not 0, and fill four arrays in one pass over it.

    means: (2, t, b, s) means of values and squared values over the rows between two `bounds` (t + 1,) and over `group`
    neighbouring reads.  profile: (2, b, p), zeros on entry, their sums over rows.  sums: (b, m) sums over reads of the
    values, or of their squares for power = 2.  seen: (b, m, r) the values at the reads `places` (b, r).
    """
    _, b, p = driven.shape
    level, squares = np.zeros(p, dtype=driven.dtype), np.zeros(p, dtype=driven.dtype)
    powers, folded = np.zeros(p, dtype=driven.dtype), np.zeros(p, dtype=driven.dtype)
    zero, count = driven.dtype.type(0), 0
    for strip in range(len(bounds) - 1):
        rows = bounds[strip + 1] - bounds[strip]
        for entry in range(b):
            level[:], squares[:] = zero, zero
            for row in range(bounds[strip], bounds[strip + 1]):  # each inner loop is simple enough to be vectorised
                line = driven[row, entry]
                for i in range(p):
                    level[i] += line[i]
                    squares[i] += line[i] * line[i]
                for i in range(p):
                    count += line[i] != zero
                for i in range(seen.shape[2]):
                    seen[entry, row, i] = line[places[entry, i]]
                if power == 2:
                    for i in range(p):
                        powers[i] = line[i] * line[i]
                    line = powers
                sums[entry, row] = folded_sum(line, folded)
            for s in range(means.shape[3]):
                first, last = s * group, min((s + 1) * group, p)
                one = two = zero
                for i in range(first, last):
                    one += level[i]
                    two += squares[i]
                means[0, strip, entry, s] = one / (rows * (last - first))
                means[1, strip, entry, s] = two / (rows * (last - first))
            for i in range(p):
                profile[0, entry, i] += level[i]
                profile[1, entry, i] += squares[i]
    return count
