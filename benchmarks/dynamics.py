"""Time of a million cells along a waveform, compared with the same steps in NumPy on the same cores.

    python -m benchmarks.dynamics [--cells 1000000] [--steps 1000] [--numpy-steps 10]

Both take the midpoint exponential-Euler step of docs/equations/dynamics.md eq. 2.  All cells have their own gate offset
and get a triangular voltage of 1 V/s that sets and resets them.  Our code divides steps where states change fast, NumPy
does not.  NumPy computes a few of the steps, evenly chosen, in four ways: plain formulas on one core; all operations in
place on whole arrays, one core; the same in pieces that stay in the caches, one core; and those pieces on all cores by
threads.  The results of all are compared with ours before their times are used.
"""

import argparse
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from rich.console import Console

from devices import AdaptiveMemristor, Waveform, simulate
from devices.numerics.worker_threads import threads

PIECE = 16_384  # cells of a piece: ten arrays of this size stay in the L2 cache


def barrier(a, s):
    """Root u of u + a sinh(u) = s by Halley steps, for all cells together."""
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


def plain_step(law, growth, w, v, gain, boost, dt):
    """The formulas in plain NumPy."""
    up, down = rates(law, growth, w, v, gain, boost)
    middle = frozen(w, up, down, 0.5 * dt)
    up, down = rates(law, growth, middle, v, gain, boost)
    return frozen(w, up, down, dt)


class InPlace:
    """The same step without a new array, and with the hyperbolic functions of the shared voltage taken once.

    Two Halley steps from the applied voltage and one more for the middle, as ours.
    """

    def __init__(self, law, growth, series, boost):
        self.law, self.growth, self.series = law, growth, series
        self.grow = growth.k_set * boost
        self.room = np.empty((9, len(series)))

    def step(self, w, v, dt):
        """Take states through dt [s] at v [V], in place."""
        law, growth = self.law, self.growth
        a, u, sinh, cosh, t, f, up, total, x = self.room
        s, k = abs(v) / law.v_0, law.v_0 / (growth.v_set if v > 0.0 else growth.v_reset)

        def hyperbolic():
            np.exp(u, out=sinh)
            np.divide(0.5, sinh, out=cosh)
            np.multiply(sinh, 0.5, out=sinh)
            np.subtract(sinh, cosh, out=f)
            np.add(sinh, cosh, out=cosh)
            np.copyto(sinh, f)

        def halley(sinh, cosh):  # leaves the step in f
            np.multiply(a, sinh, out=t)
            np.multiply(a, cosh, out=total)
            np.add(total, 1.0, out=total)
            np.add(u, t, out=f)
            np.subtract(f, s, out=f)
            np.multiply(t, f, out=t)
            np.multiply(f, total, out=f)
            np.multiply(f, -2.0, out=f)
            np.multiply(total, total, out=total)
            np.multiply(total, 2.0, out=total)
            np.subtract(total, t, out=total)
            np.divide(f, total, out=f)
            np.add(u, f, out=u)

        def rates(w):  # leaves the resting state in up and the sum in total
            np.multiply(w, w, out=t)
            np.multiply(t, t, out=t)
            np.add(t, growth.w_critical**4, out=t)
            np.divide(0.25 / growth.lifetime, t, out=total)
            np.multiply(u, k, out=f)
            np.expm1(f, out=f)
            if v > 0.0:
                np.multiply(f, self.grow, out=up)
                np.add(total, up, out=total)
                np.divide(up, total, out=up)
            else:
                np.multiply(f, growth.k_reset, out=f)
                np.add(total, f, out=total)

        def follow(dt, out):
            np.multiply(total, -dt, out=total)
            np.expm1(total, out=total)
            np.subtract(w, up, out=t) if v > 0.0 else np.copyto(t, w)
            np.multiply(t, total, out=t)
            np.add(w, t, out=out)

        np.multiply(w, growth.ln_window, out=a)
        np.exp(a, out=a)
        np.multiply(a, self.series, out=a)
        u.fill(s)
        halley(np.sinh(s), np.cosh(s))
        hyperbolic()
        halley(sinh, cosh)
        rates(w)
        follow(0.5 * dt, x)
        np.multiply(x, growth.ln_window, out=a)
        np.exp(a, out=a)
        np.multiply(a, self.series, out=a)
        hyperbolic()
        halley(sinh, cosh)
        rates(x)
        follow(dt, w)
        np.clip(w, 0.0, 1.0, out=w)


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
    series = law.r_series * gain * growth.g_min
    phase = np.linspace(0.0, 4.0, options.steps + 1)
    v = 0.5 * (1.0 - np.abs((phase + 1.0) % 4.0 - 2.0))  # to 0.5 V, to -0.5 V and back
    times = phase * 0.5
    simulate(cell, Waveform(times[:3], v[:3], 1.0), w[:10])  # compiles

    whole = InPlace(law, growth, series, boost)
    cuts = [slice(k, k + PIECE) for k in range(0, options.cells, PIECE)]
    pieces = [InPlace(law, growth, series[cut], boost[cut]) for cut in cuts]
    pool = ThreadPoolExecutor(threads())

    def in_pieces(x, volts, dt):
        for cut, piece in zip(cuts, pieces, strict=True):
            piece.step(x[cut], volts, dt)

    def on_all_cores(x, volts, dt):
        list(pool.map(lambda cut, piece: piece.step(x[cut], volts, dt), cuts, pieces))

    def as_written(x, volts, dt):
        x[:] = plain_step(law, growth, x, volts, gain, boost, dt)

    ways = {
        "as written, one core": as_written,
        "in place, one core": whole.step,
        "in place, in pieces, one core": in_pieces,
        "in place, in pieces, all cores": on_all_cores,
    }
    chosen = np.linspace(0, options.steps - 1, options.numpy_steps).astype(int)
    spent, worst, taken = dict.fromkeys(ways, 0.0), 0.0, 0
    start = time.perf_counter()
    trace = simulate(cell, Waveform(times, v, 1.0), w, gate_offset=offset, every=None)
    ours = time.perf_counter() - start
    for k in chosen:  # the same steps in turn, from the same states
        own = simulate(cell, Waveform(times[k : k + 2], v[k : k + 2], 1.0), w, gate_offset=offset, every=None).state[-1]
        slow = np.abs(own - w) < 1e-3  # where one step is enough, all must agree
        taken += np.count_nonzero(slow)
        for name, way in ways.items():
            x = w.copy()
            start = time.perf_counter()
            way(x, 0.5 * (v[k] + v[k + 1]), times[k + 1] - times[k])
            spent[name] += time.perf_counter() - start
            worst = max(worst, np.abs(own - x)[slow].max())
    start = time.perf_counter()
    simulate(cell, Waveform(times, v, 1.0), w, gate_offset=offset, every=None)
    ours = min(ours, time.perf_counter() - start)
    per_ours = ours / (options.cells * options.steps)
    console.print(
        f"{options.cells} cells, {options.steps} steps: {ours:.1f} s, {per_ours * 1e9:.1f} ns a step of a cell; "
        f"states end between {trace.state[-1].min():.3g} and {trace.state[-1].max():.3g}"
    )
    for name, seconds in spent.items():
        per = seconds / (options.cells * options.numpy_steps)
        console.print(f"NumPy {name}: {per * 1e9:.0f} ns: [bold]{per / per_ours:.1f} ×[/bold]")
    console.print(
        f"all agree within {worst:.1e} on {taken / (options.cells * options.numpy_steps):.0%} of single steps"
    )


if __name__ == "__main__":
    main()
