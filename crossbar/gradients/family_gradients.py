"""Gradients of the transfer matrices of cells that share a gate: by filaments, shifts of Dirac points and gains.

A linear function of interpolated transfer matrices is one of the matrices at the nodes.  Its gradient at each node is
propagated through the wires to the cell conductances, and from these to filaments and shifts
(docs/equations/adjoint.md, section 3).

b = requested gains, q = nodes, m = rows, n = columns
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossbar.arrays.array import Array
from crossbar.arrays.wires import Wires
from crossbar.gradients.array_gradients import transfer_gradient
from crossbar.transfer.family import Family
from crossbar.transfer.gate_nodes import Nodes
from devices import checks
from devices.aliases import FloatArray
from devices.cells.interface import Cell
from devices.errors import ParameterError

STEP = 1e-3  # relative step of finite differences of a cell's law: fourth order gives 1e-11 of the slope, ours
GATE_STEP = 2e-4  # [V] step of differences of the gate law, as in crossbar/nodal/sensitivities.py
MIX_STEP = 2e-4  # relative step of differences of interpolation coefficients, ours
CENTRAL = {-2: 1.0 / 12.0, -1: -2.0 / 3.0, 1: 2.0 / 3.0, 2: -1.0 / 12.0}  # coefficients of f(x + k h) for h f'(x)
ONE_SIDED = (-25.0 / 12.0, 4.0, -3.0, 4.0 / 3.0, -0.25)  # coefficients of f(x + k h), k = 0 … 4, for h f'(x)


@dataclass(frozen=True, eq=False)
class FamilyGradient:
    """Derivatives of a linear function of interpolated transfer matrices."""

    g_filament: FloatArray  #: (m, n) by filament conductances
    gate_offset: FloatArray  #: (m, n) by shifts of Dirac points [S/V]
    gain: FloatArray  #: (b,) by the requested gains [S]


@checks.typed
def family_gradient(
    cells: Array, family: Family, wires: Wires, gain: FloatArray, d_transfer: FloatArray, v_read: float
) -> FamilyGradient:
    """Return the gradient of ``(d_transfer * family.at(gain)).sum()`` by filaments, gate offsets and gains.

    cells: the array whose secant conductances at v_read [V] (`gated_conductances`) were reduced to `family`.
    gain: (b,).  d_transfer: (b, m, n) upstream gradient.  Wires and interpolation are differentiated exactly, the laws
    of the cell by fourth-order finite differences with a relative error of about 1e-10.
    Raises ParameterError for a wrong shape or a gain outside the nodes, ConvergenceError if a factorisation fails.
    Source: docs/equations/adjoint.md eq. 6-8.
    """
    gain = checks.array("gain", gain, ndim=1)
    d_transfer = checks.array("d_transfer", d_transfer, shape=(len(gain), *cells.shape))
    if family.transfers.shape[1:] != cells.shape:
        raise ParameterError(f"family must be one of {cells.shape} arrays, got {family.transfers.shape[1:]}")
    nodes = family.nodes
    at_nodes = np.tensordot(nodes.mix(gain).T, d_transfer, axes=1)
    gains = nodes.gains
    d_g = transfer_gradient(gated_conductances(cells, gains, v_read), wires, at_nodes)
    by_filament, by_gain = conductance_slopes(cells.cell, cells.g_filament, cells.gate_offset, gains, v_read)
    opening = -gain_slope(cells.cell, gains, np.asarray(cells.gate_offset))
    by_mix = np.einsum("bmn,qmn->bq", d_transfer, family.transfers)
    return FamilyGradient(
        (d_g * by_filament).sum(0), (d_g * by_gain * opening).sum(0), (mix_slope(nodes, gain) * by_mix).sum(1)
    )


def gated_conductances(cells: Array, gains: FloatArray, v_read: float) -> FloatArray:
    """Return the secant conductances (q, m, n) [S] at v_read [V] of gated cells at nominal gains (q,)."""
    cell = cells.cell
    gain = cell.gain_with_offset(cell.gate_voltage(gains)[:, None, None], cells.gate_offset)
    return cell.terminal_conductance(cells.g_filament, np.broadcast_to(gain, (len(gains), *cells.shape)), v_read)


def conductance_slopes(
    cell: Cell, g_filament: FloatArray, gate_offset: FloatArray | float, gains: FloatArray, v_read: float
) -> tuple[FloatArray, FloatArray]:
    """Return the derivatives of secant conductances at v_read [V] by the filament [1] and by the cell's own gain [S].

    g_filament: (…, m, n) [S].  gains: (q,) nominal gains.  Returns (…, q, m, n) twice.
    """
    g, gain = _spread(cell, g_filament, gate_offset, gains)
    by_gain = _difference(gain, lambda moved: cell.terminal_conductance(g, moved, v_read))
    return filament_slopes(cell, g_filament, gate_offset, gains, v_read), by_gain


def filament_slopes(
    cell: Cell, g_filament: FloatArray, gate_offset: FloatArray | float, gains: FloatArray, v_read: float,
    gate_reach: FloatArray | float = 1.0,
) -> FloatArray:  # fmt: skip
    """Return the first result of `conductance_slopes`, the derivatives by the filament.

    gate_reach: part of the gate driver's voltage that reaches each cell, one or (m, n).
    """
    g, gain = _spread(cell, g_filament, gate_offset, gains, gate_reach)
    return _difference(g, lambda moved: cell.terminal_conductance(moved, gain, v_read))


def _spread(
    cell: Cell,
    g_filament: FloatArray,
    gate_offset: FloatArray | float,
    gains: FloatArray,
    gate_reach: FloatArray | float = 1.0,
) -> tuple[FloatArray, FloatArray]:
    """Filament conductances, and the gains of the cells at nominal gains (q,), both (…, q, m, n)."""
    offset = np.broadcast_to(gate_offset, g_filament.shape)[..., None, :, :]
    own = np.ones_like(offset)
    if cell.gated:
        own = cell.gain_with_offset(cell.gate_voltage(gains)[:, None, None] * gate_reach, offset)
    shape = (*g_filament.shape[:-2], len(gains), *g_filament.shape[-2:])
    g, gain = (np.ascontiguousarray(np.broadcast_to(each, shape)) for each in (g_filament[..., None, :, :], own))
    return g, gain


def _difference(x: FloatArray, function: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Derivative of an elementwise function at x ≥ 0 by one-sided finite differences, which need no values below x."""
    step = STEP * np.where(x > 0.0, x, x.max(initial=0.0) or 1.0)
    total = np.zeros(x.shape)
    for k, factor in enumerate(ONE_SIDED):
        total += factor * function(x + k * step)
    return total / step


