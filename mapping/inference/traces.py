"""Results of a run: its outputs, a trace for each layer, and the sums over batches that traces are made of."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crossbar.tiles.activity import Activity
from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from mapping.chips.chip import Chip
from mapping.networks.layers.base import Layer
from mapping.placement.gated_layers import kind_of

SAMPLE = 16  # number of images that a result keeps, ours
PREDICTIONS = ("image", "label", "chip", "exact")  #: columns of the table of predicted classes


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """Activity, error and attention of one layer in a run."""

    name: str
    kind: str
    #: total error: root mean square of (chip - exact) over that of exact, on the first COMPARED images
    error: float
    own_error: float  #: the same against the exact layer on the inputs that the layer had on the chip
    activity: Activity  #: per image
    attention: FloatArray | None  #: (b, k) attention weights; None for a static layer
    scales: FloatArray | None = None  #: (b, n) factors, 0 to 1, for the gates of columns; None without such gates


@dataclass(frozen=True, eq=False)
class RunResult:
    """Outputs of a run and the traces of its layers."""

    chip: Chip
    logits: FloatArray  #: (b, classes) of the chip
    exact: FloatArray  #: (b, classes) of the exact network
    layers: tuple[LayerTrace, ...]
    seed: int  #: of the read noise
    sample: FloatArray  #: (≤ SAMPLE, c, h, w) first images of the run, as typical inputs for the worst array

    def accuracy(self, labels: IntArray) -> tuple[float, float]:
        """Return the accuracy of the chip and of the exact network, 0 to 1.

        labels: (b,).  Raises ParameterError unless there is one label per image, each the number of a class.
        """
        wanted = self._labels(labels)
        return float(np.mean(self.logits.argmax(1) == wanted)), float(np.mean(self.exact.argmax(1) == wanted))

    def predictions(self, labels: IntArray | None = None) -> list[dict[str, object]]:
        """Return the class names of each image by the columns PREDICTIONS; without labels that column is empty.

        Raises ParameterError unless there is one label per image, each the number of a class.
        """
        classes = self.chip.program.network.classes
        wanted = None if labels is None else self._labels(labels)
        right = [""] * len(self.logits) if wanted is None else [classes[int(each)] for each in wanted]
        pairs = zip(right, self.logits.argmax(1), self.exact.argmax(1), strict=True)
        return [
            dict(zip(PREDICTIONS, (number, label, classes[chip], classes[exact]), strict=True))
            for number, (label, chip, exact) in enumerate(pairs)
        ]

    def _labels(self, labels: IntArray) -> IntArray:
        """Return labels (b,) after a check that they fit the run's images and classes."""
        count = len(self.chip.program.network.classes)
        wanted = checks.array("labels", labels, shape=(len(self.logits),), minimum=0.0)
        if not np.all((wanted < count) & (wanted == np.floor(wanted))):
            raise ParameterError(f"labels must be whole numbers from 0 to {count - 1}, got up to {wanted.max():g}")
        return wanted.astype(np.int64)


class LayerPart(NamedTuple):
    """Result of one layer for one batch."""

    activity: Activity
    attention: FloatArray | None  #: (b, k) attention weights
    off: float = 0.0  #: sum of squared differences from the exact network, on the images that are compared
    size: float = 0.0  #: sum of squares of the exact network's outputs
    own: float = 0.0  #: as `off`, against the exact layer on the same inputs
    own_size: float = 0.0  #: as `size`, of the exact layer on the same inputs
    scales: FloatArray | None = None  #: (b, n) factors, 0 to 1, for the gates of columns


class Step(NamedTuple):
    """Inputs and output of one layer for a batch of images."""

    layer: Layer
    inputs: list[FloatArray]
    output: FloatArray
    activity: Activity
    attention: FloatArray | None  #: (b, k) of a dynamic layer


class BatchResult(NamedTuple):
    """Result of one batch of images."""

    logits: FloatArray
    layers: dict[str, LayerPart]


class LayerSums:
    """Running sums of one layer over the batches."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.off = self.own = self.own_size = self.size = 0.0
        self.activity = Activity()
        self.attention: list[FloatArray] = []
        self.scales: list[FloatArray] = []

    def add(self, part: LayerPart) -> None:
        """Add the result of one batch."""
        self.off += part.off
        self.size += part.size
        self.own += part.own
        self.own_size += part.own_size
        self.activity = self.activity + part.activity
        if part.attention is not None:
            self.attention.append(part.attention)
        if part.scales is not None:
            self.scales.append(part.scales.astype(np.float64))

    def trace(self, images: int) -> LayerTrace:
        """Return the trace of a run of so many images."""
        return LayerTrace(
            self.layer.name,
            kind_of(self.layer),
            (self.off / self.size) ** 0.5 if self.size else 0.0,
            (self.own / self.own_size) ** 0.5 if self.own_size else 0.0,
            self.activity.scaled(1.0 / max(images, 1)),
            np.concatenate(self.attention) if self.attention else None,
            np.concatenate(self.scales) if self.scales else None,
        )
