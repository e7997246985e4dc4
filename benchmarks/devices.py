"""A million cells along a waveform, beside the same step in NumPy on the same cores.

    python -m benchmarks.devices [--cells 1000000] [--steps 1000] [--numpy-steps 10]

Both take the midpoint exponential-Euler step of docs/equations/dynamics.md eq. 7, for cells with gate offsets of their
own under a triangle of 1 V/s that sets and resets all of them; NumPy does it with whole arrays and without sub-steps.
NumPy takes a few of the steps, spread over the waveform; the results are compared before a time counts.
"""

import argparse
import os
import platform
import time

import numpy as np
from rich.console import Console

from devices import AdaptiveMemristor, Waveform, simulate
from devices.jit import threads


def barrier(a, s):
    """u of u + a sinh(u) = s by Halley steps, all cells together."""
    u = np.minimum(s / (1.0 + a), np.arcsinh(s / a))
    for _ in range(6):
        sinh = np.sinh(u)
        slope = 1.0 + a * np.sqrt(1.0 + sinh * sinh)
        step = (u + a * sinh - s) / slope
        step /= 1.0 - np.minimum(0.5 * step * a * sinh / slope, 0.5)
        u -= step
        if np.all(np.abs(step) <= 1e-6 * np.abs(u) + 1e-300):
            break
    return u


def rates(law, growth, w, v, gain, boost):
    """up and down [1/s] of all cells at one voltage."""
    a = law.r_series * gain * growth.g_min * np.exp(growth.ln_window * w)
    v_j = law.v_0 * barrier(a, abs(v) / law.v_0)
    down = 0.25 / (growth.lifetime * (w**4 + growth.w_critical**4))
    if v > 0.0:
        return growth.k_set * boost * np.expm1(v_j / growth.v_set), down
    return np.zeros_like(w), down + growth.k_reset * np.expm1(v_j / growth.v_reset)


def frozen(w, up, down, dt):
    total = up + down
    return np.clip(w + (w - up / total) * np.expm1(-total * dt), 0.0, 1.0)


def numpy_step(law, growth, w, v, gain, boost, dt):
    up, down = rates(law, growth, w, v, gain, boost)
    middle = frozen(w, up, down, 0.5 * dt)
    up, down = rates(law, growth, middle, v, gain, boost)
    return frozen(w, up, down, dt)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--cells", type=int, default=1_000_000)
    arguments.add_argument("--steps", type=int, default=1000)
    arguments.add_argument("--numpy-steps", type=int, default=10)
    options = arguments.parse_args()
    console = Console()
    console.print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {threads()} threads, "
        f"numpy {np.__version__}"
    )
    rng, cell = np.random.default_rng(1), AdaptiveMemristor()
    w, offset = rng.random(options.cells), rng.normal(0.0, 0.05, options.cells)
    law, growth = cell.law, cell.growth()
    gain = cell.gain_with_offset(1.0, offset)
    boost = np.exp(growth.gate_per_ev * cell.fermi_energy(1.0 - offset))
    phase = np.linspace(0.0, 4.0, options.steps + 1)
    v = 0.5 * (1.0 - np.abs((phase + 1.0) % 4.0 - 2.0))  # to 0.5 V, to -0.5 V and back
    times = phase * 0.5
    simulate(cell, Waveform(times[:3], v[:3], 1.0), w[:10])  # compiles

    chosen = np.linspace(0, options.steps - 1, options.numpy_steps).astype(int)
    ours, theirs, worst, fast = 0.0, 0.0, 0.0, 0
    for k in chosen:  # the same steps in turn, from the same states
        piece = Waveform(times[k : k + 2], v[k : k + 2], 1.0)
        start = time.perf_counter()
        after = numpy_step(law, growth, w, 0.5 * (v[k] + v[k + 1]), gain, boost, times[k + 1] - times[k])
        theirs += time.perf_counter() - start
        own = simulate(cell, piece, w, gate_offset=offset, every=None).state[-1]
        slow = np.abs(own - w) < 1e-3  # where one step is enough, both must agree
        worst, fast = max(worst, np.abs(own - after)[slow].max()), fast + np.count_nonzero(slow)
    start = time.perf_counter()
    trace = simulate(cell, Waveform(times, v, 1.0), w, gate_offset=offset, every=None)
    ours = time.perf_counter() - start
    again = time.perf_counter()
    for k in chosen:
        numpy_step(law, growth, w, 0.5 * (v[k] + v[k + 1]), gain, boost, times[k + 1] - times[k])
    theirs = min(theirs, time.perf_counter() - again)
    count = options.cells * options.steps
    per_ours, per_theirs = ours / count, theirs / (options.cells * options.numpy_steps)
    console.print(
        f"{options.cells} cells, {options.steps} steps: {ours:.1f} s, {per_ours * 1e9:.1f} ns a step of a cell; "
        f"NumPy {per_theirs * 1e9:.0f} ns: [bold]{per_theirs / per_ours:.0f} ×[/bold]"
    )
    console.print(
        f"states end between {trace.state[-1].min():.3g} and {trace.state[-1].max():.3g}; "
        f"both agree within {worst:.1e} on {fast / (options.cells * options.numpy_steps):.0%} of the single steps"
    )


if __name__ == "__main__":
    main()
