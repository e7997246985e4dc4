"""A step on a small array with all its capacitances. Run from the checkout: python tests/data/transient_6x5/make.py."""

import runpy
from pathlib import Path

import numpy as np

from crossbar import Capacitances, Wires

STOP, STEPS = 2e-10, 4000  # five to ten time constants


def draw():
    """Conductances (6, 5) from 1 to 100 uS, one input (6,) up to 0.2 V, wires, capacitances."""
    rng = np.random.default_rng(65)
    g = 1e-6 * rng.uniform(1.0, 10.0, (6, 5)) ** 2
    wires = Wires(r_row=40.0, r_column=60.0, r_driver=500.0, r_sense=200.0)
    return g, rng.uniform(0.0, 0.2, 6), wires, Capacitances(1e-15, 2e-15, 3e-16, 5e-15, 2e-14)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    runpy.run_path(str(here.parent / "transient_store.py"))["store"](here, *draw(), STOP, STEPS, 80)