def gain_slope(cell: Cell, gains: FloatArray, gate_offset: FloatArray) -> FloatArray:
    """Return dM/dV_g [1/V] of cells with shifted Dirac points (…) at nominal gains (q,): (q, …)."""
    volts = cell.gate_voltage(gains).reshape(-1, *[1] * gate_offset.ndim)
    total = np.zeros(np.broadcast_shapes(volts.shape, gate_offset.shape))
    for k, factor in CENTRAL.items():
        total += factor / GATE_STEP * cell.gain_with_offset(volts + k * GATE_STEP, gate_offset)
    return total


def mix_slope(nodes: Nodes, gain: FloatArray) -> FloatArray:
    """Return the derivatives (…, q) of the interpolation coefficients by gains (…), one-sided at the window's ends.

    They are fourth-order finite differences of the interpolation.
    """
    low, high = nodes.gains[0], nodes.gains[-1]
    gain = np.clip(np.asarray(gain, dtype=np.float64), low, high)
    step = MIX_STEP * np.minimum(gain, high - low)
    side = np.where(gain + 2.0 * step > high, -1.0, np.where(gain - 2.0 * step < low, 1.0, 0.0))
    inner = side == 0.0
    total = np.zeros((*gain.shape, nodes.count))
    for k in range(-2, 5):
        shift = np.where(inner, float(k) if k <= 2 else 0.0, side * max(k, 0))
        factor = np.where(inner, CENTRAL.get(k, 0.0) if k <= 2 else 0.0, side * (ONE_SIDED[k] if k >= 0 else 0.0))
        if np.any(factor):
            total += (factor / step)[..., None] * nodes.mix(gain + shift * step)
    return total
