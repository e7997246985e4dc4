"""How long a chip keeps its conductances, at rest and when it is read, and what it costs to write them again."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossbar.prices.costs import Costs
from crossbar.tiles.activity import Activity
from devices.aliases import FloatArray
from devices.cells.interface import Cell
from devices.cells.selected import SelectedCell
from devices.measurements.summary import worst_retention
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


@dataclass(frozen=True)
class Keeping:
    """How long a chip keeps its conductances, and the price of writing them again."""

    at_rest_s: (
        float  #: time until the state that dissolves fastest has lost a tenth of its conductance; inf: > 300 years
    )
    at_rest_state: float  #: this state
    #: number of images whose reads move the cells of one layer by a mean of LIMIT of g_max; inf: never
    images_to_limit: float
    limiting_layer: str | None  #: this layer
    limit: float  #: LIMIT
    #: number of images after which accuracy has lost one point, found by running; None: not asked for
    images_until_lost: float | None
    refresh_images: float | None  #: number of images between two writes of all cells; None: cells are written once
    refresh_J_per_image: float  # noqa: N815  #: energy of these writes; part of the energy
    refresh_s_per_image: float  #: time of these writes; part of the time between images
    worn_out_s: float | None  #: time until these writes have used up `costs.endurance`
    once_J: float  # noqa: N815  #: energy of writing all cells once
    once_s: float  #: time of writing all cells once
    #: number of images between two writes that at_rest_s and images_to_limit would ask for; inf: none
    needed_images: float
    needed_J_per_image: float  # noqa: N815  #: energy of writing so often
    needed_share_of_time: float  #: part of all time that writing so often takes


@dataclass(frozen=True)
class Rewriting:
    """Writing all cells of a chip again: how many, for how long, and how often."""

    cells: Mapping[str, float]  #: cells in use that are written once, by layer
    seconds: float  #: time of one write of all cells, all arrays at once [s]
    period: float  #: images between two writes; inf: cells are written once

    def activity(self, layer: str) -> Activity:
        """Return the writes of a layer for each image."""
        return Activity(cell_writes=self.cells[layer] / self.period)

    @property
    def seconds_per_image(self) -> float:
        """Time of the writes for each image [s]."""
        return self.seconds / self.period


def rewriting(program: Program, costs: Costs, interval: float) -> Rewriting:
    """Return how a chip is written again according to its description.

    interval: time from one image to the next at full pace [s].
    Source: docs/equations/disturb.md eq. 6.
    """
    retention = program.hardware.retention
    lasting = {layer.name: [m for m in program.of(layer.name) if not m.rewritten] for layer in program.folded.layers}
    cells = {name: float(sum(map(cells_of, matrices))) for name, matrices in lasting.items()}
    rows = max((m.bands * tile.shape[0] for held in lasting.values() for m in held for tile in m.tiles), default=0)
    period = retention.refresh_images or math.inf
    if retention.refresh_time:
        pace = images_per_second(retention, interval)
        period = min(period, retention.refresh_time * pace) if pace else period
    return Rewriting(cells, rows * costs.t_write, period)


def images_per_second(retention: Retention, interval: float) -> float:
    """Return the rate at which a chip reads images [1/s]: that of its description, else full pace; 0 without layers.

    interval: time from one image to the next at full pace [s].
    """
    return retention.rate or (1.0 / interval if interval else 0.0)


def cells_of(matrix: Matrix) -> int:
    """Return the number of cells in use of a matrix, copies included."""
    return sum(matrix.stored * matrix.copies * tile.shape[0] * tile.cell_columns for tile in matrix.tiles)


def keeping(
    program: Program, costs: Costs, again: Rewriting, interval: float, by_layer: Mapping[str, float]
) -> Keeping:
    """Return how long a chip keeps its conductances, and the price of writing them again.

    by_layer: as layers_to_limit returns it.  interval: time from one image to the next at full pace [s].
    Source: docs/equations/disturb.md eq. 6, 9.
    """
    retention = program.hardware.retention
    inner: Any = _inner(program.hardware.cell)
    warm = inner.at(retention.temperature or None) if hasattr(inner, "at") else inner
    rest, state = worst_retention(warm)
    images = min(by_layer.values(), default=math.inf)
    layer = next((name for name, count in by_layer.items() if count == images < math.inf), None)
    joules = sum(again.cells.values()) * costs.e_write
    pace = images_per_second(retention, interval)
    needed = min(images, rest * pace if pace else math.inf)
    busy = again.seconds / needed
    refreshed = math.isfinite(again.period)
    step = interval + again.seconds_per_image
    return Keeping(
        at_rest_s=rest,
        at_rest_state=state,
        images_to_limit=images,
        limiting_layer=layer,
        limit=LIMIT,
        images_until_lost=None,
        refresh_images=again.period if refreshed else None,
        refresh_J_per_image=joules / again.period,
        refresh_s_per_image=again.seconds_per_image,
        worn_out_s=costs.endurance * again.period * step if refreshed else None,
        once_J=joules,
        once_s=again.seconds,
        needed_images=needed,
        needed_J_per_image=joules / needed,
        needed_share_of_time=busy / (busy + interval) if busy else 0.0,
    )


def images_to_limit(program: Program) -> tuple[str | None, float]:
    """Return the layer, and the number of images, at which reads have moved the cells of one layer by LIMIT of g_max.

    The layer is None, and the number inf, if reads move no layer so far.
    Source: docs/equations/disturb.md eq. 9.
    """
    by_layer = layers_to_limit(program)
    layer = min(by_layer, key=lambda name: by_layer[name], default=None)
    if layer is None or math.isinf(by_layer[layer]):
        return None, math.inf
    return layer, by_layer[layer]


def layers_to_limit(program: Program) -> dict[str, float]:
    """Return the number of images at which reads have moved the cells of a matrix of each layer by LIMIT of g_max.

    The mean is over the magnitudes of the changes of nominal cells at their targets, for evenly chosen cells of each
    matrix.  The number is inf if reads do not move them so far, or if they are rewritten for each image.
    Source: docs/equations/disturb.md eq. 9.
    """
    placed = [layer.name for layer in program.folded.layers if program.of(layer.name)]
    found = dict.fromkeys(placed, math.inf)
    if hasattr(_inner(program.hardware.cell), "evolve"):
        stress = stress_of_reads(program, program.calibration[:IMAGES])
        for name in placed:
            mine = [matrix for matrix in program.of(name) if matrix.name in stress]
            found[name] = min((_limit_of(each, program, stress[each.name]) for each in mine), default=math.inf)
    return found


def _limit_of(matrix: Matrix, program: Program, stress: Stress) -> float:
    """Return the number of images that move the cells of a matrix by LIMIT of g_max; inf if none does."""
    hardware = program.hardware
    cell = hardware.cell
    chosen = np.unravel_index(
        np.linspace(0, matrix.conductances.size - 1, min(CELLS, matrix.conductances.size)).astype(np.int64),
        matrix.conductances.shape,
    )
    g = filaments(matrix.conductances[chosen], cell, hardware.dac.v_read)
    seconds = np.broadcast_to(stress.seconds, (*matrix.conductances.shape, len(stress.v)))[chosen]
    used = seconds.any(axis=0)
    mine = Stress(stress.v[used], stress.v_gate[used], seconds[:, used])
    warm = hardware.retention.temperature or None

    def moved(images: float) -> float:
        left: FloatArray = disturb(cell, g, mine.repeated(images), temperature=warm)
        return float(np.mean(np.abs(left - g))) / cell.g_max

    longest = float(seconds.sum(-1).max(initial=0.0))
    if longest == 0.0:
        return math.inf
    low, high, images = 0.0, math.inf, 1e-3 / longest  # a millisecond to begin with
    for _ in range(STEPS):
        change = moved(images)
        if abs(change / LIMIT - 1.0) < 0.02:
            return images
        low, high = (images, high) if change < LIMIT else (low, images)
        images *= min(LIMIT / change, 1e6) if change > 0.0 else 1e6
        if not low < images < high:  # the change is no longer in proportion
            images = 0.5 * (low + high) if math.isfinite(high) else 10.0 * low
        if images > MOST_IMAGES:
            return math.inf
    return images if abs(moved(images) / LIMIT - 1.0) < 0.1 else math.inf


def _inner(cell: Cell) -> Cell:
    return cell.cell if isinstance(cell, SelectedCell) else cell
