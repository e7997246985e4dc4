"""Train the zoo's `vgg-digits` and `dvgg-digits` on the bundled UCI digits.

Run from the repository's root, with it on PYTHONPATH; needs PyTorch (an extra), one thread, minutes each:

    python benchmarks/train/digits.py --choose             compare candidate recipes, on the validation images alone
    python benchmarks/train/digits.py --model dvgg-digits  train, test once, write mapping/zoo/dvgg-digits.npz and a log

Both networks have the same backbone, recipe and seed; in `dvgg-digits` every 3x3 convolution after the first has K
kernels mixed by attention. Both are trained for analog hardware: in each step every weight matrix is disturbed as a
written crossbar would be. Logs and the comparison behind a recipe are written to benchmarks/train/logs/.
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

from mapping.datasets import load_dataset
from mapping.network import (
    Attention,
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

LOGS = Path("benchmarks/train/logs")
ZOO = Path("mapping/zoo")
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
    annealed: float = 0.4  #: share of the epochs over which the temperature falls
    balance: float = 0.05  #: weight of the information between image and kernel in the loss
    clip: float = 1.6  #: weights are held within this many root mean squares of their kernel, whose own is held fixed


@dataclass(frozen=True)
class Hardware:
    """What a step disturbs, weights in shares of their kernel's largest; ours, near the device model's defaults."""

    weight: float = 0.03  #: standard deviation of a written weight
    stuck_on: float = 0.005  #: share of cells at their largest conductance
    stuck_off: float = 0.015  #: share of cells at their smallest conductance
    output: float = 0.005  #: standard deviation on a convolution's sums, in shares of their largest
    attention: float = 0.02  #: standard deviation of a gate's share, one draw per kernel
    floor: float = 0.0116  #: smallest share a gate can pass: read gain at its lower over its upper window end
    bits: int = 8  #: of activations and attention


def disturbed(weight: Tensor, scale: Tensor, hardware: Hardware) -> Tensor:
    """Write (k, c_out, ...) weights once, as differential pairs; `scale` (c_out) is the batch norm's, folded first."""
    shape = (1, -1) + (1,) * (weight.dim() - 2)
    magnitude = scale.detach().abs()
    factor = magnitude.clamp(min=float(magnitude.max()) * 0.02).reshape(shape)
    folded = weight * factor
    top = folded.detach().abs().amax(dim=tuple(range(1, weight.dim())), keepdim=True)
    sides = []
    for side in (folded.clamp(min=0.0), (-folded).clamp(min=0.0)):
        draw = torch.rand_like(folded)
        off = torch.where(draw < hardware.stuck_on + hardware.stuck_off, torch.zeros_like(side), side)
        sides.append(torch.where(draw < hardware.stuck_on, top.expand_as(side), off))
    noise = hardware.weight * top * torch.randn_like(folded)
    return (sides[0] - sides[1] + noise) / factor


def plain(values: Tensor) -> np.ndarray:
    """A parameter as a plain array."""
    return values.detach().numpy()


