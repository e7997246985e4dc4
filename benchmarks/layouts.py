"""The benefit of the third terminal: a dynamic network in each layout, compared on the same images.

    python -m benchmarks.layouts dvgg-digits --images 100 --out docs
    python -m benchmarks.layouts dvgg-cifar10 --data DIR --images 200 --rewritten 20

Prints and writes a table (layouts-MODEL.csv) and draws a figure (layouts-MODEL.png).  The table has how many images
each layout can read before reads have moved the cells of a dynamic layer by 1 % of g_max, and the period, the energy,
the time and the wear of the chip's refresh.  Accuracies are those of the new chip;
`--set retention.images=1e15` gives those just before a refresh.

With --choices it writes instead the figures of merit that the compiler computes for each dynamic layer in each layout
(layouts-MODEL-layers.csv), and prints the layouts that it would choose for equal weights of the criteria and for each
criterion alone.
"""

import argparse
import csv
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from mapping.data.datasets import load_dataset
from mapping.hardware.description import LAYOUTS, Hardware
from mapping.hardware.description_files import load_hardware
from mapping.inference.running import run
from mapping.networks import DynamicConv
from mapping.networks.models import load_model
from mapping.placement.folding import prepare
from mapping.presentation.colours import COLOURS
from mapping.presentation.intervals import wilson
from mapping.presentation.quantities import duration, si
from mapping.report.keeping_texts import state_of_chip
from mapping.report.pricing import price
from mapping.report.report import Report
from mapping.report.values import LayerReport
from mapping.workflow import layout_choice as choose
from mapping.workflow.compiling import compile_network
from mapping.workflow.images import CALIBRATION_IMAGES
from mapping.workflow.writing import write

DEAR = ("stacked", "reprogram")  #: expensive layouts, whose arrays are solved for every image


def measured(
    model: str, hardware: Hardware, data: Path | None, images: int, few: int, seed: int
) -> dict[str, tuple[Report, float]]:
    """Run a network in each layout; those of DEAR on `few` images.  Layout → report, root mean square logit error."""
    network = load_model(model)
    name = str(network.card.get("dataset", "digits"))
    training = load_dataset(name, "train", data, limit=CALIBRATION_IMAGES)
    test = load_dataset(name, "test", data, limit=images)
    found = {}
    for layout in LAYOUTS:
        count = min(few, images) if layout in DEAR else images
        chosen = hardware.with_values([f"mapping.layout={layout}"])
        begin = time.perf_counter()
        chip = write(compile_network(network, chosen, training.images), seed)
        result = run(chip, test.images[:count], seed=seed)
        off = float(np.sqrt(np.mean((result.logits - result.exact) ** 2) / np.mean(result.exact**2)))
        found[layout] = price(result, test.labels[:count]), off
        print(f"{layout}: {count} images, {time.perf_counter() - begin:.0f} s", flush=True)
    return found


def row(layout: str, report: Report, off: float) -> dict[str, Any]:
    """One line of the table, in SI units."""
    dynamic = [layer for layer in report.layers if layer.layout is not None]
    low, high = wilson(report.accuracy_chip or 0.0, report.images)
    return {
        "layout": layout, "images": report.images, "cells": state_of_chip(report),
        "accuracy": report.accuracy_chip, "accuracy_low": low,
        "accuracy_high": high, "accuracy_exact": report.accuracy_exact, "logit_error": off,
        "layer_error": float(np.mean([layer.own_error for layer in dynamic])),
        "energy_J": report.energy_J_per_image, "energy_low_J": report.energy_band_J_per_image[0],
        "energy_high_J": report.energy_band_J_per_image[1],
        **{f"energy_{name}_J": share * report.energy_J_per_image for name, share in report.energy_shares.items()},
        "latency_s": report.latency_s_per_image, "images_per_s": report.images_per_s, "area_m2": report.area_m2,
        "arrays": report.tiles, "tops_per_watt": report.tops_per_watt,
        "writes_per_day": max(layer.writes_per_day for layer in report.layers),
        "lifetime_s": report.lifetime_s,
        **kept(report, dynamic),
    }  # fmt: skip


