"""The peers of the solver benchmark give our currents, and its memory is that of the method alone."""

import numpy as np
import pytest
from rich.console import Console

from benchmarks import solver
from crossbar import Wires, solve, transfer_matrix


@pytest.mark.parametrize("factorised", ["super_lu", "klu"])
def test_by_nodes__currents_are_those_of_the_transfer_matrix(rng, factorised):
    if factorised == "klu":
        pytest.importorskip("PyKLU")
    g, v = rng.uniform(1e-6, 1e-4, (9, 7)), rng.uniform(0.0, 0.1, (4, 9))
    wires = Wires(1.0, 2.0, 10.0, 5.0)
    found = solver.by_nodes(g, v, wires, getattr(solver, factorised))
    np.testing.assert_allclose(found, v @ transfer_matrix(g, wires), rtol=1e-10)


def test_mpimpy__ends_are_one_segment(rng):
    pytest.importorskip("mpimpy")
    g, v = rng.uniform(1e-6, 1e-4, (8, 6)), rng.uniform(0.0, 0.1, (1, 8))
    wires = Wires(1.0, 1.0, 1.0, 1.0)
    np.testing.assert_allclose(solver.mpimpy(g, v, wires), v @ transfer_matrix(g, wires), rtol=1e-6)


def test_badcrossbar__ends_are_one_segment(rng):
    pytest.importorskip("badcrossbar")
    g, v = rng.uniform(1e-6, 1e-4, (8, 6)), rng.uniform(0.0, 0.1, (3, 8))
    wires = Wires(2.0, 3.0, 2.0, 3.0)
    np.testing.assert_allclose(solver.badcrossbar(g, v, wires), v @ transfer_matrix(g, wires), rtol=1e-9)
    np.testing.assert_allclose(solver.badcrossbar(g, v[:1], wires), solve(g, v[:1], wires).currents, rtol=1e-9)


def test_in_turn__takes_medians_over_rounds_and_last_results(monkeypatch):
    calls, clock = [], iter([0.0, 2.0, 2.0, 8.0, 0.0, 1.0, 1.0, 6.0, 0.0, 4.0, 4.0, 12.0])
    monkeypatch.setattr(solver, "processor_time", lambda: next(clock))
    found = solver.in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b") or 3}, 3)
    assert calls == ["a", "b"] * 3
    assert (found["b"].result, found["a"].ratio) == (3, 1.0)
    assert found["b"].ratio == 3.0  # of 6/2, 5/1 and 8/4
    assert found["a"].seconds >= 0.0


def test_in_turn__a_program_of_its_own_says_its_time():
    currents = np.array([[2.0]])
    found = solver.in_turn({"a": lambda: solver.Reported(2.0, 1), "b": lambda: solver.Reported(5.0, currents)}, 1)
    assert (found["b"].seconds, found["b"].processor, found["b"].ratio) == (5.0, 5.0, 2.5)
    assert found["b"].result is currents


def test_explain__names_options_and_versions_of_what_ran(capsys):
    solver.explain({"transfer_matrix", "SuperLU", "ngspice 44.2"}, Console(width=200))
    said = capsys.readouterr().out
    assert "SuperLU (scipy " in said
    assert "MMD_AT_PLUS_A" in said
    assert "ngspice: -n -b" in said
    assert "KLU: PyKLU" not in said


def test_ngspice_version__another_program_is_refused():
    with pytest.raises(SystemExit, match="does not say that it is ngspice"):
        solver.ngspice_version("true")


def test_more_memory__a_process_that_did_not_grow_has_no_ratio():
    assert solver.more_memory(1e9, 0.0).startswith("while ours fits into what the process had before")
    assert solver.more_memory(3e6, 2e6) == "1.5 times as much"


def test_peak__is_that_of_the_child_whatever_the_parent_holds():
    held = np.ones(60_000_000)  # 480 MB, more than the child will ever have
    assert solver.peak("transfer_matrix", 128) > 128 * 128 * 8
    assert held[-1] == 1.0
