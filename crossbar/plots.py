"""Figures of a solved array: maps over its cells, and the circuit itself with coloured branches.

Each function draws into the given axes, or into those of a new figure, and returns them.
b = batch, m = rows, n = columns
"""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from crossbar.arrays.array import Array
from crossbar.arrays.solution import Solution
from crossbar.arrays.wires import Wires
from crossbar.nodal.linear import Terminals
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from devices.laws import dispatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize


__all__ = [
    "plot_cell_current", "plot_cell_voltage", "plot_crossbar", "plot_current_error", "plot_gate_voltage", "plot_map",
]  # fmt: skip

ONE_SIGN, BOTH_SIGNS = "viridis", "coolwarm"  # perceptually uniform; the middle of the second is 0
DRAWN = 1024  # most cells in a drawing of the circuit: with more, branches cannot be distinguished (ours)
SHIFT = 0.38  # distance from a row node to its column node in the drawing, in cell widths, ours
END = 0.75  # length of a driver or sense resistor in the drawing, in cell widths, ours
FLAT = 2.0  # arrays wider than this times their height have their colour bar above them, ours
MINOR = 0.05  # values of the other sign below this times the largest magnitude get no colours of their own (ours)


def plot_map(
    values: npt.ArrayLike, label: str, unit: str, ax: "Axes | None" = None, *, signed: bool = False
) -> "Axes":  # fmt: skip
    """Draw values (m, n) over an array, row 0 at the top, with a colour bar in engineering units.

    The colour scale is centred at 0 if values of both signs occur or `signed` is True.  Infinite values are grey.
    Raises ParameterError unless values have two axes and at least one cell.
    """
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    cells = _map(values)
    ax = _axes(ax)
    norm, colours = _scale(cells, signed)
    colour_map = colormaps[colours].with_extremes(bad="#bbbbbb")
    m, n = cells.shape
    square = max(m, n) <= 4 * min(m, n)
    drawn = ax.imshow(
        np.ma.masked_invalid(cells), cmap=colour_map, norm=norm, interpolation="nearest",
        aspect="equal" if square else "auto",
    )  # fmt: skip
    ax.set(xlabel="column", ylabel="row")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    _colour_bar(ax, drawn, label, unit, n / m if square else 1.0)
    return ax


def plot_cell_voltage(solution: Solution, ax: "Axes | None" = None, *, which: int = 0) -> "Axes":
    """Draw the voltage over each cell [V], row node minus column node, for input `which` of a solution.

    Raises ParameterError if there is no such input.
    """
    return plot_map(_drops(solution, which), "cell voltage", "V", ax)


def plot_cell_current(
    circuit: FloatArray | Array, solution: Solution, ax: "Axes | None" = None, *,
    v_gate: npt.ArrayLike | None = None, which: int = 0,
) -> "Axes":  # fmt: skip
    """Draw the current of each cell [A] for input `which`.

    circuit, v_gate: as they were solved.  Raises ParameterError if they do not fit the solution.
    """
    return plot_map(_currents(circuit, v_gate, _drops(solution, which), solution, which), "cell current", "A", ax)


def plot_current_error(
    circuit: FloatArray | Array, v: FloatArray, solution: Solution, ax: "Axes | None" = None, *,
    v_gate: npt.ArrayLike | None = None, v_sense: npt.ArrayLike = 0.0, which: int = 0,
) -> "Axes":  # fmt: skip
    """Draw the change of each cell's current by the wires (IR drop), in % of the largest current without wires.

    circuit, v (b, m) [V], v_gate, v_sense: as they were solved.  Raises ParameterError if they do not fit the
    solution.
    """
    drops = _drops(solution, which)
    v, senses = _terminals(v, v_sense, solution)
    alone = _currents(circuit, v_gate, v[which][:, None] - senses[which][None, :], solution, which)
    change = _currents(circuit, v_gate, drops, solution, which) - alone
    most = np.abs(alone).max()
    error = 100.0 * change / most if most > 0.0 else change
    return plot_map(error, "current error", "% of the largest current", ax, signed=True)


def plot_gate_voltage(array: Array, v_gate: npt.ArrayLike, ax: "Axes | None" = None, *, which: int = 0) -> "Axes":
    """Draw the effective gate voltage of each cell [V]: its gate voltage minus the shift of its Dirac point.

    v_gate: one value, two axes that broadcast to (m, n), or three that broadcast to (b, m, n).
    Raises ParameterError for another shape.
    """
    volts = checks.voltages("v_gate", v_gate)
    if volts.ndim == 3:
        volts = volts[_input(which, len(volts))]
    volts = checks.spread("v_gate", volts, array.shape, "(m, n)")
    return plot_map(volts - array.gate_offset, "gate voltage", "V", ax)


