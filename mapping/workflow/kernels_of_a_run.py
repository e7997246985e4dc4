"""Kernels of a run on the default chip that a second process compiles at the first start; it runs this file.

This process compiles the cells' law and the reduction of arrays meanwhile, whose kernels call one another.
"""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numba import float32, float64, int64, typeof, uint8, uint64
from numba.types import Array

from crossbar.nodal.lines import Lines, clear_held, factorise_lines, sweep
from crossbar.tiles.converters import convert, overlaps
from crossbar.tiles.row_drive import survey
from crossbar.tiles.tile import _alone, _cross_factors
from crossbar.transfer.merge_lanes import join_last
from crossbar.transfer.reduction_kernels import spread_lanes
from devices.cells.adaptive import AdaptiveMemristor
from devices.laws.gate import gate_voltages, read_gains
from devices.numerics.side_compilation import Compiled, compile_all, compiled_beside
from devices.states.filament import evolve
from devices.states.read_stress import stressed_states
from mapping.hardware.description import Hardware


def kernels() -> tuple[Compiled, ...]:
    """Return the kernels with the types of their arguments, in the order in which a run needs them."""
    cell = AdaptiveMemristor()
    law, growth = typeof(cell.law), typeof(cell.growth())
    number, numbers, table, cube = float64, *(Array(float64, n, "C") for n in (1, 2, 3))
    single = [Array(float32, n, "C") for n in range(5)]
    whole, keys = Array(int64, 1, "C"), Array(uint64, 1, "C")
    lines = typeof(Lines(*(np.empty((0,) * n) for n in (2, 2, 2, 1, 1, 2, 1, 1))))
    return tuple(
        Compiled(*each)
        for each in (
            (join_last, (whole, numbers, numbers, numbers, whole, numbers, numbers)),
            (spread_lanes, (numbers, numbers, whole, cube, table)),
            (
                survey,
                (single[3], int64, whole, int64, Array(int64, 2, "C"), single[4], single[3], table, single[3]),
            ),
            (_cross_factors, (table, table)),
            (_alone, (table, table, table)),
            (overlaps, (Array(uint8, 3, "C"), table)),
            (
                convert,
                (
                    single[3], single[3], int64, single[2], single[3], keys, single[1], float32, single[1], int64,
                    single[3],
                ),
            ),
            (
                stressed_states,
                (law, growth, numbers, numbers, Array(int64, 1, "C", readonly=True), numbers, numbers, table, number),
            ),
            (evolve, (law, growth, numbers, numbers, numbers, numbers, numbers, number)),
            (factorise_lines, (table, table, numbers, numbers, numbers, numbers, table, table)),
            (clear_held, (lines, table)),
            (sweep, (lines, table)),
            (gate_voltages, (law, numbers)),
            (read_gains, (law, numbers)),
        )
    )  # fmt: skip


def compiled_meanwhile(hardware: Hardware) -> AbstractContextManager[None]:
    """Return a context in which a second process compiles kernels of a run on this chip, if they are not cached."""
    return compiled_beside(__name__, kernels() if isinstance(hardware.cell, AdaptiveMemristor) else ())


if __name__ == "__main__":
    compile_all(kernels(), Path(sys.argv[1]))
