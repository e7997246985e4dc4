"""The command `crossgate export-chip`: writes the tables from which a chip can be built."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import mapping
from devices.errors import ParameterError
from mapping import files, workflow
from mapping.cli.options import DEFAULT_CHIP, Chip, Data, Model, Settings, whole
from mapping.cli.terminal import load_images, progress_bars
from mapping.files.whole_files import check_new_folder
from mapping.presentation.outside_text import show_written

if TYPE_CHECKING:
    from mapping.chips.measured_cells import MeasuredCells
    from mapping.placement.program import Program

Measured = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Run on measured cells: a folder of export-chip, or its programming table, with measured conductances.",
    ),
]
Missing = Annotated[
    str, typer.Option(metavar="target|low", help="Conductance of cells that were not measured, for --measured.")
]


def export_chip(
    model: Model,
    chip: Chip = DEFAULT_CHIP,
    settings: Settings = None,
    data: Data = None,
    seed: Annotated[str, typer.Option(metavar="N", help="Seed of the chip's variability.")] = "0",
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Write targets only, of a chip that is not written yet.")
    ] = False,
    scheme: Annotated[
        str | None,
        typer.Option(
            metavar="amplitude|pulse-width|gate-assisted|array",
            help="Write scheme of the pulses. Default: array if the chip writes by simulated pulses, else amplitude.",
        ),
    ] = None,
    table: Annotated[str, typer.Option(metavar="csv|parquet", help="Format of the programming table.")] = "csv",
    netlist: Annotated[
        list[str] | None,
        typer.Option(metavar="MATRIX:TILE[:KERNEL]", help="Also write this tile as a netlist. May be repeated."),
    ] = None,
    out: Annotated[Path, typer.Option(help="A new or an empty folder.")] = Path("crossgate-chip"),
) -> None:
    """Write what is needed to build a chip: programming table, pulses, floor plan, gate lines, converters, netlists."""
    drawn = whole("--seed", seed, 0)
    tiles = [_tile(text) for text in netlist or ()]
    network, hardware = mapping.load_model(model), mapping.load_hardware(chip).with_values(settings or ())
    check_new_folder(out)
    console = Console(stderr=True)
    calibration, _ = load_images(network, data, 1, console)
    with progress_bars(console) as progress:
        cache = files.Cache.of_user()
        progress.add_task("compile", total=None)
        program = workflow.compiled(network, hardware, calibration.images, cache)
        progress.add_task("write", total=None)
        held = program if compiled else workflow.written(program, drawn, cache)
        progress.add_task("tables", total=None)
        paths = mapping.export_chip(held, out, table=table, scheme=scheme, netlists=tiles)
    show_written(paths, Console())


def _tile(text: str) -> tuple[str, int, int]:
    """Read MATRIX:TILE or MATRIX:TILE:KERNEL; the name of a matrix may hold colons."""
    parts = text.split(":")
    numbers: list[int] = []
    while len(parts) > 1 and len(numbers) < 2 and parts[-1].isdigit():
        numbers.insert(0, int(parts.pop()))
    if not numbers or not ":".join(parts):
        raise ParameterError(f"--netlist must be MATRIX:TILE or MATRIX:TILE:KERNEL, got {text!r}")
    tile, kernel = numbers if len(numbers) == 2 else (numbers[0], 0)
    return ":".join(parts), tile, kernel


def read(program: "Program", path: Path | None, missing: str, console: Console) -> "MeasuredCells | None":
    """Read the measured cells of `run --measured`, and say what was found."""
    if path is None:
        return None
    found = mapping.read_measured(program, path, missing=missing)
    console.print(str(found), soft_wrap=True, markup=False, highlight=False)
    return found
