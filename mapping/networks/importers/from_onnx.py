"""ONNX graphs in: the file is read as data, node after node, with one image in it.

Importing this file needs onnx; running the original, onnxruntime or onnx's own reference.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.graph import Network
from mapping.networks.importers.builder import Builder, Mixture, Value
from mapping.networks.unrolling import Pair

OLDEST = 13  #: opset; before it softmax flattened what it got, and axes were attributes of more nodes
LARGEST_FILE = 2**31  # bytes, the limit of the format's own encoding
LARGEST_CONSTANT = 2**16  # values of a constant that the graph computes (shapes), ours
_TYPES: dict[int, tuple[Any, str]] = {
    onnx.TensorProto.FLOAT: (np.dtype("<f4"), "float_data"),
    onnx.TensorProto.DOUBLE: (np.dtype("<f8"), "double_data"),
    onnx.TensorProto.FLOAT16: (np.dtype("<f2"), ""),
    onnx.TensorProto.INT64: (np.dtype("<i8"), "int64_data"),
    onnx.TensorProto.INT32: (np.dtype("<i4"), "int32_data"),
    onnx.TensorProto.BOOL: (np.dtype("?"), "int32_data"),
}

ADVICE = "replace it by operators that can be imported (docs/import.md) before the export"
Foreign = Any  # a message of protobuf, whose classes have no types here
Operand = Any  # Value, Mixture, a constant array, or None for an input left out


def convert(
    path: Path, input_shape: tuple[int, int, int] | None, name: str, classes: Sequence[str] | None, card: dict[str, Any]
) -> Network:
    """Read a file and build the network that does the same.

    Raises ParameterError for a damaged file, or naming the first node that no layer of ours can do.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise ParameterError(f"it is {size} bytes long, more than {LARGEST_FILE}")  # noqa: TRY301
        model = onnx.ModelProto()
        model.ParseFromString(path.read_bytes())
        opset = _opset(model)
        described = {**card, "imported_from": f"ONNX opset {opset}"}
        walk = _Walk(model.graph, opset, input_shape)
        return walk.builder.network(walk.run(), name, classes, described)
    except FileNotFoundError:
        raise ParameterError(f"there is no ONNX file {path}") from None
    except Exception as error:  # noqa: BLE001  (protobuf, numpy and our own checks each have their own kinds)
        reason = " ".join(str(error).split())[:600] or type(error).__name__
        raise ParameterError(f"{path} cannot be imported: {reason}") from None


def outputs(path: Path, images: FloatArray) -> tuple[FloatArray, str]:
    """Run a file on images one by one; returns (b, classes) and the name of what ran it."""
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        session: Foreign = ReferenceEvaluator(str(path))
        runtime, wanted = f"onnx {onnx.__version__}", session.input_names[0]
    else:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        runtime, wanted = f"onnxruntime {onnxruntime.__version__}", session.get_inputs()[0].name
    found = [
        np.asarray(session.run(None, {wanted: image[None].astype(np.float32)})[0], dtype=np.float64).ravel()
        for image in images
    ]
    return np.stack(found), runtime


def _opset(model: Foreign) -> int:
    """Return the version of the standard operators."""
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    if len(versions) != 1 or not model.graph.node:
        raise ParameterError("it is no ONNX model with one version of the standard operators")
    if versions[0] < OLDEST:
        raise ParameterError(f"it has opset {versions[0]}, at least {OLDEST} is needed; export it again")
    return int(versions[0])


def _constant(tensor: Foreign) -> np.ndarray[Any, Any]:
    """Read a stored tensor, once its size and its data agree; float values become float64."""
    shown = tensor.name or "a constant"
    if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ParameterError(f"{shown} lies in another file; save the model with its weights inside")
    if tensor.data_type not in _TYPES:
        raise ParameterError(f"{shown} holds values of type {tensor.data_type}; export the model in float32")
    dtype, field = _TYPES[tensor.data_type]
    dims = tuple(int(n) for n in tensor.dims)
    if any(n < 0 for n in dims):
        raise ParameterError(f"{shown} has the shape {dims}")
    count = math.prod(dims)
    if tensor.raw_data:
        if len(tensor.raw_data) != count * dtype.itemsize:
            raise ParameterError(f"{shown} of shape {dims} holds {len(tensor.raw_data)} bytes")
        values = np.frombuffer(tensor.raw_data, dtype=dtype)
    else:
        held = getattr(tensor, field) if field else ()
        if len(held) != count:
            raise ParameterError(f"{shown} of shape {dims} holds {len(held)} values")
        values = np.array(held, dtype=dtype)
    return values.reshape(dims).astype(np.float64 if dtype.kind == "f" else np.int64)


