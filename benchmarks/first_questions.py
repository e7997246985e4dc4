"""Answers to first questions about an array, as the tables of docs/first_questions.md.

    python -m benchmarks.first_questions [--write docs/first_questions.md]

Default cells and the wires of the default chip, seed 0; every number is computed, none is stored. Without --write the
page is printed.
"""

import argparse
from pathlib import Path

import numpy as np

from crossbar import Wires, interleave, opposed, solve, transfer_matrices, transfer_matrix
from devices import AdaptiveMemristor, ReadNoise
from devices.aliases import FloatArray

CELL = AdaptiveMemristor()
WIRES = Wires(r_row=1.06, r_column=1.06, r_driver=100.0, r_sense=10.0)  # the default chip
V_READ, T_READ = 0.1, 255e-9  # its read voltage, and its read of 8 bits
SIZES = (64, 128, 256, 512, 1024)
WIDTHS = (16, 64, 128)
READS = (1, 4, 16, 64, 256, 1024)

Rows = list[list[str]]


def cells(m: int, n: int, seed: int = 0) -> FloatArray:
    """Conductances (m, n) [S] of open cells whose filaments lie evenly in the window."""
    g = np.random.default_rng(seed).uniform(CELL.g_min, CELL.g_max, (m, n))
    return CELL.terminal_conductance(g, CELL.gain_high, V_READ)


def size_and_loss(sizes: tuple[int, ...] = SIZES) -> Rows:
    """What the wires take of a column's current, all rows on: the nearest, the mean and the farthest column."""
    rows = []
    for n in sizes:
        g = cells(n, n)
        v = np.full((1, n), V_READ)
        loss = 1.0 - solve(g, v, WIRES).currents[0] / (v @ g)[0]
        rows.append([f"{n} × {n}", *(f"{each:.0%}" for each in (loss[0], loss.mean(), loss[-1]))])
    return rows


def pairs(widths: tuple[int, ...] = WIDTHS) -> Rows:
    """Error of pairs' differences in four arrangements of 128 inputs, over the differences, after one common factor."""
    rows = []
    for n in widths:
        positive, negative = cells(128, n, 1), cells(128, n, 2)
        v = V_READ * np.random.default_rng(3).random((32, 128))
        exact = v @ (positive - negative)
        both = np.empty((128, 2 * n))
        both[:, 0::2], both[:, 1::2] = positive, negative
        side = v @ transfer_matrix(both, WIRES)
        block = v @ transfer_matrix(np.hstack([positive, negative]), WIRES)
        found = {
            "neighbouring columns": side[:, 0::2] - side[:, 1::2],
            "two blocks of columns": block[:, :n] - block[:, n:],
            "two arrays": v @ (transfer_matrix(positive, WIRES) - transfer_matrix(negative, WIRES)),
            "interleaved rows": opposed(v) @ transfer_matrix(interleave(positive, negative), WIRES),
        }
        errors = []
        for currents in found.values():
            factor = (currents * exact).sum() / (exact**2).sum()
            errors.append(np.sqrt(((currents / factor - exact) ** 2).mean() / (exact**2).mean()))
        rows.append([f"{n} pairs", *(f"{error:.1%}" for error in errors)])
    return rows


def kernels_at_equal_gates(ohms: tuple[float, ...] = (1.0, 2.8), count: int = 4, n: int = 128) -> Rows:
    """Current of `count` equal tiles whose gates share the gain, over that of one tile with an open gate."""
    rows = []
    for r in ohms:
        wires = Wires(r, r, r, r)
        g = np.random.default_rng(0).uniform(CELL.g_min, CELL.g_max, (n, n))
        gains = CELL.gain_high / np.array([1.0, count])
        seen = np.stack([CELL.terminal_conductance(g, gain, V_READ) for gain in gains])
        one, shared = transfer_matrices(seen, wires).sum(1)
        rows.append(
            [f"{r:g} Ω", f"{count * shared.sum() / one.sum() - 1.0:+.0%}", f"{count * shared[-1] / one[-1] - 1.0:+.0%}"]
        )
    return rows


def reading_again(reads: tuple[int, ...] = READS) -> Rows:
    """Deviation of the mean of consecutive reads of a 10 µS cell: all noise, and white noise alone."""
    noise, white = ReadNoise(), ReadNoise(flicker=False)
    rows = []
    for count in reads:
        band = 1.0 / noise.observation_time, 0.5 / (count * T_READ)
        all_of_it, thermal = (float(each.sigma(1e-5, V_READ, *band)) / (1e-5 * V_READ) for each in (noise, white))
        rows.append([f"{count}", f"{all_of_it:.2%}", f"{thermal:.3%}"])
    return rows


def table(head: list[str], rows: Rows) -> str:
    """A table of the page."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def page() -> str:
    """The whole page."""
    size = table(["array", "nearest column", "mean", "farthest column"], size_and_loss())
    pair = table(["width", "neighbouring columns", "two blocks of columns", "two arrays", "interleaved rows"], pairs())
    kernel = table(["wires and ends", "all columns", "farthest column"], kernels_at_equal_gates())
    again = table(["reads", "all noise", "white noise alone"], reading_again())
    return f"""# First questions

The numbers are those of default cells at open gates, with filaments drawn evenly from their window (seed 0).
Unless a section says otherwise the wires are those of the default chip: segments of 1.06 Ω, drivers of 100 Ω
and sense ends of 10 Ω. `python -m benchmarks.first_questions` computes every table, and `--write` writes this
page.

## How large may an array be?

The wires take this share of a column's current when all rows are on. The nearest column lies beside the
drivers.

{size}

A loss that is the same for every input is made up for in the written targets
([encoding](equations/encoding.md)). A loss of most of the current is not: it depends on the other cells.

## Which arrangement of differential pairs loses least?

An array of 128 inputs holds pairs of cells. The table gives the error of the pairs' differences over the
differences, after one common factor, for 32 random inputs. *Interleaved rows* have both cells of a pair on
one column, with rows at opposite voltages; that array has 256 rows ([topologies](equations/topologies.md)).

{pair}

## Do several gated tiles carry the current of one?

Four equal tiles of 128 × 128 cells share a gain: each has a quarter of the open gate's. Without wires their
sum would be the current of one open tile. Weaker cells lose less in the wires, so the sum is larger:

{kernel}

## Does it help to read again?

A cell of 10 µS is read several times for {T_READ * 1e9:.0f} ns at {V_READ:g} V, and the results are averaged.
The table gives the standard deviation over the current. White noise falls with the root of the number of
reads. 1/f noise falls with the logarithm of the time only, so reading again brings little.

{again}

## What is it worth to adjust the outputs of a written chip?

Each written chip gets a digital scale and a shift for each output, which cost nothing per image. A static VGG for
CIFAR-10 keeps 93.0 % with them and 88.0 % without, of 94.3 % exactly (300 images;
[encoding](equations/encoding.md#8-adjusting-outputs-on-the-written-chip)). `tile.adjust_outputs = false`
switches them off.

## Which voltage does a file with a compliance limit record?

The measured voltage: the points at the limit lie on the curve, and a fit keeps them. The programmed voltage: the
cell never had it, and a fit takes the current as at least the limit. `crossgate fit` and `crossgate laws` find
out which it is and say so; `--recorded` decides it ([measured curves](fitting.md#points-at-a-compliance-limit)).
"""


def main() -> None:
    """Print or write the page."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--write", type=Path, help="file to write")
    options = arguments.parse_args()
    text = page()
    if options.write is None:
        print(text, end="")
    else:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
