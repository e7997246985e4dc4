"""Compiling, writing and running with a cache: the results are the same bits, but are computed once.

The name of a cached result is a hash of everything that it depends on, the code included, so it is never out of date.
"""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np

from crossbar.arrays.tile_wires import TileWires
from crossbar.arrays.wires import Wires
from crossbar.tiles.activity import Activity
from crossbar.tiles.batch_tiles import BatchTile, ColumnTile, RemadeTile, StackedTile
from crossbar.tiles.converter_errors import ConverterErrors
from crossbar.tiles.converters import Adc, Dac, UnsignedAdc
from crossbar.tiles.shared_sense import SharedSense
from crossbar.tiles.tile import Tile
from crossbar.tiles.written_arrays import WrittenArray
from crossbar.transfer.family import Family
from crossbar.transfer.gate_nodes import GainNodes, GateNodes
from crossbar.transfer.stacked_bands import StackedFamily
from devices.aliases import FloatArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.cells.selected import SelectedCell
from devices.noise.noise_table import NoiseTable
from devices.noise.read_noise import ReadNoise
from devices.writing.read_disturb import Stress
from devices.writing.spread import DrawnCells, Spread, Written
from mapping.chips.chip import Bank, Chip
from mapping.chips.distributed_work import Distribute
from mapping.chips.measured_cells import MeasuredCells
from mapping.chips.simulated_writing import Programming
from mapping.files.cache import ENDING, Cache
from mapping.hardware.description import Hardware
from mapping.hardware.weight_code import WeightCode
from mapping.inference.running import exact_outputs
from mapping.inference.traces import BatchResult, LayerPart
from mapping.networks.graph import Network
from mapping.networks.layers.base import Layer
from mapping.networks.layers.convolutions import Attention
from mapping.networks.layers.kinds import KINDS
from mapping.placement.matrix import Matrix, Placement
from mapping.placement.program import Program
from mapping.workflow.compiling import compile_network
from mapping.workflow.digests import code_version, digest
from mapping.workflow.writing import write

#: classes of the values in a written chip
CHIP = (
    Tile, WrittenArray, Family, GateNodes, GainNodes, StackedFamily, BatchTile, RemadeTile, StackedTile, ColumnTile,
    Bank, DrawnCells, Written, Programming, Spread, Wires, TileWires, Adc, UnsignedAdc, ConverterErrors, Dac, ReadNoise,
    NoiseTable, Hardware, Stress, AdaptiveMemristor, SelectedCell, SharedSense,
)  # fmt: skip
RUN = {"BatchResult": BatchResult, "LayerPart": LayerPart, "Activity": Activity}


def program_classes() -> dict[str, type]:
    """Classes of the values in a program, by name; they include every kind of layer, also those defined elsewhere."""
    kinds, fresh = [Program, Matrix, Placement, WeightCode, Network, Attention, *KINDS.values()], [Layer]
    while fresh:
        kinds += fresh
        fresh = [below for kind in fresh for below in kind.__subclasses__()]
    return {kind.__name__: kind for kind in kinds}


def chip_classes() -> dict[str, type]:
    """Classes of the values in a written chip, by name."""
    return {kind.__name__: kind for kind in CHIP}


def compiled(network: Network, hardware: Hardware, calibration: FloatArray, cache: Cache | None) -> Program:
    """Return the result of compile_network, from the cache if it is there.

    Raises what compile_network raises.
    """
    if cache is None:
        return compile_network(network, hardware, calibration)
    name = f"program-{digest('program', code_version(), network, hardware.to_compile(), calibration)}"
    classes, given = program_classes(), {"network": network, "hardware": hardware}
    held = cache.get(name, classes, given)
    if isinstance(held, Program):
        return held
    program = compile_network(network, hardware, calibration)
    cache.put(name, program, classes, given, about=f"{network.name} compiled for {hardware.name}")
    return program


