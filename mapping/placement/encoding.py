"""The encoding of weights as conductances; no other file converts weights to siemens.

k = kernels, r = matrix rows, n = outputs, c = differential pairs
"""

from dataclasses import dataclass

import numpy as np

from devices.aliases import FloatArray
from devices.cells.interface import Cell
from mapping.hardware.description import Hardware


def terminal_conductances(g_filament: FloatArray, hardware: Hardware) -> FloatArray:
    """Return the terminal conductances [S] of filaments [S] at the top of the gate window."""
    return hardware.cell.terminal_conductance(g_filament, hardware.cell.gain_high, hardware.dac.v_read)


@dataclass(frozen=True)
class Encoding:
    """Linear map of one layer's weights to pairs of terminal conductances at the top of the gate window."""

    siemens: FloatArray  #: (n,) conductance difference of a weight of 1 [S]
    low: float  #: terminal conductance of a cell for weight 0 [S]

    @classmethod
    def of(cls, weights: FloatArray, cell: Cell, v_read: float, *, by_output: bool) -> "Encoding":
        """Return the encoding in which the largest magnitude of weights (…, n) fills the conductance window.

        v_read: read voltage [V].  by_output: take the largest magnitude of each output instead of all.

        Source: docs/equations/encoding.md eq. 2.
        """
        low, high = cell.terminal_conductance(np.array([cell.g_min, cell.g_max]), cell.gain_high, v_read)
        largest = np.abs(weights).reshape(-1, weights.shape[-1]).max(axis=0)
        if not by_output:
            largest[:] = largest.max()
        return cls(float(high - low) / np.where(largest > 0.0, largest, 1.0), float(low))

    def pairs(self, weights: FloatArray) -> FloatArray:
        """Return terminal conductances (k, r, 2 n) [S] of weights (k, r, n): positive parts at even columns."""
        k, r, n = weights.shape
        conductances = np.full((k, r, 2 * n), self.low)
        conductances[..., 0::2] += self.siemens * np.maximum(weights, 0.0)
        conductances[..., 1::2] += self.siemens * np.maximum(-weights, 0.0)
        return conductances


def filaments(conductances: FloatArray, cell: Cell, v_read: float) -> FloatArray:
    """Return the filament conductances [S] with given terminal conductances [S] at the top of the gate window."""
    return np.clip(cell.filament_for(conductances, cell.gain_high, v_read), cell.g_min, cell.g_max)


def gate_floor(cell: Cell) -> float:
    """Return the contribution of a kernel at attention 0, relative to its full contribution."""
    return cell.gain_low / cell.gain_high if cell.gated else 0.0


def cancel_floor(weights: FloatArray, floor: float, sums_to_one: bool) -> tuple[FloatArray, float]:
    """Return the kernels to store so that gates which do not close fully mix exactly, and the scale of the mixture.

    weights: (k, …).  With gains floor + pi (1 - floor) and attention weights pi of sum 1, storing W_k - a Σ W_j with
    a = e / (1 + k e), e = floor / (1 - floor), gives (1 - floor) Σ pi_k W_k. For attention weights of another sum an
    additional kernel, -floor Σ W_j, is stored, and its gate is held open.
    Source: docs/equations/encoding.md eq. 4-5.
    """
    scale = 1.0 - floor
    if not sums_to_one:
        return np.concatenate([weights, -floor * weights.sum(0, keepdims=True)]) if floor else weights, scale
    e = floor / scale
    return weights - e / (1.0 + len(weights) * e) * weights.sum(0), scale
