"""Do the intervals of fitted laws hold what they promise?  Noisy points of every law, counted.

    python -m benchmarks.law_fitting [--trials 100] [--laws sinh,schottky] [--bootstrap]

Each trial draws the parameters of a law about the values below, adds noise of 1 % and a floor to its currents, fits the
law and looks whether each true parameter lies in its interval of 95 %.  A fit that refuses counts as refused.
"""

import argparse
import time
from typing import NamedTuple

import numpy as np

from devices import ConvergenceError, ParameterError
from devices.measurements import Curves
from devices.measurements.law_fitting import bootstrap, fit_law
from devices.measurements.laws_to_fit import LAWS


class Trial(NamedTuple):
    """How a law is measured in a trial, and what is true."""

    v: np.ndarray
    v_gate: np.ndarray
    state: np.ndarray
    truth: dict[str, float]
    hold: dict[str, float]
    noise: float = 0.01
    floor: float = 1e-12
    spread: float = 0.2  # of the drawn parameters about the truth, relative
    time: np.ndarray | None = None


def grid(volts, gates=(0.0,), states=1):
    """Return voltages, gate voltages and states of every combination."""
    axes = np.meshgrid(np.arange(states), gates, volts, indexing="ij")
    return axes[2].ravel(), axes[1].ravel(), axes[0].ravel().astype(int)


BOTH = np.concatenate([np.linspace(-1, -0.02, 40), np.linspace(0.02, 1, 40)])
GATES = np.linspace(-20, 30, 51)


def loop(top, bottom, points, rate=1.0):
    """Return the voltages and times of a triangle 0, top, bottom, 0 at a rate [V/s]."""
    v = np.concatenate(
        [np.linspace(0, top, points), np.linspace(top, bottom, 2 * points)[1:], np.linspace(bottom, 0, points)[1:]]
    )
    return v, np.concatenate([[0.0], np.cumsum(np.abs(np.diff(v)))]) / rate


VTEAM_V, VTEAM_T = loop(1.2, -1.2, 80)
PKU_V, PKU_T = loop(1.2, -1.2, 80)
GEM_V, GEM_T = loop(4.0, -4.0, 80)
FILAMENT_GATES = (-1.0, 1.0, 3.0)
FILAMENT_V, FILAMENT_T = loop(0.75, -0.6, 75)
PKU_HELD = dict(LAWS["stanford_pku"].fixed)
TRIALS = {
    "sinh": Trial(*grid(BOTH), {"g": 2e-5, "v_0": 0.25, "r_series": 2000.0}, {}),
    "schottky": Trial(
        *grid(np.concatenate([np.linspace(-1, -0.05, 20), np.linspace(0.05, 0.8, 60)])),
        {"i_s": 1e-9, "ideality": 1.6, "r_series": 200.0, "g_leak": 1e-8, "temperature": 300.0}, {},
    ),
    "space_charge": Trial(*grid(np.geomspace(0.02, 5, 60)), {"g": 1e-6, "v_x": 0.7, "power": 2.4}, {}),
    "poole_frenkel": Trial(*grid(np.linspace(0.05, 3, 60)), {"g": 1e-8, "v_pf": 0.15}, {}),
    "graphene": Trial(
        *grid([0.05, 0.1], GATES),
        {"v_dirac": 4.0, "mobility": 0.5, "n_0": 2e15, "r_contact": 500.0, "c_gate": 1.15e-4}, {"c_gate": 1.15e-4},
    ),
    "fefet": Trial(
        *grid([0.05, 0.2], np.linspace(-0.5, 2.0, 51), 2),
        {"i_spec": 2e-6, "slope": 1.5, "v_threshold 0": 0.5, "v_threshold 1": 0.9, "g_leak": 1e-10}
        | {"temperature": 300.0},
        {},
    ),
    "ecram": Trial(
        *grid([0.1], np.linspace(-2, 2, 41), 2),
        {"g_closed": 2e-6, "g_open": 8e-5, "v_width": 0.3, "v_middle 0": 0.2, "v_middle 1": -0.3}, {},
    ),
    "vteam": Trial(
        VTEAM_V, 0 * VTEAM_V, np.zeros(VTEAM_V.size, int),
        {"r_on": 5e3, "r_off": 2e5, "rate_on": 8.0, "rate_off": 8.0, "v_on": 0.5, "v_off": 0.5, **LAWS["vteam"].fixed},
        {}, time=VTEAM_T, spread=0.1,
    ),
    "stanford_pku": Trial(
        PKU_V, 0 * PKU_V, np.zeros(PKU_V.size, int),
        {"i_0": 1e-4, "g_0": 0.25e-9, "v_0": 0.3, "velocity": 0.1, "gamma_0": 16.0, **PKU_HELD}, {},
        time=PKU_T, spread=0.05,
    ),
    "gem": Trial(
        0 * GEM_V + 0.1, GEM_V, np.zeros(GEM_V.size, int),
        {"g_off": 1e-6, "g_on": 1e-4, "k_on": 1.5, "k_off": 1.5, "v_on": 1.2, "v_off": 1.0, **LAWS["gem"].fixed}, {},
        time=GEM_T, spread=0.1,
    ),
    "gated_filament": Trial(
        np.tile(FILAMENT_V, 3), np.repeat(FILAMENT_GATES, FILAMENT_V.size), np.zeros(3 * FILAMENT_V.size, int),
        {"g_min": 5e-7, "g_max": 5e-5, "k_set": 7.4e-5, "v_set": 0.035, "beta": 0.5}
        | {"k_reset": 2e-3, "v_reset": 0.035, "beta_reset": -0.3, **LAWS["gated_filament"].fixed}, {},
        time=np.concatenate([FILAMENT_T + k * FILAMENT_T[-1] for k in range(3)]), spread=0.1,
    ),
}  # fmt: skip


