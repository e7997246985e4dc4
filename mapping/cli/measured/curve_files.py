"""The command `crossgate curves`: shows how measured files are read before a fit; its options are those of `fit`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

import devices
from devices.errors import ParameterError
from devices.measurements.files.headings import UNITS
from mapping.cli.options import number
from mapping.files.whole_files import check_folder, write_whole
from mapping.presentation.outside_text import outside, readable, show_written
from mapping.presentation.quantities import si
from mapping.presentation.wrapped_tables import Table

if TYPE_CHECKING:
    from devices.measurements.curves import Reading

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILES...", help="Tables of measured points as instruments write them (docs/fitting.md)."),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=HEADING,...",
        help="Assign columns to quantities, such as voltage=AV,current=AI,gate=VG; or by number, counted from 1.",
    ),
]
Compliance = Annotated[
    str | None,
    typer.Option(metavar="A", help="Compliance current. Default: the file's own value, or a plateau in the data."),
]
Recorded = Annotated[
    str | None,
    typer.Option(
        metavar="measured|programmed", help="Whether the file's voltages at the compliance limit are measured ones."
    ),
]
Only = Annotated[
    str | None, typer.Option(metavar="HEADING=VALUE,...", help="Use only these rows, such as Wordline=3,Bitline=7.")
]


ORDER = (  #: of quantities in the table
    "v", "current", "resistance", "conductance", "v_gate", "time", "sweep", "state", "tag", "word_line", "bit_line", "",
)  # fmt: skip


def curves(
    files: Files,
    columns: Columns = None,
    compliance: Compliance = None,
    recorded: Recorded = None,
    only: Only = None,
    out: Annotated[Path, typer.Option(help="Folder for curves.png.")] = Path("crossgate-curves"),
    as_json: Annotated[bool, typer.Option("--json", help="Print this as JSON and nothing else.")] = False,
) -> None:
    """Show how measured files are read, before any fit: columns, units, sweeps, current limits and a figure."""
    check_folder(out)
    reading = read_files(files, columns, compliance, recorded, only)
    paths = write_whole(out, {"curves.png": lambda to: _draw(reading, to)})
    if as_json:
        sys.stdout.write(json.dumps(_as_json(reading), indent=2) + "\n")
        return
    console = Console()
    _show(reading, console)
    show_written(paths, console)


def read_files(
    files: list[Path], columns: str | None, compliance: str | None, recorded: str | None, only: str | None
) -> "Reading":
    """Read measured files with the options as typed."""
    limit = None if compliance is None else number("--compliance", compliance)
    if recorded is not None and recorded not in {"measured", "programmed"}:
        raise ParameterError(f"--recorded must be measured or programmed, got {recorded!r}")
    return devices.measurements.read_measurement(
        files, _pairs("--columns", columns, "voltage=AV,current=AI"), compliance=limit, recorded=recorded,
        only=_pairs("--only", only, "Wordline=3,Bitline=7"),
    )  # fmt: skip


def _pairs(option: str, text: str | None, example: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ParameterError(
                f"{option} takes NAME=HEADING pairs with commas between, such as {example}, got {text!r}"
            )
        if key.strip() in pairs:
            raise ParameterError(f"{option} names {key.strip()!r} twice")
        pairs[key.strip()] = value.strip()
    return pairs


def _show(reading: "Reading", console: Console) -> None:
    for each in reading.tables:
        console.print(f"[bold]{outside(each.source)}[/bold]: {outside(each.wrote)}", soft_wrap=True)
        table = Table()
        for heading in ("quantity", "column", "unit"):
            table.add_column(heading)
        for column in sorted(each.columns, key=lambda heading: ORDER.index(heading.quantity or "")):
            unit = column.written or (f"{_unit(column.quantity)}, as none is given" if _unit(column.quantity) else "")
            table.add_row(_word(column.quantity), outside(column.title), outside(unit))
        if each.unused:
            table.add_row("not used", outside(", ".join(each.unused)), "")
        console.print(table)
        console.print(f"{each.points} points{f', {each.sweeps} sweeps side by side' if each.sweeps > 1 else ''}")
        for note in each.notes:
            console.print(f"[yellow]note: {outside(note)}[/yellow]")
    _show_points(reading, console)


def _show_points(reading: "Reading", console: Console) -> None:
    points = reading.curves
    table = Table(title="together", title_style="bold", show_header=False)
    table.add_row("points", str(points.v.size))
    table.add_row("sweeps", str(int(points.sweep.max()) + 1))
    table.add_row("filaments", str(points.states))
    table.add_row("voltage", f"{points.v.min():.4g} … {points.v.max():.4g} V")
    gates = points.gates
    table.add_row("gate voltage", f"{gates[0]:.4g} … {gates[-1]:.4g} V, {gates.size} different")
    table.add_row("current", f"{si(float(points.current.min()), 'A')} … {si(float(points.current.max()), 'A')}")
    for limit in reading.limits:
        how = "programmed voltages: a lower bound" if limit.programmed else "measured voltages: kept"
        told = "found in the data" if limit.found else "given"
        table.add_row("limit", f"{si(limit.current, 'A')}, {limit.points} points, {told}; {how}")
    if not reading.limits:
        table.add_row("limit", "none")
    console.print(table)


def _word(quantity: str | None) -> str:
    names = {"v": "voltage", "v_gate": "gate voltage", "word_line": "word line", "bit_line": "bit line"}
    return names.get(quantity or "", quantity or "")


def _unit(quantity: str | None) -> str:
    return UNITS.get(quantity or "", "")


def _as_json(reading: "Reading") -> dict[str, Any]:
    points = reading.curves
    return {
        "tables": [
            {
                "source": readable(each.source),
                "wrote": each.wrote,
                "columns": [
                    {"quantity": _word(one.quantity), "column": one.title, "unit": one.written or _unit(one.quantity)}
                    for one in each.columns
                ],
                "unused": list(each.unused),
                "sweeps": each.sweeps,
                "points": each.points,
                "notes": [readable(note) for note in each.notes],
            }
            for each in reading.tables
        ],
        "points": int(points.v.size),
        "sweeps": int(points.sweep.max()) + 1,
        "filaments": points.states,
        "voltage_V": [float(points.v.min()), float(points.v.max())],
        "gate_voltages_V": [float(gate) for gate in points.gates],
        "current_A": [float(points.current.min()), float(points.current.max())],
        "limits": [
            {"current_A": limit.current, "points": limit.points, "censored": limit.programmed, "found": limit.found}
            for limit in reading.limits
        ],
    }


def _draw(reading: "Reading", path: Path) -> None:
    devices.plots.curves_figure(reading.curves).savefig(path, dpi=150)
