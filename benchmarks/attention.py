"""Compare two networks on the same images, and measure the benefit of attention in a dynamic network.

    python -m benchmarks.attention vgg-cifar10 dvgg-cifar10 --data DIR [--split test] [--out docs]

Prints JSON.  With --out it also writes attention-NAME.json and attention-NAME.png of the second network: its mean
attention weights by class, and its accuracy when all images get equal attention weights, the mean ones, or those of
another image.
"""

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from devices.numerics.blas import one_blas_thread
from devices.numerics.worker_threads import threads
from mapping.data.datasets import Dataset, load_dataset
from mapping.networks import DynamicConv, Network
from mapping.networks.models import load_model
from mapping.report import comparing

EVALUATED = 64  # images at once on each thread
DRAWS = 100_000  # of the bootstrap
CHANGES = {
    "uniform": "equal shares",
    "mean": "the mean shares",
    "of_other_images": "shares of\nother images",
}


def by_parts(work: Callable[[slice], Any], images: int) -> list[Any]:
    """Process the images in parts on all threads."""
    parts = [slice(start, min(start + EVALUATED, images)) for start in range(0, images, EVALUATED)]
    with one_blas_thread(), ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(work, parts))


def right(network: Network, data: Dataset, attention: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """Whether a network classifies each image correctly, in float32; attention: as for Network.forward."""

    def work(some: slice) -> np.ndarray:
        shares = None if attention is None else {name: each[some] for name, each in attention.items()}
        return network.forward(data.images[some], single=True, attention=shares).argmax(axis=1)

    return np.concatenate(by_parts(work, len(data))) == data.labels


def paired(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Compare right answers (n,) of two networks on the same images; names of the values as the files have them."""
    found = comparing.paired(first, second, rng)._asdict()
    del found["images"]
    return {**found, "mcnemar_p": found.pop("p")}


def entropy(shares: np.ndarray) -> float:
    """Mean entropy of attention weights (b, k) over ln k; 1 for uniform weights."""
    held = np.clip(shares, 1e-9, 1.0)
    return float(-(shares * np.log(held)).sum(axis=1).mean() / np.log(shares.shape[1]))


def shares_report(shares: np.ndarray) -> dict[str, object]:
    """Mean, standard deviation and entropy of attention weights (b, k)."""
    return {
        "mean": [round(float(x), 4) for x in shares.mean(axis=0)],
        "standard_deviation_over_images": [round(float(x), 4) for x in shares.std(axis=0)],
        "variance_over_images": round(float(shares.var(axis=0).mean()), 5),
        "entropy": round(entropy(shares), 4),
        "entropy_of_mean": round(entropy(shares.mean(axis=0, keepdims=True)), 4),
    }


def attention_of(network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    """Attention weights (b, k) of each dynamic layer, by name, in float32."""
    names = [layer.name for layer in network.layers if isinstance(layer, DynamicConv)]

    def work(some: slice) -> list[np.ndarray]:
        values = network.activations(images[some], single=True)
        return [values[f"{name}.attention"] for name in names]

    columns = zip(*by_parts(work, len(images)), strict=True)
    return {name: np.concatenate(parts) for name, parts in zip(names, columns, strict=True)}


def attention_report(network: Network, images: np.ndarray) -> dict[str, dict[str, object]]:
    """How much the attention weights of each layer vary between images."""
    return {name: shares_report(shares) for name, shares in attention_of(network, images).items()}


def by_class(shares: np.ndarray, labels: np.ndarray) -> dict[str, object]:
    """Mean attention weights (classes, k) of each class, and the fraction of their variance that classes explain."""
    classes = np.unique(labels)
    means = np.array([shares[labels == c].mean(axis=0) for c in classes])
    between = ((means[np.searchsorted(classes, labels)] - shares.mean(axis=0)) ** 2).sum()
    within = ((shares - shares.mean(axis=0)) ** 2).sum()
    return {
        "mean_by_class": np.round(means, 3).tolist(),
        "variance_explained_by_class": float(between / within) if within > 0 else 0.0,
    }


def worth(network: Network, data: Dataset, rng: np.random.Generator, own: np.ndarray) -> dict[str, object]:
    """Statistics of a dynamic network's attention and its benefit in accuracy; own: (n,) its correct answers."""
    held = attention_of(network, data.images)
    others = rng.permutation(len(data.images))
    changes = {
        "uniform": {name: np.full_like(shares, 1 / shares.shape[1]) for name, shares in held.items()},
        "mean": {name: np.broadcast_to(shares.mean(axis=0), shares.shape) for name, shares in held.items()},
        "of_other_images": {name: shares[others] for name, shares in held.items()},
    }
    return {
        **{how: paired(right(network, data, shares), own, rng) for how, shares in changes.items()},
        "layers": {name: shares_report(shares) | by_class(shares, data.labels) for name, shares in held.items()},
    }


def figure(network: Network, found: dict) -> Figure:
    """Mean attention weights by class of each dynamic layer, and accuracies with replaced attention weights."""
    layers = found["layers"]
    drawn = Figure(figsize=(2.0 * len(layers) + 3.6, 3.9), layout="constrained")
    axes = drawn.subplots(1, len(layers) + 1, width_ratios=[1.0] * len(layers) + [1.7], squeeze=False)[0]
    for ax, (name, each) in zip(axes, layers.items(), strict=False):
        means = np.array(each["mean_by_class"])
        held = ax.imshow(means, vmin=0.0, vmax=max(0.5, means.max()), cmap="Blues", aspect="auto")
        ax.set_title(
            f"{name}\nentropy {each['entropy']:.2f}\nclasses explain {each['variance_explained_by_class']:.0%}",
            fontsize=9,
        )
        ax.set_xticks(range(means.shape[1]))
        ax.set_yticks(range(len(means)), network.classes if ax is axes[0] else [])
    axes[0].set_xlabel("kernel")
    drawn.colorbar(held, ax=axes[:-1], label="mean share", fraction=0.03)
    bars = [("own shares", found["uniform"]["second"])] + [
        (label, found[how]["first"]) for how, label in CHANGES.items()
    ]
    places = range(len(bars))[::-1]
    axes[-1].barh(places, [100.0 * value for _, value in bars], color=["#1f6fb2"] + ["#b8c4cf"] * 3)
    axes[-1].set_yticks(places, [label for label, _ in bars])
    for place, (_, value) in zip(places, bars, strict=True):
        ink = "white" if place == places[0] else "black"
        axes[-1].text(100.0 * value - 1, place, f"{value:.2%}", ha="right", va="center", fontsize=9, color=ink)
    axes[-1].set_xlabel("accuracy [%]")
    axes[-1].spines[["top", "right"]].set_visible(False)
    return drawn


def main() -> None:
    """Read the command line, compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="validation")
    parser.add_argument("--images", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data", help="folder with the images; without it the bundled or cached ones")
    options = parser.parse_args()
    first, second = (load_model(name) for name in (options.first, options.second))
    data = load_dataset(str(second.card.get("dataset", "cifar10")), options.split, options.data, limit=options.images)
    one, two = (right(network, data) for network in (first, second))
    rng = np.random.default_rng(options.seed)
    report: dict[str, object] = {
        "first": first.name, "second": second.name, "split": options.split, "images": len(data),
        "networks": paired(one, two, rng),
    }  # fmt: skip
    if any(isinstance(layer, DynamicConv) for layer in second.layers):
        found = worth(second, data, rng, two)
        report["attention"] = found
        if options.out is not None:
            figure(second, found).savefig(options.out / f"attention-{second.name}.png", dpi=150)
    text = json.dumps(report, indent=1)
    if options.out is not None:
        (options.out / f"attention-{second.name}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
