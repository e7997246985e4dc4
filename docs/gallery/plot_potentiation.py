"""Potentiation and depression at several gate voltages.

Left: fifty SET pulses of 0.42 V and 100 us, then fifty RESET pulses of -0.34 V. Only
the gates of the cells differ. A cell with an open gate sets in a few pulses, with a
closed gate hardly: heterosynaptic plasticity. All reset alike.
Right: a pulse of 0.58 V and 1 ms on the volatile cell, then no voltage. A filament
forms only with open gates. It dissolves with the fourth root of the remaining time.
"""

import numpy as np
from matplotlib.figure import Figure

from devices import AdaptiveMemristor, Waveform, pulses, simulate
from devices.cells.presets import adaptive_2d_volatile

COLOURS = ("#332288", "#4477aa", "#228833", "#ccbb44", "#ee6677")


def main() -> Figure:
    gates = np.array([-1.0, 0.0, 1.0, 2.0, 4.0])
    cell = AdaptiveMemristor()
    state = simulate(
        cell,
        pulses(np.repeat([0.42, -0.34], 50), 1e-4, pause=1e-2, v_gate=gates),
        0.1,
        every=4,
    ).state
    rest = Waveform(np.linspace(0.0, 1.2, 241), np.zeros(241), gates[None])
    fading = simulate(
        adaptive_2d_volatile(), pulses([0.58], 1e-3, pause=0.0, v_gate=gates).then(rest)
    )
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for j, (gate, colour) in enumerate(zip(gates, COLOURS, strict=True)):
        left.plot(
            cell.filament(state[:, j]) * 1e6,
            ".-",
            markersize=3,
            linewidth=0.8,
            color=colour,
        )
        right.plot(fading.time, fading.state[:, j], color=colour, label=f"{gate:g} V")
    left.set(xlabel="pulse", ylabel="filament conductance [µS]", yscale="log")
    right.set(xlabel="time [s]", ylabel="state of the volatile cell")
    right.legend(frameon=False, title="gate", loc="upper right")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main().savefig("potentiation.png", dpi=150)
