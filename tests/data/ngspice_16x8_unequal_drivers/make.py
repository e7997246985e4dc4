"""Every driver and every sense end has its own resistance, three of them none.

Run from the checkout: python tests/data/ngspice_16x8_unequal_drivers/make.py (ours).
"""

import runpy
from pathlib import Path

import numpy as np

from crossbar import Wires


def draw():
    """Conductances (16, 8) from 1 to 100 uS, inputs (1, 16) of both signs, wires."""
    rng = np.random.default_rng(168)
    g = 1e-6 * rng.uniform(1.0, 10.0, (16, 8)) ** 2
    v = rng.uniform(-0.2, 0.2, (1, 16))
    r_driver = rng.uniform(1.0, 1000.0, 16)
    r_driver[[3, 10]] = 0.0
    r_sense = rng.uniform(1.0, 100.0, 8)
    r_sense[5] = 0.0
    return g, v, Wires(r_row=1.0, r_column=2.0, r_driver=r_driver, r_sense=r_sense)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    runpy.run_path(str(here.parent / "ngspice_store.py"))["store"](here, *draw())
