"""Compare the speed and memory of this checkout with those of an older commit, on one machine in one run.

    python -m benchmarks.against COMMIT [--rows first again version …] [--repeats 3] [--old PYTHON]

A git worktree and a virtual environment of COMMIT are made in a temporary folder, with the versions of the libraries
that this environment has, and removed at the end, also after Ctrl-C.  Each row runs the old and the new program in
turn, so that other load affects both, and prints the medians of wall time and processor time, and how many times as
fast the new program is.  --old names the Python of an environment of COMMIT that exists already.

The network of the rows compile-and-write, memory and products is dvgg-cifar10 with random images, as time and memory
do not depend on what they show.  The bare products are NumPy's, of the shapes and number of all tiles, in the same
process.
"""

import argparse
import contextlib
import json
import math
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("numpy", "numba", "llvmlite", "scipy", "matplotlib", "jinja2", "typer", "rich", "threadpoolctl", "joblib")

#: In both programs: the clock, and the folder that the older layout of files lacks.
COMMON = """
import importlib, json, sys, time
import numpy as np
def used(work):
    wall, cpu = time.perf_counter(), time.process_time()
    out = work()
    return out, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
def high_water():
    with open("/proc/self/status") as file:
        return 1024 * int(file.read().partition("VmHWM:")[2].split()[0])
"""

TRANSFER = """
from crossbar import Wires, transfer_matrix
wires = Wires(r_row=1.0, r_column=1.0, r_driver=1.0, r_sense=1.0)
g = np.exp(np.random.default_rng({n}).uniform(np.log(1e-6), np.log(1e-4), ({n}, {n})))
transfer_matrix(g, wires)
taken = [used(lambda: transfer_matrix(g, wires))[1] for _ in range({calls})]
middle = {{name: float(np.median([each[name] for each in taken])) for name in ("wall", "cpu")}}
print(json.dumps({{"{row}": middle}}))
"""

BATCH = """
from crossbar import Wires, transfer_matrices
wires = Wires(r_row=1.0, r_column=1.0, r_driver=1.0, r_sense=1.0)
rng = np.random.default_rng(128)
g = np.exp(rng.uniform(np.log(1e-6), np.log(1e-4), (10, 128, 128)))
g = np.concatenate([g * (1 + 0.001 * k) for k in range({tiles})])
transfer_matrices(g[:40], wires)
_, taken = used(lambda: transfer_matrices(g, wires))
a = rng.random((512, 512))
def products():
    for _ in range({products}):
        a @ a
products()
_, plain = used(products)
print(json.dumps({{"batch": taken, "products of the batch": plain}}))
"""

GROWTH = """
from crossbar import Wires, transfer_matrix
wires = Wires(r_row=1.0, r_column=1.0, r_driver=1.0, r_sense=1.0)
found = {}
for n in (128, 2048):
    g = np.exp(np.random.default_rng(n).uniform(np.log(1e-6), np.log(1e-4), (n, n)))
    if n == 128:
        transfer_matrix(g, wires)
    taken = [used(lambda: transfer_matrix(g, wires))[1] for _ in range(9 if n == 128 else 1)]
    found[n] = {name: float(np.median([each[name] for each in taken])) for name in ("wall", "cpu")}
found["peak"] = high_water()
print(json.dumps(found))
"""

CIFAR = """
import mapping
from benchmarks.inference import bare, shapes
for name in ("mapping.inference.running", "mapping.inference"):
    try:
        running = importlib.import_module(name)
        break
    except ModuleNotFoundError:
        continue
running.COMPARED = 0  # the comparison with the exact network is kept apart
rng = np.random.default_rng(0)
network = mapping.load_model("{model}")
images = rng.random(({images} + 128, *network.input_shape))
small = mapping.compile_network(mapping.load_model("dvgg-digits"), "adaptive2d", rng.random((32, 1, 8, 8)))
mapping.run(mapping.write(small).single(), rng.random((8, 1, 8, 8)))  # compiles the kernels
program, compiled = used(lambda: mapping.compile_network(network, "adaptive2d", images[:128]))
chip, written = used(lambda: mapping.write(program))
chip = chip.single()
exact = running.exact_outputs(program, images[128:])
mapping.run(chip, images[128:136])
_, ran = used(lambda: mapping.run(chip, images[128:], exact=exact))
peak = high_water()
products, mixtures = shapes(chip)
bare(products, [], 2)
_, alone = used(lambda: bare(products, [], {images}))
both = {{name: compiled[name] + written[name] for name in compiled}}
print(json.dumps({{"compile and write": both, "run": ran, "products": alone, "peak": peak}}))
"""


