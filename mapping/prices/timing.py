"""Timing: phases of each layer, overlap of consecutive images, settling times from the circuit solver.

Images enter at equal intervals, so each has the schedule of the first image, shifted in time
(docs/equations/costs.md, section 4).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crossbar.arrays.capacitances import Capacitances
from crossbar.nodal.settling_times import gate_settling, settling
from crossbar.prices.costs import Costs
from devices.aliases import FloatArray, IntArray
from mapping.hardware.description import Hardware
from mapping.networks.layers.activations import (
    Activation,
    Clip,
    Elu,
    HardSigmoid,
    LeakyRelu,
    Power,
    PRelu,
    Relu,
    Softplus,
)
from mapping.networks.layers.arithmetic import Elementwise, Scale
from mapping.networks.layers.base import INPUT, Layer
from mapping.networks.layers.convolutions import Conv, DynamicConv
from mapping.networks.layers.norms import BatchNorm, LocalResponseNorm
from mapping.networks.layers.pools import AveragePool, MaxPool
from mapping.networks.layers.shapes import ChannelShuffle, Concat, Gather, Slice
from mapping.placement.gate_lines import gate_lines
from mapping.placement.matrix import Matrix
from mapping.placement.program import Program

#: layers in which each output row needs only the same row of the inputs
ROW_BY_ROW = (
    Relu, Activation, LeakyRelu, PRelu, Elu, Softplus, HardSigmoid, Clip, Power, BatchNorm, LocalResponseNorm,
    ChannelShuffle, Elementwise,
)  # fmt: skip
SAFE = 20.0  #: number of time constants after which any line has settled, ours: half a code of 16 bits takes 11.1
GATES = 6  #: digital steps of a recurrent layer's gates, ours: sum, look-up, product, sum, look-up, product
PHASES = ("attention", "gates", "write", "read")  #: phases of a layer, in order


@dataclass(frozen=True)
class Schedule:
    """Times of one image in each layer, and the shortest time until the next image can follow."""

    starts: dict[str, float]  #: time when each layer begins [s], by name
    ends: dict[str, float]  #: time when each layer ends [s], by name
    intervals: dict[str, float]  #: time for which one image occupies the arrays of each layer on tiles [s], by name
    latency: float  #: of a single image [s]

    @property
    def interval(self) -> float:
        """Time from one image to the next [s], set by the slowest layer."""
        return max(self.intervals.values(), default=0.0)

    @property
    def bottleneck(self) -> str | None:
        """Name of the slowest layer; None if no layer is on tiles."""
        return max(self.intervals, key=lambda name: self.intervals[name], default=None)


def schedule(
    program: Program,
    costs: Costs,
    times: Mapping[str, Mapping[str, float]],
    digital: Mapping[str, float] | None = None,
    *,
    pipelined: bool | None = None,
) -> Schedule:
    """Return the schedule of one image.

    A static layer begins as soon as enough rows of its inputs are ready for it to read without interruption. A layer
    with attention, gates or cells to write needs its whole inputs.
    times: `phases` of each layer on tiles.  digital: time of a layer without matrices beside one digital step [s], by
    name.  pipelined: whether layers begin before their inputs are complete; default: `mapping.pipelined`.
    Source: docs/equations/costs.md eq. 16, 26.
    """
    streams = program.hardware.mapping.pipelined if pipelined is None else pipelined
    shapes = program.folded.shapes()
    ready: dict[str, FloatArray] = {INPUT: np.zeros(1)}  # time when each row of a map is ready [s]
    starts: dict[str, float] = {}
    ends: dict[str, float] = {}
    intervals: dict[str, float] = {}
    for layer in program.folded.layers:
        parts = times.get(layer.name)
        before, behind = 0.0, costs.t_digital
        reading = (digital or {}).get(layer.name, 0.0)
        if parts is not None:
            before = parts["attention"] + parts["gates"] + parts["write"]
            behind = min(_behind(program, layer.name, costs), parts["read"])
            reading = parts["read"] - behind
            intervals[layer.name] = interval(parts, program.hardware.mapping.double_gates)
        rows = shapes[layer.name][1] if len(shapes[layer.name]) == 3 else 1
        whole = not streams or isinstance(layer, DynamicConv) or before > 0.0
        there = np.zeros(rows)
        for at, source in enumerate(layer.inputs):
            needed = None if whole else rows_needed(layer, at, rows)
            held = ready[source]
            last = len(held) - 1
            there = np.maximum(there, held[last if needed is None else np.clip(needed, 0, last)])
        pace, steps = reading / rows, np.arange(rows)
        begins = np.maximum.accumulate(there - pace * steps)  # earliest time of each row, after those before it
        if parts is not None:  # without interruption: the first row waits until no later row has to
            begins = np.full(rows, begins[-1])
        ready[layer.name] = before + begins + pace * (steps + 1) + behind
        starts[layer.name] = float(begins[0])
        ends[layer.name] = float(ready[layer.name][-1])
    last_layer = program.folded.layers[-1].name if program.folded.layers else None
    return Schedule(starts, ends, intervals, ends[last_layer] if last_layer is not None else 0.0)


def rows_needed(layer: Layer, at: int, rows: int) -> IntArray | None:
    """Return the last row of input number `at` that each output row of a layer needs; None: the whole input.

    Rows after the last input row are padding.
    """
    y: IntArray = np.arange(rows)
    if isinstance(layer, ROW_BY_ROW) or (isinstance(layer, Scale) and at == 0):
        return y
    if isinstance(layer, (Concat, Slice, Gather)) and layer.axis == 0:
        return y
    if isinstance(layer, Conv) and at == 0:
        reach: int = (layer.weight.shape[2] - 1) * layer.dilation[0]
        return y * layer.stride[0] - layer.padding[0] + reach
    if isinstance(layer, (MaxPool, AveragePool)):
        reach = (layer.size[0] - 1) * layer.dilation[0]
        return y * layer.stride[0] - layer.padding[0] + reach
    return None


def _behind(program: Program, layer: str, costs: Costs) -> float:
    """Return the time [s] from the last read of a layer, or its last conversion, to its last result."""
    found = [_time(matrix, program, costs) - _steady(matrix, program, costs) for matrix in program.matrices[layer]]
    return max(found, default=0.0)


def interval(parts: Mapping[str, float], double_gates: bool) -> float:
    """Return the shortest time [s] between two images in a layer: the time of its busiest part.

    Attention and reads have separate arrays. With double gates the next gates settle during a read, otherwise after it.
    Cells cannot be written while they are read.
    Source: docs/equations/costs.md eq. 16.
    """
    reads = parts["write"] + parts["read"]
    return max(parts["attention"], parts["gates"], reads) if double_gates else max(
        parts["attention"], parts["gates"] + reads
    )  # fmt: skip


def latency(program: Program, layer: str, costs: Costs) -> float:
    """Return the time [s] that one image spends in a layer, the sum of its phases."""
    return sum(phases(program, layer, costs).values())


def phases(program: Program, layer: str, costs: Costs) -> dict[str, float]:
    """Return the time [s] that one image spends in each phase of a layer, in order.

    Positions are read one after another; one position is converted while the next is read. A gated layer first waits
    for its attention (two FC reads, a digital softmax) and the settling of its gates, a rewritten layer for its
    attention and the writing of its rows. Kernels that are mixed digitally are read during the attention.
    Source: docs/equations/costs.md eq. 9-10.
    """
    matrices = program.matrices.get(layer, ())
    attention = program.matrices.get(f"{layer}.attention", ())
    softmax = 4.0 * costs.t_digital if attention else 0.0  # exponential, sum, division, inverse gate law
    attends = sum((_time(matrix, program, costs) for matrix in attention), softmax)
    read = max((_time(matrix, program, costs) for matrix in matrices), default=0.0)
    states = [matrix for matrix in matrices if matrix.kind == "recurrent state"]
    if states:  # the input's matrix is read one step ahead of the state's
        step = max(_time(each, program, costs) / each.positions for each in matrices if each not in states)
        read = max(read, step + sum(_time(matrix, program, costs) for matrix in states))
    gates = max((t_gates(matrix, program.hardware, costs) for matrix in matrices if matrix.gated), default=0.0)
    rewritten = [matrix for matrix in matrices if matrix.rewritten]
    rows = max((tile.shape[0] for matrix in rewritten for tile in matrix.tiles), default=0)
    apart = [matrix for matrix in matrices if matrix.kind == "kernel"]
    if apart:
        attends = max(attends - read, 0.0)
        kernels = len(apart) // len({matrix.group for matrix in apart})
        read += (math.ceil(math.log2(kernels)) + 1) * costs.t_digital if kernels > 1 else 0.0
    return {"attention": attends, "gates": gates, "write": rows * costs.t_write, "read": read}


def _time(matrix: Matrix, program: Program, costs: Costs) -> float:
    """Return the time [s] of all reads of a matrix for one image.  Source: docs/equations/costs.md eq. 9."""
    read, convert = _read_convert(matrix, program, costs)
    sums = math.ceil(math.log2(len({tile.rows.start for tile in matrix.tiles}) + 1)) * costs.t_digital
    if matrix.kind == "recurrent state":  # a step begins when the previous one has passed its gates
        reads = program.hardware.dac.conversions * (2 if matrix.signed else 1)
        return matrix.positions * (reads * max(read, convert) + min(read, convert) + sums + GATES * costs.t_digital)
    return _steady(matrix, program, costs) + min(read, convert) + sums


def _steady(matrix: Matrix, program: Program, costs: Costs) -> float:
    """Return the time [s] of all reads or all conversions of a matrix for one image, whichever is longer."""
    steps = math.ceil(matrix.positions / matrix.copies) * program.hardware.dac.conversions * (2 if matrix.signed else 1)
    return steps * max(_read_convert(matrix, program, costs))


def _read_convert(matrix: Matrix, program: Program, costs: Costs) -> tuple[float, float]:
    """Return the time [s] of a read and that of its conversions."""
    dac, adc = program.hardware.dac, program.hardware.adc
    pairs = max(tile.converted for tile in matrix.tiles)
    read = dac.t_read - dac.t_slot + max(dac.t_slot, t_column(matrix, program.hardware, costs))
    read += program.hardware.sense.t_settle
    return read, adc.t_conversions(min(adc.columns, pairs))


def _finite(ohms: FloatArray) -> float:
    """Return the largest finite resistance, 0 if there is none."""
    connected = ohms[np.isfinite(ohms)]
    return float(connected.max(initial=0.0))


def capacitances(hardware: Hardware, costs: Costs) -> Capacitances:
    """Return the capacitances of a cell's segments of the lines and of its gate."""
    wire = costs.c_wire * costs.pitch
    return Capacitances(wire, wire, 0.0, 0.0, 0.0, hardware.periphery.c_gate * costs.pitch**2, wire)


