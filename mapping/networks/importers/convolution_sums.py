"""Dynamic convolutions that are spelt as sums of maps, or as products of a mixed matrix and a map.

Convolutions of one map, each weighted by shares and summed, are one convolution with a mixed kernel; so is a product of
a mixed matrix and a map. Whether a node is such a sum is asked, not read: it is evaluated on unit shares and unit
channels, and the kernels found must reproduce it for random shares and maps.
"""

# c = channels, h, w = height, width of a map, k = kernels, p = pixels

import math
from collections.abc import Sequence

import numpy as np

from devices.aliases import FloatArray
from mapping.networks.importers.evaluation import evaluate
from mapping.networks.importers.kernel_mixtures import (
    SAME,
    Mixture,
    attention_of,
    dynamic,
    front,
    mixture_of,
)
from mapping.networks.importers.tensor_graph import Node, TensorGraph

_SHARES = 64  # shares of a weighted sum, ours
_LARGEST = 2**31  # values that are computed to find the kernels of one sum, ours: some seconds


def recognise_sums(graph: TensorGraph, nodes: Sequence[Node]) -> None:
    """Turn sums of weighted convolutions, and products of mixed matrices and maps, into dynamic convolutions."""
    for node in reversed(nodes):  # the whole sum before its parts
        if node.kind in ("binary", "reduce", "matmul", "reshape", "permute") and len(node.shape) == 4:
            _weighted_sum(graph, node)
    for node in nodes:
        if node.kind == "matmul" and all(isinstance(each, Node) for each in node.inputs):
            _mixed_product(graph, node)


def _weighted_sum(graph: TensorGraph, node: Node) -> None:
    """Turn a sum of convolutions of one map, each weighted by shares, into a dynamic convolution."""
    roots = front(node, products=True)
    convs = [each for each in roots if each.kind == "conv"]
    others = [each for each in roots if each.kind != "conv"]
    if not convs or len(others) != 1 or node.shape[0] != 1:
        return
    (shares,), first = others, convs[0]
    x, k = first.inputs[0], math.prod(shares.shape)
    alike = all(
        each.inputs[0] is x
        and isinstance(each.inputs[1], np.ndarray)
        and not isinstance(each.inputs[2], Node)
        and each.attributes == first.attributes
        and each.inputs[1].shape[2:] == first.inputs[1].shape[2:]
        and each.shape[2:] == node.shape[2:]
        for each in convs
    )
    if not alike or not isinstance(x, Node) or x.shape[0] != 1 or not 2 <= k <= _SHARES:
        return
    found = attention_of(shares)
    if found is None or found[0].channels != x.shape[1]:
        return
    rows = _rows(node, shares, convs)
    if rows is None or not _keeps_groups(rows, convs, node, first.attributes["groups"]):
        return
    weights = np.concatenate([each.inputs[1] for each in convs])
    kernels = np.tensordot(rows, weights, 1)
    bias = None
    if any(each.inputs[2] is not None for each in convs):
        held = [np.zeros(each.shape[1]) if each.inputs[2] is None else each.inputs[2].reshape(-1) for each in convs]
        bias = rows @ np.concatenate(held)
    node.attributes = dict(first.attributes)
    dynamic(graph, node, x, Mixture(shares, kernels, np.zeros(kernels.shape[1:])), bias, None)


def _rows(node: Node, shares: Node, convs: Sequence[Node]) -> FloatArray | None:
    """(k, c, channels of all convolutions): what each share makes of the maps' channels; None if it is no such sum."""
    k, c, (h, w) = math.prod(shares.shape), node.shape[1], node.shape[2:]
    counts = [each.shape[1] for each in convs]
    total, p = sum(counts), h * w
    draws = -(-total // p)
    if k * draws * total * p > _LARGEST:
        return None
    rng = np.random.default_rng(total)

    def computed(weights: FloatArray, maps: FloatArray) -> FloatArray | None:
        parts = np.split(maps.reshape(1, total, h, w), np.cumsum(counts)[:-1], axis=1)
        return evaluate(node, {shares: weights.reshape(shares.shape), **dict(zip(convs, parts, strict=True))})

    drawn, maps = rng.normal(size=k), rng.normal(size=(total, p))
    one = computed(np.eye(k)[0], maps)
    if one is None or one.shape != node.shape or not one.reshape(c, p).any(axis=1).all():
        return None  # a share that weights some channels only is channel attention
    rows = np.empty((k, c, draws * p))
    for draw in range(draws):  # pixel q sees channel draw p + q alone
        units = np.zeros((total, p))
        mine = np.arange(draw * p, min(total, (draw + 1) * p))
        units[mine, mine - draw * p] = 1.0
        for i, unit in enumerate(np.eye(k)):
            value = computed(unit, units)
            if value is None:
                return None
            rows[i, :, draw * p : (draw + 1) * p] = value.reshape(c, p)
    rows = rows[:, :, :total]
    wanted = computed(drawn, maps)
    off = np.abs(np.tensordot(drawn, rows, 1) @ maps - (np.inf if wanted is None else wanted.reshape(c, p))).max()
    return rows if off <= SAME * np.abs(maps).max() * total and rows.any(axis=2).all() else None


def _keeps_groups(rows: FloatArray, convs: Sequence[Node], node: Node, groups: int) -> bool:
    """Whether an output takes channels of its own group of input channels only."""
    if node.shape[1] % groups:
        return False
    theirs = np.concatenate([np.arange(each.shape[1]) // (each.shape[1] // groups) for each in convs])
    mine = np.arange(node.shape[1]) // (node.shape[1] // groups)
    return not rows[:, mine[:, None] != theirs].any()


def _mixed_product(graph: TensorGraph, node: Node) -> None:
    """Turn a matrix that is mixed by shares, times the channels of a map, into a convolution with kernels of 1 × 1."""
    for matrix, given, left in ((*node.inputs, True), (*node.inputs[::-1], False)):
        size = math.prod(matrix.shape[-2:])
        if size != math.prod(matrix.shape) or math.prod(given.shape[-2:]) != math.prod(given.shape):
            continue
        roots = front(matrix, products=False)
        if len(roots) != 1 or min(matrix.shape[-2:]) < 2:
            continue
        found = attention_of(roots[0])
        channels = matrix.shape[-1 if left else -2]
        if found is None or found[0].channels != channels:
            continue
        mixture = mixture_of(matrix)
        if mixture is None:
            continue
        kernels = [each.reshape(-1, *matrix.shape[-2:]) for each in (mixture.kernels, mixture.rest)]
        values = given
        if not left:
            kernels = [each.swapaxes(1, 2) for each in kernels]
            values = graph.permute(node.name, given, (*range(len(given.shape) - 2), -1, -2))
        held = Mixture(mixture.shares, kernels[0][..., None, None], kernels[1][0][..., None, None])
        p, out = values.shape[-1], kernels[0].shape[1]
        line = graph.reshape(node.name, values, (1, channels, 1, p))
        made = graph.conv(node.name, line, held.kernels[0])
        if not isinstance(made, Node) or made.kind != "conv":
            continue
        dynamic(graph, made, line, held, None, None)
        result = made if left else graph.permute(node.name, graph.reshape(node.name, made, (out, p)), (1, 0))
        node.kind, node.inputs, node.attributes = "reshape", (result,), {}
        return
