"""`crossgate laws`: laws of the literature fitted to measured points and compared."""

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

import devices
import mapping
from devices.errors import ParameterError
from mapping.cli.measured.curve_files import Columns, Compliance, Only, Recorded, read_files
from mapping.cli.options import number, whole
from mapping.files.whole_files import check_folder, write_whole
from mapping.presentation.outside_text import outside, readable, show_written
from mapping.presentation.quantities import si
from mapping.presentation.wrapped_tables import Table

if TYPE_CHECKING:
    from devices.measurements.law_fitting import Comparison, LawFit

#: laws that a chip can be made of, how, and the preset and the chip that hold what no curve tells
CELLS = {
    "vteam": ("vteam_cell", "vteam", "two_terminal"),
    "stanford_pku": ("pku_cell", "stanford_pku", "two_terminal"),
    "gated_filament": ("filament_cell", "adaptive_2d", "adaptive2d"),
}
FITTED = "fitted.toml"
Intervals = dict[str, tuple[float, float]]


def laws(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILES...]", help="Tables of measured points; without them the laws are listed."),
    ] = None,
    law: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="Laws to fit, such as sinh,schottky; without it all that take the points."
        ),
    ] = None,
    hold: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A parameter that is known, for every law that has it."),
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="V/S", help="Rate of the sweep, for loops without a column of times.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(metavar="K", help="The filament to fit, from 0 on, where there are several.")
    ] = None,
    bound: Annotated[
        str, typer.Option(metavar="PART", help="Half of an interval over its value that is still accepted.")
    ] = "0.5",
    draws: Annotated[
        str | None, typer.Option("--bootstrap", metavar="N", help="Intervals of the best law from N draws as well.")
    ] = None,
    columns: Columns = None,
    compliance: Compliance = None,
    recorded: Recorded = None,
    only: Only = None,
    out: Annotated[
        Path, typer.Option(help="Folder for laws.json, laws.png, and fitted.toml where a chip can be made.")
    ] = Path("crossgate-laws"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the text of laws.json and nothing else.")] = False,
) -> None:
    """Fit laws of the literature to measured points and compare them; without files, list the laws."""
    console = Console()
    if not files:
        _list_laws(console)
        return
    names = [] if law is None else [each.strip() for each in law.split(",")]
    for name in names:
        devices.checks.known("law", name, devices.measurements.LAWS)
    times = None if draws is None else whole("--bootstrap", draws, 20)
    check_folder(out)
    curves = read_files(files, columns, compliance, recorded, only).curves
    if rate is not None:
        curves = devices.measurements.with_rate(curves, number("--rate", rate))
    if state is not None:
        which = whole("--state", state, 0)
        if which >= curves.states:
            raise ParameterError(f"--state must be below the {curves.states} filaments of {curves.source}, got {which}")
        curves = curves.where(curves.state == which)
    found = devices.measurements.compare_laws(curves, names, _held(hold or (), names), bound=number("--bound", bound))
    intervals: Intervals = {}
    if times is not None:
        intervals = devices.measurements.bootstrap(found.fits[0], devices.numerics.generator(0), times)
    text = json.dumps(_as_json(found, intervals), indent=2)
    writers: dict[str, Callable[[Path], object]] = {
        "laws.json": lambda to: to.write_text(text + "\n", encoding="utf-8"),
        "laws.png": lambda to: devices.plots.laws_figure(found.fits).savefig(to, dpi=150),
    }
    best = found.fits[0]
    if best.law.name in CELLS and best.usable:
        writers[FITTED] = lambda to: to.write_text(_chip_file(best), encoding="utf-8")
    paths = write_whole(out, writers)
    if as_json:
        sys.stdout.write(text + "\n")
        return
    _show(found, intervals, console)
    show_written(paths, console)
    if FITTED in writers:
        console.print(f"[dim]use it:  crossgate run --chip {outside(out / FITTED)}[/dim]", soft_wrap=True)


