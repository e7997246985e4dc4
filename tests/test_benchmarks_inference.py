"""The benchmark of a run: every stage that it times is met."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("products", "mixing of stored", "noise and", "energy between", "survey of", "unrolling", "digital layers")


def test_inference__times_every_stage_of_a_run():
    words = [sys.executable, "-m", "benchmarks.inference", "dvgg-negatives", "--images", "4"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "times bare products and mixtures" in done.stdout.replace("\n", " ")
    missing = [stage for stage in STAGES if stage not in done.stdout]
    assert not missing
