"""Store what ngspice says of a step on an array with capacitances: used by the make.py of every transient_* folder.

The netlist is written branch by branch from the arguments, without the solvers of the packages.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

# Trapezoidal steps of a fixed length; what they leave is an error of about (step / time constant)² / 12.
OPTIONS = ".options gmin=1e-30 reltol=1e-6 abstol=1e-18 vntol=1e-12 chgtol=1e-30 trtol=1 pivtol=1e-40 pivrel=1e-3"


def netlist(g, v, wires, capacitances, stop, steps):
    """Text of a .tran run: every node starts at 0 V, the sources stand at v from t = 0 on."""
    m, n = g.shape
    lines = [f"* step on a {m} x {n} crossbar, written by crossgate", OPTIONS]
    lines += [f"Vdrv_{i} s_{i} 0 DC {volt!r}" for i, volt in enumerate(v.tolist())]
    lines += [f"Vsense_{j} t_{j} 0 DC 0" for j in range(n)]
    c = capacitances
    for i in range(m):
        lines.append(f"Rdrv_{i} s_{i} r_{i}_0 {float(wires.driver(m)[i])!r}")
        for j in range(n):
            at_row = c.c_row + (c.c_driver if j == 0 else 0.0)
            at_column = c.c_column + (c.c_sense if i == m - 1 else 0.0)
            lines += [
                f"Rcell_{i}_{j} r_{i}_{j} c_{i}_{j} {float(1.0 / g[i, j])!r}",
                f"Crow_{i}_{j} r_{i}_{j} 0 {at_row!r}",
                f"Ccol_{i}_{j} c_{i}_{j} 0 {at_column!r}",
            ]
            if c.c_cell > 0.0:
                lines.append(f"Ccell_{i}_{j} r_{i}_{j} c_{i}_{j} {c.c_cell!r}")
            if j + 1 < n:
                lines.append(f"Rrow_{i}_{j} r_{i}_{j} r_{i}_{j + 1} {wires.r_row!r}")
            if i + 1 < m:
                lines.append(f"Rcol_{i}_{j} c_{i}_{j} c_{i + 1}_{j} {wires.r_column!r}")
    lines += [f"Rsense_{j} c_{m - 1}_{j} t_{j} {float(wires.sense(n)[j])!r}" for j in range(n)]
    ammeters = " ".join(f"i(vsense_{j})" for j in range(n))
    step = stop / steps
    lines += [f".tran {step!r} {stop!r} 0 {step!r} uic", ".control", "set numdgt=15", "run"]
    lines += [f"wrdata step.txt {ammeters}", "quit", ".endc", ".end"]
    return "\n".join(lines) + "\n"


def run(text):
    """Times (t,) [s] and column currents (t, n) [A] from ngspice."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "step.cir").write_text(text, encoding="ascii")
        command = [shutil.which("ngspice"), "-n", "-b", "step.cir"]
        subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=120)
        table = np.loadtxt(Path(folder) / "step.txt")
    return table[:, 0], table[:, 1::2]


def store(folder, g, v, wires, capacitances, stop, steps, keep):
    """Write netlist.cir and step.csv: every `keep`-th time [s] with the column currents [A]."""
    text = netlist(g, v, wires, capacitances, stop, steps)
    (folder / "netlist.cir").write_text(text, encoding="ascii")
    times, currents = run(text)
    later = slice(keep, None, keep)
    np.savetxt(folder / "step.csv", np.column_stack([times[later], currents[later]]), fmt="%.12g", delimiter=",")
