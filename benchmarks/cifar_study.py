"""Accuracy that a dynamic network and a static network of equal size lose to each deviation of their chips.

    python -m benchmarks.cifar_study [--dynamic dvgg-cifar10] [--static vgg-cifar10] [--images 1000] [--seeds 2]
                                     [--only wires,adc] [--out crossgate-sweep/cifar] [--workers 1] [--data DIR]

It runs one study of `crossgate sweep` for each seed, network and parameter, each in its own folder.  So an interrupted
script resumes, and a new value of one parameter does not change the other tables.  The default chip belongs to every
parameter and is computed once.  The script writes study.csv with one row for each chip, and study.png after each study.
The static network skips the parameters of gates.
"""

import argparse
import csv
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mapping.hardware.description_files import load_hardware
from mapping.studies.description import Parameter, Study, held_value
from mapping.studies.plots import LINES
from mapping.studies.results import groups
from mapping.studies.sweeping import sweep

DEFAULT = "default"  # the study of the default chip: one key at its default value
HEADING = ("network", "chip", "parameter", "value", "seed", "images", "accuracy_chip", "accuracy_exact", "failure")


class Varied(NamedTuple):
    """A parameter of the study."""

    label: str
    keys: tuple[str, ...]
    values: tuple[float, ...]  # what the chip has by default among them
    gated: bool = False  # of the gates: nothing to a static network
    log: bool = False


PARAMETERS = {
    "wires": Varied("wire resistance between cells [Ω]", ("wires.r_row", "wires.r_column"),
                    (0.25, 1.06, 2.8, 6.4, 12.0), log=True),
    "tile": Varied("rows and columns of a tile", ("tile.rows", "tile.columns"), (32, 64, 128, 256), log=True),
    "adc": Varied("converters of columns [bit]", ("adc.bits",), (4, 5, 6, 7, 8)),
    "gate-dac": Varied("converters of gates [bit]", ("gate_dac.bits",), (1, 2, 3, 4, 8), gated=True),
    "offset-line": Varied("gate offset of a line, σ [V]", ("spread.gate_offset_line",),
                          (0.0, 0.02, 0.05, 0.1, 0.2), gated=True),
    "offset-cell": Varied("gate offset of a cell, σ [V]", ("spread.gate_offset_cell",),
                          (0.0, 0.02, 0.05, 0.1, 0.2), gated=True),
    "noise": Varied("slot of a read [s]; white noise ∝ 1/√slot", ("dac.t_slot",),
                    (1e-13, 1e-12, 1e-11, 1e-10, 5e-10), log=True),
    "stuck": Varied("cells stuck at the bottom", ("spread.stuck_off",), (0.0, 0.015, 0.03, 0.06, 0.12)),
    "age": Varied("time since writing [s]", ("retention.age",), (0.0, 1e4, 1e6, 1e7, 3e7), log=True),
}  # fmt: skip


class Part(NamedTuple):
    """One study: a network on its chip, and what varies."""

    model: str
    chip: str
    name: str  # of a parameter, or DEFAULT
    seed: int


def parts(given):
    """All requested studies in order: all of one seed before the next."""
    for seed in range(given.seeds):
        for model, chip, gated in ((given.dynamic, given.chip, True), (given.static, given.static_chip, False)):
            if model:
                names = [name for name in given.only if gated or not PARAMETERS[name].gated]
                yield from (Part(model, chip, name, seed) for name in (DEFAULT, *names))


def held(chip, name):
    """Default value of a parameter of a chip."""
    return held_value(load_hardware(chip), PARAMETERS[name].keys[0])


def study_of(part, given):
    """The study of one part."""
    if part.name == DEFAULT:
        key = "adc.bits"
        keys, values, label = (key,), (held_value(load_hardware(part.chip), key),), "the chip as it is"
    else:
        varied, own = PARAMETERS[part.name], held(part.chip, part.name)
        keys, values, label = varied.keys, tuple(each for each in varied.values if each != own), varied.label
    return Study(
        (Parameter(keys, values, name=part.name),), model=part.model, chip=part.chip, seeds=(part.seed,),
        images=given.images, data=given.data, name=f"{Path(part.model).stem}: {label}",
    )  # fmt: skip


