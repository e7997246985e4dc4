"""Figures drawn from a report alone; those of one plot take and return axes, and own a figure only if they made it."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mapping.report import Report

COLOURS = {
    "array": "#4477aa", "adc": "#ee6677", "drivers": "#228833", "gates": "#ccbb44", "digital": "#66ccee",
    "buffers": "#aa3377",
}  # fmt: skip  (Paul Tol's bright scheme, safe for colour-blind readers)


def plot_energy(report: "Report", ax: "Axes | None" = None) -> "Axes":
    """Draw each layer's energy per image as a stack of components."""
    ax = _axes(ax)
    names = [layer.name for layer in report.layers]
    base = np.zeros(len(names))
    for component, colour in COLOURS.items():
        values = np.array([layer.energy_by_component_J[component] for layer in report.layers]) * 1e9
        ax.bar(names, values, bottom=base, color=colour, label=component)
        base += values
    ax.set_ylabel("energy per image [nJ]")
    ax.legend(frameon=False, ncols=2, fontsize="small")
    return _tidy(ax)


def plot_error(report: "Report", ax: "Axes | None" = None) -> "Axes":
    """Draw each layer's error: its own, and with those of the layers before it."""
    ax = _axes(ax)
    names = [layer.name for layer in report.layers]
    at = np.arange(len(names))
    ax.bar(at - 0.2, [100 * layer.own_error for layer in report.layers], 0.4, color="#4477aa", label="this layer alone")
    ax.bar(at + 0.2, [100 * layer.error for layer in report.layers], 0.4, color="#bbbbbb", label="all layers up to it")
    ax.set_xticks(at, names)
    ax.set_ylabel("error of the outputs [%]")
    ax.legend(frameon=False, fontsize="small")
    return _tidy(ax)


def plot_latency(report: "Report", ax: "Axes | None" = None) -> "Axes":
    """Draw the time that one image spends in each layer."""
    ax = _axes(ax)
    ax.bar([layer.name for layer in report.layers], [layer.latency_s * 1e6 for layer in report.layers], color="#4477aa")
    ax.set_ylabel("latency per image [µs]")
    return _tidy(ax)


def plot_report(report: "Report") -> "Figure":
    """Draw error, energy and latency of every layer side by side, as a figure of its own."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    axes: Any = figure.subplots(1, 3)
    plot_error(report, axes[0])
    plot_energy(report, axes[1])
    plot_latency(report, axes[2])
    accuracy = ""
    if report.accuracy_chip is not None and report.accuracy_exact is not None:
        accuracy = f": {report.accuracy_chip:.2%} on the chip, {report.accuracy_exact:.2%} exact"
    figure.suptitle(f"{report.model} on {report.chip}{accuracy}, {report.images} images, seed {report.seed}")
    return figure


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()


def _tidy(ax: "Axes") -> "Axes":
    ax.tick_params(axis="x", rotation=60)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
