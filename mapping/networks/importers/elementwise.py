"""Functions of each value alone: what they compute, and which one a cluster of operations spells out.

A cluster is judged by its values on a grid, so x * relu6(x + 3) / 6 and every other spelling of hard swish are one.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from devices.aliases import FloatArray
from mapping.networks.layers.activations import ACTIVATIONS

_SPELLING = 1e-6  # largest difference from the function that is spelt, over 1 + its value; ours: constants in float32


def leaky_relu(x: FloatArray, slope: float) -> FloatArray:
    """x above 0, slope x below."""
    return np.where(x >= 0.0, x, slope * x)


def elu(x: FloatArray, alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0) -> FloatArray:
    """Scale times x above 0, scale times alpha (exp(rate x) - 1) below."""
    return scale * np.where(x > 0.0, x, alpha * np.expm1(rate * np.minimum(x, 0.0)))


def softplus(x: FloatArray, beta: float = 1.0) -> FloatArray:
    """log(1 + exp(beta x)) / beta."""
    return np.logaddexp(0.0, beta * x) / beta


def hard_sigmoid(x: FloatArray, slope: float, offset: float) -> FloatArray:
    """Straight line slope x + offset between 0 and 1."""
    return np.clip(slope * x + offset, 0.0, 1.0)


def bounded(x: FloatArray, low: float, high: float) -> FloatArray:
    """x between low and high."""
    return np.clip(x, low, high)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **ACTIVATIONS,
    "relu": lambda x: np.maximum(x, 0.0),
    "neg": np.negative,
    "leaky-relu": leaky_relu,
    "elu": elu,
    "softplus-beta": softplus,
    "hard-sigmoid-line": hard_sigmoid,
    "clip": bounded,
    "not": np.logical_not,
}
"""Functions of one value, by the names of `Activation` and some more that have parameters."""

OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.true_divide,
    "pow": np.power,
    "max": np.maximum,
    "min": np.minimum,
    "greater": np.greater,
    "greater-equal": np.greater_equal,
    "less": np.less,
    "less-equal": np.less_equal,
    "equal": np.equal,
    "and": np.logical_and,
    "or": np.logical_or,
}
"""Functions of two values."""

_GRID = np.linspace(-12.0, 12.0, 481)
_FAR = np.array([15.0, 20.0, 25.0, 40.0, 60.0])

_PLAIN = (
    "relu", "relu6", "sigmoid", "hard-sigmoid", "hard-swish", "silu", "tanh", "gelu", "gelu-tanh", "quick-gelu", "mish",
    "softplus", "softsign", "log-sigmoid", "tanh-shrink", "abs",
)  # fmt: skip


def spelt(
    function: Callable[[FloatArray], FloatArray | None], constants: Iterable[float]
) -> tuple[str, dict[str, float]] | None:
    """Name and parameters of the activation that a function computes, or None.

    constants: those that the function is spelt with; they say how far out it may still bend.
    """
    bends = [max(abs(c), 1.0 / abs(c)) for c in constants if c != 0.0 and np.isfinite(c)]
    far = np.geomspace(60.0, 1e3 * min(1e9, float(np.prod(bends or [1.0]))), 64)
    beyond = np.concatenate([-far, far])
    grid = np.concatenate([_GRID, -_FAR, _FAR, beyond])
    with np.errstate(all="ignore"):
        found = function(grid)
        if found is None:
            return None
        values = np.broadcast_to(found, grid.shape).astype(np.float64)
        judged = np.isfinite(values) | (np.abs(grid) < 60.0)  # far out, a spelling may overflow
        if not np.all(np.isfinite(values[judged])):
            return None
        at = dict(zip(grid.round(6).tolist(), values.tolist(), strict=True))
        candidates: list[tuple[str, dict[str, float]]] = [(kind, {}) for kind in _PLAIN]
        candidates += [
            ("leaky-relu", {"slope": -at[-1.0]}),
            ("elu", {"alpha": -at[-40.0]}),
            ("clip", {"low": float(values[grid.argmin()]), "high": float(values[grid.argmax()])}),
            ("hard-sigmoid-line", {"slope": (at[0.05] - at[-0.05]) / 0.1, "offset": at[0.0]}),
        ]
        for kind, parameters in candidates:
            if not all(np.isfinite(each) for each in parameters.values()):
                continue  # infinity would agree with everything
            wanted = FUNCTIONS[kind](grid, **parameters)
            off = np.abs(wanted - values)[judged]
            if np.all(off <= _SPELLING * (1.0 + np.abs(wanted[judged]))):
                return kind, parameters
    return None
