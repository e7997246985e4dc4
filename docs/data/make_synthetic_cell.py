"""Write synthetic_cell.csv: what an analyser would have recorded of a cell that does not exist.

    python docs/data/make_synthetic_cell.py

The cell is the default one with other numbers, three filaments are read at thirteen gate voltages, and the current has
noise of 1 % and 10 pA.  It is no measurement of any device; the tutorial and the tests fit it, as its truth is known.
"""

from pathlib import Path

import numpy as np

from devices import AdaptiveMemristor
from devices.measurements.curves import simulate_curves

CELL = AdaptiveMemristor(
    g_min=0.8e-6, g_max=30e-6, v_0=0.31, r_series=1800.0, g_leak=2e-9, v_dirac=0.35, c_gate=1.2e-3, n_0=3e15,
    gain_min=0.02, e_half=0.12, ideality=1.7,
)  # fmt: skip
FILAMENTS = [0.8e-6, 5e-6, 30e-6]


def main():
    rng = np.random.default_rng(2025)
    curves = simulate_curves(CELL, FILAMENTS, np.linspace(-0.4, 0.4, 21), np.linspace(-2.0, 4.0, 13), rng)
    lines = [
        "# synthetic: made by make_synthetic_cell.py, no measurement of any device",
        "state,v_gate (V),voltage (V),current (A)",
    ]
    lines += [
        f"{state},{gate:g},{v:.3g},{current:.5g}"
        for state, gate, v, current in zip(curves.state, curves.v_gate, curves.v, curves.current, strict=True)
    ]
    Path(__file__).with_name("synthetic_cell.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
