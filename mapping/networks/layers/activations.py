"""Activation functions, and softmax along an axis."""

# b = batch, c = channels

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import erf

from devices.aliases import FloatArray
from devices.checks import number, whole
from devices.errors import ParameterError
from mapping.networks import digital
from mapping.networks.layers.base import SameShape, Shape, one_of, set_fields, take


@dataclass(frozen=True, eq=False, repr=False)
class Relu(SameShape):
    """Positive part."""

    def apply(self, *values: FloatArray) -> FloatArray:
        """Take the positive part of values of any shape."""
        return digital.relu(values[0])


def _gelu(x: FloatArray) -> FloatArray:
    """x Φ(x).  Source: Hendrycks and Gimpel, arXiv 1606.08415."""
    return 0.5 * x * (1.0 + _erf(x * math.sqrt(0.5)))


def _gelu_tanh(x: FloatArray) -> FloatArray:
    """x Φ(x) with tanh in place of the error function.  Source: Hendrycks and Gimpel, arXiv 1606.08415, section 2."""
    root = math.sqrt(2.0 / math.pi)
    return 0.5 * x * (1.0 + np.tanh(root * (x + 0.044715 * x * x * x)))


def softplus(x: FloatArray) -> FloatArray:
    """log(1 + exp(x)); no overflow at either end."""
    return digital.relu(x) + np.log1p(np.exp(-np.abs(x)))


def _erf(x: FloatArray) -> FloatArray:
    out: FloatArray = erf(x)
    return out


ACTIVATIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "relu6": digital.relu6,
    "sigmoid": digital.sigmoid,
    "hard-sigmoid": digital.hard_sigmoid,
    "hard-swish": digital.hard_swish,
    "silu": digital.silu,
    "tanh": np.tanh,
    "gelu": _gelu,
    "gelu-tanh": _gelu_tanh,
    "quick-gelu": lambda x: x * digital.sigmoid(1.702 * x),  # Hendrycks and Gimpel, arXiv 1606.08415, section 2
    "mish": lambda x: x * np.tanh(softplus(x)),  # Misra, arXiv 1908.08681
    "softplus": softplus,
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "log-sigmoid": lambda x: -softplus(-x),
    "tanh-shrink": lambda x: x - np.tanh(x),
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "reciprocal": lambda x: 1.0 / x,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,  # halves to the even neighbour
    "erf": _erf,
    "sin": np.sin,
    "cos": np.cos,
}
"""What `Activation` computes, by the name that the file format uses."""


@dataclass(frozen=True, eq=False, repr=False)
class Activation(SameShape):
    """A function of each single value, one of ACTIVATIONS."""

    kind: str  #: a key of ACTIVATIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(f"{self.name}.kind", self.kind, tuple(ACTIVATIONS))

    def apply(self, *values: FloatArray) -> FloatArray:
        """Evaluate the function on values of any shape."""
        return ACTIVATIONS[self.kind](values[0])


@dataclass(frozen=True, eq=False, repr=False)
class LeakyRelu(SameShape):
    """x if it is positive, else slope x."""

    slope: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, slope=number(f"{self.name}.slope", self.slope))

    def apply(self, *values: FloatArray) -> FloatArray:
        """Evaluate the function on values of any shape."""
        return np.where(values[0] > 0.0, values[0], self.slope * values[0])


