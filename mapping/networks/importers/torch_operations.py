"""Operations of torch's core set (ATen) on the tensor graph, by name; importing this file needs torch."""

# b = batch, c = channels, h, w = height, width of a map, n = values

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from devices.errors import ParameterError
from mapping.networks.importers.tensor_graph import Ends, Node, Tensor, TensorGraph, constant, places

STRAIGHT = 1e-6  # largest distance of a softplus from the straight line that torch puts in its place, ours
HIDDEN = -1e9  # score of a place that attention must not see, ours: its share is exp(HIDDEN), which is 0
MOST_FACTORS = 64  # of a product over an axis, ours: each is a layer
Foreign = Any  # an argument of torch, whose classes have no types here

ADVICE = "replace it by operations that docs/import.md lists, or say what its module does through `known`"


def array(value: Foreign) -> Foreign:
    """Return a tensor of torch as an array: float64 if it holds floats, else whole numbers or booleans."""
    if not isinstance(value, torch.Tensor):
        return value
    plain = value.detach().cpu()
    return (plain.double() if plain.is_floating_point() else plain).numpy()


def _many(value: Foreign, count: int) -> tuple[int, ...]:
    """One number, or one for each of `count` axes, as `count` numbers."""
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return tuple(int(n) for n in (values * count if len(values) == 1 else values))


def _same(value: Foreign, count: int) -> list[Ends]:
    return [(n, n) for n in _many(value, count)]


def _convolution(
    to: TensorGraph, name: str, x: Foreign, weight: Foreign, bias: Foreign, stride: Foreign, padding: Foreign,
    dilation: Foreign, transposed: bool, output_padding: Foreign, groups: int,
) -> Tensor:  # fmt: skip
    axes = len(x.shape) - 2
    stride, dilation = _many(stride, axes), _many(dilation, axes)
    if not transposed:
        return to.conv(name, x, weight, bias, stride, _same(padding, axes), dilation, groups)
    return to.conv_transpose(
        name, x, weight, bias, stride, _same(padding, axes), dilation, groups, _many(output_padding, axes)
    )


