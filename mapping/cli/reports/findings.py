"""What `crossgate run` finds beside its numbers: keys that cannot act, and which deviation costs what."""

from dataclasses import replace
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console

from mapping import hardware as descriptions
from mapping import studies
from mapping.cli.terminal import progress_bars
from mapping.presentation.outside_text import outside
from mapping.presentation.quantities import duration
from mapping.presentation.wrapped_tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mapping.data.datasets import Dataset
    from mapping.files.cache import Cache
    from mapping.placement.program import Program
    from mapping.report.findings import Finding
    from mapping.report.report import Report

ASK = "crossgate run with --diagnose says which deviation costs what"


def with_idle_keys(
    report: "Report", program: "Program", chip: str, settings: "Sequence[str]", *, ideal: bool
) -> "Report":
    """Return the report with a sentence for each key that the user set and that cannot act in this run."""
    found = descriptions.idle_settings(chip, settings, studies.uses_of(program), ideal=ideal)
    return replace(report, idle_keys=tuple(map(str, found)))


def with_diagnosis(
    report: "Report",
    program: "Program",
    calibration: "Dataset",
    seed: int,
    cache: "Cache | None",
    console: Console,
) -> "Report":
    """Return the report with a diagnosis, computed with a progress bar on the terminal."""
    with progress_bars(console) as progress:
        task = progress.add_task("diagnose", total=None)
        found = studies.diagnose(
            program.network, program.hardware, calibration, seed, cache=cache,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )  # fmt: skip
    return replace(report, diagnosis=found)


def loses(report: "Report", calibration: int) -> bool:
    """Say whether a chip loses so much accuracy that its run is diagnosed on that many calibration images."""
    if report.accuracy_chip is None or report.accuracy_exact is None:
        return False
    return studies.worth_diagnosing(report.accuracy_exact - report.accuracy_chip, calibration)


def show_offer(report: "Report", program: "Program", calibration: int, seconds: float, console: Console) -> None:
    """Say that a diagnosis is possible, and what it takes; seconds: that the run took."""
    chips = studies.chips_to_run(program)
    ratio = chips * calibration / max(report.images, 1)
    console.print(
        f"the chip loses {100 * ((report.accuracy_exact or 0) - (report.accuracy_chip or 0)):.1f} points; {ASK}: "
        f"{chips} chips on {calibration} calibration images each, {ratio:.2g} times as many images as this run, "
        f"or about {duration(ratio * seconds)} at its pace",
        soft_wrap=True,
    )


def show_findings(report: "Report", console: Console) -> None:
    """Print the diagnosis and the keys that cannot act."""
    if report.diagnosis is not None:
        _show_diagnosis(report, console)
    for sentence in report.idle_keys:
        console.print(f"[yellow]{outside(sentence)}[/yellow]", soft_wrap=True)


def _show_diagnosis(report: "Report", console: Console) -> None:
    found = report.diagnosis
    if found is None:
        return
    console.print(
        f"on {found.images} calibration images the chip has {found.accuracy:.2%}, the exact network "
        f"{found.accuracy_exact:.2%}",
        soft_wrap=True,
    )
    together = () if found.together is None or len(found.deviations) < 2 else (found.together,)
    tables = (
        ("what costs accuracy: each deviation switched off alone", "deviation", (*found.deviations, *together)),
        ("what the compiler makes up for: each compensation left out", "compensation", found.compensations),
    )
    for title, heading, rows in tables:
        if rows:
            console.print(_table(title, heading, rows))
        else:
            console.print(f"{title}: there is none")


def _table(title: str, heading: str, rows: "Sequence[Finding]") -> Table:
    table = Table(
        title=title, title_style="bold", box=box.SIMPLE_HEAD, padding=0,
        caption="change: points of accuracy with their 95 % interval, paired over the images; outputs: error relative "
        "to the exact ones",
    )  # fmt: skip
    table.add_column(heading, overflow="fold")
    for name in ("accuracy", "change", "outputs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("switched off by", overflow="fold")
    for each in rows:
        change = f"{100 * each.change:+.1f}" if each.distinct else "not distinguishable"
        interval = f"({100 * each.low:+.1f} … {100 * each.high:+.1f})"
        table.add_row(
            each.name, f"{each.accuracy:.1%}", f"{change}\n{interval}", f"{each.error:.1%}",
            "every key above" if each.name == studies.TOGETHER else "\n".join(each.settings),
        )  # fmt: skip
    return table
