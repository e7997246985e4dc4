"""Netlists of arrays for ngspice, and the column currents that ngspice computes.

This file uses no other solver of the package, so ngspice is an independent judge of the same circuit.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from crossbar.arrays.array import Array
from crossbar.arrays.wires import Wires
from devices.aliases import FloatArray
from devices.checks import conductances, flags, number, spread, typed, voltages
from devices.errors import ParameterError, SimulationError
from devices.laws.adaptive import AdaptiveLaw, OhmicLaw

CURRENTS_FILE = "crossgate-currents.txt"  # file that our netlists write into ngspice's working folder
TIE = 1e9  # [Ω] connects a floating island to 0 V; no current flows in it, so the value does not matter
DIGITS = 17  # decimal digits that identify a float64

# gmin must not add conductances to the circuit, and pivtol must not treat small pivots as zero.  For a linear circuit
# the tolerances only decide when ngspice stops repeating the same solve.  For a nonlinear one they end Newton's
# iteration; its last step is far more exact than the tolerances, which must stay above rounding.
# klu: ngspice 44 and 45 then use KLU instead of Sparse 1.3, which is many times faster at 128 x 128; version 39
# ignores the word.
OPTIONS = ".options klu gmin=1e-30 reltol=1e-12 abstol=1e-24 vntol=1e-18 pivtol=1e-40 pivrel=1e-3"
NONLINEAR_OPTIONS = ".options klu gmin=1e-30 reltol=1e-9 abstol=1e-16 vntol=1e-12 pivtol=1e-40 pivrel=1e-3 itl1=1000"


class _Part(NamedTuple):
    """One element of a netlist between two nodes."""

    name: str
    a: str
    b: str
    value: str  # ohms, or the current of a behavioural source


@typed
def to_spice(
    circuit: FloatArray | Array, v: FloatArray, wires: Wires, path: str | Path, *,
    v_gate: npt.ArrayLike | None = None, v_sense: npt.ArrayLike = 0.0,
) -> None:  # fmt: skip
    """Write the netlist of an array to `path`; `ngspice -b` then writes the column currents to a text file.

    circuit: conductances (m, n) [S] of linear cells, or an Array.  v: (m,) or (1, m) [V].  v_gate: gate voltages of an
    Array [V], one value or two axes that broadcast to (m, n).  v_sense: voltages at which the columns end [V], one
    value or two axes that broadcast to (1, n).
    Elements are named as in docs/nomenclature.md, with indices from 0: Rcell_i_j, or Bcell_i_j, Rseries_i_j and
    Rleak_i_j of a nonlinear cell, Rrow_i_j (right of cell i, j), Rcol_i_j (below it), Rdrv_i, Rdrvfar_i, Rsense_j,
    Rsensefar_j, the sources Vdrv_i and the ammeters Vsense_j.  Nodes connected by 0 Ω have one name; open elements are
    left out.  The gate of a cell enters as its read gain.
    Raises ParameterError for a bad shape or value, or cells whose law has no netlist.
    """
    if isinstance(circuit, Array):
        m, n = circuit.shape
        cells = _law_cells(circuit, circuit.gain(v_gate)[0])
    else:
        g = conductances("g", circuit)
        m, n = g.shape
        if v_gate is not None:
            raise ParameterError("v_gate must not be given for plain conductances: they have no gate")
        cells = _linear_cells(g)
    v = voltages("v", v)
    if v.shape not in ((m,), (1, m)):
        raise ParameterError(f"v must be one input, of shape ({m},) or (1, {m}), got {v.shape}")
    senses = spread("v_sense", v_sense, (1, n), "(1, n)")
    names = _Names(m, n, wires)
    parts = [*_row_wires(m, n, wires, names), *_column_wires(m, n, wires, names), *cells(names)]
    _write(path, m, n, v.ravel(), senses.ravel(), parts)


@typed
def source_lines_to_spice(
    g: FloatArray, on: npt.ArrayLike, v_source: npt.ArrayLike, wires: Wires, path: str | Path, *,
    beside_columns: bool = False, r_on: float = 0.0, r_off: float = np.inf, v_sense: npt.ArrayLike = 0.0,
) -> None:  # fmt: skip
    """Write the netlist of an array with source lines to `path`, for one input; arguments as in solve_source_lines.

    Elements are named as in to_spice.  With source lines beside the columns, Rrow_i_j is the segment of the source line
    below cell i, j, and Rdrv_j, Rdrvfar_j, Vdrv_j are numbered by columns.  Rcell_i_j includes the transistor.
    Raises ParameterError for a bad shape or value.
    """
    g = conductances("g", g)
    m, n = g.shape
    closed = flags("on", on, (1, m))[0]
    r_on = number("r_on", r_on, unit="Ω", minimum=0.0)
    r_off = number("r_off", r_off, unit="Ω", minimum=r_on, allow_inf=True)
    sources = spread("v_source", v_source, (1, n if beside_columns else m), "(1, source lines)")
    senses = spread("v_sense", v_sense, (1, n), "(1, n)")
    names = _BesideNames(m, n, wires) if beside_columns else _Names(m, n, wires)
    drive = _beside_wires if beside_columns else _row_wires
    parts = [*drive(m, n, wires, names), *_column_wires(m, n, wires, names)]
    for (i, j), siemens in np.ndenumerate(g):
        if siemens > 0.0:
            with np.errstate(over="ignore"):  # a cell of next to no conductance is open
                ohms = 1.0 / siemens + (r_on if closed[i] else r_off)
            parts.append(_Part(f"Rcell_{i}_{j}", names.row(i, j), names.column(i, j), _ohms(ohms)))
    _write(path, m, n, sources[0], senses[0], parts)


def _write(path: str | Path, m: int, n: int, v: FloatArray, v_sense: FloatArray, parts: list[_Part]) -> None:
    """Write sources, ammeters and all elements that are neither shorted nor open."""
    parts = [part for part in parts if part.a != part.b and part.value != "inf"]
    nonlinear = any(part.name.startswith("B") for part in parts)
    lines = [f"* {m} x {n} crossbar, written by crossgate", NONLINEAR_OPTIONS if nonlinear else OPTIONS]
    lines += [f"Vdrv_{i} s_{i} 0 DC {volt!r}" for i, volt in enumerate(v.tolist())]
    lines += [
        f"Vsense_{j} t_{j} 0 DC {volt!r}" if volt else f"Vsense_{j} t_{j} 0 DC 0"
        for j, volt in enumerate(v_sense.tolist())
    ]
    lines += [" ".join(part) for part in parts]
    lines += [f"Rtie_{k} {name} 0 {TIE!r}" for k, name in enumerate(_floating(len(v), n, parts))]
    ammeters = " ".join(f"i(vsense_{j})" for j in range(n))
    lines += [".op", ".control", f"set numdgt={DIGITS}", "run", f"wrdata {CURRENTS_FILE} {ammeters}", "quit"]
    lines += [".endc", ".end"]
    _path(path).write_text("\n".join(lines) + "\n", encoding="ascii")


def _path(path: object) -> Path:
    """A path of a file."""
    if not isinstance(path, (str, Path)) or not str(path):
        raise ParameterError(f"path must be the path of a file, got {path!r}")
    return Path(path)


def run_ngspice(path: str | Path, timeout: float = 600.0) -> FloatArray:
    """Run a netlist of `to_spice` in ngspice and return the column currents (1, n) [A].

    timeout: [s].  No file is left behind.  Raises SimulationError if ngspice is missing, fails, or takes too long.
    """
    program = shutil.which("ngspice")
    if program is None:
        raise SimulationError("ngspice is not on the PATH; install it, for instance with: apt-get install ngspice")
    netlist = Path(path).resolve()
    if not netlist.is_file():
        raise SimulationError(f"there is no netlist {netlist}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            command = [program, "-n", "-b", str(netlist)]  # -n: ignore start-up files, which could change options
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout)  # noqa: S603
        except subprocess.TimeoutExpired as error:
            raise SimulationError(f"ngspice took more than {timeout:g} s on {netlist.name}") from error
        written = Path(folder) / CURRENTS_FILE
        if run.returncode != 0 or not written.is_file():
            last = "\n".join((run.stdout + run.stderr).strip().splitlines()[-8:])
            raise SimulationError(f"ngspice failed on {netlist.name} (exit status {run.returncode}):\n{last}")
        return read_spice(written)


def read_spice(path: str | Path) -> FloatArray:
    """Read the column currents (1, n) [A] from the file that ngspice wrote.

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


