"""Laws to fit: each against its physics and a plain twin, the truth inside its intervals, and what each refuses."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.optimize import brentq

from benchmarks import fitting as cell_trials
from benchmarks.law_fitting import TRIALS, measure, run
from devices import ParameterError
from devices.measurements import (
    LAWS,
    Curves,
    Waveform,
    bootstrap,
    compare_laws,
    filament_cell,
    fit_law,
    pku_cell,
    simulate,
    vteam_cell,
    with_rate,
)
from devices.measurements.summary import ramp
from devices.plots import laws_figure

LOOPS = ("vteam", "stanford_pku", "gem")  # of one gate voltage, or of a swept gate


def points(v, v_gate=0.0, current=None, state=0, time=None, **more):
    v = np.asarray(v, dtype=float)
    ones = np.ones(v.size)
    given = ones if current is None else np.asarray(current, dtype=float)
    zeros = np.zeros(v.size, dtype=np.int64)
    return Curves(v, given, v_gate * ones, zeros, state * np.ones(v.size, dtype=np.int64), time, **more)


def currents(law, curves, **values):
    return LAWS[law].currents({**LAWS[law].fixed, **values}, curves)


# ------------------------------------------------------------------------------------------------ recovery


@pytest.mark.parametrize("law", LAWS)
def test_fit_law__without_noise_it_finds_the_parameters(law, rng):
    trial = TRIALS[law]._replace(noise=1e-6, floor=0.0)
    curves, truth = measure(law, trial, rng)
    fit = fit_law(curves, law, trial.hold, bound=2.0)
    for each in fit.estimates:
        assert each.value == pytest.approx(truth[each.name], rel=1e-3, abs=0), each.name
    assert fit.noise_relative < 1e-5


@pytest.mark.parametrize("law", LAWS)
def test_fit_law__intervals_hold_the_truth_as_often_as_they_say(law):
    """Ten measurements of each law; benchmarks/law_fitting.py does a hundred."""
    inside, refused = run(law, 10, seed=1)
    assert refused == 0
    assert min(inside.values()) >= 7  # fewer in 1 of 1000 parameters


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_fit_law__intervals_hold_the_truth_in_ninety_of_a_hundred(law):
    inside, refused = run(law, 100)
    assert refused == 0
    assert min(inside.values()) >= 90


@pytest.mark.slow
@pytest.mark.parametrize("name", cell_trials.RUNS)
def test_fit_cell__intervals_hold_the_truth_in_ninety_of_a_hundred(name):
    gates, held, noise = cell_trials.RUNS[name]
    found = [cell_trials.trial(rng, gates, held, noise) for rng in np.random.default_rng(0).spawn(100)]
    results = [each for each in found if each is not None]
    for parameter in results[0][0]:
        assert sum(inside[parameter] for inside, _ in results) >= 90, parameter


def test_bootstrap__agrees_with_the_intervals_of_the_fit(rng):
    trial = TRIALS["poole_frenkel"]
    curves, _ = measure("poole_frenkel", trial, rng)
    fit = fit_law(curves, "poole_frenkel")
    for name, (low, high) in bootstrap(fit, rng, 200).items():
        width = fit[name].high - fit[name].low
        assert high - low == pytest.approx(width, rel=0.3)  # a quantile of 200 draws is good to a tenth
        assert abs(low - fit[name].low) < 0.25 * width
    with pytest.raises(ParameterError, match="draws must be ≥ 20, got 5"):
        bootstrap(fit, rng, 5)


def test_fit_law__powers_can_be_freed(rng):
    """VTEAM holds its powers; freed, they are found with the rest, from one loop with little noise."""
    trial = TRIALS["vteam"]._replace(noise=0.002)
    truth = trial.truth | {"alpha_on": 1.6, "alpha_off": 0.8}
    curves, truth = measure("vteam", trial._replace(truth=truth, spread=0.0), rng)
    fit = fit_law(curves, "vteam", free=["alpha_on", "alpha_off"], bound=2.0)
    for name in ("alpha_on", "alpha_off", "v_on", "v_off"):
        assert fit[name].low - 0.1 < truth[name] < fit[name].high + 0.1
        assert fit[name].value == pytest.approx(truth[name], rel=0.1)
    assert not fit["alpha_on"].held


def test_fit_law__points_at_a_limit_count_as_at_least_that(rng):
    curves, truth = measure("sinh", TRIALS["sinh"], rng)
    limit = 0.5 * float(np.abs(curves.current).max())
    held = np.abs(curves.current) > limit
    clipped = dataclasses.replace(curves, current=np.clip(curves.current, -limit, limit), censored=held)
    fit = fit_law(clipped, "sinh", bound=2.0)
    for name in ("g", "v_0", "r_series"):
        assert fit[name].low - 0.1 * truth[name] <= truth[name] <= fit[name].high + 0.1 * truth[name]
    assert fit.degrees == np.count_nonzero(~held) - 3
    assert not np.any(fit.residuals[held] * np.sign(curves.current[held]) < 0)


# ------------------------------------------------------------------------------------------------- physics


def test_schottky__is_the_implicit_equation(rng):
    v = np.linspace(-1.0, 1.0, 41)
    values = {"i_s": 3e-9, "ideality": 1.7, "r_series": 450.0, "g_leak": 2e-8, "temperature": 330.0}
    found = currents("schottky", points(v), **values)
    thermal = 1.7 * 8.617333262e-5 * 330.0

    def diode(volts):
        top = max(volts / 450.0, 0.0) + 1e-12
        return brentq(
            lambda i: 3e-9 * math.expm1((volts - 450.0 * i) / thermal) - i, -1e-8, top, xtol=1e-22, rtol=1e-14
        )

    assert np.allclose(found, [diode(x) + 2e-8 * x for x in v], rtol=1e-9, atol=1e-20)


def test_sinh__straight_at_small_voltages_and_behind_the_resistance():
    small, large = points([1e-4]), points([50.0])
    assert currents("sinh", small, g=1e-5, v_0=0.3, r_series=0.0) == pytest.approx(1e-9, rel=1e-6, abs=0)
    assert currents("sinh", large, g=1e-3, v_0=0.1, r_series=1e3)[0] == pytest.approx(0.05, rel=0.05, abs=0)


def test_gated_filament__is_the_simulated_cell_at_every_gate_voltage():
    """The law's own integrator against `simulate`, which takes adaptive steps."""
    trial = TRIALS["gated_filament"]
    empty = points(trial.v, trial.v_gate, time=trial.time)
    cell = filament_cell(trial.truth)
    exact = simulate(cell, Waveform(trial.time, trial.v, trial.v_gate), largest_step=1e-3)
    found = currents("gated_filament", empty, **trial.truth)
    assert np.allclose(found, exact.current, rtol=0.01, atol=2e-3 * np.abs(exact.current).max())
    resets = [
        trial.v[at][np.argmax(exact.state[at] * (trial.v[at] < 0.0) * (np.gradient(exact.state[at]) < -1e-2))]
        for at in (trial.v_gate == gate for gate in np.unique(trial.v_gate))
    ]
    assert resets[0] > resets[1] > resets[2]  # beta_reset = -0.3: an open gate hinders RESET


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"v_gate": 0.0}, "needs at least 2 gate voltages"),
        ({"v": np.abs(TRIALS["gated_filament"].v)}, "voltages of one sign at gate voltage -1 V"),
        ({"time": None}, "needs a column 'time'"),
    ],
)
def test_gated_filament__refuses_what_does_not_tell_it(change, sentence):
    trial = TRIALS["gated_filament"]
    given = {"v": trial.v, "v_gate": trial.v_gate, "time": trial.time, "current": 1e-6 * trial.v} | change
    if "v" in change:
        given["current"] = 1e-6 * given["v"]
    with pytest.raises(ParameterError, match=sentence):
        fit_law(points(**given), "gated_filament")


