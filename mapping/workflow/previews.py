"""What a run of a network will take before it starts: tiles of each layer, memory and time, from a small trial."""

import time
import tracemalloc
from dataclasses import dataclass

import numpy as np

from mapping.chips.chip import Chip
from mapping.hardware.description import AUTO, Hardware
from mapping.inference.running import run
from mapping.networks.graph import Network
from mapping.networks.layers.convolutions import Conv
from mapping.networks.layers.kinds import named_arrays
from mapping.networks.layers.matrix_layers import MatrixLayer
from mapping.networks.layers.shapes import Flatten
from mapping.placement.gated_layers import kind_of
from mapping.placement.program import Program
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

TRIAL, READS = 4, 256  # arrays of the trial that is timed, and how often each is read, ours


@dataclass(frozen=True)
class PreviewedLayer:
    """One layer as it came in."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]  #: of its output
    parameters: int  #: numbers that it stores
    tiles: int | None  #: None for a layer that is computed digitally


@dataclass(frozen=True)
class Preview:
    """What a run will take; times and memory are those of a trial on this machine, scaled."""

    layers: tuple[PreviewedLayer, ...]
    arrays: int  #: physical arrays
    memory_bytes: float
    write_s: float  #: to compile and write, in one process
    image_s: float  #: for each image


def preview(network: Network, hardware: Hardware) -> Preview:
    """Place a network and estimate what compiling, writing and running it will take.

    Raises MappingError if the network cannot be placed on the chip.
    """
    program = _placed(network, hardware)
    shapes = network.shapes()
    layers = []
    for layer in network.layers:
        on_tiles = isinstance(layer, MatrixLayer)
        kind = kind_of(layer) if on_tiles else str(getattr(layer, "kind", type(layer).__name__))
        parameters = sum(value.size for _, value in named_arrays([layer]))
        tiles = program.tiles(layer.name) if on_tiles else None
        layers.append(PreviewedLayer(layer.name, kind, tuple(layer.inputs), shapes[layer.name], parameters, tiles))
    write_s, read_s, held = _trial(hardware)
    arrays = sum(len(m.tiles) * m.arrays for m in program.all_matrices)
    reads = sum(len(m.tiles) * m.arrays * m.positions * (2 if m.signed else 1) for m in program.all_matrices)
    maps = max(sum(int(np.prod(shapes[each])) for each in (*layer.inputs, layer.name)) for layer in network.layers)
    memory = arrays * held + 8.0 * network.parameters + 64.0 * float(maps)
    return Preview(tuple(layers), arrays, memory, arrays * write_s, reads * read_s)


def _placed(network: Network, hardware: Hardware) -> Program:
    """Place a network without compensating the wires, which changes no count and takes long."""
    if AUTO in (hardware.mapping.layout, *hardware.mapping.layouts.values()):  # trying layouts writes chips
        hardware = hardware.with_values(["mapping.layout=parallel"])
    image = np.random.default_rng(0).uniform(size=(1, *network.input_shape))
    return compile_network(network, hardware.with_values(["tile.compensate_wires=false"]), image)


def _trial(hardware: Hardware) -> tuple[float, float, float]:
    """Compile, write and run a layer of a few full arrays, twice: the first time compiles the kernels.

    Returns for one array the time to write it [s], the time to read it once [s], and the memory that it holds [byte].
    """
    rows, outputs = hardware.tile.rows, hardware.tile.outputs * TRIAL
    rng = np.random.default_rng(0)
    layers = (Conv("conv", ("input",), rng.normal(size=(outputs, rows, 1, 1))), Flatten("flat", ("conv",)))
    network = Network("trial", (rows, 1, 1), tuple(map(str, range(outputs))), layers)
    images = rng.uniform(size=(READS, rows, 1, 1))
    _timed(network, hardware, images)
    chip, written, read, held = _timed(network, hardware, images)
    arrays = sum(len(matrix.tiles) for matrix in chip.program.all_matrices)
    return written / arrays, read / (arrays * len(images)), held / arrays


def _timed(network: Network, hardware: Hardware, images: np.ndarray) -> tuple[Chip, float, float, float]:
    tracemalloc.start()
    start = time.perf_counter()
    chip = write(compile_network(network, hardware, images[:8]), seed=0)
    written = time.perf_counter() - start
    held = float(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    start = time.perf_counter()
    run(chip, images)
    return chip, written, time.perf_counter() - start, held