def _addmm(
    to: TensorGraph, name: str, added: Foreign, one: Foreign, other: Foreign, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    product = to.binary(name, "mul", to.matmul(name, one, other), float(alpha))
    return to.binary(name, "add", product, to.binary(name, "mul", added, float(beta)))


def _sum(operation: str) -> Callable[..., Tensor]:
    def combine(to: TensorGraph, name: str, one: Foreign, other: Foreign, *, alpha: float = 1) -> Tensor:
        return to.binary(name, operation, one, other if alpha == 1 else to.binary(name, "mul", other, float(alpha)))

    return combine


def _two(operation: str) -> Callable[..., Tensor]:
    def combine(to: TensorGraph, name: str, one: Foreign, other: Foreign) -> Tensor:
        return to.binary(name, operation, one, other)

    return combine


def _div(to: TensorGraph, name: str, one: Foreign, other: Foreign, *, rounding_mode: str | None = None) -> Tensor:
    out = to.binary(name, "div", one, other)
    if rounding_mode is None:
        return out
    if rounding_mode != "floor":
        raise ParameterError(f"it divides with rounding_mode={rounding_mode!r}; {ADVICE}")
    return to.function(name, out, "floor")


def _one(function: str) -> Callable[..., Tensor]:
    return lambda to, name, x: to.function(name, x, function)


def _gelu(to: TensorGraph, name: str, x: Foreign, *, approximate: str = "none") -> Tensor:
    return to.function(name, x, "gelu" if approximate == "none" else "gelu-tanh")


def _softplus(to: TensorGraph, name: str, x: Foreign, beta: float = 1, threshold: float = 20) -> Tensor:
    _threshold_softplus(float(beta), float(threshold))
    return to.function(name, x, "softplus") if beta == 1 else to.function(name, x, "softplus-beta", beta=float(beta))


def _threshold_softplus(beta: float, threshold: float) -> None:
    """Refuse a softplus that becomes a straight line where the two still differ."""
    if math.exp(-threshold) > STRAIGHT * beta:
        raise ParameterError(f"it becomes a straight line at {threshold:g} (threshold); use at least 20")


def _rrelu(
    to: TensorGraph, name: str, x: Foreign, _: Foreign, low: float = 1 / 8, high: float = 1 / 3, *__: Foreign
) -> Tensor:
    return to.function(name, x, "leaky-relu", slope=(float(low) + float(high)) / 2.0)


def _elu(
    to: TensorGraph, name: str, x: Foreign, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> Tensor:
    return to.function(name, x, "elu", alpha=float(alpha), scale=float(scale), rate=float(input_scale))


def _leaky(to: TensorGraph, name: str, x: Foreign, negative_slope: float = 0.01) -> Tensor:
    return to.function(name, x, "leaky-relu", slope=float(negative_slope))


def _prelu(to: TensorGraph, name: str, x: Foreign, weight: Foreign) -> Tensor:
    slope = constant("its slope", weight).reshape(-1)
    if slope.size > 1:
        slope = slope.reshape(-1, *(1,) * (len(x.shape) - 2))
    return to.prelu(name, x, slope)


def _clamp(to: TensorGraph, name: str, x: Foreign, low: Foreign = None, high: Foreign = None) -> Tensor:
    out = x if low is None else to.binary(name, "max", x, low)
    return out if high is None else to.binary(name, "min", out, high)


def _norm_of_training(
    to: TensorGraph, name: str, x: Foreign, weight: Foreign, bias: Foreign, mean: Foreign, variance: Foreign,
    momentum: float, eps: float,
) -> tuple[Tensor, None, None]:  # fmt: skip
    return to.batch_norm(name, x, weight, bias, mean, variance, eps), None, None


def _norm_of_batch(*_: Foreign, **__: Foreign) -> Tensor:
    raise ParameterError("it normalises by the batch's own statistics; train it with track_running_stats=True")


def _instance_norm(
    to: TensorGraph, name: str, x: Foreign, weight: Foreign, bias: Foreign, mean: Foreign, variance: Foreign,
    own_statistics: bool, momentum: float, eps: float, cudnn: bool,
) -> Tensor:  # fmt: skip
    if own_statistics:
        return to.group_norm(name, x, x.shape[1], weight, bias, eps)
    return to.batch_norm(name, x, weight, bias, mean, variance, eps)


def _celu(to: TensorGraph, name: str, x: Foreign, alpha: float = 1.0) -> Tensor:
    return to.function(name, x, "elu", alpha=float(alpha), scale=1.0, rate=1.0 / float(alpha))


def _pool_of_channels(
    to: TensorGraph, name: str, x: Foreign, size: Foreign, stride: Foreign = (), padding: Foreign = 0, *more: Foreign
) -> Tensor:
    """Mean over neighbouring entries of the third axis from the end, as local response norms take it."""
    window, steps = _many(size, 3), _many(stride or size, 3)
    if window[1:] != (1, 1) or steps[1:] != (1, 1) or any(_many(padding, 3)) or any(more):
        raise ParameterError(f"it pools volumes; {ADVICE}")
    *first, d, h, w = x.shape
    flat = to.reshape(name, x, (math.prod(first[:-1]), first[-1], d, h * w))
    out = to.pool(name, flat, "mean", (window[0], 1), (steps[0], 1))
    return to.reshape(name, out, (*first, out.shape[2], h, w))


def _slice_scatter(
    to: TensorGraph, name: str, x: Foreign, part: Foreign, dim: int = 0, start: int | None = None,
    end: int | None = None, step: int = 1,
) -> Tensor:  # fmt: skip
    n = x.shape[dim]
    places = list(range(n)[slice(start, end, step)])
    both = to.concat(name, [x, part], dim)
    return to.take(name, both, dim, [n + places.index(i) if i in places else i for i in range(n)])


def _select_scatter(to: TensorGraph, name: str, x: Foreign, part: Foreign, dim: int, index: int) -> Tensor:
    at = index % x.shape[dim]
    return _slice_scatter(to, name, x, _unsqueeze(to, name, part, dim), dim, at, at + 1)


def _native_group_norm(
    to: TensorGraph, name: str, x: Foreign, weight: Foreign, bias: Foreign, b: int, c: int, n: int, groups: int,
    eps: float,
) -> tuple[Tensor, None, None]:  # fmt: skip
    return to.group_norm(name, x, groups, weight, bias, eps), None, None


def _native_layer_norm(
    to: TensorGraph, name: str, x: Foreign, shape: Sequence[int], weight: Foreign, bias: Foreign, eps: float
) -> tuple[Tensor, None, None]:
    return to.layer_norm(name, x, len(shape), weight, bias, eps), None, None


def _reduction(operation: str) -> Callable[..., Tensor]:
    def reduce(
        to: TensorGraph, name: str, x: Foreign, dim: Foreign = None, keepdim: bool = False, **_: Foreign
    ) -> Tensor:
        axes = dim if isinstance(dim, (list, tuple)) else None if dim is None else (dim,)
        return to.reduce(name, x, operation, axes or None, keep=keepdim)

    return reduce


def _max_of_axis(operation: str) -> Callable[..., tuple[Tensor, None]]:
    def reduce(to: TensorGraph, name: str, x: Foreign, dim: int, keepdim: bool = False) -> tuple[Tensor, None]:
        return to.reduce(name, x, operation, (dim,), keep=keepdim), None

    return reduce


def _variance(
    to: TensorGraph, name: str, x: Foreign, dim: Foreign = None, *, correction: float | None = 1, keepdim: bool = False
) -> Tensor:
    rank = len(x.shape)
    axes = tuple(range(rank)) if dim is None else tuple(axis % rank for axis in dim)
    count = math.prod(x.shape[axis] for axis in axes)
    mean = to.reduce(name, x, "mean", axes, keep=True)
    off = to.binary(name, "sub", x, mean)
    total = to.reduce(name, to.binary(name, "mul", off, off), "sum", axes, keep=keepdim)
    return to.binary(name, "div", total, float(count - (1 if correction is None else correction)))


def _vector_norm(
    to: TensorGraph, name: str, x: Foreign, order: float = 2, dim: Foreign = None, keepdim: bool = False, **_: Foreign
) -> Tensor:
    if order not in (1, 2):
        raise ParameterError(f"it takes the norm of order {order}; {ADVICE}")
    power = to.binary(name, "mul", x, x) if order == 2 else to.function(name, x, "abs")
    total = to.reduce(name, power, "sum", dim, keep=keepdim)
    return to.function(name, total, "sqrt") if order == 2 else total


def _max_pool(
    to: TensorGraph, name: str, x: Foreign, size: Foreign, stride: Foreign = (), padding: Foreign = 0,
    dilation: Foreign = 1, ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    axes = len(x.shape) - 2
    window = _many(size, axes)
    return to.pool(
        name, x, "max", window, _many(stride or window, axes), _same(padding, axes), _many(dilation, axes),
        ceil=ceil_mode,
    )  # fmt: skip


def _average_pool(
    to: TensorGraph, name: str, x: Foreign, size: Foreign, stride: Foreign = (), padding: Foreign = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    axes = len(x.shape) - 2
    window = _many(size, axes)
    out = to.pool(
        name, x, "mean", window, _many(stride or window, axes), _same(padding, axes), ceil=ceil_mode,
        count_padding=count_include_pad or divisor_override is not None,
    )  # fmt: skip
    if divisor_override is None:
        return out
    if ceil_mode:
        raise ParameterError("it divides by a number of its own (divisor_override) with ceil_mode; use one of the two")
    return to.binary(name, "mul", out, math.prod(window) / divisor_override)


def _adaptive(operation: str) -> Callable[..., Foreign]:
    def pool(to: TensorGraph, name: str, x: Foreign, size: Foreign) -> Foreign:
        out = to.adaptive_pool(name, x, operation, _many(size, len(x.shape) - 2))
        return (out, None) if operation == "max" else out

    return pool


def _as_strided(
    to: TensorGraph, name: str, x: Foreign, size: Sequence[int], stride: Sequence[int], offset: int | None = None
) -> Tensor:
    if [n for n in size if n != 1] == [n for n in x.shape if n != 1] and sum(n != 1 for n in size) <= 1:
        return to.reshape(name, x, size)
    at = np.full(tuple(size), offset or 0)
    for axis, (n, step) in enumerate(zip(size, stride, strict=True)):
        at = at + (np.arange(n) * step).reshape(-1, *(1,) * (len(size) - 1 - axis))
    return to.pick(name, x, at)


def _squeeze(to: TensorGraph, name: str, x: Foreign, dims: Foreign = None) -> Tensor:
    rank = len(x.shape)
    chosen = range(rank) if dims is None else {d % rank for d in (dims if isinstance(dims, (list, tuple)) else (dims,))}
    return to.reshape(name, x, [n for i, n in enumerate(x.shape) if not (n == 1 and i in chosen)])


def _unsqueeze(to: TensorGraph, name: str, x: Foreign, dim: int) -> Tensor:
    shape = list(x.shape)
    shape.insert(dim % (len(shape) + 1), 1)
    return to.reshape(name, x, shape)


def _slice(
    to: TensorGraph,
    name: str,
    x: Foreign,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    size = x.shape[dim]
    return to.slice(name, x, dim, start or 0, size if end is None else min(end, size), step)


def _select(to: TensorGraph, name: str, x: Foreign, dim: int, index: int) -> Tensor:
    axis = dim % len(x.shape)
    return to.reshape(name, to.take(name, x, axis, [index]), x.shape[:axis] + x.shape[axis + 1 :])


def _split(to: TensorGraph, name: str, x: Foreign, sizes: Foreign, dim: int = 0) -> list[Tensor]:
    n = x.shape[dim]
    parts = sizes if isinstance(sizes, (list, tuple)) else [min(sizes, n - at) for at in range(0, n, sizes)]
    edges = [sum(parts[:i]) for i in range(len(parts) + 1)]
    return [to.slice(name, x, dim, start, stop) for start, stop in itertools.pairwise(edges)]


def _index(to: TensorGraph, name: str, x: Foreign, indices: Sequence[Foreign]) -> Tensor:
    chosen = [(axis, each) for axis, each in enumerate(indices) if each is not None]
    if any(isinstance(each, Node) for _, each in chosen):
        raise ParameterError(f"it picks values by what the image holds; {ADVICE}")
    long = [(axis, each.reshape(-1)) for axis, each in chosen if each.size > 1]
    if len(long) == 1 and len(chosen) == 1 and long[0][1].dtype != bool:  # entries of one axis stay a selection
        (axis, picked) = long[0]
        out = to.take(name, x, axis, picked.tolist())
        return to.reshape(name, out, (*x.shape[:axis], *chosen[0][1].shape, *x.shape[axis + 1 :]))
    key = tuple(slice(None) if each is None else each for each in indices)
    return to.pick(name, x, places(x.shape)[key])


def _index_put(
    to: TensorGraph, name: str, x: Foreign, indices: Sequence[Foreign], values: Foreign, accumulate: bool = False
) -> Tensor:
    if any(isinstance(each, Node) for each in indices) or accumulate:
        raise ParameterError(f"it puts values where the image says, or adds several; {ADVICE}")
    at = places(x.shape)
    key = tuple(slice(None) if each is None else each for each in indices)
    count, spots = at.size, at[key]
    at[key] = count + np.arange(spots.size).reshape(spots.shape)
    both = [to.reshape(name, each, (1, -1)) for each in (x, to.expand(name, values, spots.shape))]
    return to.pick(name, to.concat(name, both, 1), at)


def _gather(to: TensorGraph, name: str, x: Foreign, dim: int, index: Foreign, **_: Foreign) -> Tensor:
    picked = constant("its index", index).astype(np.int64)
    axis = dim % picked.ndim
    kept = places(x.shape)[tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(picked.shape))]
    return to.pick(name, x, np.take_along_axis(kept, picked, axis))


def _unfold(to: TensorGraph, name: str, x: Foreign, dim: int, size: int, step: int) -> Tensor:
    axis = dim % max(1, len(x.shape))
    seen = np.lib.stride_tricks.sliding_window_view(places(x.shape), size, axis)
    return to.pick(name, x, seen[(slice(None),) * axis + (slice(None, None, step),)])


def _filled(value: float | None) -> Callable[..., Tensor]:
    """A tensor of the shape of another, with one value in it."""

    def fill(to: TensorGraph, name: str, x: Foreign, given: Foreign = None, **_: Foreign) -> Tensor:
        held = value if value is not None else float(constant("its value", np.asarray(given)).reshape(()))
        return np.full(x.shape, held)

    return fill


def _product(to: TensorGraph, name: str, x: Foreign, dim: int | None = None, keepdim: bool = False) -> Tensor:
    if dim is None:
        x, dim = to.reshape(name, x, (math.prod(x.shape),)), 0
    axis = dim % max(1, len(x.shape))
    if x.shape[axis] > MOST_FACTORS:
        raise ParameterError(f"it multiplies {x.shape[axis]} values, more than {MOST_FACTORS}; {ADVICE}")
    out = to.take(name, x, axis, [0])
    for i in range(1, x.shape[axis]):
        out = to.binary(name, "mul", out, to.take(name, x, axis, [i]))
    return out if keepdim else to.reshape(name, out, x.shape[:axis] + x.shape[axis + 1 :])


def _in_base(base: float) -> Callable[..., Tensor]:
    """Logarithm to a base."""
    return lambda to, name, x: to.binary(name, "mul", to.function(name, x, "log"), 1.0 / math.log(base))


def _of_exponentials(sign: float) -> Callable[..., Tensor]:
    """Half of exp(x) plus or minus exp(-x)."""

    def combine(to: TensorGraph, name: str, x: Foreign) -> Tensor:
        up, down = (to.function(name, each, "exp") for each in (x, to.function(name, x, "neg")))
        return to.binary(name, "mul", to.binary(name, "add" if sign > 0 else "sub", up, down), 0.5)

    return combine


def _pad(to: TensorGraph, name: str, x: Foreign, pads: Sequence[int], value: float = 0.0) -> Tensor:
    return to.pad(name, x, _sides(x, pads), float(value or 0.0))


def _padded(mode: str) -> Callable[..., Tensor]:
    return lambda to, name, x, pads: to.pad(name, x, _sides(x, pads), mode=mode)


def _sides(x: Foreign, pads: Sequence[int]) -> list[Ends]:
    """Pairs for every axis from torch's list, which begins at the last."""
    pairs = [(int(pads[i]), int(pads[i + 1])) for i in range(0, len(pads), 2)][::-1]
    return [(0, 0)] * (len(x.shape) - len(pairs)) + pairs


def _general_pad(
    to: TensorGraph, name: str, x: Foreign, pads: Sequence[int], mode: str = "constant", value: Foreign = None
) -> Tensor:
    kinds = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    return to.pad(name, x, _sides(x, pads), float(value or 0.0), kinds[mode])


def _repeat(to: TensorGraph, name: str, x: Foreign, times: Sequence[int]) -> Tensor:
    full = (1,) * (len(times) - len(x.shape)) + tuple(x.shape)
    out = to.reshape(name, x, full)
    for axis, count in enumerate(times):
        out = to.concat(name, [out] * count, axis)
    return out


def _stack(to: TensorGraph, name: str, tensors: Sequence[Foreign], dim: int = 0) -> Tensor:
    return to.concat(name, [_unsqueeze(to, name, each, dim) for each in tensors], dim)


def _resize(mode: str, coordinates: str, *, corners: bool) -> Callable[..., Tensor]:
    def resize(to: TensorGraph, name: str, x: Foreign, size: Foreign, *more: Foreign) -> Tensor:
        align = bool(corners and more and more[0])
        factors: Foreign = more[-1] if more and isinstance(more[-1], (list, tuple)) else None
        axes = len(x.shape) - 2
        if size is None:
            size = [math.floor(n * f) for n, f in zip(x.shape[2:], factors, strict=True)]
        scale = None
        if factors is not None and not align:
            vertical, horizontal = (1.0 / float(f) for f in ([1.0] * (2 - axes) + list(factors)))
            scale = (vertical, horizontal)
        return to.resize(name, x, list(size), mode, "align-corners" if align else coordinates, scale)

    return resize


def _lstm(
    to: TensorGraph, name: str, x: Foreign, states: Sequence[Foreign], weights: Sequence[Foreign], has_biases: bool,
    layers: int, dropout: float, train: bool, bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, Tensor, None]:  # fmt: skip
    out, last = _recurrent(to, name, x, "lstm", states, weights, has_biases, layers, bidirectional, batch_first)
    return out, last, None


def _rnn(cell: str) -> Callable[..., tuple[Tensor, Tensor]]:
    def run(
        to: TensorGraph, name: str, x: Foreign, state: Foreign, weights: Sequence[Foreign], has_biases: bool,
        layers: int, dropout: float, train: bool, bidirectional: bool, batch_first: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        return _recurrent(to, name, x, cell, [state], weights, has_biases, layers, bidirectional, batch_first)

    return run


def _recurrent(
    to: TensorGraph, name: str, x: Foreign, cell: str, states: Sequence[Foreign], weights: Sequence[Foreign],
    has_biases: bool, layers: int, bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if any(np.any(constant("its initial state", state)) for state in states):
        raise ParameterError("it begins in a state that is not 0; begin in 0")
    t = x.shape[1] if batch_first else x.shape[0]
    if len(x.shape) == 3 and x.shape[0 if batch_first else 1] != 1:
        raise ParameterError("it runs several sequences of one image at once")
    out, at, ways = to.reshape(name, x, (t, x.shape[-1])), 0, 2 if bidirectional else 1
    ends: list[Tensor] = []
    for _ in range(layers):
        directions: list[dict[str, Any]] = []
        for way in range(ways):
            held = [constant("its weights", each) for each in weights[at : at + (4 if has_biases else 2)]]
            if len(held) != (4 if has_biases else 2) or any(each.ndim > 2 for each in held):
                raise ParameterError("it projects its states; use proj_size=0")
            at += len(held)
            biases = held[2:] if has_biases else [None, None]
            directions.append(
                {
                    "weight_x": held[0],
                    "weight_h": held[1],
                    "bias_x": biases[0],
                    "bias_h": biases[1],
                    "reverse": way == 1,
                }
            )
        out = to.recurrent(name, out, cell, directions)
        hidden = directions[0]["weight_h"].shape[1]
        for way in range(ways):
            step = to.take(name, out, 0, [0 if way else t - 1])
            ends.append(to.slice(name, step, 1, way * hidden, (way + 1) * hidden))
    shape = (1, t, out.shape[1]) if batch_first else (t, 1, out.shape[1])
    final = to.concat(name, ends, 0)
    if len(x.shape) == 2:
        return to.reshape(name, out, (t, out.shape[1])), final
    return to.reshape(name, out, shape), to.reshape(name, final, (final.shape[0], 1, final.shape[1]))


def _through(_to: TensorGraph, _name: str, x: Foreign, *_args: Foreign, **_kwargs: Foreign) -> Foreign:
    return x


def _none(_to: TensorGraph, _name: str, *_args: Foreign, **_kwargs: Foreign) -> None:
    return None


def _attention(
    to: TensorGraph, name: str, query: Foreign, key: Foreign, value: Foreign, mask: Foreign = None,
    dropout: float = 0.0, is_causal: bool = False, *, scale: float | None = None, **_: Foreign,
) -> Tensor:  # fmt: skip
    if is_causal:
        mask = np.tril(np.ones((query.shape[-2], key.shape[-2]), dtype=bool))
    if isinstance(mask, np.ndarray) and mask.dtype == bool:
        mask = np.where(mask, 0.0, HIDDEN)
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    order = (*range(len(key.shape) - 2), len(key.shape) - 1, len(key.shape) - 2)
    scores = to.binary(name, "mul", to.matmul(name, query, to.permute(name, key, order)), factor)
    if mask is not None:
        scores = to.binary(name, "add", scores, mask)
    return to.matmul(name, to.softmax(name, scores, -1), value)


def _pixel_shuffle(to: TensorGraph, name: str, x: Foreign, factor: int) -> Tensor:
    b, c, h, w = x.shape
    split = to.reshape(name, x, (b, c // factor**2, factor, factor, h, w))
    return to.reshape(name, to.permute(name, split, (0, 1, 4, 2, 5, 3)), (b, c // factor**2, h * factor, w * factor))


def _roll(to: TensorGraph, name: str, x: Foreign, shifts: Sequence[int], dims: Sequence[int] = ()) -> Tensor:
    if not dims:
        return to.pick(name, x, np.roll(places(x.shape), tuple(shifts)))
    for axis, shift in zip(dims, shifts, strict=True):
        x = to.take(name, x, axis, np.roll(np.arange(x.shape[axis]), shift).tolist())
    return x


def _flipped(to: TensorGraph, name: str, x: Foreign, dims: Sequence[int]) -> Tensor:
    for axis in dims:
        x = to.take(name, x, axis, list(range(x.shape[axis]))[::-1])
    return x


def _extreme(operation: str) -> Callable[..., Any]:
    def reduce(to: TensorGraph, name: str, x: Foreign, *rest: Foreign) -> Any:  # noqa: ANN401
        if rest:
            return _max_of_axis(operation)(to, name, x, *rest)
        return to.reduce(name, x, operation, None, keep=False)

    return reduce


OPERATIONS: dict[str, Callable[..., Any]] = {
    "convolution": _convolution,
    "linear": lambda to, name, x, weight, bias=None: to.linear(name, x, weight, bias),
    "addmm": _addmm,
    "mm": lambda to, name, one, other: to.matmul(name, one, other),
    "bmm": lambda to, name, one, other: to.matmul(name, one, other),
    "mv": lambda to, name, one, other: to.matmul(name, one, other),
    "dot": lambda to, name, one, other: to.matmul(name, one, other),
    "matmul": lambda to, name, one, other: to.matmul(name, one, other),
    "baddbmm": _addmm,
    "add": _sum("add"),
    "sub": _sum("sub"),
    "rsub": lambda to, name, one, other, alpha=1: _sum("sub")(to, name, other, one, alpha=alpha),
    "mul": _two("mul"),
    "div": _div,
    "pow": _two("pow"),
    "maximum": _two("max"),
    "minimum": _two("min"),
    "gt": _two("greater"),
    "ge": _two("greater-equal"),
    "lt": _two("less"),
    "le": _two("less-equal"),
    "eq": _two("equal"),
    "logical_and": _two("and"),
    "logical_or": _two("or"),
    "where": lambda to, name, condition, one, other: to.where(name, condition, one, other),
    **{name: _one(function) for name, function in {
        "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "tanh": "tanh", "hardsigmoid": "hard-sigmoid",
        "hardswish": "hard-swish", "silu": "silu", "mish": "mish", "exp": "exp", "log": "log", "sqrt": "sqrt",
        "reciprocal": "reciprocal", "abs": "abs", "sign": "sign", "floor": "floor", "ceil": "ceil", "round": "round",
        "erf": "erf", "sin": "sin", "cos": "cos", "neg": "neg", "logical_not": "not", "log_sigmoid": "log-sigmoid",
    }.items()},
    "rsqrt": lambda to, name, x: to.binary(name, "pow", x, -0.5),
    "square": lambda to, name, x: to.binary(name, "mul", x, x),
    "exp2": lambda to, name, x: to.function(name, to.binary(name, "mul", x, math.log(2.0)), "exp"),
    "log2": _in_base(2.0),
    "log10": _in_base(10.0),
    "tan": lambda to, name, x: to.binary(name, "div", to.function(name, x, "sin"), to.function(name, x, "cos")),
    "sinh": _of_exponentials(-1.0),
    "cosh": _of_exponentials(1.0),
    "expm1": lambda to, name, x: to.binary(name, "sub", to.function(name, x, "exp"), 1.0),
    "log1p": lambda to, name, x: to.function(name, to.binary(name, "add", x, 1.0), "log"),
    "gelu": _gelu,
    "softplus": _softplus,
    "elu": _elu,
    "celu": _celu,
    "leaky_relu": _leaky,
    "rrelu_with_noise": _rrelu,
    "rrelu_with_noise_functional": lambda *given: (_rrelu(*given), None),
    "prelu": _prelu,
    "_prelu_kernel": lambda to, name, x, weight: to.prelu(name, x, weight),
    "hardtanh": lambda to, name, x, low=-1.0, high=1.0: to.clip(name, x, float(low), float(high)),
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": lambda to, name, x, high: _clamp(to, name, x, None, high),
    "_native_batch_norm_legit_no_training": _norm_of_training,
    "_native_batch_norm_legit": _norm_of_batch,
    "instance_norm": _instance_norm,
    "native_group_norm": _native_group_norm,
    "native_layer_norm": _native_layer_norm,
    "_softmax": lambda to, name, x, dim, half: to.softmax(name, x, dim),
    "_log_softmax": lambda to, name, x, dim, half: to.softmax(name, x, dim, log=True),
    "mean": _reduction("mean"),
    "sum": _reduction("sum"),
    "amax": _reduction("max"),
    "amin": _reduction("min"),
    "max": _extreme("max"),
    "min": _extreme("min"),
    "var": _variance,
    "var_mean": lambda to, name, x, dim=None, *, correction=1, keepdim=False: (
        _variance(to, name, x, dim, correction=correction, keepdim=keepdim),
        to.reduce(name, x, "mean", dim, keep=keepdim),
    ),
    "prod": _product,
    "full_like": _filled(None),
    "zeros_like": _filled(0.0),
    "ones_like": _filled(1.0),
    "linalg_vector_norm": _vector_norm,
    "max_pool1d": _max_pool,
    "max_pool2d": _max_pool,
    "max_pool2d_with_indices": lambda *args, **kwargs: (_max_pool(*args, **kwargs), None),
    "avg_pool1d": _average_pool,
    "avg_pool2d": _average_pool,
    "avg_pool3d": _pool_of_channels,
    "adaptive_avg_pool1d": _adaptive("mean"),
    "_adaptive_avg_pool2d": _adaptive("mean"),
    "adaptive_avg_pool2d": _adaptive("mean"),
    "adaptive_max_pool1d": _adaptive("max"),
    "adaptive_max_pool2d": _adaptive("max"),
    "view": lambda to, name, x, shape: to.reshape(name, x, shape),
    "_unsafe_view": lambda to, name, x, shape: to.reshape(name, x, shape),
    "reshape": lambda to, name, x, shape: to.reshape(name, x, shape),
    "as_strided": _as_strided,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "permute": lambda to, name, x, order: to.permute(name, x, order),
    "t": lambda to, name, x: to.permute(name, x, tuple(range(len(x.shape)))[::-1]),
    "cat": lambda to, name, tensors, dim=0: to.concat(name, tensors, dim),
    "stack": _stack,
    "slice": _slice,
    "select": _select,
    "slice_scatter": _slice_scatter,
    "select_scatter": _select_scatter,
    "split": _split,
    "split_with_sizes": _split,
    "unbind": lambda to, name, x, dim=0: [_select(to, name, x, dim, i) for i in range(x.shape[dim])],
    "index": _index,
    "_unsafe_index": _index,
    "index_put": _index_put,
    "gather": _gather,
    "unfold": _unfold,
    "diagonal": lambda to, name, x, offset=0, dim1=0, dim2=1: to.pick(
        name, x, np.diagonal(places(x.shape), offset, dim1, dim2)
    ),
    "index_select": lambda to, name, x, dim, index: to.take(name, x, dim, constant("its index", index).tolist()),
    "flip": _flipped,
    "roll": _roll,
    "expand": lambda to, name, x, shape, **_: to.expand(name, x, shape),
    "repeat": _repeat,
    "constant_pad_nd": _pad,
    "pad": _general_pad,
    "reflection_pad1d": _padded("reflect"),
    "reflection_pad2d": _padded("reflect"),
    "replication_pad1d": _padded("edge"),
    "replication_pad2d": _padded("edge"),
    "upsample_nearest2d": _resize("nearest", "asymmetric", corners=False),
    "upsample_nearest1d": _resize("nearest", "asymmetric", corners=False),
    "_upsample_nearest_exact2d": _resize("nearest", "half-pixel", corners=False),
    "upsample_bilinear2d": _resize("bilinear", "half-pixel", corners=True),
    "upsample_linear1d": _resize("bilinear", "half-pixel", corners=True),
    "upsample_bicubic2d": _resize("bicubic", "half-pixel", corners=True),
    "pixel_shuffle": _pixel_shuffle,
    "scaled_dot_product_attention": _attention,
    "lstm": _lstm,
    "gru": _rnn("gru"),
    "rnn_tanh": _rnn("rnn-tanh"),
    "rnn_relu": _rnn("rnn-relu"),
    "copy": lambda to, name, x, other, *_: to.expand(name, other, x.shape),
    "clone": _through,
    "alias": _through,
    "detach": _through,
    "contiguous": _through,
    "lift_fresh_copy": _through,
    "_to_copy": _through,
    "to": _through,
    "view_as": lambda to, name, x, other: to.reshape(name, x, other.shape),
    "dropout": _through,
    "_assert_tensor_metadata": _none,
    "_assert_scalar": _none,
    "_assert_async": _none,
}  # fmt: skip
"""What operations of ATen do, by the name without overload."""
