"""The command `crossgate import`: a network of another program as layers, and what a run of it will take."""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.markup import escape

import mapping
from devices.errors import ParameterError
from mapping import files, workflow
from mapping.cli.options import DEFAULT_CHIP, Chip, Settings
from mapping.presentation.quantities import si
from mapping.presentation.wrapped_tables import Table

if TYPE_CHECKING:
    from mapping.networks.graph import Network
    from mapping.workflow.previews import Preview


def import_network(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="A .onnx or .pt2 file, or pkg.module:factory that gives a module.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write the network to this .npz file.")] = None,
    chip: Chip = DEFAULT_CHIP,
    settings: Settings = None,
    input_shape: Annotated[
        str | None, typer.Option(metavar="C,H,W", help="Shape of an image, where the source leaves it open.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Name of the output to take, of a file with several.")] = None,
) -> None:
    """Import a network of PyTorch or ONNX, compare it with its own runtime, and say what a run of it will take."""
    if out is not None and out.suffix != ".npz":
        raise ParameterError(f"--out must be a .npz file, got {str(out)!r}")
    hardware = mapping.load_hardware(chip).with_values(settings or ())
    network = _imported(source, None if input_shape is None else _shape(input_shape), output)
    console = Console()
    found = workflow.preview(network, hardware)
    console.print(_layers(network, found))
    console.print(_totals(network, found, hardware.name))
    if out is not None:
        mapping.save_network(network, out)
        console.print(f"[dim]written: {out}[/dim]", soft_wrap=True)


def _imported(source: str, shape: tuple[int, int, int] | None, output: str | None) -> "Network":
    """Import a file by its ending, or what a factory makes."""
    path = Path(source)
    if path.suffix == ".onnx":
        return mapping.import_onnx(path, input_shape=shape, output=output, kept=files.Cache.of_user())
    if path.suffix != ".pt2" and ":" not in source:
        raise ParameterError(f"FILE must end in .onnx or .pt2, or be pkg.module:factory, got {source!r}")
    if shape is None:
        raise ParameterError("--input-shape must be given for a PyTorch module, such as --input-shape 3,32,32")
    if path.suffix == ".pt2":
        return mapping.import_torch(path, shape)
    return mapping.import_torch(_made(source), shape)


def _made(source: str) -> Any:  # noqa: ANN401  (a module of torch, whose classes have no types here)
    """Call pkg.module:factory; modules of the working directory are found."""
    module, _, name = source.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ParameterError(f"there is no {name!r} in {module!r}: {error}") from None
    finally:
        sys.path.remove(here)
    return factory() if callable(factory) and not hasattr(factory, "state_dict") else factory


def _shape(text: str) -> tuple[int, int, int]:
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise ParameterError(f"--input-shape must be three whole numbers such as 3,32,32, got {text!r}")
    c, h, w = (int(part) for part in parts)
    return c, h, w


def _layers(network: "Network", found: "Preview") -> Table:
    """One line for each layer as it came in, with its tiles."""
    table = Table(title=f"{escape(network.name)}: layers as they came in", title_style="bold")
    for heading in ("layer", "kind", "takes"):
        table.add_column(heading)
    for heading in ("gives", "weights", "tiles"):
        table.add_column(heading, justify="right")
    for each in found.layers:
        table.add_row(
            escape(each.name), each.kind, escape(", ".join(each.inputs)), " × ".join(map(str, each.shape)),
            f"{each.parameters:,}" if each.parameters else "", "" if each.tiles is None else str(each.tiles),
        )  # fmt: skip
    return table


def _totals(network: "Network", found: "Preview", chip: str) -> RenderableType:
    """What a run will take, and the comparison."""
    check = network.card.get("import_check", {})
    totals = Table.grid(padding=(0, 2))
    if check.get("against") in (None, "not compared"):
        totals.add_row("comparison", f"not compared: {check.get('reason', 'not asked for')}")
    else:
        totals.add_row("comparison", f"{check['largest_difference']:.1e} of the largest output from {check['against']}")
    quantised = network.card.get("quantised_activations", 0)
    if quantised:
        totals.add_row(
            "quantised",
            f"{quantised} activations with ranges of the file's scales; --set mapping.input_ranges=network gives these "
            "ranges to the row codes",
        )
    totals.add_row("on tiles", f"{found.arrays:,} arrays of {escape(chip)}, {network.parameters:,} stored numbers")
    totals.add_row("memory", f"about {found.memory_bytes / 1e9:.2g} GB")
    totals.add_row("compile and write", f"about {si(found.write_s, 's')}, one process")
    totals.add_row("each image", f"about {si(found.image_s, 's')}")
    totals.add_row("", "[dim]from a trial of a few full arrays of this chip on this machine[/dim]")
    return totals
