"""Variability: statistics of 1e5 cells agree with the parameters, each effect alone and all together."""

import dataclasses
import math

import numpy as np
import pytest

from devices import PRESETS, AdaptiveMemristor, ParameterError, Resistor, Spread

CELL = AdaptiveMemristor()
MANY = (10, 100, 100)
STORED_FILAMENTS = [
    [2.054616600686678e-05, 2.077887934090221e-05, 2.008100562426122e-05],
    [2.0308872742796315e-05, 1.9788498156294533e-05, 2.0823376571316353e-05],
]
STORED_OFFSETS = [
    [0.018952589234206663, -0.005483721683847583, -0.10437049135835197],
    [-0.012651434776266672, 0.0014206297843452516, 0.059548010100119626],
]


def sampled(cells):
    """Relative tolerance of a standard deviation of that many normal samples, at five sigma."""
    return 5.0 / math.sqrt(2 * cells)


def alone(**parts):
    """A spread with one effect."""
    return dataclasses.replace(Spread.none(), **parts)


def test_none__every_target_in_the_window_is_met(rng):
    targets = rng.uniform(CELL.g_min, CELL.g_max, (3, 4, 5))
    written = Spread.none().write(CELL, targets, rng)
    assert np.array_equal(written.g_filament, targets)
    assert np.array_equal(written.gate_offset, np.zeros((3, 4, 5)))


def test_none__targets_beyond_the_window_stop_at_its_ends(rng):
    written = Spread.none().write(CELL, [[0.0, 1.0]], rng)
    assert np.array_equal(written.g_filament, [[CELL.g_min, CELL.g_max]])


def test_window__low_end_is_lognormal(rng):
    low = alone(window_low_ln_sigma=0.3).write(CELL, np.zeros(MANY), rng).g_filament
    logs = np.log(low / CELL.g_min)
    assert logs.std() == pytest.approx(0.3, rel=sampled(logs.size), abs=0.0)
    assert logs.mean() == pytest.approx(0.0, abs=5 * 0.3 / math.sqrt(logs.size))
    skew = np.mean((logs / 0.3) ** 3)
    assert skew == pytest.approx(0.0, abs=5 * math.sqrt(6 / logs.size))  # normal in the logarithm, not in itself


def test_window__high_end_is_normal(rng):
    high = alone(window_high_cv=0.057).write(CELL, np.ones(MANY), rng).g_filament
    assert high.std() / high.mean() == pytest.approx(0.057, rel=sampled(high.size), abs=0.0)
    assert high.mean() == pytest.approx(CELL.g_max, rel=5 * 0.057 / math.sqrt(high.size), abs=0.0)


def test_window__a_wide_spread_never_turns_it_inside_out(rng):
    spread = alone(window_low_ln_sigma=2.0, window_high_cv=1.0)
    low, high = (spread.write(CELL, np.full(MANY, t), np.random.default_rng(3)).g_filament for t in (0.0, 1.0))
    assert np.all(low > 0.0)
    assert np.all(high >= low)


def test_write_error__is_normal_about_the_target(rng):
    error = alone(write_error=0.01).write(CELL, np.full(MANY, 20e-6), rng).g_filament - 20e-6
    assert error.std() == pytest.approx(0.01 * CELL.g_max, rel=sampled(error.size), abs=0.0)
    assert error.mean() == pytest.approx(0.0, abs=5 * 0.01 * CELL.g_max / math.sqrt(error.size))


def test_write_error__lands_inside_the_window(rng):
    g = alone(write_error=0.05).write(CELL, np.full(MANY, CELL.g_max), rng).g_filament
    assert g.max() == CELL.g_max
    assert np.mean(g == CELL.g_max) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("on", "off"), [(0.005, 0.015), (0.1, 0.0), (0.0, 0.1), (0.25, 0.75)])
def test_stuck__fractions_and_places(rng, on, off):
    g = alone(stuck_on=on, stuck_off=off).write(CELL, np.full(MANY, 1e-5), rng).g_filament
    for level, part in ((CELL.g_max, on), (CELL.g_min, off)):
        found = np.mean(g == level)
        assert found == pytest.approx(part, abs=5 * math.sqrt(part * (1 - part) / g.size) + 1e-12)
    assert np.mean(g == 1e-5) == pytest.approx(1 - on - off, abs=0.01)


