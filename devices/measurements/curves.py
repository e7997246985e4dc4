"""Measured current-voltage curves: reading them from a table, and telling sweeps and filament states apart."""

import csv
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from devices.aliases import BoolArray, FloatArray, IntArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.checks import array, number
from devices.errors import ParameterError
from devices.laws import dispatch

MOST_ROWS = 200_000  # a fit of more takes minutes; thin out
COLUMNS: dict[str, tuple[str, ...]] = {
    "v": ("v", "voltage", "cell_voltage", "v_cell", "bias", "v_read", "drain_voltage", "v_d", "vd", "v_ds", "vds"),
    "current": ("i", "current", "cell_current", "i_cell", "drain_current", "i_d", "id", "i_ds", "ids"),
    "v_gate": ("v_gate", "vgate", "gate", "gate_voltage", "gate_v", "v_g", "vg", "v_gs", "vgs"),
    "time": ("time", "t"),
    "sweep": ("sweep", "sweep_number", "curve", "run"),
    "state": ("state", "filament", "family"),
}  #: names of columns, in lower case with _ between words
UNITS = {"v": "V", "current": "A", "v_gate": "V", "time": "s"}
PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "k": 1e3}


@dataclass(frozen=True, eq=False)
class Curves:
    """Measured points of one cell, in the order of their measurement."""

    v: FloatArray  #: (n,) cell voltage [V]
    current: FloatArray  #: (n,) [A]
    v_gate: FloatArray  #: (n,) gate voltage [V], 0 where none was recorded
    sweep: IntArray  #: (n,) which sweep a point belongs to, from 0 on
    state: IntArray  #: (n,) which written filament it was measured on, from 0 on
    time: FloatArray | None = None  #: (n,) [s]
    source: str = "curves"  #: for messages

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("v", "current", "v_gate", "time")}
        for name, values in given.items():
            if values is not None:
                object.__setattr__(self, name, array(name, values, shape=(None,)))
        for name in ("sweep", "state"):
            numbers = np.unique(np.asarray(getattr(self, name)), return_inverse=True)[1].astype(np.int64)
            object.__setattr__(self, name, numbers)
        sizes = {name: getattr(self, name).size for name in ("v", "current", "v_gate", "sweep", "state")}
        if self.time is not None:
            sizes["time"] = self.time.size
        if len(set(sizes.values())) > 1:
            raise ParameterError(f"{self.source}: columns must have one length, got {sizes}")
        if not self.v.size:
            raise ParameterError(f"{self.source}: there is no point")

    @property
    def states(self) -> int:
        """Number of written filaments."""
        return int(self.state.max()) + 1

    @property
    def gates(self) -> FloatArray:
        """The different gate voltages [V], rising."""
        return np.unique(self.v_gate)

    def where(self, keep: BoolArray) -> "Curves":
        """Return the points that `keep`, (n,) of bool, marks; raise ParameterError if there are none."""
        if not keep.any():
            raise ParameterError(f"{self.source}: no point is left of {self.v.size}")
        time = None if self.time is None else self.time[keep]
        held = (self.v[keep], self.current[keep], self.v_gate[keep], self.sweep[keep], self.state[keep])
        return Curves(*held, time, self.source)


