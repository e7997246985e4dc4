"""A foreign graph of a fixed batch as the graph of one image: every shape and count that holds the batch, divided."""

import math
from collections.abc import Callable

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.importers.recognition import ordered
from mapping.networks.importers.tensor_graph import Node, Shape, TensorGraph

MIXES = "it mixes the images of the batch; export the model with a batch of one"


def one_image(graph: TensorGraph, output: Node) -> tuple[TensorGraph, dict[Node, Node]]:
    """Return the graph of one image of what leads to `output`, and its nodes by the old ones.

    Raises ParameterError that names a node which mixes images.
    """
    batch = graph.input.shape[0]
    made = TensorGraph((1, *graph.input.shape[1:]))
    changed: dict[Node, Node] = {graph.input: made.input}
    axes: dict[Node, int] = {graph.input: 0}  # which axis of the old node holds the batch, as its slowest factor
    for node in ordered(output):
        if node is graph.input:
            continue
        try:
            axis, attributes, inputs = _changed(node, axes, changed, batch)
        except ParameterError as error:
            raise ParameterError(f"{node.name}: {error}") from None
        shape = _divided(node.shape, axis, batch)
        out = made._node(node.kind, node.name, inputs, shape, **attributes)  # noqa: SLF001
        axes[node], changed[node] = axis, out
    if math.prod(output.shape[: axes[output]]) != 1:
        raise ParameterError(
            f"its output {output.shape} does not begin with the batch; export the model with a batch of one"
        )
    return made, changed


Inputs = tuple["Node | FloatArray | None", ...]


def _divided(shape: Shape, axis: int, batch: int) -> Shape:
    if axis >= len(shape) or shape[axis] % batch:
        raise ParameterError(MIXES)
    return tuple(n // batch if i == axis else n for i, n in enumerate(shape))


def _changed(
    node: Node, axes: dict[Node, int], changed: dict[Node, Node], batch: int
) -> tuple[int, dict[str, object], Inputs]:
    """Where a node's output holds the batch, its attributes, and its inputs for one image."""
    attributes = dict(node.attributes)
    rule = _RULES.get(node.kind, _kept)
    axis = rule(node, axes, attributes, batch)
    inputs = tuple(
        changed[each] if isinstance(each, Node) else None if each is None else _one(node, each, axis, batch)
        for each in node.inputs
    )
    return axis, attributes, inputs


def _one(node: Node, value: FloatArray, axis: int, batch: int) -> FloatArray:
    """A constant for one image: where it meets the axis of the batch, it must be the same for every image."""
    if node.kind not in ("binary", "where", "concat"):
        return value
    at = axis - (len(node.shape) - value.ndim)
    if at < 0 or value.shape[at] in (1, 0):
        return value
    parts = np.split(value, batch, axis=at) if value.shape[at] % batch == 0 else []
    if not parts or any(not np.array_equal(each, parts[0]) for each in parts):
        raise ParameterError(MIXES)
    return parts[0]


def _first(node: Node, axes: dict[Node, int]) -> int:
    return axes[next(each for each in node.inputs if isinstance(each, Node))]


def _kept(node: Node, axes: dict[Node, int], attributes: dict[str, object], batch: int) -> int:
    axis = _first(node, axes)
    if node.kind in ("softmax", "slice", "gather") and attributes["axis"] == axis:
        raise ParameterError(MIXES)
    if node.kind == "reduce" and axis in node.attributes["axes"]:
        raise ParameterError(MIXES)
    if node.kind == "pad" and any(node.attributes["ends"][axis]):
        raise ParameterError(MIXES)
    if node.kind == "layer_norm" and axis >= len(node.shape) - node.attributes["axes"]:
        raise ParameterError(MIXES)
    if node.kind in ("batch_norm", "group_norm", "local_response_norm", "prelu", "recurrent") and axis != 0:
        raise ParameterError(MIXES)
    if node.kind in ("pool", "adaptive_pool", "resize") and axis > 1:
        raise ParameterError(MIXES)
    return axis


def _broadcast(node: Node, axes: dict[Node, int], attributes: dict[str, object], batch: int) -> int:
    found = {axes[each] + len(node.shape) - len(each.shape) for each in node.inputs if isinstance(each, Node)}
    if len(found) != 1:
        raise ParameterError(MIXES)
    return found.pop()


def _concat(node: Node, axes: dict[Node, int], attributes: dict[str, object], batch: int) -> int:
    axis = _broadcast(node, axes, attributes, batch)
    if axis == attributes["axis"]:
        raise ParameterError(MIXES)
    return axis


def _reshape(node: Node, axes: dict[Node, int], attributes: dict[str, object], batch: int) -> int:
    (x,) = (each for each in node.inputs if isinstance(each, Node))
    before, count = math.prod(x.shape[: axes[x]]), 1
    for axis, n in enumerate(node.shape):
        if count == before and n != 1:
            return axis
        count *= n
    raise ParameterError(MIXES)


def _permute(node: Node, axes: dict[Node, int], attributes: dict[str, object], batch: int) -> int:
    return int(node.attributes["order"].index(_first(node, axes)))


def _conv(node: Node, axes: dict[Node, int], attributes: dict[str, object], batch: int) -> int:
    _x, weight, bias = node.inputs
    axis = _first(node, axes)
    if axis == 0 and not isinstance(weight, Node) and not isinstance(bias, Node):
        return 0
    groups = node.attributes["groups"]
    mixed = isinstance(weight, Node) and axes[weight] == 0 and (not isinstance(bias, Node) or axes[bias] == 0)
    if axis != 1 or groups % batch or not mixed or node.kind != "conv":
        raise ParameterError(MIXES)
    attributes["groups"] = groups // batch
    return 1


def _matmul(node: Node, axes: dict[Node, int], attributes: dict[str, object], batch: int) -> int:
    one, other = node.inputs[:2]
    found = {axes[each] + len(node.shape) - len(each.shape) for each in (one, other) if isinstance(each, Node)}
    if len(found) != 1:
        raise ParameterError(MIXES)
    axis = found.pop()
    left = axis == len(node.shape) - 2 and not isinstance(other, Node)
    if axis >= len(node.shape) - 2 and not left:
        raise ParameterError(MIXES)
    return axis


_RULES: dict[str, Callable[[Node, dict[Node, int], dict[str, object], int], int]] = {
    "binary": _broadcast,
    "where": _broadcast,
    "expand": _broadcast,
    "concat": _concat,
    "reshape": _reshape,
    "permute": _permute,
    "conv": _conv,
    "conv_transpose": _conv,
    "matmul": _matmul,
}
