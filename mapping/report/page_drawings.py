"""Drawings of the report's page: schedule of an image, comparison of energies.

Positions are in % of a drawing's width, so that a drawing fits any screen while its texts keep their size.
"""

import math
from typing import Any

from mapping.presentation.colours import PHASE_COLOURS
from mapping.presentation.names import shortened
from mapping.presentation.quantities import ratio
from mapping.prices.yardsticks import Compared
from mapping.report.values import ReportValues

FOLLOWING = 2  # images that the schedule shows after the first, ours
TICKS = 6  # largest number of ticks of a time axis, ours
THINNEST = 0.2  # width of a block that would be thinner [%], ours


def whole_ticks(value: float) -> float:
    """Return the next larger 1, 2 or 5 times a power of ten; 1 if the value is 0."""
    if not value > 0.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1.0, 2.0, 5.0, 10.0) if power * step >= value * (1.0 - 1e-12))


def schedule(report: ReportValues) -> dict[str, Any]:
    """Return the schedule: one line for each layer with its phases, for an image and the next ones."""
    pace = 1.0 / report.images_per_s if report.images_per_s else 0.0
    following = FOLLOWING if pace else 0
    total = max((layer.start_s + layer.latency_s for layer in report.layers), default=0.0) + following * pace
    scale = 100.0 * ratio(1.0, total)
    lines = []
    for layer in report.layers:
        blocks = []
        for image in range(following + 1):
            now = layer.start_s + image * pace
            for phase, colour in PHASE_COLOURS.items():
                length = layer.latency_by_phase_s[phase]
                if length > 0.0:
                    blocks.append({
                        "name": phase, "x": now * scale, "width": max(length * scale, THINNEST), "colour": colour,
                        "start": now, "length": length, "image": image, "opacity": 1.0 if image == 0 else 0.35,
                    })  # fmt: skip
                now += length
        lines.append({
            "name": layer.name, "short": shortened(layer.name), "blocks": blocks, "start": layer.start_s,
            "length": layer.latency_s,
        })  # fmt: skip
    step = whole_ticks(total / TICKS)
    ticks = [{"x": k * step * scale, "time": k * step} for k in range(int(total / step + 1e-9) + 1)]
    used = [name for name in PHASE_COLOURS if any(layer.latency_by_phase_s[name] > 0.0 for layer in report.layers)]
    return {
        "lines": lines, "ticks": ticks if total > 0.0 else [], "attends": "attention" in used, "pace": pace,
        "colours": {name: PHASE_COLOURS[name] for name in used},
    }  # fmt: skip


def comparison(report: ReportValues) -> dict[str, Any] | None:
    """Return the energies of an image here and elsewhere on a logarithmic axis; None if there are none.

    The band of this chip is a strip through all lines.
    """
    here = Compared("this chip", "here", report.energy_band_J_per_image, (1.0, 1.0), "")
    shown = [here, *report.comparison]
    ends = [value for each in shown for value in each.energy_J if value > 0.0]
    if len(ends) < 2 * len(shown):
        return None
    first, last = math.floor(math.log10(min(ends))), math.ceil(math.log10(max(ends)))
    decades = max(last - first, 1)

    def at(energy: float) -> float:
        return 100.0 * (math.log10(energy) - first) / decades

    lines = [
        {
            "name": each.name, "here": each is here, "low": each.energy_J[0], "high": each.energy_J[1],
            "x": at(each.energy_J[0]), "width": at(each.energy_J[1]) - at(each.energy_J[0]),
        }
        for each in shown
    ]  # fmt: skip
    ticks = [{"x": 100.0 * k / decades, "energy": 10.0 ** (first + k)} for k in range(decades + 1)]
    return {
        "lines": lines, "ticks": ticks,
        "strip": {"x": lines[0]["x"], "width": lines[0]["width"]}, "middle": at(report.energy_J_per_image),
    }  # fmt: skip
