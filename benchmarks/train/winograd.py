"""3x3 convolution with unit padding by Winograd's F(4x4, 3x3), with one kernel or k mixed kernels, for CPUs.

A 6x6 window of the map is transformed to 36 numbers, and so is a kernel.  A 4x4 piece of the output is 16 sums of their
36 products, which needs a quarter of the multiplications.  All three steps are linear, so the gradients are the
transposed steps.  Windows are processed in groups that stay in the cache between the steps.  For images with many
windows the k kernels are mixed first; for images with few, a group is multiplied by each kernel and weighted by the
attention weights of its images.  Source: Lavin and Gray, arXiv 1509.09308.
"""

# b = images, h, w = height, width of a map, i, o = input, output channels, k = kernels, r = windows of a group

from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic
from torch import Tensor

from devices.numerics.blas import bind, one_blas_thread

GROUP = 256  # windows that a thread multiplies at once
MIXED = 16  # windows of an image from which its kernels are mixed first, ours
LANES = 8  # channels that are transformed at once; every number of channels must be a multiple of it
ROW = 6 * LANES
TWO, FOUR, FIVE, EIGHT = (np.float32(x) for x in (2, 4, 5, 8))
_NORMAL, _TURNED = (ord(letter) for letter in "NT")
_sgemm = bind("cython_blas", "sgemm", 13)

_G = torch.tensor(  # kernels
    [
        [1 / 4, 0.0, 0.0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0.0, 0.0, 1.0],
    ]
)
KERNEL = torch.kron(_G, _G)


@njit(cache=True)
def gemm(a, b, c, turn_a, turn_b, add):  # type: ignore[no-untyped-def]
    """Product of float32 matrices, each perhaps transposed, written to or added to (m, n) c."""
    m, n = c.shape
    inner = a.shape[0] if turn_a else a.shape[1]
    letters = np.array([_TURNED if turn_b else _NORMAL, _TURNED if turn_a else _NORMAL], dtype=np.uint8)
    sizes = np.array([n, m, inner, b.shape[1], a.shape[1], n], dtype=np.int32)
    factors = np.array([1.0, 1.0 if add else 0.0], dtype=np.float32)
    _sgemm(
        letters.ctypes, letters[1:].ctypes, sizes.ctypes, sizes[1:].ctypes, sizes[2:].ctypes, factors.ctypes,
        b.ctypes, sizes[3:].ctypes, a.ctypes, sizes[4:].ctypes, factors[1:].ctypes, c.ctypes, sizes[5:].ctypes,
    )  # fmt: skip


# A square of numbers is stored flat: number (y, x) of channel c is at (6 y + x) LANES + c, so that loops over c are
# vectorised.


@njit(cache=True)
def _windows(square, out, step, stride):  # type: ignore[no-untyped-def]
    """Turn 6 sets of 6 numbers: B^T of the source. Sets are `step` apart, numbers of a set `stride`."""
    for line in range(6):
        s = line * step
        for c in range(s, s + LANES):
            d0, d1, d2 = square[c], square[c + stride], square[c + 2 * stride]
            d3, d4, d5 = square[c + 3 * stride], square[c + 4 * stride], square[c + 5 * stride]
            out[c] = FOUR * d0 - FIVE * d2 + d4
            out[c + stride] = d3 + d4 - FOUR * (d1 + d2)
            out[c + 2 * stride] = FOUR * (d1 - d2) - d3 + d4
            out[c + 3 * stride] = TWO * (d3 - d1) - d2 + d4
            out[c + 4 * stride] = TWO * (d1 - d3) - d2 + d4
            out[c + 5 * stride] = FOUR * d1 - FIVE * d3 + d5


