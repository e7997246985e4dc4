"""The compiler: one pass per function, and `compile_network` that chains them.

b = batch, p = positions, k = kernels, r = matrix rows, n = outputs
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossbar.reduction import transfer_matrices
from devices import checks
from devices.aliases import FloatArray
from devices.errors import MappingError, ParameterError
from mapping import digital
from mapping.encode import Encoding, cancel_floor, filaments, gate_floor
from mapping.hardware import Hardware, load_hardware
from mapping.network import BatchNorm, Conv, DynamicConv, Layer, Linear, Network, linear
from mapping.program import Matrix, Placement, Program
from mapping.unroll import kernel_matrix

COMPENSATION_STEPS = 3  # ours: 20 % of IR drop leaves under 1 %


def compile_network(network: Network, hardware: Hardware | str | os.PathLike[str], calibration: FloatArray) -> Program:
    """Place a network on a chip description and fix every range on calibration images.

    calibration: (b, c, h, w) images that stand for those to come, none of them from the test set.
    Raises ParameterError for images of another shape, MappingError if a layer cannot be placed.
    """
    if not isinstance(hardware, Hardware):
        hardware = load_hardware(hardware)
    calibration = checks.array("calibration", calibration, shape=(None, *network.input_shape))
    if not len(calibration):
        raise ParameterError("calibration must hold at least one image, got none")
    folded = fold(network)
    values = folded.activations(calibration)
    matrices: dict[str, tuple[Matrix, ...]] = {}
    for layer in folded.layers:
        if isinstance(layer, (Conv, DynamicConv, Linear)):
            hardware.validate(layer.name, isinstance(layer, DynamicConv))
            x = [values[source] for source in layer.inputs]
            shares = values.get(f"{layer.name}.attention")
            sources = _sources(layer, x)
            matrices[layer.name] = tuple(place(source, shares, hardware) for source in sources)
            if isinstance(layer, DynamicConv):
                parts = _attention_sources(layer, layer.pooled(x))
                matrices[f"{layer.name}.attention"] = tuple(place(part, None, hardware) for part in parts)
    return Program(network, folded, hardware, matrices)


def fold(network: Network) -> Network:
    """Fold each batch norm that alone follows a matrix into it, where that is exact.

    Attention that does not sum to 1 would scale the shift as well; the batch norm after such a layer stays.
    """
    layers: dict[str, Layer] = {layer.name: layer for layer in network.layers}
    used = [source for layer in network.layers for source in layer.inputs]
    renamed: dict[str, str] = {}
    for norm in network.layers:
        if not isinstance(norm, BatchNorm):
            continue
        before = layers.get(renamed.get(norm.inputs[0], norm.inputs[0]))
        if before is None or used.count(norm.inputs[0]) > 1 or not isinstance(before, (Conv, DynamicConv, Linear)):
            continue
        if isinstance(before, DynamicConv) and before.attention.kind != "softmax":
            continue
        layers[before.name] = _folded(before, norm)
        del layers[norm.name]
        renamed[norm.name] = before.name
    kept = [
        replace(layer, inputs=tuple(renamed.get(source, source) for source in layer.inputs))
        for layer in layers.values()
    ]
    return Network(network.name, network.input_shape, network.classes, tuple(kept), network.card)


def _folded(layer: Conv | DynamicConv | Linear, norm: BatchNorm) -> Layer:
    gain = norm.gamma / np.sqrt(norm.variance + norm.epsilon)
    shift = norm.beta - gain * norm.mean
    if isinstance(layer, DynamicConv):  # shares of sum 1 pass a shift that all kernels have in common
        bias = np.zeros(layer.weight.shape[:2]) if layer.bias is None else layer.bias
        return replace(layer, weight=layer.weight * gain[:, None, None, None], bias=gain * bias + shift)
    bias = np.zeros_like(gain) if layer.bias is None else layer.bias
    weight = layer.weight * gain.reshape(-1, *[1] * (layer.weight.ndim - 1))
    return replace(layer, weight=weight, bias=gain * bias + shift)


@dataclass(frozen=True, eq=False)
class Source:
    """A matrix before it is placed, with the inputs that calibration sends through it."""

    name: str
    kind: str
    weights: FloatArray  #: (k, r, n)
    bias: FloatArray | None  #: (n,) or (k, n)
    x: FloatArray  #: (b, p, r)
    sums_to_one: bool  #: the shares of the kernels


def _sources(layer: Conv | DynamicConv | Linear, x: Sequence[FloatArray]) -> list[Source]:
    """Lay a layer out as matrices, one per group."""
    if isinstance(layer, Linear):
        return [Source(layer.name, "linear", layer.weight.T[None], layer.bias, x[0][:, None, :], True)]
    dynamic = isinstance(layer, DynamicConv)
    kernels: FloatArray = layer.weight if dynamic else layer.weight[None]
    matrices = np.stack([kernel_matrix(kernel) for kernel in kernels])
    unrolled = layer.unroll(x)
    r, n = matrices.shape[1], matrices.shape[2] // layer.groups
    return [
        Source(
            layer.name if layer.groups == 1 else f"{layer.name}.group{g}",
            "dynamic conv" if dynamic else "conv",
            matrices[..., g * n : (g + 1) * n],
            None if layer.bias is None else layer.bias[..., g * n : (g + 1) * n],
            unrolled[..., g * r : (g + 1) * r],
            not isinstance(layer, DynamicConv) or layer.attention.kind == "softmax",
        )
        for g in range(layer.groups)
    ]


def _attention_sources(layer: DynamicConv, pooled: FloatArray) -> list[Source]:
    """The two FC layers of a dynamic layer's attention."""
    attention = layer.attention
    hidden = digital.relu(linear(pooled, attention.weight_1, attention.bias_1))
    parts = ((attention.weight_1, attention.bias_1, pooled), (attention.weight_2, attention.bias_2, hidden))
    return [
        Source(f"{layer.name}.attention{index}", "attention", weight.T[None], bias, x[:, None, :], True)
        for index, (weight, bias, x) in enumerate(parts, 1)
    ]