def kept(report: Report, dynamic: list[LayerReport]) -> dict[str, Any]:
    """How long the cells of dynamic layers last under reads, and what the chip's refresh costs."""
    held = report.keeping
    lasting = [layer.images_to_limit for layer in dynamic if layer.layout != "reprogram"]
    images = min(lasting, default=math.inf)
    if held is None or held.refresh_images is None:
        return {
            "images_to_limit": images, "refresh_images": math.inf, "refresh_J": 0.0, "refresh_s": 0.0,
            "refresh_worn_out_s": math.inf,
        }  # fmt: skip
    return {
        "images_to_limit": images, "refresh_images": held.refresh_images, "refresh_J": held.refresh_J_per_image,
        "refresh_s": held.refresh_s_per_image, "refresh_worn_out_s": held.worn_out_s,
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    headings = (
        "layout", "images", "accuracy", "error", "energy", "band", "latency", "image/s", "area", "arrays", "TOPS/W",
        "writes", "images until reads move a dynamic layer by 1 %", "refresh every", "its cost", "worn out by it",
    )  # fmt: skip
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for each in rows:
        lines.append(  # noqa: PERF401  (eight lines of one text)
            f"| {each['layout']} | {each['images']} | {each['accuracy']:.1%} ({each['accuracy_low']:.1%} … "
            f"{each['accuracy_high']:.1%}) | {each['logit_error']:.1%} | {si(each['energy_J'], 'J')} | "
            f"{si(each['energy_low_J'], 'J')} … {si(each['energy_high_J'], 'J')} | {si(each['latency_s'], 's')} | "
            f"{each['images_per_s']:,.3g} | {each['area_m2'] * 1e6:.3g} mm² | {each['arrays']} | "
            f"{each['tops_per_watt']:.3g} | {each['writes_per_day']:.3g} | "
            f"{each['images_to_limit']:,.3g} | {each['refresh_images']:,.3g} | {si(each['refresh_J'], 'J')}, "
            f"{si(each['refresh_s'], 's')} | {duration(each['refresh_worn_out_s'])} |"
        )
    return "\n".join(lines)


def draw(model: str, rows: list[dict[str, Any]], path: Path) -> None:
    """Draw energy by component, latency, area and error of the layouts side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 3.8), layout="constrained")
    axes: Any = figure.subplots(1, 4, width_ratios=(1.7, 1.0, 1.0, 1.0))
    names = [each["layout"] for each in rows]
    unit, scale = ("µJ", 1e6) if max(each["energy_J"] for each in rows) > 1e-6 else ("nJ", 1e9)
    base = np.zeros(len(rows))
    for component, colour in COLOURS.items():
        values = np.array([each[f"energy_{component}_J"] for each in rows]) * scale
        if values.any():
            axes[0].bar(names, values, bottom=base, color=colour, label=component)
        base += values
    low = np.array([each["energy_low_J"] for each in rows]) * scale
    high = np.array([each["energy_high_J"] for each in rows]) * scale
    axes[0].errorbar(
        names, base, yerr=(np.maximum(base - low, 0.0), np.maximum(high - base, 0.0)), fmt="none", ecolor="#444444",
        capsize=3, linewidth=1.0,
    )  # fmt: skip
    axes[0].set_ylabel(f"energy per image [{unit}]")
    axes[0].legend(frameon=False, fontsize="small", reverse=True, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    parts = (("latency_s", 1e6, "latency of an image [µs]", True), ("area_m2", 1e6, "area [mm²]", False),
             ("layer_error", 100.0, "mean error of a dynamic layer [%]", False))  # fmt: skip
    for ax, (key, factor, label, logarithmic) in zip(axes[1:], parts, strict=True):
        ax.bar(names, [each[key] * factor for each in rows], color="#4477aa")
        ax.set_ylabel(label)
        if logarithmic:
            ax.set_yscale("log")
    for ax in axes:
        ax.tick_params(axis="x", rotation=40)
        ax.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"What the third terminal buys: {model}, four ways to build its dynamic layers")
    figure.savefig(path, dpi=150)


def choices(model: str, hardware: Hardware, data: Path | None) -> list[dict[str, Any]]:
    """Measure every dynamic layer in every layout as the compiler does for `layout = "auto"`; one row each."""
    network = load_model(model)
    training = load_dataset(str(network.card.get("dataset", "digits")), "train", data, limit=CALIBRATION_IMAGES)
    folded, _ = prepare(network, hardware)
    values = folded.activations(training.images)
    rows = []
    for layer in folded.layers:
        if isinstance(layer, DynamicConv):
            for layout in LAYOUTS:
                found = choose.measured(network, folded, layer.name, values, hardware, layout)
                rows.append({"layer": layer.name, "layout": layout, **found})
                print(rows[-1], flush=True)
    return rows


def chosen(rows: list[dict[str, Any]], hardware: Hardware) -> dict[str, dict[str, str]]:
    """Weights of the criteria → layer → the layout that the compiler chooses."""
    names = ("energy", "latency", "area", "error")
    found: dict[str, dict[str, str]] = {}
    for weights in (names, *((name,) for name in names)):
        weighted = hardware.with_values([f"mapping.weight_{name}={float(name in weights)}" for name in names])
        best: dict[str, tuple[float, str]] = {}
        for each in rows:
            held = choose.score(each, weighted), each["layout"]
            best[each["layer"]] = min(best.get(each["layer"], held), held)
        found["equal" if weights == names else weights[0]] = {layer: layout for layer, (_, layout) in best.items()}
    return found


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows with the columns of the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Run the comparison and write its table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="dvgg-digits")
    parser.add_argument("--chip", default="adaptive2d")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rewritten", type=int, default=50, help="images of the layouts that are solved for each one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--choices", action="store_true", help="look at single layers, as the compiler does")
    given = parser.parse_args()
    hardware = load_hardware(given.chip).with_values(given.settings)
    if given.choices:
        rows = choices(given.model, hardware, given.data)
        write_csv(given.out / f"layouts-{given.model}-layers.csv", rows)
        for weights, layers in chosen(rows, hardware).items():
            print(f"{weights}: {', '.join(f'{layer} {layout}' for layer, layout in layers.items())}")
        return
    found = measured(given.model, hardware, given.data, given.images, given.rewritten, given.seed)
    rows = [row(layout, report, off) for layout, (report, off) in found.items()]
    write_csv(given.out / f"layouts-{given.model}.csv", rows)
    draw(given.model, rows, given.out / f"layouts-{given.model}.png")
    print(table(rows))


if __name__ == "__main__":
    main()
