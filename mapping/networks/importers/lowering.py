"""Layers of ours for a foreign graph: every node whose values the output needs, in the order in which they depend.

A layer holds the values of its node in the same order in memory, without the batch; a view in another shape is the same
layer until something needs the shape.
"""

# c = channels, h, w = height, width of a map, n = values

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.graph import Network
from mapping.networks.importers.tensor_graph import Node, Shape
from mapping.networks.layers.activations import (
    Activation,
    Clip,
    Elu,
    HardSigmoid,
    LeakyRelu,
    LogSoftmax,
    Power,
    PRelu,
    Relu,
    Softmax,
    Softplus,
)
from mapping.networks.layers.arithmetic import (
    Add,
    Affine,
    Divide,
    MatMul,
    Maximum,
    Minimum,
    Multiply,
    Reduce,
    Scale,
    Subtract,
)
from mapping.networks.layers.base import INPUT, Layer
from mapping.networks.layers.convolutions import Conv, DynamicConv
from mapping.networks.layers.matrix_layers import Linear
from mapping.networks.layers.norms import BatchNorm, GroupNorm, LayerNorm, LocalResponseNorm
from mapping.networks.layers.pools import AdaptiveAveragePool, AdaptiveMaxPool, AveragePool, GlobalAveragePool, MaxPool
from mapping.networks.layers.recurrent import Recurrent
from mapping.networks.layers.resizing import Upsample
from mapping.networks.layers.shapes import Broadcast, Concat, Flatten, Gather, Pad, Permute, Reshape, Slice
from mapping.networks.layers.transposed import ConvTranspose
from mapping.networks.unrolling import Padding

NO_EPSILON = 1e-300  # a batch norm's epsilon that sqrt(1 + epsilon) does not see
OTHERS = "replace it by operations of docs/import.md"

Ends = tuple[tuple[int, int], tuple[int, int]]


class Lowering:
    """Grows a network from a foreign graph; `held` says which layer holds the values of which node.

    Raises ParameterError that names the node, if no layer does what it does.
    """

    def __init__(self, input_node: Node, input_shape: tuple[int, int, int]) -> None:
        self.layers: dict[str, Layer] = {}
        self.shapes: dict[str, Shape] = {INPUT: input_shape}
        self.held: dict[Node, str] = {input_node: INPUT}
        self._views: dict[tuple[str, Shape], str] = {}

    def lower(self, nodes: Sequence[Node]) -> None:
        """Make the layers of nodes, each of which comes after its inputs."""
        for node in nodes:
            if node in self.held:
                continue
            try:
                self.held[node] = self._lowered(node)
            except ParameterError as error:
                raise ParameterError(f"{node.name}: {' '.join(str(error).split())}") from None

    def network(self, output: Node, name: str, classes: Sequence[str] | None, card: dict[str, Any]) -> Network:
        """Return the network that ends in a node, without layers that nothing needs."""
        if self.held[output] not in self.layers:
            raise ParameterError(f"{name} gives back its image: there is no layer to import")
        last = self.view(self.held[output], (math.prod(output.shape),))
        needed, waiting = set(), [last]
        while waiting:
            layer = waiting.pop()
            if layer not in needed and layer != INPUT:
                needed.add(layer)
                waiting += self.layers[layer].inputs
        if list(self.layers)[-1] != last:  # what came after it was for others
            self.layers[last] = self.layers.pop(last)
        kept = tuple(layer for key, layer in self.layers.items() if key in needed)
        shape = self.shapes[INPUT]
        labels = tuple(classes or (str(i) for i in range(self.shapes[last][0])))
        return Network(name, (shape[0], shape[1], shape[2]), labels, kept, card)

    def view(self, layer: str, shape: Shape) -> str:
        """Name of a layer that holds the same values in another shape."""
        if self.shapes[layer] == shape:
            return layer
        key = (layer, shape)
        if key not in self._views:
            before = self.layers.get(layer)
            if isinstance(before, (Reshape, Flatten)):  # a view of a view
                self._views[key] = self.view(before.inputs[0], shape)
            elif len(shape) == 1:
                self._views[key] = self.add(Flatten(self.name(f"{layer}.flat"), (layer,)))
            else:
                self._views[key] = self.add(Reshape(self.name(f"{layer}.view"), (layer,), shape))
        return self._views[key]

    def add(self, layer: Layer) -> str:
        """Take in a layer."""
        self.shapes[layer.name] = layer.output_shape(*(self.shapes[source] for source in layer.inputs))
        self.layers[layer.name] = layer
        return layer.name

    def name(self, foreign: str) -> str:
        """Return a name of ours for a foreign one, not yet taken."""
        base = re.sub(r"[^A-Za-z0-9_./-]+", "_", foreign).strip("./-") or "layer"
        if base == INPUT or base.endswith(".attention"):
            base += "_"
        name, count = base, 1
        while name in self.shapes:
            count += 1
            name = f"{base}_{count}"
        return name

    def of(self, node: Node, shape: Shape) -> str:
        """Name of a layer that holds a node's values in a shape."""
        return self.view(self.held[node], shape)

    def _lowered(self, node: Node) -> str:
        rule = RULES.get(node.kind)
        if rule is None:
            raise ParameterError(f"there is no layer for it ({node.kind}); {OTHERS}")
        return rule(self, node)


