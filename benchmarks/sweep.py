"""Speed-up of a study with a second worker.

    python -m benchmarks.sweep [--points 6] [--images 100] [--repeats 2] [--model dvgg-digits]

Runs one random sweep with one worker and with two, alternating, with one thread per worker, and prints the ratio of the
median times.  Workers are kept between sweeps, so that the time to start processes and load kernels does not count, as
in a study of hundreds of points; that time is printed separately.  The tables must be equal.  It takes about a minute
on two idle processors.  Other programs slow two workers more than one, so their load is printed as well.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mapping.studies.description import Parameter, Study
from mapping.studies.sweeping import sweep

TARGET = 1.7  # wanted speed-up of two workers over one
BUSY = 0.3  # load of other programs above which the ratio means little, ours


def study(points, images, model):
    parameters = (
        Parameter(("wires.r_row", "wires.r_column"), low=0.1, high=10.0, scale="log", name="wires"),
        Parameter("adc.bits", low=5, high=9),
    )
    chip = "adaptive2d" if model.startswith("dvgg") else "two_terminal"
    return Study(parameters, model=model, chip=chip, sweep="random", points=points, images=images)


def timed(described, workers):
    """Seconds of a whole sweep, and its rows without their times."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        results = sweep(described, Path(folder) / "out", workers=workers, threads=1)
        seconds = time.perf_counter() - start
    return seconds, [{name: cell for name, cell in row.items() if name != "wall_s"} for row in results.rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=6)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--model", default="dvgg-digits")
    given = parser.parse_args()
    ways = {"one worker": 1, "two workers": 2}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    described = study(given.points, given.images, given.model)
    first = {name: timed(study(2, 2, given.model), workers)[0] for name, workers in ways.items()}
    seconds = {name: [] for name in ways}
    tables = []
    for _ in track(range(given.repeats), "sweeps", console=Console(stderr=True)):
        for name, workers in ways.items():
            took, rows = timed(described, workers)
            seconds[name].append(took)
            tables.append(rows)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    one, two = medians.values()
    table = Table(
        "way", "median [s]", "least … largest [s]", "points/s", "against one worker", "first 2 points of 2 images [s]"
    )
    for name, median in medians.items():
        spread = f"{min(seconds[name]):.2f} … {max(seconds[name]):.2f}"
        table.add_row(
            name, f"{median:.2f}", spread, f"{given.points / median:.2f}", f"{one / median:.2f} ×", f"{first[name]:.1f}"
        )
    console = Console(width=120)
    console.print(table)
    console.print(
        f"{given.model}, {given.points} points of {given.images} images; start: 2 points of 2 images, processes to "
        f"start and kernels to load; {os.cpu_count()} processors, {platform.machine()}; "
        f"python {platform.python_version()}, numpy {version('numpy')}, numba {version('numba')}, "
        f"joblib {version('joblib')}"
    )
    console.print(f"the same rows each time: {'yes' if all(rows == tables[0] for rows in tables) else 'NO'}")
    busy = f"; load before {load:.1f}: others took part of the processors" if load > BUSY else ""
    console.print(f"two workers over one: {one / two:.2f} × (target {TARGET:g}{busy})")


if __name__ == "__main__":
    main()
