"""Three times the read voltage, so that the sinh counts, with a Dirac point of its own for each cell and one open row.

Run from the checkout: python tests/data/ngspice_nonlinear_16x16_strong/make.py (ours).
"""

import runpy
from pathlib import Path

import numpy as np

from crossbar import Array, Wires
from devices import AdaptiveMemristor


def draw():
    """Array (16, 16), inputs (1, 16) up to 0.6 V, wires, gate voltages (16, 16)."""
    rng = np.random.default_rng(1616)
    cell = AdaptiveMemristor()
    g = cell.filament(rng.random((16, 16)))
    g[4] = 0.0  # no filament: the leak is left
    cells = Array(cell, g, rng.normal(0.0, 0.05, (16, 16)))
    v = rng.uniform(0.0, 0.6, (1, 16))
    return cells, v, Wires(1.0, 1.0, 20.0, 5.0), rng.uniform(0.0, 4.0, (16, 16))


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    runpy.run_path(str(here.parent / "ngspice_store.py"))["store_cells"](here, *draw())
