"""Laws of channels under a gate: graphene, ferroelectric transistors, electrochemical cells."""

from collections.abc import Sequence

import numpy as np

from devices.aliases import FloatArray
from devices.constants import BOLTZMANN_EV, ELEMENTARY_CHARGE
from devices.measurements.laws_to_fit.interface import (
    LawToFit,
    Parameter,
    Values,
    of_state,
    one_filament,
    secants,
    stepped_gate,
)
from devices.measurements.measured_points import Curves


def _transfer(curves: Curves) -> tuple[FloatArray, FloatArray]:
    """Return the gate voltages and the mean conductance at each [S]."""
    seen = secants(curves)
    gates, of = np.unique(curves.v_gate, return_inverse=True)
    good = np.isfinite(seen)
    total = np.bincount(of[good], seen[good], gates.size)
    count = np.bincount(of[good], minlength=gates.size)
    kept = count > 0
    return gates[kept], total[kept] / count[kept]


def _graphene_currents(values: Values, curves: Curves) -> FloatArray:
    induced = values["c_gate"] * (curves.v_gate - values["v_dirac"]) / ELEMENTARY_CHARGE
    sheet = values["mobility"] * ELEMENTARY_CHARGE * np.hypot(values["n_0"], induced)
    result: FloatArray = curves.v / (values["r_contact"] + 1.0 / sheet)
    return result


def _graphene_starts(curves: Curves, held: Values) -> Sequence[dict[str, float]]:
    gates, g = _transfer(curves)
    dirac = float(gates[np.argmin(g)])
    reach = max(float(np.abs(gates - dirac).max()), 1e-9)
    carriers = held["c_gate"] * reach / ELEMENTARY_CHARGE
    starts = []
    for contact in (0.02, 0.3):
        r_contact = contact / float(g.max())
        mobility = 1.0 / ((1.0 / g.max() - r_contact) * ELEMENTARY_CHARGE * carriers)
        n_0 = 1.0 / ((1.0 / g.min() - r_contact) * ELEMENTARY_CHARGE * mobility)
        starts.append({"v_dirac": dirac, "mobility": float(mobility), "n_0": float(n_0), "r_contact": r_contact})
    return starts


def _check_graphene(curves: Curves) -> None:
    one_filament(curves, "graphene")
    stepped_gate(curves, "graphene", 6)


GRAPHENE = LawToFit(
    name="graphene",
    about="a graphene channel that conducts on both sides of its Dirac point, with contacts; mobility is that of the "
    "channel times its width over its length",
    source="Kim et al., Applied Physics Letters 94, 062107 (2009), without quantum capacitance",
    parameters=lambda curves: [
        Parameter("v_dirac", "V", -500.0, 500.0, "step the gate through the least current", 1.0),
        Parameter("mobility", "m²/Vs", 1e-8, 1e4, "step the gate further from the Dirac point"),
        Parameter("n_0", "1/m²", 1e11, 1e19, "step the gate more finely about the Dirac point"),
        Parameter(
            "r_contact",
            "Ω",
            0.0,
            1e9,
            "step the gate further from the Dirac point",
            0.1 / float(np.nanmax(secants(curves))),
        ),
    ],
    starts=_graphene_starts,
    currents=_graphene_currents,
    needed={"c_gate": "F/m², a capacitance measurement, or permittivity over thickness"},
    check=_check_graphene,
)


def _thresholds(values: Values, curves: Curves, name: str) -> FloatArray:
    names = of_state(name, curves.states)
    return np.array([values[each] for each in names])[curves.state]


def _fefet_currents(values: Values, curves: Curves) -> FloatArray:
    """Return the current of a transistor from weak to strong inversion, forward less reverse.

    Source: Enz, Krummenacher and Vittoz, Analog Integrated Circuits and Signal Processing 8, 83 (1995).
    """
    thermal = BOLTZMANN_EV * values["temperature"]
    pinch = (curves.v_gate - _thresholds(values, curves, "v_threshold")) / values["slope"]
    forward, reverse = (np.logaddexp(0.0, (pinch - x) / (2.0 * thermal)) ** 2 for x in (0.0, curves.v))
    result: FloatArray = values["i_spec"] * (forward - reverse) + values["g_leak"] * curves.v
    return result


