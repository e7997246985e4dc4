"""Placing: the matrices of a layer are encoded as conductances, cut into tiles, and calibrated.

b = batch, p = positions, k = kernels, r = matrix rows, n = outputs
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from devices.aliases import FloatArray
from devices.errors import MappingError
from mapping.hardware.description import Hardware
from mapping.networks import digital
from mapping.networks.layers.convolutions import Conv, DynamicConv
from mapping.networks.layers.matrix_layers import Linear, MatrixLayer, linear
from mapping.networks.layers.recurrent import Recurrent
from mapping.networks.layers.transposed import ConvTranspose
from mapping.networks.unrolling import kernel_matrix
from mapping.placement.coded_weights import CodedWeights, code_weights
from mapping.placement.encoding import Encoding, cancel_floor, gate_floor
from mapping.placement.gated_layers import split_scales
from mapping.placement.gating import kernel_floor, relative_of_images
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.wire_compensation import compensate, compensate_columns, remaining_current, typical_gains

PIECE = 8  # images at a time whose currents are compared, ours: their rows and kernels stay in the cache
#: matrices of a recurrent layer: suffixes of their names, and their kinds
RECURRENT = (("input", "recurrent input"), ("state", "recurrent state"), ("new", "recurrent state"))


def place_layer(
    layer: MatrixLayer, values: Mapping[str, FloatArray], hardware: Hardware, layout: str, stated: float | None = None
) -> dict[str, tuple[Matrix, ...]]:
    """Return the placed matrices of one layer, by its name, and those of its attention, by "<name>.attention".

    values: outputs of every layer, and every attention, on the calibration images.  layout: of a dynamic layer, one of
    LAYOUTS.  stated: largest size of its inputs where the network states it, else that of the calibration images.
    Raises MappingError if the layer cannot be placed.
    """
    dynamic = isinstance(layer, DynamicConv)
    hardware.validate(layer.name, dynamic and layout in ("parallel", "stacked"))
    x, scales = split_scales(layer, [values[source] for source in layer.inputs])
    if scales is not None:
        hardware.validate_columns(layer.name)
    hardware.validate_code(layer.name, layout if dynamic else None, columns_gated=scales is not None)
    weights = values.get(f"{layer.name}.attention")
    copies = 1 if isinstance(layer, Recurrent) else hardware.mapping.copies_of(layer.name)  # steps follow one another
    sources = _sources(layer, x, scales, layout)
    placed = {layer.name: tuple(place(source, weights, hardware, copies, stated) for source in sources)}
    if isinstance(layer, DynamicConv):
        parts = _attention_sources(layer, layer.pooled(x))
        placed[f"{layer.name}.attention"] = tuple(place(part, None, hardware) for part in parts)
    return placed


@dataclass(frozen=True, eq=False)
class Source:
    """A matrix before placing, with its inputs for the calibration images."""

    name: str
    kind: str
    weights: FloatArray  #: (k, r, n)
    bias: FloatArray | None  #: (n,) or (k, n)
    x: FloatArray  #: (b, p, r)
    sums_to_one: bool  #: whether the attention weights of the kernels sum to 1
    layout: str = "parallel"  #: of several kernels
    group: int = 0
    scales: FloatArray | None = None  #: (b, n) channel attention in [0, 1], on gates of the columns
    shift: FloatArray | None = None  #: (n,) added afterwards
    useful: bool = True  #: whether its multiplications count; in the layout "digital" only those of the first kernel do
    window: int = 1  #: number of rows of each channel


def _sources(layer: MatrixLayer, x: Sequence[FloatArray], scales: FloatArray | None, layout: str) -> list[Source]:
    """Return the matrices of a layer: one per group, in the layout "digital" one per group and kernel."""
    if isinstance(layer, Linear):
        return [Source(layer.name, "linear", layer.weight.T[None], layer.bias, layer.rows(x, 0), True)]
    if isinstance(layer, Recurrent):
        return [
            Source(f"{layer.name}.{name}", kind, weight.T[None], bias, layer.rows(x, g), True, group=g)
            for g, (name, kind) in enumerate(RECURRENT[: layer.groups])
            for weight, bias in [layer.matrix(g)]
        ]
    if isinstance(layer, ConvTranspose):
        names = [layer.name if layer.groups == 1 else f"{layer.name}.group{g}" for g in range(layer.groups)]
        return [
            Source(name, "transposed conv", layer.matrix(g)[None], None, layer.rows(x, g), True, group=g)
            for g, name in enumerate(names)
        ]
    if not isinstance(layer, (Conv, DynamicConv)):
        raise TypeError(f"{layer!r} has no matrices")
    dynamic = isinstance(layer, DynamicConv)
    kernels: FloatArray = layer.weight if dynamic else layer.weight[None]
    matrices = np.stack([kernel_matrix(kernel) for kernel in kernels])
    n = matrices.shape[2] // layer.groups
    window = math.prod(layer.kernel)
    sources = []
    for g in range(layer.groups):
        name = layer.name if layer.groups == 1 else f"{layer.name}.group{g}"
        part = matrices[..., g * n : (g + 1) * n]
        bias = None if layer.bias is None else layer.bias[..., g * n : (g + 1) * n]
        rows = layer.rows(x, g)
        if dynamic and layout == "digital":
            sources += [
                Source(f"{name}.kernel{k}", "kernel", part[k : k + 1], None if bias is None else bias[k], rows, True,
                       layout, g, useful=k == 0, window=window)
                for k in range(len(part))
            ]  # fmt: skip
            continue
        alone = not isinstance(layer, DynamicConv) or layer.attention.kind == "softmax"
        kind = "dynamic conv" if dynamic else "conv"
        shift = getattr(layer, "shift", None)
        shift, gates = (None if one is None else one[..., g * n : (g + 1) * n] for one in (shift, scales))
        sources.append(Source(name, kind, part, bias, rows, alone, layout, g, gates, shift, window=window))
    return sources


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


def place(
    source: Source, attention: FloatArray | None, hardware: Hardware, copies: int = 1, stated: float | None = None
) -> Matrix:
    """Encode a matrix, cut it into tiles and set the range of each tile's converters for the calibration inputs.

    attention: (b, k) weights of each calibration image; used if the matrix has several kernels.  stated: as in
    place_layer.
    Raises MappingError if a tile has fewer rows than bands, or IR drop leaves no current.
    """
    cell, dac = hardware.cell, hardware.dac
    mixes = source.kind == "dynamic conv" and attention is not None
    columns_gated = source.scales is not None
    gated = mixes and source.layout != "reprogram"
    floor, relative = gate_floor(cell) if gated else 0.0, None
    if source.scales is not None:
        floor = kernel_floor(cell, source.scales) if mixes else 0.0
    stored, mixed = cancel_floor(source.weights, floor, source.sums_to_one)
    held = len(stored) > len(source.weights)
    if held and attention is not None:
        attention = np.concatenate([attention, np.ones((len(attention), 1))], axis=1)
    if source.scales is not None:
        relative = relative_of_images(attention if mixes else None, source.scales, floor, cell)
    k, r, n = stored.shape
    bands = k if source.layout == "stacked" else 1
    if bands > hardware.tile.rows:
        raise MappingError(f"{source.name} has {k} kernels, too many for bands of a tile of {hardware.tile.rows} rows")
    widest = stored if source.sums_to_one or gated else np.abs(stored).sum(0)  # bound of a mixed kernel
    code, blocks = hardware.tile.code, cut(n, hardware.tile.outputs)
    encoding: Encoding | CodedWeights
    if code.plain:
        encoding = Encoding.of(widest, cell, dac.v_read, by_output=hardware.tile.column_scales)
    else:
        encoding = code_weights(stored, blocks, code, cell, dac.v_read, by_output=hardware.tile.column_scales)
    largest = float(np.abs(source.x).max(initial=0.0))
    x_scale = stated or (largest if largest > 0.0 else 1.0)
    signed = bool(source.x.min(initial=0.0) < 0.0)
    mixture = np.ones((1, 1))
    if mixes and attention is not None:
        mixture = floor + (1.0 - floor) * attention
    row_cuts = cut(r, hardware.tile.rows // bands)
    cuts = [(rows, columns) for rows in row_cuts for columns in blocks]
    conductances = encoding.pairs(stored) if isinstance(encoding, Encoding) else encoding.conductances
    kept, through = 1.0, None
    compensated = hardware.tile.compensate_wires and not hardware.wires.ideal and code.levels is None
    if compensated and not isinstance(encoding, Encoding):
        pieces = [(rows, encoding.blocks[columns.start]) for rows, columns in cuts]
        gains = typical_gains(attention if gated else None, hardware)
        conductances, kept = compensate_columns(conductances, pieces, gains, hardware)
    elif compensated and isinstance(encoding, Encoding):
        if mixes and not gated:
            mean = np.tensordot(mixture.mean(0), stored, axes=1)
            through = remaining_current(encoding.pairs(mean[None]), cuts, hardware)
            kept = float(through.min())
        else:
            gains = typical_gains(attention if gated else None, hardware)
            if relative is not None:
                gains = (relative**2).sum(0) / relative.sum(0) * cell.gain_high
            conductances, kept = compensate(conductances, cuts, gains, hardware, stacked=bands > 1)
    siemens = np.broadcast_to(encoding.siemens * dac.v_read * kept, (n,))

    def currents(rows: slice, columns: slice, images: slice) -> FloatArray:
        """Currents (b or 1, m, c) [A] of a tile's pairs for full rows, with the mixed kernels of some images."""
        mixing = mixture if len(mixture) == 1 else mixture[images]
        if isinstance(encoding, CodedWeights):
            seen = encoding.conductances[:, rows, encoding.blocks[columns.start]] * kept
            seen = seen[..., 0::2] - seen[..., 1::2] if code.paired else seen
            coded: FloatArray = np.tensordot(mixing, seen, axes=1) * dac.v_read
            return coded
        held = stored[:, rows, columns]
        if relative is not None:
            scaled: FloatArray = np.einsum("bkn,krn->brn", relative[images][:, :, columns], held) * siemens[columns]
            return scaled
        whole: FloatArray = np.tensordot(mixing, held, axes=1) * siemens[columns]
        return whole

    tiles = []
    for rows in row_cuts:
        kernels = [partial(currents, rows, columns) for columns in blocks]
        found = _ranges(source.x[:, :, rows], x_scale, signed, kernels, hardware)
        for columns, ranges in zip(blocks, found, strict=True):
            block, count = None, columns.stop - columns.start
            if isinstance(encoding, CodedWeights):
                block, count = encoding.blocks[columns.start], code.converted(count)
            tiles.append(Placement(rows, columns, *ranges, block, count))

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
        math.prod(source.weights.shape[1:]) * positions if source.useful else 0,
        tuple(tiles),
        source.layout,
        source.group,
        copies,
        {rows.start: moments_of(source.x[:, :, rows]) for rows in row_cuts},
        through,
        columns_gated,
        source.shift,
        source.window,
        floor,
        held,
        code,
    )


