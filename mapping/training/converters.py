"""Converters in torch: exact forwards, straight through backwards (docs/training.md says where).

b = batch, p = positions, m = rows, c = pairs
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from crossbar.gradients.family_gradients import mix_slope
from crossbar.tiles.converters import Adc, Dac, GateDac
from crossbar.transfer.gate_nodes import Nodes
from devices.cells.interface import Cell

Tensor = Any  # torch's own classes have no types here


class _Mix(torch.autograd.Function):  # type: ignore[misc]
    """What each stored matrix contributes: (b, k q) from gains (b, k); backwards the interpolation's own slope."""

    @staticmethod
    def forward(ctx: Any, gains: Tensor, nodes: Nodes, kind: Any) -> Tensor:  # noqa: ANN401 - torch's
        ctx.nodes = nodes
        ctx.save_for_backward(gains)
        mixed = nodes.mix(gains.detach().cpu().numpy().astype(np.float64))
        return torch.as_tensor(mixed.reshape(len(gains), -1), device=gains.device).to(kind)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 - torch's
        (gains,) = ctx.saved_tensors
        slope = torch.as_tensor(mix_slope(ctx.nodes, gains.cpu().numpy().astype(np.float64)), device=gains.device)
        return (upstream.reshape(slope.shape) * slope).sum(-1).to(gains.dtype), None, None


def mix(gains: Tensor, nodes: Nodes, kind: Any) -> Tensor:  # noqa: ANN401 - a type of torch
    """Return what each stored matrix contributes, (b, k q) of type `kind`, from read gains (b, k) in float64."""
    return _Mix.apply(gains, nodes, kind)


def codes(x: Tensor, dac: Dac) -> Tensor:
    """Return the codes of rows; backwards as if the driver only clipped."""
    if dac.bits is None:
        return torch.clamp(x, min=0.0)
    held = torch.clamp(x, 0.0, 1.0) * dac.full_code
    return held + (torch.round(held) - held).detach()


class Erring(NamedTuple):
    """Errors of the converters of a tile, drawn once."""

    gains: Tensor  #: (c, 1) relative to the nominal gain
    thresholds: Tensor | None  #: (c, n) [LSB] where each code begins, rising; None: at the nominal ones
    correction: Tensor  #: (c, 1) codes that the digital part subtracts


def converted(levels: Tensor, adc: Adc, erring: Erring | None = None) -> Tensor:
    """Return codes of levels (b, c, p) [LSB] at the comparators; backwards as if the converter only clipped."""
    held = torch.clamp(levels, adc.smallest, adc.largest)
    if erring is None:
        return held + (torch.clamp(torch.round(levels), adc.smallest, adc.largest) - held).detach()
    if erring.thresholds is None:
        codes = torch.clamp(torch.round(levels), adc.smallest, adc.largest)
    else:
        b, c, p = levels.shape
        flat = levels.detach().transpose(0, 1).reshape(c, b * p).contiguous()
        codes = torch.searchsorted(erring.thresholds, flat, right=True).reshape(c, b, p).transpose(0, 1)
        codes = codes.to(levels.dtype) + adc.smallest
    return held + (codes - held).detach() - erring.correction


def gains(shares: Tensor, driver: GateDac, cell: Cell) -> Tensor:
    """Return the read gains (b, k) that gates arrive at, in float64; backwards as if the driver were continuous."""
    held = cell.gain_low + torch.clamp(shares.double(), 0.0, 1.0) * (cell.gain_high - cell.gain_low)
    settled = driver.gains(shares.detach().cpu().numpy().astype(np.float64), cell)
    return held + (torch.as_tensor(settled, device=shares.device) - held).detach()
