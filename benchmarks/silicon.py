"""Prices against published and measured values, by the code that prices every network.

    python -m benchmarks.silicon

NeuroSim's VGG8 and ResNet18, the measured points of NeuRRAM, and two more chips as predictions. Each is a chip
description and a network, compiled and priced by `price_estimate`. Inputs and reference values, with their sources, are
in tests/data/neurosim_vgg8, neurosim_resnet18 and neurram_silicon; the descriptions are in benchmarks/chips, that of
NeuRRAM is the bundled neurram_like. tests/test_benchmarks_silicon.py contains the bounds.
"""

import csv
import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mapping.hardware.description_files import load_hardware
from mapping.networks import Conv, Flatten, GlobalAveragePool, Linear, Network
from mapping.prices.timing import phases
from mapping.report.pricing import price_estimate
from mapping.workflow.compiling import compile_network

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
CHIPS = Path(__file__).resolve().parent / "chips"


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

BITS = 8  # of inputs
PAIRS_PER_NUMBER = 2  # 8 bits on four cells of 2 bits
SIDE = 128  # rows and columns of an array


@dataclass(frozen=True)
class Recorded:
    """What NeuroSim recorded of a layer's data."""

    driven: float = 0.3  # mean of the bits of its inputs
    idle: int = 0  # highest bits that never drive a row
    full: float = 0.5  # fraction of pairs with one cell at the top of the window, which gives the mean conductance


def neurosim_layer(layer, seen=Recorded(), **changes):
    """A layer of NeuroSim as a network of one convolution, compiled for its chip, and the picture that it reads.

    NeuroSim computes no padding. Under its novel mapping a position of the kernel has arrays of its own, so an array
    has at most as many rows in use as the layer has channels.
    """
    count, kernel = int(layer["channels"]), int(layer["kernel"])
    size, outputs = int(layer["size"]), PAIRS_PER_NUMBER * int(layer["outputs"])
    rng = np.random.default_rng(0)
    weight = rng.choice([-1.0, 1.0], (outputs, count, kernel, kernel))
    weight *= rng.random(weight.shape) < seen.full
    weight[:, 0, 0, 0] = 1.0  # each column fills the window
    bits = BITS - seen.idle
    codes = sum(2**bit * (rng.random((count, size, size)) < seen.driven * BITS / bits) for bit in range(bits))
    codes[0, 0, 0] = 2**bits - 1
    conv = Conv("layer", ("input",), weight, None, (int(layer["stride"]),) * 2)
    names = tuple(str(each) for each in range(outputs))
    network = Network("layer", (count, size, size), names, (conv, GlobalAveragePool("pool", ("layer",))))
    used = min(count, SIDE) if layer["mapping"] == "novel" else SIDE
    settings = [f"dac.bits={bits}", f"tile.rows={used}"]
    chip = load_hardware(CHIPS / "neurosim.toml").with_values([*settings, *(f"{k}={v}" for k, v in changes.items())])
    if seen.idle:  # a read without a driven row still clocks the switches and charges the bit lines
        parts = dict(chip.costs.parts)
        for name in ("flip_flops", "bit_line"):
            parts[name] = replace(parts[name], times=parts[name].times * BITS / bits)
        chip = replace(chip, costs=replace(chip.costs, parts=parts))
    pictures = codes[None] / (2.0**bits - 1.0)
    return compile_network(network, chip, pictures), pictures


@dataclass(frozen=True)
class Facts:
    """What shapes alone decide of a layer."""

    counted: int  # operations as NeuroSim counts them: every pixel, whatever stride and padding (main.cpp)
    executed: int  # operations of the positions that NeuroSim computes, as the compiler counts them
    area: float  # [m²] of the cells of all copies; arrays count whole
    clocks: float  # of the converters: time on one copy at one conversion a clock, over the copies