@dataclass(frozen=True)
class Side:
    """One of the two programs that are compared."""

    name: str
    python: Path
    root: Path  #: folder of its packages
    held: Path  #: folder of its caches, one below for each kind

    def environment(self, caches: Path) -> dict[str, str]:
        """Return the environment of a process with its caches below a folder."""
        folders = {"CROSSGATE_CACHE": "results", "NUMBA_CACHE_DIR": "kernels", "MPLCONFIGDIR": "matplotlib"}
        own = {name: str(caches / folder) for name, folder in folders.items()}
        return {**os.environ, **own, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": ""}

    def command(self, arguments: Sequence[str], caches: Path) -> dict[str, float]:
        """Run the `crossgate` command; returns the wall and processor time of the whole process [s]."""
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        self.process(["-c", "from mapping.cli import main; main()", *arguments], caches)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}

    def script(self, text: str) -> dict[str, dict[str, float]]:
        """Run a script with this side's caches; returns the JSON object that it prints last."""
        found: dict[str, dict[str, float]] = json.loads(self.process(["-c", COMMON + text], self.held).splitlines()[-1])
        return found

    def process(self, arguments: Sequence[str], caches: Path) -> str:
        """Run Python; returns its standard output.  A process that fails ends the comparison with its message."""
        caches.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [self.python, *arguments], cwd=caches, env=self.environment(caches), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"the {self.name} program failed with status {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout


@dataclass
class Found:
    """Measurements of one row: for each side and quantity one value a repetition."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, side: str, quantity: str, value: float) -> None:
        """Add one measurement."""
        self.values.setdefault((side, quantity), []).append(value)

    def median(self, side: str, quantity: str) -> float:
        """Return the median over the repetitions."""
        return statistics.median(self.values[side, quantity])

    def ratio(self, quantity: str) -> float:
        """Return the median over the repetitions of old over new."""
        pairs = zip(self.values["old", quantity], self.values["new", quantity], strict=True)
        return statistics.median(old / new for old, new in pairs)


Measure = Callable[[Side], dict[str, dict[str, float]]]


def first(side: Side) -> dict[str, dict[str, float]]:
    """Time `crossgate run dvgg-digits` with empty caches, then the same again."""
    words = ["run", "dvgg-digits"]  # the default network of one program need not be that of the other
    with tempfile.TemporaryDirectory(dir=side.held) as folder:
        caches = Path(folder)
        return {"first": side.command(words, caches), "again": side.command(words, caches)}


def shown_version(side: Side) -> dict[str, dict[str, float]]:
    """Time `crossgate --version`."""
    return {"version": side.command(["--version"], side.held)}


def transfer(n: int) -> Measure:
    """Return the measurement of one transfer matrix of n × n cells, the median of some calls."""
    row = f"transfer-{n}"
    text = TRANSFER.format(n=n, row=row, calls=max(9, 4096 // n))
    return lambda side: side.script(text)


def batch(tiles: int) -> Measure:
    """Return the measurement of tiles at ten gate nodes, as the time of the same operations in NumPy's products."""

    def measure(side: Side) -> dict[str, dict[str, float]]:
        from benchmarks.solver import WIRES, border, plan_lanes

        flops = 10 * tiles * plan_lanes(128, 128, border(WIRES, 128, 128)[1]).flops
        products = max(round(flops / (2 * 512**3)), 1)
        found = side.script(BATCH.format(tiles=tiles, products=products))
        taken, plain = found["batch"], found["products of the batch"]
        return {"batch": {**taken, "rate over products": plain["wall"] / taken["wall"]}}

    return measure


def growth(side: Side) -> dict[str, dict[str, float]]:
    """Return the exponent of the time from 128 to 2,048 lines, and the peak memory of the largest array."""
    found = side.script(GROWTH)
    exponent = {name: _power(found["2048"][name] / found["128"][name]) for name in ("wall", "cpu")}
    return {
        "growth": {
            **found["2048"],
            "exponent (wall)": exponent["wall"],
            "exponent (cpu)": exponent["cpu"],
            "GB": float(found["peak"]) / 1e9,  # type: ignore[arg-type]
        }
    }


def _power(ratio: float) -> float:
    """Return the exponent with which a size that grows 16 times gives this ratio."""
    return math.log(ratio) / math.log(16)


