"""Both ends of the lines in use, some lines floating, a third of the cells open, and one row without any cell.

Run from the checkout: python tests/data/ngspice_12x9_far_ends_open_cells/make.py (ours).
"""

import runpy
from pathlib import Path

import numpy as np

from crossbar import Wires


def draw():
    """Conductances (12, 9) up to 100 uS or 0, inputs (1, 12) of both signs, wires."""
    rng = np.random.default_rng(129)
    g = 1e-6 * rng.uniform(1.0, 10.0, (12, 9)) ** 2
    g[rng.random((12, 9)) < 1.0 / 3.0] = 0.0
    g[4] = 0.0
    v = rng.uniform(-0.5, 0.5, (1, 12))
    r_driver = rng.uniform(10.0, 100.0, 12)
    r_driver_far = rng.uniform(10.0, 100.0, 12)
    r_driver[[2, 4, 7]] = np.inf
    r_driver_far[[1, 4, 7]] = np.inf  # rows 4 and 7 float, and nothing is tied to row 4
    r_sense = rng.uniform(1.0, 20.0, 9)
    r_sense_far = rng.uniform(1.0, 20.0, 9)
    r_sense[[0, 6]] = np.inf
    r_sense_far[[3, 6]] = np.inf  # column 6 floats
    r_sense_far[5] = 0.0
    wires = Wires(1.0, 3.0, r_driver, r_sense, r_driver_far=r_driver_far, r_sense_far=r_sense_far)
    return g, v, wires


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    runpy.run_path(str(here.parent / "ngspice_store.py"))["store"](here, *draw())
