"""What a block of rows is driven with: codes as pulses, and what noise and energy want to know of them.

Prepared once for all tiles that share the rows.
b = batch, p = reads one after another, m = rows, s = groups of reads that share a variance, t = strips of rows that do
"""

from dataclasses import dataclass

import numpy as np

from crossbar.periphery import Dac
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.jit import kernel
from devices.noise import ReadNoise


@dataclass(frozen=True, eq=False)
class Plane:
    """One of the reads that a code is split into."""

    value: float  #: what its result counts in that of the code
    driven: FloatArray  #: (m, b, p) in units of `unit`
    unit: float  #: share of v_read, or of the slots, of one of `driven`
    blur: FloatArray | None  #: (2 t, b, s) white noise per siemens [A²/S], then squared voltages [V²]; None: no noise
    profile: FloatArray  #: (2, b, p) the same two, summed over rows, of each read
    sums: FloatArray  #: (b, m) shares, for amplitudes their squares, over the reads
    count: int  #: rows that were driven, over all reads


@dataclass(frozen=True, eq=False)
class Drive:
    """Codes of a block of rows."""

    planes: tuple[Plane, ...]
    shape: tuple[int, int, int]  #: (m, b, p)
    group: int  #: neighbouring reads whose variances are computed together
    strips: tuple[int, ...] | None  #: first rows of strips of neighbours that share a variance; None: no row does

    def __len__(self) -> int:
        return self.shape[1]

    @property
    def noisy(self) -> bool:
        """Whether reads of these rows have noise."""
        return any(plane.blur is not None for plane in self.planes)


def drive_rows(
    codes: FloatArray,
    dac: Dac,
    noise: ReadNoise | None,
    temperature: float,
    *,
    group: int = 1,
    strips: tuple[int, ...] | None = None,
) -> Drive:
    """Prepare codes (m, b, p), float32 or float64, for the tiles that read them.

    noise: None for reads without noise.  group: of so many neighbouring reads the variances are computed together.
    strips: first rows, from 0 on, of strips of neighbouring rows that enter variances by their mean.
    Source: docs/equations/periphery.md eq. 4 and 4a.
    Raises ParameterError for codes below 0, or strips that do not rise from 0 below the number of rows.
    """
    if strips is not None and not (strips[:1] == (0,) and all(np.diff([*strips, len(codes)]) > 0)):
        raise ParameterError(f"strips must rise from 0 to less than {len(codes)}, got {strips}")
    group = checks.whole("group", group, minimum=1)
    if codes.size and not codes.min() >= 0.0:
        raise ParameterError(f"codes must be ≥ 0, got {codes.min():g}")
    planes = tuple(
        _plane(value, np.ascontiguousarray(driven), unit, dac, noise, temperature, group, strips)
        for value, driven, unit in dac.split(codes)
    )
    m, b, p = codes.shape
    return Drive(planes, (m, b, p), group, strips)


def _plane(
    value: float, driven: FloatArray, unit: float, dac: Dac, noise: ReadNoise | None, temperature: float, group: int,
    strips: tuple[int, ...] | None,
) -> Plane:  # fmt: skip
    m, b, p = driven.shape
    blur = np.empty((2, m, b, -(-p // group)), dtype=driven.dtype)
    profile = np.zeros((2, b, p), dtype=driven.dtype)
    sums = np.empty((2, b, m))
    count = survey(driven, group, blur, profile, sums)
    kept = sums[1] * unit**2 if dac.coding == "amplitude" else sums[0] * unit
    if noise is None:
        return Plane(value, driven, unit, None, profile, kept, count)
    if dac.coding == "amplitude":
        white = dac.white(driven * unit, noise, temperature)
        profile[0] = white.sum(0)
        starts = np.arange(0, p, group)
        blur[0] = np.add.reduceat(white, starts, axis=2) / np.diff([*starts, p]) if p else white
    else:  # a pulse's noise goes with its length, so the mean length has the mean noise
        blur[0] = dac.white(blur[0] * unit, noise, temperature)
        profile[0] = m * dac.white(profile[0] * (unit / max(m, 1)), noise, temperature)
    volts = unit * dac.v_read
    blur[1] *= volts**2
    profile[1] *= volts**2
    if strips is not None:
        rows = np.diff([*strips, m])[:, None, None]
        blur = np.add.reduceat(blur, strips, axis=1) / rows.astype(blur.dtype)
    return Plane(value, driven, unit, blur.reshape(-1, *blur.shape[2:]), profile, kept, count)


@kernel
def survey(driven: FloatArray, group: int, means: FloatArray, profile: FloatArray, sums: FloatArray) -> int:
    """Return how many of `driven` (m, b, p) are not 0; of the values, and of their squares, fill in three things.

    means: (2, m, b, s) of `group` neighbours each.  profile: (2, b, p), zeros at first, sums over rows.  sums:
    (2, b, m) over reads.
    """
    m, b, p = driven.shape
    whole = p // group
    count = 0
    for row in range(m):
        for entry in range(b):
            line, total, square_total = driven[row, entry], 0.0, 0.0
            level, power = profile[0, entry], profile[1, entry]
            for i in range(p):
                x = line[i]
                level[i] += x
                power[i] += x * x
                count += x != 0
            for s in range(means.shape[3]):
                first = s * group
                last = first + group if s < whole else p
                one = two = line[first] - line[first]
                for i in range(first, last):
                    x = line[i]
                    one += x
                    two += x * x
                total += one
                square_total += two
                means[0, row, entry, s] = one / (last - first)
                means[1, row, entry, s] = two / (last - first)
            sums[0, entry, row] = total
            sums[1, entry, row] = square_total
    return count
