"""The kernels that a second process compiles at a first start are those of a run, for the same types."""

import os
import subprocess
import sys
from pathlib import Path

RUN = """
import sys
from mapping.cli import main
from mapping.workflow.kernels_of_a_run import kernels
sys.argv = ["crossgate", "run", "dvgg-digits", "--images", "4", "--no-cache"]
main()
for each in kernels():
    if each.types not in each.kernel.signatures:
        print("MISSING", each.name, each.types, each.kernel.signatures)
"""


def test_kernels__are_compiled_by_a_run_for_the_same_types(tmp_path):
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert "written: " in done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("MISSING")] == []
