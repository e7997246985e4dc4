"""Time the exact transfer matrix and other methods for the same currents, on the same arrays in one run.

    python -m benchmarks.solver [--sizes 64 128 256] [--one-input 128 256] [--repeats 3] [--threads 1]
                                [--ngspice PROGRAM ...] [--engine FOLDER] [--large] [--memory]

The currents of every method are compared with ours before its time is printed.  All methods run in turn, round after
round.  Times are medians; a ratio is the median over the rounds of processor time over our processor time in the same
round, so that other load on the machine changes it little.  Every method runs on one thread unless --threads says
otherwise.  Peers run if they are installed; the options of each are printed below the tables.  Sparse LU factorises the
full nodal matrix once for all inputs, by SciPy's SuperLU and by SuiteSparse's KLU (PyKLU).  badcrossbar is that of
Joksas and Mehonic (SoftwareX 2020), mpimpy sweeps over tridiagonal lines.  ngspice solves our netlist: a program, and
ngspice 45 with KLU from a folder with the npm package eecircuit-engine.
"""

import argparse
import importlib.metadata
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
from typing import NamedTuple

import numpy as np
import scipy.sparse
from rich.console import Console
from rich.table import Table
from scipy.sparse.linalg import splu
from threadpoolctl import threadpool_limits

from crossbar import Wires, solve, to_spice, transfer_matrices, transfer_matrix
from crossbar.reference.ngspice import CURRENTS_FILE, read_spice
from crossbar.transfer.borders import border
from crossbar.transfer.merge_plan import plan_lanes
from devices.aliases import FloatArray
from devices.numerics.worker_threads import set_threads, threads

WIRES = Wires(r_row=1.0, r_column=1.0, r_driver=1.0, r_sense=1.0)
SPARSE_13 = 128  # largest array for an ngspice without KLU: it takes minutes already
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


class Spent(NamedTuple):
    """What a method took in the median of the rounds, and its last result."""

    seconds: float  #: [s] on the clock
    processor: float  #: [s] of processors
    ratio: float  #: its processor time over that of the first method in the same round
    result: FloatArray


class Reported(NamedTuple):
    """Currents from a program that measures its own processor time [s]."""

    seconds: float
    currents: FloatArray


Work = Callable[[], FloatArray | Reported]


