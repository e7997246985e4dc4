"""Runs studies on one process, several processes or a Dask cluster; each finished point is a line of one table.

A sweep that was stopped can be started again: it runs the missing points and no point twice. A line is written and
synchronised when its point has finished, an incomplete line is removed, and the table of another study is refused. A
row depends on its point only, neither on the worker that computed it nor on the order.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from devices import checks
from devices.errors import ParameterError
from mapping.files.whole_files import check_folder, write_whole
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import load_hardware
from mapping.networks.layers.matrix_layers import MatrixLayer
from mapping.report.values import COMPONENTS
from mapping.studies.description import WHOLE_INPUTS, Parameter, Study, Value, held_value
from mapping.studies.points import Task, load_inputs, simulate
from mapping.studies.results import HEAD, METRICS, TAIL, Cell, Results
from mapping.studies.study_files import load_study
from mapping.studies.table import TABLE, append_row, file_writers, kept_rows, opened_table
from mapping.workflow.dask_cluster import connected
from mapping.workflow.digests import digest

PARTS = tuple(f".{name}" for name in COMPONENTS)  #: ends of the columns with a layer's energy in a component
SHARES = tuple(f"energy_{name}_J_per_image" for name in COMPONENTS)  #: columns with the chip's energy in a component


def sweep(
    study: Study | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    workers: int = 1,
    threads: int | None = None,
    dask: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Results:
    """Run the points of a study that the folder `out` lacks, and write results.csv, summary.csv and study.png to it.

    study: a study or the path of its file.  workers: number of processes on this machine.  threads: of each process;
    default: the processors divided by the processes, on a cluster one.  dask: address of a scheduler whose workers run
    the points.  progress: called with the points done and the points in all, first with those of an earlier start.
    Raises ParameterError if the study cannot be run, or `out` holds the table of another study or is in use.
    """
    study = study if isinstance(study, Study) else load_study(study)
    workers = checks.whole("workers", workers, minimum=1)
    default = 1 if dask is not None else max(1, (os.cpu_count() or 1) // workers)
    threads = default if threads is None else checks.whole("threads", threads, minimum=1)
    folder = Path(out)
    tasks, columns, identity = _prepared(study, threads)
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with opened_table(folder / TABLE) as file:
        rows = kept_rows(file, folder / TABLE, columns, identity)
        done = {(row["point"], row["seed"]) for row in rows}
        missing = [task for task in tasks if (task.point.index, task.point.seed) not in done]
        if progress is not None:
            progress(len(rows), len(tasks))
        for row in _computed(missing, workers, threads, dask):
            append_row(file, [row[name] for name in columns])
            rows.append(row)
            if progress is not None:
                progress(len(rows), len(tasks))
        rows.sort(key=lambda row: (_whole(row["point"]), _whole(row["seed"])))
        results = Results(tuple(columns), tuple(rows))
        write_whole(folder, file_writers(results))
    return results


# preparing


def _prepared(study: Study, threads: int) -> tuple[list[Task], list[str], str]:
    """Resolve every point before the first one runs; returns the tasks, the table's columns and its identity."""
    source = (study.data, study.split, study.images, study.calibration)
    loaded = {model: load_inputs(model, source) for model in study.models}
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
        layer.name for each in loaded.values() for layer in each.network.layers if isinstance(layer, MatrixLayer)
    ]
    errors = [f"{kind}_{name}" for kind in ("error", "own_error") for name in dict.fromkeys(matrices)]
    of_layers = [f"energy_J_{name}{part}" for name in dict.fromkeys(matrices) for part in ("", *PARTS)]
    columns = [*HEAD, *names, *METRICS, *SHARES, *errors, *of_layers, *TAIL]
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
        tasks.append(Task(model, source, hardware, point, cells, threads, inputs, study.until_lost))
    return tasks, columns, identity


def _plan(study: Study) -> list[object]:
    """The fields of a study that determine its rows; the contents of its files have digests of their own."""
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
    """Return the table's cell for a parameter at a point: its value on the point's chip, whether it was set or not."""
    if parameter.keys[0] in WHOLE_INPUTS:
        base = model if parameter.keys == ("model",) else chip
        return _label(parameter, base if given is None else given)
    found = {held_value(hardware, key) for key in parameter.keys}
    return found.pop() if len(found) == 1 and None not in found else given


def _label(parameter: Parameter, value: Value) -> Value:
    """Return a value for the table: a network or chip by its name without the folder."""
    return Path(str(value)).stem if parameter.keys[0] in WHOLE_INPUTS else value


# running


def _computed(tasks: Sequence[Task], workers: int, threads: int, address: str | None) -> Iterator[dict[str, Cell]]:
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
            stack.enter_context(connected(address))
            stack.enter_context(joblib.parallel_config("dask"))
        parallel = joblib.Parallel(
            return_as="generator_unordered", batch_size=1, **({"n_jobs": workers} if address is None else {})
        )
        yield from parallel(joblib.delayed(simulate)(task) for task in tasks)


def _whole(cell: Cell) -> int:
    return int(cell) if isinstance(cell, (int, float)) else -1
