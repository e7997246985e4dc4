"""ONNX files in: read as data by the onnx package, functions and constant branches resolved, walked node by node.

Importing this file needs onnx; running the original, onnxruntime or onnx's own reference.
"""

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.files.regular_files import open_regular
from mapping.networks.importers.one_image import one_image
from mapping.networks.importers.onnx_operations import ADVICE, OPERATIONS, Operand
from mapping.networks.importers.recognition import ordered
from mapping.networks.importers.tensor_graph import Node, TensorGraph

OLDEST = 6  #: opset; before it arithmetic broadcast by other rules and batch norms had other inputs
LARGEST_FILE = 2**31  # bytes, the limit of the format's own encoding
LARGEST_CONSTANT = 2**27  # values of a constant that the graph computes, 1 GiB; ours: VGG-19 has one of 1.0e8
_OF_SINGLE_VALUES = ("input", "reshape", "function", "binary", "where", "expand")  #: kinds that no axis has a part in
_DEPTH = 16  # functions inside functions, ours

Foreign = Any  # a message of protobuf, whose classes have no types here

_CLASSES = {
    each: np.dtype(kind)
    for each, kind in (
        (onnx.TensorProto.FLOAT, "f4"), (onnx.TensorProto.DOUBLE, "f8"), (onnx.TensorProto.FLOAT16, "f2"),
    )
}  # fmt: skip


