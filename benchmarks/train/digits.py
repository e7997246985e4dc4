"""Train the zoo's `vgg-digits` and `dvgg-digits` on the bundled UCI digits.

Run from the repository's root; needs PyTorch (an extra), one thread, minutes each:

    python -m benchmarks.train.digits --choose             compare candidate recipes, on the validation images alone
    python -m benchmarks.train.digits --model dvgg-digits  train, test once, write the zoo's file and a log

Both networks have the same backbone, recipe and seed.  In `dvgg-digits` every 3x3 convolution after the first has K
kernels that attention mixes.  Both are trained for analogue hardware: in each step every weight matrix gets random
errors like those of a written crossbar.  Logs and the comparison of recipes are written to benchmarks/train/logs/.
"""

import argparse
import csv
import datetime as dt
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.attention import attention_report
from benchmarks.train.layers import (
    Hardware,
    MixedConv,
    Quantiser,
    disturb,
    disturbed,
    information,
    mixed_convs,
    plain,
    settle,
)
from mapping.data.datasets import load_dataset
from mapping.networks import (
    BatchNorm,
    Conv,
    DynamicConv,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Network,
    Relu,
    save_network,
)
from mapping.networks.models import ZOO

LOGS = Path("benchmarks/train/logs")
MODELS = ("vgg-digits", "dvgg-digits")
CANDIDATES: tuple[dict[str, float], ...] = (  #: changes of the recipe that --choose compares
    {},
    {"clip": 2.5},
    {"clip": 2.0},
    {"clip": 1.4},
    {"cold": 4.0},
    {"annealed": 0.4},
    {"balance": 0.0},
)
POOLED = (2, 4)  #: a 2x2 max pool follows these convolutions (counted from 1)


@dataclass(frozen=True)
class Recipe:
    """Every choice of the training; ours, ranked on the validation images."""

    widths: tuple[int, ...] = (24, 32, 48, 48, 64)
    kernels: int = 4
    epochs: int = 150
    batch: int = 64
    rate: float = 2e-3
    attention_rate: float = 4e-3
    decay: float = 1e-3
    smoothing: float = 0.05
    hot: float = 30.0  #: softmax temperature at the start (the usual schedule of dynamic convolution)
    cold: float = 2.0  #: softmax temperature from `annealed` on
    annealed: float = 0.4  #: fraction of the epochs over which the temperature falls
    balance: float = 0.05  #: weight of the information between image and kernel in the loss
    clip: float = 1.6  #: weights are held within this many root mean squares of their kernel, whose own is held fixed