def read_curves(path: str | os.PathLike[str]) -> Curves:
    """Read a table of measured points: a header, then one point per line; docs/fitting.md describes the columns.

    Columns are separated by commas, semicolons (with decimal commas, if so) or tabs; lines that start with # and empty
    lines are skipped, and so are columns of unknown name.
    Raises ParameterError, with the line's number, for a file that is no such table.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ParameterError(f"there is no file {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{file} cannot be read as text: {error}") from None
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip() and line.lstrip()[0] != "#"]
    if not lines:
        raise ParameterError(
            f"{file} is empty: expected a header such as voltage,current,v_gate and one point per line"
        )
    if len(lines) - 1 > MOST_ROWS:
        raise ParameterError(f"{file} has {len(lines) - 1} points, more than {MOST_ROWS}: thin them out")
    delimiter = max(";\t,", key=lines[0][1].count)
    header = _cells(lines[0], delimiter, str(file))
    columns = _columns(header, f"{file}, line {lines[0][0]}")
    values: dict[str, list[float]] = {name: [] for name in columns}
    labels: dict[str, list[str]] = {name: [] for name in ("sweep", "state") if name in columns}
    for line in lines[1:]:
        where = f"{file}, line {line[0]}"
        cells = _cells(line, delimiter, str(file))
        if len(cells) != len(header):
            raise ParameterError(f"{where}: expected {len(header)} values as in the header, got {len(cells)}")
        for name, (at, scale) in columns.items():
            if name in labels:
                labels[name].append(_label(cells[at], header[at], where))
            else:
                values[name].append(scale * _number(cells[at], delimiter, header[at], where))
    if len(lines) < 6:
        raise ParameterError(f"{file} has {len(lines) - 1} points: five are the least that a curve needs")
    numbers = {name: np.array(column) for name, column in values.items() if name not in labels}
    v, current = numbers["v"], numbers["current"]
    v_gate = numbers.get("v_gate", np.zeros_like(v))
    sweep = _numbered(labels["sweep"]) if "sweep" in labels else _runs(v, v_gate, str(file))
    state = _numbered(labels["state"]) if "state" in labels else _states(v, v_gate, sweep)
    return Curves(v, current, v_gate, sweep, state, numbers.get("time"), str(file))


def simulate_curves(
    cell: AdaptiveMemristor,
    filaments: npt.ArrayLike,
    v: npt.ArrayLike,
    v_gate: npt.ArrayLike,
    rng: np.random.Generator,
    noise_relative: float = 0.01,
    noise_floor: float = 1e-11,
) -> Curves:
    """Return what an analyser would record of a cell: every filament [S] at every gate voltage and voltage [V].

    The current carries normal noise of standard deviation noise_relative times its size, and noise_floor [A] besides.
    It is what a fit can be tried on before anything is measured.
    Raises ParameterError if a filament is negative, an argument has more than one axis, or a noise is negative.
    """
    (g, gates, volts) = (
        np.atleast_1d(array(name, values, minimum=least))
        for name, values, least in (("filaments", filaments, 0.0), ("v_gate", v_gate, None), ("v", v, None))
    )
    for name, each in (("filaments", g), ("v_gate", gates), ("v", volts)):
        if each.ndim > 1 or not each.size:
            raise ParameterError(f"{name} must be a number or a list of them, got shape {each.shape}")
    relative = number("noise_relative", noise_relative, minimum=0.0)
    floor = number("noise_floor", noise_floor, unit="A", minimum=0.0)
    shape = (g.size, gates.size, volts.size)
    state, step, _ = (axis.reshape(-1) for axis in np.indices(shape))
    at = np.tile(volts, g.size * gates.size)
    exact = dispatch.currents(cell.law, g[state], cell.gate_gain(gates[step]), at)[0]
    noise = relative * exact * rng.standard_normal(exact.size) + floor * rng.standard_normal(exact.size)
    return Curves(at, exact + noise, gates[step], state * gates.size + step, state)


def _cells(line: tuple[int, str], delimiter: str, file: str) -> list[str]:
    """Return the fields of one line."""
    try:
        reader = csv.reader([line[1]], delimiter=delimiter, strict=True, skipinitialspace=True)
        return [cell.strip() for cell in next(reader)]
    except csv.Error as error:
        raise ParameterError(f"{file}, line {line[0]}: {error}") from None


def _columns(header: Sequence[str], where: str) -> dict[str, tuple[int, float]]:
    """Return where each known column stands and what its unit is in SI."""
    found: dict[str, tuple[int, float]] = {}
    for at, title in enumerate(header):
        known = _known(title, where)
        if known is None:
            continue
        name, scale = known
        if name in found:
            raise ParameterError(f"{where}: columns {header[found[name][0]]!r} and {title!r} both hold the {name}")
        found[name] = (at, scale)
    for name, example in (("v", "voltage"), ("current", "current")):
        if name not in found:
            raise ParameterError(
                f"{where}: there is no column {example!r}; the header has {', '.join(map(repr, header))}"
            )
    return found


def _known(title: str, where: str) -> tuple[str, float] | None:
    """Return the name and the unit of a column in SI, None for an unknown name."""
    match = re.fullmatch(r"(.*?)[\s_]*[\[(/]\s*([^\s\])]*)\s*[\])]?", title.strip())
    name, unit = match.groups() if match else (title.strip(), None)
    plain = re.sub(r"[\s_\-]+", "_", name.lower())
    found = next((key for key, names in COLUMNS.items() if plain in names), None)
    if found is None and unit is None:  # current_uA
        match = re.fullmatch(r"(.+?)[\s_]+([munpfkµμ]?[VAs])", title.strip())
        if match:
            plain, unit = re.sub(r"[\s_\-]+", "_", match[1].lower()), match[2]
            found = next((key for key, names in COLUMNS.items() if plain in names), None)
    if found is None:
        return None
    if not unit or found not in UNITS:
        return found, 1.0
    prefix, symbol = unit[:-1], unit[-1]
    if symbol != UNITS[found] or prefix not in PREFIXES:
        raise ParameterError(f"{where}: the unit of {title!r} must be {UNITS[found]} with a prefix such as m or u")
    return found, PREFIXES[prefix]


def _number(text: str, delimiter: str, title: str, where: str) -> float:
    """Return one finite number."""
    try:
        value = float(text.replace(",", ".") if delimiter == ";" else text)
    except ValueError:
        raise ParameterError(f"{where}: {title} must be a number, got {text!r}") from None
    if not math.isfinite(value):
        raise ParameterError(f"{where}: {title} must be finite, got {text!r}")
    return value


def _label(text: str, title: str, where: str) -> str:
    """Return one label; 1 and 1.0 are the same."""
    if not text:
        raise ParameterError(f"{where}: {title} must not be empty")
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def _numbered(labels: Sequence[str]) -> IntArray:
    """Number labels in the order of their first appearance."""
    order = {label: at for at, label in enumerate(dict.fromkeys(labels))}
    return np.array([order[label] for label in labels])


def _runs(v: FloatArray, v_gate: FloatArray, source: str) -> IntArray:
    """Number the sweeps of a table without a column for them.

    Of the two voltages one is swept and one is stepped: a sweep ends where the stepped one changes or the swept one
    jumps over more than half of its range.
    """
    changes = [np.diff(each) != 0.0 for each in (v, v_gate)]
    swept, stepped = (v, v_gate) if changes[0].sum() >= changes[1].sum() else (v_gate, v)
    ends = np.diff(stepped) != 0.0
    jumps = np.abs(np.diff(swept))
    ends |= jumps > 0.5 * np.ptp(swept)
    sweep = np.concatenate(([0], np.cumsum(ends)))
    if np.mean(np.bincount(sweep)) < 3.0:
        raise ParameterError(
            f"{source}: the {v.size} points make {sweep[-1] + 1} sweeps, as both voltages change from line to line; "
            "add a column 'state' that says which points were measured on one filament"
        )
    return sweep


def _states(v: FloatArray, v_gate: FloatArray, sweep: IntArray) -> IntArray:
    """Number the filaments of sweeps without a column for them.

    A sweep over both voltages is a filament of its own.  Else each sweep has one stepped voltage, and the k-th sweep at
    the same one was measured on the k-th filament: in whatever order filaments and steps were measured.
    """
    rows_of = [np.flatnonzero(sweep == which) for which in range(int(sweep.max()) + 1)]
    steps = []
    for column in (v_gate, v):
        if all(np.ptp(column[rows]) == 0.0 for rows in rows_of):
            steps = [float(column[rows[0]]) for rows in rows_of]
            break
    else:
        return sweep
    seen: dict[float, int] = {}
    state_of = np.empty(len(rows_of), dtype=np.int64)
    for which, step in enumerate(steps):
        state_of[which] = seen.get(step, 0)
        seen[step] = state_of[which] + 1
    return state_of[sweep]
