"""Converters that err: the draw of their gains and thresholds, their calibration, and their conversion.

b = batch, p = reads one after another, c = converted columns, a = converters, n = thresholds between codes
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossbar.tiles.converter_circuits import threshold_errors
from crossbar.tiles.converters import Adc
from devices.aliases import FloatArray, IntArray
from devices.numerics.jit import kernel
from devices.numerics.random_streams import normals, padded


@dataclass(frozen=True, eq=False)
class ConverterErrors:
    """The errors of the converters of a tile, drawn once; columns of one converter have equal gain and thresholds."""

    gains: FloatArray  #: (c,) relative to the nominal gain
    thresholds: FloatArray  #: (a, n) [LSB] where each code begins, rising; n = 0: at the nominal ones
    converter: IntArray  #: (c,) number of each column's converter
    correction: FloatArray  #: (c,) offsets that calibration found and the digital part subtracts [LSB]

    @classmethod
    def none(cls, columns: int) -> "ConverterErrors":
        """Return converters without errors."""
        return cls(np.ones(columns), np.empty((1, 0)), np.zeros(columns, dtype=np.int64), np.zeros(columns))


def draw_errors(
    adc: Adc, offsets: FloatArray, rng: np.random.Generator, temperature: float
) -> ConverterErrors | None:  # fmt: skip
    """Draw the errors of the converters of columns with given offsets (c,) [LSB]; None if there are none to draw.

    Neighbouring `adc.columns` columns share a converter.  Calibration converts a current of 0 A `adc.calibration`
    times with each column, with the converter's noise, and keeps the mean code.
    Source: docs/equations/periphery.md eq. 11-13.
    """
    if not (adc.gain_error or adc.curved or (adc.calibration and adc.bits is not None)):
        return None
    c = len(offsets)
    converter = np.arange(c) // adc.columns
    count = int(converter[-1]) + 1 if c else 0
    gains = 1.0 + adc.gain_error * rng.standard_normal(count)
    thresholds = np.empty((max(count, 1), 0))
    if adc.curved and adc.bits is not None:
        error = threshold_errors(adc.circuit, adc.bits, adc.inl, adc.dnl, count, rng, adc.thresholds)
        thresholds = np.sort(adc.smallest + np.arange(adc.thresholds) + 0.5 + error, axis=1)
    found = ConverterErrors(gains[converter], thresholds, converter, np.zeros(c))
    if not adc.calibration or adc.bits is None:
        return found
    seen = offsets + adc.noise(temperature) * rng.standard_normal((adc.calibration, c))
    return ConverterErrors(found.gains, thresholds, converter, codes_of(seen, found, adc).mean(0))


def codes_of(levels: FloatArray, errors: ConverterErrors, adc: Adc) -> FloatArray:
    """Return the codes of levels (…, c) [LSB] at the comparators, after gain, noise and offset."""
    if not errors.thresholds.shape[1]:
        return np.clip(np.rint(levels), adc.smallest, adc.largest)
    codes = np.empty(levels.shape)
    for j, a in enumerate(errors.converter):
        codes[..., j] = np.searchsorted(errors.thresholds[a], levels[..., j], side="right") + adc.smallest
    return codes


@kernel
def convert_erring(
    currents: FloatArray, variance: FloatArray, group: int, kinds: FloatArray, profile: FloatArray,
    keys: npt.NDArray[np.uint64], offsets: FloatArray, bottom: float, top: float, worth: FloatArray, first: int,
    out: FloatArray, sigma: float, gains: FloatArray, thresholds: FloatArray, converter: IntArray,
    correction: FloatArray,
) -> None:  # fmt: skip
    """Do what `convert` does with converters that err: gains (c,), thresholds (a, n) and noise of their own.

    bottom: smallest code.  sigma: standard deviation of the converters' noise, in the unit of `currents`, in one draw
    with the noise of the cells.  converter: (c,) row of `thresholds` of each column; n = 0: codes are rounded.
    correction: (c,) codes that are subtracted digitally.  The other arguments are those of `convert`.
    Source: docs/equations/periphery.md eq. 11-13.
    """
    b, c, p = currents.shape
    of_cells = variance.size > 0
    noisy = of_cells or sigma > 0.0
    zero, one, own = currents.dtype.type(0), currents.dtype.type(1), currents.dtype.type(sigma * sigma)
    noise = np.zeros(padded(c * p) if noisy else p, dtype=np.float32)
    deviation, share = np.zeros(p, dtype=currents.dtype), np.ones(p, dtype=currents.dtype)
    if sigma > 0.0:
        deviation[:] = np.sqrt(own)
    steps = thresholds.shape[1]
    for entry in range(b):
        if noisy:
            normals(keys[entry], noise)
        if of_cells:
            white, proportional = kinds[entry % len(kinds), 0], kinds[entry % len(kinds), 1]
            for i in range(p):
                share[i] = white * profile[0, entry, i] + proportional * profile[1, entry, i]
            for s in range(variance.shape[2]):
                begin, end = s * group, min((s + 1) * group, p)
                mean = share[begin:end].sum() / (end - begin)
                for i in range(begin, end):
                    share[i] = share[i] / mean if mean > zero else one
        for j in range(c):
            line, target = currents[entry, j], out[entry, first + j]
            drawn = noise[j * p : (j + 1) * p] if noisy else noise[:p]
            shift, factor, gain, wrong = offsets[j], worth[j], gains[j], correction[j]
            if of_cells:
                for s in range(variance.shape[2]):
                    mean = max(variance[entry, j, s], zero)
                    for i in range(s * group, min((s + 1) * group, p)):
                        deviation[i] = np.sqrt(mean * share[i] + own)
            if top == np.inf:
                for i in range(p):
                    target[i] += factor * (gain * (line[i] + deviation[i] * drawn[i]))
            elif steps == 0:
                for i in range(p):
                    code = np.rint(gain * (line[i] + deviation[i] * drawn[i]) + shift)
                    target[i] += factor * (min(max(code, bottom), top) - wrong)
            else:
                table = thresholds[converter[j]]
                for i in range(p):
                    level = gain * (line[i] + deviation[i] * drawn[i]) + shift
                    at = int(min(max(np.rint(level), bottom), top) - bottom)
                    while at < steps and level >= table[at]:
                        at += 1
                    while at > 0 and level < table[at - 1]:
                        at -= 1
                    target[i] += factor * (bottom + at - wrong)


def residual_offset(adc: Adc, temperature: float) -> float:
    """Return the standard deviation of an offset after calibration [LSB], for small offsets and noise above half a LSB.

    Source: docs/equations/periphery.md eq. 13.
    """
    return math.sqrt((adc.noise(temperature) ** 2 + 1.0 / 12.0) / adc.calibration)
