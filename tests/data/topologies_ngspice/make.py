"""Half-selected lines, and cells switched by their row on source lines along the rows and beside the columns.

Run from the checkout: python tests/data/topologies_ngspice/make.py (ours). Each case leaves a netlist and ngspice's
column currents (1, n) [A].
"""

from math import inf
from pathlib import Path

import numpy as np

from crossbar import Wires, run_ngspice, source_lines_to_spice, to_spice


def half_select():
    """Conductances (7, 6), sources (1, 7), wires, columns' ends (1, 6): V/3 at 1.2 V, cell (5, 2) selected."""
    rng = np.random.default_rng(76)
    g = 1e-6 * rng.uniform(1.0, 10.0, (7, 6)) ** 2
    g[2, 3], g[5, 4] = 0.0, 10.0  # an open and a shorted cell
    v, u = np.full((1, 7), 0.4), np.full((1, 6), 0.8)
    v[0, 5], u[0, 2] = 1.2, 0.0
    r_driver = rng.uniform(10.0, 100.0, 7)
    r_driver[1] = inf  # one row floats
    return g, v, Wires(2.0, 3.0, r_driver, 10.0, r_sense_far=[5.0, inf, 0.0, 5.0, 5.0, 5.0]), u


def source_lines(beside_columns):
    """Conductances (6, 5), rows that are on (1, 6), source lines' voltages, wires and the other arguments."""
    rng = np.random.default_rng(65 + beside_columns)
    g = 1e-6 * rng.uniform(1.0, 10.0, (6, 5)) ** 2
    v = rng.uniform(0.1, 0.3, (1, 5 if beside_columns else 6))
    wires = Wires(2.0, 4.0, 20.0, 5.0, r_driver_far=30.0 if beside_columns else inf)
    u = np.array([[0.0, 0.0, 0.1, 0.0, 0.0]])
    rest = {"beside_columns": beside_columns, "r_on": 3e3, "r_off": 1e7, "v_sense": u}
    return g, np.array([[1, 0, 1, 1, 0, 1]]), v, wires, rest


def write(folder):
    """Write the netlists of all cases; returns their names."""
    g, v, wires, u = half_select()
    to_spice(g, v, wires, folder / "half_select.cir", v_sense=u)
    for name, beside_columns in (("along_rows", False), ("beside_columns", True)):
        g, on, v, wires, rest = source_lines(beside_columns)
        source_lines_to_spice(g, on, v, wires, folder / f"{name}.cir", **rest)
    return ["half_select", "along_rows", "beside_columns"]


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    for each in write(here):
        np.savetxt(here / f"{each}.csv", run_ngspice(here / f"{each}.cir"), fmt="%.17g", delimiter=",")
