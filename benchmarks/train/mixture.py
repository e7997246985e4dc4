"""3x3 convolution with unit padding whose k kernels are mixed for each image, in bfloat16.

A convolution with all k kernels followed by a weighted sum of its outputs needs k times the multiplications of a static
convolution.  Here the kernels are first mixed for a group of images that fits the cache; then each image needs one
matrix product with its own kernel.  All other steps (windows of the map, mixing, and their transposes) pass through the
cache once, with float32 arithmetic.
"""

# b = images, p = positions, i, o = input, output channels, k = kernels, n = weights of a kernel, in order (o, 3, 3, i)

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

MIXED = 1 << 23  # bfloat16 numbers of the mixed kernels of a group of images: half of a 32 MiB L3 cache, ours
FEW = 16  # positions up to which k products with all images cost less than one with each image's own kernel
BLOCK = 1024  # weights of each kernel that stay in the L1 cache, ours


@njit(cache=True, inline="always")
def _wide(half):  # type: ignore[no-untyped-def]
    return np.uint32(np.uint32(half) << np.uint32(16)).view(np.float32)


@njit(cache=True, inline="always")
def _half(value):  # type: ignore[no-untyped-def]
    """Round to the nearest bfloat16, ties to even."""
    bits = np.float32(value).view(np.uint32)
    odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    return np.uint16(np.uint32(bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))


@njit(cache=True, parallel=True)
def windows(x, out):  # type: ignore[no-untyped-def]
    """Write the 3x3 windows (b, p, 9, i) of maps (b, h, w, i)."""
    b, h, w, _ = x.shape
    for line in prange(b * h):
        image, y = line // h, line % h
        for z in range(w):
            at = out[image, y * w + z]
            for tap in range(9):
                from_y, from_z = y + tap // 3 - 1, z + tap % 3 - 1
                if 0 <= from_y < h and 0 <= from_z < w:
                    at[tap] = x[image, from_y, from_z]
                else:
                    at[tap] = 0


@njit(cache=True, parallel=True)
def windows_back(slope, x_slope):  # type: ignore[no-untyped-def]
    """Transpose of `windows`: set (b, h, w, i) to the sum of its windows."""
    b, h, w, channels = x_slope.shape
    for line in prange(b * h):
        image, y = line // h, line % h
        total = np.empty(channels, dtype=np.float32)
        for z in range(w):
            total[:] = 0
            for tap in range(9):
                to_y, to_z = y + 1 - tap // 3, z + 1 - tap % 3
                if 0 <= to_y < h and 0 <= to_z < w:
                    held = slope[image, to_y * w + to_z, tap]
                    for c in range(channels):
                        total[c] += _wide(held[c])
            for c in range(channels):
                x_slope[image, y, z, c] = _half(total[c])


