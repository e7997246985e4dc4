"""Figures of a study, drawn from its table; functions that draw one plot take and return axes."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mapping.studies.results import DISTINCT, MORE_IS_BETTER, Cell, Effect, Results, effects, groups, half_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WORSE, BETTER, LINE = "#ee6677", "#4477aa", "#4477aa"  # Paul Tol's bright scheme, safe for colour-blind readers
LINES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")  # the same
UNITS = {  # metric: (label, factor from the metric to the axis)
    "accuracy_chip": ("accuracy on the chip [%]", 100.0),
    "accuracy_exact": ("accuracy, exact [%]", 100.0),
    "energy_J_per_image": ("energy per image [nJ]", 1e9),
    "energy_low_J_per_image": ("energy per image, lower bound [nJ]", 1e9),
    "energy_high_J_per_image": ("energy per image, upper bound [nJ]", 1e9),
    "latency_s_per_image": ("latency per image [µs]", 1e6),
    "tops_per_watt": ("efficiency [TOPS/W]", 1.0),
    "images_per_s": ("throughput [images/s]", 1.0),
    "area_m2": ("area [mm²]", 1e6),
}
WIDE = 15.0  #: a positive parameter whose values span more than this factor gets a logarithmic axis, ours


def plot_tornado(found: Sequence[Effect], ax: "Axes | None" = None) -> "Axes":
    """Draw the effect of each parameter on a metric: a bar from the smallest to the largest change, the worst on top.

    Error bars are 95 % intervals; red is worse than the reference, blue is better.
    """
    ax = _axes(ax)
    label, factor = _unit(found[0].metric) if found else ("", 1.0)
    sign = -1.0 if found and found[0].metric in MORE_IS_BETTER else 1.0
    for place, effect in enumerate(found):
        ends = sorted(effect.levels, key=lambda level: level.change)
        for level in dict.fromkeys((ends[0], ends[-1])):
            change = factor * level.change
            colour = WORSE if sign * change > 0.0 else BETTER
            error = None if level.half_width is None else factor * level.half_width
            ax.barh(place, change, 0.6, color=colour, xerr=error, ecolor="#555555", capsize=3)
            if change:
                end = change + math.copysign(error or 0.0, change)
                ax.annotate(
                    level.label, (end, place), (math.copysign(5.0, change), 0.0), textcoords="offset points",
                    ha="left" if change > 0.0 else "right", va="center", fontsize="small",
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
    """Draw a metric over a parameter: the mean over the seeds and the 95 % band of this mean.

    A random sweep is drawn with a dot for each setting, and means and bands over groups of settings. Texts are drawn
    side by side, with error bars.  by: another parameter of a grid; each of its values gets a line.
    Raises ParameterError if the table has no such metric.
    """
    ax = _axes(ax)
    label, factor = _unit(results.metric(metric))
    rows = [row for row in results.rows if isinstance(row[metric], (int, float))]
    if results.one_at_a_time:
        rows = [row for row in rows if row["varied"] in {parameter, None} and row[parameter] is not None]
    binned = not results.one_at_a_time and not results.balanced
    parts = [("", rows)] if by is None else [(name, members) for name, _, members in groups(rows, by, binned=False)]
    wide = words = False
    for (name, members), colour in zip(parts, LINES * (len(parts) // len(LINES) + 1), strict=False):
        found = groups(members, parameter, binned=binned)
        places = [float(i) if at is None else at for i, (_, at, _) in enumerate(found)]
        words = words or any(at is None for _, at, _ in found)
        wide = wide or (not words and bool(places) and min(places) > 0.0 and max(places) > WIDE * min(places))
        means, widths = _band(found, metric, "point" if binned else "seed", factor)
        shown = f"{by} = {name}" if by is not None else None
        if words:
            ax.errorbar(places, means, widths, fmt="o", capsize=4, color=colour, label=shown)
            ax.set_xticks(places, [each for each, _, _ in found])
            continue
        if binned and len({row[parameter] for row in members}) > DISTINCT:
            dots = [(row[parameter], row[metric]) for row in members]
            ax.plot([_float(x) for x, _ in dots], [factor * _float(y) for _, y in dots], ".", color="#bbbbbb", zorder=1)
        ax.fill_between(
            places, [m - w for m, w in zip(means, widths, strict=True)],
            [m + w for m, w in zip(means, widths, strict=True)], color=colour, alpha=0.2, linewidth=0,
        )  # fmt: skip
        ax.plot(places, means, "o-", color=colour, label=shown)
    if wide and not words:
        ax.set_xscale("log")
    numbers = [row[parameter] for row in rows]
    if not words and not wide and all(isinstance(each, int) for each in numbers):
        ax.locator_params(axis="x", integer=True)
    if metric.startswith("accuracy"):
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, 0.0), min(high, 1.01 * factor))
    if by is not None:
        ax.legend(frameon=False, fontsize="small")
    ax.set_xlabel(parameter)
    ax.set_ylabel(label)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def study_figure(results: Results, metric: str = "accuracy_chip") -> "Figure":
    """Draw the effects of all parameters, and the metric over each parameter, in one figure."""
    from matplotlib.figure import Figure

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
    band = "; bands: 95 % of the mean" if seeds > 1 or not (results.one_at_a_time or results.balanced) else ""
    figure.suptitle(f"{settings} settings × {seeds} seed{'' if seeds == 1 else 's'}{failed}{band}")
    return figure


def _band(
    found: Sequence[tuple[str, float | None, list[dict[str, Cell]]]], metric: str, unit: str, factor: float
) -> tuple[list[float], list[float]]:
    """Return means and half widths of the 95 % intervals of groups, over the seeds or the settings in each."""
    means, widths = [], []
    for _, _, members in found:
        units = list(dict.fromkeys(row[unit] for row in members))
        values = []
        for each in units:
            mine = [_float(row[metric]) for row in members if row[unit] == each]
            values.append(factor * sum(mine) / len(mine))
        means.append(sum(values) / len(values))
        widths.append(half_width(values) or 0.0)
    return means, widths


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
