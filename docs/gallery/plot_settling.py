"""Settling of an array after its inputs step.

Left: column currents of a 12 × 12 array over time, relative to their final values, from
all modes of the circuit.
Right: the remaining deviation of the fastest and the slowest column. Dots mark the
two-pole estimates for 1 %, 0.1 % and 0.01 %. Triangles mark the guaranteed bound, about
one time constant later.
"""

import numpy as np
from matplotlib.figure import Figure

from crossbar import Capacitances, Wires, settling, transient


def main():
    rng = np.random.default_rng(7)
    g = rng.uniform(1e-6, 5e-5, (12, 12))
    wires = Wires(r_row=40.0, r_column=80.0, r_driver=500.0, r_sense=100.0)
    capacitances = Capacitances(c_row=1e-15, c_column=1e-15, c_sense=2e-14)
    v = np.full((1, 12), 0.1)
    found = settling(g, v, wires, capacitances)
    accuracies = np.array([1e-2, 1e-3, 1e-4])
    times = np.linspace(1e-14, float(found.bound(1e-4).max()) * 1.05, 300)
    shares = transient(g, v, wires, capacitances, times)[0] / found.final[0]
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(times * 1e12, shares, color="#4477aa", linewidth=0.8)
    left.set(
        xlabel="time [ps]",
        ylabel="column current over its final value",
        ylim=(0.0, 1.05),
    )
    late = found.time(1e-3)[0]
    for column, colour in (
        (int(late.argmin()), "#4477aa"),
        (int(late.argmax()), "#222222"),
    ):
        right.semilogy(
            times * 1e12,
            1.0 - shares[:, column],
            color=colour,
            label=f"column {column}",
        )
        estimates = np.array([found.time(each)[0, column] for each in accuracies])
        bounds = np.array([found.bound(each)[0, column] for each in accuracies])
        right.plot(estimates * 1e12, accuracies, "o", color=colour, markersize=5)
        right.plot(
            bounds * 1e12, accuracies, ">", color=colour, markersize=5, fillstyle="none"
        )
    right.set(
        xlabel="time [ps]", ylabel="missing share of the current", ylim=(3e-5, 1.2)
    )
    right.legend(frameon=False)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main().savefig("settling.png", dpi=150)
