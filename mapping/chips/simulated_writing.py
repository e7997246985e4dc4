"""Writing a tile by simulated write–verify through its wires, not by drawn errors; the test for stuck cells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from crossbar.writing.array_writing import ArrayProgrammed, Bias, write_array
from devices.aliases import BoolArray, FloatArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.errors import ParameterError
from devices.writing.spread import DrawnCells, Written
from devices.writing.write_pulses import WriteVerify
from mapping.hardware.description import Hardware
from mapping.placement.matrix import Matrix

V_SET = 0.4  # [V] first SET amplitude at a half-open gate, ours: docs/gallery/plot_write_verify.py
V_GATE = 2.0  # [V] gate voltage of pulses, ours; the top of the gate window where that is lower
V_MOST = 0.8  # [V] largest amplitude, ours: half of it moves a resting cell by 1e-4 in a pulse, half of 1.2 V by 2 %
MOST_PULSES = 30  # of a cell, ours


@dataclass(frozen=True)
class Programming:
    """What the simulated write of tiles took and left; two can be added."""

    arrays: int = 0
    cells: int = 0
    stuck: int = 0  #: cells that take no write; they do not count below
    accepted: int = 0  #: cells whose last read was within the tolerance
    pulses: int = 0
    energy_J: float = 0.0  # noqa: N815  #: of all sources in the pulses, with wires and half-selected cells
    time_s: float = 0.0  #: of pulses and of reads row by row, if arrays are written one after another
    longest_array_s: float = 0.0  #: the same of the array that takes longest, if all are written at once
    disturbed: int = 0  #: cells that pulses for others moved by more than 1 % of their window
    #: sum over cells of the squared error relative to g_max, as an open gate at the terminals shows it
    squares: float = 0.0
    drawn_squares: float = 0.0  #: the same for errors drawn by the variability of the chip, at the same targets

    def __add__(self, other: "Programming") -> "Programming":
        sums = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)}
        return Programming(**{**sums, "longest_array_s": max(self.longest_array_s, other.longest_array_s)})

    @property
    def written(self) -> int:
        """Number of cells that take a write."""
        return self.cells - self.stuck

    @property
    def error(self) -> float:
        """Root mean square error of the cells that take a write, relative to g_max."""
        return math.sqrt(self.squares / self.written) if self.written else 0.0

    @property
    def error_drawn(self) -> float:
        """The same of drawn errors."""
        return math.sqrt(self.drawn_squares / self.written) if self.written else 0.0

    def values(self) -> dict[str, float]:
        """Return the counts and errors by name, for a report."""
        counts = {each.name: getattr(self, each.name) for each in fields(self) if "squares" not in each.name}
        return counts | {"error_rms": self.error, "error_rms_drawn": self.error_drawn}


def found_stuck(stuck: BoolArray, missed: float, rng: np.random.Generator) -> BoolArray:
    """Return the stuck cells that a test finds; it misses each with the probability `missed`."""
    return stuck & (rng.random(stuck.shape) >= missed) if missed else stuck


def scheme_of(hardware: Hardware) -> tuple[WriteVerify, Bias]:
    """Return the write–verify scheme and the bias of a chip's arrays: gates of rows at rest are closed; ours."""
    cell = hardware.cell
    v_gate = min(V_GATE, cell.v_gate_max)
    scheme = WriteVerify(
        v_set=V_SET, v_most=V_MOST, v_gate_set=v_gate, v_gate_reset=v_gate, most_pulses=MOST_PULSES,
        v_read=hardware.dac.v_read,
    )  # fmt: skip
    return scheme, Bias(v_gate_idle=cell.v_gate_min)


def simulated_write(
    cells: DrawnCells, targets: FloatArray, hardware: Hardware, rng: np.random.Generator, *, stacked: bool
) -> tuple[Written, Programming]:
    """Write filament conductances (k, m, n) [S] into the cells of a tile, pulse by pulse through its wires.

    stacked: the k kernels are bands of one array; otherwise each is an array of its own.
    Raises what write_array raises.
    Source: docs/equations/programming.md, section 5.
    """
    k, m, n = targets.shape
    scheme, bias = scheme_of(hardware)
    shape = (1, k * m, n) if stacked else (k, m, n)
    found, total = np.empty(shape), Programming()
    for at in range(shape[0]):
        parts = (cells.g_min, cells.g_max, cells.stuck_on, cells.stuck_off, cells.gate_offset)
        own = DrawnCells(cells.spread, cells.cell, *(np.ascontiguousarray(each.reshape(shape)[at]) for each in parts))
        noise = None if hardware.noise.silent else hardware.noise
        done = write_array(own, targets.reshape(shape)[at], hardware.wires_in_use, scheme, rng, bias=bias, noise=noise)
        found[at] = done.written.g_filament
        total = total + _counted(done, own, hardware, scheme)
    written = Written(found.reshape(k, m, n), cells.gate_offset)
    drawn = cells.write(targets, rng)
    shown = [_squares(each, targets, cells, hardware) for each in (written, drawn)]
    return written, replace(total, squares=shown[0], drawn_squares=shown[1])


def _counted(done: ArrayProgrammed, cells: DrawnCells, hardware: Hardware, scheme: WriteVerify) -> Programming:
    """Count one array; its reads take one row at a time."""
    free = ~cells.stuck
    time = done.time_array + done.rounds * free.shape[0] * scheme.t_read
    return Programming(
        arrays=1,
        cells=free.size,
        stuck=int(cells.stuck.sum()),
        accepted=int((done.accepted & free).sum()),
        pulses=int(done.pulses.sum()),
        energy_J=done.energy_array,
        time_s=time,
        longest_array_s=time,
        disturbed=int(((np.abs(done.disturbed) > 0.01) & free).sum()),
    )


def _squares(written: Written, targets: FloatArray, cells: DrawnCells, hardware: Hardware) -> float:
    """Return the sum of squared errors relative to g_max, of the conductance that an open gate shows."""
    cell = hardware.cell
    gain = np.ones(1)
    if cell.gated:
        gain = cell.gain_with_offset(cell.v_gate_max, written.gate_offset) / cell.gain_high
    error = (written.g_filament * gain - targets) / cell.g_max
    return float((error[~cells.stuck] ** 2).sum())


def check_simulated(hardware: Hardware, matrices: Sequence[Matrix]) -> None:
    """Raise ParameterError unless the cells of a chip can be written by simulated pulses."""
    rewritten = [matrix.name for matrix in matrices if matrix.rewritten]
    if rewritten:
        raise ParameterError(
            f"tile.write = 'simulated' writes each cell once, but {rewritten[0]} is rewritten for every image: choose "
            "tile.write = 'drawn', or another layout than 'reprogram'"
        )
    if not isinstance(hardware.cell, AdaptiveMemristor):
        raise ParameterError(
            f"tile.write = 'simulated' needs cells whose state moves, of the presets adaptive_2d or two_terminal, got "
            f"{type(hardware.cell).__name__}"
        )
    if not hardware.spread.verified:
        raise ParameterError("tile.write = 'simulated' writes and verifies: spread.verified must be true, got false")
