"""The `crossgate` command: argument handling, progress and tables; every computation lies below."""

import contextlib
import importlib.metadata
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from devices.errors import ParameterError, SimulationError
from mapping.cli import cache as cli_cache
from mapping.cli import cells as cli_devices
from mapping.cli import chips as cli_chips
from mapping.cli import sweep as cli_sweep
from mapping.cli.report_tables import show
from mapping.files.whole_files import check_folder

if TYPE_CHECKING:
    from mapping.data.datasets import Dataset
    from mapping.hardware.description import Hardware
    from mapping.inference.traces import RunResult
    from mapping.networks.graph import Network
    from mapping.report.report import Report
    from mapping.workflow.kept_results import KeptRun


DEFAULT_MODEL, DEFAULT_CHIP, DEFAULT_OUT = "dvgg-digits", "adaptive2d", Path("crossgate-out")
CALIBRATION_IMAGES = 128  # from the training split, ours
FIDELITIES = ("ideal", "linear", "nonlinear")

Model = Annotated[str, typer.Argument(help="A name of the zoo, or a .npz or .onnx file.")]
Chip = Annotated[str, typer.Option(help="A bundled chip description, or a .toml file.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one key, such as wires.r_row=2.8; may be repeated."),
]
Data = Annotated[
    Path | None, typer.Option(help="Folder of the images; without it the bundled, cached or downloaded ones.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the text of report.json and nothing else.")]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Simulate dynamic convolutional networks on crossbars of three-terminal memristors.",
)


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"crossgate {importlib.metadata.version('crossgate')}")
        raise typer.Exit


@app.command()
def run(
    model: Model = DEFAULT_MODEL,
    chip: Chip = DEFAULT_CHIP,
    settings: Settings = None,
    data: Data = None,
    images: Annotated[
        str | None, typer.Option(metavar="N", help="How many images; without it the whole test split.")
    ] = None,
    seed: Annotated[str, typer.Option(metavar="N", help="Draws the chip and its read noise.")] = "0",
    fidelity: Annotated[
        str,
        typer.Option(
            help="ideal: wires and cells without any deviation; linear: exact IR drop and every deviation; nonlinear: "
            "the same, and reads drawn from it solved again with bent current-voltage laws."
        ),
    ] = "linear",
    out: Annotated[
        Path, typer.Option(help="Folder for report.html, report.json, report.csv, layers.png, predictions.csv.")
    ] = DEFAULT_OUT,
    as_json: AsJson = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Compute everything, keep nothing: neither the chip nor a stopped run.")
    ] = False,
) -> None:
    """Run a network's inference on a virtual chip and report accuracy, energy and latency per layer.

    Stopped by Ctrl-C, the same command goes on where it was.
    """
    from mapping.hardware.description_files import load_hardware
    from mapping.networks.models import load_model

    if fidelity not in FIDELITIES:
        raise ParameterError(f"--fidelity must be one of {', '.join(FIDELITIES)}, got {fidelity!r}")
    count = None if images is None else _whole("--images", images, 1)
    drawn = _whole("--seed", seed, 0)
    network = load_model(model)
    hardware = load_hardware(chip).with_values(settings or ())
    if fidelity == "ideal":
        hardware = hardware.idealised()
    check_folder(out)
    console = Console(stderr=True, quiet=as_json)
    calibration, test = _images(network, data, count, console)
    precision = "double" if fidelity == "ideal" else "single"  # where nothing deviates, rounding shows
    with _stoppable(len(test), keep=not no_cache) as kept:
        report, result = _simulate(network, hardware, calibration, test, drawn, precision, console, kept)
        if fidelity == "nonlinear":
            report = _look_again(report, result, test, precision, console)
        paths = report.save(out, result, test.labels)
    for each in kept or ():
        each.remove()
    if as_json:
        sys.stdout.write(report.to_json() + "\n")
        return
    show(report, Console())
    Console().print(f"[dim]written: {', '.join(str(path) for path in paths)}[/dim]", soft_wrap=True)


