"""Figures of cells and of fits.

The functions for a single plot draw into the given axes, or into those of a new figure, and return them.
"""

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from devices.aliases import FloatArray
from devices.cells.interface import Cell
from devices.measurements import summary
from devices.noise.read_noise import ReadNoise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from devices.measurements.fitting import Fit
    from devices.measurements.law_fitting import LawFit
    from devices.measurements.measured_points import Curves


STATES = (0.0, 0.25, 0.5, 0.75, 1.0)  #: states that a family of curves shows
PULSES = (1.05, 1.3, 1.6, 2.0)  #: pulse amplitudes over the SET voltage of a ramp


def plot_family(cell: Cell, ax: "Axes | None" = None, *, v_max: float = 0.4) -> "Axes":
    """Draw the current of five states over the cell voltage at the open gate; the states are held constant."""
    ax = _axes(ax)
    v = np.linspace(-v_max, v_max, 201)
    for w, colour in zip(STATES, _colours(len(STATES)), strict=True):
        ax.plot(v, cell.current(w, cell.v_gate_max, v)[0] * 1e6, color=colour, label=f"{w:g}")
    ax.set(xlabel="cell voltage [V]", ylabel="current [µA]", title="current of five states")
    ax.legend(title="state w", frameon=False, fontsize="small", title_fontsize="small")
    return _tidy(ax)


def plot_transfer(cell: Cell, ax: "Axes | None" = None, *, v_read: float = 0.1) -> "Axes":
    """Draw the conductance of five states at the read voltage over the gate voltage."""
    ax = _axes(ax)
    ax.set(title="gate transfer of five states")
    if not cell.gated:
        return _empty(ax, "no gate")
    v_gate = np.linspace(cell.v_gate_min, cell.v_gate_max, 201)
    for w, colour in zip(STATES, _colours(len(STATES)), strict=True):
        ax.semilogy(v_gate, np.asarray(cell.conductance(w, v_gate, v_read)) * 1e6, color=colour)
    ax.set(xlabel="gate voltage [V]", ylabel=f"conductance at {v_read:g} V [µS]")
    return _tidy(ax)


def plot_loop(cell: Cell, ax: "Axes | None" = None, *, v_max: float | None = None) -> "Axes":
    """Draw the current of a cell under a triangular voltage of 1 V/s, at the open and at the closed gate."""
    ax = _axes(ax)
    ax.set(title=f"SET and RESET, {summary.RAMP:g} V/s")
    if not summary.evolves(cell):
        return _empty(ax, "the state does not move")
    top, bottom = _loop_ends(cell) if v_max is None else (v_max, -v_max)
    turns = [0.0, top, 0.0, bottom, 0.0]
    v = np.concatenate([np.linspace(a, b, 201)[:-1] for a, b in itertools.pairwise(turns)] + [[0.0]])
    gates = {"open gate": cell.v_gate_max, "closed gate": cell.v_gate_min} if cell.gated else {"": 0.0}
    for (name, v_gate), colour in zip(gates.items(), _colours(2)[::-1], strict=False):
        states = summary.ramp(cell, v, 0.0, v_gate)
        current = np.abs(np.asarray(cell.current(states, v_gate, v)[0]))
        ax.semilogy(v, np.where(current > 0.0, current, np.nan), color=colour, label=name)
    ax.set(xlabel="cell voltage [V]", ylabel="|current| [A]")
    if cell.gated:
        ax.legend(frameon=False, fontsize="small")
    return _tidy(ax)


