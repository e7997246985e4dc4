"""Arrays as netlists that ngspice runs in batch mode, and ngspice's currents back.

Needs no other solver of this package: it is how an outside judge sees the same circuit.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from crossbar.wires import Wires
from devices.aliases import FloatArray
from devices.checks import array
from devices.errors import ParameterError, SimulationError

__all__ = ["read_spice", "run_ngspice", "to_spice"]

CURRENTS_FILE = "crossgate-currents.txt"  # what a netlist of ours leaves in ngspice's working folder
TIE = 1e9  # [Ω] holds a floating island at 0 V; no current can flow in it, so any value does
DIGITS = 17  # decimal digits that name a float64

# A linear operating point is one direct solve: what matters is that nothing is added to the circuit (gmin) and that
# no pivot is taken for zero (pivtol). The tolerances only say when ngspice stops repeating the same solve.
OPTIONS = ".options gmin=1e-30 reltol=1e-12 abstol=1e-24 vntol=1e-18 pivtol=1e-40 pivrel=1e-3"


def to_spice(g: FloatArray, v: FloatArray, wires: Wires, path: str | Path) -> None:
    """Write the netlist of an array of linear cells to `path`; `ngspice -b` then leaves the currents in a text file.

    g: (m, n) [S]; v: (m,) or (1, m) [V]. Elements are called as in docs/nomenclature.md, indices count from 0:
    Rcell_i_j, Rrow_i_j (right of cell i, j), Rcol_i_j (below it), Rdrv_i, Rdrvfar_i, Rsense_j, Rsensefar_j, the sources
    Vdrv_i and the ammeters Vsense_j. Nodes joined by 0 Ω share one name; open parts are left out.
    Raises ParameterError for a bad shape or value.
    """
    g = array("g", g, ndim=2, minimum=0.0)
    m, n = g.shape
    if g.size == 0:
        raise ParameterError(f"g must hold at least one cell, got shape {g.shape}")
    v = array("v", v)
    if v.shape not in ((m,), (1, m)):
        raise ParameterError(f"v must be one input, of shape ({m},) or (1, {m}), got {v.shape}")

    resistors = [part for part in _resistors(g, wires) if part[1] != part[2] and part[3] != np.inf]
    lines = [f"* {m} x {n} crossbar, written by crossgate", OPTIONS]
    lines += [f"Vdrv_{i} s_{i} 0 DC {volt!r}" for i, volt in enumerate(v.ravel().tolist())]
    lines += [f"Vsense_{j} t_{j} 0 DC 0" for j in range(n)]
    lines += [f"{name} {a} {b} {ohm!r}" for name, a, b, ohm in resistors]
    lines += [f"Rtie_{k} {name} 0 {TIE!r}" for k, name in enumerate(_floating(m, n, resistors))]
    ammeters = " ".join(f"i(vsense_{j})" for j in range(n))
    lines += [".op", ".control", f"set numdgt={DIGITS}", "run", f"wrdata {CURRENTS_FILE} {ammeters}", "quit"]
    lines += [".endc", ".end"]
    Path(path).write_text("\n".join(lines) + "\n", encoding="ascii")


def run_ngspice(path: str | Path, timeout: float = 600.0) -> FloatArray:
    """Run a netlist of `to_spice` in ngspice and return the column currents (1, n) [A].

    timeout: [s]. Leaves no file behind. Raises SimulationError if ngspice is missing, fails, or takes too long.
    """
    program = shutil.which("ngspice")
    if program is None:
        raise SimulationError("ngspice is not on the PATH; install it, for instance with: apt-get install ngspice")
    netlist = Path(path).resolve()
    if not netlist.is_file():
        raise SimulationError(f"there is no netlist {netlist}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            command = [program, "-n", "-b", str(netlist)]  # -n: no start-up file may change the options
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout)  # noqa: S603
        except subprocess.TimeoutExpired as error:
            raise SimulationError(f"ngspice took more than {timeout:g} s on {netlist.name}") from error
        written = Path(folder) / CURRENTS_FILE
        if run.returncode != 0 or not written.is_file():
            last = "\n".join((run.stdout + run.stderr).strip().splitlines()[-8:])
            raise SimulationError(f"ngspice failed on {netlist.name} (exit status {run.returncode}):\n{last}")
        return read_spice(written)


def read_spice(path: str | Path) -> FloatArray:
    """Read the column currents (1, n) [A] from the file that ngspice left.

    Raises SimulationError if the file is not one line of (scale, current) pairs.
    """
    numbers = Path(path).read_text(encoding="ascii").split()
    try:
        pairs = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    except ValueError as error:
        raise SimulationError(f"{path} does not hold pairs of numbers") from error
    if len(pairs) == 0 or not np.isfinite(pairs).all():
        raise SimulationError(f"{path} does not hold finite currents")
    return np.ascontiguousarray(pairs[:, 1])[None, :]


def _resistors(g: FloatArray, wires: Wires) -> Iterator[tuple[str, str, str, float]]:
    """Every part but the sources as (name, node, node, ohm), also those that join a node to itself or are open."""
    m, n = g.shape
    driver, driver_far = wires.driver(m), wires.driver_far(m)
    sense, sense_far = wires.sense(n), wires.sense_far(n)
    ends_of_row, ends_of_column = {0, n - 1}, {0, m - 1}

    def row(i: int, j: int) -> str:
        """Name of row node (i, j): of its source or of its whole row if 0 Ω makes them one."""
        touched = ends_of_row if wires.r_row == 0.0 else {j}
        if (driver[i] == 0.0 and 0 in touched) or (driver_far[i] == 0.0 and n - 1 in touched):
            return f"s_{i}"
        return f"r_{i}" if wires.r_row == 0.0 else f"r_{i}_{j}"

    def column(i: int, j: int) -> str:
        """Name of column node (i, j): of its ammeter or of its whole column if 0 Ω makes them one."""
        touched = ends_of_column if wires.r_column == 0.0 else {i}
        if (sense[j] == 0.0 and m - 1 in touched) or (sense_far[j] == 0.0 and 0 in touched):
            return f"t_{j}"
        return f"c_{j}" if wires.r_column == 0.0 else f"c_{i}_{j}"

    for i in range(m):
        yield f"Rdrv_{i}", f"s_{i}", row(i, 0), float(driver[i])
        yield f"Rdrvfar_{i}", f"s_{i}", row(i, n - 1), float(driver_far[i])
        for j in range(n - 1):
            yield f"Rrow_{i}_{j}", row(i, j), row(i, j + 1), wires.r_row
    for j in range(n):
        yield f"Rsense_{j}", column(m - 1, j), f"t_{j}", float(sense[j])
        yield f"Rsensefar_{j}", column(0, j), f"t_{j}", float(sense_far[j])
        for i in range(m - 1):
            yield f"Rcol_{i}_{j}", column(i, j), column(i + 1, j), wires.r_column
    for i in range(m):
        for j in range(n):
            yield f"Rcell_{i}_{j}", row(i, j), column(i, j), 1.0 / float(g[i, j]) if g[i, j] > 0.0 else np.inf


def _floating(m: int, n: int, resistors: list[tuple[str, str, str, float]]) -> Iterator[str]:
    """One node of each island that no resistor joins to a source or to 0 V, where ngspice finds no solution."""
    held = [f"s_{i}" for i in range(m)] + [f"t_{j}" for j in range(n)]
    names = list(dict.fromkeys(held + [node for _, a, b, _ in resistors for node in (a, b)]))
    number = {name: k for k, name in enumerate(names)}
    ends = np.array([(number[a], number[b]) for _, a, b, _ in resistors], dtype=np.int64).reshape(-1, 2)
    joined = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    _, island = connected_components(joined, directed=False)
    anchored = set(island[: len(held)].tolist())
    for name, part in zip(names, island.tolist(), strict=True):
        if part not in anchored:
            anchored.add(part)
            yield name
