"""Variability of written cells.

Top left: the weakest and the strongest state of 100,000 cells, lognormal and normal;
lines are the distributions.
Top right: one verified and one unverified write of three targets. The weaker the state,
the more lognormal it is.
Bottom: the weakest state of cells that are written twice: device-to-device variability
lies along the diagonal, cycle-to-cycle variability across it.
"""

import math
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from devices import AdaptiveMemristor, Spread

SPREAD = Spread(
    cycle_low_ln_sigma=0.1, cycle_high_cv=0.0153, stuck_on=0.0, stuck_off=0.0
)
SHAPE = (1, 250, 400)


def main():
    cell, rng = AdaptiveMemristor(), np.random.default_rng(3)
    figure = Figure(figsize=(9, 7), layout="constrained")
    left, middle, right, empty = figure.subplots(2, 2).ravel()
    empty.set_axis_off()
    cells = SPREAD.draw(cell, SHAPE, rng)
    for g, colour in ((cells.g_min, "#4477aa"), (cells.g_max, "#ee6677")):
        bins = np.geomspace(g.min(), g.max(), 80)
        left.hist(g.ravel() * 1e6, bins * 1e6, density=True, color=colour, alpha=0.45)
    x = np.geomspace(0.1, 2.0, 200)
    z = np.log(x / (cell.g_min * 1e6)) / 0.3
    left.plot(
        x,
        np.exp(-0.5 * z**2) / (0.3 * x * math.sqrt(2 * math.pi)),
        color="#4477aa",
        label="g_min, lognormal",
    )
    x, mean = np.linspace(35.0, 65.0, 200), cell.g_max * 1e6
    z = (x / mean - 1.0) / 0.057
    left.plot(
        x,
        np.exp(-0.5 * z**2) / (0.057 * mean * math.sqrt(2 * math.pi)),
        color="#ee6677",
        label="g_max, normal",
    )
    left.set(
        xscale="log",
        yscale="log",
        ylim=(1e-3, 5),
        xlabel="filament conductance [µS]",
        ylabel="density [1/µS]",
    )
    left.legend(frameon=False)

    for w, colour in ((0.2, "#4477aa"), (0.5, "#228833"), (0.8, "#ee6677")):
        for verified in (True, False):
            spread = replace(SPREAD, verified=verified)
            g = spread.write(
                cell, np.full(SHAPE, cell.filament(w)), np.random.default_rng(1)
            ).g_filament
            label = ("verified" if verified else "not verified") if w == 0.5 else None
            bins = np.geomspace(1e-7, 7e-5, 140)
            style = "stepfilled" if verified else "step"
            middle.hist(
                g.ravel() * 1e6,
                bins * 1e6,
                histtype=style,
                color=colour,
                alpha=0.6,
                label=label,
            )
    middle.set(
        xscale="log", yscale="log", xlabel="filament conductance [µS]", ylabel="cells"
    )
    middle.legend(frameon=False)

    drawn = replace(SPREAD, write_error=0.0).draw(cell, (60, 60), rng)
    first, second = (
        drawn.write(np.zeros((60, 60)), rng).g_filament * 1e6 for _ in range(2)
    )
    right.plot(first, second, ".", color="#4477aa", markersize=2)
    right.plot([0.1, 2.0], [0.1, 2.0], color="#bbbbbb", linewidth=1)
    right.set(
        xscale="log",
        yscale="log",
        xlabel="first write [µS]",
        ylabel="second write [µS]",
    )
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main().savefig("spread.png", dpi=150)
