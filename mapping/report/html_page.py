"""The report as an HTML page, and its short form for notebooks.

Texts and positions of the drawings are computed here; the templates lay them out. A page needs no other file and no
network.
"""

import base64
import io
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from mapping.inference.traces import RunResult
from mapping.inference.worst_array import CloseUp, close_up
from mapping.presentation.colours import ATTENTION, COLOURS, PHASE_COLOURS
from mapping.presentation.html_templates import environment
from mapping.presentation.quantities import ratio
from mapping.report.keeping_texts import keeping_rows, state_of_chip
from mapping.report.page_drawings import comparison, schedule, whole_ticks
from mapping.report.plots import plot_drop, plot_gates
from mapping.report.values import COMPONENTS, LayerReport, ReportValues

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def page(report: ReportValues, result: RunResult | None = None) -> str:
    """Return a report as HTML text; with the run also its floor plan, worst array and attention."""
    return (
        environment()
        .get_template("report.html")
        .render(
            _report(report),
            plan=None if result is None else result.chip.program.floor_plan.drawing(),
            worst=None if result is None else _worst(close_up(result)),
            attention=None if result is None else _attention(result),
            channels=[layer for layer in report.layers if layer.column_gain is not None],
            dynamic=[layer for layer in report.layers if layer.attention_entropy is not None],
            attention_colour=ATTENTION,
            comparison=comparison(report),
            configuration=_configuration(report.configuration),
            complete=result is not None,
        )
    )


def show_report(report: ReportValues) -> str:
    """Return the totals and layers of a report as a fragment of HTML."""
    return environment().get_template("show_report.html").render(_report(report))


def _report(report: ReportValues) -> dict[str, Any]:
    """Values of the template that come from the report alone."""
    layers = report.layers
    ran = any(not math.isnan(layer.error) for layer in layers)  # an estimate and a run on a card have no errors
    error = whole_ticks(max((max(layer.error, layer.own_error) for layer in layers), default=0.0))
    energy = max((layer.energy_J for layer in layers), default=0.0)
    latency = max((layer.latency_s for layer in layers), default=0.0)
    totals = {name: sum(layer.energy_by_component_J[name] for layer in layers) for name in COMPONENTS}
    phases = {name: sum(layer.latency_by_phase_s[name] for layer in layers) for name in PHASE_COLOURS}
    return {
        "report": report,
        "ran": ran,
        "colours": _used(COLOURS, totals),
        "phase_colours": _used(PHASE_COLOURS, phases),
        "rows": [_layer(layer, error, energy, latency) for layer in layers],
        "components": [
            {"name": name, "colour": COLOURS[name], "energy": value, "share": ratio(value, sum(totals.values()))}
            for name, value in totals.items()
            if value > 0.0
        ],
        "costliest": max(layers, key=lambda layer: layer.energy_J, default=None),
        "slowest": max(layers, key=lambda layer: layer.latency_s, default=None),
        "schedule": schedule(report),
        "state": state_of_chip(report),
        "keeping": () if report.keeping is None else keeping_rows(report, report.keeping),
        "areas": [
            {"name": name, "area": value, "share": ratio(value, report.area_m2)}
            for name, value in report.area_by_component_m2.items()
            if value > 0.0
        ],
    }


def _layer(layer: LayerReport, error: float, energy: float, latency: float) -> dict[str, Any]:
    """One row of the table of layers; bars are in % of the longest."""
    known = not math.isnan(layer.error)
    return {
        "layer": layer,
        "own": 100.0 * ratio(layer.own_error, error) if known else 0.0,
        "all": 100.0 * ratio(layer.error, error) if known else 0.0,
        "energy": _stack(layer.energy_by_component_J, COLOURS, energy),
        "latency": _stack(layer.latency_by_phase_s, PHASE_COLOURS, latency),
    }


def _used(colours: Mapping[str, str], totals: Mapping[str, float]) -> dict[str, str]:
    """Colours of what is not zero: the rest needs no place in a key."""
    return {name: colour for name, colour in colours.items() if totals[name] > 0.0}


def _stack(parts: Mapping[str, float], colours: Mapping[str, str], whole: float) -> list[dict[str, Any]]:
    """Pieces of a stacked bar, in % of its width."""
    pieces, at = [], 0.0
    for name, colour in colours.items():
        width = 100.0 * ratio(parts[name], whole)
        if width > 0.0:
            pieces.append({"name": name, "x": at, "width": width, "colour": colour, "value": parts[name]})
        at += width
    return pieces


def _worst(found: CloseUp | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "close_up": found,
        "largest": float(found.drop.max()),
        "mean": float(found.drop.mean()),
        "v_largest": float(found.v_rows.max()),
        "shape": found.array.shape,
        "drop": _picture(lambda ax: plot_drop(found, ax)),
        "gates": None if found.gain is None else _picture(lambda ax: plot_gates(found, ax)),
    }


def _picture(draw: "Callable[[Axes], Axes]") -> Markup:
    """Draw on new axes and return the figure as a data URL of an SVG image."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": "crossgate", "font.family": "sans-serif", "font.size": 9.0,
        "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    }  # fmt: skip
    file = io.BytesIO()
    with rc_context(style):
        figure = Figure(figsize=(4.9, 3.5))
        draw(figure.add_axes((0.11, 0.14, 0.66, 0.8)))
        figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.05)
    return Markup("data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode("ascii"))  # noqa: S704


def _attention(result: RunResult) -> list[dict[str, Any]]:
    """For each dynamic layer and kernel: mean, standard deviation and middle 90 % of the attention over the images."""
    found = []
    for trace in result.layers:
        weights = trace.attention
        if weights is None or not len(weights):
            continue
        low, high = np.quantile(weights, (0.05, 0.95), axis=0)
        first = np.bincount(weights.argmax(1), minlength=weights.shape[1]) / len(weights)
        found.append({
            "name": trace.name,
            "kernels": [
                {"mean": float(m), "deviation": float(s), "low": float(a), "high": float(b), "first": float(c)}
                for m, s, a, b, c in zip(
                    weights.mean(0), weights.std(0), low, high, first, strict=True
                )
            ],
        })  # fmt: skip
    return found


def _configuration(configuration: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Sections of keys and values; keys without a section come first."""
    plain = [(key, _word(value)) for key, value in configuration.items() if not isinstance(value, Mapping)]
    sections = [("chip", plain)]
    for key, value in configuration.items():
        if isinstance(value, Mapping):
            sections.append((key, [(name, _word(held)) for name, held in _flat(value)]))
    return sections


def _flat(section: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in section.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{before}{key}.") or [(f"{before}{key}", "none")]
        else:
            rows.append((f"{before}{key}", value))
    return rows


def _word(value: object) -> str:
    if value is None:
        return "ideal"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, np.ndarray) and value.size > 4:
        return f"{value.size} values, {value.min():.4g} … {value.max():.4g}"
    if isinstance(value, (list, tuple, np.ndarray)):
        return ", ".join(_word(each) for each in value)
    return str(value)
