"""The command `crossgate train`: a network fine-tuned for a chip, with progress, checkpoints, a log and a curve."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import mapping
from mapping import training, workflow
from mapping.cli.options import DEFAULT_CHIP, DEFAULT_MODEL, AsJson, Chip, Data, Model, Settings, number, whole
from mapping.files.whole_files import check_folder

DEFAULT_OUT = Path("crossgate-train")


def train(
    model: Model = DEFAULT_MODEL,
    chip: Chip = DEFAULT_CHIP,
    settings: Settings = None,
    data: Data = None,
    epochs: Annotated[str, typer.Option(metavar="N", help="Times through the training images.")] = "3",
    batch: Annotated[str, typer.Option(metavar="N", help="Images of a step.")] = "64",
    rate: Annotated[str, typer.Option(metavar="X", help="First learning rate; it falls to 0.")] = "3e-4",
    chips: Annotated[
        str, typer.Option(help="one: train for the cells of this chip; anew: other cells in every epoch.")
    ] = "one",
    reduce_every: Annotated[
        str, typer.Option(metavar="N", help="Solve the wires in every Nth step; 1 is exact and slow.")
    ] = "10",
    images: Annotated[
        str | None, typer.Option(metavar="N", help="How many training images; without it all of them.")
    ] = None,
    seed: Annotated[str, typer.Option(metavar="N", help="Draws the chip, the order of images and the noise.")] = "0",
    device: Annotated[str, typer.Option(help="Where torch computes: cpu or cuda.")] = "cpu",
    out: Annotated[
        Path, typer.Option(help="Folder for network.npz, log.csv, learning.png and the checkpoint.")
    ] = DEFAULT_OUT,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a network for a chip: gradients through its wires, gates and converters.

    Stopped or killed, the same command goes on after the last whole epoch, bit for bit.
    """
    count = None if images is None else whole("--images", images, 1)
    training.check_device(device, "--device")
    drawn = whole("--seed", seed, 0)
    schedule = training.Schedule(
        whole("--epochs", epochs, 1), whole("--batch", batch, 1), number("--rate", rate), chips, drawn
    )
    every = whole("--reduce-every", reduce_every, 1)
    network = mapping.load_model(model)
    hardware = mapping.load_hardware(chip).with_values(settings or ())
    check_folder(out)
    console = Console(stderr=True, quiet=as_json)
    learnt, held = workflow.training_images(network, data, count)
    calibration = learnt.images[: workflow.CALIBRATION_IMAGES]
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("compile and write", total=None)
        program = mapping.compile_network(network, hardware, calibration)
        module = training.ChipModule(program, drawn, reduce_every=every).to(device)

        def told(done: int, total: int, row: dict[str, float] | None) -> None:
            progress.update(task, description=f"train {network.name}", completed=done, total=total)
            if row is not None:
                epoch, right = int(row["epoch"]), row["validation_accuracy"]
                console.print(f"epoch {epoch}: {right:.2%} of {len(held)} held-out images right on the chip")

        try:
            shown, judged = (training.Images(each.images, each.class_numbers) for each in (learnt, held))
            rows = training.fine_tune(module, shown, judged, schedule, folder=out, told=told)
        except KeyboardInterrupt:
            progress.stop()
            console.print("stopped: whole epochs are kept, the same command goes on after them")
            raise typer.Abort from None
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    before, after = rows[0]["validation_accuracy"], rows[-1]["validation_accuracy"]
    Console().print(f"{network.name} on {hardware.name}: {before:.2%} before, {after:.2%} after training")
    Console().print(f"[dim]written: {out}/network.npz, log.csv, learning.png[/dim]", soft_wrap=True)
