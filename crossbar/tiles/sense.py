"""Sense: the circuits that hold the columns at 0 V and integrate their currents, and the supply of a read."""

from dataclasses import dataclass

from devices import checks
from devices.checks import quantity
from devices.errors import ParameterError

REGULATORS = ("switched", "linear")  #: where the read voltage comes from
STAGES = ("push-pull", "class-a", "none")  #: outputs of the amplifiers that hold the columns; none: there are none


@dataclass(frozen=True)
class Sense:
    """Amplifiers, current mirrors and integrating capacitors of the pairs, and the regulator of the read voltage.

    Each column ends in an amplifier that holds it near 0 V. A mirror passes a fraction of the pair's current on to a
    capacitor, whose voltage is converted when the read ends.
    Source: docs/equations/costs.md, section 3.
    """

    v_supply: float = quantity(0.8, "V", above=0.0)  #: supply of amplifiers and regulator [V], as of 22 nm logic
    stage: str = "push-pull"  #: one of STAGES
    #: current of a push-pull amplifier at rest over the range of its converter, ours; in class A it is the whole range
    quiescent: float = quantity(0.125, minimum=0.0, maximum=1.0)
    division: float = quantity(32.0, minimum=1.0)  #: a pair's current over the current that is integrated, ours
    v_swing: float = quantity(0.4, "V", above=0.0)  #: voltage of the capacitor at full range [V], ours: half the supply
    capacitance: float = quantity(5e-3, "F/m²", above=0.0)  #: of the capacitor per area [F/m²], ITRS target of MIM
    t_settle: float = quantity(10e-9, "s", minimum=0.0)  #: time after a pulse until the amplifiers have settled [s]
    regulator: str = "switched"  #: one of REGULATORS; linear: rows draw their current from v_supply
    efficiency: float = quantity(0.8, above=0.0, maximum=1.0)  #: of a switched regulator, Le et al., JSSC 2011

    def __post_init__(self) -> None:
        checks.check_fields(self)
        for name, known in (("regulator", REGULATORS), ("stage", STAGES)):
            if getattr(self, name) not in known:
                raise ParameterError(f"sense.{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
