"""Common parts of the training scripts: convolution with mixed kernels, attention, and errors of a written crossbar.

b = images, k = kernels, o, i = output and input channels
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.train import mixture, winograd
from benchmarks.train.noise import normal_like
from mapping.networks import Attention


@dataclass(frozen=True)
class Hardware:
    """Sizes of the hardware errors in a training step; those of weights are relative to the largest of their output.

    The values are ours.  Together they disturb each layer as much as a chip with all defaults, on which pairs and
    columns compensate most of the errors of stuck cells.
    """

    weight: float = 0.02  #: standard deviation of a written weight
    stuck_on: float = 0.0005  #: fraction of cells at their largest conductance
    stuck_off: float = 0.003  #: fraction of cells at their smallest conductance
    output: float = 0.005  #: standard deviation of a convolution's sums, relative to their largest
    attention: float = 0.02  #: standard deviation of an attention weight, one draw per kernel
    floor: float = 0.0116  #: smallest attention weight of a gate: ratio of the read gains at the ends of its window
    bits: int = 8  #: of activations and attention
    clip: float = math.inf  #: largest sum that is not clipped, relative to the largest in recent batches


def disturbed(weight: Tensor, hardware: Hardware) -> Tensor:
    """Write (k, o, ...) weights once, as differential pairs, each output's stretched over the cells' window."""
    top = weight.detach().abs().amax(dim=(0, *range(2, weight.dim())), keepdim=True)
    sides = []
    for side in (weight.clamp(min=0.0), (-weight).clamp(min=0.0)):
        draw = torch.rand_like(weight)
        off = torch.where(draw < hardware.stuck_on + hardware.stuck_off, torch.zeros_like(side), side)
        sides.append(torch.where(draw < hardware.stuck_on, top.expand_as(side), off))
    return sides[0] - sides[1] + hardware.weight * top * normal_like(weight)


def plain(values: Tensor) -> np.ndarray:
    """A parameter as a plain array."""
    return values.detach().cpu().numpy()


def plain_values(record: object) -> dict[str, object]:
    """Return the fields of a dataclass as JSON holds them: a number that is not finite becomes a text."""
    return {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in asdict(record).items()  # type: ignore[call-overload]
    }


class Quantiser(nn.Module):
    """Unsigned codes of an activation, straight-through; the range follows the largest values seen."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.levels = 2**bits - 1
        self.register_buffer("top", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            seen = x.detach().max()
            self.top.copy_(seen if self.top == 0 else 0.99 * self.top + 0.01 * seen)
        step = torch.clamp(self.top, min=1e-6) / self.levels
        clipped = torch.minimum(x, self.top)
        return clipped + (torch.round(clipped / step) * step - clipped).detach()


class Gate(nn.Module):
    """Attention: pool -> FC -> ReLU -> FC -> softmax(z/T).

    The pooled vector is centred and divided by one number; `exported` folds both into the first FC layer.
    """

    def __init__(self, channels: int, kernels: int, hardware: Hardware) -> None:
        super().__init__()
        hidden = max(2 * (kernels - 1), channels // 4)  # room for both signs of k - 1 numbers
        self.first = nn.Linear(channels, hidden)
        self.second = nn.Linear(hidden, kernels)
        nn.init.normal_(self.second.weight, std=1.0)
        self.temperature = 1.0
        self.hardware = hardware
        self.noisy = False
        self.settling = False
        self.quantise = nn.ModuleList([Quantiser(hardware.bits), Quantiser(hardware.bits)])
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def product(self, layer: nn.Linear, x: Tensor) -> Tensor:
        weight = layer.weight
        if self.noisy:
            weight = disturbed(weight[None], self.hardware)[0]
        return x @ weight.T

    def exported(self) -> Attention:
        """The same in plain arrays."""
        with torch.no_grad():
            weight = self.first.weight / self.spread
            bias = self.first.bias - weight @ self.mean
        held = (weight, bias, self.second.weight, self.second.bias)
        return Attention(*map(plain, held), self.temperature)

    def forward(self, x: Tensor) -> Tensor:
        """Attention weights (b, k) of maps (b, i, h, w), in float32, as centring cancels half of the digits."""
        with torch.autocast(x.device.type, enabled=False):
            return self.shares(x.mean(dim=(2, 3), dtype=torch.float32))

    def shares(self, pooled: Tensor) -> Tensor:
        """Attention weights (b, k) of pooled vectors (b, i)."""
        if self.training:
            keep = float(self.seen / (self.seen + 1)) if self.settling else min(0.95, float(self.seen))
            self.seen += 1
            self.mean.mul_(keep).add_((1 - keep) * pooled.detach().mean(0))
            self.spread.mul_(keep).add_((1 - keep) * pooled.detach().var(0, unbiased=False).mean().sqrt())
        if self.noisy:
            pooled = self.quantise[0](pooled)
        centre = self.mean @ self.first.weight.T
        hidden = functional.relu((self.product(self.first, pooled) - centre) / self.spread + self.first.bias)
        if self.noisy:
            hidden = self.quantise[1](hidden)
        return torch.softmax((self.product(self.second, hidden) + self.second.bias) / self.temperature, dim=1)


class MixedConv(nn.Module):
    """3x3 convolution with one kernel or k mixed by attention, on demand with the errors of a written crossbar."""

    def __init__(self, inputs: int, outputs: int, kernels: int, hardware: Hardware) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(kernels, outputs, inputs, 3, 3))
        for kernel in self.weight:  # independent draws: equal kernels would stay equal for ever
            nn.init.kaiming_normal_(kernel, nonlinearity="relu")
        self.gate = Gate(inputs, kernels, hardware) if kernels > 1 else None
        self.hardware = hardware
        self.register_buffer("top", torch.zeros(()))
        self.noisy = False
        self.shares: Tensor | None = None
        self.dropped = 0.0  #: fraction of the images that get equal attention weights in training
        self.frozen: str | None = None  #: "uniform" or "shuffled": replacement of the image's own attention weights

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (b, i, h, w)."""
        hardware = self.hardware
        weight = disturbed(self.weight, hardware) if self.noisy else self.weight
        shares = None
        if self.gate is not None:
            shares = self.shares = self.gate(x)
            if self.frozen is not None:
                order = torch.randperm(len(shares), device=x.device)
                shares = torch.full_like(shares, 1 / shares.shape[1]) if self.frozen == "uniform" else shares[order]
            if self.training and self.dropped:
                kept = torch.rand(len(shares), 1, device=x.device) >= self.dropped
                shares = torch.where(kept, shares, 1 / shares.shape[1])
            if self.noisy:
                levels = 2**hardware.bits - 1
                shares = shares + (torch.round(shares * levels) / levels - shares).detach()
                shares = shares + hardware.attention * torch.randn(1, shares.shape[1], device=x.device)
                shares = shares.clamp(min=hardware.floor)
        if self.frozen == "uniform":  # one kernel for every image
            weight, shares = (weight * shares[0].reshape(-1, 1, 1, 1, 1)).sum(0, keepdim=True), None
        y = mixed(x, weight, shares)
        if self.noisy:
            largest = y.detach().abs().max()
            if self.training:
                self.top.copy_(largest if self.top == 0 else 0.95 * self.top + 0.05 * largest)
            if hardware.clip < math.inf and self.top > 0:
                limit = float(hardware.clip * self.top)
                y = y.clamp(-limit, limit)
            y = y + hardware.output * largest * normal_like(y)
        return y


@cache
def halves() -> bool:
    """Say whether this processor multiplies bfloat16 itself, at twice the rate of float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001


def mixed(x: Tensor, weight: Tensor, shares: Tensor | None) -> Tensor:
    """Convolve (b, i, h, w) with (k, o, i, 3, 3) mixed by attention weights (b, k), by the fastest method available."""
    if x.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and winograd.suits(weight):
        return winograd.convolve(x, weight, shares)
    if shares is None:
        return functional.conv2d(x, weight[0].contiguous(memory_format=torch.channels_last), padding=1)
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and mixture.suits(x, weight):
        return mixture.convolve(x, weight, shares)
    every = functional.conv2d(x, weight.flatten(0, 1), padding=1).unflatten(1, weight.shape[:2])
    return torch.einsum("bk,bkohw->bohw", shares.to(every.dtype), every)


def information(shares: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy of the mean attention weights, and their mean entropy, both over ln k.

    Their difference is the mutual information between image and kernel.
    """
    k = math.log(shares.shape[1])
    mean = shares.mean(0)
    of_mean = -(mean * mean.clamp(min=1e-9).log()).sum() / k
    mean_of = -(shares * shares.clamp(min=1e-9).log()).sum(1).mean() / k
    return of_mean, mean_of


def disturb(model: nn.Module, noisy: bool) -> None:
    """Switch the hardware's errors on or off in every layer."""
    for module in model.modules():
        if hasattr(module, "noisy"):
            module.noisy = noisy


def mixed_convs(model: nn.Module) -> list[MixedConv]:
    """The convolutions whose kernels are mixed, in order."""
    return [module for module in model.modules() if isinstance(module, MixedConv) and module.gate is not None]


def settle(model: nn.Module, batches: Iterable[Tensor], *, noisy: bool = True, gates: bool = True) -> None:
    """Recompute the statistics of batch norms and attention as plain means over these batches, disturbed or not."""
    model.train()
    disturb(model, noisy)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    held = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for conv in mixed_convs(model) if gates else ():
        conv.gate.settling = True
        conv.gate.seen.zero_()
    with torch.no_grad():
        for batch in batches:
            model(batch)
    for norm, momentum in zip(norms, held, strict=True):
        norm.momentum = momentum
    for conv in mixed_convs(model):
        conv.gate.settling = False
    disturb(model, False)
    model.eval()
