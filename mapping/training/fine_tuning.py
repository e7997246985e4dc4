"""Fine-tuning of a network for a chip description: epochs, checkpoints that resume bit for bit, a log and a curve."""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from mapping.files.whole_files import check_folder, write_whole
from mapping.networks.file_format import save_network
from mapping.networks.graph import Network
from mapping.training.chip_module import ChipModule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHIPS = ("one", "anew")
CHECKPOINT, LOG, CURVE, NETWORK = "checkpoint.pt", "log.csv", "learning.png", "network.npz"
CLIP = 1.0  # largest norm of all gradients together, ours
COLUMNS = ("epoch", "step", "loss", "accuracy", "validation_loss", "validation_accuracy", "update_error", "chip")


@dataclass(frozen=True)
class Schedule:
    """How a network is fine-tuned.

    Raises ParameterError for a value out of range.
    """

    epochs: int = 3  #: times through the training images
    batch: int = 64  #: images of a step
    rate: float = 3e-4  #: first learning rate of Adam, which falls to 0 along a cosine; ours
    chips: str = "one"  #: "one": the same cells throughout; "anew": other cells after each refresh
    seed: int = 0  #: of the chip, of the order of the images and of the read noise
    refresh_every: int = 0  #: steps between two compilations, which fix ranges and scales anew; 0: once an epoch

    def __post_init__(self) -> None:
        checks.whole("epochs", self.epochs, minimum=1)
        checks.whole("batch", self.batch, minimum=1)
        checks.number("rate", self.rate, above=0.0)
        checks.seed(self.seed)
        checks.whole("refresh_every", self.refresh_every, minimum=0)
        if self.chips not in CHIPS:
            raise ParameterError(f"chips must be one of {', '.join(CHIPS)}, got {self.chips!r}")


@dataclass(frozen=True, eq=False)
class Images:
    """Images with labels as numbers of classes."""

    images: FloatArray  #: (b, c, h, w)
    labels: IntArray  #: (b,)


Row = dict[str, float]
Optimiser = Any  # torch's own classes have no types here
Told = Callable[[int, int, Row | None], None]  #: steps done, steps in all, and the row of an epoch that has ended


def fine_tune(
    module: ChipModule, training: Images, validation: Images, schedule: Schedule | None = None, *,
    folder: Path | None = None, told: Told | None = None,
) -> list[Row]:  # fmt: skip
    """Train the module's weights on its chip and return one row for each epoch, the first before any training.

    folder: keeps a checkpoint after each epoch, from which the same call goes on bit for bit, and in the end the log,
    the learning curve and the network.  told: called after each step.
    Raises ParameterError if the folder holds the checkpoint of another training, or cannot be written.
    """
    schedule = schedule or Schedule()
    steps = -(-len(training.images) // schedule.batch)
    optimiser = torch.optim.Adam(module.parameters(), lr=schedule.rate)
    rows: list[Row] = []
    identity = _identity(module, training, validation, schedule)
    if folder is not None:
        check_folder(folder)
        rows = _resume(folder / CHECKPOINT, identity, module, optimiser)
    if not rows:
        module.refresh(schedule.seed)
        rows.append(_judged(module, validation, {"epoch": 0, "step": 0}))
        _tell(told, 0, schedule.epochs * steps, rows[-1])
    for epoch in range(len(rows), schedule.epochs + 1):
        row = _epoch(module, optimiser, training, schedule, epoch, steps, told)
        module.refresh(_chip(schedule, epoch))
        rows.append(_judged(module, validation, row))
        if folder is not None:
            _keep(folder, identity, module, optimiser, rows)
        _tell(told, epoch * steps, schedule.epochs * steps, rows[-1])
    if folder is not None:
        write_whole(folder, {
            LOG: lambda path: _write_log(path, rows),
            CURVE: lambda path: learning_figure(rows).savefig(path, dpi=150),
            NETWORK: lambda path: save_network(described(module.network(), schedule, rows), path),
        })  # fmt: skip
    return rows


def described(network: Network, schedule: Schedule, rows: list[Row]) -> Network:
    """Return the network with how it was fine-tuned in its card."""
    tuned = {**asdict(schedule), "validation_accuracy": rows[-1]["validation_accuracy"]}
    card = {**network.card, "fine_tuned": tuned}
    return Network(network.name, network.input_shape, network.classes, network.layers, card)


def learning_figure(rows: list[Row]) -> "Figure":
    """Return the figure of a training's log: losses and accuracy over the epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    left.plot(epochs[1:], [row["loss"] for row in rows[1:]], "o-", label="training, on the chip")
    left.plot(epochs, [row["validation_loss"] for row in rows], "s-", label="held-out images, on the chip")
    left.set(xlabel="epoch", ylabel="cross entropy", ylim=(0.0, None))
    left.legend(frameon=False)
    right.plot(epochs, [100.0 * row["validation_accuracy"] for row in rows], "s-", color="C1")
    right.set(xlabel="epoch", ylabel="accuracy on held-out images [%]")
    return figure


def _epoch(
    module: ChipModule,
    optimiser: Optimiser,
    training: Images,
    schedule: Schedule,
    epoch: int,
    steps: int,
    told: Told | None,
) -> Row:
    """Train one epoch and return its row; everything random follows from the seed and the step's number."""
    order = np.random.default_rng([schedule.seed, epoch]).permutation(len(training.images))
    device = next(module.parameters()).device
    module.train()
    module.update_error = 0.0
    losses, right = 0.0, 0
    total = schedule.epochs * steps
    for step in range(steps):
        done = (epoch - 1) * steps + step
        if schedule.refresh_every and step and step % schedule.refresh_every == 0:
            module.refresh(_chip(schedule, done))
            module.train()
        chosen = order[step * schedule.batch : (step + 1) * schedule.batch]
        images = torch.as_tensor(training.images[chosen], device=device)
        labels = torch.as_tensor(training.labels[chosen], device=device)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate * 0.5 * (1.0 + math.cos(math.pi * done / total))
        module.read_seed = schedule.seed + 1 + done
        outputs = module(images)
        loss = functional.cross_entropy(outputs, labels)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP)
        optimiser.step()
        losses += float(loss.detach()) * len(chosen)
        right += int((outputs.detach().argmax(1) == labels).sum())
        _tell(told, done + 1, total, None)
    count = len(training.images)
    return {
        "epoch": epoch, "step": epoch * steps, "loss": losses / count, "accuracy": right / count,
        "update_error": module.update_error,
    }  # fmt: skip


