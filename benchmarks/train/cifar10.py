"""Train the zoo's `vgg-cifar10` and `dvgg-cifar10`, on a processor or a GPU, in runs that can be stopped and resumed.

From the repository's root, with PyTorch (an extra); DATA is a folder with CIFAR-10, a run is a folder of its own:

    python -m benchmarks.train.cifar10 train RUNS/trunk --data DATA                      a static network, constant rate
    python -m benchmarks.train.cifar10 train RUNS/more --data DATA --begin RUNS/trunk --set schedule=fall --set end=0.6
    python -m benchmarks.train.cifar10 train RUNS/static --data DATA --begin RUNS/more --recipe static --set start=0.6
    python -m benchmarks.train.cifar10 train RUNS/dynamic --data DATA --begin RUNS/more --recipe dynamic --set start=0.6
    python -m benchmarks.train.cifar10 train RUNS/frozen --data DATA --begin RUNS/more --recipe frozen --set start=0.6
    python -m benchmarks.train.cifar10 train RUNS/wide --data DATA --recipe wide
    python -m benchmarks.train.cifar10 export RUNS/dynamic dvgg-cifar10 --data DATA [--test]
    python -m benchmarks.attention vgg-cifar10 dvgg-cifar10 --data DATA [--split test]

With --begin, a run starts from the parameters of another run, of a static network of the zoo, or of a network file such
as benchmarks/train/trunk-cifar10.npz.  That file is the trunk from which the zoo's networks were trained further.  It
was not trained on the validation images; the zoo's networks were.
The trunk is trained at a constant learning rate for as long as time permits.  Three recipes continue from the same
checkpoint with the same epochs, learning rates that fall to 0, augmentation and hardware errors.  `static` is the same
network.  In `dynamic` every 3x3 kernel is copied to four, with an attention that separates groups of images.  `frozen`
has four different kernels with equal attention weights for every image.  `wide` is a static network with as many
weights as `dynamic`.  `--set KEY=VALUE` changes a recipe.

The folder of a run contains checkpoint.pt (written completely after every epoch and on SIGTERM), recipe.json and
log.csv.  `--resume` continues at exactly the interrupted step, as the random numbers of a step depend only on (seed,
epoch, step).  Until all choices are made, the 5,000 validation images are held out; `--set images=all` trains the final
networks on them too.  Only `export --test` and `benchmarks.attention --split test` use the test images.

On processors with bfloat16 instructions these are used.  On Linux, LD_PRELOAD=libtcmalloc_minimal.so.4 (gperftools)
saves a sixth of the time, as memory for feature maps is not requested from the system in every step.
"""

import argparse
import csv
import datetime as dt
import json
import math
import signal
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.attention import attention_report, right
from benchmarks.train.growth import grown, routed
from benchmarks.train.layers import (
    Hardware,
    MixedConv,
    Quantiser,
    disturb,
    disturbed,
    halves,
    information,
    mixed_convs,
    plain,
    settle,
)
from mapping import load_model
from mapping.data.datasets import CIFAR10_CLASSES, load_dataset
from mapping.networks import (
    INPUT,
    BatchNorm,
    Conv,
    DynamicConv,
    Flatten,
    Layer,
    Linear,
    MaxPool,
    Network,
    Relu,
    save_network,
)
from mapping.networks.models import ZOO

LOGS = Path("benchmarks/train/logs")
CLASSES = 10
PATCH = 2  #: the first layer's kernels: 2x2 pixels of 3 channels, 12 directions and their negatives
EVALUATED = 500  # images at once
ROUTED = 5000  # images that attention is set up with
SETTLED = 8, 40  # batches that fix the statistics of batch norms after each epoch, and after the last
#: variance added to each direction of the first layer: its largest weights are then ten times its smallest
SOFTENING = 0.1