class _Names:
    """Names of the nodes of an array; nodes connected by 0 Ω share one name."""

    def __init__(self, m: int, n: int, wires: Wires) -> None:
        self.one_row, self.one_column = wires.rows_joined, wires.columns_joined
        self.driver, self.driver_far = self.drivers(m, n, wires)
        self.sense, self.sense_far = wires.sense(n), wires.sense_far(n)
        self.last_row, self.last_column = m - 1, n - 1

    def drivers(self, m: int, n: int, wires: Wires) -> tuple[FloatArray, FloatArray]:
        """Resistances of the near and far ends of the driven lines."""
        return wires.driver(m), wires.driver_far(m)

    def row(self, i: int, j: int) -> str:
        """Name of row node (i, j); it is the name of the source or of the whole row if 0 Ω connects them."""
        touched = {0, self.last_column} if self.one_row else {j}
        if (self.driver[i] == 0.0 and 0 in touched) or (self.driver_far[i] == 0.0 and self.last_column in touched):
            return f"s_{i}"
        return f"r_{i}" if self.one_row else f"r_{i}_{j}"

    def column(self, i: int, j: int) -> str:
        """Name of column node (i, j); it is the name of the ammeter or of the whole column if 0 Ω connects them."""
        touched = {0, self.last_row} if self.one_column else {i}
        if (self.sense[j] == 0.0 and self.last_row in touched) or (self.sense_far[j] == 0.0 and 0 in touched):
            return f"t_{j}"
        return f"c_{j}" if self.one_column else f"c_{i}_{j}"