class OnnxFile:
    """A file as a tensor graph of one image, and the way back to run it.

    Raises ParameterError for a damaged file, or naming the first node that cannot be imported.
    """

    def __init__(self, path: Path, input_shape: tuple[int, int, int] | None, output: str | None = None) -> None:
        self.path = path
        self.sources: dict[str, Operand] = {}
        self.quantised: list[str] = []
        try:
            self.model = _read(path)
            self.opset = _opset(self.model)
            self.card: dict[str, Any] = {"imported_from": f"ONNX opset {self.opset}"}
            self._walk(input_shape, output)
            if self.quantised:
                self.card["quantised_activations"] = len(self.quantised)
        except FileNotFoundError:
            raise ParameterError(f"there is no ONNX file {path}") from None
        except Exception as error:  # noqa: BLE001  (protobuf, numpy, onnx and our own checks each have their own kinds)
            reason = " ".join(str(error).split())[:600] or type(error).__name__
            raise ParameterError(f"{path} cannot be imported: {reason}") from None

    def _walk(self, input_shape: tuple[int, int, int] | None, wanted: str | None) -> None:
        graph, found = self.model.graph, self.sources
        folder = str(self.path.parent)
        for each in graph.initializer:
            found[each.name] = _stored(each, folder)
        inputs = [each for each in graph.input if each.name not in found]
        names = [each.name for each in graph.output]
        if (len(inputs) != 1 or (wanted or names[:1] != names)) and (len(inputs) != 1 or wanted not in names):
            raise ParameterError(
                f"it has {len(inputs)} inputs and {len(names)} outputs; one image in and one tensor out can be "
                f"imported{f', so name one of the outputs {names} by output=' if len(inputs) == 1 else ''}"
            )
        self.output_name = wanted or names[0]
        self.input = inputs[0]
        dims = self._dims(input_shape)
        needed = _needed(graph, self.output_name)
        self.layout = _layout(graph, inputs[0].name, dims, needed)
        self.graph = TensorGraph(tuple(dims))
        self.dims = tuple(dims)
        found[inputs[0].name] = self.graph.input
        self._nodes(graph.node, found, needed, 0)
        value = found.get(self.output_name)
        if not isinstance(value, Node):
            raise ParameterError(f"its output {self.output_name!r} does not depend on the image")
        self.output = value
        self._check_declared_rank(value)
        rest = self.dims[1:]
        if self.dims[0] > 1:
            self.graph, changed = one_image(self.graph, value)
            self.sources = {name: changed.get(each) for name, each in found.items() if isinstance(each, Node)}
            self.output = changed[value]
        if self.layout == "nhwc":
            self.input_shape = (rest[2], rest[0], rest[1])
            self._channels_first()
        else:
            self.input_shape = _as_image(rest)

    def _check_declared_rank(self, value: Node) -> None:
        """Refuse a file that declares other axes for its output than its nodes give, where a node works along axes."""
        (declared,) = (each.type.tensor_type for each in self.model.graph.output if each.name == self.output_name)
        rank = len(declared.shape.dim)
        if rank in (0, len(value.shape)):
            return
        along = [node.name for node in ordered(value) if node.kind not in _OF_SINGLE_VALUES]
        along += [each.name or each.op_type for each in self.model.graph.node if each.op_type.startswith("Reduce")]
        if along:  # a reduction over an axis with one entry leaves no node of ours
            raise ParameterError(
                f"its output {self.output_name!r} is declared with {rank} axes, but its nodes give {value.shape}, so "
                f"it is not certain which axes node {along[0]!r} means; correct one of them, or leave out the shape"
            )

    def _channels_first(self) -> None:
        """Let the image come in as (c, h, w), where the file begins by making that of (h, w, c)."""
        old = self.graph.input
        _, h, w, c = old.shape
        for node in self.graph.nodes:
            if node.kind == "permute" and node.inputs[0] is old:
                node.kind, node.attributes = "reshape", {}
            elif node.kind == "reshape" and node.inputs[0] is old and math.prod(node.shape[-2:]) != h * w:
                raise ParameterError(f"its image {old.shape} is used in another order than that of its first Transpose")
        old.shape = (1, c, h, w)

    def _dims(self, input_shape: tuple[int, int, int] | None) -> list[int]:
        """Shape of the image, the batch included."""
        kind = self.input.type.tensor_type
        if kind.elem_type not in _CLASSES:
            raise ParameterError(f"its input {self.input.name!r} holds numbers of type {kind.elem_type}, not floats")
        dims = [int(each.dim_value) for each in kind.shape.dim]
        if input_shape is not None:
            rest = dims[1:] if dims else list(input_shape)
            known = math.prod(input_shape)
            if len(rest) == 3 and all(have in (0, want) for have, want in zip(rest, input_shape, strict=True)):
                rest = list(input_shape)
            elif len(rest) == 3 and all(
                have in (0, want) for have, want in zip(rest, (*input_shape[1:], input_shape[0]), strict=True)
            ):
                rest = [*input_shape[1:], input_shape[0]]
            elif rest and rest.count(0) == 1 and known % max(1, math.prod(n for n in rest if n)) == 0:
                rest[rest.index(0)] = known // math.prod(n for n in rest if n)
            if math.prod(rest) != known:
                raise ParameterError(f"its input {self.input.name!r} has shape {tuple(dims)}, not {input_shape}")
            dims = [dims[0] if dims else 1, *rest]
        if len(dims) < 2 or min(dims[1:]) < 1 or len(dims) > 5:
            raise ParameterError(
                f"its input {self.input.name!r} has shape {tuple(dims)}; give input_shape=(channels, height, width)"
            )
        return [max(1, dims[0]), *dims[1:]]

    def _nodes(self, nodes: Sequence[Foreign], found: dict[str, Operand], needed: set[str] | None, depth: int) -> None:
        """Walk nodes in the order in which they depend on each other."""
        waiting = [
            (index, node) for index, node in enumerate(nodes)
            if needed is None or any(each in needed for each in node.output)
        ]  # fmt: skip
        given = {each for _, node in waiting for each in node.output if each}
        while waiting:
            left = []
            for index, node in waiting:
                if any(each in given and each not in found for each in node.input if each):
                    left.append((index, node))
                    continue
                self._put(index, node, found, depth)
            if len(left) == len(waiting):
                index, node = left[0]
                raise ParameterError(f"node {node.name or f'{node.op_type}_{index}'!r} depends on itself")
            waiting = left

    def _put(self, index: int, node: Foreign, found: dict[str, Operand], depth: int) -> None:
        """Walk one node; whatever goes wrong names it."""
        name = node.name or f"{node.op_type}_{index}"
        try:
            out = self._node(name, node, found, depth)
        except Exception as error:  # noqa: BLE001  (numpy, onnx and our own checks each have their own kinds)
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ParameterError(f"node {name!r} ({node.op_type}): {reason}") from None
        results = list(out) if isinstance(out, (list, tuple)) else [out]
        for key, value in zip(node.output, results, strict=False):
            found[key or ""] = value
        for key in node.output[len(results) :]:
            found[key] = None

    def _node(self, name: str, node: Foreign, found: dict[str, Operand], depth: int) -> Operand:
        missing = [each for each in node.input if each and each not in found]
        if missing:
            raise ParameterError(f"its input {missing[0]!r} is given by no node before it")
        inputs: list[Any] = [found[each] if each else None for each in node.input]
        if any(each and found[each] is None for each in node.input):
            raise ParameterError(f"it takes an output that only training has, or that is not computed here; {ADVICE}")
        kind = node.op_type
        function = next((f for f in self.model.functions if (f.domain, f.name) == (node.domain, kind)), None)
        if function is not None:
            return self._function(function, node, inputs, depth)
        if node.domain not in ("", "ai.onnx"):
            raise ParameterError(f"it belongs to the operators of {node.domain!r}; {ADVICE}")
        if kind == "If":
            return self._branch(node, inputs[0], found, depth)
        options = {each.name: _attribute(each) for each in node.attribute}
        if kind in ("Shape", "Size"):
            shape = tuple(inputs[0].shape)
            held = shape[slice(options.get("start", 0), options.get("end"))] if kind == "Shape" else math.prod(shape)
            return np.array(held, dtype=np.int64)
        options |= {"opset": self.opset, "outputs": len(node.output)}
        if kind == "QuantizeLinear" and isinstance(inputs[0], Node):
            users = [each for each in self.model.graph.node if node.output[0] in each.input]
            if not users or any(each.op_type != "DequantizeLinear" for each in users) or depth:
                raise ParameterError(
                    "whole numbers come out of it, not their values; keep its DequantizeLinear behind it"
                )
            if any(not _same_scale(node, each, found) for each in users):
                raise ParameterError("its DequantizeLinear has another scale or zero point")
        if kind == "QuantizeLinear" and isinstance(inputs[0], Node):
            self.quantised.append(name)
        if kind == "QuantizeLinear":
            options["zero_type"] = inputs[2].dtype.name if len(inputs) > 2 and inputs[2] is not None else None
        if not any(isinstance(each, Node) for each in inputs):
            return _computed(node, options, inputs, self.opset)
        operation = OPERATIONS.get(kind)
        if operation is not None:
            return operation(self.graph, name, options, *inputs)
        body = _body(kind, self.opset)
        if body is None:
            raise ParameterError(f"there is no layer for it; {ADVICE}")
        return self._function(body, node, inputs, depth)

    def _function(self, function: Foreign, node: Foreign, inputs: Sequence[Operand], depth: int) -> list[Operand]:
        """Walk the body of a function in the place of the node that calls it."""
        if depth > _DEPTH:
            raise ParameterError("its functions call each other without end")
        found: dict[str, Operand] = dict(zip(function.input, inputs, strict=False))
        given = {each.name: each for each in node.attribute}
        given = {**{each.name: each for each in function.attribute_proto}, **_defaults(node, self.opset), **given}
        found |= dict.fromkeys(function.input[len(inputs) :])
        nodes = []
        for index, inner in enumerate(function.node):
            made = onnx.NodeProto()
            made.CopyFrom(inner)
            made.name = f"{node.name or node.op_type}.{inner.name or f'{inner.op_type}_{index}'}"
            del made.attribute[:]
            for each in inner.attribute:
                if not each.ref_attr_name:
                    made.attribute.append(each)
                elif each.ref_attr_name in given:
                    passed = onnx.AttributeProto()
                    passed.CopyFrom(given[each.ref_attr_name])
                    passed.name = each.name
                    made.attribute.append(passed)
            nodes.append(made)
        self._nodes(nodes, found, None, depth + 1)
        return [found.get(each) for each in function.output]

    def _branch(self, node: Foreign, condition: Operand, found: dict[str, Operand], depth: int) -> list[Operand]:
        """Walk the branch that a constant condition takes."""
        if not isinstance(condition, np.ndarray) or depth > _DEPTH:
            raise ParameterError(f"it decides by the image's own values; {ADVICE}")
        wanted = "then_branch" if bool(condition.reshape(())) else "else_branch"
        (body,) = (each.g for each in node.attribute if each.name == wanted)
        inner = dict(found)
        for each in body.initializer:
            inner[each.name] = _stored(each, str(self.path.parent))
        self._nodes(body.node, inner, None, depth + 1)
        return [inner.get(each.name) for each in body.output]

    # the way back

    @property
    def precision(self) -> float:
        """Distance of 1 from the next number in the precision of the image."""
        return float(np.finfo(_CLASSES[self.input.type.tensor_type.elem_type]).eps)

    def digest(self, arrays: Iterable[tuple[str, FloatArray]]) -> str:
        """Name of this file's contents and of what they became: the same for the same comparison."""
        held = hashlib.sha256(self.path.read_bytes())
        held.update(repr((self.output_name, self.input_shape, self.layout)).encode())
        for name, value in arrays:  # weights beside the file count, and so does every change of the importers
            held.update(name.encode())
            held.update(np.ascontiguousarray(value).data)
        return held.hexdigest()[:32]

    def outputs(self, images: FloatArray) -> tuple[FloatArray | None, str]:
        """Run the file on (b, c, h, w) images; (b, classes) and what ran it, or None and why nothing did."""
        reasons = []
        for session in (self._session, self._reference):
            try:
                run, runtime = session(())
                found = [run(image)[0].reshape(self.dims[0], -1)[:1] for image in images]
                return np.concatenate(found).astype(np.float64), runtime
            except Exception as error:  # noqa: BLE001  (each runtime has its own kinds)
                reasons.append(" ".join(str(error).split())[:200])
        return None, f"no runtime here runs the file: {reasons[0]}"

    def values(self, image: FloatArray) -> Iterator[tuple[Node, FloatArray]]:
        """What every node of the file computes for one image, where a node of ours holds the same."""
        names = [name for name, node in self.sources.items() if isinstance(node, Node) and name != self.input.name]
        produced = {each for node in self.model.graph.node for each in node.output}
        names = [name for name in names if name in produced]
        try:
            run, _ = self._session(names)
            found = run(image[0])[1:]
        except Exception:  # noqa: BLE001  (then the first layer is not known)
            return
        for name, value in zip(names, found, strict=True):
            if value is not None and value.size % self.dims[0] == 0:
                node = self.sources[name]
                if isinstance(node, Node) and value.size == self.dims[0] * math.prod(node.shape):
                    first = value[:1] if self.dims[0] > 1 and value.shape[:1] == self.dims[:1] else value
                    yield node, np.asarray(first, dtype=np.float64)

    def _session(self, more: Sequence[str]) -> tuple[Any, str]:
        """What runs one image (c, h, w), with the outputs of more tensors, and its name."""
        model, plain = self.model, True
        if more or any(each.op_type == "QuantizeLinear" for each in self.model.graph.node):
            model, plain = _with_clips(self.model), False
            known = {each.name for each in model.graph.output}
            model.graph.output.extend(onnx.ValueInfoProto(name=each) for each in more if each not in known)

        wanted = [self.output_name, *more]
        try:
            import onnxruntime
        except ImportError:
            return self._reference(more)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        if not plain:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        source = str(self.path) if plain else _inline(model, self.path).SerializeToString()
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        return (
            lambda image: [np.asarray(each) for each in session.run(wanted, {self.input.name: self._shown(image)})],
            f"onnxruntime {onnxruntime.__version__}",
        )

    def _shown(self, image: FloatArray) -> Any:  # noqa: ANN401
        """An image (c, h, w) as the file takes it: its layout, its batch, its precision."""
        one = np.moveaxis(image, 0, -1) if self.layout == "nhwc" else image
        kind = _CLASSES[self.input.type.tensor_type.elem_type]
        return np.repeat(one.reshape(1, *self.dims[1:]), self.dims[0], axis=0).astype(kind)

    def _reference(self, more: Sequence[str]) -> tuple[Any, str]:
        """Run by onnx's own evaluator, which below opset 15 mixes batch statistics into batch norms: convert before."""
        from onnx import version_converter
        from onnx.reference import ReferenceEvaluator

        model, wanted = onnx.load(str(self.path)), [self.output_name, *more]
        if self.opset < 15:
            model = version_converter.convert_version(model, 15)
        model = _with_clips(model)
        known = {each.name for each in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=each) for each in wanted if each not in known)
        session = ReferenceEvaluator(model)
        return (
            lambda image: [np.asarray(each) for each in session.run(wanted, {self.input.name: self._shown(image)})],
            f"onnx {onnx.__version__}",
        )


