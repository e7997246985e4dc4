"""Prices against published and measured values: NeuroSim's VGG8 and ResNet18, and the NeuRRAM chip.

    python -m benchmarks.silicon

Inputs and reference values, with their sources, are in tests/data/neurosim_vgg8, neurosim_resnet18 and neurram_silicon.
Each function states what is predicted and what is fitted; tests/test_benchmarks_silicon.py contains the bounds.
"""

import csv
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from crossbar.prices.adc_models import IDLE_FLASH, T_FLASH, adc_flash
from crossbar.prices.catalogue import component, line, silicon_gate_line

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"


def rows(name):
    """The lines of a CSV file below tests/data as dicts, numbers as floats, empty cells as None."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return [{key: _number(text) for key, text in line.items()} for line in csv.DictReader(file)]


def _number(text):
    try:
        return float(text) if text else None
    except ValueError:
        return text


def totals(folder):
    return {line["name"]: line["value"] for line in rows(f"{folder}/totals.csv")}


# ---- NeuroSim's networks ----

BITS, MUXED, SIDE = 8, 8, 128  # of inputs; columns per converter; cells of an array's side: its defaults
CELLS_PER_NUMBER = 4  # 8 bits on cells of 2
F, WIRE_WIDTH = 22e-9, 40e-9  # [m] node and wire, NeuroSim V1.3, Param.cpp
CELL = (4, 12)  # height and width of a 1T1R cell in F, same file
R_ON, R_OFF, V_READ, V_DD, V_ACCESS = 6e3, 900e3, 0.5, 0.85, 1.1  # same file and Technology.cpp
R_WIRE = 4.03e-8 / (WIRE_WIDTH**2 * 1.9)  # [ohm/m] resistivity and aspect ratio of a 40 nm wire, Param.cpp
C_WIRE = 2e-10  # [F/m], SubArray.cpp


def positions(layer):
    """Positions that NeuroSim computes: no padding, truncated at the end (Chip.cpp)."""
    side = (layer["size"] - layer["kernel"] + 1) / layer["stride"]
    return int(side * side)


def counted_operations(layers):
    """Operations as NeuroSim counts them: every pixel, whatever stride and padding (main.cpp)."""
    return sum(2 * x["size"] ** 2 * x["kernel"] ** 2 * x["channels"] * x["outputs"] for x in layers)


def executed_operations(layers):
    """Operations of the positions that NeuroSim computes."""
    return sum(2 * positions(x) * x["kernel"] ** 2 * x["channels"] * x["outputs"] for x in layers)


def array_area(layers):
    """Area [m²] of all cells: a tile holds 9 × 512 × 512 (novel mapping) or 1024 × 1024."""
    cells = sum(x["tiles"] * (9 * 512**2 if x["mapping"] == "novel" else 1024**2) for x in layers)
    return cells * CELL[0] * CELL[1] * F**2


def adc_cycles(layers):
    """Clocks in which converters work, layer after layer: positions over copies, bit by bit, column by column."""
    return sum(positions(x) / x["speed_up"] * BITS * MUXED for x in layers)


def efficiency(operations, printed):
    """TOPS/W of operations at the printed energies and the overhead of layout."""
    joules = (printed["dynamic_energy"] + printed["leakage_energy"]) * printed["overhead"]
    return operations / joules * 1e-12


@dataclass(frozen=True)
class Transistors:
    """NeuroSim V1.3's low-power transistors at 22 nm (Technology.cpp, constant.h, formula.cpp), per metre of width."""

    gate: float = 1.2 * 5.245e-10 + 8.004e-10  # [F/m] ideal gate, a fifth of it as overlap, fringe
    current: float = 791.9  # [A/m] of an n-channel transistor, on
    resistance: float = 1.77  # factor on V_dd over current, CACTI
    linear: float = 0.2  # of that resistance in the linear region
    pair: float = 20.9 * F  # [m] widths of an inverter's two transistors, which fill a cell of 28 F
    junction: tuple[float, float, float] = (1e-3, 2.5e-10, 0.5e-10)  # [F/m², F/m, F/m] bottom, sidewall, channel

    @property
    def drain(self):
        """Capacitance [F] of the drains of an inverter or transmission gate, contacts of 2.8 F."""
        bias = 1.0 + V_DD / 0.9
        bottom, side, channel = (c / bias**power for c, power in zip(self.junction, (0.5, 0.33, 0.33), strict=True))
        contact = 2.8 * F
        return contact * self.pair * bottom + (4 * contact + self.pair) * side + self.pair * channel

    @property
    def input(self):
        """Capacitance [F] of an inverter's input, or of a transmission gate's two gates."""
        return self.gate * self.pair

    @property
    def access(self):
        """Width [m] of the transistor in a cell that adds a quarter of R_ON."""
        return self.resistance * V_DD / self.current * self.linear / (R_ON / 4)

    @property
    def flip_flop(self):
        """Energy [J] of one clock of a flip-flop that passes a bit: clock inverters and gates, then the data path."""
        clock = 4 * (self.input + self.drain) + 2 * self.input
        data = (3 * self.drain + self.input) + 2 * self.drain + (self.input + self.drain)
        return (clock + data) * V_DD**2

    @property
    def row(self):
        """Energy [J] of one driven row: its line with the gates of its cells, and the three switches before it."""
        wire = SIDE * CELL[1] * WIRE_WIDTH * C_WIRE
        word = line("word line", wire + SIDE * self.gate * self.access, V_DD, F).energy.nominal
        return word + self.drain * (2 * V_ACCESS**2 + 5 * V_READ**2) + 3 * self.input * V_DD**2

    @property
    def column(self):
        """Energy [J] of one column's bit line, charged to the read voltage for a conversion."""
        return line("bit line", SIDE * CELL[0] * WIRE_WIDTH * C_WIRE, V_READ, F).energy.nominal