@dataclass(frozen=True, eq=False, repr=False)
class PRelu(SameShape):
    """x if it is positive, else its channel's slope times x.  Source: He et al., arXiv 1502.01852 eq. 1."""

    slope: FloatArray  #: (c,), or (1,) for all channels

    arrays: ClassVar[tuple[str, ...]] = ("slope",)

    def __post_init__(self) -> None:
        super().__post_init__()
        take(self, self.name, "slope", (None,))

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        if self.slope.size != 1 and shapes[0][:1] != self.slope.shape:
            raise ParameterError(
                f"{self.name} has slopes for {self.slope.size} channels, but {self.inputs[0]} gives {shapes[0]}"
            )
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Evaluate the function on (b, c, …)."""
        x = values[0]
        return np.where(x > 0.0, x, self.slope.reshape(-1, *(1,) * max(x.ndim - 2, 0)) * x)


@dataclass(frozen=True, eq=False, repr=False)
class Elu(SameShape):
    """scale times x if x is positive, else scale times alpha (exp(rate x) - 1).

    ELU sets alpha, SELU scale and alpha, CELU alpha and rate 1 / alpha.
    Source: Clevert et al., arXiv 1511.07289; Klambauer et al., arXiv 1706.02515; Barron, arXiv 1704.07483.
    """

    alpha: float = 1.0
    scale: float = 1.0
    rate: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, **{key: number(f"{self.name}.{key}", getattr(self, key)) for key in ("alpha", "scale")})
        set_fields(self, rate=number(f"{self.name}.rate", self.rate, above=0.0))

    def apply(self, *values: FloatArray) -> FloatArray:
        """Evaluate the function on values of any shape."""
        x = values[0]
        return self.scale * np.where(x > 0.0, x, self.alpha * np.expm1(self.rate * np.minimum(x, 0.0)))


@dataclass(frozen=True, eq=False, repr=False)
class Softplus(SameShape):
    """log(1 + exp(beta x)) / beta."""

    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, beta=number(f"{self.name}.beta", self.beta, above=0.0))

    def apply(self, *values: FloatArray) -> FloatArray:
        """Evaluate the function on values of any shape."""
        return softplus(self.beta * values[0]) / self.beta


@dataclass(frozen=True, eq=False, repr=False)
class HardSigmoid(SameShape):
    """slope x + offset, clipped to 0 … 1."""

    slope: float = 1.0 / 6.0
    offset: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, **{key: number(f"{self.name}.{key}", getattr(self, key)) for key in ("slope", "offset")})

    def apply(self, *values: FloatArray) -> FloatArray:
        """Evaluate the function on values of any shape."""
        return np.clip(self.slope * values[0] + self.offset, 0.0, 1.0)


@dataclass(frozen=True, eq=False, repr=False)
class Clip(SameShape):
    """x, clipped to low … high."""

    low: float | None = None  #: None: no bound
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("low", "high"):
            if getattr(self, key) is not None:
                set_fields(self, **{key: number(f"{self.name}.{key}", getattr(self, key))})
        if self.low is None and self.high is None:
            raise ParameterError(f"{self.name} must have a bound, low or high, got none")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ParameterError(f"{self.name}.low must be at most high, got {self.low:g} and {self.high:g}")

    def apply(self, *values: FloatArray) -> FloatArray:
        """Bound values of any shape."""
        return np.clip(values[0], self.low, self.high)


@dataclass(frozen=True, eq=False, repr=False)
class Power(SameShape):
    """x raised to a constant power."""

    exponent: float

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, exponent=number(f"{self.name}.exponent", self.exponent))

    def apply(self, *values: FloatArray) -> FloatArray:
        """Raise values of any shape to the power."""
        out: FloatArray = values[0] ** self.exponent
        return out


@dataclass(frozen=True, eq=False, repr=False)
class Softmax(SameShape):
    """exp(x) over its sum along an axis."""

    axis: int = 0  #: the channels

    added: ClassVar[tuple[str, ...]] = ("axis",)

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, axis=whole(f"{self.name}.axis", self.axis, minimum=0))

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        self._check_axis(self.axis, shapes[0])
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Normalise (b, …)."""
        return digital.softmax(values[0], axis=self.axis + 1)


@dataclass(frozen=True, eq=False, repr=False)
class LogSoftmax(Softmax):
    """Logarithm of the softmax along an axis."""

    def apply(self, *values: FloatArray) -> FloatArray:
        """Normalise (b, …)."""
        return digital.log_softmax(values[0], self.axis + 1)
