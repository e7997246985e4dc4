"""Tables of the write pulses: the ladders of a write scheme, and the pulses that each target is expected to need."""

import math
from collections.abc import Iterator

import numpy as np

from devices.aliases import FloatArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.errors import ParameterError
from devices.writing.expected_pulses import PulseSchedules, pulse_schedules
from devices.writing.write_pulses import WriteVerify
from mapping.building.tables import Block, Column
from mapping.chips.simulated_writing import scheme_of
from mapping.hardware.description import Hardware

#: write schemes by name
SCHEMES = {
    "amplitude": WriteVerify.amplitude,
    "pulse-width": WriteVerify.pulse_width,
    "gate-assisted": WriteVerify.gate_assisted,
}
ARRAY = "array"  #: name of the scheme with which tile.write = "simulated" writes whole arrays
BY_TOLERANCE = 2  # targets with a schedule per tolerance of the write scheme, ours
MOST = 2000  # largest number of schedules, ours
LADDER = 200  # largest number of rungs that are listed, ours

PULSE = (
    Column("amplitude_V", "number", "V", "signed voltage across the cell; SET is positive"),
    Column("width_s", "number", "s", "length of the pulse"),
    Column("gate_V", "number", "V", "gate voltage during the pulse"),
)
LADDERS = (
    Column("polarity", "text", "", "SET or RESET"),
    Column("rung", "whole", "", "number of the rung, from 0; pulses get stronger from rung to rung"),
    *PULSE,
)
PULSES = (
    Column("schedule", "whole", "", "number of the schedule"),
    Column("pulse", "whole", "", "number of the pulse, from 0"),
    Column("polarity", "text", "", "SET or RESET"),
    *PULSE,
)
SCHEDULES = (
    Column("schedule", "whole", "", "number of the schedule"),
    Column("target_filament_S", "number", "S", "filament conductance to write"),
    Column("pulses", "whole", "", "number of pulses from the lowest conductance"),
    Column("reached_filament_S", "number", "S", "filament conductance of the nominal cell after the last pulse"),
)


def scheme_named(name: str | None, hardware: Hardware) -> tuple[str, WriteVerify]:
    """Return a write scheme with its name; None: that of the chip's simulated writes, or `amplitude` if it has none.

    Raises ParameterError for another name.
    """
    if name is None:
        name = ARRAY if hardware.tile.write == "simulated" else "amplitude"
    if name not in (*SCHEMES, ARRAY):
        raise ParameterError(f"scheme must be one of {', '.join((*SCHEMES, ARRAY))}, got {name!r}")
    return name, scheme_of(hardware)[0] if name == ARRAY else SCHEMES[name]()


def schedules_of(cell: AdaptiveMemristor, scheme: WriteVerify) -> PulseSchedules:
    """Return schedules for equally spaced targets over the cell's window, BY_TOLERANCE of them in each tolerance."""
    count = math.ceil((cell.g_max - cell.g_min) / (scheme.tolerance * cell.g_max) * BY_TOLERANCE) + 1
    return pulse_schedules(cell, np.linspace(cell.g_min, cell.g_max, max(min(count, MOST), 2)), scheme)


def ladder_rows(cell: AdaptiveMemristor, scheme: WriteVerify) -> Iterator[Block]:
    """Yield the rungs of SET, then those of RESET, up to the rung from which pulses stay equal."""
    for polarity, sign in (("SET", 1), ("RESET", -1)):
        rungs = np.arange(LADDER)
        pulse = np.array(scheme.rung(np.full(LADDER, sign), rungs, cell))
        changes = np.flatnonzero(np.any(np.diff(pulse, axis=1) != 0.0, axis=0))
        count = int(changes[-1]) + 2 if changes.size else 1
        yield {"polarity": polarity, "rung": rungs[:count], **_pulse(*pulse[:, :count])}


def pulse_rows(found: PulseSchedules) -> Iterator[Block]:
    """Yield the pulses of all schedules."""
    schedule = np.repeat(np.arange(len(found.targets)), found.count)
    first = np.cumsum(found.count) - found.count
    yield {
        "schedule": schedule,
        "pulse": np.arange(len(schedule)) - first[schedule],
        "polarity": ["SET" if each > 0.0 else "RESET" for each in found.amplitude.tolist()],
        **_pulse(found.amplitude, found.width, found.v_gate),
    }


def schedule_rows(found: PulseSchedules) -> Iterator[Block]:
    """Yield the schedules."""
    yield {
        "schedule": np.arange(len(found.targets)),
        "target_filament_S": found.targets,
        "pulses": found.count,
        "reached_filament_S": found.final,
    }


def _pulse(amplitude: FloatArray, width: FloatArray, v_gate: FloatArray) -> dict[str, FloatArray]:
    return {"amplitude_V": amplitude, "width_s": width, "gate_V": v_gate}