def plot_crossbar(
    circuit: FloatArray | Array, v: FloatArray, wires: Wires, solution: Solution, ax: "Axes | None" = None, *,
    colour: Literal["current", "voltage"] = "current", v_gate: npt.ArrayLike | None = None,
    v_sense: npt.ArrayLike = 0.0, which: int = 0,
) -> "Axes":  # fmt: skip
    """Draw the circuit: rows from left to right, columns from top to bottom, cells, and ends that are not open.

    colour: "current" colours branches by current [A], positive to the right, downwards, and from row to column;
    "voltage" by the mean voltage of their two nodes [V].  The current of a wire of 0 Ω between two ends of 0 Ω does not
    follow from the voltages and is grey.
    circuit, v (b, m) [V], wires, v_gate, v_sense: as they were solved.
    Raises ParameterError if they do not fit the solution, or for more than 1024 cells; use a map for larger arrays.
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    if colour not in ("current", "voltage"):
        raise ParameterError(f'colour must be "current" or "voltage", got {colour!r}')
    drops = _drops(solution, which)
    m, n = drops.shape
    if m * n > DRAWN:
        raise ParameterError(f"a drawing shows at most {DRAWN} cells, got {m} × {n} = {m * n}: use a map instead")
    v, senses = _terminals(v, v_sense, solution)
    cells = _currents(circuit, v_gate, drops, solution, which)
    lines, values = _branches(cells, Terminals(v, senses, wires), solution, which, colour)
    ax = _axes(ax)
    norm, colours = _scale(values, False)
    width = float(np.clip(24.0 / max(m, n), 1.0, 3.5))
    drawn = LineCollection(
        lines, cmap=colormaps[colours].with_extremes(bad="#bbbbbb"), norm=norm, linewidths=width, capstyle="round"
    )
    drawn.set_array(np.ma.masked_invalid(values))
    ax.add_collection(drawn)
    across, down = (each.ravel() for each in np.meshgrid(np.arange(n), np.arange(m)))
    ax.scatter(
        np.concatenate((across, across + SHIFT)), np.concatenate((down, down + SHIFT)), s=3.0 * width, color="#333333",
        zorder=3, linewidths=0,
    )  # fmt: skip
    top = -END if np.isfinite(wires.sense_far(n)).any() else 0.0
    right = n - 1 + (END if np.isfinite(wires.driver_far(m)).any() else SHIFT)
    ax.set_xlim(-END - 0.25, right + 0.25)
    ax.set_ylim(m - 1 + SHIFT + END + 0.25, top - 0.25)
    ax.set_aspect("equal")
    ax.set(xlabel="column", ylabel="row")
    for axis, count, shift in ((ax.xaxis, n, SHIFT), (ax.yaxis, m, 0.0)):
        every = -(-count // 8)
        axis.set_ticks(np.arange(0, count, every) + shift, [str(each) for each in range(0, count, every)])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    _colour_bar(ax, drawn, colour, "A" if colour == "current" else "V")
    return ax


def _branches(
    cells: FloatArray, terminals: Terminals, solution: Solution, which: int, colour: str
) -> tuple[list[FloatArray], FloatArray]:
    """Branches that are not open, as pairs of points in the drawing, with their currents [A] or mean voltages [V]."""
    lines: list[FloatArray] = []
    values: list[FloatArray] = []
    m, n = cells.shape

    def add(x_0: npt.ArrayLike, y_0: npt.ArrayLike, x_1: npt.ArrayLike, y_1: npt.ArrayLike, value: FloatArray) -> None:
        corners = np.stack([np.broadcast_to(each, value.shape).ravel() for each in (x_0, y_0, x_1, y_1)], axis=-1)
        lines.extend(corners.reshape(-1, 2, 2).astype(np.float64))
        values.append(value.ravel())

    sides = terminals.sides(solution.v_rows, solution.v_columns)
    for rows, side, arriving in zip((True, False), sides, (-cells.T, cells), strict=True):
        nodes, terminal = side.nodes[which], side.terminal[which]
        near, along, far = _line_currents(nodes, terminal, arriving, side.segments, side.near, side.far)
        if colour == "voltage":
            near, along, far = (terminal + nodes[0]) / 2, (nodes[1:] + nodes[:-1]) / 2, (terminal + nodes[-1]) / 2
        q, k = nodes.shape
        at, line = np.arange(q - 1)[:, None], np.arange(k)[None, :]
        a, b = np.isfinite(side.near), np.isfinite(side.far)  # ends that are not open
        if rows:
            add(at, line, at + 1, line, along)
            add(-END, line[0, a], 0, line[0, a], near[a])
            add(q - 1, line[0, b], q - 1 + END, line[0, b], far[b] if colour == "voltage" else -far[b])
        else:
            add(line + SHIFT, at + SHIFT, line + SHIFT, at + 1 + SHIFT, along)
            add(line[0, a] + SHIFT, SHIFT - END, line[0, a] + SHIFT, SHIFT, near[a])
            end = q - 1 + SHIFT
            add(line[0, b] + SHIFT, end, line[0, b] + SHIFT, end + END, far[b] if colour == "voltage" else -far[b])
    i, j = np.arange(m)[:, None], np.arange(n)[None, :]
    add(j, i, j + SHIFT, i + SHIFT, (solution.v_rows + solution.v_columns)[which] / 2 if colour == "voltage" else cells)
    return lines, np.concatenate(values)


def _line_currents(
    nodes: FloatArray,
    terminal: FloatArray,
    arriving: FloatArray,
    segments: FloatArray,
    near: FloatArray,
    far: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """Currents [A] into lines of q nodes through their near ends (k,) and far ends (k,), and along them (q - 1, k).

    Where there is no voltage drop, the current follows from Kirchhoff's current law, or is NaN.
    """

    def through(end: FloatArray, node: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(end == 0.0, np.nan, (terminal - node) / end)

    total = arriving.sum(0)
    first, last = through(near, nodes[0]), through(far, nodes[-1])
    if segments.any():
        along = -np.diff(nodes, axis=0) / segments
        first = np.where(np.isnan(first), along[0] - arriving[0], first)
        last = np.where(np.isnan(last), -along[-1] - arriving[-1], last)
        return first, along, last
    first, last = np.where(np.isnan(first), -total - last, first), np.where(np.isnan(last), -total - first, last)
    return first, first + np.cumsum(arriving, axis=0)[:-1], last


def _input(which: int, inputs: int) -> int:
    return checks.whole("which", which, minimum=0, maximum=inputs - 1)


def _drops(solution: Solution, which: int) -> FloatArray:
    """Voltages (m, n) of the cells of one input [V]."""
    which = _input(which, len(solution.v_rows))
    drops: FloatArray = solution.v_rows[which] - solution.v_columns[which]
    return drops


def _terminals(v: FloatArray, v_sense: npt.ArrayLike, solution: Solution) -> tuple[FloatArray, FloatArray]:
    """Voltages of sources (b, m) and column ends (b, n) of a solution [V]."""
    b, m, n = solution.v_rows.shape
    return checks.voltages("v", v, shape=(b, m)), checks.spread("v_sense", v_sense, (b, n), "(b, n)")


def _currents(
    circuit: FloatArray | Array, v_gate: npt.ArrayLike | None, drops: FloatArray, solution: Solution, which: int
) -> FloatArray:
    """Currents (m, n) [A] of the cells at voltages `drops` (m, n) [V]."""
    if not isinstance(circuit, Array):
        if v_gate is not None:
            raise ParameterError("v_gate must not be given for plain conductances, which have no gate: pass the Array")
        product: FloatArray = checks.array("circuit", circuit, shape=drops.shape, minimum=0.0) * drops
        return product
    if circuit.shape != drops.shape:
        raise ParameterError(f"circuit must have the solution's {drops.shape} cells, got {circuit.shape}")
    gains = circuit.gain(v_gate, len(solution.v_rows))
    gain = gains[which if len(gains) > 1 else 0]
    flat = (np.array(each).ravel() for each in (circuit.g_filament, gain, drops))
    currents: FloatArray = dispatch.currents(circuit.cell.law, *flat)[0].reshape(drops.shape)
    return currents


def _map(values: npt.ArrayLike) -> FloatArray:
    cells = checks.array("values", values, ndim=2, finite=False)
    if cells.size == 0:
        raise ParameterError(f"values must hold at least one cell, got shape {cells.shape}")
    return cells


def _scale(values: FloatArray, signed: bool) -> "tuple[Normalize, str]":
    """Range and colour map, centred at 0 if values of both signs occur or `signed` is True."""
    from matplotlib.colors import CenteredNorm, Normalize

    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    most = max(abs(low), abs(high))
    if most == 0.0:
        return Normalize(0.0, 1.0), ONE_SIGN
    if signed or (low < -MINOR * most and high > MINOR * most):
        return CenteredNorm(0.0, most), BOTH_SIGNS
    if high - low <= 1e-9 * most:  # all values equal: a range around them
        low, high = low - 0.5 * most, high + 0.5 * most
    return Normalize(low, high), ONE_SIGN


def _colour_bar(ax: "Axes", drawn: Any, label: str, unit: str, flat: float = 1.0) -> None:  # noqa: ANN401 - any mappable
    """Draw a colour bar as high as the axes, limited to the values that occur and 0.

    flat: width over height of the axes; beside flat axes there is no room, so the bar lies above them.
    """
    from matplotlib.ticker import EngFormatter, MaxNLocator

    plain = unit.startswith("%")
    above = flat > FLAT
    place = (0.0, 1.0 + 0.04 * flat, 1.0, 0.05 * flat) if above else (1.04, 0.0, 0.05, 1.0)
    bar = ax.figure.colorbar(
        drawn, cax=ax.inset_axes(place), ticks=MaxNLocator(nbins=6), format=None if plain else EngFormatter(unit=unit),
        location="top" if above else "right",
    )  # fmt: skip
    bar.outline.set_visible(False)
    bar.set_label(f"{label} [{unit}]" if plain else label)
    values = drawn.get_array().compressed()
    if drawn.get_cmap().name == BOTH_SIGNS:
        limit = bar.ax.set_xlim if above else bar.ax.set_ylim
        limit(min(values.min(), 0.0), max(values.max(), 0.0))


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()