def test_space_charge__slopes_and_crossing():
    curves = points([1e-3, 2e-3, 0.7, 500.0, 1000.0])
    i = currents("space_charge", curves, g=1e-6, v_x=0.7, power=2.0)
    assert i[1] / i[0] == pytest.approx(2.0, rel=0.01)
    assert i[2] == pytest.approx(2.0 * 0.7e-6, rel=1e-12, abs=0)
    assert i[4] / i[3] == pytest.approx(4.0, rel=0.01)


def test_poole_frenkel__ln_conductance_is_straight_over_the_root():
    v = np.array([0.25, 1.0, 2.25])
    log = np.log(currents("poole_frenkel", points(v), g=1e-8, v_pf=0.01) / v)
    assert np.diff(log) == pytest.approx([5.0, 5.0], rel=1e-12)
    assert currents("poole_frenkel", points(-v), g=1e-8, v_pf=0.01) == pytest.approx(
        -currents("poole_frenkel", points(v), g=1e-8, v_pf=0.01), rel=1e-14, abs=0
    )


def test_graphene__is_even_about_its_dirac_point_and_saturates_at_the_contacts():
    values = {"v_dirac": 4.0, "mobility": 0.5, "n_0": 2e15, "r_contact": 500.0, "c_gate": 1.15e-4}
    gates = np.array([-16.0, 4.0, 24.0])
    i = currents("graphene", dataclasses.replace(points([0.1] * 3), v_gate=gates), **values)
    assert i[0] == pytest.approx(i[2], rel=1e-12, abs=0)
    assert i[1] == pytest.approx(0.1 / (500.0 + 1.0 / (0.5 * 1.602176634e-19 * 2e15)), rel=1e-12, abs=0)
    far = currents("graphene", points([0.1], 1e6), **values)
    assert far[0] == pytest.approx(0.1 / 500.0, rel=1e-2, abs=0)


