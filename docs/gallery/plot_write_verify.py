"""Writing an array through its own wires.

Left: errors of 24 x 24 cells after write-verify with half-selected lines, beside the normal error of Spread.  The
read currents of the written array are solved afterwards; the title says how far they are from those of the targets.
Middle: the part of each cell's last pulse that the wires kept; 20 ohm a segment are the drop of 128 lines of 0.7 ohm.
Right: how far the pulses of another row move cells that rest at the low end, for three ways to bias the rows and
columns that are not selected.
"""

import numpy as np
from matplotlib.figure import Figure

from crossbar import Array, Bias, Wires, solve, write_array
from devices import AdaptiveMemristor, ReadNoise, Spread, WriteVerify

WIRES = Wires(20.0, 20.0, 50.0, 50.0)


def main() -> Figure:
    rng, cell, size = np.random.default_rng(4), AdaptiveMemristor(), 24
    cells = Spread(stuck_on=0.0, stuck_off=0.0).draw(cell, (size, size), rng)
    targets = rng.uniform(3e-6, 40e-6, (size, size))
    scheme = WriteVerify(v_gate_set=2.0, v_gate_reset=2.0, v_set=0.4, most_pulses=30)
    done = write_array(cells, targets, WIRES, scheme, rng, noise=ReadNoise(), bias=Bias(v_gate_idle=-2.0))
    v = np.full((1, size), 0.1)
    currents, wanted = (
        solve(Array(cell, g, cells.gate_offset), v, WIRES, v_gate=4.0).currents
        for g in (done.written.g_filament, targets)
    )
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    bins = np.linspace(-5.0, 5.0, 51)
    drawn = cells.write(targets, rng).g_filament - targets
    for error, colour, label in ((drawn, "#bbbbbb", "drawn"), (done.error, "#4477aa", "simulated")):
        style = "stepfilled" if label == "drawn" else "step"
        left.hist(100.0 * error.ravel() / cell.g_max, bins, color=colour, histtype=style, label=label)
    left.set(xlabel="error [% of g_max]", ylabel="cells")
    left.set_title(f"columns read {100.0 * np.abs(currents / wanted - 1.0).max():.1f} % off at most", fontsize=9)
    left.legend(frameon=False)
    figure.colorbar(middle.imshow(100.0 * done.drop, cmap="viridis"), ax=middle, label="pulse lost in wires [%]")
    middle.set(xlabel="column", ylabel="row")

    resting = np.full((8, 8), cell.g_min)
    resting[0] = 45e-6  # one row is written, the others rest
    alike = Spread.none().draw(cell, resting.shape, rng)
    strong = WriteVerify(v_gate_set=4.0, width=1e-4, tolerance=0.02, pulse_ln_sigma=0.0)
    ways = {"half": Bias(), "third": Bias("third"), "half, idle\ngates closed": Bias(v_gate_idle=-2.0)}
    moved = [
        write_array(alike, resting, WIRES, strong, rng, bias=bias).written.g_filament[1:].max() / cell.g_min - 1.0
        for bias in ways.values()
    ]
    right.bar(
        list(ways), np.maximum(100.0 * np.array(moved), 1e-12), color=["#ee6677", "#ccbb44", "#228833"], width=0.6
    )
    right.set(ylabel="largest change of a resting cell [%]", yscale="log")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main().savefig("write_verify.png", dpi=150)
