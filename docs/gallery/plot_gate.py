"""The gate of an adaptive memristor.

Left: the read gain over the gate voltage, at three temperatures. The dots are the
voltages of eleven equally spaced gains. They are dense where the curve is steep, so a
gate driver needs the inverse of the curve, not a straight line.
Right: the current of one filament over voltage, at the same gate voltages. The gate
scales it; the sinh stays.
"""

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from devices.cells.presets import adaptive_2d


def main():
    cell = adaptive_2d()
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    v_gate = np.linspace(cell.v_gate_min, cell.v_gate_max, 301)
    for temperature, colour in (
        (250.0, "#4477aa"),
        (300.0, "#222222"),
        (350.0, "#ee6677"),
    ):
        warm = replace(cell, temperature=temperature)
        left.plot(
            v_gate, warm.gate_gain(v_gate), color=colour, label=f"{temperature:g} K"
        )
    gains = np.linspace(cell.gain_low, cell.gain_high, 11)
    chosen = cell.gate_voltage(gains)
    left.plot(chosen, gains, "o", color="#222222", markersize=4)
    left.set(xlabel="gate voltage [V]", ylabel="read gain")
    left.legend(frameon=False)
    v = np.linspace(-0.4, 0.4, 201)
    for volts in chosen:
        right.plot(
            v, cell.current(0.7, volts, v)[0] * 1e6, color="#4477aa", linewidth=1
        )
    right.set(xlabel="cell voltage [V]", ylabel="current [µA]")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main().savefig("gate.png", dpi=150)