def plot_pulses(cell: Cell, ax: "Axes | None" = None) -> "Axes":
    """Draw the state over the length of a SET pulse, for several amplitudes at the open gate."""
    ax = _axes(ax)
    ax.set(title="one pulse")
    v_set = summary.switching_voltage(cell, 1.0, cell.v_gate_max)
    if math.isnan(v_set):
        return _empty(ax, "the state does not move")
    at = summary.times(1e-12, 1e2)
    moving = []
    for factor, colour in zip(PULSES, _colours(len(PULSES)), strict=True):
        states = summary.held(cell, 0.0, factor * v_set, cell.v_gate_max, at)
        ax.semilogx(at, states, color=colour, label=f"{factor * v_set:.2f} V")
        moving.append(at[(states > 0.01 * states[-1]) & (states < 0.99 * states[-1])])
    seen = np.concatenate(moving)
    if seen.size:
        ax.set_xlim(0.1 * seen.min(), 10.0 * seen.max())
    ax.set(xlabel="length of the pulse [s]", ylabel="state w")
    ax.legend(frameon=False, fontsize="small")
    return _tidy(ax)


def plot_read_noise(
    cell: Cell,
    ax: "Axes | None" = None,
    *,
    noise: ReadNoise | None = None,
    v_read: float = 0.1,
    lengths: tuple[float, ...] = (1e-8, 1e-7, 1e-6),
) -> "Axes":
    """Draw the read noise over the conductance, for reads of several lengths [s], at the open gate."""
    ax = _axes(ax)
    w = np.linspace(0.0, 1.0, 101)
    g = np.asarray(cell.conductance(w, cell.v_gate_max, v_read)) * 1e6
    for t_read, colour in zip(lengths, _colours(len(lengths)), strict=True):
        sigma = summary.read_noise(cell, w, cell.v_gate_max, v_read, t_read, noise or ReadNoise())
        ax.loglog(g, 100.0 * sigma, color=colour, label=f"{t_read * 1e9:g} ns")
    ax.set(xlabel=f"conductance at {v_read:g} V [µS]", ylabel="noise of a read [%]", title="read noise")
    ax.legend(title="read of", frameon=False, fontsize="small", title_fontsize="small")
    return _tidy(ax)


def plot_retention(cell: Cell, ax: "Axes | None" = None) -> "Axes":
    """Draw the filament conductance of five states over time without voltage."""
    ax = _axes(ax)
    ax.set(title="retention")
    if not summary.evolves(cell):
        return _empty(ax, "the state does not move")
    at = summary.times(1e-3)
    g = np.asarray(cell.filament(summary.held(cell, STATES, 0.0, 0.0, at))) * 1e6
    for k, colour in enumerate(_colours(len(STATES))):
        ax.loglog(at, g[:, k], color=colour)
    for seconds, name in ((3600.0, "hour"), (86400.0 * 365.25, "year")):
        ax.axvline(seconds, color="#cccccc", linewidth=0.8, zorder=0)
        ax.text(seconds, 0.9, f" {name}", transform=ax.get_xaxis_transform(), fontsize="small", color="#888888")
    ax.set_ylim(top=3.0 * float(g.max()))  # space for the labels
    ax.set(xlabel="time at rest [s]", ylabel="filament conductance [µS]")
    return _tidy(ax)


