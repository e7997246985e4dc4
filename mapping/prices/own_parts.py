"""Components of the user's own in the layers of a network: their number, time, area and energy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from crossbar.prices.component_model import NOTHING, Part
from crossbar.prices.costs import Costs
from crossbar.tiles.activity import Activity
from mapping.placement.program import Program


@dataclass(frozen=True)
class PartReport:
    """One component of the user's own, over the whole network."""

    name: str
    action: str
    counts: str  #: name of the activity count that triggers an action
    actions: float  #: number of actions per image
    instances: int
    energy_J: float  # noqa: N815  #: per image, leakage included
    energy_band_J: tuple[float, float]  # noqa: N815
    area_m2: float
    source: str


@dataclass(frozen=True)
class AddedParts:
    """Area, leakage and time of the user's components in one layer."""

    area: float = 0.0  #: [m²]
    leakage: float = 0.0  #: [W]
    time: float = 0.0  #: [s] for which the slowest component works on one image, while the layer reads
    behind: float = 0.0  #: [s] from the last read to the last result: one action of each component


def instances(program: Program, layer: str, part: Part) -> int:
    """Return the number of instances of a component in a layer; a layer without arrays has as many as one array."""
    count = {
        "block": 1,
        "tile": sum(len(matrix.tiles) * matrix.copies for matrix in program.of(layer)),
        "array": program.tiles(layer),
    }[part.each]
    return part.instances * max(count, 1)


def added(program: Program, costs: Costs, layer: str, done: Activity) -> AddedParts:
    """Return area, leakage and time of the components that act in a layer.

    done: activity of one image.  Source: docs/equations/costs.md eq. 25.
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
    """Return each component's report over all layers.

    done: activity of one image, by layer.  interval: time from one image to the next [s].
    """
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
