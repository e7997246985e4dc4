"""Figures of a report, of a layer's attention and of the worst array.

Functions that draw one plot take and return axes; without axes they make a figure.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crossbar.plots import plot_gate_voltage, plot_map
from devices.errors import ParameterError
from mapping.inference.traces import LayerTrace
from mapping.inference.worst_array import CloseUp
from mapping.presentation.colours import ATTENTION, COLOURS, INK, PHASE_COLOURS
from mapping.presentation.names import BELOW_BARS, shortened
from mapping.report.keeping_texts import state_of_chip
from mapping.report.values import ReportValues

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


CROWDED = 24  # names of layers below an axis that still have room, ours


def plot_energy(report: ReportValues, ax: "Axes | None" = None) -> "Axes":
    """Draw each layer's energy per image as a stack of components."""
    ax = _axes(ax)
    _stacks(ax, COLOURS, [layer.energy_by_component_J for layer in report.layers], 1e9)
    ax.set_ylabel("energy per image [nJ]")
    _legend(ax, 3)
    return _tidy(ax, report)


def plot_error(report: ReportValues, ax: "Axes | None" = None) -> "Axes":
    """Draw each layer's own error, and its total error with those of the layers before it."""
    ax = _axes(ax)
    at = np.arange(len(report.layers))
    outlined: dict[str, Any] = {"color": "none", "edgecolor": INK}
    ax.bar(at - 0.2, [100 * layer.own_error for layer in report.layers], 0.4, color=INK, label="own error")
    ax.bar(at + 0.2, [100 * layer.error for layer in report.layers], 0.4, label="total error", **outlined)
    ax.set_ylabel("error of the outputs [%]")
    _legend(ax, 2)
    return _tidy(ax, report)


def plot_latency(report: ReportValues, ax: "Axes | None" = None) -> "Axes":
    """Draw the time that one image spends in each layer as a stack of phases."""
    ax = _axes(ax)
    _stacks(ax, PHASE_COLOURS, [layer.latency_by_phase_s for layer in report.layers], 1e6)
    ax.set_ylabel("latency per image [µs]")
    _legend(ax, 2)
    return _tidy(ax, report)


def plot_schedule(report: ReportValues, ax: "Axes | None" = None) -> "Axes":
    """Draw the schedule of one image: attention, settling of the gates, writes and reads of each layer."""
    ax = _axes(ax)
    starts = np.array([layer.start_s for layer in report.layers])
    for phase, colour in PHASE_COLOURS.items():
        lengths = np.array([layer.latency_by_phase_s[phase] for layer in report.layers])
        if lengths.any():
            ax.barh(np.arange(len(starts)), lengths * 1e6, left=starts * 1e6, color=colour, label=phase)
        starts += lengths
    ax.set_yticks(np.arange(len(starts)), [shortened(layer.name) for layer in report.layers])
    ax.invert_yaxis()
    ax.set_xlabel("time since the image arrived [µs]")
    if report.layers:
        ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_attention(trace: LayerTrace, ax: "Axes | None" = None) -> "Axes":
    """Draw the distribution of a dynamic layer's attention weights over the images, a box for each kernel.

    Raises ParameterError for a layer without attention.
    """
    if trace.attention is None or not len(trace.attention):
        raise ParameterError(f"{trace.name} has no attention to draw: it is not a dynamic layer, or no image was run")
    ax = _axes(ax)
    ax.boxplot(trace.attention, whis=(5, 95), showfliers=False, medianprops={"color": ATTENTION})
    ax.set(xlabel="kernel", ylabel="attention weight", ylim=(0.0, 1.02))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_drop(close_up: CloseUp, ax: "Axes | None" = None) -> "Axes":
    """Draw the IR drop of each cell, in % of the largest row voltage."""
    return plot_map(100.0 * close_up.drop, "IR drop", "% of the largest row voltage", ax)


def plot_gates(close_up: CloseUp, ax: "Axes | None" = None) -> "Axes":
    """Draw the effective gate voltage of each cell, which includes the shift of its Dirac point.

    Raises ParameterError if the array has no gates that follow the attention.
    """
    if close_up.gain is None or close_up.v_gate is None:
        raise ParameterError(f"{close_up.matrix} has no gates that follow the attention")
    volts = close_up.v_gate if close_up.v_cells is None else close_up.v_cells
    return plot_gate_voltage(close_up.array, volts, ax)


def report_figure(report: ReportValues) -> "Figure":
    """Draw error, if it is known, energy and latency of every layer side by side in one figure."""
    from matplotlib.figure import Figure

    ran = any(not math.isnan(layer.error) for layer in report.layers)  # an estimate and a run on a card have no errors
    draws = [plot_error, plot_energy, plot_latency][0 if ran or not report.layers else 1 :]
    figure = Figure(figsize=(max(13.0, 0.6 * len(report.layers) + 5.0), 4.8), layout="constrained")
    axes: Any = figure.subplots(1, len(draws), squeeze=False)
    for draw, ax in zip(draws, axes.flat, strict=True):
        draw(report, ax)
    accuracy, where = "", f"on the chip {state_of_chip(report)}"
    if report.accuracy_chip is not None and report.accuracy_exact is not None:
        accuracy = f": {report.accuracy_chip:.2%} {where}, {report.accuracy_exact:.2%} exact"
    elif report.rms_error_chip is not None and report.rms_error_exact is not None:
        accuracy = f": error {report.rms_error_chip:.3g} {where}, {report.rms_error_exact:.3g} exact"
    made = "estimated" if report.seed is None else f"seed {report.seed}"
    figure.suptitle(f"{report.model} on {report.chip}{accuracy}, {report.images} images, {made}")
    return figure


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()


def _legend(ax: "Axes", columns: int) -> None:
    """Put the legend above the bars, where it covers none."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, ncols=columns, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0))


def _stacks(ax: "Axes", colours: Mapping[str, str], parts: Sequence[Mapping[str, float]], factor: float) -> None:
    """Draw a stacked bar for each layer; what is zero in all of them gets no place in the legend."""
    at, base = np.arange(len(parts)), np.zeros(len(parts))
    for name, colour in colours.items():
        values = factor * np.array([each[name] for each in parts], dtype=float)
        if values.any():
            ax.bar(at, values, bottom=base, color=colour, label=name)
        base += values


def _tidy(ax: "Axes", report: ReportValues) -> "Axes":
    """Name the layers below the bars."""
    names = [shortened(layer.name, BELOW_BARS) for layer in report.layers]
    ax.set_xticks(np.arange(len(names)), names)
    ax.tick_params(axis="x", rotation=60 if len(names) <= CROWDED else 90, labelsize=10 if len(names) <= CROWDED else 6)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
