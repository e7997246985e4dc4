"""Loops at several gate voltages.

Left: the current over a ramp of 1 V/s to 0.7 V, to -0.7 V and back. The gate scales it
and moves SET from 0.54 to 0.29 V.
Right: the state over the same voltage. SET depends on the gate, which supports growth;
RESET does not.
"""

import numpy as np
from matplotlib.figure import Figure

from devices import AdaptiveMemristor, simulate, sweep

COLOURS = ("#332288", "#4477aa", "#ccbb44", "#ee6677")


def main() -> Figure:
    gates = np.array([-2.0, 0.0, 2.0, 4.0])
    trace = simulate(AdaptiveMemristor(), sweep(0.7, -0.7, v_gate=gates, points=401))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for j, (gate, colour) in enumerate(zip(gates, COLOURS, strict=True)):
        left.semilogy(
            trace.v[:, j],
            np.maximum(np.abs(trace.current[:, j]), 1e-12),
            color=colour,
            label=f"{gate:g} V",
        )
        right.plot(trace.v[:, j], trace.state[:, j], color=colour)
    left.set(
        xlabel="cell voltage [V]", ylabel="current, magnitude [A]", ylim=(1e-10, 2e-3)
    )
    right.set(xlabel="cell voltage [V]", ylabel="state")
    left.legend(frameon=False, title="gate", loc="upper left", ncols=2)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main().savefig("hysteresis.png", dpi=150)
