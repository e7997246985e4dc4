"""Energy and area of row drivers by their coding and their bits.

docs/equations/costs.md, section 14.
"""

from dataclasses import dataclass

from crossbar.prices.component_model import Band
from crossbar.tiles.activity import Activity
from crossbar.tiles.converters import Dac

TIMERS = ("counter", "delay-line")  #: what ends a row's pulse
#: [F Ω] gate capacitance of a transistor at 22 nm times its resistance with a small voltage across it, NeuroSim V1.3:
#: 1.43 nF/m of gate; 0.2 × 1.77 × 0.85 V over 791.9 A/m
SWITCH = 1.43e-9 * 0.2 * 1.77 * 0.85 / 791.9
SWITCHES = 2.0 * 4.0 / 3.0  # two for each row, to the read voltage and to 0 V, with buffers a third as large; ours
BYTE = 8  #: bits of the published counters, comparators and drivers


@dataclass(frozen=True)
class RowPrices:
    """Prices that the energy of row drivers depends on, all at the node of the chip."""

    c_cell: float  #: row line of one cell [F]
    v_pulse: float  #: swing of rows' logic [V]
    node: float  #: [m]
    timer: str  #: one of TIMERS
    e_counter: float  #: one clock of a counter of 8 bits [J]
    e_compare: float  #: one comparison of 8 bits [J]
    e_delay: float  #: one code of 8 bits in a delay line [J]
    e_pulse: float  #: one pulse in a row's driver, beside its line and its switches [J]
    e_code: float  #: one code of 8 bits in a row's converter [J]


def switching(r_driver: float, prices: RowPrices) -> float:
    """Return the energy [J] with which the switches of a driver of r_driver [ohm] are driven for one pulse.

    Source: docs/equations/costs.md eq. 33.
    """
    farads = SWITCHES * SWITCH * prices.node / 22e-9 / r_driver if r_driver else 0.0
    return farads * prices.v_pulse**2


def row_drivers(done: Activity, dac: Dac, r_driver: float, prices: RowPrices) -> Band:
    """Return the energy [J] of the row drivers: lines and switches, and what sets length or height of a pulse.

    Pulses are ended by a Gray counter for the arrays of a tile, with a comparator for each row, or by a delay line for
    each row; the band spans both. Amplitudes need a converter for each row, bits nothing more.
    Source: docs/equations/costs.md eq. 32.
    """
    lines = done.cell_reads * prices.c_cell * prices.v_pulse**2
    pulses = done.row_pulses * (switching(r_driver, prices) + prices.e_pulse)
    held = lines + pulses
    if dac.coding == "amplitude":
        held += done.row_codes * prices.e_code * dac.width / BYTE
    if dac.coding != "pulse-width":
        return Band(held, held, held)
    counted = done.tile_reads * dac.slots * prices.e_counter * dac.width / BYTE
    counted += done.row_codes * dac.slots * prices.e_compare / BYTE  # one bit changes in each slot
    delayed = done.row_codes * prices.e_delay * dac.slots / (2**BYTE - 1)
    nominal = counted if prices.timer == "counter" else delayed
    return Band(held + min(counted, delayed), held + nominal, held + max(counted, delayed))
