"""The command `crossgate sweep`: runs the points of a study with a progress bar and prints the effects as a table."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mapping import studies
from mapping.cli.options import whole
from mapping.presentation.quantities import si
from mapping.presentation.wrapped_tables import Table

if TYPE_CHECKING:
    from mapping.studies.results import Effect, Level, Results


PRICES = {"energy": "energy_J_per_image", "latency": "latency_s_per_image"}


def sweep(
    study: Annotated[Path, typer.Argument(help="A study file (docs/studies.md).")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.csv, summary.csv, study.png. Default: crossgate-sweep/NAME.")
    ] = None,
    workers: Annotated[str, typer.Option(metavar="N", help="Number of processes on this machine.")] = "1",
    threads: Annotated[
        str | None,
        typer.Option(metavar="N", help="Threads of each process. Default: the processors divided by the processes."),
    ] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address of a Dask scheduler whose workers run the points.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the effects as JSON and nothing else.")] = False,
) -> None:
    """Run a study. After a stop, the same command continues where it stopped."""
    processes = whole("--workers", workers, 1)
    each = None if threads is None else whole("--threads", threads, 1)
    described = studies.load_study(study)
    folder = Path("crossgate-sweep") / study.stem if out is None else out
    console = Console(stderr=True, quiet=as_json)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    reached = (0, 0)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(described.name, total=None)

        def show(done: int, total: int) -> None:
            nonlocal reached
            reached = done, total
            progress.update(task, completed=done, total=total)

        try:
            results = studies.sweep(described, folder, workers=processes, threads=each, dask=dask, progress=show)
        except KeyboardInterrupt:
            progress.stop()
            console.print(f"stopped: {reached[0]} of {reached[1]} points are kept; the same command continues")
            raise typer.Abort from None
    quality = {"error" if results.quality.startswith("rms") else "accuracy": results.quality}
    found = {name: studies.effects(results, metric) for name, metric in (quality | PRICES).items()}
    if as_json:
        sys.stdout.write(json.dumps({name: [_plain(effect) for effect in each] for name, each in found.items()}) + "\n")
        return
    _show(described.name, results, found, Console())
    Console().print(f"[dim]written: {folder}/results.csv, summary.csv, study.png[/dim]", soft_wrap=True)


def _show(name: str, results: "Results", found: "dict[str, tuple[Effect, ...]]", console: Console) -> None:
    """Print the largest harm of each parameter to accuracy or error, energy and latency, the worst parameter first."""
    units = {"energy": "J", "latency": "s"}
    table = Table(title=f"{escape(name)}: largest harm of each parameter, the worst first", title_style="bold")
    table.show_lines = True
    table.add_column("parameter")
    for each in found:
        reference = f"{found[each][0].reference:.2%}" if each == "accuracy" and found[each] else ""
        if each in units and found[each]:
            reference = si(found[each][0].reference, units[each])
        if each == "error" and found[each]:
            reference = f"{found[each][0].reference:.3g}"
        table.add_column(f"{each}\nfrom {reference}" if reference else each, justify="right")
    order = [effect.parameter for effect in next(iter(found.values()))]
    for parameter in order:
        cells = []
        for each, all_effects in found.items():
            effect = next(one for one in all_effects if one.parameter == parameter)
            worst = effect.worst
            if effect.hurt == 0.0:
                cells.append("no harm")
            elif not worst.distinct:
                width = "" if worst.half_width is None else f",\n{_change(worst, each, effect.reference)}"
                cells.append(f"not distinguishable{width}")
            else:
                cells.append(f"{_change(worst, each, effect.reference)}\nat {worst.label}")
        table.add_row(*map(escape, (parameter, *cells)))
    console.print(table)
    if results.sampled:
        _show_regression(results, results.quality, console)
    versions = {row["versions"] for row in results.rows if row["versions"] is not None}
    if len(versions) > 1:
        console.print(
            f"[yellow]the rows were computed with {len(versions)} different sets of library versions: see the column "
            "versions[/yellow]"
        )
    if results.failures:
        failed, first = f"{len(results.failures)} of {len(results.rows)} points failed", results.failures[0]["failure"]
        console.print(f"[yellow]{failed}, the first one: {first}[/yellow]")


def _change(level: "Level", metric: str, reference: float) -> str:
    """Format a change with half of its 95 % interval: points of an accuracy, else relative to the reference."""
    if metric == "accuracy":
        width = "" if level.half_width is None else f" ± {100 * level.half_width:.2g}"
        return f"{100 * level.change:+.2f}{width} points"
    if not reference:
        return f"{level.change:+.3g}"
    width = "" if level.half_width is None else f" ± {100 * level.half_width / abs(reference):.2g}"
    return f"{100 * level.change / reference:+.1f}{width}%"


def _show_regression(results: "Results", metric: str, console: Console) -> None:
    """Print the standardised coefficients of a sampled study."""
    found = studies.regress(results, metric)
    if found is None:
        console.print("a regression needs more points than parameters, with values that tell the parameters apart")
        return
    table = Table(
        title=f"regression of {metric} on all parameters, {found.settings} settings", title_style="bold",
        caption=f"standard deviations of {metric} for one of the parameter, 95 % intervals; straight lines explain "
        f"{found.explained:.0%} of the variance",
    )  # fmt: skip
    table.add_column("parameter")
    table.add_column("coefficient", justify="right")
    table.add_column("interval", justify="right")
    for each in found.coefficients:
        shown = f"{each.standardised:+.2f}" if each.distinct else "not distinguishable"
        name = f"log {each.parameter}" if each.logarithmic else each.parameter
        table.add_row(escape(name), shown, f"{each.low:+.2f} … {each.high:+.2f}")
    console.print(table)


def _plain(effect: "Effect") -> dict[str, object]:
    return {
        "parameter": effect.parameter,
        "metric": effect.metric,
        "reference": effect.reference,
        "levels": [vars(level) for level in effect.levels],
    }
