"""What commands show while they work, and how they stop."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from mapping.workflow.kept_results import KeptRun


@contextlib.contextmanager
def progress_bars(console: Console) -> Iterator[Progress]:
    """Show bars for what counts, on a terminal only; they go when the work is done."""
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield bars


@contextlib.contextmanager
def download_bar(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar once bytes of a download come; yields what takes the bytes done and those there are."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(f"download {what}", total=None, visible=False)
        yield lambda done, total: bars.update(task, completed=done, total=total, visible=True)


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
