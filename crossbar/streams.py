"""Random numbers by counter: the value depends on (key, index) alone, whatever the batch, the order or the threads.

The mixing function is SplitMix64's finaliser: Steele, Lea and Flood, OOPSLA 2014, doi 10.1145/2660193.2660195;
normal pairs by Box and Muller, Ann. Math. Stat. 29 (1958) 610.
"""

import numpy as np
import numpy.typing as npt

from devices.errors import ParameterError
from devices.jit import kernel

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_ONE = np.uint64(1)
_TWO = np.uint64(2)
_UNIT = 1.0 / 9007199254740992.0  # 2⁻⁵³


@kernel
def scramble(z: np.uint64) -> np.uint64:
    """Mix 64 bits so that neighbouring counters give independent words."""
    z = np.uint64(z) + _GOLDEN
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@kernel
def normal_pair(key: np.uint64, index: int) -> tuple[float, float]:
    """Two independent standard normal numbers for pair `index` of stream `key`."""
    at = np.uint64(key) + np.uint64(index) * _TWO * _GOLDEN
    u = (np.float64(scramble(at) >> _S11) + 1.0) * _UNIT  # in (0, 1]
    w = np.float64(scramble(at + _GOLDEN) >> _S11) * _UNIT
    radius = np.sqrt(-2.0 * np.log(u))
    return radius * np.cos(2.0 * np.pi * w), radius * np.sin(2.0 * np.pi * w)


def stream_keys(seed: int, labels: tuple[str, ...], indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return one 64-bit key per index for the stream named by `labels` under `seed`.

    Raises ParameterError without a label: seed and index would mix alike, and streams of two seeds could meet.
    """
    if not any(labels):
        raise ParameterError(f"labels must name the stream with at least one letter, got {labels!r}")
    words = np.frombuffer("\0".join(labels).encode(), dtype=np.uint8)
    key = np.uint64(_fold(np.uint64(seed & 0xFFFFFFFFFFFFFFFF), words))
    return _fan(key, np.ascontiguousarray(indices, dtype=np.int64))


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
