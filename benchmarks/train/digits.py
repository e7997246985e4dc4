"""Train the zoo's networks for the bundled UCI digits: `vgg-digits`, `dvgg-digits`, and a narrow pair for negatives.

Run from the repository's root; needs PyTorch (an extra), one thread, minutes each:

    python -m benchmarks.train.digits --choose             compare candidate recipes, on the validation images alone
    python -m benchmarks.train.digits --model dvgg-digits  train, test once, write the zoo's file and a log
    python -m benchmarks.train.digits --compare FOLDER     the narrow pair with five seeds; continues after a stop

Both networks of a pair have the same backbone, recipe and seed.  In the dynamic one every 3x3 convolution after the
first has K kernels that attention mixes; in `dvgg-negatives` the first one has, too.  All are trained for analogue
hardware: in each step every weight matrix gets random errors like those of a written crossbar.  Logs and comparisons
are written to benchmarks/train/logs/.
"""

import argparse
import csv
import datetime as dt
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numba
import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.attention import attention_report, paired
from benchmarks.train.layers import (
    Hardware,
    MixedConv,
    Quantiser,
    disturb,
    disturbed,
    information,
    mixed_convs,
    plain,
    plain_values,
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
    load_network,
    save_network,
)
from mapping.networks.models import ZOO

LOGS = Path("benchmarks/train/logs")
SEEDS = (1, 2, 3, 4, 5)  #: of --compare
EVERY = 10  #: epochs between two checkpoints of --compare
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
    first: bool = False  #: whether the first convolution has K kernels as well
    negatives: bool = False  #: whether half of the images of each step are turned into negatives
    judged: int = 1  #: epochs from one line of the log to the next


#: narrower, so that one kernel per layer is too few for digits and their negatives; ours, chosen on the validation
#: images with seed 11
NARROW = Recipe(
    widths=(3, 4, 6, 6, 8),
    epochs=120,
    batch=128,
    rate=4e-3,
    attention_rate=8e-3,
    hot=5.0,
    cold=1.0,
    balance=0.02,
    first=True,
    negatives=True,
    judged=10,
)

#: data set and recipe of each network
MODELS: dict[str, tuple[str, Recipe]] = {
    "vgg-digits": ("digits", Recipe()),
    "dvgg-digits": ("digits", Recipe()),
    "vgg-negatives": ("negatives", NARROW),
    "dvgg-negatives": ("negatives", NARROW),
}


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
        ends = list(zip((1, *recipe.widths[:-1]), recipe.widths, strict=True))
        mixed = [kernels if n or recipe.first else 1 for n in range(len(recipe.widths))]
        self.blocks = nn.ModuleList(Block(i, o, k, hardware) for (i, o), k in zip(ends, mixed, strict=True))
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


def part(split: str, name: str = "digits") -> tuple[Tensor, Tensor]:
    data = load_dataset(name, split)
    return torch.tensor(data.images, dtype=torch.float32), torch.tensor(data.labels)


