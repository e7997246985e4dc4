"""Reads of every preset.

Each panel is one ready cell: the current of five states at the open gate, as `crossgate device NAME` draws it.
Ohmic, sinh-shaped and selected cells differ at a glance; so do their currents, from nanoamperes to milliamperes.
The two with a selector carry nothing below the threshold of their silver switch.
"""

from matplotlib.figure import Figure

from devices.plots import plot_family
from devices.presets import PRESETS


def main():
    columns = 4
    rows = -(-len(PRESETS) // columns)
    figure = Figure(figsize=(13, 3.0 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, make) in zip(axes, PRESETS.items(), strict=False):
        plot_family(make(), ax)
        ax.set_title(name)
    for ax in axes[len(PRESETS) :]:
        ax.set_visible(False)
    return figure


if __name__ == "__main__":
    main().savefig("cells.png", dpi=150)
