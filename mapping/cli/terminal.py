"""Progress bars of the commands, and what happens when a command is stopped."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from mapping import workflow

if TYPE_CHECKING:
    from mapping.data.datasets import Dataset
    from mapping.networks.graph import Network
    from mapping.workflow.kept_results import KeptRun


@contextlib.contextmanager
def progress_bars(console: Console) -> Iterator[Progress]:
    """Show progress bars, on a terminal only; they disappear when the work is done."""
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield bars


def load_images(
    network: "Network", folder: Path | None, count: int | None, console: Console
) -> "tuple[Dataset, Dataset]":
    """Load the calibration and the test images of a network, with a progress bar for a download.

    A network whose card names no data set gets a known one with images of the same shape, and a note says so.
    """
    name = workflow.data_name(network, folder)
    if folder is None and network.card.get("dataset") is None:
        console.print(
            f"{escape(network.name)} names no data set; {name} is used, because its images have the same shape; --data "
            "selects other images",
            soft_wrap=True,
        )
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(f"download {name}", total=None, visible=False)
        return workflow.images_of(
            network, folder, images=count,
            progress=lambda done, total: bars.update(task, completed=done, total=total, visible=True),
        )  # fmt: skip


@contextlib.contextmanager
def stoppable(images: int, *, keep: bool) -> "Iterator[list[KeptRun] | None]":
    """Let Ctrl-C and SIGTERM end a run of so many images with one sentence that says how many are done.

    Yields a list for the store of the run's batches; None if they are not to be kept.
    """

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    kept: list[KeptRun] | None = [] if keep else None
    ours = threading.current_thread() is threading.main_thread()  # a handler can be set in the main thread only
    before = signal.signal(signal.SIGTERM, stop) if ours else None
    try:
        yield kept
    except KeyboardInterrupt:
        done = sum(each.images for each in kept or ())
        next_time = "the same command continues from there" if keep else "nothing is kept because of --no-cache"
        typer.echo(f"crossgate: stopped; {done} of {images} images are done: {next_time}", err=True)
        raise typer.Abort from None
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