def cell_figure(cell: Cell, name: str, *, noise: ReadNoise | None = None, v_read: float = 0.1) -> "Figure":
    """Return a figure of a cell: I-V curves, gate transfer, switching loop, pulses, read noise and retention."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.4), layout="constrained")
    axes: Any = figure.subplots(2, 3)
    v_read = max(v_read, 1.5 * getattr(cell, "v_threshold", 0.0))  # below its threshold a selector hides the cell
    plot_family(cell, axes[0, 0], v_max=max(0.4, 2.0 * v_read))
    plot_transfer(cell, axes[0, 1], v_read=v_read)
    plot_loop(cell, axes[0, 2])
    plot_pulses(cell, axes[1, 0])
    plot_read_noise(cell, axes[1, 1], noise=noise, v_read=v_read)
    plot_retention(cell, axes[1, 2])
    figure.suptitle(name)
    return figure


def plot_curves(fit: "Fit", ax: "Axes | None" = None) -> "Axes":
    """Draw the measured points and the fitted curves of a fit: current over voltage, coloured by gate voltage."""
    ax = _axes(ax)
    curves = fit.curves
    gates = curves.gates
    colours = _colours(gates.size)
    for sweep in range(int(curves.sweep.max()) + 1):
        rows = np.flatnonzero(curves.sweep == sweep)
        for which in np.unique(np.searchsorted(gates, curves.v_gate[rows])):
            here = rows[curves.v_gate[rows] == gates[which]]
            ax.plot(curves.v[here], np.abs(curves.current[here]), ".", color=colours[which], markersize=3, alpha=0.6)
            for side in (here[curves.v[here] < 0.0], here[curves.v[here] > 0.0]):  # no line through 0 A
                order = side[np.argsort(curves.v[side], kind="stable")]
                ax.plot(curves.v[order], np.abs(fit.predicted[order]), color=colours[which], linewidth=0.8)
    ax.set_yscale("log")
    ax.set(xlabel="cell voltage [V]", ylabel="|current| [A]", title="points: measured, lines: fitted")
    if gates.size > 1:
        for which in sorted({0, gates.size // 2, gates.size - 1}):
            ax.plot([], [], color=colours[which], label=f"gate {gates[which]:g} V")
        ax.legend(frameon=False, fontsize="small")
    return _tidy(ax)


def plot_residuals(fit: "Fit | LawFit", ax: "Axes | None" = None, *, over: str = "v") -> "Axes":
    """Draw the residuals of a fit over "v", "v_gate" or "current"; about two in three lie in the band of ± 1 σ."""
    ax = _axes(ax)
    x: dict[str, tuple[FloatArray, str]] = {
        "v": (fit.curves.v, "cell voltage [V]"),
        "v_gate": (fit.curves.v_gate, "gate voltage [V]"),
        "current": (np.abs(fit.predicted), "|current| [A]"),
    }
    values, label = x[over]
    ax.axhspan(-1.0, 1.0, color="#dddddd", zorder=0)
    ax.scatter(values, fit.residuals, s=5, c=fit.curves.state, cmap="viridis", alpha=0.7, linewidths=0)
    if over == "current":
        ax.set_xscale("log")
    ax.set(xlabel=label, ylabel="residual [σ]")
    return _tidy(ax)


def plot_points(curves: "Curves", ax: "Axes | None" = None, *, over: str = "v", log: bool = False) -> "Axes":
    """Draw measured points over "v" or "v_gate", coloured by sweep; crosses mark points at a current limit."""
    ax = _axes(ax)
    sweeps = int(curves.sweep.max()) + 1
    colours = _colours(min(sweeps, 256))
    x = curves.v if over == "v" else curves.v_gate
    y = np.abs(curves.current) if log else curves.current
    measured = curves.measured
    for sweep in range(sweeps):
        here = curves.sweep == sweep
        colour = colours[sweep * (len(colours) - 1) // max(sweeps - 1, 1)]
        ax.plot(x[here], y[here], "-", color=colour, linewidth=0.5, alpha=0.5)
        ax.plot(x[here & measured], y[here & measured], ".", color=colour, markersize=3)
        ax.plot(x[here & ~measured], y[here & ~measured], "x", color="#c03030", markersize=4)
    if log and np.any(y > 0.0):
        ax.set_yscale("log")
    label = "cell voltage [V]" if over == "v" else "gate voltage [V]"
    ax.set(xlabel=label, ylabel="|current| [A]" if log else "current [A]")
    return _tidy(ax)


def curves_figure(curves: "Curves") -> "Figure":
    """Return a figure of measured points on linear and logarithmic axes, also over a stepped gate voltage."""
    from matplotlib.figure import Figure

    gated = curves.gates.size > 2
    figure = Figure(figsize=(13 if gated else 9, 4.2), layout="constrained")
    axes: Any = figure.subplots(1, 3 if gated else 2)
    plot_points(curves, axes[0])
    plot_points(curves, axes[1], log=True)
    if gated:
        plot_points(curves, axes[2], over="v_gate", log=True)
    held = curves.v.size - int(np.count_nonzero(curves.measured))
    limit = f", {held} at a limit of the current (crosses)" if held else ""
    figure.suptitle(f"{curves.v.size} points, {int(curves.sweep.max()) + 1} sweeps, {curves.states} filaments{limit}")
    return figure


def plot_laws(fits: "Sequence[LawFit]", ax: "Axes | None" = None) -> "Axes":
    """Draw measured points and the currents of fitted laws over the swept voltage."""
    ax = _axes(ax)
    curves = fits[0].curves
    over = "v" if np.ptp(curves.v) >= np.ptp(curves.v_gate) else "v_gate"
    plot_points(curves, ax, over=over, log=True)
    for k, fit in enumerate(fits):
        x = fit.curves.v if over == "v" else fit.curves.v_gate
        y = np.abs(fit.predicted)
        label: str | None = fit.law.name
        for sweep in range(int(fit.curves.sweep.max()) + 1):
            here = (fit.curves.sweep == sweep) & (y > 0.0)
            ax.plot(x[here], y[here], color=f"C{k}", linewidth=1.0, label=label)
            label = None
    ax.legend(frameon=False, fontsize="small")
    return _tidy(ax)


def laws_figure(fits: "Sequence[LawFit]") -> "Figure":
    """Return a figure of fitted laws, and of the residuals of the first three over the swept voltage."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.4), layout="constrained")
    shown = list(fits)[:3]
    grid = figure.add_gridspec(len(shown), 2, width_ratios=(1.3, 1.0))
    plot_laws(fits, figure.add_subplot(grid[:, 0]))
    over = "v" if np.ptp(fits[0].curves.v) >= np.ptp(fits[0].curves.v_gate) else "v_gate"
    for k, fit in enumerate(shown):
        ax = plot_residuals(fit, figure.add_subplot(grid[k, 1]), over=over)
        ax.set_title(f"{fit.law.name}: correlation of neighbours {fit.pattern:.2f}", fontsize="small")
    figure.suptitle(f"{fits[0].curves.v.size} points; residuals coloured by state")
    return figure


