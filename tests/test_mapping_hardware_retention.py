"""Chips read long after writing: laws of the filament, limits, and the effect on a run."""

import math
from dataclasses import replace

import numpy as np
import pytest

from devices.cells.adaptive import AdaptiveMemristor
from devices.cells.ohmic import Resistor
from devices.cells.presets import PRESETS
from devices.errors import ParameterError
from devices.writing.published_errors import DAY, neurram_error
from devices.writing.spread import Written
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import load_hardware
from mapping.hardware.retention import Retention
from mapping.inference.running import run
from mapping.networks import GlobalAveragePool, Linear, Network
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

CELL = AdaptiveMemristor()


def aged(g, age, cell=CELL, stuck=None, relaxation=False, seed=0):
    """Conductances of cells at an age."""
    written = Written(np.asarray(g, dtype=float), np.zeros(np.shape(g)))
    stuck = np.zeros(np.shape(g), dtype=bool) if stuck is None else stuck
    return Retention(age, relaxation).aged(cell, written, stuck, np.random.default_rng(seed)).g_filament


def test_aged__at_once_nothing_has_happened():
    written = Written(np.full((2, 3), 2e-5), np.zeros((2, 3)))
    assert Retention().aged(CELL, written, np.zeros((2, 3), dtype=bool), np.random.default_rng(0)) is written


@pytest.mark.parametrize("age", [3e5, 1e7, 1e8])
def test_aged__thick_filaments_follow_the_fourth_power(age):
    """Far above w_critical the state equation is d(w^4)/dt = -1 / lifetime."""
    w = np.array([[0.8, 0.9, 1.0]])
    left = aged(CELL.filament(w), age)
    np.testing.assert_allclose(CELL.state(left), (w**4 - age / CELL.lifetime) ** 0.25, rtol=2e-3)  # steps of 0.005


def test_aged__grows_worse_and_ends_at_the_bottom(rng):
    g = CELL.filament(rng.uniform(0.05, 1.0, (4, 5)))
    found = np.array([aged(g, age) for age in (1e2, 1e5, 1e7, 1e12)])
    assert np.all(np.diff(found, axis=0) <= 0.0)
    np.testing.assert_allclose(found[-1], CELL.g_min, rtol=1e-6)


def test_aged__stuck_cells_stay_and_gates_do_not_move(rng):
    g, offset = rng.uniform(1e-6, 5e-5, (6, 4)), rng.normal(size=(6, 4))
    stuck = rng.random((6, 4)) < 0.4
    found = Retention(1e7).aged(CELL, Written(g, offset), stuck, rng)
    np.testing.assert_array_equal(found.g_filament[stuck], g[stuck])
    assert np.all(found.g_filament[~stuck] != g[~stuck])
    np.testing.assert_array_equal(found.gate_offset, offset)


def test_aged__relaxation_is_that_of_neurram_after_a_day():
    g = np.full((200, 200), 2e-5)
    lasting = replace(CELL, lifetime=math.inf)
    departed = aged(g, DAY, lasting, relaxation=True) - g
    wanted = math.sqrt(neurram_error(2e-5, DAY, CELL.g_max) ** 2 - neurram_error(2e-5, 1.0, CELL.g_max) ** 2)
    assert departed.std() == pytest.approx(wanted, rel=0.02)  # of 40000 numbers: 0.35 %
    assert abs(departed.mean()) < 0.02 * wanted
    np.testing.assert_array_equal(aged(g, DAY, lasting), g)


def test_aged__selectors_rest_and_resistors_have_no_state(rng):
    g = rng.uniform(1e-6, 5e-5, (3, 4))
    selected = PRESETS["selected_2d"]()
    np.testing.assert_array_equal(aged(g, 1e7, selected), aged(g, 1e7, selected.cell))
    np.testing.assert_array_equal(aged(g, 1e7, Resistor(), relaxation=True), g)


@pytest.mark.parametrize("values", [{"age": -1.0}, {"age": math.nan}, {"age": math.inf}, {"relaxation": 3}])
def test_retention__refuses(values):
    with pytest.raises(ParameterError, match=next(iter(values))):
        Retention(**values)


# on a chip


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(3)
    layers = (GlobalAveragePool("pool", ("input",)), Linear("fc", ("pool",), rng.normal(size=(5, 6))))
    return Network("small", (6, 2, 2), tuple("abcde"), layers), rng.random((30, 6, 2, 2))


def chip_of(made, *settings):
    return write(compile_network(made[0], load_hardware("two_terminal").with_values(settings), made[1][:20]), 2)


def test_chip__of_age_0_is_the_chip_and_ages_share_their_luck(made):
    (new,), (same,), (old,) = (
        [tile.signal for tile in chip_of(made, *settings).tiles["fc"]]
        for settings in ((), ("retention.age=0.0",), ("retention.age=1e6",))
    )
    np.testing.assert_array_equal(new, same)
    assert 0.9 < np.corrcoef(new.ravel(), old.ravel())[0, 1] < 1.0


def test_chip__old_cells_are_what_the_law_leaves_of_the_new_ones(made):
    new, old = chip_of(made), chip_of(made, "retention.age=1e7", "retention.relaxation=false")
    one, other = (chip.written(chip.program.matrices["fc"][0], 0).g_filament for chip in (new, old))
    stuck = (one == one.max()) | (one == other)
    np.testing.assert_array_equal(other[~stuck], aged(one, 1e7, new.program.hardware.cell)[~stuck])


def test_run__errs_more_on_an_older_chip(made):
    errors = [
        run(chip_of(made, f"retention.age={age}"), made[1]).layers[-1].error for age in ("0.0", "1e4", "1e7", "1e8")
    ]
    assert errors == sorted(errors)
    assert errors[-1] > 3.0 * errors[0]


def test_ideal__does_not_age():
    assert replace(Hardware(), retention=Retention(1e7)).idealised().retention == Retention()
