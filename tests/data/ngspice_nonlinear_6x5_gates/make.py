"""Cells of the default set, each row with a gate voltage of its own from closed to open.

Run from the checkout: python tests/data/ngspice_nonlinear_6x5_gates/make.py (ours).
"""

import runpy
from pathlib import Path

import numpy as np

from crossbar import Array, Wires
from devices import AdaptiveMemristor


def draw():
    """Array (6, 5), inputs (1, 6) of both signs up to 0.2 V, wires, gate voltages (6, 1)."""
    rng = np.random.default_rng(65)
    cell = AdaptiveMemristor()
    cells = Array(cell, cell.filament(rng.random((6, 5))))
    v = rng.uniform(-0.2, 0.2, (1, 6))
    return cells, v, Wires(2.0, 3.0, 50.0, 10.0), np.array([[-2.0], [0.0], [0.5], [1.3], [2.5], [4.0]])


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    runpy.run_path(str(here.parent / "ngspice_store.py"))["store_cells"](here, *draw())
