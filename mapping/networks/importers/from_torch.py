"""PyTorch modules in: the module's graph is traced and walked with one image in it.

Convolutions with mixed kernels are known by the names of their classes (KNOWN), or read back from the graph where
tracing sees through them. Importing this file needs torch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.graph import Network
from mapping.networks.importers.builder import Builder, Mixture, Value, folded, one_layer_attention, two
from mapping.networks.layers import Attention
from mapping.networks.unrolling import Pair

Foreign = Any  # a module or tensor of torch, whose classes have no types here

#: what a converter is: it grows the network by what a module does to a value
Converter = Callable[[Builder, str, Any, Value], Value]

ADVICE = "replace it by layers that can be imported (docs/import.md), or say what it does through `known`"


def convert(
    module: Foreign,
    input_shape: tuple[int, int, int],
    name: str,
    classes: Sequence[str] | None,
    known: Mapping[str, Converter],
    card: dict[str, Any],
) -> Network:
    """Trace a module and build the network that does the same in evaluation mode.

    Raises ParameterError that names the first node that no layer of ours can do.
    """
    if not isinstance(module, nn.Module):
        raise ParameterError(f"import_torch takes a torch.nn.Module, got {type(module).__name__}")
    walk = _Walk(module, input_shape, {**KNOWN, **known})
    return walk.builder.network(walk.run(), name, classes, card)


@contextmanager
def evaluating(module: Foreign) -> Iterator[None]:
    """Put a module into evaluation mode, and every part of it back after."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def outputs(module: Foreign, images: FloatArray) -> FloatArray:
    """Run a module on (b, c, h, w) images, in the precision and on the device of its weights."""
    first = next(iter(module.parameters()), torch.zeros(()))
    with evaluating(module):
        out: FloatArray = module(torch.as_tensor(images, dtype=first.dtype, device=first.device)).double().cpu().numpy()
    return out


def plain(tensor: Foreign) -> FloatArray:
    """Return a tensor as a float64 array."""
    out: FloatArray = tensor.detach().cpu().double().numpy()
    return out


def some(tensor: Foreign) -> FloatArray | None:
    """Return a tensor as an array, or None for none."""
    return plain(tensor) if isinstance(tensor, torch.Tensor) else None


class _Tracer(fx.Tracer):  # type: ignore[misc]  # torch has no types here
    """Traces through everything but torch's own modules and those known by name."""

    def __init__(self, known: Mapping[str, Converter]) -> None:
        super().__init__()
        self.known = known

    def is_leaf_module(self, m: Foreign, module_qualified_name: str) -> bool:
        """Whether a module stays one node."""
        return type(m).__name__ in self.known or bool(super().is_leaf_module(m, module_qualified_name))


