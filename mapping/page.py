"""The report as a page of its own, and what notebooks show of a report, a program and a chip.

Numbers are made ready here, as words and as places in drawings; how they look is the templates' business. A page needs
no other file and no network.
"""

import base64
import io
import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mapping.closeup import CloseUp, close_up
from mapping.output import si
from mapping.plots import ALONE, COLOURS, KIND_COLOURS, PHASE_COLOURS, TOGETHER, plot_drop, plot_gates
from mapping.program import Matrix, Program
from mapping.report import COMPONENTS, LayerReport, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mapping.chip import Chip
    from mapping.inference import RunResult

WIDTH = 960  # [px] of a drawing, ours
ARRAY_SIZES = ((150, 26.0), (600, 16.0), (2500, 9.0), (math.inf, 6.0))  # (arrays, px of each), ours
NAMED_ARRAYS = 600  # ours: beyond that single arrays carry no text of their own
FOLLOWING = 2  # images that the schedule shows behind the first, ours
TICKS = 6  # of a time axis at most, ours
CHARACTER, NAME = 7.0, 40  # [px] of a letter beside the schedule, letters of a name at most, ours
Z_95 = 1.959963984540054  # normal quantile of 97.5 %


def page(report: Report, result: "RunResult | None" = None) -> str:
    """Return a report as HTML text; with the run that was priced also its floor plan, worst array and attention."""
    return (
        _environment()
        .get_template("report.html")
        .render(
            _report(report),
            plan=None if result is None else _plan(result.chip.program),
            worst=None if result is None else _worst(close_up(result)),
            attention=None if result is None else _attention(result),
            channels=[layer for layer in report.layers if layer.column_gain is not None],
            dynamic=[layer for layer in report.layers if layer.attention_entropy is not None],
            configuration=_configuration(report.configuration),
            complete=result is not None,
        )
    )


def show_report(report: Report) -> str:
    """Return the totals and layers of a report as a piece of HTML."""
    return _environment().get_template("show_report.html").render(_report(report))


def show_program(program: Program) -> str:
    """Return the placement of a program as a piece of HTML."""
    return _show_placement(program, "compiled")


def show_chip(chip: "Chip") -> str:
    """Return the placement of a written chip as a piece of HTML."""
    return _show_placement(chip.program, f"written, seed {chip.seed}")


def _show_placement(program: Program, state: str) -> str:
    shape = program.hardware.tile
    title = f"{program.network.name} on {program.hardware.name}, {state}"
    template = _environment().get_template("show_program.html")
    return template.render(title=title, tile=f"{shape.rows} × {shape.columns}", plan=_plan(program))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mapping"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(si=si, percent=_percent)
    return environment


def _percent(value: float, digits: int = 1) -> str:
    return f"{100.0 * value:.{digits}f} %"


def _report(report: Report) -> dict[str, Any]:
    """Everything of a page that the report alone tells."""
    layers = report.layers
    error = _whole_ticks(max((max(layer.error, layer.own_error) for layer in layers), default=0.0))
    energy = max((layer.energy_J for layer in layers), default=0.0)
    latency = max((layer.latency_s for layer in layers), default=0.0)
    totals = {name: sum(layer.energy_by_component_J[name] for layer in layers) for name in COMPONENTS}
    return {
        "report": report,
        "colours": COLOURS,
        "phase_colours": PHASE_COLOURS,
        "alone": ALONE,
        "together": TOGETHER,
        "rows": [_layer(layer, error, energy, latency) for layer in layers],
        "components": [
            {"name": name, "colour": COLOURS[name], "energy": value, "share": _ratio(value, sum(totals.values()))}
            for name, value in totals.items()
        ],
        "interval": None if report.accuracy_chip is None else wilson(report.accuracy_chip, report.images),
        "dearest": max(layers, key=lambda layer: layer.energy_J, default=None),
        "slowest": max(layers, key=lambda layer: layer.latency_s, default=None),
        "schedule": _schedule(report),
        "areas": [
            {"name": name, "area": value, "share": _ratio(value, report.area_m2)}
            for name, value in report.area_by_component_m2.items()
        ],
    }


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share that was seen in `count` independent trials.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    if count <= 0:
        return 0.0, 1.0
    z = Z_95**2 / count
    middle, half = share + z / 2.0, math.sqrt(z * (share * (1.0 - share) + z / 4.0))
    return max((middle - half) / (1.0 + z), 0.0), min((middle + half) / (1.0 + z), 1.0)


