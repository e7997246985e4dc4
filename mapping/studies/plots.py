"""Figures of a study, drawn from its table; functions that draw one plot take and return axes."""

import itertools
import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from mapping.presentation.intervals import wilson
from mapping.presentation.names import BELOW_BARS, shortened
from mapping.studies.results import DISTINCT, MORE_IS_BETTER, Cell, Effect, Results, effects, groups, half_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WORSE, BETTER, LINE = "#ee6677", "#4477aa", "#4477aa"  # Paul Tol's bright scheme, safe for colour-blind readers
LINES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")  # the same
UNITS = {  # metric: (label, factor from the metric to the axis)
    "accuracy_chip": ("accuracy on the chip [%]", 100.0),
    "accuracy_exact": ("accuracy, exact [%]", 100.0),
    "top5_chip": ("top-5 accuracy on the chip [%]", 100.0),
    "top5_exact": ("top-5 accuracy, exact [%]", 100.0),
    "rms_error_chip": ("error on the chip (root mean square)", 1.0),
    "rms_error_exact": ("error, exact (root mean square)", 1.0),
    "energy_J_per_image": ("energy per image [nJ]", 1e9),
    "energy_low_J_per_image": ("energy per image, lower bound [nJ]", 1e9),
    "energy_high_J_per_image": ("energy per image, upper bound [nJ]", 1e9),
    "latency_s_per_image": ("latency per image [µs]", 1e6),
    "tops_per_watt": ("efficiency [TOPS/W]", 1.0),
    "images_per_s": ("throughput [images/s]", 1.0),
    "area_m2": ("area [mm²]", 1e6),
}
FRACTIONS = ("accuracy", "top5")  #: beginnings of metrics that are fractions of the images
WRAPPED, ACROSS = 14, 34  #: longest line of a tick's text, and most letters along an axis; ours
WIDE = 15.0  #: a positive parameter whose values span more than this factor gets a logarithmic axis, ours


def plot_tornado(found: Sequence[Effect], ax: "Axes | None" = None) -> "Axes":
    """Draw the effect of each parameter on a metric: bars to the smallest and the largest change, the worst on top.

    If both have one sign, only the longer bar is drawn.

    Error bars are 95 % intervals; red is worse than the reference, blue is better.
    """
    ax = _axes(ax)
    label, factor = _unit(found[0].metric) if found else ("", 1.0)
    sign = -1.0 if found and found[0].metric in MORE_IS_BETTER else 1.0
    for place, effect in enumerate(found):
        ends = sorted(effect.levels, key=lambda level: level.change)
        shown = list(dict.fromkeys((ends[0], ends[-1])))
        if len(shown) == 2 and shown[0].change * shown[1].change > 0.0:  # on one side the longer bar covers the other
            shown = [max(shown, key=lambda level: abs(level.change))]
        for level in shown:
            change = factor * level.change
            colour = WORSE if sign * change > 0.0 else BETTER
            error = None if level.half_width is None else factor * level.half_width
            ax.barh(place, change, 0.6, color=colour, xerr=error, ecolor="#555555", capsize=3)
            if change:
                end = change + math.copysign(error or 0.0, change)
                ax.annotate(
                    shortened(level.label, BELOW_BARS), (end, place), (math.copysign(5.0, change), 0.0),
                    textcoords="offset points", ha="left" if change > 0.0 else "right", va="center", fontsize="small",
                )  # fmt: skip
    ax.axvline(0.0, color="black", linewidth=0.8)
    ax.set_yticks(range(len(found)), [effect.parameter for effect in found])
    ax.invert_yaxis()
    ax.margins(x=0.35)  # room for the labels at the ends
    reference = f" from {factor * found[0].reference:.3g}" if found else ""
    ax.set_xlabel(f"change of {label}{reference}")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_response(
    results: Results, parameter: str, metric: str = "accuracy_chip", ax: "Axes | None" = None, *, by: str | None = None
) -> "Axes":
    """Draw a metric over a parameter: the mean over the seeds with its 95 % interval.

    With one seed an accuracy has the binomial interval of its images, other metrics have none. A random sweep is drawn
    with a dot for each setting, and means and intervals over groups of settings. Texts are drawn side by side.
    by: another parameter of a grid; each of its values gets a line.
    Raises ParameterError if the table has no such metric.
    """
    ax = _axes(ax)
    label, factor = _unit(results.metric(metric))
    rows = [row for row in results.rows if isinstance(row[metric], (int, float))]
    if results.one_at_a_time:
        rows = [row for row in rows if row["varied"] in {parameter, None} and row[parameter] is not None]
    binned = not results.one_at_a_time and not results.balanced
    parts = [("", rows)] if by is None else [(name, members) for name, _, members in groups(rows, by, binned=False)]
    wide = words = grouped = False
    named: dict[float, str] = {}
    for (name, members), colour in zip(parts, LINES * (len(parts) // len(LINES) + 1), strict=False):
        found = groups(members, parameter, binned=binned)
        places = [float(i) if at is None else at for i, (_, at, _) in enumerate(found)]
        words = words or any(at is None for _, at, _ in found)
        wide = wide or (not words and bool(places) and min(places) > 0.0 and max(places) > WIDE * min(places))
        means, errors = _means(found, metric, "point" if binned else "seed", factor)
        if binned and not words and len({row[parameter] for row in members}) > DISTINCT:
            grouped = True
            dots = [(row[parameter], row[metric]) for row in members]
            ax.plot([_float(x) for x, _ in dots], [factor * _float(y) for _, y in dots], ".", color="#bbbbbb", zorder=1)
        ax.errorbar(
            places, means, errors, fmt="o" if words else "o-", capsize=3, color=colour, clip_on=False,
            label=f"{by} = {name}" if by is not None else None,
        )  # fmt: skip
        named |= {place: each for place, (each, _, _) in zip(places, found, strict=True)}
    if wide and not words:
        ax.set_xscale("log")
    if words or (not grouped and _room(named, wide=wide)):
        _name_places(ax, named)
    elif not wide:
        ax.locator_params(axis="x", nbins=6, integer=all(isinstance(row[parameter], int) for row in rows))
    if metric.startswith(FRACTIONS):
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, 0.0), min(high, factor))
    if by is not None:
        ax.legend(frameon=False, fontsize="small")
    ax.set_xlabel(parameter)
    ax.set_ylabel(label)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def study_figure(results: Results, metric: str | None = None) -> "Figure":
    """Draw the effects of all parameters, and the metric over each parameter, in one figure.

    metric: default: the accuracy, or the error where outputs are numbers.
    """
    from matplotlib.figure import Figure

    metric = results.quality if metric is None else metric
    found = effects(results, metric)
    names = [effect.parameter for effect in found]
    columns = min(3, 1 + len(names))
    lines = math.ceil((1 + len(names)) / columns)
    figure = Figure(figsize=(4.8 * columns, 3.6 * lines), layout="constrained")
    axes: Any = figure.subplots(lines, columns, squeeze=False)
    places = list(axes.flat)
    plot_tornado(found, places[0])
    for name, ax in zip(names, places[1:], strict=False):
        plot_response(results, name, metric, ax)
    for ax in places[1 + len(names) :]:
        ax.set_axis_off()
    seeds = len({row["seed"] for row in results.rows})
    settings = len({row["point"] for row in results.rows})
    failed = f", {len(results.failures)} failed" if results.failures else ""
    repeated = seeds > 1 or not (results.one_at_a_time or results.balanced)
    band = "; bars: 95 % intervals of the mean" if repeated else ""
    if not repeated and metric.startswith(FRACTIONS):
        band = "; bars: 95 % intervals over the images"
    figure.suptitle(f"{settings} settings × {seeds} seed{'' if seeds == 1 else 's'}{failed}{band}")
    return figure


