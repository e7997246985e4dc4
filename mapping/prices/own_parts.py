"""A user's parts on the layers of a network: how many there are, what they add to time and area, and their bills."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from crossbar.prices.component_model import NOTHING, Part
from crossbar.prices.costs import Costs
from crossbar.tiles.activity import Activity
from mapping.placement.program import Program


@dataclass(frozen=True)
class PartReport:
    """One part of the user's over the whole network."""

    name: str
    action: str
    counts: str  #: the count of an activity for which it acts
    actions: float  #: per image
    instances: int
    energy_J: float  # noqa: N815  #: per image, leakage included
    energy_band_J: tuple[float, float]  # noqa: N815
    area_m2: float
    source: str


@dataclass(frozen=True)
class AddedParts:
    """What the parts of one layer add to it, energy apart."""

    area: float = 0.0  #: [m²]
    leakage: float = 0.0  #: [W]
    time: float = 0.0  #: [s] that the slowest part works on one image, while the layer reads
    behind: float = 0.0  #: [s] from the last read to the last result: one action of each part


def instances(program: Program, layer: str, part: Part) -> int:
    """Return how many of a part a layer, a block of arrays, has; one without arrays has as many as one array."""
    count = {
        "block": 1,
        "tile": sum(len(matrix.tiles) * matrix.copies for matrix in program.of(layer)),
        "array": program.tiles(layer),
    }[part.each]
    return part.instances * max(count, 1)


def added(program: Program, costs: Costs, layer: str, done: Activity) -> AddedParts:
    """Return what the parts that act in a layer add to it.

    done: of one image.  Source: docs/equations/costs.md eq. 25.
    """
    found = AddedParts()
    for part in costs.parts.values():
        actions = part.actions(done)
        if not actions:
            continue
        each, count = part.component.at(costs.node), instances(program, layer, part)
        found = AddedParts(
            found.area + each.area * count,
            found.leakage + each.leakage * count,
            max(found.time, each.latency * math.ceil(actions / count)),
            found.behind + each.latency,
        )
    return found


def part_reports(
    program: Program, costs: Costs, done: Mapping[str, Activity], interval: float
) -> tuple[PartReport, ...]:
    """Return what each part does over all layers.  done: of one image, by layer; interval [s]: between images."""
    found = []
    for name, part in costs.parts.items():
        energy, actions, count = NOTHING, 0.0, 0
        each = part.component.at(costs.node)
        for layer, activity in done.items():
            if not part.actions(activity):
                continue
            mine = instances(program, layer, part)
            energy = energy + each.bill(part.actions(activity), mine, interval).energy
            actions, count = actions + part.actions(activity), count + mine
        found.append(PartReport(
            name, each.action, part.counts, actions, count, energy.nominal, (energy.low, energy.high),
            each.area * count, each.source,
        ))  # fmt: skip
    return tuple(found)