class Quantiser(nn.Module):
    """Unsigned codes of an activation, straight-through; the range follows the largest values seen."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.levels = 2**bits - 1
        self.register_buffer("top", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            seen = x.detach().max()
            self.top.copy_(seen if self.top == 0 else 0.99 * self.top + 0.01 * seen)
        step = torch.clamp(self.top, min=1e-6) / self.levels
        clipped = torch.minimum(x, self.top)
        return clipped + (torch.round(clipped / step) * step - clipped).detach()


class Gate(nn.Module):
    """Attention: pool -> FC -> ReLU -> FC -> softmax(z/T).

    The pooled vector is centred and divided by one number; `exported` folds both into the first FC layer.
    """

    def __init__(self, channels: int, kernels: int, hardware: Hardware) -> None:
        super().__init__()
        self.first = nn.Linear(channels, max(4, channels // 4))
        self.second = nn.Linear(max(4, channels // 4), kernels)
        nn.init.normal_(self.second.weight, std=1.0)
        self.temperature = 1.0
        self.hardware = hardware
        self.noisy = False
        self.settling = False
        self.quantise = nn.ModuleList([Quantiser(hardware.bits), Quantiser(hardware.bits)])
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def product(self, layer: nn.Linear, x: Tensor) -> Tensor:
        weight = layer.weight
        if self.noisy:
            weight = disturbed(weight[None], torch.ones(weight.shape[0]), self.hardware)[0]
        return x @ weight.T

    def exported(self) -> Attention:
        """The same in plain arrays."""
        with torch.no_grad():
            weight = self.first.weight / self.spread
            bias = self.first.bias - weight @ self.mean
        return Attention(
            weight.numpy(), bias.numpy(), plain(self.second.weight), plain(self.second.bias), self.temperature
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=(2, 3))
        if self.training:
            keep = float(self.seen / (self.seen + 1)) if self.settling else min(0.95, float(self.seen))
            self.seen += 1
            self.mean.mul_(keep).add_((1 - keep) * pooled.detach().mean(0))
            self.spread.mul_(keep).add_((1 - keep) * pooled.detach().var(0, unbiased=False).mean().sqrt())
        if self.noisy:
            pooled = self.quantise[0](pooled)
        centre = self.mean @ self.first.weight.T
        hidden = functional.relu((self.product(self.first, pooled) - centre) / self.spread + self.first.bias)
        if self.noisy:
            hidden = self.quantise[1](hidden)
        return torch.softmax((self.product(self.second, hidden) + self.second.bias) / self.temperature, dim=1)


class Block(nn.Module):
    """3x3 convolution with one or k kernels, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernels: int, hardware: Hardware) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(kernels, outputs, inputs, 3, 3))
        for kernel in self.weight:  # independent draws: equal kernels would stay equal for ever
            nn.init.kaiming_normal_(kernel, nonlinearity="relu")
        self.norm = nn.BatchNorm2d(outputs)
        self.gate = Gate(inputs, kernels, hardware) if kernels > 1 else None
        self.quantise = Quantiser(hardware.bits)
        self.hardware = hardware
        self.noisy = False
        self.shares: Tensor | None = None
        self.frozen: str | None = None  #: "uniform" or "shuffled": what the image's own shares are replaced by

    def forward(self, x: Tensor) -> Tensor:
        hardware = self.hardware
        weight = self.weight
        if self.noisy:
            scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
            weight = disturbed(weight, scale, hardware)
        if self.gate is None:
            y = functional.conv2d(x, weight[0], padding=1)
        else:
            shares = self.shares = self.gate(x)
            if self.frozen is not None:
                order = torch.randperm(len(shares))
                shares = torch.full_like(shares, 1 / shares.shape[1]) if self.frozen == "uniform" else shares[order]
            if self.noisy:
                levels = 2**hardware.bits - 1
                shares = shares + (torch.round(shares * levels) / levels - shares).detach()
                shares = shares + hardware.attention * torch.randn(1, shares.shape[1])
                shares = shares.clamp(min=hardware.floor)
            every = functional.conv2d(x, weight.flatten(0, 1), padding=1).unflatten(1, weight.shape[:2])
            y = torch.einsum("bk,bkohw->bohw", shares, every)
        if self.noisy:
            y = y + hardware.output * y.detach().abs().max() * torch.randn_like(y)
        y = functional.relu(self.norm(y))
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

    def disturb(self, noisy: bool) -> None:
        """Switch the hardware's errors on or off in every layer."""
        for module in self.modules():
            if hasattr(module, "noisy"):
                module.noisy = noisy

    def gates(self) -> list[Gate]:
        return [block.gate for block in self.blocks if block.gate is not None]

    def forward(self, x: Tensor) -> Tensor:
        for n, block in enumerate(self.blocks, start=1):
            x = block(x)
            if n in POOLED:
                x = functional.max_pool2d(x, 2)
        weight = self.head.weight
        if self.noisy:
            weight = disturbed(weight[None], torch.ones(10), self.hardware)[0]
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