def measure(law, trial, rng):
    """Return noisy points of a law with drawn parameters, and the parameters."""
    truth = {
        name: value if name in {*trial.hold, *LAWS[law].fixed} else value * (1.0 + trial.spread * rng.uniform(-1, 1))
        for name, value in trial.truth.items()
    }
    size = trial.v.size
    sweep = np.concatenate([[0], np.cumsum((np.diff(trial.v_gate) != 0) | (np.diff(trial.state) != 0))])
    empty = Curves(
        trial.v, np.ones(size), trial.v_gate, sweep if trial.time is None else np.zeros(size), trial.state, trial.time
    )
    exact = LAWS[law].currents(truth, empty)
    current = exact * (1.0 + trial.noise * rng.standard_normal(size)) + trial.floor * rng.standard_normal(size)
    return Curves(empty.v, current, empty.v_gate, empty.sweep, empty.state, empty.time), truth


def run(law, trials, seed=0, *, resample=False):
    """Return how often each parameter lay inside its interval, and how many fits were refused."""
    inside, refused = {}, 0
    for rng in np.random.default_rng(seed).spawn(trials):
        trial = TRIALS[law]
        curves, truth = measure(law, trial, rng)
        try:
            fit = fit_law(curves, law, trial.hold, bound=2.0)
        except (ParameterError, ConvergenceError) as error:
            print(f"refused: {error}")
            refused += 1
            continue
        found = {each.name: (each.low, each.high) for each in fit.estimates if not each.held}
        if resample:
            found = bootstrap(fit, rng, 100)
        for name, (low, high) in found.items():
            inside[name] = inside.get(name, 0) + (low <= truth[name] <= high)
    return inside, refused


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--laws", default=",".join(TRIALS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bootstrap", action="store_true", help="intervals of the bootstrap in place of the fit's")
    given = parser.parse_args()
    for law in given.laws.split(","):
        start = time.perf_counter()
        inside, refused = run(law, given.trials, given.seed, resample=given.bootstrap)
        seconds = (time.perf_counter() - start) / given.trials
        counts = ", ".join(f"{name} {count}" for name, count in inside.items())
        print(f"{law:14} {given.trials} trials, {refused} refused, {seconds:.2f} s each: {counts}", flush=True)


if __name__ == "__main__":
    main()