def _as_image(shape: Sequence[int]) -> tuple[int, int, int]:
    """Shape (c, h, w) of an image that holds a vector (n,), a line (c, n) or a map (c, h, w)."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    if len(shape) == 2:
        return shape[0], 1, shape[1]
    return (shape[0], 1, 1) if len(shape) == 1 else (1, 1, math.prod(shape))


def _read(path: Path) -> Foreign:
    """Read a file's graph; weights beside it are read with it."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise ParameterError(f"it is {size} bytes long, more than {LARGEST_FILE}")
        model = onnx.ModelProto()
        model.ParseFromString(file.read())
    return model


def _opset(model: Foreign) -> int:
    """Return the version of the standard operators."""
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    if len(versions) != 1 or not model.graph.node:
        raise ParameterError("it is no ONNX model with one version of the standard operators")
    if versions[0] < OLDEST:
        raise ParameterError(f"it has opset {versions[0]}, at least {OLDEST} is needed; export it again")
    return int(versions[0])


def _stored(tensor: Foreign, folder: str) -> np.ndarray[Any, Any]:
    """Read a stored tensor; numbers with a point become float64."""
    shown = tensor.name or "a constant"
    dims = tuple(int(n) for n in tensor.dims)
    if any(n < 0 for n in dims):
        raise ParameterError(f"{shown} has the shape {dims}")
    if tensor.data_type == onnx.TensorProto.UNDEFINED or tensor.data_type not in onnx.TensorProto.DataType.values():
        raise ParameterError(f"{shown} holds values of type {tensor.data_type}, which ONNX does not name")
    try:
        return _plain(numpy_helper.to_array(tensor, folder))
    except Exception as error:  # noqa: BLE001  (numpy and onnx each have their own kinds)
        reason = " ".join(str(error).split())[:200]
        raise ParameterError(f"{shown} of shape {dims} cannot be read: {reason}") from None


