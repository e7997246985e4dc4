"""The base class of all layers: name, inputs, output shape, exact arithmetic and checks.

Every layer has a name and the names of its inputs; "input" is the image. A layer is checked when it is made and never
changes afterwards: its arrays are copies, float64 and read-only.
"""

# b = batch, c = channels, h, w = height, width of a map

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np

from devices.aliases import FloatArray
from devices.checks import array, whole
from devices.errors import ParameterError
from mapping.networks.unrolling import Padding, Pair, output_size

Shape = tuple[int, ...]  #: shape of an output for one image: (c, h, w), (n,) or any other

INPUT = "input"  #: name of the image in `Layer.inputs`
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


@dataclass(frozen=True, eq=False, repr=False)
class Layer:
    """One operation of a network; each kind of layer is a subclass.

    Axes are counted without the batch: axis 0 is that of the channels.
    """

    name: str  #: unique in its network
    inputs: tuple[str, ...]  #: names of the layers whose outputs it takes, "input" for the image

    arrays: ClassVar[tuple[str, ...]] = ()  #: names of the fields that hold arrays (or None)
    added: ClassVar[tuple[str, ...]] = ()  #: fields that older files lack; they have their default values there

    def __post_init__(self) -> None:
        _check_name(self.name)
        set_fields(self, inputs=texts(f"{self.name}.inputs", self.inputs))
        self._check_count()

    def __repr__(self) -> str:
        return summary(self)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of the output for one image, from the shapes of the inputs in order.

        Raises ParameterError if the layer cannot take such inputs.
        """
        raise NotImplementedError

    def apply(self, *values: FloatArray) -> FloatArray:
        """Compute the layer exactly for a batch: each input is (b, *shape)."""
        raise NotImplementedError

    def single(self) -> "Layer":
        """Return the same layer with float32 arrays, which computes in single precision."""
        return in_single(self)

    def _check_count(self) -> None:
        if len(self.inputs) != 1:
            raise ParameterError(f"{self.name} takes one input, got {self.inputs}")

    def _map_shape(self, shape: Shape, channels: int | None = None, *, rows: bool = False) -> tuple[int, int, int]:
        """Return shape as (c, h, w); a shape that is not a map or has other channels is refused.

        rows: accept a shape (c, w) as a map of one row.
        """
        if rows and len(shape) == 2:
            shape = (shape[0], 1, shape[1])
        if len(shape) != 3 or (channels is not None and shape[0] != channels):
            wanted = f"({'c' if channels is None else channels}, h, w)"
            raise ParameterError(f"{self.name} takes maps of shape {wanted}, but {self.inputs[0]} gives {shape}")
        return shape[0], shape[1], shape[2]

    def _window_shape(
        self, shape: Shape, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1)
    ) -> Pair:
        try:
            return output_size((shape[1], shape[2]), kernel, stride, padding, dilation)
        except ParameterError as error:
            raise ParameterError(f"{self.name}: {error}") from None

    def _as_given(self, given: Shape, made: Shape) -> Shape:
        """Return an output shape (c, h, w) unchanged, or as (c, w) if the input shape was a row (c, w).

        Raises ParameterError if the output of a row has several rows.
        """
        if len(given) == 3:
            return made
        if made[1] != 1:
            raise ParameterError(
                f"{self.name} makes {made[1]} rows of {self.inputs[0]}, which gives a single one, {given}"
            )
        return made[0], made[2]

    def _check_axis(self, axis: int, shape: Shape) -> None:
        if axis >= len(shape):
            raise ParameterError(f"{self.name}.axis is {axis}, but {self.inputs[0]} gives {shape}")


class SameShape(Layer):
    """A layer whose output has the shape of its input."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        return shapes[0]


def as_maps(x: FloatArray) -> FloatArray:
    """Return rows (b, c, w) as maps (b, c, 1, w), and maps unchanged."""
    return x[:, :, None] if x.ndim == 3 else x


def as_given(made: FloatArray, given: FloatArray) -> FloatArray:
    """Return output maps (b, c, h, w), as rows (b, c, w) if the input was rows."""
    return made[:, :, 0] if given.ndim == 3 else made


def texts(what: str, value: object) -> tuple[str, ...]:
    """Return a sequence of texts that are not empty as a tuple."""
    if not isinstance(value, (tuple, list)) or not all(isinstance(text, str) and text for text in value):
        raise ParameterError(f"{what} must be texts that are not empty, got {value!r}")
    return tuple(value)


def wholes(what: str, value: object, *, minimum: int = 0, least: int = 1) -> tuple[int, ...]:
    """Return a sequence of at least `least` whole numbers ≥ minimum as a tuple."""
    if not isinstance(value, (tuple, list)) or len(value) < least:
        raise ParameterError(f"{what} must be {least} or more whole numbers, got {value!r}")
    return tuple(whole(f"{what}[{i}]", each, minimum=minimum) for i, each in enumerate(value))


def truth(what: str, value: object) -> bool:
    """Return value if it is True or False, else raise."""
    if not isinstance(value, bool):
        raise ParameterError(f"{what} must be True or False, got {value!r}")
    return value


def one_of(what: str, value: object, known: Sequence[str]) -> str:
    """Return value if it is one of the known texts, else raise."""
    if not isinstance(value, str) or value not in tuple(known):
        raise ParameterError(f"{what} must be one of {', '.join(known)}, got {value!r}")
    return value


def _check_name(name: object) -> None:
    """Refuse names that would be ambiguous in a file, a report or `activations`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ParameterError(f"a layer's name must be letters, digits and any of _ . / -, got {name!r}")
    if name == INPUT or name.endswith(".attention"):
        raise ParameterError(f"a layer cannot be called {name!r}: this name is reserved")


def take(
    holder: Any,  # noqa: ANN401  (a layer, or what a layer holds)
    owner: str,
    name: str,
    shape: tuple[int | None, ...] | None,
    *,
    optional: bool = False,
    minimum: float | None = None,
) -> None:
    """Check one array field and replace it by a read-only copy; shape None: any."""
    value = getattr(holder, name)
    if value is None and optional:
        return
    held = array(f"{owner}.{name}", value, shape=shape, minimum=minimum).copy()
    if held.size == 0:
        raise ParameterError(f"{owner}.{name} must not be empty, got shape {held.shape}")
    held.flags.writeable = False
    set_fields(holder, **{name: held})


Held = TypeVar("Held")


def in_single(held: Held) -> Held:
    """Return a copy of a layer or attention with float32 arrays."""
    twin = copy.copy(held)
    for each in held.arrays:  # type: ignore[attr-defined]
        value = getattr(held, each)
        set_fields(twin, **{each: None if value is None else value.astype(np.float32)})
    return twin


def set_fields(holder: object, **values: object) -> None:
    """Set fields of a frozen dataclass while it is being made."""
    for name, value in values.items():
        object.__setattr__(holder, name, value)


def summary(value: Any) -> str:  # noqa: ANN401  (any dataclass)
    """Return all fields as a text, arrays by their shape."""
    held = ((item.name, getattr(value, item.name)) for item in fields(value))
    shown = (f"{name}={f'<{x.shape}>' if isinstance(x, np.ndarray) else repr(x)}" for name, x in held)
    return f"{type(value).__name__}({', '.join(shown)})"
