"""The command `crossgate run`: runs a network on a simulated chip, with progress bars and a report."""

import contextlib
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import mapping
from devices.errors import ParameterError
from mapping import files, inference, studies, training, workflow
from mapping.cli.measured.chip_tables import Measured, Missing, read
from mapping.cli.options import DEFAULT_CHIP, DEFAULT_MODEL, AsJson, Chip, Data, Model, Settings, command_line, whole
from mapping.cli.reports.findings import loses, show_findings, show_offer, with_diagnosis, with_idle_keys
from mapping.cli.reports.report_tables import show
from mapping.cli.terminal import load_images, progress_bars, stoppable
from mapping.files.whole_files import check_folder
from mapping.presentation.outside_text import readable, show_written

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.aliases import FloatArray
    from mapping.chips.chip import Chip as WrittenChip
    from mapping.chips.distributed_work import Distribute
    from mapping.data.datasets import Dataset
    from mapping.hardware.description import Hardware
    from mapping.inference.traces import RunResult
    from mapping.networks.graph import Network
    from mapping.report.report import Report
    from mapping.workflow.kept_results import KeptRun

DEFAULT_OUT = Path("crossgate-out")
SAMPLED = 16  # images that the report shows attention and its worst array for, as `run` keeps
FIDELITIES = ("ideal", "linear", "nonlinear")


def run(
    model: Model = DEFAULT_MODEL,
    chip: Chip = DEFAULT_CHIP,
    settings: Settings = None,
    data: Data = None,
    images: Annotated[
        str | None, typer.Option(metavar="N", help="Number of images. Default: the whole test split.")
    ] = None,
    seed: Annotated[str, typer.Option(metavar="N", help="Seed of the chip's variability and of the read noise.")] = "0",
    fidelity: Annotated[
        str,
        typer.Option(
            help="ideal: no IR drop, no variability, no noise. linear: exact IR drop, variability and noise, with "
            "linear cells. nonlinear: the same run; in addition random reads of it are solved again with nonlinear "
            "current-voltage curves."
        ),
    ] = "linear",
    out: Annotated[
        Path, typer.Option(help="Folder for report.html, report.json, report.csv, layers.png, predictions.csv.")
    ] = DEFAULT_OUT,
    as_json: AsJson = False,
    device: Annotated[
        str,
        typer.Option(
            help="cpu, or cuda: outputs by PyTorch on a GPU, equal up to rounding; energies are then those of "
            "crossgate estimate."
        ),
    ] = "cpu",
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address of a Dask scheduler whose workers write the tiles and run the images.",
        ),
    ] = None,
    measured: Measured = None,
    missing: Missing = "target",
    until_lost: Annotated[
        bool,
        typer.Option(
            "--until-lost",
            help="Also find the number of images after which reads have cost one point of accuracy; some ten runs.",
        ),
    ] = False,
    diagnose: Annotated[
        bool,
        typer.Option(
            "--diagnose",
            help="Say which deviation costs what, each switched off alone, and what the compiler makes up for. A small "
            "network that loses more than two points, and more than chance explains, is diagnosed without being asked.",
        ),
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Compute everything anew and keep neither the chip nor a stopped run.")
    ] = False,
) -> None:
    """Run a network's inference on a simulated chip and report accuracy, energy and latency per layer.

    After Ctrl-C, the same command continues where it stopped.
    """
    if fidelity not in FIDELITIES:
        raise ParameterError(f"--fidelity must be one of {', '.join(FIDELITIES)}, got {fidelity!r}")
    count = None if images is None else whole("--images", images, 1)
    drawn = whole("--seed", seed, 0)
    if device != "cpu":
        training.check_device(device, "--device")
        if fidelity != "linear":
            raise ParameterError(f"--fidelity must be linear for --device {device}, got {fidelity!r}")
        if dask is not None:
            raise ParameterError(f"--dask must be left out for --device {device}, got {dask!r}")
    if measured is not None and fidelity == "ideal":
        raise ParameterError("--measured must be left out for --fidelity ideal, as an ideal chip has no measured cells")
    if until_lost and measured is not None:
        raise ParameterError(
            "--until-lost must be left out with --measured, whose cells are read as they were measured"
        )
    if diagnose and measured is not None:
        raise ParameterError("--diagnose must be left out for --measured, as errors of measured cells stay with them")
    network = mapping.load_model(model)
    hardware = mapping.load_hardware(chip).with_values(settings or ())
    if fidelity == "ideal":
        hardware = hardware.idealised()
    check_folder(out)
    console = Console(stderr=True, quiet=as_json)
    precision = "double" if fidelity == "ideal" else "single"  # on an ideal chip single-precision rounding would show
    with contextlib.ExitStack() as stack:
        if device == "cpu" and fidelity != "ideal":
            stack.enter_context(workflow.compiled_meanwhile(hardware))
        calibration, test = load_images(network, data, count, console)
        if diagnose and test.numbers:
            raise ParameterError("--diagnose must be left out for outputs that are numbers, as it compares accuracies")
        began = time.perf_counter()
        kept = stack.enter_context(stoppable(len(test), keep=not no_cache))
        distribute = None if dask is None else stack.enter_context(workflow.cluster(dask)).distribute
        simulated = (network, hardware, calibration, test, drawn, precision, console, kept, device, measured, missing)
        report, result = _simulate(*simulated, distribute)
        if fidelity == "nonlinear":
            report = _with_fidelity(report, result, test, precision, console)
        took, program = time.perf_counter() - began, result.chip.program
        report = with_idle_keys(report, program, chip, settings or (), ideal=fidelity == "ideal")
        asked = loses(report, len(calibration)) and measured is None
        small = report.operations_executed_per_image <= studies.EXECUTED
        if diagnose or (asked and small):
            cache = None if kept is None else files.Cache.of_user()
            report = with_diagnosis(report, program, calibration, drawn, cache, console)
        if until_lost:
            report = _with_lost_point(report, result, test, console)
        more = (*(("--until-lost",) if until_lost else ()), *(("--diagnose",) if diagnose else ()))
        line = command_line(
            "run", model, *more, chip=chip, set=settings, data=data, images=count,
            seed=drawn, fidelity=fidelity, device=None if device == "cpu" else device, measured=measured,
            missing=None if measured is None else missing,
        )  # fmt: skip
        report = replace(report, command=readable(line))
        paths = report.save(out, result, test.labels)
    for each in kept or ():
        each.remove()
    if as_json:
        sys.stdout.write(report.to_json() + "\n")
        return
    show(report, Console())
    show_findings(report, Console())
    if asked and report.diagnosis is None:
        show_offer(report, program, len(calibration), took, Console())
    show_written(paths, Console())


