"""A compiled program as a torch module: forwards a chip's reads, backwards the gradient through its wires and gates.

b = batch, p = positions, m = rows, c = pairs, k = kernels, q = gate nodes, n = outputs, s = groups of reads
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from crossbar.tiles.converters import TOGETHER
from crossbar.tiles.tile import Tile
from devices import checks
from devices.errors import ParameterError
from devices.numerics.random_streams import stream_keys
from mapping.chips.chip import Chip
from mapping.networks.graph import Network
from mapping.networks.layers.base import INPUT, Layer, as_given, as_maps
from mapping.networks.layers.convolutions import Attention, Conv, DynamicConv
from mapping.networks.layers.matrix_layers import Linear, MatrixLayer
from mapping.networks.layers.transposed import ConvTranspose
from mapping.networks.unrolling import sides
from mapping.placement.matrix import Matrix
from mapping.placement.program import Program
from mapping.training import digital_layers
from mapping.training.converters import codes, converted, gains, mix
from mapping.training.counter_noise import normals
from mapping.training.reduced_tiles import MatrixTiles, Reduction, SignalsOf, pairs
from mapping.training.target_conductances import TRAINED, Encoded, check_trainable
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

Tensor = Any  # torch's own classes have no types here
KINDS = {"single": torch.float32, "double": torch.float64}


class ChipModule(nn.Module):  # type: ignore[misc]
    """A network on one written chip, whose weights are parameters.

    Forwards: the outputs of `run` on the chip that `write(program, seed)` makes, with the read noise of `read_seed`, to
    rounding.  Backwards: exact through encoding, wires, gates and the digital part; straight through converters and
    write errors (docs/training.md).  Parameters are those of the network with folded batch norms.
    In training, cells are written and wires solved anew every `reduce_every` forwards; between them each transfer
    conductance follows its own cell, and `update_error` says how far that was off.
    Raises ParameterError for layouts stacked and reprogram, gates of columns, and pulses other than "pulse-width".
    """

    def __init__(
        self, program: Program, seed: int = 0, *, read_seed: int = 0, reduce_every: int = 1, precision: str = "single",
        chip: Chip | None = None,
    ) -> None:  # fmt: skip
        """chip: what `write(program, seed)` returned, if that is at hand."""
        super().__init__()
        if precision not in KINDS:
            raise ParameterError(f"precision must be one of {', '.join(KINDS)}, got {precision!r}")
        check_trainable(program)
        self.kind = KINDS[precision]
        self.seed = checks.seed(seed)
        self.read_seed = checks.whole("read_seed", read_seed, minimum=0)
        self.reduce_every = checks.whole("reduce_every", reduce_every, minimum=1)
        self.update_error = 0.0  #: of the last steps without a reduction, over the largest entry of each tile
        self.forwards = 0  #: in training, since the last refresh
        self._anew = False
        self._names: dict[str, str] = {}
        for layer in program.folded.layers:
            for key, value in _weights(layer):
                name = re.sub(r"\W", "_", key)
                self._names[key] = name
                self.register_parameter(name, nn.Parameter(torch.tensor(value, dtype=self.kind)))
        self._take(program, write(program, self.seed) if chip is None else chip)

    # ---- the network and its chip ----

    def network(self) -> Network:
        """Return the network with the weights as they are, batch norms folded; `save_network` takes it."""
        folded = self.program.folded
        layers = []
        for layer in folded.layers:
            held = {key: self._held(f"{layer.name}.{key}") for key in ("weight", "bias")}
            new = {key: value for key, value in held.items() if value is not None}
            if isinstance(layer, DynamicConv):
                parts = {key: self._held(f"{layer.name}.attention.{key}") for key in Attention.arrays}
                given = {key: value for key, value in parts.items() if value is not None}
                new["attention"] = replace(layer.attention, **given)
            layers.append(replace(layer, **new) if new else layer)
        return Network(folded.name, folded.input_shape, folded.classes, tuple(layers), folded.card)

    def refresh(self, seed: int | None = None) -> None:
        """Compile the network as it is now and write it to the chip, or to another one: ranges and scales are new.

        seed: of the chip; None: the same cells.
        """
        if seed is not None:
            self.seed = checks.seed(seed)
        program = compile_network(self.network(), self.program.hardware, self.program.calibration)
        self._take(program, write(program, self.seed))

    def _held(self, key: str) -> Any:  # noqa: ANN401 - an array or None
        name = self._names.get(key)
        return None if name is None else getattr(self, name).detach().cpu().double().numpy()

    def _take(self, program: Program, chip: Chip) -> None:
        self.program, self.adjustments = program, chip.adjustments
        self.tiles: dict[str, MatrixTiles] = {}
        self.encoded: dict[str, Encoded] = {}
        self.reductions: dict[str, Reduction] = {}
        self._linear: dict[str, list[Tensor]] = {}
        self._kept: dict[str, Any] = {}  # signals and scales where nothing is learnt
        self._written: dict[str, Any] = chip.tiles
        self._at: dict[str, Any] = {}  # targets (k, r, 2 n) of `_written`
        self.forwards = 0
        index = {matrix.name: at for at, matrix in enumerate(program.all_matrices)}
        for layer in program.folded.layers:
            own = [(matrix, None) for matrix in program.matrices.get(layer.name, ())]
            parts = program.matrices.get(f"{layer.name}.attention", ())
            for matrix, part in [*own, *((matrix, at) for at, matrix in enumerate(parts))]:
                encoded = Encoded(program, matrix, layer, part)
                weight = self._weight(layer, part)
                encoded.calibrate(weight)
                self.encoded[matrix.name] = encoded
                self._at[matrix.name] = encoded.targets(weight)[0].detach().cpu().numpy()
                self.tiles[matrix.name] = MatrixTiles(
                    program, matrix, index[matrix.name], self.seed, chip.stress.get(matrix.name)
                )

    def _weight(self, layer: Layer, part: int | None, key: str = "weight") -> Tensor:
        owner = layer.name if part is None else f"{layer.name}.attention"
        name = self._names.get(f"{owner}.{key}" if part is None else f"{owner}.{key}_{part + 1}")
        return None if name is None else getattr(self, name)

    # ---- a forward pass ----

    def forward(self, images: Tensor, first: int = 0) -> Tensor:
        """Return the outputs (b, classes) for images (b, c, h, w).

        first: number of the first image in its run, which names its read noise.
        """
        folded = self.program.folded
        indices = first + np.arange(len(images))
        values = {INPUT: images.to(self.kind)}
        self._anew = self.training and self.forwards % self.reduce_every == 0
        for layer, last in zip(folded.layers, folded.last_use, strict=True):
            output = self._layer(layer, [values[source] for source in layer.inputs], indices)
            axis = layer.output_axis if isinstance(layer, MatrixLayer) else 1
            values[layer.name] = self._adjusted(layer.name, output, axis)
            for name in last:
                del values[name]
        self.forwards += int(self.training)
        return values[folded.layers[-1].name]

    def _adjusted(self, name: str, output: Tensor, axis: int = 1) -> Tensor:
        if name not in self.adjustments:
            return output
        shape = (-1, *[1] * (output.ndim - 1 - axis % output.ndim))
        scale, shift = (digital_layers.like(each, output).reshape(shape) for each in self.adjustments[name])
        return output * scale + shift

    def _layer(self, layer: Layer, inputs: list[Tensor], indices: Any) -> Tensor:  # noqa: ANN401
        matrices = self.program.matrices.get(layer.name)
        if matrices is None:
            return digital_layers.apply(layer, *inputs)
        if isinstance(layer, Linear):
            x = inputs[0].reshape(len(inputs[0]), -1, inputs[0].shape[-1])
            out = self._multiply(matrices[0], x, None, None, indices)
            return out.transpose(1, 2).reshape(*inputs[0].shape[:-1], -1)
        if isinstance(layer, ConvTranspose):
            return self._transposed(layer, matrices, inputs[0], indices)
        if not isinstance(layer, (Conv, DynamicConv)):
            raise TypeError(f"{layer!r} has matrices but no way to run them")
        shares = self._shares(layer, inputs, indices) if isinstance(layer, DynamicConv) else None
        outputs = []
        for group in range(layer.groups):
            members = [matrix for matrix in matrices if matrix.group == group]
            rows = self._windows(layer, inputs, group)
            outputs.append(self._group(members, rows, shares, indices))
        joined = torch.cat(outputs, dim=1)
        return joined.reshape(len(joined), *self.program.folded.shapes()[layer.name])

    def _group(self, members: list[Matrix], rows: Tensor, shares: Tensor | None, indices: Any) -> Tensor:  # noqa: ANN401
        if shares is None:
            return self._multiply(members[0], rows, None, None, indices)
        if members[0].kind == "kernel":
            return sum(
                shares[:, k, None, None].to(self.kind) * self._multiply(matrix, rows, None, None, indices)
                for k, matrix in enumerate(members)
            )
        hardware = self.program.hardware
        asked = None
        if members[0].gated:
            held = torch.cat([shares, torch.ones_like(shares[:, :1])], dim=1) if members[0].held else shares
            asked = gains(held, hardware.gate_dac, hardware.cell)
        return self._multiply(members[0], rows, asked, shares, indices)

    def _windows(self, layer: Conv | DynamicConv, inputs: list[Tensor], group: int) -> Tensor:
        """Rows (b, p, r) of one group's windows, before they are coded."""
        channels = layer.channels // layer.groups
        maps = as_maps(inputs[0])[:, group * channels : (group + 1) * channels]
        around = digital_layers.padded(maps, layer.padding)
        rows = functional.unfold(around, layer.kernel, dilation=layer.dilation, stride=layer.stride).transpose(1, 2)
        return rows if len(inputs) < 3 else rows * inputs[2].repeat(1, channels)[:, None, :]

    def _transposed(self, layer: ConvTranspose, matrices: Sequence[Matrix], x: Tensor, indices: Any) -> Tensor:  # noqa: ANN401
        """Read each pixel once and add the windows that it gives where they overlap, then the bias."""
        maps: Tensor = as_maps(x)
        outputs = []
        each = layer.channels // layer.groups
        _, *size = layer.output_shape(tuple(maps.shape[1:]))
        top, left = sides(layer.padding)[:2]
        reach = [
            (n - 1) * s + d * (k - 1) + 1
            for n, s, d, k in zip(maps.shape[2:], layer.stride, layer.dilation, layer.kernel, strict=True)
        ]
        missing = [max(p + n - r, 0) for p, n, r in zip((top, left), size, reach, strict=True)]
        for matrix in matrices:
            rows = maps[:, matrix.group * each : (matrix.group + 1) * each].flatten(2).transpose(1, 2)
            products = self._multiply(matrix, rows, None, None, indices)
            whole = functional.fold(products, reach, layer.kernel, dilation=layer.dilation, stride=layer.stride)
            whole = functional.pad(whole, (0, missing[1], 0, missing[0]))
            outputs.append(whole[:, :, top : top + size[0], left : left + size[1]])
        out, bias = torch.cat(outputs, dim=1), self._weight(layer, None, "bias")
        return as_given(out if bias is None else out + bias[:, None, None], x)

    def _shares(self, layer: DynamicConv, inputs: list[Tensor], indices: Any) -> Tensor:  # noqa: ANN401
        """Attention (b, k) in float64: FC layers on tiles, pooling and softmax digital."""
        x = (inputs[1] if len(inputs) > 1 else inputs[0]).mean(dim=(2, 3))
        for part, matrix in enumerate(self.program.matrices[f"{layer.name}.attention"]):
            x = functional.relu(x) if part else x
            x = self._adjusted(matrix.name, self._multiply(matrix, x[:, None, :], None, None, indices)[:, :, 0])
        scores = x.double() / layer.attention.temperature
        return torch.softmax(scores, dim=1) if layer.attention.kind == "softmax" else torch.sigmoid(scores)

    # ---- matrices ----

    def _signals(self, name: str) -> tuple[list[Tensor], Tensor, Sequence[Tile]]:
        """Signals of all tiles of a matrix, (k, q, m, c) each, its digital scales (n,), and the tiles."""
        encoded = self.encoded[name]
        weight = self._weight(encoded.layer, encoded.part)
        if not self.training and not torch.is_grad_enabled():
            return self._read_only(name, encoded, weight)
        targets, scale = encoded.targets(weight)
        at, now = self.reductions.get(name), targets.detach().cpu().numpy()
        if at is None or self._anew or (not self.training and not np.array_equal(at.targets, now)):
            new = self.tiles[name].reduce(now)
            if at is not None and self.training and self.reduce_every > 1:
                guessed = self._updated(name, at, targets.detach())
                off = (_off(guess.cpu().numpy(), tile.signal) for guess, tile in zip(guessed, new.tiles, strict=True))
                self.update_error = max(self.update_error, *off)
            at = self.reductions[name] = new
            self._linear.pop(name, None)
        elif self.training:
            return self._updated(name, at, targets), scale, at.tiles
        return list(SignalsOf.apply(targets, self.tiles[name], at, self.kind)), scale, at.tiles

    def _read_only(
        self, name: str, encoded: Encoded, weight: Tensor
    ) -> tuple[list[Tensor], Tensor, Sequence[Tile]]:  # fmt: skip
        """The same where nothing is to be learnt: kept until the weight changes or moves to another device."""
        version = (weight._version, str(weight.device))  # noqa: SLF001 - torch has no other count of changes
        held = self._kept.get(name)
        if held is None or held[0] != version:
            targets, scale = encoded.targets(weight)
            now = targets.cpu().numpy()
            tiles = self._written[name] if np.array_equal(now, self._at[name]) else self.tiles[name].reduce(now).tiles
            signals = [torch.as_tensor(each.signal, device=weight.device).to(self.kind) for each in tiles]
            held = self._kept[name] = (version, signals, scale, tiles)
        return held[1:]

    def _updated(self, name: str, at: Reduction, targets: Tensor) -> list[Tensor]:
        """Signals when targets have moved since they were reduced: each transfer goes with its own cell.

        Source: docs/equations/adjoint.md eq. 9.
        """
        if name not in self._linear:
            self._linear[name] = [
                torch.as_tensor(_own_slopes(tile, seen, slopes), device=targets.device).to(self.kind)
                for tile, seen, slopes in zip(at.tiles, at.seen, at.slopes, strict=True)
            ]
        moved = (targets - torch.as_tensor(at.targets, device=targets.device)).to(self.kind)
        out = []
        for tile, slopes, placement in zip(at.tiles, self._linear[name], self.tiles[name].matrix.tiles, strict=True):
            change = moved[:, placement.rows, pairs(placement.columns)][:, None] * slopes
            before = torch.as_tensor(tile.signal, device=targets.device).to(self.kind)
            out.append(before + change[..., 0::2] - change[..., 1::2])
        return out

    def _multiply(
        self,
        matrix: Matrix,
        rows: Tensor,
        asked: Tensor | None,
        shares: Tensor | None,
        indices: Any,  # noqa: ANN401
    ) -> Tensor:
        """Multiply rows (b, p, r) by a matrix on its tiles: (b, n, p); as mapping/inference/layer_run.py does."""
        hardware = self.program.hardware
        signals, scale, held = self._signals(matrix.name)
        out = torch.zeros((len(rows), matrix.outputs, rows.shape[1]), dtype=self.kind, device=rows.device)
        for sign in (1.0, -1.0) if matrix.signed else (1.0,):
            driven = codes(rows * (sign / matrix.x_scale), hardware.dac)
            for at, (placement, tile, signal) in enumerate(zip(matrix.tiles, held, signals, strict=True)):
                keys = stream_keys(self.read_seed, (matrix.name, str(at), f"{sign:+g}"), indices)
                read = self._read(tile, signal, driven[:, :, placement.rows], asked, keys)
                factor = sign * (hardware.adc.lsb(tile.full_scale) or 1.0) * scale[placement.columns]
                part = read * factor.to(self.kind)[:, None]
                out = out + functional.pad(
                    part, (0, 0, placement.columns.start, matrix.outputs - placement.columns.stop)
                )
        encoded = self.encoded[matrix.name]
        bias = encoded.bias(self._weight(encoded.layer, encoded.part, "bias"))
        if bias is None:
            return out
        mixed = bias[None] if shares is None else shares.to(self.kind) @ bias
        return out + mixed[:, :, None]

    def _read(self, tile: Tile, signal: Tensor, driven: Tensor, asked: Tensor | None, keys: Any) -> Tensor:  # noqa: ANN401
        """Codes (b, c, p) of one read of a tile, its rows driven with codes (b, p, m)."""
        dac, lsb = tile.dac, tile.adc.lsb(tile.full_scale) or 1.0
        k, q, m, c = signal.shape
        worth = dac.v_read / (dac.full_code * lsb)
        if tile.nodes is None or asked is None:
            currents = torch.matmul(driven, signal[0, 0] * worth)
        else:
            mixed = (mix(asked, tile.nodes, torch.float64) * worth).to(self.kind) @ signal.reshape(k * q, m * c)
            currents = torch.bmm(driven, mixed.reshape(-1, m, c))
        currents = currents.transpose(1, 2)
        if not tile.noise.silent:
            currents = currents + self._noise(tile, driven.detach(), asked, keys, lsb)
        if tile.adc.bits is None:
            return currents
        return converted(currents + digital_layers.like(tile.offsets, driven)[:, None], tile.adc.largest)

    def _noise(self, tile: Tile, driven: Tensor, asked: Tensor | None, keys: Any, lsb: float) -> Tensor:  # noqa: ANN401
        """Read noise (b, c, p) [LSB]: docs/equations/periphery.md eq. 4-5, the numbers of `run`."""
        dac = tile.dac
        b, p, m = driven.shape
        k, q, t2, c = tile.variances.shape
        blur = digital_layers.like(tile.variances, driven).reshape(k * q, t2 * c)
        if tile.nodes is None or tile.noise_nodes is None or asked is None:
            noisy = (blur[:1] / lsb**2).reshape(1, t2, c)
        else:
            factors = mix(asked.detach(), tile.noise_nodes, torch.float64) / lsb**2
            noisy = (factors.to(self.kind) @ blur).reshape(b, t2, c)
        starts = range(m) if tile.strips is None else tile.strips
        strip = np.zeros((m, len(starts)))
        for at, (begin, end) in enumerate(zip(starts, [*list(starts)[1:], m], strict=True)):
            strip[begin:end, at] = 1.0 / (end - begin)
        size = TOGETHER if p >= 2 * TOGETHER else 1
        group = np.arange(p) // size
        together = np.zeros((p, group[-1] + 1))
        together[np.arange(p), group] = 1.0 / np.bincount(group)[group]
        strip_, together_ = digital_layers.like(strip, driven), digital_layers.like(together, driven)
        unit, volts = 1.0 / dac.full_code, dac.v_read / dac.full_code
        rest, full = (float(dac.white(np.array(share), tile.noise, tile.temperature)) for share in (0.0, 1.0))
        squares = driven**2
        level = rest + unit * (full - rest) * torch.matmul(together_.T, torch.matmul(driven, strip_))
        power = volts**2 * torch.matmul(together_.T, torch.matmul(squares, strip_))
        rows = torch.cat([level, power], dim=2)  # (b, s, 2 t)
        variance = torch.matmul(rows, noisy).clamp(min=0.0)  # (b, s, c)
        kinds = noisy.reshape(len(noisy), 2, -1).sum(2)
        profile = m * rest + unit * (full - rest) * driven.sum(2), volts**2 * squares.sum(2)
        share = kinds[:, :1] * profile[0] + kinds[:, 1:] * profile[1]  # (b, p)
        index = torch.as_tensor(group, device=driven.device)
        mean = torch.matmul(share, together_)[:, index]
        ratio = torch.sqrt(torch.where(mean > 0.0, share / torch.where(mean > 0.0, mean, 1.0), 1.0))
        deviation = torch.sqrt(variance)[:, index].transpose(1, 2) * ratio[:, None]
        drawn = normals(torch.as_tensor(keys.view(np.int64), device=driven.device), -(-c * p // 4) * 4)
        return deviation * drawn[:, : c * p].reshape(b, c, p).to(self.kind)


def _off(guessed: Any, exact: Any) -> float:  # noqa: ANN401 - arrays
    """Largest difference over the largest entry."""
    return float(np.abs(guessed - exact).max() / np.abs(exact).max())


def _own_slopes(tile: Tile, seen: Any, slopes: Any) -> Any:  # noqa: ANN401 - arrays
    """Slopes (k, q, m, 2 c) of each cell's own transfer by its target: what wires leave of a cell's conductance.

    A pair's two transfers are not kept apart; the share of the pair stands for both.
    """
    difference = seen[..., 0::2] - seen[..., 1::2]
    sure = np.abs(difference) > 0.05 * np.maximum(seen[..., 0::2], seen[..., 1::2])
    typical = np.median((tile.signal / np.where(sure, difference, 1.0))[sure]) if sure.any() else 1.0
    share = np.clip(np.where(sure, tile.signal / np.where(sure, difference, 1.0), typical), 0.0, 1.0)
    return np.repeat(share, 2, axis=-1) * slopes


def _weights(layer: Layer) -> list[tuple[str, Any]]:
    """Arrays of a layer that are trained, by their keys."""
    if not isinstance(layer, TRAINED):
        return []
    found = [(f"{layer.name}.{key}", getattr(layer, key)) for key in ("weight", "bias")]
    if isinstance(layer, DynamicConv):
        found += [(f"{layer.name}.attention.{key}", getattr(layer.attention, key)) for key in Attention.arrays]
    return [(key, value) for key, value in found if value is not None]
