"""Arrays of every cell model: Newton's solution against the reference solver at its secant conductances."""

import numpy as np
import pytest

from crossbar import Array, Wires, reference_solve, solve
from devices import SelectedCell, Tabulated, cell_current
from devices.cells.presets import adaptive_2d, stanford_pku, vteam

WIRES = Wires(2.5, 1.5, 50.0, 20.0)
VOLTS = np.linspace(-0.6, 0.6, 25)
GATES = np.linspace(-2.0, 4.0, 6)
TABLE = Tabulated(VOLTS, [[adaptive_2d().current(w, q, VOLTS)[0] for q in GATES] for w in (0.4, 1.0)], GATES)
SELECTED = SelectedCell(TABLE, v_threshold=0.2)  # a selector and a table: both laws in one compilation
CELLS = {"vteam": vteam(), "stanford_pku": stanford_pku(), "selected table": SELECTED}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_solve__every_law_meets_the_slow_twin(cell, rng):
    g = cell.filament(rng.random((8, 8)))
    array = Array(cell, g)
    v = np.array([rng.uniform(-0.5, 0.5, 8), rng.choice([0.0, 0.25, 0.5], 8)])  # selected, half selected, at rest
    v_gate = 2.0 if cell.gated else None
    found = solve(array, v, WIRES, v_gate=v_gate)
    assert np.max(found.residual) < 1e-9
    for b in range(len(v)):
        drop = found.v_rows[b] - found.v_columns[b]
        current = np.array([
            [cell_current(cell.law, float(g[i, j]), float(drop[i, j]), 2.0)[0] for j in range(8)] for i in range(8)
        ])  # fmt: skip
        secant = np.abs(current / np.where(drop == 0.0, 1.0, drop))
        twin = reference_solve(secant, v[b : b + 1], WIRES)
        scale = np.abs(current).sum(axis=0).max()
        assert np.allclose(found.currents[b], twin.currents[0], rtol=0, atol=1e-8 * scale)
        assert np.allclose(found.v_rows[b], twin.v_rows[0], rtol=0, atol=1e-8)
        assert np.allclose(found.v_columns[b], twin.v_columns[0], rtol=0, atol=1e-8)


def test_solve__selectors_keep_half_selected_cells_quiet(rng):
    """The half-voltage scheme: without selectors the sneak paths carry most of the current, with them none."""
    g = np.full((8, 8), 5e-5)
    v = np.full((1, 8), 0.15)
    v[0, 3] = 0.4
    through = {}
    for name, cell in (("bare", adaptive_2d()), ("selected", SELECTED)):
        found = solve(Array(cell, g), v, WIRES, v_gate=4.0)
        drop = (found.v_rows - found.v_columns)[0]
        alone = np.array([cell_current(cell.law, 5e-5, float(x), 4.0)[0] for x in drop[3]])
        through[name] = float((alone / found.currents[0]).mean())
    assert through["bare"] < 0.35
    assert through["selected"] > 0.999


def test_array__a_table_without_gate_and_two_terminal_cells_need_no_gate_voltage():
    for cell in (vteam(), stanford_pku(), Tabulated(VOLTS, 1e-5 * VOLTS)):
        assert np.array_equal(Array(cell, np.full((2, 2), 1e-5)).gain(), np.ones((1, 2, 2)))
