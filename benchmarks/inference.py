"""Time a chip's inference, compared with NumPy float32 matrix products of the same shapes and number.

    python -m benchmarks.inference [MODEL] [--images 512] [--data DIR] [--chip adaptive2d] [--cores]

MODEL: a name of the zoo, or a network file.  The products are those of all tiles for every image (currents), and those
that interpolate stored matrices between gate nodes, in stacks of images on all cores.  The exact network, with which
all chips are compared, is computed once and timed separately.
"""

import argparse
import platform
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import crossbar.tiles.row_drive
import crossbar.tiles.tile
import mapping.inference.running
import mapping.placement.row_codes
from devices.numerics.blas import one_blas_thread
from devices.numerics.worker_threads import set_threads, threads
from mapping import Chip, Network, compile_network, load_dataset, load_model, run, write
from mapping.inference.running import exact_outputs
from mapping.networks.layers.activations import Relu
from mapping.networks.layers.norms import BatchNorm
from mapping.networks.layers.pools import GlobalAveragePool, MaxPool
from mapping.workflow.images import CALIBRATION_IMAGES

REPEATED = 5  # runs and product timings, alternating


def shapes(chip: Chip) -> tuple[list[tuple[int, int, int]], list[tuple[int, int]]]:
    """(c, m, p) of every product for one image, and (stored matrices, m c) of every interpolation of gated tiles."""
    products, mixtures = [], []
    for matrix in chip.program.all_matrices:
        for tile in chip.tiles[matrix.name]:
            k, q, m, c = tile.signal.shape
            products += [(c, m, matrix.positions)] * (2 if matrix.signed else 1) * tile.dac.conversions
            if k * q > 1:
                mixtures.append((k * q, m * c))
    return products, mixtures


def bare(products: list[tuple[int, int, int]], mixtures: list[tuple[int, int]], images: int) -> float:
    """Seconds that NumPy takes for the products of a number of images, in stacks on all threads."""
    rng = np.random.default_rng(0)
    stack = min(64, -(-images // threads()))
    sizes = sorted(set(products))
    left = {s: rng.random((stack, s[0], s[1]), dtype=np.float32) for s in sizes}
    right = {s: rng.random((stack, s[1], s[2]), dtype=np.float32) for s in sizes}
    stored = {s: (rng.random((stack, s[0]), dtype=np.float32), rng.random(s, dtype=np.float32)) for s in set(mixtures)}

    def work(_: int) -> None:
        for size in products:
            np.matmul(left[size], right[size])
        for each in mixtures:
            np.matmul(*stored[each])

    with one_blas_thread(), ThreadPoolExecutor(threads()) as pool:
        start = time.perf_counter()
        list(pool.map(work, range(0, images, stack)))
        return time.perf_counter() - start


class Stages:
    """Processor time in chosen functions, summed over all threads [s]."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.lock = threading.Lock()

    def watch(self, owner: Any, name: str, stage: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **others: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments, **others)
            finally:
                with self.lock:
                    self.seconds[stage] += time.thread_time() - start

        setattr(owner, name, timed)


def watched() -> Stages:
    """Start timing the stages of a run."""
    stages = Stages()
    stages.watch(crossbar.tiles.tile, "_products", "products: currents and variances")
    stages.watch(crossbar.tiles.tile, "_mixed", "mixing of stored matrices")
    stages.watch(crossbar.tiles.tile, "convert", "noise and converters")
    stages.watch(crossbar.tiles.tile, "overlaps", "energy between rows")
    stages.watch(crossbar.tiles.row_drive, "survey", "survey of the rows")
    stages.watch(mapping.placement.row_codes, "unroll", "unrolling")
    for kind in (Relu, MaxPool, BatchNorm, GlobalAveragePool):
        stages.watch(kind, "apply", "digital layers")
    stages.watch(Network, "activations", "exact network, layer by layer")
    return stages


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="dvgg-cifar10")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--data")
    parser.add_argument("--chip", default="adaptive2d")
    parser.add_argument("--cores", action="store_true", help="also time one core")
    options = parser.parse_args()
    network = load_model(options.model)
    name = str(network.card.get("dataset", "digits"))
    calibration = load_dataset(name, "train", options.data, limit=CALIBRATION_IMAGES).images
    images = load_dataset(name, "test", options.data, limit=options.images).images
    console = Console()
    start = time.perf_counter()
    program = compile_network(network, options.chip, calibration)
    compiled = time.perf_counter()
    chip = write(program)
    written = time.perf_counter()
    console.print(f"{platform.machine()}, {threads()} threads, numpy {np.__version__}; {len(images)} images")
    console.print(f"compiled in {compiled - start:.1f} s, written in {written - compiled:.1f} s")
    mapping.inference.running.COMPARED = 0
    chip = chip.single()
    run(chip, images[: min(8, len(images))])  # compiles kernels
    start = time.perf_counter()
    exact = exact_outputs(program, images)
    apart = time.perf_counter() - start
    products, mixtures = shapes(chip)
    bare(products, mixtures, 2)
    alone, pairs = bare(products, [], len(images)), []
    for _ in range(REPEATED):  # alternating, so that other load slows both
        together = bare(products, mixtures, len(images))
        start = time.perf_counter()
        run(chip, images, exact=exact)
        pairs.append((time.perf_counter() - start, together))
    plain, together = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = sorted(one / other for one, other in pairs)
    stages = watched()
    start = time.perf_counter()
    run(chip, images, exact=exact)
    spent = time.perf_counter() - start
    flops = 2.0 * sum(c * m * p for c, m, p in products) * len(images)
    console.print(f"bare products {alone:.2f} s ({flops / alone * 1e-9:.0f} GFLOP/s), with mixtures {together:.2f} s")
    console.print(
        f"run {plain:.2f} s: {statistics.median(ratios):.2f} times bare products and mixtures, {ratios[0]:.2f} … "
        f"{ratios[-1]:.2f} in {REPEATED} runs ({plain / alone:.2f} times the products alone); 10,000 images in "
        f"{plain / len(images) * 1e4 / 60:.1f} min; the exact network {apart:.2f} s, with it "
        f"{(plain + apart) / together:.2f} times"
    )
    table = Table("stage", "processor time [s]", "share of the run")
    total = spent * threads()
    for name, seconds in sorted(stages.seconds.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{seconds:.2f}", f"{seconds / total:.0%}")
    table.add_row("the rest", f"{total - sum(stages.seconds.values()):.2f}", "")
    console.print(table)
    if options.cores and threads() > 1:
        set_threads(1)
        start = time.perf_counter()
        run(chip, images, exact=exact)
        console.print(
            f"one thread {time.perf_counter() - start:.2f} s: {(time.perf_counter() - start) / spent:.2f} times"
        )


if __name__ == "__main__":
    main()