def test_fefet__weak_inversion_is_exponential_and_strong_inversion_square():
    values = {"i_spec": 1e-6, "slope": 1.5, "v_threshold": 0.5, "g_leak": 0.0}
    thermal = 8.617333262e-5 * 300.0
    gates = np.array([-0.3, -0.3 + 1.5 * thermal])
    weak = currents("fefet", dataclasses.replace(points([1.0, 1.0]), v_gate=gates), **values)
    assert weak[1] / weak[0] == pytest.approx(math.e, rel=1e-4)
    strong = currents("fefet", points([5.0], 2.5), **values)[0]
    assert strong == pytest.approx(1e-6 * (2.0 / 1.5 / (2.0 * thermal)) ** 2, rel=1e-6, abs=0)


def test_ecram__middle_and_ends():
    gates = np.array([-9.0, 0.2, 9.0])
    i = currents(
        "ecram",
        dataclasses.replace(points([0.1] * 3), v_gate=gates),
        g_closed=1e-6,
        g_open=9e-6,
        v_width=0.3,
        v_middle=0.2,
    )
    assert i == pytest.approx([1e-7, 5e-7, 9e-7], rel=1e-9, abs=0)


@pytest.mark.parametrize("law", ["vteam", "stanford_pku"])
def test_loops__are_those_of_the_cell_of_that_name(law):
    """The same cell, moved step by step through its own evolve."""
    trial = TRIALS[law]
    cell = {"vteam": vteam_cell, "stanford_pku": pku_cell}[law](trial.truth)
    states = ramp(cell, trial.v, 0.0, 0.0)
    exact = cell.current(states, 0.0, trial.v)[0]
    found = currents(law, points(trial.v, time=trial.time), **trial.truth)
    assert np.allclose(found, exact, rtol=1e-3, atol=1e-15)  # steps of 0.02 and of 0.005


def test_gem__relaxes_towards_on_at_a_constant_gate_voltage():
    time = np.linspace(0.0, 2.0, 21)
    values = {"g_off": 1e-6, "g_on": 1e-4, "k_on": 1.5, "k_off": 1.5, "v_on": 1.0, "v_off": 1.0}
    found = currents("gem", points(np.full(21, 0.1), 2.0, time=time), **values) / 0.1
    state = np.log(found / 1e-6) / math.log(100.0)
    assert state == pytest.approx(1.0 - np.exp(-1.5 * time), rel=1e-5, abs=1e-9)
    held = currents("gem", points(np.full(21, 0.1), 0.9, time=time), **values, x_start=0.5)
    assert np.allclose(held / 0.1, 1e-5, rtol=1e-12)
    bent = currents("gem", points(np.full(21, 3.0), 0.0, time=time), **values | {"x_start": 0.5, "v_saturation": 1.0})
    assert np.allclose(bent, 1e-5, rtol=1e-12)


# ----------------------------------------------------------------------------------------------- comparison


def test_compare_laws__the_law_behind_the_points_is_ahead_and_others_say_why_not(rng):
    curves, _ = measure("schottky", TRIALS["schottky"], rng)
    found = compare_laws(curves)
    assert found.fits[0].law.name == "schottky"
    assert all(a.aic <= b.aic for a, b in zip(found.fits, found.fits[1:], strict=False))
    assert found.fits[0].usable
    for each in found.fits[1:]:
        assert each.aic > found.fits[0].aic + 100.0
        assert each.bic > found.fits[0].bic + 100.0
        assert not each.usable
        assert "departs from the points by more than their noise" in each.notes[-1]
    assert "needs at least 6 gate voltages" in found.refused["fefet"]
    assert "needs a column 'time'" in found.refused["vteam"]
    assert laws_figure(found.fits).get_axes()


