"""Laws of two terminals at rest: sinh with a series resistance, Schottky contact, space charge, Poole-Frenkel."""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import wrightomega

from devices.aliases import FloatArray
from devices.constants import BOLTZMANN_EV
from devices.errors import ParameterError
from devices.laws import dispatch
from devices.laws.adaptive import ungated_barrier
from devices.measurements.laws_to_fit.interface import (
    LawToFit,
    Parameter,
    Values,
    one_filament,
    one_gate,
    secants,
    small_signal,
)
from devices.measurements.measured_points import Curves

RECTIFYING = 2.0  # ratio of the currents of both polarities from which on a contact rectifies, ours
CONDUCTANCE = Parameter("g", "S", 1e-14, 10.0, "measure at voltages near 0 V")


def _series(curves: Curves) -> Parameter:
    largest = float(np.nanmax(secants(curves)))
    return Parameter("r_series", "Ω", 0.0, 1e9, "go on to voltages where the curve turns straight", 0.1 / largest)


def _plain(name: str) -> Callable[[Curves], None]:
    """Return what refuses curves of several filaments or gate voltages for the law of that name."""

    def check(curves: Curves) -> None:
        one_filament(curves, name)
        one_gate(curves, name)

    return check


def _sinh_currents(values: Values, curves: Curves) -> FloatArray:
    law = ungated_barrier(values["v_0"], values["r_series"])
    size = curves.v.size
    return dispatch.currents(law, np.full(size, values["g"]), np.ones(size), curves.v)[0]


def _sinh_starts(curves: Curves, _: Values) -> Sequence[dict[str, float]]:
    g, largest = small_signal(curves), float(np.nanmax(secants(curves)))
    return [{"g": g, "v_0": v_0, "r_series": r / largest} for v_0 in (0.08, 0.3, 1.0) for r in (0.01, 0.3)]


SINH = LawToFit(
    name="sinh",
    about="tunnelling or hopping over a barrier in series with a resistance: I = g v_0 sinh((V - r_series I) / v_0)",
    source="docs/equations/cells.md eq. 7-8 with a gain of 1",
    parameters=lambda curves: [
        CONDUCTANCE,
        Parameter("v_0", "V", 1e-2, 1e2, "sweep to voltages where the curve bends"),
        _series(curves),
    ],
    starts=_sinh_starts,
    currents=_sinh_currents,
    check=_plain("sinh"),
)


def _schottky_currents(values: Values, curves: Curves) -> FloatArray:
    """Return the current of a diode in series with a resistance and beside a leak, through Wright's omega.

    Source: Banwell and Jayakumar, Electronics Letters 36, 291 (2000).
    """
    thermal = values["ideality"] * BOLTZMANN_EV * values["temperature"]
    i_s, r = values["i_s"], max(values["r_series"], 1e-6)  # below a micro-ohm nothing changes
    scale = i_s * r / thermal
    omega = np.real(wrightomega(math.log(scale) + (curves.v + i_s * r) / thermal))
    result: FloatArray = thermal / r * omega - i_s + values["g_leak"] * curves.v
    return result


def _schottky_starts(curves: Curves, held: Values) -> Sequence[dict[str, float]]:
    """Begin with the straight part of ln I over V at several ideality factors."""
    kt = BOLTZMANN_EV * held["temperature"]
    forward = curves.measured & (curves.v > 0.0) & (curves.current > 0.0)
    v, log = curves.v[forward], np.log(curves.current[forward])
    leak, largest = 0.5 * float(np.nanmin(secants(curves))), float(np.nanmax(secants(curves)))
    starts = []
    for ideality, part, r in itertools.product((1.0, 1.5, 2.5, 5.0), (0.3, 0.6, 1.0), (0.01, 0.5)):
        level = float(np.median((log - v / (ideality * kt))[v <= max(part * v.max(), v.min())]))
        i_s = math.exp(min(max(level, -60.0), 0.0))
        starts += [{"i_s": i_s, "ideality": ideality, "g_leak": leak, "r_series": r / largest}]
    return starts