def written(
    program: Program,
    seed: int,
    cache: Cache | None,
    *,
    measured: MeasuredCells | None = None,
    progress: Callable[[int], None] | None = None,
    distribute: Distribute | None = None,
) -> Chip:
    """Return the result of `write`, from the cache if it is there; its large arrays are then mapped from the file.

    measured, progress, distribute: as for write.  Raises what write raises.
    """
    if cache is None:
        return write(program, seed, measured=measured, progress=progress, distribute=distribute)
    name = f"chip-{digest('chip', *_identity(program, seed, measured))}"
    classes, given = chip_classes(), _given(program.hardware)
    held = cache.get(name, classes, given)
    if isinstance(held, list):
        if progress is not None:
            progress(sum(len(matrix.tiles) for matrix in program.all_matrices))
        tiles, banks, adjustments, stress, simulated, programming = held
        return Chip(program, seed, tiles, banks, adjustments, measured, stress, simulated, programming)
    chip = write(program, seed, measured=measured, progress=progress, distribute=distribute)
    about = f"{program.network.name} on {program.hardware.name}, chip {seed}"
    parts = [chip.tiles, chip.banks, chip.adjustments, chip.stress, chip.simulated, chip.programming]
    cache.put(name, parts, classes, given, about)
    return chip


def exact(program: Program, images: FloatArray, precision: str, cache: Cache | None) -> FloatArray:
    """Return the result of exact_outputs, from the cache if it is there; all chips of a network share it.

    Raises what exact_outputs raises.
    """
    if cache is None:
        return exact_outputs(program, images, precision=precision)
    name = f"exact-{digest('exact', code_version(), program.folded, images, precision)}"
    held = cache.get(name, {})
    if isinstance(held, np.ndarray):
        return held
    outputs = exact_outputs(program, images, precision=precision)
    cache.put(name, outputs, {}, about=f"{program.network.name} computed exactly: {len(images)} images")
    return outputs


class KeptRun:
    """The batches of one run in the cache, a file each: after a stop the run continues with the missing ones.

    A run with another network, chip, seed, precision, code or other images has another name.
    """

    def __init__(
        self, cache: Cache, chip: Chip, images: FloatArray, *, seed: int = 0, precision: str = "single"
    ) -> None:
        """Name the run by a hash of everything it depends on; the arguments are those of `mapping.inference.run`."""
        self.cache = cache
        self.name = f"run-{digest('run', *_identity(chip.program, chip.seed, chip.measured), images, seed, precision)}"
        program = chip.program
        self.about = (
            f"{program.network.name} on {program.hardware.name}, chip {chip.seed}: a run of {len(images)} images"
        )

    def get(self, start: int, stop: int) -> BatchResult | None:
        """Return the stored result of images start … stop - 1; None if they have not been run."""
        held = self.cache.get(self._part(start, stop), RUN)
        return held if isinstance(held, BatchResult) and len(held.logits) == stop - start else None

    def put(self, start: int, stop: int, done: BatchResult) -> None:
        """Store the result of images start … stop - 1."""
        self.cache.put(self._part(start, stop), done, RUN, about=self.about)

    @property
    def images(self) -> int:
        """Number of images done."""
        ends = [path.name.removesuffix(ENDING).split("-") for path in self._folder.glob(f"*{ENDING}")]
        return sum(int(stop) - int(start) for start, stop in ends)

    def remove(self) -> None:
        """Remove the run from the cache."""
        self.cache.remove(self.name)

    @property
    def _folder(self) -> Path:
        return self.cache.folder / self.name

    def _part(self, start: int, stop: int) -> str:
        return f"{self.name}/{start:08d}-{stop:08d}"


def _identity(program: Program, seed: int, measured: MeasuredCells | None) -> tuple[object, ...]:
    """Return everything that a chip depends on."""
    tiles = () if measured is None else measured.tiles
    return code_version(), program.network, program.hardware, program.matrices, program.calibration, seed, tiles


def _given(hardware: Hardware) -> dict[str, object]:
    """Return the values that a chip shares with its description, by name; they are not stored again."""
    return {each.name: getattr(hardware, each.name) for each in fields(hardware) if each.name not in ("name", "about")}