class _BesideNames(_Names):
    """The same for source lines beside the columns: source line j has the nodes (i, j)."""

    def drivers(self, m: int, n: int, wires: Wires) -> tuple[FloatArray, FloatArray]:
        """Resistances of the ends of the source lines at row 0 and at the last row."""
        return wires.driver(n, "source lines"), wires.driver_far(n, "source lines")

    def row(self, i: int, j: int) -> str:
        """Name of the node at which cell (i, j) is connected to its source line."""
        touched = {0, self.last_row} if self.one_row else {i}
        if (self.driver[j] == 0.0 and 0 in touched) or (self.driver_far[j] == 0.0 and self.last_row in touched):
            return f"s_{j}"
        return f"r_{j}" if self.one_row else f"r_{i}_{j}"


def _beside_wires(m: int, n: int, wires: Wires, names: _Names) -> Iterator[_Part]:
    """All wires and ends of source lines beside the columns."""
    ohms = wires.row_segments(n, m, "source lines")
    for j in range(n):
        yield _Part(f"Rdrv_{j}", f"s_{j}", names.row(0, j), _ohms(names.driver[j]))
        yield _Part(f"Rdrvfar_{j}", f"s_{j}", names.row(m - 1, j), _ohms(names.driver_far[j]))
        for i in range(m - 1):
            yield _Part(f"Rrow_{i}_{j}", names.row(i, j), names.row(i + 1, j), _ohms(ohms[j, i]))


def _row_wires(m: int, n: int, wires: Wires, names: _Names) -> Iterator[_Part]:
    """All wires and ends of the rows, including shorted and open ones."""
    ohms = wires.row_segments(m, n)
    for i in range(m):
        yield _Part(f"Rdrv_{i}", f"s_{i}", names.row(i, 0), _ohms(names.driver[i]))
        yield _Part(f"Rdrvfar_{i}", f"s_{i}", names.row(i, n - 1), _ohms(names.driver_far[i]))
        for j in range(n - 1):
            yield _Part(f"Rrow_{i}_{j}", names.row(i, j), names.row(i, j + 1), _ohms(ohms[i, j]))


