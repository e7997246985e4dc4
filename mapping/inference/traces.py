"""What a run leaves behind: a trace per layer, the outputs, and the sums over batches they are made of."""

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

SAMPLE = 16  # images that a result keeps, ours
PREDICTIONS = ("image", "label", "chip", "exact")  #: columns of a table of predicted classes


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What one layer did over a run, and how far its outputs lie from the exact network's."""

    name: str
    kind: str
    #: root mean square of (chip - exact) over that of exact on the first COMPARED images, errors before it included
    error: float
    own_error: float  #: the same against the exact layer on the inputs that the chip's layers gave it
    activity: Activity  #: per image
    attention: FloatArray | None  #: (b, k) what the gates were asked for; None for a static layer
    scales: FloatArray | None = None  #: (b, n) what gates of columns were asked for; None where there are none


@dataclass(frozen=True, eq=False)
class RunResult:
    """Outputs of a run and the traces of its layers."""

    chip: Chip
    logits: FloatArray  #: (b, classes) of the chip
    exact: FloatArray  #: (b, classes) of the same network computed exactly
    layers: tuple[LayerTrace, ...]
    seed: int  #: of the read noise
    sample: FloatArray  #: (≤ SAMPLE, c, h, w) first images of the run, as typical inputs for a closer look

    def accuracy(self, labels: IntArray) -> tuple[float, float]:
        """Share of the images that the chip and the exact network put into their class.

        Raises ParameterError unless there is one label per image, each the number of a class.
        """
        wanted = self._labels(labels)
        return float(np.mean(self.logits.argmax(1) == wanted)), float(np.mean(self.exact.argmax(1) == wanted))

    def predictions(self, labels: IntArray | None = None) -> list[dict[str, object]]:
        """Name the classes image by image, in columns of PREDICTIONS; the label is left empty where none is given.

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
        """Return labels that belong to the run's images and classes."""
        count = len(self.chip.program.network.classes)
        wanted = checks.array("labels", labels, shape=(len(self.logits),), minimum=0.0)
        if not np.all((wanted < count) & (wanted == np.floor(wanted))):
            raise ParameterError(f"labels must be whole numbers from 0 to {count - 1}, got up to {wanted.max():g}")
        return wanted.astype(np.int64)


class LayerPart(NamedTuple):
    """What one layer did with one batch."""

    activity: Activity
    shares: FloatArray | None
    off: float = 0.0  #: sum of squared differences from the exact network, on the images that are compared
    size: float = 0.0  #: sum of its squares
    own: float = 0.0  #: the same against the exact layer on the inputs that it had here
    own_size: float = 0.0
    scales: FloatArray | None = None  #: (b, n) what gates of columns were asked for


class Step(NamedTuple):
    """What one layer got and gave for a lot of images."""

    layer: Layer
    inputs: list[FloatArray]
    output: FloatArray
    activity: Activity
    shares: FloatArray | None  #: (b, k) attention of a dynamic layer


class BatchResult(NamedTuple):
    """What one batch of images left."""

    logits: FloatArray
    layers: dict[str, LayerPart]


class LayerSums:
    """Running sums of one layer over the batches."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.off = self.own = self.own_size = self.size = 0.0
        self.activity = Activity()
        self.shares: list[FloatArray] = []
        self.scales: list[FloatArray] = []

    def add(self, part: LayerPart) -> None:
        """Add what one batch left."""
        self.off += part.off
        self.size += part.size
        self.own += part.own
        self.own_size += part.own_size
        self.activity = self.activity + part.activity
        if part.shares is not None:
            self.shares.append(part.shares)
        if part.scales is not None:
            self.scales.append(part.scales.astype(np.float64))

    def trace(self, images: int) -> LayerTrace:
        """Return the trace over so many images."""
        return LayerTrace(
            self.layer.name,
            kind_of(self.layer),
            (self.off / self.size) ** 0.5 if self.size else 0.0,
            (self.own / self.own_size) ** 0.5 if self.own_size else 0.0,
            self.activity.scaled(1.0 / max(images, 1)),
            np.concatenate(self.shares) if self.shares else None,
            np.concatenate(self.scales) if self.scales else None,
        )
