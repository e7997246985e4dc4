"""How well a run's outputs fit the labels of its images: accuracies of classes, or errors of numbers.

Labels are whole numbers (b,), the number of each image's class, or floats (b, outputs), the numbers that the network
should give.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from mapping.inference.traces import PREDICTIONS, RunResult
from mapping.presentation.sample_intervals import root_mean_square

TOP = 5  # a label among so many of the largest outputs counts for the top-5 accuracy
TOP_FROM = 10  # classes; with fewer a top-5 accuracy says little, ours
RANKS = ("chip_rank", "exact_rank")  #: columns of predictions.csv: place of the label among the outputs, 1 is first
NUMBERS = ("image", "output", "label", "chip", "exact")  #: columns of predictions.csv where outputs are numbers


@dataclass(frozen=True)
class Scores:
    """Scores of the chip and of the exact network; None where labels or the network do not have them."""

    accuracy_chip: float | None = None
    accuracy_exact: float | None = None
    top5_chip: float | None = None  #: fraction of images whose label is among the five largest outputs
    top5_exact: float | None = None
    rms_error_chip: float | None = None  #: root mean square of (output - label), in the unit of the labels
    rms_error_exact: float | None = None
    rms_error_chip_interval: tuple[float, float] | None = None  #: 95 %, over the images
    rms_error_exact_interval: tuple[float, float] | None = None


def are_numbers(labels: IntArray | FloatArray) -> bool:
    """Whether labels are numbers that a network should give, and not its classes."""
    return np.asarray(labels).dtype.kind == "f"


def scores(result: RunResult, labels: IntArray | FloatArray | None) -> Scores:
    """Score a run by the labels of its images; without labels there are no scores.

    Raises ParameterError unless there is one label per image: the number of a class, or a float for each output.
    """
    if labels is None:
        return Scores()
    if are_numbers(labels):
        wanted = _wanted(result, labels)
        found = [root_mean_square(np.mean((each - wanted) ** 2, axis=1)) for each in (result.logits, result.exact)]
        (chip, *chip_interval), (exact, *exact_interval) = found
        return Scores(
            rms_error_chip=chip,
            rms_error_exact=exact,
            rms_error_chip_interval=(chip_interval[0], chip_interval[1]),
            rms_error_exact_interval=(exact_interval[0], exact_interval[1]),
        )
    classes: IntArray = np.asarray(labels).astype(np.int64)
    right, exactly = result.accuracy(classes)
    if len(result.chip.program.network.classes) < TOP_FROM:
        return Scores(right, exactly)
    among = [float(np.mean(ranks(each, classes) <= TOP)) for each in (result.logits, result.exact)]
    return Scores(right, exactly, among[0], among[1])


def ranks(outputs: FloatArray, labels: IntArray) -> IntArray:
    """Return the place (b,) of each label among the outputs (b, classes): 1 if it is the largest.

    Of equal outputs the one of the lower class comes first, as in argmax.
    """
    own = np.take_along_axis(outputs, labels[:, None], axis=1)
    before = (outputs > own) | ((outputs == own) & (np.arange(outputs.shape[1]) < labels[:, None]))
    places: IntArray = 1 + before.sum(axis=1)
    return places


def predictions(
    result: RunResult, labels: IntArray | FloatArray | None
) -> tuple[tuple[str, ...], list[dict[str, object]]]:
    """Return the columns and rows of predictions.csv: one for each image, or for each output that is a number.

    Raises ParameterError as `scores`.
    """
    if labels is None or not are_numbers(labels):
        if labels is None:
            return PREDICTIONS, result.predictions()
        classes: IntArray = np.asarray(labels).astype(np.int64)
        rows = result.predictions(classes)
        ranked = [ranks(each, classes).tolist() for each in (result.logits, result.exact)]
        for row, *both in zip(rows, *ranked, strict=True):
            row.update(zip(RANKS, both, strict=True))
        return (*PREDICTIONS, *RANKS), rows
    wanted = _wanted(result, labels)
    names = result.chip.program.network.classes
    held = ((f"{number:.9g}" for number in each.ravel().tolist()) for each in (wanted, result.logits, result.exact))
    table = zip(itertools.product(range(len(wanted)), names), zip(*held, strict=True), strict=True)
    return NUMBERS, [dict(zip(NUMBERS, (*place, *numbers), strict=True)) for place, numbers in table]


def _wanted(result: RunResult, labels: IntArray | FloatArray) -> FloatArray:
    """Return the numbers (b, outputs) that the network should give."""
    count = len(result.chip.program.network.classes)
    values = np.asarray(labels, dtype=np.float64)
    if values.ndim == 1 and count == 1:
        values = values[:, None]
    if values.shape != (len(result.logits), count):
        raise ParameterError(
            f"labels that are numbers must have shape ({len(result.logits)}, {count}), one for each output, got "
            f"{values.shape}"
        )
    return checks.array("labels", values, shape=values.shape)
