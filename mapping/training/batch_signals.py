"""Signals of tiles whose circuit differs from image to image, with exact gradients: stacked bands, rewritten cells.

b = batch, k = kernels, m = rows of a tile, n = columns of cells, c = pairs
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from crossbar.gradients.array_gradients import transfer_gradient
from crossbar.gradients.family_gradients import CENTRAL, MIX_STEP, ONE_SIDED, filament_slopes
from crossbar.tiles.batch_tiles import BatchTile, StackedTile
from crossbar.tiles.written_arrays import WrittenArray, terminal_conductances
from devices.aliases import FloatArray
from devices.cells.interface import Cell
from devices.writing.spread import DrawnCells
from mapping.hardware.description import Hardware
from mapping.placement.matrix import Matrix, Placement
from mapping.training.reduced_tiles import MatrixTiles, Reduction, opposite, wires_of, write_slopes

Tensor = Any  # torch's own classes have no types here
Context = Any  # of an autograd function


class StackedSignals(torch.autograd.Function):  # type: ignore[misc]
    """Signals (b, m, c) of tiles of stacked bands from the targets of a matrix and gains (b, k); backwards exact."""

    @staticmethod
    def forward(  # noqa: D102 - torch's name
        ctx: Context, targets: Tensor, gains: Tensor, tiles: MatrixTiles, at: Reduction, ready: Sequence[BatchTile],
        kind: Any,  # noqa: ANN401 - torch's
    ) -> tuple[Tensor, ...]:  # fmt: skip
        ctx.tiles, ctx.at, ctx.like = tiles, at, targets
        ctx.save_for_backward(gains)
        return tuple(torch.as_tensor(each.tile.signal[0], device=targets.device).to(kind) for each in ready)

    @staticmethod
    def backward(ctx: Context, *upstream: Tensor) -> tuple[Any, ...]:  # noqa: D102
        (gains,) = ctx.saved_tensors
        asked, at, tiles = gains.detach().cpu().numpy().astype(np.float64), ctx.at, ctx.tiles
        d_targets, d_gains = np.zeros(at.targets.shape), np.zeros(asked.shape)
        for t, (bank, d_signal) in enumerate(zip(at.banks, upstream, strict=True)):
            placement = tiles.matrix.tiles[t]
            own = at.targets[:, placement.rows, placement.cells]
            writes = write_slopes(bank.written, tiles.cells[t], own, tiles.program.hardware)
            d_filament, by_gain = _stacked_gradient(
                bank, asked, d_signal.detach().cpu().numpy().astype(np.float64), tiles.program.hardware
            )
            d_targets[:, placement.rows, placement.cells] += d_filament * writes
            d_gains += by_gain
        like = ctx.like
        return (
            torch.as_tensor(d_targets, device=like.device).to(like.dtype),
            torch.as_tensor(d_gains, device=gains.device).to(gains.dtype), None, None, None, None,
        )  # fmt: skip


def _stacked_gradient(
    bank: StackedTile, gains: FloatArray, d_signal: FloatArray, hardware: Hardware
) -> tuple[FloatArray, FloatArray]:
    """Slopes by the filaments (k, m, n) and by the gains (b, k) of those by the signals (b, m, c)."""
    written, cell, v_read = bank.written, bank.cell, bank.dac.v_read
    k, m, n = written.g_filament.shape
    g = _conductances(cell, written, gains, v_read)
    drive = np.ones((k, m)) if written.row_gains is None else written.row_gains
    d_transfer = opposite(d_signal[:, None] * drive[:, :, None])  # all bands have the same inputs
    wires = wires_of(hardware, (k * m, n))
    d_g = transfer_gradient(g.reshape(-1, k * m, n), wires, d_transfer.reshape(-1, k * m, n)).reshape(g.shape)
    reach = 1.0 if written.gate_reach is None else written.gate_reach
    by_filament = np.stack([
        filament_slopes(cell, written.g_filament[j], written.gate_offset[j], gains[:, j], v_read, reach)
        for j in range(k)
    ], axis=1)  # fmt: skip
    return (d_g * by_filament).sum(0), (d_g * _by_gain(cell, written, gains, v_read)).sum((2, 3))


def _conductances(cell: Cell, written: WrittenArray, gains: FloatArray, v_read: float) -> FloatArray:
    """Secant conductances (b, k, m, n) [S] of bands at gains (b, k)."""
    v_gate = cell.gate_voltage(gains)[:, :, None, None]
    own = cell.gain_with_offset(written.at_cells(v_gate), written.gate_offset[None])
    return cell.terminal_conductance(written.g_filament[None], own, v_read)


def _by_gain(cell: Cell, written: WrittenArray, gains: FloatArray, v_read: float) -> FloatArray:
    """Slopes of `_conductances` by the gains, by fourth-order differences, one-sided at the ends of the window."""
    low, high = cell.gain_low, cell.gain_high
    gains = np.clip(gains, low, high)
    step = MIX_STEP * np.minimum(gains, high - low)
    side = np.where(gains + 2.0 * step > high, -1.0, np.where(gains - 2.0 * step < low, 1.0, 0.0))
    total = np.zeros((*gains.shape, *written.g_filament.shape[1:]))
    for j in range(-2, 5):
        factor = np.where(side == 0.0, CENTRAL.get(j, 0.0), side * (ONE_SIDED[j] if j >= 0 else 0.0))
        if np.any(factor):
            moved = np.clip(gains + np.where(side == 0.0, j if j <= 2 else 0, side * max(j, 0)) * step, low, high)
            total += (factor / step)[:, :, None, None] * _conductances(cell, written, moved, v_read)
    return total


class RewrittenSignals(torch.autograd.Function):  # type: ignore[misc]
    """Signal (b, m, c) of one tile from the targets (b, m, n) that were written for each image; backwards exact.

    The error of each image's write is held.
    """

    @staticmethod
    def forward(  # noqa: D102 - torch's name
        ctx: Context, wanted: Tensor, written: WrittenArray, ready: BatchTile, cells: DrawnCells, hardware: Hardware,
        kind: Any,  # noqa: ANN401 - torch's
    ) -> Tensor:  # fmt: skip
        ctx.written, ctx.cells, ctx.hardware = written, cells, hardware
        ctx.save_for_backward(wanted)
        return torch.as_tensor(ready.tile.signal[0], device=wanted.device).to(kind)

    @staticmethod
    def backward(ctx: Context, upstream: Tensor) -> tuple[Any, ...]:  # noqa: D102
        (wanted,) = ctx.saved_tensors
        written, hardware = ctx.written, ctx.hardware
        cell, v_read = hardware.cell, hardware.dac.v_read
        d = written.driven(upstream.detach().cpu().numpy().astype(np.float64)[:, None])[:, 0]
        g = terminal_conductances(cell, written, v_read, None)[:, 0]
        d_g = transfer_gradient(g, wires_of(hardware, g.shape[1:]), opposite(d))
        reach = 1.0 if written.gate_reach is None else written.gate_reach
        top = np.array([cell.gain_high])
        by_filament = filament_slopes(cell, written.g_filament, written.gate_offset, top, v_read, reach)[:, 0]
        slopes = by_filament * write_slopes(written, ctx.cells, wanted.detach().cpu().numpy(), hardware)
        d_wanted = torch.as_tensor(d_g * slopes, device=wanted.device).to(wanted.dtype)
        return d_wanted, None, None, None, None, None


def mixed(targets: Tensor, matrix: Matrix, placement: Placement, shares: Tensor, low: float) -> Tensor:
    """Target conductances (b, m, n) [S] of each image's mixed kernel, as `mixed_targets` has them, differentiable.

    targets: (k, r, columns) [S].  shares: (b, k).  low: terminal conductance of a cell for weight 0 [S].
    Source: docs/equations/encoding.md eq. 11.
    """
    kernels = targets[:, placement.rows, placement.cells]
    difference = torch.einsum("bk,kmc->bmc", shares.to(targets.dtype), kernels[..., 0::2] - kernels[..., 1::2])
    if matrix.through is not None:
        left = matrix.through.min() / matrix.through[placement.rows, placement.columns]
        difference = difference * torch.as_tensor(left, device=targets.device)
    pair = torch.stack([difference.clamp(min=0.0), (-difference).clamp(min=0.0)], dim=-1)
    return low + pair.flatten(2)
