"""The normal numbers of devices/numerics/random_streams.py in torch, on any device: the same streams, to rounding."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from devices.numerics import random_streams
from devices.numerics.random_streams import BLOCK, ROUNDS

MASK = 0xFFFFFFFF
PHILOX = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
Tensor = Any  # torch's own classes have no types here


def drawn(keys: npt.NDArray[np.uint64], count: int, device: Any) -> Tensor:  # noqa: ANN401 - torch's
    """Return the first `count` standard normal numbers of streams: (b, count) float32 on a device, from keys (b,).

    A processor draws them with the kernel that `run` uses, which is faster than torch's whole numbers.
    """
    if torch.device(device).type != "cpu":
        return normals(torch.as_tensor(keys.view(np.int64), device=device), count)
    room = np.empty((len(keys), random_streams.padded(count)), dtype=np.float32)
    for key, out in zip(keys, room, strict=True):
        random_streams.normals(key, out)
    return torch.from_numpy(room)[:, :count]


def normals(keys: Tensor, count: int) -> Tensor:
    """Return the first `count` standard normal numbers of streams: (b, count) float32, from keys (b,) as int64.

    Words of 32 bits are held in int64, whose products wrap as those of the processor's kernel do.
    Source: Philox 4×32, Salmon et al., SC'11, doi 10.1145/2063384.2063405; Box and Muller, 1958.
    """
    whole = -(-count // 4) * 4
    full, rest = divmod(whole, BLOCK)
    parts = []
    if full:
        parts.append(_blocks(keys, 0, full, BLOCK // 4))
    if rest:
        parts.append(_blocks(keys, full, 1, rest // 4))
    return torch.cat(parts, dim=1)[:, :count]


def _blocks(keys: Tensor, first: int, blocks: int, n: int) -> Tensor:
    """Numbers (b, 4 n blocks) of blocks from number `first` on, each of 4 n."""
    device = keys.device
    shape = (len(keys), blocks, n)
    a = torch.arange(n, device=device).expand(shape)
    b = torch.arange(first, first + blocks, device=device)[None, :, None].expand(shape)
    c = d = torch.zeros((), dtype=torch.int64, device=device).expand(shape)
    k, m = (keys & MASK)[:, None, None], ((keys >> 32) & MASK)[:, None, None]
    for _ in range(ROUNDS):
        p, q = PHILOX[0] * a, PHILOX[1] * c
        a, b, c, d = ((q >> 32) & MASK) ^ b ^ k, q & MASK, ((p >> 32) & MASK) ^ d ^ m, p & MASK
        k, m = (k + WEYL[0]) & MASK, (m + WEYL[1]) & MASK
    return torch.stack([*_pair(a, b), *_pair(c, d)], dim=2).reshape(len(keys), -1)


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two normal numbers from two words: the radius from the first, the angle from the second."""
    radius = torch.sqrt(-2.0 * torch.log((a >> 1).to(torch.float32) * 2.0**-31 + 2.0**-32))
    turns = torch.where(b >= 2**31, b - 2**32, b)
    quarter = (turns + 2**29) >> 30
    t = (turns - (quarter << 30)).to(torch.float32) * torch.tensor(math.pi / 2**31, dtype=torch.float32)
    sine, cosine = torch.sin(t), torch.cos(t)
    odd = (quarter & 1) != 0
    one, two = torch.where(odd, sine, cosine), torch.where(odd, cosine, sine)
    one = torch.where(((quarter + 1) & 2) != 0, -one, one)
    two = torch.where((quarter & 2) != 0, -two, two)
    return radius * one, radius * two
