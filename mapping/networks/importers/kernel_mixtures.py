"""Dynamic convolutions of every spelling: kernels that are a mixture of constant ones, by shares of an attention.

Whether a kernel is such a mixture is asked, not read: its pieces are evaluated on unit vectors of the shares, and the
mixture must reproduce the kernel of random shares. What mixes but has no attention of ours becomes a convolution with
all kernels, whose maps are weighted and summed.
"""

# c = channels, k = kernels, n = values

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.importers.evaluation import evaluate
from mapping.networks.importers.tensor_graph import Node, Tensor, TensorGraph
from mapping.networks.layers.convolutions import Attention

_KERNELS = 256  # shares that a mixture may have, ours
SAME = 1e-9  # largest difference of a mixture from the kernel it stands for, over its largest value; ours, for float64

_AFFINE = {
    "reshape",
    "permute",
    "concat",
    "slice",
    "gather",
    "expand",
    "pad",
    "reduce",
    "matmul",
    "binary",
    "batch_norm",
}


@dataclass(eq=False)
class Mixture:
    """A tensor that is a sum over kernels, weighted by shares."""

    shares: Node
    kernels: FloatArray  #: (k, *shape)
    rest: FloatArray  #: (*shape,) that no share weights
    positions: Node | None = None  #: values that multiply the kernels position by position


def recognise_mixed_convolutions(graph: TensorGraph, nodes: Sequence[Node]) -> None:
    """Turn convolutions whose kernels depend on the images into dynamic ones.

    Raises ParameterError that names a convolution whose kernel is no mixture of constant ones.
    """
    for node in nodes:
        if node.kind == "conv" and isinstance(node.inputs[1], Node):
            try:
                _mixed(graph, node)
            except ParameterError as error:
                raise ParameterError(f"{node.name}: {error}") from None


def front(node: Node, *, products: bool, pools: bool = False) -> list[Node]:
    """The nodes that a node is affine in; with products, that it is a sum of products of.

    pools: global average pools are nodes of the front themselves.
    """
    found: dict[Node, None] = {}
    seen, waiting = set(), [node]
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        sources = [each for each in at.inputs if isinstance(each, Node)]
        inside = at.kind in _AFFINE and not (pools and pooled_map(at) is not None)
        if inside and at.kind == "reduce":
            inside = at.attributes["operation"] in ("mean", "sum")
        if inside and at.kind in ("binary", "matmul"):
            operation = at.attributes.get("operation", "mul")
            linear = operation in ("add", "sub") or (operation == "div" and isinstance(at.inputs[0], Node))
            inside = linear if operation != "mul" else True
            if len(sources) == 2 and operation not in ("add", "sub"):
                inside = products and operation == "mul"
        if inside:
            waiting += sources
        else:
            found[at] = None
    return list(found)


def pooled_map(node: Node) -> Node | None:
    """The map (1, c, h, w), or another view of one, whose channels' means a node holds; None if it holds others."""
    if node.kind != "reduce" or node.attributes["operation"] != "mean":
        return None
    (x,) = node.inputs
    if not isinstance(x, Node):
        return None
    kept = [axis for axis, n in enumerate(node.shape) if n != 1]
    if kept and max(kept) > min(node.attributes["axes"]):
        return None
    return x


def affine_in(node: Node, root: Node) -> tuple[FloatArray, FloatArray] | None:
    """(kernels (n, *shape), rest (*shape,)) with which a node is the sum of root's values times kernels, plus rest."""
    n = math.prod(root.shape)
    if n > _KERNELS and n * math.prod(node.shape) > 2**26:
        return None
    rest = evaluate(node, {root: np.zeros(root.shape)})
    if rest is None:
        return None
    kernels = np.empty((n, *node.shape))
    for i, unit in enumerate(np.eye(n)):
        value = evaluate(node, {root: unit.reshape(root.shape)})
        if value is None:
            return None
        kernels[i] = value - rest
    drawn = np.random.default_rng(n).normal(size=n)
    wanted = evaluate(node, {root: drawn.reshape(root.shape)})
    found = np.tensordot(drawn, kernels, 1) + rest
    return (kernels, rest) if _agree(found, wanted) else None


