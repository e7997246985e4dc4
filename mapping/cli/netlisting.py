"""The command `crossgate netlist`: writes a tile of a mapped network as a netlist for ngspice."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

import mapping
from mapping import chips, files, workflow
from mapping.cli.options import DEFAULT_CHIP, Chip, Data, Model, Settings, number, whole
from mapping.cli.terminal import load_images, progress_bars
from mapping.files.whole_files import check_folder, write_whole


def netlist(
    model: Model,
    matrix: Annotated[str, typer.Argument(help="A layer with a matrix, or one of its matrices, such as conv2.")],
    tile: Annotated[str, typer.Argument(help="Number of the tile, from 0.")] = "0",
    kernel: Annotated[str, typer.Option(metavar="N", help="Kernel of a dynamic layer, from 0.")] = "0",
    gate: Annotated[
        str | None, typer.Option(metavar="V", help="Gate voltage. Default: the top of the gate window.")
    ] = None,
    chip: Chip = DEFAULT_CHIP,
    settings: Settings = None,
    data: Data = None,
    seed: Annotated[str, typer.Option(metavar="N", help="Seed of the chip's variability.")] = "0",
    out: Annotated[Path, typer.Option(help="Folder for MATRIX-TILE-KERNEL.cir.")] = Path("crossgate-netlist"),
) -> None:
    """Write a tile's written cells, wires and drivers as a SPICE netlist; all rows are at the read voltage."""
    at, of_kernel, drawn = whole("TILE", tile, 0), whole("--kernel", kernel, 0), whole("--seed", seed, 0)
    v_gate = None if gate is None else number("--gate", gate)
    network, hardware = mapping.load_model(model), mapping.load_hardware(chip).with_values(settings or ())
    check_folder(out)
    console = Console(stderr=True)
    calibration, _ = load_images(network, data, 1, console)
    with progress_bars(console) as progress:
        progress.add_task("compile", total=None)
        program = workflow.compiled(network, hardware, calibration.images, files.Cache.of_user())
    circuit = chips.tile_circuit(program, matrix, at, of_kernel, seed=drawn, v_gate=v_gate)
    name = f"{matrix}-{at}-{of_kernel}.cir".replace("/", "_")
    paths = write_whole(out, {name: lambda to: chips.write_netlist(program, circuit, to)})
    rows, columns = circuit.array.shape
    at_gate = "" if circuit.v_gate is None else f", gate at {circuit.v_gate:g} V"
    Console().print(f"{rows} × {columns} cells, rows at {hardware.dac.v_read:g} V{at_gate}")
    Console().print(f"[dim]written: {escape(str(paths[0]))}; run it: ngspice -b {escape(name)}[/dim]", soft_wrap=True)
