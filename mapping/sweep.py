"""Runs studies: one line per finished point in one tidy table, on one process, several, or a Dask cluster.

Whatever stops a sweep, starting it again runs what is missing and nothing twice: a line is written and synchronised
when its point has finished, half a line is dropped, and a table of another study is refused. A row depends on its point
alone, never on the worker that computed it or on the order.
"""

import contextlib
import csv
import importlib.util
import io
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numba import config

from crossbar.blas import one_blas_thread
from devices import checks, jit
from devices.aliases import FloatArray
from devices.errors import ParameterError, SimulationError
from mapping.datasets import Dataset, load_dataset
from mapping.digests import digest
from mapping.hardware import Hardware, load_hardware
from mapping.inference import exact_outputs, run
from mapping.models import load_model
from mapping.network import Conv, DynamicConv, Linear, Network
from mapping.output import check_folder, write_whole
from mapping.passes import compile_network
from mapping.program import Program
from mapping.report import Report, price
from mapping.studies import WHOLE_INPUTS, Parameter, Point, Study, Value, held_value, load_study
from mapping.study_results import HEAD, METRICS, TAIL, Cell, Results, effects, parsed
from mapping.writing import write

TABLE = "results.csv"
PARTS = ("study file", "chip descriptions", "networks", "images")  #: what the identity of a table is made of


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What a worker loads once: a network, its calibration images, its test images."""

    network: Network
    calibration: Dataset
    test: Dataset


@dataclass(frozen=True, eq=False)
class _Task:
    """One point as it travels to a worker: small, the network and the images are found there."""

    model: str
    source: tuple[str | None, str, int | None, int]  #: folder, split, images, calibration images
    hardware: Hardware
    point: Point
    cells: dict[str, Cell]  #: what the row says about the point
    threads: int
    inputs: str  #: digest of network and images, which the worker's must have


def sweep(
    study: Study | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    workers: int = 1,
    threads: int | None = None,
    dask: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Results:
    """Run every point of a study that `out` does not hold yet; leave results.csv, summary.csv and study.png there.

    study: or the path of its file.  workers: processes on this machine.  threads: of each; without it the processors
    are shared out, and on a cluster each worker takes one.  dask: address of a scheduler, whose workers compute
    instead.  progress: called with the points done and those there are, first with what an earlier start left.
    Raises ParameterError if the study cannot be run, or `out` holds the table of another study or is in use.
    """
    study = study if isinstance(study, Study) else load_study(study)
    workers = checks.whole("workers", workers, minimum=1)
    share = 1 if dask is not None else max(1, (os.cpu_count() or 1) // workers)
    threads = share if threads is None else checks.whole("threads", threads, minimum=1)
    folder = Path(out)
    tasks, columns, identity = _prepared(study, threads)
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _opened(folder / TABLE) as file:
        rows = _kept(file, folder / TABLE, columns, identity)
        done = {(row["point"], row["seed"]) for row in rows}
        missing = [task for task in tasks if (task.point.index, task.point.seed) not in done]
        if progress is not None:
            progress(len(rows), len(tasks))
        for row in _computed(missing, workers, threads, dask):
            _append(file, [row[name] for name in columns])
            rows.append(row)
            if progress is not None:
                progress(len(rows), len(tasks))
        rows.sort(key=lambda row: (_whole(row["point"]), _whole(row["seed"])))
        results = Results(tuple(columns), tuple(rows))
        write_whole(folder, _writers(results))
    return results


# what is to be done


def _prepared(study: Study, threads: int) -> tuple[list[_Task], list[str], str]:
    """Resolve every point before the first one runs; returns the tasks, the table's columns, the table's identity."""
    source = (study.data, study.split, study.images, study.calibration)
    loaded = {model: _load(model, source) for model in study.models}
    digests = {model: (digest(each.network), digest(each.test, each.calibration)) for model, each in loaded.items()}
    bases = [load_hardware(chip) for chip in study.chips]
    physical = [[getattr(each, part.name) for part in fields(Hardware) if part.name != "about"] for each in bases]
    identity = "-".join(
        part[:8]
        for part in (
            digest(_plan(study)),
            digest(physical),
            digest([network for network, _ in digests.values()]),
            digest([images for _, images in digests.values()]),
        )
    )
    names = [parameter.name for parameter in study.parameters]
    matrices = [
        layer.name
        for each in loaded.values()
        for layer in each.network.layers
        if isinstance(layer, (Conv, DynamicConv, Linear))
    ]
    errors = [f"{kind}_{name}" for kind in ("error", "own_error") for name in dict.fromkeys(matrices)]
    columns = [*HEAD, *names, *METRICS, *errors, *TAIL]
    clash = sorted({name for name in names if columns.count(name) > 1})
    if clash:
        raise ParameterError(f"a parameter cannot be called {', '.join(clash)}: the table has a column of that name")
    tasks = []
    resolved: dict[int, tuple[str, Hardware]] = {}
    for point in study.all_points():
        if point.index not in resolved:
            resolved[point.index] = study.resolve(point)
        model, hardware = resolved[point.index]
        cells: dict[str, Cell] = dict.fromkeys(columns)
        cells |= {"study": identity, "point": point.index, "seed": point.seed, "varied": point.varied or None}
        given = dict(point.values)
        for parameter in study.parameters:
            cells[parameter.name] = _shown(parameter, given.get(parameter.name), model, study.chip, hardware)
        inputs = "-".join(digests[model])
        tasks.append(_Task(model, source, hardware, point, cells, threads, inputs))
    return tasks, columns, identity


def _plan(study: Study) -> list[object]:
    """Everything in a study that makes its rows what they are; folders of files do not, their contents are apart."""
    plain = {"parameters", "name", "about", "data", *WHOLE_INPUTS}
    parameters = [
        [
            part.name,
            part.keys,
            [_label(part, each) for each in part.values],
            part.low,
            part.high,
            part.steps,
            part.scale,
        ]
        for part in study.parameters
    ]
    return [parameters, *(getattr(study, each.name) for each in fields(Study) if each.name not in plain)]


def _shown(parameter: Parameter, given: Value | None, model: str, chip: str, hardware: Hardware) -> Cell:
    """Return what the table says of a parameter at a point: its value on the resolved chip, set or not."""
    if parameter.keys[0] in WHOLE_INPUTS:
        base = model if parameter.keys == ("model",) else chip
        return _label(parameter, base if given is None else given)
    found = {held_value(hardware, key) for key in parameter.keys}
    return found.pop() if len(found) == 1 and None not in found else given


def _label(parameter: Parameter, value: Value) -> Value:
    """Return a value as the table shows it: networks and chips by name, wherever their files lie."""
    return Path(str(value)).stem if parameter.keys[0] in WHOLE_INPUTS else value


def _load(model: str, source: tuple[str | None, str, int | None, int]) -> _Inputs:
    """Load a network and its images.

    Raises ParameterError if they do not fit.
    """
    folder, split, images, calibration = source
    network = load_model(model)
    name = str(network.card.get("dataset", "digits"))
    test = load_dataset(name, split, folder, limit=images)
    if test.images.shape[1:] != network.input_shape:
        raise ParameterError(
            f"the images of {test.source} have shape {test.images.shape[1:]}, but {network.name} takes "
            f"{network.input_shape}"
        )
    try:
        training = load_dataset(name, "train", folder, limit=calibration)
    except ParameterError:  # fewer than that: all of them
        training = load_dataset(name, "train", folder)
    return _Inputs(network, training, test)


# doing it


def _computed(tasks: Sequence[_Task], workers: int, threads: int, address: str | None) -> Iterator[dict[str, Cell]]:
    """Yield the rows of tasks as they finish."""
    if not tasks:
        return
    if address is None and min(workers, len(tasks)) == 1:
        yield from map(simulate, tasks)
        return
    import joblib

    with contextlib.ExitStack() as stack:
        if address is None:
            stack.enter_context(joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=threads))
        else:
            stack.enter_context(_cluster(address))
            stack.enter_context(joblib.parallel_config("dask"))
        parallel = joblib.Parallel(
            return_as="generator_unordered", batch_size=1, **({"n_jobs": workers} if address is None else {})
        )
        yield from parallel(joblib.delayed(simulate)(task) for task in tasks)


def _cluster(address: str) -> contextlib.AbstractContextManager[object]:
    if importlib.util.find_spec("distributed") is None:
        raise ParameterError("a Dask cluster needs the package distributed: pip install 'crossgate[dask]'")
    from distributed import Client

    try:
        client: contextlib.AbstractContextManager[object] = Client(address, timeout=20)  # type: ignore[no-untyped-call,unused-ignore]  # seconds, ours
    except (OSError, ValueError, TimeoutError) as error:
        raise ParameterError(f"there is no Dask scheduler at {address!r}: {error}") from None
    return client


def simulate(task: _Task) -> dict[str, Cell]:
    """Compile, write, run and price one point; returns its row. What the chip cannot do is a row with a sentence.

    Raises ParameterError if this machine's files are not those that the study was started with.
    """
    start = time.perf_counter()
    loaded = _inputs(task.model, task.source, task.inputs)
    before = jit.threads()
    jit.set_threads(min(task.threads, int(config.NUMBA_NUM_THREADS)))
    row = dict(task.cells)
    try:
        with one_blas_thread():  # a product's last digit may depend on the threads it had
            program = _program(task)
            chip = write(program, task.point.seed)
            exact = _exact(program, loaded.test)
            report = price(run(chip, loaded.test.images, seed=task.point.seed, exact=exact), loaded.test.labels)
        row |= _measured(report)
    except SimulationError as error:
        row["failure"] = " ".join(str(error).split())
    finally:
        jit.set_threads(before)
    row["wall_s"] = round(time.perf_counter() - start, 4)
    return row


@lru_cache(maxsize=4)
def _inputs(model: str, source: tuple[str | None, str, int | None, int], wanted: str) -> _Inputs:
    loaded = _load(model, source)
    found = "-".join((digest(loaded.network), digest(loaded.test, loaded.calibration)))
    if found != wanted:
        raise ParameterError(f"this worker finds another {model} or other images than the study was started with")
    return loaded


class _Last:
    """The program compiled last: the seeds of a setting follow one another and share it."""

    key = ""
    program: Program | None = None


def _program(task: _Task) -> Program:
    """Compile a point's network, or take over the last point's program if compiling would end in the same placement."""
    key = digest(task.inputs, task.hardware.to_compile())
    if _Last.program is None or _Last.key != key:
        loaded = _inputs(task.model, task.source, task.inputs)
        _Last.key, _Last.program = "", None
        _Last.program = compile_network(loaded.network, task.hardware, loaded.calibration.images)
        _Last.key = key
    return replace(_Last.program, hardware=task.hardware)


class _Outputs:
    """Exact outputs computed last: the points of a study share them, unless the network's graph depends on the chip."""

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
        "versions": "; ".join(f"{name} {version}" for name, version in report.versions.items()),
    }
    for layer in report.layers:
        found[f"error_{layer.name}"] = layer.error
        found[f"own_error_{layer.name}"] = layer.own_error
    return found