@njit(cache=True)
def _windows_back(square, out, step, stride):  # type: ignore[no-untyped-def]
    """Transpose of `_windows`: B."""
    for line in range(6):
        s = line * step
        for c in range(s, s + LANES):
            t0, t1, t2 = square[c], square[c + stride], square[c + 2 * stride]
            t3, t4, t5 = square[c + 3 * stride], square[c + 4 * stride], square[c + 5 * stride]
            out[c] = FOUR * t0
            out[c + stride] = FOUR * (t2 - t1 + t5) + TWO * (t4 - t3)
            out[c + 2 * stride] = -FIVE * t0 - FOUR * (t1 + t2) - t3 - t4
            out[c + 3 * stride] = t1 - t2 + TWO * (t3 - t4) - FIVE * t5
            out[c + 4 * stride] = t0 + t1 + t2 + t3 + t4
            out[c + 5 * stride] = t5


@njit(cache=True)
def _pieces(square, out, lines, step, stride):  # type: ignore[no-untyped-def]
    """Sum sets of 6 numbers to 4: A^T of the source."""
    for line in range(lines):
        s = line * step
        for c in range(s, s + LANES):
            m0, m1, m2 = square[c], square[c + stride], square[c + 2 * stride]
            m3, m4, m5 = square[c + 3 * stride], square[c + 4 * stride], square[c + 5 * stride]
            out[c] = m0 + m1 + m2 + m3 + m4
            out[c + stride] = m1 - m2 + TWO * (m3 - m4)
            out[c + 2 * stride] = m1 + m2 + FOUR * (m3 + m4)
            out[c + 3 * stride] = m1 - m2 + EIGHT * (m3 - m4) + m5


@njit(cache=True)
def _pieces_back(square, out, lines, step, stride):  # type: ignore[no-untyped-def]
    """Transpose of `_pieces`: A."""
    for line in range(lines):
        s = line * step
        for c in range(s, s + LANES):
            o0, o1 = square[c], square[c + stride]
            o2, o3 = square[c + 2 * stride], square[c + 3 * stride]
            out[c] = o0
            out[c + stride] = o0 + o1 + o2 + o3
            out[c + 2 * stride] = o0 - o1 + o2 - o3
            out[c + 3 * stride] = o0 + TWO * o1 + FOUR * o2 + EIGHT * o3
            out[c + 4 * stride] = o0 - TWO * o1 + FOUR * o2 - EIGHT * o3
            out[c + 5 * stride] = o3


