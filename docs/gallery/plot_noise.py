"""Noise of one cell, described in three ways.

Left: the spectral density of each noise of a 1 µS cell with one trap (lines), and
Welch's estimate from a simulated trace (dots). The last dots of the trap include
aliased noise.
Right: the standard deviation from 1 kHz to the frequency on the axis, from the closed
integral (lines) and from the spectrum of the trace (dots). The step of the trap appears
beyond its corner frequency.
"""

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from scipy.signal import welch

from devices import ReadNoise, Traps

G, V, DT, STEPS, CELLS = 1e-6, 0.1, 1e-6, 2**15, 16
NONE = ReadNoise(thermal_shot=False, flicker=False, observation_time=0.1)
NOISES = {
    "thermal and shot": (replace(NONE, thermal_shot=True), "#4477aa"),
    "1/f": (replace(NONE, flicker=True), "#228833"),
    "one trap": (replace(NONE, telegraph=True), "#ccbb44"),
    "all": (replace(NONE, thermal_shot=True, flicker=True, telegraph=True), "#222222"),
}


def one_trap(shape):
    """The same trap in every cell."""
    cells = int(np.prod(shape))
    return Traps(
        shape,
        np.arange(cells),
        np.full(cells, 0.5),
        np.full(cells, 3e-5),
        np.full(cells, 1e-5),
    )


def main():
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    f = np.logspace(3, np.log10(0.5 / DT), 200)
    for label, (noise, colour) in NOISES.items():
        trace = noise.trace(
            np.full(CELLS, G),
            V,
            DT,
            STEPS,
            np.random.default_rng(5),
            traps=one_trap((CELLS,)),
        )
        at, density = welch(trace, 1.0 / DT, nperseg=4096, detrend=False)
        at, density, line = at[4:-1], density.mean(axis=0)[4:-1], at[1]  # from 1 kHz on
        low = at[0] - 0.5 * line
        left.plot(
            f, noise.spectrum(f, G, V, traps=one_trap(())), color=colour, label=label
        )
        shown = np.unique(np.logspace(0, np.log10(at.size - 1), 28).astype(int))
        left.plot(at[shown], density[shown], "o", color=colour, markersize=3)
        ends = f[10:]
        sigma = [
            noise.sigma(G, V, low, end + 0.5 * line, traps=one_trap(())) / (G * V)
            for end in ends
        ]
        right.plot(ends, sigma, color=colour, label=label)
        summed = np.sqrt(np.cumsum(density) * line)
        right.plot(
            at[shown[1:]], summed[shown[1:]] / (G * V), "o", color=colour, markersize=3
        )
    left.set(
        xscale="log", yscale="log", xlabel="frequency [Hz]", ylabel="density [A²/Hz]"
    )
    right.set(
        xscale="log",
        yscale="log",
        xlabel="upper end of the band [Hz]",
        ylabel="σ / current",
    )
    left.legend(frameon=False)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main().savefig("noise.png", dpi=150)