def test_stuck__cells_sit_at_their_own_window_ends():
    parts = {"window_low_ln_sigma": 0.3, "window_high_cv": 0.057}
    stuck = alone(**parts, stuck_on=0.5, stuck_off=0.5).write(CELL, np.full((50, 50), 1e-5), np.random.default_rng(5))
    low, high = (
        alone(**parts).write(CELL, np.full((50, 50), t), np.random.default_rng(5)).g_filament for t in (0.0, 1.0)
    )
    assert np.all((stuck.g_filament == low) | (stuck.g_filament == high))


def test_gate_offset__shared_and_own_part_are_found_again(rng):
    offset = Spread().write(CELL, np.full((400, 20, 50), 1e-5), rng, lines=2).gate_offset
    bands = offset.reshape(400 * 2, 10 * 50)
    own = bands.std(axis=1, ddof=1)
    assert math.sqrt(np.mean(own**2)) == pytest.approx(0.05, rel=sampled(bands.size), abs=0.0)
    shared = math.sqrt(bands.mean(axis=1).var(ddof=1) - 0.05**2 / bands.shape[1])
    assert shared == pytest.approx(0.02, rel=sampled(bands.shape[0]), abs=0.0)


def test_gate_offset__lines_are_row_bands_and_arrays_have_their_own(rng):
    offset = alone(gate_offset_line=0.02).write(CELL, np.full((3, 6, 4), 1e-5), rng, lines=2).gate_offset
    bands = offset.reshape(3, 2, 12)
    assert np.all(bands == bands[:, :, :1])
    assert np.unique(bands[:, :, 0]).size == 6


def test_gate_offset__a_map_names_the_line_of_each_cell(rng):
    columns = np.tile(np.arange(4), (6, 1))
    offset = alone(gate_offset_line=0.02).write(CELL, np.full((6, 4), 1e-5), rng, lines=columns).gate_offset
    assert np.all(offset == offset[0])
    assert np.unique(offset[0]).size == 4


def test_write__the_same_seed_gives_the_same_chip_and_another_write_another():
    rng, again = np.random.default_rng(1), np.random.default_rng(1)
    targets = np.full((8, 8), 1e-5)
    first, second = Spread().write(CELL, targets, rng), Spread().write(CELL, targets, rng)
    assert np.array_equal(first.g_filament, Spread().write(CELL, targets, again).g_filament)
    assert not np.array_equal(first.g_filament, second.g_filament)


def test_write__switching_one_effect_off_leaves_the_others_as_they_were():
    targets = np.full((30, 30), 1e-5)
    full = Spread().write(CELL, targets, np.random.default_rng(1))
    part = Spread(stuck_on=0.0, stuck_off=0.0, gate_offset_line=0.0).write(CELL, targets, np.random.default_rng(1))
    same = full.g_filament == part.g_filament
    assert 0.9 < same.mean() < 1.0
    assert np.ptp(full.gate_offset - part.gate_offset) < 1e-15


def test_write__a_resistor_takes_it_as_well(rng):
    written = Spread().write(Resistor(0.0, 1e-4), np.full((20, 20), 5e-5), rng)
    assert written.g_filament.shape == written.gate_offset.shape == (20, 20)


# device-to-device and cycle-to-cycle


def test_draw__a_chip_that_is_written_again_keeps_its_cells():
    spread = Spread(stuck_on=0.05, stuck_off=0.05)
    cells = spread.draw(CELL, (40, 30), np.random.default_rng(1), lines=4)
    rng = np.random.default_rng(2)
    first, second = cells.write(np.full((40, 30), 1e-5), rng), cells.write(np.full((40, 30), 1e-5), rng)
    assert first.gate_offset is second.gate_offset is cells.gate_offset
    stuck = cells.stuck_on | cells.stuck_off
    assert np.array_equal(first.g_filament == second.g_filament, stuck)  # all other cells get new write errors
    low, high = (cells.write(np.full((40, 30), t), rng).g_filament for t in (0.0, 1.0))
    assert np.all(low >= cells.g_min)
    assert np.mean(low[~stuck] == cells.g_min[~stuck]) == pytest.approx(0.83, abs=0.06)  # errors below 1 sigma
    assert np.array_equal(high[~stuck], cells.g_max[~stuck])


