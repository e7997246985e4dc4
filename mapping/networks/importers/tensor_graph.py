"""A foreign network as a graph of pure operations on tensors, the batch axis included: what both front ends build.

Every operation computes its shape where it is made, folds what does not depend on the images, and refuses what no
shape fits. Recognition and the way to layers of ours read this graph and know nothing of torch or ONNX.
"""

# b = batch, c = channels, h, w = height, width of a map, k = kernels, n = values

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from mapping.networks.importers.elementwise import FUNCTIONS, OPERATIONS
from mapping.networks.layers.convolutions import Attention

Shape = tuple[int, ...]
Ends = tuple[int, int]  #: before and after, of one axis


@dataclass(eq=False)
class Node:
    """One operation of a foreign network."""

    kind: str  #: name of the method of TensorGraph that makes it
    inputs: tuple[Any, ...]  #: nodes, arrays, and None for what is left out
    shape: Shape  #: of its output, the batch axis included
    name: str  #: where it stands in the source
    attributes: dict[str, Any] = field(default_factory=dict)
    index: int = 0  #: when it was made

    def __repr__(self) -> str:
        return f"{self.kind} {self.shape} of {self.name}"


Tensor: TypeAlias = Any  #: a Node, or an array where nothing depends on the images


class TensorGraph:
    """Grows a graph; every method returns a node, or an array where nothing depends on the images.

    `name` is where the operation stands in the source. Raises ParameterError, in each method, if shapes do not fit or
    no operation of ours does it.
    """

    def __init__(self, input_shape: Shape) -> None:
        self.nodes: list[Node] = []
        self.input = self._node("input", "input", (), input_shape)

    # what several tensors become

    def binary(self, name: str, operation: str, one: Tensor, other: Tensor) -> Tensor:
        """Combine two tensors value by value; numpy's rule says which values meet."""
        one, other = _tensor(one), _tensor(other)
        try:
            shape = np.broadcast_shapes(one.shape, other.shape)
        except ValueError:
            raise ParameterError(f"it combines {one.shape} and {other.shape}, which do not broadcast") from None
        if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
            return _folded(lambda: OPERATIONS[operation](one, other))
        for x, constant, left in ((one, other, False), (other, one, True)):
            if not isinstance(constant, np.ndarray) or shape != x.shape:
                continue
            if _is_neutral(operation, constant, left=left):
                return x
            if operation == "max" and not np.any(constant):
                return self.function(name, x, "relu")
        return self._node("binary", name, (one, other), shape, operation=operation)

    def matmul(self, name: str, one: Tensor, other: Tensor) -> Tensor:
        """Multiply matrices along the last two axes, as numpy's matmul does."""
        one, other = _tensor(one), _tensor(other)
        if min(len(one.shape), len(other.shape)) == 0:
            raise ParameterError("it multiplies a number and a matrix")
        left = (1, *one.shape) if len(one.shape) == 1 else one.shape
        right = (*other.shape, 1) if len(other.shape) == 1 else other.shape
        try:
            leading = np.broadcast_shapes(left[:-2], right[:-2])
        except ValueError:
            leading = None
        if leading is None or left[-1] != right[-2]:
            raise ParameterError(f"it multiplies matrices of {one.shape} and {other.shape}, which do not fit")
        if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
            return _folded(lambda: one @ other)
        node = self._node(
            "matmul", name, (self.reshape(name, one, left), self.reshape(name, other, right)),
            (*leading, left[-2], right[-1]),
        )  # fmt: skip
        shape = node.shape
        if len(other.shape) == 1:
            shape = shape[:-1]
        if len(one.shape) == 1:
            shape = (*shape[:-2], shape[-1]) if len(other.shape) > 1 else shape[:-1]
        return self.reshape(name, node, shape)

    def concat(self, name: str, tensors: Sequence[Tensor], axis: int) -> Tensor:
        """Put tensors one behind the other along an axis."""
        parts = [_tensor(each) for each in tensors]
        if not parts:
            raise ParameterError("it joins nothing")
        rank = len(parts[0].shape)
        axis = _axis(axis, rank)
        sizes = {each.shape[:axis] + each.shape[axis + 1 :] for each in parts if len(each.shape) == rank}
        if len(sizes) != 1 or any(len(each.shape) != rank for each in parts):
            raise ParameterError(f"it joins {', '.join(str(each.shape) for each in parts)} along axis {axis}")
        parts = [each for each in parts if each.shape[axis]] or parts[:1]
        if len(parts) == 1:
            return parts[0]
        if all(isinstance(each, np.ndarray) for each in parts):
            return np.concatenate(parts, axis)
        shape = list(parts[0].shape)
        shape[axis] = sum(each.shape[axis] for each in parts)
        return self._node("concat", name, tuple(parts), tuple(shape), axis=axis)

    def conv(
        self,
        name: str,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Sequence[int] = (1, 1),
        padding: Sequence[Ends] = ((0, 0), (0, 0)),
        dilation: Sequence[int] = (1, 1),
        groups: int = 1,
    ) -> Tensor:
        """Convolve maps (b, c, h, w) with (c_out, c / groups, kernel_h, kernel_w), or lines with one axis less."""
        x = self._depends(x)
        weight = _tensor(weight)
        axes = len(x.shape) - 2
        if axes == 1 and len(weight.shape) == 3:  # a line is a map of one pixel's height
            b, c, n = x.shape
            out = self.conv(
                name, self.reshape(name, x, (b, c, 1, n)),
                self.reshape(name, weight, (*weight.shape[:2], 1, weight.shape[2])),
                bias, (1, stride[-1]), ((0, 0), padding[-1]), (1, dilation[-1]), groups,
            )  # fmt: skip
            return self.reshape(name, out, (*out.shape[:2], out.shape[3]))
        if axes == 3 and len(weight.shape) == 5 and weight.shape[4] == 1 and stride[2] == 1 and not any(padding[2]):
            b, c, d, h, n = x.shape  # planes side by side, each convolved by itself
            planes = self.reshape(name, self.permute(name, x, (0, 4, 1, 2, 3)), (b * n, c, d, h))
            plane = self.reshape(name, weight, weight.shape[:4])
            out = self.conv(name, planes, plane, bias, stride[:2], padding[:2], dilation[:2], groups)
            return self.permute(name, self.reshape(name, out, (b, n, *out.shape[1:])), (0, 2, 3, 4, 1))
        if axes != 2 or len(weight.shape) != 4:
            raise ParameterError(f"it convolves {x.shape} with kernels of {weight.shape}; only lines and maps come in")
        if x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
            raise ParameterError(f"kernels of {weight.shape} in {groups} groups do not fit maps of {x.shape}")
        if bias is not None and math.prod(_tensor(bias).shape) != weight.shape[0]:
            raise ParameterError(f"a bias of {_tensor(bias).shape} does not fit {weight.shape[0]} channels")
        size = _windows(x.shape[2:], weight.shape[2:], stride, padding, dilation)
        one_pixel = x.shape[0] * math.prod(x.shape[2:]) * math.prod(weight.shape[2:]) * math.prod(size) * groups == 1
        if one_pixel and isinstance(weight, np.ndarray):  # a vector times a matrix
            added = None if bias is None else self.reshape(name, bias, (weight.shape[0],))
            row = self.linear(name, self.reshape(name, x, (1, x.shape[1])), weight[:, :, 0, 0], added)
            return self.reshape(name, row, (1, weight.shape[0], 1, 1))
        if bias is not None:
            bias = self.reshape(name, bias, (weight.shape[0],))
        return self._node(
            "conv", name, (x, weight, bias), (x.shape[0], weight.shape[0], *size), stride=_pair(stride),
            padding=_ends(padding), dilation=_pair(dilation), groups=int(groups),
        )  # fmt: skip

    def conv_transpose(
        self,
        name: str,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Sequence[int] = (1, 1),
        padding: Sequence[Ends] = ((0, 0), (0, 0)),
        dilation: Sequence[int] = (1, 1),
        groups: int = 1,
        output_padding: Sequence[int] = (0, 0),
    ) -> Tensor:
        """Convolve (b, c, h, w) transposed with (c, c_out / groups, kernel_h, kernel_w); padding may be negative."""
        x = self._depends(x)
        weight = _tensor(weight)
        if len(x.shape) == 3 and len(weight.shape) == 3:
            b, c, n = x.shape
            out = self.conv_transpose(
                name, self.reshape(name, x, (b, c, 1, n)),
                self.reshape(name, weight, (*weight.shape[:2], 1, weight.shape[2])),
                bias, (1, stride[-1]), ((0, 0), padding[-1]), (1, dilation[-1]), groups, (0, output_padding[-1]),
            )  # fmt: skip
            return self.reshape(name, out, (*out.shape[:2], out.shape[3]))
        if len(x.shape) != 4 or len(weight.shape) != 4 or x.shape[1] != weight.shape[0] or x.shape[1] % groups:
            raise ParameterError(f"kernels of {weight.shape} in {groups} groups do not fit maps of {x.shape}")
        size = tuple(
            (n - 1) * s - before - after + d * (k - 1) + 1 + more
            for n, s, (before, after), d, k, more in zip(
                x.shape[2:], stride, padding, dilation, weight.shape[2:], output_padding, strict=True
            )
        )
        if min(size) < 1:
            raise ParameterError(f"it makes a map of {size} pixels")
        if bias is not None:
            bias = self.reshape(name, bias, (weight.shape[1] * groups,))
        return self._node(
            "conv_transpose", name, (x, weight, bias), (x.shape[0], weight.shape[1] * groups, *size),
            stride=_pair(stride), padding=_ends(padding), dilation=_pair(dilation), groups=int(groups),
            output_padding=_pair(output_padding),
        )  # fmt: skip

    def where(self, name: str, condition: Tensor, one: Tensor, other: Tensor) -> Tensor:
        """Choose between two tensors value by value."""
        condition, one, other = _tensor(condition), _tensor(one), _tensor(other)
        try:
            shape = np.broadcast_shapes(condition.shape, one.shape, other.shape)
        except ValueError:
            raise ParameterError(
                f"it chooses between {one.shape} and {other.shape} by {condition.shape}, which do not broadcast"
            ) from None
        if isinstance(condition, np.ndarray):
            if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
                return np.where(condition, one, other)
            for chosen, x in ((True, one), (False, other)):
                if np.all(condition == chosen):
                    return self.expand(name, x, shape)
            mask = condition.astype(np.float64)
            parts = [self.binary(name, "mul", x, each) for x, each in ((one, mask), (other, 1.0 - mask))]
            return self.binary(name, "add", *parts)
        return self._node("where", name, (condition, one, other), shape)

    # what one tensor becomes

    def function(self, name: str, x: Tensor, function: str, **parameters: float) -> Tensor:
        """Apply a function of `elementwise.FUNCTIONS` to each value."""
        x = _tensor(x)
        if isinstance(x, np.ndarray):
            return _folded(lambda: FUNCTIONS[function](x, **parameters))
        return self._node("function", name, (x,), x.shape, function=function, parameters=parameters)

    def clip(self, name: str, x: Tensor, low: float | None, high: float | None) -> Tensor:
        """Clip each value to low … high; None is no bound."""
        out = x
        if low is not None and low != -math.inf:
            out = self.binary(name, "max", out, np.asarray(float(low)))
        if high is not None and high != math.inf:
            out = self.binary(name, "min", out, np.asarray(float(high)))
        return out

    def reduce(self, name: str, x: Tensor, operation: str, axes: Sequence[int] | None, *, keep: bool) -> Tensor:
        """Take "mean", "sum", "max" or "min" over axes (None: all); keep: they stay with one entry."""
        x = _tensor(x)
        rank = len(x.shape)
        chosen = tuple(range(rank)) if axes is None else tuple(sorted({_axis(axis, rank) for axis in axes}))
        shape = tuple(1 if i in chosen else n for i, n in enumerate(x.shape) if keep or i not in chosen)
        if isinstance(x, np.ndarray):
            return np.asarray(getattr(np, operation)(x, axis=chosen, keepdims=keep))
        chosen = tuple(axis for axis in chosen if x.shape[axis] != 1)
        if not chosen:
            return self.reshape(name, x, shape)
        full = tuple(1 if i in chosen else n for i, n in enumerate(x.shape))
        before = x.inputs[0] if x.kind == "reduce" else None
        if isinstance(before, Node) and x.attributes["operation"] == operation:
            joined = (*x.attributes["axes"], *chosen)  # a mean of means over whole axes is the mean over all of them
            node = self._node("reduce", name, (before,), full, operation=operation, axes=tuple(sorted(joined)))
        else:
            node = self._node("reduce", name, (x,), full, operation=operation, axes=chosen)
        return self.reshape(name, node, shape)

    def pool(
        self,
        name: str,
        x: Tensor,
        operation: str,
        size: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[Ends] = ((0, 0), (0, 0)),
        dilation: Sequence[int] = (1, 1),
        *,
        ceil: bool = False,
        count_padding: bool = True,
        drop_outside: bool = True,
    ) -> Tensor:
        """Take "max" or "mean" of each window of (b, c, h, w), or of (b, c, n).

        ceil: a last window may hang over the edge; drop_outside: not one that begins beyond map and padding before.
        """
        x = self._depends(x)
        if len(x.shape) == 3 and len(size) == 1:
            b, c, n = x.shape
            out = self.pool(
                name, self.reshape(name, x, (b, c, 1, n)), operation, (1, size[0]), (1, stride[0]),
                ((0, 0), padding[0]), (1, dilation[0]), ceil=ceil, count_padding=count_padding,
                drop_outside=drop_outside,
            )  # fmt: skip
            return self.reshape(name, out, (*out.shape[:2], out.shape[3]))
        if len(x.shape) != 4 or len(size) != 2:
            raise ParameterError(f"it pools {x.shape} by windows of {tuple(size)}; only lines and maps come in")
        if tuple(size) == x.shape[2:] and not np.any(padding) and tuple(dilation) == (1, 1):
            return self.reduce(name, x, operation, (2, 3), keep=True)
        counts, over, ends = [], [], []
        for n, k, s, (before, after), d in zip(x.shape[2:], size, stride, padding, dilation, strict=True):
            extent = d * (k - 1) + 1
            free = n + before + after - extent
            count = (-(-free // s) if ceil else free // s) + 1
            if ceil and drop_outside and (count - 1) * s >= n + before:
                count -= 1
            if (free < 0 and not ceil) or count < 1:
                raise ParameterError(f"windows of {tuple(size)} do not fit into a map of {x.shape[2:]}")
            beyond = (count - 1) * s + extent - n - before  # what the last window needs behind the map
            counts.append(count)
            over.append(max(0, beyond - after))
            ends.append((before, max(0, min(after, beyond))))
        return self._node(
            "pool", name, (x,), (*x.shape[:2], *counts), operation=operation, size=_pair(size), stride=_pair(stride),
            padding=_ends(ends), dilation=_pair(dilation), over=tuple(over), count_padding=bool(count_padding),
        )  # fmt: skip

    def adaptive_pool(self, name: str, x: Tensor, operation: str, size: Sequence[int | None]) -> Tensor:
        """Pool (b, c, h, w) to a map of that size, by windows from floor(i h / h') to ceil((i + 1) h / h')."""
        x = self._depends(x)
        if len(x.shape) == 3 and len(size) == 1:
            b, c, n = x.shape
            out = self.adaptive_pool(name, self.reshape(name, x, (b, c, 1, n)), operation, (1, size[0]))
            return self.reshape(name, out, (*out.shape[:2], out.shape[3]))
        if len(x.shape) != 4 or len(size) != 2:
            raise ParameterError(f"it pools {x.shape} to {tuple(size)}; only lines and maps come in")
        wanted = tuple(have if want is None else int(want) for want, have in zip(size, x.shape[2:], strict=True))
        if min(wanted) < 1:
            raise ParameterError(f"it pools to {wanted}")
        if wanted == x.shape[2:]:
            return x
        if wanted == (1, 1):
            return self.reduce(name, x, operation, (2, 3), keep=True)
        if not any(have % want for have, want in zip(x.shape[2:], wanted, strict=True)):
            window = tuple(have // want for have, want in zip(x.shape[2:], wanted, strict=True))
            return self.pool(name, x, operation, window, window)
        return self._node("adaptive_pool", name, (x,), (*x.shape[:2], *wanted), operation=operation, size=wanted)

    def softmax(self, name: str, x: Tensor, axis: int, *, log: bool = False) -> Tensor:
        """Shares exp(x) over their sum along one axis, or their logarithm."""
        x = self._depends(x)
        return self._node("softmax", name, (x,), x.shape, axis=_axis(axis, len(x.shape)), log=log)

    def batch_norm(
        self,
        name: str,
        x: Tensor,
        gamma: Tensor | None,
        beta: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        epsilon: float,
    ) -> Tensor:
        """Normalise each channel (axis 1) with statistics of the training."""
        x = self._depends(x)
        c = x.shape[1] if len(x.shape) > 1 else 0
        held = [
            constant("a statistic or factor of the batch norm", default if value is None else value)
            for value, default in ((gamma, np.ones(c)), (beta, np.zeros(c)), (mean, None), (variance, None))
        ]
        if any(each.size != c for each in held):
            raise ParameterError(f"a batch norm of {held[2].size} channels does not fit {x.shape}")
        arrays = tuple(each.reshape(c) for each in held)
        return self._node("batch_norm", name, (x, *arrays), x.shape, epsilon=float(epsilon))

    def group_norm(
        self, name: str, x: Tensor, groups: int, gamma: Tensor | None, beta: Tensor | None, epsilon: float
    ) -> Tensor:
        """Normalise each of `groups` groups of channels by its own mean and variance; then a factor per channel."""
        x = self._depends(x)
        if len(x.shape) < 2 or x.shape[1] % groups:
            raise ParameterError(f"{groups} groups do not divide the channels of {x.shape}")
        c = x.shape[1]
        arrays = tuple(
            constant("a factor of the norm", default if value is None else value).reshape(c)
            for value, default in ((gamma, np.ones(c)), (beta, np.zeros(c)))
        )
        return self._node("group_norm", name, (x, *arrays), x.shape, groups=int(groups), epsilon=float(epsilon))

    def layer_norm(
        self, name: str, x: Tensor, axes: int, gamma: Tensor | None, beta: Tensor | None, epsilon: float
    ) -> Tensor:
        """Normalise over the last `axes` axes by their own mean and variance; then a factor for each entry."""
        x = self._depends(x)
        shape = x.shape[len(x.shape) - axes :]
        arrays = tuple(
            np.broadcast_to(constant("a factor of the norm", default if value is None else value), shape)
            for value, default in ((gamma, np.ones(1)), (beta, np.zeros(1)))
        )
        return self._node("layer_norm", name, (x, *arrays), x.shape, axes=axes, epsilon=float(epsilon))

    def local_response_norm(
        self, name: str, x: Tensor, size: int, alpha: float, beta: float, bias: float, before: int
    ) -> Tensor:
        """Divide by (bias + alpha / size times the sum of squares of `size` neighbouring channels) to the power beta.

        before: how many of these channels come before the one that is divided.
        """
        x = self._depends(x)
        return self._node(
            "local_response_norm", name, (x,), x.shape, size=int(size), alpha=float(alpha), beta=float(beta),
            bias=float(bias), before=int(before),
        )  # fmt: skip

    def prelu(self, name: str, x: Tensor, slope: Tensor) -> Tensor:
        """Slope times x below 0; slope: a constant that broadcasts against x, by numpy's rule."""
        x, slope = self._depends(x), constant("its slope", slope)
        full = (1,) * (len(x.shape) - slope.ndim) + slope.shape
        if len(x.shape) > 1 and x.shape[0] == 1 and (slope.size == 1 or full[1] == x.shape[1] == slope.size):
            return self._node("prelu", name, (x, slope.reshape(-1)), x.shape)
        below = self.binary(name, "mul", self.clip(name, x, None, 0.0), slope)
        return self.binary(name, "add", self.function(name, x, "relu"), below)

    def resize(
        self,
        name: str,
        x: Tensor,
        size: Sequence[int],
        mode: str,
        coordinates: str,
        scale: tuple[float, float] | None = None,
    ) -> Tensor:
        """Resample maps (b, c, h, w) or lines (b, c, n) to `size`; mode, coordinates and scale as in `Upsample`."""
        x = self._depends(x)
        if len(x.shape) == 3 and len(size) == 1:
            b, c, n = x.shape
            line = self.resize(name, self.reshape(name, x, (b, c, 1, n)), (1, size[0]), mode, coordinates, scale)
            return self.reshape(name, line, (*line.shape[:2], line.shape[3]))
        if len(x.shape) != 4 or len(size) != 2:
            raise ParameterError(f"it resamples {x.shape}; only lines and maps come in")
        if tuple(size) == x.shape[2:] and scale in (None, (1.0, 1.0)):
            return x
        return self._node(
            "resize",
            name,
            (x,),
            (*x.shape[:2], *size),
            size=_pair(size),
            mode=mode,
            coordinates=coordinates,
            scale=scale,
        )

    def recurrent(self, name: str, x: Tensor, cell: str, directions: Sequence[dict[str, Any]]) -> Tensor:
        """Run "rnn-tanh", "rnn-relu", "lstm" or "gru" over (t, n): outputs (t, hidden of all directions).

        directions: of each weight_x, weight_h, bias_x, bias_h in the order of gates that torch has, and reverse.
        """
        x = self._depends(x)
        hidden = sum(each["weight_h"].shape[1] for each in directions)
        return self._node("recurrent", name, (x,), (x.shape[0], hidden), cell=cell, directions=tuple(directions))

    # shapes

    def reshape(self, name: str, x: Tensor, target: Sequence[int]) -> Tensor:
        """View a tensor in another shape; one entry may be -1."""
        x = _tensor(x)
        shape = resolved(target, math.prod(x.shape))
        if shape == x.shape:
            return x
        if isinstance(x, np.ndarray):
            return x.reshape(shape)
        if x.kind == "reshape":
            (before,) = x.inputs
            return self.reshape(name, _tensor(before), shape)
        return self._node("reshape", name, (x,), shape)

    def permute(self, name: str, x: Tensor, order: Sequence[int]) -> Tensor:
        """Put the axes in another order."""
        x = _tensor(x)
        rank = len(x.shape)
        axes = tuple(_axis(axis, rank) for axis in order)
        if sorted(axes) != list(range(rank)):
            raise ParameterError(f"it orders the axes of {x.shape} as {tuple(order)}")
        if isinstance(x, np.ndarray):
            return x.transpose(axes)
        shape = tuple(x.shape[axis] for axis in axes)
        long = [axis for axis in axes if x.shape[axis] != 1]
        if long == sorted(long):  # the values stay where they are
            return self.reshape(name, x, shape)
        return self._node("permute", name, (x,), shape, order=axes)

    def expand(self, name: str, x: Tensor, target: Sequence[int]) -> Tensor:
        """Repeat along axes of one entry until the shape is `target`, by numpy's rule; -1 keeps an axis."""
        x = _tensor(x)
        full = (1,) * (len(target) - len(x.shape)) + x.shape
        wanted = tuple(have if want == -1 else int(want) for want, have in zip(target, full, strict=True))
        shape = np.broadcast_shapes(full, wanted) if _fits(full, wanted) else None
        if shape is None:
            raise ParameterError(f"it repeats {x.shape} to {tuple(target)}, which does not broadcast")
        if isinstance(x, np.ndarray):
            return np.broadcast_to(x, shape)
        if shape == full:
            return self.reshape(name, x, full)
        return self._node("expand", name, (self.reshape(name, x, full),), shape)

    def slice(self, name: str, x: Tensor, axis: int, start: int, stop: int, step: int = 1) -> Tensor:
        """Take every `step`-th entry of an axis, as a Python slice counts."""
        x = _tensor(x)
        axis = _axis(axis, len(x.shape))
        picked = range(x.shape[axis])[slice(start, stop, step)]
        if not picked and not isinstance(x, np.ndarray):
            raise ParameterError(f"it takes nothing of {x.shape} along axis {axis}")
        if isinstance(x, np.ndarray):
            return np.take(x, np.asarray(picked, dtype=int), axis)
        return self.take(name, x, axis, picked)

    def take(self, name: str, x: Tensor, axis: int, indices: Sequence[int]) -> Tensor:
        """Take entries of an axis by their numbers, in the order given."""
        x = _tensor(x)
        axis = _axis(axis, len(x.shape))
        n = x.shape[axis]
        chosen = [int(i) + n * (i < 0) for i in indices]
        if not chosen or min(chosen) < 0 or max(chosen) >= n:
            raise ParameterError(f"it takes entries {list(indices)[:9]} of {n} along axis {axis}")
        if chosen == list(range(n)):
            return x
        if isinstance(x, np.ndarray):
            return np.take(x, chosen, axis)
        shape = tuple(len(chosen) if i == axis else size for i, size in enumerate(x.shape))
        step = chosen[1] - chosen[0] if len(chosen) > 1 else 1
        last = chosen[0] + step * len(chosen)
        if step and chosen == list(range(chosen[0], last, step)):
            return self._node("slice", name, (x,), shape, axis=axis, start=chosen[0], step=step)
        runs, start = [], 0
        for i in range(1, len(chosen) + 1):
            if i == len(chosen) or chosen[i] != chosen[i - 1] + 1:
                runs.append((chosen[start], chosen[i - 1] + 1))
                start = i
        if len(runs) > 4:  # then one selection is simpler than slices joined, ours
            return self._node("gather", name, (x,), shape, axis=axis, indices=tuple(chosen))
        return self.concat(name, [self.slice(name, x, axis, *run) for run in runs], axis)

    def pick(self, name: str, x: Tensor, places: IntArray) -> Tensor:
        """Take values by their place in memory: a result of the shape of `places`, whole numbers from 0."""
        x = _tensor(x)
        total = math.prod(x.shape)
        if places.size and not 0 <= int(places.min()) <= int(places.max()) < total:
            raise ParameterError(f"it takes values {int(places.min())} to {int(places.max())} of {total}")
        if isinstance(x, np.ndarray):
            return x.reshape(-1)[places]
        row = self.take(name, self.reshape(name, x, (1, total)), 1, places.reshape(-1).tolist())
        return self.reshape(name, row, places.shape)

    def pad(self, name: str, x: Tensor, ends: Sequence[Ends], value: float = 0.0, mode: str = "constant") -> Tensor:
        """Put values around a tensor, (before, after) for each axis; negative numbers cut.

        mode: "constant" with one value, "reflect", "edge" or "wrap" as numpy's pad names them.
        """
        x = _tensor(x)
        if len(ends) != len(x.shape):
            raise ParameterError(f"it pads {x.shape} by {tuple(ends)}")
        for axis, (before, after) in enumerate(ends):
            if before < 0 or after < 0:
                x = self.slice(name, x, axis, max(0, -before), x.shape[axis] - max(0, -after))
        grown = tuple((max(0, before), max(0, after)) for before, after in ends)
        if not np.any(grown):
            return x
        if mode != "constant":
            for axis, (before, after) in enumerate(grown):
                if before or after:
                    picked = np.pad(np.arange(x.shape[axis]), (before, after), mode=mode)  # type: ignore[call-overload]
                    x = self.take(name, x, axis, picked.tolist())
            return x
        if isinstance(x, np.ndarray):
            return np.pad(x, grown, constant_values=value)
        shape = tuple(n + before + after for n, (before, after) in zip(x.shape, grown, strict=True))
        return self._node("pad", name, (x,), shape, ends=grown, value=float(value))

    # smaller

    def affine(self, name: str, x: Tensor, gain: FloatArray, shift: FloatArray) -> Tensor:
        """Multiply by constants and add constants."""
        return self.binary(name, "add", self.binary(name, "mul", x, gain), shift)

    def linear(self, name: str, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Multiply (…, n) by (out, n), and add (out,)."""
        out = self.matmul(name, x, self.permute(name, weight, (1, 0)))
        return out if bias is None else self.binary(name, "add", out, bias)

    def linear_with_bias(self, name: str, x: Node, weight: FloatArray, bias: FloatArray | None, shape: Shape) -> Node:
        """A linear layer (…, n) -> (…, out) with weight (out, n) as one node."""
        return self._node("linear", name, (x, weight, bias), shape)

    def dynamic_conv(
        self,
        name: str,
        inputs: tuple[Node, Node | None, Node | None],
        kernels: FloatArray,
        bias: FloatArray | None,
        attention: Attention,
        shape: Shape,
        geometry: dict[str, Any],
    ) -> Node:
        """Convolve with kernels (k, c_out, …) mixed by attention.

        inputs: the map, the map that is pooled, and numbers that multiply every kernel position by position, or None.
        """
        return self._node("dynamic_conv", name, (*inputs, kernels, bias), shape, attention=attention, **geometry)

    def _node(self, kind: str, name: str, inputs: Sequence[Tensor | None], shape: Shape, **attributes: Any) -> Node:  # noqa: ANN401
        node = Node(kind, tuple(inputs), tuple(int(n) for n in shape), name, attributes, len(self.nodes))
        self.nodes.append(node)
        return node

    @staticmethod
    def _depends(x: Tensor) -> Node:
        if not isinstance(x, Node):
            raise ParameterError("it works on a constant; fold that into the file's weights")
        return x


def places(shape: Shape) -> IntArray:
    """Return the place in memory of each value of a tensor; picking values from it says where a result has them."""
    return np.arange(math.prod(shape)).reshape(shape)


def constant(what: str, value: Tensor | None) -> FloatArray:
    """Return a tensor that must not depend on the images."""
    if not isinstance(value, np.ndarray):
        raise ParameterError(f"{what} depends on the images")
    return value


def resolved(target: Sequence[int], total: int) -> Shape:
    """Return a shape of `total` values in which -1 is worked out.

    Raises ParameterError if there is none.
    """
    shape = [int(n) for n in target]
    if shape.count(-1) == 1:
        rest = -math.prod(shape)
        shape[shape.index(-1)] = total // rest if rest > 0 else 0
    if (shape and min(shape) < 0) or math.prod(shape) != total:
        raise ParameterError(f"it reshapes {total} values to {tuple(target)}")
    return tuple(shape)


def _tensor(value: Tensor | float | None) -> Tensor:
    if value is None:
        raise ParameterError("an input is missing")
    return value if isinstance(value, Node) else np.asarray(value)


def _folded(compute: Callable[[], FloatArray]) -> FloatArray:
    with np.errstate(all="ignore"):
        return np.asarray(compute())


def _is_neutral(operation: str, constant: FloatArray, *, left: bool) -> bool:
    """Whether combining with this constant changes nothing; left: it stands on the left."""
    neutral = {"add": 0.0, "mul": 1.0} | ({} if left else {"sub": 0.0, "div": 1.0, "pow": 1.0})
    return operation in neutral and constant.size > 0 and bool(np.all(constant == neutral[operation]))


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ParameterError(f"axis {axis} does not exist in a tensor of {rank} axes")
    return axis % rank


def _fits(have: Shape, wanted: Shape) -> bool:
    return all(n == want or 1 in (n, want) for n, want in zip(have, wanted, strict=True))


def _pair(values: Sequence[int]) -> tuple[int, int]:
    first, last = (int(n) for n in values)
    return first, last


def _ends(values: Sequence[Ends]) -> tuple[Ends, Ends]:
    (a, b), (c, d) = values
    return (int(a), int(b)), (int(c), int(d))


def _windows(
    size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[Ends], dilation: Sequence[int]
) -> Shape:
    """Count the windows that fit."""
    counts = tuple(
        (n + before + after - d * (k - 1) - 1) // s + 1
        for n, k, s, (before, after), d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    if min(counts) < 1:
        raise ParameterError(f"a window of {tuple(kernel)} pixels does not fit into a map of {tuple(size)}")
    return counts