def level_conductances(driven_rows):
    """Conductance [S] of a cell at each level, with its transistor and the mean wire to it."""
    levels = np.arange(4) / 3 * (1 / R_ON - 1 / R_OFF) + 1 / R_OFF
    along = (SIDE + 1) / 2 * CELL[0] * WIRE_WIDTH * R_WIRE
    down = (driven_rows + 1) / 2 * CELL[1] * WIRE_WIDTH * R_WIRE
    return 1 / (1 / levels + R_ON / 4 + along + down)


def blocks(layer):
    """Rows of each array that a layer's matrix is cut into: position by position of the kernel, or as it comes."""
    if layer["mapping"] == "novel":
        return [min(layer["channels"], SIDE)] * int(layer["kernel"] ** 2 * math.ceil(layer["channels"] / SIDE))
    height = int(layer["channels"] * layer["kernel"] ** 2)
    return [min(SIDE, height - top) for top in range(0, height, SIDE)]


def analog_energy(layer, shares, idle_bits):
    """Energy [J] of a layer's arrays, row switches and converters, from mean data alone; nothing is fitted.

    shares: of cells at each level.  idle_bits: of eight, how many never drive a row.
    """
    transistors = Transistors()
    columns = layer["outputs"] * CELLS_PER_NUMBER
    arrays = math.ceil(columns / SIDE)
    reads = positions(layer) * BITS
    joules = 0.0
    for height in blocks(layer):
        g_column = height * layer["driven"] * float(shares @ level_conductances(height))
        # what the column itself draws is linear in its conductance, so its mean suffices
        own = adc_flash(32, 22.0, 1e-15)
        drawn = max(adc_flash(32, 22.0, g_column) - own, 0.0)
        busy = own * (1 - idle_bits / BITS) + IDLE_FLASH * T_FLASH * idle_bits / BITS
        joules += reads * columns * (busy + drawn + transistors.column)
        driven = height * layer["driven"] * transistors.row
        joules += reads * arrays * MUXED * (driven + SIDE * transistors.flip_flop)
    return joules


@cache
def resnet_energies():
    """(predicted, printed) analog energies [J] of ResNet18's layers."""
    layers = rows("neurosim_resnet18/layers.csv")
    shares = np.array([each["share"] for each in rows("neurosim_resnet18/levels.csv")])
    # behind a rectifier the highest of eight bits is idle; the picture itself may have both signs
    idle = [0] + [1] * (len(layers) - 1)
    predicted = np.array([analog_energy(each, shares, bits) for each, bits in zip(layers, idle, strict=True)])
    return predicted, np.array([each["energy_pJ"] for each in layers]) * 1e-12


# ---- the NeuRRAM chip ----

CORE, CORES = 256, 48
OPERATIONS = CORE * CORE // 2 * 2  # of one pass: two cells to a number, two operations to a multiplication
PULSE = (
    0.967e-12  # [J] of one input line for one magnitude bit: the one constant that is fitted, to the measured pulses
)


@dataclass(frozen=True)
class Pass:
    """Steps of one multiplication on a core."""

    bits: int  # magnitude bits of an input
    phases: tuple[int, ...]  # bits of each
    steps: int  # integration steps, 2^bits - 1 of each phase
    conversions: int  # steps of the converter


def one_pass(output_bits, input_bits, phases):
    bits = max(1, input_bits - 1)
    parts = (bits,) if phases == 1 or bits <= 3 else (math.ceil(bits / 2), math.floor(bits / 2))
    conversions = sum(max(output_bits - sum(parts[:k]), 0) for k in range(len(parts)))
    return Pass(bits, parts, sum(2**part - 1 for part in parts), conversions)