def test_draw__then_write_is_what_write_does_at_once():
    """The streams are the same, so a seed gives the chip that it gave before cells could be drawn apart."""
    spread, targets = Spread(), np.random.default_rng(0).uniform(0, 6e-5, (2, 8, 6))
    at_once = spread.write(CELL, targets, np.random.default_rng(5), lines=2)
    cells = spread.draw(CELL, targets.shape, np.random.default_rng(5), lines=2)
    written = cells.write(targets, np.random.default_rng(5).spawn(6)[2])
    assert np.array_equal(at_once.g_filament, written.g_filament)
    assert np.array_equal(at_once.gate_offset, written.gate_offset)


def test_write__draws_of_a_seed_never_change():
    """Numbers in documents hold for seeds; this one was written by the first release."""
    written = Spread().write(CELL, np.full((2, 3), 2e-5), np.random.default_rng([7, 1]), lines=2)
    assert np.allclose(written.g_filament, STORED_FILAMENTS, rtol=1e-12, atol=0.0)
    assert np.allclose(written.gate_offset, STORED_OFFSETS, rtol=1e-12, atol=0.0)


def test_cycles__the_low_end_is_lognormal_and_the_high_end_normal_at_every_write(rng):
    spread = alone(cycle_low_ln_sigma=0.2, cycle_high_cv=0.0153)
    cells = spread.draw(CELL, MANY, rng)
    assert np.ptp(cells.g_min) == np.ptp(cells.g_max) == 0.0  # nothing of it belongs to the device
    low, again = (np.log(cells.write(np.zeros(MANY), rng).g_filament / CELL.g_min) for _ in range(2))
    assert low.std() == pytest.approx(0.2, rel=sampled(low.size), abs=0.0)
    assert np.mean((low / 0.2) ** 3) == pytest.approx(0.0, abs=5 * math.sqrt(6 / low.size))
    assert np.corrcoef(low.ravel(), again.ravel())[0, 1] == pytest.approx(0.0, abs=5 / math.sqrt(low.size))
    high = cells.write(np.ones(MANY), rng).g_filament / CELL.g_max - 1.0
    assert high.std() == pytest.approx(0.0153, rel=sampled(high.size), abs=0.0)
    assert np.mean((high / 0.0153) ** 3) == pytest.approx(0.0, abs=5 * math.sqrt(6 / high.size))


def test_cycles__stuck_cells_stay_where_they_are_from_write_to_write(rng):
    spread = alone(cycle_low_ln_sigma=0.2, cycle_high_cv=0.0153, stuck_on=0.3, stuck_off=0.3)
    cells = spread.draw(CELL, (30, 30), rng)
    for target in (0.0, 1.0):
        g = cells.write(np.full((30, 30), target), rng).g_filament
        assert np.array_equal(g[cells.stuck_on], cells.g_max[cells.stuck_on])
        assert np.array_equal(g[cells.stuck_off], cells.g_min[cells.stuck_off])


def test_cycles__variances_of_devices_and_cycles_come_apart(rng):
    """Analysis of variance over cells that are written twice."""
    cells = alone(window_low_ln_sigma=0.3, cycle_low_ln_sigma=0.1).draw(CELL, MANY, rng)
    first, second = (np.log(cells.write(np.zeros(MANY), rng).g_filament) for _ in range(2))
    assert (first - second).std() / math.sqrt(2) == pytest.approx(0.1, rel=sampled(first.size), abs=0.0)
    device = math.sqrt(np.cov(first.ravel(), second.ravel())[0, 1])
    assert device == pytest.approx(0.3, rel=2 * sampled(first.size), abs=0.0)