def test_compare_laws__criteria_charge_for_parameters(rng):
    """A leak that is not there: one parameter more, at most a little more likelihood."""
    curves, _ = measure("schottky", TRIALS["schottky"], rng)
    full, less = fit_law(curves, "schottky", bound=10.0), fit_law(curves, "schottky", {"ideality": 1.6})
    assert full.free == less.free + 1
    assert full.aic == pytest.approx(2 * full.free - 2 * full.log_likelihood)
    assert full.bic - full.aic == pytest.approx(full.free * (math.log(curves.v.size) - 2.0))


def test_log_likelihood__is_that_of_normal_noise(rng):
    curves, _ = measure("poole_frenkel", TRIALS["poole_frenkel"], rng)
    fit = fit_law(curves, "poole_frenkel")
    sigma = np.hypot(fit.noise_relative * fit.predicted, fit.noise_floor)
    left = curves.current - fit.predicted
    plain = -0.5 * np.sum((left / sigma) ** 2 + np.log(2 * np.pi * sigma**2))
    assert fit.log_likelihood == pytest.approx(plain, rel=1e-9)


# ------------------------------------------------------------------------------------------------- refusals


V = np.concatenate([np.linspace(-1, -0.05, 20), np.linspace(0.05, 1, 20)])
TIME = np.arange(40.0)
REFUSED = {
    "two filaments": ("sinh", {"state": np.repeat([0, 1], 20)}, {}, "is of one filament, but curves holds"),
    "a gate": ("sinh", {"v_gate": np.repeat([0.0, 1.0], 20)}, {}, "has no gate, but curves holds 2 gate voltages"),
    "symmetric": ("schottky", {}, {}, "does not rectify: the currents of both"),
    "the other way": (
        "schottky", {"current": V * np.where(V < 0, 1e-3, 1e-6)}, {}, "times better at negative voltages",
    ),
    "straight": ("poole_frenkel", {"current": 1e-5 * V + 1e-8 * np.sin(99 * V)}, {}, "does not determine v_pf"),
    "no capacitance": ("graphene", {"v_gate": np.linspace(-5, 5, 40)}, {}, "needs c_gate, which no curve tells"),
    "one gate voltage": ("ecram", {}, {}, "needs at least 6 gate voltages, but curves holds 1"),
    "no time": ("vteam", {}, {}, "needs a column 'time', or the rate of the sweep"),
    "time that runs back": ("vteam", {"time": -TIME}, {}, "times must rise from point to point"),
    "one polarity": ("vteam", {"v": np.abs(V), "current": np.abs(V), "time": TIME}, {}, "need a loop through both"),
    "no switching": ("stanford_pku", {"time": TIME}, {}, "shows no switching"),
    "at a limit": ("vteam", {"time": TIME, "censored": V > 0.9}, {}, "needs measured voltages"),
    "unknown law": ("sin", {}, {}, "unknown law 'sin'; nearest valid: sinh"),
    "unknown parameter": ("sinh", {}, {"v0": 1.0}, "unknown parameter to hold 'v0'; nearest valid: v_0"),
    "another law": (
        "space_charge", {"current": 1e-6 * V * np.abs(V) * (2 + np.sin(40 * V))}, {}, "misses curves by|determine",
    ),
    "beyond numbers": (
        "poole_frenkel", {"current": 1e300 * V}, {}, "are the units of current and voltage right",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_fit_law__refuses_in_one_sentence(case):
    law, change, hold, message = REFUSED[case]
    curves = points(V, current=1e-5 * V)
    curves = dataclasses.replace(curves, **change)
    with pytest.raises(ParameterError, match=message) as caught:
        fit_law(curves, law, hold)
    assert "\n" not in str(caught.value)


def test_fit_law__few_readings_and_rates():
    with pytest.raises(ParameterError, match="has 5 readings for 3 parameters of the law sinh; 6 are the least"):
        fit_law(points([0.1, 0.2, 0.3, 0.4, 0.5], current=1e-6 * np.arange(1, 6)), "sinh")
    curves = with_rate(points([0.0, 1.0, -1.0, 0.0]), 2.0)
    assert np.allclose(curves.time, [0.0, 0.5, 1.5, 2.0])
    with pytest.raises(ParameterError, match="rate must be > 0 V/s"):
        with_rate(curves, 0.0)
    with pytest.raises(ParameterError, match=r"no law of sinh, fefet fits curves; sinh: .* readings"):
        compare_laws(points([0.1, 0.2, 0.3, 0.4, 0.5], current=1e-6 * np.arange(1, 6)), ["sinh", "fefet"])


def test_laws__say_what_they_are():
    for name, law in LAWS.items():
        assert law.name == name
        assert len(law.source) > 20
        assert len(law.names) == len(set(law.names))
