"""Weights as parameters, and the target conductances that encode them, differentiable (docs/equations/encoding.md).

k = kernels, r = matrix rows, n = outputs
"""

from typing import Any

import numpy as np
import torch

from devices.errors import ParameterError
from mapping.hardware.weight_code import WeightCode
from mapping.networks.layers.base import Layer
from mapping.networks.layers.convolutions import Conv, DynamicConv
from mapping.networks.layers.matrix_layers import Linear
from mapping.networks.layers.transposed import ConvTranspose
from mapping.placement.coded_weights import largest_coded, reference_fractions
from mapping.placement.encoding import gate_floor
from mapping.placement.matrix import Matrix
from mapping.placement.program import Program

Tensor = Any  # torch's own classes have no types here
TRAINED = (Conv, ConvTranspose, DynamicConv, Linear)


def check_trainable(program: Program) -> None:
    """Raise ParameterError for what training does not cover, before anything is computed."""
    coding = program.hardware.dac.coding
    if coding != "pulse-width":
        raise ParameterError(f"dac.coding must be 'pulse-width' for ChipModule, got {coding!r}")
    warm = program.hardware.retention.run_temperature
    if warm not in (0.0, program.hardware.temperature):
        raise ParameterError(f"retention.run_temperature must be 0 for ChipModule, got {warm:g} K")
    for layer in program.folded.layers:
        if layer.name in program.matrices and type(layer) not in TRAINED:
            raise ParameterError(f"{layer.name} is a {type(layer).__name__}, which ChipModule does not cover")
    for matrix in program.all_matrices:
        if matrix.column_gates:
            raise ParameterError(
                f"{matrix.name} has gates of columns, which ChipModule does not cover: choose "
                f"mapping.channel_attention = 'digital'"
            )