@app.command()
def estimate(
    model: Model = DEFAULT_MODEL,
    chip: Chip = DEFAULT_CHIP,
    settings: Settings = None,
    data: Data = None,
    images: Annotated[str, typer.Option(metavar="N", help="How many images of the test split to look at.")] = "16",
    out: Annotated[Path | None, typer.Option(help="Folder for report.json and report.csv.")] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate energy, latency and area per layer from what the exact network's layers see; writes and runs no chip."""
    from mapping.hardware.description_files import load_hardware
    from mapping.networks.models import load_model
    from mapping.report.pricing import price_estimate
    from mapping.workflow.compiling import compile_network

    count = _whole("--images", images, 1)
    network, hardware = load_model(model), load_hardware(chip).with_values(settings or ())
    if out is not None:
        check_folder(out)
    console = Console(stderr=True, quiet=as_json)
    calibration, test = _images(network, data, count, console)
    with _progress(console) as progress:
        progress.add_task("compile", total=None)
        program = compile_network(network, hardware, calibration.images)
        progress.add_task("estimate", total=None)
        report = price_estimate(program, test.images)
    paths = [] if out is None else report.save_tables(out)
    if as_json:
        sys.stdout.write(report.to_json() + "\n")
        return
    show(report, Console())
    if paths:
        Console().print(f"[dim]written: {', '.join(str(path) for path in paths)}[/dim]", soft_wrap=True)


@app.command()
def models() -> None:
    """List the networks of the zoo."""
    from mapping.networks.models import load_model, model_card, model_names

    table = Table("model", "data", "layers", "weights", "accuracy, exact", title="networks of the zoo", box=None)
    for name in model_names():
        network, card = load_model(name), model_card(name)
        accuracy = card.get("accuracy", {}).get("test")
        table.add_row(
            name, str(card.get("dataset", "")), str(len(network.layers)), f"{network.parameters:,}",
            f"{accuracy:.2%}" if isinstance(accuracy, float) else "",
        )  # fmt: skip
    Console().print(table)


app.command()(cli_devices.fit)
app.command()(cli_devices.device)
app.command()(cli_sweep.sweep)
app.command()(cli_cache.cache)
app.add_typer(cli_chips.app, name="chips")


def main() -> None:
    """Run the command; what the user got wrong becomes one sentence and exit status 2."""
    try:
        app(standalone_mode=False)
    except SimulationError as error:
        sentence = str(error)
    except typer.Abort:
        raise SystemExit(130) from None
    except Exception as error:
        say = getattr(error, "format_message", None)  # wrong options and arguments, whichever parser typer brings
        if say is None:
            raise
        sentence = str(say()).rstrip(".")
        if not sentence:  # the help has been shown already
            raise SystemExit(2) from None
        sentence += "; see crossgate --help"
    else:
        return
    typer.echo(f"crossgate: {' '.join(sentence.split())}", err=True)
    raise SystemExit(2)


def _whole(option: str, text: str, minimum: int) -> int:
    """Read a whole number; typer's own readers do not all name the value that they refuse."""
    try:
        number = int(text)
    except ValueError:
        number = minimum - 1
    if number < minimum:
        raise ParameterError(f"{option} must be a whole number ≥ {minimum}, got {text!r}")
    return number


def _images(network: "Network", data: Path | None, count: int | None, console: Console) -> tuple["Dataset", "Dataset"]:
    """Calibration and test images of a network's data set, with progress where they are downloaded."""
    from mapping.data.datasets import load_dataset

    name = str(network.card.get("dataset", "digits"))
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"download {name}", total=None, visible=False)
        test = load_dataset(
            name, "test", data, limit=count,
            progress=lambda done, total: progress.update(task, completed=done, total=total, visible=True),
        )  # fmt: skip
    if test.images.shape[1:] != network.input_shape:
        raise ParameterError(
            f"the images of {test.source} have shape {test.images.shape[1:]}, but {network.name} takes "
            f"{network.input_shape}"
        )
    try:
        training = load_dataset(name, "train", data, limit=CALIBRATION_IMAGES)
    except ParameterError:  # fewer than that: all of them
        training = load_dataset(name, "train", data)
    return training, test


def _simulate(
    network: "Network",
    hardware: "Hardware",
    calibration: "Dataset",
    test: "Dataset",
    seed: int,
    precision: str,
    console: Console,
    kept: "list[KeptRun] | None",
) -> "tuple[Report, RunResult]":
    """Compile, write, run and price, with progress on the terminal.

    kept: gets the place where the run keeps its batches; None: neither that nor the cache is used.
    """
    from mapping.files.cache import Cache
    from mapping.inference.running import run as run_chip
    from mapping.report.pricing import price
    from mapping.workflow.kept_results import KeptRun, compiled, exact, written

    cache = None if kept is None else Cache.of_user()
    with _progress(console) as progress:
        task = progress.add_task("compile", total=None)
        program = compiled(network, hardware, calibration.images, cache)
        arrays = sum(len(matrix.tiles) for group in program.matrices.values() for matrix in group)
        progress.update(task, description="write and reduce tiles", total=arrays, completed=0)
        chip = written(program, seed, cache, progress=lambda done: progress.update(task, completed=done))
        progress.update(task, description="compute exactly", total=None)
        outputs = exact(program, test.images, precision, cache)
        progress.update(task, description=f"run {network.name}", total=len(test), completed=0)
        batches = None if cache is None else KeptRun(cache, chip, test.images, seed=seed, precision=precision)
        if kept is not None and batches is not None:
            kept.append(batches)
        result = run_chip(
            chip,
            test.images,
            seed=seed,
            precision=precision,
            exact=outputs,
            progress=lambda done: progress.update(task, completed=done),
            kept=batches,
        )
        progress.update(task, description="price")
        return price(result, test.labels), result


def _look_again(report: "Report", result: "RunResult", test: "Dataset", precision: str, console: Console) -> "Report":
    """Recompute reads of the run at other levels of fidelity, with progress on the terminal."""
    from mapping.inference.fidelity import by_layer, sample

    with _progress(console) as progress:
        task = progress.add_task("solve drawn reads again", total=None)
        found = sample(
            result, test.images, precision=precision,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )  # fmt: skip
    return replace(report, fidelity=by_layer(found))


@contextlib.contextmanager
def _stoppable(images: int, *, keep: bool) -> "Iterator[list[KeptRun] | None]":
    """Let Ctrl-C and SIGTERM end a run of so many images with one sentence on how many are done.

    Yields a list for the place where the run keeps its batches, None unless it is to keep them.
    """

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    kept: list[KeptRun] | None = [] if keep else None
    ours = threading.current_thread() is threading.main_thread()  # in others no handler can be set
    before = signal.signal(signal.SIGTERM, stop) if ours else None
    try:
        yield kept
    except KeyboardInterrupt:
        done = sum(each.images for each in kept or ())
        goes_on = "the same command goes on from there" if keep else "nothing is kept, as --no-cache says"
        typer.echo(f"crossgate: stopped; {done} of {images} images are done: {goes_on}", err=True)
        raise typer.Abort from None
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextlib.contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


if __name__ == "__main__":
    main()
