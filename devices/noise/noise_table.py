"""Read noise as it was measured: mean and standard deviation of the reads of cells, by their conductance."""

import csv
import math
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError

LARGEST = 1.0  # [S] largest conductance, ours: the bound of chip descriptions
LARGEST_FILE = 2**20  # bytes of a table, ours
UNITS = {"S": 1.0, "mS": 1e3, "uS": 1e6, "µS": 1e6, "nS": 1e9}  #: units in headings: how many of them are 1 S
HEADING = re.compile(r"(conductance|mean|sigma)(?:_| ?[(\[])(S|mS|uS|µS|nS)[)\]]?")  # sigma_nS, sigma (nS), sigma [nS]


@dataclass(frozen=True)
class NoiseTable:
    """Measured reads of cells at several levels, interpolated linearly and constant beyond the first and last level.

    A cell is at a level by its conductance between the terminals. Its reads scatter by `sigma` about `mean`.
    Raises ParameterError unless conductances and means rise, and no value is negative or above 1 S.
    """

    conductance: tuple[float, ...]  #: nominal conductance of each level [S]
    sigma: tuple[float, ...]  #: standard deviation of single reads, as a conductance [S]
    mean: tuple[float, ...] = ()  #: mean of the reads [S]; empty: the nominal conductances
    source: str = field(default="", compare=False)  #: name of the file

    def __post_init__(self) -> None:
        for name in ("conductance", "sigma", "mean"):
            values = checks.array(name, getattr(self, name), ndim=1, minimum=0.0, largest=LARGEST)
            object.__setattr__(self, name, tuple(values.tolist()))
        if not self.conductance:
            raise ParameterError("conductance must hold at least one level, got none")
        if not self.mean:
            object.__setattr__(self, "mean", self.conductance)
        for name in ("sigma", "mean"):
            if len(getattr(self, name)) != len(self.conductance):
                raise ParameterError(
                    f"{name} must have one value for each of {len(self.conductance)} levels, "
                    f"got {len(getattr(self, name))}"
                )
        for name in ("conductance", "mean"):
            if np.any(np.diff(getattr(self, name)) <= 0.0):
                raise ParameterError(f"{name} must rise from level to level, got {getattr(self, name)}")

    @property
    def shifted(self) -> bool:
        """Whether any mean differs from the nominal conductance."""
        return self.mean != self.conductance

    def means(self, g: npt.ArrayLike) -> FloatArray:
        """Return the mean conductances [S] that cells of nominal conductance g [S] show in reads."""
        nominal = checks.array("g", g, minimum=0.0)
        error = np.array(self.mean) - np.array(self.conductance)
        shown: FloatArray = np.maximum(nominal + np.interp(nominal, self.conductance, error), 0.0)
        return shown

    def sigmas(self, g: npt.ArrayLike) -> FloatArray:
        """Return the standard deviation [S] of single reads of cells that show the mean conductance g [S]."""
        deviation: FloatArray = np.interp(checks.array("g", g, minimum=0.0), self.mean, self.sigma)
        return deviation

    def __str__(self) -> str:
        levels = len(self.conductance)
        return f"{self.source or 'table'} ({levels} level{'s' if levels > 1 else ''})"


def read_noise_table(path: str | os.PathLike[str]) -> NoiseTable:
    """Read a table of measured read noise from a .csv or .toml file.

    Its columns, or keys with lists, are conductance, sigma and optionally mean, each with its unit behind it:
    `conductance_uS,mean_uS,sigma_nS`. Other columns are ignored.
    Raises ParameterError if the file cannot be read, a column lacks, or a value is wrong.
    """
    file = Path(path)
    try:
        text = _text(file)
        found: dict[str, Any] = tomllib.loads(text) if file.suffix == ".toml" else _columns(text, file)
    except FileNotFoundError:
        raise ParameterError(f"there is no noise table {file}") from None
    except ParameterError:
        raise
    except (
        OSError,
        ValueError,
        csv.Error,
        RecursionError,
    ) as error:  # ValueError: no UTF-8, no TOML
        raise ParameterError(f"the noise table {file} cannot be read: {error}") from None
    columns: dict[str, FloatArray] = {}
    for heading, values in found.items():
        named = HEADING.fullmatch(heading)
        if named:
            name, unit = named.groups()
            if name in columns:
                raise ParameterError(f"{file} must have one column {name}, got two")
            columns[name] = checks.array(f"{file}: {heading}", values, ndim=1) / UNITS[unit]
    for name in ("conductance", "sigma"):
        if name not in columns:
            shown = ", ".join(found) or "none"
            raise ParameterError(f"{file} must have a column {name}_S (or _mS, _uS, _nS), got {shown}")
    try:
        level, sigma = (tuple(columns[name].tolist()) for name in ("conductance", "sigma"))
        mean = tuple(columns["mean"].tolist()) if "mean" in columns else ()
        return NoiseTable(level, sigma, mean, str(file))
    except ParameterError as error:
        raise ParameterError(f"{file}: {error}") from None


def _text(file: Path) -> str:
    if file.stat().st_size > LARGEST_FILE or not file.is_file():
        raise ParameterError(f"the noise table {file} must be a file of at most {LARGEST_FILE:,} bytes")
    return file.read_text(encoding="utf-8-sig")


def _columns(text: str, file: Path) -> dict[str, list[float]]:
    """Return the columns of CSV text whose headings name a quantity with its unit."""
    rows = [row for row in csv.reader(text.splitlines()) if any(each.strip() for each in row)]
    headings = [each.strip() for each in rows[0]] if rows else []
    found: dict[str, list[float]] = {heading: [] for heading in headings}
    if len(found) != len(headings):
        raise ParameterError(f"{file} must have headings that differ, got {', '.join(headings)}")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(headings):
            raise ParameterError(f"{file} line {number} must have {len(headings)} values, got {len(row)}")
        for heading, value in zip(headings, row, strict=True):
            if HEADING.fullmatch(heading):
                try:
                    found[heading].append(float(value))
                except ValueError:
                    found[heading].append(math.nan)
                if not math.isfinite(found[heading][-1]):
                    raise ParameterError(f"{file} line {number}: {heading} must be a number, got {value!r}")
    return found