def mixture_of(node: Node) -> Mixture | None:
    """Read a tensor as a mixture of constant ones, perhaps with positions; None if it is none."""
    roots = front(node, products=True)
    if len(roots) == 1 and math.prod(roots[0].shape) <= _KERNELS:
        found = affine_in(node, roots[0])
        return None if found is None else Mixture(roots[0], *found)
    if len(roots) != 2 or len(node.shape) != 4:
        return None
    for shares, positions in (roots, roots[::-1]):
        if math.prod(positions.shape) != math.prod(node.shape[2:]) or math.prod(shares.shape) > _KERNELS:
            continue
        k = math.prod(shares.shape)
        kernels = [
            evaluate(node, {shares: unit.reshape(shares.shape), positions: np.ones(positions.shape)})
            for unit in np.eye(k)
        ]
        rng = np.random.default_rng(k)
        drawn, spots = rng.normal(size=k), rng.normal(size=positions.shape)
        wanted = evaluate(node, {shares: drawn.reshape(shares.shape), positions: spots})
        if wanted is None or any(each is None for each in kernels):
            continue
        held = np.array(kernels)
        if _agree(np.tensordot(drawn, held, 1) * spots.reshape(node.shape[2:]), wanted):
            return Mixture(shares, held, np.zeros(node.shape), positions)
    return None


def attention_of(shares: Node) -> tuple[Attention, Node] | None:
    """Read global average pool -> FC -> ReLU -> FC -> softmax or sigmoid, or the same with one FC layer, as ours.

    Returns it with the map that is pooled, or None.
    """
    k = math.prod(shares.shape)
    if shares.kind == "softmax" and not shares.attributes["log"] and shares.shape[shares.attributes["axis"]] == k:
        kind = "softmax"
    elif shares.kind == "function" and shares.attributes["function"] == "sigmoid":
        kind = "sigmoid"
    else:
        return None
    (scores,) = shares.inputs
    second = _from_one(scores)
    if second is None:
        return None
    hidden, weight, bias = second
    pooled = pooled_map(hidden)
    if pooled is not None:
        return one_layer_attention(weight, bias, 1.0, kind), pooled
    if hidden.kind != "function" or hidden.attributes["function"] != "relu":
        return None
    first = _from_one(hidden.inputs[0])
    if first is None:
        return None
    source, weight_1, bias_1 = first
    pooled = pooled_map(source)
    if pooled is None:
        return None
    scale = _temperature(scores)
    return Attention(weight_1, bias_1, weight * scale, None if bias is None else bias * scale, scale, kind), pooled


def one_layer_attention(weight: FloatArray, bias: FloatArray | None, temperature: float, kind: str) -> Attention:
    """Attention with one FC layer as one with two, exactly: z = relu(z) - relu(-z)."""
    both = np.concatenate([weight, -weight])
    added = None if bias is None else np.concatenate([bias, -bias])
    k = len(weight)
    return Attention(both, added, np.concatenate([np.eye(k), -np.eye(k)], axis=1), None, temperature, kind)


def _temperature(scores: Node) -> float:
    """What the scores are divided by last, where they are: the temperature of the attention."""
    at = scores
    while at.kind in ("reshape", "expand", "permute") and isinstance(at.inputs[0], Node):
        at = at.inputs[0]
    if at.kind == "binary" and at.attributes["operation"] in ("mul", "div"):
        one, other = at.inputs
        number = other if isinstance(other, np.ndarray) else one
        if isinstance(number, np.ndarray) and number.size == 1:
            value = float(number.reshape(()))
            if at.attributes["operation"] == "mul" and value > 0.0:
                return 1.0 / value
            if at.attributes["operation"] == "div" and number is other and value > 0.0:
                return value
    return 1.0


def _from_one(node: Tensor | None) -> tuple[Node, FloatArray, FloatArray | None] | None:
    """(source, weight (out, n), bias or None) of a vector that is affine in one other, past reshapes."""
    if not isinstance(node, Node):
        return None
    roots = front(node, products=False, pools=True)
    if len(roots) != 1:
        return None
    found = affine_in(node, roots[0])
    if found is None:
        return None
    kernels, rest = found
    weight = np.ascontiguousarray(kernels.reshape(len(kernels), -1).T)
    return roots[0], weight, rest.reshape(-1) if rest.any() else None


def _agree(found: FloatArray | None, wanted: FloatArray | None) -> bool:
    if found is None or wanted is None or found.shape != wanted.shape:
        return False
    return bool(np.abs(found - wanted).max() <= SAME * max(float(np.abs(wanted).max()), 1e-300))