def _plain(value: Foreign) -> np.ndarray[Any, Any]:
    out = np.asarray(value)
    if out.dtype.kind == "f" or out.dtype.name == "bfloat16":
        return out.astype(np.float64)
    return out


def _attribute(attribute: Foreign) -> Foreign:
    """Read a number, a text, a tensor, or a list of numbers or texts."""
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return _stored(value, "")
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (list, tuple)) or hasattr(value, "__iter__"):
        return [each.decode() if isinstance(each, bytes) else each for each in value]
    return value


def _computed(node: Foreign, options: Mapping[str, Any], inputs: Sequence[Operand], opset: int) -> Operand:
    """Compute what does not depend on the image, by onnx's own evaluator."""
    kind = node.op_type
    if kind == "Constant":
        values = [value for key, value in options.items() if key not in ("opset", "outputs")]
        if len(values) != 1:
            raise ParameterError("it has no value")
        return _plain(values[0])
    if kind in ("ConstantFill", "ConstantOfShape", "Expand", "Tile", "Range", "Pad"):
        count = _count(kind, inputs)
        if not 0 <= count <= LARGEST_CONSTANT:
            raise ParameterError(f"it makes a constant of {count} values")
    if kind == "ConstantFill":  # of torch's exporter below opset 9, which ONNX itself never named
        if not options.get("input_as_shape") or options.get("extra_shape"):
            raise ParameterError(f"its shape is no input; {ADVICE}")
        return np.full([int(n) for n in np.ravel(inputs[0])], float(options.get("value", 0.0)))
    if kind == "ConstantOfShape":
        fill = np.ravel(options.get("value", np.zeros(1, np.float32)))[0]
        return _plain(np.full([int(n) for n in np.ravel(inputs[0])], fill))
    if kind in ("DequantizeLinear", "BatchNormalization", "Dropout", "Identity"):
        if kind in ("Identity", "Dropout"):
            return inputs[0]
        if kind == "DequantizeLinear":
            return OPERATIONS[kind](None, node.name, options, *inputs)
    if kind.startswith("Random") or kind in ("Multinomial", "Bernoulli"):
        raise ParameterError(f"its output is random; {ADVICE}")
    from onnx.reference import ReferenceEvaluator

    names = [each for each in node.input if each]
    given = dict(zip(names, (each for each in inputs if each is not None), strict=True))
    kinds = [
        onnx.helper.make_tensor_value_info(key, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for key, value in given.items()
    ]
    graph = onnx.helper.make_graph(
        [node], "constant", kinds, [onnx.ValueInfoProto(name=each) for each in node.output if each]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    with np.errstate(all="ignore"):
        found = ReferenceEvaluator(model).run(None, given)
    results = iter(found)
    return [_plain(next(results)) if each else None for each in node.output]


def _count(kind: str, inputs: Sequence[Operand]) -> int:
    """Values of the constant that a node makes."""
    if kind == "Range":
        first, last, step = (float(np.ravel(each)[0]) for each in inputs)
        return int((last - first) / step) + 1
    shape = [int(n) for n in np.ravel(inputs[0 if kind.startswith("Constant") else 1])]
    if kind.startswith("Constant"):
        return math.prod(shape) if min(shape, default=0) >= 0 else -1
    if kind == "Pad":
        return math.prod(int(n) + abs(max(shape, default=0)) * 2 for n in inputs[0].shape)
    return math.prod(shape) * int(inputs[0].size)


def _same_scale(one: Foreign, other: Foreign, found: Mapping[str, Operand]) -> bool:
    """Whether a DequantizeLinear takes back what a QuantizeLinear did."""
    for mine, theirs in zip(list(one.input)[1:], list(other.input)[1:], strict=False):
        if mine != theirs and not np.array_equal(found.get(mine), found.get(theirs)):  # type: ignore[arg-type]
            return False
    return len(one.input) == len(other.input)


def _defaults(node: Foreign, opset: int) -> dict[str, Foreign]:
    """Attributes that an operator of ONNX has where its node names none."""
    if node.domain not in ("", "ai.onnx"):
        return {}
    schema = onnx.defs.get_schema(node.op_type, opset)
    return {name: each.default_value for name, each in schema.attributes.items() if each.default_value.name}


def _body(kind: str, opset: int) -> Foreign:
    """The definition of an operator by others, where ONNX gives one."""
    try:
        schema = onnx.defs.get_schema(kind, opset)
    except Exception:  # noqa: BLE001  (an operator that ONNX does not name)
        return None
    return schema.function_body if schema.has_function else None


def _needed(graph: Foreign, output: str) -> set[str]:
    """Names of the tensors that an output depends on."""
    made = {each: node for node in graph.node for each in node.output if each}
    needed, waiting = set(), [output]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in made:
            waiting += [each for each in made[name].input if each]
            for attribute in made[name].attribute:
                if attribute.HasField("g"):
                    waiting += [each for inner in attribute.g.node for each in inner.input if each]
                    waiting += [each.name for each in attribute.g.output]
    return needed


def _layout(graph: Foreign, name: str, dims: Sequence[int], needed: set[str]) -> str:
    """Return "nhwc" if every node that takes the image begins by putting its channels first, else "nchw"."""
    users = [node for node in graph.node if name in node.input and any(each in needed for each in node.output)]
    turned = users and all(
        node.op_type == "Transpose"
        and [list(each.ints) for each in node.attribute if each.name == "perm"] == [[0, 3, 1, 2]]
        for node in users
    )
    return "nhwc" if turned and len(dims) == 4 else "nchw"


def _with_clips(model: Foreign) -> Foreign:
    """The model with what quantises values that depend on the image replaced by the clip to its range."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    held = {each.name: each for each in out.graph.initializer}
    for node in out.graph.node:
        if node.op_type == "Constant":
            held |= dict.fromkeys(node.output, next((each.t for each in node.attribute if each.name == "value"), None))
    changed: dict[str, str] = {}
    nodes = []
    for node in out.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in held:
            scale = numpy_helper.to_array(held[node.input[1]])
            zero = (
                numpy_helper.to_array(held[node.input[2]])
                if len(node.input) > 2 and node.input[2]
                else np.zeros((), np.uint8)
            )
            if scale.size != 1:
                raise ParameterError("it quantises values by a scale for each channel")
            bounds = np.iinfo(zero.dtype)
            low, high = (
                (float(end) - float(zero.reshape(()))) * float(scale.reshape(())) for end in (bounds.min, bounds.max)
            )
            names = [f"{node.output[0]}.low", f"{node.output[0]}.high"]
            for each, value in zip(names, (low, high), strict=True):
                out.graph.initializer.append(numpy_helper.from_array(np.array(value, scale.dtype), each))
            nodes.append(onnx.helper.make_node("Clip", [node.input[0], *names], [node.output[0]]))
            changed[node.output[0]] = node.output[0]
        elif node.op_type == "DequantizeLinear" and node.input[0] in changed:
            nodes.append(onnx.helper.make_node("Identity", [node.input[0]], [node.output[0]]))
        else:
            nodes.append(node)
    kept = list(nodes)
    fresh = [onnx.NodeProto() for _ in kept]
    for made, node in zip(fresh, kept, strict=True):
        made.CopyFrom(node)
    del out.graph.node[:]
    out.graph.node.extend(fresh)
    return out


def _inline(model: Foreign, path: Path) -> Foreign:
    """The model with the weights that lie beside its file inside it."""
    onnx.load_external_data_for_model(model, str(path.parent))
    return model
