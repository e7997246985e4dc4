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

from crossbar.tiles.batch_tiles import StackedTile
from crossbar.tiles.tile import Tile
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.numerics.random_streams import stream_keys
from mapping.chips.chip import Bank, Chip
from mapping.inference.batch import Batch
from mapping.inference.batch_tiles import rewritten
from mapping.networks.graph import Network
from mapping.networks.layers.base import INPUT, Layer, as_given, as_maps
from mapping.networks.layers.convolutions import Attention, Conv, DynamicConv
from mapping.networks.layers.matrix_layers import Linear, MatrixLayer
from mapping.networks.layers.transposed import ConvTranspose
from mapping.networks.unrolling import sides
from mapping.placement.matrix import Matrix
from mapping.placement.program import Program
from mapping.training import digital_layers
from mapping.training.batch_signals import RewrittenSignals, StackedSignals, mixed
from mapping.training.converters import codes, gains
from mapping.training.reduced_tiles import Followed, MatrixTiles, Reduction, SignalsOf, of_transfers, stored
from mapping.training.target_conductances import TRAINED, Encoded, check_trainable, joined
from mapping.training.tile_reads import Mixing, TileReads
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
    conductance follows its own cell, and `update_error` says how far that was off.  Stacked bands and cells that are
    rewritten for each image are written and solved in every forward.
    Raises ParameterError for gates of columns, pulses other than "pulse-width", and a run at another temperature.
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
        self._linear: dict[str, list[tuple[Tensor, ...]]] = {}  # stored, and slopes of each cell's own transfer
        self._kept: dict[str, Any] = {}  # signals and scales where nothing is learnt
        self._constants: dict[tuple[str, int], TileReads] = {}
        self._written: dict[str, Any] = chip.tiles
        self._banks = chip.banks
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
                    program, matrix, index[matrix.name], self.seed, chip.stress.get(matrix.name),
                    chip.simulated.get(matrix.name),
                )  # fmt: skip

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

    def _signals(
        self, matrix: Matrix, asked: Tensor | None, shares: Tensor | None, indices: Any  # noqa: ANN401
    ) -> tuple[Sequence[Tensor], Tensor, Sequence[Tile]]:  # fmt: skip
        """What reads take from all tiles of a matrix, its digital scales (n,), and the tiles.

        (k, q, m, c) for each tile, or (b, m, c) where the circuit differs from image to image.
        """
        name, encoded = matrix.name, self.encoded[matrix.name]
        weight = self._weight(encoded.layer, encoded.part)
        if matrix.rewritten and shares is not None:
            return self._rewritten(matrix, encoded, weight, shares, indices)
        if self.tiles[name].stacked and asked is not None:
            return self._stacked(name, encoded, weight, asked)
        if not self.training and not torch.is_grad_enabled():
            return self._read_only(name, encoded, weight)
        targets, scale = encoded.targets(weight)
        at, now = self.reductions.get(name), targets.detach().cpu().numpy()
        if at is None or self._anew or (not self.training and not np.array_equal(at.targets, now)):
            new = self.tiles[name].reduce(now)
            if at is not None and self.training and self.reduce_every > 1:
                guessed = self._updated(name, at, targets.detach())
                off = (_off(guess.cpu().numpy(), stored(tile)) for guess, tile in zip(guessed, new.tiles, strict=True))
                self.update_error = max(self.update_error, *off)
            at = self.reductions[name] = new
            self._linear.pop(name, None)
        elif self.training:
            return self._updated(name, at, targets), scale, at.tiles
        return SignalsOf.apply(targets, self.tiles[name], at, self.kind), scale, at.tiles

    def _stacked(
        self, name: str, encoded: Encoded, weight: Tensor, asked: Tensor
    ) -> tuple[Sequence[Tensor], Tensor, Sequence[Tile]]:  # fmt: skip
        """The same for stacked bands, whose gates lie on common columns: solved for the gains (b, k) of each image."""
        targets, scale = encoded.targets(weight)
        at, now = self.reductions.get(name), targets.detach().cpu().numpy()
        if at is None and np.array_equal(now, self._at[name]):
            banks = [each for each in self._banks[name] if isinstance(each, StackedTile)]
            at = self.reductions[name] = Reduction(now, [each.written for each in banks], [], [], [], banks)
        elif at is None or not np.array_equal(at.targets, now):
            at = self.reductions[name] = self.tiles[name].reduce(now)
        ready = [bank.at(asked.detach().cpu().numpy()) for bank in at.banks]
        signals = StackedSignals.apply(targets, asked, self.tiles[name], at, ready, self.kind)
        return signals, scale, [each.tile for each in ready]

    def _rewritten(
        self, matrix: Matrix, encoded: Encoded, weight: Tensor, shares: Tensor, indices: Any  # noqa: ANN401
    ) -> tuple[Sequence[Tensor], Tensor, Sequence[Tile]]:  # fmt: skip
        """The same for cells that take the mixed kernel of each image, with errors of their own for each write."""
        hardware = self.program.hardware
        targets, scale = encoded.targets(weight)
        batch = Batch(self.read_seed, indices, np.dtype(np.float64))
        signals, tiles = [], []
        for placement, bank in zip(matrix.tiles, self._banks[matrix.name], strict=True):
            if not isinstance(bank, Bank):
                raise TypeError(f"{matrix.name} has no cells that are rewritten")
            wanted = mixed(targets, matrix, placement, shares, encoded.low)
            written, ready = rewritten(
                hardware, matrix, placement, bank, wanted.detach().cpu().numpy(), batch
            )  # fmt: skip
            signals.append(RewrittenSignals.apply(wanted, written, ready, bank.cells, hardware, self.kind))
            tiles.append(ready.tile)
        return signals, scale, tiles

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
            signals = [torch.as_tensor(stored(each), device=weight.device).to(self.kind) for each in tiles]
            held = self._kept[name] = (version, signals, scale, tiles)
        return held[1:]

    def _updated(self, name: str, at: Reduction, targets: Tensor) -> list[Tensor]:
        """What reads take when targets have moved since they were reduced: each transfer goes with its own cell.

        Source: docs/equations/adjoint.md eq. 9.
        """
        if name not in self._linear:
            self._linear[name] = []
            for tile, seen, slopes in zip(at.tiles, at.seen, at.slopes, strict=True):
                cells = _own_slopes(tile, seen, slopes)
                sides = [cells]
                if tile.sense is None and tile.columns == 2:
                    sides = [np.ascontiguousarray(cells[..., side::2]) for side in (0, 1)]
                parts = (torch.as_tensor(each, device=targets.device).to(self.kind) for each in (stored(tile), *sides))
                self._linear[name].append(tuple(parts))
        moved = (targets - torch.as_tensor(at.targets, device=targets.device)).to(self.kind)
        out = []
        for tile, (before, *by_cell), placement in zip(
            at.tiles, self._linear[name], self.tiles[name].matrix.tiles, strict=True
        ):
            change = moved[:, placement.rows, placement.cells]
            if tile.sense is None and tile.columns == 2:
                out.append(Followed.apply(change[..., 0::2], change[..., 1::2], before, *by_cell))
            else:
                out.append(before + of_transfers(change[:, None] * by_cell[0], tile))
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
        signals, scale, held = self._signals(matrix, asked, shares, indices)
        out = torch.zeros((len(rows), matrix.outputs, rows.shape[1]), dtype=self.kind, device=rows.device)
        mixing = Mixing(asked)
        reads = [self._reads(matrix.name, at, tile, rows) for at, tile in enumerate(held)]
        matrices = [each.matrices(signal, mixing) for each, signal in zip(reads, signals, strict=True)]
        for sign in (1.0, -1.0) if matrix.signed else (1.0,):
            driven = codes(rows * (sign / matrix.x_scale), hardware.dac)
            for at, placement in enumerate(matrix.tiles):
                keys = stream_keys(self.read_seed, (matrix.name, str(at), f"{sign:+g}"), indices)
                read = reads[at].read(matrices[at], driven[:, :, placement.rows], mixing, keys)
                factor = sign * reads[at].lsb * scale[placement.columns]
                part = joined(read, matrix.code) * factor.to(self.kind)[:, None]
                if placement.columns == slice(0, matrix.outputs):
                    out = out + part
                    continue
                out = out + functional.pad(
                    part, (0, 0, placement.columns.start, matrix.outputs - placement.columns.stop)
                )
        encoded = self.encoded[matrix.name]
        bias = encoded.bias(self._weight(encoded.layer, encoded.part, "bias"))
        if bias is None:
            return out
        mixed = bias[None] if shares is None else shares.to(self.kind) @ bias
        return out + mixed[:, :, None]

    def _reads(self, name: str, at: int, tile: Tile, like: Tensor) -> TileReads:
        """The reads of a tile, with constants that are kept as long as the tile is the same."""
        held = self._constants.get((name, at))
        if held is None or held.tile is not tile or held.offsets.device != like.device:
            held = self._constants[name, at] = TileReads(tile, like.device, self.kind)
        return held


def _off(guessed: Any, exact: Any) -> float:  # noqa: ANN401 - arrays
    """Largest difference over the largest entry."""
    return float(np.abs(guessed - exact).max() / np.abs(exact).max())


def _own_slopes(tile: Tile, seen: Any, slopes: Any) -> Any:  # noqa: ANN401 - arrays
    """Slopes (k, q, m, columns) of each cell's own transfer by its target: what wires leave of a cell's conductance.

    A pair's two transfers are not kept apart; the share of the pair stands for both.
    """
    if tile.columns == 1:
        alone: FloatArray = np.clip(tile.signal / np.where(seen > 0.0, seen, 1.0), 0.0, 1.0) * slopes
        return alone
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