@dataclass(frozen=True)
class Recipe:
    """Every choice of a run; rates are per mean loss of `batch` images.

    Backbone, batch norms without scale, alternating flips and label smoothing after K. Jordan, arXiv 2404.00498.
    """

    widths: tuple[int, ...] = (64, 256, 256)  #: channels of each pair of 3x3 convolutions
    kernels: int = 1
    epochs: int = 60
    images: str = "train"  #: "train": the validation images are held out; "all": they are trained on too
    batch: int = 500
    schedule: str = "hold"  #: "hold": constant after one epoch's rise; "fall": straight from `start` to `end`
    start: float = 1.0  #: fraction of the learning rates at which a fall begins
    end: float = 0.0  #: fraction of the learning rates at which it ends
    rate: float = 0.04  #: of 3x3 kernels: length of a step over that of the kernel
    momentum: float = 0.8
    bias_rate: float = 15.0  #: of shifts
    head_rate: float = 0.003  #: of the last layer
    first_epochs: int = 3  #: in which the first layer's shifts are trained
    decay: float = 0.001  #: what shifts and the last layer lose per step at the full rate
    smoothing: float = 0.2  #: of labels
    shift: int = 4  #: pixels that an image moves at most
    cutout: int = 10  #: pixels of the blanked square's side
    growth: float = 0.4  #: what is added to each copy of a grown kernel, over its root mean square
    parting: float = 0.5  #: rate of what parts grown kernels over that of what they share
    routed: float = 0.0  #: entropy over ln k of attention that begins by parting images; 0: begins at random
    attention_rate: float = 2e-3
    hot: float = 10.0  #: softmax temperature at the start
    cold: float = 1.0  #: softmax temperature from `annealed` on
    annealed: float = 0.5  #: fraction of the epochs over which the temperature falls
    dropped: float = 0.0  #: fraction of the images that get equal attention weights in a layer and step
    balance: float = 0.02  #: weight of the information between image and kernel in the loss, mean over layers
    frozen: bool = False  #: equal attention weights for every image: the control without attention
    disturbed_epochs: int = 0  #: last epochs, trained with the hardware's errors
    clip: float = 4.0  #: weights stay within so many root mean squares of their kernel
    disturbed_clip: float = 2.5  #: the same in the disturbed epochs
    hardware: Hardware = field(default_factory=lambda: Hardware(clip=1.0))
    seed: int = 1

    def __post_init__(self) -> None:
        if self.schedule not in ("hold", "fall") or self.images not in ("train", "all"):
            raise SystemExit(f"schedule must be hold or fall, images train or all, got {self.schedule}, {self.images}")


BRANCH = Recipe(epochs=12, schedule="fall", first_epochs=0, disturbed_epochs=3)
RECIPES = {
    "trunk": Recipe(),
    "static": BRANCH,
    "dynamic": replace(BRANCH, kernels=4, growth=0.0, routed=0.6, attention_rate=3e-4, hot=2.0, dropped=0.15),
    "frozen": replace(BRANCH, kernels=4, frozen=True, balance=0.0, parting=0.0),
    "wide": replace(BRANCH, widths=(128, 512, 512), first_epochs=3, epochs=40),
}


def changed(recipe: Recipe, settings: list[str]) -> Recipe:
    """Apply KEY=VALUE settings."""
    values: dict[str, Any] = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        old = getattr(recipe, key, None)
        if old is None or isinstance(old, Hardware):
            raise SystemExit(f"a recipe has no {key!r} that could be set")
        if isinstance(old, tuple):
            values[key] = tuple(int(part) for part in text.split(","))
        elif isinstance(old, bool):
            values[key] = text == "True"
        else:
            values[key] = type(old)(text)
    return replace(recipe, **values)


def restored(held: dict[str, Any]) -> Recipe:
    """A recipe from its JSON."""
    return Recipe(**{**held, "widths": tuple(held["widths"]), "hardware": Hardware(**held["hardware"])})


# the network


