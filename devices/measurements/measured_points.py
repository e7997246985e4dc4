"""Measured current-voltage points of one cell as a value, and what an analyser would record of a cell of ours."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.aliases import BoolArray, FloatArray, IntArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.checks import array, number
from devices.errors import ParameterError
from devices.laws import dispatch


@dataclass(frozen=True, eq=False)
class Curves:
    """Measured points of one cell, in the order of their measurement."""

    v: FloatArray  #: (n,) cell voltage [V]
    current: FloatArray  #: (n,) [A]
    v_gate: FloatArray  #: (n,) gate voltage [V], 0 where none was recorded
    sweep: IntArray  #: (n,) which sweep a point belongs to, from 0 on
    state: IntArray  #: (n,) which written filament it was measured on, from 0 on
    time: FloatArray | None = None  #: (n,) [s]
    source: str = "curves"  #: for messages
    censored: BoolArray | None = None  #: (n,) where the current stands at a limit, so the cell's own is at least that
    notes: tuple[str, ...] = ()  #: what was found or left out on the way here

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("v", "current", "v_gate", "time")}
        for name, values in given.items():
            if values is not None:
                object.__setattr__(self, name, array(name, values, shape=(None,)))
        for name in ("sweep", "state"):
            numbers = np.unique(np.asarray(getattr(self, name)), return_inverse=True)[1].astype(np.int64)
            object.__setattr__(self, name, numbers)
        sizes = {name: getattr(self, name).size for name in ("v", "current", "v_gate", "sweep", "state")}
        if self.time is not None:
            sizes["time"] = self.time.size
        if self.censored is not None:
            object.__setattr__(self, "censored", np.array(self.censored, dtype=np.bool_))
            sizes["censored"] = self.censored.size
        if len(set(sizes.values())) > 1:
            raise ParameterError(f"{self.source}: columns must have one length, got {sizes}")
        if not self.v.size:
            raise ParameterError(f"{self.source}: there is no point")

    @property
    def measured(self) -> BoolArray:
        """Which points (n,) are readings of the cell's own current: those that stand at no limit."""
        whole: BoolArray = np.ones(self.v.size, dtype=np.bool_) if self.censored is None else ~self.censored
        return whole

    @property
    def states(self) -> int:
        """Number of written filaments."""
        return int(self.state.max()) + 1

    @property
    def gates(self) -> FloatArray:
        """The different gate voltages [V], rising."""
        return np.unique(self.v_gate)

    def where(self, keep: BoolArray) -> "Curves":
        """Return the points that `keep`, (n,) of bool, marks; raise ParameterError if there are none."""
        if not keep.any():
            raise ParameterError(f"{self.source}: no point is left of {self.v.size}")
        time = None if self.time is None else self.time[keep]
        censored = None if self.censored is None else self.censored[keep]
        held = (self.v[keep], self.current[keep], self.v_gate[keep], self.sweep[keep], self.state[keep])
        return Curves(*held, time, self.source, censored, self.notes)


def simulate_curves(
    cell: AdaptiveMemristor,
    filaments: npt.ArrayLike,
    v: npt.ArrayLike,
    v_gate: npt.ArrayLike,
    rng: np.random.Generator,
    noise_relative: float = 0.01,
    noise_floor: float = 1e-11,
) -> Curves:
    """Return what an analyser would record of a cell: every filament [S] at every gate voltage and voltage [V].

    The current carries normal noise of standard deviation noise_relative times its size, and noise_floor [A] besides.
    It is what a fit can be tried on before anything is measured.
    Raises ParameterError if a filament is negative, an argument has more than one axis, or a noise is negative.
    """
    (g, gates, volts) = (
        np.atleast_1d(array(name, values, minimum=least))
        for name, values, least in (("filaments", filaments, 0.0), ("v_gate", v_gate, None), ("v", v, None))
    )
    for name, each in (("filaments", g), ("v_gate", gates), ("v", volts)):
        if each.ndim > 1 or not each.size:
            raise ParameterError(f"{name} must be a number or a list of them, got shape {each.shape}")
    relative = number("noise_relative", noise_relative, minimum=0.0)
    floor = number("noise_floor", noise_floor, unit="A", minimum=0.0)
    shape = (g.size, gates.size, volts.size)
    state, step, _ = (axis.reshape(-1) for axis in np.indices(shape))
    at = np.tile(volts, g.size * gates.size)
    exact = dispatch.currents(cell.law, g[state], cell.gate_gain(gates[step]), at)[0]
    noise = relative * exact * rng.standard_normal(exact.size) + floor * rng.standard_normal(exact.size)
    return Curves(at, exact + noise, gates[step], state * gates.size + step, state)