def silicon_split(done):
    """Energy per operation [J]: (word lines, neurons, input pulses)."""
    words = CORE * 2 * done.bits * silicon_gate_line(CORE).energy.nominal  # on and off for every bit
    neuron = (
        component("sample").energy.nominal * done.bits
        + component("integrator").energy.nominal * done.steps
        + (component("adc_step").energy.nominal + component("step_accumulator").energy.nominal) * done.conversions
    )
    return np.array([words, CORE * neuron, CORE * done.bits * PULSE]) / OPERATIONS


def silicon_time(done):
    """Seconds of one pass: integration, conversion, and a gap after each phase."""
    return (
        component("integrator").latency * done.steps
        + component("adc_step").latency * done.conversions
        + component("sample").latency * len(done.phases)
    )


@cache
def silicon():
    """Measured points with our predictions: list of (point, split [J], TOPS/W, TOPS)."""
    found = []
    for point in rows("neurram_silicon/points.csv"):
        done = one_pass(int(point["output_bits"]), int(point["input_bits"]), int(point["phases"]))
        split = silicon_split(done)
        found.append((point, split, 1e-12 / split.sum(), 1e-12 * CORES * OPERATIONS / silicon_time(done)))
    return found


# ---- tables ----


def _print_networks(console):
    for folder in ("neurosim_vgg8", "neurosim_resnet18"):
        layers, printed = rows(f"{folder}/layers.csv"), totals(folder)
        counted, executed = counted_operations(layers), executed_operations(layers)
        table = Table("", "ours", "printed", title=folder)
        table.add_row("array area [mm²]", f"{1e6 * array_area(layers):.5f}", f"{1e6 * printed['array_area']:.5f}")
        table.add_row(
            "operations counted [G]",
            f"{1e-9 * counted:.5f}",
            f"{1e-9 * printed['tops'] * 1e12 * printed['latency']:.5f}",
        )
        table.add_row("TOPS/W", f"{efficiency(counted, printed):.4f}", f"{printed['tops_per_watt']:.4f}")
        if "adc_latency" in printed:
            clocks = printed["adc_latency"] / printed["clock"]
            table.add_row("converter clocks", f"{adc_cycles(layers):.1f}", f"{clocks:.1f}")
        table.add_row("converter clocks, layer 1", f"{adc_cycles(layers[:1]):.1f}",
                      f"{printed['first_adc_latency'] / printed['clock']:.1f}")  # fmt: skip
        table.add_row("operations executed [G]", f"{1e-9 * executed:.5f}", "not printed")
        table.add_row("TOPS/W of those", f"{efficiency(executed, printed):.4f}", "not printed")
        console.print(table)


def _print_layers(console):
    predicted, printed = resnet_energies()
    table = Table(
        "layer", "ours [µJ]", "printed [µJ]", "error", title="ResNet18, arrays with converters; nothing fitted"
    )
    for i, (ours, theirs) in enumerate(zip(predicted, printed, strict=True), start=1):
        table.add_row(str(i), f"{1e6 * ours:.4f}", f"{1e6 * theirs:.4f}", f"{100 * (ours / theirs - 1):+.1f} %")
    off = np.abs(predicted / printed - 1)
    words = f"mean {100 * off.mean():.1f}, worst {100 * off.max():.1f} %"
    table.add_row("all", f"{1e6 * predicted.sum():.3f}", f"{1e6 * printed.sum():.3f}", words)
    console.print(table)


def _print_silicon(console):
    heads = ("out, in, phases", "TOPS/W ours", "measured", "TOPS ours", "measured")
    split_heads = ("word lines, neurons, pulses, ours, fJ", "measured, fJ")
    table = Table(*heads, *split_heads, title="NeuRRAM; the energy of a pulse is fitted")
    for point, split, efficient, fast in silicon():
        measured = [point["word_lines_fJ"], point["neurons_fJ"], point["pulses_fJ"]]
        table.add_row(
            f"{point['output_bits']:.0f}, {point['input_bits']:.0f}, {point['phases']:.0f}",
            f"{efficient:.2f}", f"{point['tops_per_watt']:.2f}", f"{fast:.3f}", f"{point['tops']:.3f}",
            ", ".join(f"{1e15 * each:.1f}" for each in split),
            ", ".join("-" if each is None else f"{each:.1f}" for each in measured),
        )  # fmt: skip
    console.print(table)


def main():
    console = Console(width=150)
    _print_networks(console)
    _print_layers(console)
    _print_silicon(console)


if __name__ == "__main__":
    main()
