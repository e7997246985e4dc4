"""Rewrites a foreign graph in place, by structure alone: a piece is asked what it computes.

Activations that are spelt out, kernels that are mixed for each image, arithmetic with constants: a new spelling is no
new code.
"""

# c = channels, k = kernels, n = values

from collections import Counter
from collections.abc import Iterable
from functools import partial

import numpy as np

from devices.aliases import FloatArray
from mapping.networks.importers.convolution_sums import recognise_sums
from mapping.networks.importers.elementwise import spelt
from mapping.networks.importers.evaluation import evaluate
from mapping.networks.importers.kernel_mixtures import recognise_mixed_convolutions
from mapping.networks.importers.tensor_graph import Node, TensorGraph

_FEW = 64  # values of a constant that are compared one by one, ours
_CLUSTER = 24  # operations that one activation may be spelt with; ours: Mish takes 9, GELU by tanh 8


def recognise(graph: TensorGraph, output: Node) -> list[Node]:
    """Rewrite what leads to `output`; returns its nodes, each after its inputs.

    Raises ParameterError that names a convolution whose kernel is computed from the image in no way that is known.
    """
    _compute_once(output)
    for node in ordered(output):
        _drop_repeats(node)
    for node in reversed(ordered(output)):
        _spelt_out(node)
    _factors_out(graph, output)
    recognise_mixed_convolutions(graph, ordered(output))
    recognise_sums(graph, ordered(output))
    nodes = ordered(output)
    uses = Counter(each for node in nodes for each in node.inputs if isinstance(each, Node))
    for node in nodes:
        _linear(graph, node, uses)
    for node in ordered(output):
        _affine(node)
    return ordered(output)


def ordered(output: Node) -> list[Node]:
    """Everything that a node depends on and the node itself, each after its inputs."""
    done: dict[Node, None] = {}
    waiting = [(output, False)]
    while waiting:
        node, ready = waiting.pop()
        if node in done:
            continue
        if ready:
            done[node] = None
            continue
        waiting.append((node, True))
        waiting += [(each, False) for each in reversed(node.inputs) if isinstance(each, Node) and each not in done]
    return list(done)


def _compute_once(output: Node) -> None:
    """Let nodes that compute the same from the same be one node, as sources may spell one attention several times."""
    first: dict[tuple[object, ...], Node] = {}
    same: dict[Node, Node] = {}
    for node in ordered(output):
        node.inputs = tuple(same.get(each, each) if isinstance(each, Node) else each for each in node.inputs)
        if node.kind in ("input", "recurrent", "dynamic_conv"):
            continue
        key = (node.kind, node.shape, repr(sorted(node.attributes.items())), *map(_identity, node.inputs))
        same[node] = first.setdefault(key, node)


def _identity(value: "Node | FloatArray | None") -> object:
    """Equal for one node, and for arrays that are surely equal: views of one memory, or few values."""
    if not isinstance(value, np.ndarray):
        return value
    small = value.tobytes() if value.size <= _FEW else value.__array_interface__["data"][0]
    return value.dtype.str, value.shape, value.strides if value.size > _FEW else (), small


def become(node: Node, kind: str, inputs: Iterable["Node | FloatArray | None"], **attributes: object) -> None:
    """Turn a node into another kind in place; what takes its output sees nothing."""
    node.kind, node.inputs, node.attributes = kind, tuple(inputs), dict(attributes)


def _drop_repeats(node: Node) -> None:
    """Take values as they are where arithmetic repeats them itself."""
    if node.kind != "binary":
        return
    inputs = list(node.inputs)
    for i, each in enumerate(inputs):
        if isinstance(each, Node) and each.kind == "expand":
            inputs[i] = each.inputs[0]
            shapes = [x.shape for x in inputs if x is not None]
            if np.broadcast_shapes(*shapes) != node.shape:
                inputs[i] = each
    node.inputs = tuple(inputs)


