"""Read disturb: mean rates against the cell's own integrator, the gate's factor, polarity, temperature, bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest

from devices import AdaptiveMemristor, Resistor, StanfordPku, Stress, Vteam, disturb
from devices.cells.presets import PRESETS
from devices.constants import BOLTZMANN_EV
from devices.errors import ParameterError

CELL = AdaptiveMemristor()
LASTING = replace(CELL, lifetime=math.inf)


def moved(w, stress, cell=CELL, **more):
    """States after a stress."""
    return cell.state(disturb(cell, cell.filament(w), stress, **more))


def test_disturb__of_one_voltage_is_the_cells_own_integration():
    w = np.linspace(0.05, 0.95, 7)
    for v, v_gate, seconds in ((0.1, 4.0, 2.0), (0.1, 0.0, 300.0), (-0.1, 4.0, 5.0), (0.2, 1.0, 0.1)):
        stress = Stress(np.array([v]), np.array([v_gate]), np.array([seconds]))
        np.testing.assert_allclose(moved(w, stress), CELL.evolve(w, v, v_gate, seconds), atol=2e-6)


def test_disturb__an_open_gate_moves_a_thin_filament_by_nine_percent_a_second():
    """The rate of docs/equations/cells.md eq. 13 in plain numbers, at the voltage left by the series resistance."""
    energy = float(CELL.fermi_energy(4.0))
    kt = BOLTZMANN_EV * 300.0
    rate = 7.4e-5 * math.exp(0.5 * energy / kt) * math.expm1(0.1 / 0.035)
    assert rate == pytest.approx(0.09, rel=0.1)
    found = moved(0.01, Stress(np.array([0.1]), np.array([4.0]), np.array([1e-3])), LASTING) - 0.01
    assert found == pytest.approx(rate * 0.99e-3, rel=0.02)  # 1 kΩ in series with about 0.5 µS
    closed = moved(0.01, Stress(np.array([0.1]), np.array([-2.0]), np.array([1e-3])), LASTING) - 0.01
    assert closed < 1e-3 * found


def test_disturb__of_many_short_reads_is_their_integration_one_by_one(rng):
    """The slow twin: the reads in their order, each integrated by itself."""
    v, v_gate = np.array([0.1, 0.1, -0.1, 0.07]), np.array([4.0, 1.0, 3.0, 4.0])
    seconds = np.array([0.02, 0.05, 0.03, 0.04])
    w = np.linspace(0.02, 0.98, 9)
    offset = rng.normal(scale=0.1, size=9)
    one_by_one = w.copy()
    for _ in range(100):
        for q in range(4):
            one_by_one = CELL.evolve(one_by_one, v[q], v_gate[q] - offset, seconds[q])
    found = moved(w, Stress(v, v_gate, seconds).repeated(100.0), gate_offset=offset)
    assert np.abs(one_by_one - w).max() > 0.2
    np.testing.assert_allclose(found, one_by_one, atol=1e-3)  # of first order in the motion of one repetition


def test_disturb__times_are_those_of_each_row(rng):
    """Cells of one row share their times, and columns may have their own."""
    w = rng.uniform(0.1, 0.9, (2, 3, 4))
    v, v_gate = np.array([0.1]), np.array([4.0])
    rows = rng.uniform(0.1, 3.0, (2, 3, 1, 1))
    found = moved(w, Stress(v, v_gate, rows))
    np.testing.assert_allclose(found, CELL.evolve(w, 0.1, 4.0, rows[..., 0]), atol=2e-6)
    columns = rng.uniform(0.1, 3.0, (2, 3, 4, 1))
    np.testing.assert_allclose(
        moved(w, Stress(v, v_gate, columns)), CELL.evolve(w, 0.1, 4.0, columns[..., 0]), atol=2e-6
    )


def test_disturb__both_polarities_meet_at_the_balance_of_set_and_reset():
    both = Stress(np.array([0.1, -0.1]), np.array([4.0, 4.0]), np.array([1e5, 1e5]))
    (low, high) = moved(np.array([0.0, 1.0]), both, LASTING)
    assert low == pytest.approx(high, abs=1e-6)
    up = LASTING.evolve(low, 0.1, 4.0, 1e-4) - low
    down = low - LASTING.evolve(low, -0.1, 4.0, 1e-4)
    assert up == pytest.approx(down, rel=1e-3)
    assert moved(0.5, Stress(np.array([0.1]), np.array([4.0]), np.array([1e5]))) == pytest.approx(1.0, abs=1e-3)


def test_disturb__a_gate_that_acts_on_reset_acts_on_negative_reads():
    cell = replace(LASTING, beta_reset=-0.3)
    w = np.array([0.3, 0.9])
    stress = Stress(np.array([-0.1]), np.array([4.0]), np.array([5.0]))
    np.testing.assert_allclose(moved(w, stress, cell), cell.evolve(w, -0.1, 4.0, 5.0), atol=2e-6)
    assert np.all(moved(w, stress, cell) > moved(w, stress))


def test_disturb__two_terminal_cells_have_no_factor_of_the_gate():
    flat = PRESETS["two_terminal"]()
    opened, closed = (moved(0.5, Stress(np.array([0.1]), np.array([g]), np.array([1.0])), flat) for g in (4.0, -2.0))
    assert opened == closed
    assert 0.0 < opened - 0.5 < 1e-3  # 75 times less than with a gate


def test_disturb__the_rest_of_the_time_is_dissolution():
    w = np.array([0.3, 0.8])
    stress = Stress(np.array([0.1]), np.array([4.0]), np.array([1e-9])).repeated(3.0, rest=1e6)
    assert stress.seconds[-1] == pytest.approx(1e6)
    np.testing.assert_allclose(moved(w, stress), CELL.evolve(w, 0.0, 0.0, 1e6), atol=1e-4)
    busy = Stress(np.array([0.1]), np.array([4.0]), np.array([2.0])).repeated(3.0, rest=4.0)
    assert busy.seconds.tolist() == [6.0, 0.0]


def test_disturb__is_arrhenius_in_temperature():
    stress = Stress(np.array([0.1]), np.array([0.0]), np.array([1e-2]))  # at the Dirac point the gate has no factor
    cold, warm = (moved(0.01, stress, LASTING, temperature=t) - 0.01 for t in (300.0, 350.0))
    assert warm / cold == pytest.approx(math.exp(-0.6 / BOLTZMANN_EV * (1 / 350.0 - 1 / 300.0)), rel=1e-3)


def test_lifetime__is_arrhenius_in_temperature():
    """Without voltage w(t) = (w0^4 - t/T1)^(1/4): 0.4 eV shorten T1 at 350 K by the Arrhenius factor."""
    factor = math.exp(0.4 / BOLTZMANN_EV * (1 / 350.0 - 1 / 300.0))
    for age in (1e6, 5e6):
        left = CELL.evolve(0.9, 0.0, 0.0, age, 350.0)
        assert left == pytest.approx((0.9**4 - age / (3e8 * factor)) ** 0.25, rel=2e-3)
    assert CELL.evolve(0.9, 0.0, 0.0, 1e6) == CELL.evolve(0.9, 0.0, 0.0, 1e6, 300.0)


def test_disturb__cells_of_the_literature_follow_their_own_equation():
    stress = Stress(np.array([0.05]), np.array([0.0]), np.array([1.0]))
    g = np.array([Vteam().filament(0.5)])
    np.testing.assert_allclose(disturb(Vteam(), g, stress), g)  # far below its threshold
    strong, pku = Stress(np.array([0.8]), np.array([0.0]), np.array([1e-9])), StanfordPku()
    np.testing.assert_allclose(
        pku.state(disturb(pku, pku.filament(0.3), strong)), pku.evolve(0.3, 0.8, 0.0, 1e-9), rtol=1e-2
    )
    np.testing.assert_array_equal(disturb(Resistor(), [1e-5], stress), [1e-5])
    selected = PRESETS["selected_2d"]()
    np.testing.assert_array_equal(disturb(selected, g, stress), disturb(selected.cell, g, stress))


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"v": [[0.1]]}, "v must"), ({"v_gate": [1.0, 2.0]}, "v_gate"), ({"seconds": [-1.0]}, "seconds"),
        ({"seconds": [1.0, 2.0]}, "seconds"),
    ],
)  # fmt: skip
def test_stress__refuses(bad, word):
    values = {"v": [0.1], "v_gate": [4.0], "seconds": [1.0]} | bad
    with pytest.raises(ParameterError, match=word):
        Stress(*(np.array(values[key]) for key in ("v", "v_gate", "seconds")))


def test_disturb__refuses_shapes_that_do_not_broadcast():
    stress = Stress(np.array([0.1]), np.array([4.0]), np.ones((3, 1)))
    with pytest.raises(ParameterError, match="broadcast"):
        disturb(CELL, np.full((2, 2), 1e-5), stress)
    with pytest.raises(ParameterError, match="broadcast"):
        disturb(CELL, np.full(3, 1e-5), stress, np.zeros(2))
    with pytest.raises(ParameterError, match="times"):
        stress.repeated(-1.0)