# the table


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open the table for this sweep alone; a process that dies lets go of it."""
    try:
        file = path.open("a+b")
    except OSError as error:
        raise ParameterError(f"cannot write {path}: {error.strerror}") from None
    with file:
        try:
            import fcntl
        except ImportError:  # no such locks on this system
            yield file
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ParameterError(f"another sweep is writing {path}; wait for it, or give another --out") from None
        yield file


def _kept(file: BinaryIO, path: Path, columns: Sequence[str], identity: str) -> list[dict[str, Cell]]:
    """Read the rows of earlier starts and cut off half a line; a new table gets its heading.

    Raises ParameterError if they belong to another study, or the table was changed by something else.
    """
    file.seek(0)
    whole, newline, _ = file.read().rpartition(b"\n")
    file.truncate(len(whole + newline))
    try:
        lines = list(csv.reader(io.StringIO((whole + newline).decode()), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ParameterError(f"{path} is damaged, or no table of a study: {error}; give another --out") from None
    if not lines:
        _append(file, columns)
        return []
    heading, *rows = lines
    for number, row in enumerate(rows, start=2):
        if len(row) != len(heading) or heading[: len(HEAD)] != list(HEAD):
            raise ParameterError(
                f"{path} is damaged, or no table of a study: line {number} has {len(row)} columns of {len(heading)}"
            )
        _same_study(path, row[0], identity)
    if heading != list(columns):
        if rows or heading[: len(HEAD)] != list(HEAD):
            raise ParameterError(f"{path} has other columns than this study; give another --out, or remove it")
        file.truncate(0)
        _append(file, columns)
    found = [dict(zip(heading, map(parsed, row), strict=True)) for row in rows]
    twice = len(found) - len({(row["point"], row["seed"]) for row in found})
    if twice:
        raise ParameterError(f"{path} holds {twice} points twice; it was changed by something else than a sweep")
    return found


def _same_study(path: Path, found: str, identity: str) -> None:
    if found != identity:
        pairs = itertools.zip_longest(PARTS, found.split("-"), identity.split("-"), fillvalue="")
        changed = [part for part, old, new in pairs if old != new]
        raise ParameterError(
            f"{path} belongs to another study: since it was begun the {' and the '.join(changed)} changed; "
            "give another --out, or remove it"
        )


def _append(file: BinaryIO, cells: Sequence[Cell]) -> None:
    """Write one line and wait until it is on the disk."""
    file.write(_lines([cells]).encode())
    file.flush()
    os.fsync(file.fileno())


def _lines(rows: Sequence[Sequence[Cell]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow([str(cell).lower() if isinstance(cell, bool) else cell for cell in row])
    return text.getvalue()


def _writers(results: Results) -> dict[str, Callable[[Path], object]]:
    """Return what a finished study leaves, by file name: the table in its order, its summary and its figure."""
    found: dict[str, Callable[[Path], object]] = {
        TABLE: lambda to: _synchronised(
            to, _lines([results.columns, *([row[name] for name in results.columns] for row in results.rows)])
        ),
        "summary.csv": lambda to: _synchronised(to, _lines(summary(results))),
        "study.png": lambda to: _draw(results, to),
    }
    if importlib.util.find_spec("pyarrow") is not None:
        found["results.parquet"] = lambda to: _write_parquet(results, to)
    return found


def summary(results: Results) -> list[list[Cell]]:
    """Return the effects on accuracy, energy and latency as lines of a table, its heading first."""
    lines: list[list[Cell]] = [["metric", "parameter", "reference", "level", "mean", "change", "half_width_95", "rows"]]
    for metric in ("accuracy_chip", "energy_J_per_image", "latency_s_per_image"):
        for effect in effects(results, metric):
            lines += [
                [
                    metric,
                    effect.parameter,
                    effect.reference,
                    each.label,
                    each.mean,
                    each.change,
                    each.half_width,
                    each.rows,
                ]
                for each in effect.levels
            ]
    return lines


def _synchronised(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _draw(results: Results, path: Path) -> None:
    from mapping.study_plots import study_figure

    study_figure(results).savefig(path, dpi=150)


def _write_parquet(results: Results, path: Path) -> None:
    """Write the table as Parquet; a column of numbers and texts becomes one of texts."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {}
    for name in results.columns:
        cells = [row[name] for row in results.rows]
        kinds = {type(cell) for cell in cells if cell is not None}
        if kinds == {int, float}:
            cells = [None if cell is None else float(cell) for cell in cells]
        elif len(kinds) > 1:
            cells = [None if cell is None else str(cell) for cell in cells]
        columns[name] = cells
    parquet.write_table(pa.table(columns), path)


def _whole(cell: Cell) -> int:
    return int(cell) if isinstance(cell, (int, float)) else -1
