"""Coverage of a fit's confidence intervals: how often they contain the true parameters of noisy synthetic data.

    python -m benchmarks.fitting [--trials 100] [--seed 0]

Each trial draws a cell and simulates measurements as for `crossgate fit` (three filaments, thirteen gate voltages, 41
voltages, noise of 1 % and 10 pA).  It fits them with the gate capacitance held, and tests whether each true parameter
lies in its 95 % interval.  A second run holds no parameter: with 29 gate voltages from -4 to 10 V and noise of 0.2 %
the capacitance can be fitted as well.  A fit that reports undetermined parameters counts as refused, not as inside.
"""

import argparse
import time

import numpy as np

from devices import AdaptiveMemristor, ParameterError
from devices.measurements.curves import simulate_curves
from devices.measurements.fitting import fit_cell

RANGES = {  # ranges of the true parameters around the default; ours
    "g_min": (0.3e-6, 1e-6), "g_max": (20e-6, 60e-6), "v_0": (0.2, 0.4), "r_series": (500.0, 3000.0),
    "g_leak": (5e-10, 5e-9), "v_dirac": (-0.5, 0.5), "c_gate": (1e-3, 2e-3), "n_0": (1e15, 4e15),
    "gain_min": (0.005, 0.03), "e_half": (0.1, 0.16), "ideality": (1.2, 2.0),
}  # fmt: skip
V = np.linspace(-0.4, 0.4, 41)
RUNS = {
    "gate capacitance held": (np.linspace(-2, 4, 13), ("c_gate",), 0.01),
    "nothing held": (np.linspace(-4, 10, 29), (), 0.002),
}


def draw(rng):
    values = {}
    for name, (low, high) in RANGES.items():
        values[name] = rng.uniform(low, high) if low < 0.0 else low * (high / low) ** rng.random()
    return AdaptiveMemristor(**values, v_gate_min=-4.0, v_gate_max=10.0)


def trial(rng, gates, held, noise):
    """Return for each parameter whether its interval contains the true value, and half its width over that value.

    Returns None if the fit is refused.
    """
    cell = draw(rng)
    filaments = [cell.g_min, (cell.g_min * cell.g_max) ** 0.5, cell.g_max]
    curves = simulate_curves(cell, filaments, V, gates, rng, noise)
    try:
        fit = fit_cell(curves, {name: getattr(cell, name) for name in held})
    except ParameterError as error:
        print(f"refused: {error}")
        return None
    found = [each for each in fit.estimates if not each.held]
    truth = {each.name: getattr(cell, each.name) for each in found}
    inside = {each.name: each.low <= truth[each.name] <= each.high for each in found}
    width = {each.name: 0.5 * (each.high - each.low) / abs(truth[each.name]) for each in found}
    return inside, width


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name, (gates, held, noise) in RUNS.items():
        start = time.perf_counter()
        trials = [trial(rng, gates, held, noise) for rng in np.random.default_rng(given.seed).spawn(given.trials)]
        results = [each for each in trials if each is not None]
        seconds = (time.perf_counter() - start) / given.trials
        print(f"\n{name}: {given.trials} trials, {given.trials - len(results)} refused, {seconds:.2f} s each")
        print(f"{'parameter':12}{'inside':>8}{'median half width':>20}")
        for parameter in results[0][0]:
            count = sum(inside[parameter] for inside, _ in results)
            print(f"{parameter:12}{count:8d}{np.median([width[parameter] for _, width in results]):20.2%}")
        print(f"{'all at once':12}{sum(all(inside.values()) for inside, _ in results):8d}")


if __name__ == "__main__":
    main()
