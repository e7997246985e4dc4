"""Weights as parameters, and the target conductances that encode them, differentiable (docs/equations/encoding.md).

k = kernels, r = matrix rows, n = outputs
"""

from typing import Any

import torch

from devices.errors import ParameterError
from mapping.networks.layers.base import Layer
from mapping.networks.layers.convolutions import Conv, DynamicConv
from mapping.networks.layers.matrix_layers import Linear
from mapping.networks.layers.transposed import ConvTranspose
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
    if not program.hardware.tile.code.plain:
        raise ParameterError(
            "ChipModule covers differential pairs of one slice without levels: set tile.encoding = 'differential', "
            "tile.slices = 1 and tile.levels = 'ideal'"
        )
    adc = program.hardware.adc
    if adc.gain_error or adc.curved or adc.noise() or adc.calibration:
        raise ParameterError(
            "ChipModule does not cover converters that err: set adc.gain_error, adc.inl, adc.dnl, adc.c_sample, "
            "adc.comparator_noise and adc.calibration to 0"
        )
    warm = program.hardware.retention.run_temperature
    if warm not in (0.0, program.hardware.temperature):
        raise ParameterError(f"retention.run_temperature must be 0 for ChipModule, got {warm:g} K")
    if program.hardware.tile.r_join is not None:
        raise ParameterError("tile.r_join must be 'ideal' for ChipModule, whose arrays have sense inputs of their own")
    how = program.hardware.tile.write
    if how != "drawn":
        raise ParameterError(f"tile.write must be 'drawn' for ChipModule, which writes in every step, got {how!r}")
    for layer in program.folded.layers:
        if layer.name in program.matrices and type(layer) not in TRAINED:
            raise ParameterError(f"{layer.name} is a {type(layer).__name__}, which ChipModule does not cover")
    for matrix in program.all_matrices:
        if matrix.column_gates or matrix.layout in ("stacked", "reprogram"):
            what = "gates of columns" if matrix.column_gates else f"layout {matrix.layout!r}"
            raise ParameterError(
                f"{matrix.name} has {what}, which ChipModule does not cover: choose mapping.layout = 'parallel' or "
                f"'digital', and mapping.channel_attention = 'digital'"
            )


class Encoded:
    """One matrix of a program as a function of its layer's weights."""

    def __init__(self, program: Program, matrix: Matrix, layer: Layer, part: int | None) -> None:
        """part: number of the FC layer of the layer's attention that the matrix is; None: the layer's own."""
        hardware = program.hardware
        self.program, self.matrix, self.layer, self.part = program, matrix, layer, part
        cell, v_read = hardware.cell, hardware.dac.v_read
        low, high = cell.terminal_conductance([cell.g_min, cell.g_max], cell.gain_high, v_read)
        self.low, self.window = float(low), float(high - low)
        self.alone = not isinstance(layer, DynamicConv) or part is not None or layer.attention.kind == "softmax"
        floor = gate_floor(cell) if matrix.gated else 0.0
        excess = floor / (1.0 - floor) if self.alone else 0.0
        self.taken = floor if matrix.held else 0.0  # part of the sum of all kernels that the last one takes away
        self.shared = excess / (1.0 + matrix.kernels * excess)  # of the sum of all kernels that each stores less
        self.ratio: Tensor = None  #: (k, r, 2 n) what the compiler's compensation of wires makes of a target
        self.factor: Tensor = None  #: (n,) digital scale times siemens

    def calibrate(self, weight: Tensor) -> None:
        """Take over what the compiler made of these weights: its compensation of wires, and its scale."""
        with torch.no_grad():
            plain, siemens = self._plain(weight)
            held = torch.as_tensor(self.matrix.conductances, device=weight.device)
            self.ratio = torch.where(plain > 0.0, held / torch.where(plain > 0.0, plain, 1.0), 1.0)
            self.factor = torch.as_tensor(self.matrix.scale, device=weight.device) * siemens

    def targets(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return target conductances (k, r, 2 n) [S] and digital scales (n,) in float64, for the layer's weights."""
        plain, siemens = self._plain(weight)
        return plain * self.ratio.to(plain.device), self.factor.to(plain.device) / siemens

    def _plain(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        w = self.weights(weight.double())
        stored = w - self.shared * w.sum(0)
        if self.matrix.held:
            stored = torch.cat([stored, -self.taken * w.sum(0, keepdim=True)])
        widest = stored if self.alone or self.matrix.gated else stored.abs().sum(0, keepdim=True)
        largest = widest.abs().amax(dim=(0, 1))
        if not self.program.hardware.tile.column_scales:
            largest = largest.max().expand(largest.shape)
        siemens = self.window / torch.where(largest > 0.0, largest, torch.ones_like(largest))
        zero = torch.zeros((), dtype=stored.dtype, device=stored.device)
        cells = torch.stack([torch.maximum(stored, zero), torch.maximum(-stored, zero)], dim=-1)
        return (self.low + siemens[:, None] * cells).flatten(2), siemens

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