def _simulate(
    network: "Network",
    hardware: "Hardware",
    calibration: "Dataset",
    test: "Dataset",
    seed: int,
    precision: str,
    console: Console,
    kept: "list[KeptRun] | None",
    device: str,
    measured: Path | None,
    missing: str,
    distribute: "Distribute | None",
) -> "tuple[Report, RunResult]":
    """Compile, write, run and price, with progress bars on the terminal.

    kept: list that receives the store of the run's batches. None: batches are not stored and the cache is not used.
    """
    cache = None if kept is None else files.Cache.of_user()
    with progress_bars(console) as progress:
        task = progress.add_task("compile", total=None)
        program = workflow.compiled(network, hardware, calibration.images, cache)
        arrays = sum(len(matrix.tiles) for group in program.matrices.values() for matrix in group)
        progress.update(task, description="write and reduce tiles", total=arrays, completed=0)
        cells = read(program, measured, missing, console)
        chip = workflow.written(
            program, seed, cache, measured=cells, distribute=distribute,
            progress=lambda done: progress.update(task, completed=done),
        )  # fmt: skip
        progress.update(task, description="compute exact outputs", total=None)
        outputs = workflow.exact(program, test.images, precision, cache)
        progress.update(task, description=f"run {network.name}", total=len(test), completed=0)
        if device != "cpu":
            return _on_card(chip, test, outputs, seed, device, lambda done: progress.update(task, completed=done))
        batches = None if cache is None else workflow.KeptRun(cache, chip, test.images, seed=seed, precision=precision)
        if kept is not None and batches is not None:
            kept.append(batches)
        result = mapping.run(
            chip,
            test.images,
            seed=seed,
            precision=precision,
            exact=outputs,
            progress=lambda done: progress.update(task, completed=done),
            kept=batches,
            distribute=distribute,
        )
        progress.update(task, description="price")
        return mapping.price(result, test.labels), result


def _on_card(
    chip: "WrittenChip", test: "Dataset", exact: "FloatArray", seed: int, device: str, progress: "Callable[[int], None]"
) -> "tuple[Report, RunResult]":
    """Run a written chip with PyTorch on a device; energies are those of an estimate, as no activity is counted."""
    logits = training.run_on_device(chip, test.images, device, seed=seed, progress=progress)
    result = inference.RunResult(chip, logits, exact, (), seed, test.images[:SAMPLED].copy())
    report = mapping.price_estimate(chip.program, test.images)
    scored = vars(inference.scores(result, test.labels))
    return replace(report, seed=chip.seed, seed_noise=seed, **scored), result


def _with_fidelity(
    report: "Report", result: "RunResult", test: "Dataset", precision: str, console: Console
) -> "Report":
    """Solve random reads of the run again at other levels of fidelity, with a progress bar on the terminal."""
    with progress_bars(console) as progress:
        task = progress.add_task("solve random reads again", total=None)
        found = inference.sample(
            result, test.images, precision=precision,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )  # fmt: skip
    return replace(report, fidelity=inference.by_layer(found))


def _with_lost_point(report: "Report", result: "RunResult", test: "Dataset", console: Console) -> "Report":
    """Find the number of images until one point of accuracy is lost, with the number of runs on the terminal."""
    with progress_bars(console) as progress:
        task = progress.add_task("find the lost point", total=None)
        found = workflow.images_until_lost(
            result.chip.program, test.images, test.labels, result.chip.seed, exact=result.exact,
            progress=lambda done: progress.update(task, description=f"find the lost point, run {done}"),
        )  # fmt: skip
    return replace(report, keeping=None if report.keeping is None else replace(report.keeping, images_until_lost=found))
