"""Conductances after programming.

Left: sixteen levels, each cell with its own path. Thin filaments dissolve, and all
relax as much as NeuRRAM's cells do.
Right: the deviation of 64 x 64 verified cells from their targets over their age,
relative to the largest conductance. At first it is the write error; after a day
relaxation has been added.
"""

import numpy as np
from matplotlib.figure import Figure

from devices import (
    AdaptiveMemristor,
    ReadNoise,
    Spread,
    WriteVerify,
    levels,
    retain,
    write_verify,
)


def main() -> Figure:
    rng, cell = np.random.default_rng(3), AdaptiveMemristor()
    ages = np.geomspace(1.0, 1e9, 61)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    paths = retain(cell, np.repeat(levels(cell, 16), 4), ages, rng) * 1e6
    left.semilogx(ages, paths, color="#4477aa", linewidth=0.6, alpha=0.7)
    left.semilogx(
        ages, retain(cell, levels(cell, 16), ages) * 1e6, color="#222222", linewidth=1.0
    )
    left.set(xlabel="age [s]", ylabel="filament conductance [µS]")

    targets = rng.uniform(cell.g_min, 45e-6, (64, 64))
    cells = Spread(stuck_on=0.0, stuck_off=0.0).draw(cell, targets.shape, rng)
    written = write_verify(
        cells, targets, WriteVerify(), rng, noise=ReadNoise()
    ).written.g_filament
    deviation = (retain(cell, written, ages, rng) - targets).std(
        axis=(1, 2)
    ) / cell.g_max
    right.semilogx(
        ages, 100.0 * deviation, color="#ee6677", label="relaxing and dissolving"
    )
    alone = (retain(cell, written, ages) - targets).std(axis=(1, 2)) / cell.g_max
    right.semilogx(ages, 100.0 * alone, color="#222222", label="dissolving only")
    right.axvline(86400.0, color="#bbbbbb", linewidth=0.8)
    right.set(
        xlabel="age [s]", ylabel="deviation from target [% of g_max]", ylim=(0.0, None)
    )
    right.legend(frameon=False)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main().savefig("retention.png", dpi=150)
