"""The command `crossgate import`: a network of another program as layers, and what a run of it will take."""

import importlib
import sys
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import mapping
from devices.errors import ParameterError
from mapping import files
from mapping.cli.options import DEFAULT_CHIP, Chip, Settings
from mapping.networks.graph import Network
from mapping.networks.layers.convolutions import Conv
from mapping.networks.layers.kinds import named_arrays
from mapping.networks.layers.matrix_layers import MatrixLayer
from mapping.networks.layers.shapes import Flatten
from mapping.placement.gated_layers import kind_of
from mapping.presentation.quantities import si

if TYPE_CHECKING:
    from mapping.hardware.description import Hardware
    from mapping.placement.program import Program

TRIAL, READS = 4, 256  # arrays of the trial that is timed, and how often each is read, ours


@dataclass(frozen=True)
class Cost:
    """What one array takes on this machine, as a trial on the same chip description shows it."""

    write_s: float  #: to compile, write and reduce it
    read_s: float  #: to read it once
    bytes: float  #: that it holds in memory


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
    program = _placed(network, hardware)
    console.print(_layers(network, program))
    console.print(_totals(network, program, hardware))
    if out is not None:
        mapping.save_network(network, out)
        console.print(f"[dim]written: {out}[/dim]", soft_wrap=True)


def _imported(source: str, shape: tuple[int, int, int] | None, output: str | None) -> Network:
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


def _placed(network: Network, hardware: "Hardware") -> "Program":
    """Place a network without making up for wires, which changes no count and takes long."""
    if hardware.mapping.layout == "auto":  # trying layouts writes chips; the counts of "parallel" stand for them
        hardware = hardware.with_values(["mapping.layout=parallel"])
    image = np.random.default_rng(0).uniform(size=(1, *network.input_shape))
    return mapping.compile_network(network, hardware.with_values(["tile.compensate_wires=false"]), image)


def _layers(network: Network, program: "Program") -> Table:
    """One line for each layer as it came in, with its tiles."""
    table = Table(title=f"{network.name}: layers as they came in", title_style="bold")
    for heading in ("layer", "kind", "takes"):
        table.add_column(heading)
    for heading in ("gives", "weights", "tiles"):
        table.add_column(heading, justify="right")
    shapes = network.shapes()
    for layer in network.layers:
        weights = sum(value.size for _, value in named_arrays([layer]))
        on_tiles = isinstance(layer, MatrixLayer)
        table.add_row(
            layer.name, kind_of(layer) if on_tiles else getattr(layer, "kind", type(layer).__name__),
            ", ".join(layer.inputs), " × ".join(map(str, shapes[layer.name])), f"{weights:,}" if weights else "",
            str(program.tiles(layer.name)) if on_tiles else "",
        )  # fmt: skip
    return table


def _totals(network: Network, program: "Program", hardware: "Hardware") -> Table:
    """What a run will take, and the comparison."""
    cost = _trial(hardware)
    arrays = sum(len(m.tiles) * m.arrays for m in program.all_matrices)
    reads = sum(len(m.tiles) * m.arrays * m.positions * (2 if m.signed else 1) for m in program.all_matrices)
    maps = max(sum(np.prod(network.shapes()[each]) for each in (*layer.inputs, layer.name)) for layer in network.layers)
    check = network.card.get("import_check", {})
    held = arrays * cost.bytes + 8.0 * network.parameters + 64.0 * float(maps)
    totals = Table.grid(padding=(0, 2))
    if check.get("against") in (None, "not compared"):
        totals.add_row("comparison", f"not compared: {check.get('reason', 'not asked for')}")
    else:
        totals.add_row("comparison", f"{check['largest_difference']:.1e} of the largest output from {check['against']}")
    totals.add_row("on tiles", f"{arrays:,} arrays of {hardware.name}, {network.parameters:,} stored numbers")
    totals.add_row("memory", f"about {held / 1e9:.2g} GB")
    totals.add_row("compile and write", f"about {si(arrays * cost.write_s, 's')}, one process")
    totals.add_row("each image", f"about {si(reads * cost.read_s, 's')}")
    totals.add_row("", f"[dim]from a trial of {TRIAL} full arrays of this chip on this machine[/dim]")
    return totals


def _trial(hardware: "Hardware") -> Cost:
    """Compile, write and run a layer of a few full arrays, twice: the first time compiles the kernels."""
    rows, outputs = hardware.tile.rows, hardware.tile.pairs * TRIAL
    rng = np.random.default_rng(0)
    layers = (Conv("conv", ("input",), rng.normal(size=(outputs, rows, 1, 1))), Flatten("flat", ("conv",)))
    network = Network("trial", (rows, 1, 1), tuple(map(str, range(outputs))), layers)
    images = rng.uniform(size=(READS, rows, 1, 1))
    written, read, held = 0.0, 0.0, 0.0
    for _ in range(2):
        tracemalloc.start()
        start = time.perf_counter()
        chip = mapping.write(mapping.compile_network(network, hardware, images[:8]), seed=0)
        written = time.perf_counter() - start
        held = float(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        start = time.perf_counter()
        mapping.run(chip, images)
        read = time.perf_counter() - start
    arrays = sum(len(matrix.tiles) for matrix in chip.program.all_matrices)
    return Cost(written / arrays, read / (arrays * len(images)), held / arrays)