def _number(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.size == 1


def _sources(node: Node) -> list[Node] | None:
    """The nodes that a function of single values takes, or None if it is none."""
    if node.kind not in ("binary", "where", "function"):
        return None
    sources = [each for each in node.inputs if isinstance(each, Node)]
    rest = [each for each in node.inputs if not isinstance(each, Node)]
    if any(each.shape != node.shape for each in sources) or not all(_number(each) for each in rest):
        return None
    return sources


def _spelt_out(node: Node) -> None:
    """Turn a cluster of operations on single values into the activation that it computes, if it is one."""
    if _sources(node) is None:
        return
    front, roots = {node}, []
    inside: list[Node] = []
    while front and len(inside) < _CLUSTER:
        last = max(front, key=lambda each: each.index)
        sources = _sources(last)
        if sources is None:
            break
        front = (front - {last}) | set(sources)
        inside.append(last)
        if len(front) == 1 and len(inside) > 1:
            roots.append((next(iter(front)), len(inside)))
    for root, count in reversed(roots):
        constants = [
            float(each.reshape(())) for one in inside[:count] for each in one.inputs if isinstance(each, np.ndarray)
        ]
        found = spelt(partial(_computed, node, root), constants)
        if found is not None:
            become(node, "function", (root,), function=found[0], parameters=found[1])
            return


def _computed(node: Node, root: Node, values: FloatArray) -> FloatArray | None:
    shaped = values.reshape(-1, *(1,) * max(0, len(root.shape) - 1))  # constants of one value may have as many axes
    found = evaluate(node, {root: shaped})
    return None if found is None else found.reshape(-1)


def _factors_out(graph: TensorGraph, output: Node) -> None:
    """Write W @ x with a constant W as (xᵀ @ Wᵀ)ᵀ: constants stand on the right of every product."""
    for node in ordered(output):
        if node.kind != "matmul" or not isinstance(node.inputs[0], np.ndarray):
            continue
        weight, x = node.inputs
        rank = len(node.shape)
        if weight.ndim != 2 and any(n != 1 for n in weight.shape[:-2]):
            continue
        turned = graph.permute(node.name, x, (*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2))
        product = graph.matmul(node.name, turned, weight.reshape(weight.shape[-2:]).T)
        back = graph.permute(node.name, product, (*range(rank - 2), rank - 1, rank - 2))
        become(node, "reshape", (graph.reshape(node.name, back, node.shape),))


def _linear(graph: TensorGraph, node: Node, uses: "Counter[Node]") -> None:
    """Turn products with a constant matrix, and a sum with a constant behind one, into linear layers."""
    if node.kind == "matmul":
        x, weight = node.inputs
        if isinstance(weight, np.ndarray) and all(n == 1 for n in weight.shape[:-2]):
            become(node, "linear", (x, np.ascontiguousarray(weight.reshape(weight.shape[-2:]).T), None))
        return
    if node.kind != "binary" or node.attributes["operation"] != "add":
        return
    for x, bias in (node.inputs, node.inputs[::-1]):
        if not (isinstance(x, Node) and isinstance(bias, np.ndarray)) or uses[x] != 1 or x.shape != node.shape:
            continue
        below = x
        while below.kind == "reshape" and below.shape[-1:] == x.shape[-1:] and uses[below] == 1:
            below = below.inputs[0]
        if below.kind != "linear" or below.inputs[2] is not None or below.shape[-1:] != node.shape[-1:]:
            continue
        if bias.size in (1, node.shape[-1]) and bias.size == (bias.shape[-1] if bias.ndim else 1):
            row = np.broadcast_to(bias.reshape(-1), (node.shape[-1],))
            source, weight, _ = below.inputs
            become(node, "reshape", (graph.linear_with_bias(node.name, source, weight, row, below.shape),))
            return


def _affine(node: Node) -> None:
    """Turn arithmetic with constants into one gain and one shift, chains of it together."""
    if node.kind != "binary":
        return
    one, other = node.inputs
    operation = node.attributes["operation"]
    if isinstance(one, Node) == isinstance(other, Node):
        return
    x, constant, left = (one, other, False) if isinstance(one, Node) else (other, one, True)
    constant = constant.astype(np.float64)
    if operation == "add":
        gain, shift = np.ones(()), constant
    elif operation == "sub":
        gain, shift = (-np.ones(()), constant) if left else (np.ones(()), -constant)
    elif operation == "mul":
        gain, shift = constant, np.zeros(())
    elif operation == "div" and not left and np.all(constant != 0.0):
        gain, shift = 1.0 / constant, np.zeros(())
    else:
        return
    if x.kind == "affine":
        before, first_gain, first_shift = x.inputs
        gain, shift = first_gain * gain, first_shift * gain + shift
        x = before
    become(node, "affine", (x, gain, shift))