def _ratio(value: float, whole: float) -> float:
    return value / whole if whole > 0.0 else 0.0


def _layer(layer: LayerReport, error: float, energy: float, latency: float) -> dict[str, Any]:
    """One row of the layers: bars in % of the widest."""
    return {
        "layer": layer,
        "own": 100.0 * _ratio(layer.own_error, error),
        "all": 100.0 * _ratio(layer.error, error),
        "energy": _stack(layer.energy_by_component_J, COLOURS, energy),
        "latency": _stack(layer.latency_by_phase_s, PHASE_COLOURS, latency),
    }


def _stack(parts: Mapping[str, float], colours: Mapping[str, str], whole: float) -> list[dict[str, Any]]:
    """Pieces of a bar side by side, in % of its width."""
    pieces, at = [], 0.0
    for name, colour in colours.items():
        width = 100.0 * _ratio(parts[name], whole)
        if width > 0.0:
            pieces.append({"name": name, "x": at, "width": width, "colour": colour, "value": parts[name]})
        at += width
    return pieces


def _whole_ticks(value: float) -> float:
    """Return the next larger 1, 2 or 5 times a power of ten; 1 for nothing."""
    if not value > 0.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1.0, 2.0, 5.0, 10.0) if power * step >= value * (1.0 - 1e-12))


def _schedule(report: Report) -> dict[str, Any]:
    """A drawing in px: a line for each layer, its phases from when it begins, of an image and those behind it."""
    longest = max((len(_short(layer.name)) for layer in report.layers), default=0)
    left, right, line = max(110.0, 20.0 + CHARACTER * longest), 78.0, 26.0
    pace = 1.0 / report.images_per_s if report.images_per_s else 0.0
    following = FOLLOWING if pace else 0
    total = max((layer.start_s + layer.latency_s for layer in report.layers), default=0.0) + following * pace
    width = WIDTH - left - right
    scale = _ratio(width, total)
    lines = []
    for at, layer in enumerate(report.layers):
        blocks = []
        for image in range(following + 1):
            now = layer.start_s + image * pace
            for phase, colour in PHASE_COLOURS.items():
                length = layer.latency_by_phase_s[phase]
                if length > 0.0:
                    blocks.append({
                        "name": phase, "x": left + now * scale, "width": max(length * scale, 1.0), "colour": colour,
                        "start": now, "length": length, "image": image, "opacity": 1.0 if image == 0 else 0.35,
                    })  # fmt: skip
                now += length
        end = layer.start_s + following * pace + layer.latency_s
        lines.append({
            "name": _short(layer.name), "y": at * line, "blocks": blocks, "end": left + end * scale,
            "start": layer.start_s, "length": layer.latency_s,
        })  # fmt: skip
    step = _whole_ticks(total / TICKS)
    ticks = [{"x": left + k * step * scale, "time": k * step} for k in range(int(total / step + 1e-9) + 1)]
    return {
        "lines": lines, "ticks": ticks if total > 0.0 else [], "left": left, "line": line, "width": WIDTH,
        "height": len(lines) * line, "total": total,
        "attends": any(layer.latency_by_phase_s["attention"] > 0.0 for layer in report.layers), "pace": pace,
    }  # fmt: skip


def _short(name: str) -> str:
    """Return a name that fits beside a drawing; of a long one the end tells more."""
    return name if len(name) <= NAME else f"…{name[-NAME + 1 :]}"


def _plan(program: Program) -> dict[str, Any]:
    """Blocks of arrays, one block a layer: the kernels of a tile below one another, tiles from left to right."""
    names = [layer.name for layer in program.folded.layers if program.of(layer.name)]
    arrays = sum(program.tiles(name) for name in names)
    size = next(px for most, px in ARRAY_SIZES if arrays <= most)
    blocks = [_block(program, name, size, named=arrays <= NAMED_ARRAYS) for name in names]
    shape = program.hardware.tile
    used = sum(2 * m.stored * m.copies * math.prod(tile.shape) for m in program.all_matrices for tile in m.tiles)
    kinds = dict.fromkeys(matrix.kind for name in names for matrix in program.of(name))
    return {
        "blocks": blocks, "arrays": arrays, "used": _ratio(used, arrays * shape.rows * shape.columns),
        "cells": used, "rows": shape.rows, "columns": shape.columns, "gated": "attention" in kinds,
        "kinds": {kind: KIND_COLOURS[kind] for kind in kinds},
    }  # fmt: skip


