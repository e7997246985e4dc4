"""Writing an array of 128 x 128 cells through its own wires, and reading it.

Top left: errors after write-verify with half-selected lines, beside the normal error of
1 % that Spread draws. Top right: column currents for a random input with the same
wires, beside those of the targets. Bottom left: the part of each cell's last pulse that
is lost in the wires. Bottom right: how far the pulses of another row disturb cells at
the low end of their window, for three ways to bias the rows and columns that are not
selected.
"""

import numpy as np
from matplotlib.figure import Figure

from crossbar import Array, Bias, Wires, solve, write_array
from devices import AdaptiveMemristor, ReadNoise, Spread, WriteVerify

WIRES = Wires(0.5, 0.5, 50.0, 50.0)
SIZE = 128


def visible(cell, written):
    """Filament conductances as they show behind shifted gates [S]."""
    gain = cell.gain_with_offset(4.0, written.gate_offset) / cell.gate_gain(4.0)
    return written.g_filament * gain


def main() -> Figure:
    rng, cell = np.random.default_rng(4), AdaptiveMemristor()
    cells = Spread(stuck_on=0.0, stuck_off=0.0).draw(cell, (SIZE, SIZE), rng)
    targets = rng.uniform(3e-6, 40e-6, (SIZE, SIZE))
    scheme = WriteVerify(v_gate_set=2.0, v_gate_reset=2.0, v_set=0.4, most_pulses=30)
    done = write_array(
        cells,
        targets,
        WIRES,
        scheme,
        rng,
        noise=ReadNoise(),
        bias=Bias(v_gate_idle=-2.0),
    )
    drawn = cells.write(targets, rng)
    # The writer sees what shows at the terminals: a shifted gate is written away,
    # in the drawn error as well.
    simulated, stated = (
        100.0 * (visible(cell, written) - targets) / cell.g_max
        for written in (done.written, drawn)
    )
    v = rng.uniform(0.0, 0.1, (1, SIZE))
    currents, wanted = (
        solve(Array(cell, g, offset), v, WIRES, v_gate=4.0).currents[0]
        for g, offset in ((done.written.g_filament, cells.gate_offset), (targets, 0.0))
    )
    off = 100.0 * np.abs(currents / wanted - 1.0).max()
    accepted = f"{done.accepted.mean():.1%} of {SIZE} x {SIZE} cells in their bands"
    print(f"{accepted} after {done.rounds} rounds")
    errors = f"{simulated.std():.2f} % of g_max, stated {stated.std():.2f} %"
    print(f"error: {errors}; mean {simulated.mean():.2f} %")
    print(f"columns read {off:.2f} % off at most")

    figure = Figure(figsize=(9, 7), layout="constrained")
    left, second, middle, right = figure.subplots(2, 2).ravel()
    bins = np.linspace(-5.0, 5.0, 51)
    left.hist(
        stated.ravel(), bins, color="#bbbbbb", label=f"drawn, {stated.std():.2f} %"
    )
    left.hist(
        simulated.ravel(),
        bins,
        color="#4477aa",
        histtype="step",
        label=f"simulated, {simulated.std():.2f} %",
    )
    left.set(xlabel="error [% of g_max]", ylabel="cells", ylim=(0, 0.14 * SIZE**2))
    left.legend(frameon=False, fontsize=8, loc="upper left")
    low, high = 1e6 * wanted.min(), 1e6 * wanted.max()
    second.plot([low, high], [low, high], color="#bbbbbb", lw=1)
    second.plot(1e6 * wanted, 1e6 * currents, ".", ms=4, color="#4477aa")
    second.set(
        xlabel="column current of the targets [µA]", ylabel="of the written array [µA]"
    )
    second.set_title(
        f"off by {off:.2f} % at most",
        fontsize=9,
    )
    figure.colorbar(
        middle.imshow(100.0 * done.drop, cmap="viridis"),
        ax=middle,
        label="pulse lost in wires [%]",
    )
    middle.set(xlabel="column", ylabel="row")

    resting = np.full((8, 8), cell.g_min)
    resting[0] = 45e-6  # one row is written, the others rest
    alike = Spread.none().draw(cell, resting.shape, rng)
    strong = WriteVerify(v_gate_set=4.0, width=1e-4, tolerance=0.02, pulse_ln_sigma=0.0)
    ways = {
        "half": Bias(),
        "third": Bias("third"),
        "half, idle\ngates closed": Bias(v_gate_idle=-2.0),
    }
    moved = [
        write_array(alike, resting, WIRES, strong, rng, bias=bias)
        .written.g_filament[1:]
        .max()
        / cell.g_min
        - 1.0
        for bias in ways.values()
    ]
    right.bar(
        list(ways),
        np.maximum(100.0 * np.array(moved), 1e-12),
        color=["#ee6677", "#ccbb44", "#228833"],
        width=0.6,
    )
    right.set(ylabel="largest change of a resting cell [%]", yscale="log")
    for ax in (left, second, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main().savefig("write_verify.png", dpi=150)
