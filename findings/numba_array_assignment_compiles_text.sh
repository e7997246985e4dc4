#!/usr/bin/env bash
# numba 0.68.1: `out[:] = values` between two arrays in a compiled function also compiles the text of the error message
# for shapes that do not fit: dozens of functions for strings, where a loop of the same copies needs none. A kernel of
# two lines then takes many times as long to compile as the same kernel with a loop.
# Seen: 0 functions of numba.cpython.unicode for the loop, more than 5 for the assignment.
# Exit 0 while this holds, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numba==0.68.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numba
import numpy as np
from numba.core import event

compiled = []


class Names(event.Listener):
    def on_start(self, seen):
        if seen.data.get("dispatcher") is not None:
            compiled.append(seen.data["dispatcher"].py_func.__module__)

    def on_end(self, seen):
        pass


@numba.njit
def assigned(out, values):
    out[:] = values


@numba.njit
def copied(out, values):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = values[i, j]


def text_functions(function):
    compiled.clear()
    out, values = np.zeros((2, 3)), np.ones((2, 3))
    with event.install_listener("numba:compile", Names()):
        function(out, values)
    assert (out == values).all()
    return sum(name.startswith("numba.cpython.unicode") for name in compiled)


loop, assignment = text_functions(copied), text_functions(assigned)
print(f"numba {numba.__version__}: functions for text compiled: {loop} by the loop, {assignment} by the assignment")
sys.exit(0 if loop == 0 and assignment > 5 else 1)
PYTHON
