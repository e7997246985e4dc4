"""One point of a study: compiled, written, run and priced; its network and images are loaded once per process."""

import time
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numba import config

from devices.aliases import FloatArray
from devices.errors import ParameterError, SimulationError
from devices.numerics import worker_threads
from devices.numerics.blas import one_blas_thread
from mapping.data.datasets import Dataset
from mapping.hardware.description import Hardware
from mapping.inference.running import exact_outputs, run
from mapping.networks.graph import Network
from mapping.networks.models import load_model
from mapping.placement.program import Program
from mapping.report.pricing import price
from mapping.report.report import Report
from mapping.report.values import COMPONENTS
from mapping.studies.description import Point
from mapping.studies.results import Cell, answers
from mapping.workflow.compiling import compile_network
from mapping.workflow.digests import digest
from mapping.workflow.images import images_of
from mapping.workflow.lost_point import images_until_lost
from mapping.workflow.writing import write


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs that a worker loads once: a network, its calibration images, its test images."""

    network: Network
    calibration: Dataset
    test: Dataset


@dataclass(frozen=True, eq=False)
class Task:
    """One point as it is sent to a worker, without the network and the images, which the worker loads."""

    model: str
    source: tuple[str | None, str, int | None, int]  #: folder, split, images, calibration images
    hardware: Hardware
    point: Point
    cells: dict[str, Cell]  #: cells of the row that describe the point
    threads: int
    inputs: str  #: digest of network and images; the worker's files must have the same
    until_lost: bool = False  #: whether the number of images until one point of accuracy is lost is searched


def load_inputs(model: str, source: tuple[str | None, str, int | None, int]) -> Inputs:
    """Load a network and its images.

    Raises ParameterError if the images do not fit the network.
    """
    folder, split, images, calibration = source
    network = load_model(model)
    training, test = images_of(network, folder, split=split, images=images, calibration=calibration)
    return Inputs(network, training, test)


def simulate(task: Task) -> dict[str, Cell]:
    """Compile, write, run and price one point and return its row; a failure becomes a row with a message.

    Raises ParameterError if this machine's network or images differ from those that the study was started with.
    """
    start = time.perf_counter()
    loaded = _inputs(task.model, task.source, task.inputs)
    before = worker_threads.threads()
    worker_threads.set_threads(min(task.threads, int(config.NUMBA_NUM_THREADS)))
    row = dict(task.cells)
    try:
        with one_blas_thread():  # the last digit of a matrix product may depend on the number of threads
            program = _program(task)
            chip = write(program, task.point.seed)
            exact = _exact(program, loaded.test)
            result = run(chip, loaded.test.images, seed=task.point.seed, exact=exact)
            report = price(result, loaded.test.labels)
            if task.until_lost and not loaded.test.numbers:
                found = images_until_lost(program, loaded.test.images, loaded.test.labels, task.point.seed, exact=exact)
                row["images_until_lost"] = found
        row |= _measured(report)
        if not loaded.test.numbers:
            row["right"] = answers(result.logits.argmax(axis=1) == loaded.test.class_numbers)
    except SimulationError as error:
        row["failure"] = " ".join(str(error).split())
    finally:
        worker_threads.set_threads(before)
    row["wall_s"] = round(time.perf_counter() - start, 4)
    return row


@lru_cache(maxsize=4)
def _inputs(model: str, source: tuple[str | None, str, int | None, int], wanted: str) -> Inputs:
    loaded = load_inputs(model, source)
    found = "-".join((digest(loaded.network), digest(loaded.test, loaded.calibration)))
    if found != wanted:
        raise ParameterError(f"this worker's {model} or images differ from those that the study was started with")
    return loaded


class _Last:
    """The program compiled last; consecutive seeds of a setting use it again."""

    key = ""
    program: Program | None = None


def _program(task: Task) -> Program:
    """Compile a point's network, or use the last point's program if compiling would give the same placement."""
    key = digest(task.inputs, task.hardware.to_compile())
    if _Last.program is None or _Last.key != key:
        loaded = _inputs(task.model, task.source, task.inputs)
        _Last.key, _Last.program = "", None
        _Last.program = compile_network(loaded.network, task.hardware, loaded.calibration.images)
        _Last.key = key
    return replace(_Last.program, hardware=task.hardware)


class _Outputs:
    """The exact outputs computed last; the points of a study share them unless the folded network differs."""

    key = ""
    held: FloatArray = np.empty((0, 0))


def _exact(program: Program, test: Dataset) -> FloatArray:
    key = digest(program.folded, test.images)
    if _Outputs.key != key:
        _Outputs.held, _Outputs.key = exact_outputs(program, test.images), key
    return _Outputs.held


def _measured(report: Report) -> dict[str, Cell]:
    low, high = report.energy_band_J_per_image
    found: dict[str, Cell] = {
        "images": report.images,
        "accuracy_chip": report.accuracy_chip,
        "accuracy_exact": report.accuracy_exact,
        "energy_J_per_image": report.energy_J_per_image,
        "energy_low_J_per_image": low,
        "energy_high_J_per_image": high,
        "latency_s_per_image": report.latency_s_per_image,
        "tops_per_watt": report.tops_per_watt,
        "tiles": report.tiles,
        "images_per_s": report.images_per_s,
        "area_m2": report.area_m2,
        "top5_chip": report.top5_chip,
        "top5_exact": report.top5_exact,
        "rms_error_chip": report.rms_error_chip,
        "rms_error_exact": report.rms_error_exact,
        "images_to_limit": None if report.keeping is None else report.keeping.images_to_limit,
        "versions": "; ".join(f"{name} {version}" for name, version in report.versions.items()),
    }
    between = {"digital": report.energy_between_J_per_image}
    for name in COMPONENTS:
        total = sum(layer.energy_by_component_J[name] for layer in report.layers)
        found[f"energy_{name}_J_per_image"] = total + between.get(name, 0.0)
    for layer in report.layers:
        found[f"energy_J_{layer.name}"] = layer.energy_J
        found |= {f"energy_J_{layer.name}.{name}": value for name, value in layer.energy_by_component_J.items()}
        found[f"error_{layer.name}"] = layer.error
        found[f"own_error_{layer.name}"] = layer.own_error
    return found
