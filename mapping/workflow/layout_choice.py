"""The compiler's choice of a dynamic layer's layout: each layout is placed, written and run on calibration images."""

import math
from collections.abc import Mapping

import numpy as np

from devices.aliases import FloatArray
from devices.errors import MappingError
from mapping.chips.chip import write_arrays
from mapping.hardware.description import LAYOUTS, Hardware
from mapping.inference.batch import Batch
from mapping.inference.layer_run import run_layer
from mapping.networks.graph import Network
from mapping.networks.layers.base import INPUT
from mapping.networks.layers.convolutions import DynamicConv
from mapping.placement.input_ranges import input_range
from mapping.placement.placing import place_layer
from mapping.placement.program import Program
from mapping.prices.area import layer_area
from mapping.prices.overhead import overheads
from mapping.prices.timing import interval, phases

IMAGES = 4  # number of calibration images for the comparison, ours
LEAST = 1e-6  # smaller errors count as this one, ours: rounding must not decide on an ideal chip


def best_layout(
    network: Network, folded: Network, name: str, values: Mapping[str, FloatArray], hardware: Hardware
) -> str:
    """Return the layout of a layer with the smallest weighted sum of logarithms of energy, latency, area and error.

    values: outputs of every layer, and every attention, on the calibration images.
    Raises MappingError if the layer can be placed in no layout.
    Source: docs/layouts.md.
    """
    found: dict[str, float] = {}
    refused: list[str] = []
    for layout in LAYOUTS:
        try:
            found[layout] = score(measured(network, folded, name, values, hardware, layout), hardware)
        except MappingError as error:
            refused.append(str(error))
    if not found:
        raise MappingError(f"{name} can be placed in no layout: {'; '.join(refused)}")
    return min(found, key=lambda layout: found[layout])


def measured(
    network: Network, folded: Network, name: str, values: Mapping[str, FloatArray], hardware: Hardware, layout: str
) -> dict[str, float]:
    """Return energy [J], latency [s], area [m²] and error of one layer in a layout, on the chip with seed 0.

    error: root mean square of (chip - exact), relative to that of exact, on the first calibration images.
    Raises MappingError if it cannot be placed.
    """
    layer = next(each for each in folded.layers if each.name == name)
    if not isinstance(layer, DynamicConv):
        raise TypeError(f"{layer!r} has no kernels to lay out")
    matrices = place_layer(layer, values, hardware, layout, input_range(folded, layer, hardware))
    program = Program(network, folded, hardware, matrices, values[INPUT])
    inputs = [values[source][:IMAGES] for source in layer.inputs]
    out, activity, _ = run_layer(
        write_arrays(program), layer, inputs, Batch(0, np.arange(len(inputs[0])), np.dtype(np.float64))
    )
    exact = values[name][:IMAGES]
    done, times = activity.scaled(1.0 / len(inputs[0])), phases(program, name, hardware.costs)
    area = sum(layer_area(program, name, hardware.costs).values())
    pace = interval(times, hardware.mapping.double_gates)
    done = done + overheads(program, hardware.costs, {name: done}, {name: times}, {name: area}, pace)[name]
    energy = sum(hardware.costs.energies(done, hardware.periphery).values())
    size = float(np.sum(exact**2))
    return {
        "energy": energy,
        "latency": sum(times.values()),
        "area": area,
        "error": math.sqrt(float(np.sum((out - exact) ** 2)) / size) if size else 0.0,
    }


def score(measures: Mapping[str, float], hardware: Hardware) -> float:
    """Return the weighted sum of logarithms that the choice minimises.  Source: docs/layouts.md eq. 1."""
    choices = hardware.mapping
    weights = {
        "energy": choices.weight_energy, "latency": choices.weight_latency, "area": choices.weight_area,
        "error": choices.weight_error,
    }  # fmt: skip
    return sum(
        weight * math.log(max(measures[name], LEAST if name == "error" else 1e-300)) for name, weight in weights.items()
    )
