"""Row wires without resistance: each row is one node, here behind its driver.

Run from the checkout: python tests/data/ngspice_10x8_zero_row/make.py (ours).
"""

import runpy
from pathlib import Path

import numpy as np

from crossbar import Wires


def draw():
    """Conductances (10, 8) from 1 to 100 uS, inputs (1, 10) up to 0.2 V, wires."""
    rng = np.random.default_rng(108)
    g = 1e-6 * rng.uniform(1.0, 10.0, (10, 8)) ** 2
    return g, rng.uniform(0.0, 0.2, (1, 10)), Wires(r_row=0.0, r_column=4.0, r_driver=100.0, r_sense=0.0)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    runpy.run_path(str(here.parent / "ngspice_store.py"))["store"](here, *draw())
