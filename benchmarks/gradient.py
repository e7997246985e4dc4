"""Time of the gradient of a transfer matrix over that of the transfer matrix itself, one array and batches.

``python -m benchmarks.gradient [--size 128] [--batch 8] [--repeats 9]``; medians, transfers and gradients in turn.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from crossbar import Wires, transfer_gradient, transfer_matrices, transfer_matrix


def median_in_turn(calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median seconds of each call, all called in turn so that a busy machine disturbs them alike."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(repeats):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [float(np.median(each)) for each in times]


def main() -> None:
    """Print one line for one array and one for a batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=9)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    size, wires = asked.size, Wires(1.0, 1.0, 10.0, 10.0)
    g = rng.uniform(1e-6, 1e-4, (asked.batch, size, size))
    d = rng.normal(size=g.shape)
    calls: list[Callable[[], object]] = [
        lambda: transfer_matrix(g[0], wires),
        lambda: transfer_gradient(g[0], wires, d[0]),
        lambda: transfer_matrices(g, wires),
        lambda: transfer_gradient(g, wires, d),
    ]
    one, one_back, many, many_back = median_in_turn(calls, asked.repeats)
    for name, forward, backward in (("one array", one, one_back), (f"{asked.batch} arrays", many, many_back)):
        print(
            f"{size} × {size}, {name}: transfer {1e3 * forward:.1f} ms, gradient {1e3 * backward:.1f} ms, "
            f"{backward / forward:.2f} times"
        )


if __name__ == "__main__":
    main()
