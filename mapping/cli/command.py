"""The `crossgate` command: its subcommands and the handling of errors; it computes nothing itself."""

import contextlib
import importlib.metadata
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from devices.errors import SimulationError
from mapping.cli.caching import cache
from mapping.cli.cells import device, fit
from mapping.cli.chip_list import app as chips
from mapping.cli.comparing import compare
from mapping.cli.estimation import estimate
from mapping.cli.importing import import_network
from mapping.cli.measured.chip_tables import export_chip
from mapping.cli.measured.curve_files import curves
from mapping.cli.measured.law_fits import laws
from mapping.cli.netlisting import netlist
from mapping.cli.simulation import run
from mapping.cli.sweeping import sweep
from mapping.cli.training import train
from mapping.cli.zoo import layers, models

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


for each in (
    run,
    train,
    estimate,
    compare,
    netlist,
    export_chip,
    models,
    layers,
    curves,
    fit,
    laws,
    device,
    sweep,
    cache,
):
    app.command()(each)
app.command("import")(import_network)
app.add_typer(chips, name="chips")


def main() -> None:
    """Run the command; a user's error becomes one sentence on stderr and exit status 2."""
    _open_closed()
    try:
        app(standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the pipe has ended, as in `| head`
        _drop_output()
        raise SystemExit(1) from None
    except SimulationError as error:
        sentence = str(error)
    except typer.Abort:
        raise SystemExit(130) from None
    except OSError as error:
        _drop_output()
        what = "write to standard output" if error.filename is None else f"read or write {error.filename}"
        sentence = f"cannot {what}: {error.strerror or error}"
    except Exception as error:
        say = getattr(error, "format_message", None)  # wrong options and arguments, whichever parser typer uses
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


def _open_closed() -> None:
    """Connect an output that whoever started the command has closed, for which Python has None, to the null device."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  (open until the end)


def _drop_output() -> None:
    """Connect standard output to the null device, so that the interpreter can flush it at exit without an error."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