def cifar(model: str, images: int) -> Measure:
    """Return the measurement of compiling, writing and running a network: time, memory, and ratio to the products."""

    def measure(side: Side) -> dict[str, dict[str, float]]:
        found = side.script(CIFAR.format(model=model, images=images))
        run, bare = found["run"], found["products"]
        return {
            "compile-and-write": found["compile and write"],
            "products": {**run, "over bare products": run["wall"] / bare["wall"]},
            "memory": {"GB": float(found["peak"]) / 1e9},  # type: ignore[arg-type]
        }

    return measure


def measurements(model: str, images: int, tiles: int) -> dict[tuple[str, ...], Measure]:
    """Return what is measured together, by the rows that it gives."""
    alone = {(f"transfer-{n}",): transfer(n) for n in (64, 128, 256)}
    return {
        ("first", "again"): first,
        ("version",): shown_version,
        ("compile-and-write", "memory", "products"): cifar(model, images),
        **alone,
        ("batch",): batch(tiles),
        ("growth",): growth,
    }


@contextlib.contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """Make a git worktree of a commit in a folder, and remove it at the end."""
    root = folder / "old"
    made = subprocess.run(
        ["git", "-C", ROOT, "worktree", "add", "--detach", root, commit], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise SystemExit(f"COMMIT must be a commit of this repository, got {commit!r}: {made.stderr.strip()}")
    try:
        yield root
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", root], check=False, capture_output=True)


def installed(root: Path, folder: Path) -> Path:
    """Install the checkout in a new virtual environment with this environment's libraries; returns its Python."""
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    held = folder / "constraints.txt"
    held.write_text("".join(f"{name}=={release}\n" for name, release in versions().items()), encoding="ascii")
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", "-e", root, "-c", held], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"the older commit could not be installed:\n{done.stderr[-2000:]}")
    return python


def versions() -> dict[str, str]:
    """Return the versions of the libraries in this environment, by name."""
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def measured(chosen: dict[tuple[str, ...], Measure], sides: Sequence[Side], repeats: int) -> dict[str, Found]:
    """Run every measurement on both sides in turn; the order of the sides changes from one repetition to the next."""
    found: dict[str, Found] = {}
    for measure in chosen.values():
        for repetition in range(repeats):
            for side in sides if repetition % 2 == 0 else reversed(sides):
                for row, quantities in measure(side).items():
                    for quantity, value in quantities.items():
                        found.setdefault(row, Found()).add(side.name, quantity, value)
    return found


def show(found: dict[str, Found], rows: Sequence[str], console: Console) -> None:
    """Print the medians, and old over new for each quantity."""
    table = Table("row", "quantity", "old", "new", "old over new")
    for row in rows:
        quantities = dict.fromkeys(quantity for _, quantity in found[row].values)
        for quantity in quantities:
            unit = " s" if quantity in ("wall", "cpu") else ""
            old, new = (f"{found[row].median(side, quantity):.3g}{unit}" for side in ("old", "new"))
            table.add_row(row, quantity, old, new, f"{found[row].ratio(quantity):.2f}")
    console.print(table)


def main() -> None:
    """Read the command line, make the older program, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="an older commit of this repository")
    names = [row for rows in measurements("", 0, 0) for row in rows]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--repeats", type=int, default=3, help="runs of each program in each row")
    parser.add_argument("--old", type=Path, metavar="PYTHON", help="Python of an environment of COMMIT")
    parser.add_argument("--model", default="dvgg-cifar10", help="network of the rows about a network")
    parser.add_argument("--images", type=int, default=512, help="images of the row products")
    parser.add_argument("--tiles", type=int, default=200, help="tiles of the row batch, at ten gate nodes each")
    options = parser.parse_args()
    known = measurements(options.model, options.images, options.tiles)
    chosen = {rows: measure for rows, measure in known.items() if set(rows) & set(options.rows)}
    console = Console()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossgate-against-")))
        root = stack.enter_context(checked_out(options.commit, folder))
        python = options.old or installed(root, folder)
        held = [folder / "caches" / name for name in ("old", "new")]
        for each in held:
            each.mkdir(parents=True)
        sides = (Side("old", python.absolute(), root, held[0]), Side("new", Path(sys.executable), ROOT, held[1]))
        libraries = ", ".join(f"{name} {release}" for name, release in versions().items())
        console.print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {libraries}")
        load = os.getloadavg()[0]
        found = measured(chosen, sides, options.repeats)
        shown = [row for rows in chosen for row in rows if row in options.rows]
        show(found, shown, console)
        console.print(f"load of the machine {load:.1f} before, {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    if shutil.which("git") is None:
        raise SystemExit("benchmarks.against needs git on the PATH")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the folders are removed then, too
    main()