def own(shape: Shape) -> Shape:
    """Shape of a foreign tensor without the batch of one in front."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape or (1,)


def _source(node: Node, at: int = 0) -> Node:
    x = node.inputs[at]
    if not isinstance(x, Node):
        raise ParameterError("it works on a constant; fold that into the file's weights")
    return x


def _array(node: Node, at: int) -> FloatArray:
    x = node.inputs[at]
    if isinstance(x, Node) or x is None:
        raise ParameterError("its weights depend on the images")
    return np.asarray(x, dtype=np.float64)


def _perhaps(node: Node, at: int) -> FloatArray | None:
    return None if node.inputs[at] is None else _array(node, at)


def _squeezed(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1) or (1,)


def _padding(ends: Ends) -> Padding:
    """Padding as the layers take it: a pair, or top, left, bottom, right."""
    (top, bottom), (left, right) = ends
    return (top, left) if (top, left) == (bottom, right) else (top, left, bottom, right)


def _reshape(to: Lowering, node: Node) -> str:
    return to.held[_source(node)]


def _conv(to: Lowering, node: Node) -> str:
    x, weight, bias = _source(node), _array(node, 1), _perhaps(node, 2)
    b, c, h, w = x.shape
    groups = node.attributes["groups"] * b
    if b > 1:  # the same kernels on parts of the image, side by side
        weight, bias = np.tile(weight, (b, 1, 1, 1)), None if bias is None else np.tile(bias, b)
    geometry = {key: node.attributes[key] for key in ("stride", "dilation")}
    padding = _padding(node.attributes["padding"])
    layer = Conv(
        to.name(node.name), (to.of(x, (b * c, h, w)),), weight, bias, padding=padding, groups=groups, **geometry
    )
    return to.add(layer)


def _conv_transpose(to: Lowering, node: Node) -> str:
    x, weight, bias = _source(node), _array(node, 1), _perhaps(node, 2)
    b, c, h, w = x.shape
    if b > 1:
        weight, bias = np.tile(weight, (b, 1, 1, 1)), None if bias is None else np.tile(bias, b)
    geometry = {key: node.attributes[key] for key in ("stride", "dilation", "output_padding")}
    ends = node.attributes["padding"]
    cut = [(min(0, before), min(0, after)) for before, after in ends]
    (top, bottom), (left, right) = ((max(0, before), max(0, after)) for before, after in ends)
    kept = ((top, bottom), (left, right))
    layer = ConvTranspose(
        to.name(node.name), (to.of(x, (b * c, h, w)),), weight, bias, padding=_padding(kept),
        groups=node.attributes["groups"] * b, **geometry,
    )  # fmt: skip
    out = to.add(layer)
    if np.any(cut):
        before, after = (0, -cut[0][0], -cut[1][0]), (0, -cut[0][1], -cut[1][1])
        out = to.add(Pad(to.name(f"{node.name}.pad"), (out,), before, after))
    return out


def _dynamic_conv(to: Lowering, node: Node) -> str:
    x, pooled, positions, kernels, bias = node.inputs
    inputs = [to.of(x, x.shape[1:])]
    channels = x.shape[1]
    looked_at = to.held[pooled]
    if to.shapes[looked_at] != x.shape[1:] or positions is not None:
        shape = to.shapes[looked_at]
        if len(shape) != 3 or shape[0] != channels:
            kept = _squeezed(pooled.shape)
            shape = (channels, 1, math.prod(kept) // channels)
        looked_at = to.view(looked_at, shape)
    if looked_at != inputs[0] or positions is not None:
        inputs.append(looked_at)
    if isinstance(positions, Node):
        inputs.append(to.of(positions, (math.prod(positions.shape),)))
    geometry = {key: node.attributes[key] for key in ("stride", "dilation", "groups")}
    layer = DynamicConv(
        to.name(node.name), tuple(inputs), kernels, None if bias is None else bias.reshape(len(kernels), -1),
        padding=_padding(node.attributes["padding"]), attention=node.attributes["attention"], **geometry,
    )  # fmt: skip
    return to.add(layer)


def _linear(to: Lowering, node: Node) -> str:
    x, weight, bias = _source(node), _array(node, 1), _perhaps(node, 2)
    n = x.shape[-1]
    shape = (n,) if math.prod(x.shape) == n else own(x.shape)
    if shape[-1] != n:
        shape = x.shape
    return to.add(Linear(to.name(node.name), (to.of(x, shape),), weight, bias))


def _matmul(to: Lowering, node: Node) -> str:
    one, other = node.inputs
    rank = len(node.shape)
    dropped = rank > 2 and node.shape[0] == 1
    names = []
    for each in (one, other):
        if isinstance(each, Node):
            shape = (1,) * (rank - len(each.shape)) + each.shape
            names.append(to.of(each, shape[1:] if dropped else shape))
        else:
            first = next(x for x in node.inputs if isinstance(x, Node))
            shape = (1,) * (rank - each.ndim) + each.shape
            names.append(_constant(to, node, first, each.reshape(shape[1:] if dropped else shape)))
    return to.add(MatMul(to.name(node.name), tuple(names)))


def _constant(to: Lowering, node: Node, beside: Node, value: FloatArray) -> str:
    """A layer that gives the same array for every image."""
    one = to.add(
        Reduce(
            to.name(f"{node.name}.one"), (to.held[beside],), "max", tuple(range(len(to.shapes[to.held[beside]]))), True
        )
    )
    return to.add(Affine(to.name(f"{node.name}.constant"), (to.view(one, (1,) * value.ndim),), np.zeros(()), value))


def _where_values_meet(to: Lowering, node: Node, operands: Sequence[Node]) -> tuple[list[str], Shape]:
    """Layers of operands whose shapes broadcast as the foreign ones do, and the shape of their result."""
    rank = len(node.shape)
    full = [(1,) * (rank - len(each.shape)) + each.shape for each in operands]
    whole = (1,) * rank if rank == 0 else node.shape
    ways = []
    start = 1 if rank > 1 and whole[0] == 1 else 0
    ways.append(list(range(start, rank)))
    ways.append([axis for axis in range(rank) if whole[axis] != 1])
    best: tuple[int, list[Shape], Shape] = (len(full) + 1, [], ())
    for axes in ways:
        shapes = [tuple(shape[axis] for axis in axes) or (1,) for shape in full]
        count = sum(to.shapes[to.held[each]] != shape for each, shape in zip(operands, shapes, strict=True))
        if count < best[0]:
            best = (count, shapes, tuple(whole[axis] for axis in axes) or (1,))
    return [to.of(each, shape) for each, shape in zip(operands, best[1], strict=True)], best[2]


_TWO: dict[str, type[Layer]] = {
    "add": Add, "sub": Subtract, "mul": Multiply, "div": Divide, "max": Maximum, "min": Minimum
}  # fmt: skip


def _binary(to: Lowering, node: Node) -> str:
    operation = node.attributes["operation"]
    one, other = node.inputs
    if operation not in (*_TWO, "pow"):
        return _decides(to, node)
    if isinstance(one, Node) and isinstance(other, Node):
        if operation == "pow":
            raise ParameterError(f"it raises to a power that depends on the image; {OTHERS}")
        if operation == "mul":
            for x, gates in ((one, other), (other, one)):
                whole = x.shape == node.shape and len(x.shape) == 4 and x.shape[0] == 1 and x.shape[2:] != (1, 1)
                if whole and gates.shape == (1, x.shape[1], 1, 1):  # channel attention
                    gate = to.of(gates, x.shape[1:2])
                    return to.add(Scale(to.name(node.name), (to.of(x, x.shape[1:]), gate)))
        names, _ = _where_values_meet(to, node, [one, other])
        return to.add(_TWO[operation](to.name(node.name), tuple(names)))
    x, constant, left = (one, other, False) if isinstance(one, Node) else (other, one, True)
    constant = np.asarray(constant, dtype=np.float64)
    name = to.name(node.name)
    if constant.size == 1 and x.shape == node.shape:
        value, held = float(constant.reshape(())), to.held[x]
        if operation == "pow" and not left:
            return to.add(Power(name, (held,), value))
        if operation == "max":
            return to.add(Relu(name, (held,)) if value == 0.0 else Clip(name, (held,), value, None))
        if operation == "min":
            return to.add(Clip(name, (held,), None, value))
        if operation == "div" and left:
            inverse = to.add(Activation(to.name(f"{node.name}.reciprocal"), (held,), "reciprocal"))
            return to.add(Affine(name, (inverse,), np.full((), value), None))
        if operation == "pow" and left and value > 0.0:
            grown = to.add(Affine(to.name(f"{node.name}.log"), (held,), np.full((), math.log(value)), None))
            return to.add(Activation(name, (grown,), "exp"))
    if operation in ("max", "min", "div"):
        stored = Node("constant", (), constant.shape, node.name)
        to.held[stored] = _constant(to, node, x, constant.reshape(own(constant.shape)))
        operands = [stored, x] if left else [x, stored]
        names, _ = _where_values_meet(to, node, operands)
        return to.add(_TWO[operation](name, tuple(names)))
    raise ParameterError(f"it computes {operation!r} with a constant of shape {constant.shape}; {OTHERS}")


def _affine(to: Lowering, node: Node) -> str:
    x, gain, shift = _source(node), _array(node, 1), _array(node, 2)
    rank = len(node.shape)
    full = [(1,) * (rank - each.ndim) + each.shape for each in (gain, shift)]
    held = to.shapes[to.held[x]]
    if x.shape == node.shape:
        per_channel = (
            rank > 1 and x.shape[0] == 1 and all(n == 1 or axis == 1 for each in full for axis, n in enumerate(each))
        )
        c = x.shape[1] if rank > 1 else 0
        if per_channel and held[0] == c:
            arrays = [np.broadcast_to(each.reshape(-1), (c,)) for each in (gain, shift)]
            zeros = np.zeros(c)
            return to.add(BatchNorm(
                to.name(node.name), (to.held[x],), arrays[0], arrays[1], zeros, zeros + 1.0, NO_EPSILON
            ))  # fmt: skip
        if gain.size == shift.size == 1:
            return to.add(Affine(to.name(node.name), (to.held[x],), gain.reshape(()), shift.reshape(())))
    names, result = _where_values_meet(to, node, [x])
    axes = len(result)
    dropped = [axis for axis in range(rank) if node.shape[axis] == 1]
    natural = rank > 1 and node.shape[0] == 1
    arrays = []
    for each, shape in zip((gain, shift), full, strict=True):
        if axes == rank:
            kept = shape
        elif natural and axes == rank - 1:
            kept = shape[1:]
        else:
            kept = tuple(n for axis, n in enumerate(shape) if axis not in dropped)
        arrays.append(each.reshape(kept))
    return to.add(Affine(to.name(node.name), tuple(names), arrays[0], arrays[1]))


def _function(to: Lowering, node: Node) -> str:
    x = _source(node)
    name, inputs = to.name(node.name), (to.held[x],)
    function, given = node.attributes["function"], node.attributes["parameters"]
    if function == "relu":
        return to.add(Relu(name, inputs))
    if function == "neg":
        return to.add(Affine(name, inputs, -np.ones(()), None))
    if function == "leaky-relu":
        return to.add(LeakyRelu(name, inputs, given["slope"]))
    if function == "elu":
        return to.add(Elu(name, inputs, **given))
    if function == "softplus-beta":
        return to.add(Softplus(name, inputs, given["beta"]))
    if function == "hard-sigmoid-line":
        return to.add(HardSigmoid(name, inputs, **given))
    if function == "clip":
        return to.add(Clip(name, inputs, given["low"], given["high"]))
    if function == "not":
        raise ParameterError(f"it decides by the image's own values; {OTHERS}")
    return to.add(Activation(name, inputs, function))


def _prelu(to: Lowering, node: Node) -> str:
    x, slope = _source(node), _array(node, 1)
    c = x.shape[1] if len(x.shape) > 1 else 0
    held = to.shapes[to.held[x]]
    shape = held if held[0] == c else x.shape[1:]
    return to.add(PRelu(to.name(node.name), (to.of(x, shape),), slope))


def _reduce(to: Lowering, node: Node) -> str:
    x = _source(node)
    operation, axes = node.attributes["operation"], node.attributes["axes"]
    kept = [axis for axis, n in enumerate(x.shape) if n != 1 and axis not in axes]
    name = to.name(node.name)
    if operation == "mean" and kept and max(kept) < min(axes):
        c = math.prod(x.shape[axis] for axis in kept)
        held = to.shapes[to.held[x]]
        if held[0] != c or len(held) < 2:
            held = (c, *(x.shape[axis] for axis in axes))
        return to.add(GlobalAveragePool(name, (to.of(x, held),)))
    start = 1 if len(x.shape) > 1 and x.shape[0] == 1 else 0
    inner = tuple(axis - start for axis in axes)
    shape = x.shape[start:]
    return to.add(Reduce(name, (to.of(x, shape),), operation, inner, len(inner) == len(shape)))


def _pool(to: Lowering, node: Node) -> str:
    x, a = _source(node), node.attributes
    b, c, h, w = x.shape
    inputs, name = (to.of(x, (b * c, h, w)),), to.name(node.name)
    padding, ceil = _padding(a["padding"]), any(a["over"])
    if a["operation"] == "max":
        layer: Layer = MaxPool(name, inputs, a["size"], a["stride"], padding, ceil, a["dilation"])
    else:
        if a["dilation"] != (1, 1):
            raise ParameterError("its window of means is spread (dilation); use dilation 1")
        layer = AveragePool(name, inputs, a["size"], a["stride"], padding, a["count_padding"], ceil)
    shape = layer.output_shape(*(to.shapes[each] for each in inputs))
    if shape != (b * c, *node.shape[2:]):
        raise ParameterError(f"its windows of {a['size']} pixels lie in a way that no pool of ours has")
    return to.add(layer)


def _adaptive_pool(to: Lowering, node: Node) -> str:
    x, a = _source(node), node.attributes
    b, c, h, w = x.shape
    kind = AdaptiveMaxPool if a["operation"] == "max" else AdaptiveAveragePool
    return to.add(kind(to.name(node.name), (to.of(x, (b * c, h, w)),), a["size"]))


def _softmax(to: Lowering, node: Node) -> str:
    x, axis = _source(node), node.attributes["axis"]
    kind = LogSoftmax if node.attributes["log"] else Softmax
    if x.shape[axis] == math.prod(x.shape):
        return to.add(kind(to.name(node.name), (to.of(x, (x.shape[axis],)),), 0))
    start = 1 if len(x.shape) > 1 and x.shape[0] == 1 and axis > 0 else 0
    return to.add(kind(to.name(node.name), (to.of(x, x.shape[start:]),), axis - start))


def _batch_norm(to: Lowering, node: Node) -> str:
    x, *held = node.inputs
    b, c = x.shape[:2]
    arrays = [np.tile(np.asarray(each, dtype=np.float64), b) for each in held if isinstance(each, np.ndarray)]
    now = to.shapes[to.held[x]]
    shape = now if now[0] == b * c else (b * c, *x.shape[2:])
    epsilon = node.attributes["epsilon"] or NO_EPSILON
    return to.add(BatchNorm(
        to.name(node.name), (to.of(x, shape),), arrays[0], arrays[1], arrays[2], arrays[3], epsilon
    ))  # fmt: skip


def _group_norm(to: Lowering, node: Node) -> str:
    x, gamma, beta = _source(node), _array(node, 1), _array(node, 2)
    b, c = x.shape[:2]
    shape = (b * c, *x.shape[2:]) if len(x.shape) > 2 else (b * c, 1)
    return to.add(GroupNorm(
        to.name(node.name), (to.of(x, shape),), node.attributes["groups"] * b, np.tile(gamma, b), np.tile(beta, b),
        node.attributes["epsilon"],
    ))  # fmt: skip


def _layer_norm(to: Lowering, node: Node) -> str:
    x, gamma, beta = _source(node), _array(node, 1), _array(node, 2)
    axes = node.attributes["axes"]
    shape = own(x.shape) if len(x.shape) > axes else x.shape
    return to.add(LayerNorm(to.name(node.name), (to.of(x, shape),), gamma, beta, node.attributes["epsilon"]))


def _local_response_norm(to: Lowering, node: Node) -> str:
    x, a = _source(node), node.attributes
    b, _c = x.shape[:2]
    if b != 1:
        raise ParameterError("it normalises several maps at once")
    return to.add(LocalResponseNorm(
        to.name(node.name), (to.of(x, x.shape[1:]),), a["size"], a["alpha"], a["beta"], a["bias"], a["before"],
    ))  # fmt: skip


def _resize(to: Lowering, node: Node) -> str:
    x, a = _source(node), node.attributes
    b, c, h, w = x.shape
    return to.add(Upsample(
        to.name(node.name), (to.of(x, (b * c, h, w)),), a["size"], a["mode"], a["coordinates"], a["scale"]
    ))  # fmt: skip


def _recurrent(to: Lowering, node: Node) -> str:
    x, names = _source(node), []
    source = to.of(x, x.shape)
    for way in node.attributes["directions"]:
        layer = Recurrent(
            to.name(node.name), (source,), way["weight_x"], way["weight_h"], way["bias_x"], way["bias_h"],
            node.attributes["cell"], way["reverse"],
        )  # fmt: skip
        names.append(to.add(layer))
    return names[0] if len(names) == 1 else to.add(Concat(to.name(f"{node.name}.both"), tuple(names), 1))


def _permute(to: Lowering, node: Node) -> str:
    x, order = _source(node), node.attributes["order"]
    long = [axis for axis, n in enumerate(x.shape) if n != 1]
    if order[0] == 0 and x.shape[0] == 1 and to.shapes[to.held[x]] == x.shape[1:]:
        long = list(range(1, len(x.shape)))
    inner = tuple(long.index(axis) for axis in order if axis in long)
    return to.add(Permute(to.name(node.name), (to.of(x, tuple(x.shape[axis] for axis in long)),), inner))


def _along(node: Node, axis: int) -> int:
    """How many axes in front are left out: the batch of one, unless the operation works on it."""
    return 1 if axis > 0 and len(node.shape) > 1 and node.shape[0] == 1 else 0


def _concat(to: Lowering, node: Node) -> str:
    axis = node.attributes["axis"]
    start = _along(node, axis)
    nodes = [each for each in node.inputs if isinstance(each, Node)]
    names = []
    for each in node.inputs:
        if isinstance(each, Node):
            names.append(to.of(each, each.shape[start:]))
        else:
            value = np.asarray(each, dtype=np.float64)
            names.append(_constant(to, node, nodes[0], value.reshape(value.shape[start:])))
    return to.add(Concat(to.name(node.name), tuple(names), axis - start))


def _slice(to: Lowering, node: Node) -> str:
    x, a = _source(node), node.attributes
    start = _along(x, a["axis"])
    length = node.shape[a["axis"]]
    source = to.of(x, x.shape[start:])
    return to.add(Slice(to.name(node.name), (source,), a["axis"] - start, a["start"], length, a["step"]))


def _gather(to: Lowering, node: Node) -> str:
    x, a = _source(node), node.attributes
    start = _along(x, a["axis"])
    return to.add(Gather(to.name(node.name), (to.of(x, x.shape[start:]),), a["axis"] - start, a["indices"]))


def _pad(to: Lowering, node: Node) -> str:
    x, ends = _source(node), node.attributes["ends"]
    start = 1 if len(x.shape) > 1 and x.shape[0] == 1 and ends[0] == (0, 0) else 0
    before, after = (tuple(each[i] for each in ends[start:]) for i in (0, 1))
    return to.add(Pad(
        to.name(node.name), (to.of(x, x.shape[start:]),), before, after, "constant", node.attributes["value"]
    ))  # fmt: skip


def _expand(to: Lowering, node: Node) -> str:
    x = _source(node)
    start = 1 if len(node.shape) > 1 and node.shape[0] == 1 else 0
    return to.add(Broadcast(to.name(node.name), (to.of(x, x.shape[start:]),), node.shape[start:]))


def _decides(_: Lowering, __: Node) -> str:
    raise ParameterError(f"it decides by the image's own values; {OTHERS}")


RULES: dict[str, Callable[[Lowering, Node], str]] = {
    "reshape": _reshape,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dynamic_conv": _dynamic_conv,
    "linear": _linear,
    "matmul": _matmul,
    "binary": _binary,
    "affine": _affine,
    "function": _function,
    "prelu": _prelu,
    "where": _decides,
    "reduce": _reduce,
    "pool": _pool,
    "adaptive_pool": _adaptive_pool,
    "softmax": _softmax,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "local_response_norm": _local_response_norm,
    "resize": _resize,
    "recurrent": _recurrent,
    "permute": _permute,
    "concat": _concat,
    "slice": _slice,
    "gather": _gather,
    "pad": _pad,
    "expand": _expand,
}
"""How each kind of node becomes layers."""
