"""How far reads move the cells of a chip: the change after a number of images, and the number for a given change.

A few hundred nominal cells of each matrix are followed at their targets, with the reads of a few calibration images.
Source: docs/equations/disturb.md eq. 9.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np

from devices.aliases import FloatArray
from devices.cells.interface import Cell
from devices.cells.selected import SelectedCell
from devices.writing.read_disturb import Stress, disturb
from mapping.chips.read_times import stress_of_reads
from mapping.hardware.retention import Retention
from mapping.placement.encoding import filaments
from mapping.placement.matrix import Matrix
from mapping.placement.program import Program

LIMIT = 0.01  # of g_max: as much as the default error of a write; ours
IMAGES = 8  # number of calibration images whose reads count, ours: times of rows average over positions and rows
CELLS = 256  # number of cells of a matrix that are followed, ours
STEPS = 6  # steps of the search for the number of images, ours; the next estimate is in proportion
MOST_IMAGES = 1e15  # more than any chip reads, ours


@dataclass(frozen=True, eq=False)
class FollowedCells:
    """Nominal cells of one matrix at their targets, and the stress of one image on them."""

    cell: Cell
    g_filament: FloatArray  #: (n,) targets [S]
    stress: Stress  #: with times (n, q) [s]
    temperature: float | None  #: from writing to the run [K]; None: that of the cell

    def moved(self, images: float) -> float:
        """Return the mean magnitude of the change of the cells after so many images, relative to g_max."""
        left = disturb(self.cell, self.g_filament, self.stress.repeated(images), temperature=self.temperature)
        return float(np.mean(np.abs(left - self.g_filament))) / self.cell.g_max

    def images_to(self, limit: float) -> float:
        """Return the number of images that move the cells by a mean of `limit` of g_max; inf if none does."""
        longest = float(self.stress.seconds.sum(-1).max(initial=0.0))
        if longest == 0.0:
            return math.inf
        low, high, images = 0.0, math.inf, 1e-3 / longest  # a millisecond to begin with
        for _ in range(STEPS):
            change = self.moved(images)
            if abs(change / limit - 1.0) < 0.02:
                return images
            low, high = (images, high) if change < limit else (low, images)
            images *= min(limit / change, 1e6) if change > 0.0 else 1e6
            if not low < images < high:  # the change is no longer in proportion
                images = 0.5 * (low + high) if math.isfinite(high) else 10.0 * low
            if images > MOST_IMAGES:
                return math.inf
        return images if abs(self.moved(images) / limit - 1.0) < 0.1 else math.inf


Followed = Mapping[str, tuple[FollowedCells, ...]]  #: by layer on arrays; empty for those that reads do not move


def followed_cells(program: Program) -> Followed:
    """Return evenly chosen cells of each matrix, by layer; none of matrices that are rewritten for each image."""
    found: dict[str, tuple[FollowedCells, ...]] = {
        layer.name: () for layer in program.folded.layers if program.of(layer.name)
    }
    if hasattr(inner(program.hardware.cell), "evolve"):
        stress = stress_of_reads(program, program.calibration[:IMAGES])
        for name in found:
            held = [matrix for matrix in program.of(name) if matrix.name in stress]
            found[name] = tuple(_followed(each, program, stress[each.name]) for each in held)
    return found


def _followed(matrix: Matrix, program: Program, stress: Stress) -> FollowedCells:
    """Return the cells of a matrix that are followed."""
    hardware = program.hardware
    chosen = np.unravel_index(
        np.linspace(0, matrix.conductances.size - 1, min(CELLS, matrix.conductances.size)).astype(np.int64),
        matrix.conductances.shape,
    )
    g = filaments(matrix.conductances[chosen], hardware.cell, hardware.dac.v_read)
    seconds = np.broadcast_to(stress.seconds, (*matrix.conductances.shape, len(stress.v)))[chosen]
    used = seconds.any(axis=0)
    mine = Stress(stress.v[used], stress.v_gate[used], seconds[:, used])
    return FollowedCells(hardware.cell, g, mine, hardware.retention.temperature or None)


def layers_to(followed: Followed, limit: float) -> dict[str, float]:
    """Return the number of images at which reads have moved the cells of a matrix of each layer by `limit` of g_max.

    The number is inf if reads do not move them so far.
    """
    return {name: min((each.images_to(limit) for each in held), default=math.inf) for name, held in followed.items()}


def first_of(by_layer: Mapping[str, float]) -> tuple[str | None, float]:
    """Return the layer with the smallest number of images, and this number; None and inf without a finite number."""
    layer = min(by_layer, key=lambda name: by_layer[name], default=None)
    if layer is None or math.isinf(by_layer[layer]):
        return None, math.inf
    return layer, by_layer[layer]


def most_moved(followed: Followed, images: float) -> tuple[str | None, float]:
    """Return the layer whose cells have moved most after so many images, and their mean change relative to g_max."""
    changes = [(each.moved(images), name) for name, held in followed.items() for each in held]
    if not changes:
        return None, 0.0
    change, layer = max(changes)
    return layer, change


_in_use: WeakKeyDictionary[Program, Retention] = WeakKeyDictionary()


def retention_in_use(program: Program) -> Retention:
    """Return the retention of a program's chip, with `refresh_change` as a number of images between two writes.

    The number is found once for each program, and only if images were read before the run.
    Source: docs/equations/disturb.md, section 4.
    """
    retention = program.hardware.retention
    if not (retention.refresh_change and retention.since_writing[1]):
        return retention
    if program not in _in_use:
        _, images = first_of(layers_to(followed_cells(program), retention.refresh_change))
        period = min(images, retention.refresh_images or math.inf)
        _in_use[program] = replace(retention, refresh_images=period) if math.isfinite(period) else retention
    return _in_use[program]


def inner(cell: Cell) -> Cell:
    """Return the cell behind a selector, other cells as they are."""
    return cell.cell if isinstance(cell, SelectedCell) else cell
