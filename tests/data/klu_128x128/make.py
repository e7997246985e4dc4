"""A second oracle at 128 × 128: ngspice 45 with KLU, from the npm package eecircuit-engine.

Run from the checkout, with Node 20 or newer: python tests/data/klu_128x128/make.py FOLDER (ours). It installs
eecircuit-engine 1.8.0 (ngspice 45.2) in FOLDER, has it solve the netlist of `to_spice`, and stores currents.csv.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from crossbar import Wires, to_spice

ENGINE = "eecircuit-engine@1.8.0"


def draw():
    """Conductances (128, 128) from 1 to 100 µS, inputs (1, 128) up to 0.1 V, wires: those of benchmarks/solver.py."""
    g = np.exp(np.random.default_rng(128).uniform(np.log(1e-6), np.log(1e-4), (128, 128)))
    return g, np.random.default_rng(1).uniform(0.0, 0.1, (1, 128)), Wires(1.0, 1.0, 1.0, 1.0)


def solve(netlist: Path, folder: Path) -> np.ndarray:
    """Return the column currents (1, n) [A] of a netlist; what solved it and its time go to standard error."""
    if not (folder / "node_modules" / "eecircuit-engine").is_dir():
        subprocess.run(["npm", "install", "--prefix", str(folder), ENGINE], check=True)
    shutil.copy(Path(__file__).with_name("solve.mjs"), folder)
    command = ["node", str(folder / "solve.mjs"), str(netlist)]
    return np.array(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split(), float)[None]


if __name__ == "__main__":
    work = Path(sys.argv[1]).resolve()
    work.mkdir(parents=True, exist_ok=True)
    to_spice(*draw(), work / "netlist.cir")
    np.savetxt(Path(__file__).with_name("currents.csv"), solve(work / "netlist.cir", work), fmt="%.17g", delimiter=",")
