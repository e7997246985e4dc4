"""Cost of calibrating the offsets of a chip's converters, once after writing."""

from crossbar.prices.costs import Costs
from crossbar.tiles.activity import Activity
from mapping.placement.program import Program


def offset_calibration(program: Program, costs: Costs) -> tuple[float, float] | None:
    """Return energy [J] and time [s] of `adc.calibration` conversions with each column; None without calibration.

    All converters of the chip work at the same time; no row is driven, so cells take no energy.
    Source: docs/equations/periphery.md eq. 13.
    """
    adc = program.hardware.adc
    if not adc.calibration or adc.bits is None:
        return None
    columns = sum(tile.converted * matrix.copies for matrix in program.all_matrices for tile in matrix.tiles)
    most = max(tile.converted for matrix in program.all_matrices for tile in matrix.tiles)
    done = Activity(conversions=float(adc.calibration * columns))
    joules = costs.energies(done, program.hardware.periphery)["adc"]
    return joules, adc.calibration * adc.t_conversions(min(adc.columns, most))
