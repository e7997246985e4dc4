"""The compiler: one pass per function, and `compile_network` that chains them.

b = batch, p = positions, k = kernels, r = matrix rows, n = outputs
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossbar.reduction import transfer_matrices
from devices import checks
from devices.aliases import FloatArray
from devices.errors import MappingError, ParameterError
from mapping import digital
from mapping.channels import gate_columns
from mapping.encode import Encoding, cancel_floor, filaments, gate_floor
from mapping.gated import kernel_floor, relative_of_images, split_scales
from mapping.hardware import AUTO, Hardware, load_hardware
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
    folded, digital_scales = prepare(network, hardware)
    values = folded.activations(calibration)
    matrices: dict[str, tuple[Matrix, ...]] = {}
    placed = [layer for layer in folded.layers if isinstance(layer, (Conv, DynamicConv, Linear))]
    hardware.mapping.check_names(
        [each.name for each in placed], [each.name for each in placed if isinstance(each, DynamicConv)]
    )
    for layer in placed:
        layout = hardware.mapping.of(layer.name) if isinstance(layer, DynamicConv) else "parallel"
        if layout == AUTO:
            from mapping.choose import best_layout  # which compiles, writes and runs layers to compare them

            layout = best_layout(network, folded, layer.name, values, hardware)
        matrices |= place_layer(layer, values, hardware, layout)
    return Program(network, folded, hardware, matrices, calibration, digital_scales)


def place_layer(
    layer: Conv | DynamicConv | Linear, values: Mapping[str, FloatArray], hardware: Hardware, layout: str
) -> dict[str, tuple[Matrix, ...]]:
    """Place the matrices of one layer, a dynamic one in one of LAYOUTS: by its name, and by that of its attention.

    values: what every layer, and every attention, gives on the calibration images.
    Raises MappingError if it cannot be placed.
    """
    dynamic = isinstance(layer, DynamicConv)
    hardware.validate(layer.name, dynamic and layout in ("parallel", "stacked"))
    x, scales = split_scales(layer, [values[source] for source in layer.inputs])
    if scales is not None:
        hardware.validate_columns(layer.name)
    shares = values.get(f"{layer.name}.attention")
    copies = hardware.mapping.copies_of(layer.name)
    sources = _sources(layer, x, scales, layout)
    placed = {layer.name: tuple(place(source, shares, hardware, copies) for source in sources)}
    if isinstance(layer, DynamicConv):
        parts = _attention_sources(layer, layer.pooled(x))
        placed[f"{layer.name}.attention"] = tuple(place(part, None, hardware) for part in parts)
    return placed


def prepare(network: Network, hardware: Hardware) -> tuple[Network, dict[str, str]]:
    """Return the network as it is placed: batch norms folded, and channel attention on gates where the chip wants that.

    With it comes why scales that were wanted on gates stay digital, by name.
    """
    folded = fold(network)
    return gate_columns(folded, hardware.mapping) if hardware.mapping.channel_attention == "gates" else (folded, {})


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
    layout: str = "parallel"  #: of several kernels
    group: int = 0
    scales: FloatArray | None = None  #: (b, n) in [0, 1] that multiply the outputs, on gates of their columns
    shift: FloatArray | None = None  #: (n,) added afterwards
    useful: bool = True  #: False for all but one of the kernels that are read apart to be mixed afterwards
    window: int = 1  #: rows of each channel


def _sources(
    layer: Conv | DynamicConv | Linear, x: Sequence[FloatArray], scales: FloatArray | None, layout: str
) -> list[Source]:
    """Lay a layer out as matrices: one per group, in the digital layout one per group and kernel."""
    if isinstance(layer, Linear):
        return [Source(layer.name, "linear", layer.weight.T[None], layer.bias, x[0][:, None, :], True)]
    dynamic = isinstance(layer, DynamicConv)
    kernels: FloatArray = layer.weight if dynamic else layer.weight[None]
    matrices = np.stack([kernel_matrix(kernel) for kernel in kernels])
    unrolled = layer.unroll(x)
    r, n = matrices.shape[1], matrices.shape[2] // layer.groups
    window = math.prod(layer.kernel)
    sources = []
    for g in range(layer.groups):
        name = layer.name if layer.groups == 1 else f"{layer.name}.group{g}"
        part = matrices[..., g * n : (g + 1) * n]
        bias = None if layer.bias is None else layer.bias[..., g * n : (g + 1) * n]
        rows = unrolled[..., g * r : (g + 1) * r]
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


def place(source: Source, shares: FloatArray | None, hardware: Hardware, copies: int = 1) -> Matrix:
    """Encode a matrix, cut it into tiles and fix the range of each tile's converters over the calibration inputs.

    shares: (b, k) attention of each calibration image; looked at where the matrix has several kernels.
    Raises MappingError if a tile has fewer rows than bands, or the wires let nothing through.
    """
    cell, dac = hardware.cell, hardware.dac
    mixes = source.kind == "dynamic conv" and shares is not None
    columns_gated = source.scales is not None
    gated = mixes and source.layout != "reprogram"
    floor, relative = gate_floor(cell) if gated else 0.0, None
    if source.scales is not None:
        floor = kernel_floor(cell, source.scales) if mixes and source.sums_to_one else 0.0
        relative = relative_of_images(shares if mixes else None, source.scales, floor, cell)
    stored, mixed = cancel_floor(source.weights, floor, source.sums_to_one)
    k, r, n = stored.shape
    bands = k if source.layout == "stacked" else 1
    if bands > hardware.tile.rows:
        raise MappingError(f"{source.name} has {k} kernels, too many for bands of a tile of {hardware.tile.rows} rows")
    widest = stored if source.sums_to_one or gated else np.abs(stored).sum(0)  # what a mixture of cells can reach
    encoding = Encoding.of(widest, cell, dac.v_read, by_output=hardware.tile.column_scales)
    largest = float(np.abs(source.x).max(initial=0.0))
    x_scale = largest if largest > 0.0 else 1.0
    signed = bool(source.x.min(initial=0.0) < 0.0)
    mixture = np.ones((1, 1))
    if mixes and shares is not None:
        mixture = floor + (1.0 - floor) * shares
    cuts = [(rows, columns) for rows in cut(r, hardware.tile.rows // bands) for columns in cut(n, hardware.tile.pairs)]
    conductances = encoding.pairs(stored)
    kept, through = 1.0, None
    if hardware.tile.compensate_wires and not hardware.wires.ideal:
        if mixes and not gated:
            mean = np.tensordot(mixture.mean(0), stored, axes=1)
            through = let_through(encoding.pairs(mean[None]), cuts, hardware)
            kept = float(through.min())
        else:
            gains = typical_gains(shares if gated else None, hardware)
            if relative is not None:
                gains = (relative**2).sum(0) / relative.sum(0) * cell.gain_high
            conductances, kept = compensate(conductances, cuts, gains, hardware, stacked=bands > 1)
    kernel = np.tensordot(mixture, stored, axes=1) if relative is None else np.einsum("bkn,krn->brn", relative, stored)
    kernel = kernel * (encoding.siemens * dac.v_read * kept)
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
        tuple(
            Placement(rows, columns, _range(source.x[:, :, rows] / x_scale, signed, kernel[:, rows, columns], hardware))
            for rows, columns in cuts
        ),
        source.layout,
        source.group,
        copies,
        {rows.start: moments_of(source.x[:, :, rows]) for rows, _ in cuts},
        through,
        columns_gated,
        source.shift,
        source.window,
        floor,
    )


def _range(x: FloatArray, signed: bool, kernel: FloatArray, hardware: Hardware) -> float:
    """Range of a tile's converters [A] for inputs x (b, p, m) in ±1 and kernels (b or 1, m, c) [A]."""
    dac, peak = hardware.dac, 0.0
    for sign in (1.0, -1.0) if signed else (1.0,):
        for _, driven, unit in dac.split(dac.codes(sign * x)):
            peak = max(peak, unit * float(np.abs(np.matmul(driven, kernel)).max(initial=0.0)))
    return hardware.adc.margin * peak if peak > 0.0 else dac.v_read * hardware.cell.g_max