def t_column(matrix: Matrix, hardware: Hardware, costs: Costs) -> float:
    """Return the time [s] after which the column currents of a matrix' largest tile are within half a code.

    It is solved for the nominal cells at open gates, with all rows driven and with only the row farthest from the sense
    inputs. If SAFE time constants of the slower line are shorter than a slot, they are returned and nothing is solved.
    Source: docs/equations/settling.md eq. 7-10; costs.md eq. 20.
    """
    if hardware.wires.ideal:
        return 0.0
    tile = max(matrix.tiles, key=lambda each: each.shape[0] * each.shape[1])
    m, n = tile.shape[0] * matrix.bands, tile.cell_columns
    wires, farads = hardware.wires_in_use, capacitances(hardware, costs)
    along, across = wires.mean_segments(m, n)
    row = (_finite(wires.driver(m)) + n * along) * n * farads.c_row
    column = (_finite(wires.sense(n)) + m * across) * m * farads.c_column
    if SAFE * max(row, column) <= hardware.dac.t_slot:
        return SAFE * max(row, column)
    cells: FloatArray = matrix.conductances[: matrix.bands, tile.rows, tile.cells].reshape(-1, n)
    v = np.ones((2, len(cells)))
    v[1, 1:] = 0.0
    found = settling(cells, v, wires, farads)
    return found.tile(0.5 / (2 ** (hardware.adc.width - 1) - 1))


def t_gates(matrix: Matrix, hardware: Hardware, costs: Costs) -> float:
    """Return the time [s] after which the gate voltages of a matrix are within half a step of their final values.

    It is the larger of `gate_dac.t_settle` and the settling time of the gate lines over the largest tile
    (`placement.gate_lines`). If SAFE time constants of these lines are shorter than `gate_dac.t_settle`, nothing is
    solved; leaking gates only settle sooner.
    Source: docs/equations/settling.md eq. 3-10; costs.md eq. 20.
    """
    shapes = ((tile.shape[0], tile.cell_columns) for tile in matrix.tiles)
    rows, columns = max(shapes, key=lambda each: each[0] * each[1])
    lines, farads = gate_lines(matrix, hardware), capacitances(hardware, costs)
    longest = rows if matrix.column_gates else rows + columns
    whole = (lines.r_driver + longest * lines.r_segment) * rows * columns * farads.at_gate
    if SAFE * whole <= hardware.gate_dac.t_settle:
        return hardware.gate_dac.t_settle
    found = gate_settling(lines, (rows, columns), farads)
    return max(hardware.gate_dac.t_settle, found.tile(0.5 / 2**hardware.gate_dac.width))