def fit_figure(fit: "Fit") -> "Figure":
    """Return a figure of a fit: its curves, and its residuals over voltage, gate voltage and current."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.4), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(1.3, 1.0))
    plot_curves(fit, figure.add_subplot(grid[:, 0]))
    for k, over in enumerate(("v", "v_gate", "current")):
        plot_residuals(fit, figure.add_subplot(grid[k, 1]), over=over)
    noise = f"noise {100 * fit.noise_relative:.2g} % and {fit.noise_floor:.2g} A"
    figure.suptitle(f"{fit.curves.v.size} points, {noise}; residuals coloured by state")
    return figure


def _loop_ends(cell: Cell) -> tuple[float, float]:
    """Return the highest and lowest voltage [V] of a loop that sets and resets the cell at the open and closed gate."""
    ends = []
    for sign in (1.0, -1.0):
        found = [abs(summary.switching_voltage(cell, sign, gate)) for gate in (cell.v_gate_min, cell.v_gate_max)]
        ends.append(sign * 1.25 * max((each for each in found if not math.isnan(each)), default=1.0))
    return ends[0], ends[1]


def _colours(count: int) -> list[tuple[float, float, float, float]]:
    """Return colours from dark to light that colour-blind readers can distinguish."""
    from matplotlib import colormaps

    return [colormaps["viridis"](x) for x in np.linspace(0.0, 0.9, max(count, 1))]


def _empty(ax: "Axes", said: str) -> "Axes":
    ax.text(0.5, 0.5, said, transform=ax.transAxes, ha="center", va="center", color="#888888")
    ax.set_xticks([])
    ax.set_yticks([])
    return _tidy(ax)


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()


def _tidy(ax: "Axes") -> "Axes":
    ax.spines[["top", "right"]].set_visible(False)
    return ax
