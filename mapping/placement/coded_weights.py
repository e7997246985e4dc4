"""Weights in slices, levels and offset columns: their digits, and the conductances of a matrix' cells.

k = kernels, r = matrix rows, n = outputs, d = slices
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from devices.aliases import FloatArray
from devices.cells.interface import Cell
from devices.writing.conductance_levels import quantise
from mapping.hardware.weight_code import WeightCode

CLIPS = np.geomspace(1.0, 0.1, 41)  #: largest coded weight over the largest weight, ours: tried for the least error


@dataclass(frozen=True, eq=False)
class CodedWeights:
    """The cells of a matrix, block after block of columns, one block for each column of tiles."""

    conductances: FloatArray  #: (k, r, columns) [S] terminal conductances at the top of the gate window
    siemens: FloatArray  #: (n,) joined conductance of a weight of 1 [S]
    blocks: dict[int, slice]  #: columns of each block, by its first output


def window_of(cell: Cell, v_read: float) -> tuple[float, float]:
    """Return the terminal conductances [S] of the ends of the window, at the top of the gate window."""
    low, high = cell.terminal_conductance(np.array([cell.g_min, cell.g_max]), cell.gain_high, v_read)
    return float(low), float(high)


def code_weights(
    weights: FloatArray, cuts: Sequence[slice], code: WeightCode, cell: Cell, v_read: float, *, by_output: bool
) -> CodedWeights:
    """Return the cells of weights (k, r, n), for blocks of outputs `cuts`.

    by_output: the weights of each output fill the window, instead of all weights together.
    Source: docs/equations/encoding.md eq. 14-17.
    """
    low, high = window_of(cell, v_read)
    largest = largest_coded(weights, code, by_output=by_output)
    parts = fractions(weights, largest, code)  # (k, r, columns of all outputs without references)
    each = (2 if code.paired else 1) * code.slices
    held, blocks, first = [], {}, 0
    for outputs in cuts:
        block = parts[..., each * outputs.start : each * outputs.stop]
        ends = np.broadcast_to(reference_fractions(code), (*block.shape[:2], code.references))
        held.append(np.concatenate([block, ends], axis=2))
        blocks[outputs.start] = slice(first, first + held[-1].shape[2])
        first = blocks[outputs.start].stop
    siemens = (high - low) / largest * (1.0 if code.paired else 0.5)
    return CodedWeights(low + (high - low) * np.concatenate(held, axis=2), siemens, blocks)


def reference_fractions(code: WeightCode) -> FloatArray:
    """Return the places of the reference cells in the window: its middle, or the two levels beside it.

    Source: docs/equations/encoding.md eq. 17.
    """
    if code.levels is None or code.references < 2:
        return np.full(code.references, 0.5)
    below = (code.levels - 2) / 2.0
    return np.array([below, below + 1.0]) / (code.levels - 1)


def fractions(weights: FloatArray, largest: FloatArray, code: WeightCode) -> FloatArray:
    """Return the places in the window (k, r, n columns of an output) of the cells of weights (k, r, n).

    largest: (n,) weight that fills the window.
    Source: docs/equations/encoding.md eq. 14-15.
    """
    scaled = np.clip(weights / largest, -1.0, 1.0)
    parts = np.stack([np.maximum(scaled, 0.0), np.maximum(-scaled, 0.0)], -1) if code.paired else 0.5 + scaled / 2.0
    digits = digits_of(parts, code)  # (k, r, n, [sign,] d)
    if code.paired:
        digits = digits.swapaxes(-1, -2)
    k, r, n = weights.shape
    return digits.reshape(k, r, n * (2 if code.paired else 1) * code.slices)


def digits_of(parts: FloatArray, code: WeightCode) -> FloatArray:
    """Return the slices (…, d) of fractions (…) in [0, 1], each as a place in the window, lowest digit first."""
    if code.levels is None or code.steps is None:
        return parts[..., None]
    whole = np.rint(parts * code.steps)
    powers = float(code.levels) ** np.arange(code.slices)
    out: FloatArray = np.floor(whole[..., None] / powers) % code.levels / (code.levels - 1)
    return out


def rounded(weights: FloatArray, largest: FloatArray, code: WeightCode) -> FloatArray:
    """Return the weights (k, r, n) that the slices hold.

    Source: docs/equations/encoding.md eq. 14.
    """
    scaled = np.clip(weights / largest, -1.0, 1.0)
    if code.steps is None:
        return scaled * largest
    held: FloatArray = (
        np.rint(np.abs(scaled) * code.steps) / code.steps * np.sign(scaled)
        if code.paired
        else np.rint((0.5 + scaled / 2.0) * code.steps) / code.steps * 2.0 - 1.0
    )
    return held * largest


def largest_coded(weights: FloatArray, code: WeightCode, *, by_output: bool) -> FloatArray:
    """Return the weight (n,) that fills the window: the largest one, or for few levels that of the least error.

    The mean square error of the rounded weights decides among CLIPS; larger weights are clipped.
    Source: docs/equations/encoding.md eq. 14.
    """
    n = weights.shape[-1]
    flat = np.abs(weights).reshape(-1, n)
    largest = flat.max(axis=0, initial=0.0)
    if not by_output:
        largest[:] = largest.max(initial=0.0)
    largest = np.where(largest > 0.0, largest, 1.0)
    if code.steps is None:
        return largest
    errors = np.array([((rounded(weights, clip * largest, code) - weights) ** 2).sum((0, 1)) for clip in CLIPS])
    if not by_output:
        errors = np.broadcast_to(errors.sum(1, keepdims=True), errors.shape)
    found: FloatArray = CLIPS[errors.argmin(0)] * largest
    return found


def to_levels(conductances: FloatArray, code: WeightCode, window: tuple[float, float]) -> FloatArray:
    """Return the level that is nearest to each terminal conductance [S]; unchanged for continuous cells."""
    if code.levels is None:
        return conductances
    return quantise(conductances, np.linspace(*window, code.levels))