class Block(nn.Module):
    """3x3 convolution with one or k kernels, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernels: int, hardware: Hardware) -> None:
        super().__init__()
        self.conv = MixedConv(inputs, outputs, kernels, hardware)
        self.norm = nn.BatchNorm2d(outputs)
        self.quantise = Quantiser(hardware.bits)
        self.noisy = False

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm(self.conv(x)))
        return self.quantise(y) if self.noisy else y


class Vgg(nn.Module):
    """The backbone of both networks for (b, 1, 8, 8) images."""

    def __init__(self, recipe: Recipe, kernels: int, hardware: Hardware) -> None:
        super().__init__()
        ends = zip((1, *recipe.widths[:-1]), recipe.widths, strict=True)
        self.blocks = nn.ModuleList(Block(i, o, kernels if n else 1, hardware) for n, (i, o) in enumerate(ends))
        self.head = nn.Linear(recipe.widths[-1], 10)
        self.hardware = hardware
        self.noisy = False

    def forward(self, x: Tensor) -> Tensor:
        for n, block in enumerate(self.blocks, start=1):
            x = block(x)
            if n in POOLED:
                x = functional.max_pool2d(x, 2)
        weight = self.head.weight
        if self.noisy:
            weight = disturbed(weight[None], self.hardware)[0]
        return x.mean(dim=(2, 3)) @ weight.T + self.head.bias


def augmented(images: Tensor) -> Tensor:
    """Each image moved by up to 0.8 pixel, turned by up to 10 degrees, scaled and sheared by up to 10 %."""
    b, size = images.shape[0], images.shape[-1]
    turn = (torch.rand(b) * 2 - 1) * math.radians(10.0)
    zoom = 1 + (torch.rand(b, 2) * 2 - 1) * 0.1
    shear = (torch.rand(b) * 2 - 1) * 0.1
    shift = (torch.rand(b, 2) * 2 - 1) * 0.8 * 2 / size
    cos, sin = torch.cos(turn), torch.sin(turn)
    affine = torch.stack(
        [
            torch.stack([cos * zoom[:, 0], (shear - sin) * zoom[:, 1], shift[:, 0]], dim=1),
            torch.stack([sin * zoom[:, 0], cos * zoom[:, 1], shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


@torch.no_grad()
def hold(model: Vgg, clip: float) -> None:
    """Clip each kernel at `clip` times its root mean square, then restore its initial root mean square.

    With large outliers most cells of a crossbar would be near their smallest conductance.  Batch norm makes the scale
    of a layer arbitrary, but clipping alone would shrink kernels continually, and at different rates.
    """
    for block in model.blocks:
        born = math.sqrt(2.0 / block.conv.weight[0, 0].numel())
        for kernel in block.conv.weight:
            limit = clip * float(kernel.square().mean().sqrt())
            kernel.clamp_(-limit, limit)
            kernel.mul_(born / float(kernel.square().mean().sqrt()))


def groups(model: Vgg, recipe: Recipe) -> list[dict[str, object]]:
    """Parameter groups: decay on the head's weight alone (kernels are held), a rate of its own for the attention."""
    gates = {id(p) for conv in mixed_convs(model) for p in conv.gate.parameters()}
    decayed = [model.head.weight]
    chosen = gates | {id(p) for p in decayed}
    plain = [p for p in model.parameters() if id(p) not in chosen]
    attention = [p for p in model.parameters() if id(p) in gates]
    return [
        {"params": decayed, "lr": recipe.rate, "weight_decay": recipe.decay},
        {"params": plain, "lr": recipe.rate, "weight_decay": 0.0},
        *([{"params": attention, "lr": recipe.attention_rate, "weight_decay": 0.0}] if attention else []),
    ]


def accuracy(model: Vgg, images: Tensor, labels: Tensor, draws: int = 0) -> float:
    """Accuracy, exact or as the mean over `draws` disturbed copies; leaves the model in evaluation mode."""
    model.eval()
    disturb(model, draws > 0)
    with torch.no_grad():
        rights = [float((model(images).argmax(1) == labels).double().mean()) for _ in range(max(draws, 1))]
    disturb(model, False)
    return float(np.mean(rights))


def frozen_accuracy(model: Vgg, images: Tensor, labels: Tensor, how: str) -> float:
    """Exact accuracy with the attention weights of every image replaced by equal ones, or by those of another image."""
    for conv in mixed_convs(model):
        conv.frozen = how
    result = accuracy(model, images, labels)
    for conv in mixed_convs(model):
        conv.frozen = None
    return result


def attention_shares(model: Vgg, images: Tensor) -> list[Tensor]:
    """The exact attention of every dynamic layer."""
    model.eval()
    with torch.no_grad():
        model(images)
    return [conv.shares for conv in mixed_convs(model) if conv.shares is not None]


