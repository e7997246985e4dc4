"""Values of a foreign graph between two of its nodes: how recognition asks what a piece of it computes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from devices.aliases import FloatArray
from mapping.networks.importers.elementwise import FUNCTIONS, OPERATIONS
from mapping.networks.importers.tensor_graph import Node


def _slice(node: Node, x: FloatArray) -> FloatArray:
    axis, start, step = (node.attributes[key] for key in ("axis", "start", "step"))
    return np.take(x, [start + step * i for i in range(node.shape[axis])], axis)


def _batch_norm(node: Node, x: FloatArray, *held: FloatArray) -> FloatArray:
    gamma, beta, mean, variance = (each.reshape(-1, *(1,) * (x.ndim - 2)) for each in held)
    out: FloatArray = (x - mean) * gamma / np.sqrt(variance + node.attributes["epsilon"]) + beta
    return out


def _softmax(node: Node, x: FloatArray) -> FloatArray:
    axis = node.attributes["axis"]
    grown = np.exp(x - x.max(axis=axis, keepdims=True))
    shares: FloatArray = grown / grown.sum(axis=axis, keepdims=True)
    return np.log(shares) if node.attributes["log"] else shares


KINDS: dict[str, Callable[..., Any]] = {
    "binary": lambda node, x, y: OPERATIONS[node.attributes["operation"]](x, y),
    "where": lambda node, condition, x, y: np.where(condition, x, y),
    "function": lambda node, x: FUNCTIONS[node.attributes["function"]](x, **node.attributes["parameters"]),
    "matmul": lambda node, x, y: x @ y,
    "reduce": lambda node, x: getattr(np, node.attributes["operation"])(x, axis=node.attributes["axes"], keepdims=True),
    "reshape": lambda node, x: x.reshape(node.shape),
    "permute": lambda node, x: x.transpose(node.attributes["order"]),
    "expand": lambda node, x: np.broadcast_to(x, node.shape),
    "concat": lambda node, *parts: np.concatenate(parts, node.attributes["axis"]),
    "slice": _slice,
    "gather": lambda node, x: np.take(x, node.attributes["indices"], node.attributes["axis"]),
    "pad": lambda node, x: np.pad(x, node.attributes["ends"], constant_values=node.attributes["value"]),
    "softmax": _softmax,
    "batch_norm": _batch_norm,
}
"""What nodes compute, by their kind; the other kinds are never asked."""


def evaluate(node: Node, given: Mapping[Node, FloatArray]) -> FloatArray | None:
    """Value of a node from the values of some before it, or None if it depends on others or on a kind not in KINDS."""
    found = dict(given)
    waiting = [node]
    with np.errstate(all="ignore"):
        while waiting:
            at = waiting[-1]
            if at in found:
                waiting.pop()
                continue
            if at.kind not in KINDS:
                return None
            missing = [each for each in at.inputs if isinstance(each, Node) and each not in found]
            if missing:
                waiting += missing
                continue
            inputs = [found[each] if isinstance(each, Node) else each for each in at.inputs]
            found[at] = np.asarray(KINDS[at.kind](at, *inputs))
            waiting.pop()
    return found[node]