def moments_of(x: FloatArray) -> FloatArray:
    """Return the mean products (m, m) of inputs (b, p, m)."""
    flat = x.reshape(-1, x.shape[-1])
    products: FloatArray = flat.T @ flat / len(flat)
    return products


def typical_gains(shares: FloatArray | None, hardware: Hardware) -> FloatArray:
    """Return the read gain (k,) at which each kernel works, weighted by what it then contributes: E[pi²] / E[pi]."""
    cell = hardware.cell
    if shares is None:
        return np.array([cell.gain_high])
    typical = (shares**2).sum(0) / np.maximum(shares.sum(0), 1e-12)
    gains: FloatArray = cell.gain_low + typical * (cell.gain_high - cell.gain_low)
    return gains


def compensate(
    conductances: FloatArray, cuts: Sequence[tuple[slice, slice]], gains: FloatArray, hardware: Hardware,
    *, stacked: bool = False,
) -> tuple[FloatArray, float]:  # fmt: skip
    """Return targets whose transfer through the wires is what ideal wires would give, but for one common factor.

    conductances: (k, r, 2 n) [S] terminal conductances at the top of the gate window; gains: (k,) where each kernel is
    met, or (k, n) each of its outputs. The factor is the transfer of the cell that loses most; all others are written
    weaker. Only the larger cell of a pair moves. COMPENSATION_STEPS fixed-point steps, each cutting the error by about
    the fraction that wires take.
    stacked: the kernels lie below one another on common columns.
    Raises MappingError if the wires let nothing through.
    Source: docs/equations/encoding.md eq. 6.
    """
    cell, v_read = hardware.cell, hardware.dac.v_read
    pieces = [filaments(conductances[:, rows, _both(columns)], cell, v_read) for rows, columns in cuts]
    spread = np.broadcast_to(gains.reshape(len(gains), 1, -1), (len(gains), 1, conductances.shape[2] // 2))
    at = [np.repeat(spread[:, :, columns], 2, axis=2) for _, columns in cuts]
    first = [cell.terminal_conductance(piece, gain, v_read) for piece, gain in zip(pieces, at, strict=True)]
    wanted = [g[..., 0::2] - g[..., 1::2] for g in first]
    kept = min(float(_over(w, g).min()) for w, g in zip(_transfers(first, hardware, stacked), first, strict=True))
    if kept <= 0.0:
        raise MappingError(f"no read gets through the wires of chip {hardware.name!r}: {hardware.wires!r}")
    for _ in range(COMPENSATION_STEPS):
        seen = [cell.terminal_conductance(piece, gain, v_read) for piece, gain in zip(pieces, at, strict=True)]
        through = _transfers(seen, hardware, stacked)
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


def _transfers(pieces: Sequence[FloatArray], hardware: Hardware, stacked: bool = False) -> list[FloatArray]:
    """Transfer matrices (k, m, 2 c) of several tiles, those of equal shape in one call; stacked: bands of one array."""
    shapes = {piece.shape[1:] for piece in pieces}
    out: dict[int, FloatArray] = {}
    for shape in sorted(shapes):
        members = [index for index, piece in enumerate(pieces) if piece.shape[1:] == shape]
        cells = np.concatenate([pieces[index] for index in members])
        whole = cells.reshape(len(members), -1, shape[1]) if stacked else cells
        reduced = transfer_matrices(whole, hardware.wires_in_use).reshape(cells.shape)
        out |= dict(zip(members, np.split(reduced, len(members)), strict=True))
    return [out[index] for index in range(len(pieces))]


def let_through(conductances: FloatArray, cuts: Sequence[tuple[slice, slice]], hardware: Hardware) -> FloatArray:
    """Return the part (r, n) of each pair's current that wires let through in an array of typical cells.

    conductances: (1, r, 2 n) [S] at the top of the gate window.  One number for each place is what a writer can keep in
    a table, whatever is written there.  Raises MappingError if the wires let nothing through.
    Source: docs/equations/encoding.md eq. 11.
    """
    out = np.ones((conductances.shape[1], conductances.shape[2] // 2))
    pieces = [conductances[:, rows, _both(columns)] for rows, columns in cuts]
    for (rows, columns), piece, w in zip(cuts, pieces, _transfers(pieces, hardware), strict=True):
        part = _over(w, piece)[0]
        out[rows, columns] = 0.5 * (part[:, 0::2] + part[:, 1::2])
    if float(out.min()) <= 0.0:
        raise MappingError(f"no read gets through the wires of chip {hardware.name!r}: {hardware.wires!r}")
    return out