def _chip(schedule: Schedule, number: int) -> int:
    """Seed of the chip after a refresh."""
    return schedule.seed if schedule.chips == "one" else schedule.seed + 1000 * number


def _judged(module: ChipModule, validation: Images, row: Row) -> Row:
    """Add what held-out images give on the chip as it is."""
    module.eval()
    module.read_seed = 0
    device = next(module.parameters()).device
    with torch.no_grad():
        outputs = module(torch.as_tensor(validation.images, device=device)).double().cpu()
    labels = torch.as_tensor(validation.labels)
    return {
        **row, "validation_loss": float(functional.cross_entropy(outputs, labels)),
        "validation_accuracy": float((outputs.argmax(1) == labels).double().mean()), "chip": module.seed,
    }  # fmt: skip


def _tell(told: Told | None, done: int, total: int, row: Row | None) -> None:
    if told is not None:
        told(done, total, row)


def _identity(module: ChipModule, training: Images, validation: Images, schedule: Schedule) -> str:
    """A text that differs where another training would: its schedule, chip, weights and images."""
    sums = [float(part.detach().double().abs().sum()) for part in module.parameters()]
    images = [float(each.images.sum()) for each in (training, validation)]
    return json.dumps([
        asdict(schedule), repr(module.program.hardware), module.reduce_every, str(module.kind), sums, images,
        [len(training.images), len(validation.images)],
    ])  # fmt: skip


def _resume(path: Path, identity: str, module: ChipModule, optimiser: Optimiser) -> list[Row]:
    """Take over a checkpoint if there is one, and write the network that it holds to its chip."""
    if not path.exists():
        return []
    try:
        held = torch.load(path, weights_only=True)
        mine = held["identity"] == identity
    except Exception as error:  # noqa: BLE001 - zip, pickle and json each have their own kinds
        raise ParameterError(f"{path} must be a checkpoint of a training, which it is not: {error}") from None
    if not mine:
        raise ParameterError(f"{path} is the checkpoint of another training; give another folder, or remove it")
    module.load_state_dict(held["weights"])
    optimiser.load_state_dict(held["optimiser"])
    rows: list[Row] = held["rows"]
    module.refresh(int(rows[-1]["chip"]))
    return rows


def _keep(folder: Path, identity: str, module: ChipModule, optimiser: Optimiser, rows: list[Row]) -> None:
    held = {
        "identity": identity, "weights": module.state_dict(), "optimiser": optimiser.state_dict(), "rows": rows,
    }  # fmt: skip
    write_whole(folder, {CHECKPOINT: lambda path: torch.save(held, path)})


def _write_log(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
