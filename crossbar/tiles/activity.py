"""What a stretch of simulated hardware did, in counts and joules of its array; prices are put on it later."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Activity:
    """Counts of one run of one piece of hardware; two add up."""

    reads: float = 0.0  #: array reads, one per tile and conversion
    row_pulses: float = 0.0  #: rows driven to a voltage other than 0
    row_codes: float = 0.0  #: codes handed to row drivers
    conversions: float = 0.0  #: analogue-to-digital conversions
    cell_reads: float = 0.0  #: cells that sat on a driven row during a read
    gate_updates: float = 0.0  #: gate lines set to a new voltage
    gate_swing: float = 0.0  #: sum over gated cells of the squared change of gate voltage [V²]
    additions: float = 0.0  #: digital additions of converted numbers
    multiplications: float = 0.0  #: digital multiplications of converted numbers
    buffer_bits: float = 0.0  #: bits written to or read from buffers
    comparisons: float = 0.0  #: digital comparisons of converted numbers
    cell_writes: float = 0.0  #: cells written to a new target
    joules_array: float = 0.0  #: what the sources delivered to cells and wires [J]
    wire_bit_meters: float = 0.0  #: bits on wires between arrays, times their way [m]
    register_bits: float = 0.0  #: bits taken into registers
    clock_meters: float = 0.0  #: clocks, times the length of the tree that carries them [m]
    array_clocks: float = 0.0  #: clocks that arrive at an array, summed over arrays
    leaking: float = 0.0  #: area times the time that it leaks [m² s]

    def __add__(self, other: "Activity") -> "Activity":
        return Activity(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def scaled(self, factor: float) -> "Activity":
        """Return the same activity `factor` times, for averages."""
        return Activity(*(getattr(self, each.name) * factor for each in fields(self)))
