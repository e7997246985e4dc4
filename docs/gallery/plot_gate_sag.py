"""Gate voltage over an array whose gates leak.

One tile-wide gate is at 2 V: a driver at the top left, a spine down the left side,
lines along the rows, and a leakage of 10 nS per cell. Left: the gate voltage at every
cell; it drops most in the corner farthest from the driver.
Right: the effect on the read gain along the first and the last row, and along the same
rows driven one by one.
"""

import numpy as np
from matplotlib.figure import Figure

from crossbar import GateLines, gate_voltages
from devices.cells.presets import adaptive_2d

SHAPE, VOLTS = (64, 64), 2.0


def main():
    comb = GateLines(
        "tile", r_segment=200.0, r_driver=1e3, r_spine=20.0, g_gate_leak=1e-8
    )
    rows = GateLines("row", r_segment=200.0, r_driver=1e3, g_gate_leak=1e-8)
    at_cells = gate_voltages(comb, np.array([[VOLTS]]), SHAPE).v_gate[0]
    by_row = gate_voltages(rows, np.full((1, SHAPE[0]), VOLTS), SHAPE).v_gate[0]
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    drawn = left.imshow(at_cells, cmap="viridis", origin="upper")
    left.contour(at_cells, levels=6, colors="white", linewidths=0.7)
    left.set(xlabel="column", ylabel="row")
    figure.colorbar(drawn, ax=left, label="gate voltage [V]")
    cell, columns = adaptive_2d(), np.arange(SHAPE[1])
    for label, volts, style, colour in (
        ("tile-wide gate, first row", at_cells[0], "-", "#4477aa"),
        ("tile-wide gate, last row", at_cells[-1], "--", "#4477aa"),
        ("one driver per row", by_row[0], ":", "#222222"),
    ):
        right.plot(columns, cell.gate_gain(volts), style, color=colour, label=label)
    right.axhline(
        float(cell.gate_gain(np.array(VOLTS))),
        color="#ee6677",
        linewidth=1,
        label="at the driver",
    )
    right.set(xlabel="column", ylabel="read gain")
    right.legend(frameon=False, loc="center", bbox_to_anchor=(0.6, 0.64))
    right.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main().savefig("gate_sag.png", dpi=150)