class Encoded:
    """One matrix of a program as a function of its layer's weights."""

    def __init__(self, program: Program, matrix: Matrix, layer: Layer, part: int | None) -> None:
        """part: number of the FC layer of the layer's attention that the matrix is; None: the layer's own."""
        hardware = program.hardware
        self.program, self.matrix, self.layer, self.part = program, matrix, layer, part
        self.code, self.by_output = matrix.code, hardware.tile.column_scales
        cell, v_read = hardware.cell, hardware.dac.v_read
        low, high = cell.terminal_conductance([cell.g_min, cell.g_max], cell.gain_high, v_read)
        self.low, self.window = float(low), float(high - low)
        self.alone = not isinstance(layer, DynamicConv) or part is not None or layer.attention.kind == "softmax"
        floor = gate_floor(cell) if matrix.gated else 0.0
        excess = floor / (1.0 - floor) if self.alone else 0.0
        self.taken = floor if matrix.held else 0.0  # part of the sum of all kernels that the last one takes away
        self.shared = excess / (1.0 + matrix.kernels * excess)  # of the sum of all kernels that each stores less
        self.clip: Tensor = None  #: (n,) largest coded weight over the largest one; for weights in slices or levels
        self.ratio: Tensor = None  #: (k, r, columns) what the compiler's compensation of wires makes of a target
        self.factor: Tensor = None  #: (n,) digital scale times siemens

    def calibrate(self, weight: Tensor) -> None:
        """Take over what the compiler made of these weights: its compensation of wires, and its scale."""
        with torch.no_grad():
            if not self.code.plain:
                stored = self._stored(weight)
                coded = largest_coded(stored.cpu().numpy(), self.code, by_output=self.by_output)
                self.clip = torch.as_tensor(coded, device=weight.device) / self._largest(stored)
            plain, siemens = self._plain(weight)
            held = torch.as_tensor(self.matrix.conductances, device=weight.device)
            self.ratio = torch.where(plain > 0.0, held / torch.where(plain > 0.0, plain, 1.0), 1.0)
            self.factor = torch.as_tensor(self.matrix.scale, device=weight.device) * siemens

    def targets(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return target conductances (k, r, columns) [S] and digital scales (n,) in float64, for a layer's weights."""
        plain, siemens = self._plain(weight)
        return plain * self.ratio.to(plain.device), self.factor.to(plain.device) / siemens

    def _stored(self, weight: Tensor) -> Tensor:
        """The kernels (k, r, n) that gates mix, without what their floor adds."""
        w = self.weights(weight.double())
        stored = w - self.shared * w.sum(0)
        return torch.cat([stored, -self.taken * w.sum(0, keepdim=True)]) if self.matrix.held else stored

    def _largest(self, widest: Tensor) -> Tensor:
        """Largest magnitude (n,) of weights (k, r, n); 1 where all are 0."""
        largest = widest.abs().amax(dim=(0, 1))
        if not self.by_output:
            largest = largest.max().expand(largest.shape)
        return torch.where(largest > 0.0, largest, torch.ones_like(largest))

    def _plain(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        stored = self._stored(weight)
        if not self.code.plain:
            return self._coded(stored)
        widest = stored if self.alone or self.matrix.gated else stored.abs().sum(0, keepdim=True)
        siemens = self.window / self._largest(widest)
        zero = torch.zeros((), dtype=stored.dtype, device=stored.device)
        cells = torch.stack([torch.maximum(stored, zero), torch.maximum(-stored, zero)], dim=-1)
        return (self.low + siemens[:, None] * cells).flatten(2), siemens

    def _coded(self, stored: Tensor) -> tuple[Tensor, Tensor]:
        """Cells of weights in slices, levels or one column each, as `code_weights` has them.

        Backwards every slice counts as a continuous one that holds an equal part of the weight.
        """
        code = self.code
        largest = self.clip.to(stored.device) * self._largest(stored)
        scaled = torch.clamp(stored / largest, -1.0, 1.0)
        parts = (
            torch.stack([scaled.clamp(min=0.0), (-scaled).clamp(min=0.0)], -1) if code.paired else 0.5 + scaled / 2.0
        )
        digits = parts[..., None]
        if code.levels is not None and code.steps is not None:
            powers = torch.as_tensor(float(code.levels) ** np.arange(code.slices), device=stored.device)
            whole = torch.round(parts.detach() * code.steps)
            held = torch.floor(whole[..., None] / powers) % code.levels / (code.levels - 1)
            smooth = digits * (code.steps / (code.slices * (code.levels - 1)) / powers)
            digits = smooth + (held - smooth).detach()
        if code.paired:
            digits = digits.transpose(-1, -2)
        digits = digits.flatten(3)  # (k, r, n, columns of an output)
        ends = torch.as_tensor(reference_fractions(code), device=stored.device).expand(*stored.shape[:2], -1)
        blocks = {each.columns.start: each.columns for each in self.matrix.tiles}
        cells = [
            torch.cat([digits[:, :, blocks[start]].flatten(2), ends], dim=2) for start in sorted(blocks)
        ]  # fmt: skip
        siemens = self.window / largest * (1.0 if code.paired else 0.5)
        return self.low + self.window * torch.cat(cells, dim=2), siemens

    def weights(self, weight: Tensor) -> Tensor:
        """Lay a layer's weights out as the matrix sees them, (k, r, n)."""
        if self.part is not None or isinstance(self.layer, Linear):
            return weight.T[None]
        n, group = self.matrix.outputs, self.matrix.group
        if isinstance(self.layer, ConvTranspose):
            each = self.layer.channels // self.layer.groups
            return weight[group * each : (group + 1) * each].flatten(1)[None]
        if isinstance(self.layer, Conv):
            return weight.flatten(1).T[None, :, group * n : (group + 1) * n]
        kernels = weight.flatten(2).transpose(1, 2)[..., group * n : (group + 1) * n]
        if self.matrix.kind == "kernel":
            k = int(self.matrix.name.rsplit(".kernel", 1)[1])
            return kernels[k : k + 1]
        return kernels

    def bias(self, bias: Tensor | None) -> Tensor | None:
        """Return what belongs to the matrix of a layer's biases: (n,) or (k, n)."""
        if isinstance(self.layer, ConvTranspose):
            return None  # it is added to the windows' sums
        if bias is None or self.part is not None or isinstance(self.layer, Linear):
            return bias
        n, group = self.matrix.outputs, self.matrix.group
        mine = bias[..., group * n : (group + 1) * n]
        return mine[int(self.matrix.name.rsplit(".kernel", 1)[1])] if self.matrix.kind == "kernel" else mine


def joined(codes: Tensor, code: WeightCode) -> Tensor:
    """Shift and add converted currents (b, converted, p) to those of the outputs (b, n, p), as the code says.

    Source: docs/equations/encoding.md eq. 16.
    """
    if code.plain:
        return codes
    held = codes.shape[1] - code.references
    out = sum(float(worth) * codes[:, digit : held : code.slices] for digit, worth in enumerate(code.worth))
    return out - codes[:, held:].mean(dim=1, keepdim=True) if code.references else out