def _ranges(
    x: FloatArray, x_scale: float, signed: bool, kernels: Sequence[Callable[[slice], FloatArray]], hardware: Hardware
) -> list[tuple[float, tuple[float, ...]]]:  # fmt: skip
    """Return the range of each tile's converters [A], and with several reads of a code the fraction of each read.

    x: (b, p, m) inputs of tiles with common rows, in ±x_scale.  kernels: for each tile, images -> (b or 1, m, c) [A].
    A read that calibration never drives gets the full range.
    Source: docs/equations/periphery.md eq. 5a.
    """
    dac = hardware.dac
    largest = np.zeros((len(kernels), dac.conversions))
    for first in range(0, len(x), PIECE):
        images = slice(first, first + PIECE)
        some, mixed = x[images] / x_scale, [kernel(images) for kernel in kernels]
        for sign in (1.0, -1.0) if signed else (1.0,):
            for bit, (_, driven, unit) in enumerate(dac.split(dac.codes(sign * some))):
                for peaks, kernel in zip(largest, mixed, strict=True):
                    out = np.matmul(driven, kernel)
                    size = max(float(out.max(initial=0.0)), -float(out.min(initial=0.0)))
                    peaks[bit] = max(peaks[bit], unit * size)
    found: list[tuple[float, tuple[float, ...]]] = []
    for peaks in largest:
        peak = float(peaks.max())
        if peak <= 0.0:
            found.append((dac.v_read * hardware.cell.g_max, ()))
            continue
        fractions = tuple(np.where(peaks > 0.0, peaks / peak, 1.0).tolist()) if dac.conversions > 1 else ()
        found.append((hardware.adc.margin * peak, fractions))
    return found


def moments_of(x: FloatArray) -> FloatArray:
    """Return the mean products (m, m) of inputs (b, p, m)."""
    flat = x.reshape(-1, x.shape[-1])
    products: FloatArray = flat.T @ flat / len(flat)
    return products
