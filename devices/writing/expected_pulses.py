"""The pulses that a write–verify scheme is expected to need: each pulse of a nominal cell, without noise."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from devices import checks
from devices.aliases import FloatArray, IntArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.writing.spread import Spread
from devices.writing.write_pulses import Controller, Filaments, WriteVerify


@dataclass(frozen=True, eq=False)
class PulseSchedules:
    """The pulses of several targets, one target after another."""

    targets: FloatArray  #: (s,) filament conductances [S]
    count: IntArray  #: (s,) number of pulses of each target
    amplitude: FloatArray  #: (pulses,) signed amplitude [V]: SET is positive
    width: FloatArray  #: (pulses,) [s]
    v_gate: FloatArray  #: (pulses,) gate voltage [V]
    final: FloatArray  #: (s,) filament conductance of the nominal cell after its last pulse [S]


@checks.typed
def pulse_schedules(
    cell: AdaptiveMemristor, targets: npt.ArrayLike, scheme: WriteVerify | None = None, *, start: float = 0.0
) -> PulseSchedules:
    """Return the pulses with which a scheme writes each target (s,) [S] into a nominal cell in the state `start`.

    Reads have no noise, and equal pulses have equal effects.  A real cell needs other pulses, which its reads decide.
    scheme: default WriteVerify.amplitude().
    Raises ParameterError for a target below 0, or a start outside [0, 1].
    Source: docs/equations/programming.md eq. 1-5.
    """
    wanted = checks.array("targets", targets, ndim=1, minimum=0.0)
    even = replace(WriteVerify.amplitude() if scheme is None else scheme, pulse_ln_sigma=0.0)
    rng = np.random.default_rng(0)  # nothing is drawn from it: no variability, no noise
    filaments = Filaments.of(Spread.none().draw(cell, (1, wanted.size), rng), start)
    controller = Controller(even, cell, wanted)
    active = np.arange(wanted.size)
    cells, rows = [np.empty(0, dtype=np.int64)], [np.empty((3, 0))]
    while len(active):
        seen, _ = filaments.read(active, even, None, rng)
        active = active[controller.decide(active, seen) != 0]
        v, width, v_gate = controller.next_pulses(active)
        filaments.pulse(active, v, v_gate, width, largest=0.01)
        cells.append(active)
        rows.append(np.array([v, width, v_gate]))
    order = np.argsort(np.concatenate(cells), kind="stable")
    amplitude, widths, gates = np.concatenate(rows, axis=1)[:, order]
    return PulseSchedules(wanted, controller.pulses, amplitude, widths, gates, filaments.conductance())
