"""Newton's method on gated arrays: steps over many random arrays, and its time relative to a linear solve.

    python -m benchmarks.newton [--arrays 1000] [--size 128] [--repeats 30] [--ngspice]

Both solves have the same input and return all node voltages, currents, power and residual.  ngspice, if it is on the
PATH, solves a 32 × 32 array of the same cells.
"""

import argparse
import os
import platform
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from crossbar import Array, Wires, run_ngspice, solve, to_spice
from devices import AdaptiveMemristor, SimulationError

READ = 0.2  # [V] read voltage of the default cell


def random_array(rng: np.random.Generator) -> tuple[Array, np.ndarray, Wires, np.ndarray, float]:
    """Draw cells, inputs, wires, gates and the multiple of the read voltage."""
    m, n = rng.integers(1, 33, 2)
    cell = AdaptiveMemristor(
        v_0=10.0 ** rng.uniform(-1.3, 0.0), r_series=rng.choice([0.0, 10.0, 1e3]), g_leak=rng.choice([0.0, 1e-9])
    )
    cells = Array(cell, cell.filament(rng.random((m, n))), rng.normal(0.0, 0.1, (m, n)))
    wires = Wires(*10.0 ** rng.uniform(-1.0, 2.0, 4))
    times = float(rng.choice([1.0, 3.0, 10.0]))
    return cells, rng.uniform(-READ, READ, (1, m)) * times, wires, rng.uniform(-2.0, 4.0, (m, n)), times


def steps(arrays: int, console: Console) -> None:
    """Print how many steps random arrays take."""
    rng, found, failed = np.random.default_rng(1), {1.0: Counter(), 3.0: Counter(), 10.0: Counter()}, []
    residuals = []
    for k in range(arrays):
        cells, v, wires, v_gate, times = random_array(rng)
        try:
            solution = solve(cells, v, wires, v_gate=v_gate)
        except SimulationError as error:
            failed.append(f"array {k}: {error}")
            continue
        found[times][solution.steps] += 1
        residuals.append(solution.residual)
    table = Table("input over the read voltage", "arrays", "steps: mean", "most", box=None)
    for times, counts in found.items():
        if counts:
            total = counts.total()
            mean = sum(count * each for each, count in counts.items()) / total
            table.add_row(f"{times:g}", f"{total}", f"{mean:.2f}", f"{max(counts)}")
    console.print(table)
    console.print(
        f"residual: median {np.median(residuals):.1e}, largest {max(residuals):.1e} (rounding across strong wires); "
        f"{sum(each <= 1e-9 for each in residuals)} of {len(residuals)} at most 1e-9; {len(failed)} unsolved"
    )
    for line in failed[:5]:
        console.print(line)


def timed(work, repeats: int):
    """Return the shortest of some runs [s] and the last result."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def ratio(size: int, repeats: int, console: Console) -> None:
    """Print the time of one nonlinear input over that of one linear input."""
    rng, cell, wires = np.random.default_rng(size), AdaptiveMemristor(), Wires(1.0, 1.0, 1.0, 1.0)
    g = cell.filament(rng.random((size, size)))
    cells, v = Array(cell, g, rng.normal(0.0, 0.05, g.shape)), rng.uniform(0.0, READ, (1, size))
    table = Table(f"{size} × {size}, 1 input", "time", "over linear", "steps", "residual", box=None)
    works = {"linear": lambda: solve(g, v, wires)} | {
        f"Newton, {times} × read voltage": lambda times=times: solve(cells, times * v, wires, v_gate=2.0)
        for times in (1, 3, 10)
    }
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repeats):  # alternating, so that other load slows both
        for name, work in works.items():
            best[name] = min(best[name], timed(work, 1)[0])
    for name, work in works.items():
        solution = work()
        table.add_row(
            name, f"{best[name] * 1e3:.1f} ms", f"[bold]{best[name] / best['linear']:.1f}[/bold]", f"{solution.steps}",
            f"{solution.residual:.1e}",
        )  # fmt: skip
    console.print(table)


def history(console: Console) -> None:
    """Print the residual of an overdriven array after each step, and the square of the residual before that step."""
    rng, cell = np.random.default_rng(7), AdaptiveMemristor()
    cells = Array(cell, cell.filament(rng.random((64, 64))), rng.normal(0.0, 0.05, (64, 64)))
    v = rng.uniform(0.0, 10.0 * READ, (1, 64))
    solution = solve(cells, v, Wires(5.0, 5.0, 50.0, 50.0), v_gate=2.0, tolerance=1e-13)
    table = Table("step", "residual", "over the square of the last", box=None, title="64 × 64, 10 × read voltage")
    for step, residual in enumerate(solution.history[0]):
        before = solution.history[0, step - 1] if step else np.nan
        table.add_row(f"{step}", f"{residual:.1e}", f"{residual / before**2:.1f}" if step else "")
    console.print(table)


def spice(console: Console) -> None:
    """Print time and agreement of ngspice on one array."""
    rng, cell, wires = np.random.default_rng(32), AdaptiveMemristor(), Wires(1.0, 1.0, 1.0, 1.0)
    cells = Array(cell, cell.filament(rng.random((32, 32))), rng.normal(0.0, 0.05, (32, 32)))
    v = rng.uniform(0.0, 3.0 * READ, (1, 32))
    with tempfile.TemporaryDirectory() as folder:
        to_spice(cells, v, wires, Path(folder) / "cells.cir", v_gate=2.0)
        theirs, currents = timed(lambda: run_ngspice(Path(folder) / "cells.cir"), 1)
    ours, solution = timed(lambda: solve(cells, v, wires, v_gate=2.0), 5)
    error = np.abs(solution.currents / currents - 1.0).max()
    console.print(
        f"32 × 32 at 3 × the read voltage: {ours * 1e3:.2f} ms, ngspice {theirs:.2f} s, [bold]{theirs / ours:.0f} ×"
        f"[/bold]; currents differ by {error:.1e}"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--arrays", type=int, default=1000)
    arguments.add_argument("--size", type=int, default=128)
    arguments.add_argument("--repeats", type=int, default=30)
    arguments.add_argument("--ngspice", action="store_true", help="also one array in ngspice")
    options = arguments.parse_args()
    console = Console()
    console.print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}")
    ratio(options.size, options.repeats, console)
    history(console)
    steps(options.arrays, console)
    if options.ngspice:
        spice(console)


if __name__ == "__main__":
    main()