class Run:
    """One training: model, optimiser, schedule and log, and where it is; it continues from a checkpoint."""

    def __init__(
        self, name: str, recipe: Recipe, hardware: Hardware, seed: int, checkpoint: Path | None = None
    ) -> None:
        torch.manual_seed(seed)
        self.recipe, self.seed, self.checkpoint = recipe, seed, checkpoint
        self.data, _ = MODELS[name]
        self.model = Vgg(recipe, recipe.kernels if name.startswith("d") else 1, hardware)
        self.images, self.labels = part("train")  # turned into negatives at random in training, not by their number
        self.checked = part("validation", self.data)
        self.optimiser = torch.optim.AdamW(groups(self.model, recipe))
        steps = recipe.epochs * (len(self.images) // recipe.batch)
        warm = max(1, steps // 20)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        )
        self.epoch, self.seconds = 0, 0.0
        self.rows: list[dict[str, object]] = []
        if checkpoint is not None and checkpoint.exists():
            self.load(checkpoint)

    def load(self, path: Path) -> None:
        """Go back to where the checkpoint was written."""
        held = torch.load(path, weights_only=True)
        if held["recipe"] != plain_values(self.recipe) or held["seed"] != self.seed:
            raise SystemExit(f"{path} belongs to another recipe or seed; remove it to start anew")
        for one, state in zip((self.model, self.optimiser, self.schedule), held["states"], strict=True):
            one.load_state_dict(state)
        torch.set_rng_state(held["random"])
        self.epoch, self.seconds, self.rows = held["epoch"], held["seconds"], held["rows"]

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        if self.checkpoint is None:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.checkpoint.with_suffix(".tmp")
        states = [one.state_dict() for one in (self.model, self.optimiser, self.schedule)]
        torch.save(
            {
                "recipe": plain_values(self.recipe), "seed": self.seed, "states": states, "epoch": self.epoch,
                "random": torch.get_rng_state(), "seconds": self.seconds, "rows": self.rows,
            },
            temporary,
        )  # fmt: skip
        temporary.replace(self.checkpoint)

    def step(self, chosen: Tensor) -> float:
        """Train on the images of these numbers, and return the loss of their classes."""
        model, recipe = self.model, self.recipe
        model.train()
        disturb(model, True)
        seen = augmented(self.images[chosen])
        if recipe.negatives:
            seen = torch.where(torch.rand(len(seen), 1, 1, 1) < 0.5, 1.0 - seen, seen)
        loss = functional.cross_entropy(model(seen), self.labels[chosen], label_smoothing=recipe.smoothing)
        found = float(loss.detach())
        for conv in mixed_convs(model):
            of_mean, mean_of = information(conv.shares)
            loss = loss - recipe.balance * (of_mean - mean_of)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        hold(model, recipe.clip)
        return found

    def judged(self, loss: float, temperature: float) -> dict[str, object]:
        """One line of the log, with the validation accuracy (never the test's)."""
        train_images = turned(self.images) if self.recipe.negatives else self.images
        row: dict[str, object] = {
            "epoch": self.epoch,
            "rate": f"{self.schedule.get_last_lr()[0]:.3e}",
            "temperature": f"{temperature:.3f}",
            "loss": f"{loss:.5f}",
            "train": f"{accuracy(self.model, train_images, self.labels):.5f}",
            "validation": f"{accuracy(self.model, *self.checked):.5f}",
            "validation_disturbed": f"{accuracy(self.model, *self.checked, draws=4):.5f}",
        }
        for n, shares in zip(dynamic_numbers(self.model), attention_shares(self.model, self.checked[0]), strict=True):
            of_mean, mean_of = information(shares)
            row[f"conv{n}_entropy"] = f"{float(mean_of):.4f}"
            row[f"conv{n}_entropy_of_mean"] = f"{float(of_mean):.4f}"
        return row

    def train(self) -> None:
        """Train the epochs that are left."""
        recipe = self.recipe
        while self.epoch < recipe.epochs:
            start = time.monotonic()
            done = min(1.0, self.epoch / (recipe.annealed * recipe.epochs))
            temperature = recipe.hot ** (1 - done) * recipe.cold**done
            for conv in mixed_convs(self.model):
                conv.gate.temperature = temperature
            losses = [self.step(chosen) for chosen in batches(len(self.images), recipe.batch)]
            self.epoch += 1
            last = self.epoch == recipe.epochs
            if last or self.epoch % recipe.judged == 0:
                with torch.random.fork_rng(devices=[]):  # what is logged changes no draw of the training
                    self.rows.append(self.judged(float(np.mean(losses)), temperature))
            self.seconds += time.monotonic() - start
            if last or self.epoch % EVERY == 0:
                self.save()

    def settled(self) -> None:
        """Recompute the statistics of batch norms and attention on the training images."""
        torch.manual_seed(self.seed)
        images = torch.cat((self.images, 1.0 - self.images)) if self.recipe.negatives else self.images
        rounds = 5 if self.recipe.negatives else 10  # the same number of images
        settle(self.model, (images[one] for _ in range(rounds) for one in batches(len(images), self.recipe.batch)))


def turned(images: Tensor) -> Tensor:
    """Every second image as a negative."""
    result = images.clone()
    result[1::2] = 1.0 - result[1::2]
    return result


def dynamic_numbers(model: Vgg) -> list[int]:
    """Numbers of the convolutions whose kernels are mixed, from 1."""
    return [n for n, block in enumerate(model.blocks, start=1) if block.conv.gate is not None]


def train(
    name: str, recipe: Recipe, hardware: Hardware, seed: int, log: Path | None, checkpoint: Path | None = None
) -> tuple[Vgg, dict[str, float]]:
    """Train on the training images; the log also holds the validation accuracy (never the test's)."""
    run = Run(name, recipe, hardware, seed, checkpoint)
    run.train()
    model = run.model
    if log is not None:
        write_rows(log, run.rows)
    start = time.monotonic()
    run.settled()
    check_images, check_labels = run.checked
    train_images = turned(run.images) if recipe.negatives else run.images
    final = {
        "train": accuracy(model, train_images, run.labels),
        "validation": accuracy(model, check_images, check_labels),
        "validation_disturbed": accuracy(model, check_images, check_labels, draws=50),
        "validation_uniform_attention": frozen_accuracy(model, check_images, check_labels, "uniform"),
        "validation_shuffled_attention": frozen_accuracy(model, check_images, check_labels, "shuffled"),
        "seconds": run.seconds + time.monotonic() - start,
    }
    return model, final


def write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    """Write a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


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
    return float(np.mean(correct(network, split)))


def correct(network: Network, split: str, *, equal: bool = False) -> np.ndarray:
    """Whether the stored network is right about each image (n,), on demand with equal attention weights."""
    data = load_dataset(str(network.card["dataset"]), split)
    layers = [layer for layer in network.layers if isinstance(layer, DynamicConv)]
    weights = {layer.name: np.full((len(data), layer.kernels), 1.0 / layer.kernels) for layer in layers}
    return network.forward(data.images, attention=weights if equal else None).argmax(axis=1) == data.labels


def make(
    name: str, recipe: Recipe, hardware: Hardware, seed: int, folder: Path = ZOO, checkpoint: Path | None = None
) -> Network:
    """Train one network and store it, by default in the zoo; test accuracy is measured once, at the end."""
    log = LOGS / f"{name}.csv" if folder == ZOO else folder / f"{name}.csv"
    model, final = train(name, recipe, hardware, seed, log, checkpoint)
    data, _ = MODELS[name]
    card: dict[str, object] = {
        "description": f"{'dynamic ' if name.startswith('d') else ''}VGG of five 3x3 convolutions for 8x8 digits"
        f"{', half of them negatives' if data == 'negatives' else ''}",
        "dataset": data,
        "split": "fixed, class-stratified: 1047 train, 300 validation, 450 test (benchmarks/train/pack_digits.py)",
        "accuracy": {},
        "accuracy_disturbed": {
            "validation": round(final["validation_disturbed"], 5),
            "meaning": "mean over 50 draws of the training's own disturbances, not of a simulated chip",
        },
        "seed": seed,
        "epochs": recipe.epochs,
        "command": f"python -m benchmarks.train.digits --model {name} --seed {seed}",
        "recipe": plain_values(recipe),
        "disturbances": plain_values(hardware),
        "chosen_on": "validation images; no choice was made on the test images",
        "source": "trained by the Crossgate project",
        "licence": "MIT; trained on data under CC BY 4.0 (mapping/data/digits.md)",
        "torch": torch.__version__,
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "seconds": round(final["seconds"]),
    }
    network = network_of(name, model, card)
    with torch.no_grad():  # float32 there, float64 here
        images = part("validation", data)[0]
        gap = np.abs(network.forward(images.numpy()) - plain(model(images))).max()
    if gap > 1e-3:
        raise SystemExit(f"the exported network differs from the trained one by {gap:.2g}")
    if mixed_convs(model):
        card["attention"] = {
            "meaning": "validation images; entropies over ln K: 1 is uniform; entropy is the mean over images",
            "layers": attention_report(network, load_dataset(data, "validation").images),
            "validation_with_uniform_attention": final["validation_uniform_attention"],
            "validation_with_attention_of_other_images": final["validation_shuffled_attention"],
        }
    card["accuracy"] = {split: measured(network, split) for split in ("train", "validation", "test")}
    network = replace(network, card=card)
    folder.mkdir(parents=True, exist_ok=True)
    save_network(network, folder / f"{name}.npz")
    print(json.dumps({"name": name, "parameters": network.parameters, **card}, indent=1), flush=True)
    return network


def compare(folder: Path, seeds: tuple[int, ...], changes: dict[str, int]) -> None:
    """Train the narrow pair with each seed that the folder lacks; print paired differences on the test images."""
    rows: list[dict[str, object]] = []
    for seed in seeds:
        held = {}
        for name in ("vgg-negatives", "dvgg-negatives"):
            place = folder / str(seed)
            recipe = replace(MODELS[name][1], **changes)
            if not (place / f"{name}.npz").exists():
                make(name, recipe, Hardware(), seed, place, place / f"{name}.pt")
            held[name] = load_network(place / f"{name}.npz")
        static, dynamic = held["vgg-negatives"], held["dvgg-negatives"]
        right = {
            "static": correct(static, "test"),
            "dynamic": correct(dynamic, "test"),
            "equal": correct(dynamic, "test", equal=True),
        }
        rng = np.random.default_rng(seed)
        gain, loss = paired(right["static"], right["dynamic"], rng), paired(right["equal"], right["dynamic"], rng)
        rows.append(
            {
                "seed": seed,
                **{f"test_{key}": f"{each.mean():.5f}" for key, each in right.items()},
                "gain_over_static": f"{gain['difference']:.5f}",
                "gain_low": f"{gain['low']:.5f}",
                "gain_high": f"{gain['high']:.5f}",
                "mcnemar_p": f"{gain['mcnemar_p']:.2g}",
                "gain_over_equal": f"{loss['difference']:.5f}",
                "epochs": dynamic.card["epochs"],
                "seconds": int(static.card["seconds"]) + int(dynamic.card["seconds"]),
            }
        )
        write_rows(LOGS / "negatives-pairs.csv", rows)
        print(rows[-1], flush=True)
    for key in ("gain_over_static", "gain_over_equal"):
        values = np.array([float(str(row[key])) for row in rows])
        half = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0
        print(f"{key}: {100 * values.mean():.2f} ± {100 * half:.2f} points over {len(values)} seeds (95 %, Student)")


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
        write_rows(path, rows)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train the digits networks of the zoo.")
    parser.add_argument("--model", choices=tuple(MODELS), action="append", help="network to train; may be given twice")
    parser.add_argument("--choose", action="store_true", help="compare the candidate recipes instead")
    parser.add_argument("--compare", type=Path, metavar="FOLDER", help="train the narrow pair with several seeds there")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="of --compare")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=None, help="other than the recipe's (--choose: 60)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    numba.set_num_threads(1)  # idle threads of a parallel kernel spin and take the time of torch's
    if options.choose:
        choose(options.seed, options.epochs or 60)
    changes = {} if options.epochs is None else {"epochs": options.epochs}
    if options.compare is not None:
        compare(options.compare, tuple(options.seeds), changes)
    for name in options.model or ():
        make(name, replace(MODELS[name][1], **changes), Hardware(), options.seed)


if __name__ == "__main__":
    main()