def _column_wires(m: int, n: int, wires: Wires, names: _Names) -> Iterator[_Part]:
    """All wires and ends of the columns, including shorted and open ones."""
    ohms = wires.column_segments(m, n)
    for j in range(n):
        yield _Part(f"Rsense_{j}", names.column(m - 1, j), f"t_{j}", _ohms(names.sense[j]))
        yield _Part(f"Rsensefar_{j}", names.column(0, j), f"t_{j}", _ohms(names.sense_far[j]))
        for i in range(m - 1):
            yield _Part(f"Rcol_{i}_{j}", names.column(i, j), names.column(i + 1, j), _ohms(ohms[i, j]))


def _ohms(value: float) -> str:
    """A resistance as text with all digits."""
    return repr(float(value))


def _inverse(siemens: float) -> str:
    """The resistance of a conductance as text; "inf" for 0 S."""
    with np.errstate(over="ignore"):
        return _ohms(1.0 / siemens) if siemens > 0.0 else "inf"


def _linear_cells(g: FloatArray) -> Callable[[_Names], Iterator[_Part]]:
    """Elements of linear cells."""

    def parts(names: _Names) -> Iterator[_Part]:
        for (i, j), siemens in np.ndenumerate(g):
            yield _Part(f"Rcell_{i}_{j}", names.row(i, j), names.column(i, j), _inverse(float(siemens)))

    return parts


def _law_cells(cells: Array, gain: FloatArray) -> Callable[[_Names], Iterator[_Part]]:
    """Elements of the cells of an Array; gain (m, n).  Raises ParameterError if the law has no netlist."""
    law = cells.cell.law
    small = gain * cells.g_filament  # small-signal conductance of the barriers [S]
    if isinstance(law, OhmicLaw):
        return _linear_cells(small + law.g_leak)
    if not isinstance(law, AdaptiveLaw):
        raise ParameterError(f"cells must follow OhmicLaw or AdaptiveLaw to have a netlist, got {type(law).__name__}")

    def parts(names: _Names) -> Iterator[_Part]:
        for (i, j), siemens in np.ndenumerate(small):
            row, column = names.row(i, j), names.column(i, j)
            inner = f"x_{i}_{j}" if law.r_series > 0.0 else column
            if siemens > 0.0:
                if law.v_0 == np.inf:
                    yield _Part(f"Rcell_{i}_{j}", row, inner, _inverse(float(siemens)))
                else:  # docs/equations/cells.md eq. 7-8, the series resistance as a node of its own
                    current = f"I={float(siemens) * law.v_0!r}*sinh(V({row},{inner})/{law.v_0!r})"
                    yield _Part(f"Bcell_{i}_{j}", row, inner, current)
                yield _Part(f"Rseries_{i}_{j}", inner, column, _ohms(law.r_series))
            yield _Part(f"Rleak_{i}_{j}", row, column, _inverse(law.g_leak))

    return parts


def _floating(m: int, n: int, parts: list[_Part]) -> Iterator[str]:
    """One node of each island without a path to a source or to 0 V; ngspice finds no solution for such islands."""
    held = [f"s_{i}" for i in range(m)] + [f"t_{j}" for j in range(n)]
    names = list(dict.fromkeys(held + [node for part in parts for node in (part.a, part.b)]))
    number = {name: k for k, name in enumerate(names)}
    ends = np.array([(number[part.a], number[part.b]) for part in parts], dtype=np.int64).reshape(-1, 2)
    joined = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    _, island = connected_components(joined, directed=False)
    anchored = set(island[: len(held)].tolist())
    for name, mine in zip(names, island.tolist(), strict=True):
        if mine not in anchored:
            anchored.add(mine)
            yield name
