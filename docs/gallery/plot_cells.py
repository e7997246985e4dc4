"""The current of every preset.

Each panel shows one preset: current over voltage at five states from 0 (light) to 1
(dark). Cells with a gate are drawn with the gate open (lines) and closed (dashes).
Magnitudes are on a logarithmic axis: a sinh bends upwards, and a selector has a gap
around 0 V.
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from devices import PRESETS


def main():
    figure = Figure(figsize=(9, 10), layout="constrained")
    axes = figure.subplots(-(-len(PRESETS) // 3), 3, sharex=True).ravel()
    v = np.linspace(-0.6, 0.6, 241)
    for ax, (name, make) in zip(axes, PRESETS.items(), strict=False):
        cell = make()
        for w in np.linspace(0.0, 1.0, 5):
            colour = colormaps["viridis_r"](0.1 + 0.9 * w)
            for v_gate, style in ((cell.v_gate_max, "-"), (cell.v_gate_min, "--")):
                if cell.gated or style == "-":
                    current, _ = cell.current(w, v_gate, v)
                    ax.plot(
                        v,
                        np.abs(current) + 1e-16,
                        style,
                        color=colour,
                        linewidth=1.2 if style == "-" else 0.9,
                    )
        ax.set_title(name, fontsize=10)
        ax.set_yscale("log")
        ax.set_ylim(bottom=1e-15 if "selected" in name else 1e-11)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[len(PRESETS) :]:
        ax.axis("off")
    for ax in axes[len(PRESETS) - 3 : len(PRESETS)]:
        ax.tick_params(labelbottom=True)
    figure.supxlabel("cell voltage [V]")
    figure.supylabel("current [A]")
    return figure


if __name__ == "__main__":
    main().savefig("cells.png", dpi=150)
