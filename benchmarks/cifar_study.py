"""What a dynamic network and its static twin lose to each deviation of their chips.

    python -m benchmarks.cifar_study [--dynamic dvgg-cifar10] [--static vgg-cifar10] [--images 1000] [--seeds 2]
                                     [--only wires,adc] [--out crossgate-sweep/cifar] [--workers 1] [--data DIR]

One study of `crossgate sweep` for each network and parameter, each in a folder of its own: whatever stops the script,
it goes on where it was, and another value of one parameter leaves the other tables as they are. Leaves study.csv, one
row for each chip, and study.png. Only gates have offsets and drivers, so the static network skips theirs.
"""

import argparse
import csv
import os
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mapping.studies import Parameter, Study
from mapping.study_plots import LINES
from mapping.study_results import groups
from mapping.sweep import sweep

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
                    (0.25, 0.5, 1.06, 2.8, 6.4, 12.0), log=True),
    "tile": Varied("rows and columns of a tile", ("tile.rows", "tile.columns"), (32, 64, 128, 256), log=True),
    "adc": Varied("converters of columns [bit]", ("adc.bits",), (4, 5, 6, 7, 8, 10)),
    "gate-dac": Varied("converters of gates [bit]", ("gate_dac.bits",), (1, 2, 3, 4, 6, 8), gated=True),
    "offset-line": Varied("gate offset of a line, σ [V]", ("spread.gate_offset_line",),
                          (0.0, 0.02, 0.05, 0.1, 0.2), gated=True),
    "offset-cell": Varied("gate offset of a cell, σ [V]", ("spread.gate_offset_cell",),
                          (0.0, 0.02, 0.05, 0.1, 0.2), gated=True),
    "noise": Varied("slot of a read [s]; white noise ∝ 1/√slot", ("dac.t_slot",),
                    (1e-13, 1e-12, 1e-11, 1e-10, 1e-9), log=True),
    "stuck": Varied("cells stuck at the bottom", ("spread.stuck_off",), (0.0, 0.015, 0.03, 0.06, 0.12)),
    "age": Varied("time since writing [s]", ("retention.age",), (0.0, 1e4, 1e5, 1e6, 1e7, 3e7), log=True),
}  # fmt: skip


def studies(given):
    """(network, its chip, name of a parameter, study) of everything that was asked for."""
    for model, chip, gated in ((given.dynamic, given.chip, True), (given.static, given.static_chip, False)):
        for name in given.only:
            varied = PARAMETERS[name]
            if model and (gated or not varied.gated):
                parameter = Parameter(varied.keys, varied.values, name=name)
                yield model, chip, name, Study(
                    (parameter,), model=model, chip=chip, seeds=range(given.seeds), images=given.images,
                    data=given.data, name=f"{Path(model).stem}: {varied.label}",
                )  # fmt: skip


def figure(tables, given):
    """Accuracy over each parameter: means, bands from the worst chip to the best, dots for exact computation."""
    names = [name for name in given.only if any(table[2] == name for table in tables)]
    columns = min(3, len(names))
    drawn = Figure(figsize=(4.6 * columns, 3.5 * -(-len(names) // columns)), layout="constrained")
    axes = drawn.subplots(-(-len(names) // columns), columns, squeeze=False).ravel()
    for ax, name in zip(axes, names, strict=False):
        for (model, _, _, results), colour in zip([each for each in tables if each[2] == name], LINES, strict=False):
            rows = [row for row in results.rows if row["accuracy_chip"] is not None]
            found = [
                (at, [100.0 * row["accuracy_chip"] for row in part]) for _, at, part in groups(rows, name, binned=False)
            ]
            places, parts = [at for at, _ in found], [part for _, part in found]
            ax.fill_between(places, [min(part) for part in parts], [max(part) for part in parts], color=colour,
                            alpha=0.2, linewidth=0)  # fmt: skip
            ax.plot(places, [sum(part) / len(part) for part in parts], "o-", color=colour, label=Path(model).stem)
            for exact in {row["accuracy_exact"] for row in rows}:
                ax.axhline(100.0 * exact, color=colour, linewidth=0.8, linestyle=":")
        values = PARAMETERS[name].values
        if PARAMETERS[name].log and 0.0 in values:
            ax.set_xscale("symlog", linthresh=min(value for value in values if value > 0.0))
            ax.set_xlim(left=0.0)
        elif PARAMETERS[name].log:
            ax.set_xscale("log")
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
        for model, chip, name, results in tables
        for row in results.rows
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
    tables = []
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for model, chip, name, study in studies(given):
            task = progress.add_task(f"{Path(model).stem} {name}", total=None)
            results = sweep(
                study, given.out / Path(model).stem / name, workers=given.workers,
                progress=lambda done, total, task=task: progress.update(task, completed=done, total=total),
            )  # fmt: skip
            tables.append((model, chip, name, results))
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
