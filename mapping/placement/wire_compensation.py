"""Compensation of IR drop: targets whose currents through the nominal wires are the wanted ones."""

from collections.abc import Sequence

import numpy as np

from crossbar.transfer.reduction import transfer_matrices
from devices.aliases import FloatArray
from devices.errors import MappingError
from mapping.hardware.description import Hardware
from mapping.placement.encoding import filaments

AT_ONCE = 2**23  # cells that are compensated together, ours: their work arrays take some 0.5 GiB
COMPENSATION_STEPS = 3  # ours: an IR drop of 20 % leaves an error below 1 %


def typical_gains(attention: FloatArray | None, hardware: Hardware) -> FloatArray:
    """Return the typical read gain (k,) of each kernel, that of its mean attention weight E[pi²] / E[pi].

    attention: (b, k); the mean is weighted by the kernel's contribution.  None: one kernel at an open gate.
    """
    cell = hardware.cell
    if attention is None:
        return np.array([cell.gain_high])
    typical = (attention**2).sum(0) / np.maximum(attention.sum(0), 1e-12)
    gains: FloatArray = cell.gain_low + typical * (cell.gain_high - cell.gain_low)
    return gains


def compensate(
    conductances: FloatArray, cuts: Sequence[tuple[slice, slice]], gains: FloatArray, hardware: Hardware,
    *, stacked: bool = False,
) -> tuple[FloatArray, float]:  # fmt: skip
    """Return targets (k, r, 2 n) [S] with the currents of ideal wires times one common factor, and the factor.

    conductances: (k, r, 2 n) [S] terminal conductances at the top of the gate window.  gains: (k,) typical read gain of
    each kernel, or (k, n) of each of its outputs.  stacked: the kernels are below one another on common columns.
    The factor is the relative current of the cell with the largest IR drop; all other cells are written weaker. Only
    the larger cell of a pair changes. Each of the COMPENSATION_STEPS fixed-point steps multiplies the error by about
    the fraction of the current that the wires take.
    Raises MappingError if IR drop leaves no current.
    Source: docs/equations/encoding.md eq. 6.
    """
    spread = np.broadcast_to(gains.reshape(len(gains), 1, -1), (len(gains), 1, conductances.shape[2] // 2))
    parts = [
        _Pairs(conductances, some, np.ascontiguousarray(spread), hardware, stacked)
        for some in _together(cuts, len(conductances))
    ]
    kept = min(part.kept for part in parts)
    if kept <= 0.0:
        raise MappingError(_no_current(hardware))
    out = conductances.copy()
    for part in parts:
        part.compensate(out, kept)
    return out, kept


class _Pairs:
    """Some tiles of a matrix of differential pairs while they are compensated; only the wires' part is held."""

    def __init__(
        self, conductances: FloatArray, cuts: Sequence[tuple[slice, slice]], spread: FloatArray, hardware: Hardware,
        stacked: bool,
    ) -> None:  # fmt: skip
        self.cuts, self.hardware, self.stacked = [(rows, _both(columns)) for rows, columns in cuts], hardware, stacked
        self.at = [np.repeat(spread[:, :, columns], 2, axis=2) for _, columns in cuts]
        first = self._seen(self._filaments(conductances))
        self.through = _transfers(first, hardware, stacked)  #: of the targets before the first step
        self.kept = min(float(_over(w, g).min()) for w, g in zip(self.through, first, strict=True))

    def _filaments(self, conductances: FloatArray) -> list[FloatArray]:
        cell, v_read = self.hardware.cell, self.hardware.dac.v_read
        return [filaments(conductances[:, rows, columns], cell, v_read) for rows, columns in self.cuts]

    def _seen(self, pieces: Sequence[FloatArray]) -> list[FloatArray]:
        cell, v_read = self.hardware.cell, self.hardware.dac.v_read
        return [cell.terminal_conductance(piece, gain, v_read) for piece, gain in zip(pieces, self.at, strict=True)]

    def compensate(self, out: FloatArray, kept: float) -> None:
        """Replace the tiles' targets (k, r, 2 n) [S] in `out` by compensated ones."""
        cell, v_read = self.hardware.cell, self.hardware.dac.v_read
        pieces = self._filaments(out)
        wanted = [g[..., 0::2] - g[..., 1::2] for g in self._seen(pieces)]
        for step in range(COMPENSATION_STEPS):
            if step:
                self.through = _transfers(self._seen(pieces), self.hardware, self.stacked)
            for piece, w, difference in zip(pieces, self.through, wanted, strict=True):
                for mine, sign in ((0, 1.0), (1, -1.0)):
                    aim = kept * sign * difference + w[..., 1 - mine :: 2]
                    moved = np.clip(piece[..., mine::2] * _over(aim, w[..., mine::2]), cell.g_min, cell.g_max)
                    piece[..., mine::2] = np.where(sign * difference > 0.0, moved, piece[..., mine::2])
        self.through = []
        for (rows, columns), piece in zip(self.cuts, pieces, strict=True):
            out[:, rows, columns] = cell.terminal_conductance(piece, cell.gain_high, v_read)


def _together(cuts: Sequence[tuple[slice, slice]], kernels: int) -> list[Sequence[tuple[slice, slice]]]:
    """Return the tiles of a matrix in parts that are computed together."""
    largest = max((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in cuts)
    count = max(1, AT_ONCE // max(1, 2 * largest * kernels))
    return [cuts[first : first + count] for first in range(0, len(cuts), count)]


def compensate_columns(
    conductances: FloatArray, cuts: Sequence[tuple[slice, slice]], gains: FloatArray, hardware: Hardware
) -> tuple[FloatArray, float]:
    """Return targets (k, r, columns) [S] as `compensate` does, for columns that are converted one by one.

    cuts: rows and columns of cells of each tile.  gains: (k,) typical read gain of each kernel.  The cells at the
    bottom of the window cannot be written weaker and keep their conductance.
    Raises MappingError if IR drop leaves no current.
    Source: docs/equations/encoding.md eq. 6, for single cells.
    """
    cell, v_read = hardware.cell, hardware.dac.v_read
    at = gains.reshape(-1, 1, 1)
    pieces = [filaments(conductances[:, rows, columns], cell, v_read) for rows, columns in cuts]
    wanted = [cell.terminal_conductance(piece, at, v_read) for piece in pieces]
    kept = min(float(_over(w, g).min()) for w, g in zip(_transfers(wanted, hardware), wanted, strict=True))
    if kept <= 0.0:
        raise MappingError(_no_current(hardware))
    for _ in range(COMPENSATION_STEPS):
        seen = [cell.terminal_conductance(piece, at, v_read) for piece in pieces]
        for piece, w, g in zip(pieces, _transfers(seen, hardware), wanted, strict=True):
            piece[:] = np.clip(piece * _over(kept * g, w), cell.g_min, cell.g_max)
    out = conductances.copy()
    for (rows, columns), piece in zip(cuts, pieces, strict=True):
        out[:, rows, columns] = cell.terminal_conductance(piece, cell.gain_high, v_read)
    return out, kept


def _no_current(hardware: Hardware) -> str:
    """Return the sentence for wires that let no current through."""
    wires = hardware.wires
    if wires.broken:
        return (
            f"broken wires of chip {hardware.name!r} cut cells off, and IR drop cannot be compensated there: set "
            "tile.compensate_wires = false"
        )
    return f"the wires of chip {hardware.name!r} let no current through: {wires!r}"


def _over(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return a / b, and 1 for a cell with conductance 0."""
    return np.divide(a, b, out=np.ones_like(b), where=b > 0.0)


def _both(columns: slice) -> slice:
    """Return the columns of differential pairs."""
    return slice(2 * columns.start, 2 * columns.stop)


def _transfers(pieces: Sequence[FloatArray], hardware: Hardware, stacked: bool = False) -> list[FloatArray]:
    """Return the transfer matrices (k, m, 2 c) [S] of several tiles; stacked: kernels are bands of one array."""
    shapes = {piece.shape[1:] for piece in pieces}
    out: dict[int, FloatArray] = {}
    for shape in sorted(shapes):
        members = [index for index, piece in enumerate(pieces) if piece.shape[1:] == shape]
        cells = np.concatenate([pieces[index] for index in members])
        whole = cells.reshape(len(members), -1, shape[1]) if stacked else cells
        reduced = transfer_matrices(whole, hardware.wires_in_use).reshape(cells.shape)
        out |= dict(zip(members, np.split(reduced, len(members)), strict=True))
    return [out[index] for index in range(len(pieces))]


def remaining_current(conductances: FloatArray, cuts: Sequence[tuple[slice, slice]], hardware: Hardware) -> FloatArray:
    """Return the fraction (r, n) of each pair's current that remains after IR drop in an array of typical cells.

    conductances: (1, r, 2 n) [S] typical ones, at the top of the gate window.  The result depends on the place only, so
    a write circuit can keep it in a table.
    Raises MappingError if IR drop leaves no current.
    Source: docs/equations/encoding.md eq. 11.
    """
    out = np.ones((conductances.shape[1], conductances.shape[2] // 2))
    pieces = [conductances[:, rows, _both(columns)] for rows, columns in cuts]
    for (rows, columns), piece, w in zip(cuts, pieces, _transfers(pieces, hardware), strict=True):
        part = _over(w, piece)[0]
        out[rows, columns] = 0.5 * (part[:, 0::2] + part[:, 1::2])
    if float(out.min()) <= 0.0:
        raise MappingError(_no_current(hardware))
    return out