def facts(layer):
    """The facts of a layer. Reads take no time of their own, so that converters set the pace."""
    copies = int(layer["speed_up"])
    program, _ = neurosim_layer(layer, **{
        "mapping.copies.layer": copies, "dac.t_slot": 1e-15, "costs.t_digital": 0.0, "adc.sample_rate": 1.0
    })  # fmt: skip
    (matrix,) = program.matrices["layer"]
    single = replace(program, matrices={"layer": (replace(matrix, copies=1),)})
    clocks = phases(single, "layer", program.hardware.costs)["read"] / copies
    area = program.tiles("layer") * SIDE**2 * program.hardware.costs.pitch**2
    return Facts(counted_operations(layer), program.operations // PAIRS_PER_NUMBER, area, clocks)


@cache
def network_facts(folder):
    """The facts of all layers of a network."""
    return tuple(facts(layer) for layer in rows(f"{folder}/layers.csv"))


def counted_operations(layer):
    kernel, outputs, count, size = (int(layer[key]) for key in ("kernel", "outputs", "channels", "size"))
    weight = np.zeros((outputs, count, kernel, kernel))
    same = Conv("same", ("input",), weight, None, (1, 1), (kernel // 2,) * 2)
    return 2 * weight.size * math.prod(same.output_shape((count, size, size))[1:])


def efficiency(operations, printed):
    """TOPS/W of operations at the printed energies and the overhead of layout."""
    joules = (printed["dynamic_energy"] + printed["leakage_energy"]) * printed["overhead"]
    return operations / joules * 1e-12


def analog_energy(layer, seen):
    """Energy [J] of a layer's arrays, row switches and converters for one picture; nothing is fitted."""
    program, pictures = neurosim_layer(layer, seen)
    found = price_estimate(program, pictures).layers[0].energy_by_component_J
    return found["array"] + found["parts"]


def filled(shares):
    """Fraction of pairs with one cell at the top, for shares of cells at four levels between 900 and 6 kohm."""
    cells = load_hardware(CHIPS / "neurosim.toml").cell
    r_access = 1.5e3 + (1 / cells.g_max - 7.5e3)  # transistor and mean wire, as in the ends of the window
    levels = np.arange(4) / 3 * (1 / 6e3 - 1 / 900e3) + 1 / 900e3
    mean = float(np.asarray(shares) @ (1 / (1 / levels + r_access)))
    return min(2.0 * (mean - cells.g_min) / (cells.g_max - cells.g_min), 1.0)


@cache
def resnet_energies():
    """(predicted, printed) analog energies [J] of ResNet18's layers."""
    layers = rows("neurosim_resnet18/layers.csv")
    full = filled([each["share"] for each in rows("neurosim_resnet18/levels.csv")])
    # behind a rectifier the highest of eight bits is idle; the picture itself may have both signs
    predicted = [analog_energy(each, Recorded(each["driven"], int(i > 0), full)) for i, each in enumerate(layers)]
    return np.array(predicted), np.array([each["energy_pJ"] for each in layers]) * 1e-12


# ---- NeuRRAM ----

CORE, CORES = 256, 48
PULSES, STEPS, CONVERTED = ("sample", "input_pulse", "word_line"), ("integrator",), ("adc_step", "step_accumulator")


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


def neurram(done, output_bits):
    """The bundled chip at one setting of bits and phases: its parts act as often as these need."""
    base = load_hardware("neurram_like")
    usual = one_pass(8, 6, 1)
    scale = dict.fromkeys(PULSES, done.bits / usual.bits) | dict.fromkeys(STEPS, done.steps / usual.steps)
    scale |= dict.fromkeys(CONVERTED, done.conversions / usual.conversions)
    parts = {name: replace(part, times=part.times * scale[name]) for name, part in base.costs.parts.items()}
    seconds = 0.27e-6 * done.steps + 0.3e-6 * done.conversions + 0.3e-6 * len(done.phases)
    t_slot = base.dac.t_read * done.bits / usual.bits / (2**done.bits - 1)  # a line is driven once for each bit
    settings = [f"dac.bits={done.bits}", f"dac.t_slot={t_slot}", f"adc.bits={output_bits}"]
    chip = base.with_values([*settings, f"adc.sample_rate={1 / seconds}"])
    return replace(chip, costs=replace(chip.costs, parts=parts))


def full_array(chip, seed=0):
    """A report on one matrix that fills an array of a chip, with evenly distributed weights and codes."""
    rng = np.random.default_rng(seed)
    weight = rng.uniform(-1.0, 1.0, (chip.tile.pairs, chip.tile.rows))
    names = tuple(str(each) for each in range(chip.tile.pairs))
    layers = Flatten("flat", ("input",)), Linear("layer", ("flat",), weight)
    network = Network("full array", (chip.tile.rows, 1, 1), names, layers)
    inputs = rng.random((16, chip.tile.rows, 1, 1))
    return price_estimate(compile_network(network, chip, inputs), inputs)


@dataclass(frozen=True)
class Core:
    """A core at work on a matrix that fills it."""

    split: np.ndarray  # energy for an operation [J]: word lines, neurons, input pulses
    tops_per_watt: float  # of the core: the parts of the chip description
    tops_per_watt_whole: float  # with arrays, buffers, registers, wires, leakage and digital work
    tops: float  # of all cores


@cache
def silicon():
    """Measured points with our predictions: list of (point, Core)."""
    found = []
    for point in rows("neurram_silicon/points.csv"):
        done = one_pass(int(point["output_bits"]), int(point["input_bits"]), int(point["phases"]))
        report = full_array(neurram(done, int(point["output_bits"])))
        operations, parts = report.operations_per_image, {each.name: each.energy_J for each in report.parts}
        split = np.array([
            parts["word_line"],
            sum(parts[name] for name in ("sample", "integrator", "adc_step", "step_accumulator")),
            parts["input_pulse"],
        ]) / operations  # fmt: skip
        core = sum(parts.values())  # the current of the cells is in the measured pulse
        tops = 1e-12 * CORES * operations * report.images_per_s
        found.append((point, Core(split, 1e-12 * operations / core, report.tops_per_watt, tops)))
    return found


# ---- predictions ----

#: chip description, measured TOPS/W, source.  Nothing in these descriptions is fitted.
PREDICTED = (
    ("hermes", 10.5, "Khaddam-Aljameh et al., JSSC 57 (2022): one core of 256 x 256 PCM cells, 14 nm"),
    ("liu_2020", 78.4, "Liu et al., ISSCC 2020: the first layer of a chip of ReRAM, 130 nm, its peak"),
)


@cache
def predictions():
    """(name, measured, predicted, lowest, highest) TOPS/W of arrays with their periphery."""
    found = []
    for name, measured, _ in PREDICTED:
        report = full_array(load_hardware(CHIPS / f"{name}.toml"))
        low, high = report.tops_per_watt_band
        found.append((name, measured, report.tops_per_watt, low, high))
    return found


# ---- tables ----


def _print_networks(console):
    for folder in ("neurosim_vgg8", "neurosim_resnet18"):
        held, printed = network_facts(folder), totals(folder)
        counted, executed = sum(each.counted for each in held), sum(each.executed for each in held)
        table = Table("", "ours", "printed", title=folder)
        area = 1e6 * sum(each.area for each in held)
        table.add_row("array area [mm²]", f"{area:.5f}", f"{1e6 * printed['array_area']:.5f}")
        table.add_row("operations counted [G]", f"{1e-9 * counted:.5f}",
                      f"{1e-9 * printed['tops'] * 1e12 * printed['latency']:.5f}")  # fmt: skip
        table.add_row("TOPS/W", f"{efficiency(counted, printed):.4f}", f"{printed['tops_per_watt']:.4f}")
        if "adc_latency" in printed:
            clocks = printed["adc_latency"] / printed["clock"]
            table.add_row("converter clocks", f"{sum(each.clocks for each in held):.1f}", f"{clocks:.1f}")
        table.add_row("converter clocks, layer 1", f"{held[0].clocks:.1f}",
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
    heads = ("out, in, phases", "TOPS/W core", "whole", "measured", "TOPS ours", "measured")
    split_heads = ("word lines, neurons, pulses, ours, fJ", "measured, fJ")
    table = Table(*heads, *split_heads, title="NeuRRAM; the energy of a pulse is fitted")
    for point, core in silicon():
        measured = [point["word_lines_fJ"], point["neurons_fJ"], point["pulses_fJ"]]
        table.add_row(
            f"{point['output_bits']:.0f}, {point['input_bits']:.0f}, {point['phases']:.0f}",
            f"{core.tops_per_watt:.2f}", f"{core.tops_per_watt_whole:.2f}", f"{point['tops_per_watt']:.2f}",
            f"{core.tops:.3f}", f"{point['tops']:.3f}", ", ".join(f"{1e15 * each:.1f}" for each in core.split),
            ", ".join("-" if each is None else f"{each:.1f}" for each in measured),
        )  # fmt: skip
    console.print(table)


def _print_predictions(console):
    table = Table("chip", "TOPS/W ours", "band", "measured", "ours over measured", title="Predictions; nothing fitted")
    for name, measured, ours, low, high in predictions():
        table.add_row(name, f"{ours:.2f}", f"{low:.2f} … {high:.2f}", f"{measured:.2f}", f"{ours / measured:.2f}")
    console.print(table)


def main():
    console = Console(width=150)
    _print_networks(console)
    _print_layers(console)
    _print_silicon(console)
    _print_predictions(console)


if __name__ == "__main__":
    main()
