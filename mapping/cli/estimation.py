"""The command `crossgate estimate`: energy, latency and area of a chip without writing or running it."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import mapping
from mapping.cli.options import DEFAULT_CHIP, DEFAULT_MODEL, AsJson, Chip, Data, Model, Settings, whole
from mapping.cli.reports.report_tables import show
from mapping.cli.terminal import load_images, progress_bars
from mapping.files.whole_files import check_folder
from mapping.presentation.outside_text import show_written


def estimate(
    model: Model = DEFAULT_MODEL,
    chip: Chip = DEFAULT_CHIP,
    settings: Settings = None,
    data: Data = None,
    images: Annotated[str, typer.Option(metavar="N", help="Number of test images that the estimate uses.")] = "16",
    out: Annotated[Path | None, typer.Option(help="Folder for report.json and report.csv.")] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate energy, latency and area per layer from the exact network's activations, without running a chip."""
    count = whole("--images", images, 1)
    network, hardware = mapping.load_model(model), mapping.load_hardware(chip).with_values(settings or ())
    if out is not None:
        check_folder(out)
    console = Console(stderr=True, quiet=as_json)
    calibration, test = load_images(network, data, count, console)
    with progress_bars(console) as progress:
        progress.add_task("compile", total=None)
        program = mapping.compile_network(network, hardware, calibration.images)
        progress.add_task("estimate", total=None)
        report = mapping.price_estimate(program, test.images)
    paths = [] if out is None else report.save_tables(out)
    if as_json:
        sys.stdout.write(report.to_json() + "\n")
        return
    show(report, Console())
    if paths:
        show_written(paths, Console())