def information(shares: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy of the mean share and mean entropy of the shares, both over ln k; they differ by what an image tells."""
    k = math.log(shares.shape[1])
    mean = shares.mean(0)
    of_mean = -(mean * mean.clamp(min=1e-9).log()).sum() / k
    mean_of = -(shares * shares.clamp(min=1e-9).log()).sum(1).mean() / k
    return of_mean, mean_of


@torch.no_grad()
def hold(model: Vgg, clip: float) -> None:
    """Clip each kernel at `clip` root mean squares and bring it back to the one it was born with.

    Large outliers would leave most cells of a crossbar near their smallest conductance; the batch norm makes the scale
    of a layer free, but clipping alone would shrink it without end, and its kernels at different speeds.
    """
    for block in model.blocks:
        born = math.sqrt(2.0 / block.weight[0, 0].numel())
        for kernel in block.weight:
            limit = clip * float(kernel.square().mean().sqrt())
            kernel.clamp_(-limit, limit)
            kernel.mul_(born / float(kernel.square().mean().sqrt()))


def groups(model: Vgg, recipe: Recipe) -> list[dict[str, object]]:
    """Parameter groups: decay on the head's weight alone (kernels are held), a rate of its own for the attention."""
    gates = {id(p) for gate in model.gates() for p in gate.parameters()}
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
    """Share of right answers, exact or as the mean over `draws` disturbed copies; leaves the model evaluating."""
    model.eval()
    model.disturb(draws > 0)
    with torch.no_grad():
        rights = [float((model(images).argmax(1) == labels).double().mean()) for _ in range(max(draws, 1))]
    model.disturb(False)
    return float(np.mean(rights))


def frozen_accuracy(model: Vgg, images: Tensor, labels: Tensor, how: str) -> float:
    """Exact accuracy with every image's attention replaced: by equal shares, or by those of another image."""
    for block in model.blocks:
        block.frozen = how
    result = accuracy(model, images, labels)
    for block in model.blocks:
        block.frozen = None
    return result


def settle(model: Vgg, images: Tensor, size: int, epochs: int = 10) -> None:
    """Take the statistics of batch norms and attention anew: plain means over many disturbed copies."""
    model.train()
    model.disturb(True)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
        elif isinstance(module, Gate):
            module.settling = True
            module.seen.zero_()
    with torch.no_grad():
        for _ in range(epochs):
            for chosen in batches(len(images), size):
                model(images[chosen])
    model.disturb(False)
    model.eval()


def attention_shares(model: Vgg, images: Tensor) -> list[Tensor]:
    """The exact attention of every dynamic layer."""
    model.eval()
    with torch.no_grad():
        model(images)
    return [block.shares for block in model.blocks if block.shares is not None]


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
        for gate in model.gates():
            gate.temperature = temperature
        model.train()
        total = 0.0
        count = 0
        for chosen in batches(len(images), recipe.batch):
            model.train()
            model.disturb(True)
            outputs = model(augmented(images[chosen]))
            loss = functional.cross_entropy(outputs, labels[chosen], label_smoothing=recipe.smoothing)
            total += float(loss.detach())
            count += 1
            for block in model.blocks:
                if block.shares is not None:
                    of_mean, mean_of = information(block.shares)
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
    settle(model, images, recipe.batch)
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
        weight = plain(block.weight)
        if block.gate is None:
            layers.append(Conv(conv, (source,), weight[0], padding=(1, 1)))
        else:
            attention = block.gate.exported()
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


def attention_report(network: Network) -> dict[str, dict[str, object]]:
    """How alive the attention is, on the validation images: each layer's shares, their spread and their entropy."""
    values = network.activations(load_dataset("digits", "validation").images)
    report: dict[str, dict[str, object]] = {}
    for layer in network.layers:
        if isinstance(layer, DynamicConv):
            shares = values[f"{layer.name}.attention"]
            of_mean, mean_of = (float(x) for x in information(torch.tensor(shares)))
            report[layer.name] = {
                "mean": [round(float(x), 4) for x in shares.mean(axis=0)],
                "standard_deviation_over_images": [round(float(x), 4) for x in shares.std(axis=0)],
                "variance_over_images": round(float(shares.var(axis=0).mean()), 5),
                "entropy": round(mean_of, 4),
                "entropy_of_mean": round(of_mean, 4),
            }
    return report


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
        "command": f"python benchmarks/train/digits.py --model {name} --seed {seed}",
        "recipe": asdict(recipe),
        "disturbances": asdict(hardware),
        "chosen_on": "validation images; no choice was made on the test images",
        "source": "trained by the Crossgate project",
        "licence": "MIT; trained on data under CC BY 4.0 (mapping/zoo/digits.md)",
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
    if model.gates():
        card["attention"] = {
            "meaning": "validation images; entropies over ln K: 1 is uniform; entropy is the mean over images",
            "layers": attention_report(network),
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
        kernel = model.blocks[3].weight.detach().abs()
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
