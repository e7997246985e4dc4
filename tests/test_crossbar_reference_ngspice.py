"""Netlists: their elements, and ngspice's currents against the reference solver."""

import re
import runpy
import shutil
from math import inf
from pathlib import Path

import numpy as np
import pytest

from crossbar import Wires, reference_solve, run_ngspice, solve, to_spice, transfer_matrix
from crossbar.reference.ngspice import read_spice
from devices.errors import ParameterError, SimulationError

live = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")


def parts(path):
    """Element lines as {name: (node, node, value)}."""
    found = {}
    for line in path.read_text().splitlines():
        if line[:1] in "RV":
            name, a, b, *value = line.split()
            found[name] = (a, b, float(value[-1]))
    return found


def test_netlist__every_part_has_a_readable_name(tmp_path):
    g = np.array([[1e-6, 2e-6, 3e-6], [4e-6, 0.0, 6e-6]])
    to_spice(g, np.array([0.1, -0.2]), Wires(1, 2, 3, 4, [5, inf], 6), tmp_path / "a.cir")
    found = parts(tmp_path / "a.cir")
    assert found["Vdrv_1"] == ("s_1", "0", -0.2)
    assert found["Vsense_2"] == ("t_2", "0", 0.0)
    assert found["Rcell_0_1"] == ("r_0_1", "c_0_1", 1 / 2e-6)
    assert found["Rrow_1_1"] == ("r_1_1", "r_1_2", 1.0)
    assert found["Rcol_0_2"] == ("c_0_2", "c_1_2", 2.0)
    assert found["Rdrv_0"] == ("s_0", "r_0_0", 3.0)
    assert found["Rdrvfar_0"] == ("s_0", "r_0_2", 5.0)
    assert found["Rsense_2"] == ("c_1_2", "t_2", 4.0)
    assert found["Rsensefar_2"] == ("c_0_2", "t_2", 6.0)
    kinds = [name.split("_")[0] for name in found]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert counts == {"Vdrv": 2, "Vsense": 3, "Rdrv": 2, "Rdrvfar": 1, "Rrow": 4, "Rsense": 3, "Rsensefar": 3,
                      "Rcol": 3, "Rcell": 5}  # fmt: skip


def test_netlist__values_are_the_same_float64(tmp_path, rng):
    g, v = 10.0 ** rng.uniform(-9, -3, (3, 4)), rng.uniform(-1, 1, (1, 3))
    wires = Wires(1 / 3, 2 / 3, rng.uniform(0.1, 10, 3), 1e-12)
    to_spice(g, v, wires, str(tmp_path / "a.cir"))
    found = parts(tmp_path / "a.cir")
    assert [found[f"Vdrv_{i}"][2] for i in range(3)] == v[0].tolist()
    assert [found[f"Rdrv_{i}"][2] for i in range(3)] == wires.driver(3).tolist()
    assert all(found[f"Rcell_{i}_{j}"][2] == 1 / g[i, j] for i in range(3) for j in range(4))
    assert found["Rrow_0_0"][2] == 1 / 3


def test_netlist__zero_and_open_parts_are_not_there(tmp_path):
    wires = Wires(0, 0, [0, 1], [0, inf], [inf, 0], [1, 2])
    to_spice(np.array([[1e-3, 0.0], [1e-3, 1e-3]]), np.ones(2), wires, tmp_path / "a.cir")
    found = parts(tmp_path / "a.cir")
    assert set(found) == {"Vdrv_0", "Vdrv_1", "Vsense_0", "Vsense_1", "Rsensefar_1", "Rcell_0_0", "Rcell_1_0",
                          "Rcell_1_1"}  # fmt: skip
    assert found["Rcell_1_1"][:2] == ("s_1", "c_1")
    assert found["Rcell_0_0"][:2] == ("s_0", "t_0")
    assert all(a != b for a, b, _ in found.values())
    assert not re.search(r"\b(inf|nan)\b", (tmp_path / "a.cir").read_text())


def test_netlist__one_tie_for_each_floating_island(tmp_path):
    g = np.zeros((3, 2))
    g[1, 1] = 1e-3
    to_spice(g, np.ones(3), Wires(1, 1, [1, inf, inf], [1, inf]), tmp_path / "a.cir")
    found = parts(tmp_path / "a.cir")
    ties = [a for name, (a, _, _) in found.items() if name.startswith("Rtie")]
    assert len(ties) == 2  # row 1 with column 1, and row 2
    assert "r_2_0" in ties


@pytest.mark.parametrize(
    ("g", "v", "words"),
    [
        (np.ones(2), np.ones(2), "g must have 2 axes"),
        (np.ones((2, 0)), np.ones(2), "g must have at least one row and one column"),
        (np.ones((2, 2)), np.ones((2, 2)), r"v must be one input, of shape \(2,\) or \(1, 2\), got \(2, 2\)"),
        (np.ones((2, 2)), np.ones(3), "v must be one input"),
        (-np.ones((2, 2)), np.ones(2), "g must be ≥ 0"),
        (np.ones((2, 2)), np.array([1.0, inf]), "v must be finite"),
    ],
)
def test_refused__with_a_sentence(tmp_path, g, v, words):
    with pytest.raises(ParameterError, match=words):
        to_spice(g, v, Wires(1, 1, 1, 1), tmp_path / "a.cir")
    assert not (tmp_path / "a.cir").exists()