class _Walk:
    """Evaluates a graph node by node: values of ours, and constants."""

    def __init__(self, graph: Foreign, opset: int, input_shape: tuple[int, int, int] | None) -> None:
        self.graph, self.opset = graph, opset
        self.found: dict[str, Operand] = {each.name: _constant(each) for each in graph.initializer}
        inputs = [each for each in graph.input if each.name not in self.found]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ParameterError(
                f"it has {len(inputs)} inputs and {len(graph.output)} outputs; one image in and one tensor out can be "
                "imported"
            )
        dims = [int(each.dim_value) for each in inputs[0].type.tensor_type.shape.dim]
        self.batch = dims[0] if len(dims) == 4 and dims[0] > 0 else 1
        shape = input_shape or tuple(dims[1:])
        if len(shape) != 3 or min(shape) < 1 or (dims and len(dims) != 4):
            raise ParameterError(
                f"its input {inputs[0].name!r} has shape {tuple(dims)}; give input_shape=(channels, height, width)"
            )
        self.builder = Builder((shape[0], shape[1], shape[2]))
        self.found[inputs[0].name] = self.builder.input

    def run(self) -> Value:
        """Return what the graph gives back."""
        for index, node in enumerate(self.graph.node):
            name = node.name or f"{node.op_type}_{index}"
            try:
                out = self._node(name, node)
            except Exception as error:  # noqa: BLE001  (numpy and our own checks each have their own kinds)
                reason = " ".join(str(error).split()) or type(error).__name__
                raise ParameterError(f"node {name!r} ({node.op_type}): {reason}") from None
            if len(node.output) < 1 or any(node.output[1:]):
                raise ParameterError(f"node {name!r} ({node.op_type}) gives more than one output; {ADVICE}")
            self.found[node.output[0]] = out
        value = self.found.get(self.graph.output[0].name)
        if not isinstance(value, Value):
            raise ParameterError(f"its output {self.graph.output[0].name!r} does not depend on the image")
        return value

    def _node(self, name: str, node: Foreign) -> Operand:
        if node.domain not in ("", "ai.onnx"):
            raise ParameterError(f"it belongs to the operators of {node.domain!r}; {ADVICE}")
        missing = [each for each in node.input if each and each not in self.found]
        if missing:
            raise ParameterError(f"its input {missing[0]!r} is given by no node before it")
        inputs = [self.found[each] if each else None for each in node.input]
        options = {each.name: _attribute(each) for each in node.attribute}
        if node.op_type == "Shape":
            return np.array(_shape(inputs[0]), dtype=np.int64)
        if not any(isinstance(each, (Value, Mixture)) for each in inputs):
            if node.op_type in CONSTANTS:
                return _limited(CONSTANTS[node.op_type](options, *inputs))
            raise ParameterError(f"constants are not computed by it here; {ADVICE}")
        if node.op_type == "Reshape":
            return self._reshape(name, options, *inputs)
        operation = OPERATIONS.get(node.op_type)
        if operation is None:
            raise ParameterError(f"there is no layer for it; {ADVICE}")
        return operation(self.builder, name, options, *inputs)

    def _reshape(self, name: str, options: Mapping[str, Any], x: Operand, shape: Operand) -> Operand:
        """View in another shape; 0 keeps an axis, and the declared batch is one image here."""
        full = _shape(x)
        target = [int(n) for n in np.ravel(shape)]
        if not options.get("allowzero"):
            target = [full[i] if n == 0 and i < len(full) else n for i, n in enumerate(target)]
        if self.batch > 1 and target and target[0] == self.batch and isinstance(x, Value):
            target[0] = 1
        return self.builder.reshape(name, x, target)


def _shape(x: Operand) -> tuple[int, ...]:
    """Shape of a foreign tensor, with one image in it."""
    if isinstance(x, Value):
        return (1, *x.shape)
    return tuple(x.kernels.shape[1:]) if isinstance(x, Mixture) else tuple(np.shape(x))