def _check_schottky(curves: Curves) -> None:
    _plain("schottky")(curves)
    size = np.abs(curves.current)
    if not np.any(curves.v > 0.0):
        raise ParameterError(f"the law schottky needs positive voltages, but {curves.source} holds none")
    if np.any(curves.v < 0.0):
        reach = min(curves.v.max(), -curves.v.min())
        sides = [size[(np.sign(curves.v) == sign) & (np.abs(curves.v) >= 0.7 * reach)] for sign in (1.0, -1.0)]
        if all(side.size for side in sides):
            ratio = max(float(np.median(sides[0])), 1e-30) / max(float(np.median(sides[1])), 1e-30)
            if ratio < 1.0 / RECTIFYING:
                raise ParameterError(
                    f"{curves.source} conducts {1 / ratio:.3g} times better at negative voltages: negate voltages and "
                    "currents for the law schottky"
                )
            if ratio < RECTIFYING:
                raise ParameterError(
                    f"{curves.source} does not rectify: the currents of both polarities differ by a factor of "
                    f"{ratio:.3g}, and the law schottky is of contacts that do"
                )


SCHOTTKY = LawToFit(
    name="schottky",
    about="a rectifying contact in series with a resistance and beside a leak",
    source="Sze and Ng, Physics of Semiconductor Devices, 3rd ed. (2007), section 3.3",
    parameters=lambda curves: [
        Parameter("i_s", "A", 1e-24, 1.0, "measure more points at small forward voltages"),
        Parameter("ideality", "", 0.5, 50.0, "measure more points at small forward voltages"),
        _series(curves),
        Parameter("g_leak", "S", 0.0, 1.0, "measure negative voltages", float(np.nanmin(secants(curves)))),
    ],
    starts=_schottky_starts,
    currents=_schottky_currents,
    fixed={"temperature": 300.0},
    check=_check_schottky,
)


def _space_charge_currents(values: Values, curves: Curves) -> FloatArray:
    size = np.abs(curves.v)
    result: FloatArray = values["g"] * curves.v * (1.0 + (size / values["v_x"]) ** (values["power"] - 1.0))
    return result


SPACE_CHARGE = LawToFit(
    name="space_charge",
    about="ohmic at small voltages, limited by space charge above v_x: I = g V (1 + (|V| / v_x)^(power - 1))",
    source="Lampert and Mark, Current Injection in Solids (1970); power 2 without traps (Mott and Gurney), more with "
    "them",
    parameters=lambda curves: [
        CONDUCTANCE,
        Parameter("v_x", "V", 1e-3, 1e3, "sweep from the ohmic part to well above it"),
        Parameter("power", "", 1.05, 20.0, "sweep to voltages well above the ohmic part"),
    ],
    starts=lambda curves, _: [
        {"g": small_signal(curves), "v_x": part * float(np.abs(curves.v).max()), "power": power}
        for part in (0.2, 0.5, 1.0)
        for power in (2.0, 4.0)
    ],
    currents=_space_charge_currents,
    check=_plain("space_charge"),
)


def _poole_frenkel_currents(values: Values, curves: Curves) -> FloatArray:
    exponent = np.minimum(np.sqrt(np.abs(curves.v) / values["v_pf"]), 600.0)
    result: FloatArray = values["g"] * curves.v * np.exp(exponent)
    return result


POOLE_FRENKEL = LawToFit(
    name="poole_frenkel",
    about="emission from traps whose barrier the field lowers: I = g V exp(sqrt(|V| / v_pf)), "
    "v_pf = pi eps d (kT)^2 / q^3",
    source="Frenkel, Physical Review 54, 647 (1938); Sze and Ng, Physics of Semiconductor Devices, 3rd ed., "
    "section 6.5",
    parameters=lambda curves: [
        CONDUCTANCE,
        Parameter("v_pf", "V", 1e-5, 1e3, "sweep to voltages where the curve bends"),
    ],
    starts=lambda curves, _: [
        {"g": small_signal(curves) / math.e, "v_pf": part * float(np.abs(curves.v).max())} for part in (0.01, 0.1, 1.0)
    ],
    currents=_poole_frenkel_currents,
    check=_plain("poole_frenkel"),
)