def test_unverified__a_write_lands_at_its_place_in_the_cell_s_own_window(rng):
    cells = alone(window_low_ln_sigma=0.3, window_high_cv=0.057, verified=False).draw(CELL, MANY, rng)
    w = 0.4
    g = cells.write(np.full(MANY, CELL.filament(w)), rng).g_filament
    assert np.allclose(np.log(g), (1 - w) * np.log(cells.g_min) + w * np.log(cells.g_max), rtol=1e-12, atol=0.0)
    weak = np.log(cells.write(np.full(MANY, CELL.filament(0.0)), rng).g_filament)
    assert weak.std() == pytest.approx(
        0.3, rel=sampled(weak.size), abs=0.0
    )  # lognormal high-resistance states of 1e5 cells
    strong = cells.write(np.full(MANY, CELL.filament(1.0)), rng).g_filament
    assert strong.std() / strong.mean() == pytest.approx(0.057, rel=sampled(strong.size), abs=0.0)


def test_unverified__without_spread_the_target_is_met(rng):
    targets = rng.uniform(CELL.g_min, CELL.g_max, (20, 20))
    written = alone(verified=False, write_error=0.1).write(CELL, targets, rng)
    assert np.allclose(
        written.g_filament, targets, rtol=1e-12, atol=0.0
    )  # and the error of verification does not apply
    linear = alone(verified=False).write(Resistor(0.0, 1e-4), targets, rng)
    assert np.allclose(linear.g_filament, targets, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("cell", [PRESETS[name]() for name in ("stanford_pku", "vteam", "selected_two_terminal")])
def test_write__every_cell_takes_it(cell, rng):
    targets = cell.filament(rng.random((30, 30)))
    written = Spread().write(cell, targets, rng)
    assert np.corrcoef(written.g_filament.ravel(), np.ravel(targets))[0, 1] > 0.7
    assert np.all(written.g_filament > 0.0)


def test_drawn_cells__refuse_another_shape_and_no_generator(rng):
    cells = Spread().draw(CELL, (3, 4), rng)
    with pytest.raises(ParameterError, match=r"g_filament_targets must have shape \(3, 4\), got \(4, 3\)"):
        cells.write(np.full((4, 3), 1e-5), rng)
    with pytest.raises(ParameterError, match="rng must be a numpy"):
        cells.write(np.full((3, 4), 1e-5), None)


@pytest.mark.parametrize(
    ("targets", "lines", "message"),
    [
        ([1e-5], 1, r"g_filament_targets must have at least 2 axes \(rows, columns\), got \(1,\)"),
        ([[-1e-5]], 1, "g_filament_targets must be ≥ 0 everywhere, got -1e-05"),
        (np.full((4, 4), 1e-5), 3, "lines must divide the number of rows = 4, got 3"),
        (np.full((4, 4), 1e-5), 0, "lines must be ≥ 1, got 0"),
        (np.full((4, 4), 1e-5), 2.0, "lines must be a whole number, got 2.0"),
        (np.full((4, 4), 1e-5), np.zeros((4, 3), int), r"whole numbers ≥ 0 of shape \(4, 4\), got int64 \(4, 3\)"),
        (np.full((4, 4), 1e-5), np.full((4, 4), -1), "lines must be a number or an array of whole numbers ≥ 0"),
    ],
)
def test_write__refuses_in_one_sentence(rng, targets, lines, message):
    with pytest.raises(ParameterError, match=message):
        Spread().write(CELL, targets, rng, lines)


def test_write__wants_a_generator():
    with pytest.raises(ParameterError, match=r"rng must be a numpy\.random.Generator, got 7"):
        Spread().write(CELL, [[1e-5]], 7)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"write_error": -0.1}, "write_error must be ≥ 0, got -0.1"),
        ({"stuck_on": 1.2}, "stuck_on must be ≥ 0 and ≤ 1, got 1.2"),
        ({"stuck_on": 0.6, "stuck_off": 0.6}, r"stuck_on \+ stuck_off must be ≤ 1, got 1.2"),
        ({"gate_offset_line": math.nan}, "gate_offset_line must be a real number in V, got nan"),
    ],
)
def test_spread__refuses_in_one_sentence(fields, message):
    with pytest.raises(ParameterError, match=message):
        Spread(**fields)