def _mixed(graph: TensorGraph, node: Node) -> None:
    """Turn one convolution with a kernel that depends on the images into a dynamic one."""
    x, weight, bias = node.inputs
    if not isinstance(x, Node) or not isinstance(weight, Node) or x.shape[0] != 1:
        raise ParameterError("its kernel depends on the images, but not one kernel on one image")
    mixture = mixture_of(weight)
    if mixture is None:
        raise ParameterError(
            "its kernel is computed from the image, but is no mixture of constant kernels by shares; "
            "mix constant kernels by shares, or move the factor to the channels of its input or output"
        )
    mixed_bias, fixed_bias = None, None
    if isinstance(bias, np.ndarray):
        fixed_bias = bias
    elif bias is not None:
        found = affine_in(bias, mixture.shares) if front(bias, products=False) == [mixture.shares] else None
        if found is None:
            raise ParameterError("its kernel and its bias are mixed by different shares")
        mixed_bias, fixed_bias = found[0], found[1] if found[1].any() else None
    dynamic(graph, node, x, mixture, mixed_bias, fixed_bias)


def dynamic(
    graph: TensorGraph,
    node: Node,
    x: Node,
    mixture: Mixture,
    mixed_bias: FloatArray | None,
    fixed_bias: FloatArray | None,
) -> None:
    """Put a dynamic convolution in the place of a node; its geometry is in the node's attributes."""
    geometry = {key: node.attributes[key] for key in ("stride", "padding", "dilation", "groups")}
    channels = math.prod(mixture.kernels.shape[2:3]) * geometry["groups"]
    found = attention_of(mixture.shares)
    kernels, shares = mixture.kernels, mixture.shares
    if mixture.rest.any() and shares.kind == "softmax":
        kernels = kernels + mixture.rest  # the shares add to 1
    plain = not mixture.rest.any() or shares.kind == "softmax"
    if found is not None and found[0].channels == channels and plain:
        attention, pooled = found
        inputs = (x, pooled, mixture.positions)
        out = graph.dynamic_conv(node.name, inputs, kernels, mixed_bias, attention, node.shape, geometry)
    elif mixture.positions is None:
        out = _all_kernels(graph, node, x, mixture, mixed_bias, geometry)
    else:
        raise ParameterError(
            "the shares of its kernels come from no attention that is known; a file with a fixed batch can be exported "
            "with a batch of one"
        )
    result = graph.binary(node.name, "add", out, fixed_bias.reshape(-1, 1, 1)) if fixed_bias is not None else out
    node.kind, node.inputs, node.attributes = "reshape", (result,), {}


def _all_kernels(
    graph: TensorGraph, node: Node, x: Node, mixture: Mixture, bias: FloatArray | None, geometry: dict[str, object]
) -> Node:
    """Convolve with every kernel, weight the maps by the shares, and sum them."""
    k, c_out = mixture.kernels.shape[:2]
    groups = int(str(geometry["groups"]))
    each, size = c_out // groups, node.shape[2:]
    held = [mixture.kernels, mixture.rest[None]] if mixture.rest.any() else [mixture.kernels]
    kernels = np.concatenate(held)
    count = len(kernels)
    weight = kernels.reshape(count, groups, each, *kernels.shape[2:]).swapaxes(0, 1)
    added = None
    if bias is not None:
        biases = np.concatenate([bias.reshape(k, c_out), np.zeros((count - k, c_out))])
        added = biases.reshape(count, groups, each).swapaxes(0, 1).reshape(-1)
    maps = graph.conv(node.name, x, weight.reshape(-1, *kernels.shape[2:]), added, **geometry)  # type: ignore[arg-type]
    maps = graph.reshape(node.name, maps, (1, groups, count, each * math.prod(size)))
    shares: Tensor = graph.reshape(node.name, mixture.shares, (1, 1, k, 1))
    if count > k:
        shares = graph.pad(node.name, shares, ((0, 0), (0, 0), (0, 1), (0, 0)), 1.0)
    summed = graph.reduce(node.name, graph.binary(node.name, "mul", maps, shares), "sum", (2,), keep=True)
    out = graph.reshape(node.name, summed, node.shape)
    if not isinstance(out, Node):
        raise ParameterError("it convolves a constant")
    return out
