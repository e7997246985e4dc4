"""Every public function of devices and crossbar with wrong arguments: a right result or one sentence, never a nan."""

import gc
import inspect
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import crossbar
import devices
from tests.public_calls import public_calls
from tests.test_public_readers import SECONDS, Late, holds_nan

ROOT = Path(__file__).resolve().parents[1]
MEMORY = 2 << 30  # bytes that all cases may take beyond what the valid calls take
BAD = {
    "None": None,
    "a whole number": 3,
    "text": "text",
    "an integer beyond float": 10**400,
    "a fraction beyond float": Fraction(10**400, 3),
    "1e300": 1e300,
    "5e-324": 5e-324,
    "-1": -1,
    "-inf": -np.inf,
    "nan": float("nan"),
    "an object": object(),
    "an empty list": [],
    "a ragged list": [[1.0], [1.0, 2.0]],
    "a table": {},
    "bytes": b"x",
    "complex": 1j,
}
FILLED = (1e300, -1e300, 1e60, 5e-324, -1.0, np.nan, np.inf)  # in every element of an array
EXTREMES = (*FILLED, 0.0, -0.0, 1e-320, -1e-300, 1e12, 1e155, -np.inf)
#: names that take no arguments of a user's: results, protocols, errors, tables, what other names give
NOT_CALLED = {

    "Cell", "PRESETS", "ConvergenceError", "MappingError", "ParameterError", "SimulationError", "Law", "AdaptiveLaw",
    "OhmicLaw", "SelectorLaw", "TabulatedLaw", "Trace", "Written", "Programmed", "GateVoltages", "Solution",
    "WireSlopes", "Tile", "ArrayProgrammed", "FamilyGradient", "WireGradient", "run_ngspice", "family_gradient",
    "Settling", "Sensitivity", "Family", "StackedFamily", "Multiport", "DrawnCells",
}  # fmt: skip


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    return public_calls(str(tmp_path_factory.mktemp("netlists")))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Files that are written under a wrong path go nowhere else."""
    monkeypatch.chdir(tmp_path)


def outcome(call, arguments):
    """What is wrong with a call: an error that is none of ours, or a nan; None if all is well."""
    try:
        result = call.function(**arguments)
    except devices.SimulationError as error:
        text = str(error)
        return None if text and "\n" not in text else f"no sentence: {text!r}"
    except (Exception, Late) as error:  # noqa: BLE001 - that is what is looked for
        return f"{type(error).__name__}: {str(error)[:120]}"
    return "nan without a word" if holds_nan(result) else None


def wrong_values(good):
    """Values in the place of a good one, by a name."""
    found = dict(BAD)
    if isinstance(good, np.ndarray):
        found |= {f"all {value:g}": np.full(good.shape, value) for value in FILLED}
        found["twice"] = np.broadcast_to(good, (2, *good.shape))
        if good.ndim:
            found |= {"cut": good[..., :-1], "empty": good[..., :0], "flat": good.reshape(-1), "rows": good[:0]}
    return found


def wrong_calls(calls):
    """Every public call with each of its arguments replaced by each wrong value."""
    for name, call in calls.items():
        for argument, good in call.arguments.items():
            for label, value in wrong_values(good).items():
                yield f"{name}({argument}: {label})", call, {**call.arguments, argument: value}


def drawn_call(calls, rng):
    """A public call with one or two arguments replaced at random: other kinds, other shapes, one element astray."""
    name = sorted(calls)[rng.integers(len(calls))]
    call = calls[name]
    arguments, changed = dict(call.arguments), []
    for key in rng.permutation(sorted(arguments))[: rng.integers(1, 3)].tolist():
        good = arguments[key]
        values = wrong_values(good)
        label = list(values)[rng.integers(len(values))]
        value = values[label]
        if isinstance(good, np.ndarray) and good.size and good.dtype.kind == "f" and rng.integers(2):
            value = good.copy()
            place, label = int(rng.integers(good.size)), "one element"
            value.reshape(-1)[place] = EXTREMES[rng.integers(len(EXTREMES))]
        elif isinstance(good, float) and rng.integers(2):
            label, value = "extreme", EXTREMES[rng.integers(len(EXTREMES))]
        arguments[key] = value
        changed.append(f"{key}: {label} {value!r:.60}" if label != "an integer beyond float" else f"{key}: {label}")
    return f"{name}({', '.join(changed)})", call, arguments


@pytest.mark.slow
def test_public_calls__know_every_public_name(calls):
    known = {name.split(".")[0].split(" ")[0] for name in calls} | NOT_CALLED
    public = {name for package in (devices, crossbar) for name in package.__all__}
    folders = {
        name for name in public if inspect.ismodule(getattr(devices, name, None) or getattr(crossbar, name, None))
    }
    assert public - folders - known == set()


def test_public_calls__valid_arguments_are_taken(calls):
    wrong = {name: outcome(call, call.arguments) for name, call in calls.items()}
    assert {name: what for name, what in wrong.items() if what} == {}


def test_wrong_arguments__a_few_end_in_a_result_or_one_sentence(calls):
    cases = list(wrong_calls(calls))
    chosen = np.random.default_rng(0).choice(len(cases), 80, replace=False)
    wrong = {cases[k][0]: outcome(*cases[k][1:]) for k in chosen.tolist()}
    assert {name: what for name, what in wrong.items() if what} == {}


def kinds_of(good):
    """The same numbers in arrays of other kinds."""
    read_only = good.copy()
    read_only.setflags(write=False)
    unaligned = np.zeros(good.size * 8 + 1, dtype=np.uint8)[1:].view(np.float64).reshape(good.shape)
    unaligned[...] = good
    strided = np.repeat(good, 2, axis=-1)[..., ::2]
    return {
        "read-only": read_only, "unaligned": unaligned, "by columns": np.asfortranarray(good), "strided": strided,
        "big-endian": good.astype(">f8"), "a list": good.tolist(),
    }  # fmt: skip


def test_arrays_of_any_kind__compile_no_kernel_anew(calls):
    """Read-only, unaligned, strided and big-endian arrays, arrays by columns, and lists are normalised at the door."""
    from numba.core.dispatcher import Dispatcher

    for call in calls.values():
        call.function(**call.arguments)
    kernels = [each for each in gc.get_objects() if issubclass(type(each), Dispatcher)]  # a dead proxy has no class
    assert len(kernels) > 50
    before = sum(len(each.signatures) for each in kernels)
    wrong = {}
    for name, call in calls.items():
        for argument, good in call.arguments.items():
            if isinstance(good, np.ndarray) and good.dtype == np.float64 and good.ndim:
                for kind, each in kinds_of(good).items():
                    what = outcome(call, {**call.arguments, argument: each})
                    now = sum(len(kernel.signatures) for kernel in kernels)
                    if what or now > before:
                        wrong[name, argument, kind] = what or f"{now - before} versions compiled"
                    before = now
    assert wrong == {}


# All cases, or drawn ones, in a child of limited memory; each case has a time limit of its own.
CHILD = """
import json, os, resource, sys, tempfile, warnings
from pathlib import Path
import numpy as np
from tests.public_calls import public_calls
from tests.test_public_arguments import drawn_call, outcome, wrong_calls
from tests.test_public_readers import limited
warnings.simplefilter("error")
seed, drawn, memory, seconds = map(int, sys.argv[1:])
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)  # a path may be any text
    calls = public_calls(folder)
    wrong = {name: outcome(call, call.arguments) for name, call in calls.items()}
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    rng = np.random.default_rng(seed)
    cases = (drawn_call(calls, rng) for _ in range(drawn)) if drawn else wrong_calls(calls)
    count = 0
    for name, call, arguments in cases:
        count += 1
        with limited(seconds):
            wrong[name] = outcome(call, arguments)
print(json.dumps([count, {name: what for name, what in wrong.items() if what}]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited as on Linux")
@pytest.mark.parametrize(("seed", "drawn"), [(0, 0), (1, 1000), (2, 1000)])
def test_wrong_arguments__thousands_of_cases(seed, drawn):
    """Every argument with every wrong value, and 2,000 seeded draws."""
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(seed), str(drawn), str(MEMORY), str(SECONDS)],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    count, wrong = json.loads(run.stdout.splitlines()[-1])
    assert count == drawn or (not drawn and count > 2000)
    assert wrong == {}