def cut(length: int, most: int) -> list[slice]:
    """Cut a length into the fewest nearly equal pieces of at most `most`."""
    parts = -(-length // most)
    return [slice(length * k // parts, length * (k + 1) // parts) for k in range(parts)]


def place(source: Source, shares: FloatArray | None, hardware: Hardware) -> Matrix:
    """Encode a matrix, cut it into tiles and fix the range of each tile's converters over the calibration inputs.

    shares: (b, k) attention of each calibration image; None for one kernel.
    """
    cell, dac = hardware.cell, hardware.dac
    floor = gate_floor(cell) if source.kind == "dynamic conv" else 0.0
    stored, mixed = cancel_floor(source.weights, floor, source.sums_to_one)
    encoding = Encoding.of(stored, cell, dac.v_read)
    largest = float(np.abs(source.x).max(initial=0.0))
    x_scale = largest if largest > 0.0 else 1.0
    signed = bool(source.x.min(initial=0.0) < 0.0)
    mixture = np.ones((1, 1)) if shares is None else floor + (1.0 - floor) * shares
    k, r, n = stored.shape
    cuts = [(rows, columns) for rows in cut(r, hardware.tile.rows) for columns in cut(n, hardware.tile.pairs)]
    conductances = encoding.pairs(stored)
    kept = 1.0
    if hardware.tile.compensate_wires and not hardware.wires.ideal:
        conductances, kept = compensate(conductances, cuts, typical_gains(shares, hardware), hardware)
    kernel = (mixture @ stored.reshape(k, -1)).reshape(len(mixture), r, n) * (encoding.siemens * dac.v_read * kept)
    tiles = []
    for rows, columns in cuts:
        peak = 0.0
        for sign in (1.0, -1.0) if signed else (1.0,):
            for _, share in dac.planes(dac.codes(sign * source.x[:, :, rows] / x_scale)):
                peak = max(peak, float(np.abs(np.matmul(share, kernel[:, rows, columns])).max(initial=0.0)))
        tiles.append(Placement(rows, columns, hardware.adc.margin * peak if peak > 0.0 else dac.v_read * cell.g_max))
    positions = source.x.shape[1]
    return Matrix(
        source.name,
        source.kind,
        conductances,
        x_scale / (dac.v_read * encoding.siemens * mixed * kept),
        x_scale,
        signed,
        source.bias,
        positions,
        math.prod(source.weights.shape[1:]) * positions,
        tuple(tiles),
    )


def typical_gains(shares: FloatArray | None, hardware: Hardware) -> FloatArray:
    """Return the read gain (k,) at which each kernel works, weighted by what it then contributes: E[pi²] / E[pi]."""
    cell = hardware.cell
    if shares is None:
        return np.array([cell.gain_high])
    typical = (shares**2).sum(0) / np.maximum(shares.sum(0), 1e-12)
    gains: FloatArray = cell.gain_low + typical * (cell.gain_high - cell.gain_low)
    return gains


def compensate(
    conductances: FloatArray, cuts: Sequence[tuple[slice, slice]], gains: FloatArray, hardware: Hardware
) -> tuple[FloatArray, float]:
    """Return targets whose transfer through the wires is what ideal wires would give, but for one common factor.

    conductances: (k, r, 2 n) [S] terminal conductances at the top of the gate window; gains: (k,) where each kernel is
    met. The factor is the transfer of the cell that loses most; all others are written weaker. Only the larger cell of
    a pair moves. COMPENSATION_STEPS fixed-point steps, each cutting the error by about the fraction that wires take.
    Raises MappingError if the wires let nothing through.
    Source: docs/equations/encoding.md eq. 6.
    """
    cell, v_read = hardware.cell, hardware.dac.v_read
    pieces = [filaments(conductances[:, rows, _both(columns)], cell, v_read) for rows, columns in cuts]
    at = gains[:, None, None]
    first = [cell.terminal_conductance(piece, at, v_read) for piece in pieces]
    wanted = [g[..., 0::2] - g[..., 1::2] for g in first]
    kept = min(float(_over(w, g).min()) for w, g in zip(_transfers(first, hardware), first, strict=True))
    if kept <= 0.0:
        raise MappingError(f"no read gets through the wires of chip {hardware.name!r}: {hardware.wires!r}")
    for _ in range(COMPENSATION_STEPS):
        through = _transfers([cell.terminal_conductance(piece, at, v_read) for piece in pieces], hardware)
        for piece, w, difference in zip(pieces, through, wanted, strict=True):
            for mine, sign in ((0, 1.0), (1, -1.0)):
                aim = kept * sign * difference + w[..., 1 - mine :: 2]
                moved = np.clip(piece[..., mine::2] * _over(aim, w[..., mine::2]), cell.g_min, cell.g_max)
                piece[..., mine::2] = np.where(sign * difference > 0.0, moved, piece[..., mine::2])
    out = conductances.copy()
    for (rows, columns), piece in zip(cuts, pieces, strict=True):
        out[:, rows, _both(columns)] = cell.terminal_conductance(piece, cell.gain_high, v_read)
    return out, kept


def _over(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return a / b, and 1 for a cell that conducts nothing."""
    return np.divide(a, b, out=np.ones_like(b), where=b > 0.0)


def _both(columns: slice) -> slice:
    """The cells of differential pairs."""
    return slice(2 * columns.start, 2 * columns.stop)


def _transfers(pieces: Sequence[FloatArray], hardware: Hardware) -> list[FloatArray]:
    """Transfer matrices (k, m, 2 c) of several tiles, those of equal shape in one call."""
    shapes = {piece.shape[1:] for piece in pieces}
    out: dict[int, FloatArray] = {}
    for shape in sorted(shapes):
        members = [index for index, piece in enumerate(pieces) if piece.shape[1:] == shape]
        reduced = transfer_matrices(np.concatenate([pieces[index] for index in members]), hardware.wires_in_use)
        out |= dict(zip(members, np.split(reduced, len(members)), strict=True))
    return [out[index] for index in range(len(pieces))]
