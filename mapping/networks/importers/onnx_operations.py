"""Operators of ONNX on the tensor graph, by name; importing this file needs nothing of onnx."""

# b = batch, c = channels, h, w = height, width of a map, n = values, t = steps in time

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.importers.tensor_graph import Ends, Node, Tensor, TensorGraph, constant, places

ADVICE = "replace it by operators that docs/import.md lists before the export"
Options = Mapping[str, Any]
Operand = Any  # a node, an array, or None for an input left out

_INTEGERS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}


def numbers(what: str, value: Operand) -> list[int]:
    """Return a constant of whole numbers as a list."""
    return [int(n) for n in np.ravel(constant(what, value))]


def number(what: str, value: Operand) -> float:
    """Return a constant of one number."""
    held = constant(what, value)
    if held.size != 1:
        raise ParameterError(f"{what} must be one number, got shape {held.shape}")
    return float(held.reshape(()))


def _axes(options: Options, given: Operand) -> list[int] | None:
    """Axes as an attribute or, in later versions, as an input; None if there are none."""
    if "axes" in options:
        return [int(n) for n in options["axes"]]
    return None if given is None else numbers("axes", given)


def _window(options: Options, x: Node, kernel: Sequence[int]) -> tuple[list[int], list[Ends], list[int]]:
    """Stride, padding and dilation of a window."""
    axes = len(x.shape) - 2
    strides, dilations = options.get("strides") or [1] * axes, options.get("dilations") or [1] * axes
    pads = options.get("pads") or [0] * (2 * axes)
    if [len(kernel), len(strides), len(dilations), len(pads)] != [axes, axes, axes, 2 * axes] or axes not in (1, 2):
        raise ParameterError(
            f"its window {list(kernel)} does not fit an input of {x.shape}; only lines and maps come in"
        )
    if min(strides) < 1 or min(dilations) < 1 or min(pads) < 0 or min(kernel) < 1:
        raise ParameterError("its window has a stride, dilation or size below 1, or a padding below 0")
    auto = options.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        ends = []
        for n, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True):
            over = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
            less = over // 2
            ends.append((less, over - less) if auto == "SAME_UPPER" else (over - less, less))
        return strides, ends, dilations
    if auto == "VALID":
        pads = [0] * (2 * axes)
    elif auto not in ("NOTSET", ""):
        raise ParameterError(f"auto_pad={auto!r} is none that ONNX names")
    return strides, list(zip(pads[:axes], pads[axes:], strict=True)), dilations


def _depends(x: Operand) -> Node:
    if not isinstance(x, Node):
        raise ParameterError("it works on a constant, which is not computed here; fold that into the weights")
    return x


def _conv(to: TensorGraph, name: str, options: Options, x: Operand, weight: Operand, bias: Operand = None) -> Tensor:
    strides, ends, dilations = _window(options, _depends(x), weight.shape[2:])
    return to.conv(name, x, weight, bias, strides, ends, dilations, int(options.get("group", 1)))


def _conv_transpose(
    to: TensorGraph, name: str, options: Options, x: Operand, weight: Operand, bias: Operand = None
) -> Tensor:
    kernel, axes = weight.shape[2:], len(_depends(x).shape) - 2
    plain = {key: value for key, value in options.items() if key != "auto_pad"}
    strides, ends, dilations = _window(plain, x, kernel)
    more = options.get("output_padding") or [0] * axes
    auto, wanted = options.get("auto_pad", "NOTSET"), options.get("output_shape")
    if wanted or auto in ("SAME_UPPER", "SAME_LOWER"):
        ends = []
        for i, (n, k, s, d) in enumerate(zip(x.shape[2:], kernel, strides, dilations, strict=True)):
            size = int(wanted[-axes:][i]) if wanted else n * s
            total = s * (n - 1) + more[i] + (k - 1) * d + 1 - size
            half = total // 2
            if total < 0:
                ends.append((0, total))
            else:
                ends.append((half, total - half) if auto == "SAME_UPPER" else (total - half, half))
    elif auto == "VALID":
        ends = [(0, 0)] * axes
    return to.conv_transpose(name, x, weight, bias, strides, ends, dilations, int(options.get("group", 1)), more)


def _gemm(to: TensorGraph, name: str, options: Options, one: Operand, other: Operand, added: Operand = None) -> Tensor:
    left = to.permute(name, one, (1, 0)) if options.get("transA") else one
    right = to.permute(name, other, (1, 0)) if options.get("transB") else other
    alpha, beta = float(options.get("alpha", 1.0)), float(options.get("beta", 1.0))
    if alpha != 1.0:
        right = to.binary(name, "mul", right, alpha)
    out = to.matmul(name, left, right)
    if added is None:
        return out
    return to.binary(name, "add", out, added if beta == 1.0 else to.binary(name, "mul", added, beta))