class _Walk:
    """Evaluates a traced graph node by node: values of ours, constants, and shapes of one image."""

    def __init__(self, module: Foreign, input_shape: tuple[int, int, int], known: Mapping[str, Converter]) -> None:
        self.module, self.known = module, known
        self.builder = Builder(input_shape)
        if type(module).__name__ in known:  # tracing would look inside the outermost module
            module = nn.Sequential(module)
            self.module = module
        try:
            self.graph = _Tracer(known).trace(module)
        except Exception as error:
            raise ParameterError(
                f"{type(module).__name__} cannot be traced: {' '.join(str(error).split())[:200]}; "
                "write its forward without branches on values, or say what the part in question does through `known`"
            ) from error

    def run(self) -> Value:
        """Return what the graph gives back."""
        found: dict[Any, Any] = {}
        for node in self.graph.nodes:
            if node.op == "placeholder":
                if not found:
                    found[node] = self.builder.input
                elif node.args:
                    found[node] = node.args[0]
                else:
                    raise ParameterError(f"the module takes more than one input: {node.name}; only images can come in")
            elif node.op == "get_attr":
                found[node] = _attribute(self.module, node.target)
            else:
                args = fx.node.map_arg(node.args, found.__getitem__)
                kwargs = fx.node.map_arg(node.kwargs, found.__getitem__)
                if node.op == "output":
                    if not isinstance(args[0], Value):
                        raise ParameterError("the module must give back one tensor that depends on the images")
                    return args[0]
                found[node] = self._node(node, args, kwargs)
        raise ParameterError("the module gives nothing back")

    def _node(self, node: Foreign, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Foreign:
        """Evaluate one node; whatever goes wrong names it."""
        if node.op == "call_module":
            part = self.module.get_submodule(node.target)
            shown, name = type(part).__name__, str(node.target)
        else:
            stack = list(node.meta.get("nn_module_stack") or [])
            part, name = None, ".".join([*stack[-1:], node.name]).lstrip(".")
            shown = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        try:
            if part is not None:
                return self._module(name, part, *args, **kwargs)
            if not any(isinstance(each, (Value, Mixture)) for each in _flat([*args, *kwargs.values()])):
                return _constant(node, args, kwargs)
            operation = OPERATIONS.get(shown.rstrip("_"))
            if operation is None:
                raise ParameterError(f"there is no layer for it; {ADVICE}")  # noqa: TRY301
            return operation(self.builder, name, *args, **kwargs)
        except (ParameterError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ParameterError(f"{name} ({shown}) cannot be imported: {reason}") from error

    def _module(self, name: str, part: Foreign, *values: Foreign, **others: Foreign) -> Foreign:
        for kind in type(part).__mro__:
            converter = self.known.get(kind.__name__) or MODULES.get(kind.__name__)
            if converter is not None:
                if len(values) != 1 or others or not isinstance(values[0], Value):
                    raise ParameterError("it must take one tensor that depends on the images")
                return converter(self.builder, name, part, values[0])
        raise ParameterError(f"there is no layer for it; {ADVICE}")


def _attribute(module: Foreign, path: str) -> Foreign:
    for part in path.split("."):
        module = getattr(module, part)
    return module


def _flat(values: Foreign) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value


def _constant(node: Foreign, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Foreign:
    """Evaluate a node that does not depend on the images."""
    if node.op == "call_method":
        return getattr(args[0], node.target)(*args[1:], **kwargs)
    return node.target(*args, **kwargs)


# modules


def _conv(to: Builder, name: str, part: Foreign, x: Value) -> Value:
    return to.conv(name, x, plain(part.weight), some(part.bias), *_geometry(part))


def _geometry(part: Foreign) -> tuple[Pair, Pair, Pair, int]:
    """Stride, padding, dilation and groups of a convolution."""
    if getattr(part, "padding_mode", "zeros") != "zeros":
        raise ParameterError(f"it pads with {part.padding_mode}; only zeros can be imported")
    stride, dilation, groups = two(part.stride), two(part.dilation), int(part.groups)
    return stride, _padding(part.padding, part.kernel_size, stride, dilation), dilation, groups


def _padding(padding: object, kernel_size: object, stride: Pair, dilation: Pair) -> Pair:
    """Return the zeros around a map, where 'same' and 'valid' are worked out."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        over = [d * (k - 1) for d, k in zip(dilation, two(kernel_size), strict=True)]
        if stride != (1, 1) or over[0] % 2 or over[1] % 2:
            raise ParameterError("padding='same' of an even kernel is not the same on both sides; use odd kernels")
        return over[0] // 2, over[1] // 2
    return two(padding)


def _linear(to: Builder, name: str, part: Foreign, x: Value) -> Value:
    return to.linear(name, x, plain(part.weight), some(part.bias))


def _norm(to: Builder, name: str, part: Foreign, x: Value) -> Value:
    return _batch_norm(to, name, x, part.running_mean, part.running_var, part.weight, part.bias, eps=part.eps)


def _max_pool(to: Builder, name: str, part: Foreign, x: Value) -> Value:
    return _max_pool2d(to, name, x, part.kernel_size, part.stride, part.padding, part.dilation, part.ceil_mode)


def _average_pool(to: Builder, name: str, part: Foreign, x: Value) -> Value:
    return _avg_pool2d(
        to, name, x, part.kernel_size, part.stride, part.padding, part.ceil_mode, part.count_include_pad,
        part.divisor_override,
    )  # fmt: skip


def _flatten_module(to: Builder, name: str, part: Foreign, x: Value) -> Value:
    return _flatten(to, name, x, part.start_dim, part.end_dim)


def _softmax_module(to: Builder, name: str, part: Foreign, x: Value) -> Value:
    return to.softmax(name, x, 1 if part.dim is None else part.dim)


def _relu(to: Builder, name: str, _: Foreign, x: Value) -> Value:
    return to.relu(name, x)


def _same(_to: Builder, _name: str, _part: Foreign, x: Value) -> Value:
    return x


def _function(kind: str) -> Converter:
    """Return the converter of a module that applies one of our activations."""
    return lambda to, name, _, x: to.activation(name, x, kind)


MODULES: dict[str, Converter] = {
    "Conv2d": _conv,
    "Linear": _linear,
    "BatchNorm2d": _norm,
    "BatchNorm1d": _norm,
    "ReLU": _relu,
    "ReLU6": _function("relu6"),
    "Sigmoid": _function("sigmoid"),
    "Hardsigmoid": _function("hard-sigmoid"),
    "Hardswish": _function("hard-swish"),
    "SiLU": _function("silu"),
    "Tanh": _function("tanh"),
    "Softmax": _softmax_module,
    "MaxPool2d": _max_pool,
    "AvgPool2d": _average_pool,
    "AdaptiveAvgPool2d": lambda to, name, part, x: to.adaptive_average_pool(name, x, _sizes(part.output_size)),
    "AdaptiveMaxPool2d": lambda to, name, part, x: to.adaptive_max_pool(name, x, _sizes(part.output_size)),
    "Flatten": _flatten_module,
    "Dropout": _same,
    "Dropout2d": _same,
    "Identity": _same,
    "StochasticDepth": _same,
    "DropPath": _same,
}
"""Modules that become layers, by the name of their class or of one it derives from."""


# convolutions with mixed kernels, by the names of their public classes


def dynamic_conv2d(to: Builder, name: str, part: Foreign, x: Value) -> Value:
    """Dynamic convolution: `attention` with `fc1`, `fc2` and `temperature`; `weight` (k, c_out, …), `bias` (k, c_out).

    Source: Chen et al., CVPR 2020, arXiv 1912.03458.
    """
    gate = part.attention
    attention = Attention(
        _matrix(gate.fc1), some(gate.fc1.bias), _matrix(gate.fc2), some(gate.fc2.bias), float(gate.temperature)
    )
    return to.dynamic_conv(name, x, plain(part.weight), some(part.bias), _geometry(part), attention)


def cond_conv2d(to: Builder, name: str, part: Foreign, x: Value) -> Value:
    """CondConv: `_routing_fn.fc` with a sigmoid; `weight` (k, c_out, …), one `bias` (c_out) that is not mixed.

    Source: Yang et al., NeurIPS 2019, arXiv 1904.04971.
    """
    gate = part._routing_fn.fc  # noqa: SLF001  (the public classes call it so)
    attention = one_layer_attention(_matrix(gate), some(gate.bias), 1.0, "sigmoid")
    out = to.dynamic_conv(name, x, plain(part.weight), None, _geometry(part), attention)
    bias = some(part.bias)
    return out if bias is None else to.affine(f"{name}.bias", out, np.ones(1), bias.reshape(-1, 1, 1))


def od_conv2d(to: Builder, name: str, part: Foreign, x: Value) -> Value:
    """Omni-dimensional convolution: `attention` with `fc`, `bn` and heads `channel_fc`, `filter_fc`, `spatial_fc`,
    `kernel_fc`, each of which but the first may be missing.

    Its channel attention scales the input's channels, its filter attention the output's, its spatial attention the
    positions of the kernel. Source: Li et al., ICLR 2022, arXiv 2209.07947 eq. 2.
    """  # noqa: D205
    gate = part.attention
    temperature = float(gate.temperature)
    weight, bias = _matrix(gate.fc), some(gate.fc.bias)
    norm = getattr(gate, "bn", None)
    if norm is not None:
        held = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        weight, bias = folded(weight, bias, [plain(each) for each in held], float(norm.eps))
    pooled = to.global_average_pool(f"{name}.pool", x, keep=False)
    hidden = to.relu(f"{name}.relu", to.linear(f"{name}.fc", pooled, weight, bias))

    def head(kind: str) -> Value | None:
        layer = getattr(gate, f"{kind}_fc", None)
        if layer is None:
            return None
        added = some(layer.bias)
        scaled = None if added is None else added / temperature
        scores = to.linear(f"{name}.{kind}_fc", hidden, _matrix(layer) / temperature, scaled)
        return to.activation(f"{name}.{kind}", scores, "sigmoid")

    channel, filters, positions = head("channel"), head("filter"), head("spatial")
    scaled = x if channel is None else to.multiply(f"{name}.scaled", x, channel)
    kernel = getattr(gate, "kernel_fc", None)
    kernels = plain(part.weight)
    if kernel is None and positions is None:
        out = to.conv(name, scaled, kernels[0], None, *_geometry(part))
    else:
        shape = (len(kernels), len(weight))
        second = (np.zeros(shape), None) if kernel is None else (_matrix(kernel), some(kernel.bias))
        attention = Attention(weight, bias, *second, temperature)  # one kernel alone has a share of 1
        out = to.dynamic_conv(name, scaled, kernels, None, _geometry(part), attention, x, positions)
    return out if filters is None else to.multiply(f"{name}.filtered", out, filters)


def _matrix(layer: Foreign) -> FloatArray:
    """Weights (out, n) of an FC layer, written as one or as a 1 × 1 convolution."""
    weight = plain(layer.weight)
    return weight.reshape(weight.shape[:2])


KNOWN: dict[str, Converter] = {
    "Dynamic_conv2d": dynamic_conv2d,
    "DynamicConv2d": dynamic_conv2d,
    "CondConv2D": cond_conv2d,
    "ODConv2d": od_conv2d,
}
"""Convolutions with mixed kernels that stay whole when a module is traced, by the name of their class."""


# functions and methods; each has the parameters of torch's own


def _conv2d(
    to: Builder, name: str, x: Foreign, weight: Foreign, bias: Foreign = None, stride: Foreign = 1,
    padding: Foreign = 0, dilation: Foreign = 1, groups: int = 1,
) -> Value:  # fmt: skip
    held = weight if isinstance(weight, Mixture) else plain(weight)
    size = held.kernels.shape[-2:] if isinstance(held, Mixture) else held.shape[-2:]
    added = bias if isinstance(bias, (Mixture, Value)) else some(bias)
    steps = two(stride), two(dilation)
    return to.conv(name, x, held, added, steps[0], _padding(padding, tuple(size), *steps), steps[1], groups)


def _linear_function(to: Builder, name: str, x: Value, weight: Foreign, bias: Foreign = None) -> Value:
    return to.linear(name, x, plain(weight), some(bias))


def _matmul(to: Builder, name: str, x: Value, other: Foreign) -> Value:
    return to.linear(name, x, plain(other).T)


def _batch_norm(
    to: Builder, name: str, x: Value, mean: Foreign, variance: Foreign, weight: Foreign = None, bias: Foreign = None,
    _training: bool = False, _momentum: float = 0.1, eps: float = 1e-5, **_: Foreign,
) -> Value:  # fmt: skip
    if mean is None or variance is None:
        raise ParameterError("it normalises by the batch's own statistics; train it with track_running_stats=True")
    of = plain(mean)
    gamma = np.ones_like(of) if weight is None else plain(weight)
    beta = np.zeros_like(of) if bias is None else plain(bias)
    return to.norm(name, x, gamma, beta, of, plain(variance), float(eps))


def _max_pool2d(
    to: Builder, name: str, x: Value, kernel_size: Foreign, stride: Foreign = None, padding: Foreign = 0,
    dilation: Foreign = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Value:  # fmt: skip
    if two(dilation) != (1, 1) or return_indices:
        raise ParameterError("it spreads its window or gives indices; use dilation=1 and return_indices=False")
    steps = two(kernel_size if stride in (None, []) else stride)
    return to.max_pool(name, x, two(kernel_size), steps, two(padding), ceil=ceil_mode)


def _avg_pool2d(
    to: Builder, name: str, x: Value, kernel_size: Foreign, stride: Foreign = None, padding: Foreign = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: Foreign = None,
) -> Value:  # fmt: skip
    if divisor_override is not None:
        raise ParameterError("it divides by a number of its own; use divisor_override=None")
    steps = two(kernel_size if stride in (None, []) else stride)
    return to.average_pool(
        name, x, two(kernel_size), steps, two(padding), count_padding=bool(count_include_pad), ceil=ceil_mode
    )


def _flatten(to: Builder, name: str, x: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    axes = len(x.shape) + 1
    if start_dim % axes != 1 or end_dim % axes != axes - 1:
        raise ParameterError(f"it flattens axes {start_dim} to {end_dim}, only 1 to -1 can be imported")
    return to.flatten(name, x)


def _view(to: Builder, name: str, x: Foreign, *shape: Foreign) -> Foreign:
    target = shape[0] if len(shape) == 1 and isinstance(shape[0], (list, tuple)) else shape
    return to.reshape(name, x, target)


def _squeeze(to: Builder, name: str, x: Value, *axes: int) -> Foreign:
    full = (1, *x.shape)
    chosen = {axis % len(full) for axis in axes} or {i for i, n in enumerate(full) if n == 1 and i}
    return to.reshape(name, x, [n for i, n in enumerate(full) if not (i in chosen and n == 1)])


def _unsqueeze(to: Builder, name: str, x: Value, dim: int) -> Foreign:
    full = [1, *x.shape]
    full.insert(dim % (len(full) + 1), 1)
    return to.reshape(name, x, full)


def _mean(to: Builder, name: str, x: Value, dim: Foreign = None, keepdim: bool = False) -> Value:
    return to.mean(name, x, dim if isinstance(dim, (list, tuple)) else (0,) if dim is None else (dim,), keep=keepdim)


def _softmax(to: Builder, name: str, x: Value, dim: int = 1, **_: Foreign) -> Value:
    return to.softmax(name, x, dim)


def _sum_of(to: Builder, name: str, one: Foreign, other: Foreign, *, alpha: float = 1.0) -> Value:
    if alpha != 1.0:
        raise ParameterError("it scales what it adds; use alpha=1")
    if isinstance(one, Value) and isinstance(other, Value):
        return to.add(name, one, other)
    value, constant = (one, other) if isinstance(one, Value) else (other, one)
    return to.affine(name, value, np.ones(1), _number(constant))


def _difference(to: Builder, name: str, one: Foreign, other: Foreign) -> Value:
    if isinstance(one, Value) and isinstance(other, Value):
        return to.add(name, one, to.affine(f"{name}.minus", other, -np.ones(1), np.zeros(1)))
    if isinstance(one, Value):
        return to.affine(name, one, np.ones(1), -_number(other))
    return to.affine(name, other, -np.ones(1), _number(one))


def _product(to: Builder, name: str, one: Foreign, other: Foreign) -> Value:
    if isinstance(one, Value) and isinstance(other, Value):
        return to.multiply(name, one, other)
    value, constant = (one, other) if isinstance(one, Value) else (other, one)
    return to.affine(name, value, _number(constant), np.zeros(1))


def _quotient(to: Builder, name: str, one: Foreign, other: Foreign) -> Value:
    if isinstance(other, Value):
        raise ParameterError("it divides by a value that depends on the image")
    return to.affine(name, one, 1.0 / _number(other), np.zeros(1))


def _number(constant: Foreign) -> FloatArray:
    return plain(constant) if isinstance(constant, torch.Tensor) else np.asarray(float(constant))


def _clamp(to: Builder, name: str, x: Value, min: Foreign = None, max: Foreign = None) -> Value:  # noqa: A002
    if min is not None and float(min) == 0.0 and max is None:
        return to.relu(name, x)
    if min is not None and max is not None and (float(min), float(max)) == (0.0, 6.0):
        return to.activation(name, x, "relu6")
    raise ParameterError(f"it clips to {min} … {max}, only 0 … 6 and 0 … can be imported")


def _size(_: Builder, __: str, x: Value, dim: int | None = None) -> Foreign:
    return (1, *x.shape) if dim is None else (1, *x.shape)[dim]


def _getattr(_: Builder, __: str, x: Value, what: str) -> Foreign:
    if what != "shape":
        raise ParameterError(f"it asks for .{what} of a value that depends on the image")
    return (1, *x.shape)


def _sizes(value: Foreign) -> tuple[int | None, int | None]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _through(_: Builder, __: str, x: Foreign, *_args: Foreign, **_kwargs: Foreign) -> Foreign:
    return x


def _applied(kind: str) -> Callable[..., Value]:
    return lambda to, name, x, *_, **__: to.activation(name, x, kind)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "conv2d": _conv2d,
    "linear": _linear_function,
    "matmul": _matmul,
    "mm": _matmul,
    "batch_norm": _batch_norm,
    "relu": lambda to, name, x, *_, **__: to.relu(name, x),
    "relu6": _applied("relu6"),
    "sigmoid": _applied("sigmoid"),
    "hardsigmoid": _applied("hard-sigmoid"),
    "hardswish": _applied("hard-swish"),
    "silu": _applied("silu"),
    "tanh": _applied("tanh"),
    "softmax": _softmax,
    "clamp": _clamp,
    "hardtanh": lambda to, name, x, min_val=-1.0, max_val=1.0, *_: _clamp(to, name, x, min_val, max_val),
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": lambda to, name, x, output_size: to.adaptive_average_pool(name, x, _sizes(output_size)),
    "adaptive_max_pool2d": lambda to, name, x, output_size: to.adaptive_max_pool(name, x, _sizes(output_size)),
    "mean": _mean,
    "flatten": _flatten,
    "view": _view,
    "reshape": _view,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "add": _sum_of,
    "iadd": _sum_of,
    "sub": _difference,
    "isub": _difference,
    "mul": _product,
    "imul": _product,
    "truediv": _quotient,
    "div": _quotient,
    "size": _size,
    "getattr": _getattr,
    "dropout": _through,
    "dropout2d": _through,
    "stochastic_depth": _through,
    "contiguous": _through,
    "clone": _through,
    "detach": _through,
    "expand_as": lambda to, _, x, other: to.expanded(x, (1, *other.shape)),
    "expand": lambda to, _, x, *shape: to.expanded(x, list(_flat(shape))),
    "float": _through,
}
"""Functions and methods that become layers, by name; an underscore at the end (in place) changes nothing."""