def _block(program: Program, name: str, size: float, *, named: bool) -> dict[str, Any]:
    shape = program.hardware.tile
    unit = size / max(shape.rows, shape.columns)
    width, height = shape.columns * unit, shape.rows * unit
    gap = max(1.0, round(size / 9.0))
    across = int((WIDTH - 40) / (width + gap))
    cells, right, bottom = [], 0.0, 0.0

    def put(matrix: Matrix, tile: int, kernel: int, x: float, y: float) -> None:
        placement = matrix.tiles[tile]
        rows, pairs = placement.shape[0] * matrix.bands, placement.shape[1]
        cells.append({
            "x": x, "y": y, "width": 2 * pairs * unit, "height": rows * unit, "colour": KIND_COLOURS[matrix.kind],
            "text": f"{matrix.name}, tile {tile}, kernel {kernel}: {rows} rows × {2 * pairs} columns, "
            f"{_percent(2 * rows * pairs / (shape.rows * shape.columns), 0)} of its cells",
        })  # fmt: skip

    main = [(matrix, tile) for matrix in program.matrices.get(name, ()) for tile in range(len(matrix.tiles))]
    tall = max((matrix.arrays for matrix, _ in main), default=1)
    for at, (matrix, tile) in enumerate(main):
        x, y = at % across * (width + gap), at // across * (tall * (height + gap) + 2.0 * gap)
        for kernel in range(matrix.arrays):
            put(matrix, tile, kernel, x, y + kernel * (height + gap))
        right, bottom = max(right, x + width), y + matrix.arrays * (height + gap) - gap
    others = [
        (matrix, tile) for matrix in program.matrices.get(f"{name}.attention", ()) for tile in range(len(matrix.tiles))
    ]
    down = max(1, round((bottom + gap) / (height + gap)))
    x_0 = right + 2.0 * gap + 2.0
    for at, (matrix, tile) in enumerate(others):
        x, y = x_0 + at // down * (width + gap), at % down * (height + gap)
        put(matrix, tile, 0, x, y)
        right, bottom = max(right, x + width), max(bottom, y + height)
    return {
        "name": name, "arrays": program.tiles(name), "used": program.utilisation(name), "cells": cells, "named": named,
        "width": right + 1.0, "height": bottom + 1.0, "array_width": width, "array_height": height,
    }  # fmt: skip


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
    """Draw on axes of their own and return the address of an SVG image that holds itself."""
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
        figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    return Markup("data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode("ascii"))  # noqa: S704


def _attention(result: "RunResult") -> list[dict[str, Any]]:
    """Of each dynamic layer and kernel: mean, spread and the middle 90 % of the attention over the images."""
    found = []
    for trace in result.layers:
        shares = trace.attention
        if shares is None or not len(shares):
            continue
        low, high = np.quantile(shares, (0.05, 0.95), axis=0)
        first = np.bincount(shares.argmax(1), minlength=shares.shape[1]) / len(shares)
        found.append({
            "name": trace.name,
            "kernels": [
                {"mean": float(m), "deviation": float(s), "low": float(a), "high": float(b), "first": float(c)}
                for m, s, a, b, c in zip(
                    shares.mean(0), shares.std(0), low, high, first, strict=True
                )
            ],
        })  # fmt: skip
    return found


def _configuration(configuration: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Sections of keys and values; the keys without a section come first."""
    plain = [(key, _word(value)) for key, value in configuration.items() if not isinstance(value, Mapping)]
    sections = [("chip", plain)]
    for key, value in configuration.items():
        if isinstance(value, Mapping):
            sections.append((key, [(name, _word(held)) for name, held in _flat(value)]))
    return sections


def _flat(section: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in section.items():
        rows += _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else [(f"{before}{key}", value)]
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
