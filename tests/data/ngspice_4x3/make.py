"""A small array with the same wire everywhere. Run from the checkout: python tests/data/ngspice_4x3/make.py (ours)."""

import runpy
from pathlib import Path

import numpy as np

from crossbar import Wires


def draw():
    """Conductances (4, 3) from 1 to 100 uS, inputs (1, 4) up to 0.2 V, wires."""
    rng = np.random.default_rng(43)
    g = 1e-6 * rng.uniform(1.0, 10.0, (4, 3)) ** 2
    return g, rng.uniform(0.0, 0.2, (1, 4)), Wires(r_row=2.5, r_column=1.5, r_driver=50.0, r_sense=10.0)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    runpy.run_path(str(here.parent / "ngspice_store.py"))["store"](here, *draw())
