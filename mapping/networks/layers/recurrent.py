"""Recurrent layers: two matrices on tiles, the second of which is read step by step in time.

Gate functions are digital. All states begin at 0.
"""

# b = batch, t = steps in time, n = values of the input, h = values of the state, g = gates

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks import digital
from mapping.networks.layers.base import Shape, one_of, set_fields, take, truth
from mapping.networks.layers.matrix_layers import MatrixLayer, linear

GATES = {"rnn-tanh": 1, "rnn-relu": 1, "lstm": 4, "gru": 3, "gru-reset-first": 3}  #: number of gates, by kind

#: takes the number of a matrix, its row inputs (b, h) and the step; returns (b, columns)
Product = Callable[[int, FloatArray, int], FloatArray]


@dataclass(frozen=True, eq=False, repr=False)
class Recurrent(MatrixLayer):
    """Recurrent layer over a sequence: (t, n) -> (t, h), the state after every step.

    The order of the gates is input, forget, cell, output for "lstm", and reset, update, new for "gru". The kind "gru"
    applies the reset gate to the output of the state's matrix, "gru-reset-first" to its input.
    Source: Hochreiter and Schmidhuber, Neural Computation 9, 1735 (1997), with the forget gates of Gers et al. (2000);
    Cho et al., arXiv 1406.1078.
    """

    weight_input: FloatArray  #: (g h, n)
    weight_hidden: FloatArray  #: (g h, h)
    bias_input: FloatArray | None  #: (g h,)
    bias_hidden: FloatArray | None  #: (g h,)
    kind: str  #: a key of GATES
    reverse: bool = False  #: whether steps run from the last to the first; outputs keep their place in time

    arrays: ClassVar[tuple[str, ...]] = ("weight_input", "weight_hidden", "bias_input", "bias_hidden")

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(
            self,
            kind=one_of(f"{self.name}.kind", self.kind, tuple(GATES)),
            reverse=truth(f"{self.name}.reverse", self.reverse),
        )
        take(self, self.name, "weight_hidden", (None, None))
        size = GATES[self.kind] * self.size
        if len(self.weight_hidden) != size:
            raise ParameterError(
                f"{self.name}.weight_hidden must have {GATES[self.kind]} rows for each of its {self.size} columns, "
                f"got shape {self.weight_hidden.shape}"
            )
        take(self, self.name, "weight_input", (size, None))
        take(self, self.name, "bias_input", (size,), optional=True)
        take(self, self.name, "bias_hidden", (size,), optional=True)

    @property
    def size(self) -> int:
        """Size h of the state."""
        return int(self.weight_hidden.shape[1])

    @property
    def groups(self) -> int:  # type: ignore[override]
        """Number of matrices: that of the input, that of the state, and that of the state after a reset gate."""
        return 3 if self.kind == "gru-reset-first" else 2

    def output_shape(self, *shapes: Shape) -> Shape:
        """(t, h)."""
        if len(shapes[0]) != 2 or shapes[0][1] != self.weight_input.shape[1]:
            raise ParameterError(
                f"{self.name} takes a sequence of shape (t, {self.weight_input.shape[1]}), "
                f"but {self.inputs[0]} gives {shapes[0]}"
            )
        return shapes[0][0], self.size

    def matrix(self, number: int) -> tuple[FloatArray, FloatArray | None]:
        """Weights (columns, rows) and bias of one matrix; number 0 is that of the input, others are of the state."""
        if number == 0:
            return self.weight_input, self.bias_input
        own = slice(0, 2 * self.size) if number == 1 else slice(2 * self.size, None)
        if self.groups == 2:
            own = slice(None)
        return self.weight_hidden[own], None if self.bias_hidden is None else self.bias_hidden[own]

    def rows(self, values: Sequence[FloatArray], group: int) -> FloatArray:
        """Return the row inputs of a matrix at each step, (b, t, n) or (b, t, h), in the order of the reads."""
        if group == 0:
            return values[0]
        seen: list[FloatArray] = []

        def product(number: int, x: FloatArray, step: int) -> FloatArray:
            if number == group:
                seen.append(x)
            return self._product(number, x, step)

        self.walk(self._product(0, values[0], 0), product)
        return np.stack(seen, axis=1)

    def apply(self, *values: FloatArray) -> FloatArray:
        """Compute all steps of (b, t, n)."""
        return self.walk(self._product(0, values[0], 0), self._product)

    def walk(self, projected: FloatArray, product: Product) -> FloatArray:
        """Compute all steps: (b, t, h) from the outputs of the input's matrix, (b, t, g h)."""
        b, steps, _ = projected.shape
        hidden = cell = np.zeros((b, self.size), dtype=projected.dtype)
        out = np.empty((b, steps, self.size), dtype=projected.dtype)
        for step in range(steps - 1, -1, -1) if self.reverse else range(steps):
            x = projected[:, step]
            if self.kind == "lstm":
                hidden, cell = self._lstm(x + product(1, hidden, step), cell)
            elif self.kind.startswith("gru"):
                hidden = self._gru(x, hidden, step, product)
            else:
                hidden = (np.tanh if self.kind == "rnn-tanh" else digital.relu)(x + product(1, hidden, step))
            out[:, step] = hidden
        return out

    def _lstm(self, gates: FloatArray, cell: FloatArray) -> tuple[FloatArray, FloatArray]:
        given, kept, new, shown = np.split(gates, 4, axis=1)
        cell = digital.sigmoid(kept) * cell + digital.sigmoid(given) * np.tanh(new)
        return digital.sigmoid(shown) * np.tanh(cell), cell

    def _gru(self, x: FloatArray, hidden: FloatArray, step: int, product: Product) -> FloatArray:
        h, made = self.size, product(1, hidden, step)
        reset, update = np.split(digital.sigmoid(x[:, : 2 * h] + made[:, : 2 * h]), 2, axis=1)
        behind = reset * made[:, 2 * h :] if self.kind == "gru" else product(2, reset * hidden, step)
        new = np.tanh(x[:, 2 * h :] + behind)
        return (1.0 - update) * new + update * hidden

    def _product(self, number: int, x: FloatArray, _: int) -> FloatArray:
        return linear(x, *self.matrix(number))
