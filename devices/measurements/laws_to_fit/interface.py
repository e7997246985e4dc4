"""What a law has to say so that measured points can be fitted to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.measurements.measured_points import Curves

Values = Mapping[str, float]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a law."""

    name: str
    unit: str
    low: float  #: bounds of the search
    high: float
    advice: str  #: what would determine it
    size: float | None = None  #: None: positive, fitted by its logarithm; else what counts as nothing beside it


@dataclass(frozen=True)
class LawToFit:
    """A law of the current: its parameters, where a search begins, what it refuses, and its currents."""

    name: str
    about: str  #: what it describes, in one sentence
    source: str  #: of the equation
    parameters: Callable[[Curves], Sequence[Parameter]]
    starts: Callable[[Curves, Values], Sequence[dict[str, float]]]  #: from the curves and the held values
    currents: Callable[[Values, Curves], FloatArray]  #: (n,) [A] from all values
    fixed: Values = field(default_factory=dict)  #: held unless the user says otherwise
    needed: Mapping[str, str] = field(default_factory=dict)  #: values that no curve tells, and where they come from
    check: Callable[[Curves], None] = lambda curves: None  #: raises ParameterError for curves of another kind
    in_time: bool = False  #: a point depends on those before it, so points at 0 V count as well
    step: float = 1e-5  #: of central differences in the fit's coordinates

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters that points of one filament determine."""
        ones = np.ones(2)
        return tuple(
            each.name
            for each in self.parameters(Curves(ones, ones, ones, np.zeros(2, np.int64), np.zeros(2, np.int64)))
        )


def one_filament(curves: Curves, law: str) -> None:
    """Raise ParameterError if the points are of several filaments."""
    if curves.states > 1:
        raise ParameterError(
            f"the law {law} is of one filament, but {curves.source} holds {curves.states}; fit one at a time, as in "
            "curves.where(curves.state == 0)"
        )


def one_gate(curves: Curves, law: str) -> None:
    """Raise ParameterError if the gate was stepped."""
    if curves.gates.size > 1:
        raise ParameterError(f"the law {law} has no gate, but {curves.source} holds {curves.gates.size} gate voltages")


def stepped_gate(curves: Curves, law: str, least: int) -> None:
    """Raise ParameterError if there are too few gate voltages."""
    if curves.gates.size < least:
        raise ParameterError(
            f"the law {law} needs at least {least} gate voltages, but {curves.source} holds {curves.gates.size}"
        )


def secants(curves: Curves) -> FloatArray:
    """Return |I/V| (n,) [S] of readings at a voltage other than 0, nan elsewhere."""
    good = curves.measured & (curves.v != 0.0) & (curves.current * curves.v > 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(good, np.abs(curves.current / curves.v), np.nan)


def small_signal(curves: Curves) -> float:
    """Return the conductance [S] at the smallest voltages of the points."""
    seen, size = secants(curves), np.abs(curves.v)
    good = np.isfinite(seen)
    if not good.any():
        raise ParameterError(f"{curves.source}: no current has the sign of its voltage")
    low = good & (size <= np.quantile(size[good], 0.3))
    return float(np.median(seen[low if low.any() else good]))


def of_state(name: str, states: int) -> list[str]:
    """Return the names of a parameter that each filament has for itself."""
    return [f"{name} {k}" for k in range(states)] if states > 1 else [name]