def _chip_file(fit: "LawFit") -> str:
    """Return the description of a chip of the fitted cell; what no curve tells is that of its preset and base."""
    maker, preset, base = CELLS[fit.law.name]
    cell = getattr(devices.measurements, maker)(fit.values)
    values: dict[str, float | str] = {"preset": preset}
    values |= {
        each.name: value for each in dataclasses.fields(cell) if isinstance(value := getattr(cell, each.name), float)
    }
    source = readable(", ".join(Path(each).name for each in fit.curves.source.split(", ")))
    noise = f"Noise of the measurement: {fit.noise_relative:.3g} of the current and {fit.noise_floor:.3g} A."
    head = (f"The law {fit.law.name} fitted to {source}: {fit.curves.v.size} points.", noise)
    return mapping.hardware.cell_file(values, base, f"cell fitted to {source}", {}, head)


def _held(texts: "list[str] | tuple[()]", names: list[str]) -> dict[str, dict[str, float]]:
    """Return the held values by the laws that have them."""
    chosen = {name: devices.measurements.LAWS[name] for name in names or devices.measurements.LAWS}
    result: dict[str, dict[str, float]] = {name: {} for name in chosen}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ParameterError(f"--hold takes KEY=VALUE such as c_gate=1.15e-4, got {text!r}")
        key = key.strip()
        takers = [name for name, law in chosen.items() if key in law.fixed or key in law.needed or key in law.names]
        if not takers:
            valid = [each for one in chosen.values() for each in (*one.names, *one.fixed, *one.needed)]
            devices.checks.known("parameter to hold", key, valid)
        for name in takers:
            result[name][key] = number(f"--hold {key}", value.strip())
    return result


def _list_laws(console: Console) -> None:
    table = Table("law", "about", "parameters", title="laws to fit", box=None)
    for name, law in devices.measurements.LAWS.items():
        table.add_row(name, law.about, ", ".join((*law.names, *(f"{each} (hold it)" for each in law.needed))))
    console.print(table)


def _show(found: "Comparison", intervals: Intervals, console: Console) -> None:
    table = Table(title="laws, the best first", title_style="bold")
    for heading in ("law", "AIC", "BIC", "parameters", "noise", "correlation"):
        table.add_column(heading, justify="left" if heading == "law" else "right")
    best = found.fits[0]
    for fit in found.fits:
        table.add_row(
            fit.law.name, f"{fit.aic - best.aic:+.1f}", f"{fit.bic - best.bic:+.1f}", str(fit.free - 2),
            f"{100 * fit.noise_relative:.2g} % and {si(fit.noise_floor, 'A')}", f"{fit.pattern:.2f}",
        )  # fmt: skip
    console.print(table)
    table = Table(title=f"{best.law.name}: {outside(best.law.about)}", title_style="bold")
    for heading in ("parameter", "value", "95 % interval", *(["bootstrap"] if intervals else []), "unit"):
        table.add_column(heading, justify="left" if heading in {"parameter", "unit"} else "right")
    for each in best.estimates:
        interval = "held" if each.held else f"{each.low:.4g} … {each.high:.4g}"
        low, high = intervals.get(each.name, (math.nan, math.nan))
        more = [f"{low:.4g} … {high:.4g}" if each.name in intervals else ""] if intervals else []
        table.add_row(each.name, f"{each.value:.4g}", interval, *more, each.unit)
    console.print(table)
    for note in best.notes:
        console.print(f"[yellow]note: {outside(note)}[/yellow]")
    for name, sentence in found.refused.items():
        console.print(f"[dim]{name} is left out: {outside(sentence)}[/dim]", soft_wrap=True)


def _as_json(found: "Comparison", intervals: Intervals) -> dict[str, Any]:
    def plain(value: float) -> float | str:
        return value if math.isfinite(value) else str(value)

    def shown(fit: "LawFit") -> dict[str, Any]:
        return {
            "law": fit.law.name, "aic": fit.aic, "bic": fit.bic, "log_likelihood": fit.log_likelihood,
            "points": int(fit.curves.v.size), "noise_relative": fit.noise_relative, "noise_floor_A": fit.noise_floor,
            "residual_correlation": fit.pattern, "usable": fit.usable, "notes": list(fit.notes),
            "source": fit.law.source,
            "parameters": {
                each.name: {"value": plain(each.value), "low": plain(each.low), "high": plain(each.high),
                            "unit": each.unit, "held": each.held}
                for each in fit.estimates
            },
        }  # fmt: skip

    return {
        "source": found.fits[0].curves.source,
        "confidence": 0.95,
        "fits": [shown(fit) for fit in found.fits],
        "bootstrap": {name: list(ends) for name, ends in intervals.items()},
        "refused": dict(found.refused),
    }