def curves(found: dict[Part, Any]):
    """Network, chip and parameter → rows of all chips by value, including the default chip."""
    tables: dict[tuple[str, str, str], list[dict]] = {}
    for (model, chip, name, seed), results in found.items():
        if name != DEFAULT:
            own = [row | {name: held(chip, name)} for row in found[Part(model, chip, DEFAULT, seed)].rows]
            tables.setdefault((model, chip, name), []).extend([*own, *results.rows])
    return {key: sorted(rows, key=lambda row, at=key[2]: (row[at], row["seed"])) for key, rows in tables.items()}


def figure(tables, given):
    """Accuracy over each parameter: means, bands from the worst chip to the best, dots for exact computation."""
    names = [name for name in given.only if any(key[2] == name for key in tables)]
    columns = min(3, len(names))
    drawn = Figure(figsize=(4.6 * columns, 3.5 * -(-len(names) // columns)), layout="constrained")
    axes = drawn.subplots(-(-len(names) // columns), columns, squeeze=False).ravel()
    colours = dict(zip((given.dynamic, given.static), LINES, strict=False))
    for ax, name in zip(axes, names, strict=False):
        for key in [key for key in tables if key[2] == name]:
            model, rows = key[0], [row for row in tables[key] if row["accuracy_chip"] is not None]
            found = [
                (at, [100.0 * row["accuracy_chip"] for row in part]) for _, at, part in groups(rows, name, binned=False)
            ]
            places, chips = [at for at, _ in found], [part for _, part in found]
            ax.fill_between(places, [min(part) for part in chips], [max(part) for part in chips], color=colours[model],
                            alpha=0.2, linewidth=0)  # fmt: skip
            ax.plot(places, [sum(part) / len(part) for part in chips], "o-", color=colours[model],
                    label=Path(model).stem)  # fmt: skip
            for exact in {row["accuracy_exact"] for row in rows}:
                ax.axhline(100.0 * exact, color=colours[model], linewidth=0.8, linestyle=":")
        values = PARAMETERS[name].values
        if PARAMETERS[name].log and 0.0 in values:
            ax.set_xscale("symlog", linthresh=min(value for value in values if value > 0.0))
            ax.set_xlim(left=0.0)
        elif PARAMETERS[name].log:
            ax.set_xscale("log")
            if len({int(np.log10(value)) for value in values}) < len(values):  # powers of ten would leave most unnamed
                ax.set_xticks(values, [f"{value:g}" for value in values])
                ax.minorticks_off()
        ax.set_xlabel(PARAMETERS[name].label)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    for ax in axes[::columns]:
        ax.set_ylabel("accuracy [%]")
    axes[0].legend(frameon=False)
    return drawn


def rows_of(tables):
    """One row for each chip of all studies."""
    return [
        (Path(model).stem, chip, name, row[name], *(row[key] for key in HEADING[4:]))
        for (model, chip, name), rows in tables.items()
        for row in rows
    ]


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dynamic", default="dvgg-cifar10", help="'' for none")
    parser.add_argument("--static", default="vgg-cifar10", help="'' for none")
    parser.add_argument("--chip", default="adaptive2d")
    parser.add_argument("--static-chip", default="two_terminal")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default=",".join(PARAMETERS), help=f"some of {', '.join(PARAMETERS)}")
    parser.add_argument("--out", type=Path, default=Path("crossgate-sweep/cifar"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--data")
    given = parser.parse_args(words)
    given.only = given.only.split(",")
    if unknown := [name for name in given.only if name not in PARAMETERS]:
        parser.error(f"--only knows {', '.join(PARAMETERS)}, not {', '.join(unknown)}")
    return given


def main(words=None):
    given = arguments(words)
    console = Console(stderr=True)
    found = {}
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for part in parts(given):
            task = progress.add_task(f"{Path(part.model).stem} {part.name}, chip {part.seed}", total=None)
            found[part] = sweep(
                study_of(part, given), given.out / Path(part.model).stem / f"{part.name}-{part.seed}",
                workers=given.workers,
                progress=lambda done, total, task=task: progress.update(task, completed=done, total=total),
            )  # fmt: skip
            if tables := curves(found):
                write(tables, given)  # what there is so far


def write(tables, given):
    """Write study.csv and study.png, each of them whole or not at all."""
    aside = given.out / ".study"
    with aside.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADING, *rows_of(tables)])
    os.replace(aside, given.out / "study.csv")  # noqa: PTH105
    figure(tables, given).savefig(aside, format="png", dpi=150)
    os.replace(aside, given.out / "study.png")  # noqa: PTH105


if __name__ == "__main__":
    main()
