"""How long a chip keeps its conductances, at rest and when it is read, and what it costs to write them again."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossbar.prices.costs import Costs
from crossbar.tiles.activity import Activity
from devices.measurements.summary import worst_retention
from mapping.chips.read_limits import LIMIT, Followed, first_of, followed_cells, inner, layers_to, most_moved
from mapping.hardware.retention import Retention
from mapping.placement.matrix import Matrix
from mapping.placement.program import Program


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
    refresh_layer: str | None  #: layer whose cells have moved most at that moment; None: reads move none
    refresh_change: float | None  #: mean change of its cells just before they are written again, relative to g_max
    refresh_J_per_image: float  # noqa: N815  #: energy of these writes; part of the energy
    refresh_s_per_image: float  #: time of these writes; part of the time between images
    worn_out_s: (
        float | None
    )  #: time until these writes have used up `costs.endurance`, at `retention.rate` or full pace
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


def rewriting(program: Program, costs: Costs, interval: float, followed: Followed) -> Rewriting:
    """Return how a chip is written again according to its description.

    interval: time from one image to the next at full pace [s].  followed: its cells as `followed_cells` returns them.
    Source: docs/equations/disturb.md eq. 6.
    """
    retention = program.hardware.retention
    lasting = {layer.name: [m for m in program.of(layer.name) if not m.rewritten] for layer in program.folded.layers}
    cells = {name: float(sum(map(cells_of, matrices))) for name, matrices in lasting.items()}
    rows = max((m.bands * tile.shape[0] for held in lasting.values() for m in held for tile in m.tiles), default=0)
    period = retention.refresh_images or math.inf
    if retention.refresh_change:
        period = min(period, first_of(layers_to(followed, retention.refresh_change))[1])
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
    program: Program,
    costs: Costs,
    again: Rewriting,
    interval: float,
    followed: Followed,
    by_layer: Mapping[str, float],
) -> Keeping:
    """Return how long a chip keeps its conductances, and the price of writing them again.

    interval: time from one image to the next at full pace [s].  followed: the cells whose changes are told.
    by_layer: images until reads have moved each layer by LIMIT.
    Source: docs/equations/disturb.md eq. 6, 9.
    """
    retention = program.hardware.retention
    cell: Any = inner(program.hardware.cell)
    warm = cell.at(retention.temperature or None) if hasattr(cell, "at") else cell
    rest, state = worst_retention(warm)
    layer, images = first_of(by_layer)
    joules = sum(again.cells.values()) * costs.e_write
    pace = images_per_second(retention, interval)
    needed = min(images, rest * pace if pace else math.inf)
    busy = again.seconds / needed
    refreshed = math.isfinite(again.period)
    moved_layer, moved = most_moved(followed, again.period) if refreshed else (None, 0.0)
    step = max(interval + again.seconds_per_image, 1.0 / retention.rate if retention.rate else 0.0)
    return Keeping(
        at_rest_s=rest,
        at_rest_state=state,
        images_to_limit=images,
        limiting_layer=layer,
        limit=LIMIT,
        images_until_lost=None,
        refresh_images=again.period if refreshed else None,
        refresh_layer=moved_layer,
        refresh_change=moved if refreshed else None,
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
    return first_of(layers_to_limit(program))


def layers_to_limit(program: Program) -> dict[str, float]:
    """Return the number of images at which reads have moved the cells of a matrix of each layer by LIMIT of g_max.

    The number is inf if reads do not move them so far, or if they are rewritten for each image.
    Source: docs/equations/disturb.md eq. 9.
    """
    return layers_to(followed_cells(program), LIMIT)