@intrinsic
def _copy(typing_context: Any, target: Any, at: Any, source: Any, start: Any) -> Any:
    """Copy LANES numbers from one flat array to another, without bounds checks."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(ir.FloatType(), LANES)
        places = []
        for n in (0, 2):
            data = context.make_array(signature.args[n])(context, builder, arguments[n]).data
            places.append(builder.bitcast(builder.gep(data, [arguments[n + 1]]), kind.as_pointer()))
        builder.store(builder.load(places[1], align=4), places[0], align=4)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp), build


@njit(cache=True)
def fold(x, image, size, d, stride, row, one, two):  # type: ignore[no-untyped-def]
    """Write the 36 numbers of each 6x6 window of an image to planes of d, from row `row` on; size: h, w, channels."""
    h, w, channels = size
    for top in range(-1, h - 1, 4):
        for left in range(-1, w - 1, 4):
            for start in range(0, channels, LANES):
                for y in range(6):
                    for z in range(6):
                        at = (6 * y + z) * LANES
                        if 0 <= top + y < h and 0 <= left + z < w:
                            _copy(one, at, x, ((image * h + top + y) * w + left + z) * channels + start)
                        else:
                            one[at : at + LANES] = 0
                _windows(one, two, ROW, LANES)
                _windows(two, one, LANES, ROW)
                for p in range(36):
                    _copy(d, p * stride + row * channels + start, one, p * LANES)
            row += 1


@njit(cache=True)
def fold_back(d, stride, row, x, image, size, one, two):  # type: ignore[no-untyped-def]
    """Transpose of `fold`: set an image to the sum of its windows of d."""
    h, w, channels = size
    begin = image * h * w * channels
    x[begin : begin + h * w * channels] = 0
    for top in range(-1, h - 1, 4):
        for left in range(-1, w - 1, 4):
            for start in range(0, channels, LANES):
                for p in range(36):
                    _copy(one, p * LANES, d, p * stride + row * channels + start)
                _windows_back(one, two, LANES, ROW)
                _windows_back(two, one, ROW, LANES)
                for y in range(max(0, -top), min(6, h - top)):
                    for z in range(max(0, -left), min(6, w - left)):
                        at = begin + ((top + y) * w + left + z) * channels + start
                        held = x[at : at + LANES]
                        for c in range(LANES):
                            held[c] += one[(6 * y + z) * LANES + c]
            row += 1


@njit(cache=True)
def unfold(d, stride, row, out, image, size, one, two):  # type: ignore[no-untyped-def]
    """Write the 4x4 pieces of planes of d to an image of `out`."""
    h, w, channels = size
    for top in range(0, h, 4):
        for left in range(0, w, 4):
            for start in range(0, channels, LANES):
                for p in range(36):
                    _copy(one, p * LANES, d, p * stride + row * channels + start)
                _pieces(one, two, 6, LANES, ROW)
                _pieces(two, one, 4, ROW, LANES)
                for y in range(min(4, h - top)):
                    for z in range(min(4, w - left)):
                        at = ((image * h + top + y) * w + left + z) * channels + start
                        _copy(out, at, one, (6 * y + z) * LANES)
            row += 1


@njit(cache=True)
def unfold_back(out, image, size, d, stride, row, one, two):  # type: ignore[no-untyped-def]
    """Transpose of `unfold`: planes of d from an image."""
    h, w, channels = size
    for top in range(0, h, 4):
        for left in range(0, w, 4):
            for start in range(0, channels, LANES):
                for y in range(4):
                    for z in range(4):
                        at = (6 * y + z) * LANES
                        if top + y < h and left + z < w:
                            _copy(one, at, out, ((image * h + top + y) * w + left + z) * channels + start)
                        else:
                            one[at : at + LANES] = 0
                _pieces_back(one, two, 4, ROW, LANES)
                _pieces_back(two, one, 6, LANES, ROW)
                for p in range(36):
                    _copy(d, p * stride + row * channels + start, one, p * LANES)
            row += 1


@njit(cache=True)
def _weigh(source, shares, windows, out):  # type: ignore[no-untyped-def]
    """Multiply rows (r, channels) by the attention weights of their images."""
    for row in range(len(source)):
        share = shares[row // windows]
        for c in range(source.shape[1]):
            out[row, c] = source[row, c] * share


@njit(cache=True, fastmath=True)
def _gather(held, back, shares, windows, total, shares_slope):  # type: ignore[no-untyped-def]
    """Add the gradients (rows, channels) of one kernel to those of the rows and of the attention weights."""
    for row in range(len(held)):
        share = shares[row // windows]
        found = np.float32(0)
        for c in range(held.shape[1]):
            found += back[row, c] * held[row, c]
            total[row, c] += share * back[row, c]
        shares_slope[row // windows] += found


@njit(cache=True, fastmath=True)
def _mix(kernels, shares, out):  # type: ignore[no-untyped-def]
    """Set flat (n,) to one image's mixture of (k, n) kernels."""
    for n in range(len(out)):
        out[n] = shares[0] * kernels[0, n]
    for k in range(1, len(kernels)):
        for n in range(len(out)):
            out[n] += shares[k] * kernels[k, n]


@njit(cache=True, fastmath=True)
def _unmix(slope, kernels, shares, kernels_slope, shares_slope):  # type: ignore[no-untyped-def]
    """Transpose of `_mix`: add the gradients (k, n) of the kernels and (k,) of the attention weights."""
    for k in range(len(kernels)):
        found = np.float32(0)
        for n in range(len(slope)):
            found += slope[n] * kernels[k, n]
            kernels_slope[k, n] += shares[k] * slope[n]
        shares_slope[k] += found