def batches(count: int, size: int) -> Iterator[Tensor]:
    """Index batches of one shuffled epoch, the ragged end left out."""
    order = torch.randperm(count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def part(split: str) -> tuple[Tensor, Tensor]:
    data = load_dataset("digits", split)
    return torch.tensor(data.images, dtype=torch.float32), torch.tensor(data.labels)


def train(name: str, recipe: Recipe, hardware: Hardware, seed: int, log: Path | None) -> tuple[Vgg, dict[str, float]]:
    """Train on the training images; the log also holds the validation accuracy of every epoch (never the test's)."""
    torch.manual_seed(seed)
    model = Vgg(recipe, recipe.kernels if name.startswith("d") else 1, hardware)
    images, labels = part("train")
    check_images, check_labels = part("validation")
    optimiser = torch.optim.AdamW(groups(model, recipe))
    steps = recipe.epochs * (len(images) // recipe.batch)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / steps))
    )
    rows: list[dict[str, object]] = []
    start = time.monotonic()
    for epoch in range(recipe.epochs):
        done = min(1.0, epoch / (recipe.annealed * recipe.epochs))
        temperature = recipe.hot ** (1 - done) * recipe.cold**done
        for conv in mixed_convs(model):
            conv.gate.temperature = temperature
        model.train()
        total = 0.0
        count = 0
        for chosen in batches(len(images), recipe.batch):
            model.train()
            disturb(model, True)
            outputs = model(augmented(images[chosen]))
            loss = functional.cross_entropy(outputs, labels[chosen], label_smoothing=recipe.smoothing)
            total += float(loss.detach())
            count += 1
            for conv in mixed_convs(model):
                of_mean, mean_of = information(conv.shares)
                loss = loss - recipe.balance * (of_mean - mean_of)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            hold(model, recipe.clip)
        row: dict[str, object] = {
            "epoch": epoch + 1,
            "rate": f"{schedule.get_last_lr()[0]:.3e}",
            "temperature": f"{temperature:.3f}",
            "loss": f"{total / count:.5f}",
            "train": f"{accuracy(model, images, labels):.5f}",
            "validation": f"{accuracy(model, check_images, check_labels):.5f}",
            "validation_disturbed": f"{accuracy(model, check_images, check_labels, draws=4):.5f}",
        }
        for n, shares in enumerate(attention_shares(model, check_images), start=2):
            of_mean, mean_of = information(shares)
            row[f"conv{n}_entropy"] = f"{float(mean_of):.4f}"
            row[f"conv{n}_entropy_of_mean"] = f"{float(of_mean):.4f}"
        rows.append(row)
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    torch.manual_seed(seed)
    settle(model, (images[chosen] for _ in range(10) for chosen in batches(len(images), recipe.batch)))
    final = {
        "train": accuracy(model, images, labels),
        "validation": accuracy(model, check_images, check_labels),
        "validation_disturbed": accuracy(model, check_images, check_labels, draws=50),
        "validation_uniform_attention": frozen_accuracy(model, check_images, check_labels, "uniform"),
        "validation_shuffled_attention": frozen_accuracy(model, check_images, check_labels, "shuffled"),
        "seconds": time.monotonic() - start,
    }
    return model, final


def network_of(name: str, model: Vgg, card: dict[str, object]) -> Network:
    """The trained model as plain arrays."""
    layers: list[Layer] = []
    source = "input"
    for n, block in enumerate(model.blocks, start=1):
        conv, norm, relu = f"conv{n}", f"norm{n}", f"relu{n}"
        weight = plain(block.conv.weight)
        if block.conv.gate is None:
            layers.append(Conv(conv, (source,), weight[0], padding=(1, 1)))
        else:
            attention = block.conv.gate.exported()
            layers.append(DynamicConv(conv, (source,), weight, None, (1, 1), (1, 1), (1, 1), 1, attention))
        held = (block.norm.weight, block.norm.bias, block.norm.running_mean, block.norm.running_var)
        layers += [BatchNorm(norm, (conv,), *map(plain, held), block.norm.eps), Relu(relu, (norm,))]
        source = relu
        if n in POOLED:
            source = f"pool{n}"
            layers.append(MaxPool(source, (relu,), (2, 2), (2, 2)))
    layers.append(GlobalAveragePool("pool", (source,)))
    layers.append(Linear("fc", ("pool",), plain(model.head.weight), plain(model.head.bias)))
    return Network(name, (1, 8, 8), tuple("0123456789"), tuple(layers), card)


def measured(network: Network, split: str) -> float:
    """Exact accuracy of the stored network, float64."""
    data = load_dataset("digits", split)
    return float(np.mean(network.forward(data.images).argmax(axis=1) == data.labels))


def make(name: str, recipe: Recipe, hardware: Hardware, seed: int) -> None:
    """Train one network and put it into the zoo, test accuracy measured once, at the end."""
    model, final = train(name, recipe, hardware, seed, LOGS / f"{name}.csv")
    card: dict[str, object] = {
        "description": f"{'dynamic ' if name.startswith('d') else ''}VGG of five 3x3 convolutions for 8x8 digits",
        "dataset": "digits",
        "split": "fixed, class-stratified: 1047 train, 300 validation, 450 test (benchmarks/train/pack_digits.py)",
        "accuracy": {},
        "accuracy_disturbed": {
            "validation": round(final["validation_disturbed"], 5),
            "meaning": "mean over 50 draws of the training's own disturbances, not of a simulated chip",
        },
        "seed": seed,
        "epochs": recipe.epochs,
        "command": f"python -m benchmarks.train.digits --model {name} --seed {seed}",
        "recipe": asdict(recipe),
        "disturbances": asdict(hardware),
        "chosen_on": "validation images; no choice was made on the test images",
        "source": "trained by the Crossgate project",
        "licence": "MIT; trained on data under CC BY 4.0 (mapping/data/digits.md)",
        "torch": torch.__version__,
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "seconds": round(final["seconds"]),
    }
    network = network_of(name, model, card)
    with torch.no_grad():  # float32 there, float64 here
        images = part("validation")[0]
        gap = np.abs(network.forward(images.numpy()) - plain(model(images))).max()
    if gap > 1e-3:
        raise SystemExit(f"the exported network differs from the trained one by {gap:.2g}")
    if mixed_convs(model):
        card["attention"] = {
            "meaning": "validation images; entropies over ln K: 1 is uniform; entropy is the mean over images",
            "layers": attention_report(network, load_dataset("digits", "validation").images),
            "validation_with_uniform_attention": final["validation_uniform_attention"],
            "validation_with_attention_of_other_images": final["validation_shuffled_attention"],
        }
    card["accuracy"] = {split: measured(network, split) for split in ("train", "validation", "test")}
    save_network(replace(network, card=card), ZOO / f"{name}.npz")
    print(json.dumps({"name": name, "parameters": network.parameters, **card}, indent=1))


def choose(seed: int, epochs: int) -> None:
    """Train dvgg-digits by every candidate recipe not yet in the table; write how each does on validation."""
    base, path = Recipe(epochs=epochs), LOGS / "digits-choices.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    if path.exists():
        with path.open(newline="") as file:
            rows += csv.DictReader(file)
    known = {(row["changes"], row["epochs"], row["seed"]) for row in rows}
    for changes in CANDIDATES:
        text = " ".join(f"{key}={value}" for key, value in changes.items()) or "none"
        if (text, str(epochs), str(seed)) in known:
            continue
        model, final = train("dvgg-digits", replace(base, **changes), Hardware(), seed, None)
        shares = attention_shares(model, part("validation")[0])
        entropies = [float(information(one)[1]) for one in shares]
        kernel = model.blocks[3].conv.weight.detach().abs()
        rows.append(
            {
                "changes": text,
                "epochs": epochs,
                "seed": seed,
                **{key: f"{value:.5f}" for key, value in final.items() if key != "seconds"},
                **{f"conv{n}_entropy": f"{value:.3f}" for n, value in enumerate(entropies, start=2)},
                "conv4_mean_over_largest": f"{float(kernel.mean() / kernel.max()):.3f}",
                "seconds": f"{final['seconds']:.0f}",
            }
        )
        print(rows[-1], flush=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train the digits networks of the zoo.")
    parser.add_argument("--model", choices=MODELS, action="append", help="network to train; may be given twice")
    parser.add_argument("--choose", action="store_true", help="compare the candidate recipes instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=None, help="other than the recipe's (--choose: 60)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.choose:
        choose(options.seed, options.epochs or 60)
    for name in options.model or ():
        recipe = Recipe() if options.epochs is None else Recipe(epochs=options.epochs)
        make(name, recipe, Hardware(), options.seed)


if __name__ == "__main__":
    main()
