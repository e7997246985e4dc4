"""What the wires do inside an array of gated cells.

Top: a 6 × 8 circuit at the read voltage, with branches coloured by current and by
voltage. The drivers are at the left, the sense resistors at the bottom. Bottom: a 64 ×
64 array under gates that open from left to right; the voltage that is left for each
cell (IR drop), and the loss of its current against an array without wires. The wires
(20 Ω per segment) are poor on purpose.
"""

import numpy as np
from matplotlib.figure import Figure

from crossbar import Array, Wires, solve
from crossbar.plots import (
    plot_cell_voltage,
    plot_crossbar,
    plot_current_error,
    plot_gate_voltage,
)
from devices.cells.presets import adaptive_2d


def main():
    rng, cell = np.random.default_rng(1), adaptive_2d()
    figure = Figure(figsize=(9, 10), layout="constrained")
    axes = figure.subplots(3, 2).ravel()
    small = Array(
        cell, cell.filament(rng.random((6, 8))), rng.normal(0.0, 0.05, (6, 8))
    )
    v, wires = rng.choice([0.0, 0.2], (1, 6)), Wires(20.0, 20.0, 100.0, 100.0)
    solution = solve(small, v, wires, v_gate=2.0)
    for ax, colour in zip(axes, ("current", "voltage"), strict=False):
        plot_crossbar(small, v, wires, solution, ax, colour=colour, v_gate=2.0)
    large = Array(
        cell, cell.filament(rng.random((64, 64))), rng.normal(0.0, 0.05, (64, 64))
    )
    v, v_gate = np.full((1, 64), 0.2), np.linspace(0.0, 4.0, 64)[None]
    solution = solve(large, v, wires, v_gate=v_gate)
    plot_gate_voltage(large, v_gate, axes[2])
    plot_cell_voltage(solution, axes[3])
    plot_current_error(large, v, solution, axes[4], v_gate=v_gate)
    axes[5].set_axis_off()
    return figure


if __name__ == "__main__":
    main().savefig("array_maps.png", dpi=150)