def _attribute(attribute: Foreign) -> Foreign:
    """Read a number, a text, a tensor, or a list of numbers."""
    kinds = onnx.AttributeProto
    if attribute.type == kinds.TENSOR:
        return _constant(attribute.t)
    if attribute.type == kinds.STRING:
        return attribute.s.decode()
    simple = {kinds.FLOAT: "f", kinds.INT: "i", kinds.FLOATS: "floats", kinds.INTS: "ints"}
    if attribute.type not in simple:
        raise ParameterError(f"its attribute {attribute.name!r} is of a kind that is not read here; {ADVICE}")
    held = getattr(attribute, simple[attribute.type])
    return list(held) if attribute.type in (kinds.FLOATS, kinds.INTS) else held


# operators on values


def _window(options: Mapping[str, Any], x: Value, kernel: Sequence[int]) -> tuple[Pair, Pair, Pair]:
    """Return stride, padding and dilation of a window of two axes."""
    lists = {
        "strides": options.get("strides", [1, 1]),
        "pads": options.get("pads", [0, 0, 0, 0]),
        "dilations": options.get("dilations", [1, 1]),
        "kernel_shape": list(kernel),
    }
    if len(x.shape) != 3 or [len(each) for each in lists.values()] != [2, 4, 2, 2]:
        raise ParameterError(f"its window has other than two axes, or its input {x.shape} is no map (c, h, w)")
    top, left, bottom, right = lists["pads"]
    strides, dilations = lists["strides"], lists["dilations"]
    auto = options.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER") and min(strides) > 0:
        over = [
            max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
            for n, s, d, k in zip(x.shape[1:], strides, dilations, kernel, strict=True)
        ]
        top, left, bottom, right = over[0] // 2, over[1] // 2, over[0] - over[0] // 2, over[1] - over[1] // 2
    elif auto == "VALID":
        top = left = bottom = right = 0
    elif auto != "NOTSET":
        raise ParameterError(f"auto_pad={auto!r} cannot be imported")
    if (top, left) != (bottom, right):
        raise ParameterError(
            f"it pads {(top, left)} before and {(bottom, right)} after; only the same on both sides can be imported"
        )
    return (strides[0], strides[1]), (top, left), (dilations[0], dilations[1])


def _conv(to: Builder, name: str, options: Mapping[str, Any], x: Value, weight: Operand, bias: Operand = None) -> Value:
    kernel = _shape(weight)[2:]
    groups = int(options.get("group", 1))
    if len(x.shape) == 3 and len(kernel) == 2:
        return to.conv(name, x, weight, bias, *_window(options, x, kernel), groups)
    raise ParameterError(f"it convolves {(1, *x.shape)} with a kernel of shape {_shape(weight)}; maps have two axes")


def _gemm(to: Builder, name: str, options: Mapping[str, Any], x: Value, weight: Operand, bias: Operand = None) -> Value:
    matrix = _array(weight)
    if options.get("transA") or matrix.ndim != 2:
        raise ParameterError(f"it transposes its input, or multiplies by a constant of shape {matrix.shape}")
    matrix = float(options.get("alpha", 1.0)) * (matrix if options.get("transB") else matrix.T)
    added = None
    if bias is not None:
        added = float(options.get("beta", 1.0)) * np.broadcast_to(_array(bias).reshape(-1), (len(matrix),))
    return to.linear(name, x, matrix, added)


def _matmul(to: Builder, name: str, _: Mapping[str, Any], x: Operand, weight: Operand) -> Value:
    matrix = _array(weight)
    if not isinstance(x, Value) or matrix.ndim != 2:
        raise ParameterError("only a vector times a constant matrix can be imported")
    return to.linear(name, x, matrix.T)


def _batch_norm(
    to: Builder, name: str, options: Mapping[str, Any], x: Value, gamma: Operand, beta: Operand, mean: Operand,
    variance: Operand,
) -> Value:  # fmt: skip
    if options.get("training_mode"):
        raise ParameterError("it is in training mode; export the model for inference")
    held = (_array(gamma), _array(beta), _array(mean), _array(variance))
    return to.norm(name, x, *held, float(options.get("epsilon", 1e-5)))


def _max_pool(to: Builder, name: str, options: Mapping[str, Any], x: Value) -> Value:
    kernel = options["kernel_shape"]
    stride, padding, dilation = _window(options, x, kernel)
    if dilation != (1, 1):
        raise ParameterError("its window is spread (dilations); only dense windows can be imported")
    size = (kernel[0], kernel[1])
    return to.max_pool(name, x, size, stride, padding, ceil=bool(options.get("ceil_mode")))


