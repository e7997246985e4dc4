"""Layers that reorder values without arithmetic: reshaping, concatenation, slicing, padding, broadcasting."""

# b = batch, c = channels, h, w = height, width of a map

import math
from dataclasses import dataclass

import numpy as np

from devices.aliases import FloatArray
from devices.checks import number, whole
from devices.errors import ParameterError
from mapping.networks import digital
from mapping.networks.layers.base import Layer, SameShape, Shape, one_of, set_fields, wholes


@dataclass(frozen=True, eq=False, repr=False)
class Flatten(Layer):
    """All values of an image in memory order: (c, h, w) -> (c h w,)."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """(n,)."""
        return (math.prod(shapes[0]),)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Flatten (b, ...)."""
        return digital.flatten(values[0])


@dataclass(frozen=True, eq=False, repr=False)
class Reshape(Layer):
    """All values of an image in memory order, in another shape."""

    shape: tuple[int, ...]  #: of one image; no length may be left open

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, shape=wholes(f"{self.name}.shape", self.shape, minimum=1))

    def output_shape(self, *shapes: Shape) -> Shape:
        """As given."""
        if math.prod(self.shape) != math.prod(shapes[0]):
            raise ParameterError(
                f"{self.name} gives {math.prod(self.shape)} values of shape {self.shape}, "
                f"but {self.inputs[0]} gives {shapes[0]}"
            )
        return self.shape

    def apply(self, *values: FloatArray) -> FloatArray:
        """Reshape (b, …)."""
        return values[0].reshape(len(values[0]), *self.shape)


@dataclass(frozen=True, eq=False, repr=False)
class Permute(Layer):
    """Axes of an image in another order."""

    axes: tuple[int, ...]  #: axes of the input in the order of the output; the channels are axis 0

    def __post_init__(self) -> None:
        super().__post_init__()
        axes = wholes(f"{self.name}.axes", self.axes)
        if sorted(axes) != list(range(len(axes))):
            raise ParameterError(f"{self.name}.axes must be 0 … {len(axes) - 1} in some order, got {axes}")
        set_fields(self, axes=axes)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The input's lengths in the new order."""
        if len(shapes[0]) != len(self.axes):
            raise ParameterError(f"{self.name} orders {len(self.axes)} axes, but {self.inputs[0]} gives {shapes[0]}")
        return tuple(shapes[0][axis] for axis in self.axes)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Permute (b, …)."""
        return np.ascontiguousarray(values[0].transpose(0, *(axis + 1 for axis in self.axes)))


@dataclass(frozen=True, eq=False, repr=False)
class ChannelShuffle(SameShape):
    """The first channel of each group, then the second of each, and so on.

    Source: Zhang et al., ShuffleNet, arXiv 1707.01083, section 3.1.
    """

    groups: int

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, groups=whole(f"{self.name}.groups", self.groups, minimum=1))

    def output_shape(self, *shapes: Shape) -> Shape:
        """As the input's."""
        if not shapes[0] or shapes[0][0] % self.groups:
            raise ParameterError(
                f"{self.name} shuffles {self.groups} groups of equally many channels, "
                f"but {self.inputs[0]} gives {shapes[0]}"
            )
        return shapes[0]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Shuffle (b, c, …)."""
        x = values[0]
        return x.reshape(len(x), self.groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


@dataclass(frozen=True, eq=False, repr=False)
class Concat(Layer):
    """Two or more inputs concatenated along an axis."""

    axis: int = 0  #: the channels

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, axis=whole(f"{self.name}.axis", self.axis, minimum=0))

    def _check_count(self) -> None:
        if len(self.inputs) < 2:
            raise ParameterError(f"{self.name} joins two or more inputs, got {self.inputs}")

    def output_shape(self, *shapes: Shape) -> Shape:
        """The inputs' shape, with the sum of their lengths along the axis."""
        self._check_axis(self.axis, shapes[0])
        others = [(*shape[: self.axis], *shape[self.axis + 1 :]) for shape in shapes]
        if len({len(shape) for shape in shapes}) > 1 or len(set(others)) > 1:
            given = ", ".join(f"{source} {shape}" for source, shape in zip(self.inputs, shapes, strict=True))
            raise ParameterError(f"{self.name} joins inputs that differ along axis {self.axis} alone, got {given}")
        length = sum(shape[self.axis] for shape in shapes)
        return *shapes[0][: self.axis], length, *shapes[0][self.axis + 1 :]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Join (b, …)."""
        return np.concatenate(values, axis=self.axis + 1)


@dataclass(frozen=True, eq=False, repr=False)
class Slice(Layer):
    """Entries start, start + step, … along an axis."""

    axis: int  #: the channels are 0
    start: int
    length: int  #: entries
    step: int = 1  #: negative: backwards

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, least in (("axis", 0), ("start", 0), ("length", 1)):
            set_fields(self, **{key: whole(f"{self.name}.{key}", getattr(self, key), minimum=least)})
        set_fields(self, step=whole(f"{self.name}.step", self.step, minimum=-(2**31)))
        if self.step == 0 or self.start + self.step * (self.length - 1) < 0:
            raise ParameterError(
                f"{self.name} takes {self.length} entries from {self.start} on in steps of {self.step}, "
                "which do not exist"
            )

    def output_shape(self, *shapes: Shape) -> Shape:
        """The input's, with the number of entries along the axis."""
        self._check_axis(self.axis, shapes[0])
        last = max(self.start, self.start + self.step * (self.length - 1))
        if last >= shapes[0][self.axis]:
            raise ParameterError(
                f"{self.name} takes entry {last} along axis {self.axis}, but {self.inputs[0]} gives {shapes[0]}"
            )
        return *shapes[0][: self.axis], self.length, *shapes[0][self.axis + 1 :]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Slice (b, …)."""
        stop = self.start + self.step * self.length
        part = slice(self.start, None if stop < 0 else stop, self.step)
        return values[0][(slice(None),) * (self.axis + 1) + (part,)]


@dataclass(frozen=True, eq=False, repr=False)
class Gather(Layer):
    """Entries along an axis by a list of indices."""

    axis: int  #: the channels are 0
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(
            self,
            axis=whole(f"{self.name}.axis", self.axis, minimum=0),
            indices=wholes(f"{self.name}.indices", self.indices),
        )

    def output_shape(self, *shapes: Shape) -> Shape:
        """The input's, with the number of indices along the axis."""
        self._check_axis(self.axis, shapes[0])
        if max(self.indices) >= shapes[0][self.axis]:
            raise ParameterError(
                f"{self.name} takes entry {max(self.indices)} along axis {self.axis}, "
                f"but {self.inputs[0]} gives {shapes[0]}"
            )
        return *shapes[0][: self.axis], len(self.indices), *shapes[0][self.axis + 1 :]

    def apply(self, *values: FloatArray) -> FloatArray:
        """Pick from (b, …)."""
        return np.take(values[0], np.array(self.indices), axis=self.axis + 1)


