"""Store what ngspice says of an array, as text: used by the make.py of every ngspice_* folder here."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from crossbar import Array, Wires, run_ngspice, to_spice


def store(folder: Path, g: np.ndarray, v: np.ndarray, wires: Wires) -> None:
    """Write conductances.csv (m, n) [S], inputs.csv (1, m) [V], wires.json [Ω], netlist.cir, currents.csv (1, n) [A].

    Numbers have 17 digits and come back as the same float64; an open end is the text "inf".
    """
    to_spice(g, v, wires, folder / "netlist.cir")
    _write(folder, wires, conductances=g, inputs=v, currents=run_ngspice(folder / "netlist.cir"))


def store_cells(folder: Path, cells: Array, v: np.ndarray, wires: Wires, v_gate: np.ndarray) -> None:
    """Write the same of an array of nonlinear cells; filaments.csv [S], offsets.csv and gates.csv [V] take the place of
    the conductances.  The cell's parameters stand in make.py.
    """
    to_spice(cells, v, wires, folder / "netlist.cir", v_gate=v_gate)
    offsets, gates = (np.broadcast_to(volts, cells.shape) for volts in (cells.gate_offset, v_gate))
    currents = run_ngspice(folder / "netlist.cir")
    _write(folder, wires, filaments=cells.g_filament, offsets=offsets, gates=gates, inputs=v, currents=currents)


def _write(folder: Path, wires: Wires, **tables: np.ndarray) -> None:
    def plain(value):
        if isinstance(value, np.ndarray):
            return [plain(each) for each in value.tolist()]
        return value if np.isfinite(value) else "inf"

    values = {each.name: plain(getattr(wires, each.name)) for each in fields(wires)}
    (folder / "wires.json").write_text(json.dumps(values, indent=1) + "\n", encoding="ascii")
    for name, table in tables.items():
        np.savetxt(folder / f"{name}.csv", table, fmt="%.17g", delimiter=",")