def _average_pool(to: Builder, name: str, options: Mapping[str, Any], x: Value) -> Value:
    kernel = options["kernel_shape"]
    stride, padding, dilation = _window(options, x, kernel)
    if dilation != (1, 1):
        raise ParameterError("its window is spread (dilations); only dense windows can be imported")
    return to.average_pool(
        name, x, (kernel[0], kernel[1]), stride, padding,
        count_padding=bool(options.get("count_include_pad")), ceil=bool(options.get("ceil_mode")),
    )  # fmt: skip


def _mean(to: Builder, name: str, options: Mapping[str, Any], x: Value, axes: Operand = None) -> Value:
    wanted = options.get("axes", [] if axes is None else [int(n) for n in np.ravel(axes)])
    return to.mean(name, x, wanted, keep=bool(options.get("keepdims", 1)))


def _clip(to: Builder, name: str, _: Mapping[str, Any], x: Value, low: Operand = None, high: Operand = None) -> Value:
    bottom = -math.inf if low is None else float(_array(low))
    top = math.inf if high is None else float(_array(high))
    if bottom == 0.0 and top >= np.finfo(np.float32).max:
        return to.relu(name, x)
    if (bottom, top) == (0.0, 6.0):
        return to.activation(name, x, "relu6")
    raise ParameterError(f"it clips to {bottom:g} … {top:g}, only 0 … 6 and 0 … can be imported")


def _hard_sigmoid(to: Builder, name: str, options: Mapping[str, Any], x: Value) -> Value:
    alpha, beta = float(options.get("alpha", 0.2)), float(options.get("beta", 0.5))
    if not math.isclose(alpha, 1.0 / 6.0, rel_tol=1e-6) or beta != 0.5:
        raise ParameterError(f"its line is {alpha:g} x + {beta:g}, only x / 6 + 0.5 can be imported")
    return to.activation(name, x, "hard-sigmoid")


def _flatten(to: Builder, name: str, options: Mapping[str, Any], x: Value) -> Value:
    if int(options.get("axis", 1)) % (len(x.shape) + 1) != 1:
        raise ParameterError(f"it flattens from axis {options['axis']}, only from axis 1 can be imported")
    return to.flatten(name, x)


def _squeeze(to: Builder, name: str, _: Mapping[str, Any], x: Operand, axes: Operand = None) -> Operand:
    full = _shape(x)
    chosen = range(1, len(full)) if axes is None else [int(n) % len(full) for n in np.ravel(axes)]
    return to.reshape(name, x, [n for i, n in enumerate(full) if not (i in chosen and n == 1)])


def _unsqueeze(to: Builder, name: str, _: Mapping[str, Any], x: Operand, axes: Operand) -> Operand:
    return to.reshape(name, x, _with_ones(_shape(x), axes))


def _with_ones(shape: Sequence[int], axes: Operand) -> list[int]:
    """Insert axes of one entry."""
    wanted = [int(n) for n in np.ravel(axes)]
    total = len(shape) + len(wanted)
    places, rest = {n % total for n in wanted}, iter(shape)
    return [1 if i in places else next(rest) for i in range(total)]


def _add(to: Builder, name: str, _: Mapping[str, Any], one: Operand, other: Operand) -> Value:
    if isinstance(one, Value) and isinstance(other, Value):
        return to.add(name, one, other)
    value, constant = (one, other) if isinstance(one, Value) else (other, one)
    return to.affine(name, value, np.ones(1), _array(constant))


def _subtract(to: Builder, name: str, _: Mapping[str, Any], one: Operand, other: Operand) -> Value:
    if isinstance(one, Value) and isinstance(other, Value):
        return to.add(name, one, to.affine(f"{name}.minus", other, -np.ones(1), np.zeros(1)))
    if isinstance(one, Value):
        return to.affine(name, one, np.ones(1), -_array(other))
    return to.affine(name, other, -np.ones(1), _array(one))


def _multiply(to: Builder, name: str, _: Mapping[str, Any], one: Operand, other: Operand) -> Value:
    if isinstance(one, Value) and isinstance(other, Value):
        return to.multiply(name, one, other)
    value, constant = (one, other) if isinstance(one, Value) else (other, one)
    return to.affine(name, value, _array(constant), np.zeros(1))


def _divide(to: Builder, name: str, _: Mapping[str, Any], one: Operand, other: Operand) -> Value:
    divisor = _array(other)
    if not np.all(divisor):
        raise ParameterError("it divides by 0")
    return to.affine(name, one, 1.0 / divisor, np.zeros(1))


