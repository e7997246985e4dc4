"""Diagnosis of a chip: each deviation switched off alone, each compensation left out alone, on calibration images.

All alternatives are the same chip, drawn from the same seed, and answer the same images. The changes of accuracy are
therefore paired; those that their interval does not tell from 0 are not ranked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from devices.aliases import BoolArray
from mapping.data.datasets import Dataset
from mapping.files.cache import Cache
from mapping.hardware.alternatives import Alternative, compensations, deviations, without_deviations
from mapping.hardware.description import Hardware
from mapping.inference.running import run
from mapping.networks.graph import Network
from mapping.placement.program import Program
from mapping.presentation.sample_intervals import paired_interval
from mapping.report.findings import Diagnosis, Finding
from mapping.workflow.kept_results import compiled, exact
from mapping.workflow.writing import write

LOSS = 0.02  #: loss of accuracy from which a run is diagnosed, ours: two points
TOLD = 6  #: images that must be lost, and none gained, for a loss to be no chance: 2 · 0.5**6 < 0.05 (McNemar, exact)
EXECUTED = 5e7  #: operations of the arrays per image up to which a run diagnoses without being asked, ours
TOGETHER = "all of them"


@dataclass(frozen=True)
class _Answers:
    """Answers of a chip to the calibration images."""

    right: BoolArray  #: (b,)
    right_exact: BoolArray  #: (b,)
    error: float


def alternatives_of(
    hardware: Hardware, *, gated: bool = True
) -> tuple[tuple[Alternative, ...], tuple[Alternative, ...]]:
    """Return the deviations that a diagnosis switches off, and the compensations that it leaves out."""
    return deviations(hardware, gated=gated), compensations(hardware)


def chips_to_run(program: Program) -> int:
    """Return how many chips a diagnosis compiles, writes and runs."""
    off, without = _alternatives(program)
    return 1 + len(off) + len(without) + (len(off) > 1)


def worth_diagnosing(loss: float, images: int) -> bool:
    """Say whether a loss of accuracy is large enough for a diagnosis on that many images to tell it from chance."""
    return loss > LOSS and loss * images >= TOLD


def diagnose(
    network: Network,
    hardware: Hardware,
    calibration: Dataset,
    seed: int = 0,
    *,
    cache: Cache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Find what costs a chip its accuracy, and what the compiler's compensations are worth, on calibration images.

    progress: called with the chips done and the chips in all.
    Raises MappingError if the network cannot be placed on the chip.
    """
    program = compiled(network, hardware, calibration.images, cache)
    off, without = _alternatives(program)
    total, done = chips_to_run(program), 0

    def answers(one: Hardware) -> _Answers:
        nonlocal done
        found = _answers(network, one, calibration, seed, cache)
        done += 1
        if progress is not None:
            progress(done, total)
        return found

    base = answers(hardware)
    gains = [_finding(each.name, each.settings, base, answers(each.hardware)) for each in off]
    losses = [_finding(each.name, each.settings, base, answers(each.hardware)) for each in without]
    together = None
    if len(off) > 1:
        settings = tuple(dict.fromkeys(one for each in off for one in each.settings))
        together = _finding(TOGETHER, settings, base, answers(without_deviations(hardware, off)))
    elif off:
        together = gains[0]
    return Diagnosis(
        images=len(calibration),
        accuracy_exact=float(base.right_exact.mean()),
        accuracy=float(base.right.mean()),
        error=base.error,
        deviations=ranked(gains),
        together=together,
        compensations=ranked(losses, losses=True),
    )


def ranked(findings: Sequence[Finding], *, losses: bool = False) -> tuple[Finding, ...]:
    """Return findings whose change differs from 0, the largest first, then all others in the order that they had."""
    sign = 1.0 if losses else -1.0
    told = sorted((each for each in findings if each.distinct), key=lambda each: sign * each.change)
    return (*told, *(each for each in findings if not each.distinct))


def _alternatives(program: Program) -> tuple[tuple[Alternative, ...], tuple[Alternative, ...]]:
    """Return the deviations to switch off and the compensations to leave out."""
    gated = any(matrix.gated for matrix in program.all_matrices)
    return deviations(program.hardware, gated=gated), compensations(program.hardware)


def _answers(network: Network, hardware: Hardware, data: Dataset, seed: int, cache: Cache | None) -> _Answers:
    program = compiled(network, hardware, data.images, cache)
    outputs = exact(program, data.images, "single", cache)
    logits = run(write(program, seed), data.images, seed=seed, exact=outputs).logits
    size = float(np.sum(outputs.astype(np.float64) ** 2))
    off = float(np.sum((logits.astype(np.float64) - outputs) ** 2))
    return _Answers(
        logits.argmax(axis=1) == data.labels,
        outputs.argmax(axis=1) == data.labels,
        (off / size) ** 0.5 if size else 0.0,
    )


def _finding(name: str, settings: tuple[str, ...], base: _Answers, other: _Answers) -> Finding:
    gains = other.right.astype(np.float64) - base.right
    low, high = paired_interval(gains)
    return Finding(name, settings, float(other.right.mean()), float(gains.mean()), low, high, other.error)
