"""Converters of an array: codes to row voltages, attention to gate voltages, column currents to codes.

b = batch, p = reads one after another (positions), m = rows, c = converted columns, k = gate groups
"""

import math
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from crossbar.tiles.converter_circuits import CIRCUITS, clocks, error_power
from devices import checks
from devices.aliases import FloatArray
from devices.cells.interface import Cell
from devices.checks import quantity
from devices.constants import BOLTZMANN
from devices.errors import ParameterError
from devices.noise.read_noise import ReadNoise
from devices.numerics.jit import kernel
from devices.numerics.random_streams import normals, padded

MOST_CURVED_BITS = 12  # of a converter whose thresholds are kept one by one, ours
CODINGS = ("pulse-width", "bit-serial", "amplitude")
CONTINUOUS_BITS = 8  #: bits of a continuous converter where a number of bits is needed: for slots and prices, ours
POLARITIES = ("positive", "negative", "alternating")  #: sign of the row voltage; alternating: from read to read


def _bits(name: str, bits: int | None, least: int, most: int) -> None:
    if bits is not None:
        checks.whole(name, bits, minimum=least, maximum=most)


@dataclass(frozen=True)
class Dac:
    """Row drivers, which convert a code to a row voltage.

    pulse-width: v_read for `code` slots; the current is integrated over all slots and converted once.
    bit-serial: one slot of 0 V or v_read and one conversion per bit; the results are summed digitally.
    amplitude: one slot at a voltage of code / full code times v_read.
    Source: docs/equations/periphery.md, section 1.
    """

    bits: int | None = 8  #: resolution of a code; None: continuous codes without upper limit
    coding: str = "pulse-width"  #: one of CODINGS
    v_read: float = quantity(0.1, "V", above=0.0)  #: row voltage of a full code [V], default of Sandia's CrossSim
    t_slot: float = quantity(0.5e-9, "s", above=0.0)  #: length of a slot [s], ours: a clock of 2 GHz
    gain_error: float = quantity(0.0, minimum=0.0, maximum=0.3)  #: standard deviation of a driver's relative voltage
    #: sign of the row voltage, one of POLARITIES; the law of a cell is odd, so it changes what reads do to states alone
    polarity: str = "positive"

    def __post_init__(self) -> None:
        checks.check_fields(self)
        _bits("dac.bits", self.bits, 1, 16)
        if self.polarity not in POLARITIES:
            raise ParameterError(f"dac.polarity must be one of {', '.join(POLARITIES)}, got {self.polarity!r}")
        if self.coding not in CODINGS:
            raise ParameterError(f"dac.coding must be one of {', '.join(CODINGS)}, got {self.coding!r}")
        if self.coding == "bit-serial" and self.bits is None:
            raise ParameterError("dac.bits must be a number for dac.coding = 'bit-serial', got 'ideal'")

    @property
    def width(self) -> int:
        """Bits of a code in registers, buffers and on wires; a continuous code counts as CONTINUOUS_BITS."""
        return self.bits or CONTINUOUS_BITS

    @property
    def full_code(self) -> float:
        """Code of a full row voltage; 1 for a continuous driver."""
        return 1.0 if self.bits is None else float(2**self.bits - 1)

    @property
    def signs(self) -> tuple[float, ...]:
        """Signs of the row voltages, each of an equal part of the reads."""
        return {"positive": (1.0,), "negative": (-1.0,), "alternating": (1.0, -1.0)}[self.polarity]

    @property
    def conversions(self) -> int:
        """Conversions per word: one per bit when bit-serial, else one."""
        return self.bits if self.coding == "bit-serial" and self.bits is not None else 1

    @property
    def slots(self) -> int:
        """Slots of the read of one conversion; a continuous pulse has the slots of CONTINUOUS_BITS."""
        return (2**self.width - 1) if self.coding == "pulse-width" else 1

    @property
    def t_read(self) -> float:
        """Length of the read of one conversion [s]."""
        return self.slots * self.t_slot

    def codes(self, x: FloatArray) -> FloatArray:
        """Quantise x to codes 0 … full_code, clipped; a continuous driver only clips x at 0 from below."""
        given: object = x
        if not isinstance(given, np.ndarray) or given.dtype.kind != "f" or (given.size and np.isnan(given.min())):
            x = checks.array("x", given)
        if self.bits is None:
            kept: FloatArray = np.maximum(x, 0.0)
            return kept
        return np.rint(np.clip(x, 0.0, 1.0) * self.full_code)

    def split(self, codes: FloatArray) -> list[tuple[float, FloatArray, float]]:
        """Split codes into reads, each a tuple (factor of its result, drive of the rows, unit of the drive).

        drive × unit, in [0, 1], is the fraction of v_read or of the slots.  The drives have the shape and type of
        `codes`.
        """
        if self.coding != "bit-serial":
            return [(1.0, codes, 1.0 / self.full_code)]
        whole = codes.astype(np.int32)
        return [
            (2.0**bit / self.full_code, ((whole >> bit) & 1).astype(codes.dtype), 1.0)
            for bit in range(self.conversions)
        ]

    def instants(self, codes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Divide the read of codes (m,) into intervals of constant voltages: factors (u,), and v / v_read (u, m).

        The result of the read is the sum of the factors times the currents of the intervals.  This is only needed for
        nonlinear circuits: in a linear circuit the mean voltages give the same result.
        """
        if self.coding == "bit-serial":
            parts = self.split(codes)
            return np.array([value for value, _, _ in parts]), np.array([driven for _, driven, _ in parts])
        shares = codes / self.full_code
        if self.coding == "amplitude":
            return np.ones(1), shares[None]
        ends = np.unique(np.append(0.0, shares))
        return np.diff(ends), (shares >= ends[1:, None]).astype(np.float64)

    def white(self, share: FloatArray, noise: ReadNoise, temperature: float) -> FloatArray:
        """Variance per siemens [A²/S] of thermal and shot noise in one read of cells whose drive is `share` of full.

        A pulse of share x is on for the fraction x of the read.  For the rest of the read only the thermal noise 4kT
        of a cell at 0 V remains.
        Source: docs/equations/periphery.md, section 3.
        """
        if self.coding == "amplitude":
            return noise.white_per_siemens(share * self.v_read, self.t_read, temperature)
        rest, driven = _white(noise, self.v_read, self.t_read, temperature)
        return rest + share * (driven - rest)


@lru_cache
def _white(noise: ReadNoise, v_read: float, t_read: float, temperature: float) -> tuple[float, float]:
    """Variances per siemens [A²/S] at 0 V and at v_read."""
    rest, driven = (float(noise.white_per_siemens(v, t_read, temperature)) for v in (0.0, v_read))
    return rest, driven


@dataclass(frozen=True)
class Adc:
    """Converters of column currents: signed, saturating, with a range that calibration fixes once.

    Source: docs/equations/periphery.md, sections 4 and 8.
    """

    bits: int | None = 8  #: resolution including the sign; None: continuous, without saturation
    columns: int = 8  #: number of converted columns that share one converter, as in NeuroSim
    sample_rate: float = quantity(100e6, "1/s", above=0.0)  #: conversions per second of one "generic" converter, ours
    margin: float = quantity(1.1, minimum=1.0)  #: range over the largest current found in calibration, ours
    offset: float = quantity(0.25, minimum=0.0)  #: standard deviation of the offset of each column's input [LSB], ours
    circuit: str = "generic"  #: one of CIRCUITS: pattern of the errors, time, energy and area
    clock: float = quantity(1e9, "Hz", above=0.0)  #: clock of the circuits that are not "generic", ours
    gain_error: float = quantity(0.0, minimum=0.0, maximum=0.3)  #: standard deviation of each converter's relative gain
    inl: float = quantity(0.0, minimum=0.0)  #: root mean square of each converter's smooth nonlinearity [LSB]
    dnl: float = quantity(0.0, minimum=0.0)  #: root mean square of the errors of its code widths [LSB]
    v_swing: float = quantity(0.8, "V", above=0.0)  #: of the whole range at the comparator [V], twice sense.v_swing
    c_sample: float = quantity(0.0, "F", minimum=0.0)  #: capacitor that samples, for its kT/C noise [F]; 0: no noise
    comparator_noise: float = quantity(0.0, "V", minimum=0.0)  #: of a conversion, at the comparator, rms [V]
    calibration: int = 0  #: conversions of 0 A for the offset of each column, once; 0: offsets are not subtracted

    def __post_init__(self) -> None:
        checks.check_fields(self)
        _bits("adc.bits", self.bits, 2, 16)
        checks.whole("adc.columns", self.columns, minimum=1)
        checks.whole("adc.calibration", self.calibration, minimum=0, maximum=2**16)
        if self.circuit not in CIRCUITS:
            raise ParameterError(f"adc.circuit must be one of {', '.join(CIRCUITS)}, got {self.circuit!r}")
        if self.curved and (self.bits is None or self.bits > MOST_CURVED_BITS):
            got = "'ideal'" if self.bits is None else self.bits
            raise ParameterError(
                f"adc.bits must be from 2 to {MOST_CURVED_BITS} for converters with adc.inl or adc.dnl, got {got}"
            )

    def lsb(self, full_scale: float) -> float:
        """Current of one code [A] for a range up to full_scale [A]; 0 for a continuous converter."""
        full_scale = checks.number("full_scale", full_scale, unit="A", minimum=0.0)
        return 0.0 if self.bits is None else full_scale / self.largest

    @property
    def width(self) -> int:
        """Bits of a result; a continuous one counts as CONTINUOUS_BITS."""
        return self.bits or CONTINUOUS_BITS

    @property
    def largest(self) -> float:
        """Largest code."""
        return math.inf if self.bits is None else float(2 ** (self.bits - 1) - 1)

    @property
    def smallest(self) -> float:
        """Smallest code."""
        return -self.largest

    @property
    def thresholds(self) -> int:
        """Number of thresholds between codes; 0 for a continuous converter."""
        return 0 if self.bits is None else int(self.largest - self.smallest)

    def idealised(self) -> "Adc":
        """Return continuous converters without errors and noise."""
        return replace(
            self, bits=None, offset=0.0, gain_error=0.0, inl=0.0, dnl=0.0, c_sample=0.0, comparator_noise=0.0,
            calibration=0,
        )  # fmt: skip

    @property
    def curved(self) -> bool:
        """Whether the code thresholds differ from the nominal ones."""
        return self.inl > 0.0 or self.dnl > 0.0

    def noise_volts(self, temperature: float = 300.0) -> float:
        """Noise of one conversion at the comparator, rms [V]: kT/C noise of the sample, and the comparator's own.

        Source: docs/equations/periphery.md eq. 11a.
        """
        thermal = BOLTZMANN * temperature / self.c_sample if self.c_sample > 0.0 else 0.0
        return math.sqrt(thermal + self.comparator_noise**2)

    def noise(self, temperature: float = 300.0) -> float:
        """The same noise in LSB; relative to half the range for a continuous converter."""
        return self.noise_volts(temperature) * (self.thresholds or 2.0) / self.v_swing

    def effective_bits(self, temperature: float = 300.0) -> float:
        """Effective number of bits (ENOB) with noise and nonlinearity; 8 for a continuous converter without noise.

        Source: docs/equations/periphery.md eq. 15; IEEE Std 1241.
        """
        if self.bits is None:
            return 8.0
        power = self.noise(temperature) ** 2 + self.inl**2
        if self.dnl > 0.0:
            power += self.dnl**2 * error_power(self.circuit, self.bits)
        return self.bits - 0.5 * math.log2(1.0 + 12.0 * power)

    def t_conversions(self, count: int) -> float:
        """Time of so many conversions in turn on one converter [s].

        Source: docs/equations/periphery.md eq. 14.
        """
        if self.circuit == "generic":
            return count / self.sample_rate
        return clocks(self.circuit, self.width, count) / self.clock

    @property
    def rate(self) -> float:
        """Conversions per second of one converter in continuous operation."""
        if self.circuit == "generic":
            return self.sample_rate
        return 1.0 / (self.t_conversions(2) - self.t_conversions(1))


@dataclass(frozen=True)
class UnsignedAdc(Adc):
    """Converters of currents of one sign: their codes begin at 0."""

    @classmethod
    def of(cls, adc: Adc) -> "UnsignedAdc":
        """Return unsigned converters with the same properties."""
        return cls(**{each.name: getattr(adc, each.name) for each in fields(adc)})

    @property
    def largest(self) -> float:
        """Largest code."""
        return math.inf if self.bits is None else float(2**self.bits - 1)

    @property
    def smallest(self) -> float:
        """Smallest code."""
        return -math.inf if self.bits is None else 0.0


@dataclass(frozen=True)
class GateDac:
    """Gate drivers: they convert an attention in [0, 1] to a gate voltage by the inverse gate law, then quantise it."""

    bits: int | None = 8  #: resolution over the gate window; None: continuous
    t_settle: float = quantity(10e-9, "s", minimum=0.0)  #: time until the gate lines have settled [s], ours
    #: resistance of gate lines and their drivers over that of row wires and row drivers, ours: the same metal
    r_relative: float = quantity(1.0, minimum=0.0)

    def __post_init__(self) -> None:
        checks.check_fields(self)
        _bits("gate_dac.bits", self.bits, 1, 16)

    @property
    def width(self) -> int:
        """Bits of a gate voltage's code; a continuous one counts as CONTINUOUS_BITS."""
        return self.bits or CONTINUOUS_BITS

    @checks.typed
    @checks.typed
    def gains(self, attention: FloatArray, cell: Cell) -> FloatArray:
        """Return the nominal read gains (…) for attentions (…) in [0, 1], after quantisation of the gate voltages.

        Attention 0 gives the gain at the low end of the gate window, 1 that at its high end.
        Source: docs/equations/periphery.md.
        """
        attention = checks.array("attention", attention)
        gain = cell.gain_low + np.clip(attention, 0.0, 1.0) * (cell.gain_high - cell.gain_low)
        if self.bits is None:
            return gain
        span = cell.v_gate_max - cell.v_gate_min
        step = span / (2**self.bits - 1)
        v_gate = cell.v_gate_min + np.rint((cell.gate_voltage(gain) - cell.v_gate_min) / step) * step
        settled: FloatArray = np.clip(cell.gate_gain(v_gate), cell.gain_low, cell.gain_high)
        return settled

    @checks.typed
    def voltages(self, gains: FloatArray, cell: Cell) -> FloatArray:
        """Return the gate voltages [V] of gains returned by `gains`."""
        return np.clip(cell.gate_voltage(gains), cell.v_gate_min, cell.v_gate_max)


TOGETHER = 8  # neighbouring reads that share a noise variance, ours: as many as fit a vector register
BINS = 32  # steps of the pulse lengths in `overlaps`, ours: the error of its result is about 1 / BINS²


@kernel
def overlaps(ends: npt.NDArray[np.uint8], worth: FloatArray) -> FloatArray:
    """Return the mean over time and reads of (the sum of `worth` over the rows whose pulse is on)²: (b,).

    The pulses of a read begin together and end at `ends` (b, m, p), in BINS-ths of a common length, over which the mean
    is taken.  worth: (b or 1, m).  One histogram of pulse ends per read covers all pairs of rows, in O(m) operations.
    """
    b, m, p = ends.shape
    ending, on, squares, out = np.empty((BINS + 1, p)), np.empty(p), np.empty(p), np.zeros(b)
    for entry in range(b if p else 0):
        ending[:] = 0.0
        for row in range(m):
            each = worth[entry % len(worth), row]
            for i in range(p):
                ending[ends[entry, row, i], i] += each
        on[:], squares[:] = 0.0, 0.0
        for end in range(BINS, 0, -1):
            for i in range(p):
                on[i] += ending[end, i]
                squares[i] += on[i] * on[i]
        out[entry] = squares.sum() / (BINS * p)
    return out


@kernel
def convert(
    currents: FloatArray, variance: FloatArray, group: int, kinds: FloatArray, profile: FloatArray,
    keys: npt.NDArray[np.uint64], offsets: FloatArray, top: float, worth: FloatArray, first: int, out: FloatArray,
) -> None:  # fmt: skip
    """Add noise to currents (b, c, p) [LSB], convert them, and add worth × code to out[:, first : first + c].

    variance: (b, c, s) [LSB²], mean variances of `group` neighbouring reads; an array of size 0 means no noise.  Inside
    a group, the variances of single reads are proportional to the sum of kinds (b or 1, 2) times profile (2, b, p).
    keys: (b,) one noise stream per input.  offsets: (c,) [codes].  top: largest code, inf for continuous converters,
    which do not round.  worth: (c,) value of one code.  All floats have one type.
    Source: docs/equations/periphery.md eq. 4a and 5.
    """
    b, c, p = currents.shape
    noisy = variance.size > 0
    zero, one = currents.dtype.type(0), currents.dtype.type(1)
    noise = np.zeros(padded(c * p) if noisy else p, dtype=np.float32)
    deviation, share = np.zeros(p, dtype=currents.dtype), np.zeros(p, dtype=currents.dtype)
    roots, full = np.zeros(variance.shape[2], dtype=currents.dtype), p // TOGETHER if group == TOGETHER else 0
    for entry in range(b):
        if noisy:
            normals(keys[entry], noise)
            white, proportional = kinds[entry % len(kinds), 0], kinds[entry % len(kinds), 1]
            for i in range(p):
                share[i] = white * profile[0, entry, i] + proportional * profile[1, entry, i]
            for s in range(variance.shape[2]):
                begin, end = s * group, min((s + 1) * group, p)
                mean = share[begin:end].sum() / (end - begin)
                for i in range(begin, end):
                    share[i] = np.sqrt(share[i] / mean) if mean > zero else one
        for j in range(c):
            line, target = currents[entry, j], out[entry, first + j]
            drawn = noise[j * p : (j + 1) * p] if noisy else noise[:p]
            shift, factor = offsets[j], worth[j]
            if noisy:
                for s in range(len(roots)):
                    roots[s] = np.sqrt(max(variance[entry, j, s], zero))
                for s in range(full):
                    for i in range(s * TOGETHER, (s + 1) * TOGETHER):
                        deviation[i] = roots[s] * share[i]
                for s in range(full, len(roots)):
                    for i in range(s * group, min((s + 1) * group, p)):
                        deviation[i] = roots[s] * share[i]
            if top < np.inf:
                for i in range(p):
                    code = np.rint(line[i] + deviation[i] * drawn[i] + shift)
                    target[i] += factor * min(max(code, -top), top)
            else:
                for i in range(p):
                    target[i] += factor * (line[i] + deviation[i] * drawn[i])
