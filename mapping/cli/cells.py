"""The commands about single cells: `crossgate fit` and `crossgate device`."""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

import devices
import mapping
from devices.errors import ParameterError
from mapping.cli.measured.curve_files import Columns, Compliance, Files, Only, Recorded, read_files
from mapping.cli.options import number
from mapping.files.whole_files import check_folder, write_whole
from mapping.presentation.outside_text import outside, readable, show_written
from mapping.presentation.quantities import duration, si
from mapping.presentation.wrapped_tables import Table

if TYPE_CHECKING:
    from devices.measurements.fitting import Estimate, Fit
    from devices.measurements.summary import Summary
    from mapping.hardware.description import Hardware


FITTED = "fitted.toml"  #: what `crossgate run --chip` takes


def fit(
    curves: Files,
    hold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Hold a parameter at a known value, such as c_gate=1.55e-3. May be repeated."
        ),
    ] = None,
    v_limit: Annotated[str | None, typer.Option(metavar="V", help="Ignore points at larger voltages.")] = None,
    bound: Annotated[
        str,
        typer.Option(
            metavar="PART", help="Largest accepted half width of a 95 % interval, relative to the parameter's value."
        ),
    ] = "0.5",
    columns: Columns = None,
    compliance: Compliance = None,
    recorded: Recorded = None,
    only: Only = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="CHIP", help="Chip description that the file starts from: adaptive2d or two_terminal."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for fitted.toml, fit.json and fit.png.")] = Path("crossgate-fit"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the text of fit.json and nothing else.")] = False,
) -> None:
    """Fit a gated cell to measured curves and write a chip file for --chip, with an interval for each parameter."""
    held = dict(_held(each) for each in hold or ())
    limit = None if v_limit is None else number("--v-limit", v_limit)
    part = number("--bound", bound)
    start = base or ("two_terminal" if held.get("gain_min") == 1.0 else "adaptive2d")
    cell = mapping.load_hardware(start).cell

    if not isinstance(cell, devices.AdaptiveMemristor):
        raise ParameterError(f"--base must be a chip of gated filament cells, but the cells of {start!r} are {cell!r}")
    check_folder(out)
    measured = read_files(curves, columns, compliance, recorded, only).curves
    found = devices.measurements.fit_cell(measured, held, v_limit=limit, bound=part, start=cell)
    text = json.dumps(_as_json(found), indent=2)
    writers = {
        FITTED: lambda to: to.write_text(_chip_file(found, start), encoding="utf-8"),
        "fit.json": lambda to: to.write_text(text + "\n", encoding="utf-8"),
        "fit.png": lambda to: _draw_fit(found, to),
    }
    paths = write_whole(out, writers)
    if as_json:
        sys.stdout.write(text + "\n")
        return
    console = Console()
    _show_fit(found, console)
    show_written(paths, console)
    if found.usable:
        console.print(f"[dim]use it:  crossgate run --chip {outside(out / FITTED)}[/dim]", soft_wrap=True)
    else:
        console.print(
            "[yellow]do not use this fit as it is: the residuals follow a pattern, so the model does not describe this "
            f"cell; see {outside(out / 'fit.png')}[/yellow]",
            soft_wrap=True,
        )


