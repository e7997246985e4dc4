"""What commands show while they work, and how they stop."""

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
    """Show bars for what counts, on a terminal only; they go when the work is done."""
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield bars


def load_images(
    network: "Network", folder: Path | None, count: int | None, console: Console
) -> "tuple[Dataset, Dataset]":
    """Load the calibration and the test images of a network, with a bar once bytes of a download come.

    A network that names no data set gets the one that its images look like, and the user is told.
    """
    name = workflow.data_name(network, folder)
    if folder is None and network.card.get("dataset") is None:
        console.print(
            f"{escape(network.name)} names no data set; it takes images like those of {name}, which is used: --data "
            "gives others",
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