@njit(cache=True, parallel=True, fastmath=True)
def mix(bank, shares, out):  # type: ignore[no-untyped-def]
    """Mix kernels (k, n) by attention weights (b, k), to (b, n); k is a multiple of four."""
    k, n = bank.shape
    for block in prange(-(-n // BLOCK)):
        first, last = block * BLOCK, min(n, block * BLOCK + BLOCK)
        total = np.empty(last - first, dtype=np.float32)
        for image in range(len(out)):
            to = out[image, first:last]
            total[:] = 0
            for at in range(0, k, 4):
                s0, s1, s2, s3 = shares[image, at], shares[image, at + 1], shares[image, at + 2], shares[image, at + 3]
                w0, w1 = bank[at, first:last], bank[at + 1, first:last]
                w2, w3 = bank[at + 2, first:last], bank[at + 3, first:last]
                for c in range(last - first):
                    total[c] += s0 * w0[c] + s1 * w1[c] + s2 * w2[c] + s3 * w3[c]
            for c in range(last - first):
                to[c] = _half(total[c])


@njit(cache=True, parallel=True, fastmath=True)
def unmix(slope, bank, shares, bank_slope, shares_slope):  # type: ignore[no-untyped-def]
    """Transpose of `mix`: from (b, n) add to bank_slope (k, n), and set shares_slope (blocks, b, k) to each block's."""
    k, n = bank.shape
    for block in prange(len(shares_slope)):
        first, last = block * BLOCK, min(n, block * BLOCK + BLOCK)
        wide = np.empty(last - first, dtype=np.float32)
        for image in range(len(slope)):
            held = slope[image, first:last]
            for c in range(last - first):
                wide[c] = _wide(held[c])
            for at in range(0, k, 4):
                w0, w1 = bank[at, first:last], bank[at + 1, first:last]
                w2, w3 = bank[at + 2, first:last], bank[at + 3, first:last]
                f0, f1, f2, f3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                for c in range(last - first):
                    d = wide[c]
                    f0 += w0[c] * d
                    f1 += w1[c] * d
                    f2 += w2[c] * d
                    f3 += w3[c] * d
                found = shares_slope[block, image]
                found[at], found[at + 1], found[at + 2], found[at + 3] = f0, f1, f2, f3
            for kernel in range(k):
                share, total = shares[image, kernel], bank_slope[kernel, first:last]
                for c in range(last - first):
                    total[c] += share * wide[c]


def _bits(x: Tensor) -> np.ndarray:
    """View bfloat16 as a type that NumPy knows."""
    return x.view(torch.uint16).numpy()


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bank: Tensor, shares: Tensor) -> Tensor:
        """x (b, h, w, i) in bfloat16, bank (k, o, 9, i) and shares (b, k) in float32."""
        ctx.save_for_backward(x, bank, shares)
        b, h, w, _ = x.shape
        o = bank.shape[1]
        out = torch.empty(b, h * w, o, dtype=torch.bfloat16)
        for part, cols, kernels in _groups(x, bank, shares):
            torch.bmm(cols, kernels.mT, out=out[part])
        return out.view(b, h, w, o)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, bank, shares = ctx.saved_tensors
        b, h, w, i = x.shape
        k, o = bank.shape[:2]
        slope = slopes[0].contiguous().view(b, h * w, o)
        deep = ctx.needs_input_grad[0]
        x_slope = torch.empty_like(x) if deep else x[:0]
        bank_slope, shares_slope = torch.zeros(k, bank[0].numel()), torch.empty_like(shares)
        flat = bank.view(k, -1).numpy()
        for part, cols, kernels in _groups(x, bank, shares):
            mine = slope[part]
            kernels_slope = torch.bmm(mine.mT, cols)
            found = np.empty((-(-flat.shape[1] // BLOCK), len(mine), k), dtype=np.float32)
            unmix(_bits(kernels_slope).reshape(len(mine), -1), flat, shares[part].numpy(), bank_slope.numpy(), found)
            shares_slope[part] = torch.from_numpy(found.sum(axis=0))
            if deep:
                torch.bmm(mine, kernels, out=cols)
                windows_back(_bits(cols).reshape(len(mine), h * w, 9, i), _bits(x_slope[part]))
        return x_slope, bank_slope.view_as(bank), shares_slope


def _groups(x: Tensor, bank: Tensor, shares: Tensor) -> Any:
    """Yield groups of images as slices, with their windows (b, p, 9 i) and their own kernels (b, o, 9 i)."""
    b, h, w, i = x.shape
    k, o = bank.shape[:2]
    size = min(b, max(1, MIXED // (9 * i * max(o, h * w))))
    every_cols = torch.empty(size, h * w, 9 * i, dtype=torch.bfloat16)
    every_kernels = torch.empty(size, o, 9 * i, dtype=torch.bfloat16)
    flat = bank.view(k, -1).numpy()
    for first in range(0, b, size):
        part = slice(first, min(b, first + size))
        cols, kernels = every_cols[: part.stop - first], every_kernels[: part.stop - first]
        windows(_bits(x[part]), _bits(cols).reshape(-1, h * w, 9, i))
        mix(flat, shares[part].numpy(), _bits(kernels).reshape(len(cols), -1))
        yield part, cols, kernels


def suits(x: Tensor, weight: Tensor) -> bool:
    """Whether `convolve` supports this number of kernels and is the faster method for maps of this size."""
    return len(weight) % 4 == 0 and x.shape[2] * x.shape[3] > FEW


def convolve(x: Tensor, weight: Tensor, shares: Tensor) -> Tensor:
    """Convolve (b, i, h, w) with (k, o, i, 3, 3) mixed by attention weights (b, k), with rounding to bfloat16."""
    k, o, i = weight.shape[:3]
    maps = x.bfloat16().permute(0, 2, 3, 1).contiguous()
    bank = weight.float().permute(0, 1, 3, 4, 2).reshape(k, o, 9, i).contiguous()
    result: Tensor = _Convolve.apply(maps, bank, shares.float().contiguous())
    return result.permute(0, 3, 1, 2)
