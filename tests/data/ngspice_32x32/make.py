"""The largest stored array: strong cells and 2.8 ohm wires, so that a fifth of the current is lost.

Run from the checkout: python tests/data/ngspice_32x32/make.py (ours).
"""

import runpy
from pathlib import Path

import numpy as np

from crossbar import Wires


def draw():
    """Conductances (32, 32) from 10 nS to 400 uS, inputs (1, 32) up to 0.3 V, wires."""
    rng = np.random.default_rng(3232)
    g = 1e-8 * rng.uniform(1.0, 200.0, (32, 32)) ** 2
    v = rng.uniform(0.0, 0.3, (1, 32))
    return g, v, Wires(r_row=2.8, r_column=2.8, r_driver=20.0, r_sense=5.0)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    runpy.run_path(str(here.parent / "ngspice_store.py"))["store"](here, *draw())