def _array(x: Operand) -> FloatArray:
    """Return a constant, refused if it depends on the image."""
    if not isinstance(x, np.ndarray):
        raise ParameterError("an input depends on the image (or is missing) where only a constant can be imported")
    return x.astype(np.float64)


def _applied(kind: str) -> Callable[..., Value]:
    return lambda to, name, _, x: to.activation(name, x, kind)


OPERATIONS: dict[str, Callable[..., Operand]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "Relu": lambda to, name, _, x: to.relu(name, x),
    "Clip": _clip,
    "Sigmoid": _applied("sigmoid"),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _applied("hard-swish"),
    "Tanh": _applied("tanh"),
    "Softmax": lambda to, name, options, x: to.softmax(name, x, int(options.get("axis", -1))),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda to, name, _, x: to.global_average_pool(name, x, keep=True),
    "ReduceMean": _mean,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Add": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "Identity": lambda _to, _name, _, x: x,
    "Expand": lambda to, _name, _, x, shape: to.expanded(x, [int(n) for n in np.ravel(_array(shape))]),
    "Dropout": lambda _to, _name, _, x, *_rest: x,
}
"""Operators that become layers."""


# operators on constants: what exporters leave of shapes


def _limited(value: Foreign) -> np.ndarray[Any, Any]:
    """Return a computed constant, floats as float64."""
    out = np.asarray(value)
    return out.astype(np.float64 if out.dtype.kind == "f" else np.int64)


def _constant_node(options: Mapping[str, Any]) -> Operand:
    if len(options) != 1:
        raise ParameterError("it has no value")
    return np.asarray(next(iter(options.values())))


def _filled(options: Mapping[str, Any], shape: Operand) -> Operand:
    dims = [int(n) for n in np.ravel(shape)]
    if any(n < 0 for n in dims) or math.prod(dims) > LARGEST_CONSTANT:
        raise ParameterError(f"it makes a constant of shape {tuple(dims)}")
    return np.full(dims, np.ravel(options.get("value", np.zeros(1)))[0])


def _slice(
    _: Mapping[str, Any], x: Operand, starts: Operand, ends: Operand, axes: Operand = None, steps: Operand = None
) -> Operand:
    chosen = range(len(np.ravel(starts))) if axes is None else [int(n) for n in np.ravel(axes)]
    jumps = np.ones(len(np.ravel(starts)), dtype=np.int64) if steps is None else np.ravel(steps)
    where = [slice(None)] * np.ndim(x)
    for axis, first, last, step in zip(chosen, np.ravel(starts), np.ravel(ends), jumps, strict=True):
        where[axis] = slice(int(first), int(last), int(step))
    return x[tuple(where)]


CONSTANTS: dict[str, Callable[..., Operand]] = {
    "Constant": _constant_node,
    "ConstantOfShape": _filled,
    "Identity": lambda _, x: x,
    "Cast": lambda options, x: x.astype(np.float64 if options.get("to") in (1, 10, 11) else np.int64),
    "Gather": lambda options, x, index: np.take(x, index, axis=int(options.get("axis", 0))),
    "Concat": lambda options, *parts: np.concatenate([np.atleast_1d(each) for each in parts], int(options["axis"])),
    "Unsqueeze": lambda _, x, axes: np.reshape(x, _with_ones(np.shape(x), axes)),
    "Squeeze": lambda _, x, axes=None: np.squeeze(x, None if axes is None else tuple(int(n) for n in np.ravel(axes))),
    "Slice": _slice,
    "Reshape": lambda _, x, shape: np.reshape(x, [int(n) for n in np.ravel(shape)]),
    "Transpose": lambda options, x: np.transpose(x, options.get("perm")),
    "Add": lambda _, a, b: _small(a, b, np.add),
    "Sub": lambda _, a, b: _small(a, b, np.subtract),
    "Mul": lambda _, a, b: _small(a, b, np.multiply),
    "Div": lambda _, a, b: _small(a, b, np.divide if np.asarray(a).dtype.kind == "f" else np.floor_divide),
}
"""Operators on constants alone."""


def _small(one: Operand, other: Operand, function: Callable[..., Operand]) -> Operand:
    """Combine two constants whose broadcast is not larger than both."""
    if math.prod(np.broadcast_shapes(np.shape(one), np.shape(other))) > max(np.size(one), np.size(other)):
        raise ParameterError(f"it combines constants of shapes {np.shape(one)} and {np.shape(other)}")
    with np.errstate(all="ignore"):
        return function(one, other)
