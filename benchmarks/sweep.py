"""What a second worker brings to a study.

    python -m benchmarks.sweep [--points 40] [--images 200] [--repeats 3] [--model dvgg-digits]

Runs one random sweep with one worker and with two, each worker on one thread, again and again in turn, and prints the
ratio of the medians; a worker on all threads beside them. Processes start and load their kernels inside what is timed.
The tables must be equal.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from joblib.externals.loky import get_reusable_executor
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mapping.studies import Parameter, Study
from mapping.sweep import sweep

TARGET = 1.7  # two workers over one


def study(points, images, model):
    parameters = (
        Parameter(("wires.r_row", "wires.r_column"), low=0.1, high=10.0, scale="log", name="wires"),
        Parameter("adc.bits", low=5, high=9),
    )
    chip = "adaptive2d" if model.startswith("dvgg") else "two_terminal"
    return Study(parameters, model=model, chip=chip, sweep="random", points=points, images=images)


def timed(described, workers, threads):
    """Seconds of a whole sweep, and its rows without their times."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        results = sweep(described, Path(folder) / "out", workers=workers, threads=threads)
        seconds = time.perf_counter() - start
    get_reusable_executor().shutdown(wait=True)  # the next one starts its processes anew
    return seconds, [{name: cell for name, cell in row.items() if name != "wall_s"} for row in results.rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="dvgg-digits")
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    ways = {"one worker, one thread": (1, 1), "two workers, one thread each": (2, 1)}
    if cores > 1:
        ways[f"one worker, {cores} threads"] = (1, cores)
    described = study(given.points, given.images, given.model)
    timed(study(1, 2, given.model), 1, 1)  # compiles what is not in the cache
    seconds = {name: [] for name in ways}
    tables = []
    for _ in track(range(given.repeats), "sweeps", console=Console(stderr=True)):
        for name, (workers, threads) in ways.items():
            took, rows = timed(described, workers, threads)
            seconds[name].append(took)
            tables.append(rows)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    one, two = (medians[name] for name in list(ways)[:2])
    table = Table("way", "median [s]", "least … largest [s]", "points/s", "against one worker on one thread")
    for name, median in medians.items():
        spread = f"{min(seconds[name]):.2f} … {max(seconds[name]):.2f}"
        table.add_row(name, f"{median:.2f}", spread, f"{given.points / median:.2f}", f"{one / median:.2f} ×")
    console = Console(width=120)
    console.print(table)
    console.print(
        f"{given.model}, {given.points} points of {given.images} images; {cores} processors, {platform.machine()}; "
        f"python {platform.python_version()}, numpy {version('numpy')}, numba {version('numba')}, "
        f"joblib {version('joblib')}"
    )
    console.print(f"the same rows each time: {'yes' if all(rows == tables[0] for rows in tables) else 'NO'}")
    console.print(f"two workers over one: {one / two:.2f} × (target {TARGET:g})")


if __name__ == "__main__":
    main()