PADDINGS = ("constant", "reflect", "edge", "wrap")  #: kinds of `Pad`: a constant, or values of the image


@dataclass(frozen=True, eq=False, repr=False)
class Pad(Layer):
    """Padding with a constant or with values of the image.

    The image is mirrored ("reflect"), its edge is repeated ("edge"), or its other end is appended ("wrap").
    """

    before: tuple[int, ...]  #: number of values before each axis
    after: tuple[int, ...]  #: number of values after each axis
    kind: str = "constant"  #: one of PADDINGS
    value: float = 0.0  #: the constant

    def __post_init__(self) -> None:
        super().__post_init__()
        before, after = (wholes(f"{self.name}.{key}", getattr(self, key)) for key in ("before", "after"))
        if len(before) != len(after):
            raise ParameterError(f"{self.name} pads {len(before)} axes before and {len(after)} after")
        kind = one_of(f"{self.name}.kind", self.kind, PADDINGS)
        set_fields(self, before=before, after=after, kind=kind, value=number(f"{self.name}.value", self.value))

    def output_shape(self, *shapes: Shape) -> Shape:
        """Each length plus the padding before and after it."""
        if len(shapes[0]) != len(self.before):
            raise ParameterError(f"{self.name} pads {len(self.before)} axes, but {self.inputs[0]} gives {shapes[0]}")
        for length, before, after in zip(shapes[0], self.before, self.after, strict=True):
            most = {"reflect": length - 1, "wrap": length}.get(self.kind, max(before, after))
            if max(before, after) > most:
                raise ParameterError(
                    f"{self.name} pads {max(before, after)} values of kind {self.kind!r}, but an axis of {length} "
                    f"values has {most}"
                )
        return tuple(a + n + b for a, n, b in zip(self.before, shapes[0], self.after, strict=True))

    def apply(self, *values: FloatArray) -> FloatArray:
        """Pad (b, …)."""
        around = ((0, 0), *zip(self.before, self.after, strict=True))
        if self.kind == "constant":
            return np.pad(values[0], around, constant_values=self.value)
        return np.pad(values[0], around, mode=self.kind)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True, eq=False, repr=False)
class Broadcast(Layer):
    """Values broadcast to a shape as in numpy."""

    shape: tuple[int, ...]  #: of one image

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, shape=wholes(f"{self.name}.shape", self.shape, minimum=1))

    def output_shape(self, *shapes: Shape) -> Shape:
        """As given."""
        try:
            if np.broadcast_shapes(shapes[0], self.shape) == self.shape:
                return self.shape
        except ValueError:
            pass
        raise ParameterError(f"{self.name} repeats values to {self.shape}, but {self.inputs[0]} gives {shapes[0]}")

    def apply(self, *values: FloatArray) -> FloatArray:
        """Repeat (b, …)."""
        x = values[0]
        lifted = x.reshape(len(x), *(1,) * (len(self.shape) - x.ndim + 1), *x.shape[1:])
        return np.ascontiguousarray(np.broadcast_to(lifted, (len(x), *self.shape)))
