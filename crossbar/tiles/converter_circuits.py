"""Circuits of converters: how long a conversion takes, and the pattern of the errors of their code thresholds.

a = converters, n = thresholds between neighbouring codes, from the lowest
"""

import math
from functools import lru_cache

import numpy as np

from devices.aliases import FloatArray

CIRCUITS = ("generic", "sar", "ramp", "flash", "pipelined")


def clocks(circuit: str, bits: int, conversions: int) -> int:
    """Return the clocks that a converter takes for some conversions in turn; the circuit is not "generic".

    sar: one clock to sample and one for each bit.  ramp: one for each code.  flash: one.  pipelined: one for each
    conversion, after one for each stage of one bit.
    Source: docs/equations/periphery.md eq. 14.
    """
    if circuit == "pipelined":
        return conversions + bits - 1
    of_one = {"sar": bits + 1, "ramp": 1 << bits, "flash": 1}
    return conversions * of_one[circuit]


def threshold_errors(
    circuit: str, bits: int, inl: float, dnl: float, converters: int, rng: np.random.Generator,
    thresholds: int | None = None,
) -> FloatArray:  # fmt: skip
    """Return the errors (a, n) of the thresholds of some converters [LSB].

    thresholds: n; 2^bits - 2 unless given, as signed codes have them.  inl: root mean square of a smooth curve.
    dnl: root mean square of the errors of the code widths.  All converters of circuit "ramp" compare with one ramp and
    have the same errors.
    Source: docs/equations/periphery.md eq. 11-12.
    """
    n = 2**bits - 2 if thresholds is None else thresholds
    own = 1 if circuit == "ramp" else converters
    u = (np.arange(n) + 0.5) / n * 2.0 - 1.0
    bow, bend = math.sqrt(5.0) * (3.0 * u**2 - 1.0) / 2.0, math.sqrt(7.0) * (5.0 * u**3 - 3.0 * u) / 2.0
    drawn = rng.standard_normal((own, 2)) / math.sqrt(2.0)
    smooth = inl * (drawn[:, :1] * bow + drawn[:, 1:] * bend)
    if circuit in ("sar", "pipelined"):
        modes = _modes(circuit, bits, n)
        steps = rng.standard_normal((own, modes.shape[1])) @ modes.T
    else:
        steps = rng.standard_normal((own, n))
        if circuit == "ramp":  # widths err independently, and thresholds add them up
            steps = steps.cumsum(axis=1)
            steps -= steps[:, -1:] * np.arange(1, n + 1) / n
        else:
            steps /= math.sqrt(2.0)
    found: FloatArray = np.broadcast_to(smooth + dnl * steps, (converters, n))
    return found


def error_power(circuit: str, bits: int) -> float:
    """Return the mean square of the errors of thresholds whose code widths err by 1 LSB, root mean square [LSB²].

    Source: docs/equations/periphery.md eq. 12.
    """
    n = 2**bits - 2
    if circuit in ("sar", "pipelined"):
        return float((_modes(circuit, bits, n) ** 2).sum() / n)
    return (n**2 - 1) / (6.0 * n) if circuit == "ramp" else 0.5


@lru_cache(maxsize=32)
def _modes(circuit: str, bits: int, n: int) -> FloatArray:
    """Return the errors (n, r) of thresholds by the r independent errors of a circuit, each of standard deviation 1.

    Their code widths err by 1 LSB, root mean square over codes.
    """
    k = np.arange(1, n + 1)  # the codes above the thresholds, counted from the lowest
    place = 2.0 ** np.arange(bits)
    if circuit == "sar":  # capacitor i is made of 2^i units, whose errors are independent
        raw = ((k[:, None] >> np.arange(bits)) & 1) * np.sqrt(place)
    else:  # the residue after a decision is amplified with an error, so it jumps there
        place = place[1:]
        raw = (k[:, None] % place) - (place - 1.0) / 2.0
    raw = raw - np.linspace(0.0, 1.0, len(k))[:, None] * (raw[-1] - raw[0]) - raw[0]
    widths = np.diff(raw, axis=0)
    modes: FloatArray = raw / math.sqrt((widths**2).sum() / max(len(widths), 1) or 1.0)
    modes.flags.writeable = False
    return modes