def device(
    name: Annotated[
        str | None, typer.Argument(metavar="[PRESET|CHIP]", help="A preset, a bundled chip, or a .toml file.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figure.")] = Path("crossgate-device"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON and nothing else.")] = False,
) -> None:
    """Draw a cell: I-V curves, gate, switching, pulses, noise and retention. Without a name, list the presets."""
    if name is None:
        _show_presets(Console())
        return
    title, hardware = mapping.hardware.load_cell(name)
    check_folder(out)
    numbers = devices.measurements.summarise(hardware.cell, hardware.noise, hardware.dac.v_read, hardware.dac.t_read)
    paths = write_whole(out, {f"{title}.png": lambda to: _draw_cell(title, hardware, to)})
    if as_json:
        shown = {key: value if math.isfinite(value) else None for key, value in dataclasses.asdict(numbers).items()}
        sys.stdout.write(json.dumps({"cell": title, **shown}, indent=2) + "\n")
        return
    console = Console()
    _show_cell(title, hardware, numbers, console)
    show_written(paths, console)


def _held(text: str) -> tuple[str, float]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ParameterError(f"--hold takes KEY=VALUE such as c_gate=1.55e-3, got {text!r}")
    return key.strip().removeprefix("cell."), number(f"--hold {key.strip()}", value.strip())


def _chip_file(found: "Fit", base: str) -> str:
    """Return the chip description of a fit; values that the curves do not determine stay as in the base."""
    values: dict[str, float | str] = {each.name: each.value for each in found.estimates}
    comments = {
        each.name: "held" if each.held else f"{each.unit and each.unit + ', '}95 %: {each.low:.4g} ... {each.high:.4g}"
        for each in found.estimates
    }
    for end in ("v_gate_min", "v_gate_max"):
        if found.curves.gates.size > 1:
            values.setdefault(end, getattr(found.cell, end))
            comments.setdefault(end, "V, end of the measured gate voltages")
    source = _name(found)
    curves = found.curves
    head = (
        f"Fitted to {source}: {curves.v.size} points, {curves.states} filaments, {curves.gates.size} gate voltages.",
        f"Noise of the measurement: {found.noise_relative:.3g} of the current and {found.noise_floor:.3g} A.",
        "The curves do not determine writing, variability, read noise, wires and converters: these are the base's.",
        *(f"Note: {readable(note)}." for note in found.notes),
    )
    start = base if base in mapping.hardware_names() else str(Path(base).resolve())
    return mapping.hardware.cell_file(values, start, f"cell fitted to {source}", comments, head)


def _name(found: "Fit") -> str:
    """Return the names of the files without their folders, as text that any encoding can write."""
    return readable(", ".join(Path(each).name for each in found.curves.source.split(", ")))


def _as_json(found: "Fit") -> dict[str, Any]:
    def terminal_conductances(each: "Estimate") -> dict[str, Any]:
        return {"value": _plain(each.value), "low": _plain(each.low), "high": _plain(each.high), "unit": each.unit,
                "held": each.held}  # fmt: skip

    return {
        "source": found.curves.source,
        "points": found.curves.v.size,
        "confidence": 0.95,
        "parameters": {each.name: terminal_conductances(each) for each in found.estimates},
        "filaments": [terminal_conductances(each) for each in found.filaments],
        "noise_relative": found.noise_relative,
        "noise_floor_A": found.noise_floor,
        "residual_correlation": found.pattern,
        "usable": found.usable,
        "notes": list(found.notes),
    }


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _draw_fit(found: "Fit", path: Path) -> None:

    devices.plots.fit_figure(found).savefig(path, dpi=150)


def _draw_cell(title: str, hardware: "Hardware", path: Path) -> None:

    devices.plots.cell_figure(hardware.cell, title, noise=hardware.noise, v_read=hardware.dac.v_read).savefig(
        path, dpi=150
    )


def _show_fit(found: "Fit", console: Console) -> None:
    table = Table(title=f"cell fitted to {outside(found.curves.source)}", title_style="bold")
    table.add_column("parameter")
    for heading in ("value", "95 % interval"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    for each in (*found.estimates, *found.filaments):
        interval = "held" if each.held else f"{each.low:.4g} … {each.high:.4g}"
        if not each.held and each.value == each.low:  # at its bound
            interval = f"at most {each.high:.4g}"
        table.add_row(each.name, f"{each.value:.4g}", interval, each.unit)
    console.print(table)
    console.print(
        f"{found.curves.v.size} points, noise {100 * found.noise_relative:.2g} % of the current and "
        f"{si(found.noise_floor, 'A')}"
    )
    for note in found.notes:
        console.print(f"[yellow]note: {outside(note)}[/yellow]")


def _show_cell(title: str, hardware: "Hardware", numbers: "Summary", console: Console) -> None:
    table = Table(title=outside(title), title_style="bold", show_header=False)
    volts = f"{hardware.dac.v_read:g} V"
    table.add_row(
        "window", f"{si(numbers.g_min, 'S')} … {si(numbers.g_max, 'S')}, {numbers.g_max / numbers.g_min:.3g} : 1"
    )
    if hardware.cell.gated:
        low, high = hardware.cell.v_gate_min, hardware.cell.v_gate_max
        gains = f"{numbers.gain_low:.3g} at {low:g} V … {numbers.gain_high:.3g} at {high:g} V"
        table.add_row("read gain", f"{gains}, {numbers.gain_high / numbers.gain_low:.3g} : 1")
        closed = f", {_volts(numbers.v_set_closed)} at the closed gate"
    else:
        table.add_row("read gain", "no gate")
        closed = ""
    at = " at the open gate" if hardware.cell.gated else ""
    if math.isnan(numbers.v_set) and math.isnan(numbers.v_reset):
        table.add_row("switching", "none below 10 V at 1 V/s")
    else:
        table.add_row("SET, ramp of 1 V/s", f"{_volts(numbers.v_set)}{at}{closed}")
        table.add_row("RESET", f"{_volts(numbers.v_reset)}{at}")
    table.add_row(f"read noise at {volts}", f"{numbers.read_noise:.2%} of w = 0.5 in {si(hardware.dac.t_read, 's')}")
    worst = f"w = {numbers.retention_worst_state:g}"
    table.add_row("retention", f"{_duration(numbers.retention_worst)} until {worst} has lost 10 % of its conductance")
    if numbers.retention_worst_state != 1.0:
        table.add_row("", f"{_duration(numbers.retention)} until w = 1 has lost 10 %")
    console.print(table)


def _volts(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3g} V"


def _duration(seconds: float) -> str:
    return "over 300 years" if math.isinf(seconds) else duration(seconds)


def _show_presets(console: Console) -> None:

    table = Table("preset", "window", "gate", "about", title="cells", box=None)
    for name, make in devices.PRESETS.items():
        cell = make()
        window = f"{si(float(cell.g_min), 'S')} … {si(float(cell.g_max), 'S')}"
        about = (make.__doc__ or "").strip().splitlines()[0].removeprefix("Return ").rstrip(".")
        table.add_row(name, window, "yes" if cell.gated else "no", about)
    console.print(table)
