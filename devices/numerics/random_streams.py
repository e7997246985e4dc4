"""Counter-based random numbers: each depends on (key, index) only, not on batch size, order or number of threads.

Keys are mixed with the finaliser of SplitMix64: Steele, Lea and Flood, OOPSLA 2014, doi 10.1145/2660193.2660195.
Normal numbers are float32 and come from straight-line arithmetic, which compilers vectorise.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from devices.errors import ParameterError
from devices.numerics.jit import kernel

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)

ROUNDS = 7  # rounds of Philox: the fewest that pass all BigCrush tests, Salmon et al.
BLOCK = 1024  # numbers for each value of the counter's second word, ours: they stay in the cache
_PHILOX_1, _PHILOX_2 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_1, _WEYL_2 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_U1, _I0, _I1, _I2, _I23, _I30 = np.uint32(1), np.int32(0), np.int32(1), np.int32(2), np.int32(23), np.int32(30)
_TO_UNIT, _LEAST = np.float32(2.0**-31), np.float32(2.0**-32)  # 31 bits to (0, 1]
_EIGHTH, _TO_ANGLE = np.int32(2**29), np.float32(np.pi / 2**31)
_ROOT_HALF = np.int32(0x3F3504F3)  # bits of √½
_MINUS_TWO, _ONE_32, _HALF, _LOG_2 = np.float32(-2.0), np.float32(1.0), np.float32(0.5), np.float32(np.log(2.0))
_SINE = (np.float32(-1.6666654611e-1), np.float32(8.3321608736e-3), np.float32(-1.9515295891e-4))
_COSINE = (np.float32(4.166664568298827e-2), np.float32(-1.388731625493765e-3), np.float32(2.443315711809948e-5))
_LOG = tuple(np.float32(c) for c in (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
))  # fmt: skip


@kernel
def scramble(z: np.uint64) -> np.uint64:
    """Mix 64 bits, so that neighbouring counters give independent words."""
    z = np.uint64(z) + _GOLDEN
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@kernel
def padded(n: int) -> int:
    """Return the array length that `normals` needs for n numbers: the next multiple of four."""
    return (n + 3) // 4 * 4


@kernel
def normals(key: np.uint64, out: npt.NDArray[np.float32]) -> None:
    """Fill `out`, whose length is a multiple of four, with the standard normal numbers of stream `key`.

    A number depends on its position and on the length of its block (BLOCK, except for the last block).  No number
    exceeds 6.6 standard deviations.
    Source: Philox 4×32 of ROUNDS rounds, Salmon, Moraes, Dror and Shaw, SC'11, doi 10.1145/2063384.2063405; pairs by
    Box and Muller, Ann. Math. Stat. 29 (1958) 610.
    """
    low, high = np.uint32(key), np.uint32(np.uint64(key) >> _S32)
    for block in range((len(out) + BLOCK - 1) // BLOCK):
        part = out[block * BLOCK : (block + 1) * BLOCK]
        n = len(part) // 4
        one, two, three, four = part[:n], part[n : 2 * n], part[2 * n : 3 * n], part[3 * n :]
        for i in range(n):  # no branches, so that eight counters are computed in one register
            a, b, c, d = np.uint32(i), np.uint32(block), np.uint32(0), np.uint32(0)
            k, m = low, high
            for _ in range(ROUNDS):
                p, q = _PHILOX_1 * np.uint64(a), _PHILOX_2 * np.uint64(c)
                a, b, c, d = (
                    np.uint32(np.uint32(q >> _S32) ^ b ^ k), np.uint32(q),
                    np.uint32(np.uint32(p >> _S32) ^ d ^ m), np.uint32(p),
                )  # fmt: skip
                k, m = np.uint32(k + _WEYL_1), np.uint32(m + _WEYL_2)
            one[i], two[i] = _pair(a, b)
            three[i], four[i] = _pair(c, d)


@kernel(inline=True)
def _pair(a: np.uint32, b: np.uint32) -> tuple[np.float32, np.float32]:
    """Two normal numbers from two random words."""
    radius = np.sqrt(_MINUS_TWO * logarithm(np.float32(np.int32(a >> _U1)) * _TO_UNIT + _LEAST))
    turns = np.int32(b)  # 2³² are a full turn
    quarter = np.int32(np.int32(turns + _EIGHTH) >> _I30)
    t = np.float32(np.int32(turns - np.int32(quarter << _I30))) * _TO_ANGLE  # in ± π/4
    x = t * t
    sine = t + t * x * (_SINE[0] + x * (_SINE[1] + x * _SINE[2]))
    cosine = _ONE_32 - _HALF * x + x * x * (_COSINE[0] + x * (_COSINE[1] + x * _COSINE[2]))
    odd = (quarter & _I1) != _I0
    first, second = (sine, cosine) if odd else (cosine, sine)
    first = -first if (np.int32(quarter + _I1) & _I2) != _I0 else first
    second = -second if (quarter & _I2) != _I0 else second
    return radius * first, radius * second


@kernel(inline=True)
def logarithm(u: np.float32) -> np.float32:
    """Natural logarithm of a positive normal number, with an error of 2⁻²³ times max(|result|, 1).

    Source: degree and coefficients of logf, S. Moshier, Methods and Programs for Mathematical Functions, 1989.
    """
    bits = np.float32(u).view(np.int32)
    power = np.int32(np.int32(bits - _ROOT_HALF) >> _I23)
    x = np.int32(bits - np.int32(power << _I23)).view(np.float32) - _ONE_32
    y = _LOG[0]
    for n in range(1, 9):
        y = y * x + _LOG[n]
    return np.float32(power) * _LOG_2 + (x - _HALF * x * x + y * x * x * x)


def generator(*seed: int) -> np.random.Generator:
    """Return numpy's generator of these whole numbers."""
    return np.random.default_rng(list(seed))


def stream_keys(seed: int, labels: tuple[str, ...], indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return one 64-bit key per index for the stream named by `labels` under `seed`.

    Raises ParameterError without a label: seed and index would then be mixed in the same way, and streams of different
    seeds could coincide.
    """
    if not any(labels):
        raise ParameterError(f"labels must name the stream with at least one letter, got {labels!r}")
    return _fan(_stream(seed, labels), np.ascontiguousarray(indices, dtype=np.int64))


@lru_cache(maxsize=4096)  # the tiles of a large network, batch after batch
def _stream(seed: int, labels: tuple[str, ...]) -> np.uint64:
    words = np.frombuffer("\0".join(labels).encode(), dtype=np.uint8)
    return np.uint64(_fold(np.uint64(seed & 0xFFFFFFFFFFFFFFFF), words))


@kernel
def _fold(key: np.uint64, words: npt.NDArray[np.uint8]) -> np.uint64:
    key = scramble(key)
    for word in words:
        key = scramble(key ^ np.uint64(word))
    return key


@kernel
def _fan(key: np.uint64, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    keys = np.empty(len(indices), dtype=np.uint64)
    for k in range(len(indices)):
        keys[k] = scramble(key ^ scramble(np.uint64(indices[k])))
    return keys
