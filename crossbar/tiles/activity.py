"""Activity of simulated hardware: counts of events and the energy of its arrays, from which costs are computed."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Activity:
    """Counts of events in one piece of hardware; two activities can be added."""

    reads: float = 0.0  #: array reads, one per tile and conversion
    row_pulses: float = 0.0  #: rows driven to a voltage other than 0
    row_codes: float = 0.0  #: codes sent to row drivers
    conversions: float = 0.0  #: analogue-to-digital conversions
    cell_reads: float = 0.0  #: cells on driven rows, summed over reads
    gate_updates: float = 0.0  #: gate lines set to a new voltage
    gate_swing: float = 0.0  #: sum over gated cells of the squared changes of gate voltage [V²]
    gate_holding: float = 0.0  #: sum over gated cells of the squared gate voltage that is held [V²]
    additions: float = 0.0  #: digital additions of converted numbers
    multiplications: float = 0.0  #: digital multiplications of converted numbers
    buffer_bits: float = 0.0  #: bits written to or read from buffers
    comparisons: float = 0.0  #: digital comparisons of converted numbers
    cell_writes: float = 0.0  #: cells written to a new target
    joules_array: float = 0.0  #: energy that the sources delivered to cells and wires [J]
    joules_gates: float = 0.0  #: energy that the gate drivers delivered into leaking gates [J]
    wire_bit_meters: float = 0.0  #: bits on wires between arrays, times the length of the wire [m]
    register_bits: float = 0.0  #: bits stored in registers
    clock_meters: float = 0.0  #: clock cycles, times the length of the clock tree [m]
    control_steps: float = 0.0  #: steps of the sequencers of tiles
    leaking: float = 0.0  #: area times the time for which it leaks [m² s]
    sense_charge: float = (
        0.0  #: range of a pair's converter times the length of a read, summed over pairs and reads [C]
    )
    sense_time: float = 0.0  #: length of a read, summed over pairs and reads [s]
    tile_reads: float = 0.0  #: reads of a tile, whose arrays have the same codes and one counter
    external_bits: float = 0.0  #: bits read from or written to memory beyond the chip

    def __add__(self, other: "Activity") -> "Activity":
        return Activity(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def scaled(self, factor: float) -> "Activity":
        """Return the activity multiplied by a factor, for averages."""
        return Activity(*(getattr(self, each.name) * factor for each in fields(self)))
