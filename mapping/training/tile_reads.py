"""Reads of one tile in torch: currents, noise and codes as `Tile.add_read` computes them, differentiable.

b = batch, p = positions, m = rows, c = converted columns, k = kernels, q = gate nodes, s = groups of reads
"""

from typing import Any

import numpy as np
import torch

from crossbar.tiles.batch_tiles import BatchEntries
from crossbar.tiles.converter_errors import ConverterErrors
from crossbar.tiles.converters import TOGETHER
from crossbar.tiles.tile import Tile
from crossbar.transfer.gate_nodes import Nodes
from mapping.training.converters import Erring, converted, mix
from mapping.training.counter_noise import drawn

Tensor = Any  # torch's own classes have no types here


class TileReads:
    """A tile with the constants of its reads as tensors, for one device and type."""

    def __init__(self, tile: Tile, device: Any, kind: Any) -> None:  # noqa: ANN401 - torch's
        self.tile, self.kind = tile, kind
        self.lsb = tile.adc.lsb(tile.full_scale) or 1.0
        self.offsets = _put(tile.offsets, device, kind)[:, None]
        self.erring = _erring(tile, device, kind)
        self.sigma = tile.adc.noise(tile.temperature) * (tile.full_scale if tile.adc.bits is None else 1.0)
        k, q, t2, c = tile.variances.shape
        self.blur = _put(tile.variances, device, kind).reshape(k * q, t2 * c)
        starts = range(tile.rows) if tile.strips is None else tile.strips
        strip = np.zeros((tile.rows, len(starts)))
        for at, (begin, end) in enumerate(zip(starts, [*list(starts)[1:], tile.rows], strict=True)):
            strip[begin:end, at] = 1.0 / (end - begin)
        self.strip = _put(strip, device, kind)
        self.blocks = None if tile.blocks is None else _put(tile.blocks, device, torch.float64)
        self.groups: dict[int, tuple[Tensor, Tensor]] = {}

    def matrices(self, signal: Tensor, mixing: "Mixing") -> Tensor:
        """Matrices (b or 1, m, c) of the images of a batch: codes of currents per code of a row.

        signal: what `stored` takes from the tile, as a function of the weights.  mixing: of the gates of the batch.
        """
        tile, dac = self.tile, self.tile.dac
        worth = dac.v_read / (dac.full_code * self.lsb)
        if isinstance(tile.nodes, BatchEntries):
            return signal * worth
        if tile.nodes is None or mixing.asked is None:
            return signal[:1, 0] * worth
        shares = mixing.of(tile.nodes)
        if tile.sense is not None:
            return self._joined(signal, shares, worth)
        k, r, m, c = signal.shape
        stored = shares if self.blocks is None else shares @ self.blocks
        mixed: Tensor = (stored * worth).to(self.kind) @ signal.reshape(k * r, m * c)
        return mixed.reshape(-1, m, c)

    def read(self, matrices: Tensor, driven: Tensor, mixing: "Mixing", keys: Any) -> Tensor:  # noqa: ANN401
        """Codes (b, c, p) of one read with rows driven with codes (b, p, m); in amperes for continuous converters.

        keys: (b,) streams of the noise.
        """
        tile = self.tile
        one = len(matrices) == 1
        currents = torch.matmul(driven, matrices[0]) if one else torch.bmm(driven, matrices)
        currents = currents.transpose(1, 2)
        if not tile.noise.silent or self.sigma > 0.0:
            currents = currents + self._noise(driven.detach(), mixing, keys)
        if self.erring is not None and self.erring.gains is not None:
            currents = currents * self.erring.gains
        if tile.adc.bits is None:
            return currents
        return converted(currents + self.offsets, tile.adc, self.erring)

    def _joined(self, signal: Tensor, shares: Tensor, worth: float) -> Tensor:
        """Matrices (b, m, c) of arrays with common sense inputs: docs/equations/periphery.md eq. 19-20."""
        sense = self.tile.sense
        if sense is None:
            raise TypeError("the arrays of this tile have sense inputs of their own")
        k, q, rows, width = signal.shape
        mixed = (shares.to(self.kind) @ signal.reshape(k * q, -1)).reshape(-1, rows, width)
        m, c = rows - 1, width // 2
        part = 1.0 / (1.0 + sense.r_sense * mixed[:, m])
        both = 0.5 * (part[:, 0::2] + part[:, 1::2]), 0.5 * (part[:, 0::2] - part[:, 1::2])
        return (both[0][:, None] * mixed[:, :m, :c] + both[1][:, None] * mixed[:, :m, c:]) * worth

    def _group(self, p: int, device: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - torch's
        """Means over reads that share a noise variance, (p, s), and the group of each read (p,)."""
        if p not in self.groups:
            group = np.arange(p) // (TOGETHER if p >= 2 * TOGETHER else 1)
            together = np.zeros((p, group[-1] + 1))
            together[np.arange(p), group] = 1.0 / np.bincount(group)[group]
            self.groups[p] = _put(together, device, self.kind), torch.as_tensor(group, device=device)
        return self.groups[p]

    def _noise(self, driven: Tensor, mixing: "Mixing", keys: Any) -> Tensor:  # noqa: ANN401
        """Noise (b, c, p) [LSB] of cells and converters, the numbers of `run`: docs/equations/periphery.md eq. 4-5."""
        tile = self.tile
        b, p, _ = driven.shape
        c = tile.pairs
        numbers = drawn(keys, c * p, driven.device).reshape(b, c, p).to(self.kind)
        if tile.noise.silent:
            return self.sigma * numbers
        mean, ratio, index = self._variance(driven, self._blurred(mixing))
        if self.sigma == 0.0:
            return torch.sqrt(mean)[:, index].transpose(1, 2) * torch.sqrt(ratio)[:, None] * numbers
        return torch.sqrt(mean[:, index].transpose(1, 2) * ratio[:, None] + self.sigma**2) * numbers

    def _blurred(self, mixing: "Mixing") -> Tensor:
        """Variances (b or 1, 2 t, c) of the stored matrices' mixtures, white ones and those of 1/f noise [LSB²]."""
        tile, lsb = self.tile, self.lsb
        k, q, t2, c = tile.variances.shape
        if isinstance(tile.nodes, BatchEntries):
            whole = self.blur.reshape(k, q, t2, c).sum(0)
            return whole / lsb**2
        if tile.nodes is None or tile.noise_nodes is None or mixing.asked is None:
            return (self.blur[:1] / lsb**2).reshape(1, t2, c)
        factors = mixing.of(tile.noise_nodes).detach() / lsb**2
        return (factors.to(self.kind) @ self.blur).reshape(-1, t2, c)

    def _variance(self, driven: Tensor, noisy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean variances (b, s, c) of groups of reads, each read's share over its group's mean (b, p), its group."""
        tile, dac = self.tile, self.tile.dac
        m = driven.shape[2]
        together, index = self._group(driven.shape[1], driven.device)
        unit, volts = 1.0 / dac.full_code, dac.v_read / dac.full_code
        rest, full = (float(dac.white(np.array(share), tile.noise, tile.temperature)) for share in (0.0, 1.0))
        squares = driven**2
        level = rest + unit * (full - rest) * torch.matmul(together.T, torch.matmul(driven, self.strip))
        power = volts**2 * torch.matmul(together.T, torch.matmul(squares, self.strip))
        mean = torch.matmul(torch.cat([level, power], dim=2), noisy).clamp(min=0.0)  # (b, s, c)
        kinds = noisy.reshape(len(noisy), 2, -1).sum(2)
        profile = m * rest + unit * (full - rest) * driven.sum(2), volts**2 * squares.sum(2)
        share = kinds[:, :1] * profile[0] + kinds[:, 1:] * profile[1]  # (b, p)
        of_group = torch.matmul(share, together)[:, index]
        ratio = torch.where(of_group > 0.0, share / torch.where(of_group > 0.0, of_group, 1.0), 1.0)
        return mean, ratio, index


class Mixing:
    """Gains of the gates of a batch, and what each stored matrix contributes at them, computed once for all tiles."""

    def __init__(self, asked: Tensor | None) -> None:
        """asked: (b, k) in float64; None: the gates are held open."""
        self.asked = asked
        self.held: dict[Nodes, Tensor] = {}

    def of(self, nodes: Nodes) -> Tensor:
        """Coefficients (b, k q) in float64 of matrices at these nodes."""
        if nodes not in self.held:
            self.held[nodes] = mix(self.asked, nodes, torch.float64)
        return self.held[nodes]


def _put(array: Any, device: Any, kind: Any) -> Tensor:  # noqa: ANN401 - arrays
    return torch.as_tensor(np.asarray(array), device=device).to(kind)


def _erring(tile: Tile, device: Any, kind: Any) -> Erring | None:  # noqa: ANN401 - torch's
    """The errors of a tile's converters as tensors; None if they have none."""
    held: ConverterErrors | None = tile.errors
    if held is None:
        return None
    thresholds = None
    if held.thresholds.shape[1]:
        thresholds = _put(held.thresholds[held.converter], device, kind)
    gains, correction = (_put(each, device, kind)[:, None] for each in (held.gains, held.correction))
    return Erring(gains, thresholds, correction)