def _room(named: Mapping[float, str], *, wide: bool) -> bool:
    """Whether every value can have a tick with its text."""
    places = sorted(math.log(each) if wide else each for each in named)
    if len(places) < 2:
        return True
    gap = min(b - a for a, b in itertools.pairwise(places)) / (places[-1] - places[0])
    return gap * ACROSS > max(map(len, named.values())) + 1


def _name_places(ax: "Axes", named: Mapping[float, str]) -> None:
    """Put a tick at each value of a parameter and none between; long texts are wrapped and turned."""
    texts = [fill(each, WRAPPED) for each in named.values()]
    turned = sum(max(map(len, each.split("\n"))) + 1 for each in texts) > ACROSS
    ax.set_xticks(list(named), texts, rotation=30 if turned else 0, ha="right" if turned else "center")
    ax.set_xticks([], minor=True)


def _means(
    found: Sequence[tuple[str, float | None, list[dict[str, Cell]]]], metric: str, unit: str, factor: float
) -> tuple[list[float], list[list[float]]]:
    """Return means and the distances to both ends of their 95 % intervals, over the seeds or settings in each group."""
    means, below, above = [], [], []
    for _, _, members in found:
        units = list(dict.fromkeys(row[unit] for row in members))
        values = []
        for each in units:
            mine = [_float(row[metric]) for row in members if row[unit] == each]
            values.append(sum(mine) / len(mine))
        mean = sum(values) / len(values)
        low, high = _interval(mean, half_width(values), metric, members)
        means.append(factor * mean)
        below.append(factor * (mean - low))
        above.append(factor * (high - mean))
    return means, [below, above]


def _interval(mean: float, width: float | None, metric: str, members: Sequence[dict[str, Cell]]) -> tuple[float, float]:
    """Return the 95 % interval: Student's over repetitions, or that of a fraction of the images."""
    if width is not None:
        low, high = mean - width, mean + width
    elif metric.startswith(FRACTIONS):
        low, high = wilson(mean, int(min(_images(row) for row in members)))
    else:
        return mean, mean
    return (max(low, 0.0), min(high, 1.0)) if metric.startswith(FRACTIONS) else (low, high)


def _images(row: dict[str, Cell]) -> int:
    """Number of images of a row; 0 if it is not known."""
    images = row["images"]
    return images if isinstance(images, int) else 0


def _unit(metric: str) -> tuple[str, float]:
    if metric.startswith(("error_", "own_error_")):
        return f"{metric.replace('_', ' ', 1)} [%]", 100.0
    return UNITS.get(metric, (metric, 1.0))


def _float(cell: Cell) -> float:
    return float(cell) if isinstance(cell, (int, float)) else math.nan


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()