def _batch_norm(
    to: TensorGraph, name: str, options: Options, x: Operand, gamma: Operand, beta: Operand, mean: Operand,
    variance: Operand,
) -> Tensor:  # fmt: skip
    if options.get("training_mode"):
        raise ParameterError("it is in training mode; export the model for inference")
    if not options.get("spatial", 1):
        raise ParameterError("it normalises each pixel (spatial=0); export the model again with a later opset")
    return to.batch_norm(name, x, gamma, beta, mean, variance, float(options.get("epsilon", 1e-5)))


def _instance_norm(to: TensorGraph, name: str, options: Options, x: Operand, gamma: Operand, beta: Operand) -> Tensor:
    return to.group_norm(name, x, _depends(x).shape[1], gamma, beta, float(options.get("epsilon", 1e-5)))


def _group_norm(to: TensorGraph, name: str, options: Options, x: Operand, gamma: Operand, beta: Operand) -> Tensor:
    groups, c = int(options["num_groups"]), _depends(x).shape[1]
    held = [np.ravel(constant("its factors", each)) for each in (gamma, beta)]
    held = [np.repeat(each, c // groups) if each.size == groups != c else each for each in held]
    return to.group_norm(name, x, groups, held[0], held[1], float(options.get("epsilon", 1e-5)))


def _layer_norm(
    to: TensorGraph, name: str, options: Options, x: Operand, gamma: Operand, beta: Operand = None
) -> Tensor:
    rank = len(_depends(x).shape)
    axis = int(options.get("axis", -1)) % rank
    return to.layer_norm(name, x, rank - axis, gamma, beta, float(options.get("epsilon", 1e-5)))


def _lrn(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
    size = int(options["size"])
    alpha, beta, bias = (
        float(options.get(key, value)) for key, value in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    return to.local_response_norm(name, x, size, alpha, beta, bias, (size - 1) // 2)


def _pool(operation: str) -> Callable[..., Tensor]:
    def pool(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
        kernel = options["kernel_shape"]
        if len(_depends(x).shape) == 5 and list(kernel[1:]) == [1, 1]:
            return _pool_of_channels(to, name, options, x, pool)
        strides, ends, dilations = _window(options, x, kernel)
        if options.get("storage_order"):
            raise ParameterError("it counts its indices by columns; take the pool's values alone")
        return to.pool(
            name, x, operation, kernel, strides, ends, dilations, ceil=bool(options.get("ceil_mode")),
            count_padding=bool(options.get("count_include_pad")),
        )  # fmt: skip

    return pool


def _pool_of_channels(to: TensorGraph, name: str, options: Options, x: Node, pool: Callable[..., Tensor]) -> Tensor:
    """Pool a volume along its first axis alone, as local response norms do: a map with its pixels as one axis."""
    b, c, d, h, w = x.shape
    steps, pads = options.get("strides") or [1] * 3, options.get("pads") or [0] * 6
    if list(steps[1:]) != [1, 1] or any(pads[1:3]) or any(pads[4:]):
        raise ParameterError(f"it pools volumes of {x.shape}; only lines and maps come in")
    flat = {
        **options, "kernel_shape": [options["kernel_shape"][0], 1], "strides": [steps[0], 1],
        "pads": [pads[0], 0, pads[3], 0], "dilations": [(options.get("dilations") or [1])[0], 1],
    }  # fmt: skip
    out = pool(to, name, flat, to.reshape(name, x, (b, c, d, h * w)))
    return to.reshape(name, out, (b, c, out.shape[2], h, w))


def _power_pool(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
    """Lp pool as the root of a mean of powers."""
    p = float(options.get("p", 2))
    kernel = options["kernel_shape"]
    strides, ends, dilations = _window(options, _depends(x), kernel)
    power = to.binary(name, "pow", to.function(name, x, "abs"), p)
    mean = to.pool(name, power, "mean", kernel, strides, ends, dilations, ceil=bool(options.get("ceil_mode")))
    return to.binary(name, "pow", to.binary(name, "mul", mean, float(math.prod(kernel))), 1.0 / p)


def _global(operation: str) -> Callable[..., Tensor]:
    return lambda to, name, _, x: to.reduce(name, x, operation, range(2, len(_depends(x).shape)), keep=True)


def _reduced(operation: str) -> Callable[..., Tensor]:
    def reduce(to: TensorGraph, name: str, options: Options, x: Operand, axes: Operand = None) -> Tensor:
        chosen, keep = _axes(options, axes), bool(options.get("keepdims", 1))
        if not chosen and options.get("noop_with_empty_axes"):
            return x
        return to.reduce(name, x, operation, chosen or None, keep=keep)

    return reduce


def _reduced_norm(power: int, *, root: bool) -> Callable[..., Tensor]:
    def reduce(to: TensorGraph, name: str, options: Options, x: Operand, axes: Operand = None) -> Tensor:
        powers = to.function(name, x, "abs") if power == 1 else to.binary(name, "mul", x, x)
        out = _reduced("sum")(to, name, options, powers, axes)
        return to.function(name, out, "sqrt") if root else out

    return reduce


def _clip(
    to: TensorGraph, name: str, options: Options, x: Operand, low: Operand = None, high: Operand = None
) -> Tensor:
    bounds = [
        options.get(key) if given is None else number(f"its {key}imum", given)
        for key, given in (("min", low), ("max", high))
    ]
    return to.clip(name, x, *(None if each is None or abs(each) > 3e38 else float(each) for each in bounds))


def _old_axis(to: TensorGraph, name: str, options: Options, one: Operand, other: Operand) -> Operand:
    """The second operand of a sum or product before opset 7, which says at which axis it begins."""
    if "axis" not in options or not options.get("broadcast"):
        return other
    axis = int(options["axis"]) % len(one.shape)
    return to.reshape(name, other, (*other.shape, *(1,) * (len(one.shape) - axis - len(other.shape))))


def _two(operation: str) -> Callable[..., Tensor]:
    def combine(to: TensorGraph, name: str, options: Options, one: Operand, other: Operand) -> Tensor:
        return to.binary(name, operation, one, _old_axis(to, name, options, one, other))

    return combine


def _many(operation: str) -> Callable[..., Tensor]:
    def combine(to: TensorGraph, name: str, _: Options, *parts: Operand) -> Tensor:
        if operation == "mean":
            return to.binary(name, "mul", combine_by("add", to, name, parts), 1.0 / len(parts))
        return combine_by(operation, to, name, parts)

    return combine


def combine_by(operation: str, to: TensorGraph, name: str, parts: Sequence[Operand]) -> Tensor:
    """Combine tensors from left to right."""
    out: Tensor = parts[0]
    for part in parts[1:]:
        out = to.binary(name, operation, out, part)
    return out


def _one(function: str, **fixed: float) -> Callable[..., Tensor]:
    return lambda to, name, _, x: to.function(name, x, function, **fixed)


def _parameters(function: str, names: Mapping[str, tuple[str, float]]) -> Callable[..., Tensor]:
    """A function whose parameters are attributes: ours by name -> (theirs, its default)."""
    return lambda to, name, options, x: to.function(
        name, x, function, **{ours: float(options.get(theirs, default)) for ours, (theirs, default) in names.items()}
    )


def _celu(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
    alpha = float(options.get("alpha", 1.0))
    return to.function(name, x, "elu", alpha=alpha, scale=1.0, rate=1.0 / alpha)


def _selu(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
    alpha, gamma = (
        float(options.get("alpha", 1.67326319217681884765625)),
        float(options.get("gamma", 1.05070102214813232421875)),
    )
    return to.function(name, x, "elu", alpha=alpha, scale=gamma, rate=1.0)


def _prelu(to: TensorGraph, name: str, options: Options, x: Operand, slope: Operand) -> Tensor:
    held = constant("its slope", slope)
    if options["opset"] < 7 and held.ndim == 1 and held.size > 1:
        held = held.reshape(-1, *(1,) * (len(_depends(x).shape) - 2))
    return to.prelu(name, x, held)


def _gelu(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
    return to.function(name, x, "gelu" if options.get("approximate", "none") == "none" else "gelu-tanh")


def _softmax(*, log: bool) -> Callable[..., Tensor]:
    def shares(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
        shape = _depends(x).shape
        if options["opset"] >= 13:
            return to.softmax(name, x, int(options.get("axis", -1)), log=log)
        axis = int(options.get("axis", 1)) % len(shape)  # before opset 13 all axes from this one are one row
        flat = to.reshape(name, x, (math.prod(shape[:axis]), math.prod(shape[axis:])))
        return to.reshape(name, to.softmax(name, flat, 1, log=log), shape)

    return shares


def _flatten(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
    axis = int(options.get("axis", 1))
    axis += len(x.shape) if axis < 0 else 0
    return to.reshape(name, x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def _reshape(to: TensorGraph, name: str, options: Options, x: Operand, shape: Operand = None) -> Tensor:
    target = [int(n) for n in options["shape"]] if shape is None else numbers("its shape", shape)
    if not options.get("allowzero"):
        target = [x.shape[i] if n == 0 and i < len(x.shape) else n for i, n in enumerate(target)]
    return to.reshape(name, x, target)


def _squeeze(to: TensorGraph, name: str, options: Options, x: Operand, axes: Operand = None) -> Tensor:
    chosen = _axes(options, axes)
    rank = len(x.shape)
    places = {n % rank for n in chosen} if chosen is not None else {i for i, n in enumerate(x.shape) if n == 1}
    if any(x.shape[i] != 1 for i in places):
        raise ParameterError(f"it drops axes {sorted(places)} of {x.shape}, which have more than one entry")
    return to.reshape(name, x, [n for i, n in enumerate(x.shape) if i not in places])


def _unsqueeze(to: TensorGraph, name: str, options: Options, x: Operand, axes: Operand = None) -> Tensor:
    wanted = _axes(options, axes) or []
    total = len(x.shape) + len(wanted)
    places, rest = {n % total for n in wanted}, iter(x.shape)
    return to.reshape(name, x, [1 if i in places else next(rest) for i in range(total)])


def _transpose(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
    return to.permute(name, x, options.get("perm") or tuple(range(len(x.shape)))[::-1])


def _concat(to: TensorGraph, name: str, options: Options, *parts: Operand) -> Tensor:
    return to.concat(name, parts, int(options.get("axis", 1)))


def _split(to: TensorGraph, name: str, options: Options, x: Operand, sizes: Operand = None) -> list[Tensor]:
    axis = int(options.get("axis", 0)) % len(x.shape)
    n, count = x.shape[axis], int(options["outputs"])
    if "split" in options:
        parts = [int(each) for each in options["split"]]
    elif sizes is not None:
        parts = numbers("its parts", sizes)
    else:
        size = -(-n // count)
        parts = [min(size, n - at) for at in range(0, n, size)]
    if sum(parts) != n or len(parts) != count or min(parts) < 1:
        raise ParameterError(f"it splits {n} entries into {parts}")
    edges = [sum(parts[:i]) for i in range(count + 1)]
    return [to.slice(name, x, axis, start, stop) for start, stop in itertools.pairwise(edges)]


def _slice(
    to: TensorGraph, name: str, options: Options, x: Operand, starts: Operand = None, ends: Operand = None,
    axes: Operand = None, steps: Operand = None,
) -> Tensor:  # fmt: skip
    first = options["starts"] if starts is None else numbers("starts", starts)
    last = options["ends"] if ends is None else numbers("ends", ends)
    chosen = _axes(options, axes) or list(range(len(first)))
    jumps = [1] * len(first) if steps is None else numbers("steps", steps)
    for axis, start, stop, step in zip(chosen, first, last, jumps, strict=True):
        n = x.shape[axis % len(x.shape)]
        picked = range(n)[slice(start, None if step < 0 and stop < -n else stop, step)]
        if not picked:
            raise ParameterError(f"it takes nothing of {x.shape} along axis {axis}")
        x = to.take(name, x, axis, picked)
    return x


def _gather(to: TensorGraph, name: str, options: Options, x: Operand, index: Operand) -> Tensor:
    axis = int(options.get("axis", 0)) % len(x.shape)
    picked = constant("its index", index)
    out = to.take(name, x, axis, [int(n) for n in picked.reshape(-1)])
    return to.reshape(name, out, (*x.shape[:axis], *picked.shape, *x.shape[axis + 1 :]))


def _gather_elements(to: TensorGraph, name: str, options: Options, x: Operand, index: Operand) -> Tensor:
    picked, axis = constant("its index", index).astype(np.int64), int(options.get("axis", 0)) % len(x.shape)
    kept = places(x.shape)[tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(picked.shape))]
    return to.pick(name, x, np.take_along_axis(kept, picked, axis))


def _gather_nd(to: TensorGraph, name: str, options: Options, x: Operand, index: Operand) -> Tensor:
    picked, batch = constant("its index", index).astype(np.int64), int(options.get("batch_dims", 0))
    at, lead = places(x.shape), x.shape[:batch]
    chosen = [at[here][tuple(np.moveaxis(picked[here], -1, 0))] for here in np.ndindex(lead)]
    return to.pick(name, x, np.array(chosen).reshape(*lead, *chosen[0].shape))


def _scatter(*, elements: bool) -> Callable[..., Tensor]:
    """Put values of one tensor at constant places of another."""

    def scatter(to: TensorGraph, name: str, options: Options, x: Operand, index: Operand, values: Operand) -> Tensor:
        if options.get("reduction", "none") != "none":
            raise ParameterError(f"it combines values that meet ({options['reduction']}); {ADVICE}")
        picked, at = constant("its index", index).astype(np.int64), places(x.shape)
        mine = at.size + places(values.shape)
        if elements:
            axis = int(options.get("axis", 0)) % at.ndim
            inside = tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(picked.shape))
            np.put_along_axis(at[inside], picked, mine, axis)
        else:
            at[tuple(np.moveaxis(picked, -1, 0))] = mine
        both = [to.reshape(name, each, (1, -1)) for each in (x, values)]
        return to.pick(name, to.concat(name, both, 1), at)

    return scatter


def _trilu(to: TensorGraph, name: str, options: Options, x: Operand, diagonal: Operand = None) -> Tensor:
    k = 0 if diagonal is None else int(number("its diagonal", diagonal))
    kept = np.ones(x.shape[-2:])
    return to.binary(name, "mul", x, np.triu(kept, k) if options.get("upper", 1) else np.tril(kept, k))


def _power_norm(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
    axis, p = int(options.get("axis", -1)), int(options.get("p", 2))
    size = _reduced_norm(p, root=p == 2)(to, name, {"axes": [axis], "keepdims": 1}, x)
    return to.binary(name, "div", x, size)


def _pad(
    to: TensorGraph, name: str, options: Options, x: Operand, pads: Operand = None, value: Operand = None,
    axes: Operand = None,
) -> Tensor:  # fmt: skip
    given = (
        [int(n) for n in options.get("pads", options.get("paddings", []))] if pads is None else numbers("pads", pads)
    )
    rank = len(x.shape)
    chosen = list(range(rank)) if axes is None else [n % rank for n in numbers("axes", axes)]
    if len(given) != 2 * len(chosen):
        raise ParameterError(f"it pads {x.shape} by {given}")
    ends = [(0, 0)] * rank
    for i, axis in enumerate(chosen):
        ends[axis] = (given[i], given[i + len(chosen)])
    filled = float(options.get("value", 0.0)) if value is None or value.size == 0 else number("its value", value)
    return to.pad(name, x, ends, filled, options.get("mode", "constant"))


def _expand(to: TensorGraph, name: str, _: Options, x: Operand, shape: Operand) -> Tensor:
    wanted = numbers("its shape", shape)
    full = (1,) * (len(x.shape) - len(wanted)) + tuple(wanted)
    target = np.broadcast_shapes(x.shape, full)
    if math.prod(target) > 2**27:
        raise ParameterError(f"it repeats {x.shape} to {target}")
    return to.expand(name, x, target)


def _tile(to: TensorGraph, name: str, _: Options, x: Operand, repeats: Operand) -> Tensor:
    times = numbers("repeats", repeats)
    if math.prod(times) * math.prod(x.shape) > 2**27 or len(times) != len(x.shape):
        raise ParameterError(f"it repeats {x.shape} {times} times")
    for axis, count in enumerate(times):
        x = to.concat(name, [x] * count, axis)
    return x


def _written_out(rule: str, parts: Sequence[Operand]) -> str:
    """The rule of an einsum with letters in the place of each ellipsis."""
    if "..." not in rule:
        return rule
    left, arrow, right = rule.partition("->")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in rule]
    terms = left.split(",")
    counts = [len(p.shape) - len(t.replace("...", "")) for t, p in zip(terms, parts, strict=False) if "..." in t]
    most = max(counts, default=0)
    if not arrow or len(terms) != len(parts) or min(counts, default=0) < 0 or most > len(free):
        raise ParameterError(f"its rule {rule!r} does not fit its inputs; write the axes out")
    spare = iter(counts)
    filled = [t.replace("...", "".join(free[most - next(spare) : most])) if "..." in t else t for t in terms]
    return f"{','.join(filled)}->{right.replace('...', ''.join(free[:most]))}"


def _einsum(to: TensorGraph, name: str, options: Options, *parts: Operand) -> Tensor:
    """Products and sums by a rule of letters, as broadcast products and sums, or one product of matrices."""
    rule = str(options["equation"]).replace(" ", "")
    rule = _written_out(rule, parts)
    left, arrow, right = rule.partition("->")
    terms = left.split(",")
    if not arrow:
        letters = [c for c in left if c != ","]
        right = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    if len(terms) != len(parts) or any(
        len(set(t)) != len(t) or len(t) != len(p.shape) for t, p in zip(terms, parts, strict=True)
    ):
        raise ParameterError(f"its rule {rule!r} takes diagonals, or does not fit its inputs")
    out, have = parts[0], terms[0]
    for at, (part, term) in enumerate(zip(parts[1:], terms[1:], strict=True), start=1):
        later = set("".join(terms[at + 1 :])) | set(right)
        out, have = _contracted(to, name, out, have, part, term, later)
    gone = [i for i, c in enumerate(have) if c not in right]
    if gone:
        out, have = to.reduce(name, out, "sum", gone, keep=False), "".join(c for c in have if c in right)
    return to.permute(name, out, [have.index(c) for c in right])


def _contracted(
    to: TensorGraph, name: str, one: Tensor, left: str, other: Tensor, right: str, kept: set[str]
) -> tuple[Tensor, str]:
    """Multiply two tensors and sum over the letters that nothing keeps, as a product of matrices."""
    summed = [c for c in left if c in right and c not in kept]
    both = [c for c in left if c in right and c in kept]
    only = [c for c in left if c not in right]
    others = [c for c in right if c not in left]
    size = {**dict(zip(left, one.shape, strict=True)), **dict(zip(right, other.shape, strict=True))}

    def product(letters: Sequence[str]) -> int:
        return math.prod(size[c] for c in letters)

    first = to.permute(name, one, [left.index(c) for c in (*both, *only, *summed)])
    second = to.permute(name, other, [right.index(c) for c in (*both, *summed, *others)])
    first = to.reshape(name, first, (*(size[c] for c in both), product(only), product(summed)))
    second = to.reshape(name, second, (*(size[c] for c in both), product(summed), product(others)))
    out = to.matmul(name, first, second)
    letters = (*both, *only, *others)
    return to.reshape(name, out, [size[c] for c in letters]), "".join(letters)


def _resize(
    to: TensorGraph, name: str, options: Options, x: Operand, roi: Operand = None, scales: Operand = None,
    sizes: Operand = None,
) -> Tensor:  # fmt: skip
    shape = _depends(x).shape
    if options["opset"] < 11:  # Upsample, and Resize of opset 10: scales come second
        given = options.get("scales") if roi is None else np.ravel(constant("its scales", roi)).tolist()
        coordinates, rounding = "asymmetric", "floor"
        sizes = None
    else:
        given = None if scales is None or np.size(scales) == 0 else np.ravel(constant("its scales", scales)).tolist()
        coordinates = options.get("coordinate_transformation_mode", "half_pixel")
        rounding = options.get("nearest_mode", "round_prefer_floor")
    if options.get("antialias") or options.get("exclude_outside"):
        raise ParameterError("it resamples with antialias or exclude_outside; leave them out")
    axes = options.get("axes") or list(range(len(shape)))
    wanted, factors = list(shape), [1.0] * len(shape)
    if given is not None:
        for axis, factor in zip(axes, given, strict=True):
            factors[axis], wanted[axis] = float(factor), math.floor(shape[axis] * float(factor))
    elif sizes is not None:
        if options.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise ParameterError("it keeps the aspect ratio; give the sizes themselves")
        for axis, size in zip(axes, numbers("sizes", sizes), strict=True):
            wanted[axis], factors[axis] = size, size / shape[axis]
    else:
        raise ParameterError("it gives neither scales nor sizes")
    if wanted[:2] != list(shape[:2]):
        raise ParameterError(f"it resamples {shape} to {tuple(wanted)}; only the pixels of a map can be")
    return _resampled(to, name, options, x, wanted[2:], factors[2:], coordinates, rounding)


def _resampled(
    to: TensorGraph, name: str, options: Options, x: Node, size: list[int], factors: list[float], coordinates: str,
    rounding: str,
) -> Tensor:  # fmt: skip
    mode = options.get("mode", "nearest")
    if coordinates == "align_corners" and any(
        round(n * f) != m or abs(n * f - m) > 1e-6 * m for n, f, m in zip(x.shape[2:], factors, size, strict=True)
    ):
        raise ParameterError("its scales give no whole number of pixels, and runtimes then align corners differently")
    if mode == "nearest":  # which pixel, axis by axis
        out: Tensor = x
        for axis, (n, m, factor) in enumerate(zip(x.shape[2:], size, factors, strict=True), start=2):
            at = _coordinates(np.arange(float(m)), n, m, factor, coordinates)
            picked = _ROUNDING[rounding](at)
            out = to.take(name, out, axis, np.clip(picked, 0, n - 1).astype(int).tolist())
        return out
    kind = {"linear": "bilinear", "cubic": "bicubic"}.get(mode)
    place = {
        "half_pixel": "half-pixel", "pytorch_half_pixel": "half-pixel", "align_corners": "align-corners",
        "asymmetric": "asymmetric",
    }.get(coordinates)  # fmt: skip
    if kind is None or place is None or (coordinates == "pytorch_half_pixel" and 1 in size):
        raise ParameterError(f"it resamples by mode {mode!r} with {coordinates!r}; {ADVICE}")
    if kind == "bicubic" and float(options.get("cubic_coeff_a", -0.75)) != -0.75:
        raise ParameterError("its cubic_coeff_a is other than -0.75")
    scale = tuple(1.0 / f for f in ([1.0] * (2 - len(factors)) + factors))
    return to.resize(name, x, size, kind, place, None if place == "align-corners" else (scale[0], scale[1]))


_ROUNDING: dict[str, Callable[[FloatArray], FloatArray]] = {
    "round_prefer_floor": lambda at: np.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: np.floor(at + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _coordinates(at: FloatArray, n: int, m: int, factor: float, rule: str) -> FloatArray:
    """Where pixels of the result lie in the input, by ONNX's rule."""
    if rule == "half_pixel" or (rule == "pytorch_half_pixel" and m > 1):
        return (at + 0.5) / factor - 0.5
    if rule == "asymmetric":
        return at / factor
    if rule == "align_corners":
        return at * (n - 1) / (m - 1) if m > 1 else at * 0.0
    if rule == "pytorch_half_pixel":
        return at * 0.0
    raise ParameterError(f"it resamples with {rule!r}; {ADVICE}")


def _depth_to_space(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
    (b, c, h, w), k = x.shape, int(options["blocksize"])
    inner = c // k**2
    if options.get("mode", "DCR") == "DCR":
        split = to.permute(name, to.reshape(name, x, (b, k, k, inner, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        split = to.permute(name, to.reshape(name, x, (b, inner, k, k, h, w)), (0, 1, 4, 2, 5, 3))
    return to.reshape(name, split, (b, inner, h * k, w * k))


def _space_to_depth(to: TensorGraph, name: str, options: Options, x: Operand) -> Tensor:
    (b, c, h, w), k = x.shape, int(options["blocksize"])
    order = (0, 3, 5, 1, 2, 4) if options.get("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    split = to.permute(name, to.reshape(name, x, (b, c, h // k, k, w // k, k)), order)
    return to.reshape(name, split, (b, c * k * k, h // k, w // k))


def _quantize(to: TensorGraph, name: str, options: Options, x: Operand, scale: Operand, zero: Operand = None) -> Tensor:
    """Keep the range that whole numbers leave; the steps are offered to the converters, not taken."""
    held, at = constant("its scale", scale), np.zeros(()) if zero is None else constant("its zero point", zero)
    kind = options["zero_type"] or "uint8"
    if kind not in _INTEGERS:
        raise ParameterError(f"it makes numbers of kind {kind}; use int8 or uint8")
    low, high = _INTEGERS[kind]
    axis = int(options.get("axis", 1))
    shape = [-1 if i == axis % len(x.shape) and held.size > 1 else 1 for i in range(len(x.shape))]
    held, at = held.astype(float).reshape(shape), at.astype(float).reshape(shape if at.size > 1 else [1] * len(shape))
    out = (
        to.binary(name, "max", x, (low - at) * held)
        if held.size > 1
        else to.clip(name, x, float(((low - at) * held).reshape(())), None)
    )
    if held.size > 1:
        return to.binary(name, "min", out, (high - at) * held)
    return to.clip(name, out, None, float(((high - at) * held).reshape(())))


def _dequantize(
    to: TensorGraph, name: str, options: Options, x: Operand, scale: Operand, zero: Operand = None
) -> Tensor:
    if isinstance(x, Node):  # what came before kept its scale
        return x
    held = constant("its scale", scale)
    axis = int(options.get("axis", 1))
    shape = [-1 if held.size > 1 and i == axis % x.ndim else 1 for i in range(x.ndim)]
    if held.ndim > 1:
        raise ParameterError("it has a scale for each block; use one for each tensor or axis")
    values = x.astype(np.float64) - (
        0.0 if zero is None else constant("its zero point", zero).astype(np.float64).reshape(shape)
    )
    return np.asarray(values * held.reshape(shape))


def _recurrent(cell: str) -> Callable[..., list[Operand]]:
    """RNN, GRU and LSTM; gates in ONNX's order become those of ours (i, f, g, o and r, z, n)."""

    def run(
        to: TensorGraph, name: str, options: Options, x: Operand, weight: Operand, recurrence: Operand,
        bias: Operand = None, lengths: Operand = None, initial_h: Operand = None, initial_c: Operand = None,
        peepholes: Operand = None,
    ) -> list[Operand]:  # fmt: skip
        hidden, ways = int(options["hidden_size"]), weight.shape[0]
        layout = int(options.get("layout", 0))
        t, b = (x.shape[1], x.shape[0]) if layout else x.shape[:2]
        states = [each for each in (initial_h, initial_c) if each is not None]
        if any(np.any(constant("its initial state", each)) for each in states) or peepholes is not None:
            raise ParameterError("it begins in a state that is not 0, or has peepholes; leave them out")
        if options.get("clip") or options.get("input_forget") or b != 1:
            raise ParameterError("it clips, couples its gates, or runs several sequences at once")
        if lengths is not None and any(n != t for n in numbers("its lengths", lengths)):
            raise ParameterError("its sequences end before their last step")
        kinds = [str(each).lower() for each in options.get("activations", [])]
        usual = {"lstm": ["sigmoid", "tanh", "tanh"], "gru": ["sigmoid", "tanh"], "rnn": ["tanh"]}[cell]
        kind: str = cell
        if cell == "rnn":
            if set(kinds) not in (set(), {"tanh"}, {"relu"}):
                raise ParameterError(f"it uses {kinds}; only Tanh or Relu come in")
            kind = "rnn-relu" if "relu" in kinds else "rnn-tanh"
        elif kinds and kinds != usual * ways:
            raise ParameterError(f"it uses {kinds}; only {usual} come in")
        if cell == "gru" and not options.get("linear_before_reset"):
            kind = "gru-reset-first"
        order = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2), "rnn": (0,)}[cell]  # theirs: i o f c; z r h
        rows = np.concatenate([np.arange(hidden) + hidden * gate for gate in order])
        count = len(order) * hidden
        directions = []
        for way in range(ways):
            both = None if bias is None else constant("its bias", bias)[way]
            directions.append({
                "weight_x": constant("its weights", weight)[way][rows],
                "weight_h": constant("its weights", recurrence)[way][rows],
                "bias_x": None if both is None else both[:count][rows],
                "bias_h": None if both is None else both[count:][rows],
                "reverse": way == 1 or options.get("direction") == "reverse",
            })  # fmt: skip
        out = to.recurrent(name, to.reshape(name, x, (t, x.shape[-1])), kind, directions)
        split = to.permute(name, to.reshape(name, out, (t, ways, hidden)), (1, 0, 2))
        last = []
        for way, each in enumerate(directions):
            step = to.take(name, out, 0, [0 if each["reverse"] else t - 1])
            last.append(to.slice(name, step, 1, way * hidden, (way + 1) * hidden))
        final = to.concat(name, last, 0)
        if layout:
            return [to.reshape(name, out, (1, t, ways, hidden)), to.reshape(name, final, (1, ways, hidden)), None]
        everything = to.permute(name, split, (1, 0, 2))
        return [to.reshape(name, everything, (t, ways, 1, hidden)), to.reshape(name, final, (ways, 1, hidden)), None]

    return run


def _cast(to: TensorGraph, name: str, options: Options, x: Operand, *_: Operand) -> Operand:
    if isinstance(x, Node) and options.get("to", 1) not in (1, 10, 11, 16):
        raise ParameterError("it makes whole numbers of values that depend on the image; leave the cast out")
    return x


def _dropout(
    to: TensorGraph, name: str, options: Options, x: Operand, ratio: Operand = None, training: Operand = None
) -> Operand:
    on = training is not None and bool(np.any(constant("its training mode", training)))
    rate = 0.5 if ratio is None else number("its ratio", ratio)
    if on and rate != 0.0:
        raise ParameterError("it is in training mode, so its output is random; export the model for inference")
    return x


OPERATIONS: dict[str, Callable[..., Any]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": lambda to, name, _, one, other: to.matmul(name, one, other),
    "Einsum": _einsum,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "LRN": _lrn,
    "LpNormalization": _power_norm,
    "MaxPool": _pool("max"),
    "AveragePool": _pool("mean"),
    "LpPool": _power_pool,
    "GlobalAveragePool": _global("mean"),
    "GlobalMaxPool": _global("max"),
    "ReduceMean": _reduced("mean"),
    "ReduceSum": _reduced("sum"),
    "ReduceMax": _reduced("max"),
    "ReduceMin": _reduced("min"),
    "ReduceL1": _reduced_norm(1, root=False),
    "ReduceL2": _reduced_norm(2, root=True),
    "ReduceSumSquare": _reduced_norm(2, root=False),
    "Add": _two("add"),
    "Sub": _two("sub"),
    "Mul": _two("mul"),
    "Div": _two("div"),
    "Pow": _two("pow"),
    "Sum": _many("add"),
    "Mean": _many("mean"),
    "Max": _many("max"),
    "Min": _many("min"),
    "Greater": _two("greater"),
    "GreaterOrEqual": _two("greater-equal"),
    "Less": _two("less"),
    "LessOrEqual": _two("less-equal"),
    "Equal": _two("equal"),
    "And": _two("and"),
    "Or": _two("or"),
    "Not": _one("not"),
    "Where": lambda to, name, _, condition, one, other: to.where(name, condition, one, other),
    "Clip": _clip,
    "Relu": _one("relu"),
    "LeakyRelu": _parameters("leaky-relu", {"slope": ("alpha", 0.01)}),
    "PRelu": _prelu,
    "Elu": _parameters("elu", {"alpha": ("alpha", 1.0)}),
    "Celu": _celu,
    "Selu": _selu,
    "Gelu": _gelu,
    "Sigmoid": _one("sigmoid"),
    "HardSigmoid": _parameters("hard-sigmoid-line", {"slope": ("alpha", 0.2), "offset": ("beta", 0.5)}),
    "HardSwish": _one("hard-swish"),
    "Mish": _one("mish"),
    "Tanh": _one("tanh"),
    "Softplus": _one("softplus"),
    "Softsign": _one("softsign"),
    "Erf": _one("erf"),
    "Exp": _one("exp"),
    "Log": _one("log"),
    "Sqrt": _one("sqrt"),
    "Reciprocal": _one("reciprocal"),
    "Abs": _one("abs"),
    "Neg": _one("neg"),
    "Sign": _one("sign"),
    "Floor": _one("floor"),
    "Ceil": _one("ceil"),
    "Round": _one("round"),
    "Sin": _one("sin"),
    "Cos": _one("cos"),
    "Softmax": _softmax(log=False),
    "LogSoftmax": _softmax(log=True),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Scatter": _scatter(elements=True),
    "ScatterElements": _scatter(elements=True),
    "ScatterND": _scatter(elements=False),
    "Trilu": _trilu,
    "Pad": _pad,
    "Expand": _expand,
    "Tile": _tile,
    "Resize": _resize,
    "Upsample": _resize,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "LSTM": _recurrent("lstm"),
    "GRU": _recurrent("gru"),
    "RNN": _recurrent("rnn"),
    "Cast": _cast,
    "CastLike": _cast,
    "Identity": lambda to, name, _, x: x,
    "Dropout": _dropout,
}
"""What operators do to values that depend on the images."""
