"""Time the exact transfer matrix and other methods for the same currents, on the same arrays in one run.

    python -m benchmarks.solver [--sizes 64 128 256] [--large] [--memory] [--ngspice] [--engine FOLDER] [--repeats 3]

The currents of every method are compared with ours before its time is printed.  All methods run alternately, round
after round, and medians are given, so that other load affects all of them equally.  Sparse LU is SciPy's SuperLU of the
full nodal matrix in symmetric mode with minimum degree ordering, factorised once and solved for all inputs; KLU does
the same through PyKLU if that is installed.  badcrossbar (Joksas and Mehonic, SoftwareX 2020) and mpimpy (20 sweeps
over tridiagonal lines, its default) run if they are installed, ngspice if it is on the PATH, and ngspice 45 with KLU
from a folder with the npm package eecircuit-engine.
"""

import argparse
import importlib.util
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse
from rich.console import Console
from rich.table import Table
from scipy.sparse.linalg import splu

from crossbar import Wires, run_ngspice, solve, to_spice, transfer_matrices, transfer_matrix
from crossbar.transfer.borders import border
from crossbar.transfer.merge_plan import plan_lanes
from devices.aliases import FloatArray

WIRES = Wires(r_row=1.0, r_column=1.0, r_driver=1.0, r_sense=1.0)
G_LOW, G_HIGH = 1e-6, 1e-4  # [S] range of cell conductances, uniform in the logarithm


def cells(n: int) -> FloatArray:
    """Draw the same n × n array at every call."""
    return np.exp(np.random.default_rng(n).uniform(np.log(G_LOW), np.log(G_HIGH), (n, n)))


def timed(work: Callable[[], FloatArray], repeats: int) -> tuple[float, FloatArray]:
    """Return the shortest of some runs [s] and the last result."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def in_turn(works: dict[str, Callable[[], FloatArray]], repeats: int) -> dict[str, tuple[float, FloatArray]]:
    """Return the median time [s] and the last result of each, all of them run once in each round."""
    times: dict[str, list[float]] = {name: [] for name in works}
    results: dict[str, FloatArray] = {}
    for _ in range(repeats):
        for name, work in works.items():
            start = time.perf_counter()
            results[name] = work()
            times[name].append(time.perf_counter() - start)
    return {name: (statistics.median(times[name]), results[name]) for name in works}


def installed(package: str) -> bool:
    """Whether a peer can be imported."""
    return importlib.util.find_spec(package) is not None


Factorised = Callable[[scipy.sparse.csc_array], Callable[[FloatArray], FloatArray]]


def super_lu(matrix: scipy.sparse.csc_array) -> Callable[[FloatArray], FloatArray]:
    """Factorise by SciPy's SuperLU; returns its solve."""
    factor = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solve_columns: Callable[[FloatArray], FloatArray] = factor.solve
    return solve_columns


def klu(matrix: scipy.sparse.csc_array) -> Callable[[FloatArray], FloatArray]:
    """Factorise by SuiteSparse's KLU; returns its solve."""
    from PyKLU import Klu

    of_int32 = scipy.sparse.csc_matrix(  # the only indices that it takes
        (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)), shape=matrix.shape
    )
    solve_columns: Callable[[FloatArray], FloatArray] = Klu(of_int32).solve
    return solve_columns


def by_nodes(g: FloatArray, v: FloatArray, wires: Wires, factorised: Factorised) -> FloatArray:
    """Currents (b, n) of inputs (b, m) through one sparse factorisation of the nodal matrix."""
    m, n = g.shape
    row = np.arange(m * n).reshape(m, n)
    column = row + m * n
    pairs = [
        (row[:, :-1], row[:, 1:], 1 / wires.row_segments(m, n)),
        (column[:-1], column[1:], 1 / wires.column_segments(m, n)),
        (row, column, g),
    ]
    a, b, y = (np.concatenate([np.ravel(pair[part]) for pair in pairs]) for part in range(3))
    diagonal = np.zeros(2 * m * n)
    np.add.at(diagonal, a, y)
    np.add.at(diagonal, b, y)
    drive, sense = 1 / wires.driver(m), 1 / wires.sense(n)
    diagonal[row[:, 0]] += drive
    diagonal[column[-1]] += sense
    matrix = scipy.sparse.coo_array((np.concatenate([-y, -y]), (np.r_[a, b], np.r_[b, a])), shape=(2 * m * n,) * 2)
    matrix = (matrix + scipy.sparse.diags_array(diagonal)).tocsc()
    injected = np.zeros((2 * m * n, len(v)), order="F")
    injected[row[:, 0]] = (v * drive).T
    nodes = np.asarray(factorised(matrix)(injected)).reshape(2 * m * n, len(v))
    out: FloatArray = nodes[column[-1]].T * sense
    return out