def processor_time() -> float:
    """Processor time of this process and of its children that have ended [s]."""
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def in_turn(works: dict[str, Work], repeats: int) -> dict[str, Spent]:
    """Run all methods once in each round, and return what each took."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    processor: dict[str, list[float]] = {name: [] for name in works}
    results: dict[str, FloatArray] = {}
    for _ in range(repeats):
        for name, work in works.items():
            start, begin = time.perf_counter(), processor_time()
            result = work()
            spent, busy = time.perf_counter() - start, processor_time() - begin
            if isinstance(result, Reported):
                spent = busy = result.seconds
                result = result.currents
            results[name] = result
            seconds[name].append(spent)
            processor[name].append(busy)
    first = processor[next(iter(works))]
    return {
        name: Spent(
            statistics.median(seconds[name]),
            statistics.median(processor[name]),
            statistics.median(each / max(ours, 1e-9) for each, ours in zip(processor[name], first, strict=True)),
            results[name],
        )
        for name in works
    }


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


def badcrossbar(g: FloatArray, v: FloatArray, wires: Wires, *, nodes: bool = False) -> FloatArray:
    """Currents (b, n) by badcrossbar, whose end resistances are one segment of wire, with all node voltages or not."""
    import badcrossbar as peer

    solution = peer.compute(
        v.T, 1.0 / g, r_i_word_line=wires.r_row, r_i_bit_line=wires.r_column, node_voltages=nodes, all_currents=nodes
    )
    out: FloatArray = np.atleast_2d(solution.currents.output)
    return out


def mpimpy(g: FloatArray, v: FloatArray, wires: Wires) -> FloatArray:
    """Currents (b, n) by mpimpy as it comes, whose ends are one segment of wire."""
    from mpimpy.crossbar.crossbar import hdot

    out: FloatArray = hdot(v, 1.0 / g, float(wires.r_row))
    return out


OPTIONS = {  # of each method, printed below the tables
    "SuperLU": "scipy.sparse.linalg.splu, permc_spec='MMD_AT_PLUS_A', diag_pivot_thresh=0, SymmetricMode",
    "KLU": "PyKLU.Klu(matrix).solve, which has no options",
    "badcrossbar": "compute; all inputs: node_voltages=False, all_currents=False; one input: its defaults, with both",
    "mpimpy": "hdot(v, 1 / g, r), its defaults: at most 20 sweeps, stops at a summed relative change of 1e-5",
    "ngspice": "-n -b on the netlist of to_spice: .options klu (ignored before version 44), .op",
}
PACKAGES = {"SuperLU": "scipy", "KLU": "PyKLU", "badcrossbar": "badcrossbar", "mpimpy": "mpimpy"}


def explain(names: set[str], console: Console) -> None:
    """Print version and options of the methods that ran."""
    for name, options in OPTIONS.items():
        package = PACKAGES.get(name)
        if any(each.startswith(name) for each in names):
            version = f" ({package} {importlib.metadata.version(package)})" if package else ""
            console.print(f"  {name}{version}: {options}", markup=False)


def printed(title: str, found: dict[str, Spent], reference: FloatArray, console: Console) -> set[str]:
    """Print what each method took and how far its currents are from the first one's; returns the names."""
    table = Table(title, "time", "processor time", "over ours", "currents differ by", box=None)
    for name, spent in found.items():
        error = f"{np.abs(reference - spent.result).max() / np.abs(spent.result).max():.1e}"
        times = (f"{each * 1e3:,.3g} ms" if each < 1 else f"{each:.3g} s" for each in spent[:2])
        ours = spent is next(iter(found.values()))
        table.add_row(name, *times, *(("", "") if ours else (f"[bold]{spent.ratio:.3g} ×[/bold]", error)))
    console.print(table)
    return set(found)


def compare(sizes: list[int], repeats: int, console: Console) -> set[str]:
    """Print time and agreement of all methods with all inputs at once; returns their names."""
    names: set[str] = set()
    for n in sizes:
        g, v = cells(n), np.eye(n)
        transfer_matrix(g, WIRES)
        works: dict[str, Work] = {"transfer_matrix": lambda g=g, v=v: v @ transfer_matrix(g, WIRES)}
        works["one matrix product"] = lambda g=g: g @ g
        works["SuperLU"] = lambda g=g, v=v: by_nodes(g, v, WIRES, super_lu)
        if installed("PyKLU"):
            works["KLU"] = lambda g=g, v=v: by_nodes(g, v, WIRES, klu)
        if installed("badcrossbar"):
            works["badcrossbar"] = lambda g=g, v=v: badcrossbar(g, v, WIRES)
        found = in_turn(works, repeats)
        product = found.pop("one matrix product")
        names |= printed(f"{n} × {n}, {n} inputs", found, found["transfer_matrix"].result, console)
        console.print(
            f"  one matrix product of that size: {product.processor * 1e3:.3g} ms, {product.ratio:.2g} of ours"
        )
    return names


def engine(netlist: Path, folder: Path) -> Reported:
    """Processor time and currents (1, n) [A] of a netlist in ngspice 45 with KLU, as tests/data/klu_128x128/make.py."""
    script = shutil.copy(Path(__file__).parents[1] / "tests/data/klu_128x128/solve.mjs", folder)
    run = subprocess.run(["node", str(script), str(netlist)], capture_output=True, text=True, check=True)
    seconds = re.search(r"^KLU: ([0-9.]+) s of CPU$", run.stderr, re.MULTILINE)
    if seconds is None:
        raise SystemExit(f"the engine did not use KLU: {run.stderr.strip()}")
    return Reported(float(seconds[1]), np.array(run.stdout.split(), dtype=np.float64)[None])