class Block(nn.Module):
    """3x3 convolution, perhaps a 2x2 max pool, batch norm without scale, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernels: int, hardware: Hardware, *, pool: bool) -> None:
        super().__init__()
        self.conv = MixedConv(inputs, outputs, kernels, hardware)
        with torch.no_grad():
            for kernel in self.conv.weight:
                nn.init.normal_(kernel, std=1 / math.sqrt(9 * inputs))
        self.norm = nn.BatchNorm2d(outputs, momentum=0.2)
        self.norm.weight.requires_grad_(False)
        self.quantise = Quantiser(hardware.bits)
        self.pool = pool
        self.noisy = False

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.pool:
            y = functional.max_pool2d(y, 2)
        y = functional.relu(self.norm(y))
        return self.quantise(y) if self.noisy else y


class Vgg(nn.Module):
    """The backbone: a fixed whitening layer, three pairs of blocks, a max pool over what is left, one linear layer."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 2 * 3 * PATCH**2, PATCH)
        self.whiten.weight.requires_grad_(False)
        inputs, blocks = 2 * 3 * PATCH**2, []
        for width in recipe.widths:
            blocks.append(Block(inputs, width, recipe.kernels, recipe.hardware, pool=True))
            blocks.append(Block(width, width, recipe.kernels, recipe.hardware, pool=False))
            inputs = width
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(inputs, CLASSES)
        nn.init.normal_(self.head.weight, std=1 / inputs)
        nn.init.zeros_(self.head.bias)
        self.quantise = Quantiser(recipe.hardware.bits)
        self.hardware = recipe.hardware
        self.noisy = False

    def whitened(self, images: Tensor) -> None:
        """Set the first layer to principal directions of patches of pixels, evened out in part, and their opposites.

        The mean and the deviation of the pixels are folded in: there is no padding that they could disagree with.
        """
        mean, deviation = (x[:, None, None] for x in (images.mean(dim=(0, 2, 3)), images.std(dim=(0, 2, 3))))
        patches = functional.unfold((images - mean) / deviation, PATCH).transpose(1, 2).reshape(-1, 3 * PATCH**2)
        patches = patches.double()
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        directions = (vectors.T / torch.sqrt(values + SOFTENING)[:, None]).float().reshape(-1, 3, PATCH, PATCH)
        weight = torch.cat([directions, -directions]) / deviation
        with torch.no_grad():
            self.whiten.weight.copy_(weight)
            self.whiten.bias.copy_(-(weight * mean).sum(dim=(1, 2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        weight, head = self.whiten.weight, self.head.weight
        if self.noisy:
            weight, head = (disturbed(w[None], self.hardware)[0] for w in (weight, head))
        x = functional.relu(functional.conv2d(x, weight, self.whiten.bias))
        x = self.quantise(x) if self.noisy else x
        for block in self.blocks:
            x = block(x)
        return functional.max_pool2d(x, x.shape[-1]).flatten(1) @ head.T + self.head.bias


# training


def orthogonal(update: Tensor, steps: int = 3) -> Tensor:
    """Push the singular values of (..., r, c) matrices towards 1: the quintic Newton-Schulz iteration of Muon."""
    a, b, c = 3.4445, -4.7750, 2.0315  # K. Jordan, Muon: an optimizer for hidden layers, 2024
    x = update / (update.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    x = x.bfloat16() if update.is_cuda or halves() else x
    wide = x.shape[-2] <= x.shape[-1]
    x = x if wide else x.mT
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.mT).to(update.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal kernel by kernel; kernels (k, o, i, 3, 3) are held at a norm of sqrt(o) each.

    k > 1 kernels move together by what they would if they were one (shares add up to 1: its gradient is the sum of
    theirs) and apart by their gradients' differences, at `parting` times the rate: each sees a part of the images only.
    """

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float, parting: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "parting": parting})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                held = self.state[p].setdefault("momentum", torch.zeros_like(p))
                held.mul_(group["momentum"]).add_(p.grad)
                update = p.grad.add(held, alpha=group["momentum"]).flatten(2)
                p.mul_(p.shape[1] ** 0.5 / p.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1, 1))
                move = orthogonal(update.sum(dim=0, keepdim=True))
                if len(p) > 1 and group["parting"]:
                    move = move + group["parting"] * orthogonal(update - update.mean(dim=0, keepdim=True))
                p.add_(move.unflatten(2, p.shape[2:]), alpha=-group["lr"])


def optimisers_of(model: Vgg, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """One for the kernels, one for shifts and the last layer, one for attention (none of the last two decays it)."""
    kernels = [block.conv.weight for block in model.blocks]
    gates = [p for conv in mixed_convs(model) for p in conv.gate.parameters()]
    biases = [model.whiten.bias, *(block.norm.bias for block in model.blocks)]
    rates = ((biases, recipe.bias_rate), (list(model.head.parameters()), recipe.head_rate))
    groups = [{"params": held, "lr": rate, "weight_decay": recipe.decay / rate} for held, rate in rates]
    made: list[torch.optim.Optimizer] = [
        Muon(kernels, recipe.rate, recipe.momentum, recipe.parting),
        torch.optim.SGD(groups, lr=recipe.head_rate, momentum=0.85, nesterov=True),
    ]
    if gates and not recipe.frozen:
        made.append(torch.optim.Adam(gates, lr=recipe.attention_rate))
    return made


def augmented(images: Tensor, flip: Tensor, shift: int, hole: int) -> Tensor:
    """Flip as told, move by up to `shift` pixels (reflected at the border), and blank a square of `hole` pixels."""
    b, _, h, w = images.shape
    device = images.device
    moved = torch.where(flip[:, None, None, None], images.flip(-1), images)
    if shift:
        padded = functional.pad(moved, (shift,) * 4, mode="reflect").permute(0, 2, 3, 1)
        offset = torch.randint(0, 2 * shift + 1, (2, b, 1), device=device)
        rows = (offset[0] + torch.arange(h, device=device))[:, :, None]
        columns = (offset[1] + torch.arange(w, device=device))[:, None, :]
        moved = padded[torch.arange(b, device=device)[:, None, None], rows, columns].permute(0, 3, 1, 2)
    if hole:
        corner = torch.randint(-(hole // 2), h - hole // 2 + 1, (2, b, 1), device=device)
        line = torch.arange(h, device=device)
        rows, columns = ((line >= at) & (line < at + hole) for at in corner)
        blank = (rows[:, :, None] & columns[:, None, :])[:, None]
        moved = torch.where(blank, images.mean(dim=(0, 2, 3))[:, None, None], moved)
    return moved.contiguous(memory_format=torch.channels_last)


def clipped(model: Vgg, clip: float) -> None:
    """Bring weights within `clip` root mean squares of their kernel: outliers would leave most cells nearly closed."""
    with torch.no_grad():
        for block in model.blocks:
            limit = clip * block.conv.weight.square().mean(dim=(1, 2, 3, 4), keepdim=True).sqrt()
            block.conv.weight.copy_(block.conv.weight.clamp(-limit, limit))


def part(folder: str | None, split: str, device: torch.device) -> tuple[Tensor, Tensor]:
    held = load_dataset("cifar10", split, folder)
    return torch.tensor(held.images, dtype=torch.float32, device=device), torch.tensor(held.labels, device=device)


@torch.no_grad()
def accuracy(model: Vgg, images: Tensor, labels: Tensor, draws: int = 0) -> float:
    """Share of right answers, exact or as the mean over `draws` disturbed copies; leaves the model evaluating."""
    model.eval()
    disturb(model, draws > 0)
    right = 0
    for _ in range(max(draws, 1)):
        for x, y in zip(images.split(EVALUATED), labels.split(EVALUATED), strict=True):
            right += int((model(x.contiguous(memory_format=torch.channels_last)).argmax(1) == y).sum())
    disturb(model, False)
    return right / len(labels) / max(draws, 1)


@torch.no_grad()
def shares_of(model: Vgg, images: Tensor) -> list[Tensor]:
    """Exact attention of every mixed convolution."""
    model.eval()
    model(images.contiguous(memory_format=torch.channels_last))
    return [conv.shares for conv in mixed_convs(model) if conv.shares is not None]


@dataclass
class Position:
    """Where a run stands."""

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    right: int = 0
    seconds: float = 0.0
    log: list[dict[str, object]] = field(default_factory=list)


class Run:
    """One training, in its folder."""

    def __init__(self, folder: Path, recipe: Recipe, data: str | None, device: torch.device) -> None:
        self.folder, self.recipe, self.device = folder, recipe, device
        self.check = part(data, "validation", device)
        self.images, self.labels = part(data, "train", device)
        if recipe.images == "all":
            self.images, self.labels = (
                torch.cat(both) for both in zip((self.images, self.labels), self.check, strict=True)
            )
        torch.manual_seed(recipe.seed)
        self.model = Vgg(recipe)
        self.model.whitened(self.images[:5000].cpu())
        self.model.to(device)
        self.optimisers = optimisers_of(self.model, recipe)
        self.rates = [[group["lr"] for group in each.param_groups] for each in self.optimisers]
        self.half = device.type == "cuda" or halves()
        self.steps = len(self.images) // recipe.batch
        self.at = Position()
        self.stopped = False
        for conv in mixed_convs(self.model):
            conv.frozen = "uniform" if recipe.frozen else None
            conv.dropped = recipe.dropped

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimisers": [each.state_dict() for each in self.optimisers],
            "at": asdict(self.at),
        }
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.checkpoint)
        (self.folder / "recipe.json").write_text(json.dumps(state["recipe"], indent=1) + "\n")

    def load(self) -> None:
        """Go back to where the checkpoint was written."""
        state = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        for each, held in zip(self.optimisers, state["optimisers"], strict=True):
            each.load_state_dict(held)
        self.at = Position(**state["at"])

    def begin(self, other: str) -> None:
        """Take over the parameters of another run's folder, or of a static network of the zoo."""
        recipe = self.recipe
        if (path := Path(other) / "checkpoint.pt").exists():
            state = torch.load(path, weights_only=True, map_location=self.device)
            held, log = state["model"], state["at"]["log"]
        else:
            network = load_model(other)
            held, log = state_of(network), []
            if (curves := Path(network.card.get("curves", ""))).is_file():
                with curves.open() as file:
                    log = list(csv.DictReader(file))
        grown(self.model, held, recipe.growth)
        if recipe.routed and not recipe.frozen:
            routed(self.model, self.images[:ROUTED], self.labels[:ROUTED], recipe.routed, recipe.cold)
        self.at.log = log

    def factor(self) -> float:
        """What the rates are multiplied by at this step."""
        done = self.at.epoch + self.at.step / self.steps
        if self.recipe.schedule == "hold":
            return min(1.0, done + 1 / self.steps)
        start, end = self.recipe.start, self.recipe.end
        return start + (end - start) * done / self.recipe.epochs

    def temperature(self) -> float:
        """Softmax temperature of this step."""
        recipe = self.recipe
        done = min(1.0, (self.at.epoch + self.at.step / self.steps) / max(1e-9, recipe.annealed * recipe.epochs))
        return recipe.hot ** (1 - done) * recipe.cold**done

    def batch(self, order: Tensor, flips: Tensor) -> tuple[Tensor, Tensor]:
        """Images of this step, augmented, and their labels."""
        recipe, at = self.recipe, self.at
        chosen = order[at.step * recipe.batch : (at.step + 1) * recipe.batch]
        flip = flips[chosen] ^ (at.epoch % 2 == 1)  # each image alternates: no view twice in two epochs
        return augmented(self.images[chosen], flip, recipe.shift, recipe.cutout), self.labels[chosen]

    def step(self, order: Tensor, flips: Tensor) -> None:
        """One update."""
        recipe, at, model = self.recipe, self.at, self.model
        torch.manual_seed((recipe.seed * 1009 + at.epoch) * 100_003 + at.step)
        noisy = at.epoch >= recipe.epochs - recipe.disturbed_epochs
        model.train()
        model.whiten.bias.requires_grad_(at.epoch < recipe.first_epochs)
        disturb(model, noisy)
        factor, temperature = self.factor(), self.temperature()
        for each, rates in zip(self.optimisers, self.rates, strict=True):
            for group, rate in zip(each.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        for conv in mixed_convs(model):
            conv.gate.temperature = temperature
        x, y = self.batch(order, flips)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            outputs = model(x).float()
        loss = functional.cross_entropy(outputs, y, label_smoothing=recipe.smoothing)
        at.loss += loss.item()
        at.right += int((outputs.argmax(1) == y).sum())
        convs = mixed_convs(model)
        for conv in convs if recipe.balance else ():
            of_mean, mean_of = information(conv.shares)
            loss = loss - recipe.balance / len(convs) * (of_mean - mean_of)
        for each in self.optimisers:
            each.zero_grad()
        loss.backward()
        for each in self.optimisers:
            each.step()
        clipped(model, recipe.disturbed_clip if noisy else recipe.clip)
        at.step += 1

    def epoch(self) -> bool:
        """Go on to the end of this epoch; False if it was stopped on the way."""
        recipe, at = self.recipe, self.at
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + at.epoch)
        order = torch.randperm(len(self.images), generator=generator).to(self.device)
        flips = torch.randint(0, 2, (len(order),), generator=torch.Generator().manual_seed(recipe.seed)) == 1
        flips = flips.to(self.device)
        while at.step < self.steps:
            start = time.monotonic()
            self.step(order, flips)
            at.seconds += time.monotonic() - start
            if at.step % 10 == 0:
                print(f"epoch {at.epoch + 1} step {at.step}/{self.steps} loss {at.loss / at.step:.4f} "
                      f"{at.seconds / at.step:.2f} s each", flush=True)  # fmt: skip
            if self.stopped:
                self.save()
                return False
        self.end(order, flips)
        return True

    def end(self, order: Tensor, flips: Tensor) -> None:
        """Measure, write the log's row, and save."""
        recipe, at, model = self.recipe, self.at, self.model
        rate, temperature = recipe.rate * self.factor(), self.temperature()
        last = at.epoch + 1 == recipe.epochs and recipe.schedule == "fall"
        noisy = at.epoch >= recipe.epochs - recipe.disturbed_epochs
        torch.manual_seed(recipe.seed)
        views = []
        for at.step in range(min(SETTLED[last], self.steps)):
            views.append(self.batch(order, flips)[0])
        settle(model, views, noisy=noisy, gates=last)
        row: dict[str, object] = {
            "kernels": recipe.kernels,
            "images": len(self.images),
            "epoch": at.epoch + 1,
            "rate": f"{rate:.4g}",
            "loss": f"{at.loss / self.steps:.5f}",
            "train_augmented": f"{at.right / self.steps / recipe.batch:.5f}",
            "validation": f"{accuracy(model, *self.check):.4f}",
            "validation_disturbed": f"{accuracy(model, *self.check, draws=2):.4f}" if noisy else "",
            "seconds": round(at.seconds),
        }
        if mixed_convs(model) and not recipe.frozen:
            row["temperature"] = f"{temperature:.3f}"
            for n, shares in enumerate(shares_of(model, self.check[0][:1000]), start=1):
                of_mean, mean_of = information(shares)
                row[f"conv{n}_entropy"] = f"{float(mean_of):.3f}"
                row[f"conv{n}_entropy_of_mean"] = f"{float(of_mean):.3f}"
                row[f"conv{n}_variance"] = f"{float(shares.var(0).mean()):.4f}"
            if last:
                for how in ("uniform", "shuffled"):
                    for conv in mixed_convs(model):
                        conv.frozen = how
                    row[f"validation_{how}"] = f"{accuracy(model, *self.check):.4f}"
                for conv in mixed_convs(model):
                    conv.frozen = None
        print(row, flush=True)
        self.at = Position(at.epoch + 1, log=[*at.log, row])
        self.save()
        write_table(self.folder / "log.csv", self.at.log)

    def go(self) -> None:
        """Train to the end, or until a signal."""

        def stop(*_: object) -> None:
            self.stopped = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        while self.at.epoch < self.recipe.epochs:
            if not self.epoch():
                print("stopped; --resume goes on from here", flush=True)
                return


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows as CSV, with the columns of all of them."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def train(options: argparse.Namespace) -> None:
    """Start a run, or go on with one."""
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    path = options.run / "checkpoint.pt"
    if path.exists() != options.resume:
        raise SystemExit(f"{path} exists: give --resume" if path.exists() else f"there is no {path} to resume")
    if options.resume:
        recipe = restored(torch.load(path, weights_only=True, map_location="cpu")["recipe"])
    else:
        recipe = RECIPES[options.recipe]
    run = Run(options.run, changed(recipe, options.set), options.data, device)
    if options.resume:
        run.load()
    elif options.begin is not None:
        run.begin(options.begin)
    run.go()


# from the zoo and into it


def state_of(network: Network) -> dict[str, Tensor]:
    """Parameters of a static network that `network_of` made."""
    state = {}
    for layer in network.layers:
        n = int(layer.name[-1]) - 1 if layer.name[-1].isdigit() else 0
        match layer:
            case Conv(name="whiten"):
                held = {"whiten.weight": layer.weight, "whiten.bias": layer.bias}
            case Conv():
                held = {f"blocks.{n}.conv.weight": layer.weight[None]}
            case BatchNorm():
                values = (layer.gamma, layer.beta, layer.mean, layer.variance)
                names = ("weight", "bias", "running_mean", "running_var")
                held = {f"blocks.{n}.norm.{name}": value for name, value in zip(names, values, strict=True)}
            case Linear():
                held = {"head.weight": layer.weight, "head.bias": layer.bias}
            case _:
                continue
        state |= {name: torch.tensor(value, dtype=torch.float32) for name, value in held.items()}
    return state


def coded(weight: np.ndarray) -> np.ndarray:
    """Weights as 8-bit codes times one float32 scale, which a network's file then stores as such."""
    scale = float(np.float32(np.abs(weight).max() / 127))
    codes = np.rint(weight.astype(np.float64) / scale).clip(-127, 127).astype(np.int8)
    return codes.astype(np.float64) * scale


def network_of(name: str, model: Vgg, card: dict[str, object]) -> Network:
    """The trained model in plain arrays, its 3x3 kernels in 8 bits; batch norms before pools, so that they fold."""
    layers: list[Layer] = [
        Conv("whiten", (INPUT,), plain(model.whiten.weight), plain(model.whiten.bias)),
        Relu("relu0", ("whiten",)),
    ]
    source, size = "relu0", 32 - PATCH + 1
    for n, block in enumerate(model.blocks, start=1):
        conv, norm, relu = f"conv{n}", f"norm{n}", f"relu{n}"
        weight = plain(block.conv.weight)
        if block.conv.gate is None or block.conv.frozen == "uniform":
            layers.append(Conv(conv, (source,), coded(weight.mean(axis=0)), padding=(1, 1)))
        else:
            attention = block.conv.gate.exported()
            layers.append(DynamicConv(conv, (source,), coded(weight), None, (1, 1), (1, 1), (1, 1), 1, attention))
        held = (block.norm.weight, block.norm.bias, block.norm.running_mean, block.norm.running_var)
        layers.append(BatchNorm(norm, (conv,), *map(plain, held), block.norm.eps))
        source = norm
        if block.pool:
            size //= 2
            source = f"pool{n}"
            layers.append(MaxPool(source, (norm,), (2, 2), (2, 2)))
        layers.append(Relu(relu, (source,)))
        source = relu
    layers.append(MaxPool("pool", (source,), (size, size), (size, size)))
    layers.append(Flatten("flat", ("pool",)))
    layers.append(Linear("fc", ("flat",), plain(model.head.weight), plain(model.head.bias)))
    return Network(name, (3, 32, 32), CIFAR10_CLASSES, tuple(layers), card)


def export(options: argparse.Namespace) -> None:
    """Store a finished run in the zoo, accuracies measured on what is stored; the test images only if asked for."""
    state = torch.load(options.run / "checkpoint.pt", weights_only=True, map_location="cpu")
    recipe = restored(state["recipe"])
    model = Vgg(recipe)
    model.load_state_dict(state["model"])
    model.eval()
    for conv in mixed_convs(model):
        conv.frozen = "uniform" if recipe.frozen else None
        conv.gate.temperature = recipe.cold
    check = load_dataset("cifar10", "validation", options.data)
    dynamic = recipe.kernels > 1 and not recipe.frozen
    log = state["at"]["log"]
    card: dict[str, object] = {
        "description": f"{'dynamic ' if dynamic else ''}VGG: a whitening layer and six 3x3 convolutions, for CIFAR-10",
        "dataset": "cifar10",
        "split": "5,000 validation images by checksum (docs/data.md); official test images",
        "seed": recipe.seed,
        "epochs": len(log),
        "recipe": state["recipe"],
        "stored": "3x3 kernels as 8-bit codes times one scale per layer; accuracies are of the stored network",
        "curves": f"{LOGS / options.name}.csv",
        "chosen_on": "validation images; no choice was made on the test images",
        "source": "trained by the Crossgate project (benchmarks/train/cifar10.py)",
        "licence": "MIT; CIFAR-10 comes without a licence and is not distributed here",
        "torch": torch.__version__,
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "seconds": sum(int(row["seconds"]) for row in log),
    }
    network = network_of(options.name, model, card)
    splits = {"validation": check} | ({"test": load_dataset("cifar10", "test", options.data)} if options.test else {})
    card["accuracy"] = {split: float(np.mean(right(network, data))) for split, data in splits.items()}
    if recipe.images == "all":
        card["accuracy_meaning"] = "validation images were trained on: that number says nothing about new images"
    if dynamic:
        card["attention"] = {
            "meaning": "1,000 validation images; entropies over ln K: 1 is uniform; entropy is the mean over images",
            "layers": attention_report(network, check.images[:1000]),
        }
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / f"{options.name}.npz"
    save_network(replace(network, card=card), path)
    LOGS.mkdir(parents=True, exist_ok=True)
    write_table(LOGS / f"{options.name}.csv", log)
    print(
        json.dumps(
            {"name": options.name, "bytes": path.stat().st_size, "parameters": network.parameters, **card}, indent=1
        )
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train the CIFAR-10 networks of the zoo.")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="start a run, or go on with one")
    one.add_argument("run", type=Path)
    one.add_argument("--recipe", choices=RECIPES, default="trunk")
    one.add_argument("--begin", help="folder of a run, or a static network of the zoo, whose parameters to take over")
    one.add_argument("--resume", action="store_true")
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    one.add_argument("--device")
    one.set_defaults(do=train)
    two = commands.add_parser("export", help="store a run in the zoo")
    two.add_argument("run", type=Path)
    two.add_argument("name")
    two.add_argument("--folder", type=Path, default=ZOO)
    two.add_argument("--test", action="store_true", help="measure on the test images: once, at the end")
    two.set_defaults(do=export)
    for each in (one, two):
        each.add_argument("--data", help="folder with CIFAR-10; without it the cache")
    options = parser.parse_args()
    options.do(options)


if __name__ == "__main__":
    main()