def badcrossbar(g: FloatArray, v: FloatArray, wires: Wires) -> FloatArray:
    """Currents (b, n) by badcrossbar, whose end resistances are one segment of wire."""
    import badcrossbar as peer

    solution = peer.compute(v.T, 1.0 / g, wires.r_row, wires.r_column)
    out: FloatArray = np.atleast_2d(solution.currents.output)
    return out


def mpimpy(g: FloatArray, v: FloatArray, wires: Wires) -> FloatArray:
    """Currents (b, n) by mpimpy as it comes, whose ends are one segment of wire."""
    from mpimpy.crossbar.crossbar import hdot

    out: FloatArray = hdot(v, 1.0 / g, float(wires.r_row))
    return out


def compare(sizes: list[int], repeats: int, console: Console) -> None:
    """Print time and agreement of all methods with all inputs at once."""
    table = Table("array, inputs", "method", "time", "ours is faster by", "currents differ by", box=None)
    for n in sizes:
        g, v = cells(n), np.eye(n)
        transfer_matrix(g, WIRES)
        works = {
            "transfer_matrix": lambda g=g: transfer_matrix(g, WIRES),
            "one matrix product of that size": lambda g=g: g @ g,
            "SuperLU": lambda g=g, v=v: by_nodes(g, v, WIRES, super_lu),
        }
        if installed("PyKLU"):
            works["KLU"] = lambda g=g, v=v: by_nodes(g, v, WIRES, klu)
        if installed("badcrossbar"):
            works["badcrossbar"] = lambda g=g, v=v: badcrossbar(g, v, WIRES)
        found = in_turn(works, repeats)
        ours, w = found.pop("transfer_matrix")
        table.add_row(f"{n} × {n}, {n}", "transfer_matrix", f"{ours * 1e3:.1f} ms", "", "")
        product, _ = found.pop("one matrix product of that size")
        table.add_row("", "one matrix product of that size", f"{product * 1e3:.2f} ms", f"{product / ours:.2g}", "")
        for name, (seconds, currents) in found.items():
            error = np.abs(v @ w - currents).max() / np.abs(currents).max()
            table.add_row("", name, f"{seconds:.3f} s", f"[bold]{seconds / ours:.0f} ×[/bold]", f"{error:.1e}")
    console.print(table)


def engine(netlist: Path, folder: Path) -> tuple[float, FloatArray]:
    """CPU time [s] and currents (1, n) [A] of a netlist in ngspice 45 with KLU, as tests/data/klu_128x128/make.py."""
    script = shutil.copy(Path(__file__).parents[1] / "tests/data/klu_128x128/solve.mjs", folder)
    run = subprocess.run(["node", str(script), str(netlist)], capture_output=True, text=True, check=True)
    seconds = re.search(r"^KLU: ([0-9.]+) s of CPU$", run.stderr, re.MULTILINE)
    if seconds is None:
        raise SystemExit(f"the engine did not use KLU: {run.stderr.strip()}")
    return float(seconds[1]), np.array(run.stdout.split(), dtype=np.float64)[None]


def single(console: Console, repeats: int, ngspice: bool, folder: Path | None) -> None:
    """Print the time of one input with all node voltages."""
    table = Table("array, 1 input", "method", "time", "ours is faster by", "currents differ by", box=None)
    for n in (128, 256, 512, 2048):
        g, v = cells(n), np.random.default_rng(1).uniform(0.0, 0.1, (1, n))
        solve(g, v, WIRES)
        works = {"solve": lambda g=g, v=v: solve(g, v, WIRES).currents}
        if n == 128:
            works["SuperLU"] = lambda g=g, v=v: by_nodes(g, v, WIRES, super_lu)
            if installed("PyKLU"):
                works["KLU"] = lambda g=g, v=v: by_nodes(g, v, WIRES, klu)
            if installed("mpimpy"):
                works["mpimpy"] = lambda g=g, v=v: mpimpy(g, v, WIRES)
        found = in_turn(works, repeats)
        if n <= 256:
            with tempfile.TemporaryDirectory() as temporary:
                netlist = Path(temporary) / "array.cir"
                to_spice(g, v, WIRES, netlist)
                if ngspice and n == 128:
                    found["ngspice on the path"] = timed(lambda netlist=netlist: run_ngspice(netlist), 1)
                if folder is not None:
                    found["ngspice 45, KLU, CPU time"] = engine(netlist, folder)
        ours, currents = found.pop("solve")
        table.add_row(f"{n} × {n}", "solve", f"{ours * 1e3:.1f} ms", "", "")
        for name, (seconds, theirs) in found.items():
            error = np.abs(currents - theirs).max() / np.abs(theirs).max()
            table.add_row("", name, f"{seconds:.3g} s", f"[bold]{seconds / ours:.0f} ×[/bold]", f"{error:.1e}")
    console.print(table)