def ngspice_version(program: str) -> str:
    """Version of an ngspice, as it says it itself."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"ngspice-([0-9.]+)", said.stdout + said.stderr)
    if version is None:
        raise SystemExit(f"{program} does not say that it is ngspice")
    return version[1]


def ngspice(netlist: Path, program: str) -> FloatArray:
    """Currents (1, n) [A] of a netlist by some ngspice."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "-n", "-b", str(netlist)], cwd=folder, capture_output=True, check=True)
        return read_spice(Path(folder) / CURRENTS_FILE)


def single(
    sizes: list[int], repeats: int, programs: list[str], folder: Path | None, peers: int, console: Console
) -> set[str]:
    """Print the time of one input with all node voltages, beside other methods up to a size; returns their names."""
    names: set[str] = set()
    for n in sizes:
        g, v = cells(n), np.random.default_rng(1).uniform(0.0, 0.1, (1, n))
        solve(g, v, WIRES)
        works: dict[str, Work] = {"solve": lambda g=g, v=v: solve(g, v, WIRES).currents}
        with tempfile.TemporaryDirectory() as temporary:
            netlist = Path(temporary) / "array.cir"
            if n <= peers:
                works["SuperLU"] = lambda g=g, v=v: by_nodes(g, v, WIRES, super_lu)
                if installed("PyKLU"):
                    works["KLU"] = lambda g=g, v=v: by_nodes(g, v, WIRES, klu)
                if installed("badcrossbar"):
                    works["badcrossbar"] = lambda g=g, v=v: badcrossbar(g, v, WIRES, nodes=True)
                if installed("mpimpy"):
                    works["mpimpy"] = lambda g=g, v=v: mpimpy(g, v, WIRES)
                to_spice(g, v, WIRES, netlist)
                for program in programs:
                    version = ngspice_version(program)
                    if float(version) >= 44 or n <= SPARSE_13:
                        works[f"ngspice {version}"] = lambda n=netlist, p=program: ngspice(n, p)
                if folder is not None:
                    works["ngspice 45 in WebAssembly"] = lambda n=netlist, f=folder: engine(n, f)
            found = in_turn(works, repeats)
        names |= printed(f"{n} × {n}, 1 input", found, found["solve"].result, console)
    return names


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


def processor_name() -> str:
    """Name of the processor, where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def main() -> None:
    """Run the comparison."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--sizes", type=int, nargs="*", default=[64, 128, 256], help="arrays with all inputs")
    arguments.add_argument("--one-input", type=int, nargs="*", default=[128, 256, 512, 2048], help="with one input")
    arguments.add_argument("--peers", type=int, default=256, help="largest array with one input for the other methods")
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=1, help="threads of every method in the comparisons")
    arguments.add_argument("--large", action="store_true", help="also 512 and 1024, and their growth")
    arguments.add_argument(
        "--ngspice", nargs="+", default=[], metavar="PROGRAM", help="also these; minutes each before version 44"
    )
    arguments.add_argument("--engine", type=Path, help="also in ngspice 45 with KLU: folder with eecircuit-engine")
    arguments.add_argument("--tiles", type=int, default=200, help="tiles of the batch whose rate is measured, or 0")
    arguments.add_argument("--nodes", type=int, default=10, help="gate nodes at which each of them is reduced")
    arguments.add_argument("--memory", action="store_true", help="also by how much the process grows")
    options = arguments.parse_args()
    console = Console()
    console.print(
        f"{time.strftime('%d %B %Y, %H:%M')}, {processor_name()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, numpy {np.__version__}; comparisons on {options.threads} thread(s)"
    )
    every = threads()
    set_threads(options.threads)
    with threadpool_limits(options.threads):
        ran = compare(options.sizes, options.repeats, console) if options.sizes else set()
        ran |= single(options.one_input, options.repeats, options.ngspice, options.engine, options.peers, console)
    set_threads(every)
    explain(ran, console)
    if options.tiles:
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
