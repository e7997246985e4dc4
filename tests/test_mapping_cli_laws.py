"""The command `crossgate laws`: what it fits, compares, writes and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.law_fitting import TRIALS, measure
from mapping.hardware.description_files import load_hardware

ROOT = Path(__file__).resolve().parents[1]
CURVES = ROOT / "docs" / "data" / "synthetic_cell.csv"


def table(path, law, *, timed=True):
    """Write a measurement of a law, drawn with seed 3; return its parameters."""
    curves, truth = measure(law, TRIALS[law], np.random.default_rng(3))
    time = curves.time if timed and curves.time is not None else None
    rows = [
        f"{curves.v[k]:.7g},{curves.current[k]:.7g}" + (f",{time[k]:.7g}" if time is not None else "")
        for k in range(curves.v.size)
    ]
    path.write_text("\n".join(["voltage (V),current (A)" + (",time (s)" if time is not None else ""), *rows]) + "\n")
    return truth


def test_laws__without_files_lists_them(crossgate):
    status, out, err = crossgate("laws")
    assert (status, err) == (0, "")
    assert all(name in out for name in ("sinh", "schottky", "graphene", "vteam", "stanford_pku", "c_gate (hold it)"))


def test_laws__compares_and_says_why_others_are_left_out(crossgate, tmp_path):
    truth = table(tmp_path / "diode [1].csv", "schottky")
    status, out, err = crossgate(
        "laws", tmp_path / "diode [1].csv", "--law", "sinh,schottky,fefet", "--bootstrap", "20"
    )
    assert (status, err) == (0, "")
    for words in ("schottky", "bootstrap", "AIC", "fefet is left out: the law fefet needs at least 6 gate voltages"):
        assert words in out
    held = json.loads(Path("crossgate-laws/laws.json").read_text())
    assert held["fits"][0]["law"] == "schottky"
    assert held["fits"][0]["usable"]
    found = held["fits"][0]["parameters"]
    for name in ("i_s", "ideality", "r_series", "g_leak"):
        assert found[name]["value"] == pytest.approx(truth[name], rel=0.05)
        low, high = held["bootstrap"][name]
        assert low < found[name]["value"] < high
    assert Path("crossgate-laws/laws.png").read_bytes()[:4] == b"\x89PNG"
    assert not Path("crossgate-laws/fitted.toml").exists()


@pytest.mark.parametrize("timed", [True, False])
def test_laws__a_loop_with_set_and_reset_becomes_a_chip(timed, crossgate, tmp_path):
    truth = table(tmp_path / "loop.csv", "vteam", timed=timed)
    options = () if timed else ("--rate", "1")
    status, out, err = crossgate("laws", tmp_path / "loop.csv", "--law", "vteam", *options)
    assert (status, err) == (0, "")
    assert "use it:  crossgate run --chip crossgate-laws/fitted.toml" in out
    cell = load_hardware("crossgate-laws/fitted.toml").cell
    assert cell.r_on == pytest.approx(truth["r_on"], rel=0.02)
    assert cell.v_on == pytest.approx(-truth["v_on"], rel=0.05)
    assert -cell.k_on / cell.w_off == pytest.approx(truth["rate_on"], rel=0.1)


BAD = {
    "no such law": ([CURVES, "--law", "sin"], "unknown law 'sin'; nearest valid: sinh"),
    "no such parameter": ([CURVES, "--hold", "vo=1"], "unknown parameter to hold 'vo'"),
    "no value": ([CURVES, "--hold", "v_0"], "--hold takes KEY=VALUE such as c_gate=1.15e-4, got 'v_0'"),
    "several filaments": ([CURVES, "--law", "sinh"], "is of one filament", "holds 3"),
    "no such filament": ([CURVES, "--law", "sinh", "--state", "3"], "--state must be below the 3 filaments"),
    "no time": ([CURVES, "--law", "vteam", "--state", "0"], "needs a column 'time'"),
    "rate": ([CURVES, "--rate", "0"], "rate must be > 0 V/s"),
    "draws": ([CURVES, "--bootstrap", "5"], "--bootstrap must be a whole number ≥ 20, got '5'"),
    "bound": ([CURVES, "--law", "ecram", "--bound", "x"], "--bound must be a number, got 'x'"),
}


@pytest.mark.parametrize("case", BAD)
def test_laws__refuses_in_one_sentence(case, crossgate, refused):
    words, *said = BAD[case]
    refused(crossgate("laws", *words), *said)