def rate(console: Console, tiles: int, nodes: int) -> None:
    """Print the floating-point rate of a batch of tiles at several gates against that of plain matrix products."""
    one = np.stack([cells(128) * (1 + 0.01 * k) for k in range(nodes)])
    g = np.concatenate([one * (1 + 0.001 * k) for k in range(tiles)])
    transfer_matrices(g[:8], WIRES)
    seconds, _ = timed(lambda: transfer_matrices(g, WIRES, np.float32), 2)
    flops = len(g) * plan_lanes(128, 128, border(WIRES, 128, 128)[1]).flops
    console.print(
        f"{tiles} tiles of 128 × 128 at {nodes} gate nodes: {seconds:.2f} s, {seconds / len(g) * 1e3:.2f} ms each, "
        f"{flops / seconds / 1e9:.1f} GFLOP/s"
    )
    for n in (128, 512):
        a = np.random.default_rng(0).random((n, n))
        products = max(round(flops / (2 * n**3)), 1)

        def multiply(a: FloatArray = a, products: int = products) -> FloatArray:
            out = a
            for _ in range(products):
                out = a @ a
            return out

        plain, _ = timed(multiply, 2)
        console.print(
            f"  as many operations in {n} × {n} products: {plain:.2f} s, {flops / plain / 1e9:.1f} GFLOP/s; "
            f"ratio [bold]{plain / seconds:.0%}[/bold]"
        )


def peak(method: str, n: int) -> float:
    """Return the growth of a new process while it computes the currents of one array for all inputs [bytes]."""
    work = {"transfer_matrix": "transfer_matrix(g, WIRES)", "badcrossbar": "badcrossbar(g, np.eye(len(g)), WIRES)"}
    program = (
        "from benchmarks.solver import *\n"
        f"g = cells(8)\n{work[method]}\ng = cells({n})\nbefore = high_water()\n{work[method]}\n"
        "print(high_water() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def high_water() -> int:
    """Return the most memory that this process had at once [bytes].

    Linux hands getrusage's figure on from the process that started this one, so it would hide growth below that.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def more_memory(theirs: float, ours: float) -> str:
    """Say how many times as much memory a peer takes; a process that had room left over does not grow."""
    if ours <= 0.0:
        return "while ours fits into what the process had before, so there is no ratio"
    return f"{theirs / ours:.1f} times as much"


def memory(console: Console, large: bool) -> None:
    """Print the memory that the transfer matrix needs, and that of badcrossbar for comparison."""
    ours = peak("transfer_matrix", 256)
    console.print(f"256 × 256, 256 inputs: transfer_matrix grows the process by {ours / 1e6:.0f} MB")
    if installed("badcrossbar"):
        theirs = peak("badcrossbar", 256)
        console.print(f"  badcrossbar by {theirs / 1e6:.0f} MB, {more_memory(theirs, ours)}")
    if large:
        console.print(f"1024 × 1024: transfer_matrix grows the process by {peak('transfer_matrix', 1024) / 1e9:.2f} GB")


def main() -> None:
    """Run the comparison."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--large", action="store_true", help="also 512 and 1024, and their growth")
    arguments.add_argument(
        "--ngspice", action="store_true", help="also one input in the ngspice on the path: a minute or more"
    )
    arguments.add_argument("--engine", type=Path, help="also in ngspice 45 with KLU: folder with eecircuit-engine")
    arguments.add_argument("--tiles", type=int, default=200, help="tiles of the batch whose rate is measured")
    arguments.add_argument("--nodes", type=int, default=10, help="gate nodes at which each of them is reduced")
    arguments.add_argument("--memory", action="store_true", help="also by how much the process grows")
    options = arguments.parse_args()
    console = Console()
    console.print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}")
    compare(options.sizes, options.repeats, console)
    single(console, options.repeats, options.ngspice, options.engine)
    rate(console, options.tiles, options.nodes)
    if options.memory:
        memory(console, options.large)
    if options.large:
        times = {}
        for n in (128, 256, 512, 1024):
            g = cells(n)
            transfer_matrix(g, WIRES)
            times[n], _ = timed(lambda g=g: transfer_matrix(g, WIRES), 3)
        growth = np.log(times[1024] / times[128]) / np.log(8)
        console.print(f"1024 × 1024: {times[1024]:.2f} s; time grows as size to the {growth:.2f} from 128")


if __name__ == "__main__":
    main()