def test_stored__netlist_and_numbers_are_what_the_recipe_makes(stored, tmp_path):
    """So the stored currents belong to today's arrays and to today's exporter."""
    g, v, wires = runpy.run_path(str(stored.folder / "make.py"))["draw"]()
    np.testing.assert_array_equal(g, stored.g)
    np.testing.assert_array_equal(v, stored.v)
    assert wires == stored.wires
    to_spice(stored.g, stored.v, stored.wires, tmp_path / "netlist.cir")
    assert (tmp_path / "netlist.cir").read_text() == (stored.folder / "netlist.cir").read_text()


def test_klu__a_second_oracle_at_128_x_128():
    """ngspice 45 with KLU solved the netlist of this array; the twin and both fast solvers say the same."""
    folder = Path(__file__).parent / "data" / "klu_128x128"
    g, v, wires = runpy.run_path(str(folder / "make.py"))["draw"]()
    stored = np.loadtxt(folder / "currents.csv", delimiter=",", ndmin=2)
    for found in (solve(g, v, wires).currents, v @ transfer_matrix(g, wires), reference_solve(g, v, wires).currents):
        assert np.abs(found - stored).max() <= 1e-11 * np.abs(stored).max()  # KLU works in plain float64


@live
def test_ngspice__says_today_what_is_stored(stored):
    np.testing.assert_allclose(run_ngspice(stored.folder / "netlist.cir"), stored.currents, rtol=1e-9)


@live
@pytest.mark.parametrize("seed", range(8))
def test_ngspice__round_trip(tmp_path, seed):
    """Any mixture of shorts, open ends, floating lines and open cells, against ngspice.

    The reference solver merges shorted nodes; the netlist gives them one name.
    """
    rng = np.random.default_rng(seed)
    m, n = rng.integers(1, 9, 2)
    g = 10.0 ** rng.uniform(-7, -3, (m, n))
    g[rng.random((m, n)) < rng.choice([0.0, 0.5, 0.9])] = 0.0
    pool = [0.0, 1.0, 300.0, inf]
    wires = Wires(
        rng.choice([0.0, 1.5]), rng.choice([0.0, 2.5]), rng.choice(pool, m), rng.choice(pool, n),
        r_driver_far=rng.choice(pool, m), r_sense_far=rng.choice(pool, n),
    )  # fmt: skip
    v = rng.uniform(-1, 1, (1, m))
    path = tmp_path / "Array of mine.CIR"
    to_spice(g, v, wires, path)
    expected = reference_solve(g, v, wires).currents
    np.testing.assert_allclose(run_ngspice(path), expected, rtol=1e-9, atol=1e-13 * g.sum())
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@live
def test_ngspice__all_open_gives_zero(tmp_path):
    to_spice(np.zeros((2, 3)), np.ones(2), Wires(1, 1, inf, inf), tmp_path / "a.cir")
    assert not run_ngspice(tmp_path / "a.cir").any()


@live
def test_ngspice__a_broken_netlist_is_an_error_with_its_words(tmp_path):
    (tmp_path / "a.cir").write_text("* broken\nR1 a 0\n.op\n.end\n")
    with pytest.raises(SimulationError, match=r"ngspice failed on a\.cir"):
        run_ngspice(tmp_path / "a.cir")


@live
def test_ngspice__a_time_limit(tmp_path):
    to_spice(np.full((60, 60), 1e-5), np.ones(60), Wires(1, 1, 1, 1), tmp_path / "a.cir")
    with pytest.raises(SimulationError, match=r"ngspice took more than 0\.01 s on a\.cir"):
        run_ngspice(tmp_path / "a.cir", timeout=0.01)


def test_ngspice__missing_program_or_netlist(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SimulationError, match="ngspice is not on the PATH; install it"):
        run_ngspice(tmp_path / "a.cir")
    program = tmp_path / "ngspice"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    with pytest.raises(SimulationError, match=r"there is no netlist .*a\.cir"):
        run_ngspice(tmp_path / "a.cir")
    (tmp_path / "a.cir").write_text("* empty\n")
    with pytest.raises(SimulationError, match=r"ngspice failed on a\.cir \(exit status 0\)"):
        run_ngspice(tmp_path / "a.cir")


def test_read_spice__pairs_of_scale_and_current(tmp_path):
    path = tmp_path / "currents.txt"
    path.write_text(" 0.0  1.5e-06  0.0 -2.25e-07\n")
    assert read_spice(path).tolist() == [[1.5e-6, -2.25e-7]]
    for text in ("", "0 1 2", "0 one", "0 nan"):
        path.write_text(text)
        with pytest.raises(SimulationError, match="does not hold"):
            read_spice(path)