@njit(cache=True)
def _planes(size):  # type: ignore[no-untyped-def]
    """36 planes of any size that do not begin in the same cache set."""
    return np.empty((36, size + LANES), dtype=np.float32)


@njit(cache=True, parallel=True)
def forward(x, kernels, shares, out):  # type: ignore[no-untyped-def]
    """Convolve x (b, h, w, i) with kernels (36, k, i, o) mixed by attention weights (b, k), to out (b, h, w, o).

    With a single kernel, the attention weights `shares` are (b, 0).
    """
    b, h, w, inputs = x.shape
    k, outputs = kernels.shape[1], kernels.shape[3]
    windows = -(-h // 4) * -(-w // 4)
    group = max(1, GROUP // windows)
    x_flat, out_flat = x.reshape(-1), out.reshape(-1)
    for part in prange(-(-b // group)):
        first, last = part * group, min(b, part * group + group)
        rows = (last - first) * windows
        one, two = np.zeros(6 * ROW, dtype=np.float32), np.zeros(6 * ROW, dtype=np.float32)
        d = _planes(rows * inputs)
        sums = _planes(rows * outputs)
        d_flat, sums_flat = d.reshape(-1), sums.reshape(-1)
        weighed = np.empty((rows, inputs), dtype=np.float32)
        mixed = np.empty((inputs, outputs), dtype=np.float32)
        for image in range(first, last):
            at = (image - first) * windows
            fold(x_flat, image, (h, w, inputs), d_flat, d.shape[1], at, one, two)
        for p in range(36):
            held = d[p, : rows * inputs].reshape(rows, inputs)
            total = sums[p, : rows * outputs].reshape(rows, outputs)
            if shares.shape[1] == 0:
                gemm(held, kernels[p, 0], total, False, False, False)
            elif windows >= MIXED:
                for image in range(first, last):
                    at = (image - first) * windows
                    _mix(kernels[p].reshape(k, -1), shares[image], mixed.reshape(-1))
                    gemm(held[at : at + windows], mixed, total[at : at + windows], False, False, False)
            else:
                for kernel in range(k):
                    _weigh(held, shares[first:last, kernel], windows, weighed)
                    gemm(weighed, kernels[p, kernel], total, False, False, kernel > 0)
        for image in range(first, last):
            at = (image - first) * windows
            unfold(sums_flat, sums.shape[1], at, out_flat, image, (h, w, outputs), one, two)


@njit(cache=True, parallel=True)
def backward(x, kernels, shares, slope, deep, x_slope, kernels_slope, shares_slope):  # type: ignore[no-untyped-def]
    """Gradients of `forward`: x_slope if `deep`, kernels_slope (threads, 36, k, i, o) added to, shares_slope (b, k)."""
    b, h, w, inputs = x.shape
    k, outputs = kernels.shape[1], kernels.shape[3]
    windows = -(-h // 4) * -(-w // 4)
    group = max(1, GROUP // windows)
    x_flat, slope_flat, x_slope_flat = x.reshape(-1), slope.reshape(-1), x_slope.reshape(-1)
    for part in prange(-(-b // group)):
        thread = numba.get_thread_id()
        first, last = part * group, min(b, part * group + group)
        rows = (last - first) * windows
        one, two = np.zeros(6 * ROW, dtype=np.float32), np.zeros(6 * ROW, dtype=np.float32)
        d = _planes(rows * inputs)
        sums = _planes(rows * outputs)
        d_flat, sums_flat = d.reshape(-1), sums.reshape(-1)
        back = np.empty((rows, inputs), dtype=np.float32)
        mixed = np.empty((inputs, outputs), dtype=np.float32)
        weighed = np.empty((rows, inputs), dtype=np.float32)
        for image in range(first, last):
            at = (image - first) * windows
            fold(x_flat, image, (h, w, inputs), d_flat, d.shape[1], at, one, two)
            unfold_back(slope_flat, image, (h, w, outputs), sums_flat, sums.shape[1], at, one, two)
        for p in range(36):
            held = d[p, : rows * inputs].reshape(rows, inputs)
            total = sums[p, : rows * outputs].reshape(rows, outputs)
            if shares.shape[1] == 0:
                gemm(held, total, kernels_slope[thread, p, 0], True, False, True)
                if deep:
                    gemm(total, kernels[p, 0], held, False, True, False)
            elif windows >= MIXED:
                for image in range(first, last):
                    at = (image - first) * windows
                    mine, slopes = held[at : at + windows], total[at : at + windows]
                    gemm(mine, slopes, mixed, True, False, False)
                    stored, stored_slope = kernels[p].reshape(k, -1), kernels_slope[thread, p].reshape(k, -1)
                    _unmix(mixed.reshape(-1), stored, shares[image], stored_slope, shares_slope[image])
                    if deep:
                        _mix(stored, shares[image], mixed.reshape(-1))
                        gemm(slopes, mixed, mine, False, True, False)
            else:
                for kernel in range(k):
                    _weigh(held, shares[first:last, kernel], windows, weighed)
                    gemm(weighed, total, kernels_slope[thread, p, kernel], True, False, True)
                weighed[:] = 0
                for kernel in range(k):
                    gemm(total, kernels[p, kernel], back, False, True, False)
                    _gather(held, back, shares[first:last, kernel], windows, weighed, shares_slope[first:last, kernel])
                held[:] = weighed
        if deep:
            for image in range(first, last):
                at = (image - first) * windows
                fold_back(d_flat, d.shape[1], at, x_slope_flat, image, (h, w, inputs), one, two)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, shares: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, kernels, shares)
        b, _, h, w = x.shape
        out = torch.empty(b, h, w, kernels.shape[3])
        with one_blas_thread():
            forward(*(each.detach().numpy() for each in (x.permute(0, 2, 3, 1), kernels, shares, out)))
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, kernels, shares = ctx.saved_tensors
        slope = slopes[0].contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        x = x.permute(0, 2, 3, 1)
        x_slope = torch.empty_like(x) if ctx.needs_input_grad[0] else x[:0]
        kernels_slope = torch.zeros(numba.get_num_threads(), *kernels.shape)
        shares_slope = torch.zeros_like(shares)
        held = (each.numpy() for each in (x_slope, kernels_slope, shares_slope))
        with one_blas_thread():
            backward(x.numpy(), kernels.numpy(), shares.numpy(), slope.numpy(), ctx.needs_input_grad[0], *held)
        return x_slope.permute(0, 3, 1, 2), kernels_slope.sum(0), shares_slope


def suits(weight: Tensor) -> bool:
    """Whether `convolve` supports the numbers of channels of these kernels."""
    return weight.shape[1] % LANES == weight.shape[2] % LANES == 0


def convolve(x: Tensor, weight: Tensor, shares: Tensor | None = None) -> Tensor:
    """Convolve float32 (b, i, h, w) with (k, o, i, 3, 3), mixed by attention weights (b, k) unless k = 1.

    Raises ValueError for numbers of channels that `suits` refuses.
    """
    if not suits(weight):
        raise ValueError(f"channels must be multiples of {LANES}, got {weight.shape[2]} and {weight.shape[1]}")
    k, o, i = weight.shape[:3]
    kernels = (KERNEL @ weight.permute(3, 4, 0, 2, 1).reshape(9, -1)).reshape(36, k, i, o)
    shares = torch.empty(len(x), 0) if shares is None else shares
    result: Tensor = _Convolve.apply(x, kernels, shares.contiguous())
    return result
