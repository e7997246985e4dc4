"""Runs studies: one line per finished point in one tidy table, on one process, several, or a Dask cluster.

Whatever stops a sweep, starting it again runs what is missing and nothing twice: a line is written and synchronised
when its point has finished, half a line is dropped, and a table of another study is refused. A row depends on its point
alone, never on the worker that computed it or on the order.
"""

import contextlib
import importlib.util
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
from mapping.studies.description import WHOLE_INPUTS, Parameter, Study, Value, held_value
from mapping.studies.points import Task, load_inputs, simulate
from mapping.studies.results import HEAD, METRICS, TAIL, Cell, Results
from mapping.studies.study_files import load_study
from mapping.studies.table import TABLE, append_row, file_writers, kept_rows, opened_table
from mapping.workflow.digests import digest


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


# what is to be done


def _prepared(study: Study, threads: int) -> tuple[list[Task], list[str], str]:
    """Resolve every point before the first one runs; returns the tasks, the table's columns, the table's identity."""
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
        tasks.append(Task(model, source, hardware, point, cells, threads, inputs))
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


# doing it


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


def _whole(cell: Cell) -> int:
    return int(cell) if isinstance(cell, (int, float)) else -1