def _fefet_starts(curves: Curves, held: Values) -> Sequence[dict[str, float]]:
    gates, g = _transfer(curves)
    thermal = BOLTZMANN_EV * held["temperature"]
    starts = []
    for part in (0.3, 0.5, 0.7):
        base = float(gates[0] + part * (gates[-1] - gates[0]))
        for slope in (1.3, 3.0):
            over = max(float(gates[-1]) - base, 4.0 * thermal) / slope
            i_spec = float(g.max()) * thermal / max(over / (2.0 * thermal) / 1.0, 1.0)
            shared = {"i_spec": i_spec, "slope": slope, "g_leak": float(g.min())}
            starts.append(shared | dict.fromkeys(of_state("v_threshold", curves.states), base))
    if curves.states > 1:  # each filament's own half of its largest conductance
        own = []
        for state in range(curves.states):
            volts, seen = _transfer(curves.where(curves.state == state))
            own.append(float(volts[np.argmin(np.abs(seen - 0.2 * seen.max()))]))
        starts = [s | dict(zip(of_state("v_threshold", curves.states), own, strict=True)) for s in starts[:2]] + starts
    return starts


FEFET = LawToFit(
    name="fefet",
    about="a ferroelectric transistor from weak to strong inversion beside a leak; each written state has a threshold",
    source="Enz, Krummenacher and Vittoz, Analog Integrated Circuits and Signal Processing 8, 83 (1995)",
    parameters=lambda curves: [
        Parameter("i_spec", "A", 1e-15, 1.0, "step the gate well above the threshold"),
        Parameter("slope", "", 1.0, 50.0, "step the gate more finely below the threshold"),
        *(
            Parameter(name, "V", -200.0, 200.0, "step the gate through the threshold", 1.0)
            for name in of_state("v_threshold", curves.states)
        ),
        Parameter(
            "g_leak", "S", 0.0, 1.0, "step the gate further below the threshold", float(np.nanmin(secants(curves)))
        ),
    ],
    starts=_fefet_starts,
    currents=_fefet_currents,
    fixed={"temperature": 300.0},
    check=lambda curves: stepped_gate(curves, "fefet", 6),
)


def _ecram_currents(values: Values, curves: Curves) -> FloatArray:
    middle = _thresholds(values, curves, "v_middle")
    part = 1.0 / (1.0 + np.exp(-np.clip((curves.v_gate - middle) / values["v_width"], -600.0, 600.0)))
    result: FloatArray = curves.v * (values["g_closed"] + (values["g_open"] - values["g_closed"]) * part)
    return result


def _ecram_starts(curves: Curves, _: Values) -> Sequence[dict[str, float]]:
    gates, g = _transfer(curves)
    span = float(gates[-1] - gates[0])
    return [
        {"g_closed": float(g.min()), "g_open": float(g.max()), "v_width": width * span}
        | dict.fromkeys(of_state("v_middle", curves.states), float(gates[0]) + part * span)
        for part in (0.3, 0.5, 0.7)
        for width in (0.05, 0.2)
    ]


ECRAM = LawToFit(
    name="ecram",
    about="a channel whose conductance its gate moves between two ends without a filament; each written state shifts "
    "the middle",
    source="ours: a logistic curve between the ends, as transfer curves of electrochemical cells show",
    parameters=lambda curves: [
        Parameter("g_closed", "S", 1e-14, 10.0, "step the gate until the channel is closed"),
        Parameter("g_open", "S", 1e-14, 10.0, "step the gate until the channel is open"),
        Parameter("v_width", "V", 1e-4, 1e3, "step the gate more finely"),
        *(
            Parameter(name, "V", -500.0, 500.0, "step the gate through half opening", 1.0)
            for name in of_state("v_middle", curves.states)
        ),
    ],
    starts=_ecram_starts,
    currents=_ecram_currents,
    check=lambda curves: stepped_gate(curves, "ecram", 6),
)
