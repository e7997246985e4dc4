"""Store what ngspice says of an array, as text: used by the make.py of every ngspice_* folder here."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from crossbar import Wires, run_ngspice, to_spice


def store(folder: Path, g: np.ndarray, v: np.ndarray, wires: Wires) -> None:
    """Write conductances.csv (m, n) [S], inputs.csv (1, m) [V], wires.json [Ω], netlist.cir, currents.csv (1, n) [A].

    Numbers have 17 digits and come back as the same float64; an open end is the text "inf".
    """
    def plain(value):
        if isinstance(value, np.ndarray):
            return [plain(each) for each in value.tolist()]
        return value if np.isfinite(value) else "inf"

    values = {each.name: plain(getattr(wires, each.name)) for each in fields(wires)}
    (folder / "wires.json").write_text(json.dumps(values, indent=1) + "\n", encoding="ascii")
    to_spice(g, v, wires, folder / "netlist.cir")
    currents = run_ngspice(folder / "netlist.cir")
    for name, table in (("conductances", g), ("inputs", v), ("currents", currents)):
        np.savetxt(folder / f"{name}.csv", table, fmt="%.17g", delimiter=",")
