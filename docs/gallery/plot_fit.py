"""A fit to noisy curves.

Left: the current of three filaments at thirteen gate voltages; points with 1 % and 10
pA of noise, and fitted lines.
Right: measured minus fitted current in units of the estimated noise. It has no pattern
over voltage, gate and current, because the fitted law is the one that made the points.
The gate capacitance is held: the curves do not determine it.
"""

import numpy as np

from devices.cells.presets import adaptive_2d
from devices.measurements.curves import simulate_curves
from devices.measurements.fitting import fit_cell
from devices.plots import fit_figure


def main():
    rng = np.random.default_rng(3)
    v, v_gate = np.linspace(-0.4, 0.4, 21), np.linspace(-2.0, 4.0, 13)
    curves = simulate_curves(adaptive_2d(), [0.5e-6, 5e-6, 50e-6], v, v_gate, rng)
    figure = fit_figure(fit_cell(curves, hold={"c_gate": 1.55e-3}))
    figure.set_size_inches(9, 7)
    return figure


if __name__ == "__main__":
    main().savefig("fit.png", dpi=150)
